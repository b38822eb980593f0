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
#include <stdatomic.h>
#include <string.h>
#include <time.h>

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
    int n_written;
    int64_t written[1000]; /* by the writer's thread; read after it has ended */
};

static int script_write(struct iol_sink *sink, const struct iol_batch *batch, struct iol_error *err)
{
    struct script *script = (struct script *)sink;
    const struct iol_batch_row *row = batch->rows[IOL_TABLE_BATCH].data;

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

static void script_interrupt(struct iol_sink *sink)
{
    atomic_store(&((struct script *)sink)->broken, true);
}

static const struct iol_sink_ops script_ops = {
    .scheme = "script", .write = script_write, .interrupt = script_interrupt};

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_retries_until_it_works),
        cmocka_unit_test(test_rejects_go_by),
        cmocka_unit_test(test_gives_up_in_time),
        cmocka_unit_test(test_interrupted),
        cmocka_unit_test(test_interrupt_breaks_off_a_hanging_write),
        cmocka_unit_test(test_put_does_not_wait),
        cmocka_unit_test(test_free_without_finish),
    };

    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
