// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/rates.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/loss.h"
#include "store/url.h"

#define NS_PER_S 1000000000.0
#define SHORT 16

static uint64_t count_losses(const struct iol_account_stats *accounts)
{
    uint64_t losses = 0;

    for (int i = 0; i < IOL_LOST_COUNT; i++)
        losses += accounts->lost[i];
    return losses;
}

static unsigned int terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void iol_progress_clear(struct iol_progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

static void tell_about_database(struct iol_progress *progress, const struct iol_writer_stats *writer)
{
    if (writer->down == progress->was_down || (!writer->down && writer->batches == 0))
        return;
    iol_progress_clear(progress);
    if (writer->down)
        iol_log_warning("the database does not take rows, they wait %s: %s",
                        writer->spooled ? "in the spool" : "in memory", writer->last_error);
    else
        iol_log_warning("the database takes rows again");
    progress->was_down = writer->down;
}

static void tell_about_spool(struct iol_progress *progress, const struct iol_writer_stats *writer)
{
    bool merges = writer->spool.merged > 0;

    if (writer->spool_failed != progress->spool_failed) {
        iol_progress_clear(progress);
        if (writer->spool_failed)
            iol_log_warning("the spool takes nothing, rows wait in memory: %s", writer->spool_error);
        else
            iol_log_warning("the spool takes rows again");
    }
    if (merges && !progress->merges) {
        iol_progress_clear(progress);
        iol_log_warning("the spool is full: intervals that wait are merged into longer ones, totals stay");
    }
    progress->spool_failed = writer->spool_failed;
    progress->merges = merges;
}

/* Once: what it will never take is no matter of waiting, and nobody should hear of it only in the end. */
static void tell_about_refusal(struct iol_progress *progress, const struct iol_pipeline_stats *stats)
{
    bool refused = stats->writer.rejected > 0;

    if (refused && !progress->refused) {
        iol_progress_clear(progress);
        iol_log_warning("the database refuses rows%s%s: %s", stats->spool_dir ? ", they are set aside in " : "",
                        stats->spool_dir ? stats->spool_dir : "", stats->writer.last_error);
    }
    progress->refused = refused;
}

/*
 * ", 3 batches wait", ", 120 batches (3.1M) wait, 2 min", or, while they get fewer, "... wait, 12 s left"; nothing when all is as
 * usual.
 */
static void print_waiting(char *buf, size_t size, const struct iol_writer_stats *writer, const struct iol_rates *rates,
                          int64_t wall_ns)
{
    char bytes[SHORT], age[32];
    const char *left = rates->drained_per_s ? " left" : "";
    int64_t span = wall_ns - writer->oldest_ts;

    buf[0] = '\0';
    if (writer->waiting <= 2)
        return;
    iol_text_size(bytes, sizeof(bytes), writer->spool.bytes);
    if (rates->drained_per_s)
        span = (int64_t)((double)writer->spool.rows / (double)rates->drained_per_s * NS_PER_S);
    if (writer->spool.entries)
        snprintf(buf, size, ", %" PRIu64 " batches (%s) wait, %s%s", writer->waiting, bytes,
                 iol_text_span(age, sizeof(age), span), left);
    else
        snprintf(buf, size, ", %" PRIu64 " batches wait", writer->waiting);
}

/* What is not in the database, where it is, and what becomes of it. */
static void tell_what_waits(const struct iol_pipeline_stats *stats)
{
    const struct iol_spool_stats *spool = &stats->writer.spool;
    char bytes[SHORT];

    iol_text_size(bytes, sizeof(bytes), spool->bytes);
    if (spool->entries > 0)
        iol_log_warning("%" PRIu64 " %s (%s) %s in %s: the next 'ioledger record' to this database sends %s",
                        spool->rows, iol_text_plural(spool->rows, "row", "rows"), bytes,
                        iol_text_plural(spool->rows, "waits", "wait"), stats->spool_dir,
                        iol_text_plural(spool->rows, "it", "them"));
    if (spool->merged > 0)
        iol_log_warning("detail lost: %" PRIu64 " %s merged with others, as the spool was full", spool->merged,
                        iol_text_plural(spool->merged, "interval was", "intervals were"));
    if (spool->damaged > 0)
        iol_log_warning("damaged on the disk, in %s: %" PRIu64 " %s", stats->spool_dir, spool->damaged,
                        iol_text_plural(spool->damaged, "piece", "pieces"));
    if (spool->quarantined > 0)
        iol_log_warning("%" PRIu64 " %s set aside, with the reason: %s/quarantine", spool->quarantined,
                        iol_text_plural(spool->quarantined, "batch was", "batches were"), stats->spool_dir);
    else if (spool->quarantine_files > 0)
        iol_log_warning("%" PRIu64 " %s set aside by earlier recordings: %s/quarantine", spool->quarantine_files,
                        iol_text_plural(spool->quarantine_files, "batch was", "batches were"), stats->spool_dir);
}

static void tell_about_sweep(struct iol_progress *progress, const struct iol_pipeline_stats *stats)
{
    if (stats->model.sweeps == progress->sweeps)
        return;
    iol_progress_clear(progress);
    progress->sweeps = stats->model.sweeps;
    iol_log_debug("compared with the processes that run: in all, %" PRIu64 " became known so, %" PRIu64
                  " had ended unheard; held: %zu processes, %zu files, %zu of %zu accounts",
                  stats->model.found_running, stats->model.ended_unheard, stats->model.processes_held,
                  stats->model.files_held, stats->accounts.in_use, stats->accounts.slots);
}

void iol_progress_memory(const struct iol_pipeline_stats *stats, uint64_t map_memory)
{
    char resident[SHORT], maps[SHORT];
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    iol_text_size(resident, sizeof(resident), (uint64_t)usage.ru_maxrss << 10);
    iol_text_size(maps, sizeof(maps), map_memory);
    iol_log_debug(
        "held at the end: %zu processes, %zu files, %zu of %zu accounts; memory: at most %s resident, %s of BPF maps",
        stats->model.processes_held, stats->model.files_held, stats->accounts.in_use, stats->accounts.slots, resident,
        maps);
}

static bool continues_character(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Cuts its end off, to so many columns. */
static void fit(char *line, size_t columns)
{
    size_t length = strlen(line);
    bool cut = false;

    while (length > 0 && iol_text_width(line) > (cut ? columns - 3 : columns)) {
        cut = true;
        do
            length--;
        while (length > 0 && continues_character(line[length]));
        line[length] = '\0';
    }
    if (cut)
        memcpy(line + length, "...", sizeof("..."));
}

/* Appends the text: whole, or as much of its end as there is room for. That is where errors say what is wrong. */
static void append_end(char *line, size_t size, size_t columns, const char *text)
{
    size_t used = iol_text_width(line), room = columns > used + 3 ? columns - used - 3 : 0;
    bool cut = iol_text_width(text) > room + 3;

    while (cut && *text && iol_text_width(text) > room) {
        do
            text++;
        while (continues_character(*text));
    }
    used = strlen(line);
    snprintf(line + used, size - used, "%s%s", cut ? "..." : "", text);
}

static void print_away(char *buf, size_t columns, const struct iol_writer_stats *writer, uint64_t seconds,
                       int64_t wall_ns)
{
    char age[32], error[IOL_PROGRESS_LINE_MAX / 2];

    snprintf(buf, IOL_PROGRESS_LINE_MAX,
             "%02" PRIu64 ":%02" PRIu64 "  database away, %" PRIu64 " %s, %s: ", seconds / 60, seconds % 60,
             writer->waiting, iol_text_plural(writer->waiting, "batch waits", "batches wait"),
             iol_text_span(age, sizeof(age), writer->waiting > 0 ? wall_ns - writer->oldest_ts : 0));
    iol_text_visible(error, sizeof(error), writer->last_error);
    append_end(buf, IOL_PROGRESS_LINE_MAX - sizeof("..."), columns, error);
}

char *iol_progress_line(char buf[IOL_PROGRESS_LINE_MAX], size_t columns, const struct iol_pipeline_stats *stats,
                        const struct iol_rates *rates, int64_t elapsed_ns, int64_t wall_ns)
{
    const struct iol_writer_stats *writer = &stats->writer;
    char rate[SHORT], accounts[SHORT], rows[SHORT], rows_rate[SHORT + 4] = "", losses[SHORT], queued[96];
    uint64_t seconds = (uint64_t)(elapsed_ns / NS_PER_S);

    if (columns > IOL_PROGRESS_COLUMNS_MAX)
        columns = IOL_PROGRESS_COLUMNS_MAX;
    iol_text_count(rate, sizeof(rate), rates->ops_per_s);
    iol_text_count(accounts, sizeof(accounts), stats->accounts.in_use);
    iol_text_count(rows, sizeof(rows), writer->rows);
    iol_text_count(losses, sizeof(losses), count_losses(&stats->accounts));
    if (writer->waiting > 2 && rates->drained_per_s) {
        iol_text_count(queued, sizeof(queued), rates->rows_per_s);
        snprintf(rows_rate, sizeof(rows_rate), " %.12s/s", queued);
    }
    print_waiting(queued, sizeof(queued), writer, rates, wall_ns);
    if (writer->down)
        print_away(buf, columns, writer, seconds, wall_ns);
    else
        snprintf(buf, IOL_PROGRESS_LINE_MAX,
                 "%02" PRIu64 ":%02" PRIu64 "  %s ops/s  %s accounts  %s rows stored%s%s  %s losses", seconds / 60,
                 seconds % 60, rate, accounts, rows, rows_rate, queued, losses);
    fit(buf, columns);
    return buf;
}

void iol_progress_show(struct iol_progress *progress, const struct iol_pipeline_stats *stats,
                       const struct iol_rates *rates)
{
    char line[IOL_PROGRESS_LINE_MAX];
    unsigned int columns = terminal_columns();

    tell_about_database(progress, &stats->writer);
    tell_about_spool(progress, &stats->writer);
    tell_about_refusal(progress, stats);
    tell_about_sweep(progress, stats);
    if (!progress->live)
        return;
    /* a line that wraps cannot be rewritten */
    iol_progress_line(line, columns > 4 ? columns - 1 : 4, stats, rates,
                      (int64_t)(iol_boot_ns() - progress->started_ns), iol_wall_ns());
    fprintf(stderr, "\r%s\033[K", line);
    progress->shown = true;
}

static void tell_losses(const struct iol_account_stats *accounts)
{
    static const char *const what[] = {[IOL_LOSS_DETAIL] = "detail lost",
                                       [IOL_LOSS_BYTES] = "bytes unknown",
                                       [IOL_LOSS_CALLS] = "missing in the books"};

    for (int i = 0; i < IOL_LOST_COUNT; i++) {
        if (accounts->lost[i])
            iol_log_warning("%s %" PRIu64 " %s: %s", what[iol_lost_kind(i)], accounts->lost[i],
                            iol_text_plural(accounts->lost[i], "time", "times"), iol_lost_reason(i));
    }
}

void iol_progress_summary(const struct iol_progress *progress, const struct iol_pipeline_stats *stats, const char *db)
{
    const struct iol_account_stats *accounts = &stats->accounts;
    char read[SHORT], written[SHORT], ops[SHORT], excluded[SHORT], ignored[SHORT], url[IOL_ERROR_TEXT_MAX];
    uint64_t losses = count_losses(accounts);

    iol_text_size(read, sizeof(read), accounts->read_bytes);
    iol_text_size(written, sizeof(written), accounts->write_bytes);
    iol_text_count(ops, sizeof(ops), accounts->ops);
    iol_text_count(excluded, sizeof(excluded), accounts->excluded_ops);
    iol_log_info("recorded %.1f s: %" PRIu64 " %s, %" PRIu64 " %s, %s %s, %s read, %s written",
                 (double)(iol_boot_ns() - progress->started_ns) / NS_PER_S, stats->model.processes,
                 iol_text_plural(stats->model.processes, "process", "processes"), stats->model.files,
                 iol_text_plural(stats->model.files, "file", "files"), ops,
                 iol_text_plural(accounts->ops, "operation", "operations"), read, written);
    iol_text_count(ignored, sizeof(ignored), accounts->ignored_ops);
    iol_log_info("stored %" PRIu64 " %s in %s; %s%s own%s%s%s %s left out", stats->writer.rows,
                 iol_text_plural(stats->writer.rows, "row", "rows"), iol_url_redact(url, sizeof(url), db),
                 losses || stats->uncovered ? "" : "no losses; ", excluded, accounts->ignored_ops ? " and " : "",
                 accounts->ignored_ops ? ignored : "", accounts->ignored_ops ? " ignored" : "",
                 iol_text_plural(accounts->ignored_ops ? accounts->ignored_ops : accounts->excluded_ops, "operation",
                                 "operations"));
    tell_losses(accounts);
    if (stats->writer.rejected)
        iol_log_warning("the database refused %" PRIu64 " %s: %s", stats->writer.rejected_rows,
                        iol_text_plural(stats->writer.rejected_rows, "row", "rows"), stats->writer.last_error);
    tell_what_waits(stats);
    if (stats->bad_records)
        iol_log_warning("%" PRIu64 " %s from the kernel could not be understood", stats->bad_records,
                        iol_text_plural(stats->bad_records, "record", "records"));
}
