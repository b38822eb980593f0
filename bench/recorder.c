// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "recorder.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/record_options.h"
#include "base/error.h"
#include "core/loss.h"

void recorder_fail(const struct iol_error *err)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, err->text);
    exit(1);
}

struct iol_pipeline *recorder_start(const char *db, uint32_t slots, enum iol_probe_set probes)
{
    const struct iol_pipeline_options options = {
        .db = db,
        .scope = "",
        .capture = {.max_accounts = slots,
                    .kinds = ~(1U << IOL_ABI_KIND_PIPE | 1U << IOL_ABI_KIND_SOCKET),
                    .probes = probes,
                    .events = IOL_RECORD_DEFAULT_EVENTS},
    };
    struct iol_pipeline *pipeline = NULL;
    struct iol_error err = {0};

    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    if (iol_pipeline_open(&options, &pipeline, &err) < 0 || iol_pipeline_start(pipeline, &err) < 0)
        recorder_fail(&err);
    return pipeline;
}

void recorder_post(struct iol_pipeline *pipeline)
{
    struct iol_error err = {0};

    if (iol_pipeline_post(pipeline, &err) < 0)
        recorder_fail(&err);
}

uint64_t recorder_lost(struct iol_pipeline *pipeline)
{
    struct iol_pipeline_stats stats;
    uint64_t sum = 0;

    iol_pipeline_get_stats(pipeline, &stats);
    for (size_t i = 0; i < IOL_LOST_COUNT; i++) {
        sum += stats.accounts.lost[i];
        if (stats.accounts.lost[i])
            fprintf(stderr, "%s: lost: %" PRIu64 ", %s\n", program_invocation_short_name, stats.accounts.lost[i],
                    iol_lost_reason((enum iol_lost)i));
    }
    return sum;
}

uint64_t recorder_end(struct iol_pipeline *pipeline)
{
    struct iol_error err = {0};
    uint64_t lost;

    if (iol_pipeline_stop(pipeline, true, &err) < 0 || iol_pipeline_finish(pipeline, NULL, &(uint64_t){0}, &err) < 0)
        recorder_fail(&err);
    lost = recorder_lost(pipeline);
    iol_pipeline_free(pipeline);
    return lost;
}
