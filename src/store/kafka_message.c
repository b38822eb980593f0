// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* A batch as a message, and back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/batch_bytes.h"
#include "store/json_rows.h"
#include "store/kafka.h"
#include "store/schema.h"

#define COMPRESSION 1
#define RAW_MAX ((unsigned long long)1 << 30)
#define ZSTD_FIRST 0x28

static int put(const char *data, size_t size, void *arg)
{
    return fwrite(data, 1, size, arg) == size ? 0 : -EAGAIN;
}

static int encode_json(struct iol_time_text *cache, const struct iol_batch *batch, void **ret_data, size_t *ret_size,
                       struct iol_error *err)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_size);

    if (!out)
        return -ENOMEM;
    int r = iol_json_write_rows(cache, batch, put, out, err);
    if (fclose(out) != 0 && r == 0)
        r = -ENOMEM;
    if (r < 0) {
        free(text);
        return r == -EAGAIN ? -ENOMEM : r;
    }
    *ret_data = text;
    return 0;
}

static int encode_binary(const struct iol_batch *batch, void **ret_data, size_t *ret_size)
{
    _cleanup_free_ void *raw = NULL, *data = NULL;
    size_t size;

    if (iol_batch_encode(batch, &raw, &size) < 0)
        return -ENOMEM;
    size_t room = ZSTD_compressBound(size);
    data = malloc(room);
    size_t n = data ? ZSTD_compress(data, room, raw, size, COMPRESSION) : 0;
    if (!data || ZSTD_isError(n))
        return -ENOMEM;
    *ret_data = TAKE_PTR(data);
    *ret_size = n;
    return 0;
}

int iol_kafka_encode(const struct iol_kafka *kafka, struct iol_time_text *cache, const struct iol_batch *batch,
                     void **ret_data, size_t *ret_size, struct iol_error *err)
{
    return kafka->json ? encode_json(cache, batch, ret_data, ret_size, err) : encode_binary(batch, ret_data, ret_size);
}

static int decode_binary(const void *data, size_t size, struct iol_batch **ret_batch, struct iol_error *err)
{
    unsigned long long raw_size = ZSTD_getFrameContentSize(data, size);
    _cleanup_free_ void *raw = raw_size <= RAW_MAX ? malloc(raw_size + 1) : NULL;

    if (raw_size > RAW_MAX)
        return iol_error_set(err, -EBADMSG, "it is no batch");
    if (!raw)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (ZSTD_decompress(raw, raw_size, data, size) != raw_size)
        return iol_error_set(err, -EBADMSG, "it cannot be decompressed");
    return iol_batch_decode(raw, raw_size, ret_batch, err);
}

/* The last row is the batch's own, and the only one of its kind. */
static int decode_rows(const char *data, size_t size, struct iol_batch *batch, struct iol_error *err)
{
    const struct iol_table *table = NULL;
    const char *end = data + size;

    for (const char *next; data < end; data = next) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        next = newline ? newline + 1 : end;
        if (table && table->id == IOL_TABLE_BATCH)
            return iol_error_set(err, -EBADMSG, "it has rows behind the batch's own");
        int r = iol_json_read_row(data, (size_t)((newline ? newline : end) - data), batch, &table, err);
        if (r < 0)
            return r;
    }
    return table && table->id == IOL_TABLE_BATCH ? 0 : iol_error_set(err, -EBADMSG, "it is no whole batch");
}

static int decode_json(const char *data, size_t size, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct iol_batch *batch = iol_batch_new();
    int r = batch ? decode_rows(data, size, batch, err) : iol_error_set(err, -ENOMEM, "out of memory");

    if (r < 0)
        iol_batch_free(batch);
    else
        *ret_batch = batch;
    return r;
}

int iol_kafka_decode(const void *data, size_t size, struct iol_batch **ret_batch, struct iol_error *err)
{
    const unsigned char *first = data;

    if (size > 0 && first[0] == '{')
        return decode_json(data, size, ret_batch, err);
    if (size > 0 && first[0] == ZSTD_FIRST)
        return decode_binary(data, size, ret_batch, err);
    return iol_error_set(err, -EBADMSG, "it is no batch");
}
