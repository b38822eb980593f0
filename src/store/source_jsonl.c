// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Rows as JSON, as sink_jsonl.c writes them. A batch ends with its own row, and its rows are in the order of the tables. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/json_rows.h"
#include "store/schema.h"
#include "store/source.intern.h"

#define READ_SIZE ((size_t)256 << 10)
#define LINE_MAX_SIZE ((size_t)64 << 20) /* no row is as long */

struct jsonl {
    struct iol_source source;
    int fd;
    char *buffer;
    size_t used, from, room; /* bytes of the buffer, and how many of them have been taken */
    uint64_t at;             /* in the file, of what is next in the buffer */
    bool at_end;

    struct iol_batch *batch; /* that is being read; NULL: none of its rows has been */
    uint64_t begin, place;   /* where it begins, and where the one that was handed out did */
    int table;               /* of its last row */
    bool lost;               /* the rows up to the next batch's own row belong to one that cannot be whole */
};

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

static int fill(struct jsonl *jsonl, struct iol_error *err)
{
    if (jsonl->from > 0) {
        jsonl->used -= jsonl->from;
        memmove(jsonl->buffer, jsonl->buffer + jsonl->from, jsonl->used);
        jsonl->from = 0;
    }
    if (iol_array_reserve(&jsonl->buffer, &jsonl->room, jsonl->used + READ_SIZE, sizeof(*jsonl->buffer)) < 0)
        return no_memory(err);
    ssize_t n = read(jsonl->fd, jsonl->buffer + jsonl->used, READ_SIZE);
    if (n < 0 && errno == EINTR)
        return 0;
    if (n < 0)
        return iol_error_set(err, -errno, "cannot read %s: %s", jsonl->source.name, strerror(errno));
    jsonl->used += (size_t)n;
    jsonl->at_end = n == 0;
    return 0;
}

/* The next line, without its newline: 1, or 0: the end. The last one may lack the newline: *ret_whole tells. */
static int next_line(struct jsonl *jsonl, const char **ret_line, size_t *ret_size, bool *ret_whole,
                     struct iol_error *err)
{
    size_t searched = 0;

    for (;;) {
        size_t size = jsonl->used - jsonl->from;
        const char *start = jsonl->buffer + jsonl->from;
        const char *newline = size > searched ? memchr(start + searched, '\n', size - searched) : NULL;
        if (newline || (jsonl->at_end && size > 0)) {
            *ret_line = start;
            *ret_size = newline ? (size_t)(newline - start) : size;
            *ret_whole = newline != NULL;
            return 1;
        }
        if (jsonl->at_end)
            return 0;
        if (size > LINE_MAX_SIZE)
            return iol_error_set(err, -EMSGSIZE, "the line at byte %" PRIu64 " of %s is longer than any row", jsonl->at,
                                 jsonl->source.name);
        searched = size;
        int r = fill(jsonl, err);
        if (r < 0)
            return r;
    }
}

static void drop_batch(struct jsonl *jsonl)
{
    iol_batch_free(jsonl->batch);
    jsonl->batch = NULL;
    jsonl->table = 0;
}

static bool is_batch_row(const char *line, size_t size)
{
    static const char start[] = IOL_JSON_LINE_START "batch\"";

    return size >= sizeof(start) - 1 && memcmp(line, start, sizeof(start) - 1) == 0;
}

/* The row after the last of a batch: it is whole. */
static int hand_out(struct jsonl *jsonl, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct iol_error reason = {0};
    int r = iol_source_check(jsonl->batch, &reason);

    if (r < 0)
        iol_error_set(err, r, "the batch at byte %" PRIu64 " of %s cannot be stored: %s", jsonl->begin,
                      jsonl->source.name, reason.text);
    if (r == 0) {
        *ret_batch = jsonl->batch;
        jsonl->batch = NULL;
        jsonl->place = jsonl->begin;
    }
    drop_batch(jsonl);
    return r < 0 ? r : 1;
}

static int bad_row(struct jsonl *jsonl, uint64_t at, const struct iol_error *reason, struct iol_error *err)
{
    iol_error_set(err, -EBADMSG, "the line at byte %" PRIu64 " of %s cannot be read, and so its batch: %s", at,
                  jsonl->source.name, reason->text);
    iol_error_hint(err, "%s", reason->hint);
    return -EBADMSG;
}

