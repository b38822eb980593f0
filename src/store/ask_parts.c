// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/ask.intern.h"

#define NS_PER_MS INT64_C(1000000)

/* For every counter: X(column) */
#define COUNTERS(X) X(read_ops) X(read_bytes) X(write_ops) X(write_bytes) X(read_errors) X(write_errors)

int iol_ask_begin(struct iol_ask_text *text, struct iol_db *db, struct iol_error *err)
{
    *text = (struct iol_ask_text){.dialect = iol_db_dialect(db), .d = iol_sql_of(iol_db_dialect(db))};
    text->out = open_memstream(&text->sql, &text->size);
    return text->out ? 0 : iol_error_set(err, -ENOMEM, "no memory");
}

void iol_ask_done(struct iol_ask_text *text)
{
    if (text->out)
        fclose(TAKE_PTR(text->out));
    free(TAKE_PTR(text->sql));
}

int iol_ask_run(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query,
                struct iol_error *err)
{
    if (fclose(TAKE_PTR(text->out)) != 0)
        return iol_error_set(err, -ENOMEM, "no memory");
    return iol_query_new(db, text->sql, ask->n_params, ask->params, ret_query, err);
}

int iol_ask_run_native(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask,
                       struct iol_query **ret_query, struct iol_error *err)
{
    if (fclose(TAKE_PTR(text->out)) != 0)
        return iol_error_set(err, -ENOMEM, "no memory");
    return iol_query_new_native(db, text->sql, ask->n_params, ask->params, ret_query, err);
}

void iol_ask_put_sums(struct iol_ask_text *text, const char *of)
{
#define SUM(column) fprintf(text->out, ", CAST(sum(%s." #column ") AS bigint) AS " #column, of);
    COUNTERS(SUM)
#undef SUM
}

void iol_ask_put_shown_times(struct iol_ask_text *text, const char *first, const char *last)
{
    iol_sql_put_shown_time(text->out, text->dialect, first);
    fputs(", ", text->out);
    iol_sql_put_shown_time(text->out, text->dialect, last);
}

void iol_ask_put_limit(struct iol_ask_text *text, const struct iol_ask *ask)
{
    if (ask->limit > 0)
        fprintf(text->out, " LIMIT %" PRId64, ask->limit);
}

void iol_ask_put_process_names(struct iol_ask_text *text)
{
    fputs(" LEFT JOIN process p ON p.id = a.process_id LEFT JOIN host h ON h.id = p.host_id"
          " LEFT JOIN login l ON l.host_id = p.host_id AND l.uid = p.uid",
          text->out);
}

int iol_ask_focus(struct iol_db *db, const struct iol_ask *ask, bool single, struct iol_error *err)
{
    return iol_db_focus(db,
                        &(struct iol_focus){.kind = IOL_FOCUS_ACCOUNTS,
                                            .files = ask->files,
                                            .processes = ask->processes,
                                            .params = ask->params,
                                            .n_params = ask->n_params,
                                            .span = true,
                                            .since = ask->since,
                                            .until = ask->until,
                                            .nameless = ask->nameless,
                                            .row_by_row = single || ask->names}, /* names have times */
                        err);
}

int iol_ask_last_end(struct iol_db *db, const struct iol_ask *ask, int64_t *ret_end, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    struct iol_query *query = NULL;
    char time[64];
    int r;

    *ret_end = IOL_NULL;
    if (ask->until == IOL_NULL || iol_db_is_clickhouse(db)) /* which has brought no others */
        return 0;
    r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    /* Who has accounts in an interval has a total in it. */
    fprintf(text.out, "SELECT max(t.interval_ms) FROM total t WHERE t.ts >= %s",
            iol_sql_time(text.dialect, time, sizeof(time), ask->until));
    r = iol_ask_run(&text, db, &IOL_ASK_ALL, &query, err);
    if (r == 0)
        r = iol_query_next(query, err);
    if (r > 0)
        *ret_end = ask->until + (iol_query_int(query, 0) + 1) * NS_PER_MS;
    iol_query_free(query);
    return r < 0 ? r : 0;
}

static void put_account_span(struct iol_ask_text *text, const struct iol_ask *ask, int64_t end_until)
{
    char time[64];

    if (ask->since != IOL_NULL) {
        fprintf(text->out, " AND %s >= %s", text->d->end, iol_sql_time(text->dialect, time, sizeof(time), ask->since));
        fprintf(text->out, " AND %s >= %s", text->d->last,
                iol_sql_account_time(text->dialect, time, sizeof(time), ask->since));
    }
    if (end_until != IOL_NULL)
        fprintf(text->out, " AND %s < %s", text->d->end, iol_sql_time(text->dialect, time, sizeof(time), end_until));
    if (ask->until != IOL_NULL)
        fprintf(text->out, " AND %s < %s", text->d->first,
                iol_sql_account_time(text->dialect, time, sizeof(time), ask->until));
}

