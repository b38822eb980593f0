// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * `record --metrics`: what the recorder tells of itself, for Prometheus: GET /metrics over HTTP, in the text format 0.0.4.
 *
 * The server has a thread of its own, which works with a copy of the figures: whoever asks, and however slowly, never holds up
 * the recording. They are those of `status`, as of the end of the last interval.
 */
#include <stdint.h>
#include <stdio.h>

#include "app/pipeline.h"

struct iol_error;
struct iol_metrics;

#define IOL_METRICS_DEFAULT "127.0.0.1:9464"

struct iol_metrics_figures {
    struct iol_pipeline_stats stats; /* its texts live as long as the recording */
    uint64_t map_memory;
    uint64_t started_ns; /* boot clock: since when it counts */
    int64_t interval_ns;
};

/*
 * ADDRESS:PORT, PORT (of the loopback address), or [ADDRESS]:PORT for IPv6; a name in place of an address is looked up. Splits it; the
 * texts are malloc'ed. -EINVAL with *err.
 */
int iol_metrics_address(const char *text, char **ret_host, char **ret_port, struct iol_error *err);

/* Listens, and answers 503 until there are figures. On failure *err says why. */
int iol_metrics_open(const char *address, struct iol_metrics **ret_metrics, struct iol_error *err);

/* New figures; what they were before is dropped. */
void iol_metrics_set(struct iol_metrics *metrics, const struct iol_metrics_figures *figures);

/* Ends the thread, and hangs up. Accepts NULL. */
void iol_metrics_close(struct iol_metrics *metrics);

/* The page itself. */
void iol_metrics_print(const struct iol_metrics_figures *figures, FILE *to);
