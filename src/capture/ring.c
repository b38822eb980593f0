// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "capture/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

struct iol_ring {
    uint64_t *consumer;       /* a page: the position up to which room was given back */
    const uint64_t *producer; /* a page, and behind it the data */
    const char *data;
    char *
        whole; /* a record that goes on at the beginning of the data, put together; pages that are not used cost nothing */
    size_t size; /* of the data; a power of two */
    size_t page;
    uint64_t position; /* up to which records were read */
    bool hold;
    int epoll;
};

/* Edge-triggered: as long as records are held the map's descriptor would be readable all the time. */
static int watch(struct iol_ring *ring, int map_fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    ring->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (ring->epoll < 0 || epoll_ctl(ring->epoll, EPOLL_CTL_ADD, map_fd, &event) < 0)
        return -errno;
    return 0;
}

static int map_pages(struct iol_ring *ring, int map_fd)
{
    void *pages = mmap(NULL, ring->page, PROT_READ | PROT_WRITE, MAP_SHARED, map_fd, 0);

    if (pages == MAP_FAILED)
        return -errno;
    ring->consumer = pages;
    /* The kernel offers the data twice in a row, for such records as wrap; the second time would count as memory too. */
    pages = mmap(NULL, ring->page + ring->size, PROT_READ, MAP_SHARED, map_fd, (off_t)ring->page);
    if (pages == MAP_FAILED)
        return -errno;
    ring->producer = pages;
    ring->data = (const char *)pages + ring->page;
    return 0;
}

int iol_ring_new(int map_fd, size_t size, struct iol_ring **ret_ring)
{
    struct iol_ring *ring = calloc(1, sizeof(*ring));
    int r;

    if (!ring)
        return -ENOMEM;
    ring->epoll = -1;
    ring->size = size;
    ring->page = (size_t)sysconf(_SC_PAGESIZE);
    ring->whole = malloc(size);
    r = ring->whole ? map_pages(ring, map_fd) : -ENOMEM;
    if (r == 0)
        r = watch(ring, map_fd);
    if (r < 0) {
        iol_ring_free(ring);
        return r;
    }
    ring->position = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
    *ret_ring = ring;
    return 0;
}

void iol_ring_free(struct iol_ring *ring)
{
    if (!ring)
        return;
    if (ring->consumer)
        munmap(ring->consumer, ring->page);
    if (ring->producer)
        munmap((void *)(uintptr_t)ring->producer, ring->page + ring->size);
    if (ring->epoll >= 0)
        close(ring->epoll);
    free(ring->whole);
    free(ring);
}

void iol_ring_hold(struct iol_ring *ring, bool hold)
{
    ring->hold = hold;
}

/* With its header, and as the kernel rounds it. */
static uint64_t room_of(uint32_t length)
{
    length &= ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
    return (length + BPF_RINGBUF_HDR_SZ + 7) / 8 * 8;
}

/* What stands behind the header at `from`, an offset in the data; headers do not wrap. */
static const char *record_at(struct iol_ring *ring, size_t from, uint32_t length)
{
    size_t begins = (from + BPF_RINGBUF_HDR_SZ) & (ring->size - 1), first = ring->size - begins;

    if (length <= first)
        return ring->data + begins;
    memcpy(ring->whole, ring->data + begins, first);
    memcpy(ring->whole + first, ring->data, length - first);
    return ring->whole;
}

void iol_ring_read(struct iol_ring *ring, iol_capture_record_fn *record, void *arg)
{
    /* No more than the ring holds: who fills it as fast as it is read does not keep the reader here. */
    const uint64_t until = ring->position + ring->size;

    /* the producer's position is looked at again until nothing new has come, as the kernel calls only once */
    while (ring->position < until && ring->position < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) {
        size_t from = ring->position & (ring->size - 1);
        uint32_t length = __atomic_load_n((const uint32_t *)(const void *)(ring->data + from), __ATOMIC_ACQUIRE);

        if (length & BPF_RINGBUF_BUSY_BIT)
            return; /* a program is still writing it: it and those behind it come with the next look */
        ring->position += room_of(length);
        if (!(length & BPF_RINGBUF_DISCARD_BIT))
            record(arg, record_at(ring, from, length), length);
        if (!ring->hold)
            iol_ring_release(ring, ring->position);
    }
}

uint64_t iol_ring_end(const struct iol_ring *ring)
{
    return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
}

uint64_t iol_ring_position(const struct iol_ring *ring)
{
    return ring->position;
}

void iol_ring_release(struct iol_ring *ring, uint64_t position)
{
    if (position > *ring->consumer)
        __atomic_store_n(ring->consumer, position, __ATOMIC_RELEASE);
    if (ring->position < position)
        ring->position = position;
}

int iol_ring_fd(const struct iol_ring *ring)
{
    return ring->epoll;
}

/* A record that is whole, which the last read has left. */
static bool has_more(const struct iol_ring *ring)
{
    const char *at = ring->data + (ring->position & (ring->size - 1));

    return ring->position < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) &&
           !(__atomic_load_n((const uint32_t *)(const void *)at, __ATOMIC_ACQUIRE) & BPF_RINGBUF_BUSY_BIT);
}

void iol_ring_wait(struct iol_ring *ring, int timeout_ms)
{
    struct epoll_event event;

    if (!has_more(ring))
        epoll_wait(ring->epoll, &event, 1, timeout_ms);
}
