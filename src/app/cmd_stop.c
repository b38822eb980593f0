// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/command.h"
#include "app/control_client.h"
#include "app/options.h"
#include "app/pin_options.h"
#include "app/status_page.h"
#include "app/unpin.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#define NS_PER_MS 1000000
#define LOOK_MS 500              /* how often a person hears how it goes, on a terminal */
#define QUIET_NS 2000000000ULL   /* before that an end is no news */
#define REPEAT_NS 10000000000ULL /* between two lines, elsewhere */
#define STATUS_PATIENCE_MS 500

enum { KEY_PID = 0x300, KEY_CONTROL, KEY_ALL, KEY_TIMEOUT, KEY_UNPIN, KEY_DISCARD, KEY_DB };

static const struct argp_option own_options[] = {
    {"pid", KEY_PID, "N", 0, "The recorder with this process id", 0},
    {"control", KEY_CONTROL, "PATH", 0, "The recorder that was started with this --control", 0},
    {"all", KEY_ALL, NULL, 0, "Every recorder of this user", 0},
    {"timeout", KEY_TIMEOUT, "TIME", 0, "Wait no longer than this (default: until it has ended); it ends all the same",
     0},
    {"unpin", KEY_UNPIN, "FOLDER", OPTION_ARG_OPTIONAL,
     "End what 'record --pin' leaves in the kernel: stop its recorder, if one runs, store what was counted since, and "
     "take everything out of the kernel (default: what is pinned in " IOL_PIN_DEFAULT ")",
     1},
    {"discard", KEY_DISCARD, NULL, 0, "With --unpin: drop what was counted since instead of storing it", 1},
    {"db", KEY_DB, "URL", 0, "With --unpin: the ledger that it belongs to, if its URL has a password", 1},
    {0},
};

struct stop_options {
    struct iol_options common;
    int64_t pid; /* 0: any */
    const char *control;
    bool all;
    int64_t timeout_ns;             /* 0: none */
    struct iol_unpin_options unpin; /* folder NULL: not asked for */
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct stop_options *options = input;
    int r;

    switch (key) {
    case KEY_PID:
        return iol_option_pid(text, &options->pid, err);
    case KEY_CONTROL:
        return iol_option_text(text, &options->control, err);
    case KEY_ALL:
        options->all = true;
        return 0;
    case KEY_TIMEOUT:
        r = iol_option_duration(text, &options->timeout_ns, err);
        if (r == 0 && options->timeout_ns < NS_PER_MS)
            return iol_error_set(err, -EINVAL, "'%s' is no time to wait for", text);
        return r;
    case KEY_UNPIN:
        return iol_option_text(text ? text : IOL_PIN_DEFAULT, &options->unpin.folder, err);
    case KEY_DISCARD:
        options->unpin.discard = true;
        return 0;
    case KEY_DB:
        return iol_option_text(text, &options->unpin.db, err);
    default:
        return iol_error_set(err, -EINVAL, "unknown option");
    }
}

static const struct iol_usage usage = {
    .summary =
        "Ends the running recorder as SIGTERM does, waits until everything is stored and it is gone, and tells what "
        "was stored. A recorder that runs a CMD passes the signal on to it, and ends with it.",
    .details =
        "Examples:\n"
        "  sudo ioledger stop\n"
        "  sudo ioledger stop --pid 4711 --timeout 1m\n"
        "  sudo ioledger stop --unpin\n\n"
        "Exit status: 0 all have ended and everything is stored; 1 none is running, one has not ended in time, or "
        "rows are missing; 2 bad usage, or several are running and none was chosen.",
    .common = IOL_COMMON_QUIET,
    .options = own_options,
    .option = take_option,
};

/* One that is being stopped. */
struct stopping {
    const struct iol_recorder *recorder;
    int pidfd;
    uint64_t begun_ns, until_ns, next_word_ns;
    bool live, shown; /* a line that is rewritten */
};

static void clear_line(struct stopping *stopping)
{
    if (stopping->shown)
        fputs("\r\033[K", stderr);
    stopping->shown = false;
}

static void tell_progress(struct stopping *stopping, const char *line)
{
    if (!stopping->live) {
        iol_log_info("%s", line);
        return;
    }
    clear_line(stopping);
    fprintf(stderr, "ioledger: %.70s", line);
    stopping->shown = true;
}

