// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/child.h"
#include "app/command.h"
#include "app/control_server.h"
#include "app/epoch.h"
#include "app/metrics.h"
#include "app/notify.h"
#include "app/options.h"
#include "app/pipeline.h"
#include "app/progress.h"
#include "app/rates.h"
#include "app/record_options.h"
#include "app/signals.h"
#include "app/status.h"
#include "app/waiting.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/url.h"

#define NS_PER_MS 1000000
#define BIG_BYTES (128 << 10)
#define MANY_BATCHES 100
#define LOOK_IN_MS 200 /* at the ring buffer, when it does not call before */

struct recording {
    struct iol_record_options *options; /* its rules change when the configuration file is read again */
    struct iol_pipeline *pipeline;
    struct iol_control *control; /* NULL: none */
    struct iol_metrics *metrics; /* NULL: none */
    struct iol_progress progress;
    struct iol_rates rates;
    struct iol_notify notify;
    struct iol_child child;
    bool released; /* the child runs CMD */
    struct iol_signals signals;
    unsigned int stops;    /* signals that asked for the end */
    bool stop_asked;       /* over the socket */
    bool ending;           /* detached; the last rows are being written */
    uint64_t map_memory;   /* bytes in the kernel */
    uint64_t start_cpu_ms; /* what it took until it counted */
    uint64_t next_post_ns;
    uint64_t end_ns; /* 0: none */
    int command_status;
    int reader; /* of a pipe that the rows go into: to see when nobody is at its other end; -1: none */
};

/*
 * The memory of batches goes back to the system when they are stored. By itself glibc takes what is big from the heap after
 * the first time, and a heap does not shrink as long as anything younger lives at its end.
 */
static void return_big_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, BIG_BYTES);
}

/* SIGHUP: the rules of the configuration file as they are now. Whatever is wrong with it, the recording goes on. */
static void read_rules_again(struct recording *recording)
{
    struct iol_record_options *options = recording->options;
    struct iol_record_rules rules;
    struct iol_rule_set set;
    struct iol_error err = {0};
    char changed[256];
    int r;

    iol_progress_clear(&recording->progress);
    if (!options->config_path) {
        iol_log_warning("SIGHUP reads the rules in the file of --config again; there is none, and nothing changes");
        return;
    }
    r = iol_record_options_reload(options, &rules, changed, sizeof(changed), &err);
    if (r == 0) {
        set = iol_record_rules_set(&rules);
        r = iol_pipeline_set_rules(recording->pipeline, &set, &err);
        if (r < 0)
            iol_rule_text_done(&rules.list);
    }
    if (r < 0) {
        iol_log_warning("the old rules stay in force: %s", err.text);
        return;
    }
    iol_rule_text_done(&options->rules.list);
    options->rules = rules;
    iol_record_options_warn(options);
    iol_log_info("%zu %s now in force (%s)", rules.list.n, iol_text_plural(rules.list.n, "rule", "rules"),
                 options->config_path);
    if (changed[0])
        iol_log_warning("%s: these options have changed and need a restart: %s", options->config_path, changed);
}

/*
 * True when the recording ends now. While CMD runs, Ctrl-C is CMD's affair (the terminal sends it to both)
 * and SIGTERM is passed on; a second one ends the recording whatever CMD does.
 */
static bool ask_to_end(struct recording *recording, int signum)
{
    recording->stops++;
    if (recording->options->command && !recording->released)
        recording->command_status = 128 + signum;
    if (recording->child.pid <= 0 || !recording->released || recording->stops > 1)
        return true;
    if (signum != SIGINT)
        kill(recording->child.pid, signum);
    return false;
}

static bool take_signals(struct recording *recording)
{
    enum iol_wish wish;
    bool ended = false;
    int signum;

    while ((wish = iol_signals_next(&recording->signals, &signum)) != IOL_WISH_NONE) {
        if (wish == IOL_WISH_CHILD) {
            ended |= iol_child_ended(&recording->child, &recording->command_status);
        } else if (wish == IOL_WISH_RULES) {
            iol_notify_reloading();
            read_rules_again(recording);
            iol_notify_ready();
        } else {
            ended |= ask_to_end(recording, signum);
        }
    }
    return ended;
}

