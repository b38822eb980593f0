// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Rules into the maps that the programs look at: see struct iol_rules. */
#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"
#include "capture/drain.h"

#define PATH_BITS(bytes) (8 * (1 + (uint32_t)(bytes))) /* the generation is a byte of the key */

static int map_fd(const struct iol_capture *capture, const char *name)
{
    return iol_capture_map(capture, name);
}

/* Does the path that a rule asks for hold for every path that begins with (tree) or is (exact) `path`? */
static bool path_implies(const struct iol_rule *rule, const char *path)
{
    size_t length;

    if (!rule->path)
        return true;
    if (!rule->tree)
        return strcmp(rule->path, path) == 0;
    length = strlen(rule->path);
    return strncmp(rule->path, path, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* The rules whose path condition holds at this entry. The longest entry is found, so each has those of the shorter ones too. */
static uint64_t path_set(const struct iol_rule_set *set, const char *path, bool exact)
{
    uint64_t matches = 0;

    for (size_t i = 0; i < set->n; i++) {
        const struct iol_rule *rule = &set->rules[i];

        if (path_implies(rule, path) && (exact || !rule->path || rule->tree))
            matches |= 1ULL << i;
    }
    return matches;
}

static int add_path(const struct iol_capture *capture, const struct iol_rule_set *set, uint32_t generation,
                    const char *path, bool tree)
{
    struct iol_rule_path_key key = {.generation = (uint8_t)generation};
    size_t length = strlen(path);
    uint64_t matches = path_set(set, path, !tree);

    if (length >= IOL_RULE_PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(key.path, path, length);
    key.path[length] = tree ? '/' : '\0';
    key.bits = PATH_BITS(length + 1);
    return bpf_map_update_elem(map_fd(capture, "rule_paths"), &key, &matches, BPF_ANY) < 0 ? -errno : 0;
}

static bool ends_in(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);

    return tail <= length && strcmp(text + length - tail, suffix) == 0;
}

static int add_suffix(const struct iol_capture *capture, const struct iol_rule_set *set, uint32_t generation,
                      const char *suffix)
{
    struct iol_rule_suffix_key key = {.generation = (uint8_t)generation};
    size_t length = strlen(suffix);
    uint64_t matches = 0;

    if (length > IOL_RULE_SUFFIX_MAX)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < set->n; i++) {
        if (!set->rules[i].suffix || ends_in(suffix, set->rules[i].suffix))
            matches |= 1ULL << i;
    }
    for (size_t i = 0; i < length; i++)
        key.reversed[i] = suffix[length - 1 - i];
    key.bits = PATH_BITS(length);
    return bpf_map_update_elem(map_fd(capture, "rule_suffixes"), &key, &matches, BPF_ANY) < 0 ? -errno : 0;
}

static int add_comm(const struct iol_capture *capture, const struct iol_rule_set *set, uint32_t generation,
                    const char *comm)
{
    struct iol_rule_comm_key key = {.generation = generation};
    uint64_t matches = 0;

    /* the kernel keeps 15 bytes of a name; so does the rule */
    strncpy(key.comm, comm, sizeof(key.comm) - 1);
    for (size_t i = 0; i < set->n; i++) {
        if (!set->rules[i].comm || strncmp(set->rules[i].comm, comm, sizeof(key.comm) - 1) == 0)
            matches |= 1ULL << i;
    }
    return bpf_map_update_elem(map_fd(capture, "rule_comms"), &key, &matches, BPF_ANY) < 0 ? -errno : 0;
}

static int add_uid(const struct iol_capture *capture, const struct iol_rule_set *set, uint32_t generation, uint32_t uid)
{
    const struct iol_rule_uid_key key = {generation, uid};
    uint64_t matches = 0;

    for (size_t i = 0; i < set->n; i++) {
        if (!set->rules[i].has_uid || set->rules[i].uid == uid)
            matches |= 1ULL << i;
    }
    return bpf_map_update_elem(map_fd(capture, "rule_uids"), &key, &matches, BPF_ANY) < 0 ? -errno : 0;
}

static int add_exe(const struct iol_capture *capture, const struct iol_rule_set *set, uint32_t generation,
                   const char *exe)
{
    struct iol_rule_exe_key key = {.generation = generation};
    uint64_t matches = 0;

    if (strlen(exe) >= sizeof(key.exe))
        return -ENAMETOOLONG;
    memcpy(key.exe, exe, strlen(exe));
    for (size_t i = 0; i < set->n; i++) {
        if (!set->rules[i].exe || strcmp(set->rules[i].exe, exe) == 0)
            matches |= 1ULL << i;
    }
    return bpf_map_update_elem(map_fd(capture, "rule_exes"), &key, &matches, BPF_ANY) < 0 ? -errno : 0;
}

static int add_rule(const struct iol_capture *capture, const struct iol_rule_set *set, uint32_t generation,
                    const struct iol_rule *rule)
{
    int r = 0;

    if (rule->path && rule->tree)
        r = add_path(capture, set, generation, rule->path, true);
    if (r == 0 && rule->path && rule->path[0]) /* a tree's folder itself is part of it */
        r = add_path(capture, set, generation, rule->path, false);
    if (r == 0 && rule->suffix)
        r = add_suffix(capture, set, generation, rule->suffix);
    if (r == 0 && rule->comm)
        r = add_comm(capture, set, generation, rule->comm);
    if (r == 0 && rule->has_uid)
        r = add_uid(capture, set, generation, rule->uid);
    if (r == 0 && rule->exe)
        r = add_exe(capture, set, generation, rule->exe);
    return r;
}

static void describe(const struct iol_rule_set *set, uint32_t generation, struct iol_rules *ret_rules)
{
    struct iol_rules rules = {.generation = generation,
                              .n = (uint32_t)set->n,
                              .event_budget = set->event_budget,
                              .event_budget_process = set->event_budget_process};

    for (size_t i = 0; i < set->n; i++) {
        const struct iol_rule *rule = &set->rules[i];
        uint64_t bit = 1ULL << i;

        rules.any_path |= rule->path ? 0 : bit;
        rules.any_suffix |= rule->suffix ? 0 : bit;
        rules.any_comm |= rule->comm ? 0 : bit;
        rules.any_uid |= rule->has_uid ? 0 : bit;
        rules.any_exe |= rule->exe ? 0 : bit;
        for (size_t kind = 0; kind < IOL_ABI_KIND_COUNT; kind++) {
            if (!rule->kinds || rule->kinds >> kind & 1)
                rules.kinds[kind] |= bit;
        }
        rules.rule[i].verdict = rule->verdict;
        rules.rule[i].sample = rule->verdict == IOL_VERDICT_SAMPLE ? rule->sample : 1;
    }
    *ret_rules = rules;
}

/* Entries of generations that are not `generation` any more. All keys begin with their generation, in tries behind `bits`. */
static void forget_old(const struct iol_capture *capture, const char *name, bool trie, uint32_t generation)
{
    union {
        uint32_t words[2];
        struct iol_rule_path_key path;
        struct iol_rule_exe_key exe;
    } key, next;
    int fd = map_fd(capture, name);
    void *at = NULL;

    while (bpf_map_get_next_key(fd, at, &next) == 0) {
        uint32_t of = trie ? next.path.generation : next.words[0];

        if (of == (trie ? generation & 0xff : generation)) {
            key = next;
            at = &key;
            continue;
        }
        bpf_map_delete_elem(fd, &next);
        at = NULL; /* from the front: the place of a key that is gone is not defined */
    }
}

static void forget_generations(const struct iol_capture *capture, uint32_t generation)
{
    forget_old(capture, "rule_paths", true, generation);
    forget_old(capture, "rule_suffixes", true, generation);
    forget_old(capture, "rule_comms", false, generation);
    forget_old(capture, "rule_uids", false, generation);
    forget_old(capture, "rule_exes", false, generation);
}

int iol_capture_set_rules(struct iol_capture *capture, const struct iol_rule_set *set, struct iol_error *err)
{
    uint32_t generation = set->n ? capture->rules + 1 : 0; /* 0: no rules, and nothing is looked up */
    struct iol_rules rules;
    uint32_t place;
    int r = 0;

    if (set->n == 0 && capture->control->rules == 0)
        return 0;
    if (set->n > IOL_RULES_MAX)
        return iol_error_set(err, -E2BIG, "at most %d rules are possible", IOL_RULES_MAX);
    if (generation) {
        if ((generation & 0xff) == 0)
            generation++; /* a byte in the tries, where 0 stands for none */
        place = generation & 1;
        if (place == (capture->control->rules & 1) && capture->control->rules)
            generation++, place ^= 1;
        describe(set, generation, &rules);
        if (bpf_map_update_elem(map_fd(capture, "rules"), &place, &rules, BPF_ANY) < 0)
            r = -errno;
        for (size_t i = 0; r == 0 && i < set->n; i++)
            r = add_rule(capture, set, generation, &set->rules[i]);
        if (r < 0) {
            forget_generations(capture, capture->control->rules);
            return iol_error_set(err, r, "cannot put the rules into the kernel: %s", strerror(-r));
        }
        capture->rules = generation;
    }
    __atomic_store_n(&capture->control->rules, generation, __ATOMIC_RELEASE);
    __atomic_add_fetch(&capture->control->renames, 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&capture->control->changes, IOL_CHANGE, __ATOMIC_RELEASE);
    /* programs that still look at the old ones end first */
    iol_capture_grace_period(capture);
    forget_generations(capture, generation);
    return 0;
}