/* How far it is, when it takes long. */
static void show_progress(struct stopping *stopping, uint64_t now)
{
    struct iol_recorder again;
    json_t *status = NULL;
    char line[256], waited[32];
    int r;

    if (iol_log_get_level() < IOL_LOG_INFO || now < stopping->next_word_ns)
        return;
    stopping->next_word_ns = now + (stopping->live ? LOOK_MS * (uint64_t)NS_PER_MS : REPEAT_NS);
    r = iol_recorder_reconnect(stopping->recorder, &again, NULL);
    if (r == 0) {
        r = iol_recorder_send(&again, "status", NULL);
        if (r == 0)
            r = iol_recorder_receive_status(&again, STATUS_PATIENCE_MS, &status, NULL);
        close(again.fd);
    }
    iol_text_span(waited, sizeof(waited), (int64_t)(now - stopping->begun_ns));
    if (r < 0)
        snprintf(line, sizeof(line), "recorder %d: not ended yet, after %s", stopping->recorder->pid, waited);
    else
        snprintf(line, sizeof(line), "recorder %d: %lld %s for the database%s, %s so far", stopping->recorder->pid,
                 iol_status_int(status, "queued_batches"),
                 iol_text_plural((uint64_t)iol_status_int(status, "queued_batches"), "batch waits", "batches wait"),
                 iol_status_is_away(status) ? ", which is away" : "", waited);
    json_decref(status);
    tell_progress(stopping, line);
}

/* 1: readable within LOOK_MS; 0: not; -errno with *err: the time is up. */
static int wait_readable(struct stopping *stopping, int fd, struct iol_error *err)
{
    struct pollfd fds = {.fd = fd, .events = POLLIN};
    uint64_t now = iol_boot_ns();
    int patience = LOOK_MS, r;

    if (now >= stopping->until_ns) {
        clear_line(stopping);
        iol_error_set(err, -ETIMEDOUT, "recorder %d has not ended yet", stopping->recorder->pid);
        iol_error_hint(err, "it goes on ending: 'ioledger status --pid %d' tells how far it is",
                       stopping->recorder->pid);
        return -ETIMEDOUT;
    }
    if (stopping->until_ns - now < LOOK_MS * (uint64_t)NS_PER_MS)
        patience = (int)((stopping->until_ns - now) / NS_PER_MS + 1);
    r = poll(&fds, 1, patience);
    if (r <= 0)
        show_progress(stopping, iol_boot_ns());
    return r > 0;
}

/* The recorder's last word: 0 and *ret_answer, or -errno with *err. */
static int wait_for_answer(struct stopping *stopping, json_t **ret_answer, struct iol_error *err)
{
    int r;

    while ((r = wait_readable(stopping, stopping->recorder->fd, err)) == 0)
        ;
    if (r < 0)
        return r;
    r = iol_recorder_receive(stopping->recorder, STATUS_PATIENCE_MS, ret_answer, err);
    if (r == -EPIPE)
        iol_error_set(err, r, "recorder %d has ended without a word of what is stored", stopping->recorder->pid);
    return r > 0 ? 0 : r;
}

static int wait_for_end(struct stopping *stopping, struct iol_error *err)
{
    int r = 0;

    /* without pidfd: after the last word it is gone in no time */
    while (stopping->pidfd >= 0 && r == 0)
        r = wait_readable(stopping, stopping->pidfd, err);
    return r < 0 ? r : 0;
}

static int report(const struct iol_recorder *recorder, const json_t *answer, struct iol_error *err)
{
    const char *failure = json_string_value(json_object_get(answer, "failure"));
    const json_t *status = json_object_get(answer, "status");
    long long unwritten = json_integer_value(json_object_get(answer, "unwritten_rows"));
    char sum[1024];

    iol_status_page_sum(status, sum, sizeof(sum));
    iol_log_info("recorder %d has ended; %s", recorder->pid, sum);
    if (iol_status_int(status, "spool_rows") > 0)
        iol_log_warning("%lld %s in %s: the next 'ioledger record' to this database sends %s",
                        iol_status_int(status, "spool_rows"),
                        iol_text_plural((uint64_t)iol_status_int(status, "spool_rows"), "row waits", "rows wait"),
                        json_string_value(json_object_get(status, "spool")),
                        iol_text_plural((uint64_t)iol_status_int(status, "spool_rows"), "it", "them"));
    if (!failure)
        return 0;
    return iol_error_set(err, -EIO, "recorder %d could not store %lld %s: %s", recorder->pid, unwritten,
                         iol_text_plural((uint64_t)unwritten, "row", "rows"), failure);
}