/* Waits for whatever comes first. Returns 1 when whoever read the rows has gone, else 0 or -errno. */
static int wait_for_work(struct recording *recording)
{
    struct pollfd fds[] = {
        {.fd = recording->signals.fd, .events = POLLIN},
        {.fd = iol_pipeline_fd(recording->pipeline), .events = POLLIN},
        {.fd = recording->reader},
        {.fd = recording->control ? iol_control_fd(recording->control) : -1, .events = POLLIN},
    };
    uint64_t now = iol_boot_ns(), next = recording->next_post_ns;
    int timeout = LOOK_IN_MS;

    if (recording->end_ns && recording->end_ns < next)
        next = recording->end_ns;
    if (next <= now)
        timeout = 0;
    else if ((next - now) / NS_PER_MS < LOOK_IN_MS)
        timeout = (int)((next - now + NS_PER_MS - 1) / NS_PER_MS);
    if (poll(fds, IOL_ARRAY_SIZE(fds), timeout) < 0 && errno != EINTR)
        return -errno;
    return fds[2].revents & (POLLERR | POLLHUP) ? 1 : 0;
}

static void tell_service_manager(struct recording *recording, const struct iol_pipeline_stats *stats)
{
    uint64_t now = iol_boot_ns();
    char line[IOL_PROGRESS_LINE_MAX];

    if (!iol_notify_wants_status(&recording->notify, now))
        return;
    iol_progress_line(line, IOL_PROGRESS_COLUMNS_MAX, stats, &recording->rates,
                      (int64_t)(now - recording->progress.started_ns), iol_wall_ns());
    iol_notify_status(&recording->notify, line, now);
}

static void set_metrics(struct recording *recording, const struct iol_pipeline_stats *stats)
{
    const struct iol_metrics_figures figures = {
        .stats = *stats,
        .map_memory = recording->map_memory,
        .started_ns = recording->progress.started_ns,
        .interval_ns = recording->options->interval_ns,
    };

    if (recording->metrics)
        iol_metrics_set(recording->metrics, &figures);
}

static void show(struct recording *recording)
{
    struct iol_pipeline_stats stats;

    iol_pipeline_get_stats(recording->pipeline, &stats);
    iol_rates_update(&recording->rates, &stats, iol_boot_ns());
    iol_progress_show(&recording->progress, &stats, &recording->rates);
    tell_service_manager(recording, &stats);
    set_metrics(recording, &stats);
}

/* Until something ends it. */
static int record_loop(struct recording *recording, struct iol_error *err)
{
    for (;;) {
        int r = wait_for_work(recording);

        if (r < 0)
            return iol_error_set(err, r, "cannot wait for records: %s", strerror(-r));
        iol_notify_alive(&recording->notify, iol_boot_ns());
        if (recording->control)
            iol_control_serve(recording->control);
        if (take_signals(recording) || recording->stop_asked || r > 0)
            return 0;
        r = iol_pipeline_step(recording->pipeline, err);
        if (r < 0)
            return r;
        if (recording->end_ns && iol_boot_ns() >= recording->end_ns)
            return 0;
        if (iol_boot_ns() < recording->next_post_ns && !iol_pipeline_crowded(recording->pipeline))
            continue;
        r = iol_pipeline_post(recording->pipeline, err);
        if (r < 0)
            return r;
        show(recording);
        recording->next_post_ns =
            iol_epoch_next_due(recording->next_post_ns, iol_boot_ns(), (uint64_t)recording->options->interval_ns);
    }
}

static json_t *tell_status(void *arg)
{
    const struct recording *recording = arg;
    struct iol_pipeline_stats stats;
    const struct iol_status_source source = {
        .stats = &stats,
        .rates = &recording->rates,
        .db = recording->options->common.db,
        .state = recording->ending ? "ending" : "recording",
        .uptime_ns = iol_boot_ns() - recording->progress.started_ns,
        .interval_ns = recording->options->interval_ns,
        .map_memory = recording->map_memory,
        .start_cpu_ms = recording->start_cpu_ms,
    };

    iol_pipeline_get_stats(recording->pipeline, &stats);
    return iol_status_make(&source);
}

static void stop_as_asked(void *arg)
{
    struct recording *recording = arg;

    if (!recording->ending && ask_to_end(recording, SIGTERM))
        recording->stop_asked = true;
}