static int cut(struct jsonl *jsonl, uint64_t at, const char *why, struct iol_error *err)
{
    uint64_t begin = jsonl->batch ? jsonl->begin : at;

    drop_batch(jsonl);
    return iol_error_set(err, -EBADMSG,
                         "%s is cut at byte %" PRIu64 ": what begins at byte %" PRIu64 " is no whole batch%s",
                         jsonl->source.name, at, begin, why);
}

/* 1: the row was the last one of its batch; 0: it was not; or -errno. */
static int take_row(struct jsonl *jsonl, const char *line, size_t size, uint64_t at, struct iol_error *err)
{
    const struct iol_table *table;
    struct iol_error reason = {0};
    bool first = !jsonl->batch;

    if (first) {
        jsonl->batch = iol_batch_new();
        jsonl->begin = at;
        if (!jsonl->batch)
            return no_memory(err);
    }
    int r = iol_json_read_row(line, size, jsonl->batch, &table, &reason);
    if (r == -ENOMEM)
        return no_memory(err);
    if (r < 0) {
        /* What does not even begin with a row is something else. */
        if (first && at == 0) {
            jsonl->at_end = true;
            jsonl->from = jsonl->used;
        }
        jsonl->lost = !is_batch_row(line, size);
        drop_batch(jsonl);
        return bad_row(jsonl, at, &reason, err);
    }
    jsonl->table = (int)table->id;
    return table->id == IOL_TABLE_BATCH;
}

/* Whether the row begins a batch although the one before has not ended: a recorder was killed there, and another one went on. */
static bool goes_back(const struct jsonl *jsonl, const char *line, size_t size)
{
    if (!jsonl->batch)
        return false;
    for (int t = 0; t < jsonl->table; t++) {
        const char *name = iol_schema_tables[t].name;
        size_t start = strlen(IOL_JSON_LINE_START), length = strlen(name);
        if (size > start + length && memcmp(line + start, name, length) == 0 && line[start + length] == '"')
            return true;
    }
    return false;
}

static int jsonl_next(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct jsonl *jsonl = (struct jsonl *)source;
    const char *line = NULL;
    size_t size = 0;
    bool whole = false;

    for (;;) {
        int r = next_line(jsonl, &line, &size, &whole, err);
        uint64_t at = jsonl->at;

        if (r < 0)
            return r;
        if (r == 0)
            return jsonl->batch ? cut(jsonl, at, "", err) : 0;
        if (goes_back(jsonl, line, size))
            return cut(jsonl, at, "; another one follows", err);
        jsonl->from += size + whole;
        jsonl->at += size + whole;
        if (jsonl->lost) {
            jsonl->lost = !is_batch_row(line, size);
            continue;
        }
        if (whole && size == 0)
            continue;
        if (!whole && (size == 0 || line[size - 1] != '}'))
            return cut(jsonl, at + size, "", err);
        r = take_row(jsonl, line, size, at, err);
        if (r != 0)
            return r < 0 ? r : hand_out(jsonl, ret_batch, err);
    }
}

static void jsonl_place(const struct iol_source *source, char *buf, size_t size)
{
    snprintf(buf, size, "byte %" PRIu64, ((const struct jsonl *)source)->place);
}

static uint64_t jsonl_at(const struct iol_source *source)
{
    return ((const struct jsonl *)source)->at;
}

static void jsonl_close(struct iol_source *source)
{
    struct jsonl *jsonl = (struct jsonl *)source;

    iol_batch_free(jsonl->batch);
    free(jsonl->buffer);
    close(jsonl->fd);
    free(jsonl);
}

static const struct iol_source_ops jsonl_ops = {
    .next = jsonl_next,
    .place = jsonl_place,
    .at = jsonl_at,
    .close = jsonl_close,
};

int iol_source_jsonl(const char *path, int fd, struct iol_source **ret_source, struct iol_error *err)
{
    struct jsonl *jsonl = calloc(1, sizeof(*jsonl));

    if (!jsonl) {
        close(fd);
        return no_memory(err);
    }
    jsonl->source = (struct iol_source){&jsonl_ops, path};
    jsonl->fd = fd;
    *ret_source = &jsonl->source;
    return 0;
}