static int wait_for(const struct stop_options *options, const struct iol_recorder *recorder, int pidfd,
                    uint64_t begun_ns, struct iol_error *err)
{
    struct stopping stopping = {
        .recorder = recorder,
        .pidfd = pidfd,
        .begun_ns = begun_ns,
        .until_ns = options->timeout_ns ? begun_ns + (uint64_t)options->timeout_ns : UINT64_MAX,
        .next_word_ns = begun_ns + QUIET_NS,
        .live = isatty(STDERR_FILENO),
    };
    json_t *answer = NULL;
    int r = wait_for_answer(&stopping, &answer, err);

    if (r == 0 || r == -EPIPE) {
        struct iol_error late = {0};
        int ended = wait_for_end(&stopping, &late);

        if (ended < 0) {
            r = ended;
            *err = late;
        }
    }
    clear_line(&stopping);
    if (r == 0)
        r = report(recorder, answer, err);
    json_decref(answer);
    return r;
}

/* Asks all of them, and then waits for one after the other. */
static int stop(const struct stop_options *options, const struct iol_recorders *recorders)
{
    int pidfds[IOL_CONTROL_RECORDERS_MAX], status = IOL_EXIT_OK;
    bool asked[IOL_CONTROL_RECORDERS_MAX];
    uint64_t begun_ns = iol_boot_ns();

    for (size_t i = 0; i < recorders->n; i++) {
        struct iol_error err = {0};

        /* while it is connected its pid is its own */
        pidfds[i] = (int)syscall(SYS_pidfd_open, recorders->items[i].pid, 0);
        asked[i] = iol_recorder_send(&recorders->items[i], "stop", &err) == 0;
        if (!asked[i])
            status = iol_command_fail(&err);
    }
    for (size_t i = 0; i < recorders->n; i++) {
        struct iol_error err = {0};

        if (asked[i] && wait_for(options, &recorders->items[i], pidfds[i], begun_ns, &err) < 0)
            status = iol_command_fail(&err);
        if (pidfds[i] >= 0)
            close(pidfds[i]);
    }
    return status;
}

/* Several are running: which one is meant? */
static int refuse_several(const struct iol_recorders *recorders)
{
    struct iol_error err = {0};
    char pids[256] = "";

    for (size_t i = 0; i < recorders->n && strlen(pids) < sizeof(pids) - 32; i++) {
        size_t used = strlen(pids);

        snprintf(pids + used, sizeof(pids) - used, "%s%d", i ? ", " : "", recorders->items[i].pid);
    }
    iol_error_set(&err, -EINVAL, "%zu recorders are running: %s", recorders->n, pids);
    iol_error_hint(&err, "choose one with --pid N ('ioledger status' shows them), or stop them with --all");
    return iol_options_fail("stop", &err);
}

/* Who stays pinned has no need of a recorder; one that runs is stopped first. */
static int end_pinned(struct stop_options *options)
{
    pid_t recorder = iol_unpin_recorder(options->unpin.folder);
    struct iol_recorders recorders;
    struct iol_error err = {0};
    int status = IOL_EXIT_OK;

    if (recorder) {
        if (iol_recorders_find(options->control, recorder, &recorders, &err) < 0)
            return iol_command_fail(&err);
        status = stop(options, &recorders);
        iol_recorders_done(&recorders);
    }
    if (status != IOL_EXIT_OK)
        return status;
    options->unpin.verbose = options->common.verbose;
    if (iol_unpin(&options->unpin, &err) < 0)
        return iol_command_fail(&err);
    iol_log_info("nothing of %s is left in the kernel", options->unpin.folder);
    return IOL_EXIT_OK;
}

static int check_options(const struct stop_options *options, struct iol_error *err)
{
    if (options->all && (options->pid || options->control))
        return iol_error_set(err, -EINVAL, "--all and %s contradict each other", options->pid ? "--pid" : "--control");
    if (options->unpin.folder && (options->all || options->pid))
        return iol_error_set(err, -EINVAL,
                             "--unpin and %s contradict each other: its recorder is the one that is stopped",
                             options->all ? "--all" : "--pid");
    if (!options->unpin.folder && (options->unpin.discard || options->unpin.db))
        return iol_error_set(err, -EINVAL, "%s goes with --unpin", options->unpin.db ? "--db" : "--discard");
    return 0;
}

int iol_cmd_stop(int argc, char **argv)
{
    struct stop_options options = {0};
    struct iol_recorders recorders;
    struct iol_error err = {0};
    int status;

    if (!iol_options_parse(&usage, argc, argv, &options, &options.common, &status))
        return status;
    if (check_options(&options, &err) < 0)
        return iol_options_fail("stop", &err);
    if (options.unpin.folder)
        return end_pinned(&options);
    if (iol_recorders_find(options.control, (pid_t)options.pid, &recorders, &err) < 0)
        return iol_command_fail(&err);
    status = recorders.n > 1 && !options.all ? refuse_several(&recorders) : stop(&options, &recorders);
    iol_recorders_done(&recorders);
    return status;
}
