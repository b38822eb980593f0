// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Work that can wait: a thread does it with the lowest priority (SCHED_IDLE), so that on a machine whose CPUs are all taken it takes
 * next to nothing from the others, and has its usual priority back as soon as somebody is in a hurry. Whoever is that slow may keep
 * others waiting: it must not hold a lock meanwhile that they need.
 *
 * The kernel lets a thread come back only with CAP_SYS_NICE, or when RLIMIT_NICE allows its nice value (LimitNICE= of systemd); where
 * that is not so, or the thread has another policy than SCHED_OTHER from the start, nothing is ever lowered.
 */
#include <stdbool.h>
#include <sys/types.h>

struct iol_priority {
    pid_t tid;  /* 0: it is never lowered */
    bool low;   /* all three are read and written with atomic operations */
    bool hurry; /* it is not to be lowered */
};

/* Called by the thread that it is about. */
void iol_priority_init(struct iol_priority *priority);

/* The same thread: before work that can wait, and behind it. */
void iol_priority_lower(struct iol_priority *priority);
void iol_priority_restore(struct iol_priority *priority);

/* Any thread: whether it can wait. A thread that is at work with a low priority gets its usual one at once. */
void iol_priority_set_hurry(struct iol_priority *priority, bool hurry);
