// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Facts go by the day, in pieces. Within a day the rows of a batch are sent in its order, one piece after the other: what is there of it
 * already is its beginning, whichever batches it went together with.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/clickhouse.h"
#include "store/clickhouse_orders.h"
#include "store/clickhouse_write.intern.h"
#include "store/schema_clickhouse.h"
#include "store/schema_sql.h"

#define DAYS_MAX 1024 /* of the rows of one table in one group */

struct facts {
    struct iol_ch_group *group;
    const struct iol_table *table;
    char *columns;
    int64_t days[DAYS_MAX];
    size_t n_days;
    int64_t first_us, last_us;
    uint64_t *there; /* rows of batch i and day d: there[i * n_days + d]; NULL: none are */
    struct iol_row_ref *piece;
    size_t n;
};

static void done_facts(struct facts *facts)
{
    free(facts->columns);
    free(facts->there);
    free(facts->piece);
}

static int64_t us_of(const struct iol_table *table, const char *row)
{
    return iol_row_binary_time(iol_row_int(row, &table->columns[0]));
}

static int64_t day_of(const struct iol_table *table, const char *row)
{
    return iol_schema_ch_by_day(table) ? us_of(table, row) / IOL_CH_DAY_US : 0;
}

/* Its place in the list; DAYS_MAX: there is no room for it. */
static size_t find_day(struct facts *facts, int64_t number, bool add)
{
    for (size_t i = facts->n_days; i-- > 0;) {
        if (facts->days[i] == number)
            return i;
    }
    if (!add || facts->n_days == DAYS_MAX)
        return DAYS_MAX;
    facts->days[facts->n_days] = number;
    return facts->n_days++;
}

static int list_days(struct facts *facts)
{
    size_t size = iol_batch_row_size(facts->table->id);

    facts->first_us = INT64_MAX;
    facts->last_us = INT64_MIN;
    for (size_t b = 0; b < facts->group->n; b++) {
        const struct iol_rows *rows = &facts->group->batches[b]->rows[facts->table->id];
        const char *row = rows->data;
        for (size_t i = 0; i < rows->count; i++, row += size) {
            int64_t us = us_of(facts->table, row);
            if (find_day(facts, day_of(facts->table, row), true) == DAYS_MAX)
                return iol_error_set(facts->group->err, -EINVAL, "a batch has rows of more than %d days", DAYS_MAX);
            facts->first_us = us < facts->first_us ? us : facts->first_us;
            facts->last_us = us > facts->last_us ? us : facts->last_us;
        }
    }
    return 0;
}

static int take_count(void *data, const char *const *fields, size_t n_fields)
{
    struct facts *facts = data;

    if (n_fields != 3 || !fields[0] || !fields[1] || !fields[2])
        return -EPROTO;
    int64_t seq = strtoll(fields[0], NULL, 10);
    size_t day = find_day(facts, strtoll(fields[1], NULL, 10), false);
    for (size_t i = 0; i < facts->group->n && day < DAYS_MAX; i++) {
        if (iol_ch_batch_row(facts->group->batches[i])->seq == seq)
            facts->there[i * facts->n_days + day] = strtoull(fields[2], NULL, 10);
    }
    return 0;
}

/* The batches of a careful group are of one boot, and in the order of their numbers. */
static int count_there(struct facts *facts)
{
    struct iol_ch_group *group = facts->group;
    const struct iol_batch_row *first = iol_ch_batch_row(group->batches[0]);
    const struct iol_batch_row *last = iol_ch_batch_row(group->batches[group->n - 1]);
    const char *name = facts->table->columns[0].name;
    _cleanup_free_ char *sql = NULL;
    char day[64] = "0", bounds[128] = "";

    facts->there = calloc(group->n * facts->n_days, sizeof(*facts->there));
    if (iol_schema_ch_by_day(facts->table)) {
        snprintf(day, sizeof(day), "intDiv(%s_us, toInt64(%" PRId64 "))", name, IOL_CH_DAY_US);
        snprintf(bounds, sizeof(bounds), " AND %1$s_us >= %2$" PRId64 " AND %1$s_us <= %3$" PRId64, name,
                 facts->first_us, facts->last_us);
    }
    if (!facts->there ||
        asprintf(&sql,
                 "SELECT " IOL_CH_SEQ ", %s AS day, count() FROM %s WHERE host_id = %" PRId64 " AND " IOL_CH_SEQ
                 " >= %" PRId64 " AND " IOL_CH_SEQ " <= %" PRId64 "%s GROUP BY " IOL_CH_SEQ ", day",
                 day, facts->table->name, first->host_id, first->seq, last->seq, bounds) < 0)
        return iol_ch_no_memory(group);
    return iol_ch_run(group->ch,
                      &(struct iol_ch_request){.sql = sql, .doing = "write to", .row = take_count, .row_data = facts},
                      group->err);
}

