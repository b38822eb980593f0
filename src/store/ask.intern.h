// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Parts of statements, for ask_*.c only. */
#include "store/ask.h"
#include "store/reader.h"
#include "store/sql.h"

/* A statement in the making. */
struct iol_ask_text {
    FILE *out;
    char *sql;
    size_t size;
    enum iol_dialect dialect;
    const struct iol_sql *d;
};

/* -ENOMEM with *err when there is no memory. */
int iol_ask_begin(struct iol_ask_text *text, struct iol_db *db, struct iol_error *err);

/* Runs what has been put, and frees it. */
int iol_ask_run(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                struct iol_error *err);

/* The same in the database's own SQL. */
int iol_ask_run_native(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask,
                       struct iol_query **ret_query, struct iol_error *err);

int iol_ask_files_clickhouse(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                             struct iol_error *err);

/* For _cleanup_. */
void iol_ask_done(struct iol_ask_text *text);

/* ", CAST(sum(a.read_ops) AS bigint), ..." of all six counters of table `of`. */
void iol_ask_put_sums(struct iol_ask_text *text, const char *of);

/* Two account times, as they are shown. */
void iol_ask_put_shown_times(struct iol_ask_text *text, const char *first, const char *last);

/* " LIMIT N", or nothing. */
void iol_ask_put_limit(struct iol_ask_text *text, const struct iol_ask *ask);

/* Names for the ids of table `a`: process p, host h, login l. */
void iol_ask_put_process_names(struct iol_ask_text *text);

#define IOL_ASK_PAIRS "process_id, file_id"

/*
 * "(SELECT ...) a": the accounts summed up by `key`, IOL_ASK_PAIRS or one of the two: the key, first and last (account times), the
 * counters, and execs. `execs`: executions count too. 0, or -errno with *err.
 */
int iol_ask_put_sums_by(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, const char *key,
                        bool execs, struct iol_error *err);

/*
 * A SELECT of the single accounts of the condition: process_id, file_id, first, last, the counters and execs; with `files` also path and
 * host_id; and what `more` says. `end_until` bounds the ends of intervals, IOL_NULL: not at all.
 */
void iol_ask_put_accounts(struct iol_ask_text *text, const struct iol_ask *ask, int64_t end_until, const char *more);

/* Such that no interval that ends at it or later began before `until`. 0, or -errno with *err. */
int iol_ask_last_end(struct iol_db *db, const struct iol_ask *ask, int64_t *ret_end, struct iol_error *err);

/* " AND ..." for an event e in the span. */
void iol_ask_put_event_span(struct iol_ask_text *text, const struct iol_ask *ask);
