// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/ask_report.h"

#include <errno.h>
#include <inttypes.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/ask.intern.h"

/* The sums of table a as columns with their names; the times stay account times. */
static void put_sums(struct iol_ask_text *text)
{
    iol_ask_put_sums(text, "a");
    fputs(", CAST(sum(a.mapped) AS bigint) AS mapped, min(a.first) AS first, max(a.last) AS last", text->out);
}

/* Sums of table a, which has them, as the answer has them. */
static void put_shown(struct iol_ask_text *text)
{
    fputs(", a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors, a.write_errors, a.mapped, ",
          text->out);
    iol_sql_put_micros(text->out, text->dialect, "a.first");
    fputs(", ", text->out);
    iol_sql_put_micros(text->out, text->dialect, "a.last");
}

/* "(SELECT ...) a": the single accounts. */
static int put_accounts(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, struct iol_error *err)
{
    _cleanup_free_ char *mapped = NULL;
    int64_t end_until = IOL_NULL;
    int r = iol_ask_last_end(db, ask, &end_until, err);

    if (r < 0)
        return r;
    if (asprintf(&mapped, ", CASE WHEN %s THEN io.read_ops + io.write_ops ELSE 0 END AS mapped", text->d->mapped) < 0)
        return iol_error_set(err, -ENOMEM, "no memory");
    putc('(', text->out);
    iol_ask_put_accounts(text, ask, end_until, mapped);
    fputs(") a", text->out);
    return 0;
}

int iol_ask_report_parts(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                         struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);
    bool summed = r == 0 && text.dialect != IOL_DIALECT_SQLITE;

    if (r < 0)
        return r;
    fputs("SELECT a.process_id, a.file_id", text.out);
    put_shown(&text);
    fputs(" FROM ", text.out);
    if (summed) {
        fputs("(SELECT a.process_id AS process_id, a.file_id AS file_id", text.out);
        put_sums(&text);
        fputs(" FROM ", text.out);
    }
    r = put_accounts(&text, db, ask, err);
    if (r < 0)
        return r;
    if (summed)
        fputs(" GROUP BY a.process_id, a.file_id) a", text.out);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

int iol_ask_report_files(struct iol_db *db, struct iol_query **ret_query, struct iol_error *err)
{
    return iol_query_new(db,
                         "SELECT f.id, f.path, f.host_id, CAST(f.kind AS text), f.flags FROM file f"
                         " ORDER BY f.path, f.host_id, f.id",
                         0, NULL, ret_query, err);
}

int iol_ask_report_programs(struct iol_db *db, struct iol_query **ret_query, struct iol_error *err)
{
    return iol_query_new(db, "SELECT p.id, p.exe, p.comm FROM process p", 0, NULL, ret_query, err);
}

static void put_place(struct iol_ask_text *text, const char *direction, const char *name)
{
    fprintf(text->out,
            ", row_number() OVER (PARTITION BY a.host_id, a.path ORDER BY a.%1$s_bytes DESC, a.%1$s_ops DESC,"
            " a.process_id) AS %2$s",
            direction, name);
}

int iol_ask_report_pairs(struct iol_db *db, const struct iol_ask *ask, int most, struct iol_query **ret_query,
                         struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.path, a.host_id, a.process_id, a.processes", text.out);
    put_shown(&text);
    fputs(" FROM (SELECT a.*, count(*) OVER (PARTITION BY a.host_id, a.path) AS processes", text.out);
    put_place(&text, "read", "reader");
    put_place(&text, "write", "writer");
    fputs(" FROM (SELECT a.path AS path, a.host_id AS host_id, a.process_id AS process_id", text.out);
    put_sums(&text);
    fputs(" FROM ", text.out);
    r = put_accounts(&text, db, ask, err);
    if (r < 0)
        return r;
    fprintf(text.out,
            " GROUP BY a.host_id, a.path, a.process_id) a) a WHERE a.reader <= %d OR a.writer <= %d"
            " ORDER BY a.read_bytes + a.write_bytes, a.read_ops + a.write_ops, a.process_id",
            most, most);
    return iol_ask_run(&text, db, ask, ret_query, err);
}

int iol_ask_report_file_counts(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                               struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.process_id, count(DISTINCT a.file_id) FROM ", text.out);
    r = put_accounts(&text, db, ask, err);
    if (r < 0)
        return r;
    fputs(" GROUP BY a.process_id", text.out);
    return iol_ask_run(&text, db, ask, ret_query, err);
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
