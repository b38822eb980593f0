// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/merge.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "core/batch.h"
#include "store/schema_sql.h"

#define NS_PER_MS 1000000
#define KEY_MAX 4
#define FIRST_PLACES 64 /* of an index; a power of two */

static const char lost_intervals[] = "spool full: intervals merged";
static const char lost_events[] = "spool full: events of reads and writes";

/* What makes two rows of a table one. Of those without a key each row is kept. */
static const struct key {
    size_t n;
    size_t offsets[KEY_MAX]; /* of integers */
    size_t text;             /* offset of a text that is part of the key too; 0: none */
} keys[IOL_TABLE_COUNT] = {
    [IOL_TABLE_HOST] = {1, {offsetof(struct iol_host, id)}},
    [IOL_TABLE_RECORDING] = {1, {offsetof(struct iol_recording, id)}},
    [IOL_TABLE_LOGIN] = {2, {offsetof(struct iol_login, host_id), offsetof(struct iol_login, uid)}},
    [IOL_TABLE_PROCESS] = {1, {offsetof(struct iol_process, id)}},
    [IOL_TABLE_PROCESS_EXIT] = {1, {offsetof(struct iol_process_exit, process_id)}},
    [IOL_TABLE_FILE] = {1, {offsetof(struct iol_file, id)}},
    [IOL_TABLE_IO] = {4,
                      {offsetof(struct iol_io, host_id), offsetof(struct iol_io, process_id),
                       offsetof(struct iol_io, file_id), offsetof(struct iol_io, route)}},
    [IOL_TABLE_TOTAL] = {2, {offsetof(struct iol_total, host_id), offsetof(struct iol_total, route)}},
    [IOL_TABLE_LOSS] = {1, {offsetof(struct iol_loss, host_id)}, offsetof(struct iol_loss, reason)},
    [IOL_TABLE_BATCH] = {1, {offsetof(struct iol_batch_row, host_id)}},
};

/* What rows of io and of total begin with. */
struct interval {
    int64_t ts, ms;
};
_Static_assert(offsetof(struct iol_io, interval_ms) == offsetof(struct interval, ms) &&
                   offsetof(struct iol_total, interval_ms) == offsetof(struct interval, ms) &&
                   offsetof(struct iol_io, ts) == 0 && offsetof(struct iol_total, ts) == 0,
               "one struct for both");

/* Open addressing, of numbers of rows plus 1. */
struct index {
    size_t *places;
    size_t n_places;
};

struct iol_merge {
    struct iol_batch *batch;
    struct index indexes[IOL_TABLE_COUNT];
    int64_t from, to; /* all intervals together */
    int64_t last_ts;  /* of the interval that came last */
    int64_t intervals;
    int64_t events; /* dropped */
};

struct iol_merge *iol_merge_new(void)
{
    struct iol_merge *merge = calloc(1, sizeof(*merge));

    if (!merge)
        return NULL;
    merge->batch = iol_batch_new();
    merge->from = INT64_MAX;
    merge->to = merge->last_ts = INT64_MIN;
    if (!merge->batch) {
        free(merge);
        return NULL;
    }
    return merge;
}

void iol_merge_free(struct iol_merge *merge)
{
    if (!merge)
        return;
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        free(merge->indexes[i].places);
    iol_batch_free(merge->batch);
    free(merge);
}

size_t iol_merge_memory(const struct iol_merge *merge)
{
    size_t memory = iol_batch_memory(merge->batch);

    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        memory += merge->indexes[i].n_places * sizeof(size_t);
    return memory;
}

static int64_t int_at(const char *row, size_t offset)
{
    return *(const int64_t *)(const void *)(row + offset);
}

static const char *text_at(const char *row, size_t offset)
{
    return *(const char *const *)(const void *)(row + offset);
}

static uint64_t hash_of(const struct key *key, const char *row)
{
    int64_t values[KEY_MAX];

    for (size_t i = 0; i < key->n; i++)
        values[i] = int_at(row, key->offsets[i]);
    uint64_t hash = XXH3_64bits(values, key->n * sizeof(values[0]));
    const char *text = key->text ? text_at(row, key->text) : NULL;
    return text ? hash ^ XXH3_64bits(text, strlen(text)) : hash;
}

