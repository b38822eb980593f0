// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/status_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "app/control_client.h"
#include "app/status.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "core/account.h"
#include "core/loss.h"

#define NS_PER_MS 1000000
#define LABEL 11
#define SHORT 32

/* A label and what there is to say; nothing in it that a terminal would obey. */
__attribute__((format(printf, 3, 4))) static void say(FILE *to, const char *label, const char *format, ...)
{
    _cleanup_free_ char *raw = NULL;
    char *visible;
    size_t size;
    va_list args;

    va_start(args, format);
    if (vasprintf(&raw, format, args) < 0)
        raw = NULL;
    va_end(args);
    if (!raw)
        return;
    size = iol_text_visible(NULL, 0, raw) + 1;
    visible = malloc(size);
    if (visible) {
        iol_text_visible(visible, size, raw);
        fprintf(to, "%*s  %s\n", LABEL, label, visible);
    }
    free(visible);
}

static const char *text(const json_t *status, const char *key)
{
    const char *found = iol_status_text(status, key);

    return found ? found : "?";
}

static const char *count(char *buf, const json_t *status, const char *key)
{
    return iol_text_count(buf, SHORT, (uint64_t)iol_status_int(status, key));
}

static const char *size_of(char *buf, const json_t *status, const char *key)
{
    return iol_text_size(buf, SHORT, (uint64_t)iol_status_int(status, key));
}

static const char *span(char *buf, const json_t *status, const char *key)
{
    long long ms = iol_status_int(status, key);

    return iol_text_span(buf, SHORT, ms < INT64_MAX / NS_PER_MS ? ms * NS_PER_MS : INT64_MAX);
}

/* "1 batch", "12.3K batches" */
static const char *some(char *buf, const json_t *status, const char *key, const char *one, const char *many)
{
    uint64_t n = (uint64_t)iol_status_int(status, key);
    char number[SHORT];

    snprintf(buf, SHORT, "%s %s", iol_text_count(number, sizeof(number), n), iol_text_plural(n, one, many));
    return buf;
}

bool iol_status_is_away(const json_t *status)
{
    return strcmp(text(status, "database"), "away") == 0;
}

static void say_recording(const json_t *status, FILE *to)
{
    char uptime[SHORT], interval[SHORT];
    const char *scope = text(status, "scope");

    say(to, "recorder", "%lld (ioledger %s), %s for %s", iol_status_int(status, "pid"), text(status, "version"),
        text(status, "state"), span(uptime, status, "uptime_ms"));
    say(to, "recording", "%lld, since %.19s UTC", iol_status_int(status, "recording_id"), text(status, "started"));
    say(to, "database", "%s", text(status, "db"));
    say(to, "scope", "%s", *scope ? scope : "the whole machine");
    say(to, "probes", "%s, posted every %s", text(status, "probes"), span(interval, status, "interval_ms"));
    if (iol_status_has(status, "uncovered"))
        say(to, "", "this kernel does not tell of %s", text(status, "uncovered"));
}

static void say_counted(const json_t *status, FILE *to)
{
    char a[SHORT], b[SHORT], c[SHORT];

    say(to, "rates", "%s operations/s, %s/s read, %s/s written", count(a, status, "ops_per_s"),
        size_of(b, status, "read_bytes_per_s"), size_of(c, status, "write_bytes_per_s"));
    say(to, "so far", "%s, %s read, %s written", some(a, status, "ops", "operation", "operations"),
        size_of(b, status, "read_bytes"), size_of(c, status, "write_bytes"));
    say(to, "accounts", "%s of %s in use", count(a, status, "accounts"), count(b, status, "accounts_max"));
    say(to, "held", "%s, %s", some(a, status, "processes_held", "process", "processes"),
        some(b, status, "files_held", "file", "files"));
}