/* A server that was killed has a row of io, and has perhaps not filled the tables beside it. */
static int complete_orders(struct facts *facts)
{
    const struct iol_ch_group *group = facts->group;
    long long rows = 0;
    char where[256];

    for (size_t i = 0; i < group->n * facts->n_days; i++)
        rows += (long long)facts->there[i];
    if (rows == 0)
        return 0;
    snprintf(where, sizeof(where),
             "host_id = %" PRId64 " AND " IOL_CH_SEQ " >= %" PRId64 " AND " IOL_CH_SEQ " <= %" PRId64
             " AND ts_us >= %" PRId64 " AND ts_us <= %" PRId64,
             iol_ch_batch_row(group->batches[0])->host_id, iol_ch_batch_row(group->batches[0])->seq,
             iol_ch_batch_row(group->batches[group->n - 1])->seq, facts->first_us, facts->last_us);
    return iol_ch_orders_complete(group->ch, where, rows, group->err);
}

static int send_piece(struct facts *facts)
{
    struct iol_ch_group *group = facts->group;
    bool native = iol_row_native_takes(facts->table);
    int r = 0;

    iol_row_binary_clear(group->body);
    if (native) {
        if (facts->table->id == IOL_TABLE_IO)
            iol_row_native_order_io(facts->piece, facts->n);
        r = iol_row_native_add(group->body, facts->table, facts->piece, facts->n);
    }
    for (size_t i = 0; i < facts->n && r == 0 && !native; i++)
        r = iol_row_binary_add(group->body, facts->table, facts->piece[i].row, facts->piece[i].last);
    facts->n = 0;
    return r < 0 ? iol_ch_no_memory(group)
                 : iol_ch_group_insert(group, facts->table->name, facts->columns, native ? "Native" : "RowBinary");
}

/* Into the piece go a batch's rows of a day that are not there. */
static int send_batch(struct facts *facts, size_t b, size_t day)
{
    const struct iol_batch *batch = facts->group->batches[b];
    const struct iol_rows *rows = &batch->rows[facts->table->id];
    size_t size = iol_batch_row_size(facts->table->id);
    uint64_t there = facts->there ? facts->there[b * facts->n_days + day] : 0;
    const char *row = rows->data;
    int r = 0;

    for (size_t i = 0; i < rows->count && r == 0; i++, row += size) {
        if (facts->n_days > 1 && day_of(facts->table, row) != facts->days[day])
            continue;
        if (there > 0) {
            there--;
            continue;
        }
        facts->piece[facts->n++] = (struct iol_row_ref){row, iol_ch_batch_row(batch)->seq};
        if (facts->n == IOL_CH_PIECE_ROWS)
            r = send_piece(facts);
    }
    return r;
}

static int send_day(struct facts *facts, size_t day)
{
    int r = 0;

    for (size_t b = 0; b < facts->group->n && r == 0; b++)
        r = send_batch(facts, b, day);
    return r == 0 && facts->n > 0 ? send_piece(facts) : r;
}

int iol_ch_group_facts(struct iol_ch_group *group, const struct iol_table *table)
{
    _cleanup_(done_facts) struct facts facts = {.group = group, .table = table};
    size_t rows = 0;

    for (size_t b = 0; b < group->n; b++)
        rows += group->batches[b]->rows[table->id].count;
    if (rows == 0)
        return 0;
    rows = rows < IOL_CH_PIECE_ROWS ? rows : IOL_CH_PIECE_ROWS;
    facts.columns = iol_ch_columns_of(table);
    facts.piece = malloc(rows * sizeof(*facts.piece));
    if (!facts.columns || !facts.piece)
        return iol_ch_no_memory(group);
    int r = list_days(&facts);
    if (r == 0 && group->careful)
        r = count_there(&facts);
    if (r == 0 && group->careful && table->id == IOL_TABLE_IO)
        r = complete_orders(&facts);
    for (size_t day = 0; day < facts.n_days && r == 0; day++)
        r = send_day(&facts, day);
    return r;
}