static bool same_key(const struct key *key, const char *a, const char *b)
{
    for (size_t i = 0; i < key->n; i++) {
        if (int_at(a, key->offsets[i]) != int_at(b, key->offsets[i]))
            return false;
    }
    if (!key->text)
        return true;
    const char *text_a = text_at(a, key->text), *text_b = text_at(b, key->text);
    return text_a && text_b ? strcmp(text_a, text_b) == 0 : text_a == text_b;
}

static char *row_of(const struct iol_merge *merge, enum iol_table_id table, size_t number)
{
    return (char *)merge->batch->rows[table].data + number * iol_batch_row_size(table);
}

/* Where the number of the row with that key stands, or could. */
static size_t *find_place(const struct iol_merge *merge, enum iol_table_id table, const char *row)
{
    const struct index *index = &merge->indexes[table];
    size_t at = hash_of(&keys[table], row) & (index->n_places - 1);

    while (index->places[at] && !same_key(&keys[table], row, row_of(merge, table, index->places[at] - 1)))
        at = (at + 1) & (index->n_places - 1);
    return &index->places[at];
}

/* Room for one more at least; no more than half of the places are taken. */
static int grow_index(struct iol_merge *merge, enum iol_table_id table)
{
    struct index *index = &merge->indexes[table];
    size_t count = merge->batch->rows[table].count;

    if (index->n_places > 2 * count)
        return 0;
    size_t n_places = index->n_places ? index->n_places * 2 : FIRST_PLACES;
    size_t *places = calloc(n_places, sizeof(*places));
    if (!places)
        return -ENOMEM;
    free(index->places);
    *index = (struct index){places, n_places};
    for (size_t i = 0; i < count; i++)
        *find_place(merge, table, row_of(merge, table, i)) = i + 1;
    return 0;
}

/* A copy of the row, texts included. */
static int copy_row(struct iol_merge *merge, const struct iol_table *table, char *to, const char *from)
{
    memcpy(to, from, iol_batch_row_size(table->id));
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        const char *text = column->type == IOL_TYPE_TEXT ? iol_row_text(from, column) : NULL;
        if (!text)
            continue;
        const char *copy = iol_arena_dup(merge->batch->arena, text, strlen(text));
        if (!copy)
            return -ENOMEM;
        *(const char **)(void *)(to + column->offset) = copy;
    }
    return 0;
}

static int append_row(struct iol_merge *merge, const struct iol_table *table, const char *row)
{
    char *added = iol_batch_add(merge->batch, table->id);

    return added ? copy_row(merge, table, added, row) : -ENOMEM;
}

/* Numbers from two intervals; of one that is not known (NULL) nothing is added. */
static void add(int64_t *sum, int64_t value)
{
    if (value != IOL_NULL)
        *sum = *sum == IOL_NULL ? value : (int64_t)((uint64_t)*sum + (uint64_t)value);
}

static void take_earlier(int64_t *time, int64_t other)
{
    if (other != IOL_NULL && (*time == IOL_NULL || other < *time))
        *time = other;
}

static void take_later(int64_t *time, int64_t other)
{
    if (other != IOL_NULL && (*time == IOL_NULL || other > *time))
        *time = other;
}

static void add_io(struct iol_io *sum, const struct iol_io *row)
{
    add(&sum->read_ops, row->read_ops);
    add(&sum->read_bytes, row->read_bytes);
    add(&sum->write_ops, row->write_ops);
    add(&sum->write_bytes, row->write_bytes);
    add(&sum->read_errors, row->read_errors);
    add(&sum->write_errors, row->write_errors);
    take_earlier(&sum->first_ts, row->first_ts);
    take_later(&sum->last_ts, row->last_ts);
}

static void add_total(struct iol_total *sum, const struct iol_total *row)
{
    add(&sum->read_ops, row->read_ops);
    add(&sum->read_bytes, row->read_bytes);
    add(&sum->write_ops, row->write_ops);
    add(&sum->write_bytes, row->write_bytes);
    add(&sum->read_errors, row->read_errors);
    add(&sum->write_errors, row->write_errors);
}

static void add_loss(struct iol_loss *sum, const struct iol_loss *row)
{
    add(&sum->lost, row->lost);
    take_earlier(&sum->ts_from, row->ts_from);
    take_later(&sum->ts_to, row->ts_to);
}

/* Whether the later row of two with one key is the one that counts, as it would in a database. */
static bool is_replaced(const struct iol_table *table, const char *row)
{
    if (table->id == IOL_TABLE_PROCESS) /* made up, until it is known: see `unknown` in the table of tables */
        return int_at(row, offsetof(struct iol_process, start_time)) == IOL_NULL;
    return table->mode == IOL_WRITE_LATEST || table->id == IOL_TABLE_BATCH;
}

