// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka.h wants those above first
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "app/options.h"
#include "base/error.h"

#define SECOND INT64_C(1000000000)

static void durations_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"1s", SECOND},
        {"0.1s", SECOND / 10},
        {"500ms", SECOND / 2},
        {"250us", 250000},
        {"7ns", 7},
        {"2m", 120 * SECOND},
        {"1h", 3600 * SECOND},
        {"7d", 604800 * SECOND},
        {"1w", 604800 * SECOND},
        {"5", 5 * SECOND},
        {"0", 0},
        {"0.5", SECOND / 2},
        {"1.5h", 5400 * SECOND},
        {"0.000000001s", 1},
        {"0.0000000019s", 1},
        {"0.999999999w", INT64_C(604799999395200)},
        {"9223372036s", 9223372036 * SECOND},
        {"9223372036.854775807", INT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t ns = -1;

        assert_int_equal(iol_option_duration(good[i].text, &ns, NULL), 0);
        assert_int_equal(ns, good[i].ns);
    }
}

static void other_durations_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "s",
                                      "-1s",
                                      "+1s",
                                      " 1s",
                                      "1 s",
                                      "1s ",
                                      "1x",
                                      "1sec",
                                      "1.s",
                                      ".5s",
                                      "1..5s",
                                      "1,5s",
                                      "1e3",
                                      "0x10",
                                      "inf",
                                      "nan",
                                      "9223372036.854775808",
                                      "99999999999999999999",
                                      "15251w",
                                      "9223372037s"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct iol_error err = {0};
        char quoted[64];
        int64_t ns = 42;

        assert_int_equal(iol_option_duration(bad[i], &ns, &err), -EINVAL);
        assert_int_equal(ns, 42);
        snprintf(quoted, sizeof(quoted), "'%s'", bad[i]);
        assert_non_null(strstr(err.text, quoted));
    }
}

static void counts_are_read(void **state)
{
    static const struct {
        const char *text;
        int64_t count;
    } good[] = {{"0", 0},
                {"65536", 65536},
                {"64k", 65536},
                {"64K", 65536},
                {"1M", 1 << 20},
                {"2G", INT64_C(2) << 30},
                {"9223372036854775807", INT64_MAX}};
    static const char *const bad[] = {"", "k", "-1", "1kk", "1.5k", "9223372036854775808", "9007199254740992k", "64 k"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t count = -1;

        assert_int_equal(iol_option_count(good[i].text, &count, NULL), 0);
        assert_int_equal(count, good[i].count);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t count = 42;

        assert_int_equal(iol_option_count(bad[i], &count, NULL), -EINVAL);
        assert_int_equal(count, 42);
    }
}

static void pids_are_read(void **state)
{
    static const char *const bad[] = {"", "0", "-1", "abc", "1a", "2147483648", "99999999999999999999"};
    int64_t pid = -1;

    (void)state;
    assert_int_equal(iol_option_pid("4194304", &pid, NULL), 0);
    assert_int_equal(pid, 4194304);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(iol_option_pid(bad[i], &pid, NULL), -EINVAL);
    assert_int_equal(pid, 4194304);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(other_durations_are_refused),
        cmocka_unit_test(counts_are_read),
        cmocka_unit_test(pids_are_read),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
