// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * ClickHouse drops days of facts whole, on each host that the URL names; a shard that none of them is, is told of. Nothing is rewritten,
 * and nobody waits. Names, losses and the rows of batches stay: they are few bytes, and what a recorder takes to be there must be there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/clickhouse.h"
#include "store/prune.h"
#include "store/prune_driver.h"
#include "store/row_binary.h"
#include "store/schema_clickhouse.h"

#define DAYS_MAX 4096

/* Facts before what leads to them. */
static const struct {
    const char *name, *time;
    int id;   /* IOL_TABLE_COUNT: it is no table of the contract */
    bool old; /* ledgers of some versions have it */
} tables[] = {
    {"io", "ts_us", IOL_TABLE_IO, false},
    {"event", "ts_us", IOL_TABLE_EVENT, false},
    {"total", "ts_us", IOL_TABLE_TOTAL, false},
    {IOL_CH_BY_FILE, "ts_us", IOL_TABLE_COUNT, true},
    {IOL_CH_PROCESS_DAY, "day_us", IOL_TABLE_COUNT, true},
    {IOL_CH_TOUCHED, "day_us", IOL_TABLE_COUNT, true},
};

struct pruning {
    struct iol_prune prune; /* without a driver */
    struct iol_ch *ch;
    struct iol_error *err;
    int64_t before_day;
    int64_t dropped[DAYS_MAX]; /* of io, on any host */
    int64_t days[DAYS_MAX];    /* of the table and host that is being looked at */
    uint64_t rows[DAYS_MAX];
    size_t n;
};

static int no_memory(const struct pruning *pruning)
{
    return iol_error_set(pruning->err, -ENOMEM, "out of memory");
}

static int take_day(void *data, const char *const *fields, size_t n_fields)
{
    struct pruning *pruning = data;

    if (n_fields != 2 || !fields[0] || !fields[1] || pruning->n == DAYS_MAX)
        return n_fields == 2 ? 0 : -EPROTO; /* the next run goes on */
    pruning->days[pruning->n] = strtoll(fields[0], NULL, 10);
    pruning->rows[pruning->n++] = strtoull(fields[1], NULL, 10);
    return 0;
}

/* Days that are over before the moment, of a table on the host in use. */
static int list_days(struct pruning *pruning, const char *local)
{
    _cleanup_free_ char *sql = NULL;

    pruning->n = 0;
    if (asprintf(&sql,
                 "SELECT toInt64(partition) AS day, sum(rows) FROM system.parts WHERE active AND database = "
                 "currentDatabase() AND table = '%s' AND toInt64(partition) < %" PRId64 " GROUP BY day ORDER BY day",
                 local, pruning->before_day) < 0)
        return no_memory(pruning);
    return iol_ch_run(pruning->ch,
                      &(struct iol_ch_request){.sql = sql, .doing = "prune", .row = take_day, .row_data = pruning},
                      pruning->err);
}

static int drop_day(struct pruning *pruning, const char *local, int64_t day)
{
    uint64_t began = iol_monotonic_ns();
    char sql[160];

    if (pruning->prune.options->dry_run)
        return 0;
    snprintf(sql, sizeof(sql), "ALTER TABLE %s DROP PARTITION %" PRId64, local, day);
    int r = iol_ch_run(pruning->ch, &(struct iol_ch_request){.sql = sql, .doing = "prune"}, pruning->err);
    iol_prune_count_step(&pruning->prune, began);
    return r;
}

static void note_day(struct pruning *pruning, int64_t day)
{
    uint64_t *n = &pruning->prune.result->days;

    for (uint64_t i = 0; i < *n; i++) {
        if (pruning->dropped[i] == day)
            return;
    }
    if (*n < DAYS_MAX)
        pruning->dropped[(*n)++] = day;
}

