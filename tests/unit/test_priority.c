// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Where the kernel lets a thread come back, as it does for root: low and usual in turn, and by another thread. And when it gives way, to a machine that is a file. */
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/priority.h"

#define PATIENCE_MS 3000

static void goes_low_and_comes_back(void **state)
{
    struct iol_priority priority = {0};

    (void)state;
    iol_priority_init(&priority, PATIENCE_MS);
    if (!priority.tid)
        skip();
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
    assert_true(priority.room >= 1 && (priority.room == 1 || priority.room < sysconf(_SC_NPROCESSORS_ONLN)));
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
    iol_priority_init(&priority, PATIENCE_MS);
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
    iol_priority_init(&priority, PATIENCE_MS);
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
    iol_priority_init(&priority, PATIENCE_MS);
    iol_priority_lower(&priority);
    low = sched_getscheduler(0) == SCHED_IDLE;
    iol_priority_restore(&priority);
    assert_int_equal(low, priority.tid != 0); /* with CAP_SYS_NICE the limit is none */
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

/* A file that says what /proc/loadavg would. */
static void say_running(const struct iol_priority *priority, long threads)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "0.50 12.00 1.00 %6ld/900 4711\n", threads);

    assert_int_equal(pwrite(priority->loadavg, text, (size_t)size, 0), size);
}

static void begin(struct iol_priority *priority, int patience_ms, long threads)
{
    *priority = (struct iol_priority){0};
    iol_priority_init(priority, patience_ms);
    assert_true(priority->loadavg >= 0);
    close(priority->loadavg);
    priority->loadavg = memfd_create("loadavg", MFD_CLOEXEC);
    assert_true(priority->loadavg >= 0);
    iol_priority_lower(priority);
    say_running(priority, threads + priority->room);
}

static void end(struct iol_priority *priority)
{
    iol_priority_restore(priority);
    iol_priority_done(priority);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

/* One more than leave a CPU to spare. */
static void sleeps_for_as_long_as_it_may(void **state)
{
    struct iol_priority priority;
    int64_t began = iol_monotonic_ms();

    (void)state;
    begin(&priority, 100, 1);
    iol_priority_give_way();
    assert_true(iol_monotonic_ms() - began >= 100);
    assert_true(priority.credit_ns == 0);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    end(&priority);
}

/* Half of the time that passes, and no more than at the beginning. */
static void may_sleep_again_later(void **state)
{
    struct iol_priority priority;

    (void)state;
    begin(&priority, 100, 1);
    iol_priority_give_way();
    priority.credit_ns = -1000000000; /* in which nothing is saved up yet */
    iol_priority_lower(&priority);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    iol_priority_restore(&priority);
    assert_true(priority.credit_ns == 0);
    priority.counted_ns -= 2 * 50 * INT64_C(1000000);
    iol_priority_lower(&priority);
    assert_true(priority.credit_ns >= 50 * INT64_C(1000000) && priority.credit_ns <= priority.most_ns);
    iol_priority_restore(&priority);
    priority.counted_ns -= 3600 * INT64_C(1000000000);
    iol_priority_lower(&priority);
    assert_int_equal(priority.credit_ns, priority.most_ns);
    end(&priority);
}

static void a_free_cpu_is_taken(void **state)
{
    struct iol_priority priority;

    (void)state;
    begin(&priority, INT_MAX, 0);
    iol_priority_give_way();
    end(&priority);
}

static void *leave_a_cpu(void *arg)
{
    say_running(arg, 1);
    return NULL;
}

/* It would sleep for ever if it did not look again. */
static void goes_on_as_soon_as_a_cpu_is_free(void **state)
{
    struct iol_priority priority;
    pthread_t thread;

    (void)state;
    begin(&priority, INT_MAX, 1);
    assert_int_equal(pthread_create(&thread, NULL, leave_a_cpu, &priority), 0);
    iol_priority_give_way();
    pthread_join(thread, NULL);
    end(&priority);
}

/* The same, but for the one who is in a hurry. */
static void does_not_sleep_in_a_hurry(void **state)
{
    struct iol_priority priority;
    pthread_t thread;

    (void)state;
    begin(&priority, INT_MAX, 1);
    assert_int_equal(pthread_create(&thread, NULL, hurry, &priority), 0);
    iol_priority_give_way();
    pthread_join(thread, NULL);
    end(&priority);
}

/* Work that nobody has called such as can wait, and a kernel that says nothing. */
static void other_work_does_not_sleep(void **state)
{
    struct iol_priority priority;

    (void)state;
    begin(&priority, INT_MAX, 1);
    iol_priority_restore(&priority);
    iol_priority_give_way();
    iol_priority_lower(&priority);
    assert_int_equal(ftruncate(priority.loadavg, 0), 0);
    iol_priority_give_way();
    end(&priority);
}

/* What the kernel says is understood: this thread runs, and no machine runs a million. */
static void the_kernel_tells_how_many_run(void **state)
{
    struct iol_priority priority = {0};

    (void)state;
    iol_priority_init(&priority, INT_MAX);
    iol_priority_lower(&priority);
    priority.room = 1000000;
    iol_priority_give_way();
    iol_priority_restore(&priority);
    assert_true(priority.credit_ns > 0);
    iol_priority_lower(&priority);
    priority.room = 0;
    priority.credit_ns = 20 * INT64_C(1000000);
    iol_priority_give_way();
    assert_true(priority.credit_ns == 0);
    end(&priority);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_low_and_comes_back),       cmocka_unit_test(another_one_is_in_a_hurry),
        cmocka_unit_test(another_policy_stays),          cmocka_unit_test(no_way_back_no_way_there),
        cmocka_unit_test(sleeps_for_as_long_as_it_may),  cmocka_unit_test(may_sleep_again_later),
        cmocka_unit_test(a_free_cpu_is_taken),           cmocka_unit_test(goes_on_as_soon_as_a_cpu_is_free),
        cmocka_unit_test(does_not_sleep_in_a_hurry),     cmocka_unit_test(other_work_does_not_sleep),
        cmocka_unit_test(the_kernel_tells_how_many_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
