// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What was recorded when, and what was lost. */
#include <inttypes.h>

#include "base/cleanup.h"
#include "store/ask.intern.h"

#define RECORDINGS                                                                                                     \
    "SELECT r.host_id, coalesce(h.name, CAST(r.host_id AS text)), r.id, r.started, r.ended, r.scope"                   \
    " FROM recording r LEFT JOIN host h ON h.id = r.host_id ORDER BY "

int iol_ask_recordings(struct iol_db *db, bool latest_first, struct iol_query **ret_query, struct iol_error *err)
{
    const char *sql = latest_first ? RECORDINGS "r.started DESC, r.id" : RECORDINGS "2, r.host_id, r.started, r.id";
    int r = iol_db_focus(db, &(struct iol_focus){.kind = IOL_FOCUS_HOSTS}, err);

    return r < 0 ? r : iol_query_new(db, sql, 0, NULL, ret_query, err);
}

int iol_ask_interval(struct iol_db *db, int64_t host_id, int64_t since, int64_t until, bool first,
                     struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    char time[64];
    int r = iol_db_focus(db,
                         &(struct iol_focus){.kind = IOL_FOCUS_INTERVAL,
                                             .span = true,
                                             .since = since,
                                             .until = until,
                                             .host_id = host_id,
                                             .first = first},
                         err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fprintf(text.out, "SELECT t.ts, t.interval_ms FROM total t WHERE t.host_id = %" PRId64 " AND t.ts >= %s", host_id,
            iol_sql_time(text.dialect, time, sizeof(time), since));
    if (until != IOL_NULL)
        fprintf(text.out, " AND t.ts <= %s", iol_sql_time(text.dialect, time, sizeof(time), until));
    fprintf(text.out, " ORDER BY t.ts%s LIMIT 1", first ? "" : " DESC");
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}

int iol_ask_losses(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    char time[64];
    int r = iol_db_focus(
        db, &(struct iol_focus){.kind = IOL_FOCUS_LOSSES, .span = true, .since = ask->since, .until = ask->until}, err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT coalesce(h.name, CAST(l.host_id AS text)), l.reason, CAST(sum(l.lost) AS bigint), min(l.ts_from),"
          " max(l.ts_to), l.host_id FROM loss l LEFT JOIN host h ON h.id = l.host_id WHERE 1 = 1",
          text.out);
    if (ask->since != IOL_NULL)
        fprintf(text.out, " AND l.ts_to >= %s", iol_sql_time(text.dialect, time, sizeof(time), ask->since));
    if (ask->until != IOL_NULL)
        fprintf(text.out, " AND l.ts_from < %s", iol_sql_time(text.dialect, time, sizeof(time), ask->until));
    fputs(" GROUP BY 1, l.host_id, l.reason ORDER BY 1, l.host_id, l.reason", text.out);
    return iol_ask_run(&text, db, &IOL_ASK_ALL, ret_query, err);
}
