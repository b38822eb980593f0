// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What a sweep does to the model, and that nothing in it grows for ever. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/model.h"
#include "records.h"

#define EXITED(code) ((code) << 8) /* status of wait(2) */

enum image { INIT = 0x100, SHELL, CHILD, CAT, OTHER };

struct fixture {
    struct iol_model *model;
    struct iol_batch *batch;
    uint64_t epoch;
    uint64_t living[8]; /* images that the map of processes has */
    size_t asked;       /* how often it was asked */
};

static int make(void **state, bool all)
{
    const struct iol_model_options options = {
        .host_id = 4711, .boot_id = "boot-1", .all = all, .running_ancestors = true, .max_idle_files = 4};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->model = iol_model_new(&options);
    f->batch = iol_batch_new();
    assert_non_null(f->model);
    assert_non_null(f->batch);
    *state = f;
    return 0;
}

static int make_all(void **state)
{
    return make(state, true);
}

static int make_filtered(void **state)
{
    return make(state, false);
}

static int drop(void **state)
{
    struct fixture *f = *state;

    iol_model_free(f->model);
    iol_batch_free(f->batch);
    free(f);
    return 0;
}

static void post(struct fixture *f, struct record record)
{
    struct iol_decoded decoded;

    assert_int_equal(iol_decode_record(record.data, record.size, &decoded), 0);
    assert_int_equal(iol_model_post(f->model, &decoded, f->batch), 0);
    record_free(&record);
}

static void post_process(struct fixture *f, uint64_t image, uint64_t parent, uint32_t origin, bool traced)
{
    const struct process_spec spec = {
        .ts = 2000,
        .image = image,
        .parent = parent,
        .start_ns = 1000,
        .exec_ns = origin == IOL_ORIGIN_EXEC ? 2000 : 0,
        .pid = (uint32_t)image,
        .ppid = (uint32_t)parent,
        .origin = origin,
        .login_uid = UINT32_MAX,
        .session_id = UINT32_MAX,
        .bits = (traced ? IOL_PROCESS_TRACED : 0) | (origin == IOL_ORIGIN_FORK ? IOL_PROCESS_INHERITS : 0),
        .comm = origin == IOL_ORIGIN_RUNNING ? "seen" : "told",
        .cwd = BYTES("/"),
        .argv = origin == IOL_ORIGIN_FORK ? BYTES("") : BYTES("a\0"),
    };

    post(f, record_process(&spec));
}

static void run(struct fixture *f, uint64_t image, uint64_t parent)
{
    post_process(f, image, parent, IOL_ORIGIN_RUNNING, true);
}

static void fork_of(struct fixture *f, uint64_t image, uint64_t parent)
{
    post_process(f, image, parent, IOL_ORIGIN_FORK, true);
}

static size_t count(const struct fixture *f, enum iol_table_id table)
{
    return f->batch->rows[table].count;
}

static const struct iol_process *process_row(const struct fixture *f, size_t index)
{
    assert_in_range(index, 0, count(f, IOL_TABLE_PROCESS) - 1);
    return (const struct iol_process *)f->batch->rows[IOL_TABLE_PROCESS].data + index;
}

static struct iol_model_stats stats_of(const struct fixture *f)
{
    struct iol_model_stats stats;

    iol_model_get_stats(f->model, &stats);
    return stats;
}

static bool lives(void *arg, uint32_t pid, uint64_t image)
{
    struct fixture *f = arg;

    assert_int_equal(pid, (uint32_t)image);
    f->asked++;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(f->living); i++) {
        if (f->living[i] == image)
            return true;
    }
    return false;
}

static void end_sweep(struct fixture *f)
{
    iol_model_sweep_ask(f->model, lives, f);
    assert_int_equal(iol_model_sweep_end(f->model, f->batch), 0);
}

static void settle(struct fixture *f)
{
    for (int i = 0; i < 8; i++)
        iol_model_trim(f->model, ++f->epoch, 0, NULL, NULL);
}

