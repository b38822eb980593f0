// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "aio.h"
#include "mix.h"

enum { NOT_OPEN = 9999, BATCH = 6 };

/* A descriptor for one call, with the account that it belongs to. */
struct side {
    int fd;
    int slot; /* index into fds and registered; -1: not open */
    struct account *account;
};

unsigned mix_random(struct mix *mix, unsigned limit)
{
    /* xorshift64* */
    mix->random ^= mix->random >> 12;
    mix->random ^= mix->random << 25;
    mix->random ^= mix->random >> 27;
    return (unsigned)((mix->random * 0x2545F4914F6CDD1DULL >> 33) % limit);
}

static struct account *account_of(struct mix *mix, int object)
{
    return &mix->accounts[object == PIPE_WRITE ? PIPE_READ : object];
}

static struct side side_of(struct mix *mix, int slot)
{
    return (struct side){mix->fds[slot], slot, account_of(mix, mix->objects[slot])};
}

/* Anything, and now and then a descriptor that is not open. */
static struct side any_side(struct mix *mix)
{
    if (mix_random(mix, 30) == 0) {
        return (struct side){NOT_OPEN, -1, &mix->accounts[NO_FILE]};
    }
    return side_of(mix, (int)mix_random(mix, OBJECTS));
}

static bool is_pipe(const struct mix *mix, int slot)
{
    return mix->objects[slot] >= PIPE_READ;
}

/* One that is a pipe, or one that is none: the first from a random place on; every thread has some of both. */
static struct side one_that(struct mix *mix, bool pipe)
{
    int slot = (int)mix_random(mix, OBJECTS);
    while (is_pipe(mix, slot) != pipe) {
        slot = (slot + 1) % OBJECTS;
    }
    return side_of(mix, slot);
}

static char *memory(struct mix *mix)
{
    return mix_random(mix, 20) == 0 ? mix->bad : mix->buf;
}

static void call_rw(struct mix *mix)
{
    struct side side = any_side(mix);
    size_t size = mix_random(mix, MIX_BUFFER / 2);
    off_t offset = mix_random(mix, 30000);
    char *at = memory(mix);
    const struct iovec parts[2] = {{at, size}, {at + size, size / 2}};
    switch (mix_random(mix, 10)) {
    case 0:
        count_read(side.account, ROUTE_RW, read(side.fd, at, size));
        break;
    case 1:
        count_read(side.account, ROUTE_RW, pread(side.fd, at, size, offset));
        break;
    case 2:
        count_read(side.account, ROUTE_RW, readv(side.fd, parts, 2));
        break;
    case 3:
        count_read(side.account, ROUTE_RW, preadv(side.fd, parts, 2, offset));
        break;
    case 4:
        count_read(side.account, ROUTE_RW, preadv2(side.fd, parts, 1, -1, 0));
        break;
    case 5:
        count_write(side.account, ROUTE_RW, write(side.fd, at, size));
        break;
    case 6:
        count_write(side.account, ROUTE_RW, pwrite(side.fd, at, size, offset));
        break;
    case 7:
        count_write(side.account, ROUTE_RW, writev(side.fd, parts, 2));
        break;
    case 8:
        count_write(side.account, ROUTE_RW, pwritev(side.fd, parts, 2, offset));
        break;
    default:
        count_write(side.account, ROUTE_RW, pwritev2(side.fd, parts, 1, -1, 0));
        break;
    }
}

static void count_both(struct side in, struct side out, enum route route, ssize_t ret)
{
    count_read(in.account, route, ret);
    count_write(out.account, route, ret);
}

static void call_sendfile(struct mix *mix)
{
    struct side in = one_that(mix, false), out = any_side(mix);
    off_t offset = mix_random(mix, 20000);
    ssize_t ret = sendfile(out.fd, in.fd, mix_random(mix, 2) ? &offset : NULL, mix_random(mix, 3000));
    count_both(in, out, ROUTE_SENDFILE, ret);
}

static void call_splice(struct mix *mix)
{
    bool from_pipe = mix_random(mix, 2);
    struct side in = one_that(mix, from_pipe), out = one_that(mix, !from_pipe);
    loff_t offset = mix_random(mix, 20000);
    loff_t *in_offset = !from_pipe && mix_random(mix, 2) ? &offset : NULL;
    ssize_t ret = splice(in.fd, in_offset, out.fd, NULL, mix_random(mix, 3000), SPLICE_F_NONBLOCK);
    count_both(in, out, ROUTE_SPLICE, ret);
}

static void call_copy(struct mix *mix)
{
    struct side in = any_side(mix), out = any_side(mix);
    loff_t from = mix_random(mix, 20000);
    ssize_t ret = copy_file_range(in.fd, mix_random(mix, 2) ? &from : NULL, out.fd, NULL, mix_random(mix, 3000), 0);
    count_both(in, out, ROUTE_COPY_FILE_RANGE, ret);
}

static void call_mmap(struct mix *mix)
{
    static const int protections[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_NONE};
    struct side side = any_side(mix);
    int protection = protections[mix_random(mix, 3)], flags = mix_random(mix, 2) ? MAP_SHARED : MAP_PRIVATE;
    void *at = count_map(side.account, mmap(NULL, 8192, protection, flags, side.fd, 0), protection, flags);
    if (at != MAP_FAILED) {
        must(munmap(at, 8192), "munmap");
    }
}

