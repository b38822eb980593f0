// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/question.h"
#include "app/report/report.intern.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "store/sql.h"

#define BARS_MAX 240
#define RECORDINGS_SHOWN 200
#define LOSSES_SHOWN "400"
#define SECOND INT64_C(1000000)

/* Room for one more at the end of an array; NULL: no memory. */
#define GROW(array, n)                                                                                                 \
    ({                                                                                                                 \
        __typeof__(array) _more = reallocarray(array, (n) + 1, sizeof(*(array)));                                      \
        if (_more)                                                                                                     \
            memset(&_more[n], 0, sizeof(*(array)));                                                                    \
        _more ? (array = _more, &_more[(n)++]) : NULL;                                                                 \
    })

/* A query that has no condition on time. */
static int ask_all(struct iol_report_asking *asking, const char *sql,
                   int (*take)(struct iol_report *report, const struct iol_query *query), struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_query_new(asking->db, sql, 0, NULL, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (take(asking->report, query) < 0)
            return iol_report_no_memory(err);
    }
    return r;
}

static int take_host(struct iol_report *report, const struct iol_query *query)
{
    struct iol_report_host *host = GROW(report->hosts, report->n_hosts);
    bool failed = false;

    if (!host)
        return -ENOMEM;
    host->id = iol_query_int(query, 0);
    host->name = iol_report_text(report, query, 1, &failed);
    host->kernel = iol_report_text(report, query, 2, &failed);
    return failed ? -ENOMEM : 0;
}

/* The latest first: of one that has not ended, the next one's start on the same host, if there is one, ends it. */
static int take_recording(struct iol_report *report, const struct iol_query *query)
{
    int64_t host_id = iol_query_int(query, 0), started = iol_report_time(query, 1), next = 0;
    int64_t ended = iol_report_time(query, 2);
    struct iol_report_recording *recording;
    bool failed = false;

    for (size_t i = 0; i < report->n_recordings; i++) {
        if (report->recordings[i].host_id == host_id)
            next = report->recordings[i].started;
    }
    report->n_all_recordings++;
    if (report->n_recordings == RECORDINGS_SHOWN || (report->until && started >= report->until) ||
        (report->since && ended && ended <= report->since))
        return 0;
    recording = GROW(report->recordings, report->n_recordings);
    if (!recording)
        return -ENOMEM;
    recording->host_id = host_id;
    recording->started = started;
    recording->ended = ended;
    recording->last_interval = iol_report_time(query, 3);
    if (next && recording->last_interval > next)
        recording->last_interval = next;
    recording->version = iol_report_text(report, query, 4, &failed);
    recording->probes = iol_report_text(report, query, 5, &failed);
    recording->scope = iol_report_text(report, query, 6, &failed);
    recording->excluded_ops = iol_query_int(query, 7);
    recording->excluded_bytes = iol_query_int(query, 8);
    return failed ? -ENOMEM : 0;
}

/* A query over the losses that touch the span. */
static int ask_loss(struct iol_report_asking *asking, const char *select, const char *rest,
                    struct iol_query **ret_query, struct iol_error *err)
{
    enum iol_dialect dialect = iol_db_dialect(asking->db);
    _cleanup_free_ char *sql = NULL;
    char since[80] = "1 = 1", until[80] = "1 = 1", time[64];

    if (asking->span.since != IOL_NULL)
        snprintf(since, sizeof(since), "l.ts_to >= %s", iol_sql_time(dialect, time, sizeof(time), asking->span.since));
    if (asking->span.until != IOL_NULL)
        snprintf(until, sizeof(until), "l.ts_from < %s", iol_sql_time(dialect, time, sizeof(time), asking->span.until));
    if (asprintf(&sql, "%s FROM loss l WHERE %s AND %s%s", select, since, until, rest) < 0)
        return iol_report_no_memory(err);
    return iol_query_new(asking->db, sql, 0, NULL, ret_query, err);
}

static int ask_losses(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_query_done) struct iol_query *kinds = NULL;
    _cleanup_(iol_query_done) struct iol_query *each = NULL;
    struct iol_report_loss *loss;
    bool failed = false;
    int r;

    r = ask_loss(asking,
                 "SELECT l.host_id, l.reason, min(l.ts_from), max(l.ts_to), CAST(sum(l.lost) AS bigint), count(*)",
                 " GROUP BY l.host_id, l.reason ORDER BY 5 DESC, l.reason, l.host_id", &kinds, err);
    while (r >= 0 && (r = iol_query_next(kinds, err)) > 0) {
        if (!(loss = GROW(report->loss_kinds, report->n_loss_kinds)))
            return iol_report_no_memory(err);
        loss->host_id = iol_query_int(kinds, 0);
        loss->reason = iol_report_text(report, kinds, 1, &failed);
        loss->from = iol_report_time(kinds, 2);
        loss->to = iol_report_time(kinds, 3);
        loss->lost = iol_query_int(kinds, 4);
        loss->times = iol_query_int(kinds, 5);
        report->n_all_losses += loss->times;
        if (failed)
            return iol_report_no_memory(err);
    }
    if (r < 0 || report->n_loss_kinds == 0)
        return r;
    r = ask_loss(asking, "SELECT l.ts_from, l.ts_to", " ORDER BY l.ts_to DESC LIMIT " LOSSES_SHOWN, &each, err);
    while (r >= 0 && (r = iol_query_next(each, err)) > 0) {
        if (!(loss = GROW(report->losses, report->n_losses)))
            return iol_report_no_memory(err);
        loss->from = iol_report_time(each, 0);
        loss->to = iol_report_time(each, 1);
    }
    return r;
}

