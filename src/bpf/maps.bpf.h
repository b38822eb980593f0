/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Maps and settings. Sizes of 1 are placeholders: user space sets them before the load
 * (capture/load.c), from --max-accounts and the number of CPUs.
 */
#include "abi/event.h"
#include "bpf/compat.bpf.h"

const volatile struct iol_settings settings SEC(".rodata.settings") = {};

/* A section of its own is a map of its own, mapped by user space; programs know its address and need not look it up. */
struct iol_control control SEC(".data.control");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_cpu);
} cpus SEC(".maps");

/* The first IOL_ABI_ROUTE_SLOTS slots are the host's own, one for each route: (other processes). */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_account);
} slots SEC(".maps");

/*
 * The accounts of a process side by side, as its image leads to its set: most processes have no more, and the first one brings the others into the
 * caches. Those that find no place there have a second set, to which image and inode lead, and those that find none there either are in a hash table.
 */
#define PLACES_PER_SET 8
#define PLACE_CLAIMED 1 /* no tag: somebody's in a moment */

/* Two inodes that follow each other share a second set, and 32 of them a region of 16 sets; where a region is, is left to chance. */
#define SHARING_INODES_BITS 1
#define REGION_BITS 4

struct account_set {
    union {
        struct {
            __u32 elsewhere; /* accounts with this as their first set that are not in it, or will not be in a moment */
            __u32 in_table;  /* those with this as their second set that are in `accounts` */
        };
        struct iol_account_ref places[PLACES_PER_SET]; /* but for the first one */
    };
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct account_set);
} account_sets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct iol_account_key);
    __type(value, struct iol_account_ref);
} accounts SEC(".maps");

/* Free slots: the spare ones are kept for pseudo files, so that there is room for (other files) when all else is taken. */
struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 1);
    __type(value, __u32);
} free_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 1);
    __type(value, __u32);
} spare_slots SEC(".maps");

/* The same: the first thing that each read and write needs. */
struct iol_thread threads[IOL_THREADS] SEC(".bss.threads");

/*
 * Keys of the files whose records have been sent. The lower bits of a key lead to its set, a cache line, and what is a key is written at once:
 * no lock, no list, and one place in memory that is touched, where a hash table has two or three. Losing one only means sending the record again.
 */
struct sent_files {
    __u64 key[8]; /* 0: none */
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct sent_files);
} sent SEC(".maps");

/* Which rules the path and the kind of a file meet. */
struct known_file {
    __u64 matches;
    __u32 rules; /* generation that these belong to; 0: none */
    __u32 reserved;
};

/* By key, when there are rules. Losing an entry only means walking its path again. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, struct known_file);
} files SEC(".maps");

/* Accounts that a rule ignores, by their names as in struct iol_recent: they have no slot. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, __u64);
    __type(value, __u8);
} ignored SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, IOL_TASK_PLACES);
    __type(key, __u32);
    __type(value, struct iol_task);
} task_places SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_task);
} tasks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __uint(key_size, IOL_COMM_MAX);
    __uint(value_size, 1);
} comm_filter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u8);
} uid_filter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __uint(key_size, IOL_EXE_FILTER_MAX);
    __uint(value_size, 1);
} exe_filter SEC(".maps");

/* Cgroups given with --cgroup and --container: inode and hierarchy, see IOL_CGROUP_HIERARCHY_SHIFT. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, IOL_CGROUP_FILTER_MAX);
    __type(key, __u64);
    __type(value, __u8);
} cgroup_filter SEC(".maps");

#define NOTED 1
#define NOTED_IGNORED 2 /* the rules left it out: it has no account */

/* What the two descriptors of a call led to when its thread went to sleep in it, by the address of the thread's stack. */
struct asleep {
    __u32 route;       /* of the call */
    __u32 descriptors; /* of the call: mix_of() */
    __u32 side[2];     /* NOTED: key[i] holds an account; 0: none */
    __u64 file[2];     /* address */
    struct iol_account_key key[2];
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 8192);
    __type(key, __u64);
    __type(value, struct asleep);
} asleep SEC(".maps");

/* Events of reads and writes within one second: of all processes (image 0), or of one. */
struct budget {
    __u64 second;
    __u64 used;
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, struct budget);
} budgets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct budget);
} whole_budget SEC(".maps");