static void say_stored(const json_t *status, FILE *to)
{
    char a[SHORT], b[SHORT], c[SHORT], d[SHORT];

    say(to, "stored", "%s in %s, %s rows/s; the database is %s behind", some(a, status, "rows", "row", "rows"),
        some(b, status, "batches", "batch", "batches"), count(c, status, "rows_per_s"), span(d, status, "lag_ms"));
    if (iol_status_int(status, "queued_batches") > 0)
        say(to, "waiting", "%s, %s, the oldest for %s", some(a, status, "queued_batches", "batch", "batches"),
            size_of(b, status, "queued_bytes"), span(c, status, "oldest_ms"));
    else
        say(to, "waiting", "nothing");
    if (iol_status_is_away(status))
        say(to, "AWAY", "the database does not take rows; %s failed so far",
            some(a, status, "retries", "try", "tries"));
    if (iol_status_has(status, "spool"))
        say(to, "spool", "%s, %s", size_of(a, status, "spool_bytes"), text(status, "spool"));
    if (iol_status_has(status, "spool_error"))
        say(to, "SPOOL", "takes nothing: %s", text(status, "spool_error"));
    if (iol_status_int(status, "spool_merged") > 0)
        say(to, "", "%s merged with others, as it was full",
            some(a, status, "spool_merged", "batch was", "batches were"));
    if (iol_status_int(status, "quarantined_batches") > 0)
        say(to, "", "%s set aside in its quarantine",
            some(a, status, "quarantined_batches", "batch is", "batches are"));
    if (iol_status_int(status, "postponed_intervals") > 0)
        say(to, "", "%s had to wait in the kernel", some(a, status, "postponed_intervals", "interval", "intervals"));
    if (iol_status_int(status, "rejected_batches") > 0)
        say(to, "REFUSED", "%s with %s, by the database", some(a, status, "rejected_batches", "batch", "batches"),
            some(b, status, "rejected_rows", "row", "rows"));
    if (iol_status_has(status, "last_error"))
        say(to, "last error", "%.19s UTC: %s", text(status, "last_error_time"), text(status, "last_error"));
}

static void say_lost(const json_t *status, FILE *to)
{
    const char *label = "losses";
    char a[SHORT];

    if (iol_status_int(status, "losses") == 0)
        say(to, label, "none");
    for (int i = 0; i < IOL_LOST_COUNT; i++) {
        if (iol_status_int(status, iol_status_loss_key(i)) == 0)
            continue;
        say(to, label, "%s: %s", some(a, status, iol_status_loss_key(i), "time", "times"), iol_lost_reason(i));
        label = "";
    }
    if (iol_status_int(status, "bad_records") > 0)
        say(to, "", "%s from the kernel could not be understood", some(a, status, "bad_records", "record", "records"));
}

int iol_status_page_print(const json_t *status, FILE *to)
{
    char a[SHORT], b[SHORT], c[SHORT];
    long long uptime = iol_status_int(status, "uptime_ms");
    long long used = iol_status_int(status, "cpu_ms") - iol_status_int(status, "start_cpu_ms");
    double share = uptime > 0 ? 100.0 * (double)used / (double)uptime : 0;

    say_recording(status, to);
    say_counted(status, to);
    say_stored(status, to);
    say_lost(status, to);
    say(to, "memory", "%s resident, %s in the kernel", size_of(a, status, "resident_bytes"),
        size_of(b, status, "maps_bytes"));
    say(to, "CPU", "%s, %.1f %% of one since it counts", span(c, status, "cpu_ms"), share);
    return ferror(to) ? -EIO : 0;
}

void iol_status_page_sum(const json_t *status, char *buf, size_t size)
{
    char uptime[SHORT], ops[SHORT], read[SHORT], written[SHORT];

    snprintf(buf, size, "recorded %s: %s, %s read, %s written; stored %lld %s in %s%s",
             span(uptime, status, "uptime_ms"), some(ops, status, "ops", "operation", "operations"),
             size_of(read, status, "read_bytes"), size_of(written, status, "write_bytes"),
             iol_status_int(status, "rows"), iol_text_plural((uint64_t)iol_status_int(status, "rows"), "row", "rows"),
             text(status, "db"), iol_status_int(status, "losses") ? "" : "; no losses");
}
