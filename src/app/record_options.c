// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/record_options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/metrics.h"
#include "app/record_config.h"
#include "app/record_print.h"
#include "app/record_words.h"
#include "app/spool_place.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "core/model.h"

#define DEFAULT_SPOOL_MAX (1LL << 30)
#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL
#define DEFAULT_KINDS "file,dir,dev,anon"
enum {
    KEY_INTERVAL = 0x300,
    KEY_DURATION,
    KEY_PID,
    KEY_COMM,
    KEY_UID,
    KEY_EXE,
    KEY_CGROUP,
    KEY_CONTAINER,
    KEY_KINDS,
    KEY_EVENTS,
    KEY_PROBES,
    KEY_MAX_ACCOUNTS,
    KEY_SYSTEM,
    KEY_IGNORE,
    KEY_EVERY,
    KEY_SAMPLE,
    KEY_EVENT_BUDGET,
    KEY_CONTROL,
    KEY_METRICS,
    KEY_SPOOL,
    KEY_SPOOL_MAX,
    KEY_SPOOL_SYNC,
    KEY_CONFIG,
    KEY_PRINT_CONFIG,
    KEY_PIN,
};

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What to record:", 1},
    {"pid", KEY_PID, "N", 0, "Only this process and what descends from it (repeatable)", 1},
    {"comm", KEY_COMM, "NAME", 0, "Only processes of this name (repeatable)", 1},
    {"uid", KEY_UID, "USER", 0, "Only processes of this user, by name or number (repeatable)", 1},
    {"exe", KEY_EXE, "PATH", 0, "Only processes that run this program (repeatable)", 1},
    {"cgroup", KEY_CGROUP, "PATH", 0,
     "Only processes in this cgroup or below it, as long as they are: its folder in /sys/fs/cgroup, or its path as in "
     "/proc/PID/cgroup (repeatable)",
     1},
    {"container", KEY_CONTAINER, "ID", 0,
     "Only processes in this container, which must be running: the first 12 digits of its id or more, or the name of a "
     "machine of systemd (repeatable)",
     1},
    {"kinds", KEY_KINDS, "LIST", 0,
     "Kinds of files that get an account each, of file,dir,dev,pipe,socket,anon (default: all but pipe and socket); "
     "the others get one account for each process",
     1},
    {"events", KEY_EVENTS, "LIST", 0,
     "Changes of files that are told one by one: tree (the default: open, for files created, rename, unlink, link, "
     "symlink, mkdir, "
     "rmdir and mmap), open_failed (not allowed), truncate, chmod, chown, setxattr, or each by its own name; all; none",
     1},
    {"system", KEY_SYSTEM, NULL, 0, "With CMD: the whole machine, for as long as CMD runs", 1},
    {NULL, 0, NULL, 0, "Rules, of which the first that matches wins:", 2},
    {"ignore", KEY_IGNORE, "PATTERN", 0, "Leave out the operations on these files (repeatable)", 2},
    {"every", KEY_EVERY, "PATTERN", 0, "Each operation on these files is an event too (repeatable)", 2},
    {"sample", KEY_SAMPLE, "N:PATTERN", 0, "One in N operations on these files is an event too (repeatable)", 2},
    {"event-budget", KEY_EVENT_BUDGET, "N/s[,M/s]", 0,
     "At most so many events of reads and writes, of all processes and of one (default: 20000/s); or none", 2},
    {NULL, 0, NULL, 0, "How to record:", 3},
    {"interval", KEY_INTERVAL, "TIME", 0, "Post the accounts this often (default: 1s; at least 10ms)", 3},
    {"duration", KEY_DURATION, "TIME", 0, "Stop after this time (default: Ctrl-C, or CMD's end)", 3},
    {"max-accounts", KEY_MAX_ACCOUNTS, "N", 0,
     "Accounts open at a time (default: 65536); what finds no room is counted as (other files)", 3},
    {"probes", KEY_PROBES, "SET", 0,
     "What is hooked: every system call (tracepoint), or only those that matter (fexit), where the kernel lets them "
     "be; default: auto, which takes fexit where it covers as much",
     3},
    {"control", KEY_CONTROL, "PATH", 0,
     "Socket at which 'status' and 'stop' find this recorder (default: one of its own in /run/ioledger, or in "
     "$XDG_RUNTIME_DIR/ioledger when not root); or none",
     3},
    {"metrics", KEY_METRICS, "ADDRESS:PORT", 0,
     "Figures for Prometheus, at http://ADDRESS:PORT/metrics; whoever reaches the address may read them. A PORT alone "
     "is of "
     "127.0.0.1 (usual: " IOL_METRICS_DEFAULT ")",
     3},
    {"spool", KEY_SPOOL, "DIR", 0,
     "Where rows wait for the database (default: for PostgreSQL a folder of its own in /var/lib/ioledger/spool, or in "
     "$XDG_STATE_HOME/ioledger/spool when not root; for SQLite none), or none: in memory only. "
     "When it is given, a recording begins although the database is away",
     3},
    {"spool-max", KEY_SPOOL_MAX, "SIZE", 0,
     "What the spool may take (default: 1G; at least 16M); beyond it waiting intervals are merged into longer ones", 3},
    {"spool-sync", KEY_SPOOL_SYNC, "WHEN", 0,
     "When the spool is made safe from a power cut: always (the default: each batch), everysec or never", 3},
    {"pin", KEY_PIN, "FOLDER", OPTION_ARG_OPTIONAL,
     "Leave programs and counters in the kernel when the recorder ends, whatever ends it: the next 'record --pin' goes "
     "on "
     "with the same books ('ioledger stop --help' says how to end that). FOLDER: where in a bpf file system "
     "(default: " IOL_PIN_DEFAULT ")",
     3},
    {"config", KEY_CONFIG, "FILE", 0,
     "More options, one a line, as in 'interval = 5s'; SIGHUP reads the rules in it again. The command line goes "
     "before it",
     3},
    {"print-config", KEY_PRINT_CONFIG, NULL, 0,
     "Record nothing: print the settings that would be in force, as a file for --config", 3},
    {0},
};

