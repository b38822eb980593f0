// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The hosts of a ledger. */
#include "base/cleanup.h"
#include "store/ask.intern.h"

#define LATEST(column)                                                                                                 \
    "(SELECT r." column " FROM recording r WHERE r.host_id = h.id ORDER BY r.started DESC, r.id LIMIT 1)"

/* By the key of batch, whose numbers grow within a boot: there may be very many of them. */
#define NEWEST_BATCH                                                                                                   \
    "(SELECT b.ts FROM batch b WHERE b.host_id = h.id AND b.boot_id = h.boot_id ORDER BY b.seq DESC LIMIT 1)"

int iol_ask_fleet(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    char time[64];
    int r = iol_db_focus(
        db, &(struct iol_focus){.kind = IOL_FOCUS_FLEET, .span = true, .since = ask->since, .until = ask->until}, err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT h.id, coalesce(h.name, CAST(h.id AS text)), h.seen, h.kernel, " LATEST("version") ", " LATEST(
              "ended") ", " NEWEST_BATCH ", coalesce(s.ops, 0), coalesce(s.read_bytes, 0), coalesce(s.write_bytes, 0)"
                       " FROM host h LEFT JOIN (SELECT t.host_id AS host_id,"
                       " CAST(sum(t.read_ops + t.write_ops) AS bigint) AS ops,"
                       " CAST(sum(t.read_bytes) AS bigint) AS read_bytes,"
                       " CAST(sum(t.write_bytes) AS bigint) AS write_bytes FROM total t WHERE 1 = 1",
          text.out);
    if (ask->since != IOL_NULL)
        fprintf(text.out, " AND t.ts >= %s", iol_sql_time(text.dialect, time, sizeof(time), ask->since));
    if (ask->until != IOL_NULL)
        fprintf(text.out, " AND t.ts < %s", iol_sql_time(text.dialect, time, sizeof(time), ask->until));
    fputs(" GROUP BY t.host_id) s ON s.host_id = h.id ORDER BY 2, h.id", text.out);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}
