// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The writer's thread that writes to the database: what it takes, how it tries again, and what it sets aside. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "store/sink.h"
#include "store/writer.intern.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000

_Static_assert(IOL_SINK_GROUP_MAX <= IOL_SPOOL_TAKE_MAX, "a group is taken from the spool at once");

/* What the sender has in its hands. */
struct taken {
    struct iol_batch *batches[IOL_SINK_GROUP_MAX];
    size_t first, n;
    size_t most; /* of them in one transaction: one after a failure, and twice as many with each success */
    bool from_spool;
    struct iol_batch *ahead[IOL_SINK_GROUP_MAX]; /* what is behind them in the spool, read while they were written */
    size_t n_ahead;
    int64_t delay_ms; /* before the next try */
    unsigned seed;
};

static void note_error(struct iol_writer *writer, const struct iol_error *err)
{
    memcpy(writer->stats.last_error, err->text, sizeof(writer->stats.last_error));
    writer->stats.error_ts = iol_wall_ns();
}

/* The spool is only asked without the lock: it may be busy merging, and nobody who puts is to wait for that. */
static void look_at_spool(struct iol_writer *writer)
{
    struct iol_spool_stats stats;

    pthread_mutex_unlock(&writer->lock);
    iol_spool_get_stats(writer->spool, &stats);
    pthread_mutex_lock(&writer->lock);
    iol_writer_take_spool_stats(writer, &stats);
}

/* The sender is through with the first of what it has. */
static void let_go(struct iol_writer *writer, struct taken *taken)
{
    struct iol_batch *batch = taken->batches[taken->first++];

    if (taken->from_spool)
        iol_batch_free(batch);
    else
        iol_writer_forget_batch(writer, batch);
    taken->n--;
    writer->sending_ts = !taken->from_spool && taken->n > 0 ? iol_writer_row_of(taken->batches[taken->first])->ts : 0;
}

/* The database is there: it has taken something, or refused it. */
static void note_answer(struct iol_writer *writer, struct taken *taken)
{
    taken->delay_ms = BACKOFF_FIRST_MS;
    writer->stats.down = false;
    if (writer->finishing)
        iol_writer_set_deadline(writer);
    if (writer->spool)
        look_at_spool(writer);
}

static void note_success(struct iol_writer *writer, struct taken *taken, size_t n)
{
    if (taken->from_spool) {
        pthread_mutex_unlock(&writer->lock);
        for (size_t i = 0; i < n; i++)
            iol_spool_ack(writer->spool, NULL); /* should it fail, the batch is sent again, and changes nothing */
        pthread_mutex_lock(&writer->lock);
    }
    for (size_t i = 0; i < n; i++) {
        const struct iol_batch *batch = taken->batches[taken->first];
        writer->stats.batches++;
        writer->stats.rows += iol_batch_count(batch);
        writer->stats.committed_ts = iol_writer_row_of(batch)->ts;
        let_go(writer, taken);
    }
    taken->most = taken->most < IOL_SINK_GROUP_MAX ? taken->most * 2 : IOL_SINK_GROUP_MAX;
    note_answer(writer, taken);
}

/* 0; or -errno: it could not be set aside, and waits. */
static int note_reject(struct iol_writer *writer, struct taken *taken, int code, struct iol_error *err)
{
    if (taken->from_spool) {
        const struct iol_error reason = *err;
        pthread_mutex_unlock(&writer->lock);
        int r = iol_spool_quarantine(writer->spool, reason.text, err);
        pthread_mutex_lock(&writer->lock);
        if (r < 0)
            return iol_error_set(err, r, "%.300s; quarantine has no room for it", reason.text);
        *err = reason;
    }
    if (writer->stats.rejected == 0) {
        writer->reject = *err;
        writer->reject_code = code;
    }
    writer->stats.rejected++;
    writer->stats.rejected_rows += iol_batch_count(taken->batches[taken->first]);
    note_error(writer, err);
    let_go(writer, taken);
    note_answer(writer, taken);
    return 0;
}

/* Between half of the whole delay and the whole, so that the recorders of a fleet do not come back all at once. */
static int64_t jitter(unsigned *seed, int64_t delay_ms)
{
    return delay_ms / 2 + rand_r(seed) % (delay_ms / 2 + 1);
}