static int not_empty(const char *text, struct iol_error *err)
{
    return *text ? 0 : iol_error_set(err, -EINVAL, "the value is empty");
}

static int take_room(size_t n, struct iol_error *err)
{
    return n < IOL_RECORD_FILTERS_MAX ? 0
                                      : iol_error_set(err, -E2BIG, "at most %d are possible", IOL_RECORD_FILTERS_MAX);
}

static int take_interval(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    int r = iol_option_duration(text, &options->interval_ns, err);

    if (r == 0 && options->interval_ns < 10 * NS_PER_MS)
        return iol_error_set(err, -EINVAL, "'%s' is too short: at least 10ms", text);
    return r;
}

static int take_duration(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    int r = iol_option_duration(text, &options->duration_ns, err);

    if (r == 0 && options->duration_ns == 0)
        return iol_error_set(err, -EINVAL, "'%s' is no time to record in", text);
    return r;
}

static int take_pid(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    int64_t pid;
    int r = iol_option_pid(text, &pid, err);

    if (r < 0)
        return r;
    if (take_room(options->n_pids, err) < 0)
        return -E2BIG;
    if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        return iol_error_set(err, -ESRCH, "there is no process %s", text);
    options->pids[options->n_pids++] = (pid_t)pid;
    return 0;
}

static int take_comm(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    if (not_empty(text, err) < 0 || take_room(options->n_comms, err) < 0)
        return -EINVAL;
    options->comms[options->n_comms++] = text;
    return 0;
}

static int take_uid(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    if (not_empty(text, err) < 0 || take_room(options->n_uids, err) < 0)
        return -EINVAL;
    if (iol_option_user(text, &options->uids[options->n_uids], err) < 0)
        return -EINVAL;
    options->n_uids++;
    return 0;
}

static int take_exe(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    char *path;

    if (not_empty(text, err) < 0 || take_room(options->n_exes, err) < 0)
        return -EINVAL;
    if (iol_option_exe(text, &path, err) < 0)
        return -EINVAL;
    options->exes[options->n_exes++] = path;
    return 0;
}

/* Both are looked for when all options are known. */
static int take_cgroup(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    if (not_empty(text, err) < 0 || take_room(options->n_cgroups, err) < 0)
        return -EINVAL;
    if (text[0] != '/')
        return iol_error_set(err, -EINVAL, "'%s' is not an absolute path", text);
    options->cgroups[options->n_cgroups++] = text;
    return 0;
}

static int take_container(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    if (not_empty(text, err) < 0 || take_room(options->n_containers, err) < 0)
        return -EINVAL;
    options->containers[options->n_containers++] = text;
    return 0;
}

