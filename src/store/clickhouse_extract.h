// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Rows of a ClickHouse ledger in an SQLite ledger of their own, which lives in memory or a temporary folder for as long as the
 * extract does: they come as rows of core/row.h and go through the SQLite sink. Of names each row comes once. For src/store only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/schema.h"

struct iol_ch;
struct iol_db;
struct iol_error;
struct iol_extract;

int iol_extract_new(struct iol_ch *ch, int version, struct iol_extract **ret_extract,
                    struct iol_error *err);         /* `version`: of the ledger */
void iol_extract_free(struct iol_extract *extract); /* accepts NULL */

/* Which rows of a table: SQL of ClickHouse, NULL: all. */
struct iol_extract_rows {
    const char *from; /* what has the table's columns, in its place; NULL: the table */
    const char
        *first; /* a condition on few bytes of a row that few rows meet: the rest is read of those only (PREWHERE) */
    const char *where;
    const int64_t *ids; /* a temporary table `ids` for the conditions; NULL: none */
    size_t n_ids;
};

/* Brings rows of the table. Rows of events that were brought before do not come again. */
int iol_extract_table(struct iol_extract *extract, enum iol_table_id table, const struct iol_extract_rows *rows,
                      struct iol_error *err);

/* The same for rows that a SELECT makes up: its columns are those of the table, times as microseconds, words as numbers. */
int iol_extract_select(struct iol_extract *extract, enum iol_table_id table, const char *sql, const int64_t *ids,
                       size_t n_ids, struct iol_error *err);

/* Between the two calls rows gather in memory: for a whole ledger, its own rows of batch included. */
void iol_extract_hold(struct iol_extract *extract);
int iol_extract_release(struct iol_extract *extract, struct iol_error *err);

/* Ids of processes and files that the rows so far refer to (of processes, their parents too) and that were neither told nor brought before. */
size_t iol_extract_wanted(struct iol_extract *extract, enum iol_table_id table, const int64_t **ret_ids);

/* All ids of them that were met. */
size_t iol_extract_met(const struct iol_extract *extract, enum iol_table_id table, const int64_t **ret_ids);

/* What has been brought so far, as a ledger: open until the next iol_extract_... call that brings something, and longer. */
int iol_extract_db(struct iol_extract *extract, struct iol_db **ret_db, struct iol_error *err);
