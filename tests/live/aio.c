// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "aio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { BATCH = 64 };

struct pending {
    struct aio_request request;
    struct iocb iocb;
};

aio_context_t aio_init(unsigned events)
{
    aio_context_t context = 0;
    must(syscall(SYS_io_setup, events, &context), "io_setup");
    return context;
}

void aio_done(aio_context_t context)
{
    must(syscall(SYS_io_destroy, context), "io_destroy");
}

static struct iocb *new_iocb(const struct aio_request *request)
{
    struct pending *pending = malloc(sizeof(*pending));
    pending->request = *request;
    pending->iocb = (struct iocb){
        .aio_data = (uintptr_t)pending,
        .aio_lio_opcode = request->op,
        .aio_fildes = (uint32_t)request->fd,
        .aio_buf = (uintptr_t)request->buf,
        .aio_nbytes = request->size,
        .aio_offset = request->offset,
    };
    return &pending->iocb;
}

static void submit(aio_context_t context, const struct aio_request *requests, size_t n, struct iocb *iocbs[BATCH])
{
    if (n > BATCH) {
        die("a batch of more than %d", BATCH);
    }
    for (size_t i = 0; i < n; i++) {
        iocbs[i] = new_iocb(&requests[i]);
    }
    must_return("io_submit", syscall(SYS_io_submit, context, n, iocbs), (ssize_t)n);
}

void aio_submit(aio_context_t context, const struct aio_request *requests, size_t n)
{
    struct iocb *iocbs[BATCH];
    submit(context, requests, n, iocbs);
}

void aio_submit_forgotten(aio_context_t context, const struct aio_request *requests, size_t n)
{
    struct iocb *iocbs[BATCH];
    submit(context, requests, n, iocbs);
    for (size_t i = 0; i < n; i++) {
        memset(iocbs[i], 0xff, sizeof(*iocbs[i]));
    }
}

long aio_try(aio_context_t context, const struct aio_request *request)
{
    struct iocb *iocb = new_iocb(request);
    return syscall(SYS_io_submit, context, 1, &iocb);
}

void aio_submit_half(aio_context_t context, const struct aio_request *good, const struct aio_request *bad)
{
    struct iocb *iocbs[2] = {new_iocb(good), new_iocb(bad)};
    must_return("io_submit", syscall(SYS_io_submit, context, 2, iocbs), 1);
}

/* The ring as user space sees it: struct aio_ring of fs/aio.c, of which libaio makes use too. */
struct ring {
    uint32_t id, size, head, tail, magic, features, refused_features, header_size;
    struct io_event events[];
};

void aio_resubmit(aio_context_t context, const struct aio_request *request, unsigned times)
{
    struct ring *ring = (struct ring *)context;
    struct iocb *iocb = new_iocb(request);
    if (ring->magic != 0xa10a10a1) {
        die("no ring at %p", (void *)ring);
    }
    for (unsigned i = 0; i < times; i++) {
        must_return("io_submit", syscall(SYS_io_submit, context, 1, &iocb), 1);
        while (__atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == ring->head) {
        }
        must_return(request->what, (ssize_t)ring->events[ring->head].res, request->expected);
        __atomic_store_n(&ring->head, (ring->head + 1) % ring->size, __ATOMIC_RELEASE);
    }
}

static size_t book(const struct io_event *events, long n)
{
    for (long i = 0; i < must(n, "io_getevents"); i++) {
        struct pending *pending = (struct pending *)(uintptr_t)events[i].data;
        const struct aio_request *request = &pending->request;
        long res = (long)events[i].res;
        if (request->expected != AIO_ANY && res != request->expected) {
            die("%s: result %ld, not %ld", request->what, res, request->expected);
        }
        if (request->in) {
            count_read(request->in, ROUTE_RW, res < 0 ? -1 : res);
        }
        if (request->out) {
            count_write(request->out, ROUTE_RW, res < 0 ? -1 : res);
        }
        free(pending);
    }
    return (size_t)n;
}

size_t aio_fetch(aio_context_t context, size_t least, size_t most)
{
    struct io_event events[BATCH];
    return book(events, syscall(SYS_io_getevents, context, least, most > BATCH ? BATCH : most, events, NULL));
}

size_t aio_fetch_masked(aio_context_t context, size_t least, size_t most)
{
    struct io_event events[BATCH];
    return book(events, syscall(SYS_io_pgetevents, context, least, most > BATCH ? BATCH : most, events, NULL, NULL));
}
