// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/postgres_copy.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/io_order.h"
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

/* Since 1970, as PostgreSQL counts them: rounded down. */
static int64_t microseconds(int64_t ns)
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
        value = microseconds(value) - EPOCH_2000_US;
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

static int unknown_value(const struct iol_table *table, const struct iol_column *column, struct iol_error *err)
{
    return iol_error_set(err, -EINVAL, "a row of %s has a value in %s that its column does not know", table->name,
                         column->name);
}

static int put_row(struct iol_pg_copy *copy, const struct iol_table *table, const void *row, struct iol_error *err)
{
    uint16_t n_columns = htobe16((uint16_t)table->n_columns);
    int r = put_bytes(copy, &n_columns, sizeof(n_columns));

    for (size_t i = 0; i < table->n_columns && r == 0; i++) {
        r = put_column(copy, &table->columns[i], row);
        if (r == -EINVAL)
            return unknown_value(table, &table->columns[i], err);
    }
    return r;
}

/* https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 */
int iol_pg_copy_begin(struct iol_pg_copy *copy, PGconn *conn)
{
    static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* signature, flags, length of the extension */

    copy->conn = conn;
    copy->used = 0;
    return put_bytes(copy, header, sizeof(header));
}

int iol_pg_copy_end(struct iol_pg_copy *copy)
{
    const uint16_t trailer = UINT16_MAX;
    int r = put_bytes(copy, &trailer, sizeof(trailer));

    return r == 0 ? flush(copy) : r;
}

int iol_pg_copy_rows(struct iol_pg_copy *copy, const struct iol_table *table, const struct iol_rows *rows,
                     const struct iol_known *known, struct iol_error *err)
{
    size_t size = iol_batch_row_size(table->id);
    int r = 0;

    for (size_t i = 0; i < rows->count && r == 0; i++) {
        const char *row = (const char *)rows->data + i * size;
        if (!iol_known_has(known, table, row))
            r = put_row(copy, table, row, err);
    }
    return r;
}

/* Of a narrow column: a time is its distance from the end of the interval. */
static int64_t narrow_value(const struct iol_column *column, const struct iol_io *row)
{
    int64_t value = iol_row_int(row, column);

    if (column->type == IOL_TYPE_TIME && value != IOL_NULL)
        return microseconds(row->ts) - microseconds(value);
    return value;
}

static bool is_small(int64_t value)
{
    return value >= INT32_MIN && value <= INT32_MAX;
}

bool iol_pg_copy_is_big(const struct iol_rows *rows)
{
    const struct iol_table *table = &iol_schema_tables[IOL_TABLE_IO];
    const struct iol_io *row = rows->data;

    for (size_t i = 0; i < rows->count; i++, row++)
        for (size_t j = 0; j < table->n_columns; j++)
            if (iol_schema_io_is_narrow(&table->columns[j]) && !is_small(narrow_value(&table->columns[j], row)))
                return true;
    return false;
}

static int put_small(struct iol_pg_copy *copy, int64_t value)
{
    const uint32_t field[] = {htobe32(4), htobe32((uint32_t)value)};

    return is_small(value) && value != 0 ? put_bytes(copy, field, sizeof(field)) : put_text(copy, NULL);
}

/* IOL_NULL is the number that stands for NULL there. */
static int put_big(struct iol_pg_copy *copy, int64_t value)
{
    const uint32_t length = htobe32(8);
    const uint64_t field = htobe64((uint64_t)value);

    if (is_small(value))
        return put_text(copy, NULL);
    int r = put_bytes(copy, &length, sizeof(length));
    return r == 0 ? put_bytes(copy, &field, sizeof(field)) : r;
}
_Static_assert(IOL_NULL == INT64_MIN, "as IOL_PG_IO_NULL");

static int put_io_row(struct iol_pg_copy *copy, const struct iol_io *row, bool big, struct iol_error *err)
{
    const struct iol_table *table = &iol_schema_tables[IOL_TABLE_IO];
    size_t n_narrow = 0;

    for (size_t i = 0; i < table->n_columns; i++)
        n_narrow += iol_schema_io_is_narrow(&table->columns[i]);
    const uint16_t n = htobe16((uint16_t)(table->n_columns + (big ? n_narrow : 0)));
    int r = put_bytes(copy, &n, sizeof(n));
    for (size_t i = 0; i < table->n_columns && r == 0; i++) {
        const struct iol_column *column = &table->columns[i];
        r = iol_schema_io_is_narrow(column) ? put_small(copy, narrow_value(column, row))
                                            : put_column(copy, column, row);
        if (r == -EINVAL)
            return unknown_value(table, column, err);
    }
    for (size_t i = 0; big && i < table->n_columns && r == 0; i++)
        if (iol_schema_io_is_narrow(&table->columns[i]))
            r = put_big(copy, narrow_value(&table->columns[i], row));
    return r;
}

int iol_pg_copy_io(struct iol_pg_copy *copy, const struct iol_rows *rows, bool big, struct iol_error *err)
{
    _cleanup_free_ uint32_t *order = iol_io_order(rows);
    const struct iol_io *row = rows->data;
    int r = 0;

    for (size_t i = 0; i < rows->count && r == 0; i++)
        r = put_io_row(copy, &row[order ? order[i] : i], big, err);
    return r;
}
