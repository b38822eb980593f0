// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The question whose answer may be a sum over a whole ledger, in the SQL of ClickHouse: one JOIN in each SELECT. */
#include "store/ask_clickhouse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/ask.intern.h"
#include "store/clickhouse_rows.h"
#include "store/schema_clickhouse.h"

void iol_ask_ch_put_time(FILE *out, const char *us)
{
    fprintf(out,
            "concat(toString(toDateTime(intDiv(%1$s, 1000000), 'UTC')), '.', substring(toString(1000000 + %1$s %% "
            "1000000), 2))",
            us);
}

static void put_rows(FILE *out, const struct iol_ask_ch *of, bool local)
{
    iol_ch_put_rows(out, of->db,
                    &(struct iol_ch_rows){.files = of->ask->files,
                                          .processes = of->ask->processes,
                                          .since = of->ask->since,
                                          .until = of->ask->until,
                                          .end = of->end,
                                          .days = of->days,
                                          .among = of->among,
                                          .local = local});
}

void iol_ask_ch_put_rows(FILE *out, const struct iol_ask_ch *of)
{
    put_rows(out, of, false);
}

int iol_ask_ch_list(struct iol_query *query, const char *none, char **ret_list, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);
    size_t n = 0;
    int r = out ? 0 : iol_error_set(err, -ENOMEM, "out of memory");

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        size_t columns = iol_query_columns(query);
        fputs(n++ > 0 ? ", " : "", out);
        for (size_t i = 0; i < columns; i++)
            fprintf(out, "%s%lld", i > 0 ? ", " : columns > 1 ? "(" : "", iol_query_int(query, i));
        fputs(columns > 1 ? ")" : "", out);
    }
    if (out && n == 0)
        fputs(none, out);
    char *list = out ? iol_stream_text(&stream) : NULL;
    if (r == 0 && !list)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0 || n > IOL_ASK_CH_LISTED)
        free(TAKE_PTR(list));
    if (r == 0)
        *ret_list = list;
    return r;
}

/* Where processes have rows, for `days`, to be freed; NULL: not asked for, or too many. */
static int find_days(struct iol_db *db, const struct iol_ask *ask, int64_t end, char **ret_days, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    struct iol_query *query = NULL;
    int r = 0;

    if (!ask->processes || ask->files || iol_db_clickhouse_version(db) < IOL_CH_ORDERS)
        return 0;
    r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    iol_ch_put_days(text.out, db, &(struct iol_ch_rows){.processes = ask->processes, .since = ask->since, .end = end},
                    IOL_ASK_CH_LISTED + 1);
    r = iol_ask_run_native(&text, db, ask, &query, err);
    if (r == 0)
        r = iol_ask_ch_list(query, "(0, 0, 0)", ret_days, err);
    iol_query_free(query);
    return r;
}

int iol_ask_ch_begin(struct iol_db *db, const struct iol_ask *ask, struct iol_ask_ch *ret_of, struct iol_error *err)
{
    char *days = NULL;
    int64_t end;
    int r = iol_ch_find_end(db, ask->until, &end, err);

    if (r == 0)
        r = find_days(db, ask, end, &days, err);
    if (r == 0)
        *ret_of = (struct iol_ask_ch){.db = db, .ask = ask, .end = end, .days = days};
    return r;
}

void iol_ask_ch_done(struct iol_ask_ch *of)
{
    free(of->days);
}

#define ROWS_SUMMED                                                                                                    \
    "sum(read_ops) AS ro, sum(read_bytes) AS rb, sum(write_ops) AS wo, sum(write_bytes) AS wb,"                        \
    " sum(read_errors) AS re, sum(write_errors) AS we, min(ifNull(first_ts_us, ts_us)) AS t0,"                         \
    " max(ifNull(last_ts_us, ts_us)) AS t1"

void iol_ask_ch_put_sums(FILE *out, const struct iol_ask_ch *of, const char *key, const char *name, const char *counted)
{
    const struct iol_ask *ask = of->ask;
    bool pairs = ask->reads || ask->writes;

    if (pairs)
        fprintf(out,
                "SELECT %s, " IOL_ASK_CH_SUMS ", groupArray(%s) AS p FROM (SELECT file_id, process_id, " ROWS_SUMMED,
                key, counted);
    else
        fprintf(out, "SELECT %s, " ROWS_SUMMED ", groupUniqArray(%s) AS p", key, counted);
    fputs(" FROM ", out);
    put_rows(out, of, false);
    if (pairs)
        fprintf(out, " GROUP BY file_id, process_id HAVING %s AND %s)", ask->reads ? "ro + re > 0" : "1",
                ask->writes ? "wo + we > 0" : "1");
    fprintf(out, " GROUP BY %s", name);
}

const char *iol_ask_ch_biggest(const struct iol_ask *ask)
{
    if (ask->reads == ask->writes)
        return "rb + wb DESC, ro + wo DESC";
    return ask->reads ? "rb DESC, ro DESC" : "wb DESC, wo DESC";
}

static void put_file_sums(FILE *out, const struct iol_ask_ch *of)
{
    iol_ask_ch_put_sums(out, of, "file_id", "file_id", "process_id");
}

