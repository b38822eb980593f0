// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>

#include "app/host.h"
#include "base/clock.h"

#define MS INT64_C(1000000)

/* Nobody sets the clock of a machine that tests run on. */
static void a_time_that_is_told_twice_is_the_same_twice(void **state)
{
    int64_t offset = iol_host_boot_offset();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(iol_host_boot_offset(), offset);
        if (i % 100 == 0)
            sched_yield();
    }
}

/* What lies between the two looks at a clock is more than nothing, and seldom more than this. */
static void it_is_the_time_of_the_wall(void **state)
{
    int64_t least = INT64_MAX;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t late = iol_wall_ns() - (iol_host_boot_offset() + (int64_t)iol_boot_ns());

        late = late < 0 ? -late : late;
        least = late < least ? late : least;
    }
    assert_true(least < MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_that_is_told_twice_is_the_same_twice),
        cmocka_unit_test(it_is_the_time_of_the_wall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
