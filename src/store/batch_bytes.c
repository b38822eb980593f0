// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/batch_bytes.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/schema_sql.h"

#define VERSION 1
#define NUMBER_MAX 10  /* bytes of a 64-bit number */
#define COLUMNS_MAX 64 /* of one table */

enum form { FORM_DIFFERENCE, FORM_FIXED };

struct out {
    uint8_t *data;
    size_t used, size;
    bool failed; /* no memory */
};

static uint8_t *room(struct out *out, size_t n)
{
    if (iol_array_reserve(&out->data, &out->size, out->used + n, sizeof(*out->data)) == 0)
        return out->data + out->used;
    out->failed = true;
    return NULL;
}

static void put_byte(struct out *out, uint8_t byte)
{
    uint8_t *at = room(out, 1);

    if (at)
        at[0] = byte;
    out->used += at ? 1 : 0;
}

static void put_number(struct out *out, uint64_t number)
{
    uint8_t *at = room(out, NUMBER_MAX), *end = at;

    if (!at)
        return;
    for (; number >= 0x80; number >>= 7)
        *end++ = (uint8_t)(number | 0x80);
    *end++ = (uint8_t)number;
    out->used += (size_t)(end - at);
}

static void put_bytes(struct out *out, const void *data, size_t size)
{
    uint8_t *at = room(out, size);

    if (at && size > 0)
        memcpy(at, data, size);
    out->used += at ? size : 0;
}

static void put_name(struct out *out, const char *name)
{
    size_t length = strlen(name);

    put_number(out, length);
    put_bytes(out, name, length);
}

static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0);
}

static uint64_t unzigzag(uint64_t number)
{
    return number >> 1 ^ (number & 1 ? UINT64_MAX : 0);
}

static size_t length_of(uint64_t number)
{
    return number ? (size_t)(63 - __builtin_clzll(number)) / 7 + 1 : 1;
}

static const char *row_at(const struct iol_rows *rows, size_t row_size, size_t i)
{
    return (const char *)rows->data + i * row_size;
}

static void put_texts(struct out *out, const struct iol_column *column, const struct iol_rows *rows, size_t row_size)
{
    put_byte(out, FORM_DIFFERENCE);
    for (size_t i = 0; i < rows->count; i++) {
        const char *text = iol_row_text(row_at(rows, row_size, i), column);
        size_t length = text ? strlen(text) : 0;

        put_number(out, text ? length + 1 : 0);
        put_bytes(out, text, length);
    }
}

static void put_integers(struct out *out, const struct iol_column *column, const struct iol_rows *rows, size_t row_size)
{
    uint64_t before = 0;
    size_t length = 0;

    for (size_t i = 0; i < rows->count; i++) {
        uint64_t value = (uint64_t)iol_row_int(row_at(rows, row_size, i), column);
        length += length_of(zigzag(value - before));
        before = value;
    }
    before = 0;
    put_byte(out, length > rows->count * sizeof(uint64_t) ? FORM_FIXED : FORM_DIFFERENCE);
    for (size_t i = 0; i < rows->count; i++) {
        uint64_t value = (uint64_t)iol_row_int(row_at(rows, row_size, i), column);
        if (length > rows->count * sizeof(uint64_t)) {
            uint64_t fixed = htole64(value);
            put_bytes(out, &fixed, sizeof(fixed));
        } else {
            put_number(out, zigzag(value - before));
        }
        before = value;
    }
}

static void put_table(struct out *out, const struct iol_table *table, const struct iol_rows *rows)
{
    size_t row_size = iol_batch_row_size(table->id);

    put_name(out, table->name);
    put_number(out, table->n_columns);
    for (size_t i = 0; i < table->n_columns; i++) {
        put_name(out, table->columns[i].name);
        put_byte(out, (uint8_t)table->columns[i].type);
    }
    put_number(out, rows->count);
    for (size_t i = 0; i < table->n_columns; i++) {
        if (table->columns[i].type == IOL_TYPE_TEXT)
            put_texts(out, &table->columns[i], rows, row_size);
        else
            put_integers(out, &table->columns[i], rows, row_size);
    }
}

int iol_batch_encode(const struct iol_batch *batch, void **ret_data, size_t *ret_size)
{
    struct out out = {0};
    size_t tables = 0;

    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        tables += batch->rows[i].count > 0;
    put_byte(&out, VERSION);
    put_number(&out, tables);
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        if (batch->rows[i].count > 0)
            put_table(&out, &iol_schema_tables[i], &batch->rows[i]);
    }
    if (out.failed) {
        free(out.data);
        return -ENOMEM;
    }
    *ret_data = out.data;
    *ret_size = out.used;
    return 0;
}

struct in {
    const uint8_t *at, *end;
};

static bool take_byte(struct in *in, uint8_t *ret_byte)
{
    if (in->at == in->end)
        return false;
    *ret_byte = *in->at++;
    return true;
}

static bool take_number(struct in *in, uint64_t *ret_number)
{
    uint64_t number = 0;
    uint8_t byte = 0x80;

    for (unsigned shift = 0; byte & 0x80; shift += 7) {
        if (shift > 63 || !take_byte(in, &byte) || (shift == 63 && byte > 1))
            return false;
        number |= (uint64_t)(byte & 0x7f) << shift;
    }
    *ret_number = number;
    return true;
}

static bool take_bytes(struct in *in, uint64_t size, const char **ret_data)
{
    if (size > (uint64_t)(in->end - in->at))
        return false;
    *ret_data = (const char *)in->at;
    in->at += size;
    return true;
}

static bool take_name(struct in *in, const char **ret_name, size_t *ret_length)
{
    uint64_t length;

    if (!take_number(in, &length) || !take_bytes(in, length, ret_name))
        return false;
    *ret_length = length;
    return true;
}

