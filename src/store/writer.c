// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "core/batch.h"
#include "store/sink.h"
#include "store/writer.intern.h"

#define SPOOL_RETRY_MS 500
#define SPOOL_SYNC_MS 1000

/*
 * Writing can wait while less than this is queued, for options.patience_ms: on a machine that has no CPU left for it,
 * what comes meanwhile goes into one transaction then.
 */
#define HURRY_BYTES (16UL << 20)

/* How often iol_writer_finish() looks at `interrupted`, and how long a single write may then still take. */
#define FINISH_POLL_MS 100
#define INTERRUPT_GRACE_MS 3000

void iol_writer_wait_until(struct iol_writer *writer, int64_t at_ms)
{
    struct timespec at = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};

    pthread_cond_timedwait(&writer->changed, &writer->lock, &at);
}

const struct iol_batch_row *iol_writer_row_of(const struct iol_batch *batch)
{
    return batch->rows[IOL_TABLE_BATCH].data;
}

void iol_writer_mind_hurry(struct iol_writer *writer)
{
    bool late = writer->began_ms && iol_monotonic_ms() - writer->began_ms > writer->options.patience_ms;

    iol_priority_set_hurry(&writer->priority, late || writer->finishing || writer->stats.queued_bytes > HURRY_BYTES);
}

void iol_writer_set_deadline(struct iol_writer *writer)
{
    writer->give_up_at_ms =
        writer->options.give_up_after_ms < 0 ? INT64_MAX : iol_monotonic_ms() + writer->options.give_up_after_ms;
}

bool iol_writer_time_is_up(const struct iol_writer *writer)
{
    return writer->give_up || (writer->finishing && iol_monotonic_ms() >= writer->give_up_at_ms);
}

struct iol_batch *iol_writer_pop(struct iol_writer *writer)
{
    struct iol_batch *batch = writer->first;

    writer->first = batch->next;
    if (!writer->first)
        writer->last = &writer->first;
    batch->next = NULL;
    return batch;
}

void iol_writer_push_front(struct iol_writer *writer, struct iol_batch *batch)
{
    batch->next = writer->first;
    writer->first = batch;
    if (!batch->next)
        writer->last = &batch->next;
}

void iol_writer_forget_batch(struct iol_writer *writer, struct iol_batch *batch)
{
    writer->stats.queued--;
    writer->stats.queued_bytes -= iol_batch_memory(batch);
    iol_batch_free(batch);
    pthread_cond_broadcast(&writer->changed);
}

void iol_writer_take_spool_stats(struct iol_writer *writer, const struct iol_spool_stats *stats)
{
    if (stats->answer > writer->stats.spool.answer) /* the other thread may have asked later, and been faster */
        writer->stats.spool = *stats;
    pthread_cond_broadcast(&writer->changed);
}

/* Moves one batch from the queue to the spool. */
static void spool_one(struct iol_writer *writer)
{
    struct iol_batch *batch = iol_writer_pop(writer);
    struct iol_spool_stats stats;
    struct iol_error err = {0};

    writer->spooling_ts = iol_writer_row_of(batch)->ts;
    pthread_mutex_unlock(&writer->lock);
    int r = iol_spool_append(writer->spool, batch, &err);
    iol_spool_get_stats(writer->spool, &stats);
    pthread_mutex_lock(&writer->lock);
    writer->spooling_ts = 0;
    writer->stats.spool_failed = r < 0;
    iol_writer_take_spool_stats(writer, &stats);
    if (r < 0) {
        memcpy(writer->stats.spool_error, err.text, sizeof(writer->stats.spool_error));
        iol_writer_push_front(writer, batch);
        return;
    }
    writer->stats.spool_seq = iol_writer_row_of(batch)->seq;
    iol_writer_forget_batch(writer, batch);
}