/* A recording goes on without its usual socket, but not without one that was asked for. */
static int open_control(struct recording *recording, struct iol_error *err)
{
    static const struct iol_control_ops ops = {.status = tell_status, .stop = stop_as_asked};
    const char *path = recording->options->control;
    int r;

    if (path && strcmp(path, "none") == 0)
        return 0;
    r = iol_control_open(path, &ops, recording, &recording->control, err);
    if (r == 0 || path)
        return r;
    iol_log_warning("'ioledger status' will not find this recorder: %s", err->text);
    *err = (struct iol_error){0};
    return 0;
}

/* What is pinned was made by another version, or with other options: its books are closed, and those of this one begin. */
static int open_pipeline(struct recording *recording, const struct iol_pipeline_options *options, struct iol_error *err)
{
    int r = iol_pipeline_open(options, &recording->pipeline, err);

    if (r != -ESTALE)
        return r;
    iol_log_info("%s: what they have counted is stored, and they are replaced", err->text);
    r = iol_pipeline_end_pinned(options, err);
    return r < 0 ? r : iol_pipeline_open(options, &recording->pipeline, err);
}

/* On standard output are rows only then: what CMD prints goes to standard error. */
static bool is_stdout(const struct recording *recording)
{
    return strcmp(recording->options->common.db, "jsonl:-") == 0;
}

static int open_recording(struct recording *recording, struct iol_error *err)
{
    const struct iol_record_options *options = recording->options;
    _cleanup_free_ char *scope = iol_record_options_scope(options);
    _cleanup_free_ char *books = options->pin ? iol_pin_books(options->common.db) : NULL;
    const struct iol_child_streams streams = {.in = -1, .out = STDERR_FILENO, .err = -1};
    const struct iol_capture_pin pin = {.folder = options->pin, .books = books ? books : options->common.db};
    struct iol_pipeline_options pipeline = {
        .db = options->common.db,
        .scope = scope ? scope : "",
        .verbose = options->common.verbose,
        .spool = options->spool,
        .spool_max = (uint64_t)options->spool_max,
        .spool_sync = options->spool_sync,
        .capture = iol_record_options_capture(options),
    };
    int r;

    pipeline.capture.pin = options->pin ? &pin : NULL;
    r = iol_pipeline_check(options->common.verbose, err);
    if (r < 0)
        return r;
    /* before any thread is there, and before any memory that a fork would copy */
    if (options->command) {
        r = iol_child_start(&recording->child, options->command, is_stdout(recording) ? &streams : NULL, err);
        if (r < 0)
            return r;
        if (!options->system)
            pipeline.capture.command = recording->child.pid;
    }
    if (options->metrics) { /* it has a thread */
        r = iol_metrics_open(options->metrics, &recording->metrics, err);
        if (r < 0)
            return r;
    }
    r = open_control(recording, err);
    return r < 0 ? r : open_pipeline(recording, &pipeline, err);
}

static void announce(const struct recording *recording)
{
    const struct iol_record_options *options = recording->options;
    char db[IOL_ERROR_TEXT_MAX];

    iol_url_redact(db, sizeof(db), options->common.db);
    if (options->command && options->system)
        iol_log_info("recording the whole machine to %s while %s runs", db, options->command[0]);
    else if (options->command)
        iol_log_info("recording %s to %s", options->command[0], db);
    else
        iol_log_info("recording to %s; stop with Ctrl-C", db);
}

/* What an earlier recording has left, and where rows go while the database is away. */
static void tell_about_spool(struct recording *recording)
{
    const char *away = iol_pipeline_away(recording->pipeline);
    struct iol_pipeline_stats stats;

    iol_pipeline_get_stats(recording->pipeline, &stats);
    if (stats.writer.spool.inherited > 0)
        iol_log_info("%" PRIu64 " %s of earlier recordings %s sent first (%s)", stats.writer.spool.inherited,
                     iol_text_plural(stats.writer.spool.inherited, "batch", "batches"),
                     iol_text_plural(stats.writer.spool.inherited, "is", "are"), stats.spool_dir);
    if (!away)
        return;
    iol_log_warning("the database is away, rows wait in %s: %s", stats.spool_dir, away);
    recording->progress.was_down = true;
}

