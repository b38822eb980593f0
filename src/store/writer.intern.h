// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The writer inside. For writer*.c only. All functions but iol_writer_run_sender() are called with the lock held. */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/priority.h"
#include "core/batch.h"
#include "store/spool.h"
#include "store/writer.h"

struct iol_writer {
    struct iol_sink *sink;
    struct iol_spool *spool; /* or NULL */
    struct iol_writer_options options;
    pthread_t sender, spooler;
    bool sender_started, spooler_started;
    struct iol_priority priority; /* of the sender */

    pthread_mutex_t lock; /* for everything below */
    pthread_cond_t changed;
    struct iol_batch *first; /* of the queue: what neither thread has in its hands */
    struct iol_batch **last;
    int64_t began_ms;                /* when the sender began to write what it has in its hands; 0: it does not */
    int64_t sending_ts, spooling_ts; /* of the batches of the queue that the threads have in their hands; 0: none */
    struct iol_writer_stats stats;
    struct iol_error reject; /* of the first batch that was rejected */
    int reject_code;
    struct iol_error failure; /* of the last failed try */
    int failure_code;
    bool finishing;
    bool give_up; /* at the next failure; with a spool, at once */
    bool sender_done, spooler_done;
    int64_t give_up_at_ms; /* while finishing; moved on by every success */
};

/* Waits until something changes or the time is there. */
void iol_writer_wait_until(struct iol_writer *writer, int64_t at_ms);

/* Whether writing can wait: asked whenever something has changed, and once an interval. */
void iol_writer_mind_hurry(struct iol_writer *writer);

/* When there is nothing left but to give up, and whether it is so: while finishing. */
void iol_writer_set_deadline(struct iol_writer *writer);
bool iol_writer_time_is_up(const struct iol_writer *writer);

/* Takes the first off the queue, which has one. It goes on counting as queued, until iol_writer_forget_batch(), which frees it. */
struct iol_batch *iol_writer_pop(struct iol_writer *writer);
void iol_writer_push_front(struct iol_writer *writer, struct iol_batch *batch);
void iol_writer_forget_batch(struct iol_writer *writer, struct iol_batch *batch);

void iol_writer_take_spool_stats(struct iol_writer *writer, const struct iol_spool_stats *stats);

/* The batch's row about itself. */
const struct iol_batch_row *iol_writer_row_of(const struct iol_batch *batch);

/* The thread that writes to the sink what waits in the spool, or in the queue; its argument is the writer. */
void *iol_writer_run_sender(void *writer);
