// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/control_client.h"
#include "app/options.h"
#include "app/output.h"
#include "app/status_page.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#define PATIENCE_MS 5000 /* for an answer: a recorder is busy for some ms at a time */
#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

/* The columns of json and csv: the whole answer, under its own keys. */
static const struct {
    const char *key;
    enum iol_cell cell;
} fields[] = {
    {"pid", IOL_CELL_NUMBER},
    {"version", IOL_CELL_TEXT},
    {"state", IOL_CELL_TEXT},            /* recording, or ending: the last rows are being written */
    {"recording_id", IOL_CELL_NUMBER},   /* recording.id */
    {"started", IOL_CELL_TEXT},          /* recording.started */
    {"uptime_ms", IOL_CELL_NUMBER},      /* since it counts */
    {"db", IOL_CELL_TEXT},               /* without its password */
    {"scope", IOL_CELL_TEXT},            /* recording.scope: what is recorded, and the rules */
    {"probes", IOL_CELL_TEXT},           /* recording.probes */
    {"uncovered", IOL_CELL_TEXT},        /* a route that this kernel does not tell of */
    {"interval_ms", IOL_CELL_NUMBER},    /* --interval */
    {"accounts", IOL_CELL_NUMBER},       /* in use */
    {"accounts_max", IOL_CELL_NUMBER},   /* --max-accounts */
    {"processes_held", IOL_CELL_NUMBER}, /* in memory */
    {"files_held", IOL_CELL_NUMBER},     /* in memory */
    {"processes", IOL_CELL_NUMBER},      /* seen so far */
    {"files", IOL_CELL_NUMBER},          /* touched so far */
    {"ops", IOL_CELL_NUMBER},            /* posted so far; as with the two that follow */
    {"read_bytes", IOL_CELL_NUMBER},
    {"write_bytes", IOL_CELL_NUMBER},
    {"excluded_ops", IOL_CELL_NUMBER}, /* the recorder's own, and its database server's */
    {"ignored_ops", IOL_CELL_NUMBER},  /* by rules */
    {"ops_per_s", IOL_CELL_NUMBER},    /* in the last interval posted; as with the two that follow */
    {"read_bytes_per_s", IOL_CELL_NUMBER},
    {"write_bytes_per_s", IOL_CELL_NUMBER},
    {"rows_per_s", IOL_CELL_NUMBER},          /* committed, in the last interval */
    {"database", IOL_CELL_TEXT},              /* ok, or away: the last try failed */
    {"lag_ms", IOL_CELL_NUMBER},              /* since the end of the last interval of which all is in the database */
    {"rows", IOL_CELL_NUMBER},                /* committed */
    {"batches", IOL_CELL_NUMBER},             /* committed */
    {"queued_batches", IOL_CELL_NUMBER},      /* that wait, in memory or in the spool, or are being written */
    {"queued_bytes", IOL_CELL_NUMBER},        /* that they take there */
    {"oldest_ms", IOL_CELL_NUMBER},           /* age of the oldest of them */
    {"postponed_intervals", IOL_CELL_NUMBER}, /* that became part of the next one, because the queue was full */
    {"retries", IOL_CELL_NUMBER},             /* tries to write that failed */
    {"rejected_batches", IOL_CELL_NUMBER},    /* that the database will never take */
    {"rejected_rows", IOL_CELL_NUMBER},
    {"last_error", IOL_CELL_TEXT}, /* of the database, since the start */
    {"last_error_time", IOL_CELL_TEXT},
    {"spool", IOL_CELL_TEXT},           /* its folder; null: there is none */
    {"spool_batches", IOL_CELL_NUMBER}, /* that wait in it */
    {"spool_rows", IOL_CELL_NUMBER},
    {"spool_bytes", IOL_CELL_NUMBER},         /* on disk */
    {"spool_merged", IOL_CELL_NUMBER},        /* batches that became part of others, because it was full */
    {"quarantined_batches", IOL_CELL_NUMBER}, /* in its quarantine */
    {"spool_error", IOL_CELL_TEXT},           /* why it takes nothing now */
    {"losses", IOL_CELL_NUMBER},              /* of detail; the sum of those by reason */
    {"lost_accounts_full", IOL_CELL_NUMBER},
    {"lost_file_records", IOL_CELL_NUMBER},
    {"lost_scratch", IOL_CELL_NUMBER},
    {"lost_process_records", IOL_CELL_NUMBER},
    {"lost_events", IOL_CELL_NUMBER},
    {"lost_tasks_full", IOL_CELL_NUMBER},
    {"lost_over_budget", IOL_CELL_NUMBER},
    {"lost_ring_events", IOL_CELL_NUMBER},
    {"lost_uring_bytes", IOL_CELL_NUMBER},
    {"lost_uring_completions", IOL_CELL_NUMBER},
    {"lost_aio_bytes", IOL_CELL_NUMBER},
    {"lost_aio_operations", IOL_CELL_NUMBER},
    {"lost_renamed", IOL_CELL_NUMBER},
    {"lost_left_out", IOL_CELL_NUMBER},
    {"lost_processes_left_out", IOL_CELL_NUMBER},
    {"lost_tasks_unjudged", IOL_CELL_NUMBER},
    {"bad_records", IOL_CELL_NUMBER},    /* from the kernel, that could not be understood: 0 */
    {"resident_bytes", IOL_CELL_NUMBER}, /* memory of the recorder */
    {"maps_bytes", IOL_CELL_NUMBER},     /* memory in the kernel */
    {"cpu_ms", IOL_CELL_NUMBER},         /* user and system time so far */
    {"start_cpu_ms", IOL_CELL_NUMBER},   /* of that, before it counted: programs are loaded, and verified */
};

