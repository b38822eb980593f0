// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "base/priority.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

void iol_priority_init(struct iol_priority *priority)
{
    bool usual = sched_getscheduler(0) == SCHED_OTHER && can_come_back();

    __atomic_store_n(&priority->tid, usual ? (pid_t)syscall(SYS_gettid) : 0, __ATOMIC_RELEASE);
}

void iol_priority_restore(struct iol_priority *priority)
{
    if (__atomic_load_n(&priority->low, __ATOMIC_SEQ_CST)) {
        set_policy(priority->tid, SCHED_OTHER);
        __atomic_store_n(&priority->low, false, __ATOMIC_SEQ_CST);
    }
}

void iol_priority_lower(struct iol_priority *priority)
{
    if (!priority->tid || __atomic_load_n(&priority->hurry, __ATOMIC_SEQ_CST))
        return;
    __atomic_store_n(&priority->low, true, __ATOMIC_SEQ_CST);
    set_policy(priority->tid, SCHED_IDLE);
    /* one who found the thread not yet lowered has left it at that */
    if (__atomic_load_n(&priority->hurry, __ATOMIC_SEQ_CST))
        iol_priority_restore(priority);
}

void iol_priority_set_hurry(struct iol_priority *priority, bool hurry)
{
    __atomic_store_n(&priority->hurry, hurry, __ATOMIC_SEQ_CST);
    if (hurry && __atomic_load_n(&priority->low, __ATOMIC_SEQ_CST))
        set_policy(__atomic_load_n(&priority->tid, __ATOMIC_ACQUIRE), SCHED_OTHER);
}
