// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/clickhouse_upgrade.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/clickhouse.h"
#include "store/clickhouse_orders.h"
#include "store/schema_clickhouse.h"

#define SLICE_ROWS 250000 /* so many or little more are one block, which is there as a whole or not at all */

static const char creating[] = "create the tables in", upgrading[] = "upgrade the tables of";

/* The statements of the text, which is freed. */
static int run_statements(struct iol_ch *ch, struct iol_stream *stream, const char *doing, struct iol_error *err)
{
    _cleanup_free_ char *ddl = iol_stream_text(stream);
    int r = ddl ? 0 : iol_error_set(err, -ENOMEM, "out of memory");

    for (char *statement = ddl, *end; r == 0 && (end = strstr(statement, ";\n\n")); statement = end + 3) {
        *end = '\0';
        r = iol_ch_run(ch, &(struct iol_ch_request){.sql = statement, .doing = doing}, err);
    }
    return r;
}

/* Tables over shards are there on each host that the URL names, unless the servers see to that themselves; the last one used is the first one named. */
static int on_each_host(struct iol_ch *ch, int (*run)(struct iol_ch *ch, int version, struct iol_error *err),
                        int version, struct iol_error *err)
{
    const struct iol_ch_layout *layout = iol_ch_layout(ch);
    size_t hosts = layout->cluster[0] && !layout->replicated ? iol_ch_hosts(ch) : 1;
    int r = 0;

    for (size_t i = 0; i < hosts && r == 0; i++) {
        if (hosts > 1)
            iol_ch_use_host(ch, hosts - 1 - i);
        r = run(ch, version, err);
    }
    return r;
}

static int create_tables(struct iol_ch *ch, int version, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return iol_error_set(err, -ENOMEM, "out of memory");
    iol_schema_ch_print(out, iol_ch_features(ch), iol_ch_layout(ch));
    return run_statements(ch, &stream, version ? upgrading : creating, err);
}

int iol_ch_create_schema(struct iol_ch *ch, struct iol_error *err)
{
    return on_each_host(ch, create_tables, 0, err);
}

/* Old servers have no ADD COLUMN IF NOT EXISTS. */
static int has_column(struct iol_ch *ch, const char *table, const char *column, struct iol_error *err)
{
    long long there = 0;
    char sql[256];

    snprintf(sql, sizeof(sql),
             "SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = '%s' AND name = '%s'",
             table, column);
    int r = iol_ch_number(ch, sql, upgrading, &there, err);
    return r < 0 ? r : there > 0;
}

static int add_column(struct iol_ch *ch, const char *name, const struct iol_table *table,
                      const struct iol_column *column, struct iol_error *err)
{
    struct iol_stream stream;
    int r = has_column(ch, name, column->name, err);

    if (r != 0)
        return r < 0 ? r : 0;
    FILE *out = iol_stream_open(&stream);
    if (!out)
        return iol_error_set(err, -ENOMEM, "out of memory");
    iol_schema_ch_print_column(out, iol_ch_features(ch), iol_ch_layout(ch), name, table, column);
    return run_statements(ch, &stream, upgrading, err);
}

static int add_columns(struct iol_ch *ch, int version, struct iol_error *err)
{
    int r = 0;

    for (int t = 0; t < IOL_TABLE_COUNT && r == 0; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        char local[64];
        iol_schema_ch_local(local, table->name, iol_ch_layout(ch));
        for (size_t i = 0; i < table->n_columns && r == 0; i++) {
            if (table->columns[i].since <= version)
                continue;
            r = add_column(ch, local, table, &table->columns[i], err);
            if (r == 0 && strcmp(local, table->name) != 0)
                r = add_column(ch, table->name, table, &table->columns[i], err);
        }
    }
    return r;
}

static int add_name_key(struct iol_ch *ch, const char *table, struct iol_error *err)
{
    struct iol_stream stream;
    int r = has_column(ch, table, IOL_CH_NAME_KEY, err);

    if (r != 0)
        return r < 0 ? r : 0;
    FILE *out = iol_stream_open(&stream);
    if (!out)
        return iol_error_set(err, -ENOMEM, "out of memory");
    iol_schema_ch_print_name_key(out, iol_ch_features(ch), iol_ch_layout(ch), table);
    return run_statements(ch, &stream, upgrading, err);
}

/* The server has the numbers of old rows when it is asked for them, but reads all names for that until they are written. */
static int add_name_keys(struct iol_ch *ch, struct iol_error *err)
{
    char local[64], sql[96];
    int r;

    iol_schema_ch_local(local, "file", iol_ch_layout(ch));
    r = add_name_key(ch, local, err);
    if (r == 0 && strcmp(local, "file") != 0)
        r = add_name_key(ch, "file", err);
    snprintf(sql, sizeof(sql), "OPTIMIZE TABLE %s FINAL", local);
    return r == 0 ? iol_ch_run(ch, &(struct iol_ch_request){.sql = sql, .doing = upgrading}, err) : r;
}

/* The version stays as it is: its view is there. */
static int upgrade_tables(struct iol_ch *ch, int version, struct iol_error *err)
{
    int r = add_columns(ch, version, err);

    if (r == 0 && version < IOL_CH_KEYS)
        r = add_name_keys(ch, err);
    return r == 0 ? create_tables(ch, version, err) : r;
}

int iol_ch_upgrade_schema(struct iol_ch *ch, int version, struct iol_error *err)
{
    return on_each_host(ch, upgrade_tables, version, err);
}

/* Days of io, hosts of a day, slices of those; how many rows io has of each, and io_by_file. */
struct piece {
    int64_t number;
    long long rows, there;
};

