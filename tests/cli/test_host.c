// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/host.h"
#include "base/clock.h"

#define MS INT64_C(1000000)

/* A machine whose clocks go on by so much with each look at one of them; real ones when that is nothing. */
static int64_t steps[3], boot, wall_minus_boot;
static int look;

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int64_t told;

    if (steps[0] == 0)
        return (int)syscall(SYS_clock_gettime, clock, now);
    boot += steps[look++ % 3];
    told = clock == CLOCK_REALTIME ? boot + wall_minus_boot : boot;
    *now = (struct timespec){told / 1000000000, told % 1000000000};
    return 0;
}

static void set_steps(int64_t before, int64_t after, int64_t between)
{
    steps[0] = between;
    steps[1] = before;
    steps[2] = after;
    look = 0;
}

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

/* Where a look at a clock takes long, as in a guest, one that takes less is no sign that the clock was set. */
static void a_clock_that_is_looked_at_for_long_was_not_set(void **state)
{
    int64_t offset;

    (void)state;
    boot = 1000 * MS;
    wall_minus_boot = 500000 * MS;
    set_steps(30000, 1000, 5000);
    offset = iol_host_boot_offset();
    assert_in_range(offset - wall_minus_boot + 50000, 0, 100000);
    for (int i = 1; i < 100; i++) {
        set_steps(1000 + i % 7, 500 + i % 11, 5000);
        assert_int_equal(iol_host_boot_offset(), offset);
    }
    wall_minus_boot += 5 * MS; /* now it is */
    assert_in_range(iol_host_boot_offset() - wall_minus_boot + 50000, 0, 100000);
    wall_minus_boot -= 3000 * MS;
    assert_in_range(iol_host_boot_offset() - wall_minus_boot + 50000, 0, 100000);
    set_steps(0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_that_is_told_twice_is_the_same_twice),
        cmocka_unit_test(it_is_the_time_of_the_wall),
        cmocka_unit_test(a_clock_that_is_looked_at_for_long_was_not_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
