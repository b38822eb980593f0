// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The clocks, as numbers. */
#include <stdint.h>
#include <time.h>

static inline int64_t iol_clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What time it is: ns since the epoch. It may be set, forward and back. */
static inline int64_t iol_wall_ns(void)
{
    return iol_clock_ns(CLOCK_REALTIME);
}

/* Since the machine was booted, its sleep included: what the kernel's programs tell times by. */
static inline uint64_t iol_boot_ns(void)
{
    return (uint64_t)iol_clock_ns(CLOCK_BOOTTIME);
}

/* For how long something takes or may take: it is never set, and stands still while the machine sleeps. */
static inline uint64_t iol_monotonic_ns(void)
{
    return (uint64_t)iol_clock_ns(CLOCK_MONOTONIC);
}

static inline int64_t iol_monotonic_ms(void)
{
    return (int64_t)(iol_monotonic_ns() / 1000000);
}