struct pieces {
    struct piece *list;
    size_t n, capacity;
};

static void done_pieces(struct pieces *pieces)
{
    free(pieces->list);
}

static int take_piece(void *data, const char *const *fields, size_t n_fields)
{
    struct pieces *pieces = data;

    if (n_fields != 3 || !fields[0] || !fields[1] || !fields[2])
        return -EPROTO;
    if (iol_array_reserve(&pieces->list, &pieces->capacity, pieces->n + 1, sizeof(*pieces->list)) < 0)
        return -ENOMEM;
    pieces->list[pieces->n++] =
        (struct piece){strtoll(fields[0], NULL, 10), strtoll(fields[1], NULL, 10), strtoll(fields[2], NULL, 10)};
    return 0;
}

/* `compared`: io_by_file may have some. */
static int list_pieces(struct iol_ch *ch, const char *number, const char *where, bool compared, struct pieces *pieces,
                       struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;

    if (asprintf(&sql,
                 "SELECT number, sum(n), sum(m) FROM (SELECT %1$s AS number, toInt64(count()) AS n, toInt64(0) AS m"
                 " FROM io WHERE %2$s GROUP BY number UNION ALL SELECT %1$s AS number, toInt64(0) AS n,"
                 " toInt64(count()) AS m FROM " IOL_CH_BY_FILE
                 " WHERE %2$s AND %3$d GROUP BY number) GROUP BY number HAVING sum(n) > 0 ORDER BY number",
                 number, where, compared) < 0)
        return iol_error_set(err, -ENOMEM, "out of memory");
    return iol_ch_run(
        ch, &(struct iol_ch_request){.sql = sql, .doing = upgrading, .row = take_piece, .row_data = pieces}, err);
}

/* Of a host and a day. What came since io_by_file is there, is in it. */
static int add_slice(struct iol_ch *ch, const char *where, const struct piece *slice, struct iol_error *err)
{
    long long there = 0;
    char id[400];

    snprintf(id, sizeof(id), "ioledger-upgrade-%s-%s", iol_ch_layout(ch)->database, where);
    int r = slice->there > 0 ? iol_ch_orders_count(ch, where, upgrading, &there, err) : 0;
    return r == 0 && there < slice->rows ? iol_ch_orders_add_rows(ch, where, id, upgrading, err) : r;
}

/* "process_id >= ... AND process_id <= ..." of the ids that divided by the width are the number. */
static void put_range(char *to, size_t size, int64_t width, int64_t number)
{
    __int128 first = (__int128)number * width - (number > 0 ? 0 : width - 1);
    __int128 last = (__int128)number * width + (number < 0 ? 0 : width - 1);

    snprintf(to, size, " AND process_id >= %" PRId64 " AND process_id <= %" PRId64,
             first < INT64_MIN ? INT64_MIN : (int64_t)first, last > INT64_MAX ? INT64_MAX : (int64_t)last);
}

/* In slices that the index of io leads to. */
static int add_host(struct iol_ch *ch, const char *of_day, const struct piece *host, struct iol_error *err)
{
    int64_t width = INT64_MAX / (1 + host->rows / SLICE_ROWS) + (host->rows >= SLICE_ROWS);
    _cleanup_(done_pieces) struct pieces slices = {0};
    char where[320], number[64];
    int n = snprintf(where, sizeof(where), "%s AND host_id = %" PRId64, of_day, host->number);

    if (host->rows < SLICE_ROWS)
        return add_slice(ch, where, host, err);
    snprintf(number, sizeof(number), "intDiv(process_id, toInt64(%" PRId64 "))", width);
    int r = list_pieces(ch, number, where, host->there > 0, &slices, err);
    for (size_t i = 0; i < slices.n && r == 0; i++) {
        put_range(where + n, sizeof(where) - (size_t)n, width, slices.list[i].number);
        r = add_slice(ch, where, &slices.list[i], err);
    }
    return r;
}

/* First on which days processes have rows: a row of io_by_file says that that is known. */
static int add_day(struct iol_ch *ch, const struct piece *day, struct iol_error *err)
{
    _cleanup_(done_pieces) struct pieces hosts = {0};
    char where[128];

    snprintf(where, sizeof(where), "ts_us >= %" PRId64 " AND ts_us < %" PRId64, day->number * IOL_CH_DAY_US,
             (day->number + 1) * IOL_CH_DAY_US);
    int r = iol_ch_orders_add_days(ch, where, upgrading, err);
    if (r == 0)
        r = list_pieces(ch, "host_id", where, true, &hosts, err);
    for (size_t i = 0; i < hosts.n && r == 0; i++)
        r = add_host(ch, where, &hosts.list[i], err);
    return r;
}

static int set_version(struct iol_ch *ch, int version, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    (void)version;
    if (!out)
        return iol_error_set(err, -ENOMEM, "out of memory");
    iol_schema_ch_print_version(out, iol_ch_features(ch), iol_ch_layout(ch));
    return run_statements(ch, &stream, upgrading, err);
}

int iol_ch_upgrade_rows(struct iol_ch *ch, int version, struct iol_error *err)
{
    _cleanup_(done_pieces) struct pieces days = {0};
    int r = version < IOL_CH_ORDERS ? list_pieces(ch, IOL_CH_IO_DAY, "1", true, &days, err) : 0;

    for (size_t i = 0; i < days.n && r == 0; i++)
        r = add_day(ch, &days.list[i], err);
    return r == 0 ? on_each_host(ch, set_version, 0, err) : r;
}
