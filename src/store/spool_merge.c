// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Room in a spool that is full. Up to four neighbouring segments of one level become one of the next level: of four entries in a row
 * one is made. As it is the oldest of the lowest level that are taken, what is merged often is old, and each batch is rewritten once
 * for each level only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/batch.h"
#include "store/merge.h"
#include "store/spool.intern.h"

#define MERGED_AT_ONCE 4
#define MERGE_MEMORY ((size_t)16 << 20) /* a batch that has become so big takes no more */
#define MERGE_SHARE 8 /* of max_bytes: the part that is rewritten at once at most, and kept free for it */

static const char result_name[] = "merge.new";

struct work {
    struct iol_spool *spool;
    size_t from, n; /* segments */
    int fd;         /* of the result */
    struct iol_segment result;
    struct iol_merge *merge; /* the group at hand; NULL: it is empty */
    uint64_t number;         /* of its last */
    uint32_t batches, entries;
    uint64_t rows;   /* of the result */
    uint64_t merged; /* batches that are no more */
    void *journal;   /* of the last entry of all, when it is in the group */
    size_t journal_size;
};

static bool may_merge(const struct iol_spool *spool, size_t i)
{
    const struct iol_segment *segment = &spool->segments[i];
    bool appended_to = i + 1 == spool->n_segments && spool->write_fd >= 0;

    return segment->first > spool->reading && segment->entries > 0 && !segment->mixed && !segment->stuck &&
           !appended_to;
}

static bool alike(const struct iol_segment *a, const struct iol_segment *b)
{
    return a->level == b->level && a->host_id == b->host_id && strcmp(a->boot_id, b->boot_id) == 0;
}

/* How many segments from i on can be merged into one. */
static size_t run_length(const struct iol_spool *spool, size_t i)
{
    uint64_t bytes = 0;
    size_t n = 0;

    while (n < MERGED_AT_ONCE && i + n < spool->n_segments && may_merge(spool, i + n) &&
           (n == 0 || alike(&spool->segments[i], &spool->segments[i + n])) &&
           bytes + spool->segments[i + n].end <= spool->max_bytes / MERGE_SHARE)
        bytes += spool->segments[i + n++].end;
    return n;
}

/* A run is better than a single segment, then a lower level, then an older one. */
static bool choose(const struct iol_spool *spool, size_t *ret_from, size_t *ret_n)
{
    size_t best = 0, best_n = 0;

    for (size_t i = 0; i < spool->n_segments; i++) {
        size_t n = run_length(spool, i);
        if (n == 0 || (n == 1 && spool->segments[i].entries < 2))
            continue;
        if (best_n == 0 || (n > 1 && best_n == 1) ||
            ((n > 1) == (best_n > 1) && spool->segments[i].level < spool->segments[best].level)) {
            best = i;
            best_n = n;
        }
    }
    *ret_from = best;
    *ret_n = best_n;
    return best_n > 0;
}

static int write_entry(struct work *work, const struct iol_entry *entry)
{
    uint64_t at = work->result.end;
    int r = iol_entry_write(work->fd, at, entry);

    if (r < 0)
        return r;
    iol_segment_note(&work->result, &entry->header, at);
    work->rows += entry->header.rows;
    return 0;
}

/* Writes the group as one entry. */
static int end_group(struct work *work)
{
    struct iol_batch *batch = NULL;
    struct iol_entry entry = {0};

    if (!work->merge)
        return 0;
    int r = iol_merge_finish(work->merge, &batch);
    if (r == 0) {
        batch->journal = TAKE_PTR(work->journal);
        batch->journal_size = work->journal_size;
        r = iol_entry_pack(work->spool, batch, work->number, work->batches, &entry);
    }
    if (r == 0)
        r = write_entry(work, &entry);
    work->merged += work->entries - 1;
    iol_entry_done(&entry);
    iol_batch_free(batch);
    iol_merge_free(TAKE_PTR(work->merge));
    work->batches = work->entries = 0;
    return r;
}

static int add_to_group(struct work *work, const struct iol_entry_header *header, struct iol_batch *batch)
{
    if (!work->merge)
        work->merge = iol_merge_new();
    int r = work->merge ? iol_merge_add(work->merge, batch) : -ENOMEM;
    if (r < 0)
        return r;
    work->number = header->number;
    work->batches += header->batches;
    work->entries++;
    if (batch->journal) {
        work->journal = TAKE_PTR(batch->journal);
        work->journal_size = batch->journal_size;
    }
    if (work->entries == MERGED_AT_ONCE || iol_merge_memory(work->merge) >= MERGE_MEMORY)
        return end_group(work);
    return 0;
}

