// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/pin_place.h"
#include "app/pipeline.intern.h"
#include "app/resume.h"
#include "base/arena.h"
#include "base/clock.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/loss.h"
#include "store/sink.h"
#include "store/spool.h"

#define SPOOL_PATIENCE_MS 1000 /* with pins, for the batch before: in this time the kernel goes on by itself */
#define LAST_PATIENCE_MS 30000 /* … and at the end */
#define BATCH_ROWS 20000       /* records alone send a batch off when they have made this many rows */
#define BATCH_BYTES (8UL << 20)

/*
 * A queue that is full takes no more intervals, and a good deal later no more records either: then exits and names are
 * lost, which the ring buffer counts, and the next sweep makes up for what it can.
 */
#define QUEUE_RECORDS_BYTES (IOL_PIPELINE_QUEUE_BYTES + (64UL << 20))

static const char *into_batch(struct iol_batch *batch, const char *text)
{
    return iol_arena_dup(batch->arena, text, strlen(text));
}

static int add_recording(struct iol_pipeline *pipeline)
{
    struct iol_recording *row = iol_batch_add(pipeline->batch, IOL_TABLE_RECORDING);

    if (!row)
        return -ENOMEM;
    *row = pipeline->recording;
    row->scope = into_batch(pipeline->batch, pipeline->scope);
    row->boot_id = into_batch(pipeline->batch, pipeline->host.boot_id);
    return row->scope && row->boot_id ? 0 : -ENOMEM;
}

static int add_host(struct iol_pipeline *pipeline)
{
    struct iol_host *row = iol_batch_add(pipeline->batch, IOL_TABLE_HOST);

    if (!row)
        return -ENOMEM;
    row->id = pipeline->host.id;
    row->name = into_batch(pipeline->batch, pipeline->host.name);
    row->machine_id = into_batch(pipeline->batch, pipeline->host.machine_id);
    row->boot_id = into_batch(pipeline->batch, pipeline->host.boot_id);
    row->kernel = into_batch(pipeline->batch, pipeline->host.kernel);
    row->seen = iol_wall_ns();
    return 0;
}

/*
 * With pins the books follow one batch at a time: 1: the last one is in the spool, and in them; 0: not yet, after timeout_ms; or
 * -errno.
 */
static int settle(struct iol_pipeline *pipeline, int timeout_ms)
{
    int r;

    if (!pipeline->resume || !iol_resume_is_sealed(pipeline->resume))
        return 1;
    if (!iol_writer_spooled(pipeline->writer, timeout_ms))
        return 0;
    r = iol_resume_commit(pipeline->resume);
    return r < 0 ? r : 1;
}

static int hand_over(struct iol_pipeline *pipeline, struct iol_batch *batch, uint64_t seq)
{
    int r = pipeline->resume ? iol_resume_seal(pipeline->resume, pipeline->accounts, batch, seq) : 0;

    iol_writer_put(pipeline->writer, batch);
    iol_accounts_settle(pipeline->accounts);
    return r;
}

/*
 * Gives the batch its identity and hands it over; the next one is empty. Nothing is sent when there is nothing; nor when with pins
 * the spool has not taken the one before, after timeout_ms: then more comes together in this one.
 */
static int send_batch(struct iol_pipeline *pipeline, int timeout_ms)
{
    struct iol_batch *batch = pipeline->batch, *next;
    struct iol_batch_row *row;
    int r = settle(pipeline, timeout_ms);

    if (r <= 0)
        return r;
    if (iol_batch_count(pipeline->batch) == 0) {
        r = pipeline->resume ? iol_resume_commit_nothing(pipeline->resume, pipeline->accounts) : 0;
        iol_accounts_settle(pipeline->accounts); /* an interval without rows gives slots back too */
        return r;
    }
    next = iol_batch_new();
    row = next ? iol_batch_add(pipeline->batch, IOL_TABLE_BATCH) : NULL;
    if (!row) {
        iol_batch_free(next);
        return -ENOMEM;
    }
    row->host_id = pipeline->host.id;
    row->boot_id = into_batch(pipeline->batch, pipeline->host.boot_id);
    row->seq = (int64_t)pipeline->seq;
    row->ts = iol_wall_ns();
    pipeline->batch = next;
    return hand_over(pipeline, batch, pipeline->seq++);
}

