/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Rules: what is done with an account's operations, found when it is opened. A rule is a bit in a set of 64; each sort of
 * condition yields the set of rules that it leaves standing, their intersection is what matches, its lowest bit wins.
 */
#include "bpf/thread.bpf.h"

static __always_inline struct iol_rules *rules_of(__u32 generation)
{
    __u32 index = generation & 1;

    return bpf_map_lookup_elem(&rules, &index);
}

/* The path now in scratch: which rules have it, or a folder above it. */
static __always_inline __u64 path_matches(struct scratch *scratch, const struct iol_rules *now)
{
    struct iol_rule_path_key *key = &scratch->rule_path;
    __u32 len = path_length(scratch);
    __u64 *found;

    if (len > IOL_RULE_PATH_MAX)
        len = IOL_RULE_PATH_MAX;
    if (scratch->bits & IOL_FILE_TRUNCATED)
        len = 1; /* its beginning is missing: it is below the root, and nothing else is known */
    __builtin_memset(key, 0, sizeof(*key));
    bpf_probe_read_kernel(key->path, masked(len, 0xff), &scratch->path[scratch->offset & (IOL_PATH_MAX - 1)]);
    /* generation and the NUL that ends an exact path are part of it; a path that was cut off ends in none */
    key->bits = 8 * (1 + len + (len < IOL_RULE_PATH_MAX && !(scratch->bits & IOL_FILE_TRUNCATED)));
    key->generation = now->generation;
    found = bpf_map_lookup_elem(&rule_paths, key);
    return found ? *found : now->any_path;
}

/* The end of the path's last component. */
static __always_inline __u64 suffix_matches(struct scratch *scratch, const struct iol_rules *now)
{
    struct iol_rule_suffix_key *key = &scratch->rule_suffix;
    __u32 len = path_length(scratch);
    __u64 *found;
    __u32 i;

    __builtin_memset(key, 0, sizeof(*key));
    for (i = 0; i < IOL_RULE_SUFFIX_MAX && i < len; i++) {
        char c = scratch->path[(IOL_PATH_MAX - 1 - i) & (IOL_PATH_MAX - 1)];

        if (c == '/')
            break;
        key->reversed[i] = c;
    }
    key->bits = 8 * (1 + i);
    key->generation = now->generation;
    found = bpf_map_lookup_elem(&rule_suffixes, key);
    return found ? *found : now->any_suffix;
}

/* Which rules the path in scratch and the kind meet; a pseudo file has no path. */
static __always_inline __u64 file_matches(struct scratch *scratch, const struct iol_rules *now, __u32 kind,
                                          bool has_path)
{
    __u64 matches = now->kinds[kind & 15];

    if (!has_path)
        return matches & now->any_path & now->any_suffix;
    matches &= matches & ~now->any_path ? path_matches(scratch, now) : now->any_path;
    matches &= matches & ~now->any_suffix ? suffix_matches(scratch, now) : now->any_suffix;
    return matches;
}

/* The program of the process; its path takes the place of the one in scratch. */
static __noinline __u64 exe_matches_rules(struct scratch *scratch, __u32 index, const struct iol_rules *now)
{
    struct iol_rule_exe_key *key = &scratch->rule_exe;
    struct task_struct *task = scratch->task;
    struct fs_struct *fs = BPF_CORE_READ(task, fs);
    struct file *exe = BPF_CORE_READ(task, mm, exe_file);
    __u64 *found;
    __u32 len;

    if (!exe || !fs)
        return now->any_exe;
    set_walk(scratch, __builtin_preserve_access_index(&exe->f_path), __builtin_preserve_access_index(&fs->root));
    walk_path(index);
    len = path_length(scratch);
    if (len == 0 || len >= IOL_EXE_FILTER_MAX)
        return now->any_exe;
    __builtin_memset(key, 0, sizeof(*key));
    bpf_probe_read_kernel(key->exe, masked(len, IOL_EXE_FILTER_MAX - 1),
                          &scratch->path[scratch->offset & (IOL_PATH_MAX - 1)]);
    key->generation = now->generation;
    found = bpf_map_lookup_elem(&rule_exes, key);
    return found ? *found : now->any_exe;
}

/* Which of the rules in `matches` ask for this process too: by the name of its first thread, user, program. */
static __always_inline __u64 scope_matches(struct scratch *scratch, __u32 index, const struct iol_rules *now,
                                           __u64 matches)
{
    struct task_struct *task = scratch->task;
    struct task_struct *leader = BPF_CORE_READ(task, group_leader);

    if (matches & ~now->any_comm) {
        struct iol_rule_comm_key key = {.generation = now->generation};
        __u64 *found;

        BPF_CORE_READ_STR_INTO(&key.comm, leader, comm);
        found = bpf_map_lookup_elem(&rule_comms, &key);
        matches &= found ? *found : now->any_comm;
    }
    if (matches & ~now->any_uid) {
        struct iol_rule_uid_key key = {.generation = now->generation, .uid = BPF_CORE_READ(leader, real_cred, uid.val)};
        __u64 *found = bpf_map_lookup_elem(&rule_uids, &key);

        matches &= found ? *found : now->any_uid;
    }
    if (matches & ~now->any_exe)
        matches &= exe_matches_rules(scratch, index, now);
    return matches;
}

/* The verdict of the first rule in the set, into scratch. */
static __always_inline void decide(struct scratch *scratch, const struct iol_rules *now, __u64 matches)
{
    __u32 first;

    scratch->verdict = IOL_VERDICT_AGGREGATE;
    scratch->sample = 1;
    if (!matches)
        return;
    first = 0;
#define HALVE(bits)                                                                                                    \
    if (!(matches & ((1ULL << (bits)) - 1))) {                                                                         \
        matches >>= (bits);                                                                                            \
        first += (bits);                                                                                               \
    }
    HALVE(32)
    HALVE(16)
    HALVE(8)
    HALVE(4)
    HALVE(2)
    HALVE(1)
#undef HALVE
    first &= IOL_RULES_MAX - 1;
    scratch->verdict = now->rule[first].verdict;
    scratch->sample = now->rule[first].sample;
}

/*
 * The verdict on a pseudo file of this kind for scratch->task, by rules of generation scratch->rules. A global function:
 * the verifier looks at it once.
 */
__noinline int judge_pseudo(__u32 index, __u32 kind)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_rules *now;

    if (!scratch)
        return 0;
    now = rules_of(scratch->rules);
    if (now)
        decide(scratch, now, scope_matches(scratch, index, now, file_matches(scratch, now, kind, false)));
    return 0;
}
