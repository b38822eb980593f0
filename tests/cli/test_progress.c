// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "app/pipeline.h"
#include "app/progress.h"
#include "app/rates.h"
#include "base/text.h"

#define S INT64_C(1000000000)

static const struct iol_rates rates = {.ops_per_s = 123456};

static const char *line_of(const struct iol_pipeline_stats *stats, size_t columns)
{
    static char line[IOL_PROGRESS_LINE_MAX];

    return iol_progress_line(line, columns, stats, &rates, 754 * S, 1000 * S);
}

static void a_quiet_line_tells_rates_and_losses(void **state)
{
    struct iol_pipeline_stats stats = {.accounts = {.in_use = 1234, .lost = {1, 2}}, .writer = {.rows = 5000000}};

    (void)state;
    assert_string_equal(line_of(&stats, 80), "12:34  123.5K ops/s  1.2K accounts  5.0M rows stored  3 losses");
    stats.writer.waiting = 3;
    assert_string_equal(line_of(&stats, 80),
                        "12:34  123.5K ops/s  1.2K accounts  5.0M rows stored, 3 batches wait  3 losses");
}

static void a_database_that_is_away_is_told(void **state)
{
    struct iol_pipeline_stats stats = {
        .writer = {.waiting = 182, .down = true, .oldest_ts = 815 * S, .last_error = "no\x1b[31m connection\nto it"}};

    (void)state;
    assert_string_equal(line_of(&stats, 240),
                        "12:34  database away, 182 batches wait, 3 min 5 s: no\\e[31m connection\\nto it");
    /* what does not fit is the beginning of the error */
    assert_string_equal(line_of(&stats, 70), "12:34  database away, 182 batches wait, 3 min 5 s: ...onnection\\nto it");
    stats.writer.waiting = 1;
    assert_non_null(strstr(line_of(&stats, 240), "away, 1 batch waits, 3 min 5 s: "));
}

static void no_line_is_wider_than_the_terminal(void **state)
{
    struct iol_pipeline_stats stats = {.writer = {.waiting = 182, .down = true, .oldest_ts = 815 * S}};

    (void)state;
    for (size_t i = 0; i + 5 < sizeof(stats.writer.last_error); i += 5)
        memcpy(stats.writer.last_error + i, "\xe6\xbc\xa2\x01x", 5);
    for (size_t columns = 4; columns < 300; columns++) {
        size_t width = iol_text_width(line_of(&stats, columns));

        assert_true(width <= columns);
        assert_true(width + 2 >= (columns < IOL_PROGRESS_COLUMNS_MAX ? columns : IOL_PROGRESS_COLUMNS_MAX));
    }
}

static void rates_are_of_the_last_interval(void **state)
{
    struct iol_rates now = {.counted_ns = 0, .written_ns = 0};
    struct iol_pipeline_stats stats = {.accounts = {.ops = 1000, .read_bytes = 500}, .writer = {.rows = 10}};

    (void)state;
    iol_rates_update(&now, &stats, 2 * S);
    assert_int_equal(now.ops_per_s, 500);
    assert_int_equal(now.read_bytes_per_s, 250);
    assert_int_equal(now.write_bytes_per_s, 0);
    assert_int_equal(now.rows_per_s, 5);
    /* an interval that stays in the kernel counts with the next */
    stats.postponed = 1;
    iol_rates_update(&now, &stats, 3 * S);
    assert_int_equal(now.ops_per_s, 500);
    assert_int_equal(now.rows_per_s, 0);
    stats.accounts.ops = 3000;
    iol_rates_update(&now, &stats, 4 * S);
    assert_int_equal(now.ops_per_s, 1000);
}

static void what_waits_is_told_with_the_time_that_it_takes(void **state)
{
    struct iol_rates now = {0};
    struct iol_pipeline_stats stats = {
        .writer = {.waiting = 40, .spool = {.entries = 40, .rows = 100000, .bytes = 5 << 20}}};
    char line[IOL_PROGRESS_LINE_MAX];

    (void)state;
    iol_rates_update(&now, &stats, 1 * S);
    assert_int_equal(now.drained_per_s, 0); /* nobody knows yet */
    for (int i = 2; i < 5; i++) {
        stats.writer.rows += 20000;
        stats.writer.spool.rows -= 10000; /* as many more come */
        iol_rates_update(&now, &stats, (uint64_t)i * S);
        assert_int_equal(now.drained_per_s, 10000);
    }
    iol_progress_line(line, 120, &stats, &now, 4 * S, 1000 * S);
    assert_string_equal(
        line, "00:04  0 ops/s  0 accounts  60.0K rows stored 20.0K/s, 40 batches (5.0 MB) wait, 7.0 s left  0 losses");
    stats.writer.spool.rows += 50000;
    iol_rates_update(&now, &stats, 5 * S);
    assert_int_equal(now.drained_per_s, 0); /* it gets more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quiet_line_tells_rates_and_losses),
        cmocka_unit_test(a_database_that_is_away_is_told),
        cmocka_unit_test(no_line_is_wider_than_the_terminal),
        cmocka_unit_test(rates_are_of_the_last_interval),
        cmocka_unit_test(what_waits_is_told_with_the_time_that_it_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