/* Big rows come in small numbers: an argument list alone may have 64 kB. */
static bool batch_is_big(const struct iol_batch *batch)
{
    return iol_batch_count(batch) >= BATCH_ROWS || iol_batch_memory(batch) >= BATCH_BYTES;
}

static bool wants_sending(const struct iol_pipeline *pipeline)
{
    return batch_is_big(pipeline->batch) || (pipeline->resume && iol_resume_wants_batch(pipeline->resume));
}

static void take_record(void *arg, const void *data, size_t size)
{
    struct iol_pipeline *pipeline = arg;
    struct iol_decoded decoded;
    int r;

    if (iol_decode_record(data, size, &decoded) < 0) {
        pipeline->bad_records++;
        return;
    }
    r = iol_model_post(pipeline->model, &decoded, pipeline->batch);
    if (r == 0 && wants_sending(pipeline))
        r = send_batch(pipeline, 0);
    if (r < 0)
        pipeline->failed = r;
}

static int check(const struct iol_pipeline *pipeline, int r, struct iol_error *err)
{
    if (r == 0)
        r = pipeline->failed;
    return r < 0 ? iol_error_set(err, r, "the recording broke off: %s", strerror(-r)) : 0;
}

const char *iol_pipeline_probes(const struct iol_pipeline *pipeline, const char **ret_why)
{
    return iol_capture_probes(pipeline->capture, ret_why) == IOL_PROBES_FEXIT ? "fexit" : "tracepoint";
}

const char *iol_pipeline_uncovered(const struct iol_pipeline *pipeline, size_t i)
{
    return iol_capture_uncovered(pipeline->capture, i);
}

/* How much is not known: one row says for the whole recording that the books lack it. */
static int add_uncovered_route(struct iol_pipeline *pipeline, const char *route)
{
    char reason[64];
    struct iol_loss *row = iol_batch_add(pipeline->batch, IOL_TABLE_LOSS);

    if (!row)
        return -ENOMEM;
    snprintf(reason, sizeof(reason), IOL_LOSS_ROUTE_REASON "%s", route);
    *row = (struct iol_loss){
        .ts_from = pipeline->recording.started,
        .ts_to = pipeline->recording.started,
        .host_id = pipeline->host.id,
        .reason = into_batch(pipeline->batch, reason),
        .lost = 1,
    };
    return row->reason ? 0 : -ENOMEM;
}

/* Once the hooks are attached: then it is known which of them could not be. */
static int add_uncovered(struct iol_pipeline *pipeline)
{
    const char *route;
    int r = 0;

    for (size_t i = 0; r == 0 && (route = iol_pipeline_uncovered(pipeline, i)); i++)
        r = add_uncovered_route(pipeline, route);
    return r;
}

bool iol_pipeline_crowded(const struct iol_pipeline *pipeline)
{
    struct iol_model_stats stats;

    iol_model_get_stats(pipeline->model, &stats);
    return stats.ended_in_epoch >= pipeline->max_ended;
}

/* Whether records stay on the ring buffer, because neither the queue nor the model can take any more. */
static bool holds_back(const struct iol_pipeline *pipeline)
{
    struct iol_writer_stats stats;

    iol_writer_get_stats(pipeline->writer, &stats);
    return stats.queued_bytes > QUEUE_RECORDS_BYTES || iol_batch_memory(pipeline->batch) > IOL_PIPELINE_QUEUE_BYTES ||
           (stats.queued_bytes > IOL_PIPELINE_QUEUE_BYTES && iol_pipeline_crowded(pipeline));
}

int iol_pipeline_fd(const struct iol_pipeline *pipeline)
{
    return holds_back(pipeline) ? -1 : iol_capture_fd(pipeline->capture);
}

