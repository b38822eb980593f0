// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Batches into the tables of a ClickHouse ledger, several at once, each exactly once. There are no transactions: names go first, and may
 * be there twice (the table keeps one of them); then the facts, in pieces that are one part of one table each and so arrive whole or not
 * at all; at last the batches' own rows, which say that all of them is there. A batch that may have been sent before, by this session
 * or another one, is looked up first, and of its rows only those are written that are missing. For src/store only.
 */
#include <sys/types.h>

struct iol_batch;
struct iol_ch;
struct iol_ch_writer;
struct iol_error;

struct iol_ch_writer *iol_ch_writer_new(struct iol_ch *ch); /* NULL: no memory. The connection stays the caller's. */
void iol_ch_writer_free(struct iol_ch_writer *writer);      /* accepts NULL */

/* As write_some of store/sink.h; of batches that fail with -EAGAIN something may be there. */
ssize_t iol_ch_writer_write(struct iol_ch_writer *writer, const struct iol_batch *const *batches, size_t n,
                            struct iol_error *err);
