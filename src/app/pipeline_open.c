// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Sets a recording up: database, spool, kernel side, model and accounts. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "app/pin_place.h"
#include "app/pipeline.intern.h"
#include "app/resume.h"
#include "app/spool_place.h"
#include "base/clock.h"
#include "base/log.h"
#include "core/batch.h"
#include "store/sink.h"
#include "store/spool.h"

#define GIVE_UP_MS 30000
#define PATIENCE_MS 5000            /* with programs that want all CPUs, before rows are written all the same */
#define GIVE_UP_SPOOLED_MS 2000     /* nothing is lost that way */
#define PIN_SPOOL_BYTES (1UL << 30) /* when nothing else is said */
#define MAX_IDLE_FILES 65536
#define MAX_NAMES 65536

/* Only who sees every change of a name may say which file it means. */
static bool sees_all_changes(const struct iol_capture *capture)
{
    return !iol_capture_filters(capture) &&
           (iol_capture_events(capture) & IOL_MODEL_TREE_EVENTS) == IOL_MODEL_TREE_EVENTS;
}

static int open_core(struct iol_pipeline *pipeline, const struct iol_pipeline_options *options)
{
    struct iol_account_kernel kernel;
    struct iol_model_options model = {
        .host_id = pipeline->host.id,
        .boot_id = pipeline->host.boot_id,
        .all = !iol_capture_filters(pipeline->capture),
        .running_ancestors = !options->capture.command,
        .max_idle_files = MAX_IDLE_FILES,
        .max_names = sees_all_changes(pipeline->capture) ? MAX_NAMES : 0,
        .journal = pipeline->resume ? iol_resume_journal(pipeline->resume) : NULL,
    };

    iol_epoch_kernel(pipeline->capture, &kernel);
    kernel.keeps_books = pipeline->resume != NULL;
    pipeline->max_ended = iol_epoch_max_ended(kernel.n_slots);
    if (pipeline->resume)
        model.epoch = pipeline->epoch = iol_resume_epoch(pipeline->resume, &model.epoch_ns);
    pipeline->model = iol_model_new(&model);
    pipeline->batch = iol_batch_new();
    if (!pipeline->model || !pipeline->batch)
        return -ENOMEM;
    return iol_accounts_new(&kernel, pipeline->host.id, &pipeline->accounts);
}

static int open_recording(struct iol_pipeline *pipeline, const struct iol_pipeline_options *options)
{
    const uint64_t ns_per_ms = 1000000;
    uint64_t boot_ns = iol_boot_ns();
    const char *why;

    pipeline->scope = strdup(options->scope);
    if (!pipeline->scope)
        return -ENOMEM;
    /* sequence numbers of two recordings of one boot never meet: they start with the millisecond */
    pipeline->seq = boot_ns / ns_per_ms << 20;
    if (pipeline->resume)
        pipeline->seq = iol_resume_next_seq(pipeline->resume, pipeline->seq);
    pipeline->recording = (struct iol_recording){
        .id = (int64_t)XXH64(&boot_ns, sizeof(boot_ns), (uint64_t)pipeline->host.id),
        .host_id = pipeline->host.id,
        .started = iol_wall_ns(),
        .ended = IOL_NULL,
        .version = IOL_VERSION,
        .probes = iol_pipeline_probes(pipeline, &why),
    };
    pipeline->posted_ts = pipeline->stored_ts = pipeline->recording.started;
    return 0;
}

/*
 * A recording goes on without the usual spool, as it would in memory; not without one that was asked for, nor with pins, whose books are
 * kept there.
 */
static int open_spool(struct iol_pipeline *pipeline, const struct iol_pipeline_options *options,
                      struct iol_capture_pin *pin, struct iol_error *err)
{
    const struct iol_spool_options spool = {.max_bytes = options->spool_max ? options->spool_max : PIN_SPOOL_BYTES,
                                            .sync = options->spool_sync};
    int r;

    if (pin) {
        pipeline->books = strdup(pin->books);
        if (!pipeline->books)
            return iol_error_set(err, -ENOMEM, "out of memory");
        return iol_pin_place_open(pin, options->spool, &spool, &pipeline->spool, err);
    }
    r = iol_spool_place_open(options->db, options->spool, &spool, &pipeline->spool, err);

