// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Sums for each program or container, made where the rows are: pairs of process and file are many, programs few. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "store/ask.intern.h"
#include "store/ask_clickhouse.h"
#include "store/clickhouse_rows.h"
#include "store/schema_clickhouse.h"

/* What a row of process is grouped by: NULL when it is not known. */
static const char *group_of(enum iol_ask_by by)
{
    return by == IOL_BY_EXE ? "CAST(if(ifNull(exe, '') != '', exe, concat('[', comm, ']')) AS Nullable(String))"
                            : "CAST(container_id AS Nullable(String))";
}

bool iol_ask_ch_has_groups(const struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by)
{
    return iol_db_is_clickhouse(db) && !ask->files && (by == IOL_BY_EXE || by == IOL_BY_CONTAINER);
}

/* Sums by process, with what the newest of its rows says, which may be more than one; the host is on one shard with its processes. */
static void put_processes(FILE *out, const struct iol_ask_ch *of, enum iol_ask_by by)
{
    fprintf(
        out,
        "SELECT process_id, argMax(g, v) AS g, argMax(h, v) AS host_id, any(ro) AS ro, any(rb) AS rb, any(wo) AS wo,"
        " any(wb) AS wb, any(re) AS re, any(we) AS we, any(t0) AS t0, any(t1) AS t1, any(p) AS p FROM (SELECT id AS"
        " process_id, %s AS g, host_id AS h, " IOL_CH_VERSION " AS v FROM process WHERE 1%s) ALL RIGHT JOIN (",
        group_of(by), iol_db_host_condition(of->db));
    iol_ask_ch_put_sums(out, of, "process_id", "process_id", "file_id");
    fputs(") USING (process_id) GROUP BY process_id", out);
}

int iol_ask_ch_groups(struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by, struct iol_query **ret_query,
                      struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    _cleanup_(iol_ask_ch_done) struct iol_ask_ch of = {0};
    int r = iol_ask_ch_begin(db, ask, &of, err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT g AS name, NULL, NULL, NULL, NULL, any(processes), any(files), any(ro) AS ro, any(rb) AS rb,"
          " any(wo) AS wo, any(wb) AS wb, any(re) AS re, any(we) AS we, 0, ",
          text.out);
    iol_ask_ch_put_time(text.out, "any(t0)");
    fputs(", ", text.out);
    iol_ask_ch_put_time(text.out, "any(t1)");
    fputs(", any(host), NULL, count() FROM (SELECT g, count() AS processes, " IOL_ASK_CH_COUNTED
          " AS files, " IOL_ASK_CH_SUMS ", if(min(name) = max(name), min(name), NULL) AS host FROM (",
          text.out);
    put_processes(text.out, &of, by);
    fprintf(text.out,
            ") GLOBAL ANY LEFT JOIN (SELECT id AS host_id, CAST(name AS Nullable(String)) AS name FROM host) USING"
            " (host_id) GROUP BY g) GROUP BY g WITH TOTALS ORDER BY %s, name NULLS FIRST",
            iol_ask_ch_biggest(ask));
    iol_ask_put_limit(&text, ask);
    return iol_ask_run_native(&text, db, ask, ret_query, err);
}
