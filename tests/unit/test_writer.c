// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/batch.h"
#include "store/sink.h"
#include "store/writer.h"

/* A sink that does what the test tells it to, and notes what it got: the real ones have tests of their own. */
struct script {
    struct iol_sink sink;
    atomic_int answer;  /* of the next writes */
    atomic_bool hold;   /* writes wait for its end, or for an interrupt */
    atomic_bool broken; /* by an interrupt */
    atomic_int tries;
    int64_t tried_ns[16]; /* when the first tries were made */
    int n_written;
    size_t largest;        /* of the groups */
    int64_t written[1000]; /* by the writer's thread; read after it has ended */
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int script_write(struct iol_sink *sink, const struct iol_batch *batch, struct iol_error *err)
{
    struct script *script = (struct script *)sink;
    const struct iol_batch_row *row = batch->rows[IOL_TABLE_BATCH].data;

    int try = atomic_load(&script->tries);
    if (try < 16)
        script->tried_ns[try] = now_ns();
    atomic_fetch_add(&script->tries, 1);
    while (atomic_load(&script->hold) && !atomic_load(&script->broken))
        sched_yield();
    if (atomic_load(&script->broken))
        return iol_error_set(err, -EAGAIN, "broken off");
    int answer = atomic_load(&script->answer);
    if (answer == -EINVAL && row->seq % 2 == 0)
        answer = 0; /* only odd ones are rejected */
    if (answer < 0)
        return iol_error_set(err, answer, "scripted failure");
    script->written[script->n_written++] = row->seq;
    return 0;
}

/* As much as comes, or nothing when one of them is refused. */
static ssize_t script_write_some(struct iol_sink *sink, const struct iol_batch *const *batches, size_t n,
                                 struct iol_error *err)
{
    struct script *script = (struct script *)sink;
    int before = script->n_written, r = 0;

    for (size_t i = 0; i < n && r == 0; i++)
        r = script_write(sink, batches[i], err);
    if (r < 0)
        script->n_written = before;
    else if (n > script->largest)
        script->largest = n;
    return r < 0 ? r : (ssize_t)n;
}

static void script_interrupt(struct iol_sink *sink)
{
    atomic_store(&((struct script *)sink)->broken, true);
}

static const struct iol_sink_ops script_ops = {
    .scheme = "script", .write = script_write, .interrupt = script_interrupt};

static const struct iol_sink_ops group_ops = {
    .scheme = "groups", .write = script_write, .write_some = script_write_some, .interrupt = script_interrupt};

static const struct iol_sink_ops ahead_ops = {.scheme = "ahead",
                                              .write = script_write,
                                              .write_some = script_write_some,
                                              .interrupt = script_interrupt,
                                              .reads_ahead = true};

static struct iol_batch *numbered(int64_t seq)
{
    struct iol_batch *batch = iol_batch_new();
    struct iol_batch_row *row = iol_batch_add(batch, IOL_TABLE_BATCH);

    *row = (struct iol_batch_row){1, "boot", seq, 1000 + seq};
    for (int i = 0; i < 9; i++)
        assert_non_null(iol_batch_add(batch, IOL_TABLE_IO));
    return batch;
}

static struct iol_writer *start(struct script *script, int give_up_after_ms)
{
    const struct iol_writer_options options = {.max_bytes = 20000, .give_up_after_ms = give_up_after_ms};
    struct iol_writer *writer = NULL;

    if (!script->sink.ops)
        script->sink.ops = &script_ops;
    assert_int_equal(iol_writer_new(&script->sink, &options, &writer), 0);
    return writer;
}

static void wait_tries(struct script *script, int tries)
{
    while (atomic_load(&script->tries) < tries)
        sched_yield();
}

static void test_order(void **state)
{
    static struct script script;
    struct iol_writer *writer = start(&script, -1);
    struct iol_writer_stats stats;
    uint64_t unwritten = 1;

    (void)state;
    for (int i = 0; i < 500; i++)
        iol_writer_put(writer, numbered(i));
    assert_int_equal(iol_writer_finish(writer, NULL, &unwritten, NULL), 0);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(unwritten, 0);
    assert_int_equal(stats.batches, 500);
    assert_int_equal(stats.rows, 5000);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.retries, 0);
    assert_false(stats.down);
    assert_string_equal(stats.last_error, "");
    iol_writer_free(writer);
    for (int i = 0; i < 500; i++)
        assert_int_equal(script.written[i], i);
}