    if (r == 0 || options->spool)
        return r;
    iol_log_warning("rows that wait for the database are kept in memory only: %s", err->text);
    *err = (struct iol_error){0};
    return 0;
}

/*
 * Whether a database that is away at the start may come later: it has been there before, as rows wait for it, or a spool was
 * asked for. Else its name may be a mistake, and who made it wants to hear of it now.
 */
static bool may_come_later(const struct iol_pipeline *pipeline, const struct iol_pipeline_options *options)
{
    struct iol_spool_stats stats;

    if (!pipeline->spool)
        return false;
    iol_spool_get_stats(pipeline->spool, &stats);
    return options->spool || stats.entries > 0 || iol_spool_last(pipeline->spool);
}

static int open_sink(struct iol_pipeline *pipeline, const struct iol_pipeline_options *options, struct iol_error *err)
{
    const struct iol_sink_options sink = {.verbose = options->verbose};
    int r = iol_sink_open(options->db, &sink, &pipeline->sink, err);

    if (r == 0)
        pipeline->excluded = iol_sink_server_pid(pipeline->sink);
    if (r != -EAGAIN)
        return r;
    if (!may_come_later(pipeline, options)) {
        struct iol_error why = *err;
        return pipeline->spool
                   ? iol_error_set(err, r, "%s (with --spool DIR a recording begins all the same)", why.text)
                   : r;
    }
    pipeline->away = *err;
    pipeline->excluded = -1;
    r = iol_sink_open_late(options->db, &sink, &pipeline->sink);
    return r < 0 ? iol_error_set(err, r, "out of memory") : 0;
}

static int open_pipeline(struct iol_pipeline *pipeline, const struct iol_pipeline_options *options,
                         struct iol_error *err)
{
    struct iol_writer_options writer = {
        .max_bytes = IOL_PIPELINE_QUEUE_BYTES, .give_up_after_ms = GIVE_UP_MS, .patience_ms = PATIENCE_MS};
    struct iol_capture_options capture = options->capture;
    struct iol_capture_pin pin;
    int r = iol_host_read(&pipeline->host, err);

    if (r == 0 && capture.pin) {
        pin = *capture.pin;
        capture.pin = &pin;
    }
    if (r == 0)
        r = open_spool(pipeline, options, options->capture.pin ? &pin : NULL, err);
    if (r < 0)
        return r;
    r = open_sink(pipeline, options, err);
    if (r < 0) {
        if (options->capture.pin)
            close(pin.lock);
        return r;
    }
    capture.excluded = pipeline->excluded;
    r = iol_capture_open(&capture, &pipeline->capture, err);
    if (r < 0)
        return r;
    if (pipeline->books) {
        r = iol_resume_new(pipeline->capture, iol_spool_last(pipeline->spool), pipeline->host.id,
                           pipeline->host.boot_id, &pipeline->resume, err);
        if (r < 0)
            return r;
    }
    writer.spool = pipeline->spool;
    writer.spool_only = pipeline->resume != NULL;
    if (pipeline->spool)
        writer.give_up_after_ms = GIVE_UP_SPOOLED_MS;
    r = open_core(pipeline, options);
    if (r == 0)
        r = open_recording(pipeline, options);
    if (r == 0)
        r = iol_writer_new(pipeline->sink, &writer, &pipeline->writer);
    return r < 0 ? iol_error_set(err, r, "cannot start recording: %s", strerror(-r)) : 0;
}

const char *iol_pipeline_away(const struct iol_pipeline *pipeline)
{
    return pipeline->away.text[0] ? pipeline->away.text : NULL;
}

int iol_pipeline_check(bool verbose, struct iol_error *err)
{
    iol_capture_set_verbose(verbose);
    return iol_capture_allowed(err);
}

int iol_pipeline_open(const struct iol_pipeline_options *options, struct iol_pipeline **ret_pipeline,
                      struct iol_error *err)
{
    struct iol_pipeline *pipeline = calloc(1, sizeof(*pipeline));
    int r;

    if (!pipeline)
        return iol_error_set(err, -ENOMEM, "out of memory");
    r = open_pipeline(pipeline, options, err);
    if (r < 0) {
        iol_pipeline_free(pipeline);
        return r;
    }
    *ret_pipeline = pipeline;
    return 0;
}
