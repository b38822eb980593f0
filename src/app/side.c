// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/side.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/options.h"
#include "app/question.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "core/row.h"
#include "store/ask.h"
#include "store/reader.h"
#include "store/url.h"

void iol_side_done(struct iol_side *side)
{
    iol_db_close(TAKE_PTR(side->db));
    free(TAKE_PTR(side->host));
}

static int not_understood(const char *typed, struct iol_error *err)
{
    iol_error_set(err, -EINVAL, "'%s' is neither a recording nor a span of time", typed);
    if (access(typed, F_OK) == 0)
        iol_error_hint(err, "for an SQLite file write 'sqlite:%s'", typed);
    else
        iol_error_hint(err,
                       "write last, last~1, recording:ID, SINCE..UNTIL, a ledger's URL, or URL#last; 'ioledger diff' "
                       "lists the recordings");
    return -EINVAL;
}

static bool is_url(const char *text)
{
    return iol_url_rest(text, "sqlite") || iol_url_is_postgres(text) || iol_url_is_clickhouse(text);
}

static int take_bound(const char *text, size_t length, int64_t now, int64_t *ret_ns, struct iol_error *err)
{
    _cleanup_free_ char *copy = strndup(text, length);

    if (!copy)
        return iol_question_no_memory(err);
    return *copy ? iol_option_time(copy, now, ret_ns, err) : 0;
}

static int take_span(const char *text, const char *dots, int64_t now, struct iol_side *side, struct iol_error *err)
{
    int r = take_bound(text, (size_t)(dots - text), now, &side->since, err);

    if (r == 0)
        r = take_bound(dots + 2, strlen(dots + 2), now, &side->until, err);
    if (r == 0 && side->since != IOL_NULL && side->until != IOL_NULL && side->until <= side->since)
        return iol_error_set(err, -EINVAL, "'%s' ends before it begins", text);
    side->span = true;
    return r;
}

/* The id, or how many recordings it is before the last one; false: it is no recording. */
static bool take_name(const char *text, int64_t *ret_id, size_t *ret_before)
{
    bool last = strncmp(text, "last", 4) == 0, id = strncmp(text, "recording:", 10) == 0;
    const char *number = last ? text + 4 : id ? text + 10 : text;
    char *end;

    if (last && *number == '\0') {
        *ret_before = 0;
        return true;
    }
    if (last && *number++ != '~')
        return false;
    if (*number == '\0' || (last && (*number < '0' || *number > '9')))
        return false;
    errno = 0;
    *ret_id = strtoll(number, &end, 10);
    *ret_before = last ? (size_t)*ret_id : SIZE_MAX;
    return *end == '\0' && errno == 0;
}

static int take_recording(const struct iol_query *query, struct iol_side *side, struct iol_error *err)
{
    const char *started = iol_query_text(query, IOL_RECORDINGS_STARTED),
               *ended = iol_query_text(query, IOL_RECORDINGS_ENDED);
    const char *host = iol_query_text(query, IOL_RECORDINGS_HOST);

    free(TAKE_PTR(side->host));
    side->host = host ? strdup(host) : NULL;
    side->until = IOL_NULL;
    if (host && !side->host)
        return iol_question_no_memory(err);
    if (!started || !iol_text_parse_time(started, &side->since))
        side->since = IOL_NULL;
    if (ended)
        iol_text_parse_time(ended, &side->until);
    return 0;
}

static int find_recording(const char *text, struct iol_side *side, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int64_t id = 0;
    size_t before = 0, n = 0;
    int r;

    if (!take_name(text, &id, &before))
        return not_understood(side->typed, err);
    r = iol_ask_recordings(side->db, true, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (before == SIZE_MAX ? iol_query_int(query, IOL_RECORDINGS_ID) == id : n == before)
            return take_recording(query, side, err);
        n++;
    }
    if (r < 0)
        return r;
    iol_error_set(err, -ENOENT, "there is no recording '%s' in that ledger, which has %zu", text, n);
    iol_error_hint(err, "'ioledger diff' lists them");
    return -ENOENT;
}

static bool is_recording(const char *text)
{
    int64_t id;
    size_t before;

    return take_name(text, &id, &before);
}

/* The '#' behind which there is a recording or a span, not a part of the URL; NULL: there is none. */
static const char *find_fragment(const char *typed)
{
    const char *hash = strrchr(typed, '#');

    return hash && (strstr(hash, "..") || is_recording(hash + 1)) ? hash : NULL;
}

int iol_side_open(const char *typed, const struct iol_options *options, struct iol_side *side, struct iol_error *err)
{
    const char *rest = typed, *hash = NULL, *dots;
    _cleanup_free_ char *url = NULL;
    int r;

    *side = (struct iol_side){.typed = typed, .since = IOL_NULL, .until = IOL_NULL};
    if (is_url(typed)) {
        hash = find_fragment(typed);
        rest = hash ? hash + 1 : "";
        url = strndup(typed, hash ? (size_t)(hash - typed) : strlen(typed));
        if (!url)
            return iol_question_no_memory(err);
    }
    dots = strstr(rest, "..");
    if (dots)
        r = take_span(rest, dots, options->now, side, err);
    else
        r = url || is_recording(rest) ? 0 : not_understood(typed, err);
    if (r == 0)
        r = iol_db_open_host(url ? url : options->db, options->verbose, options->host, &side->db, err);
    if (r == 0 && !dots && (*rest || !url))
        r = find_recording(rest, side, err);
    return r;
}
