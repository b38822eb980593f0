// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/rates.h"

#include "app/pipeline.h"

#define NS_PER_S 1e9

static uint64_t rate(uint64_t *before, uint64_t now, double seconds)
{
    double per_second = (double)(now - *before) / seconds;

    *before = now;
    return (uint64_t)(per_second + 0.5);
}

/* What is sent, less what comes: of what it was, four fifths stay in each interval, as batches come and go in groups. */
static void update_drained(struct iol_rates *rates, uint64_t spooled, double seconds)
{
    double fewer = ((double)rates->spooled - (double)spooled) / seconds, before = (double)rates->drained_per_s;

    if (rates->spooled > 0 && spooled > 0)
        fewer = before > 0 ? 0.8 * before + 0.2 * fewer : fewer;
    rates->drained_per_s = rates->spooled > 0 && fewer > 0 ? (uint64_t)fewer : 0;
    rates->spooled = spooled;
}

void iol_rates_update(struct iol_rates *rates, const struct iol_pipeline_stats *stats, uint64_t now_ns)
{
    double counted = (double)(now_ns - rates->counted_ns) / NS_PER_S;
    double written = (double)(now_ns - rates->written_ns) / NS_PER_S;

    if (written > 0) {
        update_drained(rates, stats->writer.spool.rows, written);
        rates->rows_per_s = rate(&rates->rows, stats->writer.rows, written);
        rates->written_ns = now_ns;
    }
    if (stats->postponed == rates->postponed && counted > 0) {
        rates->ops_per_s = rate(&rates->ops, stats->accounts.ops, counted);
        rates->read_bytes_per_s = rate(&rates->read_bytes, stats->accounts.read_bytes, counted);
        rates->write_bytes_per_s = rate(&rates->write_bytes, stats->accounts.write_bytes, counted);
        rates->counted_ns = now_ns;
    }
    rates->postponed = stats->postponed;
}