static int take_probes(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    uint32_t value;
    int r = iol_record_words_take(IOL_RECORD_PROBES, text, &value, err);

    if (r < 0)
        return r;
    options->legacy_probes = value & IOL_RECORD_LEGACY_PROBES;
    options->probes = (enum iol_probe_set)(value & ~(uint32_t)IOL_RECORD_LEGACY_PROBES);
    return 0;
}

static int take_max_accounts(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    int r = iol_option_count(text, &options->max_accounts, err);

    if (r == 0 &&
        (options->max_accounts < IOL_CAPTURE_MIN_ACCOUNTS || options->max_accounts > IOL_CAPTURE_MAX_ACCOUNTS))
        return iol_error_set(err, -ERANGE, "'%s' is not between %d and %u", text, IOL_CAPTURE_MIN_ACCOUNTS,
                             IOL_CAPTURE_MAX_ACCOUNTS);
    return r;
}

static int take_spool_max(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    int r = iol_option_count(text, &options->spool_max, err);

    if (r == 0 && (uint64_t)options->spool_max < IOL_SPOOL_MIN_BYTES)
        return iol_error_set(err, -ERANGE, "'%s' is too little: at least %dM", text, (int)(IOL_SPOOL_MIN_BYTES >> 20));
    return r;
}

static int take_spool_sync(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    uint32_t value;
    int r = iol_record_words_take(IOL_RECORD_SPOOL_SYNC, text, &value, err);

    if (r == 0)
        options->spool_sync = (enum iol_spool_sync)value;
    return r;
}

static int take_metrics(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    _cleanup_free_ char *host = NULL, *port = NULL;

    options->metrics = text;
    return iol_metrics_address(text, &host, &port, err);
}

int iol_record_option_take(int key, const char *text, struct iol_record_options *options, struct iol_error *err)
{
    switch (key) {
    case KEY_INTERVAL:
        return take_interval(options, text, err);
    case KEY_DURATION:
        return take_duration(options, text, err);
    case KEY_PID:
        return take_pid(options, text, err);
    case KEY_COMM:
        return take_comm(options, text, err);
    case KEY_UID:
        return take_uid(options, text, err);
    case KEY_EXE:
        return take_exe(options, text, err);
    case KEY_CGROUP:
        return take_cgroup(options, text, err);
    case KEY_CONTAINER:
        return take_container(options, text, err);
    case KEY_KINDS:
        return iol_record_words_take(IOL_RECORD_KINDS, text, &options->kinds, err);
    case KEY_EVENTS:
        return iol_record_words_take(IOL_RECORD_EVENTS, text, &options->events, err);
    case KEY_PROBES:
        return take_probes(options, text, err);
    case KEY_MAX_ACCOUNTS:
        return take_max_accounts(options, text, err);
    case KEY_SYSTEM:
        options->system = true;
        return 0;
    case KEY_IGNORE:
        return iol_rule_text_add(&options->rules.list, IOL_VERDICT_IGNORE, text, err);
    case KEY_EVERY:
        return iol_rule_text_add(&options->rules.list, IOL_VERDICT_EVERY, text, err);
    case KEY_SAMPLE:
        return iol_rule_text_add(&options->rules.list, IOL_VERDICT_SAMPLE, text, err);
    case KEY_EVENT_BUDGET:
        return iol_rule_text_budget(text, &options->rules.event_budget, &options->rules.event_budget_process, err);
    case KEY_CONTROL:
        options->control = text;
        return not_empty(text, err);
    case KEY_METRICS:
        return take_metrics(options, text, err);
    case KEY_SPOOL:
        options->spool = text;
        return not_empty(text, err);
    case KEY_SPOOL_MAX:
        return take_spool_max(options, text, err);
    case KEY_SPOOL_SYNC:
        return take_spool_sync(options, text, err);
    case KEY_PIN:
        options->pin = text ? text : IOL_PIN_DEFAULT;
        return not_empty(options->pin, err);
    case KEY_CONFIG:
        options->config_path = text;
        return not_empty(text, err);
    case KEY_PRINT_CONFIG:
        options->print_config = true;
        return 0;
    default:
        return iol_error_set(err, -EINVAL, "unknown option");
    }
}

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    return iol_record_option_take(key, text, input, err);
}

