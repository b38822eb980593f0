// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/clickhouse.h"
#include "store/clickhouse_upgrade.h"
#include "store/clickhouse_write.h"
#include "store/schema_clickhouse.h"
#include "store/sink.h"
#include "store/sink_driver.h"

#define GROUP_ROWS 240000 /* each part costs the server some forty files, whatever is in them */

struct clickhouse_sink {
    struct iol_sink sink;
    struct iol_ch *ch;
    pid_t server_pid;
    struct iol_ch_writer *writer;
};

static ssize_t clickhouse_write_some(struct iol_sink *base, const struct iol_batch *const *batches, size_t n,
                                     struct iol_error *err)
{
    return iol_ch_writer_write(((struct clickhouse_sink *)base)->writer, batches, n, err);
}

static int clickhouse_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    ssize_t n = clickhouse_write_some(base, &batch, 1, err);

    return n < 0 ? (int)n : 0;
}

/* Each shard has its part of the tables, or the batches of some hosts would find none. */
static int check_shards(struct iol_ch *ch, struct iol_error *err)
{
    const struct iol_ch_layout *layout = iol_ch_layout(ch);
    char sql[256];
    long long number;

    if (!layout->cluster[0])
        return 0;
    snprintf(sql, sizeof(sql), "SELECT count() FROM cluster(%s, %s, " IOL_CH_PROCESS_DAY "_local)", layout->cluster,
             layout->database);
    int r = iol_ch_number(ch, sql, "read", &number, err);
    if (r == 0 || r == -EACCES || (r == -EAGAIN && !strstr(err->text, "There is no table")))
        return r;
    struct iol_error why = *err;
    iol_error_set(err, r = -ENOENT, "not every shard of the cluster %s has the tables: %s", layout->cluster, why.text);
    iol_error_hint(err,
                   "name a host of each shard in the URL (clickhouse://A:8123,B:8123/%s?cluster=%s), or run there what "
                   "'ioledger schema --db URL' prints",
                   layout->database, layout->cluster);
    return r;
}

static void clickhouse_close(struct iol_sink *base)
{
    struct clickhouse_sink *sink = (struct clickhouse_sink *)base;

    iol_ch_writer_free(sink->writer);
    iol_ch_close(sink->ch);
    free(sink);
}

static int open_tables(struct clickhouse_sink *sink, struct iol_error *err)
{
    int version, r = iol_ch_check(sink->ch, true, &version, err);

    if (r == 0 && version == 0)
        r = iol_ch_create_schema(sink->ch, err);
    else if (r == 0 && version < IOL_CH_SCHEMA_VERSION)
        r = iol_ch_upgrade_schema(sink->ch, version, err);
    if (r == 0)
        r = check_shards(sink->ch, err);
    if (r == 0 && version > 0 && version < IOL_CH_SCHEMA_VERSION)
        r = iol_ch_upgrade_rows(sink->ch, version, err);
    if (r == 0)
        sink->server_pid = iol_ch_server_pid(sink->ch);
    return r;
}

static int clickhouse_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                           struct iol_error *err)
{
    struct clickhouse_sink *sink = calloc(1, sizeof(*sink));

    if (!sink)
        return iol_error_set(err, -ENOMEM, "out of memory");
    sink->sink.ops = &iol_sink_clickhouse_ops;
    int r = iol_ch_open(url, options->verbose, &sink->ch, err);
    if (r == 0)
        r = open_tables(sink, err);
    if (r == 0 && !(sink->writer = iol_ch_writer_new(sink->ch)))
        r = iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        clickhouse_close(&sink->sink);
        return r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

static pid_t clickhouse_server_pid(const struct iol_sink *base)
{
    return ((const struct clickhouse_sink *)base)->server_pid;
}

static void clickhouse_interrupt(struct iol_sink *base)
{
    iol_ch_interrupt(((struct clickhouse_sink *)base)->ch);
}

const struct iol_sink_ops iol_sink_clickhouse_ops = {
    .scheme = "clickhouse",
    .open = clickhouse_open,
    .write = clickhouse_write,
    .write_some = clickhouse_write_some,
    .group_rows = GROUP_ROWS,
    .reads_ahead = true,
    .server_pid = clickhouse_server_pid,
    .interrupt = clickhouse_interrupt,
    .close = clickhouse_close,
};
