// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "core/batch.h"
#include "store/spool.intern.h"

#define QUARANTINE_SHARE 4 /* of max_bytes: the part that it may take beside the segments */
#define SYNC_MS 1000

const char *iol_spool_dir(const struct iol_spool *spool)
{
    return spool->dir;
}

const struct iol_spool_last *iol_spool_last(const struct iol_spool *spool)
{
    return spool->has_last ? &spool->last : NULL;
}

/* Appending */

static int sync_segment(struct iol_spool *spool)
{
    if (!spool->unsynced || spool->write_fd < 0)
        return 0;
    if (fdatasync(spool->write_fd) < 0)
        return -errno;
    spool->unsynced = false;
    spool->synced_ms = iol_monotonic_ms();
    return 0;
}

/* Ends the segment that is appended to. It is made safe, as its predecessors are removed when it has followers. */
static int close_segment(struct iol_spool *spool)
{
    int r = spool->sync == IOL_SPOOL_SYNC_NEVER ? 0 : sync_segment(spool);

    if (r == 0) {
        iol_spool_close_fd(&spool->write_fd);
        spool->unsynced = false;
    }
    return r;
}

static int begin_segment(struct iol_spool *spool)
{
    struct iol_segment begun = {.first = spool->next_number, .last = spool->next_number - 1};
    struct iol_segment *segment;
    char name[32];
    int fd;

    iol_segment_name(name, sizeof(name), begun.first);
    begun.end = sizeof(struct iol_segment_header);
    int r = iol_segment_create(spool, name, &begun, &fd);
    if (r < 0)
        return r;
    segment = iol_spool_add_segment(spool);
    if (!segment || (spool->sync != IOL_SPOOL_SYNC_NEVER && fsync(spool->dir_fd) < 0)) {
        r = segment ? -errno : -ENOMEM;
        spool->n_segments -= segment ? 1 : 0;
        close(fd);
        unlinkat(spool->dir_fd, name, 0);
        return r;
    }
    *segment = begun;
    spool->write_fd = fd;
    spool->stats.bytes += begun.end;
    return 0;
}

/* While it waits for nothing, one batch may be as big as it likes. */
static bool has_room(const struct iol_spool *spool, uint64_t size)
{
    /* merging writes its result before it removes what was merged */
    uint64_t reserve = spool->max_bytes / 8;

    return spool->stats.entries == 0 || spool->stats.bytes + size + reserve <= spool->max_bytes;
}

static void remove_acked(struct iol_spool *spool);

static int make_room(struct iol_spool *spool, uint64_t size)
{
    int r = 0;

    if (spool->write_fd >= 0 && iol_spool_last_segment(spool)->end + size > spool->segment_bytes &&
        iol_spool_last_segment(spool)->entries > 0)
        r = close_segment(spool);
    while (r == 0 && !has_room(spool, size))
        r = iol_spool_shrink(spool);
    if (r == 0 && spool->write_fd < 0)
        r = begin_segment(spool);
    return r;
}

static int write_entry(struct iol_spool *spool, const struct iol_entry *entry)
{
    int r = make_room(spool, iol_entry_size(&entry->header));

    if (r < 0)
        return r;
    struct iol_segment *segment = iol_spool_last_segment(spool);
    uint64_t at = segment->end;
    r = iol_entry_write(spool->write_fd, at, entry);
    spool->unsynced = true;
    if (r == 0 && (spool->sync == IOL_SPOOL_SYNC_ALWAYS ||
                   (spool->sync == IOL_SPOOL_SYNC_EVERYSEC && iol_monotonic_ms() - spool->synced_ms >= SYNC_MS)))
        r = sync_segment(spool);
    if (r < 0) {
        /* what is written of it is no entry; should it not go away, it is skipped when it is read */
        (void)!ftruncate(spool->write_fd, (off_t)at);
        return r;
    }
    iol_segment_note(segment, &entry->header, at);
    return 0;
}

/* What is acknowledged gives its room to what is not: on a disk that is full nothing else may be left. */
static bool drop_acked(struct iol_spool *spool)
{
    if (spool->stats.entries > 0 || spool->keep || spool->stats.bytes <= 2 * sizeof(struct iol_segment_header))
        return false;
    iol_spool_close_fd(&spool->write_fd);
    iol_spool_close_fd(&spool->read_fd);
    spool->read_at = sizeof(struct iol_segment_header);
    while (spool->n_segments > 0)
        iol_spool_remove_segment(spool, 0);
    spool->stats.bytes = 0;
    spool->unsynced = false;
    return true;
}

