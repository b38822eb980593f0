// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/postgres_copy.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/batch.h"
#include "store/known.h"
#include "store/schema_sql.h"

#define BUFFER_SIZE ((size_t)64 * 1024)

/* Microseconds between 1970 and 2000, where the time of PostgreSQL begins. */
#define EPOCH_2000_US INT64_C(946684800000000)

struct iol_pg_copy {
    PGconn *conn;
    size_t used;
    char buffer[BUFFER_SIZE];
};

struct iol_pg_copy *iol_pg_copy_new(void)
{
    return malloc(sizeof(struct iol_pg_copy));
}

void iol_pg_copy_free(struct iol_pg_copy *copy)
{
    free(copy);
}

int64_t iol_pg_microseconds(int64_t ns)
{
    int64_t us = ns / 1000;

    return ns % 1000 < 0 ? us - 1 : us;
}

/* -EAGAIN: whatever stopped the copy is known only by its result. */
static int flush(struct iol_pg_copy *copy)
{
    int n = PQputCopyData(copy->conn, copy->buffer, (int)copy->used);

    copy->used = 0;
    return n == 1 ? 0 : -EAGAIN;
}

static int put_bytes(struct iol_pg_copy *copy, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        size_t room = BUFFER_SIZE - copy->used;
        size_t n = size < room ? size : room;
        memcpy(copy->buffer + copy->used, at, n);
        copy->used += n;
        at += n;
        size -= n;
        if (copy->used == BUFFER_SIZE) {
            int r = flush(copy);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* A field: its length and its bytes; NULL is length -1. */
static int put_text(struct iol_pg_copy *copy, const char *text)
{
    size_t size = text ? strlen(text) : 0;
    uint32_t length = htobe32(text ? (uint32_t)size : UINT32_MAX);
    int r = put_bytes(copy, &length, sizeof(length));

    return r == 0 ? put_bytes(copy, text, size) : r;
}

static int put_number(struct iol_pg_copy *copy, enum iol_type type, int64_t value)
{
    struct {
        uint32_t length;
        uint64_t value;
    } __attribute__((packed)) wide = {htobe32(8), 0};

    if (value == IOL_NULL)
        return put_text(copy, NULL);
    if (type == IOL_TYPE_TIME)
        value = iol_pg_microseconds(value) - EPOCH_2000_US;
    wide.value = htobe64((uint64_t)value);
    return put_bytes(copy, &wide, sizeof(wide));
}

static int put_column(struct iol_pg_copy *copy, const struct iol_column *column, const void *row)
{
    const char *word;

    switch (column->type) {
    case IOL_TYPE_TEXT:
        return put_text(copy, iol_row_text(row, column));
    case IOL_TYPE_ENUM:
        word = iol_schema_word(column->words, iol_row_int(row, column));
        return word ? put_text(copy, word) : -EINVAL;
    default:
        return put_number(copy, column->type, iol_row_int(row, column));
    }
}

static int put_row(struct iol_pg_copy *copy, const struct iol_table *table, const void *row, struct iol_error *err)
{
    uint16_t n_columns = htobe16((uint16_t)table->n_columns);
    int r = put_bytes(copy, &n_columns, sizeof(n_columns));

    for (size_t i = 0; i < table->n_columns && r == 0; i++) {
        r = put_column(copy, &table->columns[i], row);
        if (r == -EINVAL)
            return iol_error_set(err, r, "a row of %s has a value in %s that its column does not know", table->name,
                                 table->columns[i].name);
    }
    return r;
}

/* https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 */
int iol_pg_copy_rows(struct iol_pg_copy *copy, PGconn *conn, const struct iol_table *table, const struct iol_rows *rows,
                     const struct iol_known *known, struct iol_error *err)
{
    static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* signature, flags, length of the extension */
    const uint16_t trailer = UINT16_MAX;
    size_t size = iol_batch_row_size(table->id);

    copy->conn = conn;
    copy->used = 0;
    int r = put_bytes(copy, header, sizeof(header));
    for (size_t i = 0; i < rows->count && r == 0; i++) {
        const char *row = (const char *)rows->data + i * size;
        if (!iol_known_has(known, table, row))
            r = put_row(copy, table, row, err);
    }
    if (r == 0)
        r = put_bytes(copy, &trailer, sizeof(trailer));
    return r == 0 ? flush(copy) : r;
}