static void put_wanted_names(FILE *out, const struct iol_ask_ch *of, const char *names)
{
    const struct iol_ask *ask = of->ask;

    if (of->among) {
        fprintf(out, "SELECT id AS file_id, %s FROM file PREWHERE id IN (%s)", names, of->among);
        return;
    }
    if (!ask->processes && ask->since == IOL_NULL && ask->until == IOL_NULL) {
        fprintf(out, "SELECT id AS file_id, %s FROM file AS f WHERE %s", names, ask->files ? ask->files : "1");
        return;
    }
    fprintf(out, "SELECT id AS file_id, %s FROM file WHERE id IN (SELECT file_id FROM ", names);
    put_rows(out, of, true);
    putc(')', out);
}

static bool is_sharded(const struct iol_db *db)
{
    char file[160];

    return strcmp(iol_db_shard_table(db, "file", file), "file") != 0;
}

/*
 * One server is through with all names before it has asked its rows twice, for the names that are wanted; it keeps the sums in memory for that, and
 * takes the names as they come by. A name may be there more than once; a file without a row of its own has none, and no host.
 */
void iol_ask_ch_put_named(FILE *out, const struct iol_ask_ch *of, const char *names,
                          void (*put_sums)(FILE *out, const struct iol_ask_ch *of))
{
    if (is_sharded(of->db)) {
        put_sums(out, of);
        fputs(") GLOBAL ANY LEFT JOIN (", out);
        put_wanted_names(out, of, names);
        fputs(") USING (file_id)", out);
        return;
    }
    if (of->among)
        put_wanted_names(out, of, names);
    else
        fprintf(out, "SELECT id AS file_id, %s FROM file AS f WHERE %s%s", names, of->ask->files ? of->ask->files : "1",
                iol_db_host_condition(of->db));
    fputs(") ANY RIGHT JOIN (", out);
    put_sums(out, of);
    fputs(") USING (file_id)", out);
}

#define NAMES "host_id AS f_host, path AS f_path, CAST(kind AS String) AS f_kind, ifNull(flags, '') AS f_flags"

/* Files of one path are one. They are grouped by a number for each path of a host, as what is grouped by texts takes long. */
static void put_paths(FILE *out, const struct iol_ask_ch *of)
{
    bool keys = iol_db_clickhouse_version(of->db) >= IOL_CH_KEYS;

    fputs("SELECT k, CAST(any(f_host) AS Nullable(Int64)) AS host_id, any(f_path) AS a_path, any(f_kind) AS a_kind,"
          " any(f_flags) AS a_flags, sum(ro) AS s_ro, sum(rb) AS s_rb, sum(wo) AS s_wo, sum(wb) AS s_wb,"
          " sum(re) AS s_re, sum(we) AS s_we, min(t0) AS s_t0, max(t1) AS s_t1,"
          " " IOL_ASK_CH_COUNTED " AS processes FROM (SELECT *",
          out);
    fputs(keys ? " FROM (" : ", cityHash64(f_host, f_path, f_kind, f_flags) AS k FROM (", out);
    iol_ask_ch_put_named(out, of, keys ? NAMES ", " IOL_CH_NAME_KEY " AS k" : NAMES, put_file_sums);
    fputs(" LIMIT 1 BY file_id) GROUP BY k", out);
}

/* The row of totals says in its last column how many there are without the limit. */
int iol_ask_ch_files(struct iol_db *db, const struct iol_ask_ch *of, struct iol_query **ret_query,
                     struct iol_error *err)
{
    const struct iol_ask *ask = of->ask;
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT if(any(host_id) = 0, NULL, any(a_path)) AS path, if(any(host_id) = 0, NULL, any(a_kind)) AS kind,"
          " any(s_ro) AS ro, any(s_rb) AS rb, any(s_wo) AS wo, any(s_wb) AS wb, any(s_re) AS re, any(s_we) AS we, ",
          text.out);
    iol_ask_ch_put_time(text.out, "any(s_t0)");
    fputs(", ", text.out);
    iol_ask_ch_put_time(text.out, "any(s_t1)");
    fputs(", if(any(a_flags) = '', NULL, any(a_flags)) AS flags, any(processes), any(name), ", text.out);
    if (of->among)
        fprintf(text.out, "%lld", of->all);
    else
        fputs("count()", text.out);
    fputs(" FROM (", text.out);
    put_paths(text.out, of);
    fprintf(text.out,
            ") GLOBAL ANY LEFT JOIN (SELECT CAST(id AS Nullable(Int64)) AS host_id, name FROM host) USING (host_id)"
            " GROUP BY k%s ORDER BY %s, path, any(host_id), flags",
            of->among ? "" : " WITH TOTALS", iol_ask_ch_biggest(ask));
    iol_ask_put_limit(&text, ask);
    return iol_ask_run_native(&text, db, ask, ret_query, err);
}

int iol_ask_files_clickhouse(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                             struct iol_error *err)
{
    bool few = ask->limit > 0 && ask->limit <= IOL_ASK_CH_FEW && iol_db_clickhouse_version(db) >= IOL_CH_KEYS;
    _cleanup_(iol_ask_ch_done) struct iol_ask_ch of = {0};
    int r = iol_ask_ch_begin(db, ask, &of, err);

    if (r == 0)
        r = few ? iol_ask_ch_few_files(db, &of, ret_query, err) : 1;
    return r > 0 ? iol_ask_ch_files(db, &of, ret_query, err) : r;
}
