// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The questions of a report: aggregates over the accounts of a span of time (see ask.h), each as one query. Of `ask` they take the
 * span and the limit.
 *
 * Sums, in all of them: the six counters, how many of the operations were mappings (mmap), whose bytes are not known, and the times of
 * the first and the last operation.
 */
#include "store/ask.h"

enum { IOL_REPORT_SUMS_COLUMNS = 9 };

/* One row for each path on each host, in the order of the paths' bytes. */
enum iol_ask_report_files {
    IOL_REPORT_FILE_PATH, /* NULL: the ledger has no row for the file */
    IOL_REPORT_FILE_HOST_ID,
    IOL_REPORT_FILE_KIND,
    IOL_REPORT_FILE_FLAGS,
    IOL_REPORT_FILE_PROCESSES, /* how many images */
    IOL_REPORT_FILE_SUMS
};
int iol_ask_report_files(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                         struct iol_error *err);

/*
 * Of each path with so many bytes (read and written) at least, the `most` process images that read most, and as many that wrote
 * most; in no order of the paths, of one path the biggest last.
 */
enum iol_ask_report_pairs {
    IOL_REPORT_PAIR_PATH,
    IOL_REPORT_PAIR_HOST_ID,
    IOL_REPORT_PAIR_PROCESS_ID,
    IOL_REPORT_PAIR_SUMS
};
int iol_ask_report_pairs(struct iol_db *db, const struct iol_ask *ask, int64_t bytes, int most,
                         struct iol_query **ret_query, struct iol_error *err);

/* One row for each process image that did anything, the most bytes first. */
enum iol_ask_report_processes {
    IOL_REPORT_PROCESS_ID,
    IOL_REPORT_PROCESS_FILES, /* how many */
    IOL_REPORT_PROCESS_SUMS
};
int iol_ask_report_processes(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                             struct iol_error *err);

/* One row for each program and name, the most bytes first. */
enum iol_ask_report_programs {
    IOL_REPORT_PROGRAM_EXE,
    IOL_REPORT_PROGRAM_COMM,
    IOL_REPORT_PROGRAM_PROCESSES,
    IOL_REPORT_PROGRAM_SUMS,
    IOL_REPORT_PROGRAM_ALL = IOL_REPORT_PROGRAM_SUMS + IOL_REPORT_SUMS_COLUMNS /* rows there are without the limit */
};
int iol_ask_report_programs(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                            struct iol_error *err);

/* Images that began in the span and have no accounts at all, in the order of their start: id, and how many there are. */
int iol_ask_report_idle(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                        struct iol_error *err);

/*
 * The kernel's totals of each interval that touches the span: end, length (ms), the six counters and the mappings. The last interval may
 * have begun after the span: its length tells.
 */
enum iol_ask_report_totals { IOL_REPORT_TOTAL_TS, IOL_REPORT_TOTAL_MS, IOL_REPORT_TOTAL_COUNTERS };
int iol_ask_report_totals(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                          struct iol_error *err);