/* After a failure worth another try: false when it is time to give up instead. The end of the recording is worth one at once. */
static bool back_off(struct iol_writer *writer, struct taken *taken, int code, const struct iol_error *err)
{
    int64_t until = iol_monotonic_ms() + jitter(&taken->seed, taken->delay_ms);
    bool finishing = writer->finishing;

    taken->most = 1; /* on a bad line little may come through where much does not */
    taken->delay_ms = taken->delay_ms * 2 < BACKOFF_MAX_MS ? taken->delay_ms * 2 : BACKOFF_MAX_MS;
    writer->stats.down = true;
    writer->stats.retries++;
    writer->failure = *err;
    writer->failure_code = code;
    note_error(writer, err);
    while (!iol_writer_time_is_up(writer)) {
        if (iol_monotonic_ms() >= until)
            return true;
        if (writer->finishing && !finishing) {
            taken->delay_ms = BACKOFF_FIRST_MS;
            return true;
        }
        iol_writer_wait_until(writer,
                              writer->finishing && writer->give_up_at_ms < until ? writer->give_up_at_ms : until);
    }
    return false;
}

/* -EACCES: a right that was taken away may be given back, and no batch is to blame. Without a spool nothing can wait so long. */
static bool may_pass(const struct taken *taken, int code)
{
    return code == -EAGAIN || code == -ENOSPC || (taken->from_spool && code == -EACCES);
}

/* Whether the sender goes on: with the same batches, when they are still there. `result`: how many are stored, or -errno. */
static bool settle(struct iol_writer *writer, struct taken *taken, ssize_t result, struct iol_error *err)
{
    int code = result < 0 ? (int)result : 0;

    if (code == 0) {
        note_success(writer, taken, (size_t)result);
        return true;
    }
    if (!may_pass(taken, code)) {
        if (taken->most > 1 && taken->n > 1) { /* one of them is to blame */
            taken->most = 1;
            return true;
        }
        code = note_reject(writer, taken, code, err);
        if (code == 0)
            return true;
    }
    return back_off(writer, taken, code, err);
}

static bool take_from_spool(struct iol_writer *writer, struct taken *taken)
{
    struct iol_error err = {0};

    if (taken->n_ahead > 0) {
        memcpy(taken->batches, taken->ahead, taken->n_ahead * sizeof(taken->ahead[0]));
        taken->from_spool = true;
        taken->first = 0;
        taken->n = taken->n_ahead;
        taken->n_ahead = 0;
        return true;
    }
    pthread_mutex_unlock(&writer->lock);
    int r = iol_spool_take(writer->spool, IOL_SINK_GROUP_MAX, iol_sink_group_rows(writer->sink), taken->batches, &err);
    pthread_mutex_lock(&writer->lock);
    taken->from_spool = true;
    taken->first = 0;
    taken->n = r > 0 ? (size_t)r : 0;
    if (r <= 0)
        look_at_spool(writer);
    return r > 0 || (r < 0 && !back_off(writer, taken, r, &err));
}

static bool may_bypass_spool(const struct iol_writer *writer)
{
    return !writer->spool || (writer->stats.spool_failed && !writer->options.spool_only);
}

/* In addition to what of it has been taken already. */
static void take_from_queue(struct iol_writer *writer, struct taken *taken)
{
    /* What was tried from memory is not spooled any more: no more than one then. */
    size_t max = writer->spool ? 1 : IOL_SINK_GROUP_MAX, most_rows = iol_sink_group_rows(writer->sink), rows = 0;

    taken->from_spool = false;
    taken->first = 0;
    for (size_t i = 0; i < taken->n; i++)
        rows += iol_batch_count(taken->batches[i]);
    for (; writer->first && taken->n < max && rows < most_rows; taken->n++) {
        taken->batches[taken->n] = iol_writer_pop(writer);
        rows += iol_batch_count(taken->batches[taken->n]);
    }
    writer->sending_ts = iol_writer_row_of(taken->batches[0])->ts;
}

