// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/epoch.h"
#include "app/live/live.h"
#include "app/live/live_options.h"
#include "app/live/names.h"
#include "app/live/page.h"
#include "app/live/screen.h"
#include "app/live/top_batch.h"
#include "app/live/top_keys.h"
#include "app/live/top_page.h"
#include "app/live/watched.h"
#include "app/signals.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "core/batch.h"

#define NS_PER_MS 1000000
#define LOOK_IN_MS 200 /* at the ring buffer, when it does not call before */
#define BATCH_ROWS 25
#define KEEP_PAIRS 200000 /* of CMD, for its totals: 70 MB */

enum { KEY_BATCH = IOL_LIVE_OWN_KEYS, KEY_GROUP, KEY_SORT, KEY_FILTER, KEY_ROWS, KEY_OUTPUT };

static const struct argp_option own_options[] = {
    {"group", KEY_GROUP, "BY", 0, "pair (process and file, the default), process, file, directory or container", 0},
    {"sort", KEY_SORT, "BY", 0, "What has most goes first: bytes (the default), read, written, ops or errors", 0},
    {"filter", KEY_FILTER, "TEXT", 0,
     "Show only what has each of these words in path, name, pid, user or container; all the same is counted", 0},
    {"batch", KEY_BATCH, NULL, 0, "Print frames, one after the other, instead of taking over the terminal", 0},
    {"count", 'n', "COUNT", 0, "End after so many frames", 0},
    {"rows", KEY_ROWS, "N", 0, "With --batch: rows in a frame (default: 25)", 0},
    {"output", KEY_OUTPUT, "FILE", 0, "Write what CMD prints to FILE", 0},
    {0},
};

struct top_options {
    struct iol_record_options record;
    enum iol_group group;
    enum iol_sort sort;
    const char *filter;
    bool batch;
    int64_t count; /* of frames; 0: no end */
    int64_t rows;
    const char *output;
};

static const char *const group_words[] = {
    [IOL_GROUP_PAIR] = "pair",           [IOL_GROUP_PROCESS] = "process",     [IOL_GROUP_FILE] = "file",
    [IOL_GROUP_DIRECTORY] = "directory", [IOL_GROUP_CONTAINER] = "container",
};

static const char *option_word(int key, unsigned int index)
{
    if (key == KEY_GROUP)
        return index < IOL_ARRAY_SIZE(group_words) ? group_words[index] : NULL;
    if (key == KEY_SORT)
        return index < IOL_SORT_COUNT ? iol_top_sort_name((enum iol_sort)index) : NULL;
    return iol_record_option_word(key, index);
}

static int take_group(struct top_options *options, const char *text, struct iol_error *err)
{
    size_t word = 0;
    int r = iol_option_word(text, group_words, IOL_ARRAY_SIZE(group_words), "grouping", &word, err);

    options->group = (enum iol_group)word;
    return r;
}

static int take_sort(struct top_options *options, const char *text, struct iol_error *err)
{
    const char *words[IOL_SORT_COUNT];
    size_t word = 0;
    int r;

    for (size_t i = 0; i < IOL_SORT_COUNT; i++)
        words[i] = iol_top_sort_name((enum iol_sort)i);
    r = iol_option_word(text, words, IOL_SORT_COUNT, "measure", &word, err);
    options->sort = (enum iol_sort)word;
    return r;
}

static int take_filter(struct top_options *options, const char *text, struct iol_error *err)
{
    if (strlen(text) >= IOL_VIEW_FILTER_MAX)
        return iol_error_set(err, -EINVAL, "the text is too long: at most %d bytes", IOL_VIEW_FILTER_MAX - 1);
    options->filter = text;
    return 0;
}