/* One line for each of several. */
enum {
    LINE_PID,
    LINE_UPTIME,
    LINE_RATE,
    LINE_ACCOUNTS,
    LINE_ROWS,
    LINE_QUEUED,
    LINE_LAG,
    LINE_LOSSES,
    LINE_DB,
    LINE_SCOPE,
    LINE_COLUMNS
};

static const struct iol_output_column line_columns[LINE_COLUMNS] = {
    [LINE_PID] = {"pid", "PID", IOL_CELL_NUMBER},
    [LINE_UPTIME] = {"uptime_ms", "UP", IOL_CELL_TEXT},
    [LINE_RATE] = {"ops_per_s", "OPS/S", IOL_CELL_COUNT},
    [LINE_ACCOUNTS] = {"accounts", "ACCOUNTS", IOL_CELL_COUNT, .drop = 3},
    [LINE_ROWS] = {"rows", "ROWS", IOL_CELL_COUNT, .drop = 2},
    [LINE_QUEUED] = {"queued_batches", "WAITING", IOL_CELL_COUNT, .drop = 1},
    [LINE_LAG] = {"lag_ms", "LAG", IOL_CELL_TEXT},
    [LINE_LOSSES] = {"losses", "LOSSES", IOL_CELL_COUNT},
    [LINE_DB] = {"db", "DATABASE", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = 16},
    [LINE_SCOPE] = {"scope", "SCOPE", IOL_CELL_TEXT, IOL_SHORTEN_END, IOL_HIDE_EMPTY, .drop = 4},
};

enum { KEY_PID = 0x200, KEY_CONTROL, KEY_WATCH };

static const struct argp_option own_options[] = {
    {"pid", KEY_PID, "N", 0, "Only the recorder with this process id", 0},
    {"control", KEY_CONTROL, "PATH", 0, "The recorder that was started with this --control", 0},
    {"watch", KEY_WATCH, "TIME", OPTION_ARG_OPTIONAL, "Again and again, every second or every TIME, until Ctrl-C", 0},
    {0},
};

struct status_options {
    int64_t pid; /* 0: all */
    const char *control;
    int64_t watch_ns; /* 0: once */
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct status_options *options = input;
    int r;

    switch (key) {
    case KEY_PID:
        return iol_option_pid(text, &options->pid, err);
    case KEY_CONTROL:
        return iol_option_text(text, &options->control, err);
    case KEY_WATCH:
        options->watch_ns = NS_PER_S;
        r = text ? iol_option_duration(text, &options->watch_ns, err) : 0;
        if (r == 0 && (options->watch_ns < 100 * NS_PER_MS || options->watch_ns > 86400LL * NS_PER_S))
            return iol_error_set(err, -EINVAL, "'%s' is not between 100ms and 1d", text);
        return r;
    default:
        return iol_error_set(err, -EINVAL, "unknown option");
    }
}

static const struct iol_usage usage = {
    .summary =
        "Tells what the running recorder does: since when, of what and to where it records, how fast, what waits "
        "for the database and for how long, what was lost, and what it costs. Of several recorders a table has "
        "one line each; --pid chooses one.",
    .details = "Recorders of this user are asked; of root, when run as root. json and csv have exact numbers: bytes, "
               "milliseconds, and times in UTC.\n\n"
               "Examples:\n"
               "  sudo ioledger status\n"
               "  sudo ioledger status --watch\n"
               "  sudo ioledger status --pid 4711 --format json | jq '.[0].lag_ms'\n\n"
               "Exit status: 0 each recorder has answered; 1 none is running, or one does not answer; 2 bad usage.",
    .common = IOL_COMMON_FORMAT,
    .options = own_options,
    .option = take_option,
};

static void done_output(struct iol_output **output)
{
    iol_output_free(*output);
}

static void done_answers(json_t **answers)
{
    json_decref(*answers);
}

