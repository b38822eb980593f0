// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app/pipeline.h"

struct iol_rates;

/* What a recording tells the person at the keyboard, on stderr: a line that lives, and a summary at the end. */
struct iol_progress {
    bool live; /* stderr is a terminal that nobody else writes to */
    uint64_t started_ns;
    bool shown;
    bool was_down;
    bool spool_failed;
    bool refused; /* rows, by the database, and that was told */
    bool merges;  /* the spool is full, and that was told */
    uint64_t sweeps;
};

/* Rewrites the live line; warns, on any stderr, when the database goes away and when it is back. */
void iol_progress_show(struct iol_progress *progress, const struct iol_pipeline_stats *stats,
                       const struct iol_rates *rates);

/* The live line itself, for a terminal of so many columns: never longer, and nothing in it that a terminal would obey. */
#define IOL_PROGRESS_COLUMNS_MAX 240
#define IOL_PROGRESS_LINE_MAX (4 * IOL_PROGRESS_COLUMNS_MAX)
char *iol_progress_line(char buf[IOL_PROGRESS_LINE_MAX], size_t columns, const struct iol_pipeline_stats *stats,
                        const struct iol_rates *rates, int64_t elapsed_ns, int64_t wall_ns);

/* With --verbose: what the recorder holds, and how much memory it took. */
void iol_progress_memory(const struct iol_pipeline_stats *stats, uint64_t map_memory);
void iol_progress_clear(struct iol_progress *progress);
void iol_progress_summary(const struct iol_progress *progress, const struct iol_pipeline_stats *stats, const char *db);