static int take_positive(const char *text, int64_t *ret_number, struct iol_error *err)
{
    int64_t number;
    int r = iol_option_count(text, &number, err);

    if (r == 0 && number == 0)
        return iol_error_set(err, -EINVAL, "at least 1");
    if (r == 0)
        *ret_number = number;
    return r;
}

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct top_options *options = input;

    switch (key) {
    case KEY_GROUP:
        return take_group(options, text, err);
    case KEY_SORT:
        return take_sort(options, text, err);
    case KEY_FILTER:
        return take_filter(options, text, err);
    case KEY_BATCH:
        options->batch = true;
        return 0;
    case KEY_OUTPUT:
        return iol_option_text(text, &options->output, err);
    case KEY_ROWS:
        return take_positive(text, &options->rows, err);
    default:
        return take_positive(text, &options->count, err);
    }
}

static const struct iol_usage usage = {
    .arguments = "[[--] CMD [ARG...]]",
    .summary =
        "Shows which process reads and writes which file right now, the busiest first, straight from the kernel's "
        "accounts: no database is needed, and a recorder that runs is not disturbed. '?' shows the keys. With CMD it "
        "is about CMD and its descendants only, and shows in the end what these have done in all.",
    .details =
        "Of several filters of one kind a process has to meet one, of each kind that is given. What has been "
        "used in the "
        "last minute is shown; a dim process has ended. Times are UTC.\n\n"
        "On a terminal, what CMD prints comes when the screen is given back, and CMD has no terminal and nothing "
        "to read; with --batch its standard output goes to standard error. --output is for both. Ctrl-C is for "
        "CMD as long as it runs, a second one for top.\n\n"
        "With --batch, --format json and csv have exact numbers of each interval beside the rates.\n\n"
        "Examples:\n"
        "  sudo ioledger top\n"
        "  sudo ioledger top --group directory --sort written\n"
        "  sudo ioledger top --uid postgres --filter /base/\n"
        "  sudo ioledger top -- make -j4\n"
        "  sudo ioledger top --batch -n 3 --rows 10\n"
        "  sudo ioledger top --batch -n 60 --format csv > minute.csv\n\n"
        "NO_COLOR in the environment is heeded.\n\n"
        "Exit status: that of CMD, if there is one; else 0; 1 a failure; 2 bad usage; 126 or 127 when CMD "
        "cannot be run.",
    .common = IOL_COMMON_FORMAT | IOL_COMMON_COMMAND,
    .max_args = SIZE_MAX,
    .options = own_options,
    .option = take_option,
    .word = option_word,
};

struct session {
    const struct top_options *options;
    struct iol_live *live;
    struct iol_live_pairs *pairs;
    struct iol_top top;
    struct iol_page page;
    struct iol_top_batch *batch;
    struct iol_watched watched;
    char command[512]; /* how it is, for the page */
    int quits;         /* of q: it asks before it ends what runs */
    bool passed_on;    /* a signal, to CMD */
    uint64_t started_ns, posted_ns, next_post_ns, end_ns;
    int64_t frames;
};

static void take_losses(struct iol_top *top, const struct iol_batch *batch)
{
    const struct iol_loss *loss = batch->rows[IOL_TABLE_LOSS].data;

    for (size_t i = 0; i < batch->rows[IOL_TABLE_LOSS].count; i++) {
        top->lost += (uint64_t)loss[i].lost;
        snprintf(top->lost_reason, sizeof(top->lost_reason), "%s", loss[i].reason);
    }
}

