// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Batches on disk, until a database has them: a folder of append-only segments. Batches are appended at one end, and taken,
 * sent and acknowledged at the other, in their order.
 *
 *   lock                who uses the spool (flock); only one does
 *   target              the database that the batches are for, as a person writes it
 *   state               what is acknowledged
 *   NUMBER.segment      entries, under the number of the first; removed when all are acknowledged and another one follows
 *   quarantine/         batches that the database refused, or that were damaged, each with its reason beside it
 *
 * An entry is a header with lengths, hashes (XXH3) and the batch's identity, the batch's bytes (batch_bytes.h) and its journal, each
 * compressed (zstd). Whatever a crash or a full disk left of the last one is cut off when the spool is opened. Numbers are those of
 * this machine: a spool is not carried to another one.
 *
 * When it is full, batches that wait and have never been sent are merged into coarser ones (merge.h), the oldest and finest first.
 * One that may have been sent is never merged, as nobody could tell any more whether the database has it.
 *
 * Any thread may call any function, but there is one that appends and one that takes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_batch;
struct iol_error;
struct iol_spool;

#define IOL_SPOOL_BOOT_ID_MAX 64
#define IOL_SPOOL_TAKE_MAX 256
#define IOL_SPOOL_MIN_BYTES ((uint64_t)16 << 20) /* below it an interval with many accounts may find no room */

/* When what was appended is made safe from a power cut. The recorder's own death costs nothing in either case. */
enum iol_spool_sync {
    IOL_SPOOL_SYNC_ALWAYS,   /* before append returns */
    IOL_SPOOL_SYNC_EVERYSEC, /* by the first append a second or more after the last time, and by iol_spool_flush() */
    IOL_SPOOL_SYNC_NEVER,    /* when the kernel pleases */
};

struct iol_spool_options {
    uint64_t max_bytes; /* of all segments */
    enum iol_spool_sync sync;
    const char *target; /* without a password */
    bool keep;          /* the last entry stays when all is acknowledged, and so does the folder */
};

struct iol_spool_stats {
    uint64_t entries;     /* that wait */
    uint64_t rows;        /* in them */
    uint64_t bytes;       /* of all segments, on disk */
    int64_t oldest_ts;    /* of the first that waits, ns since the epoch; 0: none waits */
    uint64_t inherited;   /* entries that waited when it was opened */
    uint64_t merged;      /* batches that are no more, as they became part of others; since it was opened */
    uint64_t quarantined; /* batches set aside since it was opened */
    uint64_t quarantined_rows;
    uint64_t quarantine_files; /* batches in quarantine, those of earlier times included */
    uint64_t answer;           /* counts up with every iol_spool_get_stats(): which of two is the later one */
    uint64_t damaged;          /* of those quarantined, and pieces that were no entry at all */
};

/* What was appended last before the spool was opened. */
struct iol_spool_last {
    int64_t host_id;
    char boot_id[IOL_SPOOL_BOOT_ID_MAX];
    int64_t seq;
    const void *journal; /* the batch's (core/batch.h), the spool's memory; NULL: it had none */
    size_t journal_size;
};

/*
 * Opens, creates if needed (mode 0700; the folder above must be there), and locks it. -EBUSY: another recorder uses it; -EEXIST: the
 * folder has something else in it, or batches that wait for another database; -EPROTONOSUPPORT: written by a newer version.
 */
int iol_spool_open(const char *dir, const struct iol_spool_options *options, struct iol_spool **ret_spool,
                   struct iol_error *err);

/* What the entry that was appended last, before this opening, says; NULL: there is none. Valid until the close. */
const struct iol_spool_last *iol_spool_last(const struct iol_spool *spool);

/*
 * Appends a sealed batch, with its journal; it stays the caller's. 0: it is in the spool, and as safe as the policy says. -ENOSPC: there
 * is no room, neither by max_bytes nor by merging, or not on the disk; or another -errno: nothing of it is in the spool; trying again is
 * worth while.
 */
int iol_spool_append(struct iol_spool *spool, const struct iol_batch *batch, struct iol_error *err);

/* What was appended is made safe from a power cut, if the policy is to do that at all: for times when nothing is appended. */
void iol_spool_flush(struct iol_spool *spool);

/*
 * The oldest batch that is not acknowledged: 1 and *ret_batch, the caller's; 0: none waits. The same again until it is acknowledged
 * or quarantined. What is damaged goes to quarantine by itself.
 */
int iol_spool_next(struct iol_spool *spool, struct iol_batch **ret_batch, struct iol_error *err);

/*
 * That one, and those behind it, up to `max` (IOL_SPOOL_TAKE_MAX at most) and about as many rows as `max_rows`: how many, or -errno.
 * All are to be acknowledged before more are taken.
 */
int iol_spool_take(struct iol_spool *spool, size_t max, uint64_t max_rows, struct iol_batch **ret_batches,
                   struct iol_error *err);

/*
 * More of what is behind those that were given last, while the caller still works on them: how many. 0: there is none, or it is for the next
 * iol_spool_take() to see what it is. They are acknowledged after those. The caller does nothing else with the spool meanwhile.
 */
size_t iol_spool_take_ahead(struct iol_spool *spool, size_t max, uint64_t max_rows, struct iol_batch **ret_batches);

/* The first of those that were given is in the database. An error is one of the disk; then it may be sent once more. */
int iol_spool_ack(struct iol_spool *spool, struct iol_error *err);

/* The first of those will never be: sets it aside, with the reason. -ENOSPC: there is no room in quarantine; nothing has changed. */
int iol_spool_quarantine(struct iol_spool *spool, const char *reason, struct iol_error *err);

/*
 * For who reads the files of a folder and is no recorder: as long as *ret_fd is open no recorder uses it, and none will ever merge what
 * is there now, as a database may have it. -1: the folder is no spool, and anybody may read it. -EBUSY: a recorder uses it.
 */
int iol_spool_hold(const char *dir, int *ret_fd, struct iol_error *err);

void iol_spool_get_stats(struct iol_spool *spool, struct iol_spool_stats *ret_stats);
const char *iol_spool_dir(const struct iol_spool *spool);

/* Accepts NULL. A spool in which nothing waits and nothing is in quarantine is removed, unless it is to be kept. */
void iol_spool_close(struct iol_spool *spool);
