// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/clickhouse_rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/row.h"
#include "store/reader.h"
#include "store/schema_clickhouse.h"

static bool is_by_file(const struct iol_db *db, const struct iol_ch_rows *rows)
{
    return (rows->files || (rows->among && !rows->processes)) && iol_db_clickhouse_version(db) >= IOL_CH_ORDERS;
}

/* Day, host and process, for each day on which a process has rows: what stands behind SELECT. `days`: the table that knows, as it is asked. */
static void put_process_days(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows, const char *days)
{
    char process[160];

    fprintf(out,
            "intDiv(day_us, toInt64(86400000000)), host_id, process_id FROM %s"
            " WHERE process_id IN (SELECT p.id FROM %s AS p WHERE %s)",
            days, iol_db_shard_table(db, "process", process), rows->processes);
}

/* io is in the order of days and processes: process_day knows on which days these have rows, and else all days are looked at. */
static void put_processes(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows)
{
    char table[160];

    if (rows->days && !is_by_file(db, rows)) {
        fprintf(out, " AND (" IOL_CH_IO_DAY ", host_id, process_id) IN (%s)", rows->days);
        return;
    }
    if (is_by_file(db, rows) || iol_db_clickhouse_version(db) < IOL_CH_ORDERS) {
        fprintf(out, " AND (host_id, process_id) IN (SELECT p.host_id, p.id FROM %s AS p WHERE %s)",
                iol_db_shard_table(db, "process", table), rows->processes);
        return;
    }
    fputs(" AND (" IOL_CH_IO_DAY ", host_id, process_id) IN (SELECT ", out);
    put_process_days(out, db, rows, iol_db_shard_table(db, IOL_CH_PROCESS_DAY, table));
    putc(')', out);
}

/* As in SQL (ask_parts.c): who has rows in an interval has a total in it. */
int iol_ch_find_end(struct iol_db *db, int64_t until, int64_t *ret_end, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *sql = NULL;
    int r = 0;

    *ret_end = IOL_NULL;
    if (until == IOL_NULL)
        return 0;
    if (asprintf(&sql, "SELECT count(), max(interval_ms) FROM total WHERE ts_us >= %" PRId64 "%s", until / 1000,
                 iol_db_host_condition(db)) < 0)
        return iol_error_set(err, -ENOMEM, "out of memory");
    r = iol_query_new_native(db, sql, 0, NULL, &query, err);
    if (r == 0)
        r = iol_query_next(query, err);
    if (r > 0)
        *ret_end = until / 1000 + (iol_query_int(query, 0) > 0) * (iol_query_int(query, 1) + 1) * 1000;
    return r < 0 ? r : 0;
}

void iol_ch_put_days(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows, int most)
{
    fputs("SELECT DISTINCT ", out);
    put_process_days(out, db, rows, IOL_CH_PROCESS_DAY);
    fputs(iol_db_host_condition(db), out);
    if (rows->since != IOL_NULL)
        fprintf(out, " AND day_us > %" PRId64, rows->since / 1000 - IOL_CH_DAY_US);
    if (rows->end != IOL_NULL)
        fprintf(out, " AND day_us < %" PRId64, rows->end);
    fprintf(out, " LIMIT %d", most);
}

static bool is_bounded(const struct iol_db *db, const struct iol_ch_rows *rows)
{
    return *iol_db_host_condition(db) || rows->files || rows->processes || rows->since != IOL_NULL ||
           rows->end != IOL_NULL || rows->among;
}

bool iol_ch_put_rows_first(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows)
{
    char file[160];

    fprintf(out, "1%s", iol_db_host_condition(db));
    if (rows->files)
        fprintf(out, " AND file_id IN (SELECT f.id FROM %s AS f WHERE %s)", iol_db_shard_table(db, "file", file),
                rows->files);
    if (rows->processes)
        put_processes(out, db, rows);
    if (rows->since != IOL_NULL)
        fprintf(out, " AND ts_us >= %" PRId64, rows->since / 1000);
    if (rows->end != IOL_NULL)
        fprintf(out, " AND ts_us < %" PRId64, rows->end);
    if (rows->among) /* of no use by the index of io, which would be searched for each of them: a sum is not looked for there */
        fprintf(out, " AND file_id%s IN (%s)", is_by_file(db, rows) ? "" : " + 0", rows->among);
    return is_bounded(db, rows);
}

bool iol_ch_put_rows_table(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows)
{
    char shard[160];
    const char *name = is_by_file(db, rows) ? IOL_CH_BY_FILE : "io";

    if (rows->local)
        name = iol_db_shard_table(db, name, shard);
    if (!is_by_file(db, rows)) {
        fputs(name, out);
        return true;
    }
    putc('(', out);
    iol_schema_ch_print_by_file_rows(out, name);
    fputs(" PREWHERE ", out);
    iol_ch_put_rows_first(out, db, rows);
    putc(')', out);
    return false;
}

void iol_ch_put_rows_span(FILE *out, const struct iol_ch_rows *rows)
{
    putc('1', out);
    if (rows->since != IOL_NULL)
        fprintf(out, " AND ifNull(last_ts_us, ts_us) >= %" PRId64, rows->since / 1000);
    if (rows->until != IOL_NULL && rows->end != rows->until / 1000) /* else they began before they ended */
        fprintf(out, " AND ifNull(first_ts_us, ts_us) < %" PRId64, rows->until / 1000);
}

void iol_ch_put_rows(FILE *out, const struct iol_db *db, const struct iol_ch_rows *rows)
{
    if (iol_ch_put_rows_table(out, db, rows) &&
        is_bounded(db, rows)) { /* a condition that is always true is none to the server */
        fputs(" PREWHERE ", out);
        iol_ch_put_rows_first(out, db, rows);
    }
    fputs(" WHERE ", out);
    iol_ch_put_rows_span(out, rows);
}
