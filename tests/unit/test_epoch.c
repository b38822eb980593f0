// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* When intervals are due to end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "app/epoch.h"

static void one_in_time_is_followed_by_the_next(void **state)
{
    (void)state;
    assert_int_equal(iol_epoch_next_due(1000, 1000, 100), 1100);
    assert_int_equal(iol_epoch_next_due(1000, 1060, 100), 1100);
    assert_int_equal(iol_epoch_next_due(1000, 1100, 100), 1100);
}

static void one_that_took_too_long_is_not_made_up_for(void **state)
{
    (void)state;
    assert_int_equal(iol_epoch_next_due(1000, 1101, 100), 1201);
}

static void however_many_end_early_the_next_is_due_as_it_was(void **state)
{
    uint64_t due = 1000;

    (void)state;
    for (uint64_t now = 910; now < 1000; now += 10)
        due = iol_epoch_next_due(due, now, 100);
    assert_int_equal(due, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_in_time_is_followed_by_the_next),
        cmocka_unit_test(one_that_took_too_long_is_not_made_up_for),
        cmocka_unit_test(however_many_end_early_the_next_is_due_as_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
