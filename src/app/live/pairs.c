// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/pairs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/live/names.h"
#include "base/array.h"
#include "core/batch.h"
#include "core/row.h"

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL
#define FIRST_ROOM 1024

/*
 * Pairs lie one after the other, and a table with open addressing leads to them. Rows of accounts come in the same order in
 * each interval, so most are found right behind the one before, without the table.
 */
struct iol_live_pairs {
    struct iol_live_names *names;
    struct iol_live_pair *pairs;
    size_t n, room;
    uint32_t *table; /* index + 1; 0: free. Twice as many places as pairs have room */
    struct iol_live_interval interval;
    size_t next;     /* where the next row's pair is expected */
    uint32_t oldest; /* no pair has its newest entry of history before this second */
    size_t keep;     /* pairs that may be there without being dropped for being idle */
    struct iol_live_counts dropped;
};

static size_t table_mask(const struct iol_live_pairs *pairs)
{
    return 2 * pairs->room - 1;
}

/* Both ids are hashes already. */
static size_t home(const struct iol_live_pairs *pairs, int64_t process_id, int64_t file_id)
{
    uint64_t mixed = ((uint64_t)process_id ^ (uint64_t)file_id << 1) * 0x9E3779B97F4A7C15ULL;

    return (size_t)(mixed >> 32) & table_mask(pairs);
}

static void put_into_table(struct iol_live_pairs *pairs, size_t index)
{
    const struct iol_live_pair *pair = &pairs->pairs[index];
    size_t at = home(pairs, pair->process->id, pair->file->id);

    while (pairs->table[at])
        at = (at + 1) & table_mask(pairs);
    pairs->table[at] = (uint32_t)index + 1;
}

static int grow(struct iol_live_pairs *pairs)
{
    size_t room = pairs->room;
    uint32_t *table;

    if (iol_array_reserve(&pairs->pairs, &room, pairs->n < FIRST_ROOM ? FIRST_ROOM : pairs->n + 1,
                          sizeof(*pairs->pairs)) < 0)
        return -ENOMEM;
    table = calloc(2 * room, sizeof(*table));
    if (!table)
        return -ENOMEM;
    free(pairs->table);
    pairs->table = table;
    pairs->room = room;
    for (size_t i = 0; i < pairs->n; i++)
        put_into_table(pairs, i);
    return 0;
}

struct iol_live_pairs *iol_live_pairs_new(struct iol_live_names *names)
{
    struct iol_live_pairs *pairs = calloc(1, sizeof(*pairs));

    if (!pairs)
        return NULL;
    pairs->names = names;
    pairs->interval.ms = 1;
    if (grow(pairs) < 0) {
        iol_live_pairs_free(pairs);
        return NULL;
    }
    return pairs;
}

void iol_live_pairs_free(struct iol_live_pairs *pairs)
{
    if (!pairs)
        return;
    free(pairs->pairs);
    free(pairs->table);
    free(pairs);
}

static bool is_of(const struct iol_live_pair *pair, const struct iol_io *row)
{
    return pair->process->id == row->process_id && pair->file->id == row->file_id;
}

/* NULL: no memory, or (*ret_unknown) a row whose names never came. */
static struct iol_live_pair *find_or_add(struct iol_live_pairs *pairs, const struct iol_io *row, bool *ret_unknown)
{
    struct iol_live_process *process;
    struct iol_live_file *file;
    struct iol_live_pair *pair;

    if (pairs->next < pairs->n && is_of(&pairs->pairs[pairs->next], row))
        return &pairs->pairs[pairs->next];
    for (size_t at = home(pairs, row->process_id, row->file_id); pairs->table[at]; at = (at + 1) & table_mask(pairs)) {
        pair = &pairs->pairs[pairs->table[at] - 1];
        if (is_of(pair, row))
            return pair;
    }
    process = iol_live_names_process(pairs->names, row->process_id);
    file = iol_live_names_file(pairs->names, row->file_id);
    *ret_unknown = !process || !file;
    if (*ret_unknown || (pairs->n == pairs->room && grow(pairs) < 0))
        return NULL;
    pair = &pairs->pairs[pairs->n++];
    *pair = (struct iol_live_pair){.process = process, .file = file};
    process->refs++;
    file->refs++;
    put_into_table(pairs, pairs->n - 1);
    return pair;
}

