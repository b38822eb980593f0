// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The question whose answer may be a sum over a whole ledger, in the SQL of ClickHouse: one JOIN in each SELECT. */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/ask.intern.h"
#include "store/schema_clickhouse.h"

/* A number of microseconds as a time of the contract. */
static void put_time(FILE *out, const char *us)
{
    fprintf(out,
            "concat(toString(toDateTime(intDiv(%1$s, 1000000), 'UTC')), '.', substring(toString(1000000 + %1$s %% "
            "1000000), 2))",
            us);
}

/* Of rows of io, as a whole or of a shard. */
static void put_narrowed(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    char process[160], touched[160], file[160];

    fprintf(out, "1%s", iol_db_host_condition(db));
    if (ask->processes)
        fprintf(out, " AND (host_id, process_id) IN (SELECT p.host_id, p.id FROM %s AS p WHERE %s)",
                iol_db_shard_table(db, "process", process), ask->processes);
    if (ask->files)
        fprintf(out,
                " AND (" IOL_CH_IO_DAY
                ", host_id, process_id, file_id) IN (SELECT intDiv(day_us, toInt64(86400000000)),"
                " host_id, process_id, file_id FROM %s WHERE file_id IN (SELECT f.id FROM %s AS f WHERE %s))",
                iol_db_shard_table(db, IOL_CH_TOUCHED, touched), iol_db_shard_table(db, "file", file), ask->files);
}

static void put_span(FILE *out, const struct iol_ask *ask)
{
    if (ask->since != IOL_NULL)
        fprintf(out, " AND ts_us >= %1$" PRId64 " AND ifNull(last_ts_us, ts_us) >= %1$" PRId64, ask->since / 1000);
    if (ask->until != IOL_NULL)
        fprintf(out, " AND ifNull(first_ts_us, ts_us) < %" PRId64, ask->until / 1000);
}

/* Summed up by file; by process and file first when pairs are to be left out. */
static void put_sums(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    bool pairs = ask->reads || ask->writes;

    if (pairs)
        fputs(
            "SELECT file_id, sum(ro) AS ro, sum(rb) AS rb, sum(wo) AS wo, sum(wb) AS wb, sum(re) AS re, sum(we) AS we,"
            " min(t0) AS t0, max(t1) AS t1, uniqExactState(process_id) AS p FROM (",
            out);
    fprintf(out,
            "SELECT file_id, sum(read_ops) AS ro, sum(read_bytes) AS rb, sum(write_ops) AS wo, sum(write_bytes) AS wb,"
            " sum(read_errors) AS re, sum(write_errors) AS we, min(ifNull(first_ts_us, ts_us)) AS t0,"
            " max(ifNull(last_ts_us, ts_us)) AS t1, %s FROM io WHERE ",
            pairs ? "process_id" : "uniqExactState(process_id) AS p");
    put_narrowed(out, db, ask);
    put_span(out, ask);
    fprintf(out, " GROUP BY file_id%s", pairs ? ", process_id" : "");
    if (pairs)
        fprintf(out, " HAVING %s AND %s) GROUP BY file_id", ask->reads ? "ro + re > 0" : "1",
                ask->writes ? "wo + we > 0" : "1");
}

/* A file without a row of its own has no path: Nullable, so that this is NULL. */
#define NAMES                                                                                                          \
    "SELECT id AS file_id, CAST(host_id AS Nullable(Int64)) AS f_host, CAST(path AS Nullable(String)) AS path,"        \
    " CAST(CAST(kind AS String) AS Nullable(String)) AS kind, flags FROM file"

static void put_wanted_names(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    char io[160];

    if (!ask->processes && ask->since == IOL_NULL && ask->until == IOL_NULL) {
        fprintf(out, NAMES " AS f WHERE %s", ask->files ? ask->files : "1");
        return;
    }
    fprintf(out, NAMES " WHERE id IN (SELECT file_id FROM %s WHERE ", iol_db_shard_table(db, "io", io));
    put_narrowed(out, db, ask);
    put_span(out, ask);
    putc(')', out);
}

static bool is_sharded(const struct iol_db *db)
{
    char file[160];

    return strcmp(iol_db_shard_table(db, "file", file), "file") != 0;
}

/*
 * Sums with names. One server is through with all names before it has asked its rows twice, for the names that are wanted; it keeps the
 * sums in memory for that, and takes the names as they come by. A name may be there more than once.
 */
static void put_named_sums(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    if (is_sharded(db)) {
        put_sums(out, db, ask);
        fputs(") GLOBAL ANY LEFT JOIN (", out);
        put_wanted_names(out, db, ask);
        fputs(") USING (file_id)", out);
        return;
    }
    fprintf(out, "SELECT * FROM (" NAMES " AS f WHERE %s%s) ANY RIGHT JOIN (", ask->files ? ask->files : "1",
            iol_db_host_condition(db));
    put_sums(out, db, ask);
    fputs(") USING (file_id) LIMIT 1 BY file_id)", out);
}

/* Files of one path are one: summed up once more, and counted. */
static void put_paths(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    fputs("SELECT f_host AS host_id, path, kind, flags, sum(ro) AS ro, sum(rb) AS rb, sum(wo) AS wo, sum(wb) AS wb,"
          " sum(re) AS re, sum(we) AS we, min(t0) AS t0, max(t1) AS t1, uniqExactMerge(p) AS processes FROM (",
          out);
    put_named_sums(out, db, ask);
    fputs(" GROUP BY f_host, path, kind, flags", out);
}

/* The row of totals says in its last column how many there are without the limit. */
int iol_ask_files_clickhouse(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                             struct iol_error *err)
{
    const char *order = ask->reads == ask->writes ? "rb + wb DESC, ro + wo DESC"
                        : ask->reads              ? "rb DESC, ro DESC"
                                                  : "wb DESC, wo DESC";
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs(
        "SELECT path, kind, any(ro) AS ro, any(rb) AS rb, any(wo) AS wo, any(wb) AS wb, any(re) AS re, any(we) AS we, ",
        text.out);
    put_time(text.out, "any(t0)");
    fputs(", ", text.out);
    put_time(text.out, "any(t1)");
    fputs(", flags, any(processes), any(name), count() FROM (", text.out);
    put_paths(text.out, db, ask);
    fprintf(text.out,
            ") GLOBAL ANY LEFT JOIN (SELECT CAST(id AS Nullable(Int64)) AS host_id, name FROM host) USING (host_id)"
            " GROUP BY path, kind, flags, host_id WITH TOTALS ORDER BY %s, path, host_id, flags",
            order);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run_native(&text, db, ask, ret_query, err);
}