static void warn(const struct recording *recording)
{
    const char *route, *why, *probes = iol_pipeline_probes(recording->pipeline, &why);

    if (*why)
        iol_log_info("probe set %s: %s", probes, why);
    for (size_t i = 0; (route = iol_pipeline_uncovered(recording->pipeline, i)); i++)
        iol_log_warning("this kernel does not tell what is read and written by %s: it will not be in the books", route);
}

/* 1: the end was asked for before CMD began. */
static int start_recording(struct recording *recording, struct iol_error *err)
{
    const struct iol_record_options *options = recording->options;
    uint64_t now;
    int r = iol_pipeline_start(recording->pipeline, err);

    if (r < 0)
        return r;
    recording->map_memory = iol_pipeline_map_memory(recording->pipeline);
    recording->start_cpu_ms = iol_status_cpu_ms();
    now = iol_boot_ns();
    recording->progress = (struct iol_progress){
        .live = isatty(STDERR_FILENO) && !options->command && !options->common.quiet,
        .started_ns = now,
    };
    recording->rates = (struct iol_rates){.counted_ns = now, .written_ns = now};
    recording->next_post_ns = now + (uint64_t)options->interval_ns;
    if (options->duration_ns)
        recording->end_ns = now + (uint64_t)options->duration_ns;
    announce(recording);
    tell_about_spool(recording);
    warn(recording);
    iol_notify_ready();
    if (!options->command)
        return 0;
    if (take_signals(recording)) /* CMD need not have got them: it may have been forked later */
        return 1;
    recording->released = true;
    return iol_child_release(&recording->child, options->command[0], &recording->command_status, err);
}

/* While this thread waits for the writer, another one serves the socket: what it looks at stays as it is, or has a lock. */
struct aside {
    struct recording *recording;
    pthread_t thread;
    int end; /* eventfd */
    bool runs;
};

static void *run_aside(void *arg)
{
    const struct aside *aside = arg;
    struct pollfd fds[] = {{.fd = aside->end, .events = POLLIN},
                           {.fd = iol_control_fd(aside->recording->control), .events = POLLIN}};

    while (poll(fds, IOL_ARRAY_SIZE(fds), LOOK_IN_MS) >= 0 && !fds[0].revents)
        iol_control_serve(aside->recording->control);
    return NULL;
}

/* Before signals may interrupt: they are for the main thread. Without memory for a thread nobody is answered until the end. */
static void serve_aside(struct recording *recording, struct aside *ret_aside)
{
    *ret_aside = (struct aside){.recording = recording, .end = -1};
    if (!recording->control)
        return;
    ret_aside->end = eventfd(0, EFD_CLOEXEC);
    ret_aside->runs = ret_aside->end >= 0 && pthread_create(&ret_aside->thread, NULL, run_aside, ret_aside) == 0;
}

static void stop_serving(struct aside *aside)
{
    if (aside->runs && eventfd_write(aside->end, 1) == 0)
        pthread_join(aside->thread, NULL);
    if (aside->end >= 0)
        close(aside->end);
}

/* For those who asked for the end; *err is NULL when all is well. */
static json_t *last_word(struct recording *recording, uint64_t unwritten, const struct iol_error *err)
{
    return json_pack("{s:o, s:I, s:s?}", "status", tell_status(recording), "unwritten_rows", (json_int_t)unwritten,
                     "failure", err ? err->text : NULL);
}

/* What waits may take a while: nobody has to stay for it. */
static void tell_about_wait(struct recording *recording)
{
    struct iol_pipeline_stats stats;

    iol_pipeline_get_stats(recording->pipeline, &stats);
    if (!stats.writer.down && stats.writer.spool.entries > MANY_BATCHES)
        iol_log_info("sending %" PRIu64 " batches that wait; a signal (Ctrl-C) leaves them to the next recording",
                     stats.writer.spool.entries);
}

static void tell_about_pins(const char *folder)
{
    const char *which = strcmp(folder, IOL_PIN_DEFAULT) == 0 ? "" : "=", *named = *which ? folder : "";

    iol_log_info(
        "the kernel goes on counting: 'ioledger record --pin%s%s' goes on recording, 'ioledger stop --unpin%s%s' "
        "stores what is left and ends it",
        which, named, which, named);
}

/* What was waiting when the recording ended. */
struct catching_up {
    struct recording *recording;
    uint64_t rows, waiting;
};