static size_t place_of(const struct iol_live_pairs *pairs, size_t index)
{
    const struct iol_live_pair *pair = &pairs->pairs[index];
    size_t at = home(pairs, pair->process->id, pair->file->id);

    while (pairs->table[at] != index + 1)
        at = (at + 1) & table_mask(pairs);
    return at;
}

/* Moves those behind the hole forward that would not be found any more (Knuth, 6.4, algorithm R). */
static void take_from_table(struct iol_live_pairs *pairs, size_t index)
{
    size_t mask = table_mask(pairs), hole = place_of(pairs, index);

    for (size_t at = (hole + 1) & mask; pairs->table[at]; at = (at + 1) & mask) {
        const struct iol_live_pair *pair = &pairs->pairs[pairs->table[at] - 1];
        size_t wanted = home(pairs, pair->process->id, pair->file->id);

        if (((at - wanted) & mask) < ((at - hole) & mask))
            continue;
        pairs->table[hole] = pairs->table[at];
        hole = at;
    }
    pairs->table[hole] = 0;
}

static void drop(struct iol_live_pairs *pairs, size_t index)
{
    size_t last = pairs->n - 1;

    iol_live_counts_add(&pairs->dropped, &pairs->pairs[index].total);
    take_from_table(pairs, index);
    pairs->pairs[index].process->refs--;
    pairs->pairs[index].file->refs--;
    if (index != last) {
        pairs->table[place_of(pairs, last)] = (uint32_t)index + 1;
        pairs->pairs[index] = pairs->pairs[last];
    }
    pairs->n--;
}

static void drop_old(struct iol_live_pairs *pairs)
{
    uint32_t oldest = pairs->interval.second;

    if (pairs->n <= pairs->keep || pairs->interval.second - pairs->oldest < IOL_HISTORY_SECONDS)
        return;
    for (size_t i = pairs->n; i > 0; i--) {
        const struct iol_live_pair *pair = &pairs->pairs[i - 1];
        uint32_t last = pair->history.last;

        if (pairs->n > pairs->keep && iol_live_pair_is_idle(pair, &pairs->interval))
            drop(pairs, i - 1);
        else if (last < oldest)
            oldest = last;
    }
    pairs->oldest = oldest;
}

void iol_live_counts_add(struct iol_live_counts *sum, const struct iol_live_counts *one)
{
    sum->read_ops += one->read_ops;
    sum->read_bytes += one->read_bytes;
    sum->write_ops += one->write_ops;
    sum->write_bytes += one->write_bytes;
    sum->errors += one->errors;
}

static void add_row(struct iol_live_pair *pair, const struct iol_io *row, uint32_t serial)
{
    const struct iol_live_counts counts = {
        .read_ops = (uint64_t)row->read_ops,
        .read_bytes = (uint64_t)row->read_bytes,
        .write_ops = (uint64_t)row->write_ops,
        .write_bytes = (uint64_t)row->write_bytes,
        .errors = (uint64_t)(row->read_errors + row->write_errors),
    };

    if (pair->serial != serial)
        pair->counts = (struct iol_live_counts){0};
    pair->serial = serial;
    iol_live_counts_add(&pair->counts, &counts);
    iol_live_counts_add(&pair->total, &counts);
}

