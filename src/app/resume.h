// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The books that outlive the recorder (record --pin), from the pipeline's side: they follow the batches that are in the spool, and a
 * new recorder goes on from there. For each batch, in this order:
 *
 *   seal      what the batch changes of the books goes along with it, as its journal
 *             the batch is appended to the spool
 *   commit    the journal is put into the books, and what was only kept for it is given back to the kernel
 *
 * Who dies before the batch is in the spool has changed nothing: the kernel still has the counters and the records. Who dies after
 * that is made up for by the next iol_resume_new(), which finds the batch in the spool and not in the books.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_accounts;
struct iol_batch;
struct iol_capture;
struct iol_clock_pair;
struct iol_epoch;
struct iol_error;
struct iol_journal;
struct iol_model;
struct iol_resume;
struct iol_spool_last;

/* `last`: what the spool has last, or NULL. Brings the books up to it. The capture has pins, and outlives this. */
int iol_resume_new(struct iol_capture *capture, const struct iol_spool_last *last, int64_t host_id, const char *boot_id,
                   struct iol_resume **ret_resume, struct iol_error *err);
void iol_resume_free(struct iol_resume *resume); /* accepts NULL */

struct iol_journal *iol_resume_journal(struct iol_resume *resume); /* for the model */

/* What the books know: of images and files into the model, of slots into the accounts. 0, or -errno. */
int iol_resume_restore(struct iol_resume *resume, struct iol_model *model, struct iol_accounts *accounts,
                       struct iol_batch *batch);

/* What has not been posted, in either set of counters, began to be counted then. */
void iol_resume_begin(struct iol_resume *resume, const struct iol_clock_pair *start);

/* The number of the last epoch that was posted, and when it ended; and a sequence number behind those of all batches, at least `seq`. */
uint64_t iol_resume_epoch(const struct iol_resume *resume, uint64_t *ret_end_ns);
uint64_t iol_resume_next_seq(const struct iol_resume *resume, uint64_t seq);

/* An epoch has been posted into the batch that is being made, and with it all that was counted before its end. */
void iol_resume_posted(struct iol_resume *resume, const struct iol_epoch *epoch);

/* Whether so much of the ring buffer waits for a batch to be made of it that this should be soon. */
bool iol_resume_wants_batch(const struct iol_resume *resume);

/* One batch is sealed at a time: the next one when this is committed. 0, or -errno. */
int iol_resume_seal(struct iol_resume *resume, struct iol_accounts *accounts, struct iol_batch *batch, uint64_t seq);
bool iol_resume_is_sealed(const struct iol_resume *resume);
int iol_resume_commit(struct iol_resume *resume);

/* Nothing has come together for a batch, but names may have been forgotten, and records have been read: 0, or -errno. */
int iol_resume_commit_nothing(struct iol_resume *resume, struct iol_accounts *accounts);
