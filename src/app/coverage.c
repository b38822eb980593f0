// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/coverage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/options.h"
#include "app/question.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/loss.h"
#include "store/ask.h"
#include "store/reader.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define SLACK_NS NS_PER_S      /* a gap that is shorter is none: times of recordings and intervals differ a little */
#define LAG_NS (10 * NS_PER_S) /* a recorder whose last rows are so old still runs */
#define HOSTS_TOLD 5
#define STRETCHES_TOLD 3
#define LOSSES_TOLD 3

/* A time in which one host was recorded without a gap. */
struct stretch {
    int64_t host_id;
    char host[64];
    int64_t from, to;
    bool open; /* it has not ended */
};

struct coverage {
    struct iol_db *db;
    int64_t since, until, now;
    const char *what;
    bool asked; /* for a span */
    struct stretch *list;
    size_t n, capacity;
};

static int add_stretch(struct coverage *coverage, const struct stretch *stretch)
{
    if (iol_array_reserve(&coverage->list, &coverage->capacity, coverage->n + 1, sizeof(*coverage->list)) < 0)
        return -ENOMEM;
    coverage->list[coverage->n++] = *stretch;
    return 0;
}

static int load_stretches(struct coverage *coverage, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_ask_recordings(coverage->db, false, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        const char *host = iol_query_text(query, IOL_RECORDINGS_HOST);
        const char *started = iol_query_text(query, IOL_RECORDINGS_STARTED);
        const char *ended = iol_query_text(query, IOL_RECORDINGS_ENDED);
        struct stretch stretch = {.host_id = iol_query_int(query, IOL_RECORDINGS_HOST_ID), .open = !ended};

        snprintf(stretch.host, sizeof(stretch.host), "%s", host ? host : "?");
        if (!started || !iol_text_parse_time(started, &stretch.from))
            continue;
        if (!ended || !iol_text_parse_time(ended, &stretch.to))
            stretch.to = stretch.from;
        if (add_stretch(coverage, &stretch) < 0)
            return iol_question_no_memory(err);
    }
    return r;
}

/* The end and the beginning of an interval of the host; false: there is none. */
static int find_interval(struct coverage *coverage, int64_t host_id, int64_t since, int64_t until, bool first,
                         int64_t *ret_from, int64_t *ret_to, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_ask_interval(coverage->db, host_id, since, until, first, &query, err);

    if (r == 0)
        r = iol_query_next(query, err);
    if (r > 0 && iol_query_text(query, 0) && iol_text_parse_time(iol_query_text(query, 0), ret_to))
        *ret_from = *ret_to - iol_query_int(query, 1) * NS_PER_MS;
    else if (r > 0)
        r = 0;
    return r;
}

/* One that has not ended goes on until its last interval; or until now, if that is not long ago. */
static int close_open(struct coverage *coverage, struct iol_error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < coverage->n; i++) {
        struct stretch *stretch = &coverage->list[i];
        bool last = i + 1 == coverage->n || coverage->list[i + 1].host_id != stretch->host_id;
        int64_t from, to;

        if (!stretch->open)
            continue;
        r = find_interval(coverage, stretch->host_id, stretch->from, last ? IOL_NULL : coverage->list[i + 1].from,
                          false, &from, &to, err);
        if (r > 0)
            stretch->to = to;
        if (r >= 0 && last && coverage->now - stretch->to < LAG_NS)
            stretch->to = coverage->now;
    }
    return r < 0 ? r : 0;
}

/* Joins what follows on itself, and what the kernel went on counting between two recorders ('record --pin'). */
static int join(struct coverage *coverage, struct iol_error *err)
{
    size_t n = 0;

    for (size_t i = 0; i < coverage->n; i++) {
        const struct stretch *next = &coverage->list[i];
        struct stretch *last = n > 0 ? &coverage->list[n - 1] : NULL;
        bool joined = last && last->host_id == next->host_id && next->from - last->to <= SLACK_NS;
        int64_t from, to;

        if (last && last->host_id == next->host_id && !joined) {
            int r = find_interval(coverage, next->host_id, next->from, IOL_NULL, true, &from, &to, err);

            if (r < 0)
                return r;
            joined = r > 0 && from - last->to <= SLACK_NS;
        }
        if (!joined)
            coverage->list[n++] = *next;
        else if (next->to > last->to)
            last->to = next->to;
    }
    coverage->n = n;
    return 0;
}

static const char *shown_time(char buf[32], int64_t ns)
{
    iol_text_time(buf, 32, ns);
    buf[strlen("YYYY-MM-DD HH:MM:SS")] = '\0';
    return buf;
}