/* Its exit was lost. */
static void who_is_not_heard_of_has_ended(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *child;

    run(f, SHELL, INIT);
    fork_of(f, CHILD, SHELL);
    child = iol_model_get_process(f->model, CHILD, f->batch);
    iol_model_sweep_begin(f->model);
    run(f, SHELL, INIT);
    end_sweep(f);
    assert_true(iol_model_process_ended(child));
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 2);
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 0);
    assert_int_equal(stats_of(f).ended_unheard, 1);

    /* as long as it has an account it is held, and no longer */
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 2);
    iol_model_put_process(f->model, child);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 1);
}

/* The iterator does not show a process whose first thread has ended. */
static void who_is_in_the_map_lives(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    run(f, OTHER, INIT);
    f->living[0] = OTHER;
    iol_model_sweep_begin(f->model);
    run(f, SHELL, INIT);
    end_sweep(f);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 2);
    assert_int_equal(stats_of(f).ended_unheard, 0);
    assert_int_equal(f->asked, 1);
}

/* Forked while the iterator was already past its place. */
static void who_begins_during_the_sweep_lives(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    iol_model_sweep_begin(f->model);
    run(f, SHELL, INIT);
    fork_of(f, CHILD, SHELL);
    end_sweep(f);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 2);
    assert_int_equal(f->asked, 0);
}

static void who_was_not_known_becomes_known(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    iol_model_sweep_begin(f->model);
    run(f, CAT, CHILD);
    run(f, CHILD, SHELL);
    run(f, SHELL, INIT);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 0);
    for (size_t i = 1; i < 3; i++) {
        assert_int_equal(process_row(f, i)->origin, IOL_ORIGIN_RUNNING);
        assert_string_equal(process_row(f, i)->comm, "seen");
    }
    assert_int_equal(stats_of(f).found_running, 2);
    assert_int_equal(stats_of(f).processes, 3);
    post(f, record_exit(4000, CAT, EXITED(3)));
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
}

/* The iterator is ahead of the ring buffer: fork, exec and exit come after it. */
static void what_is_on_its_way_counts_more(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    iol_model_sweep_begin(f->model);
    run(f, SHELL, INIT);
    run(f, CHILD, SHELL);
    run(f, OTHER, CHILD);
    fork_of(f, CHILD, SHELL);
    fork_of(f, OTHER, CHILD);
    post_process(f, CAT, OTHER, IOL_ORIGIN_EXEC, true);
    post(f, record_exit(4000, CHILD, EXITED(3)));
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 4);
    assert_int_equal(process_row(f, 1)->origin, IOL_ORIGIN_FORK);
    assert_string_equal(process_row(f, 1)->comm, "told");
    assert_int_equal(process_row(f, 2)->parent_id, process_row(f, 1)->id);
    assert_int_equal(process_row(f, 3)->origin, IOL_ORIGIN_EXEC);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 4); /* two forks, an exec, an exit */
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    assert_int_equal(stats_of(f).found_running, 0);
    assert_int_equal(stats_of(f).processes, 4);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 2); /* the shell and cat */
}

/* Some looks are taken again and again until nothing new turns up: one that was seen twice is still told of by its own record. */
static void seen_twice_and_on_its_way(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    iol_model_sweep_begin(f->model);
    for (int i = 0; i < 3; i++) {
        run(f, SHELL, INIT);
        run(f, CAT, SHELL);
    }
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
    fork_of(f, CHILD, SHELL);
    post_process(f, CAT, CHILD, IOL_ORIGIN_EXEC, true);
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    assert_int_equal(process_row(f, 2)->origin, IOL_ORIGIN_EXEC);
    assert_string_equal(process_row(f, 2)->comm, "told");
    assert_int_equal(count(f, IOL_TABLE_EVENT), 2); /* a fork and an exec */
    assert_int_equal(stats_of(f).found_running, 0);
}

