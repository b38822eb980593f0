// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* SQL that the drivers need and that follows from the column table. For src/store only. */
#include <stdint.h>
#include <stdio.h>

#include "store/schema.h"

/* PRAGMA application_id of an SQLite ledger: "iold". */
#define IOL_SQLITE_APPLICATION_ID 0x696f6c64

/* In an SQLite ledger io is a view of io_row and io_interval; io_row.id is io_interval.id << these bits | a number. */
#define IOL_SQLITE_ROW_BITS "20"
#define IOL_SQLITE_INTERVAL_ROWS (INT64_C(1) << 20)

/* Microseconds since 1970 of a time as text. Without the fraction: strftime() would round it. */
#define IOL_SQLITE_US(time) "(strftime('%s', substr(" time ", 1, 19)) * 1000000 + substr(" time " || '000000', 21, 6))"

/* The other way: a count of microseconds as a time of the contract, with the rounding of iol_time_text(). */
void iol_schema_print_sqlite_time(FILE *out, const char *us);

/* In a PostgreSQL ledger io is a view of this table, and this number stands in it for NULL. */
#define IOL_PG_IO_TABLE "io_row"
#define IOL_PG_IO_NULL "(-9223372036854775808)"

/* Table that holds the version of the schema, and what no other program would call a table of its own. */
#define IOL_VERSION_TABLE "ioledger_schema"

/*
 * Files that facts referred to which prune has deleted, until prune has looked whether other facts do. A recorder takes out those
 * whose rows it sends again: there will be facts.
 */
#define IOL_CANDIDATE_TABLE "pruned_file"

/* The function of a PostgreSQL ledger that makes partitions: ioledger_add_days(first day, how many). */
#define IOL_PARTITION_FUNCTION "ioledger_add_days"

/*
 * Advisory locks of PostgreSQL, numbers that are always the same. Whoever changes tables (creates the schema, adds or drops days)
 * holds the first one alone; who writes a batch shares the second one, and who deletes rows of dimensions holds it alone.
 */
#define IOL_PG_SCHEMA_LOCK "1869442404"
#define IOL_PG_PRUNE_LOCK "1869442405"

/* The views, NULL-terminated. */
extern const char *const iol_schema_views[];

/* The whole DDL in memory (to be freed), or NULL when there is none. */
char *iol_schema_ddl(enum iol_dialect dialect);
char *iol_schema_citus_ddl(bool distribute);

/* "VALUES ($1, $2), ($3, $4)" */
void iol_schema_print_values(FILE *out, size_t columns, size_t rows);

/*
 * SQLite's INSERT of so many rows, with the placeholders in the order of the columns, doing for a row that is already there what the
 * table's mode says. Anything else that is wrong with a row ends the transaction, so that SQLite need not copy each page that
 * the statement changes, in order to undo the statement alone. To be freed; NULL when there is no memory.
 */
char *iol_schema_insert(const struct iol_table *table, size_t rows);

/* "a, b, c": to be freed; NULL when there is no memory. */
char *iol_schema_column_list(const struct iol_table *table);

/* SELECT of every column that the table has in this version, no rows: fails unless they are there. To be freed; NULL: no memory. */
char *iol_schema_probe(const struct iol_table *table, int version);

/* io: what it is a view of, the view, and what it takes to write to it by hand; without indexes. */
void iol_schema_print_io(FILE *out, enum iol_dialect dialect);
void iol_schema_print_io_by_host(FILE *out, bool distribute); /* PostgreSQL; it cannot be written to by hand */

/* Distributes a table by host, if that is wanted; host itself is copied everywhere. */
void iol_schema_print_distribute(FILE *out, const char *table, bool distribute);

/* The columns of IOL_PG_IO_TABLE, the wide ones at the end, or without these. */
void iol_schema_print_io_columns(FILE *out, bool big);
bool iol_schema_io_is_narrow(const struct iol_column *column); /* of io: it has a narrow column and a wide one there */
void iol_schema_print_io_copy(FILE *out);

/*
 * What makes a ledger of an older version, IOL_SCHEMA_OLDEST at least, one of this version, for whoever has opened a transaction. To be freed;
 * NULL: no memory.
 */
char *iol_schema_upgrade(enum iol_dialect dialect, int version);

/*
 * " ON CONFLICT ...", or nothing for facts. `by_host`: in a PostgreSQL ledger whose keys have the host in them (iol_schema_print_citus()),
 * as those of a table that is distributed by it must.
 */
void iol_schema_print_conflict(FILE *out, const struct iol_table *table, bool by_host);

/* The key's columns joined by ", ". */
void iol_schema_print_key(FILE *out, const struct iol_table *table, bool by_host);

/* Whether the key has no host_id, and gets one with `by_host`. */
bool iol_schema_lacks_host(const struct iol_table *table);

/* The members of a row. */
static inline int64_t iol_row_int(const void *row, const struct iol_column *column)
{
    return *(const int64_t *)(const void *)((const char *)row + column->offset);
}

static inline const char *iol_row_text(const void *row, const struct iol_column *column)
{
    return *(const char *const *)(const void *)((const char *)row + column->offset);
}
