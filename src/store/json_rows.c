// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/json_rows.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/schema_sql.h"
#include "store/time_text.h"

#define NS_PER_S 1000000000

struct output {
    struct iol_time_text *cache;
    iol_json_put *put;
    void *arg;
    int code;
};

static void free_json(json_t **object)
{
    json_decref(*object);
}

#define _cleanup_json_ _cleanup_(free_json)

static int put_plain(struct output *output, const char *data, size_t size)
{
    output->code = size > 0 ? output->put(data, size, output->arg) : 0;
    return output->code == 0 ? 0 : -1;
}

/* jansson escapes every control character but DEL, and that may not reach a terminal either. */
static int put(const char *data, size_t size, void *arg)
{
    static const char escaped[] = "\\u007f";

    for (const char *del; (del = memchr(data, 0x7f, size));) {
        size_t before = (size_t)(del - data);
        if (put_plain(arg, data, before) < 0 || put_plain(arg, escaped, strlen(escaped)) < 0)
            return -1;
        data += before + 1;
        size -= before + 1;
    }
    return put_plain(arg, data, size);
}

static json_t *cell(struct iol_time_text *cache, const struct iol_column *column, const void *row)
{
    if (column->type == IOL_TYPE_TEXT) {
        const char *text = iol_row_text(row, column);
        return text ? json_string(text) : json_null();
    }
    int64_t value = iol_row_int(row, column);
    if (column->type == IOL_TYPE_ENUM)
        return json_string(iol_schema_word(column->words, value)); /* NULL for NULL */
    if (value == IOL_NULL)
        return json_null();
    if (column->type == IOL_TYPE_INT)
        return json_integer(value);
    char time[32];
    iol_time_text(cache, time, value, 'T');
    memcpy(time + IOL_TIME_TEXT_LENGTH, "Z", sizeof("Z"));
    return json_string(time);
}

static int write_row(struct output *output, const struct iol_table *table, const void *row, struct iol_error *err)
{
    _cleanup_json_ json_t *object = json_object();
    bool made = json_object_set_new(object, "table", json_string(table->name)) == 0;

    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        json_t *value = cell(output->cache, column, row);
        if (!value && column->type != IOL_TYPE_INT)
            return iol_error_set(err, -EINVAL, "a row of %s has a value in %s that its column does not know",
                                 table->name, column->name);
        made = json_object_set_new(object, column->name, value) == 0 && made;
    }
    if (!made)
        return iol_error_set(err, -EAGAIN, "out of memory");
    if (json_dump_callback(object, put, output, JSON_ENSURE_ASCII) == 0 && put_plain(output, "\n", 1) == 0)
        return 0;
    return output->code != 0 ? output->code : iol_error_set(err, -EAGAIN, "out of memory");
}

int iol_json_write_rows(struct iol_time_text *cache, const struct iol_batch *batch, iol_json_put *put_bytes, void *arg,
                        struct iol_error *err)
{
    struct output output = {.cache = cache, .put = put_bytes, .arg = arg};

    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        size_t size = iol_batch_row_size(i);
        for (size_t j = 0; j < batch->rows[i].count; j++) {
            int r = write_row(&output, &iol_schema_tables[i], (const char *)batch->rows[i].data + j * size, err);
            if (r != 0)
                return r;
        }
    }
    return 0;
}

/* The other way. */

static const struct iol_table *find_table(const char *name)
{
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        if (strcmp(iol_schema_tables[i].name, name) == 0)
            return &iol_schema_tables[i];
    }
    return NULL;
}

static int bad_cell(const struct iol_table *table, const struct iol_column *column, struct iol_error *err)
{
    return iol_error_set(err, -EBADMSG, "it has no %s that a row of %s may have", column->name, table->name);
}

/* "2026-11-23T08:18:06.123456Z"; what int64_t cannot tell becomes the nearest that it can. */
static bool read_time(const char *text, int64_t *ret_ns)
{
    struct tm tm = {0};
    int fraction = 0, n = 0;

    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &fraction, &n) != 7 ||
        n != IOL_TIME_TEXT_LENGTH + 1 || text[n] != '\0')
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    __int128 ns = (__int128)timegm(&tm) * NS_PER_S + (__int128)fraction * 1000;
    *ret_ns = ns > INT64_MAX ? INT64_MAX : ns <= INT64_MIN ? INT64_MIN + 1 : (int64_t)ns;
    return true;
}

