/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Buffers too large for the stack. Two for each CPU, each with a lock that is tried and never waited
 * for: a program that is preempted by another one on the same CPU keeps its own (the per-CPU map of
 * the textbook is overwritten in that case), and a third one goes without and says so.
 */
#include "bpf/maps.bpf.h"

#define SCRATCH_PER_CPU 2
#define NAME_SLACK 256 /* a name is at most NAME_MAX (255) bytes */
#define RECORD_OFFSET_MASK 0x7fff

/* The path of a directory, a program or a cgroup as it was walked last: one process after the other has the same ones. */
#define KNOWN_PATHS 8
#define KNOWN_CGROUP KNOWN_PATHS
#define KNOWN_PATH_MAX 256

struct known_path {
    __u64 name; /* of all that leads to it: see name_walk(); 0: none */
    __u32 bits; /* enum iol_file_bits */
    __u32 len;
    char text[KNOWN_PATH_MAX];
};

/* The path of a directory as files in it have it, and what passing it came to: see recall_directory(). */
#define KNOWN_DIRECTORIES 8

struct known_directory {
    __u64 name; /* as above */
    __u64 mixed;
    __u32 bits;
    __u32 len;
    char text[KNOWN_PATH_MAX];
};

/* The key of a file, under all that leads to it: see recall_file_key(). */
#define KNOWN_KEYS 64

struct known_key {
    __u64 name; /* 0: none */
    __u64 key;
};

/* A process's name, its users and its session. */
struct traits {
    __u64 comm[2];
    __u32 uid;
    __u32 euid;
    __u32 gid;
    __u32 login_uid;
    __u32 session_id;
    __u32 reserved;
};

/*
 * The members before `path` are also how a global function gets its arguments: the verifier looks at
 * such a function once, whoever calls it, but up to 6.8 lets scalars only be passed to it.
 */
struct scratch {
    __u32 busy;

    /* the walk of a path: where it is, where it ends, and what was found */
    __u32 offset;   /* of the path's first byte within path, or as if it were there */
    __u32 text;     /* of that byte within scratch, when the path is a known one; 0: it is in `path` */
    __u32 bits;     /* enum iol_file_bits */
    __u32 sequence; /* of the dentry whose name is being read */
    __u32 torn;     /* how often that was being renamed: see is_torn() */
    __u32 at_file;  /* the walk began at a file, which it has not passed */
    __u32 from;     /* `offset` when it had */
    __u32 place;    /* the lower bits of file_key: see begin_file_key() */
    __u64 dentry;   /* addresses, as those below */
    __u64 mnt;
    __u64 root_dentry;
    __u64 root_mnt;
    __u64 parent;
    __u64 hash_len; /* of the name */
    __u64 mixed;    /* what has been passed so far: dentries and their names */
    __u64 own; /* the same of the file itself, when the walk began at one and has passed it; `mixed` begins anew then */
    __u64 directory; /* of the walk from there on, see recall_directory(); 0: none */
    __u64 directory_dentry;
    __u64 directory_mnt;
    __u64 name; /* of the walk, while its path is not known: see recall_path() */
    struct kernfs_node *node;

    /* the record that is being built */
    struct task_struct *task;
    struct file *file;
    __u64 file_key;
    __u64 parent_image;
    __u32 ppid;
    __u32 origin;        /* 0 fork, 1 exec, 2 running */
    __u32 own_memory;    /* task is the current one: its argv can be read */
    __u32 task_bits;     /* enum iol_task_bits: inherited ones in, verdict out */
    __u32 location_bits; /* SAME_LOCATION and PARENT_MOVED of enum iol_process_bits */
    struct iol_task entry;
    struct traits traits;
    __u32 rules;   /* generation of the rules that are looked up; 0: none */
    __u32 verdict; /* enum iol_verdict that they come to */
    __u32 sample;

    /* the account that is being opened: see open_account() */
    struct iol_account_key key;
    struct iol_account_ref ref;
    __u32 name_sequence; /* of the file's own dentry before its key was made */
    __u32 kind;
    __u64 version; /* version_now() before anything was looked at */
    __u64 seen_ns; /* when the record of the file was made; 0: it was sent before */
    __u32 route;
    __u32 slot; /* that was taken for it; 0: none yet */
    struct known_file known_file;

    /* a change of a file: what the call was, and where the next text of its record goes */
    __u64 argument[8]; /* of the call, from 1 on */
    __s64 result;
    __u32 class;
    __u32 event; /* enum iol_abi_event */
    __u32 at;
    __u32 change_bits; /* enum iol_name_bits of the second name */

    struct known_path known_paths[KNOWN_PATHS + 1]; /* the last one: of a cgroup */
    struct known_key known_keys[KNOWN_KEYS];

    char path[IOL_PATH_MAX + NAME_SLACK];
    union {
        char exe_key[IOL_EXE_FILTER_MAX];
        struct iol_rule_path_key rule_path;
        struct iol_rule_suffix_key rule_suffix;
        struct iol_rule_exe_key rule_exe;
    };
    char record[RECORD_OFFSET_MASK + 1 + IOL_ARGV_MAX];
    struct known_directory known_directories[KNOWN_DIRECTORIES];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

/* Keeps the compiler from computing addresses of members ahead of time, which it would then keep on the stack. */
#define ADDRESSES_ANEW(scratch) barrier_var(scratch)

/* Returns the scratch and its index, or NULL when both of this CPU's are taken. */
static __always_inline struct scratch *scratch_take(__u32 *ret_index)
{
    __u32 index = bpf_get_smp_processor_id() * SCRATCH_PER_CPU;
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);

    if (scratch && try_lock(&scratch->busy)) {
        *ret_index = index;
        return scratch;
    }
    index++;
    scratch = bpf_map_lookup_elem(&scratches, &index);
    if (scratch && try_lock(&scratch->busy)) {
        *ret_index = index;
        return scratch;
    }
    return NULL;
}

/* The record that was built there; not 0 when the ring buffer is full. */
static __always_inline long send_record(struct scratch *scratch)
{
    __u32 size = ((struct iol_record *)scratch->record)->size;

    return size > RECORD_OFFSET_MASK || ring_send(scratch->record, masked(size, RECORD_OFFSET_MASK));
}

static __always_inline void scratch_give(struct scratch *scratch)
{
    *(volatile __u32 *)&scratch->busy = 0;
}
