// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Between the parts of a report. For src/app/report only. */
#include "app/report/report.h"
#include "store/ask_report.h"
#include "store/reader.h"

/* What was done to one file, or by one process image. */
struct iol_report_total {
    int64_t id;
    struct iol_report_sums sums;
    size_t place; /* of a file: which path it has, by number */
    UT_hash_handle hh;
};

struct iol_report_asking {
    struct iol_report *report;
    struct iol_db *db;
    struct iol_ask span;
    struct iol_arena *arena; /* of the totals */
    struct iol_report_total *by_file, *by_process;
    size_t n_intervals;
    iol_report_step step;
    void *data;
    uint64_t rows; /* that the database has answered with, as far as they are many */
};

/* What is asked for now, and which part of it is done (negative: not known). */
void iol_report_say(struct iol_report_asking *asking, const char *what, double part);

int iol_report_ask_times(struct iol_report_asking *asking, struct iol_error *err);
int iol_report_ask_sums(struct iol_report_asking *asking, struct iol_error *err);
int iol_report_ask_files(struct iol_report_asking *asking, struct iol_error *err);
int iol_report_ask_processes(struct iol_report_asking *asking, struct iol_error *err);

/* The sums in columns from `column` on, and first and last in the two after them. */
void iol_report_take_sums(const struct iol_query *query, size_t column, struct iol_report_sums *ret_sums);
void iol_report_add_sums(struct iol_report_sums *to, const struct iol_report_sums *more);

/* By bytes, and among equals by operations: negative when a comes first. */
int iol_report_order(const struct iol_report_sums *a, const struct iol_report_sums *b);

/* A copy in the report's arena; NULL for NULL. *ret_failed is set when there is no memory, and left alone otherwise. */
const char *iol_report_text(struct iol_report *report, const struct iol_query *query, size_t column, bool *ret_failed);

/* "(1, 2, 3)" of ids to a condition "COLUMN IN (...)"; to be freed, NULL: no memory. */
char *iol_report_condition(const char *column, const int64_t *ids, size_t n);

/* A time column; 0 for NULL. */
int64_t iol_report_time(const struct iol_query *query, size_t column);

struct iol_report_process *iol_report_process(struct iol_report *report, int64_t id, bool create);

int iol_report_no_memory(struct iol_error *err);