static void put_slice(struct iol_ask_text *text, const struct iol_ask *ask)
{
    char time[64];

    if (ask->ended_from != IOL_NULL)
        fprintf(text->out, " AND %s >= %s", text->d->end,
                iol_sql_time(text->dialect, time, sizeof(time), ask->ended_from));
    if (ask->ended_until != IOL_NULL)
        fprintf(text->out, " AND %s < %s", text->d->end,
                iol_sql_time(text->dialect, time, sizeof(time), ask->ended_until));
}

void iol_ask_put_event_span(struct iol_ask_text *text, const struct iol_ask *ask)
{
    char time[64];

    if (ask->since != IOL_NULL)
        fprintf(text->out, " AND e.ts >= %s", iol_sql_time(text->dialect, time, sizeof(time), ask->since));
    if (ask->until != IOL_NULL)
        fprintf(text->out, " AND e.ts < %s", iol_sql_time(text->dialect, time, sizeof(time), ask->until));
}

void iol_ask_put_accounts(struct iol_ask_text *text, const struct iol_ask *ask, int64_t end_until, const char *more)
{
    const char *first = text->d->first, *last = text->d->last, *join = text->d->accounts_join;

    if (ask->timeless && ask->since == IOL_NULL && ask->until == IOL_NULL && !ask->names) {
        first = last = "0";
        join = "";
    }
    fprintf(text->out, "SELECT io.process_id AS process_id, io.file_id AS file_id, %s AS first, %s AS last", first,
            last);
#define COUNTER(column) fprintf(text->out, ", io." #column " AS " #column);
    COUNTERS(COUNTER)
#undef COUNTER
    fprintf(text->out, ", 0 AS execs%s%s", ask->files ? ", f.path AS path, f.host_id AS host_id" : "", more);
    if (ask->files)
        fprintf(text->out, " FROM file f JOIN %s ON io.file_id = f.id%s WHERE %s", text->d->accounts, join, ask->files);
    else
        fprintf(text->out, " FROM %s%s WHERE 1 = 1", text->d->accounts, join);
    if (ask->processes)
        fprintf(text->out, " AND io.process_id IN (SELECT p.id FROM process p WHERE %s)", ask->processes);
    put_account_span(text, ask, end_until);
    if (ask->sliced)
        put_slice(text, ask);
}

/* What the kernel reads of a program by itself, to execute it, is no account. */
static void put_execs(struct iol_ask_text *text, const struct iol_ask *ask)
{
    fprintf(text->out,
            " UNION ALL SELECT e.process_id, e.file_id, %1$s, %1$s, 0, 0, 0, 0, 0, 0, 1, f.path, f.host_id"
            " FROM file f JOIN event e ON e.file_id = f.id WHERE e.kind = 'exec' AND %2$s",
            text->d->event_time, ask->files);
    if (ask->processes)
        fprintf(text->out, " AND e.process_id IN (SELECT p.id FROM process p WHERE %s)", ask->processes);
    iol_ask_put_event_span(text, ask);
}

static void put_done(struct iol_ask_text *text, const struct iol_ask *ask, bool execs, int64_t end_until)
{
    putc('(', text->out);
    iol_ask_put_accounts(text, ask, end_until, "");
    if (execs && ask->files)
        put_execs(text, ask);
    fputs(") done", text->out);
    if (ask->files && ask->names)
        fprintf(text->out, " WHERE %s", ask->names);
}

int iol_ask_put_sums_by(struct iol_ask_text *text, struct iol_db *db, const struct iol_ask *ask, const char *key,
                        bool execs, struct iol_error *err)
{
    int64_t end_until = IOL_NULL;
    int r = iol_ask_focus(db, ask, false, err);

    if (r == 0)
        r = iol_ask_last_end(db, ask, &end_until, err);
    if (r < 0)
        return r;
    fprintf(text->out, "(SELECT %s, min(first) AS first, max(last) AS last", key);
#define SUM(column) fprintf(text->out, ", CAST(sum(" #column ") AS bigint) AS " #column);
    COUNTERS(SUM)
    SUM(execs)
#undef SUM
    fputs(" FROM ", text->out);
    put_done(text, ask, execs, end_until);
    fprintf(text->out, " GROUP BY %s%s", text->d->unordered, key);
    if (ask->reads || ask->writes)
        fprintf(text->out, " HAVING %s%s%s", ask->reads ? "sum(read_ops) + sum(read_errors) > 0" : "",
                ask->reads && ask->writes ? " AND " : "", ask->writes ? "sum(write_ops) + sum(write_errors) > 0" : "");
    fputs(") a", text->out);
    return 0;
}

char *iol_ask_process_ids(struct iol_db *db, const struct iol_ask *ask)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};

    if (iol_ask_begin(&text, db, NULL) < 0)
        return NULL;
    fputs("SELECT process_id FROM ", text.out);
    put_done(&text, ask, true, IOL_NULL);
    if (fclose(TAKE_PTR(text.out)) != 0)
        return NULL;
    return TAKE_PTR(text.sql);
}
