// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "base/priority.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

/* Between two looks whether a CPU is free: twice as long each time, as each takes some from those that it waits for. */
#define FIRST_NAP_NS 2000000
#define LAST_NAP_NS 16000000
#define SAVED_ONE_IN 2 /* of all time, for naps */

/* What the thread is doing that can wait. */
static _Thread_local struct iol_priority *at_work;

/* Tried with a step that does no harm when there is no way back, by a thread that ends then. */
static void *try_to_come_back(void *arg)
{
    pid_t tid = (pid_t)syscall(SYS_gettid);
    int nice;

    errno = 0;
    nice = getpriority(PRIO_PROCESS, (id_t)tid);
    if (errno == 0 && setpriority(PRIO_PROCESS, (id_t)tid, nice + 1) == 0 &&
        setpriority(PRIO_PROCESS, (id_t)tid, nice) == 0)
        return arg;
    return NULL;
}

static bool can_come_back(void)
{
    pthread_t thread;
    void *result = NULL;
    int yes;

    if (pthread_create(&thread, NULL, try_to_come_back, &yes) != 0)
        return false;
    pthread_join(thread, &result);
    return result == &yes;
}

static bool set_policy(pid_t tid, int policy)
{
    const struct sched_param none = {0};

    return sched_setscheduler(tid, policy, &none) == 0;
}

static int64_t now_ns(void)
{
    return (int64_t)iol_monotonic_ns();
}

static int64_t used_ns(void)
{
    struct timespec used;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

void iol_priority_init(struct iol_priority *priority, int patience_ms)
{
    bool usual = patience_ms > 0 && sched_getscheduler(0) == SCHED_OTHER;

    priority->loadavg = usual ? open("/proc/loadavg", O_RDONLY | O_CLOEXEC) : -1;
    priority->credit_ns = priority->most_ns = (int64_t)patience_ms * 1000000;
    priority->counted_ns = now_ns();
    __atomic_store_n(&priority->tid, usual && can_come_back() ? (pid_t)syscall(SYS_gettid) : 0, __ATOMIC_RELEASE);
}

void iol_priority_done(struct iol_priority *priority)
{
    if (priority->loadavg >= 0)
        close(priority->loadavg);
    priority->loadavg = -1;
}

static void come_back(struct iol_priority *priority)
{
    if (__atomic_load_n(&priority->low, __ATOMIC_SEQ_CST)) {
        set_policy(priority->tid, SCHED_OTHER);
        __atomic_store_n(&priority->low, false, __ATOMIC_SEQ_CST);
    }
}

/* Of the present piece of work: for all the time in which it had no CPU, whatever kept it. */
static int64_t left_ns(const struct iol_priority *priority)
{
    int64_t passed = now_ns() - priority->began_ns, used = used_ns() - priority->cpu_ns;

    return priority->credit_ns - (passed - used);
}

void iol_priority_restore(struct iol_priority *priority)
{
    int64_t left = at_work ? left_ns(priority) : priority->credit_ns;

    priority->credit_ns = left > 0 ? left : 0; /* a database that was away is no debt */
    at_work = NULL;
    come_back(priority);
}

static void begin(struct iol_priority *priority)
{
    priority->began_ns = now_ns();
    priority->cpu_ns = used_ns();
    priority->credit_ns += (priority->began_ns - priority->counted_ns) / SAVED_ONE_IN;
    priority->counted_ns = priority->began_ns;
    if (priority->credit_ns > priority->most_ns)
        priority->credit_ns = priority->most_ns;
}

/* One CPU stays free where there are more: often two of them are one core, and what runs on one slows the other. */
static long room(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    return cpus > 2 ? cpus - 1 : 1;
}

void iol_priority_lower(struct iol_priority *priority)
{
    begin(priority);
    if (priority->credit_ns <= 0 || __atomic_load_n(&priority->hurry, __ATOMIC_SEQ_CST))
        return;
    at_work = priority;
    priority->room = room();
    if (!priority->tid)
        return;
    __atomic_store_n(&priority->low, true, __ATOMIC_SEQ_CST);
    set_policy(priority->tid, SCHED_IDLE);
    /* one who found the thread not yet lowered has left it at that */
    if (__atomic_load_n(&priority->hurry, __ATOMIC_SEQ_CST))
        come_back(priority);
}

/* "0.20 0.18 0.12 RUNNING/ALL LAST_PID": threads of the whole machine that run or could, this one among them. */
static long count_running(const struct iol_priority *priority)
{
    char text[128];
    ssize_t size = pread(priority->loadavg, text, sizeof(text) - 1, 0);
    const char *at = text;

    if (size <= 0)
        return 0;
    text[size] = '\0';
    for (int skipped = 0; at && skipped < 3; skipped++) {
        at = strchr(at, ' ');
        at = at ? at + 1 : NULL;
    }
    return at ? strtol(at, NULL, 10) : 0;
}

void iol_priority_give_way(void)
{
    struct iol_priority *priority = at_work;
    struct timespec nap = {.tv_nsec = FIRST_NAP_NS};

    if (!priority)
        return;
    while (left_ns(priority) > 0) {
        if (priority->loadavg < 0 || __atomic_load_n(&priority->hurry, __ATOMIC_SEQ_CST) ||
            count_running(priority) <= priority->room)
            return;
        clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
        if (nap.tv_nsec < LAST_NAP_NS)
            nap.tv_nsec *= 2;
    }
    iol_priority_restore(priority);
}

void iol_priority_set_hurry(struct iol_priority *priority, bool hurry)
{
    __atomic_store_n(&priority->hurry, hurry, __ATOMIC_SEQ_CST);
    if (hurry && __atomic_load_n(&priority->low, __ATOMIC_SEQ_CST))
        set_policy(__atomic_load_n(&priority->tid, __ATOMIC_ACQUIRE), SCHED_OTHER);
}