const char *iol_record_option_word(int key, unsigned int index)
{
    switch (key) {
    case KEY_KINDS:
        return iol_record_words_nth(IOL_RECORD_KINDS, index);
    case KEY_EVENTS:
        return iol_record_words_nth(IOL_RECORD_EVENTS, index);
    case KEY_PROBES:
        return iol_record_words_nth(IOL_RECORD_PROBES, index);
    case KEY_SPOOL_SYNC:
        return iol_record_words_nth(IOL_RECORD_SPOOL_SYNC, index);
    default:
        return NULL;
    }
}

const struct argp_option *iol_record_option(const char *name)
{
    for (const struct argp_option *option = own_options; option->name || option->doc; option++) {
        if (option->name && strcmp(option->name, name) == 0)
            return option;
    }
    return NULL;
}

static int complete(struct iol_options *common, void *input, struct iol_error *err);

static const struct iol_usage usage = {
    .arguments = "[[--] CMD [ARG...]]",
    .summary = "Records which processes read and write which files, until Ctrl-C, --duration, or the end of CMD. With "
               "CMD only CMD and its descendants are recorded, unless --system is given. Of several filters of one "
               "kind a process has to meet one, of each kind that is given.",
    .details =
        "PATTERN is /PATH, /DIR/** (and everything below), *SUFFIX (.log files for instance), /DIR/**/*SUFFIX or "
        "kind:KIND (kind:socket for instance), and may end in ' if COND[ and COND]...', where COND is comm=NAME, "
        "exe=/PATH, user=NAME or kind=KIND.\n\n"
        "What filters leave out is not counted at all; ancestors of what is recorded are named all the same, "
        "so that it can be told who started it. SIGINT and SIGTERM stop the recording; everything counted so "
        "far is stored before it ends. With --db jsonl:- what CMD prints goes to standard error: on standard output "
        "are "
        "rows only.\n\n"
        "Examples:\n"
        "  sudo ioledger record --duration 10s\n"
        "  sudo ioledger record -- make -j4\n"
        "  sudo ioledger record --pid 4711 --interval 5s\n"
        "  sudo ioledger record --uid www-data --db postgresql://ledger@db/ledger\n"
        "  sudo ioledger record --ignore '/proc/**' --every '/etc/** if comm=sh'\n"
        "  sudo ioledger record --quiet --db jsonl:- | jq .\n\n"
        "Exit status: that of CMD (128 + N when signal N ended it; 126 it could not be run; 127 it was not "
        "found); without CMD 0 when everything is stored, or waits in the spool; 1 a failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_QUIET | IOL_COMMON_COMMAND,
    .max_args = SIZE_MAX,
    .options = own_options,
    .option = take_option,
    .word = iol_record_option_word,
    .complete = complete,
};

bool iol_record_option_known(const char *name)
{
    return iol_options_known(&usage, name, NULL);
}

static int complete(struct iol_options *common, void *input, struct iol_error *err)
{
    struct iol_record_options *options = input;

    options->n_own_rules = options->rules.list.n;
    return options->config_path ? iol_record_config_apply(&usage, common, options, err) : 0;
}

int iol_record_options_reload(const struct iol_record_options *options, struct iol_record_rules *ret_rules,
                              char *changed, size_t changed_size, struct iol_error *err)
{
    return iol_record_config_reload(&usage, options, ret_rules, changed, changed_size, err);
}

int iol_record_options_complete(struct iol_record_options *options, struct iol_error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < options->n_cgroups; i++)
        r = iol_cgroup_add_path(&options->cgroup_ids, options->cgroups[i], err);
    for (size_t i = 0; r == 0 && i < options->n_containers; i++)
        r = iol_cgroup_add_container(&options->cgroup_ids, options->containers[i], err);
    return r;
}