int iol_pipeline_step(struct iol_pipeline *pipeline, struct iol_error *err)
{
    iol_naps_look(&pipeline->naps);
    if (holds_back(pipeline))
        return check(pipeline, 0, err);
    iol_model_set_boot_offset(pipeline->model, iol_host_boot_offset());
    return check(pipeline, iol_capture_poll(pipeline->capture, 0, take_record, pipeline), err);
}

/* Compares the model with the processes that run, whatever it knows of them. */
static int compare(struct iol_pipeline *pipeline)
{
    return iol_sweep_run(&pipeline->swept, pipeline->capture, pipeline->model, &pipeline->batch, take_record, pipeline);
}

/* The same, when that is due. Before the accounts are posted, so that those of a process whose record was lost find it by its name. */
static int sweep(struct iol_pipeline *pipeline)
{
    uint64_t now = iol_boot_ns(), lost = iol_sweep_lost(pipeline->capture, pipeline->model);
    int r;

    if (lost != pipeline->swept.lost)
        iol_model_forget_names(pipeline->model); /* a change that never came may have given a name to another file */
    if (pipeline->stopped || !iol_sweep_is_due(&pipeline->swept, now, lost))
        return 0;
    r = iol_capture_poll(pipeline->capture, 0, take_record, pipeline);
    return r < 0 ? r : compare(pipeline);
}

/* Ends an epoch and posts it: first the records (processes and files must be known), then the counters. */
static int post_epoch(struct iol_pipeline *pipeline)
{
    struct iol_epoch epoch;
    int r = iol_epoch_end(pipeline->capture, pipeline->epoch + 1, &pipeline->naps, &epoch);

    if (r < 0)
        return r;
    pipeline->posted_ts = iol_wall_ns();
    pipeline->epoch++;
    iol_model_set_boot_offset(pipeline->model, iol_host_boot_offset());
    r = iol_capture_poll(pipeline->capture, 0, take_record, pipeline);
    if (r == 0)
        r = sweep(pipeline);
    if (r < 0)
        return r;
    r = iol_accounts_post(pipeline->accounts, &epoch, pipeline->model, pipeline->batch);
    if (r < 0)
        return r;
    if (pipeline->resume)
        iol_resume_posted(pipeline->resume, &epoch);
    iol_model_trim(pipeline->model, epoch.number, epoch.to_ns, iol_epoch_forget, pipeline->capture);
    return 0;
}

/* Before an interval ends: nothing waits, so all earlier ones are stored. */
static void note_stored(struct iol_pipeline *pipeline)
{
    struct iol_writer_stats stats;

    iol_writer_get_stats(pipeline->writer, &stats);
    if (stats.waiting == 0)
        pipeline->stored_ts = pipeline->posted_ts;
}

/* An interval in which nothing happened makes no batch: the newest batch alone does not tell. */
static int64_t lag(const struct iol_pipeline *pipeline, const struct iol_writer_stats *writer)
{
    int64_t stored = pipeline->stored_ts;

    if (writer->waiting == 0)
        stored = pipeline->posted_ts;
    else if (stored < writer->committed_ts)
        stored = writer->committed_ts;
    stored = iol_wall_ns() - stored;
    return stored > 0 ? stored : 0; /* the clock may have been set */
}

/* A server that has come, or come back, since: it is left out as the first one was. Should that fail, its own work is in the books. */
static void exclude_server(struct iol_pipeline *pipeline)
{
    struct iol_writer_stats stats;
    int r;

    iol_writer_get_stats(pipeline->writer, &stats);
    if (!pipeline->excluded || !stats.server_pid || stats.server_pid == pipeline->excluded || holds_back(pipeline))
        return;
    pipeline->excluded = stats.server_pid;
    r = iol_sweep_exclude(&pipeline->swept, pipeline->capture, pipeline->model, stats.server_pid, &pipeline->batch,
                          take_record, pipeline);
    if (r < 0)
        pipeline->failed = r;
}

