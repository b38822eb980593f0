// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/batch.h"
#include "store/sink.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 2000

/* How often iol_writer_finish() looks at `interrupted`, and how long a single write may then still take. */
#define FINISH_POLL_MS 100
#define INTERRUPT_GRACE_MS 3000

struct iol_writer {
    struct iol_sink *sink;
    struct iol_writer_options options;
    pthread_t thread;
    bool started;

    pthread_mutex_t lock; /* for everything below */
    pthread_cond_t changed;
    struct iol_batch *first; /* the one being written stays here until it is done */
    struct iol_batch **last;
    struct iol_writer_stats stats;
    struct iol_error reject; /* of the first batch that was rejected */
    int reject_code;
    struct iol_error failure; /* of the last failed try */
    int failure_code;
    bool finishing;
    bool give_up; /* at the next failure */
    bool done;
    int64_t give_up_at_ms; /* while finishing; moved on by every success */
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits with the lock held, until something changes or the time is there. */
static void wait_until(struct iol_writer *writer, int64_t at_ms)
{
    struct timespec at = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};

    pthread_cond_timedwait(&writer->changed, &writer->lock, &at);
}

static void set_deadline(struct iol_writer *writer)
{
    writer->give_up_at_ms =
        writer->options.give_up_after_ms < 0 ? INT64_MAX : now_ms() + writer->options.give_up_after_ms;
}

static int64_t wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t batch_ts(const struct iol_batch *batch)
{
    const struct iol_batch_row *row = batch->rows[IOL_TABLE_BATCH].data;

    return row->ts;
}

static void note_error(struct iol_writer *writer, const struct iol_error *err)
{
    memcpy(writer->stats.last_error, err->text, sizeof(writer->stats.last_error));
    writer->stats.error_ts = wall_ns();
}

static void remove_first(struct iol_writer *writer)
{
    struct iol_batch *batch = writer->first;

    writer->first = batch->next;
    if (!writer->first)
        writer->last = &writer->first;
    writer->stats.queued--;
    writer->stats.queued_bytes -= iol_batch_memory(batch);
    iol_batch_free(batch);
    pthread_cond_broadcast(&writer->changed);
}

static void note_success(struct iol_writer *writer)
{
    writer->stats.batches++;
    writer->stats.rows += iol_batch_count(writer->first);
    writer->stats.committed_ts = batch_ts(writer->first);
    writer->stats.down = false;
    if (writer->finishing)
        set_deadline(writer);
    remove_first(writer);
}

static void note_reject(struct iol_writer *writer, int code, const struct iol_error *err)
{
    if (writer->stats.rejected == 0) {
        writer->reject = *err;
        writer->reject_code = code;
    }
    writer->stats.down = false;
    writer->stats.rejected++;
    writer->stats.rejected_rows += iol_batch_count(writer->first);
    note_error(writer, err);
    remove_first(writer);
}

/* Between half of the whole delay and the whole, so that the recorders of a fleet do not come back all at once. */
static int64_t jitter(unsigned *seed, int64_t delay_ms)
{
    return delay_ms / 2 + rand_r(seed) % (delay_ms / 2 + 1);
}

/* After a failure worth another try: false when it is time to give up instead. */
static bool back_off(struct iol_writer *writer, int code, const struct iol_error *err, int64_t *delay_ms,
                     unsigned *seed)
{
    int64_t until = now_ms() + jitter(seed, *delay_ms);

    *delay_ms = *delay_ms * 2 < BACKOFF_MAX_MS ? *delay_ms * 2 : BACKOFF_MAX_MS;
    writer->stats.down = true;
    writer->stats.retries++;
    writer->failure = *err;
    writer->failure_code = code;
    note_error(writer, err);
    for (;;) {
        int64_t now = now_ms();
        if (writer->give_up || (writer->finishing && now >= writer->give_up_at_ms))
            return false;
        if (now >= until)
            return true;
        wait_until(writer, writer->finishing && writer->give_up_at_ms < until ? writer->give_up_at_ms : until);
    }
}

