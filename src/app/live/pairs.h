// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What each process has done to each file in the last interval and in the last minute. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/live/history.h"

struct iol_batch;
struct iol_live_names;
struct iol_live_pairs;

struct iol_live_counts {
    uint64_t read_ops, read_bytes, write_ops, write_bytes, errors;
};

struct iol_live_pair {
    struct iol_live_process *process;
    struct iol_live_file *file;
    struct iol_live_counts counts; /* of the interval `serial` */
    struct iol_live_counts total;  /* since it was met */
    uint32_t serial;               /* the newest interval with operations */
    struct iol_history history;    /* rates a second */
};

struct iol_live_interval {
    uint32_t serial;               /* from 1; 0: none has ended yet */
    uint32_t second;               /* in which it ended: boot clock, and a minute */
    int64_t ts, ms;                /* its end, wall clock; its length, at least 1 */
    struct iol_live_counts totals; /* as the kernel counts them apart from the accounts */
};

struct iol_live_pairs *iol_live_pairs_new(struct iol_live_names *names); /* NULL: no memory */
void iol_live_pairs_free(struct iol_live_pairs *pairs);                  /* accepts NULL; before the names */

/*
 * Takes in an interval, whose names have been taken already; `boot_ns` is when it ended, `ts` the same by the wall clock,
 * and `ns` how long it was. Pairs without an operation for a minute are dropped, unless there are few enough to keep. 0 or -ENOMEM.
 */
int iol_live_pairs_take(struct iol_live_pairs *pairs, const struct iol_batch *batch, uint64_t boot_ns, int64_t ts,
                        uint64_t ns);

/* Keeps idle pairs too, as long as there are at most so many. What is dropped all the same is added up. */
void iol_live_pairs_keep(struct iol_live_pairs *pairs, size_t most);
struct iol_live_counts iol_live_pairs_dropped(const struct iol_live_pairs *pairs);

const struct iol_live_interval *iol_live_pairs_interval(const struct iol_live_pairs *pairs);

/* All of them, in no order; until the next take. */
struct iol_live_pair *iol_live_pairs_all(struct iol_live_pairs *pairs, size_t *ret_n);

/* That one will be looked at soon: pairs are too far apart for the CPU to look ahead by itself. */
#define IOL_LIVE_PAIRS_AHEAD 8
void iol_live_pair_expect(const struct iol_live_pairs *pairs, size_t index);

/* Its counts if it was used in this interval, else zeros. */
struct iol_live_counts iol_live_pair_counts(const struct iol_live_pair *pair, const struct iol_live_interval *interval);

/* Without an operation for a minute. */
bool iol_live_pair_is_idle(const struct iol_live_pair *pair, const struct iol_live_interval *interval);

void iol_live_counts_add(struct iol_live_counts *sum, const struct iol_live_counts *one);