/* What the ring buffer had before it was not whole yet when the sweep read to its end. */
static void on_its_way_for_longer_than_the_sweep(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    fork_of(f, CHILD, SHELL);
    iol_model_sweep_begin(f->model);
    run(f, SHELL, INIT);
    run(f, CAT, SHELL);
    f->living[0] = CHILD;
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    assert_int_equal(process_row(f, 2)->origin, IOL_ORIGIN_RUNNING);
    post_process(f, CAT, CHILD, IOL_ORIGIN_EXEC, true);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 4); /* the same row, once more */
    assert_true(process_row(f, 3)->id == process_row(f, 2)->id);
    assert_int_equal(process_row(f, 3)->origin, IOL_ORIGIN_EXEC);
    assert_true(process_row(f, 3)->exec_time != IOL_NULL);
    assert_true(process_row(f, 3)->parent_id == process_row(f, 1)->id);
    assert_string_equal(process_row(f, 3)->comm, "told");
    assert_int_equal(count(f, IOL_TABLE_EVENT), 2); /* a fork and an exec */
    /* and not again */
    post_process(f, CAT, CHILD, IOL_ORIGIN_EXEC, true);
    assert_int_equal(count(f, IOL_TABLE_EVENT), 2);
    assert_int_equal(stats_of(f).processes, 3);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 2); /* the shell and cat */
}

/* It ended after the ring buffer had been read, and before it was looked for: its exit is there by then. */
static void gone_with_its_exit_on_its_way(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    fork_of(f, CHILD, SHELL);
    iol_model_sweep_begin(f->model);
    run(f, SHELL, INIT);
    iol_model_sweep_ask(f->model, lives, f);
    post(f, record_exit(4000, CHILD, EXITED(3)));
    assert_int_equal(iol_model_sweep_end(f->model, f->batch), 0);
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    assert_int_equal(stats_of(f).ended_unheard, 0);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 1);
}

/* Found running, and its exit comes in the same sweep: it has its row, and the exit's. */
static void found_and_gone_at_once(void **state)
{
    struct fixture *f = *state;

    iol_model_sweep_begin(f->model);
    run(f, CHILD, SHELL);
    post(f, record_exit(4000, CHILD, EXITED(3)));
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 1);
    assert_int_equal(count(f, IOL_TABLE_PROCESS_EXIT), 1);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 0);
}

static void a_sweep_without_an_answer_ends_nobody(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    iol_model_sweep_begin(f->model);
    assert_int_equal(iol_model_sweep_end(f->model, f->batch), 0);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 1);
    assert_int_equal(stats_of(f).sweeps, 0);
}

/* Accounts of an image whose record was lost. The ledger replaces such a row by one with a start_time. */
static void who_was_made_up_is_described_when_it_is_found(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *unknown = iol_model_get_process(f->model, CHILD, f->batch);
    struct iol_model_process *others = iol_model_get_process(f->model, 0, f->batch);

    assert_int_equal(stats_of(f).made_up, 1);
    assert_true(process_row(f, 0)->start_time == IOL_NULL);
    iol_model_sweep_begin(f->model);
    run(f, CHILD, SHELL);
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 3);
    assert_int_equal(process_row(f, 2)->id, process_row(f, 0)->id);
    assert_string_equal(process_row(f, 2)->comm, "seen");
    assert_false(iol_model_process_ended(unknown));
    assert_false(iol_model_process_ended(others));
    iol_model_put_process(f->model, unknown);
    iol_model_put_process(f->model, others);
}

static void who_was_made_up_ends_too(void **state)
{
    struct fixture *f = *state;
    struct iol_model_process *unknown = iol_model_get_process(f->model, 1ULL << 32, f->batch);

    iol_model_sweep_begin(f->model);
    end_sweep(f);
    assert_true(iol_model_process_ended(unknown));
    iol_model_put_process(f->model, unknown);
    settle(f);
    assert_int_equal(stats_of(f).processes_held, 0);
}

