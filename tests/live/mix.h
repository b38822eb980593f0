// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* workload_mix: one thread of it, what it has open, and the random calls it can make. */
#include <linux/aio_abi.h>

#include "uring.h"
#include "workload.h"

/* Kinds of things that are open; both ends of the pipe have one account. */
enum { FILES = 4, MEMORY = FILES, PIPE_READ, PIPE_WRITE, OBJECTS, NO_FILE = OBJECTS, ACCOUNTS };

/* The letters of the command line's list of routes. */
enum mix_route { MIX_RW, MIX_SENDFILE, MIX_SPLICE, MIX_COPY, MIX_URING, MIX_AIO, MIX_MMAP, MIX_ROUTES };

struct mix {
    uint64_t random;
    unsigned routes;         /* bit per enum mix_route */
    int fds[OBJECTS];        /* of this thread alone; what they are open for changes */
    int objects[OBJECTS];    /* which of the objects each of them is */
    int registered[OBJECTS]; /* and which of them each slot of the ring's table is */
    struct account accounts[ACCOUNTS];
    struct uring ring;
    aio_context_t aio;
    char *bad; /* memory that cannot be touched */
    char *buf; /* MIX_BUFFER bytes */
};

enum { MIX_BUFFER = 4096 };

/* The next number of the thread's sequence, below the limit. */
unsigned mix_random(struct mix *mix, unsigned limit);

/* One call, or one batch of requests, on one of its routes. */
void mix_call(struct mix *mix);
