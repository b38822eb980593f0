// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/clickhouse.h"
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

static int run_statements(struct iol_ch *ch, char *ddl, struct iol_error *err)
{
    int r = 0;

    for (char *statement = ddl, *end; r == 0 && (end = strstr(statement, ";\n\n")); statement = end + 3) {
        *end = '\0';
        r = iol_ch_run(ch, &(struct iol_ch_request){.sql = statement, .doing = "create the tables in"}, err);
    }
    return r;
}

/* Tables over shards are made on each host that the URL names, unless the servers see to that themselves. */
static int create_schema(struct iol_ch *ch, struct iol_error *err)
{
    const struct iol_ch_layout *layout = iol_ch_layout(ch);
    size_t hosts = layout->cluster[0] && !layout->replicated ? iol_ch_hosts(ch) : 1;
    int r = 0;

    for (size_t i = 0; i < hosts && r == 0; i++) {
        _cleanup_free_ char *ddl = NULL;
        size_t size;
        FILE *out = open_memstream(&ddl, &size);
        if (hosts > 1)
            iol_ch_use_host(ch, hosts - 1 - i);
        r = out ? iol_schema_ch_print(out, iol_ch_features(ch), layout) : -ENOMEM;
        if (!out || fclose(out) != 0 || r < 0)
            return iol_error_set(err, -ENOMEM, "out of memory");
        r = run_statements(ch, ddl, err);
    }
    return r;
}

/* Each shard has its part of the tables, or the batches of some hosts would find none. */
static int check_shards(struct iol_ch *ch, struct iol_error *err)
{
    const struct iol_ch_layout *layout = iol_ch_layout(ch);
    char sql[256];
    long long number;

    if (!layout->cluster[0])
        return 0;
    snprintf(sql, sizeof(sql), "SELECT count() FROM cluster(%s, %s, batch_local)", layout->cluster, layout->database);
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
    enum iol_ch_state state;
    int r = iol_ch_check(sink->ch, true, &state, err);

    if (r == 0 && state == IOL_CH_EMPTY)
        r = create_schema(sink->ch, err);
    if (r == 0)
        r = check_shards(sink->ch, err);
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
