// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/ask_report.h"

#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/ask.intern.h"

#define BYTES "a.read_bytes + a.write_bytes"
#define OPS "a.read_ops + a.write_ops"

/* The sums of table a as columns with their names; the times stay account times. */
static void put_sums(struct iol_ask_text *text)
{
    iol_ask_put_sums(text, "a");
    fputs(", CAST(sum(a.mapped) AS bigint) AS mapped, min(a.first) AS first, max(a.last) AS last", text->out);
}

/* Sums that were made by put_sums() in a query around it. */
static void put_shown(struct iol_ask_text *text)
{
    fputs(", a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors, a.write_errors, a.mapped, ",
          text->out);
    iol_ask_put_shown_times(text, "a.first", "a.last");
}

/* "(SELECT process_id, file_id, sums) a": io is summed up by its ids before names come in, as there are far fewer pairs than rows. */
static int put_pairs(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, struct iol_error *err)
{
    _cleanup_free_ char *mapped = NULL;
    int64_t end_until = IOL_NULL;
    int r = iol_ask_last_end(db, ask, &end_until, err);

    if (r < 0)
        return r;
    if (asprintf(&mapped, ", CASE WHEN %s THEN io.read_ops + io.write_ops ELSE 0 END AS mapped", text->d->mapped) < 0)
        return iol_error_set(err, -ENOMEM, "no memory");
    fputs("(SELECT a.process_id AS process_id, a.file_id AS file_id", text->out);
    put_sums(text);
    fputs(" FROM (", text->out);
    iol_ask_put_accounts(text, ask, end_until, mapped);
    fputs(") a GROUP BY a.process_id, a.file_id) a", text->out);
    return 0;
}

int iol_ask_report_files(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                         struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.path, a.host_id, a.kind, a.flags, a.processes", text.out);
    put_shown(&text);
    fputs(
        " FROM (SELECT f.path AS path, f.host_id AS host_id, min(CAST(f.kind AS text)) AS kind, max(f.flags) AS flags,"
        " count(DISTINCT a.process_id) AS processes",
        text.out);
    put_sums(&text);
    fputs(" FROM ", text.out);
    r = put_pairs(&text, db, ask, err);
    if (r < 0)
        return r;
    fputs(" LEFT JOIN file f ON f.id = a.file_id GROUP BY f.host_id, f.path) a ORDER BY a.path, a.host_id", text.out);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

static void put_place(struct iol_ask_text *text, const char *direction, const char *name)
{
    fprintf(text->out,
            ", row_number() OVER (PARTITION BY a.host_id, a.path ORDER BY a.%1$s_bytes DESC, a.%1$s_ops DESC,"
            " a.process_id) AS %2$s",
            direction, name);
}

int iol_ask_report_pairs(struct iol_db *db, const struct iol_ask *ask, int64_t bytes, int most,
                         struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.path, a.host_id, a.process_id", text.out);
    put_shown(&text);
    fputs(" FROM (SELECT a.*", text.out);
    put_place(&text, "read", "reader");
    put_place(&text, "write", "writer");
    fputs(", sum(" BYTES ") OVER (PARTITION BY a.host_id, a.path) AS bytes"
          " FROM (SELECT f.path AS path, f.host_id AS host_id, a.process_id AS process_id",
          text.out);
    put_sums(&text);
    fputs(" FROM ", text.out);
    r = put_pairs(&text, db, ask, err);
    if (r < 0)
        return r;
    fprintf(text.out,
            " LEFT JOIN file f ON f.id = a.file_id GROUP BY f.host_id, f.path, a.process_id) a) a"
            " WHERE a.bytes >= %" PRId64 " AND (a.reader <= %d OR a.writer <= %d)"
            " ORDER BY " BYTES ", " OPS ", a.process_id",
            bytes, most, most);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

/* "(SELECT process_id, files, sums) a" */
static int put_processes(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, struct iol_error *err)
{
    int r;

    fputs("(SELECT a.process_id AS process_id, count(*) AS files", text->out);
    put_sums(text);
    fputs(" FROM ", text->out);
    r = put_pairs(text, db, ask, err);
    fputs(" GROUP BY a.process_id) a", text->out);
    return r;
}

int iol_ask_report_processes(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                             struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.process_id, a.files", text.out);
    put_shown(&text);
    fputs(" FROM ", text.out);
    r = put_processes(&text, db, ask, err);
    if (r < 0)
        return r;
    fputs(" ORDER BY " BYTES " DESC, " OPS " DESC, a.process_id", text.out);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

int iol_ask_report_programs(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                            struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.exe, a.comm, a.processes", text.out);
    put_shown(&text);
    fputs(", count(*) OVER () FROM (SELECT p.exe AS exe, p.comm AS comm, count(*) AS processes", text.out);
    put_sums(&text);
    fputs(" FROM ", text.out);
    r = put_processes(&text, db, ask, err);
    if (r < 0)
        return r;
    fputs(" LEFT JOIN process p ON p.id = a.process_id GROUP BY p.exe, p.comm) a"
          " ORDER BY " BYTES " DESC, " OPS " DESC, a.exe, a.comm",
          text.out);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

/* " AND ..." for a time in the span. */
static void put_time_span(struct iol_ask_text *text, const struct iol_ask *ask, const char *from, const char *to)
{
    char time[64];

    if (ask->since != IOL_NULL)
        fprintf(text->out, " AND %s >= %s", to, iol_sql_time(text->dialect, time, sizeof(time), ask->since));
    if (ask->until != IOL_NULL)
        fprintf(text->out, " AND %s < %s", from, iol_sql_time(text->dialect, time, sizeof(time), ask->until));
}

int iol_ask_report_idle(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                        struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fprintf(text.out,
            "SELECT p.id, count(*) OVER () FROM process p WHERE p.origin <> 'running'"
            " AND NOT EXISTS (SELECT 1 FROM %s WHERE io.process_id = p.id)",
            text.d->accounts);
    put_time_span(&text, ask, "p.start_time", "p.start_time");
    fputs(" ORDER BY p.start_time, p.id", text.out);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

int iol_ask_report_totals(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                          struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    struct iol_ask wider = *ask;
    int r = iol_ask_last_end(db, ask, &wider.until, err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT a.ts, a.interval_ms", text.out);
    iol_ask_put_sums(&text, "a");
    fputs(", CAST(sum(CASE WHEN a.route = 'mmap' THEN a.read_ops + a.write_ops ELSE 0 END) AS bigint)"
          " FROM total a WHERE 1 = 1",
          text.out);
    put_time_span(&text, &wider, "a.ts", "a.ts");
    fputs(" GROUP BY a.ts, a.interval_ms", text.out);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}
