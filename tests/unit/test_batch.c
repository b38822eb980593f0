// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "core/batch.h"

static void test_rows_are_zeroed_and_kept(void **state)
{
    struct iol_batch *batch = iol_batch_new();

    (void)state;
    assert_non_null(batch);
    for (int64_t i = 0; i < 10000; i++) {
        struct iol_io *io = iol_batch_add(batch, IOL_TABLE_IO);
        assert_non_null(io);
        assert_int_equal(io->ts, 0);
        assert_int_equal(io->last_ts, 0);
        *io = (struct iol_io){.ts = i, .last_ts = -i};
    }
    assert_int_equal(batch->rows[IOL_TABLE_IO].count, 10000);
    const struct iol_io *rows = batch->rows[IOL_TABLE_IO].data;
    for (int64_t i = 0; i < 10000; i++) {
        assert_int_equal(rows[i].ts, i);
        assert_int_equal(rows[i].last_ts, -i);
    }
    iol_batch_free(batch);
}

static void test_count_and_memory(void **state)
{
    struct iol_batch *batch = iol_batch_new();
    size_t empty = iol_batch_memory(batch);

    (void)state;
    assert_int_equal(iol_batch_count(batch), 0);
    for (int t = 0; t < IOL_TABLE_COUNT; t++)
        for (int i = 0; i <= t; i++)
            assert_non_null(iol_batch_add(batch, t));
    assert_int_equal(iol_batch_count(batch), IOL_TABLE_COUNT * (IOL_TABLE_COUNT + 1) / 2);
    size_t rows = iol_batch_memory(batch);
    assert_true(rows >= empty + IOL_TABLE_COUNT * 16 * sizeof(int64_t));
    assert_non_null(iol_arena_alloc(batch->arena, 100000));
    assert_true(iol_batch_memory(batch) >= rows + 100000);
    iol_batch_free(batch);
    iol_batch_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_zeroed_and_kept),
        cmocka_unit_test(test_count_and_memory),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
