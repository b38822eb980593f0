// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Batches in quarantine, for who has mended what the database did not like. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/spool.intern.h"

static int cannot_read(const char *path, int code, struct iol_error *err)
{
    iol_error_set(err, code, "cannot read %s: %s", path, strerror(-code));
    iol_error_hint(err, code == -ENOENT
                            ? "give a file NUMBER.batch of a spool's quarantine, or a folder with such files"
                            : "load it as the user who recorded");
    return code;
}

static int no_batch(const char *path, const char *why, struct iol_error *err)
{
    iol_error_set(err, -EBADMSG, "%s is no batch that was set aside: %s", path, why);
    iol_error_hint(err, "batches stand in the folder quarantine of a spool, under the name NUMBER.batch");
    return -EBADMSG;
}

static int unpack(const struct iol_entry *entry, const char *path, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct iol_spool spool = {.decompressor = ZSTD_createDCtx()};
    struct iol_error reason = {0};
    int r = spool.decompressor ? iol_entry_unpack(&spool, entry, false, ret_batch, &reason) : -ENOMEM;

    ZSTD_freeDCtx(spool.decompressor);
    if (r == -ENOMEM)
        return iol_error_set(err, r, "out of memory");
    return r < 0 ? no_batch(path, reason.text, err) : 0;
}

int iol_spool_read_set_aside(const char *path, struct iol_batch **ret_batch, struct iol_error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct iol_entry entry = {0};
    bool skipped = false;
    struct stat st;
    uint64_t at = 0;

    if (fd < 0 || fstat(fd, &st) < 0)
        return cannot_read(path, -errno, err);
    if (!S_ISREG(st.st_mode))
        return no_batch(path, "it is no regular file", err);
    int r = iol_entry_read(fd, (uint64_t)st.st_size, &at, true, &entry, &skipped);
    if (r == 0 && (skipped || iol_entry_size(&entry.header) != (uint64_t)st.st_size))
        r = -ENOENT;
    if (r == 0)
        r = unpack(&entry, path, ret_batch, err);
    else if (r == -ENOENT)
        no_batch(path, "its bytes are those of something else", err);
    else if (r == -EBADMSG)
        no_batch(path, "it is damaged", err);
    else
        cannot_read(path, r, err);
    iol_entry_done(&entry);
    return r;
}