/* The row's history is written with each of its routes: of several, the sum is the highest, and stays. */
static void put_down(struct iol_live_pair *pair, const struct iol_live_interval *interval, uint32_t seconds)
{
    const struct iol_live_counts *counts = &pair->counts;
    uint64_t ms = (uint64_t)interval->ms;
    const uint64_t rates[IOL_MEASURE_COUNT] = {
        [IOL_MEASURE_READ] = counts->read_bytes * 1000 / ms,
        [IOL_MEASURE_WRITTEN] = counts->write_bytes * 1000 / ms,
        [IOL_MEASURE_OPS] = (counts->read_ops + counts->write_ops) * 1000 / ms,
        [IOL_MEASURE_ERRORS] = counts->errors * 1000 / ms,
    };

    iol_history_add(&pair->history, interval->second, seconds, rates);
}

static void sum_totals(struct iol_live_counts *ret_totals, const struct iol_batch *batch)
{
    const struct iol_total *row = batch->rows[IOL_TABLE_TOTAL].data;

    *ret_totals = (struct iol_live_counts){0};
    for (size_t i = 0; i < batch->rows[IOL_TABLE_TOTAL].count; i++) {
        ret_totals->read_ops += (uint64_t)row[i].read_ops;
        ret_totals->read_bytes += (uint64_t)row[i].read_bytes;
        ret_totals->write_ops += (uint64_t)row[i].write_ops;
        ret_totals->write_bytes += (uint64_t)row[i].write_bytes;
        ret_totals->errors += (uint64_t)(row[i].read_errors + row[i].write_errors);
    }
}

int iol_live_pairs_take(struct iol_live_pairs *pairs, const struct iol_batch *batch, uint64_t boot_ns, int64_t ts,
                        uint64_t ns)
{
    const struct iol_io *row = batch->rows[IOL_TABLE_IO].data;
    uint32_t before = pairs->interval.second;
    uint32_t seconds;

    pairs->interval.serial++;
    pairs->interval.second = (uint32_t)(boot_ns / NS_PER_S) + IOL_HISTORY_SECONDS;
    pairs->interval.ts = ts;
    pairs->interval.ms = ns < NS_PER_MS ? 1 : (int64_t)((ns + NS_PER_MS / 2) / NS_PER_MS);
    sum_totals(&pairs->interval.totals, batch);
    seconds = before ? pairs->interval.second - before : (uint32_t)(ns / NS_PER_S);
    pairs->next = 0;
    for (size_t i = 0; i < batch->rows[IOL_TABLE_IO].count; i++) {
        bool unknown = false;
        struct iol_live_pair *pair = find_or_add(pairs, &row[i], &unknown);

        if (!pair && unknown)
            continue;
        if (!pair)
            return -ENOMEM;
        add_row(pair, &row[i], pairs->interval.serial);
        put_down(pair, &pairs->interval, seconds);
        pairs->next = (size_t)(pair - pairs->pairs) + 1;
        iol_live_pair_expect(pairs, pairs->next + IOL_LIVE_PAIRS_AHEAD);
    }
    drop_old(pairs);
    return 0;
}

void iol_live_pairs_keep(struct iol_live_pairs *pairs, size_t most)
{
    pairs->keep = most;
}

struct iol_live_counts iol_live_pairs_dropped(const struct iol_live_pairs *pairs)
{
    return pairs->dropped;
}

bool iol_live_pair_is_idle(const struct iol_live_pair *pair, const struct iol_live_interval *interval)
{
    return interval->second - pair->history.last >= IOL_HISTORY_SECONDS;
}

const struct iol_live_interval *iol_live_pairs_interval(const struct iol_live_pairs *pairs)
{
    return &pairs->interval;
}

struct iol_live_pair *iol_live_pairs_all(struct iol_live_pairs *pairs, size_t *ret_n)
{
    *ret_n = pairs->n;
    return pairs->pairs;
}

void iol_live_pair_expect(const struct iol_live_pairs *pairs, size_t index)
{
    if (index >= pairs->n)
        return;
    __builtin_prefetch(&pairs->pairs[index]);
    __builtin_prefetch(&pairs->pairs[index].serial);
}

struct iol_live_counts iol_live_pair_counts(const struct iol_live_pair *pair, const struct iol_live_interval *interval)
{
    return pair->serial == interval->serial ? pair->counts : (struct iol_live_counts){0};
}
