/* SPDX-License-Identifier: BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* The recorder's own pipeline, for programs that end intervals themselves. What fails ends the program. */
#include <stdint.h>

#include "app/pipeline.h"

/* As `record` sets it up by default, recording already. */
struct iol_pipeline *recorder_start(const char *db, uint32_t slots, enum iol_probe_set probes);

/* Ends an interval: its rows are on their way to the database. */
void recorder_post(struct iol_pipeline *pipeline);

/* Details lost so far; the reason of each is told on stderr. */
uint64_t recorder_lost(struct iol_pipeline *pipeline);

/* All is stored, and the pipeline is no more. Returns the details lost, as recorder_lost(). */
uint64_t recorder_end(struct iol_pipeline *pipeline);

_Noreturn void recorder_fail(const struct iol_error *err);