/*
 * What was counted while nobody posted, in both sets of counters, and what became of the processes meanwhile. All of it has happened
 * since the last epoch that was posted.
 */
static int catch_up(struct iol_pipeline *pipeline)
{
    const struct iol_clock_pair from = iol_capture_epoch_start(pipeline->capture);
    int r = compare(
        pipeline); /* before the ring buffer is read: what a fork has inherited is known of living parents only */

    for (int set = 0; r == 0 && set < 2; set++) {
        iol_capture_set_epoch_start(pipeline->capture, &from);
        r = post_epoch(pipeline);
        if (set == 0)
            iol_resume_begin(pipeline->resume, &from); /* for who goes on when this one dies between the two */
        if (r == 0)
            r = send_batch(pipeline, SPOOL_PATIENCE_MS);
    }
    return r;
}

int iol_pipeline_start(struct iol_pipeline *pipeline, struct iol_error *err)
{
    struct iol_clock_pair begun;
    int r;

    iol_model_set_boot_offset(pipeline->model, iol_host_boot_offset());
    if (add_host(pipeline) < 0 || add_recording(pipeline) < 0)
        return check(pipeline, -ENOMEM, err);
    if (iol_capture_resumed(pipeline->capture) &&
        iol_resume_restore(pipeline->resume, pipeline->model, pipeline->accounts, pipeline->batch) < 0)
        return check(pipeline, -ENOMEM, err);
    r = iol_sweep_attach(&pipeline->swept, pipeline->capture, pipeline->model, &pipeline->batch, take_record, pipeline,
                         err);
    if (r < 0)
        return r;
    if (add_uncovered(pipeline) < 0)
        return check(pipeline, -ENOMEM, err);
    begun = iol_capture_epoch_start(pipeline->capture);
    if (pipeline->resume && !iol_capture_resumed(pipeline->capture))
        iol_resume_begin(pipeline->resume, &begun);
    r = iol_capture_resumed(pipeline->capture) ? catch_up(pipeline) : send_batch(pipeline, SPOOL_PATIENCE_MS);
    return check(pipeline, r, err);
}

int iol_pipeline_post(struct iol_pipeline *pipeline, struct iol_error *err)
{
    int r;

    exclude_server(pipeline);
    r = settle(pipeline, SPOOL_PATIENCE_MS);
    if (r == 0 || (r > 0 && iol_writer_full(pipeline->writer))) {
        /* the counters are safe where they are: this interval becomes part of the next one */
        pipeline->postponed++;
        return iol_pipeline_step(pipeline, err);
    }
    note_stored(pipeline);
    if (r > 0)
        r = post_epoch(pipeline);
    if (r == 0)
        r = send_batch(pipeline, SPOOL_PATIENCE_MS);
    return check(pipeline, r, err);
}

int iol_pipeline_set_rules(struct iol_pipeline *pipeline, const struct iol_rule_set *rules, struct iol_error *err)
{
    return iol_capture_set_rules(pipeline->capture, rules, err);
}

/* From here on nothing is counted any more. */
static int detach(struct iol_pipeline *pipeline)
{
    int r;

    note_stored(pipeline);
    iol_capture_detach(pipeline->capture);
    pipeline->stopped = true;
    /* the open epoch, and what late programs may have put into the other one */
    r = post_epoch(pipeline);
    return r < 0 ? r : post_epoch(pipeline);
}

int iol_pipeline_stop(struct iol_pipeline *pipeline, bool unpin, struct iol_error *err)
{
    struct iol_account_stats stats;
    int r = sweep(pipeline);

    if (r == 0 && (unpin || !pipeline->resume))
        r = detach(pipeline);
    else if (r == 0)
        r = post_epoch(pipeline);
    if (r < 0)
        return check(pipeline, r, err);
    iol_accounts_get_stats(pipeline->accounts, &stats);
    pipeline->recording.ended = iol_wall_ns();
    pipeline->recording.excluded_ops = (int64_t)(stats.excluded_ops + stats.ignored_ops);
    pipeline->recording.excluded_bytes = (int64_t)(stats.excluded_bytes + stats.ignored_bytes);
    r = add_recording(pipeline);
    iol_accounts_left_out_told(pipeline->accounts);
    if (r == 0)
        r = send_batch(pipeline, LAST_PATIENCE_MS);
    return check(pipeline, r, err);
}