/* One that cannot be read stays as it is: it is set aside when its turn comes. */
static int take_entry(struct work *work, int read, const struct iol_entry *entry)
{
    const struct iol_segment *last = &work->spool->segments[work->from + work->n - 1];
    struct iol_batch *batch = NULL;
    int r = read;

    if (r == 0)
        r = iol_entry_unpack(work->spool, entry, entry->header.number == last->last, &batch, NULL);
    if (r == -EBADMSG || r == -EPROTONOSUPPORT) {
        r = end_group(work);
        return r == 0 ? write_entry(work, entry) : r;
    }
    if (r == 0)
        r = add_to_group(work, &entry->header, batch);
    iol_batch_free(batch);
    return r;
}

static int merge_segment(struct work *work, const struct iol_segment *segment)
{
    uint64_t at = sizeof(struct iol_segment_header);
    _cleanup_close_ int fd = -1;
    int r = iol_segment_open(work->spool, segment, &fd);

    while (r == 0) {
        struct iol_entry entry = {0};
        r = iol_entry_read(fd, segment->end, &at, true, &entry, NULL);
        if (r == 0 || r == -EBADMSG) {
            at += iol_entry_size(&entry.header);
            r = take_entry(work, r, &entry);
        }
        iol_entry_done(&entry);
    }
    return r == -ENOENT ? 0 : r;
}

static int merge_segments(struct work *work)
{
    const struct iol_segment *first = &work->spool->segments[work->from];
    int r;

    work->result = (struct iol_segment){
        .first = first->first,
        .last = first->first - 1,
        .level = first->level + 1,
        .covers = work->spool->segments[work->from + work->n - 1].last,
        .end = sizeof(struct iol_segment_header),
    };
    r = iol_segment_create(work->spool, result_name, &work->result, &work->fd);
    for (size_t i = 0; i < work->n && r == 0; i++)
        r = merge_segment(work, &work->spool->segments[work->from + i]);
    if (r == 0)
        r = end_group(work);
    if (r == 0 && fsync(work->fd) < 0)
        r = -errno;
    return r;
}

/*
 * The result takes the name of the first, all at once; of the others its header says that they are in it, should they not be
 * removed any more.
 */
static int put_in_place(struct work *work)
{
    struct iol_spool *spool = work->spool;
    struct iol_segment *segments = &spool->segments[work->from];
    char name[32];

    iol_segment_name(name, sizeof(name), work->result.first);
    if (renameat(spool->dir_fd, result_name, spool->dir_fd, name) < 0 || fsync(spool->dir_fd) < 0)
        return -errno;
    for (size_t i = 0; i < work->n; i++) {
        spool->stats.bytes -= segments[i].end;
        spool->stats.entries -= segments[i].entries;
        iol_segment_name(name, sizeof(name), segments[i].first);
        if (i > 0)
            unlinkat(spool->dir_fd, name, 0);
    }
    work->result.stuck = work->n == 1 && work->result.entries == segments[0].entries;
    segments[0] = work->result;
    spool->n_segments -= work->n - 1;
    memmove(&segments[1], &segments[work->n], (spool->n_segments - work->from - 1) * sizeof(segments[0]));
    spool->stats.bytes += work->result.end;
    spool->stats.entries += work->result.entries;
    spool->stats.merged += work->merged;
    spool->oldest_known = false;
    return 0;
}

/* Rows in the segments that are merged, by the headers of their entries. */
static uint64_t count_rows(struct iol_spool *spool, size_t from, size_t n)
{
    uint64_t rows = 0;

    for (size_t i = from; i < from + n; i++) {
        uint64_t at = sizeof(struct iol_segment_header);
        struct iol_entry entry = {0};
        _cleanup_close_ int fd = -1;

        if (iol_segment_open(spool, &spool->segments[i], &fd) < 0)
            continue;
        for (; iol_entry_read(fd, spool->segments[i].end, &at, false, &entry, NULL) == 0;
             at += iol_entry_size(&entry.header))
            rows += entry.header.rows;
    }
    return rows;
}

int iol_spool_shrink(struct iol_spool *spool)
{
    struct work work = {.spool = spool, .fd = -1};

    if (!choose(spool, &work.from, &work.n))
        return -ENOSPC;
    uint64_t rows = count_rows(spool, work.from, work.n);
    int r = merge_segments(&work);
    if (r == 0)
        r = put_in_place(&work);
    if (r == 0)
        spool->stats.rows = spool->stats.rows - rows + work.rows;
    else
        unlinkat(spool->dir_fd, result_name, 0);
    if (work.fd >= 0)
        close(work.fd);
    iol_merge_free(work.merge);
    free(work.journal);
    return r;
}
