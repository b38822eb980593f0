// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "app/command.h"
#include "app/epoch.h"
#include "app/live/live.h"
#include "app/live/live_options.h"
#include "app/live/names.h"
#include "app/live/print.h"
#include "app/live/tail_line.h"
#include "app/live/watched.h"
#include "app/signals.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "core/batch.h"

#define NS_PER_MS 1000000
#define LOOK_IN_MS 100 /* at the ring buffer, when it does not call before: how late a line may be */

enum { KEY_IO = IOL_LIVE_OWN_KEYS, KEY_JSON, KEY_FULL, KEY_OUTPUT };

static const struct argp_option own_options[] = {
    {"io", KEY_IO, NULL, 0, "Also what each process has read from and written to each file, once an interval", 0},
    {"json", KEY_JSON, NULL, 0, "One JSON object a line, with exact numbers", 0},
    {"full", KEY_FULL, NULL, 0, "Do not cut lines at the width of the terminal", 0},
    {"count", 'n', "COUNT", 0, "End after so many lines", 0},
    {"output", KEY_OUTPUT, "FILE", 0, "Write what CMD prints to FILE", 0},
    {0},
};

struct tail_options {
    struct iol_record_options record;
    bool io, json, full;
    int64_t count; /* of lines; 0: no end */
    const char *output;
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct tail_options *options = input;
    int r;

    switch (key) {
    case KEY_IO:
        options->io = true;
        return 0;
    case KEY_JSON:
        options->json = true;
        return 0;
    case KEY_FULL:
        options->full = true;
        return 0;
    case KEY_OUTPUT:
        return iol_option_text(text, &options->output, err);
    default:
        r = iol_option_count(text, &options->count, err);
        return r == 0 && options->count == 0 ? iol_error_set(err, -EINVAL, "at least 1") : r;
    }
}

static const struct iol_usage usage = {
    .arguments = "[[--] CMD [ARG...]]",
    .summary = "Prints execs with their arguments, exits, forks and the events of rules as they come, until Ctrl-C, "
               "--duration, --count or the end of CMD. With CMD it is about CMD and its descendants only. It has a "
               "ring buffer of its own: whatever it is slowed down by, no recorder is, and "
               "what it misses it tells, as lines of the kind 'loss'. Times are UTC.",
    .details =
        "Of several filters of one kind a process has to meet one, of each kind that is given. PATTERN is as in "
        "'ioledger record --help'. What CMD writes to its standard output goes to standard error, or to the file of "
        "--output: on standard output are lines only.\n\n"
        "Examples:\n"
        "  sudo ioledger tail\n"
        "  sudo ioledger tail --uid www-data --io\n"
        "  sudo ioledger tail --every '/etc/** if comm=sh'\n"
        "  sudo ioledger tail --events rename,unlink --full\n"
        "  sudo ioledger tail --io -- make\n"
        "  sudo ioledger tail --json | jq -r 'select(.kind == \"exec\") | .argv'\n\n"
        "NO_COLOR in the environment is heeded.\n\n"
        "Exit status: that of CMD, if there is one; else 0, also when nobody reads the lines any more; 1 a "
        "failure; 2 bad "
        "usage; 126 or 127 when CMD cannot be run.",
    .common = IOL_COMMON_QUIET | IOL_COMMON_COMMAND,
    .max_args = SIZE_MAX,
    .options = own_options,
    .option = take_option,
};

struct session {
    const struct tail_options *options;
    struct iol_live *live;
    struct iol_live_names *names;
    struct iol_tail_format format;
    struct iol_watched watched;
    uint64_t next_post_ns, end_ns;
    int64_t lines;
};

/* 1: nobody reads it any more. */
static int print_batch(struct session *session, const struct iol_batch *batch)
{
    int64_t most = session->options->count ? session->options->count - session->lines : INT64_MAX, n;
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&text, &size);

    if (!to)
        return -ENOMEM;
    n = iol_tail_lines(&session->format, batch, most, to);
    if (fclose(to) != 0 || n < 0)
        return -ENOMEM;
    session->lines += n;
    return iol_live_print(text, size);
}

/* What has come since the last time; see print_batch(). */
static int take(struct session *session, struct iol_error *err)
{
    struct iol_batch *batch = iol_live_take(session->live);
    int r = batch ? iol_live_names_take(session->names, batch) : -ENOMEM;

    if (r == 0)
        r = print_batch(session, batch);
    iol_batch_free(batch);
    return r < 0 ? iol_error_set(err, r, "cannot print: %s", strerror(-r)) : r;
}

static int post(struct session *session, struct iol_error *err)
{
    int r = iol_live_post(session->live, err);

    if (r < 0)
        return r;
    r = take(session, err);
    if (iol_live_names_crowded(session->names)) {
        iol_live_mark(session->live, session->names);
        iol_live_names_trim(session->names);
    }
    session->next_post_ns =
        iol_epoch_next_due(session->next_post_ns, iol_boot_ns(), (uint64_t)session->options->record.interval_ns);
    return r;
}