int iol_pipeline_finish(struct iol_pipeline *pipeline, const volatile bool *interrupted, uint64_t *ret_unwritten,
                        struct iol_error *err)
{
    int r = iol_writer_finish(pipeline->writer, interrupted, ret_unwritten, err), settled = settle(pipeline, 0);

    if (r < 0 || !pipeline->resume)
        return r;
    if (settled <= 0 || iol_batch_count(pipeline->batch) > 0)
        return iol_error_set(err, settled < 0 ? settled : -EAGAIN,
                             "the spool has not taken the last rows: they stay in the kernel");
    /* whatever was counted is in the spool, if not in the database */
    settled = pipeline->stopped ? iol_capture_unpin(pipeline->capture) : 0;
    pipeline->unpinned = pipeline->stopped && settled == 0;
    return settled < 0 ? iol_error_set(err, settled, "cannot remove what is pinned: %s", strerror(-settled)) : r;
}

int iol_pipeline_end_pinned(const struct iol_pipeline_options *options, struct iol_error *err)
{
    const struct iol_capture_pin pin = {
        .folder = options->capture.pin->folder, .books = options->capture.pin->books, .any = true};
    const struct iol_pipeline_options drain = {.db = options->db,
                                               .scope = "what was pinned, to its end",
                                               .verbose = options->verbose,
                                               .capture = {.pin = &pin}};
    struct iol_pipeline *pipeline = NULL;
    uint64_t unwritten = 0;
    int r = iol_pipeline_open(&drain, &pipeline, err);

    if (r < 0)
        return r;
    r = iol_pipeline_start(pipeline, err);
    if (r == 0)
        r = iol_pipeline_stop(pipeline, true, err);
    if (r == 0)
        r = iol_pipeline_finish(pipeline, NULL, &unwritten, err);
    iol_pipeline_free(pipeline);
    return r;
}

void iol_pipeline_get_stats(struct iol_pipeline *pipeline, struct iol_pipeline_stats *ret_stats)
{
    iol_accounts_get_stats(pipeline->accounts, &ret_stats->accounts);
    iol_model_get_stats(pipeline->model, &ret_stats->model);
    iol_writer_get_stats(pipeline->writer, &ret_stats->writer);
    ret_stats->bad_records = pipeline->bad_records;
    ret_stats->postponed = pipeline->postponed;
    ret_stats->uncovered = iol_pipeline_uncovered(pipeline, 0);
    ret_stats->recording_id = pipeline->recording.id;
    ret_stats->started = pipeline->recording.started;
    ret_stats->probes = pipeline->recording.probes;
    ret_stats->scope = pipeline->scope;
    ret_stats->lag_ns = lag(pipeline, &ret_stats->writer);
    ret_stats->spool_dir = pipeline->spool ? iol_spool_dir(pipeline->spool) : NULL;
}

uint64_t iol_pipeline_map_memory(const struct iol_pipeline *pipeline)
{
    return iol_capture_memory(pipeline->capture);
}

void iol_pipeline_free(struct iol_pipeline *pipeline)
{
    if (!pipeline)
        return;
    iol_writer_free(pipeline->writer);
    iol_accounts_free(pipeline->accounts);
    iol_model_free(pipeline->model);
    iol_batch_free(pipeline->batch);
    iol_resume_free(pipeline->resume);
    iol_capture_close(pipeline->capture);
    if (pipeline->unpinned)
        iol_pin_place_remove(pipeline->spool, pipeline->books);
    else
        iol_spool_close(pipeline->spool);
    free(pipeline->books);
    iol_sink_close(pipeline->sink);
    free(pipeline->scope);
    free(pipeline);
}