static int read_word(const struct iol_table *table, const struct iol_column *column, const char *word, int64_t *ret,
                     struct iol_error *err)
{
    for (size_t i = 0; i < column->words->count; i++) {
        if (strcmp(column->words->words[i], word) == 0) {
            *ret = (int64_t)i;
            return 0;
        }
    }
    return iol_error_set(err, -EPROTONOSUPPORT, "its %s.%s, '%.32s', is none that this version knows", table->name,
                         column->name, word);
}

static int read_cell(struct iol_batch *batch, const struct iol_table *table, const struct iol_column *column,
                     const json_t *value, void *member, struct iol_error *err)
{
    const char *text = json_string_value(value);

    if (json_is_null(value) && !column->not_null && column->type != IOL_TYPE_ENUM)
        return 0;
    if (column->type == IOL_TYPE_INT) {
        if (!json_is_integer(value))
            return bad_cell(table, column, err);
        *(int64_t *)member = json_integer_value(value);
        return 0;
    }
    if (!text)
        return bad_cell(table, column, err);
    if (column->type == IOL_TYPE_ENUM)
        return read_word(table, column, text, member, err);
    if (column->type == IOL_TYPE_TIME)
        return read_time(text, member) ? 0 : bad_cell(table, column, err);
    *(const char **)member = iol_arena_dup(batch->arena, text, json_string_length(value));
    return *(const char **)member ? 0 : iol_error_set(err, -ENOMEM, "out of memory");
}

/* Every column of the object is to be one of the table's: what an unknown one means, nobody can store. */
static int check_columns(const struct iol_table *table, const json_t *object, size_t found, struct iol_error *err)
{
    const char *key;
    json_t *value;

    if (json_object_size(object) == found + 1)
        return 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        bool known = strcmp(key, "table") == 0;
        for (size_t i = 0; i < table->n_columns && !known; i++)
            known = strcmp(key, table->columns[i].name) == 0;
        if (!known)
            return iol_error_set(err, -EPROTONOSUPPORT, "its column '%.64s' is none that this version knows in %s", key,
                                 table->name);
    }
    return 0;
}

static int read_cells(struct iol_batch *batch, const struct iol_table *table, const json_t *object,
                      struct iol_error *err)
{
    char *row = iol_batch_add(batch, table->id);
    size_t found = 0;
    int r = 0;

    if (!row)
        return iol_error_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < table->n_columns && r == 0; i++) {
        const struct iol_column *column = &table->columns[i];
        const json_t *value = json_object_get(object, column->name);
        void *member = row + column->offset;
        if (column->type != IOL_TYPE_TEXT)
            *(int64_t *)member = IOL_NULL;
        if (value)
            r = read_cell(batch, table, column, value, member, err);
        else if (column->not_null || column->type == IOL_TYPE_ENUM)
            r = bad_cell(table, column, err);
        found += value != NULL;
    }
    return r == 0 ? check_columns(table, object, found, err) : r;
}

int iol_json_read_row(const char *line, size_t size, struct iol_batch *batch, const struct iol_table **ret_table,
                      struct iol_error *err)
{
    json_error_t error;
    _cleanup_json_ json_t *object = json_loadb(line, size, JSON_REJECT_DUPLICATES, &error);

    if (!object)
        return iol_error_set(err, -EBADMSG, "it is no JSON");
    const char *name = json_string_value(json_object_get(object, "table"));
    if (!name) {
        iol_error_set(err, -EBADMSG, "it is no row of a ledger");
        iol_error_hint(err,
                       "rows are what 'ioledger record --db jsonl:PATH' writes; what 'ioledger tail --json' prints "
                       "is a part of them, and cannot be loaded");
        return -EBADMSG;
    }
    const struct iol_table *table = find_table(name);
    if (!table)
        return iol_error_set(err, -EPROTONOSUPPORT, "its table '%.64s' is none that this version knows", name);
    int r = read_cells(batch, table, object, err);
    if (r == 0)
        *ret_table = table;
    return r;
}
