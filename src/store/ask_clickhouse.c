// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The question whose answer may be a sum over a whole ledger, in the SQL of ClickHouse: one JOIN in each SELECT. */
#include <inttypes.h>

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
static void put_names(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    char io[160];

    fputs("SELECT id AS file_id, CAST(host_id AS Nullable(Int64)) AS f_host, CAST(path AS Nullable(String)) AS path,"
          " CAST(CAST(kind AS String) AS Nullable(String)) AS kind, flags FROM file",
          out);
    if (!ask->processes && ask->since == IOL_NULL && ask->until == IOL_NULL) {
        fprintf(out, " AS f WHERE %s", ask->files ? ask->files : "1");
        return;
    }
    fprintf(out, " WHERE id IN (SELECT file_id FROM %s WHERE ", iol_db_shard_table(db, "io", io));
    put_narrowed(out, db, ask);
    put_span(out, ask);
    putc(')', out);
}

/* How many rows there are without the limit. */
static void put_all(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    if (ask->limit == 0) {
        fputs("0", out);
        return;
    }
    fputs("(SELECT count() FROM (SELECT 1 FROM (SELECT ", out);
    if (ask->since == IOL_NULL && ask->until == IOL_NULL && !ask->reads && !ask->writes) {
        fputs("DISTINCT file_id FROM io WHERE ", out);
        put_narrowed(out, db, ask);
    } else {
        fputs("file_id FROM (", out);
        put_sums(out, db, ask);
        putc(')', out);
    }
    fputs(") GLOBAL ANY LEFT JOIN (", out);
    put_names(out, db, ask);
    fputs(") USING (file_id) GROUP BY f_host, path, kind, flags))", out);
}

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
    fputs("SELECT path, kind, ro, rb, wo, wb, re, we, ", text.out);
    put_time(text.out, "t0");
    fputs(", ", text.out);
    put_time(text.out, "t1");
    fputs(", flags, processes, name, ", text.out);
    put_all(text.out, db, ask);
    fputs(" FROM (SELECT f_host AS host_id, path, kind, flags, sum(ro) AS ro, sum(rb) AS rb, sum(wo) AS wo, sum(wb) AS "
          "wb,"
          " sum(re) AS re, sum(we) AS we, min(t0) AS t0, max(t1) AS t1, uniqExactMerge(p) AS processes FROM (",
          text.out);
    put_sums(text.out, db, ask);
    fputs(") GLOBAL ANY LEFT JOIN (", text.out);
    put_names(text.out, db, ask);
    fprintf(text.out,
            ") USING (file_id) GROUP BY f_host, path, kind, flags)"
            " GLOBAL ANY LEFT JOIN (SELECT CAST(id AS Nullable(Int64)) AS host_id, name FROM host) USING (host_id)"
            " ORDER BY %s, path, host_id, flags",
            order);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run_native(&text, db, ask, ret_query, err);
}
