// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Between the capture side and a sink: a queue of batches, bounded by memory, and a thread that writes them in order, and retries
 * with backoff for as long as the sink says -EAGAIN or -ENOSPC. A slow or absent database never blocks the one who puts.
 *
 * With a spool a second thread moves the queue there, whatever the database does, and what is written is read from it: the queue is
 * empty as a rule, and what waits for the database waits on disk. A batch that the database refuses for ever goes to the spool's
 * quarantine. When the spool takes nothing (its disk is full) and nothing waits in it, batches are written from the queue.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "store/spool.h"

struct iol_batch;
struct iol_sink;
struct iol_writer;

struct iol_writer_options {
    size_t max_bytes;     /* of queued batches; beyond it iol_writer_full() says so */
    int give_up_after_ms; /* how long iol_writer_finish() goes on trying an unreachable database; -1: for ever */
    int patience_ms; /* how long a write may be held up by who else wants the CPUs (see base/priority.h); 0: not at all */
    struct iol_spool *spool; /* stays the caller's, and is nobody else's while the writer lives; NULL: none */
    bool spool_only;         /* nothing is written that is not in the spool: its journals are needed */
};

struct iol_writer_stats {
    uint64_t batches; /* committed */
    uint64_t rows;    /* committed */
    uint64_t queued;  /* batches waiting in memory, the one being written or spooled included */
    uint64_t queued_bytes;
    uint64_t waiting; /* batches that are not in the database yet: queued, and in the spool */
    uint64_t retries;
    uint64_t rejected; /* batches that the database will never accept; with a spool they are in quarantine */
    uint64_t rejected_rows;
    int64_t committed_ts;                /* of the newest batch committed; 0: none; these three are wall clock, in ns */
    int64_t oldest_ts;                   /* of the oldest batch that waits, in memory or in the spool; 0: none does */
    int64_t error_ts;                    /* when last_error was met */
    bool down;                           /* the last try failed */
    char last_error[IOL_ERROR_TEXT_MAX]; /* of the last failed try; empty when there was none */
    pid_t server_pid;                    /* iol_sink_server_pid() after the last batch; 0: none, or not known yet */

    bool spooled;                         /* there is a spool; all that follows is about it */
    struct iol_spool_stats spool;         /* as of its last use by the writer */
    int64_t spool_seq;                    /* of the last batch that was put into it; 0: none yet */
    bool spool_failed;                    /* the last try to put something into it failed */
    char spool_error[IOL_ERROR_TEXT_MAX]; /* of the last such failure; empty when there was none */
};

/* Starts the threads. The sink stays the caller's and must outlive the writer. */
int iol_writer_new(struct iol_sink *sink, const struct iol_writer_options *options, struct iol_writer **ret_writer);

/* Hands a batch over (always taken, whatever the queue's size). Never blocks on the database or a disk. */
void iol_writer_put(struct iol_writer *writer, struct iol_batch *batch);

/*
 * Whether everything that was put is in the spool by now, or in no queue any more; waits for that for timeout_ms at most. Only with a
 * spool.
 */
bool iol_writer_spooled(struct iol_writer *writer, int timeout_ms);

/*
 * The queue is over its budget: the caller should leave the counters in the kernel and put later. To be asked now and then: it is also
 * what ends a write's low priority when that has lasted long (see base/priority.h).
 */
bool iol_writer_full(struct iol_writer *writer);

void iol_writer_get_stats(struct iol_writer *writer, struct iol_writer_stats *ret_stats);

/*
 * Writes what is queued, and what waits in the spool, and ends the threads. 0 when everything is committed; 1: what is not is in the
 * spool, for the next writer; else -errno and *err. *ret_unwritten_rows: how many rows were not stored, those in the spool
 * included. `interrupted` (may be NULL) is looked at between tries: once it is true the writer gives up at the next failure, and with a
 * spool after the batch that is being written.
 */
int iol_writer_finish(struct iol_writer *writer, const volatile bool *interrupted, uint64_t *ret_unwritten_rows,
                      struct iol_error *err);

void iol_writer_free(struct iol_writer *writer); /* accepts NULL; after finish */