static void widen(struct iol_report *report, int64_t from, int64_t to)
{
    if (from && (!report->from || from < report->from))
        report->from = from;
    if (to > report->to)
        report->to = to;
}

/* One interval, of all hosts that have one of that end and length. */
struct interval {
    int64_t from, to;
    int64_t n[IOL_SUMS];
};

struct intervals {
    struct interval *all;
    size_t n, room;
};

static void done_intervals(struct intervals *intervals)
{
    free(intervals->all);
}

static int keep_interval(struct intervals *intervals, const struct interval *interval)
{
    if (iol_array_reserve(&intervals->all, &intervals->room, intervals->n + 1, sizeof(*intervals->all)) < 0)
        return -ENOMEM;
    intervals->all[intervals->n++] = *interval;
    return 0;
}

static int ask_intervals(struct iol_report_asking *asking, struct intervals *intervals, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_ask_report_totals(asking->db, &asking->span, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        struct interval interval = {.to = iol_report_time(query, IOL_REPORT_TOTAL_TS)};

        interval.from = interval.to - iol_query_int(query, IOL_REPORT_TOTAL_MS) * 1000;
        if (report->until && interval.from >= report->until)
            continue;
        for (size_t i = 0; i < IOL_SUMS; i++) {
            interval.n[i] = iol_query_int(query, IOL_REPORT_TOTAL_COUNTERS + i);
            report->kernel.n[i] += interval.n[i];
        }
        if (keep_interval(intervals, &interval) < 0)
            return iol_report_no_memory(err);
    }
    return r;
}

/* What was asked for, as far as there is anything: recordings, and intervals of a ledger that has none of those any more. */
static void set_bounds(struct iol_report *report, const struct intervals *intervals)
{
    for (size_t i = 0; i < intervals->n; i++)
        widen(report, intervals->all[i].from, intervals->all[i].to);
    for (size_t i = 0; i < report->n_recordings; i++) {
        const struct iol_report_recording *recording = &report->recordings[i];

        widen(report, recording->started, recording->ended ? recording->ended : recording->last_interval);
    }
    if (report->since && report->from < report->since)
        report->from = report->since;
    if (report->until && (report->to == 0 || report->to > report->until))
        report->to = report->until;
    if (report->to < report->from)
        report->to = report->from;
}

/* A width that a person would choose, so that there are not more than BARS_MAX bars; microseconds. */
static int64_t bar_width(int64_t span)
{
    static const int widths[] = {1,   2,   5,    10,   15,   30,    60,    120,   300,
                                 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400};
    int64_t width = 0;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(widths); i++) {
        width = widths[i] * SECOND;
        if (span / width < BARS_MAX - 1)
            return width;
    }
    return (span / (86400 * SECOND) / (BARS_MAX - 1) + 1) * 86400 * SECOND;
}

static int make_bars(struct iol_report *report, const struct intervals *intervals, struct iol_error *err)
{
    report->bar_width = bar_width(report->to - report->from);
    int64_t base = report->from / report->bar_width * report->bar_width;
    int64_t last = (report->to - base) / report->bar_width;

    report->n_bars = (size_t)last + 1;
    report->bars = calloc(report->n_bars, sizeof(*report->bars));
    if (!report->bars)
        return iol_report_no_memory(err);
    for (size_t i = 0; i < intervals->n; i++) {
        const struct interval *interval = &intervals->all[i];
        int64_t middle = interval->from + (interval->to - interval->from) / 2;
        int64_t at = middle < base ? 0 : (middle - base) / report->bar_width;

        for (size_t j = 0; j < IOL_SUMS; j++)
            report->bars[at < last ? at : last].n[j] += interval->n[j];
    }
    return 0;
}

int iol_report_ask_times(struct iol_report_asking *asking, struct iol_error *err)
{
    _cleanup_(done_intervals) struct intervals intervals = {0};
    int r;

    iol_report_say(asking, "looking up when it was recorded", -1);
    r = ask_all(asking, "SELECT h.id, h.name, h.kernel FROM host h ORDER BY h.name, h.id", take_host, err);
    if (r == 0)
        r = ask_all(asking,
                    "SELECT r.host_id, r.started, r.ended, (SELECT max(t.ts) FROM total t WHERE t.host_id = r.host_id"
                    " AND t.ts >= r.started), r.version, r.probes, r.scope, r.excluded_ops, r.excluded_bytes"
                    " FROM recording r ORDER BY r.started DESC, r.id",
                    take_recording, err);
    if (r == 0)
        r = ask_losses(asking, err);
    if (r == 0)
        r = ask_intervals(asking, &intervals, err);
    if (r < 0)
        return r;
    asking->n_intervals = intervals.n;
    set_bounds(asking->report, &intervals);
    return make_bars(asking->report, &intervals, err);
}
