// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/clickhouse_orders.h"

#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/clickhouse.h"
#include "store/schema_clickhouse.h"

/* Ends the text and runs it. */
static int run(struct iol_ch *ch, struct iol_stream *stream, const char *query_id, const char *doing,
               struct iol_error *err)
{
    _cleanup_free_ char *sql = iol_stream_text(stream);

    if (!sql)
        return iol_error_set(err, -EAGAIN, "out of memory");
    return iol_ch_run(ch, &(struct iol_ch_request){.sql = sql, .query_id = query_id, .doing = doing}, err);
}

int iol_ch_orders_add_days(struct iol_ch *ch, const char *where, const char *doing, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return iol_error_set(err, -EAGAIN, "out of memory");
    fprintf(out,
            "INSERT INTO " IOL_CH_PROCESS_DAY " (day_us, host_id, process_id) SELECT DISTINCT " IOL_CH_IO_DAY
            " * 86400000000, host_id, process_id FROM io WHERE %s",
            where);
    return run(ch, &stream, NULL, doing, err);
}

int iol_ch_orders_add_rows(struct iol_ch *ch, const char *where, const char *query_id, const char *doing,
                           struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return iol_error_set(err, -EAGAIN, "out of memory");
    fputs("INSERT INTO " IOL_CH_BY_FILE " (", out);
    iol_schema_ch_print_by_file_columns(out);
    fputs(") SELECT ", out);
    iol_schema_ch_print_by_file_values(out);
    fprintf(out, " FROM io WHERE %s", where);
    return run(ch, &stream, query_id, doing, err);
}

int iol_ch_orders_count(struct iol_ch *ch, const char *where, const char *doing, long long *ret_rows,
                        struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return iol_error_set(err, -EAGAIN, "out of memory");
    fputs("SELECT count() FROM (", out);
    iol_schema_ch_print_by_file_rows(out, IOL_CH_BY_FILE);
    fprintf(out, " WHERE %s)", where);
    _cleanup_free_ char *sql = iol_stream_text(&stream);
    if (!sql)
        return iol_error_set(err, -EAGAIN, "out of memory");
    return iol_ch_number(ch, sql, doing, ret_rows, err);
}

int iol_ch_orders_complete(struct iol_ch *ch, const char *where, long long rows, struct iol_error *err)
{
    long long there = 0;
    int r = iol_ch_orders_add_days(ch, where, "write to", err);

    if (r == 0)
        r = iol_ch_orders_count(ch, where, "write to", &there, err);
    return r == 0 && there < rows ? iol_ch_orders_add_rows(ch, where, NULL, "write to", err) : r;
}
