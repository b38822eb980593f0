// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* CLOCK_MONOTONIC, for how long something takes or may take: it is never set, and stands still while the machine sleeps. */
#include <stdint.h>
#include <time.h>

static inline uint64_t iol_monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline int64_t iol_monotonic_ms(void)
{
    return (int64_t)(iol_monotonic_ns() / 1000000);
}
