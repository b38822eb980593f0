// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/row_binary.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/schema_sql.h"

#define FIRST_CAPACITY ((size_t)1 << 20)

void iol_row_binary_clear(struct iol_row_binary *rows)
{
    rows->size = 0;
}

void iol_row_binary_done(struct iol_row_binary *rows)
{
    free(rows->data);
    *rows = (struct iol_row_binary){0};
}

char *iol_row_binary_reserve(struct iol_row_binary *rows, size_t size)
{
    if (rows->size + size > rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity : FIRST_CAPACITY;
        while (capacity < rows->size + size)
            capacity *= 2;
        char *data = realloc(rows->data, capacity);
        if (!data)
            return NULL;
        rows->data = data;
        rows->capacity = capacity;
    }
    return rows->data + rows->size;
}

int64_t iol_row_binary_time(int64_t ns)
{
    return ns / 1000 - (ns % 1000 < 0);
}

static char *put_int(char *to, int64_t value)
{
    uint64_t low_first = htole64((uint64_t)value);

    memcpy(to, &low_first, sizeof(low_first));
    return to + sizeof(low_first);
}

static int add_text(struct iol_row_binary *rows, const char *text)
{
    size_t length = strlen(text);
    char *to = iol_row_binary_reserve(rows, length + 10);

    if (!to)
        return -ENOMEM;
    for (size_t rest = length; rest >= 0x80; rest >>= 7, to++)
        *to = (char)(rest | 0x80);
    size_t top = length;
    while (top >= 0x80)
        top >>= 7;
    *to++ = (char)top;
    memcpy(to, text, length);
    rows->size = (size_t)(to + length - rows->data);
    return 0;
}

static int add_int(struct iol_row_binary *rows, const struct iol_column *column, int64_t value)
{
    char *to = iol_row_binary_reserve(rows, sizeof(value) + 1);

    if (!to)
        return -ENOMEM;
    if (column->type == IOL_TYPE_ENUM)
        *to++ = (char)value;
    else
        to = put_int(to, column->type == IOL_TYPE_TIME ? iol_row_binary_time(value) : value);
    rows->size = (size_t)(to - rows->data);
    return 0;
}

static int add_flag(struct iol_row_binary *rows, bool null)
{
    char *to = iol_row_binary_reserve(rows, 1);

    if (!to)
        return -ENOMEM;
    *to = (char)null;
    rows->size++;
    return 0;
}

static bool is_null(const struct iol_column *column, const void *row)
{
    return column->type == IOL_TYPE_TEXT ? !iol_row_text(row, column) : iol_row_int(row, column) == IOL_NULL;
}

int iol_row_binary_check(const struct iol_table *table, const void *row, struct iol_error *err)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        if (column->not_null && is_null(column, row))
            return iol_error_set(err, -EINVAL, "a row of %s has a null value in %s", table->name, column->name);
        if (column->type == IOL_TYPE_ENUM && !iol_schema_word(column->words, iol_row_int(row, column)))
            return iol_error_set(err, -EINVAL, "a row of %s has an unknown word in %s", table->name, column->name);
    }
    return 0;
}

static int add_cell(struct iol_row_binary *rows, const struct iol_column *column, const void *row)
{
    bool null = !column->not_null && is_null(column, row);
    int r = column->not_null ? 0 : add_flag(rows, null);

    if (r < 0 || null)
        return r;
    return column->type == IOL_TYPE_TEXT ? add_text(rows, iol_row_text(row, column))
                                         : add_int(rows, column, iol_row_int(row, column));
}

int iol_row_binary_add(struct iol_row_binary *rows, const struct iol_table *table, const void *row, int64_t last)
{
    int r = 0;

    for (size_t i = 0; i < table->n_columns && r == 0; i++)
        r = add_cell(rows, &table->columns[i], row);
    char *to = r == 0 ? iol_row_binary_reserve(rows, sizeof(last)) : NULL;
    if (!to)
        return -ENOMEM;
    put_int(to, last);
    rows->size += sizeof(last);
    return 0;
}
