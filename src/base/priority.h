// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Work that can wait. A thread does it with the lowest priority (SCHED_IDLE), and in the middle of it gives way: while it and the other
 * threads that want to run take more than all CPUs but one, it sleeps. The one is not enough by itself: a priority counts among the threads of one control
 * group only, and every session is a group of its own (sched_autogroup). Whoever is that slow may keep others waiting: it must not hold a
 * lock meanwhile that they need.
 *
 * How long that may hold up its work is saved up, half of all time: what lasts short is let pass, and what lasts for ever delays
 * little.
 *
 * The kernel lets a thread come back from SCHED_IDLE only with CAP_SYS_NICE, or when RLIMIT_NICE allows its nice value (LimitNICE= of
 * systemd); where that is not so the priority stays. A thread that has another policy than SCHED_OTHER from the start keeps it, and never
 * gives way.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct iol_priority {
    pid_t tid;  /* 0: its priority is never lowered */
    bool low;   /* all three are read and written with atomic operations */
    bool hurry; /* it is not to be lowered */

    /* The thread's own: */
    int loadavg;                /* descriptor of /proc/loadavg, or -1: it never gives way */
    long room;                  /* threads that may run with it among them: all CPUs but one, when the work began */
    int64_t credit_ns, most_ns; /* how long its work may be held up, when the present piece of it began; and at most */
    int64_t began_ns, cpu_ns;   /* when it began: CLOCK_MONOTONIC, and CPU time of the thread */
    int64_t counted_ns;         /* until when time is saved up */
};

/* Called by the thread that it is about. patience_ms: how long its work may be held up by others at a time; 0: never. */
void iol_priority_init(struct iol_priority *priority, int patience_ms);

void iol_priority_done(struct iol_priority *priority);

/* The same thread: before work that can wait, and behind it. */
void iol_priority_lower(struct iol_priority *priority);
void iol_priority_restore(struct iol_priority *priority);

/*
 * Any thread, in the middle of its work, several times a millisecond: if it is one that has a low priority, and no CPU is to spare, it
 * sleeps until that is over, or somebody is in a hurry. When its work has been held up for as long as it may, it has its usual priority back.
 */
void iol_priority_give_way(void);

/* Any thread: whether it can wait. A thread that is at work with a low priority gets its usual one at once, or within some hundredths of a second if it sleeps. */
void iol_priority_set_hurry(struct iol_priority *priority, bool hurry);
