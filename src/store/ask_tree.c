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

int iol_ask_tree(struct iol_db *db, const char *pid, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    struct iol_ask ask = IOL_ASK_ALL;
    int r = iol_db_focus(db,
                         &(struct iol_focus){.kind = IOL_FOCUS_TREE,
                                             .processes = pid ? "p.pid = CAST($1 AS bigint)" : NULL,
                                             .n_params = pid != NULL,
                                             .params = &pid},
                         err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    if (pid) {
        ask.params = &pid;
        ask.n_params = 1;
        fputs(of_pid, text.out);
    }
    fputs(
        "SELECT p.id, p.parent_id, p.pid, p.ppid, p.origin, p.comm, p.exe, p.argv, p.cwd,"
        " coalesce(l.name, CAST(p.uid AS text)), p.start_time, p.exec_time, x.ts, x.exit_code, x.signal, h.name,"
        " coalesce(a.read_ops, 0), coalesce(a.read_bytes, 0), coalesce(a.write_ops, 0), coalesce(a.write_bytes, 0),"
        " coalesce(a.read_errors, 0), coalesce(a.write_errors, 0),"
        " CASE WHEN p.origin <> 'running' OR x.process_id IS NOT NULL OR a.process_id IS NOT NULL THEN 1 ELSE 0 END"
        " FROM process p LEFT JOIN process_exit x ON x.process_id = p.id LEFT JOIN (SELECT io.process_id AS process_id",
        text.out);
    iol_ask_put_sums(&text, "io");
    fprintf(text.out, " FROM %s%s GROUP BY %sio.process_id) a ON a.process_id = p.id", text.d->accounts,
            pid ? " WHERE io.process_id IN " FAMILY : "", text.d->unordered);
    fputs(" LEFT JOIN host h ON h.id = p.host_id"
          " LEFT JOIN login l ON l.host_id = p.host_id AND l.uid = p.uid",
          text.out);
    fputs(pid ? " WHERE p.id IN " FAMILY : "", text.out);
    fputs(" ORDER BY p.host_id, p.start_time, coalesce(p.exec_time, p.start_time), p.pid, p.id", text.out);
    return iol_ask_run(&text, db, &ask, ret_query, err);
}