static void test_retries_until_it_works(void **state)
{
    static struct script script = {.answer = -EAGAIN};
    struct iol_writer *writer = start(&script, -1);
    struct iol_writer_stats stats;
    time_t before = time(NULL);

    (void)state;
    for (int i = 0; i < 50; i++)
        iol_writer_put(writer, numbered(i));
    wait_tries(&script, 3);
    iol_writer_get_stats(writer, &stats);
    assert_true(stats.down);
    assert_true(stats.retries >= 2);
    assert_int_equal(stats.queued, 50);
    assert_string_equal(stats.last_error, "scripted failure");
    assert_int_equal(stats.oldest_ts, 1000);
    assert_int_equal(stats.committed_ts, 0);
    assert_in_range(stats.error_ts, before * 1000000000, (time(NULL) + 1) * 1000000000);
    assert_true(iol_writer_full(writer));
    atomic_store(&script.answer, -ENOSPC);
    wait_tries(&script, atomic_load(&script.tries) + 2);
    atomic_store(&script.answer, 0);
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, NULL), 0);
    iol_writer_get_stats(writer, &stats);
    assert_false(stats.down);
    assert_int_equal(stats.batches, 50);
    assert_int_equal(stats.oldest_ts, 0);
    assert_int_equal(stats.committed_ts, 1049);
    assert_false(iol_writer_full(writer));
    iol_writer_free(writer);
    for (int i = 0; i < 50; i++)
        assert_int_equal(script.written[i], i);
}

/* 50 ms, then twice as long each time, of which half is left to chance: two recorders do not come back together again and again. */
static void test_backs_off(void **state)
{
    enum { TRIES = 6 };
    static struct script scripts[4];
    struct iol_writer *writers[4];
    bool differ = false;

    (void)state;
    for (int i = 0; i < 4; i++) {
        atomic_store(&scripts[i].answer, -EAGAIN);
        writers[i] = start(&scripts[i], -1);
        iol_writer_put(writers[i], numbered(1));
        wait_tries(&scripts[i], 1);
        /* the chance of each begins with the millisecond in which it was started */
        for (int64_t ms = now_ns() / 1000000; now_ns() / 1000000 == ms;)
            sched_yield();
    }
    for (int i = 0; i < 4; i++) {
        wait_tries(&scripts[i], TRIES);
        atomic_store(&scripts[i].answer, 0);
        assert_int_equal(iol_writer_finish(writers[i], NULL, NULL, NULL), 0);
        iol_writer_free(writers[i]);
    }
    for (int try = 1; try < TRIES; try++) {
        int64_t least = INT64_MAX, most = 0;
        for (int i = 0; i < 4; i++) {
            int64_t gap = scripts[i].tried_ns[try] - scripts[i].tried_ns[try - 1];
            least = gap < least ? gap : least;
            most = gap > most ? gap : most;
        }
        assert_true(least >= (INT64_C(24000000) << (try - 1))); /* the clock of the waits is in whole ms */
        differ |= most - least > INT64_C(5000000) << (try - 1);
    }
    assert_true(differ);
}

static void test_rejects_go_by(void **state)
{
    static struct script script = {.answer = -EINVAL};
    struct iol_writer *writer = start(&script, -1);
    struct iol_writer_stats stats;
    struct iol_error err = {0};
    uint64_t unwritten = 0;

    (void)state;
    for (int i = 0; i < 10; i++)
        iol_writer_put(writer, numbered(i));
    assert_int_equal(iol_writer_finish(writer, NULL, &unwritten, &err), -EINVAL);
    assert_string_equal(err.text, "scripted failure");
    assert_int_equal(unwritten, 50);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.rejected, 5);
    assert_int_equal(stats.rejected_rows, 50);
    assert_int_equal(stats.batches, 5);
    iol_writer_free(writer);
}

static struct iol_writer_stats wait_spooled(struct iol_writer *writer, uint64_t entries)
{
    struct iol_writer_stats stats;

    do
        iol_writer_get_stats(writer, &stats);
    while ((stats.queued > 0 || stats.spool.entries != entries) && sched_yield() == 0);
    return stats;
}

