// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka.h wants those above first
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/options.h"
#include "base/error.h"
#include "base/text.h"

#define SECOND INT64_C(1000000000)
#define NOW (INT64_C(1763886000) * SECOND + 250000000) /* 2025-11-23 08:20:00.25, a Sunday */

#define LATE (NOW + 12 * 3600 * SECOND) /* 20:20:00.25 in UTC, and past midnight in the zone of this test */

static const char *read_time_at(const char *text, int64_t now)
{
    static char buf[32];
    int64_t ns;

    if (iol_option_time(text, now, &ns, NULL) < 0)
        return "refused";
    return iol_text_time(buf, sizeof(buf), ns);
}

static const char *read_time(const char *text)
{
    return read_time_at(text, NOW);
}

static void times_are_read(void **state)
{
    static const struct {
        const char *text, *is;
    } good[] = {
        {"now", "2025-11-23 08:20:00.250000"},
        {" Now ", "2025-11-23 08:20:00.250000"},
        {"10 min ago", "2025-11-23 08:10:00.250000"},
        {"10min", "2025-11-23 08:10:00.250000"},
        {"10m", "2025-11-23 08:10:00.250000"},
        {"-10m", "2025-11-23 08:10:00.250000"},
        {"1 hour 30 minutes ago", "2025-11-23 06:50:00.250000"},
        {"1h30m ago", "2025-11-23 06:50:00.250000"},
        {"1.5h", "2025-11-23 06:50:00.250000"},
        {"2 DAYS AGO", "2025-11-21 08:20:00.250000"},
        {"1 week ago", "2025-11-16 08:20:00.250000"},
        {"250 ms ago", "2025-11-23 08:20:00.000000"},
        {"0s", "2025-11-23 08:20:00.250000"},
        {"@1763886000", "2025-11-23 08:20:00.000000"},
        {"@1763886000.5", "2025-11-23 08:20:00.500000"},
        {"@0", "1970-01-01 00:00:00.000000"},
        {"today", "2025-11-23 00:00:00.000000"},
        {"yesterday", "2025-11-22 00:00:00.000000"},
        {"yesterday 14:00", "2025-11-22 14:00:00.000000"},
        {"yesterday 14:00 +02:00", "2025-11-22 12:00:00.000000"},
        {"today 7:05:09", "2025-11-23 07:05:09.000000"},
        {"7:05", "2025-11-23 07:05:00.000000"},
        {"08:20", "2025-11-23 08:20:00.000000"},
        {"08:21", "2025-11-22 08:21:00.000000"},
        {"23:59", "2025-11-22 23:59:00.000000"},
        {"2025-11-20", "2025-11-20 00:00:00.000000"},
        {"2025-11-20 14:00", "2025-11-20 14:00:00.000000"},
        {"2025-11-20 14:00:05.123456", "2025-11-20 14:00:05.123456"},
        {"2025-11-20 14:00:05.1234569", "2025-11-20 14:00:05.123456"},
        {"2025-11-20T14:00:05Z", "2025-11-20 14:00:05.000000"},
        {"2025-11-20t14:00:05z", "2025-11-20 14:00:05.000000"},
        {"2025-11-20T14:00:05.5+02:00", "2025-11-20 12:00:05.500000"},
        {"2025-11-20T14:00:05-0330", "2025-11-20 17:30:05.000000"},
        {"2025-11-20 14:00 UTC", "2025-11-20 14:00:00.000000"},
        {"2025-11-20 14:00 local", "2025-11-20 06:00:00.000000"},
        {"2024-02-29", "2024-02-29 00:00:00.000000"},
        {"2016-12-31T23:59:60Z", "2017-01-01 00:00:00.000000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_string_equal(read_time(good[i].text), good[i].is);
}

/* Today is the day that it is in the zone that was named. */
static void days_are_those_of_the_zone(void **state)
{
    static const struct {
        const char *text, *is;
    } late[] = {
        {"today", "2025-11-23 00:00:00.000000"},
        {"today local", "2025-11-23 16:00:00.000000"},
        {"yesterday local", "2025-11-22 16:00:00.000000"},
        {"yesterday 14:00 local", "2025-11-23 06:00:00.000000"},
        {"4:00 local", "2025-11-23 20:00:00.000000"},
        {"4:21 local", "2025-11-22 20:21:00.000000"},
        {"today +08:00", "2025-11-23 16:00:00.000000"},
        {"01:00+08:00", "2025-11-23 17:00:00.000000"},
        {"yesterday 01:00-12:00", "2025-11-22 13:00:00.000000"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(late) / sizeof(late[0]); i++)
        assert_string_equal(read_time_at(late[i].text, LATE), late[i].is);
    /* the day before the first of a month */
    assert_string_equal(read_time_at("yesterday", NOW - 22 * 24 * 3600 * SECOND), "2025-10-31 00:00:00.000000");
}

static void other_times_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "10",
        "ago",
        "min ago",
        "10 parsecs ago",
        "10 min later",
        "10 min ago ago",
        "tomorow",
        "now now",
        "nowhere",
        "25:00",
        "12:60",
        "12:5",
        "2025-02-30",
        "2025-13-01",
        "2025-00-10",
        "2025-11-20T",
        "2025-11-20 14",
        "2025-11-20T14:00:05+2",
        "2025-11-20T14:00:05+25:00",
        "2025-11-20T14:00:05 Mars",
        "1969-12-31",
        "2025-11-20 14:00 x",
        "@",
        "@x",
        "@99999999999999",
        "999999999999 weeks ago",
        "\033[31m",
    };
    struct iol_error err = {0};
    int64_t ns = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (iol_option_time(bad[i], NOW, &ns, &err) != -EINVAL)
            fail_msg("'%s' is taken for a time", bad[i]);
        assert_non_null(strstr(err.text, "is not a time"));
        assert_non_null(strstr(err.hint, "10 min ago"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(days_are_those_of_the_zone),
        cmocka_unit_test(other_times_are_refused),
    };

    setenv("TZ", "CST-8", 1); /* east of UTC by 8 hours */
    tzset();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
