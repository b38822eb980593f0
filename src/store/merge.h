// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Several batches as one, of a coarser interval, for a spool that is full. Totals are kept: rows of io of one process, file and
 * route, and rows of total of one route, are added up, and both get one interval that covers those of all batches, so that the sum
 * of the one is that of the other as before. Rows of dimensions are kept once each. Single reads and writes (rows of event) are
 * dropped. Rows of loss tell how many intervals and events there are no more.
 */
#include <stddef.h>

struct iol_batch;
struct iol_merge;

struct iol_merge *iol_merge_new(void);        /* NULL: no memory */
void iol_merge_free(struct iol_merge *merge); /* accepts NULL */

/* Adds a sealed batch, which stays the caller's; all are of one host and boot, and come in their order. 0, or -ENOMEM. */
int iol_merge_add(struct iol_merge *merge, const struct iol_batch *batch);

/* Bytes that it holds. */
size_t iol_merge_memory(const struct iol_merge *merge);

/* The one batch, under the identity of the last that was added. 0, or -ENOMEM. To be called once. */
int iol_merge_finish(struct iol_merge *merge, struct iol_batch **ret_batch);
