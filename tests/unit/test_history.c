// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "app/live/history.h"
#include "app/live/top_few.h"

static void a_rate_is_read_back_within_ten_percent(void **state)
{
    (void)state;
    assert_int_equal(iol_history_decode(iol_history_encode(0)), 0);
    for (uint64_t rate = 1; rate < UINT64_C(1) << 62; rate += 1 + rate / 7) {
        uint64_t read = iol_history_decode(iol_history_encode(rate)), off = read > rate ? read - rate : rate - read;

        if (off > rate / 10 + (rate > 3))
            fail_msg("%llu is read as %llu", (unsigned long long)rate, (unsigned long long)read);
    }
}

static void the_scale_rises(void **state)
{
    (void)state;
    for (unsigned int code = 1; code < 254; code++)
        assert_true(iol_history_decode((uint8_t)code) <= iol_history_decode((uint8_t)(code + 1)));
    assert_true(iol_history_decode(iol_history_encode(UINT64_MAX)) > UINT64_MAX / 2);
}

static void add(struct iol_history *history, uint32_t now, uint32_t seconds, uint64_t read)
{
    const uint64_t rates[IOL_MEASURE_COUNT] = {[IOL_MEASURE_READ] = read, [IOL_MEASURE_ERRORS] = 1};

    iol_history_add(history, now, seconds, rates);
}

static const uint64_t *minute(const struct iol_history *history, uint32_t now)
{
    static uint64_t sums[IOL_HISTORY_SECONDS];

    memset(sums, 0, sizeof(sums));
    iol_history_sum(history, IOL_MEASURE_READ, now, sums);
    return sums;
}

static void seconds_stand_in_their_order_and_leave_after_a_minute(void **state)
{
    struct iol_history history = {0};

    (void)state;
    assert_int_equal(minute(&history, 100)[59], 0);
    add(&history, 100, 1, 4);
    add(&history, 101, 1, 8);
    add(&history, 105, 1, 16);
    assert_int_equal(minute(&history, 105)[59], 16);
    assert_int_equal(minute(&history, 105)[58], 0); /* nothing happened in these */
    assert_int_equal(minute(&history, 105)[55], 8);
    assert_int_equal(minute(&history, 105)[54], 4);
    assert_int_equal(minute(&history, 110)[54], 16); /* as seen five seconds later */
    assert_int_equal(minute(&history, 110)[59], 0);
    assert_int_equal(minute(&history, 159)[0], 4);
    assert_int_equal(minute(&history, 160)[0], 8);
    for (int i = 0; i < 60; i++)
        assert_int_equal(minute(&history, 165)[i], 0);
    add(&history, 1000, 1, 2); /* what was there before is not there any more */
    for (int i = 0; i < 59; i++)
        assert_int_equal(minute(&history, 1000)[i], 0);
    assert_int_equal(minute(&history, 1000)[59], 2);
}

static void a_long_interval_fills_its_seconds(void **state)
{
    struct iol_history history = {0};

    (void)state;
    add(&history, 200, 1, 4);
    add(&history, 205, 5, 8);
    assert_int_equal(minute(&history, 205)[54], 4);
    for (int i = 55; i < 60; i++)
        assert_int_equal(minute(&history, 205)[i], 8);
    add(&history, 1000, 500, 16); /* longer than a minute */
    for (int i = 0; i < 60; i++)
        assert_int_equal(minute(&history, 1000)[i], 16);
}

static void of_short_intervals_in_one_second_the_highest_stays(void **state)
{
    struct iol_history history = {0};

    (void)state;
    add(&history, 300, 1, 4);
    add(&history, 300, 0, 64);
    add(&history, 300, 0, 8);
    assert_int_equal(minute(&history, 300)[59], 64);
    assert_int_equal(minute(&history, 300)[58], 0);
}

static void histories_are_added_up(void **state)
{
    struct iol_history a = {0}, b = {0};
    uint64_t sums[IOL_HISTORY_SECONDS] = {0};

    (void)state;
    add(&a, 400, 1, 4);
    add(&b, 401, 1, 8);
    add(&a, 401, 1, 16);
    iol_history_sum(&a, IOL_MEASURE_READ, 401, sums);
    iol_history_sum(&b, IOL_MEASURE_READ, 401, sums);
    assert_int_equal(sums[59], 24);
    assert_int_equal(sums[58], 4);
}

static int compare(const void *a, const void *b)
{
    const struct iol_ranked *x = a, *y = b;

    if (x->key != y->key)
        return x->key > y->key ? -1 : 1;
    if (x->last != y->last)
        return x->last > y->last ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Keys of few values, so that ties are there; and for each number of few, up to all of them. */
static void the_first_few_are_those_of_a_whole_sort(void **state)
{
    enum { N = 300 };
    struct iol_ranked all[N], sorted[N], got[N];

    (void)state;
    srand(7);
    for (int range = 1; range < 2000; range *= 6) {
        for (uint32_t i = 0; i < N; i++)
            all[i] = (struct iol_ranked){.key = (uint64_t)(rand() % range), .last = (uint32_t)(rand() % 3), .index = i};
        memcpy(sorted, all, sizeof(all));
        qsort(sorted, N, sizeof(sorted[0]), compare);
        for (size_t few = 0; few <= N + 1; few++) {
            size_t shown = few < N ? few : N;

            memcpy(got, all, sizeof(all));
            iol_top_few(got, N, few);
            assert_memory_equal(got, sorted, shown * sizeof(got[0]));
        }
        memcpy(got, sorted, sizeof(sorted)); /* in order already */
        iol_top_few(got, N, 20);
        assert_memory_equal(got, sorted, 20 * sizeof(got[0]));
    }
    iol_top_few(got, 0, 5);
    iol_top_few(got, 1, 1);
}

/* The last one before all others, which are in order: a choice by pivots takes one more away with each look at all. */
static void no_order_makes_it_slow(void **state)
{
    enum { N = 1000000, FEW = 50 };
    struct iol_ranked *ranked = calloc(N, sizeof(*ranked));

    (void)state;
    assert_non_null(ranked);
    for (uint32_t i = 0; i < N; i++)
        ranked[i] = (struct iol_ranked){.key = i > 0, .index = i};
    iol_top_few(ranked, N, FEW);
    for (uint32_t i = 0; i < FEW; i++)
        assert_int_equal(ranked[i].index, i + 1);
    free(ranked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rate_is_read_back_within_ten_percent),
        cmocka_unit_test(the_scale_rises),
        cmocka_unit_test(seconds_stand_in_their_order_and_leave_after_a_minute),
        cmocka_unit_test(a_long_interval_fills_its_seconds),
        cmocka_unit_test(of_short_intervals_in_one_second_the_highest_stays),
        cmocka_unit_test(histories_are_added_up),
        cmocka_unit_test(the_first_few_are_those_of_a_whole_sort),
        cmocka_unit_test(no_order_makes_it_slow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
