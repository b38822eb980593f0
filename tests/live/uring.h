// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A ring of io_uring by its system calls alone: liburing would hide what the tests are about (overflow, who submits,
 * who reaps), and the one that a release brings lacks what its kernel has. Requests know the accounts that they must
 * appear in; reaping a completion books it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/io_uring.h>

#include "workload.h"

/* What the headers of older releases lack; values of include/uapi/linux/io_uring.h, which never change. */
#define URING_SETUP_SQE128 (1U << 10)
#define URING_SETUP_CQE32 (1U << 11)
#define URING_SETUP_COOP_TASKRUN (1U << 8)
#define URING_SETUP_SINGLE_ISSUER (1U << 12)
#define URING_SETUP_DEFER_TASKRUN (1U << 13)
#define URING_SQE_CQE_SKIP_SUCCESS (1U << 6)
#define URING_OP_READ_MULTISHOT 49
#define URING_OP_READV_FIXED 60
#define URING_OP_WRITEV_FIXED 61

/* Bits of user_data above those of a pointer: what tests/live/test_uring.py counts in the kernel's own trace. */
#define URING_TAG_READ (1ULL << 62)
#define URING_TAG_WRITE (1ULL << 61)

struct uring {
    struct io_uring_params params;
    int fd;
    char *rings; /* both queues: IORING_FEAT_SINGLE_MMAP */
    char *sqes;
    unsigned queued;             /* entries that are not submitted yet */
    struct account *never_begun; /* for requests cancelled by what they were linked to; NULL: they know it themselves */
};

enum { ANY_RESULT = INT32_MIN };

/* One submission. The accounts are booked by its completions: `in` as a read, `out` as a write, NULL as nothing. */
struct request {
    const char *what;
    uint8_t op;    /* IORING_OP_… */
    uint8_t flags; /* IOSQE_… */
    int fd;
    const void *addr;
    uint32_t len;
    uint64_t offset; /* URING_AT_POSITION: the file's own */
    struct account *in;
    struct account *out;
    long expected; /* result or -errno; ANY_RESULT */
};

#define URING_AT_POSITION ((uint64_t)-1)

/* 0, or -errno when this kernel does not know the flags. */
int uring_try(struct uring *ring, unsigned entries, unsigned flags);

/* As uring_try(), which must not fail. */
void uring_init(struct uring *ring, unsigned entries, unsigned flags);

void uring_done(struct uring *ring);

/* io_uring_register(2), which must not fail. */
void uring_register(struct uring *ring, unsigned op, const void *arg, unsigned n);

/* Does this kernel know the opcode? */
bool uring_knows(struct uring *ring, unsigned op);

/* Queues a copy of the request. The entry returned may still be changed, until the ring is submitted. */
struct io_uring_sqe *uring_queue(struct uring *ring, const struct request *request);

/* Hands what is queued to the kernel. */
void uring_submit(struct uring *ring);

/* Waits for one completion, checks its result against the expected one, books and returns it. */
long uring_reap(struct uring *ring);

/* Takes one completion that another process asked for: its result must be the expected one, and it is not booked. */
void uring_skip(struct uring *ring, long expected);

/* All of them: queued one behind the other, submitted at once, and reaped. */
void uring_run(struct uring *ring, const struct request *requests, size_t n);

/* The request itself, as for uring_run(), each submitted and reaped before the next. */
void uring_run_each(struct uring *ring, const struct request *requests, size_t n);

/* True while a completion waits to be reaped, without a system call. */
bool uring_is_ready(const struct uring *ring);