/* What of the span the stretches first..first+n-1, of one host, leave out. */
static void tell_host(const struct coverage *coverage, size_t first, size_t n, bool several)
{
    const struct stretch *list = &coverage->list[first];
    int64_t until = coverage->until != IOL_NULL && coverage->until < coverage->now ? coverage->until : coverage->now;
    int64_t since = coverage->since != IOL_NULL ? coverage->since : list[0].from, at = since;
    const char *on = several ? ", host " : "", *host = several ? list[0].host : "";
    _cleanup_free_ char *text = NULL;
    char from[32], to[32];
    size_t size, told = 0;
    bool gap = false;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return;
    for (size_t i = 0; i < n; i++) {
        int64_t start = list[i].from > since ? list[i].from : since, end = list[i].to < until ? list[i].to : until;

        if (end <= start)
            continue;
        gap |= start - at > SLACK_NS;
        at = end;
        if (++told <= STRETCHES_TOLD)
            fprintf(out, "%s from %s to %s", told > 1 ? ", and" : "", shown_time(from, start), shown_time(to, end));
    }
    fclose(out);
    if (told == 0)
        iol_log_info("note: %snothing was recorded from %s to %s%s%s", coverage->what, shown_time(from, since),
                     shown_time(to, until), on, host);
    else if (gap || until - at > SLACK_NS)
        iol_log_info("note: %scomplete%s%s%s%s; the rest of that time was not recorded", coverage->what, text,
                     told > STRETCHES_TOLD ? ", and more" : "", on, host);
}

static void tell_hosts(const struct coverage *coverage)
{
    size_t hosts = 0, told = 0;

    for (size_t i = 0; i < coverage->n; i++)
        hosts += i == 0 || coverage->list[i].host_id != coverage->list[i - 1].host_id;
    for (size_t i = 0, n; i < coverage->n; i += n) {
        for (n = 1; i + n < coverage->n && coverage->list[i + n].host_id == coverage->list[i].host_id; n++)
            ;
        if (++told <= HOSTS_TOLD)
            tell_host(coverage, i, n, hosts > 1);
    }
    if (hosts > HOSTS_TOLD)
        iol_log_info("note: ... %zu more %s", hosts - HOSTS_TOLD, iol_text_plural(hosts - HOSTS_TOLD, "host", "hosts"));
    if (hosts == 0)
        iol_log_info("note: %snothing was recorded into this ledger", coverage->what);
}

static int tell_losses(const struct coverage *coverage, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    const struct iol_ask ask = {.since = coverage->since, .until = coverage->until};
    size_t n = 0;
    int r = iol_ask_losses(coverage->db, &ask, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (++n <= LOSSES_TOLD)
            iol_log_info("note: %shost %s %s: %s, %lld %s from %.19s to %.19s", coverage->what,
                         iol_query_text(query, IOL_LOSSES_HOST),
                         iol_loss_words(iol_loss_kind_of(iol_query_text(query, IOL_LOSSES_REASON))),
                         iol_query_text(query, IOL_LOSSES_REASON), iol_query_int(query, IOL_LOSSES_LOST),
                         iol_text_plural((uint64_t)iol_query_int(query, IOL_LOSSES_LOST), "time", "times"),
                         iol_query_text(query, IOL_LOSSES_FROM), iol_query_text(query, IOL_LOSSES_TO));
    }
    if (r == 0 && n > LOSSES_TOLD)
        iol_log_info("note: %sthere %s %zu more %s why something is missing; 'ioledger balance' has them",
                     coverage->what, iol_text_plural(n - LOSSES_TOLD, "is", "are"), n - LOSSES_TOLD,
                     iol_text_plural(n - LOSSES_TOLD, "reason", "reasons"));
    return r;
}

static int tell(struct coverage *coverage, struct iol_error *err)
{
    int r = 0;

    if (coverage->asked) {
        r = load_stretches(coverage, err);
        if (r == 0)
            r = close_open(coverage, err);
        if (r == 0)
            r = join(coverage, err);
        if (r == 0)
            tell_hosts(coverage);
    }
    if (r == 0)
        r = tell_losses(coverage, err);
    free(TAKE_PTR(coverage->list));
    return r;
}

int iol_coverage_tell_span(struct iol_db *db, int64_t since, int64_t until, int64_t now, const char *what,
                           struct iol_error *err)
{
    struct coverage coverage = {.db = db, .since = since, .until = until, .now = now, .what = what, .asked = true};

    return tell(&coverage, err);
}

int iol_coverage_tell(struct iol_db *db, const struct iol_options *options, struct iol_error *err)
{
    struct coverage coverage = {.db = db,
                                .since = options->since,
                                .until = options->until,
                                .now = options->now,
                                .what = "",
                                .asked = options->since != IOL_NULL || options->until != IOL_NULL};

    return coverage.asked || options->format == IOL_FORMAT_TABLE ? tell(&coverage, err) : 0;
}