static bool is_name(const char *known, const char *name, size_t length)
{
    return strlen(known) == length && memcmp(known, name, length) == 0;
}

static const struct iol_table *find_table(const char *name, size_t length)
{
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        if (is_name(iol_schema_tables[i].name, name, length))
            return &iol_schema_tables[i];
    }
    return NULL;
}

static const struct iol_column *find_column(const struct iol_table *table, const char *name, size_t length)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (is_name(table->columns[i].name, name, length))
            return &table->columns[i];
    }
    return NULL;
}

/* Which of our columns those of the bytes are. */
static int take_columns(struct in *in, const struct iol_table *table, const struct iol_column **columns, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const char *name;
        size_t length;
        uint8_t type;

        if (!take_name(in, &name, &length) || !take_byte(in, &type))
            return -EBADMSG;
        columns[i] = find_column(table, name, length);
        if (!columns[i] || columns[i]->type != (enum iol_type)type)
            return -EPROTONOSUPPORT;
        for (uint64_t j = 0; j < i; j++) {
            if (columns[j] == columns[i])
                return -EBADMSG;
        }
    }
    return 0;
}

/* Rows of nothing but NULL: what the bytes do not tell stays so. */
static int add_rows(struct iol_batch *batch, const struct iol_table *table, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        char *row = iol_batch_add(batch, table->id);
        if (!row)
            return -ENOMEM;
        for (size_t j = 0; j < table->n_columns; j++) {
            if (table->columns[j].type == IOL_TYPE_INT || table->columns[j].type == IOL_TYPE_TIME)
                *(int64_t *)(void *)(row + table->columns[j].offset) = IOL_NULL;
        }
    }
    return 0;
}

static int take_text(struct in *in, struct iol_arena *arena, const char **ret_text)
{
    uint64_t length;
    const char *data;

    if (!take_number(in, &length))
        return -EBADMSG;
    if (length == 0)
        return 0;
    if (!take_bytes(in, length - 1, &data) || memchr(data, '\0', length - 1))
        return -EBADMSG;
    *ret_text = iol_arena_dup(arena, data, length - 1);
    return *ret_text ? 0 : -ENOMEM;
}

static bool take_integer(struct in *in, enum form form, uint64_t before, uint64_t *ret_value)
{
    const char *data;
    uint64_t number;

    if (form == FORM_DIFFERENCE) {
        if (!take_number(in, &number))
            return false;
        *ret_value = before + unzigzag(number);
        return true;
    }
    if (!take_bytes(in, sizeof(number), &data))
        return false;
    memcpy(&number, data, sizeof(number));
    *ret_value = le64toh(number);
    return true;
}

static int take_column(struct in *in, struct iol_batch *batch, const struct iol_table *table,
                       const struct iol_column *column)
{
    struct iol_rows *rows = &batch->rows[table->id];
    size_t row_size = iol_batch_row_size(table->id);
    uint64_t value = 0;
    uint8_t form;

    if (!take_byte(in, &form) || form > (column->type == IOL_TYPE_TEXT ? FORM_DIFFERENCE : FORM_FIXED))
        return -EBADMSG;
    for (size_t i = 0; i < rows->count; i++) {
        void *member = (char *)rows->data + i * row_size + column->offset;
        if (column->type == IOL_TYPE_TEXT) {
            int r = take_text(in, batch->arena, member);
            if (r < 0)
                return r;
            continue;
        }
        if (!take_integer(in, form, value, &value))
            return -EBADMSG;
        *(int64_t *)member = (int64_t)value;
    }
    return 0;
}

static int take_table(struct in *in, struct iol_batch *batch)
{
    const struct iol_column *columns[COLUMNS_MAX];
    uint64_t n_columns, n_rows;
    const char *name;
    size_t length;

    if (!take_name(in, &name, &length) || !take_number(in, &n_columns))
        return -EBADMSG;
    const struct iol_table *table = find_table(name, length);
    if (!table || n_columns > COLUMNS_MAX)
        return -EPROTONOSUPPORT;
    int r = take_columns(in, table, columns, n_columns);
    if (r < 0)
        return r;
    /* Each value takes a byte at least: no more rows are made than the bytes can fill. */
    if (batch->rows[table->id].count > 0 || n_columns == 0 || !take_number(in, &n_rows) ||
        n_rows > (uint64_t)(in->end - in->at) / n_columns)
        return -EBADMSG;
    r = add_rows(batch, table, n_rows);
    for (uint64_t i = 0; i < n_columns && r == 0; i++)
        r = take_column(in, batch, table, columns[i]);
    return r;
}

static int take_batch(struct in *in, struct iol_batch *batch)
{
    uint64_t n_tables;
    uint8_t version;
    int r = 0;

    if (!take_byte(in, &version))
        return -EBADMSG;
    if (version != VERSION)
        return -EPROTONOSUPPORT;
    if (!take_number(in, &n_tables) || n_tables > IOL_TABLE_COUNT)
        return -EBADMSG;
    for (uint64_t i = 0; i < n_tables && r == 0; i++)
        r = take_table(in, batch);
    return r == 0 && in->at != in->end ? -EBADMSG : r;
}

int iol_batch_decode(const void *data, size_t size, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct in in = {data, (const uint8_t *)data + size};
    struct iol_batch *batch = iol_batch_new();
    int r = batch ? take_batch(&in, batch) : -ENOMEM;

    if (r == 0) {
        *ret_batch = batch;
        return 0;
    }
    iol_batch_free(batch);
    if (r == -ENOMEM)
        return iol_error_set(err, r, "out of memory");
    if (r == -EPROTONOSUPPORT)
        return iol_error_set(err, r, "the batch has tables or columns that this version does not know");
    return iol_error_set(err, r, "the bytes are not those of a batch");
}
