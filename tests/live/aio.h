// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Linux AIO by its system calls alone. What an iocb carries in its data are the accounts that it must appear in;
 * fetching its event books it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/aio_abi.h>

#include "workload.h"

/* One iocb. Booked when its event is fetched: `in` as a read, `out` as a write, NULL as nothing. */
struct aio_request {
    const char *what;
    uint16_t op; /* IOCB_CMD_… */
    int fd;
    const void *buf; /* or an array of struct iovec, then size is their number */
    uint64_t size;
    int64_t offset;
    struct account *in;
    struct account *out;
    long expected; /* result or -errno; AIO_ANY */
};

enum { AIO_ANY = INT32_MIN };

/* A context for that many events. */
aio_context_t aio_init(unsigned events);
void aio_done(aio_context_t context);

/* Submits all of them with one call. */
void aio_submit(aio_context_t context, const struct aio_request *requests, size_t n);

/* The same, with iocbs that are overwritten afterwards: the kernel needs them no more. */
void aio_submit_forgotten(aio_context_t context, const struct aio_request *requests, size_t n);

/* The call itself for one request: what it returned, with errno. */
long aio_try(aio_context_t context, const struct aio_request *request);

/* Submits both with one call, which must refuse the second. */
void aio_submit_half(aio_context_t context, const struct aio_request *good, const struct aio_request *bad);

/* Fetches at least `least` and at most `most` events with one call, checks and books them; how many there were. */
size_t aio_fetch(aio_context_t context, size_t least, size_t most);

/* The same by io_pgetevents(2). */
size_t aio_fetch_masked(aio_context_t context, size_t least, size_t most);

/* Submits one iocb again and again, and takes each event from the ring in memory, without a system call. Books nothing. */
void aio_resubmit(aio_context_t context, const struct aio_request *request, unsigned times);
