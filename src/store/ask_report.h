// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The questions of a report, each as one query; whoever asks adds up. Of `ask` they take the span, and where it is said a condition
 * (see ask.h).
 *
 * Sums, in all of them: the six counters, how many of the operations were mappings (mmap), whose bytes are not known, and the times of
 * the first and the last operation in microseconds since 1970.
 */
#include "store/ask.h"

/*
 * All accounts of the span, in parts that are to be added up: a pair of process and file may come more than once, in any order.
 * A database that lies in a file is faster read as it is than sorted; one at the other end of a connection sums up first.
 */
enum iol_ask_report_parts { IOL_REPORT_PART_PROCESS_ID, IOL_REPORT_PART_FILE_ID, IOL_REPORT_PART_SUMS };
int iol_ask_report_parts(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                         struct iol_error *err);

/* All files, in the order of their paths' bytes and of hosts. */
enum iol_ask_report_files {
    IOL_REPORT_FILE_ID,
    IOL_REPORT_FILE_PATH,
    IOL_REPORT_FILE_HOST_ID,
    IOL_REPORT_FILE_KIND,
    IOL_REPORT_FILE_FLAGS,
};
int iol_ask_report_files(struct iol_db *db, struct iol_query **ret_query, struct iol_error *err);

/* All process images with their programs: id, exe, comm. */
int iol_ask_report_programs(struct iol_db *db, struct iol_query **ret_query, struct iol_error *err);

/*
 * Of each path the `most` process images that read most, and as many that wrote most; in no order of the paths, of one path the biggest
 * last. Wants `files`.
 */
enum iol_ask_report_pairs {
    IOL_REPORT_PAIR_PATH,
    IOL_REPORT_PAIR_HOST_ID,
    IOL_REPORT_PAIR_PROCESS_ID,
    IOL_REPORT_PAIR_PROCESSES, /* how many images there are for the path */
    IOL_REPORT_PAIR_SUMS
};
int iol_ask_report_pairs(struct iol_db *db, const struct iol_ask *ask, int most, struct iol_query **ret_query,
                         struct iol_error *err);

/* How many files each process used: its id, and the number. Wants `processes`. */
int iol_ask_report_file_counts(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
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
