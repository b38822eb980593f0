// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Who started whom, and what they did. */
#include "base/cleanup.h"
#include "store/ask.intern.h"

static const char of_pid[] =
    "WITH RECURSIVE"
    " down(id) AS (SELECT s.id FROM process s WHERE s.pid = CAST($1 AS bigint)"
    " UNION SELECT p.id FROM down JOIN process p ON p.parent_id = down.id),"
    " up(id) AS (SELECT s.parent_id FROM process s WHERE s.pid = CAST($1 AS bigint) AND s.parent_id IS NOT NULL"
    " UNION SELECT p.parent_id FROM up JOIN process p ON p.id = up.id WHERE p.parent_id IS NOT NULL) ";

#define FAMILY "(SELECT id FROM down UNION SELECT id FROM up)"
#define BEGAN "coalesce(p.exec_time, p.start_time)"

/* "column >= since AND column < until", or nothing but a constant. */
static void put_within(struct iol_ask_text *text, const struct iol_ask *ask, const char *column)
{
    char time[64];

    fputs("1 = 1", text->out);
    if (ask->since != IOL_NULL)
        fprintf(text->out, " AND %s >= %s", column, iol_sql_time(text->dialect, time, sizeof(time), ask->since));
    if (ask->until != IOL_NULL)
        fprintf(text->out, " AND %s < %s", column, iol_sql_time(text->dialect, time, sizeof(time), ask->until));
}

/* enum iol_tree_state. An image that became another one has no exit. */
static void put_state(struct iol_ask_text *text, const struct iol_ask *ask)
{
    char time[64];

    fputs(", CASE WHEN a.process_id IS NOT NULL OR (p.origin <> 'running' AND ", text->out);
    put_within(text, ask, BEGAN);
    fputs(") OR (x.process_id IS NOT NULL AND ", text->out);
    put_within(text, ask, "x.ts");
    fprintf(text->out, ") THEN %d", IOL_TREE_ACTIVE);
    if (ask->until != IOL_NULL)
        fprintf(text->out, " WHEN " BEGAN " >= %s THEN %d", iol_sql_time(text->dialect, time, sizeof(time), ask->until),
                IOL_TREE_ABSENT);
    if (ask->since != IOL_NULL)
        fprintf(text->out,
                " WHEN x.ts < %1$s OR EXISTS (SELECT 1 FROM process n WHERE n.parent_id = p.id AND n.pid = p.pid"
                " AND n.start_time = p.start_time AND n.exec_time < %1$s) THEN %2$d",
                iol_sql_time(text->dialect, time, sizeof(time), ask->since), IOL_TREE_ABSENT);
    fprintf(text->out, " ELSE %d END", IOL_TREE_IDLE);
}

/* "(SELECT ...) a": what each process did. */
static void put_done(struct iol_ask_text *text, const struct iol_ask *ask, bool one, int64_t end_until)
{
    fputs("(SELECT io.process_id AS process_id", text->out);
    iol_ask_put_sums(text, "io");
    if (ask->since == IOL_NULL && ask->until == IOL_NULL) {
        fprintf(text->out, " FROM %s%s", text->d->accounts, one ? " WHERE io.process_id IN " FAMILY : "");
    } else {
        fputs(" FROM (", text->out);
        iol_ask_put_accounts(text, ask, end_until, "");
        fputs(") io", text->out);
    }
    fprintf(text->out, " GROUP BY %sio.process_id) a", text->d->unordered);
}

int iol_ask_tree(struct iol_db *db, const struct iol_ask *asked, const char *pid, struct iol_query **ret_query,
                 struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    struct iol_ask ask = {.since = asked->since, .until = asked->until, .params = &pid, .n_params = pid != NULL};
    int64_t end_until = IOL_NULL;
    int r = iol_db_focus(db,
                         &(struct iol_focus){.kind = IOL_FOCUS_TREE,
                                             .processes = pid ? "p.pid = CAST($1 AS bigint)" : NULL,
                                             .n_params = ask.n_params,
                                             .params = ask.params,
                                             .span = true,
                                             .since = ask.since,
                                             .until = ask.until},
                         err);

    if (r == 0)
        r = iol_ask_last_end(db, &ask, &end_until, err);
    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    if (pid) {
        ask.processes = "p.id IN " FAMILY;
        fputs(of_pid, text.out);
    }
    fputs("SELECT p.id, p.parent_id, p.pid, p.ppid, p.origin, p.comm, p.exe, p.argv, p.cwd,"
          " coalesce(l.name, CAST(p.uid AS text)), p.start_time, p.exec_time, x.ts, x.exit_code, x.signal, h.name,"
          " coalesce(a.read_ops, 0), coalesce(a.read_bytes, 0), coalesce(a.write_ops, 0), coalesce(a.write_bytes, 0),"
          " coalesce(a.read_errors, 0), coalesce(a.write_errors, 0)",
          text.out);
    put_state(&text, &ask);
    fputs(" FROM process p LEFT JOIN process_exit x ON x.process_id = p.id LEFT JOIN ", text.out);
    put_done(&text, &ask, pid != NULL, end_until);
    fputs(" ON a.process_id = p.id LEFT JOIN host h ON h.id = p.host_id"
          " LEFT JOIN login l ON l.host_id = p.host_id AND l.uid = p.uid",
          text.out);
    fputs(pid ? " WHERE p.id IN " FAMILY : "", text.out);
    fputs(" ORDER BY p.host_id, p.start_time, coalesce(p.exec_time, p.start_time), p.pid, p.id", text.out);
    return iol_ask_run(&text, db, &ask, ret_query, err);
}
