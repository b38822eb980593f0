// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Questions to a ledger. The same SQL runs on SQLite and PostgreSQL: parameters are $1, $2, ...;
 * whatever differs between the two goes through the helpers below. Opening never creates anything; a missing database,
 * one without the ledger's schema or with a newer version is an error that says so; jsonl: is write-only and refused.
 *
 * All queries of one iol_db see the ledger as it was when it was opened, whatever is recorded meanwhile. Several may be
 * under way at once (the rows of the earlier ones are then kept in memory where the database cannot do it). Texts
 * sort by their bytes in both databases; "path = $1" and "path >= 'DIR/' AND path < 'DIR0'" use an index in both.
 * A parameter next to nothing that has a type wants a cast: CAST($1 AS bigint).
 */
#include <stdbool.h>
#include <stddef.h>

#include "store/schema.h"

struct iol_db;
struct iol_error;
struct iol_query;

int iol_db_open(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err);

/*
 * As iol_db_open(), of one host only: its name in the ledger. NULL or "all": of all. -ENOENT: the ledger has no such host. The tables
 * then have the rows of that host alone, for every query.
 */
int iol_db_open_host(const char *url, bool verbose, const char *host, struct iol_db **ret_db, struct iol_error *err);

/*
 * What the queries that follow are about. ClickHouse knows neither recursive queries nor, in older versions, a second JOIN: from such
 * a ledger the rows that a question is about are brought here, most of them added up there, and the queries run on those. So every
 * command that queries says first what it is about; it may do so again and again. On other databases this does nothing.
 */
enum iol_focus_kind {
    IOL_FOCUS_ALL,   /* every row of every table */
    IOL_FOCUS_HOSTS, /* hosts, recordings and logins: these always come along */
    IOL_FOCUS_NAMES, /* `files`, and events that change names of them */
    IOL_FOCUS_SAME,  /* `files`, and those that are the same by device and inode */
    IOL_FOCUS_ACCOUNTS, /* accounts of `files` and `processes` in the span, what else happened to the files, and all names for that */
    IOL_FOCUS_TREE,     /* `processes`, with ancestors and descendants, exits, and what they did in the span */
    IOL_FOCUS_BALANCE,  /* intervals by route, without accounts; losses */
    IOL_FOCUS_INTERVAL, /* the first or last interval of `host_id` in the span */
    IOL_FOCUS_LOSSES,   /* losses in the span, added up */
    IOL_FOCUS_FLEET,    /* totals in the span, added up for each host, and the newest batch of each boot */
};

struct iol_focus {
    enum iol_focus_kind kind;
    const char *files;         /* condition on table file f; NULL: all */
    const char *processes;     /* condition on table process p; NULL: all */
    const char *const *params; /* of the conditions: $1, $2, ... */
    size_t n_params;
    bool span;            /* since and until are given */
    int64_t since, until; /* as in iol_ask */
    int64_t host_id;
    bool first;
    bool nameless;   /* IOL_FOCUS_ACCOUNTS: without rows of files that `files` does not find */
    bool row_by_row; /* IOL_FOCUS_ACCOUNTS: rows of io as they are, not added up for each process and file */
};

int iol_db_focus(struct iol_db *db, const struct iol_focus *focus, struct iol_error *err);

/*
 * A query in the database's own SQL. Only on ClickHouse is that another language than the common one: there it runs on the server,
 * without a focus; of WITH TOTALS the last column is that of each row. With FORMAT JSONCompact at its end, which is for up to 8 columns of
 * numbers, there is one more, which says how many rows there are without the LIMIT.
 */
int iol_query_new_native(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                         struct iol_query **ret_query, struct iol_error *err);

/* Whether iol_query_new_native() speaks ClickHouse's SQL. */
bool iol_db_is_clickhouse(const struct iol_db *db);

/* " AND COLUMN = ID" for the host that was asked for, or nothing; for native queries. Valid while the database is open. */
const char *iol_db_host_condition(const struct iol_db *db);

/* ClickHouse: the name of that table for a subquery that each shard asks of itself. */
const char *iol_db_shard_table(const struct iol_db *db, const char *table, char buf[static 160]);

/* ClickHouse: the version of the ledger's tables, by which it has what store/schema_clickhouse.h says; else 0. */
int iol_db_clickhouse_version(const struct iol_db *db);

void iol_db_close(struct iol_db *db); /* accepts NULL */
enum iol_dialect iol_db_dialect(const struct iol_db *db);

/* Starts a query; the texts in params (NULL for SQL NULL) are copied. */
int iol_query_new(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                  struct iol_query **ret_query, struct iol_error *err);

/* 1: a row is there; 0: no more; -errno with *err. */
int iol_query_next(struct iol_query *query, struct iol_error *err);

size_t iol_query_columns(const struct iol_query *query);
const char *iol_query_name(const struct iol_query *query, size_t column);

/* The cell as text, NULL for SQL NULL, valid until the next call on the query. Times read as in SQLite (UTC, microseconds) on both. */
const char *iol_query_text(const struct iol_query *query, size_t column);
long long iol_query_int(const struct iol_query *query, size_t column); /* 0 for NULL */
bool iol_query_is_null(const struct iol_query *query, size_t column);

/* Of a native query: its rows once more, from the first. */
void iol_query_rewind(struct iol_query *query);

void iol_query_free(struct iol_query *query);  /* accepts NULL; may end a query early */
void iol_query_done(struct iol_query **query); /* for _cleanup_ */
