// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/record_options.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "core/model.h"
#include "store/schema.h"

#define DEFAULT_ACCOUNTS 65536
#define NS_PER_MS 1000000LL
#define NS_PER_S 1000000000LL
#define KIND_BIT(kind) (1U << (kind))
#define EVENT_BIT(kind) IOL_MODEL_EVENT_BIT(kind)
#define DEFAULT_EVENTS (IOL_MODEL_TREE_EVENTS | EVENT_BIT(IOL_EVENT_MMAP))

/* Events that can be chosen; those of processes, and those of reads and writes, are not chosen here. */
#define ALL_EVENTS                                                                                                     \
    (DEFAULT_EVENTS | EVENT_BIT(IOL_EVENT_OPEN_FAILED) | EVENT_BIT(IOL_EVENT_TRUNCATE) | EVENT_BIT(IOL_EVENT_CHMOD) |  \
     EVENT_BIT(IOL_EVENT_CHOWN) | EVENT_BIT(IOL_EVENT_SETXATTR))

enum {
    KEY_INTERVAL = 0x300,
    KEY_DURATION,
    KEY_PID,
    KEY_COMM,
    KEY_UID,
    KEY_EXE,
    KEY_KINDS,
    KEY_EVENTS,
    KEY_PROBES,
    KEY_MAX_ACCOUNTS,
    KEY_SYSTEM,
};

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What to record:", 1},
    {"pid", KEY_PID, "N", 0, "Only this process and its descendants (repeatable)", 1},
    {"comm", KEY_COMM, "NAME", 0, "Only processes of this name (repeatable)", 1},
    {"uid", KEY_UID, "USER", 0, "Only processes of this user, by name or number (repeatable)", 1},
    {"exe", KEY_EXE, "PATH", 0, "Only processes that run this program (repeatable)", 1},
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
    {NULL, 0, NULL, 0, "How to record:", 2},
    {"interval", KEY_INTERVAL, "TIME", 0, "Post the accounts this often (default: 1s; at least 10ms)", 2},
    {"duration", KEY_DURATION, "TIME", 0, "Stop after this time (default: Ctrl-C, or CMD's end)", 2},
    {"max-accounts", KEY_MAX_ACCOUNTS, "N", 0,
     "Accounts open at a time (default: 65536); what finds no room is counted as (other files)", 2},
    {"probes", KEY_PROBES, "SET", 0, "Probe set: auto or tracepoint (default: auto)", 2},
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
    const struct passwd *user;
    char *end;
    unsigned long uid;

    if (not_empty(text, err) < 0 || take_room(options->n_uids, err) < 0)
        return -EINVAL;
    user = getpwnam(text);
    errno = 0;
    uid = strtoul(text, &end, 10);
    if (user)
        uid = user->pw_uid;
    else if (*end || errno || uid > UINT32_MAX || text[0] == '-')
        return iol_error_set(err, -EINVAL, "there is no user '%s'", text);
    options->uids[options->n_uids++] = (uint32_t)uid;
    return 0;
}

static int take_exe(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    char *path;

    if (not_empty(text, err) < 0 || take_room(options->n_exes, err) < 0)
        return -EINVAL;
    path = realpath(text, NULL); /* a symbolic link is not what runs */
    if (!path && text[0] != '/')
        return iol_error_set(err, -EINVAL, "there is no program '%s' (give its path)", text);
    if (!path)
        path = strdup(text);
    if (!path)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (strlen(path) >= IOL_EXE_FILTER_MAX) {
        free(path);
        return iol_error_set(err, -ENAMETOOLONG, "the path is longer than %d bytes", IOL_EXE_FILTER_MAX - 1);
    }
    options->exes[options->n_exes++] = path;
    return 0;
}

