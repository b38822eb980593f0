// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Deletes what is older than a moment, while recorders go on writing. Everything is done in small transactions, and may be broken off
 * between any two of them: a later call goes on.
 *
 * An interval goes with all its rows of io and total at once, so the books of what is left balance at any time. Then go the rows of
 * files and processes that nothing refers to any more, but none that a recorder believes to be stored: those of processes
 * that may still run, and of files that it may still refer to (core/model.h, IOL_MODEL_IDLE_NS).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/row.h"

struct iol_error;

/* How far it is. */
struct iol_prune_progress {
    const char *doing; /* "deleting rows of io"; a string that stays */
    uint64_t rows;     /* deleted so far, of all tables */
    double part;       /* of what is being done, 0 to 1; negative: not known */
};

struct iol_prune_options {
    int64_t before; /* ns since the epoch: facts of earlier times go */
    bool dry_run;   /* only count */
    bool verbose;   /* let the database's own messages through to stderr */

    void (*progress)(void *arg, const struct iol_prune_progress *progress); /* after each step; may be NULL */
    void *arg;
};

struct iol_prune_result {
    uint64_t rows[IOL_TABLE_COUNT]; /* deleted */
    uint64_t days;                  /* of them, so many went whole, as partitions of io (PostgreSQL) */
    uint64_t steps;                 /* transactions */
    uint64_t longest_ns;            /* of them: a recorder may have waited so long */
    uint64_t bytes_before, bytes_after;
    char left_alone[256]; /* names of hosts whose files and processes stay, as their recorder may need them */
};

/*
 * ClickHouse: days that are over before the moment go whole, and with them the facts only; that of the moment stays.
 *
 * 0 or -errno with *err: -EBUSY another prune runs, -EAGAIN the database is locked by somebody else for long.
 */
int iol_prune(const char *url, const struct iol_prune_options *options, struct iol_prune_result *ret_result,
              struct iol_error *err);
