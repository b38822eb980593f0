// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/row_native.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/schema_clickhouse.h"
#include "store/schema_sql.h"

#define COLUMNS_MAX 32

bool iol_row_native_takes(const struct iol_table *table)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (table->columns[i].type == IOL_TYPE_TEXT)
            return false;
    }
    return table->n_columns < COLUMNS_MAX;
}

static void put_varint(FILE *out, size_t value)
{
    for (; value >= 0x80; value >>= 7)
        putc((int)(value & 0x7f) | 0x80, out);
    putc((int)value, out);
}

static void put_text(FILE *out, const char *text)
{
    put_varint(out, strlen(text));
    fputs(text, out);
}

/* "NAME", "TYPE" of a column of the table; of ours behind the last one. */
static int put_head(FILE *out, const struct iol_table *table, size_t i)
{
    _cleanup_free_ char *type = NULL;
    char name[64];

    if (i == table->n_columns) {
        put_text(out, iol_schema_ch_replaces(table) ? IOL_CH_VERSION : IOL_CH_SEQ);
        put_text(out, iol_schema_ch_replaces(table) ? "UInt64" : "Int64");
        return 0;
    }
    type = iol_schema_ch_type(&table->columns[i]);
    if (!type)
        return -ENOMEM;
    snprintf(name, sizeof(name), "%s%s", table->columns[i].name, table->columns[i].type == IOL_TYPE_TIME ? "_us" : "");
    put_text(out, name);
    put_text(out, type);
    return 0;
}

static void put_int(char *to, size_t i, int64_t value)
{
    uint64_t low_first = htole64((uint64_t)value);

    memcpy(to + i * sizeof(low_first), &low_first, sizeof(low_first));
}

static int64_t value_of(const struct iol_row_ref *ref, size_t offset)
{
    int64_t value;

    memcpy(&value, (const char *)ref->row + offset, sizeof(value));
    return value;
}

static void put_words(char *to, const struct iol_column *column, const struct iol_row_ref *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)value_of(&rows[i], column->offset);
}

/* Before values that may be NULL there is a byte for each, at `nulls`, 1 for NULL; there the value is 0. */
static void put_numbers(char *to, char *nulls, const struct iol_column *column, const struct iol_row_ref *rows,
                        size_t n)
{
    bool time = column->type == IOL_TYPE_TIME;

    for (size_t i = 0; i < n; i++) {
        int64_t value = value_of(&rows[i], column->offset);
        bool null = nulls && value == IOL_NULL;
        if (nulls)
            nulls[i] = (char)null;
        put_int(to, i, null ? 0 : time ? iol_row_binary_time(value) : value);
    }
}

static int add_head(struct iol_row_binary *out, const struct iol_table *table, size_t i, size_t n)
{
    _cleanup_free_ char *head = NULL;
    size_t size;
    FILE *stream = open_memstream(&head, &size);
    int r = 0;

    if (!stream)
        return -ENOMEM;
    if (i == 0) {
        put_varint(stream, table->n_columns + 1);
        put_varint(stream, n);
    }
    r = put_head(stream, table, i);
    if (fclose(stream) != 0 || r < 0)
        return -ENOMEM;
    char *to = iol_row_binary_reserve(out, size);
    if (!to)
        return -ENOMEM;
    memcpy(to, head, size);
    out->size += size;
    return 0;
}

static bool has_nulls(const struct iol_table *table, size_t c)
{
    return c < table->n_columns && !table->columns[c].not_null && table->columns[c].type != IOL_TYPE_ENUM;
}

static size_t width_of(const struct iol_table *table, size_t c)
{
    return c < table->n_columns && table->columns[c].type == IOL_TYPE_ENUM ? 1 : sizeof(int64_t);
}

/* So many rows stay in the cache while their columns are filled. */
#define ROWS_AT_ONCE ((size_t)512)