/* No filter meets it: it is known, and has no row. */
static void the_untraced_stay_without_a_row(void **state)
{
    struct fixture *f = *state;

    iol_model_sweep_begin(f->model);
    post_process(f, SHELL, INIT, IOL_ORIGIN_RUNNING, false);
    post_process(f, CHILD, SHELL, IOL_ORIGIN_RUNNING, true);
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 2); /* the child, and the shell as its ancestor */
    iol_model_sweep_begin(f->model);
    post_process(f, OTHER, INIT, IOL_ORIGIN_RUNNING, false);
    end_sweep(f);
    assert_int_equal(count(f, IOL_TABLE_PROCESS), 2);
}

/* Thousands of exits lost at once, again and again. */
static void lost_exits_do_not_add_up(void **state)
{
    struct fixture *f = *state;

    run(f, SHELL, INIT);
    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < 5000; i++)
            fork_of(f, 0x10000 + round * 5000 + i, SHELL);
        iol_model_sweep_begin(f->model);
        run(f, SHELL, INIT);
        end_sweep(f);
        assert_int_equal(stats_of(f).ended_in_epoch, 5000);
        settle(f);
        assert_int_equal(stats_of(f).ended_in_epoch, 0);
        assert_int_equal(stats_of(f).processes_held, 1);
        iol_batch_free(f->batch);
        f->batch = iol_batch_new();
        assert_non_null(f->batch);
    }
}

/* A program that nobody asks for leaves its work to a successor, for ever. */
static void an_untraced_line_is_cut(void **state)
{
    struct fixture *f = *state;
    const struct iol_process *oldest;
    uint64_t last = SHELL;

    post_process(f, SHELL, INIT, IOL_ORIGIN_RUNNING, false);
    for (uint64_t i = 0; i < 10000; i++) {
        post_process(f, 0x10000 + i, last, IOL_ORIGIN_FORK, false);
        post(f, record_exit(4000, last, EXITED(0)));
        last = 0x10000 + i;
        iol_model_trim(f->model, ++f->epoch, 0, NULL, NULL);
    }
    assert_in_range(stats_of(f).processes_held, IOL_MODEL_MAX_ANCESTORS, IOL_MODEL_MAX_ANCESTORS + 5);
    /* its end is asked for after all: it has as many ancestors as were kept, and none that is not there */
    post_process(f, OTHER, last, IOL_ORIGIN_FORK, true);
    assert_in_range(count(f, IOL_TABLE_PROCESS), IOL_MODEL_MAX_ANCESTORS, IOL_MODEL_MAX_ANCESTORS + 1);
    oldest = process_row(f, count(f, IOL_TABLE_PROCESS) - 1);
    assert_true(oldest->parent_id == IOL_NULL);
    for (size_t i = 0; i + 1 < count(f, IOL_TABLE_PROCESS); i++)
        assert_true(process_row(f, i)->parent_id == process_row(f, i + 1)->id);
}

#define ALL(test) cmocka_unit_test_setup_teardown(test, make_all, drop)
#define FILTERED(test) cmocka_unit_test_setup_teardown(test, make_filtered, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(who_is_not_heard_of_has_ended),
        ALL(who_is_in_the_map_lives),
        ALL(who_begins_during_the_sweep_lives),
        ALL(who_was_not_known_becomes_known),
        ALL(what_is_on_its_way_counts_more),
        ALL(found_and_gone_at_once),
        ALL(a_sweep_without_an_answer_ends_nobody),
        ALL(who_was_made_up_is_described_when_it_is_found),
        FILTERED(the_untraced_stay_without_a_row),
        ALL(lost_exits_do_not_add_up),
        FILTERED(an_untraced_line_is_cut),
        ALL(who_was_made_up_ends_too),
        ALL(seen_twice_and_on_its_way),
        ALL(on_its_way_for_longer_than_the_sweep),
        ALL(gone_with_its_exit_on_its_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