static int print_all(const json_t *answers, enum iol_format format)
{
    _cleanup_(done_output) struct iol_output *output = NULL;
    struct iol_output_column columns[IOL_ARRAY_SIZE(fields)];
    int r;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(fields); i++)
        columns[i] = (struct iol_output_column){.key = fields[i].key, .cell = fields[i].cell};
    r = iol_output_new(stdout, format, columns, IOL_ARRAY_SIZE(fields), &output);
    for (size_t i = 0; r == 0 && i < json_array_size(answers); i++) {
        const json_t *status = json_array_get(answers, i);

        for (size_t c = 0; c < IOL_ARRAY_SIZE(fields); c++) {
            if (!iol_status_has(status, fields[c].key))
                continue;
            if (fields[c].cell == IOL_CELL_TEXT)
                iol_output_set_text(output, c, iol_status_text(status, fields[c].key));
            else
                iol_output_set_int(output, c, iol_status_int(status, fields[c].key));
        }
        r = iol_output_row(output);
    }
    return r == 0 ? iol_output_finish(output) : r;
}

static int print_line(struct iol_output *output, const json_t *status)
{
    char uptime[32], lag[32];

    for (size_t c = 0; c < LINE_COLUMNS; c++) {
        if (line_columns[c].cell == IOL_CELL_TEXT)
            iol_output_set_text(output, c, iol_status_text(status, line_columns[c].key));
        else
            iol_output_set_int(output, c, iol_status_int(status, line_columns[c].key));
    }
    iol_output_set_text(output, LINE_UPTIME,
                        iol_text_span(uptime, sizeof(uptime), iol_status_int(status, "uptime_ms") * NS_PER_MS));
    iol_output_set_text(output, LINE_LAG,
                        iol_text_span(lag, sizeof(lag), iol_status_int(status, "lag_ms") * NS_PER_MS));
    if (iol_status_is_away(status))
        iol_output_set_alarm(output, LINE_LAG);
    if (iol_status_int(status, "losses") > 0)
        iol_output_set_alarm(output, LINE_LOSSES);
    return iol_output_row(output);
}

static int print_table(const json_t *answers)
{
    _cleanup_(done_output) struct iol_output *output = NULL;
    int r;

    if (json_array_size(answers) == 1)
        return iol_status_page_print(json_array_get(answers, 0), stdout);
    r = iol_output_new(stdout, IOL_FORMAT_TABLE, line_columns, LINE_COLUMNS, &output);
    for (size_t i = 0; r == 0 && i < json_array_size(answers); i++)
        r = print_line(output, json_array_get(answers, i));
    return r == 0 ? iol_output_finish(output) : r;
}

/* The answers of all; one that does not answer is told. Returns how many did not, or -errno with *err. */
static int collect(const struct status_options *options, json_t *answers, struct iol_error *err)
{
    struct iol_recorders recorders;
    int failed = 0;
    int r = iol_recorders_find(options->control, (pid_t)options->pid, &recorders, err);

    if (r < 0)
        return r;
    /* all first: they do not wait for long */
    for (size_t i = 0; i < recorders.n; i++)
        iol_recorder_send(&recorders.items[i], "status", NULL);
    for (size_t i = 0; i < recorders.n; i++) {
        json_t *status = NULL;
        struct iol_error trouble = {0};

        r = iol_recorder_receive_status(&recorders.items[i], PATIENCE_MS, &status, &trouble);
        if (r == 0)
            json_array_append_new(answers, status);
        else
            iol_command_fail(&trouble);
        failed += r < 0;
    }
    iol_recorders_done(&recorders);
    return failed;
}

static int tell(const struct status_options *options, enum iol_format format)
{
    _cleanup_(done_answers) json_t *answers = json_array();
    struct iol_error err = {0};
    int failed = collect(options, answers, &err), r = 0;

    if (options->watch_ns && isatty(STDOUT_FILENO))
        fputs("\033[H\033[J", stdout);
    if (format != IOL_FORMAT_TABLE)
        r = print_all(answers, format);
    else if (json_array_size(answers) > 0)
        r = print_table(answers);
    if (failed < 0)
        return iol_command_fail(&err);
    return failed > 0 || r < 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}

int iol_cmd_status(int argc, char **argv)
{
    struct status_options own = {0};
    struct iol_options options;
    struct iol_error err = {0};
    int status;

    if (!iol_options_parse(&usage, argc, argv, &own, &options, &status))
        return status;
    if (own.watch_ns && options.format != IOL_FORMAT_TABLE) {
        iol_error_set(&err, -EINVAL, "--watch is for tables only");
        return iol_options_fail("status", &err);
    }
    for (;;) {
        status = tell(&own, options.format);
        if (!own.watch_ns || status != IOL_EXIT_OK || fflush(stdout) != 0)
            return status;
        poll(NULL, 0, (int)(own.watch_ns / NS_PER_MS));
        if (!isatty(STDOUT_FILENO))
            putchar('\n');
    }
}