static int prune_table(struct pruning *pruning, size_t t)
{
    char local[64];
    int r = list_days(pruning, iol_schema_ch_local(local, tables[t].name, iol_ch_layout(pruning->ch)));

    for (size_t i = 0; i < pruning->n && r == 0; i++) {
        r = drop_day(pruning, local, pruning->days[i]);
        if (r == 0 && tables[t].id < IOL_TABLE_COUNT)
            pruning->prune.result->rows[tables[t].id] += pruning->rows[i];
        if (r == 0 && tables[t].id == IOL_TABLE_IO)
            note_day(pruning, pruning->days[i]);
        iol_prune_begin(&pruning->prune, "dropping days");
    }
    return r;
}

static int add_size(struct pruning *pruning, uint64_t *size)
{
    long long bytes = 0;
    int r = iol_ch_number(pruning->ch,
                          "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()",
                          "prune", &bytes, pruning->err);

    *size += r == 0 ? (uint64_t)bytes : 0;
    return r;
}

static int prune_host(struct pruning *pruning)
{
    int r = add_size(pruning, &pruning->prune.result->bytes_before);

    for (size_t t = 0; t < IOL_ARRAY_SIZE(tables) && r == 0; t++)
        r = prune_table(pruning, t);
    return r == 0 ? add_size(pruning, &pruning->prune.result->bytes_after) : r;
}

/* Over all shards: whether one still has such days. */
static int check_shards(struct pruning *pruning)
{
    const struct iol_ch_layout *layout = iol_ch_layout(pruning->ch);
    long long rows = 0;
    int r = 0;

    for (size_t t = 0; t < IOL_ARRAY_SIZE(tables) && r == 0 && rows == 0; t++) {
        char sql[160];
        if (tables[t].old)
            continue;
        snprintf(sql, sizeof(sql), "SELECT count() FROM %s WHERE %s < %" PRId64, tables[t].name, tables[t].time,
                 pruning->before_day * IOL_CH_DAY_US);
        r = iol_ch_number(pruning->ch, sql, "prune", &rows, pruning->err);
    }
    if (r < 0 || rows == 0)
        return r;
    r = iol_error_set(pruning->err, -ENOENT, "days of a shard of the cluster %s stay: the URL names no host of it",
                      layout->cluster);
    iol_error_hint(pruning->err, "name a host of each shard in the URL: clickhouse://A:8123,B:8123/%s?cluster=%s",
                   layout->database, layout->cluster);
    return r;
}

static int prune_hosts(struct pruning *pruning)
{
    bool sharded = iol_ch_layout(pruning->ch)->cluster[0];
    size_t hosts = sharded ? iol_ch_hosts(pruning->ch) : 1;
    int version, r = iol_ch_check(pruning->ch, true, &version, pruning->err);

    if (r == 0 && version == 0)
        r = iol_error_set(pruning->err, -ENOENT, "no ledger in the ClickHouse database %s",
                          iol_ch_layout(pruning->ch)->database);
    for (size_t i = 0; i < hosts && r == 0; i++) {
        if (sharded)
            iol_ch_use_host(pruning->ch, i);
        r = prune_host(pruning);
    }
    return r == 0 && sharded && !pruning->prune.options->dry_run ? check_shards(pruning) : r;
}

int iol_prune_clickhouse(const char *url, const struct iol_prune_options *options, struct iol_prune_result *ret_result,
                         struct iol_error *err)
{
    struct iol_prune_result result = {0};
    _cleanup_free_ struct pruning *pruning = calloc(1, sizeof(*pruning));

    if (!pruning)
        return iol_error_set(err, -ENOMEM, "out of memory");
    pruning->prune.options = options;
    pruning->prune.result = &result;
    pruning->err = err;
    pruning->before_day = iol_row_binary_time(options->before) / IOL_CH_DAY_US;
    int r = iol_ch_open(url, options->verbose, &pruning->ch, err);
    if (r == 0) {
        iol_prune_begin(&pruning->prune, options->dry_run ? "counting" : "dropping days");
        r = prune_hosts(pruning);
    }
    iol_ch_close(pruning->ch);
    if (r == 0)
        *ret_result = result;
    return r;
}