/* The rules in force, at their generation's lowest bit, and what leads to them: see struct iol_rules. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __type(key, __u32);
    __type(value, struct iol_rules);
} rules SEC(".maps");

#define RULE_ENTRIES (4 * IOL_RULES_MAX) /* of two generations; a tree has two */

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, RULE_ENTRIES);
    __type(key, struct iol_rule_path_key);
    __type(value, __u64);
} rule_paths SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, RULE_ENTRIES);
    __type(key, struct iol_rule_suffix_key);
    __type(value, __u64);
} rule_suffixes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, RULE_ENTRIES);
    __type(key, struct iol_rule_comm_key);
    __type(value, __u64);
} rule_comms SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, RULE_ENTRIES);
    __type(key, struct iol_rule_uid_key);
    __type(value, __u64);
} rule_uids SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, RULE_ENTRIES);
    __type(key, struct iol_rule_exe_key);
    __type(value, __u64);
} rule_exes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

static __always_inline struct iol_cpu *this_cpu(void)
{
    __u32 cpu = bpf_get_smp_processor_id();

    return bpf_map_lookup_elem(&cpus, &cpu);
}

static __always_inline void count_lost(enum iol_lost reason, __u64 n)
{
    struct iol_cpu *cpu = this_cpu();

    if (cpu)
        __sync_fetch_and_add(&cpu->lost[masked(reason, IOL_LOST_PLACES - 1)], n);
}

static __always_inline struct sent_files *sent_files_of(__u64 key)
{
    __u32 set = (__u32)key & settings.sent_mask;

    return bpf_map_lookup_elem(&sent, &set);
}

/* These three are global functions: the verifier looks at each of them once. */
__noinline int is_sent(__u64 key)
{
    const struct sent_files *set = sent_files_of(key);
    __u32 i;

    for (i = 0; set && i < 8; i++) {
        if (*(const volatile __u64 *)&set->key[i] == key)
            return 1;
    }
    return 0;
}

/* In an empty place, or in that of some other key. */
__noinline int mark_as_sent(__u64 key)
{
    struct sent_files *set = sent_files_of(key);
    __u32 i;

    if (!set)
        return 0;
    for (i = 0; i < 8; i++) {
        if (!*(volatile __u64 *)&set->key[i])
            break;
    }
    if (i == 8)
        i = key >> 61;
    *(volatile __u64 *)&set->key[masked(i, 7)] = key;
    return 0;
}

__noinline int forget_sent(__u64 key)
{
    struct sent_files *set = sent_files_of(key);
    int r = -1;
    __u32 i;

    for (i = 0; set && i < 8; i++) {
        if (*(volatile __u64 *)&set->key[i] != key)
            continue;
        *(volatile __u64 *)&set->key[i] = 0;
        r = 0;
    }
    return r;
}

__u64 ring_woken; /* when the reader was last woken, in jiffies */

static __always_inline void note(__u32 *word, __u32 value)
{
    if (*(volatile __u32 *)word != value)
        *(volatile __u32 *)word = value;
}

/*
 * Wakes the reader on a fill level only, with the record behind the one that reaches it; otherwise it looks in on its own timer. Once a
 * tick: a wake-up costs many times what the record does, and one that came while the reader was at work is not missed, as it looks whether
 * there is more. How full the ring is can be asked for next to nothing once its positions are this CPU's, and not before.
 */
static __always_inline long ring_send(void *record, __u32 size)
{
    __u64 flags = BPF_RB_NO_WAKEUP, now;
    long error;

    if (*(volatile __u32 *)&control.ring_high) {
        now = bpf_jiffies64();
        if (ring_woken != now) {
            ring_woken = now;
            flags = BPF_RB_FORCE_WAKEUP;
        }
    }
    error = bpf_ringbuf_output(&ring, record, size, flags);
    note(&control.ring_high, bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= settings.ring_wakeup);
    note(&control.ring_full, error != 0);
    return error;
}

/* Not even a small record would find room. Asked of the ring itself only after some record has found none. */
static __always_inline bool ring_is_full(void)
{
    return *(volatile __u32 *)&control.ring_full &&
           bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + 4096 > 4 * (__u64)settings.ring_wakeup;
}

/* As ring_send(), for events of reads and writes: the last quarter is kept for processes and files, which the books need more. */
static __always_inline long ring_send_event(void *record, __u32 size)
{
    if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= 3 * (__u64)settings.ring_wakeup)
        return -1;
    return ring_send(record, size);
}