/* A descriptor, or the slot of the ring's table: that one still leads to what was open when it was filled. */
static void choose_file(struct mix *mix, struct request *request, struct side *side)
{
    request->fd = side->fd;
    if (side->slot >= 0 && mix_random(mix, 3) == 0) {
        request->flags |= IOSQE_FIXED_FILE;
        request->fd = side->slot;
        side->account = account_of(mix, mix->registered[side->slot]);
    }
}

static void queue_splice(struct mix *mix, struct request *request)
{
    bool from_pipe = mix_random(mix, 2);
    struct side in = one_that(mix, from_pipe), out = one_that(mix, !from_pipe);
    request->op = IORING_OP_SPLICE;
    request->len = 1 + mix_random(mix, 3000);
    request->offset = URING_AT_POSITION;
    request->fd = out.fd;
    request->in = in.account;
    request->out = out.account;
    struct io_uring_sqe *sqe = uring_queue(&mix->ring, request);
    sqe->splice_fd_in = in.fd;
    sqe->splice_off_in = from_pipe ? (uint64_t)-1 : mix_random(mix, 20000);
    sqe->splice_flags = SPLICE_F_NONBLOCK;
}

static void queue_request(struct mix *mix, struct request *request, struct iovec *parts)
{
    static const uint8_t ops[] = {IORING_OP_READ,  IORING_OP_READV,  IORING_OP_READ_FIXED,
                                  IORING_OP_WRITE, IORING_OP_WRITEV, IORING_OP_WRITE_FIXED};
    unsigned which = mix_random(mix, 7);
    if (which == 6) {
        queue_splice(mix, request);
        return;
    }
    struct side side = any_side(mix);
    choose_file(mix, request, &side);
    request->op = ops[which];
    request->addr = which % 3 == 2 ? mix->buf : memory(mix);
    request->len = mix_random(mix, MIX_BUFFER / 2);
    request->offset = mix_random(mix, 4) ? mix_random(mix, 30000) : URING_AT_POSITION;
    *(which < 3 ? &request->in : &request->out) = side.account;
    if (which % 3 == 1) {
        parts[0] = parts[1] = (struct iovec){(void *)(uintptr_t)request->addr, request->len};
        request->addr = parts;
        request->len = 2;
    }
    /* io_uring waits for a pipe even when the pipe's own flag says not to */
    uring_queue(&mix->ring, request)->rw_flags = side.account == account_of(mix, PIPE_READ) ? RWF_NOWAIT : 0;
}

/* Some requests at once, linked or in workers as it comes. */
static void call_uring(struct mix *mix)
{
    struct iovec parts[BATCH][2];
    unsigned n = 1 + mix_random(mix, BATCH);
    for (unsigned i = 0; i < n; i++) {
        static const uint8_t flags[] = {0, 0, 0, IOSQE_ASYNC, IOSQE_IO_LINK, IOSQE_IO_LINK, IOSQE_IO_HARDLINK};
        struct request request = {.what = "of a mix", .expected = ANY_RESULT};
        request.flags = flags[mix_random(mix, i + 1 < n ? 7 : 4)];
        queue_request(mix, &request, parts[i]);
    }
    uring_submit(&mix->ring);
    for (unsigned i = 0; i < n; i++) {
        uring_reap(&mix->ring);
    }
}

static void call_aio(struct mix *mix)
{
    static const uint16_t ops[] = {IOCB_CMD_PREAD, IOCB_CMD_PREADV, IOCB_CMD_PWRITE, IOCB_CMD_PWRITEV};
    struct aio_request requests[BATCH];
    struct iovec parts[BATCH];
    size_t n = 1 + mix_random(mix, BATCH);
    for (size_t i = 0; i < n; i++) {
        struct side side = one_that(mix, false);
        unsigned which = mix_random(mix, 4);
        parts[i] = (struct iovec){memory(mix), mix_random(mix, MIX_BUFFER)};
        requests[i] = (struct aio_request){
            .what = "of a mix",
            .op = ops[which],
            .fd = side.fd,
            .buf = which % 2 ? (void *)&parts[i] : parts[i].iov_base,
            .size = which % 2 ? 1 : parts[i].iov_len,
            .offset = mix_random(mix, 30000),
            .in = which < 2 ? side.account : NULL,
            .out = which < 2 ? NULL : side.account,
            .expected = AIO_ANY,
        };
    }
    aio_submit(mix->aio, requests, n);
    for (size_t fetched = 0; fetched < n;) {
        fetched += mix_random(mix, 2) ? aio_fetch(mix->aio, 1, BATCH) : aio_fetch_masked(mix->aio, 1, BATCH);
    }
}

void mix_call(struct mix *mix)
{
    static void (*const calls[MIX_ROUTES])(struct mix * mix) = {
        [MIX_RW] = call_rw,       [MIX_SENDFILE] = call_sendfile, [MIX_SPLICE] = call_splice, [MIX_COPY] = call_copy,
        [MIX_URING] = call_uring, [MIX_AIO] = call_aio,           [MIX_MMAP] = call_mmap,
    };
    unsigned route;
    do {
        route = mix_random(mix, MIX_ROUTES);
    } while (!(mix->routes & 1U << route));
    calls[route](mix);
}