/* Rows `first` to `first + some` of n into the column that begins at `start`. */
static void put_column(char *start, const struct iol_table *table, size_t c, const struct iol_row_ref *rows, size_t n,
                       size_t first, size_t some)
{
    bool nulls = has_nulls(table, c);
    char *to = start + (nulls ? n : 0) + first * width_of(table, c);

    if (c == table->n_columns) {
        for (size_t i = 0; i < some; i++)
            put_int(to, i, rows[first + i].last);
    } else if (table->columns[c].type == IOL_TYPE_ENUM) {
        put_words(to, &table->columns[c], rows + first, some);
    } else {
        put_numbers(to, nulls ? start + first : NULL, &table->columns[c], rows + first, some);
    }
}

int iol_row_native_add(struct iol_row_binary *out, const struct iol_table *table, const struct iol_row_ref *rows,
                       size_t n)
{
    size_t starts[COLUMNS_MAX];

    for (size_t c = 0; c <= table->n_columns; c++) {
        size_t size = n * (width_of(table, c) + has_nulls(table, c));
        if (add_head(out, table, c, n) < 0 || !iol_row_binary_reserve(out, size))
            return -ENOMEM;
        starts[c] = out->size;
        out->size += size;
    }
    for (size_t first = 0; first < n; first += ROWS_AT_ONCE) {
        size_t some = n - first < ROWS_AT_ONCE ? n - first : ROWS_AT_ONCE;
        for (size_t c = 0; c <= table->n_columns; c++)
            put_column(out->data + starts[c], table, c, rows, n, first, some);
    }
    return 0;
}

/* What decides nearly always, the upper halves of process_id and file_id, stands in the place itself: ids are hashes. */
struct place {
    uint64_t key;
    size_t number;
};

#define DIGIT_BITS 11
#define DIGITS ((size_t)1 << DIGIT_BITS)

static int compare_numbers(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare(const struct iol_row_ref *a, const struct iol_row_ref *b)
{
    const struct iol_io *x = a->row, *y = b->row;
    int order = compare_numbers(x->process_id, y->process_id);

    if (order == 0)
        order = compare_numbers(x->file_id, y->file_id);
    return order ? order : compare_numbers(x->ts, y->ts);
}

/* Signed numbers in the order of unsigned ones. */
static uint64_t upper_half(int64_t id)
{
    return ((uint64_t)id ^ UINT64_C(1) << 63) >> 32;
}

/* By one digit of the key; what is equal stays in its order. */
static void sort_by_digit(const struct place *from, struct place *to, size_t n, unsigned int shift)
{
    size_t starts[DIGITS] = {0}, sum = 0;

    for (size_t i = 0; i < n; i++)
        starts[from[i].key >> shift & (DIGITS - 1)]++;
    for (size_t i = 0; i < DIGITS; i++) {
        size_t count = starts[i];
        starts[i] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[starts[from[i].key >> shift & (DIGITS - 1)]++] = from[i];
}

/* Moves rows the few places that their whole ids say; it stops when that are many, and the server sorts the rest. */
static void settle(struct iol_row_ref *rows, size_t n)
{
    size_t moves = 0;

    for (size_t i = 1; i < n && moves < 4 * n; i++) {
        struct iol_row_ref row = rows[i];
        size_t to = i;
        for (; to > 0 && compare(&row, &rows[to - 1]) < 0; to--, moves++)
            rows[to] = rows[to - 1];
        rows[to] = row;
    }
}

void iol_row_native_order_io(struct iol_row_ref *rows, size_t n)
{
    _cleanup_free_ struct place *places = malloc(2 * n * sizeof(*places));
    _cleanup_free_ struct iol_row_ref *copy = malloc(n * sizeof(*copy));
    struct place *from = places, *to = places + n;

    if (!places || !copy || n == 0)
        return;
    memcpy(copy, rows, n * sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        const struct iol_io *io = copy[i].row;
        if (io->host_id != ((const struct iol_io *)copy[0].row)->host_id)
            return;
        from[i] = (struct place){upper_half(io->process_id) << 32 | upper_half(io->file_id), i};
    }
    for (unsigned int shift = 0; shift < 64; shift += DIGIT_BITS) {
        sort_by_digit(from, to, n, shift);
        struct place *other = from;
        from = to;
        to = other;
    }
    for (size_t i = 0; i < n; i++)
        rows[i] = copy[from[i].number];
    settle(rows, n);
}
