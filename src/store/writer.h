// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The thread between the capture side and a sink: a queue of batches, bounded by memory, written in
 * order and retried with backoff for as long as the sink says -EAGAIN or -ENOSPC. A slow or absent database
 * fills the queue and never blocks the one who puts.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct iol_batch;
struct iol_sink;
struct iol_writer;

struct iol_writer_options {
    size_t max_bytes;     /* of queued batches; beyond it iol_writer_full() says so */
    int give_up_after_ms; /* how long iol_writer_finish() goes on trying an unreachable database; -1: for ever */
};

struct iol_writer_stats {
    uint64_t batches; /* committed */
    uint64_t rows;    /* committed */
    uint64_t queued;  /* batches waiting, the one being written included */
    uint64_t queued_bytes;
    uint64_t retries;
    uint64_t rejected; /* batches that the database will never accept */
    uint64_t rejected_rows;
    int64_t committed_ts;                /* of the newest batch committed; 0: none; these three are wall clock, in ns */
    int64_t oldest_ts;                   /* of the oldest batch that waits; 0: none does */
    int64_t error_ts;                    /* when last_error was met */
    bool down;                           /* the last try failed */
    char last_error[IOL_ERROR_TEXT_MAX]; /* of the last failed try; empty when there was none */
};

/* Starts the thread. The sink stays the caller's and must outlive the writer. */
int iol_writer_new(struct iol_sink *sink, const struct iol_writer_options *options, struct iol_writer **ret_writer);

/* Hands a batch over (always taken, whatever the queue's size). Never blocks on the database. */
void iol_writer_put(struct iol_writer *writer, struct iol_batch *batch);

/* The queue is over its budget: the caller should leave the counters in the kernel and put later. */
bool iol_writer_full(struct iol_writer *writer);

void iol_writer_get_stats(struct iol_writer *writer, struct iol_writer_stats *ret_stats);

/*
 * Writes what is queued and ends the thread. 0 when everything is committed; else -errno and *err, and the
 * number of rows that were not stored in *ret_unwritten_rows. `interrupted` (may be NULL) is looked at between tries: once it is true the
 * writer gives up at the next failure.
 */
int iol_writer_finish(struct iol_writer *writer, const volatile bool *interrupted, uint64_t *ret_unwritten_rows,
                      struct iol_error *err);

void iol_writer_free(struct iol_writer *writer); /* accepts NULL; after finish */
