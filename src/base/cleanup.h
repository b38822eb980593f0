// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Scope-bound owners. A variable marked _cleanup_(f) is always initialised, and f gets its address
 * when the scope ends; TAKE_PTR and TAKE_FD hand the thing over to somebody else.
 */
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define TAKE_PTR(p)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(p) *_taken_from = &(p);                                                                             \
        __typeof__(p) _taken = *_taken_from;                                                                           \
        *_taken_from = NULL;                                                                                           \
        _taken;                                                                                                        \
    })

#define TAKE_FD(fd)                                                                                                    \
    ({                                                                                                                 \
        int *_taken_from = &(fd);                                                                                      \
        int _taken = *_taken_from;                                                                                     \
        *_taken_from = -1;                                                                                             \
        _taken;                                                                                                        \
    })

static inline void iol_cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void iol_cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define _cleanup_free_ _cleanup_(iol_cleanup_free)
#define _cleanup_close_ _cleanup_(iol_cleanup_close)

#define IOL_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
