// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The tables as ClickHouse has them, out of the one table of columns (store/schema.h). A time NAME is a column NAME_us of
 * microseconds, and an alias NAME that reads as a time. Rows of facts carry the number of their batch (batch_seq), by which one that
 * is sent again is recognised. Rows of dimensions carry a `row_version`: of those with one key the highest counts. The table `touched` says
 * which processes have rows of io with a file, by the file; io itself is in the order of processes. For src/store only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "store/clickhouse.h"
#include "store/schema.h"

#define IOL_CH_SEQ "batch_seq"
#define IOL_CH_VERSION "row_version"
#define IOL_CH_TOUCHED "touched"
#define IOL_CH_DAY_US INT64_C(86400000000)

/* The number of the day, as io is sorted by it first. */
#define IOL_CH_IO_DAY "intDiv(ts_us, toInt64(86400000000))"

/* Facts of the table are in parts by the day of their first column. */
bool iol_schema_ch_by_day(const struct iol_table *table);

/* Rows that replace each other: host, process, file, ... and batch. */
bool iol_schema_ch_replaces(const struct iol_table *table);

/* "id, host_id, ts_us, ..." as an INSERT has them, with the column of ours at the end. */
void iol_schema_ch_print_columns(FILE *out, const struct iol_table *table);

/* The type of a column that is no text, as the server tells it; to be freed, NULL: no memory. */
char *iol_schema_ch_type(const struct iol_column *column);

/* The name of the table itself: with a cluster that of a shard's part. */
const char *iol_schema_ch_local(char buf[static 64], const char *table, const struct iol_ch_layout *layout);

/* All statements, each followed by ";\\n\\n". 0 or -errno. */
int iol_schema_ch_print(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout);