static int append(struct iol_spool *spool, const struct iol_entry *entry)
{
    int r = write_entry(spool, entry);

    if (r == -ENOSPC && drop_acked(spool))
        r = write_entry(spool, entry);
    if (r < 0)
        return r;
    spool->next_number++;
    spool->oldest_known = spool->oldest_known && spool->stats.entries > 0;
    spool->stats.entries++;
    spool->stats.rows += entry->header.rows;
    spool->stats.bytes += iol_entry_size(&entry->header);
    remove_acked(spool);
    return 0;
}

int iol_spool_append(struct iol_spool *spool, const struct iol_batch *batch, struct iol_error *err)
{
    struct iol_entry entry = {0};

    pthread_mutex_lock(&spool->lock);
    int r = iol_entry_pack(spool, batch, spool->next_number, 1, &entry);
    if (r == 0)
        r = append(spool, &entry);
    iol_entry_done(&entry);
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? iol_spool_error(spool, r, "write to", err) : 0;
}

void iol_spool_flush(struct iol_spool *spool)
{
    pthread_mutex_lock(&spool->lock);
    if (spool->sync != IOL_SPOOL_SYNC_NEVER)
        sync_segment(spool);
    pthread_mutex_unlock(&spool->lock);
}

/* Taking */

/* The last segment that has an entry stays: it says what was appended last. */
static void remove_acked(struct iol_spool *spool)
{
    while (spool->n_segments > 1 && spool->segments[0].last <= spool->acked && spool->segments[1].entries > 0) {
        iol_spool_close_fd(&spool->read_fd);
        spool->read_at = sizeof(struct iol_segment_header);
        spool->stats.bytes -= spool->segments[0].end;
        iol_spool_remove_segment(spool, 0);
    }
}

/* From now on the entries of the first segment that has one to be read may be sent. */
static int open_reading(struct iol_spool *spool)
{
    const struct iol_segment *segment = &spool->segments[0];

    if (spool->read_fd >= 0)
        return 0;
    if (segment->first > spool->reading) {
        uint64_t before = spool->reading;
        spool->reading = segment->first;
        int r = iol_spool_write_state(spool, true);
        if (r < 0) {
            spool->reading = before;
            return r;
        }
    }
    return iol_segment_open(spool, segment, &spool->read_fd);
}

static const char *name_of(char *buf, size_t size, const struct iol_entry_header *header, const char *ending)
{
    snprintf(buf, size, "%s/%016" PRIx64 ".%s", IOL_SPOOL_QUARANTINE, header->number, ending);
    return buf;
}

static void print_reason(FILE *out, const struct iol_entry_header *header, const char *reason)
{
    char when[32];

    iol_text_time(when, sizeof(when), iol_wall_ns());
    fprintf(out,
            "set aside:  %.19s UTC\nreason:     %s\nbatch:      host_id %" PRId64 ", boot_id %s, seq %" PRId64 "\n",
            when, reason, header->host_id, header->boot_id, header->seq);
    fprintf(out, "rows:       %" PRIu32 "\nbatches:    %" PRIu32 "\n", header->rows, header->batches);
}

static int write_quarantine(struct iol_spool *spool, const struct iol_entry *entry, const char *reason)
{
    _cleanup_free_ char *text = NULL, *bytes = NULL;
    size_t size, body = iol_entry_size(&entry->header) - sizeof(entry->header);
    FILE *out = open_memstream(&text, &size);
    char name[64];

    if (!out)
        return -ENOMEM;
    print_reason(out, &entry->header, reason);
    bytes = malloc(sizeof(entry->header) + body);
    if (fclose(out) != 0 || !bytes)
        return -ENOMEM;
    if (mkdirat(spool->dir_fd, IOL_SPOOL_QUARANTINE, 0700) < 0 && errno != EEXIST)
        return -errno;
    memcpy(bytes, &entry->header, sizeof(entry->header));
    memcpy(bytes + sizeof(entry->header), entry->body, body);
    int r = iol_spool_replace(spool, name_of(name, sizeof(name), &entry->header, "txt"), text, size, true);
    if (r == 0)
        r = iol_spool_replace(spool, name_of(name, sizeof(name), &entry->header, "batch"), bytes,
                              sizeof(entry->header) + body, true);
    if (r < 0)
        return r;
    spool->quarantine_bytes += size + sizeof(entry->header) + body;
    spool->stats.quarantined++;
    spool->stats.quarantine_files++;
    spool->stats.quarantined_rows += entry->header.rows;
    return 0;
}

