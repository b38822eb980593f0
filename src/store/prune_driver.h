// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What differs between the databases behind store/prune.h: one driver each, prune_NAME.c. For src/store only. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_error;
struct iol_prune;
struct iol_prune_result;

/* Statements of one transaction of writing. *ret_changes (may be NULL) has room for as many numbers: rows that each changed. */
struct iol_prune_step {
    const char *const *sql;
    size_t n;
    uint64_t *ret_changes;
};

struct iol_prune_ops {
    const char *io;        /* the table to look at for references to files and processes: io, or what it is a view of */
    unsigned int per_step; /* rows of files and processes in one transaction */
    int (*open)(const char *url, bool verbose, struct iol_prune **ret_prune, struct iol_error *err);

    /* SQL that changes nothing but temporary tables, and one that yields a number, or a text (to be freed; NULL for SQL NULL). */
    int (*execute)(struct iol_prune *prune, const char *sql, struct iol_error *err);
    int (*text)(struct iol_prune *prune, const char *sql, char **ret_text, struct iol_error *err);

    /* One transaction, during which no recorder commits; afterwards recorders get their turn. Tried again while others hold locks. */
    int (*step)(struct iol_prune *prune, const struct iol_prune_step *step, struct iol_error *err);

    /* Deletes io, event and total from before that time (as it is written in SQL), and fills the candidates. */
    int (*delete_facts)(struct iol_prune *prune, const char *before, struct iol_error *err);
    int (*give_back)(struct iol_prune *prune, struct iol_error *err); /* what is free, to the filesystem; or NULL */
    int (*size)(struct iol_prune *prune, uint64_t *ret_bytes, struct iol_error *err); /* of the whole ledger */
    void (*close)(struct iol_prune *prune);                                           /* accepts NULL */
};

/* First member of every driver's own struct. */
struct iol_prune {
    const struct iol_prune_ops *ops;
    struct iol_prune_result *result;
    const struct iol_prune_options *options;
    struct iol_prune_progress progress;
    int64_t first_s; /* the time from which on facts are deleted, seconds since 1970; 0: not known yet */
};

extern const struct iol_prune_ops iol_prune_sqlite_ops, iol_prune_postgres_ops;

/* All of it: a database that drops days whole has its own way. As iol_prune(). */
struct iol_prune_options;
int iol_prune_clickhouse(const char *url, const struct iol_prune_options *options, struct iol_prune_result *ret_result,
                         struct iol_error *err);

/* What comes now; and which part of it is done: as such, or as the time ("2026-11-25" or longer) before which facts are gone. */
void iol_prune_begin(struct iol_prune *prune, const char *doing);
void iol_prune_reached(struct iol_prune *prune, double part);
void iol_prune_reached_time(struct iol_prune *prune, const char *time);

/* Counts a transaction that began at `began_ns` by iol_monotonic_ns(). */
void iol_prune_count_step(struct iol_prune *prune, uint64_t began_ns);