static int take_kinds(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } names[] = {
        {"file", KIND_BIT(IOL_ABI_KIND_FILE) | KIND_BIT(IOL_ABI_KIND_LINK) | KIND_BIT(IOL_ABI_KIND_OTHER)},
        {"dir", KIND_BIT(IOL_ABI_KIND_DIR)},
        {"dev", KIND_BIT(IOL_ABI_KIND_CHR) | KIND_BIT(IOL_ABI_KIND_BLK)},
        {"pipe", KIND_BIT(IOL_ABI_KIND_PIPE)},
        {"socket", KIND_BIT(IOL_ABI_KIND_SOCKET)},
        {"anon", KIND_BIT(IOL_ABI_KIND_ANON) | KIND_BIT(IOL_ABI_KIND_MEMFD)},
    };
    uint32_t kinds = 0;

    if (not_empty(text, err) < 0)
        return -EINVAL;
    for (const char *word = text; word;) {
        size_t length = strcspn(word, ","), i;

        for (i = 0; i < IOL_ARRAY_SIZE(names); i++) {
            if (strlen(names[i].name) == length && strncmp(names[i].name, word, length) == 0)
                break;
        }
        if (i == IOL_ARRAY_SIZE(names))
            return iol_error_set(err, -EINVAL, "'%.*s' is no kind; kinds are file,dir,dev,pipe,socket,anon",
                                 (int)length, word);
        kinds |= names[i].bits;
        word = word[length] ? word + length + 1 : NULL;
    }
    options->kinds = kinds;
    return 0;
}

static bool is_word(const char *name, const char *word, size_t length)
{
    return strlen(name) == length && strncmp(name, word, length) == 0;
}

/* The bits of one word of --events; false: it is none. */
static bool find_events(const char *word, size_t length, uint32_t *ret_events)
{
    static const struct {
        const char *name;
        uint32_t bits;
    } groups[] = {{"none", 0}, {"all", ALL_EVENTS}, {"tree", DEFAULT_EVENTS}};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(groups); i++) {
        if (is_word(groups[i].name, word, length)) {
            *ret_events = groups[i].bits;
            return true;
        }
    }
    for (uint32_t kind = 0; kind < IOL_EVENT_KIND_COUNT; kind++) {
        if (ALL_EVENTS & EVENT_BIT(kind) && is_word(iol_schema_word(&iol_enum_event_kind, kind), word, length)) {
            *ret_events = EVENT_BIT(kind);
            return true;
        }
    }
    return false;
}

static int take_events(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    uint32_t events = 0;

    if (not_empty(text, err) < 0)
        return -EINVAL;
    for (const char *word = text; word;) {
        size_t length = strcspn(word, ",");
        uint32_t found;

        if (!find_events(word, length, &found))
            return iol_error_set(err, -EINVAL,
                                 "'%.*s' is no event; events are none, all, tree, or of open,open_failed,truncate,"
                                 "rename,unlink,link,symlink,mkdir,rmdir,chmod,chown,setxattr,mmap",
                                 (int)length, word);
        events |= found;
        word = word[length] ? word + length + 1 : NULL;
    }
    options->events = events;
    return 0;
}

static int take_probes(struct iol_record_options *options, const char *text, struct iol_error *err)
{
    /* 'tracepoint-legacy' is how tests reach the programs for older kernels on a new one */
    options->legacy_probes = strcmp(text, "tracepoint-legacy") == 0;
    if (options->legacy_probes || strcmp(text, "auto") == 0 || strcmp(text, "tracepoint") == 0)
        return 0;
    return iol_error_set(err, -EINVAL, "'%s' is no probe set of this version; sets are auto and tracepoint", text);
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

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct iol_record_options *options = input;

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
    case KEY_KINDS:
        return take_kinds(options, text, err);
    case KEY_EVENTS:
        return take_events(options, text, err);
    case KEY_PROBES:
        return take_probes(options, text, err);
    case KEY_MAX_ACCOUNTS:
        return take_max_accounts(options, text, err);
    case KEY_SYSTEM:
        options->system = true;
        return 0;
    default:
        return iol_error_set(err, -EINVAL, "unknown option");
    }
}

static const struct iol_usage usage = {
    .arguments = "[[--] CMD [ARG...]]",
    .summary = "Records which processes read and write which files, until Ctrl-C, --duration, or the end of CMD. With "
               "CMD only CMD and its descendants are recorded, unless --system is given. Of several filters of one "
               "kind a process has to meet one, of each kind that is given.",
    .details = "What filters leave out is not counted at all; ancestors of what is recorded are named all the same, "
               "so that it can be told who started it. SIGINT and SIGTERM stop the recording; everything counted so "
               "far is stored before it ends.\n\n"
               "Examples:\n"
               "  sudo ioledger record --duration 10s\n"
               "  sudo ioledger record -- make -j4\n"
               "  sudo ioledger record --pid 4711 --interval 5s\n"
               "  sudo ioledger record --uid www-data --db postgresql://ledger@db/ledger\n"
               "  sudo ioledger record --quiet --db jsonl:- | jq .\n\n"
               "Exit status: that of CMD (128 + N when signal N ended it; 126 it could not be run; 127 it was not "
               "found); without CMD 0 when everything is stored; 1 a failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_QUIET | IOL_COMMON_COMMAND,
    .max_args = SIZE_MAX,
    .options = own_options,
    .option = take_option,
};

