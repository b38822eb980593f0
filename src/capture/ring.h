// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The reader's end of the ring buffer, as Documentation/bpf/ringbuf.rst of the kernel describes it: a page with the
 * consumer's position, which user space writes, then one with the producer's and the data, twice one after the other. Reading
 * and giving the room back are two things here: a record may have to stay until what was made of it is safe.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/capture.h"

struct iol_ring;

/* On the map's descriptor, which stays the caller's. Reading begins where the last reader gave room back. */
int iol_ring_new(int map_fd, size_t size, struct iol_ring **ret_ring);
void iol_ring_free(struct iol_ring *ring); /* accepts NULL */

/* Whether the room of a record is given back as soon as it was handed over (the default), or by iol_ring_release() only. */
void iol_ring_hold(struct iol_ring *ring, bool hold);

/* Hands over all records that are complete, in their order: those that were there, and of later ones no more than a ring holds. */
void iol_ring_read(struct iol_ring *ring, iol_capture_record_fn *record, void *arg);

/* Behind the last record that there is, whole or not. */
uint64_t iol_ring_end(const struct iol_ring *ring);

/* Behind the last record that was handed over; while it is being handed over, behind that one. */
uint64_t iol_ring_position(const struct iol_ring *ring);

/* Gives back the room of all records before this position; one that has been given back already changes nothing. */
void iol_ring_release(struct iol_ring *ring, uint64_t position);

/* Polls readable after the kernel has called for a reader; iol_ring_wait() takes that back. */
int iol_ring_fd(const struct iol_ring *ring);
void iol_ring_wait(struct iol_ring *ring, int timeout_ms);
