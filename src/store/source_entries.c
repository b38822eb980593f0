// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Batches as the spool keeps them: a segment, or one batch that was set aside, which is an entry without a segment's header. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "store/source.intern.h"
#include "store/spool.intern.h"

struct entries {
    struct iol_source source;
    int fd;
    uint64_t size, at, place;
    struct iol_spool unpacker; /* nothing of it but what decompresses */
    struct iol_entry waiting;  /* found behind bytes that are no entry, and these are told first */
    bool has_waiting;
};

static int read_header(struct entries *entries, struct iol_error *err)
{
    struct iol_segment_header header;
    const char *path = entries->source.name;
    ssize_t n = pread(entries->fd, &header, sizeof(header), 0);

    if (n < 0)
        return iol_error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
    if (n >= (ssize_t)sizeof(header.magic) && header.magic == IOL_ENTRY_MAGIC)
        return 0;
    if (n < (ssize_t)sizeof(header))
        return iol_error_set(err, -ENODATA, "%s is cut at byte %zd, in its header: nothing is in it", path, n);
    if (header.magic == IOL_SEGMENT_MAGIC && header.hash == IOL_SPOOL_HASH(&header) &&
        header.version > IOL_SEGMENT_VERSION)
        return iol_error_set(err, -EPROTONOSUPPORT, "%s is of a newer version of ioledger", path);
    entries->at = sizeof(header); /* when it is damaged, the entries may be well all the same */
    return 0;
}

static int unpack(struct entries *entries, const struct iol_entry *entry, struct iol_batch **ret_batch,
                  struct iol_error *err)
{
    struct iol_error reason = {0};
    int r = iol_entry_unpack(&entries->unpacker, entry, false, ret_batch, &reason);

    entries->place = entries->at;
    entries->at += iol_entry_size(&entry->header);
    if (r == 0)
        return 1;
    if (r == -ENOMEM)
        return iol_error_set(err, r, "out of memory");
    return iol_error_set(err, -EBADMSG, "the batch at byte %" PRIu64 " of %s cannot be read: %s", entries->place,
                         entries->source.name, reason.text);
}

static int damaged(struct entries *entries, const struct iol_entry *entry, struct iol_error *err)
{
    entries->place = entries->at;
    entries->at += iol_entry_size(&entry->header);
    return iol_error_set(err, -EBADMSG,
                         "the batch at byte %" PRIu64 " of %s (boot %s, sequence %" PRId64 ") is damaged",
                         entries->place, entries->source.name, entry->header.boot_id, entry->header.seq);
}

/* Nothing behind `from` is an entry any more. */
static int end(struct entries *entries, uint64_t from, struct iol_error *err)
{
    entries->at = entries->size;
    if (from == entries->size)
        return 0;
    return iol_error_set(err, -EBADMSG,
                         "%s is cut at byte %" PRIu64 ": what begins at byte %" PRIu64 " is no whole batch",
                         entries->source.name, entries->size, from);
}

static int entries_next(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct entries *entries = (struct entries *)source;
    struct iol_entry entry = entries->waiting;
    uint64_t from = entries->at;
    bool skipped = false;
    int r = 0;

    if (!entries->has_waiting) {
        r = iol_entry_read(entries->fd, entries->size, &entries->at, true, &entry, &skipped);
        if (r == -ENOENT)
            return end(entries, from, err);
    }
    entries->has_waiting = false;
    entries->waiting = (struct iol_entry){0};
    if (r == 0 && skipped) {
        entries->waiting = entry;
        entries->has_waiting = true;
        return iol_error_set(err, -EBADMSG, "%s is damaged from byte %" PRIu64 " to %" PRIu64 ": no batch can be read",
                             source->name, from, entries->at);
    }
    if (r == 0)
        r = unpack(entries, &entry, ret_batch, err);
    else if (r == -EBADMSG)
        r = damaged(entries, &entry, err);
    else
        iol_error_set(err, r, "cannot read %s: %s", source->name, strerror(-r));
    iol_entry_done(&entry);
    return r;
}

static void entries_place(const struct iol_source *source, char *buf, size_t size)
{
    snprintf(buf, size, "byte %" PRIu64, ((const struct entries *)source)->place);
}

static uint64_t entries_at(const struct iol_source *source)
{
    return ((const struct entries *)source)->at;
}

static void entries_close(struct iol_source *source)
{
    struct entries *entries = (struct entries *)source;

    iol_entry_done(&entries->waiting);
    ZSTD_freeDCtx(entries->unpacker.decompressor);
    close(entries->fd);
    free(entries);
}

static const struct iol_source_ops entries_ops = {
    .next = entries_next,
    .place = entries_place,
    .at = entries_at,
    .close = entries_close,
};

int iol_source_entries(const char *path, int fd, struct iol_source **ret_source, struct iol_error *err)
{
    struct entries *entries = calloc(1, sizeof(*entries));
    struct stat st;
    int r = 0;

    if (!entries) {
        close(fd);
        return iol_error_set(err, -ENOMEM, "out of memory");
    }
    entries->source = (struct iol_source){&entries_ops, path};
    entries->fd = fd;
    entries->unpacker.decompressor = ZSTD_createDCtx();
    if (!entries->unpacker.decompressor)
        r = iol_error_set(err, -ENOMEM, "out of memory");
    else if (fstat(fd, &st) < 0)
        r = iol_error_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
    else
        r = read_header(entries, err);
    if (r < 0) {
        entries_close(&entries->source);
        return r;
    }
    entries->size = (uint64_t)st.st_size;
    *ret_source = &entries->source;
    return 0;
}
