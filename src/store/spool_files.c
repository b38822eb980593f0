// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What the spool has on disk: segments and their entries. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/batch_bytes.h"
#include "store/spool.intern.h"

#define COMPRESSION 1
#define SEARCH_BYTES 65536
#define BODY_MAX (UINT32_MAX / 2) /* compressed or not */

void iol_segment_name(char *buf, size_t size, uint64_t first)
{
    snprintf(buf, size, "%016" PRIx64 ".segment", first);
}

int iol_write_all(int fd, const void *data, size_t size, uint64_t at)
{
    const char *bytes = data;

    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        bytes += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

/* 0: all of it was there. */
static int read_all(int fd, void *data, size_t size, uint64_t at)
{
    char *bytes = data;

    while (size > 0) {
        ssize_t n = pread(fd, bytes, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENODATA;
        bytes += n;
        size -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

int iol_segment_create(const struct iol_spool *spool, const char *name, const struct iol_segment *segment, int *ret_fd)
{
    struct iol_segment_header header = {
        .magic = IOL_SEGMENT_MAGIC,
        .version = IOL_SEGMENT_VERSION,
        .level = segment->level,
        .first = segment->first,
        .last = segment->covers,
    };
    _cleanup_close_ int fd = openat(spool->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    header.hash = IOL_SPOOL_HASH(&header);
    int r = iol_write_all(fd, &header, sizeof(header), 0);
    if (r < 0) {
        unlinkat(spool->dir_fd, name, 0);
        return r;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int iol_segment_open(const struct iol_spool *spool, const struct iol_segment *segment, int *ret_fd)
{
    char name[32];

    iol_segment_name(name, sizeof(name), segment->first);
    int fd = openat(spool->dir_fd, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

void iol_entry_done(struct iol_entry *entry)
{
    free(entry->body);
    entry->body = NULL;
}

static bool is_header(const struct iol_entry_header *header, uint64_t room)
{
    return header->magic == IOL_ENTRY_MAGIC && header->hash == IOL_SPOOL_HASH(header) &&
           header->batch_size <= BODY_MAX && header->journal_size <= BODY_MAX && iol_entry_size(header) <= room &&
           memchr(header->boot_id, '\0', sizeof(header->boot_id)) != NULL;
}

/* Whether there is a header at that place. An error of the disk counts as none. */
static bool header_at(int fd, uint64_t at, uint64_t end, struct iol_entry_header *ret_header)
{
    return at + sizeof(*ret_header) <= end && read_all(fd, ret_header, sizeof(*ret_header), at) == 0 &&
           is_header(ret_header, end - at);
}

/* The next place from *at on where a header is. */
static bool search_header(int fd, uint64_t end, uint64_t *at, struct iol_entry_header *ret_header)
{
    static const uint64_t magic = IOL_ENTRY_MAGIC;
    _cleanup_free_ char *chunk = malloc(SEARCH_BYTES);

    while (chunk && *at + sizeof(*ret_header) <= end) {
        size_t size = end - *at < SEARCH_BYTES ? (size_t)(end - *at) : SEARCH_BYTES;
        if (read_all(fd, chunk, size, *at) < 0)
            return false;
        const char *found = memmem(chunk, size, &magic, sizeof(magic));
        if (!found) {
            *at += size - sizeof(magic) + 1;
            continue;
        }
        *at += (uint64_t)(found - chunk);
        if (header_at(fd, *at, end, ret_header))
            return true;
        (*at)++;
    }
    return false;
}

int iol_entry_read(int fd, uint64_t end, uint64_t *at, bool body, struct iol_entry *ret_entry, bool *skipped)
{
    struct iol_entry entry = {0};
    uint64_t from = *at;

    if (!header_at(fd, *at, end, &entry.header) && !search_header(fd, end, at, &entry.header))
        return -ENOENT;
    if (skipped && *at != from)
        *skipped = true;
    if (!body) {
        *ret_entry = entry;
        return 0;
    }
    size_t size = iol_entry_size(&entry.header) - sizeof(entry.header);
    entry.body = malloc(size + 1);
    if (!entry.body)
        return -ENOMEM;
    int r = read_all(fd, entry.body, size, *at + sizeof(entry.header));
    if (r == 0 && XXH3_64bits(entry.body, size) != entry.header.body_hash)
        r = -EBADMSG;
    if (r == 0 || r == -EBADMSG)
        *ret_entry = entry;
    else
        iol_entry_done(&entry);
    return r;
}

void iol_segment_note(struct iol_segment *segment, const struct iol_entry_header *header, uint64_t at)
{
    if (segment->entries == 0) {
        segment->host_id = header->host_id;
        memcpy(segment->boot_id, header->boot_id, sizeof(segment->boot_id));
    } else if (segment->host_id != header->host_id || strcmp(segment->boot_id, header->boot_id) != 0) {
        segment->mixed = true;
    }
    segment->entries++;
    segment->last = header->number;
    segment->last_at = at;
    segment->end = at + iol_entry_size(header);
}

static int read_segment_header(int fd, uint64_t size, struct iol_segment *segment)
{
    struct iol_segment_header header;

    if (size < sizeof(header) || read_all(fd, &header, sizeof(header), 0) < 0)
        return -EBADMSG;
    if (header.magic != IOL_SEGMENT_MAGIC || header.hash != IOL_SPOOL_HASH(&header))
        return 0; /* the entries may be well all the same */
    if (header.version > IOL_SEGMENT_VERSION)
        return -EPROTONOSUPPORT;
    segment->level = header.level;
    segment->covers = header.last;
    return 0;
}

int iol_segment_scan(int fd, struct iol_segment *segment, bool check_bodies)
{
    struct iol_segment scanned = {.first = segment->first, .last = segment->first - 1}, good;
    struct stat stat;

    if (fstat(fd, &stat) < 0)
        return -errno;
    uint64_t size = (uint64_t)stat.st_size, at = sizeof(struct iol_segment_header);
    int r = read_segment_header(fd, size, &scanned);
    if (r < 0)
        return r;
    scanned.end = at;
    good = scanned;
    for (;;) {
        struct iol_entry entry = {0};
        r = iol_entry_read(fd, size, &at, check_bodies, &entry, NULL);
        if (r < 0 && r != -EBADMSG)
            break;
        /* What is damaged and has a whole entry behind it was one; at the end it is what a crash left. */
        iol_segment_note(&scanned, &entry.header, at);
        if (r == 0)
            good = scanned;
        at = scanned.end;
        iol_entry_done(&entry);
    }
    if (r != -ENOENT)
        return r;
    *segment = good;
    return 0;
}

static int compress(struct iol_spool *spool, const void *data, size_t size, void *to, size_t room, uint32_t *ret_size)
{
    size_t n = ZSTD_compressCCtx(spool->compressor, to, room, data, size, COMPRESSION);

    if (ZSTD_isError(n))
        return -ENOMEM;
    *ret_size = (uint32_t)n;
    return 0;
}

static int pack_body(struct iol_spool *spool, const struct iol_batch *batch, struct iol_entry *entry)
{
    _cleanup_free_ void *raw = NULL;
    size_t size, journal_size = batch->journal ? batch->journal_size : 0;
    int r = iol_batch_encode(batch, &raw, &size);

    if (r < 0)
        return r;
    size_t room = ZSTD_compressBound(size) + (journal_size ? ZSTD_compressBound(journal_size) : 0);
    if (size > BODY_MAX || journal_size > BODY_MAX || room > BODY_MAX)
        return -E2BIG;
    entry->body = malloc(room);
    if (!entry->body)
        return -ENOMEM;
    r = compress(spool, raw, size, entry->body, room, &entry->header.batch_size);
    if (r == 0 && journal_size)
        r = compress(spool, batch->journal, journal_size, (char *)entry->body + entry->header.batch_size,
                     room - entry->header.batch_size, &entry->header.journal_size);
    entry->header.batch_raw_size = (uint32_t)size;
    entry->header.journal_raw_size = (uint32_t)journal_size;
    return r;
}

int iol_entry_pack(struct iol_spool *spool, const struct iol_batch *batch, uint64_t number, uint32_t batches,
                   struct iol_entry *ret_entry)
{
    const struct iol_batch_row *sealed = batch->rows[IOL_TABLE_BATCH].data;
    struct iol_entry entry = {.header = {.magic = IOL_ENTRY_MAGIC, .number = number, .batches = batches}};

    if (batch->rows[IOL_TABLE_BATCH].count != 1 || !sealed->boot_id ||
        strlen(sealed->boot_id) >= sizeof(entry.header.boot_id))
        return -EINVAL;
    entry.header.host_id = sealed->host_id;
    entry.header.seq = sealed->seq;
    entry.header.ts = sealed->ts;
    entry.header.rows = (uint32_t)iol_batch_count(batch);
    strcpy(entry.header.boot_id, sealed->boot_id);
    int r = pack_body(spool, batch, &entry);
    if (r < 0) {
        iol_entry_done(&entry);
        return r;
    }
    entry.header.body_hash = XXH3_64bits(entry.body, entry.header.batch_size + entry.header.journal_size);
    entry.header.hash = IOL_SPOOL_HASH(&entry.header);
    *ret_entry = entry;
    return 0;
}

static int decompress(struct iol_spool *spool, const void *data, size_t size, size_t raw_size, void **ret_raw)
{
    _cleanup_free_ void *raw = NULL;

    /* The size is hashed with the header: it is one that was written. */
    raw = raw_size <= BODY_MAX ? malloc(raw_size + 1) : NULL;
    if (!raw)
        return raw_size <= BODY_MAX ? -ENOMEM : -EBADMSG;
    if (ZSTD_decompressDCtx(spool->decompressor, raw, raw_size, data, size) != raw_size)
        return -EBADMSG;
    *ret_raw = TAKE_PTR(raw);
    return 0;
}

int iol_entry_unpack(struct iol_spool *spool, const struct iol_entry *entry, bool journal, struct iol_batch **ret_batch,
                     struct iol_error *err)
{
    const struct iol_entry_header *header = &entry->header;
    _cleanup_free_ void *raw = NULL, *journal_raw = NULL;
    int r = decompress(spool, entry->body, header->batch_size, header->batch_raw_size, &raw);

    if (r == 0 && journal && header->journal_size)
        r = decompress(spool, (char *)entry->body + header->batch_size, header->journal_size, header->journal_raw_size,
                       &journal_raw);
    if (r < 0)
        return iol_error_set(err, r, "the bytes cannot be decompressed");
    r = iol_batch_decode(raw, header->batch_raw_size, ret_batch, err);
    if (r == 0 && journal_raw) {
        (*ret_batch)->journal = TAKE_PTR(journal_raw);
        (*ret_batch)->journal_size = header->journal_raw_size;
    }
    return r;
}

int iol_entry_write(int fd, uint64_t at, const struct iol_entry *entry)
{
    int r = iol_write_all(fd, &entry->header, sizeof(entry->header), at);

    return r == 0 ? iol_write_all(fd, entry->body, entry->header.batch_size + entry->header.journal_size,
                                  at + sizeof(entry->header))
                  : r;
}

int iol_spool_replace(const struct iol_spool *spool, const char *name, const void *data, size_t size, bool sync)
{
    char temporary[64];

    snprintf(temporary, sizeof(temporary), "%s.new", name);
    _cleanup_close_ int fd = openat(spool->dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = iol_write_all(fd, data, size, 0);
    if (r == 0 && sync && fsync(fd) < 0)
        r = -errno;
    if (r == 0 && renameat(spool->dir_fd, temporary, spool->dir_fd, name) < 0)
        r = -errno;
    if (r == 0 && sync && fsync(spool->dir_fd) < 0)
        r = -errno;
    if (r < 0)
        unlinkat(spool->dir_fd, temporary, 0);
    return r;
}

int iol_spool_error(const struct iol_spool *spool, int code, const char *doing, struct iol_error *err)
{
    return iol_error_set(err, code, "cannot %s the spool %s: %s", doing, spool->dir, strerror(-code));
}

struct iol_segment *iol_spool_last_segment(struct iol_spool *spool)
{
    return spool->n_segments ? &spool->segments[spool->n_segments - 1] : NULL;
}

struct iol_segment *iol_spool_add_segment(struct iol_spool *spool)
{
    if (iol_array_reserve(&spool->segments, &spool->room_segments, spool->n_segments + 1, sizeof(*spool->segments)) < 0)
        return NULL;
    spool->segments[spool->n_segments] = (struct iol_segment){0};
    return &spool->segments[spool->n_segments++];
}

void iol_spool_remove_segment(struct iol_spool *spool, size_t i)
{
    char name[32];

    iol_segment_name(name, sizeof(name), spool->segments[i].first);
    unlinkat(spool->dir_fd, name, 0);
    spool->n_segments--;
    memmove(&spool->segments[i], &spool->segments[i + 1], (spool->n_segments - i) * sizeof(*spool->segments));
}

void iol_spool_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}