static void ask_writer(void *arg, struct iol_reached *ret_reached)
{
    const struct catching_up *start = arg;
    struct iol_pipeline_stats stats;
    const struct iol_writer_stats *writer = &stats.writer;

    iol_pipeline_get_stats(start->recording->pipeline, &stats);
    ret_reached->what = writer->down ? "waiting for the database" : "storing what waits";
    ret_reached->rows = writer->rows - start->rows;
    if (start->waiting > 0 && writer->waiting <= start->waiting)
        ret_reached->part = 1 - (double)writer->waiting / (double)start->waiting;
}

static struct iol_waiting *show_catching_up(struct recording *recording, struct catching_up *start)
{
    struct iol_pipeline_stats stats;

    iol_pipeline_get_stats(recording->pipeline, &stats);
    *start = (struct catching_up){.recording = recording, .rows = stats.writer.rows, .waiting = stats.writer.waiting};
    return recording->options->common.quiet ? NULL : iol_waiting_new_asking(ask_writer, start);
}

/* Everything counted reaches the database, or the spool, whatever ended the recording. */
static int finish_recording(struct recording *recording, struct iol_error *err)
{
    struct iol_pipeline_stats stats;
    struct aside server;
    struct catching_up start;
    struct iol_waiting *waiting;
    const volatile bool *interrupted;
    uint64_t unwritten = 0;
    int r = iol_pipeline_stop(recording->pipeline, false, err);
    int finished;

    iol_notify_stopping();
    recording->ending = true;
    iol_progress_clear(&recording->progress);
    tell_about_wait(recording);
    serve_aside(recording, &server);
    interrupted = iol_signals_interrupt(&recording->signals);
    waiting = show_catching_up(recording, &start);
    finished = iol_pipeline_finish(recording->pipeline, interrupted, &unwritten, r < 0 ? NULL : err);
    iol_waiting_free(waiting);
    iol_pipeline_get_stats(recording->pipeline, &stats);
    stop_serving(&server);
    if (recording->control)
        iol_control_end(recording->control, last_word(recording, unwritten, r < 0 || finished < 0 ? err : NULL));
    iol_control_close(TAKE_PTR(recording->control));
    iol_progress_summary(&recording->progress, &stats, recording->options->common.db);
    iol_progress_memory(&stats, recording->map_memory);
    if (recording->options->pin)
        tell_about_pins(recording->options->pin);
    return r < 0 ? r : finished;
}

static int find_reader(const struct recording *recording)
{
    const char *path = iol_url_rest(recording->options->common.db, "jsonl");
    struct stat st;

    if (is_stdout(recording))
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    return path && stat(path, &st) == 0 && S_ISFIFO(st.st_mode) ? open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) : -1;
}

static int run(struct recording *recording, struct iol_error *err)
{
    struct iol_error end = {0};
    int r = iol_signals_block(&recording->signals, err);
    int finished;

    if (r < 0)
        return r;
    recording->notify = iol_notify_begin();
    return_big_memory();
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error of the sink */
    r = open_recording(recording, err);
    if (r < 0)
        return r;
    recording->reader = find_reader(recording);
    r = start_recording(recording, err);
    if (r == 0)
        r = record_loop(recording, err);
    finished = finish_recording(recording, &end);
    if (r == 0 && finished < 0)
        *err = end;
    return r < 0 ? r : finished;
}

int iol_cmd_record(int argc, char **argv)
{
    struct iol_record_options options;
    struct recording recording = {
        .options = &options, .signals = {.fd = -1}, .reader = -1, .child = {.gate = -1, .failed = -1}};
    struct iol_error err = {0};
    int status, r;

    if (!iol_record_options_parse(argc, argv, &options, &status))
        return status;
    r = run(&recording, &err);
    if (r < 0 && !(r == -EPIPE && is_stdout(&recording))) /* `| head` has seen enough */
        iol_command_fail(&err);
    iol_metrics_close(recording.metrics);
    iol_pipeline_free(recording.pipeline);
    iol_control_close(recording.control);
    iol_child_done(&recording.child);
    iol_signals_done(&recording.signals);
    if (recording.reader >= 0)
        close(recording.reader);
    iol_record_options_done(&options);
    if (recording.command_status)
        return recording.command_status;
    return r < 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}