/* What is to be written next; false: nothing will come any more, or it is time to give up. */
static bool take(struct iol_writer *writer, struct taken *taken)
{
    for (;;) {
        if (writer->spool && writer->give_up)
            return false;
        if (writer->stats.spool.entries > 0 || taken->n_ahead > 0) {
            if (take_from_spool(writer, taken))
                return taken->n > 0;
        } else if (writer->first && !writer->spooling_ts && may_bypass_spool(writer)) {
            taken->n = 0;
            take_from_queue(writer, taken);
            return true;
        } else if (writer->finishing && (!writer->first || writer->options.spool_only) &&
                   (!writer->spool || writer->spooler_done)) {
            return false;
        } else {
            pthread_cond_wait(&writer->changed, &writer->lock);
        }
    }
}

/* Back to where it came from. What is from the spool is there. */
static void give_back(struct iol_writer *writer, struct taken *taken)
{
    while (taken->n_ahead > 0)
        iol_batch_free(taken->ahead[--taken->n_ahead]);
    while (taken->n > 0) {
        struct iol_batch *batch = taken->batches[taken->first + --taken->n];
        if (taken->from_spool)
            iol_batch_free(batch);
        else
            iol_writer_push_front(writer, batch);
    }
    writer->sending_ts = 0;
}

/* Waits for a CPU that nobody else wants, with the lock held before and after. What comes meanwhile goes into the same transaction. */
static void give_way(struct iol_writer *writer, struct taken *taken)
{
    pthread_mutex_unlock(&writer->lock);
    iol_priority_lower(&writer->priority);
    iol_priority_give_way();
    iol_priority_restore(&writer->priority); /* before the lock, for which others wait */
    pthread_mutex_lock(&writer->lock);
    if (!taken->from_spool && taken->first == 0)
        take_from_queue(writer, taken);
}

struct reading {
    struct iol_writer *writer;
    struct taken *taken;
};

static void *read_ahead(void *arg)
{
    struct reading *reading = arg;
    struct iol_writer *writer = reading->writer;

    reading->taken->n_ahead = iol_spool_take_ahead(writer->spool, IOL_SINK_GROUP_MAX, iol_sink_group_rows(writer->sink),
                                                   reading->taken->ahead);
    return NULL;
}

/*
 * Without the lock. A server that is given many rows at once has to do for a while: then what comes next out of the spool is read and unpacked
 * meanwhile. It is not acknowledged before what is written now.
 */
static ssize_t write_taken(struct iol_writer *writer, struct taken *taken, bool more, struct iol_error *err)
{
    struct reading reading = {writer, taken};
    pthread_t thread;
    bool started = taken->from_spool && more && taken->n_ahead == 0 && taken->n <= taken->most &&
                   iol_sink_reads_ahead(writer->sink) && pthread_create(&thread, NULL, read_ahead, &reading) == 0;
    ssize_t r = iol_sink_write_some(writer->sink, (const struct iol_batch *const *)taken->batches + taken->first,
                                    taken->n < taken->most ? taken->n : taken->most, err);

    if (started)
        pthread_join(thread, NULL);
    return r;
}

void *iol_writer_run_sender(void *arg)
{
    struct iol_writer *writer = arg;
    struct taken taken = {.most = IOL_SINK_GROUP_MAX,
                          .delay_ms = BACKOFF_FIRST_MS,
                          .seed = (unsigned)iol_monotonic_ms() ^ (unsigned)getpid()};

    iol_priority_init(&writer->priority, writer->options.patience_ms);
    pthread_mutex_lock(&writer->lock);
    for (bool on = true; on && (taken.n > 0 || take(writer, &taken));) {
        struct iol_error err = {0};

        writer->began_ms = iol_monotonic_ms();
        iol_writer_mind_hurry(writer);
        give_way(writer, &taken);
        bool more = writer->stats.spool.entries > taken.n;
        pthread_mutex_unlock(&writer->lock);
        iol_priority_lower(&writer->priority);
        ssize_t r = write_taken(writer, &taken, more, &err);
        iol_priority_restore(&writer->priority);
        pthread_mutex_lock(&writer->lock);
        writer->began_ms = 0;
        if (r >= 0)
            writer->stats.server_pid = iol_sink_server_pid(writer->sink);
        on = settle(writer, &taken, r, &err) && !(taken.from_spool && writer->give_up);
    }
    give_back(writer, &taken);
    iol_priority_done(&writer->priority);
    writer->sender_done = true;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    return NULL;
}
