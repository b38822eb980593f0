// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/options.h"
#include "app/output.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/ask.h"
#include "store/reader.h"

#define NS_PER_MS INT64_C(1000000)
#define MS_PER_S 1000
#define DEFAULT_SPAN_NS (300 * 1000 * NS_PER_MS)

enum {
    FLEET_HOST,
    FLEET_SEEN,
    FLEET_LAG,
    FLEET_ENDED,
    FLEET_VERSION,
    FLEET_KERNEL,
    FLEET_OPS,
    FLEET_READ,
    FLEET_WRITE,
    FLEET_LOSSES,
    FLEET_REASONS,
    FLEET_COLUMNS
};

static const struct iol_output_column columns[FLEET_COLUMNS] = {
    [FLEET_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END},
    [FLEET_SEEN] = {"last_seen", "LAST SEEN", IOL_CELL_TIME},
    [FLEET_LAG] = {"lag_ms", "LAG", IOL_CELL_NUMBER}, /* in a table a text */
    [FLEET_ENDED] = {"ended", "ENDED", IOL_CELL_TIME, .hide = IOL_HIDE_EMPTY, .drop = 2},
    [FLEET_VERSION] = {"version", "VERSION", IOL_CELL_TEXT, .drop = 1},
    [FLEET_KERNEL] = {"kernel", "KERNEL", IOL_CELL_TEXT, .drop = 3},
    [FLEET_OPS] = {"ops_per_s", "OPS/s", IOL_CELL_COUNT},
    [FLEET_READ] = {"read_bytes_per_s", "READ/s", IOL_CELL_BYTES},
    [FLEET_WRITE] = {"write_bytes_per_s", "WRITTEN/s", IOL_CELL_BYTES},
    [FLEET_LOSSES] = {"losses", "LOST", IOL_CELL_COUNT},
    [FLEET_REASONS] = {"loss_reasons", NULL, IOL_CELL_TEXT},
};

static const struct iol_usage usage = {
    .summary = "Shows the hosts of a ledger, one a line: when each was last heard of, how far what is stored of it is "
               "behind, what records it, how much it reads and writes, and what detail was lost.",
    .details = "LAG is the time since the newest batch that is stored was closed: some seconds of a host that is being "
               "recorded; more when its rows wait or it is down; below zero when its clock is ahead of this one. "
               "ENDED is when its latest recording ended. Operations and bytes a second are averages over the span, "
               "of the intervals that ended in it, and LOST counts what was lost in it: the last 5 minutes, or --since "
               "and --until. Programs get the reasons too.\n\n"
               "Examples:\n"
               "  ioledger fleet\n"
               "  ioledger fleet --since '1 hour ago'\n"
               "  ioledger fleet --format json | jq '.[] | select(.lag_ms > 60000)'\n\n"
               "Exit status: 0 there are hosts; 1 there are none (json: an empty array, csv: the header only), or a "
               "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_HOST | IOL_COMMON_FORMAT | IOL_COMMON_SPAN,
};

/* What one host lost, in all and as "REASON: N; REASON: N". */
struct losses {
    struct losses *next;
    int64_t host_id, lost;
    const char *reasons;
};

struct fleet {
    struct iol_arena *arena;
    struct iol_db *db;
    struct iol_ask ask;
    int64_t now, span_ms;
    bool table;
    struct losses *losses;
};

static void done_fleet(struct fleet *fleet)
{
    iol_db_close(fleet->db);
    iol_arena_free(fleet->arena);
}

static struct losses *find_losses(const struct fleet *fleet, int64_t host_id)
{
    struct losses *losses = fleet->losses;

    while (losses && losses->host_id != host_id)
        losses = losses->next;
    return losses;
}

static int add_loss(struct fleet *fleet, int64_t host_id, const char *reason, int64_t lost)
{
    _cleanup_free_ char *text = NULL;
    struct losses *losses = find_losses(fleet, host_id);

    if (!losses) {
        losses = iol_arena_alloc(fleet->arena, sizeof(*losses));
        if (!losses)
            return -1;
        *losses = (struct losses){.next = fleet->losses, .host_id = host_id, .reasons = ""};
        fleet->losses = losses;
    }
    if (asprintf(&text, "%s%s%s: %lld", losses->reasons, *losses->reasons ? "; " : "", reason, (long long)lost) < 0)
        return -1;
    losses->lost += lost;
    losses->reasons = iol_arena_dup(fleet->arena, text, strlen(text));
    return losses->reasons ? 0 : -1;
}

static int load_losses(struct fleet *fleet, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_ask_losses(fleet->db, &fleet->ask, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (add_loss(fleet, iol_query_int(query, IOL_LOSSES_HOST_ID), iol_query_text(query, IOL_LOSSES_REASON),
                     iol_query_int(query, IOL_LOSSES_LOST)) < 0)
            return iol_question_no_memory(err);
    }
    return r;
}