static int acknowledge(struct iol_spool *spool, const struct iol_entry_header *header)
{
    spool->acked = header->number;
    spool->read_at += iol_entry_size(header);
    spool->stats.entries--;
    spool->stats.rows -= header->rows;
    spool->oldest_known = false;
    int r = iol_spool_write_state(spool, false);
    remove_acked(spool);
    return r;
}

/* Reads the first entry that waits, from where the last one ended. 0; -ENOENT: there is none; -EBADMSG: it is damaged. */
static int read_entry(struct iol_spool *spool, struct iol_entry *ret_entry)
{
    while (spool->n_segments > 0) {
        bool skipped = false;
        int r = open_reading(spool);

        if (r < 0)
            return r;
        r = iol_entry_read(spool->read_fd, spool->segments[0].end, &spool->read_at, true, ret_entry, &skipped);
        spool->stats.damaged += skipped || r == -EBADMSG;
        if ((r == 0 || r == -EBADMSG) && ret_entry->header.number <= spool->acked) {
            spool->read_at += iol_entry_size(&ret_entry->header);
            iol_entry_done(ret_entry);
            continue;
        }
        if (r != -ENOENT || spool->n_segments == 1 || spool->segments[1].entries == 0)
            return r;
        /* all of it is acknowledged, or was no entry */
        spool->acked = spool->segments[0].last > spool->acked ? spool->segments[0].last : spool->acked;
        remove_acked(spool);
    }
    return -ENOENT;
}

static int take_next(struct iol_spool *spool, struct iol_batch **ret_batch, struct iol_error *err)
{
    spool->n_taken = 0;
    while (spool->stats.entries > 0) {
        struct iol_entry entry = {0};
        struct iol_error damage = {.text = "the bytes on the disk are not those that were written"};
        int r = read_entry(spool, &entry);

        if (r == -ENOENT) {
            /* what was counted and is not there any more was damaged */
            spool->stats.entries = spool->stats.rows = 0;
            break;
        }
        if (r == 0)
            r = iol_entry_unpack(spool, &entry, false, ret_batch, &damage);
        if (r == 0) {
            spool->first_taken = 0;
            spool->n_taken = 1;
            spool->taken[0] = entry.header;
            iol_entry_done(&entry);
            return 1;
        }
        if (r == -EBADMSG || r == -EPROTONOSUPPORT) {
            r = write_quarantine(spool, &entry, damage.text);
            if (r == 0)
                r = acknowledge(spool, &entry.header);
        }
        iol_entry_done(&entry);
        if (r < 0)
            return iol_spool_error(spool, r, "read", err);
    }
    return 0;
}

int iol_spool_next(struct iol_spool *spool, struct iol_batch **ret_batch, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = take_next(spool, ret_batch, err);
    pthread_mutex_unlock(&spool->lock);
    return r;
}

/* Where the header of the i-th of those that were given stands. */
static size_t place_of(const struct iol_spool *spool, size_t i)
{
    return (spool->first_taken + i) % IOL_ARRAY_SIZE(spool->taken);
}

/* The entry at `*at` of the segment that is read, if it is whole: 1 and *ret_batch; 0: it is for the next take to see what is there. */
static int take_more(struct iol_spool *spool, uint64_t *at, struct iol_batch **ret_batch)
{
    struct iol_entry entry = {0};
    bool skipped = false;
    int r = iol_entry_read(spool->read_fd, spool->segments[0].end, at, true, &entry, &skipped);

    if (r == 0 && !skipped)
        r = iol_entry_unpack(spool, &entry, false, ret_batch, NULL);
    else
        r = r == 0 ? -EBADMSG : r;
    if (r == 0) {
        spool->taken[place_of(spool, spool->n_taken++)] = entry.header;
        *at += iol_entry_size(&entry.header);
    }
    iol_entry_done(&entry);
    return r == 0;
}

