// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The tables as ClickHouse has them, out of the one table of columns (store/schema.h). A time NAME is a column NAME_us of
 * microseconds, and an alias NAME that reads as a time. Rows of facts carry the number of their batch (batch_seq), by which one that
 * is sent again is recognised. Rows of dimensions carry a `row_version`: of those with one key the highest counts.
 *
 * io is in the order of days and processes. Two tables beside it, which the server fills from each row that comes into io (materialized views), find
 * what that order does not: `io_by_file` has the rows once more, by the file, and `process_day` says on which days a process has rows. Of a batch that
 * was cut off in between its rows are put there when it comes again (clickhouse_orders.h), and such a row may be there twice: a question takes it
 * once.
 *
 * `file` has a column that the server makes, `name_key`: a number for the host, the path, the kind and the flags, which are what files are told
 * apart by. So sums are grouped without reading a text. For src/store only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "store/clickhouse.h"
#include "store/schema.h"

#define IOL_CH_SEQ "batch_seq"
#define IOL_CH_VERSION "row_version"
#define IOL_CH_BY_FILE "io_by_file"
#define IOL_CH_PROCESS_DAY "process_day"
#define IOL_CH_TOUCHED "touched" /* of ledgers that were made before IOL_CH_ORDERS */
#define IOL_CH_DAY_US INT64_C(86400000000)

/* The version of these tables: that of the contract (IOL_SCHEMA_VERSION), or one more for what only they have. */
#define IOL_CH_SCHEMA_VERSION 6
#define IOL_CH_SCHEMA_OLDEST 3
#define IOL_CH_ORDERS 5 /* brought io_by_file and process_day */
#define IOL_CH_KEYS 6   /* brought file.name_key */
#define IOL_CH_NAME_KEY "name_key"

/* The number of the day, as io is sorted by it first. */
#define IOL_CH_IO_DAY "intDiv(ts_us, toInt64(86400000000))"

/* Facts of the table are in parts by the day of their first column. */
bool iol_schema_ch_by_day(const struct iol_table *table);

/* Rows that replace each other: host, process, file, ... and batch. */
bool iol_schema_ch_replaces(const struct iol_table *table);

/* "id, host_id, ts_us, ..." as an INSERT has them, with the column of ours at the end. */
void iol_schema_ch_print_columns(FILE *out, const struct iol_table *table);
void iol_schema_ch_print_columns_of(FILE *out, const struct iol_table *table,
                                    int version); /* that a ledger of the version has */

/* The type of a column that is no text, as the server tells it; to be freed, NULL: no memory. */
char *iol_schema_ch_type(const struct iol_column *column);

/* The name of the table itself: with a cluster that of a shard's part. */
const char *iol_schema_ch_local(char buf[static 64], const char *table, const struct iol_ch_layout *layout);

/* "ts_us, ..." of io_by_file as an INSERT has them, and what they are in a SELECT of rows of io. */
void iol_schema_ch_print_by_file_columns(FILE *out);
void iol_schema_ch_print_by_file_values(FILE *out);

/* The other way: "SELECT DISTINCT ..." of the columns of io, out of the table, which is io_by_file or a shard's part of it. */
void iol_schema_ch_print_by_file_rows(FILE *out, const char *table);

/* All statements, each followed by ";\\n\\n". 0 or -errno. */
int iol_schema_ch_print(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout);

/* The statement that adds a column that came later, to the table or a shard's part of it; those that make an older ledger one of our version, at last. */
int iol_schema_ch_print_column(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout,
                               const char *name, const struct iol_table *table, const struct iol_column *column);
int iol_schema_ch_print_name_key(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout,
                                 const char *name);
int iol_schema_ch_print_version(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout);