/* What waits goes into one transaction; when the sink refuses it, each batch by itself. */
static void write_in_groups(struct iol_writer *writer, struct script *script, bool refused)
{
    struct iol_writer_stats stats;
    uint64_t unwritten = 1;

    for (int i = 1; i <= 301; i++)
        iol_writer_put(writer, numbered(i));
    iol_writer_get_stats(writer, &stats);
    if (stats.spooled)
        wait_spooled(writer, 301);
    wait_tries(script, 1);
    atomic_store(&script->hold, false);
    assert_int_equal(iol_writer_finish(writer, NULL, &unwritten, NULL), refused ? -EINVAL : 0);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.batches, refused ? 150 : 301);
    assert_int_equal(stats.rows, stats.batches * 10);
    assert_int_equal(stats.rejected, refused ? 151 : 0);
    assert_int_equal(stats.queued_bytes, 0);
    iol_writer_free(writer);
    assert_int_equal(script->n_written, stats.batches);
    for (int i = 0; i < script->n_written; i++)
        assert_int_equal(script->written[i], refused ? 2 * i + 2 : i + 1);
    assert_true(refused ? script->largest == 0 : script->largest > 40);
}

static void test_groups(void **state)
{
    static struct script script = {.sink.ops = &group_ops, .hold = true};

    (void)state;
    write_in_groups(start(&script, -1), &script, false);
}

static void test_groups_refused(void **state)
{
    static struct script script = {.sink.ops = &group_ops, .hold = true, .answer = -EINVAL};

    (void)state;
    write_in_groups(start(&script, -1), &script, true);
}

static void test_gives_up_in_time(void **state)
{
    static struct script script = {.answer = -EAGAIN};
    struct iol_writer *writer = start(&script, 300);
    struct timespec before, after;
    struct iol_error err = {0};
    uint64_t unwritten = 0;

    (void)state;
    iol_writer_put(writer, numbered(1));
    iol_writer_put(writer, numbered(2));
    clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(iol_writer_finish(writer, NULL, &unwritten, &err), -EAGAIN);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(unwritten, 20);
    assert_string_equal(err.text, "scripted failure");
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 299);
    assert_true(atomic_load(&script.tries) >= 2);
    iol_writer_free(writer);
}

static void test_interrupted(void **state)
{
    static struct script script = {.answer = -EAGAIN};
    static volatile bool interrupted = true;
    struct iol_writer *writer = start(&script, -1);
    uint64_t unwritten = 0;

    (void)state;
    iol_writer_put(writer, numbered(1));
    wait_tries(&script, 1);
    assert_int_equal(iol_writer_finish(writer, &interrupted, &unwritten, NULL), -EAGAIN);
    assert_int_equal(unwritten, 10);
    iol_writer_free(writer);
}

static void test_interrupt_breaks_off_a_hanging_write(void **state)
{
    static struct script script = {.hold = true};
    static volatile bool interrupted = true;
    struct iol_writer *writer = start(&script, -1);
    struct iol_error err = {0};
    uint64_t unwritten = 0;

    (void)state;
    iol_writer_put(writer, numbered(1));
    iol_writer_put(writer, numbered(2));
    wait_tries(&script, 1);
    assert_int_equal(iol_writer_finish(writer, &interrupted, &unwritten, &err), -EAGAIN);
    assert_string_equal(err.text, "broken off");
    assert_int_equal(unwritten, 20);
    iol_writer_free(writer);
}

/* What the capture side does must never wait for the database. */
static void test_put_does_not_wait(void **state)
{
    static struct script script = {.hold = true};
    struct iol_writer *writer = start(&script, -1);
    struct iol_writer_stats stats;

    (void)state;
    assert_false(iol_writer_full(writer));
    for (int i = 0; i < 300; i++)
        iol_writer_put(writer, numbered(i));
    wait_tries(&script, 1);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.queued, 300);
    assert_true(stats.queued_bytes > 20000);
    assert_true(iol_writer_full(writer));
    atomic_store(&script.hold, false);
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, NULL), 0);
    iol_writer_free(writer);
    assert_int_equal(script.n_written, 300);
}

static void test_free_without_finish(void **state)
{
    static struct script script = {.answer = -EAGAIN};
    struct iol_writer *writer = start(&script, -1);

    (void)state;
    iol_writer_put(writer, numbered(1));
    iol_writer_free(writer);
    iol_writer_free(NULL);
}

/* With a spool. */

static char spool_dir[64];

static int make_spool_dir(void **state)
{
    (void)state;
    strcpy(spool_dir, "/tmp/ioledger-writer.XXXXXX");
    return mkdtemp(spool_dir) ? 0 : -1;
}

static int remove_spool_dir(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", spool_dir);
    return system(command);
}