/* 1: nobody reads it any more. */
static int wait_for_work(const struct session *session)
{
    struct pollfd fds[] = {{.fd = iol_live_fd(session->live), .events = POLLIN}, {.fd = STDOUT_FILENO}};
    uint64_t now = iol_boot_ns(), next = session->next_post_ns;
    int timeout = LOOK_IN_MS;

    if (session->end_ns && session->end_ns < next)
        next = session->end_ns;
    if (next <= now)
        timeout = 0;
    else if ((next - now) / NS_PER_MS < LOOK_IN_MS)
        timeout = (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
    if (poll(fds, IOL_ARRAY_SIZE(fds), timeout) < 0)
        return errno == EINTR ? 0 : -errno;
    return fds[1].revents & (POLLERR | POLLHUP | POLLNVAL) ? 1 : 0;
}

static bool is_over(const struct session *session)
{
    return iol_signals_caught() || session->watched.ended || (session->end_ns && iol_boot_ns() >= session->end_ns) ||
           (session->options->count && session->lines >= session->options->count);
}

static int follow(struct session *session, struct iol_error *err)
{
    int r = 0;

    while (r == 0 && !is_over(session)) {
        r = wait_for_work(session);
        iol_watched_look(&session->watched);
        if (r < 0)
            return iol_error_set(err, r, "cannot wait: %s", strerror(-r));
        if (r == 0)
            r = iol_live_step(session->live, err);
        if (r == 0 && iol_boot_ns() < session->next_post_ns && !iol_live_crowded(session->live))
            r = take(session, err);
        else if (r == 0)
            r = post(session, err);
    }
    /* what belongs to the time that was asked for, and was counted by then */
    if (r == 0 && !(session->options->count && session->lines >= session->options->count))
        r = post(session, err);
    return r < 0 ? r : 0;
}

static void choose_format(struct session *session)
{
    struct iol_tail_format *format = &session->format;
    struct winsize size;

    format->names = session->names;
    format->json = session->options->json;
    format->io = session->options->io;
    format->terminal = isatty(STDOUT_FILENO) == 1;
    format->colours = format->terminal && !format->json && iol_output_want_colours();
    if (format->terminal && !session->options->full && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        format->width = size.ws_col;
}

static int start(struct session *session, struct iol_error *err)
{
    const struct iol_record_options *record = &session->options->record;
    struct iol_capture_options capture = iol_record_options_capture(record);
    int r;

    iol_capture_set_verbose(record->common.verbose);
    r = iol_capture_allowed(err);
    if (r < 0 && err->hint[0])
        iol_error_hint(err, "try: sudo ioledger tail");
    if (r == 0 && record->command)
        r = iol_watched_start(&session->watched, record->command, session->options->output, false, err);
    capture.command = session->watched.child.pid;
    if (r == 0)
        r = iol_live_open(&capture, &session->live, err);
    if (r < 0)
        return r;
    session->names = iol_live_names_new();
    if (!session->names)
        return iol_error_set(err, -ENOMEM, "out of memory");
    choose_format(session);
    r = iol_live_start(session->live, err);
    if (r < 0)
        return r;
    session->next_post_ns = iol_boot_ns() + (uint64_t)record->interval_ns;
    if (record->duration_ns)
        session->end_ns = iol_boot_ns() + (uint64_t)record->duration_ns;
    if (record->command)
        iol_log_info("watching %s", record->command[0]);
    else
        iol_log_info("watching; stop with Ctrl-C");
    if (session->format.terminal) {
        iol_tail_heading(&session->format, stdout);
        fflush(stdout);
    }
    if (record->command && iol_signals_caught()) { /* CMD need not have got it: it may have been forked later */
        session->watched.status = 128 + iol_signals_caught();
        return 0;
    }
    return record->command ? iol_watched_release(&session->watched, err) : 0;
}

int iol_cmd_tail(int argc, char **argv)
{
    static const struct iol_live_more more[] = {
        {NULL, "Further events:"},
        {"every", "Each operation on these files (repeatable)"},
        {"sample", "One in N operations on these files (repeatable)"},
        {"event-budget",
         "At most so many operations a second, of all processes and of one (default: 20000/s); or none"},
        {"events",
         "Changes of files, of open (created), open_failed (not allowed), rename, unlink, link, symlink, mkdir, "
         "rmdir, mmap, truncate, chmod, chown, setxattr; or tree, all, none (the default)"},
        {0},
    };
    struct tail_options options = {0};
    const struct iol_live_usage live = {.own = &usage, .input = &options, .more = more};
    struct session session = {.options = &options, .watched = IOL_WATCHED_NONE};
    struct iol_error err = {0};
    int status, r;

    if (!iol_live_options_parse(&live, argc, argv, &options.record, &status))
        return status;
    if (options.output && !options.record.command) {
        iol_error_set(&err, -EINVAL, "--output is for what CMD prints: give a CMD, as in 'ioledger tail -- make'");
        iol_record_options_done(&options.record);
        return iol_options_fail("tail", &err);
    }
    signal(SIGPIPE, SIG_IGN);
    iol_signals_catch();
    r = start(&session, &err);
    if (r == 0)
        r = follow(&session, &err);
    if (r < 0)
        iol_command_fail(&err);
    if (iol_signals_caught())
        iol_watched_signal(&session.watched, iol_signals_caught());
    iol_watched_done(&session.watched);
    iol_live_names_free(session.names);
    iol_live_free(session.live);
    iol_record_options_done(&options.record);
    if (session.watched.status)
        return session.watched.status;
    return r < 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}
