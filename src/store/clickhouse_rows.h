// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The rows of io that a question is about, in the SQL of ClickHouse: out of io itself, or, when it is about files, out of io_by_file. By the index the
 * server finds granules in which a row may be; only where one is are columns beside the key read (PREWHERE). For src/store only.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct iol_db;
struct iol_error;

/* Conditions on f, a file, and p, a process, or NULL; times in nanoseconds or IOL_NULL. */
struct iol_ch_rows {
    const char *files, *processes;
    int64_t since, until;
    int64_t
        end; /* with `until`, in microseconds: rows that ended then or later touch no time before `until` (iol_ch_find_end()) */
    const char
        *days; /* with `processes`: "(day, host_id, process_id), ..." of rows of theirs, when that is known; or NULL */
    const char *among; /* "id, ...": of these files, in whatever order rows are read; or NULL */
    bool local;        /* of a shard, not of all */
};

/* "TABLE PREWHERE ... WHERE ...": what stands behind FROM. */
void iol_ch_put_rows(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows);

/* `end` of the rows until a time, or of all for IOL_NULL. 0 or -errno with *err. */
int iol_ch_find_end(struct iol_db *db, int64_t until, int64_t *ret_end, struct iol_error *err);

/* SELECT of what goes into `days`, up to so many. */
void iol_ch_put_days(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows, int most);

/* The parts of it. The table has the columns of io and stands in parentheses unless it is io itself: then `first` is still to be asked for. */
bool iol_ch_put_rows_table(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows);
bool iol_ch_put_rows_first(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows); /* false: it is "1" */
void iol_ch_put_rows_span(FILE *out, const struct iol_ch_rows *rows);