/* Waits for a batch, and makes what was appended safe when none comes for a while; false: none will come any more. */
static bool wait_for_batch(struct iol_writer *writer)
{
    bool synced = false;

    while (!writer->first && !writer->finishing) {
        int64_t until = iol_monotonic_ms() + SPOOL_SYNC_MS;
        if (synced)
            pthread_cond_wait(&writer->changed, &writer->lock);
        while (!synced && !writer->first && !writer->finishing && iol_monotonic_ms() < until)
            iol_writer_wait_until(writer, until);
        if (!synced && !writer->first && !writer->finishing) {
            pthread_mutex_unlock(&writer->lock);
            iol_spool_flush(writer->spool);
            pthread_mutex_lock(&writer->lock);
            synced = true;
        }
    }
    return writer->first != NULL;
}

static void *run_spooler(void *arg)
{
    struct iol_writer *writer = arg;

    pthread_mutex_lock(&writer->lock);
    while (wait_for_batch(writer)) {
        spool_one(writer);
        if (!writer->stats.spool_failed)
            continue;
        int64_t until = iol_monotonic_ms() + SPOOL_RETRY_MS;
        while (iol_monotonic_ms() < until && !iol_writer_time_is_up(writer))
            iol_writer_wait_until(writer, until);
        if (iol_writer_time_is_up(writer) || (writer->finishing && writer->sender_done))
            break;
    }
    writer->spooler_done = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* Signals are for the main thread: one that hit another could break off a write to the database. */
static int start_threads(struct iol_writer *writer)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&writer->sender, NULL, iol_writer_run_sender, writer);
    writer->sender_started = r == 0;
    if (r == 0 && writer->spool) {
        r = pthread_create(&writer->spooler, NULL, run_spooler, writer);
        writer->spooler_started = r == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -r;
}

int iol_writer_new(struct iol_sink *sink, const struct iol_writer_options *options, struct iol_writer **ret_writer)
{
    struct iol_writer *writer = calloc(1, sizeof(*writer));
    pthread_condattr_t attributes;

    if (!writer)
        return -ENOMEM;
    writer->sink = sink;
    writer->spool = options->spool;
    writer->options = *options;
    writer->last = &writer->first;
    writer->spooler_done = !writer->spool;
    writer->stats.spooled = writer->spool != NULL;
    if (writer->spool)
        iol_spool_get_stats(writer->spool, &writer->stats.spool);
    pthread_mutex_init(&writer->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int r = start_threads(writer);
    if (r < 0) {
        iol_writer_free(writer);
        return r;
    }
    *ret_writer = writer;
    return 0;
}

void iol_writer_put(struct iol_writer *writer, struct iol_batch *batch)
{
    batch->next = NULL;
    pthread_mutex_lock(&writer->lock);
    *writer->last = batch;
    writer->last = &batch->next;
    writer->stats.queued++;
    writer->stats.queued_bytes += iol_batch_memory(batch);
    iol_writer_mind_hurry(writer);
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
}

bool iol_writer_spooled(struct iol_writer *writer, int timeout_ms)
{
    int64_t until = iol_monotonic_ms() + timeout_ms;

    pthread_mutex_lock(&writer->lock);
    while (writer->stats.queued > 0 && !writer->spooler_done && iol_monotonic_ms() < until)
        iol_writer_wait_until(writer, until);
    bool spooled = writer->stats.queued == 0;
    pthread_mutex_unlock(&writer->lock);
    return spooled;
}

bool iol_writer_full(struct iol_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool full = writer->stats.queued_bytes > writer->options.max_bytes;
    iol_writer_mind_hurry(writer);
    pthread_mutex_unlock(&writer->lock);
    return full;
}

static int64_t oldest_ts(const struct iol_writer *writer)
{
    const int64_t times[] = {writer->stats.spool.entries ? writer->stats.spool.oldest_ts : 0, writer->sending_ts,
                             writer->spooling_ts, writer->first ? iol_writer_row_of(writer->first)->ts : 0};
    int64_t oldest = 0;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(times); i++) {
        if (times[i] && (!oldest || times[i] < oldest))
            oldest = times[i];
    }
    return oldest;
}

