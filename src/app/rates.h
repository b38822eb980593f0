// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdint.h>

struct iol_pipeline_stats;

/* How fast things went in the last interval that was posted; all zero at first, but for the start. */
struct iol_rates {
    uint64_t counted_ns, written_ns; /* boot clock: up to when the sums below are; set both to the start */
    uint64_t ops, read_bytes, write_bytes, rows;
    uint64_t postponed;
    uint64_t spooled;       /* rows in the spool */
    uint64_t drained_per_s; /* by how many they get fewer, over some intervals; 0: they do not */
    uint64_t ops_per_s, read_bytes_per_s, write_bytes_per_s, rows_per_s;
};

/* Call it when an interval was to be posted. One that was left in the kernel counts with those after it. */
void iol_rates_update(struct iol_rates *rates, const struct iol_pipeline_stats *stats, uint64_t now_ns);
