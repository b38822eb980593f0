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

void iol_query_free(struct iol_query *query); /* accepts NULL; may end a query early */
