// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The question whose answer may be a sum over a whole ledger, in the SQL of ClickHouse: one JOIN in each SELECT. */
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/ask.intern.h"
#include "store/clickhouse_rows.h"

/* A number of microseconds as a time of the contract. */
static void put_time(FILE *out, const char *us)
{
    fprintf(out,
            "concat(toString(toDateTime(intDiv(%1$s, 1000000), 'UTC')), '.', substring(toString(1000000 + %1$s %% "
            "1000000), 2))",
            us);
}

static void put_rows(FILE *out, const struct iol_db *db, const struct iol_ask *ask, bool local)
{
    iol_ch_put_rows(out, db,
                    &(struct iol_ch_rows){.files = ask->files,
                                          .processes = ask->processes,
                                          .since = ask->since,
                                          .until = ask->until,
                                          .local = local});
}

/* Summed up by file; by process and file first: a process counts once, and pairs may be left out. */
static void put_sums(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    fputs("SELECT file_id, sum(ro) AS ro, sum(rb) AS rb, sum(wo) AS wo, sum(wb) AS wb, sum(re) AS re, sum(we) AS we,"
          " min(t0) AS t0, max(t1) AS t1, count() AS n, groupArray(process_id) AS p FROM ("
          "SELECT file_id, process_id, sum(read_ops) AS ro, sum(read_bytes) AS rb, sum(write_ops) AS wo,"
          " sum(write_bytes) AS wb, sum(read_errors) AS re, sum(write_errors) AS we,"
          " min(ifNull(first_ts_us, ts_us)) AS t0, max(ifNull(last_ts_us, ts_us)) AS t1 FROM ",
          out);
    put_rows(out, db, ask, false);
    fputs(" GROUP BY file_id, process_id", out);
    if (ask->reads || ask->writes)
        fprintf(out, " HAVING %s AND %s", ask->reads ? "ro + re > 0" : "1", ask->writes ? "wo + we > 0" : "1");
    fputs(") GROUP BY file_id", out);
}

#define NAMES                                                                                                          \
    "SELECT id AS file_id, host_id AS f_host, path AS f_path, CAST(kind AS String) AS f_kind, ifNull(flags, '') AS "   \
    "f_flags FROM file"

static void put_wanted_names(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    if (!ask->processes && ask->since == IOL_NULL && ask->until == IOL_NULL) {
        fprintf(out, NAMES " AS f WHERE %s", ask->files ? ask->files : "1");
        return;
    }
    fputs(NAMES " WHERE id IN (SELECT file_id FROM ", out);
    put_rows(out, db, ask, true);
    putc(')', out);
}

static bool is_sharded(const struct iol_db *db)
{
    char file[160];

    return strcmp(iol_db_shard_table(db, "file", file), "file") != 0;
}

/*
 * Sums with names, and a number for each path of a host, as what is grouped by texts takes long. One server is through with all names before it
 * has asked its rows twice, for the names that are wanted; it keeps the sums in memory for that, and takes the names as they come by. A name may
 * be there more than once; a file without a row of its own has none, and no host.
 */
static void put_named_sums(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    fputs("SELECT *, cityHash64(f_host, f_path, f_kind, f_flags) AS k FROM (", out);
    if (is_sharded(db)) {
        put_sums(out, db, ask);
        fputs(") GLOBAL ANY LEFT JOIN (", out);
        put_wanted_names(out, db, ask);
        fputs(") USING (file_id)", out);
        return;
    }
    fprintf(out, NAMES " AS f WHERE %s%s) ANY RIGHT JOIN (", ask->files ? ask->files : "1", iol_db_host_condition(db));
    put_sums(out, db, ask);
    fputs(") USING (file_id) LIMIT 1 BY file_id", out);
}

/* Files of one path are one. */
static void put_paths(FILE *out, const struct iol_db *db, const struct iol_ask *ask)
{
    fputs("SELECT k, CAST(any(f_host) AS Nullable(Int64)) AS host_id, any(f_path) AS a_path, any(f_kind) AS a_kind,"
          " any(f_flags) AS a_flags, sum(ro) AS s_ro, sum(rb) AS s_rb, sum(wo) AS s_wo, sum(wb) AS s_wb,"
          " sum(re) AS s_re, sum(we) AS s_we, min(t0) AS s_t0, max(t1) AS s_t1,"
          " if(count() = 1, any(n), uniqExactArray(p)) AS processes FROM (",
          out);
    put_named_sums(out, db, ask);
    fputs(") GROUP BY k", out);
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
    fputs("SELECT if(any(host_id) = 0, NULL, any(a_path)) AS path, if(any(host_id) = 0, NULL, any(a_kind)) AS kind,"
          " any(s_ro) AS ro, any(s_rb) AS rb, any(s_wo) AS wo, any(s_wb) AS wb, any(s_re) AS re, any(s_we) AS we, ",
          text.out);
    put_time(text.out, "any(s_t0)");
    fputs(", ", text.out);
    put_time(text.out, "any(s_t1)");
    fputs(", if(any(a_flags) = '', NULL, any(a_flags)) AS flags, any(processes), any(name), count() FROM (", text.out);
    put_paths(text.out, db, ask);
    fprintf(text.out,
            ") GLOBAL ANY LEFT JOIN (SELECT CAST(id AS Nullable(Int64)) AS host_id, name FROM host) USING (host_id)"
            " GROUP BY k WITH TOTALS ORDER BY %s, path, any(host_id), flags",
            order);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run_native(&text, db, ask, ret_query, err);
}
