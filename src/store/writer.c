// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/priority.h"
#include "core/batch.h"
#include "store/sink.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000
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

struct iol_writer {
    struct iol_sink *sink;
    struct iol_spool *spool; /* or NULL */
    struct iol_writer_options options;
    pthread_t sender, spooler;
    bool sender_started, spooler_started;
    struct iol_priority priority; /* of the sender */

    pthread_mutex_t lock; /* for everything below */
    pthread_cond_t changed;
    struct iol_batch *first; /* of the queue: what neither thread has in its hands */
    struct iol_batch **last;
    int64_t began_ms;                /* when the sender began to write what it has in its hands; 0: it does not */
    int64_t sending_ts, spooling_ts; /* of the batches of the queue that the threads have in their hands; 0: none */
    struct iol_writer_stats stats;
    struct iol_error reject; /* of the first batch that was rejected */
    int reject_code;
    struct iol_error failure; /* of the last failed try */
    int failure_code;
    bool finishing;
    bool give_up; /* at the next failure; with a spool, at once */
    bool sender_done, spooler_done;
    int64_t give_up_at_ms; /* while finishing; moved on by every success */
};

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

/* Waits with the lock held, until something changes or the time is there. */
static void wait_until(struct iol_writer *writer, int64_t at_ms)
{
    struct timespec at = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};

    pthread_cond_timedwait(&writer->changed, &writer->lock, &at);
}

static int64_t wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const struct iol_batch_row *row_of(const struct iol_batch *batch)
{
    return batch->rows[IOL_TABLE_BATCH].data;
}

static void note_error(struct iol_writer *writer, const struct iol_error *err)
{
    memcpy(writer->stats.last_error, err->text, sizeof(writer->stats.last_error));
    writer->stats.error_ts = wall_ns();
}

/* Whether writing can wait: asked whenever something has changed, and once an interval. */
static void mind_hurry(struct iol_writer *writer)
{
    bool late = writer->began_ms && iol_monotonic_ms() - writer->began_ms > writer->options.patience_ms;

    iol_priority_set_hurry(&writer->priority, late || writer->finishing || writer->stats.queued_bytes > HURRY_BYTES);
}

static void set_deadline(struct iol_writer *writer)
{
    writer->give_up_at_ms =
        writer->options.give_up_after_ms < 0 ? INT64_MAX : iol_monotonic_ms() + writer->options.give_up_after_ms;
}

static bool time_is_up(const struct iol_writer *writer)
{
    return writer->give_up || (writer->finishing && iol_monotonic_ms() >= writer->give_up_at_ms);
}

/* Takes the first off the queue. It goes on counting as queued, until forget_batch(). */
static struct iol_batch *pop(struct iol_writer *writer)
{
    struct iol_batch *batch = writer->first;

    writer->first = batch->next;
    if (!writer->first)
        writer->last = &writer->first;
    batch->next = NULL;
    return batch;
}

static void push_front(struct iol_writer *writer, struct iol_batch *batch)
{
    batch->next = writer->first;
    writer->first = batch;
    if (!batch->next)
        writer->last = &batch->next;
}

static void forget_batch(struct iol_writer *writer, struct iol_batch *batch)
{
    writer->stats.queued--;
    writer->stats.queued_bytes -= iol_batch_memory(batch);
    iol_batch_free(batch);
    pthread_cond_broadcast(&writer->changed);
}

static void take_spool_stats(struct iol_writer *writer, const struct iol_spool_stats *stats)
{
    if (stats->answer > writer->stats.spool.answer) /* the other thread may have asked later, and been faster */
        writer->stats.spool = *stats;
    pthread_cond_broadcast(&writer->changed);
}

/* The spool is only asked without the lock: it may be busy merging, and nobody who puts is to wait for that. */
static void look_at_spool(struct iol_writer *writer)
{
    struct iol_spool_stats stats;

    pthread_mutex_unlock(&writer->lock);
    iol_spool_get_stats(writer->spool, &stats);
    pthread_mutex_lock(&writer->lock);
    take_spool_stats(writer, &stats);
}