void iol_writer_get_stats(struct iol_writer *writer, struct iol_writer_stats *ret_stats)
{
    pthread_mutex_lock(&writer->lock);
    *ret_stats = writer->stats;
    ret_stats->waiting = writer->stats.queued + writer->stats.spool.entries;
    ret_stats->oldest_ts = oldest_ts(writer);
    pthread_mutex_unlock(&writer->lock);
}

/* Waits for the threads' end. An interrupt makes them give up, and after a grace breaks off a write that hangs. */
static void wait_done(struct iol_writer *writer, const volatile bool *interrupted)
{
    int64_t break_off_at = INT64_MAX;
    uint64_t batches = 0;

    while (!writer->sender_done || !writer->spooler_done) {
        if (interrupted && *interrupted && (!writer->give_up || writer->stats.batches != batches)) {
            writer->give_up = true;
            batches = writer->stats.batches;
            break_off_at = iol_monotonic_ms() + INTERRUPT_GRACE_MS;
            pthread_cond_broadcast(&writer->changed);
        }
        /* With a spool nothing is lost by it, and nobody has to wait for a database that hangs. */
        if (writer->spool && iol_monotonic_ms() >= writer->give_up_at_ms && break_off_at == INT64_MAX)
            break_off_at = iol_monotonic_ms() + INTERRUPT_GRACE_MS;
        if (iol_monotonic_ms() >= break_off_at && !writer->sender_done) {
            /* Again at every turn: the write may have been between two waits when it came. */
            pthread_mutex_unlock(&writer->lock);
            iol_sink_interrupt(writer->sink);
            pthread_mutex_lock(&writer->lock);
        }
        iol_writer_wait_until(writer, iol_monotonic_ms() + FINISH_POLL_MS);
    }
}

static int result(struct iol_writer *writer, uint64_t *ret_unwritten_rows, struct iol_error *err)
{
    uint64_t unwritten = writer->stats.rejected_rows + writer->stats.spool.rows;

    for (const struct iol_batch *batch = writer->first; batch; batch = batch->next)
        unwritten += iol_batch_count(batch);
    if (ret_unwritten_rows)
        *ret_unwritten_rows = unwritten;
    if (writer->first && writer->options.spool_only)
        return iol_error_set(err, -EAGAIN, "the spool takes no batch: %s", writer->stats.spool_error);
    if (writer->first) {
        if (err)
            *err = writer->failure;
        return writer->failure_code ? writer->failure_code : -EAGAIN;
    }
    if (writer->stats.rejected > 0) {
        if (err)
            *err = writer->reject;
        return writer->reject_code;
    }
    return writer->stats.spool.entries > 0 ? 1 : 0;
}

int iol_writer_finish(struct iol_writer *writer, const volatile bool *interrupted, uint64_t *ret_unwritten_rows,
                      struct iol_error *err)
{
    pthread_mutex_lock(&writer->lock);
    writer->finishing = true;
    iol_writer_mind_hurry(writer);
    iol_writer_set_deadline(writer);
    pthread_cond_broadcast(&writer->changed);
    wait_done(writer, interrupted);
    int r = result(writer, ret_unwritten_rows, err);
    pthread_mutex_unlock(&writer->lock);
    return r;
}

void iol_writer_free(struct iol_writer *writer)
{
    static const volatile bool interrupted = true;

    if (!writer)
        return;
    /* Without a finish before: what can be written at once is. */
    if (writer->sender_started) {
        if (!writer->spooler_started)
            writer->spooler_done = true;
        iol_writer_finish(writer, &interrupted, NULL, NULL);
        pthread_join(writer->sender, NULL);
    }
    if (writer->spooler_started)
        pthread_join(writer->spooler, NULL);
    for (struct iol_batch *batch = writer->first, *next; batch; batch = next) {
        next = batch->next;
        iol_batch_free(batch);
    }
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