static struct iol_spool *open_spool(void)
{
    const struct iol_spool_options options = {
        .max_bytes = IOL_SPOOL_MIN_BYTES, .sync = IOL_SPOOL_SYNC_NEVER, .target = "script", .keep = true};
    struct iol_spool *spool = NULL;
    struct iol_error err = {0};

    if (iol_spool_open(spool_dir, &options, &spool, &err) < 0)
        fail_msg("%s", err.text);
    return spool;
}

static struct iol_writer *start_spooled(struct script *script, struct iol_spool *spool, int give_up_after_ms)
{
    const struct iol_writer_options options = {
        .max_bytes = 20000, .give_up_after_ms = give_up_after_ms, .spool = spool};
    struct iol_writer *writer = NULL;

    if (!script->sink.ops)
        script->sink.ops = &script_ops;
    assert_int_equal(iol_writer_new(&script->sink, &options, &writer), 0);
    return writer;
}

static void test_spool_groups(void **state)
{
    static struct script script = {.sink.ops = &group_ops, .hold = true};
    struct iol_spool *spool = open_spool();

    (void)state;
    write_in_groups(start_spooled(&script, spool, -1), &script, false);
    iol_spool_close(spool);
}

/* What comes next is read while the first waits for its answer; then that answer is a failure. */
static void test_spool_ahead(void **state)
{
    static struct script script = {.sink.ops = &ahead_ops, .hold = true, .answer = -EAGAIN};
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&script, spool, -1);

    (void)state;
    for (int i = 1; i <= 900; i++)
        iol_writer_put(writer, numbered(i));
    wait_spooled(writer, 900);
    wait_tries(&script, 1);
    atomic_store(&script.hold, false);
    wait_tries(&script, 3);
    atomic_store(&script.answer, 0);
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, NULL), 0);
    iol_writer_free(writer);
    iol_spool_close(spool);
    assert_int_equal(script.n_written, 900);
    for (int i = 0; i < 900; i++)
        assert_int_equal(script.written[i], i + 1);
}

static void test_spool_groups_refused(void **state)
{
    static struct script script = {.sink.ops = &ahead_ops, .hold = true, .answer = -EINVAL};
    struct iol_spool *spool = open_spool();
    struct iol_spool_stats stats;

    (void)state;
    write_in_groups(start_spooled(&script, spool, -1), &script, true);
    iol_spool_get_stats(spool, &stats);
    assert_int_equal(stats.quarantined, 151);
    iol_spool_close(spool);
}

static void test_spool_keeps_memory_free(void **state)
{
    static struct script script = {.hold = true};
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&script, spool, -1);

    (void)state;
    for (int i = 0; i < 500; i++)
        iol_writer_put(writer, numbered(i + 1));
    struct iol_writer_stats stats = wait_spooled(writer, 500);
    assert_int_equal(stats.queued_bytes, 0);
    assert_int_equal(stats.waiting, 500);
    assert_int_equal(stats.spool_seq, 500);
    assert_int_equal(stats.oldest_ts, stats.spool.oldest_ts);
    assert_false(iol_writer_full(writer));
    atomic_store(&script.hold, false);
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, NULL), 0);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.batches, 500);
    assert_int_equal(stats.rows, 5000);
    assert_int_equal(stats.waiting, 0);
    iol_writer_free(writer);
    iol_spool_close(spool);
    for (int i = 0; i < 500; i++)
        assert_int_equal(script.written[i], i + 1);
}

/* What one writer leaves the next one sends, first of all. */
static void test_spool_goes_on(void **state)
{
    static struct script away = {.answer = -EAGAIN}, back;
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&away, spool, 100);
    struct iol_error err = {0};
    uint64_t unwritten = 0;

    (void)state;
    for (int i = 1; i <= 20; i++)
        iol_writer_put(writer, numbered(i));
    assert_int_equal(iol_writer_finish(writer, NULL, &unwritten, &err), 1);
    assert_int_equal(unwritten, 200);
    iol_writer_free(writer);
    iol_spool_close(spool);

    spool = open_spool();
    writer = start_spooled(&back, spool, -1);
    iol_writer_put(writer, numbered(21));
    assert_int_equal(iol_writer_finish(writer, NULL, &unwritten, &err), 0);
    assert_int_equal(unwritten, 0);
    iol_writer_free(writer);
    iol_spool_close(spool);
    assert_int_equal(back.n_written, 21);
    for (int i = 0; i < 21; i++)
        assert_int_equal(back.written[i], i + 1);
}