/* The sender is through with the first of what it has. */
static void let_go(struct iol_writer *writer, struct taken *taken)
{
    struct iol_batch *batch = taken->batches[taken->first++];

    if (taken->from_spool)
        iol_batch_free(batch);
    else
        forget_batch(writer, batch);
    taken->n--;
    writer->sending_ts = !taken->from_spool && taken->n > 0 ? row_of(taken->batches[taken->first])->ts : 0;
}

/* The database is there: it has taken something, or refused it. */
static void note_answer(struct iol_writer *writer, struct taken *taken)
{
    taken->delay_ms = BACKOFF_FIRST_MS;
    writer->stats.down = false;
    if (writer->finishing)
        set_deadline(writer);
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
        writer->stats.committed_ts = row_of(batch)->ts;
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
    while (!time_is_up(writer)) {
        if (iol_monotonic_ms() >= until)
            return true;
        if (writer->finishing && !finishing) {
            taken->delay_ms = BACKOFF_FIRST_MS;
            return true;
        }
        wait_until(writer, writer->finishing && writer->give_up_at_ms < until ? writer->give_up_at_ms : until);
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
        taken->batches[taken->n] = pop(writer);
        rows += iol_batch_count(taken->batches[taken->n]);
    }
    writer->sending_ts = row_of(taken->batches[0])->ts;
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
            push_front(writer, batch);
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

static void *run_sender(void *arg)
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
        mind_hurry(writer);
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

/* Moves one batch from the queue to the spool. */
static void spool_one(struct iol_writer *writer)
{
    struct iol_batch *batch = pop(writer);
    struct iol_spool_stats stats;
    struct iol_error err = {0};

    writer->spooling_ts = row_of(batch)->ts;
    pthread_mutex_unlock(&writer->lock);
    int r = iol_spool_append(writer->spool, batch, &err);
    iol_spool_get_stats(writer->spool, &stats);
    pthread_mutex_lock(&writer->lock);
    writer->spooling_ts = 0;
    writer->stats.spool_failed = r < 0;
    take_spool_stats(writer, &stats);
    if (r < 0) {
        memcpy(writer->stats.spool_error, err.text, sizeof(writer->stats.spool_error));
        push_front(writer, batch);
        return;
    }
    writer->stats.spool_seq = row_of(batch)->seq;
    forget_batch(writer, batch);
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
            wait_until(writer, until);
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
        while (iol_monotonic_ms() < until && !time_is_up(writer))
            wait_until(writer, until);
        if (time_is_up(writer) || (writer->finishing && writer->sender_done))
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
    int r = pthread_create(&writer->sender, NULL, run_sender, writer);
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
    mind_hurry(writer);
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
}

bool iol_writer_spooled(struct iol_writer *writer, int timeout_ms)
{
    int64_t until = iol_monotonic_ms() + timeout_ms;

    pthread_mutex_lock(&writer->lock);
    while (writer->stats.queued > 0 && !writer->spooler_done && iol_monotonic_ms() < until)
        wait_until(writer, until);
    bool spooled = writer->stats.queued == 0;
    pthread_mutex_unlock(&writer->lock);
    return spooled;
}

bool iol_writer_full(struct iol_writer *writer)
{
    pthread_mutex_lock(&writer->lock);
    bool full = writer->stats.queued_bytes > writer->options.max_bytes;
    mind_hurry(writer);
    pthread_mutex_unlock(&writer->lock);
    return full;
}

static int64_t oldest_ts(const struct iol_writer *writer)
{
    const int64_t times[] = {writer->stats.spool.entries ? writer->stats.spool.oldest_ts : 0, writer->sending_ts,
                             writer->spooling_ts, writer->first ? row_of(writer->first)->ts : 0};
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
        wait_until(writer, iol_monotonic_ms() + FINISH_POLL_MS);
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
    mind_hurry(writer);
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