/* Ends an interval. While it is paused, only the names are taken in: they come once; but of CMD, whose totals are wanted, all. */
static int post(struct session *session, struct iol_error *err)
{
    uint64_t now;
    struct iol_batch *batch;
    int r = iol_live_post(session->live, err);

    if (r < 0)
        return r;
    now = iol_boot_ns();
    batch = iol_live_take(session->live);
    r = batch ? iol_live_names_take(session->top.names, batch) : -ENOMEM;
    if (r == 0 && (!session->top.paused || session->options->record.command)) {
        take_losses(&session->top, batch);
        r = iol_live_pairs_take(session->pairs, batch, now, iol_wall_ns(), now - session->posted_ns);
    }
    iol_batch_free(batch);
    if (r < 0)
        return iol_error_set(err, r, "out of memory");
    if (iol_live_names_crowded(session->top.names)) {
        iol_live_mark(session->live, session->top.names);
        iol_live_names_trim(session->top.names);
    }
    session->posted_ns = now;
    session->top.accounts = iol_live_accounts(session->live);
    session->next_post_ns =
        iol_epoch_next_due(session->next_post_ns, now, (uint64_t)session->options->record.interval_ns);
    return 0;
}

/* What is to be known of CMD. */
static void tell_command(struct session *session)
{
    const struct iol_watched *watched = &session->watched;
    char *text = session->command;
    size_t size = sizeof(session->command), width = size, height;

    if (!session->options->record.command)
        return;
    if (!session->batch)
        iol_screen_size(&width, &height);
    session->top.command = text;
    session->top.command_failed = watched->ended && watched->status != 0;
    if (iol_watched_runs(watched) && session->quits == 1)
        snprintf(text, size, "%s still runs: q again ends it, any other key goes on", watched->argv[0]);
    else if (iol_watched_runs(watched) && session->quits > 1)
        snprintf(text, size, "%s was told to end (SIGTERM): q again leaves it alone", watched->argv[0]);
    else
        iol_watched_say(watched, iol_boot_ns(), width, text, size);
}

static int show(struct session *session, struct iol_error *err)
{
    size_t width, height;
    int r;

    tell_command(session);
    if (session->batch) {
        r = iol_top_batch_frame(session->batch, &session->top);
        return r < 0 ? iol_error_set(err, r, "cannot print: %s", strerror(-r)) : r;
    }
    iol_screen_size(&width, &height);
    iol_page_clear(&session->page, width, height, iol_output_is_utf8());
    r = iol_top_page(&session->top, &session->page);
    if (r < 0)
        return iol_error_set(err, r, "out of memory");
    iol_screen_show(&session->page);
    return 0;
}

/* 1: quit. 0: go on; *ret_changed: something else is to be seen. */
static int take_keys(struct session *session, bool *ret_changed)
{
    size_t width, height;
    int key;

    while ((key = iol_screen_key()) != IOL_KEY_NONE) {
        *ret_changed = true;
        iol_screen_size(&width, &height);
        if (iol_top_key(&session->top, key, iol_top_lines(&session->top, height))) {
            session->quits = session->quits > 1 ? session->quits : 0;
            continue;
        }
        if (!iol_watched_runs(&session->watched) || ++session->quits > 2)
            return 1;
        if (session->quits == 2)
            iol_watched_signal(&session->watched, SIGTERM);
    }
    return 0;
}

static int milliseconds_until(uint64_t then)
{
    uint64_t now = iol_boot_ns(), ms = then > now ? (then - now + NS_PER_MS - 1) / NS_PER_MS : 0;

    return ms < LOOK_IN_MS ? (int)ms : LOOK_IN_MS;
}

/* 1: whoever looks at it has gone. */
static int wait_for_work(const struct session *session)
{
    struct pollfd fds[] = {
        {.fd = session->batch ? -1 : STDIN_FILENO, .events = POLLIN},
        {.fd = iol_live_fd(session->live), .events = POLLIN},
        {.fd = session->batch ? STDOUT_FILENO : -1},
    };
    uint64_t next = session->next_post_ns;
    bool terminal_gone;

    if (session->end_ns && session->end_ns < next)
        next = session->end_ns;
    if (poll(fds, IOL_ARRAY_SIZE(fds), milliseconds_until(next)) < 0)
        return errno == EINTR ? 0 : -errno;
    terminal_gone = fds[0].revents & (POLLERR | POLLHUP);
    if (terminal_gone) /* CMD has a session of its own, so nobody else tells it */
        iol_watched_signal(&session->watched, SIGHUP);
    return terminal_gone || fds[2].revents & (POLLERR | POLLHUP);
}