static int combine(struct iol_merge *merge, const struct iol_table *table, char *row, const char *later)
{
    switch (table->id) {
    case IOL_TABLE_IO:
        add_io((void *)row, (const void *)later);
        return 0;
    case IOL_TABLE_TOTAL:
        add_total((void *)row, (const void *)later);
        return 0;
    case IOL_TABLE_LOSS:
        add_loss((void *)row, (const void *)later);
        return 0;
    default:
        return is_replaced(table, row) ? copy_row(merge, table, row, later) : 0;
    }
}

static int add_row(struct iol_merge *merge, const struct iol_table *table, const char *row)
{
    int r = grow_index(merge, table->id);

    if (r < 0)
        return r;
    size_t *place = find_place(merge, table->id, row);
    if (*place)
        return combine(merge, table, row_of(merge, table->id, *place - 1), row);
    *place = merge->batch->rows[table->id].count + 1;
    return append_row(merge, table, row);
}

static int add_event(struct iol_merge *merge, const struct iol_table *table, const char *row)
{
    int64_t kind = ((const struct iol_event *)(const void *)row)->kind;

    if (kind != IOL_EVENT_READ && kind != IOL_EVENT_WRITE)
        return append_row(merge, table, row);
    merge->events++;
    return 0;
}

static void cover(struct iol_merge *merge, const struct interval *row)
{
    int64_t from = row->ms == IOL_NULL ? row->ts : row->ts - row->ms * NS_PER_MS;

    if (row->ts != merge->last_ts)
        merge->intervals++;
    merge->last_ts = row->ts;
    if (from < merge->from)
        merge->from = from;
    if (row->ts > merge->to)
        merge->to = row->ts;
}

/* Rows of one interval stand together; where there are totals, there is one for each route that was used. */
static void cover_all(struct iol_merge *merge, const struct iol_batch *batch)
{
    enum iol_table_id id = batch->rows[IOL_TABLE_TOTAL].count > 0 ? IOL_TABLE_TOTAL : IOL_TABLE_IO;
    const char *row = batch->rows[id].data;

    for (size_t i = 0; i < batch->rows[id].count; i++, row += iol_batch_row_size(id))
        cover(merge, (const void *)row);
}

int iol_merge_add(struct iol_merge *merge, const struct iol_batch *batch)
{
    cover_all(merge, batch);
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        const char *row = batch->rows[i].data;
        for (size_t j = 0; j < batch->rows[i].count; j++, row += iol_batch_row_size(table->id)) {
            int r = i == IOL_TABLE_EVENT ? add_event(merge, table, row) : add_row(merge, table, row);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int tell_loss(struct iol_merge *merge, const char *reason, int64_t lost)
{
    const struct iol_batch_row *last = merge->batch->rows[IOL_TABLE_BATCH].data;
    struct iol_loss row = {.host_id = last->host_id, .reason = reason, .lost = lost};

    if (lost <= 0)
        return 0;
    row.ts_from = merge->intervals > 0 ? merge->from : last->ts;
    row.ts_to = merge->intervals > 0 ? merge->to : last->ts;
    return add_row(merge, &iol_schema_tables[IOL_TABLE_LOSS], (const char *)&row);
}

/* All rows of io and total belong to the one interval now. */
static void set_interval(struct iol_merge *merge)
{
    static const enum iol_table_id tables[] = {IOL_TABLE_IO, IOL_TABLE_TOTAL};

    for (size_t t = 0; t < IOL_ARRAY_SIZE(tables); t++) {
        for (size_t i = 0; i < merge->batch->rows[tables[t]].count; i++) {
            struct interval *row = (void *)row_of(merge, tables[t], i);
            *row = (struct interval){merge->to, (merge->to - merge->from) / NS_PER_MS};
        }
    }
}

int iol_merge_finish(struct iol_merge *merge, struct iol_batch **ret_batch)
{
    if (merge->intervals > 1)
        set_interval(merge);
    if (tell_loss(merge, lost_intervals, merge->intervals - 1) < 0 || tell_loss(merge, lost_events, merge->events) < 0)
        return -ENOMEM;
    *ret_batch = TAKE_PTR(merge->batch);
    return 0;
}
