// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What an answer does not know: of the time asked for, what was not recorded, and what detail was lost. */
#include <stdint.h>

struct iol_db;
struct iol_error;
struct iol_options;

/*
 * Tells it in the log, some lines at most, and nothing when everything is there. Without --since and --until what is outside all
 * recordings is not asked for; formats for programs get a note only with them. 0 or -errno with *err.
 */
int iol_coverage_tell(struct iol_db *db, const struct iol_options *options, struct iol_error *err);

/* The same for a span of one's own; `what` stands before each note, "A: ", or is empty. */
int iol_coverage_tell_span(struct iol_db *db, int64_t since, int64_t until, int64_t now, const char *what,
                           struct iol_error *err);