/* The first signal is for CMD, while that runs: it ends, and so do we. A second one, and a terminal that goes, are for us too. */
static bool is_stopped(struct session *session)
{
    if (iol_signals_count() == 0)
        return false;
    if (!session->passed_on)
        iol_watched_signal(&session->watched, iol_signals_caught());
    session->passed_on = true;
    return !iol_watched_runs(&session->watched) || iol_signals_caught() == SIGHUP || iol_signals_count() > 1;
}

static bool is_over(struct session *session)
{
    return is_stopped(session) || session->watched.ended || (session->end_ns && iol_boot_ns() >= session->end_ns) ||
           (session->options->count && session->frames >= session->options->count);
}

/* The last picture, which is shown, stays until q, the end of the terminal, or a signal: one more than `signals`, as many as there were when it came. */
static int stay(struct session *session, int signals, struct iol_error *err)
{
    struct pollfd keys = {.fd = STDIN_FILENO, .events = POLLIN};
    bool changed = false;
    int r = 0;

    while (r == 0 && iol_signals_count() == signals) {
        if (changed)
            r = show(session, err);
        changed = false;
        if (r == 0 && poll(&keys, 1, LOOK_IN_MS) < 0 && errno != EINTR)
            r = iol_error_set(err, -errno, "cannot wait: %m");
        if (r == 0 && keys.revents & (POLLERR | POLLHUP))
            return 0;
        if (r == 0)
            r = take_keys(session, &changed);
    }
    return r < 0 ? r : 0;
}

/* CMD has ended: what is left of it, and what it has done in all. Nothing is left in the kernel then. */
static int show_end(struct session *session, struct iol_error *err)
{
    bool stays = !session->batch && session->quits < 2 && !(iol_signals_count() > 0 && iol_signals_caught() != SIGINT);
    int r = post(session, err), signals = iol_signals_count();

    if (r < 0)
        return r;
    session->top.paused = false;
    if (!session->batch)
        iol_view_set_totals(session->top.view, true);
    if (session->batch || stays)
        r = show(session, err);
    iol_live_free(TAKE_PTR(session->live)); /* takes a while */
    if (r == 0 && session->batch)
        return iol_top_batch_totals(session->batch, &session->top);
    return r == 0 && stays ? stay(session, signals, err) : r;
}

static int look(struct session *session, struct iol_error *err)
{
    bool changed = !session->batch; /* the first page comes at once */
    int r = 0;

    while (r == 0 && !is_over(session)) {
        if (changed)
            r = show(session, err);
        changed = false;
        if (r == 0)
            r = wait_for_work(session);
        if (r < 0)
            return err->text[0] ? r : iol_error_set(err, r, "cannot wait: %s", strerror(-r));
        iol_watched_look(&session->watched);
        if (r == 0 && !session->batch)
            r = take_keys(session, &changed);
        if (r == 0)
            r = iol_live_step(session->live, err);
        if (r != 0)
            continue;
        if (iol_boot_ns() < session->next_post_ns && !iol_live_crowded(session->live))
            continue;
        r = post(session, err);
        session->frames++;
        changed |= !session->top.paused; /* a key may have come in the same turn */
    }
    /* the last of COUNT frames; what CMD has done in all comes below */
    if (r == 0 && changed && session->frames > 0 && (session->batch || !session->watched.ended))
        r = show(session, err);
    if (r == 0 && session->watched.ended)
        r = show_end(session, err);
    return r < 0 ? r : 0;
}

