// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "uring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POINTER_MASK ((1ULL << 56) - 1)

static unsigned *word(const struct uring *ring, unsigned offset)
{
    return (unsigned *)(void *)(ring->rings + offset);
}

static size_t sqe_size(const struct uring *ring)
{
    return ring->params.flags & URING_SETUP_SQE128 ? 128 : 64;
}

static size_t cqe_size(const struct uring *ring)
{
    return ring->params.flags & URING_SETUP_CQE32 ? 32 : 16;
}

static size_t rings_size(const struct uring *ring)
{
    size_t sq = ring->params.sq_off.array + ring->params.sq_entries * sizeof(unsigned);
    size_t cq = ring->params.cq_off.cqes + ring->params.cq_entries * cqe_size(ring);
    return sq > cq ? sq : cq;
}

static char *map(const struct uring *ring, size_t size, uint64_t offset)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, (off_t)offset);
    if (at == MAP_FAILED) {
        die("mmap of a ring");
    }
    return at;
}

int uring_try(struct uring *ring, unsigned entries, unsigned flags)
{
    *ring = (struct uring){.params = {.flags = flags, .sq_thread_idle = 50}};
    ring->fd = (int)syscall(SYS_io_uring_setup, entries, &ring->params);
    if (ring->fd < 0) {
        return -errno;
    }
    if (!(ring->params.features & IORING_FEAT_SINGLE_MMAP)) {
        die("a kernel before 5.4");
    }
    ring->rings = map(ring, rings_size(ring), IORING_OFF_SQ_RING);
    ring->sqes = map(ring, ring->params.sq_entries * sqe_size(ring), IORING_OFF_SQES);
    for (unsigned i = 0; i < ring->params.sq_entries; i++) {
        word(ring, ring->params.sq_off.array)[i] = i;
    }
    return 0;
}

void uring_init(struct uring *ring, unsigned entries, unsigned flags)
{
    int error = uring_try(ring, entries, flags);
    if (error < 0) {
        errno = -error;
        die("io_uring_setup with flags %#x", flags);
    }
}

void uring_done(struct uring *ring)
{
    munmap(ring->sqes, ring->params.sq_entries * sqe_size(ring));
    munmap(ring->rings, rings_size(ring));
    close(ring->fd);
}

void uring_register(struct uring *ring, unsigned op, const void *arg, unsigned n)
{
    must(syscall(SYS_io_uring_register, ring->fd, op, arg, n), "io_uring_register");
}

bool uring_knows(struct uring *ring, unsigned op)
{
    enum { OPS = 256 };
    struct io_uring_probe *probe = calloc(1, sizeof(*probe) + OPS * sizeof(probe->ops[0]));
    uring_register(ring, IORING_REGISTER_PROBE, probe, OPS);
    bool known = op <= probe->last_op && probe->ops[op].flags & IO_URING_OP_SUPPORTED;
    free(probe);
    return known;
}

struct io_uring_sqe *uring_queue(struct uring *ring, const struct request *request)
{
    unsigned *tail = word(ring, ring->params.sq_off.tail);
    unsigned head = __atomic_load_n(word(ring, ring->params.sq_off.head), __ATOMIC_ACQUIRE);
    if (*tail + ring->queued - head >= ring->params.sq_entries) {
        die("no room in the ring for %s", request->what);
    }
    size_t index = (*tail + ring->queued++) & (ring->params.sq_entries - 1);
    struct io_uring_sqe *sqe = (struct io_uring_sqe *)(void *)(ring->sqes + index * sqe_size(ring));
    struct request *copy = malloc(sizeof(*copy));
    *copy = *request;
    memset(sqe, 0, sqe_size(ring));
    sqe->opcode = request->op;
    sqe->flags = request->flags;
    sqe->fd = request->fd;
    sqe->addr = (uintptr_t)request->addr;
    sqe->len = request->len;
    sqe->off = request->offset;
    sqe->user_data = (uintptr_t)copy | (request->in ? URING_TAG_READ : 0) | (request->out ? URING_TAG_WRITE : 0);
    return sqe;
}

static long enter(struct uring *ring, unsigned submit, unsigned wait, unsigned flags)
{
    long ret;
    do {
        ret = syscall(SYS_io_uring_enter, ring->fd, submit, wait, flags, NULL, 0);
    } while (ret < 0 && errno == EINTR);
    return must(ret, "io_uring_enter");
}

void uring_submit(struct uring *ring)
{
    unsigned *tail = word(ring, ring->params.sq_off.tail);
    __atomic_store_n(tail, *tail + ring->queued, __ATOMIC_RELEASE);
    if (ring->params.flags & IORING_SETUP_SQPOLL) {
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (__atomic_load_n(word(ring, ring->params.sq_off.flags), __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP) {
            enter(ring, ring->queued, 0, IORING_ENTER_SQ_WAKEUP);
        }
        ring->queued = 0;
    }
    while (ring->queued) {
        /* the kernel stops behind an entry that it refuses; the next call goes on */
        ring->queued -= (unsigned)enter(ring, ring->queued, 0, 0);
    }
}

bool uring_is_ready(const struct uring *ring)
{
    unsigned head = *word(ring, ring->params.cq_off.head);
    return head != __atomic_load_n(word(ring, ring->params.cq_off.tail), __ATOMIC_ACQUIRE);
}

static void book(const struct uring *ring, const struct request *request, long res)
{
    /* the kernel looks a file up when the request begins, not when it is submitted */
    struct account *other = res == -ECANCELED ? ring->never_begun : NULL;
    if (request->in) {
        count_read(other ? other : request->in, ROUTE_IO_URING, res < 0 ? -1 : res);
    }
    if (request->out) {
        count_write(other ? other : request->out, ROUTE_IO_URING, res < 0 ? -1 : res);
    }
}

/* Takes the next completion: its result; and its user_data and flags. */
static long take(struct uring *ring, uint64_t *ret_user_data, uint32_t *ret_flags)
{
    unsigned *head = word(ring, ring->params.cq_off.head);
    while (!uring_is_ready(ring)) {
        enter(ring, 0, 1, IORING_ENTER_GETEVENTS);
    }
    size_t index = *head & (ring->params.cq_entries - 1);
    const void *at = ring->rings + ring->params.cq_off.cqes + index * cqe_size(ring);
    const struct io_uring_cqe *cqe = at;
    long res = cqe->res;
    *ret_user_data = cqe->user_data;
    *ret_flags = cqe->flags;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return res;
}

static void must_be(const char *what, long res, long expected)
{
    if (expected != ANY_RESULT && res != expected) {
        die("%s: result %ld, not %ld", what, res, expected);
    }
}

void uring_skip(struct uring *ring, long expected)
{
    uint64_t user_data;
    uint32_t flags;
    must_be("a completion of another process", take(ring, &user_data, &flags), expected);
}

long uring_reap(struct uring *ring)
{
    uint64_t user_data;
    uint32_t flags;
    long res = take(ring, &user_data, &flags);
    struct request *request = (struct request *)(uintptr_t)(user_data & POINTER_MASK);
    must_be(request->what, res, request->expected);
    book(ring, request, res);
    if (!(flags & IORING_CQE_F_MORE)) {
        free(request);
    }
    return res;
}

void uring_run(struct uring *ring, const struct request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uring_queue(ring, &requests[i]);
    }
    uring_submit(ring);
    for (size_t i = 0; i < n; i++) {
        uring_reap(ring);
    }
}

void uring_run_each(struct uring *ring, const struct request *requests, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uring_run(ring, &requests[i], 1);
    }
}
