// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Where the kernel lets a thread come back, as it does for root: low and usual in turn, and by another thread. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/priority.h"

static void goes_low_and_comes_back(void **state)
{
    struct iol_priority priority = {0};

    (void)state;
    iol_priority_init(&priority);
    if (!priority.tid)
        skip();
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
    iol_priority_restore(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static void *hurry(void *arg)
{
    iol_priority_set_hurry(arg, true);
    return NULL;
}

static void another_one_is_in_a_hurry(void **state)
{
    struct iol_priority priority = {0};
    pthread_t thread;

    (void)state;
    iol_priority_init(&priority);
    if (!priority.tid)
        skip();
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
    assert_int_equal(pthread_create(&thread, NULL, hurry, &priority), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    iol_priority_restore(&priority);
    iol_priority_set_hurry(&priority, false);
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
    iol_priority_restore(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

/* A thread that was given another policy keeps it. */
static void another_policy_stays(void **state)
{
    const struct sched_param none = {0};
    struct iol_priority priority = {0};

    (void)state;
    if (sched_setscheduler(0, SCHED_BATCH, &none) != 0)
        skip();
    iol_priority_init(&priority);
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    sched_setscheduler(0, SCHED_OTHER, &none);
}

/* What could not be raised again is not lowered. */
static void no_way_back_no_way_there(void **state)
{
    const struct rlimit none = {0};
    struct iol_priority priority = {0};
    int low;

    (void)state;
    if (setrlimit(RLIMIT_NICE, &none) != 0)
        skip();
    iol_priority_init(&priority);
    iol_priority_lower(&priority);
    low = sched_getscheduler(0) == SCHED_IDLE;
    iol_priority_restore(&priority);
    assert_int_equal(low, priority.tid != 0); /* with CAP_SYS_NICE the limit is none */
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_low_and_comes_back),
        cmocka_unit_test(another_one_is_in_a_hurry),
        cmocka_unit_test(another_policy_stays),
        cmocka_unit_test(no_way_back_no_way_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