static void *run(void *arg)
{
    struct iol_writer *writer = arg;
    int64_t delay_ms = BACKOFF_FIRST_MS;
    unsigned seed = (unsigned)now_ms() ^ (unsigned)getpid();

    pthread_mutex_lock(&writer->lock);
    for (;;) {
        while (!writer->first && !writer->finishing)
            pthread_cond_wait(&writer->changed, &writer->lock);
        if (!writer->first)
            break;
        const struct iol_batch *batch = writer->first;
        struct iol_error err = {0};

        pthread_mutex_unlock(&writer->lock);
        int r = iol_sink_write(writer->sink, batch, &err);
        pthread_mutex_lock(&writer->lock);

        if (r == -EAGAIN || r == -ENOSPC) {
            if (!back_off(writer, r, &err, &delay_ms, &seed))
                break;
            continue;
        }
        delay_ms = BACKOFF_FIRST_MS;
        if (r < 0)
            note_reject(writer, r, &err);
        else
            note_success(writer);
    }
    writer->done = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}

/* Signals are for the main thread: one that hit this one could break off a write to the database. */
static int start_thread(struct iol_writer *writer)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&writer->thread, NULL, run, writer);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    writer->started = r == 0;
    return -r;
}

int iol_writer_new(struct iol_sink *sink, const struct iol_writer_options *options, struct iol_writer **ret_writer)
{
    struct iol_writer *writer = calloc(1, sizeof(*writer));
    pthread_condattr_t attributes;

    if (!writer)
        return -ENOMEM;
    writer->sink = sink;
    writer->options = *options;
    writer->last = &writer->first;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    int r = start_thread(writer);
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
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
}

bool iol_writer_full(struct iol_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool full = writer->stats.queued_bytes > writer->options.max_bytes;
    pthread_mutex_unlock(&writer->lock);
    return full;
}

void iol_writer_get_stats(struct iol_writer *writer, struct iol_writer_stats *ret_stats)
{
    pthread_mutex_lock(&writer->lock);
    *ret_stats = writer->stats;
    ret_stats->oldest_ts = writer->first ? batch_ts(writer->first) : 0;
    pthread_mutex_unlock(&writer->lock);
}

/* Waits for the thread's end. An interrupt makes it give up, and after a grace breaks off a write that hangs. */
static void wait_done(struct iol_writer *writer, const volatile bool *interrupted)
{
    int64_t break_off_at = INT64_MAX;
    uint64_t queued = 0;

    while (!writer->done) {
        if (interrupted && *interrupted && (!writer->give_up || writer->stats.queued != queued)) {
            writer->give_up = true;
            queued = writer->stats.queued;
            break_off_at = now_ms() + INTERRUPT_GRACE_MS;
            pthread_cond_broadcast(&writer->changed);
        }
        if (now_ms() >= break_off_at) {
            /* Again at every turn: the write may have been between two waits when it came. */
            pthread_mutex_unlock(&writer->lock);
            iol_sink_interrupt(writer->sink);
            pthread_mutex_lock(&writer->lock);
        }
        wait_until(writer, now_ms() + FINISH_POLL_MS);
    }
}

static int result(struct iol_writer *writer, uint64_t *ret_unwritten_rows, struct iol_error *err)
{
    uint64_t unwritten = writer->stats.rejected_rows;

    for (const struct iol_batch *batch = writer->first; batch; batch = batch->next)
        unwritten += iol_batch_count(batch);
    if (ret_unwritten_rows)
        *ret_unwritten_rows = unwritten;
    if (writer->first) {
        if (err)
            *err = writer->failure;
        return writer->failure_code;
    }
    if (writer->stats.rejected > 0) {
        if (err)
            *err = writer->reject;
        return writer->reject_code;
    }
    return 0;
}

int iol_writer_finish(struct iol_writer *writer, const volatile bool *interrupted, uint64_t *ret_unwritten_rows,
                      struct iol_error *err)
{
    pthread_mutex_lock(&writer->lock);
    writer->finishing = true;
    set_deadline(writer);
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
    if (writer->started) {
        /* Without a finish before: what can be written at once is. */
        iol_writer_finish(writer, &interrupted, NULL, NULL);
        pthread_join(writer->thread, NULL);
    }
    for (struct iol_batch *batch = writer->first, *next; batch; batch = next) {
        next = batch->next;
        iol_batch_free(batch);
    }
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
