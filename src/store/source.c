// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/schema_sql.h"
#include "store/source.intern.h"
#include "store/spool.intern.h"
#include "store/url.h"

static int cannot_open(const char *path, int number, struct iol_error *err)
{
    iol_error_set(err, -number, "cannot read %s: %s", path, strerror(number));
    if (number == EACCES)
        iol_error_hint(err, "load it as the user who recorded");
    else
        iol_error_hint(err, "give a spool's folder, files NUMBER.segment or NUMBER.batch of it, or one that "
                            "'ioledger record --db jsonl:PATH' wrote");
    return -number;
}

static bool ends_in(const char *path, const char *ending)
{
    size_t length = strlen(path), n = strlen(ending);

    return length > n && strcmp(path + length - n, ending) == 0;
}

/* A header may be damaged, or the file be cut within it: then the name tells. */
static bool has_entries(const char *path, int fd)
{
    uint64_t magic = 0;

    return (pread(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
            (magic == IOL_SEGMENT_MAGIC || magic == IOL_ENTRY_MAGIC)) ||
           ends_in(path, ".segment") || ends_in(path, ".batch");
}

static bool is_sqlite(int fd)
{
    char magic[16];

    return pread(fd, magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
           memcmp(magic, "SQLite format 3", sizeof(magic)) == 0;
}

int iol_source_open(const char *path, struct iol_source **ret_source, struct iol_error *err)
{
    struct stat st;

    if (strcmp(path, "-") == 0) {
        int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        return in < 0 ? cannot_open("stdin", errno, err) : iol_source_jsonl("stdin", in, ret_source, err);
    }
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return cannot_open(path, errno, err);
    if (S_ISDIR(st.st_mode))
        return cannot_open(path, EISDIR, err);
    if (S_ISREG(st.st_mode) && has_entries(path, fd))
        return iol_source_entries(path, TAKE_FD(fd), ret_source, err);
    if (S_ISREG(st.st_mode) && is_sqlite(fd)) {
        iol_error_set(err, -EINVAL, "%s is an SQLite ledger: it can be asked, not loaded", path);
        iol_error_hint(err, "ask it with --db sqlite:%s; to compare it with another one: ioledger diff URL URL", path);
        return -EINVAL;
    }
    return iol_source_jsonl(path, TAKE_FD(fd), ret_source, err);
}

int iol_source_next(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err)
{
    return source->ops->next(source, ret_batch, err);
}

void iol_source_place(const struct iol_source *source, char *buf, size_t size)
{
    source->ops->place(source, buf, size);
}

uint64_t iol_source_at(const struct iol_source *source)
{
    return source->ops->at(source);
}

uint64_t iol_source_size(const struct iol_source *source)
{
    return source->ops->size ? source->ops->size(source) : 0;
}

bool iol_source_is_ordered(const struct iol_source *source)
{
    return source->ops->stored != NULL;
}

int iol_source_stored(struct iol_source *source, size_t n, struct iol_error *err)
{
    return source->ops->stored ? source->ops->stored(source, n, err) : 0;
}

static bool is_of_host(const struct iol_table *table, const struct iol_rows *rows, int64_t host_id)
{
    const char *name = table->id == IOL_TABLE_HOST ? "id" : "host_id";

    for (size_t j = 0; j < table->n_columns; j++) {
        if (strcmp(table->columns[j].name, name) != 0)
            continue;
        for (size_t i = 0; i < rows->count; i++) {
            const char *row = (const char *)rows->data + i * iol_batch_row_size(table->id);
            if (iol_row_int(row, &table->columns[j]) != host_id)
                return false;
        }
    }
    return true;
}

int iol_source_check(const struct iol_batch *batch, struct iol_error *err)
{
    const struct iol_batch_row *sealed = batch->rows[IOL_TABLE_BATCH].data;

    if (batch->rows[IOL_TABLE_BATCH].count != 1 || !sealed->boot_id || sealed->host_id == IOL_NULL ||
        sealed->seq == IOL_NULL)
        return iol_error_set(err, -EBADMSG, "it has no identity");
    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        if (!is_of_host(&iol_schema_tables[t], &batch->rows[t], sealed->host_id))
            return iol_error_set(err, -EBADMSG, "it has rows of another host in it");
    }
    return 0;
}

#ifndef IOL_HAVE_KAFKA
int iol_source_open_kafka(const char *url, bool follow, bool verbose, struct iol_source **ret_source,
                          struct iol_error *err)
{
    (void)follow;
    (void)verbose;
    (void)ret_source;
    return iol_url_unknown(url, err);
}
#endif

void iol_source_close(struct iol_source *source)
{
    if (source)
        source->ops->close(source);
}
