// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What a recorder tells of itself: the object "status" of app/control.h. Its keys are those of `ioledger status --format
 * json`, which are described in cmd_status.c. Sizes are bytes, keys in _ms milliseconds; times are UTC, as in the tables.
 */
#include <jansson.h>
#include <stdint.h>

struct iol_pipeline_stats;
struct iol_rates;

struct iol_status_source {
    const struct iol_pipeline_stats *stats;
    const struct iol_rates *rates;
    const char *db;        /* as given: the password is left out here */
    const char *state;     /* "recording", or "ending": detached, the last rows are being written */
    uint64_t uptime_ns;    /* since it counts */
    uint64_t start_cpu_ms; /* what it had used by then */
    int64_t interval_ns;
    uint64_t map_memory; /* bytes in the kernel */
};

/* A new object, or NULL: no memory. */
json_t *iol_status_make(const struct iol_status_source *source);

/* The key of the number of losses of that kind (enum iol_lost). */
const char *iol_status_loss_key(int lost);

/* User and system time of this process so far. */
uint64_t iol_status_cpu_ms(void);

/* Resident memory of this process; 0: not known. */
uint64_t iol_status_resident_bytes(void);