bool iol_record_options_parse(int argc, char **argv, struct iol_record_options *ret_options, int *ret_status)
{
    struct iol_record_options options = {
        .interval_ns = NS_PER_S,
        .max_accounts = DEFAULT_ACCOUNTS,
        .events = DEFAULT_EVENTS,
        .kinds = ~(KIND_BIT(IOL_ABI_KIND_PIPE) | KIND_BIT(IOL_ABI_KIND_SOCKET)),
    };
    struct iol_error err = {0};

    if (!iol_options_parse(&usage, argc, argv, &options, &options.common, ret_status)) {
        iol_record_options_done(&options);
        return false;
    }
    if (options.common.n_args > 0)
        options.command = options.common.args;
    if (!options.command && argc > 1 && strcmp(argv[argc - 1], "--") == 0) {
        iol_error_set(&err, -EINVAL, "there is no CMD after '--'");
        *ret_status = iol_options_fail("record", &err);
    } else if (options.system && !options.command) {
        iol_error_set(&err, -EINVAL, "--system goes with a CMD; without one the whole machine is recorded anyway");
        *ret_status = iol_options_fail("record", &err);
    } else if (options.system && (options.n_pids || options.n_comms || options.n_uids || options.n_exes)) {
        iol_error_set(&err, -EINVAL, "--system and a filter contradict each other");
        *ret_status = iol_options_fail("record", &err);
    } else if (options.command && !options.command[0][0]) {
        iol_error_set(&err, -EINVAL, "CMD is empty");
        *ret_status = iol_options_fail("record", &err);
    } else {
        *ret_options = options;
        return true;
    }
    iol_record_options_done(&options);
    return false;
}

void iol_record_options_done(struct iol_record_options *options)
{
    while (options->n_exes > 0)
        free((void *)(uintptr_t)options->exes[--options->n_exes]);
}

static void print_events(FILE *out, uint32_t events)
{
    const char *before = "--events ";

    for (uint32_t kind = 0; kind < IOL_EVENT_KIND_COUNT && events != ALL_EVENTS; kind++) {
        if (events & EVENT_BIT(kind)) {
            fprintf(out, "%s%s", before, iol_schema_word(&iol_enum_event_kind, kind));
            before = ",";
        }
    }
    fputs(events == ALL_EVENTS ? "--events all " : events ? " " : "--events none ", out);
}

char *iol_record_options_scope(const struct iol_record_options *options)
{
    struct iol_arena *arena = iol_arena_new();
    _cleanup_free_ char *raw = NULL;
    char *scope = NULL;
    size_t size;
    FILE *out = open_memstream(&raw, &size);

    if (!out || !arena) {
        iol_arena_free(arena);
        return NULL;
    }
    for (size_t i = 0; i < options->n_pids; i++)
        fprintf(out, "--pid %d ", options->pids[i]);
    for (size_t i = 0; i < options->n_comms; i++)
        fprintf(out, "--comm %s ", options->comms[i]);
    for (size_t i = 0; i < options->n_uids; i++)
        fprintf(out, "--uid %u ", options->uids[i]);
    for (size_t i = 0; i < options->n_exes; i++)
        fprintf(out, "--exe %s ", options->exes[i]);
    if (options->events != DEFAULT_EVENTS)
        print_events(out, options->events);
    if (options->system)
        fputs("--system ", out);
    if (options->command)
        fputs("--", out);
    for (size_t i = 0; options->command && options->command[i]; i++)
        fprintf(out, " %s", options->command[i]);
    fclose(out);
    if (raw) {
        const char *text = iol_text_store(arena, raw, size, NULL);

        scope = text ? strdup(text) : NULL;
    }
    iol_arena_free(arena);
    return scope;
}