static int check_options(struct iol_record_options *options, bool ends_in_dashes, struct iol_error *err)
{
    if (!options->command && ends_in_dashes)
        return iol_error_set(err, -EINVAL, "there is no CMD after '--'");
    if (options->system && !options->command)
        return iol_error_set(err, -EINVAL,
                             "--system goes with a CMD; without one the whole machine is recorded anyway");
    if (options->system && (options->n_pids || options->n_comms || options->n_uids || options->n_exes ||
                            options->n_cgroups || options->n_containers))
        return iol_error_set(err, -EINVAL, "--system and a filter contradict each other");
    if (options->spool && strcmp(options->spool, "none") != 0 && !iol_spool_place_possible(options->common.db))
        return iol_error_set(err, -EINVAL, "--spool is for databases: rows sent twice would be in a jsonl file twice");
    if (options->pin && options->command)
        return iol_error_set(err, -EINVAL,
                             "--pin goes with no CMD: what is pinned goes on when the recorder has ended");
    if (options->pin && options->spool && strcmp(options->spool, "none") == 0)
        return iol_error_set(err, -EINVAL,
                             "--pin and --spool none contradict each other: the books are kept in the spool");
    if (options->pin && strncmp(options->common.db, "jsonl:", 6) == 0) {
        iol_error_set(err, -EINVAL, "--pin and --db %s contradict each other", options->common.db);
        iol_error_hint(err,
                       "rows arrive exactly once in a database that knows what it has: sqlite:PATH or postgresql://…");
        return -EINVAL;
    }
    if (options->command && !options->command[0][0])
        return iol_error_set(err, -EINVAL, "CMD is empty");
    if (options->print_config && options->command)
        return iol_error_set(err, -EINVAL, "--print-config goes with no CMD: that stands in no configuration file");
    return iol_record_options_complete(options, err);
}

void iol_record_options_init(struct iol_record_options *ret_options)
{
    *ret_options = (struct iol_record_options){
        .interval_ns = NS_PER_S,
        .max_accounts = IOL_RECORD_DEFAULT_ACCOUNTS,
        .spool_max = DEFAULT_SPOOL_MAX,
        .events = IOL_RECORD_DEFAULT_EVENTS,
        .rules = {.event_budget = IOL_RECORD_EVENT_BUDGET, .event_budget_process = IOL_RECORD_EVENT_BUDGET},
    };
    iol_record_words_take(IOL_RECORD_KINDS, DEFAULT_KINDS, &ret_options->kinds, NULL);
}

struct iol_capture_options iol_record_options_capture(const struct iol_record_options *options)
{
    return (struct iol_capture_options){
        .max_accounts = (uint32_t)options->max_accounts,
        .kinds = options->kinds,
        .events = options->events,
        .legacy = options->legacy_probes,
        .probes = options->probes,
        .pids = options->pids,
        .n_pids = options->n_pids,
        .comms = options->comms,
        .n_comms = options->n_comms,
        .uids = options->uids,
        .n_uids = options->n_uids,
        .exes = options->exes,
        .n_exes = options->n_exes,
        .cgroups = options->cgroup_ids.ids,
        .n_cgroups = options->cgroup_ids.n,
        .rules = iol_record_rules_set(&options->rules),
    };
}

bool iol_record_options_parse(int argc, char **argv, struct iol_record_options *ret_options, int *ret_status)
{
    struct iol_record_options options;
    struct iol_error err = {0};

    iol_record_options_init(&options);
    if (!iol_options_parse(&usage, argc, argv, &options, &options.common, ret_status)) {
        iol_record_options_done(&options);
        return false;
    }
    if (options.common.n_args > 0)
        options.command = options.common.args;
    if (check_options(&options, argc > 1 && strcmp(argv[argc - 1], "--") == 0, &err) < 0) {
        *ret_status = iol_options_fail("record", &err);
        iol_record_options_done(&options);
        return false;
    }
    iol_record_options_warn(&options);
    if (options.print_config) {
        *ret_status =
            iol_record_print(&usage, &options, stdout, &err) < 0 ? iol_options_fail("record", &err) : IOL_EXIT_OK;
        iol_record_options_done(&options);
        return false;
    }
    *ret_options = options;
    return true;
}

void iol_record_options_warn(const struct iol_record_options *options)
{
    for (size_t i = 0; i < options->rules.list.n; i++) {
        const char *doubt = iol_rule_text_doubt(options->rules.list.texts[i]);

        if (doubt)
            iol_log_warning(
                "rule '%s': '%s' is taken for a part of the name; conditions are comm=, exe=, user= and kind=",
                options->rules.list.texts[i], doubt);
    }
}

void iol_record_options_done(struct iol_record_options *options)
{
    while (options->n_exes > 0)
        free((void *)(uintptr_t)options->exes[--options->n_exes]);
    iol_rule_text_done(&options->rules.list);
    iol_config_free(options->config);
    options->config = NULL;
}