/* When it was last heard of, and how long ago its newest batch was closed. */
static void set_times(struct iol_output *output, const struct fleet *fleet, const struct iol_query *query,
                      char seen[static 32], char lag[static 32])
{
    const char *seen_text = iol_query_text(query, IOL_FLEET_SEEN), *batch = iol_query_text(query, IOL_FLEET_BATCH);
    int64_t seen_ns, batch_ns;
    bool is_seen = seen_text && iol_text_parse_time(seen_text, &seen_ns);

    if (batch && iol_text_parse_time(batch, &batch_ns)) {
        int64_t behind = fleet->now - batch_ns;
        char span[31];

        seen_ns = is_seen && seen_ns > batch_ns ? seen_ns : batch_ns;
        is_seen = true;
        snprintf(lag, 32, "%s%s", behind < 0 ? "-" : "", iol_text_span(span, sizeof(span), llabs(behind)));
        if (fleet->table)
            iol_output_set_text(output, FLEET_LAG, lag);
        else
            iol_output_set_int(output, FLEET_LAG, behind / NS_PER_MS);
    }
    if (is_seen)
        iol_output_set_text(output, FLEET_SEEN, iol_text_time(seen, 32, seen_ns));
}

/* A span that has no length has no rates. */
static void set_rate(struct iol_output *output, size_t column, const struct fleet *fleet, int64_t sum)
{
    if (fleet->span_ms > 0)
        iol_output_set_int(output, column, (int64_t)((double)sum * MS_PER_S / (double)fleet->span_ms));
}

static int print_host(struct iol_output *output, const struct fleet *fleet, const struct iol_query *query)
{
    const struct losses *losses = find_losses(fleet, iol_query_int(query, IOL_FLEET_HOST_ID));
    char seen[32], lag[32];

    iol_output_set_text(output, FLEET_HOST, iol_query_text(query, IOL_FLEET_HOST));
    set_times(output, fleet, query, seen, lag);
    if (!iol_query_is_null(query, IOL_FLEET_ENDED))
        iol_output_set_text(output, FLEET_ENDED, iol_query_text(query, IOL_FLEET_ENDED));
    if (!iol_query_is_null(query, IOL_FLEET_VERSION))
        iol_output_set_text(output, FLEET_VERSION, iol_query_text(query, IOL_FLEET_VERSION));
    if (!iol_query_is_null(query, IOL_FLEET_KERNEL))
        iol_output_set_text(output, FLEET_KERNEL, iol_query_text(query, IOL_FLEET_KERNEL));
    set_rate(output, FLEET_OPS, fleet, iol_query_int(query, IOL_FLEET_OPS));
    set_rate(output, FLEET_READ, fleet, iol_query_int(query, IOL_FLEET_READ_BYTES));
    set_rate(output, FLEET_WRITE, fleet, iol_query_int(query, IOL_FLEET_WRITE_BYTES));
    iol_output_set_int(output, FLEET_LOSSES, losses ? losses->lost : 0);
    if (losses) {
        iol_output_set_text(output, FLEET_REASONS, losses->reasons);
        iol_output_set_alarm(output, FLEET_LOSSES);
    }
    return iol_output_row(output);
}

static int print_fleet(const struct fleet *fleet, enum iol_format format, size_t *ret_rows, struct iol_error *err)
{
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    struct iol_output_column shown[FLEET_COLUMNS];
    int r = iol_ask_fleet(fleet->db, &fleet->ask, &query, err);

    if (r < 0)
        return r;
    memcpy(shown, columns, sizeof(shown));
    if (fleet->table)
        shown[FLEET_LAG].cell = IOL_CELL_TEXT;
    if (iol_output_new(stdout, format, shown, FLEET_COLUMNS, &output) < 0)
        return iol_question_no_memory(err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0)
        r = print_host(output, fleet, query);
    if (r == 0)
        r = iol_output_finish(output);
    *ret_rows = iol_output_rows(output);
    return r;
}

static int open_fleet(struct fleet *fleet, const struct iol_options *options, struct iol_error *err)
{
    int64_t until = options->until != IOL_NULL ? options->until : options->now;

    fleet->table = options->format == IOL_FORMAT_TABLE;
    fleet->now = options->now;
    fleet->ask = (struct iol_ask){.since = options->since != IOL_NULL ? options->since : until - DEFAULT_SPAN_NS,
                                  .until = options->until};
    fleet->span_ms = (until - fleet->ask.since) / NS_PER_MS;
    fleet->arena = iol_arena_new();
    if (!fleet->arena)
        return iol_question_no_memory(err);
    return iol_db_open_host(options->db, options->verbose, options->host, &fleet->db, err);
}

static void tell_span(const struct fleet *fleet)
{
    int64_t since = fleet->ask.since;
    char from[32], to[32], length[32];

    iol_log_info("note: rates and losses are of the %s from %.19s to %.19s",
                 iol_text_span(length, sizeof(length), fleet->span_ms * NS_PER_MS),
                 iol_text_time(from, sizeof(from), since),
                 iol_text_time(to, sizeof(to), since + fleet->span_ms * NS_PER_MS));
}

int iol_cmd_fleet(int argc, char **argv)
{
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_fleet) struct fleet fleet = {0};
    size_t rows = 0;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, NULL, &options, &status))
        return status;
    r = open_fleet(&fleet, &options, &err);
    if (r == 0)
        r = load_losses(&fleet, &err);
    if (r == 0)
        r = print_fleet(&fleet, options.format, &rows, &err);
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    if (rows > 0 && fleet.table)
        tell_span(&fleet);
    else if (fleet.table)
        iol_log_info("no host has recorded into this ledger");
    return rows > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
