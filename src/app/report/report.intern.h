// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Between the parts of a report. For src/app/report only. */
#include "app/report/report.h"
#include "store/reader.h"

#define IOL_SUM_SQL(sum, name) "CAST(sum(" sum ") AS bigint) AS " name

#define IOL_COUNTERS_SQL(prefix)                                                                                       \
    IOL_SUM_SQL(prefix "read_ops", "read_ops")                                                                         \
    ", " IOL_SUM_SQL(prefix "read_bytes", "read_bytes") ", " IOL_SUM_SQL(                                              \
        prefix "write_ops",                                                                                            \
        "write_ops") ", " IOL_SUM_SQL(prefix "write_bytes",                                                            \
                                      "write_bytes") ", " IOL_SUM_SQL(prefix "read_errors",                            \
                                                                      "read_errors") ", " IOL_SUM_SQL(prefix           \
                                                                                                      "write_errors",  \
                                                                                                      "write_errors")

/* The sums in the order of struct iol_report_sums, of rows of io or total, and of sums of those: lists of columns. */
#define IOL_ROUTE_SUMS_SQL(prefix)                                                                                     \
    IOL_COUNTERS_SQL(prefix)                                                                                           \
    ", " IOL_SUM_SQL("CASE WHEN " prefix "route = 'mmap' THEN " prefix "read_ops + " prefix "write_ops ELSE 0 END",    \
                     "mapped")
#define IOL_SUMS_SQL(prefix) IOL_COUNTERS_SQL(prefix) ", " IOL_SUM_SQL(prefix "mapped", "mapped")

struct iol_report_asking {
    struct iol_report *report;
    struct iol_db *db;
    char *io_span, *total_span, *loss_span,
        *process_span;     /* conditions that begin with a word: " WHERE ..." or empty */
    const char *params[2]; /* of those conditions: $1 since, $2 until */
    size_t n_params;
    iol_report_step step;
    void *data;
};

int iol_report_ask_times(struct iol_report_asking *asking, struct iol_error *err);
int iol_report_ask_files(struct iol_report_asking *asking, struct iol_error *err);
int iol_report_ask_processes(struct iol_report_asking *asking, struct iol_error *err);

/* Starts a query with the parameters of the span; the SQL is made as by printf. */
int iol_report_query(struct iol_report_asking *asking, struct iol_query **ret_query, struct iol_error *err,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The sums in columns from `column` on, and first and last in the two after them. */
void iol_report_take_sums(const struct iol_query *query, size_t column, struct iol_report_sums *ret_sums);
void iol_report_add_sums(struct iol_report_sums *to, const struct iol_report_sums *more);

/* By bytes, and among equals by operations: negative when a comes first. */
int iol_report_order(const struct iol_report_sums *a, const struct iol_report_sums *b);

/* A copy in the report's arena; NULL for NULL. *ret_failed is set when there is no memory, and left alone otherwise. */
const char *iol_report_text(struct iol_report *report, const struct iol_query *query, size_t column, bool *ret_failed);

/* A time column; 0 for NULL. */
int64_t iol_report_time(const struct iol_query *query, size_t column);

struct iol_report_process *iol_report_process(struct iol_report *report, int64_t id, bool create);

int iol_report_no_memory(struct iol_error *err);
