// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Segments and entries as they are on disk. For spool*.c only. */
#include <pthread.h>
#include <stdint.h>
#include <xxhash.h>
#include <zstd.h>

#include "store/spool.h"

/* Headers begin with a magic number and a hash, which is of all that follows. */
#define IOL_SPOOL_HASH(header)                                                                                         \
    XXH3_64bits((const char *)(header) + 2 * sizeof(uint64_t), sizeof(*(header)) - 2 * sizeof(uint64_t))

#define IOL_SPOOL_QUARANTINE "quarantine"

#define IOL_SEGMENT_MAGIC UINT64_C(0x3130474553214f49) /* "IO!SEG01" */
#define IOL_ENTRY_MAGIC UINT64_C(0x315952544e454f49)   /* "IOENTRY1" */
#define IOL_STATE_MAGIC UINT64_C(0x3145544154534f49)   /* "IOSTATE1" */
#define IOL_SEGMENT_VERSION 1
#define IOL_STATE_STRIDE 512 /* a sector each */

struct iol_segment_header {
    uint64_t magic;
    uint64_t hash; /* of what follows in the header */
    uint32_t version;
    uint32_t level; /* how often its entries have been merged */
    uint64_t first; /* number of its first entry, or of the first that was merged into it */
    uint64_t last;  /* number of the last that was merged into it; 0: never merged */
};
_Static_assert(sizeof(struct iol_segment_header) == 40, "no padding");

struct iol_entry_header {
    uint64_t magic;
    uint64_t hash;      /* of what follows in the header */
    uint64_t body_hash; /* of the bytes of batch and journal behind the header */
    uint64_t number;    /* grows by 1 with every batch; of a merged one, that of its last */
    int64_t host_id;
    int64_t seq;
    int64_t ts; /* of the batch */
    uint32_t batch_size, batch_raw_size;
    uint32_t journal_size, journal_raw_size;
    uint32_t rows;
    uint32_t batches; /* that are in it: 1, unless it was merged */
    char boot_id[IOL_SPOOL_BOOT_ID_MAX];
};
_Static_assert(sizeof(struct iol_entry_header) == 144, "no padding");

/* What is acknowledged. It is written in one of two places by turns, so that one is whole whatever happens, and needs no new room. */
struct iol_spool_state {
    uint64_t magic;
    uint64_t hash;    /* of what follows */
    uint64_t turn;    /* the higher one counts */
    uint64_t acked;   /* all up to this number are */
    uint64_t reading; /* segments up to the one of this first number may have been sent: they are not merged */
};
_Static_assert(sizeof(struct iol_spool_state) == 40, "no padding");

/* One file. The last of them is the one that is appended to. */
struct iol_segment {
    uint64_t first;
    uint64_t last; /* number of its last entry; first - 1: it is empty */
    uint32_t level;
    uint32_t entries;
    uint64_t end;     /* of what is in it, bytes */
    uint64_t last_at; /* where its last entry begins */
    uint64_t covers;  /* see `last` of its header */
    int64_t host_id;  /* of its entries, which are all of one host and boot, or it is never merged */
    bool mixed;
    bool stuck; /* merging it by itself made it no smaller */
    char boot_id[IOL_SPOOL_BOOT_ID_MAX];
};

struct iol_spool {
    char *dir;
    int dir_fd, lock_fd, state_fd;
    uint64_t max_bytes, segment_bytes;
    enum iol_spool_sync sync;
    bool keep, removable;
    ZSTD_CCtx *compressor;
    ZSTD_DCtx *decompressor;
    struct iol_spool_last last;
    void *last_journal;
    bool has_last;

    pthread_mutex_t lock; /* for all that follows */
    struct iol_segment *segments;
    size_t n_segments, room_segments;
    uint64_t next_number;
    uint64_t turn, acked, reading; /* struct iol_spool_state */
    int write_fd;                  /* of the last segment, when it is appended to; else -1 */
    bool unsynced;
    int64_t synced_ms;
    int read_fd; /* of the first segment, or -1 */
    uint64_t read_at;
    struct iol_entry_header taken[2 * IOL_SPOOL_TAKE_MAX]; /* what was given and is not acknowledged, in a ring */
    size_t first_taken, n_taken;
    uint64_t quarantine_bytes;
    bool oldest_known; /* stats.oldest_ts is right */
    struct iol_spool_stats stats;
};

/* An entry in memory: its header and the bytes behind it. */
struct iol_entry {
    struct iol_entry_header header;
    void *body; /* malloc'ed */
};

static inline uint64_t iol_entry_size(const struct iol_entry_header *header)
{
    return sizeof(*header) + header->batch_size + header->journal_size;
}

/* spool_files.c: what is on disk. Each returns 0 or -errno. */
void iol_segment_name(char *buf, size_t size, uint64_t first); /* 32 bytes suffice */
int iol_segment_create(const struct iol_spool *spool, const char *name, const struct iol_segment *segment, int *ret_fd);
int iol_segment_open(const struct iol_spool *spool, const struct iol_segment *segment, int *ret_fd);

/* Looks at the segment as it is on disk, entry by entry: fills all of *segment but `first`. -EBADMSG: it is none. */
int iol_segment_scan(int fd, struct iol_segment *segment, bool check_bodies);

/*
 * The entry at or behind *at; *at is then where it begins. -ENOENT: there is none any more. With `skipped` (may be NULL) set when
 * bytes before it were no entry. Without `body` only the header is looked at; else -EBADMSG when the bytes behind are damaged, with
 * *ret_entry filled all the same.
 */
int iol_entry_read(int fd, uint64_t end, uint64_t *at, bool body, struct iol_entry *ret_entry, bool *skipped);

/* Makes an entry of a batch. */
int iol_entry_pack(struct iol_spool *spool, const struct iol_batch *batch, uint64_t number, uint32_t batches,
                   struct iol_entry *ret_entry);
int iol_entry_unpack(struct iol_spool *spool, const struct iol_entry *entry, bool journal, struct iol_batch **ret_batch,
                     struct iol_error *err);
int iol_entry_write(int fd, uint64_t at, const struct iol_entry *entry);
void iol_entry_done(struct iol_entry *entry);
void iol_segment_note(struct iol_segment *segment, const struct iol_entry_header *header, uint64_t at);

struct iol_segment *iol_spool_last_segment(struct iol_spool *spool); /* NULL: there is none */
struct iol_segment *iol_spool_add_segment(struct iol_spool *spool);  /* NULL: no memory */
void iol_spool_remove_segment(struct iol_spool *spool, size_t i);    /* its file too */
int iol_spool_error(const struct iol_spool *spool, int code, const char *doing, struct iol_error *err);
void iol_spool_close_fd(int *fd);

/* spool_open.c: the number in "NUMBER.segment". */
bool iol_segment_is_name(const char *name, uint64_t *ret_first);

/* spool_state.c */
int iol_spool_read_state(struct iol_spool *spool); /* or creates it; 1: there is one, and it cannot be read */
int iol_spool_write_state(struct iol_spool *spool, bool sync);

/* Replaces the file as a whole; its contents and its name are safe when it returns, if `sync`. */
int iol_spool_replace(const struct iol_spool *spool, const char *name, const void *data, size_t size, bool sync);
int iol_write_all(int fd, const void *data, size_t size, uint64_t at);

/* spool_merge.c: makes the spool smaller, with the lock held. 0; -ENOSPC: there is nothing left to be merged. */
int iol_spool_shrink(struct iol_spool *spool);