static int open_session(struct session *session, struct iol_error *err)
{
    const struct top_options *options = session->options;
    struct iol_capture_options capture = iol_record_options_capture(&options->record);
    struct iol_top *top = &session->top;
    int r;

    iol_capture_set_verbose(options->record.common.verbose);
    r = iol_capture_allowed(err);
    if (r < 0 && err->hint[0])
        iol_error_hint(err, "try: sudo ioledger top");
    if (r == 0 && !options->batch)
        r = iol_screen_possible(err);
    if (r == 0 && options->record.command)
        r = iol_watched_start(&session->watched, options->record.command, options->output, !options->batch, err);
    capture.command = session->watched.child.pid;
    if (r == 0)
        r = iol_live_open(&capture, &session->live, err);
    if (r < 0)
        return r;
    top->names = iol_live_names_new();
    session->pairs = top->names ? iol_live_pairs_new(top->names) : NULL;
    top->view = session->pairs ? iol_view_new(top->names, session->pairs) : NULL;
    if (!top->view || (options->batch &&
                       iol_top_batch_new(options->record.common.format, (size_t)options->rows, &session->batch) < 0))
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (options->record.command)
        iol_live_pairs_keep(session->pairs, KEEP_PAIRS);
    top->interval = iol_live_pairs_interval(session->pairs);
    top->uncovered = iol_live_uncovered(session->live);
    iol_view_set_group(top->view, options->group);
    iol_view_set_sort(top->view, options->sort);
    iol_view_set_filter(top->view, options->filter ? options->filter : "");
    return options->batch ? 0 : iol_screen_open(err);
}

static int start_session(struct session *session, struct iol_error *err)
{
    const struct iol_record_options *record = &session->options->record;
    int r = iol_live_start(session->live, err);

    session->started_ns = session->posted_ns = iol_boot_ns();
    session->next_post_ns = session->started_ns + (uint64_t)record->interval_ns;
    if (record->duration_ns)
        session->end_ns = session->started_ns + (uint64_t)record->duration_ns;
    if (r < 0 || !record->command)
        return r;
    if (iol_signals_count() > 0) {
        session->watched.status = 128 + iol_signals_caught();
        iol_watched_done(&session->watched);
        return 0;
    }
    return iol_watched_release(&session->watched, err);
}

static void close_session(struct session *session)
{
    iol_screen_close();
    iol_watched_show(&session->watched);
    iol_watched_done(&session->watched);
    iol_top_batch_free(session->batch);
    iol_page_done(&session->page);
    iol_view_free(session->top.view);
    iol_live_pairs_free(session->pairs);
    iol_live_names_free(session->top.names);
    iol_live_free(session->live);
}

/* *ret_status: of CMD. */
static int run(const struct top_options *options, int *ret_status, struct iol_error *err)
{
    struct session session = {.options = options, .watched = IOL_WATCHED_NONE};
    int r = open_session(&session, err);

    signal(SIGPIPE, SIG_IGN);
    iol_signals_catch();
    if (r == 0)
        r = start_session(&session, err);
    if (r == 0)
        r = look(&session, err);
    if (r == 0 && session.batch)
        iol_top_batch_finish(session.batch);
    if (iol_watched_runs(&session.watched) && session.quits > 1)
        session.watched.status = 128 + SIGTERM;
    *ret_status = session.watched.status;
    close_session(&session);
    return r;
}

int iol_cmd_top(int argc, char **argv)
{
    struct top_options options = {.rows = BATCH_ROWS};
    const struct iol_live_usage live = {.own = &usage, .input = &options};
    struct iol_error err = {0};
    int status, r;

    if (!iol_live_options_parse(&live, argc, argv, &options.record, &status))
        return status;
    if (options.output && !options.record.command) {
        iol_error_set(&err, -EINVAL, "--output is for what CMD prints: give a CMD, as in 'ioledger top -- make'");
        iol_record_options_done(&options.record);
        return iol_options_fail("top", &err);
    }
    r = run(&options, &status, &err);
    if (r < 0)
        iol_command_fail(&err);
    iol_record_options_done(&options.record);
    if (status)
        return status;
    return r < 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}
