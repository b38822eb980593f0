/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * What a recorder leaves in the kernel for its successor (record --pin): maps that only user space writes, beside those of
 * abi/event.h that the programs count in. Kernel types only; no padding that is not written out.
 *
 * IOL_LAYOUT is raised with any change of what a successor reads to post what was counted: the structs here, and in abi/event.h
 * accounts, CPUs, threads, control, clock, settings and records. A version takes counters of its own layout only.
 */
#include "abi/event.h"

#define IOL_LAYOUT 4

/* Value of the map `about`: what is pinned. The first two members stay where they are in every version. */
struct iol_about {
    __u32 size;   /* of this struct */
    __u32 layout; /* IOL_LAYOUT */
    __u32 abi_version;
    __u32 n_slots;
    __u32 n_spare;
    __u32 n_cpus;
    __u32 ring_bytes;
    __u32 ending;   /* the hooks are being taken away: nothing is counted any more */
    __u64 identity; /* hash of the programs and of every option that they were loaded with */
    char version[64];
    char books[1024]; /* URL of the database, without its password */
    char spool[1024]; /* folder of the spool that has the journals */
};

/* The six counters of struct iol_counters, without its times. */
struct iol_posted_sums {
    __u64 read_ops;
    __u64 read_bytes;
    __u64 write_ops;
    __u64 write_bytes;
    __u64 read_errors;
    __u64 write_errors;
};

/* Value of the mmapable map `books`. Each member is of the batch `seq` and of those before it. */
struct iol_books {
    __u64 seq;          /* of the last batch that is in here; 0: none. Written last. */
    __u64 set;          /* when these books were opened, CLOCK_BOOTTIME: no others were at that moment */
    __u64 recorder;     /* pid of the one that runs, or ran last, in its own namespace */
    __u64 epoch;        /* number of the last one that was posted */
    __u64 from_jiffies; /* when what has not been posted began to be counted */
    __u64 from_ns;
    __u64 ring; /* position of the ring buffer's reader */
    struct iol_posted_sums total[2][IOL_ABI_ROUTE_SLOTS];
    __u64 lost[IOL_LOST_PLACES];
    __u64 ignored_ops; /* sums over `threads` */
    __u64 ignored_bytes;
    __u64 untold_ignored_ops; /* left out, and in no row of `recording` yet */
    __u64 untold_ignored_bytes;
    __u64 untold_excluded_ops;
    __u64 untold_excluded_bytes;
};

enum iol_posted_state {
    IOL_POSTED_FREE, /* on the stack of free slots, or handed out again since */
    IOL_POSTED_USED,
    IOL_POSTED_RELEASED, /* to be put on the stack: once this is safe */
    IOL_POSTED_PUSHING,  /* on its way there: one that is found so may be there or not, and is left alone */
};

/* Value of the mmapable map `posted`: what of the slot with the same index is in the books. */
struct iol_posted {
    struct iol_posted_sums sums[2];
    __u64 last_epoch; /* with operations */
    __u64 last_ns;    /* its end */
    __u32 over_budget;
    __u32 ring_full;
    __u32 state; /* enum iol_posted_state */
    __u32 reserved;
};

/*
 * Value of the mmapable map `fold`: what a recorder adds to the counters of a closed epoch itself, from the tab of a thread. It is
 * written down as a whole before, so that the next one can end what a kill has interrupted.
 */
struct iol_fold {
    __u64 pending; /* the rest is valid, and has not been done for certain */
    __u64 place;   /* index in `threads` */
    __u64 side;    /* … of those of a thread */
    __u64 set;     /* of counters: 0 or 1 */
    __u64 slot;
    struct iol_counters counters; /* as they are to be */
};

/* Values of `known_files` (key: file key): the id of a file's row. Of `known_images` (key: image): */
enum iol_known_image_bits {
    IOL_KNOWN_ROW = 1, /* it has its row; always set */
    IOL_KNOWN_TRACED = 2,
    IOL_KNOWN_MADE_UP = 4, /* the row says that no record had come */
};

struct iol_known_image {
    __u32 pid;
    __u32 bits; /* enum iol_known_image_bits */
};