/* The lock is given back between two, for who appends. Only this thread changes what is read, and the segment stays. */
static size_t take_behind(struct iol_spool *spool, uint64_t at, size_t max, uint64_t max_rows,
                          struct iol_batch **ret_batches)
{
    uint64_t rows = 0;
    size_t n = 0;

    for (int more = 1; more > 0 && n < max && rows < max_rows; n += (size_t)more) {
        pthread_mutex_lock(&spool->lock);
        more = take_more(spool, &at, &ret_batches[n]);
        rows += more ? spool->taken[place_of(spool, spool->n_taken - 1)].rows : 0;
        pthread_mutex_unlock(&spool->lock);
    }
    return n;
}

int iol_spool_take(struct iol_spool *spool, size_t max, uint64_t max_rows, struct iol_batch **ret_batches,
                   struct iol_error *err)
{
    int n = iol_spool_next(spool, &ret_batches[0], err);

    if (n <= 0 || spool->taken[0].rows >= max_rows)
        return n;
    return n + (int)take_behind(spool, spool->read_at + iol_entry_size(&spool->taken[0]), max - 1,
                                max_rows - spool->taken[0].rows, ret_batches + 1);
}

size_t iol_spool_take_ahead(struct iol_spool *spool, size_t max, uint64_t max_rows, struct iol_batch **ret_batches)
{
    size_t room = IOL_ARRAY_SIZE(spool->taken) - spool->n_taken;
    uint64_t at = spool->read_at;

    if (spool->n_taken == 0 || spool->read_fd < 0)
        return 0;
    for (size_t i = 0; i < spool->n_taken; i++)
        at += iol_entry_size(&spool->taken[place_of(spool, i)]);
    return take_behind(spool, at, max < room ? max : room, max_rows, ret_batches);
}

static int acknowledge_taken(struct iol_spool *spool)
{
    if (spool->n_taken == 0)
        return 0;
    const struct iol_entry_header *first = &spool->taken[spool->first_taken];
    spool->n_taken--;
    spool->first_taken = place_of(spool, 1);
    return acknowledge(spool, first);
}

int iol_spool_ack(struct iol_spool *spool, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = acknowledge_taken(spool);
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? iol_spool_error(spool, r, "write to", err) : 0;
}

static int quarantine_taken(struct iol_spool *spool, const char *reason)
{
    struct iol_entry entry = {0};
    uint64_t at = spool->read_at;

    if (spool->n_taken == 0)
        return 0;
    if (spool->quarantine_bytes + iol_entry_size(&spool->taken[spool->first_taken]) >
        spool->max_bytes / QUARANTINE_SHARE)
        return -ENOSPC;
    int r = iol_entry_read(spool->read_fd, spool->segments[0].end, &at, true, &entry, NULL);
    if (r == 0 || r == -EBADMSG)
        r = write_quarantine(spool, &entry, reason);
    if (r == 0)
        r = acknowledge_taken(spool);
    iol_entry_done(&entry);
    return r;
}

int iol_spool_quarantine(struct iol_spool *spool, const char *reason, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = quarantine_taken(spool, reason);
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? iol_spool_error(spool, r, "set a batch aside in", err) : 0;
}

/* Of the first entry that waits, which may not have been read yet. */
static int64_t oldest_ts(struct iol_spool *spool)
{
    for (size_t i = 0; i < spool->n_segments; i++) {
        const struct iol_segment *segment = &spool->segments[i];
        uint64_t at = i == 0 && spool->read_fd >= 0 ? spool->read_at : sizeof(struct iol_segment_header);
        struct iol_entry entry = {0};
        _cleanup_close_ int fd = -1;

        if (segment->last <= spool->acked || iol_segment_open(spool, segment, &fd) < 0)
            continue;
        while (iol_entry_read(fd, segment->end, &at, false, &entry, NULL) == 0) {
            if (entry.header.number > spool->acked)
                return entry.header.ts;
            at += iol_entry_size(&entry.header);
        }
    }
    return 0;
}

void iol_spool_get_stats(struct iol_spool *spool, struct iol_spool_stats *ret_stats)
{
    pthread_mutex_lock(&spool->lock);
    if (!spool->oldest_known)
        spool->stats.oldest_ts = spool->stats.entries > 0 ? oldest_ts(spool) : 0;
    spool->oldest_known = true;
    spool->stats.answer++;
    *ret_stats = spool->stats;
    pthread_mutex_unlock(&spool->lock);
}