/* With a spool nobody has to stay until a long backlog is sent. */
static void test_spool_interrupted(void **state)
{
    static struct script script = {.hold = true};
    static volatile bool interrupted = true;
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&script, spool, -1);
    uint64_t unwritten = 0;

    (void)state;
    for (int i = 1; i <= 300; i++)
        iol_writer_put(writer, numbered(i));
    wait_spooled(writer, 300);
    wait_tries(&script, 1);
    assert_int_equal(iol_writer_finish(writer, &interrupted, &unwritten, NULL), 1);
    assert_int_equal(unwritten, 3000);
    iol_writer_free(writer);
    iol_spool_close(spool);
}

static void test_spool_sets_rejects_aside(void **state)
{
    static struct script script = {.answer = -EINVAL};
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&script, spool, -1);
    struct iol_writer_stats stats;
    struct iol_error err = {0};

    (void)state;
    for (int i = 1; i <= 10; i++)
        iol_writer_put(writer, numbered(i));
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, &err), -EINVAL);
    assert_string_equal(err.text, "scripted failure");
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.batches, 5);
    assert_int_equal(stats.rejected, 5);
    assert_int_equal(stats.spool.quarantined, 5);
    assert_int_equal(stats.spool.quarantined_rows, 50);
    assert_int_equal(stats.waiting, 0);
    iol_writer_free(writer);
    iol_spool_close(spool);
}

/* A right that was taken away is no batch's fault. */
static void test_spool_waits_for_rights(void **state)
{
    static struct script script = {.answer = -EACCES};
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&script, spool, -1);
    struct iol_writer_stats stats;

    (void)state;
    iol_writer_put(writer, numbered(1));
    wait_tries(&script, 3);
    atomic_store(&script.answer, 0);
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, NULL), 0);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.rejected, 0);
    assert_int_equal(stats.batches, 1);
    iol_writer_free(writer);
    iol_spool_close(spool);
}

/* A disk that takes nothing: what is in the spool goes first, then what is in memory; each once. */
static void test_spool_takes_nothing(void **state)
{
    static struct script script = {.hold = true};
    struct iol_spool *spool = open_spool();
    struct iol_writer *writer = start_spooled(&script, spool, -1);
    struct rlimit limit, none;
    struct iol_writer_stats stats;

    (void)state;
    for (int i = 1; i <= 5; i++)
        iol_writer_put(writer, numbered(i));
    wait_spooled(writer, 5);
    wait_tries(&script, 1); /* what is to be sent was noted on the disk */
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    none = (struct rlimit){1, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (int i = 6; i <= 10; i++)
        iol_writer_put(writer, numbered(i));
    do
        iol_writer_get_stats(writer, &stats);
    while (!stats.spool_failed && sched_yield() == 0);
    assert_non_null(strstr(stats.spool_error, "File too large"));
    assert_int_equal(stats.waiting, 10);
    atomic_store(&script.hold, false);
    do
        iol_writer_get_stats(writer, &stats);
    while (stats.batches < 10 && sched_yield() == 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    iol_writer_put(writer, numbered(11));
    wait_tries(&script, 11);
    assert_int_equal(iol_writer_finish(writer, NULL, NULL, NULL), 0);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(stats.batches, 11);
    iol_writer_free(writer);
    iol_spool_close(spool);
    for (int i = 0; i < 11; i++)
        assert_int_equal(script.written[i], i + 1);
}

#define SPOOLED(name) cmocka_unit_test_setup_teardown(name, make_spool_dir, remove_spool_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_retries_until_it_works),
        cmocka_unit_test(test_backs_off),
        cmocka_unit_test(test_rejects_go_by),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_groups_refused),
        cmocka_unit_test(test_gives_up_in_time),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_interrupt_breaks_off_a_hanging_write),
        cmocka_unit_test(test_put_does_not_wait),
        cmocka_unit_test(test_free_without_finish),
        SPOOLED(test_spool_keeps_memory_free),
        SPOOLED(test_spool_groups),
        SPOOLED(test_spool_ahead),
        SPOOLED(test_spool_groups_refused),
        SPOOLED(test_spool_goes_on),
        SPOOLED(test_spool_interrupted),
        SPOOLED(test_spool_sets_rejects_aside),
        SPOOLED(test_spool_waits_for_rights),
        SPOOLED(test_spool_takes_nothing),
    };

    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
