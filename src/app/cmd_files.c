// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/coverage.h"
#include "app/groups.h"
#include "app/options.h"
#include "app/output.h"
#include "app/paths.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/ask.h"
#include "store/reader.h"

#define TABLE_LIMIT 50
#define COMM_MAX 15 /* TASK_COMM_LEN without the NUL: the kernel cuts longer names there */

#define PID_DIGITS 10 /* a longer number is a name */

enum { KEY_LIMIT = 'n', KEY_BY = 0x200 };

struct files {
    int64_t limit; /* -1: not given; 0: all */
    bool grouped;
    enum iol_ask_by by;
};

static const struct iol_output_column columns[IOL_FILES_ALL] = {
    [IOL_FILES_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = 32},
    [IOL_FILES_KIND] = {"kind", "KIND", IOL_CELL_TEXT, .drop = 3},
    [IOL_FILES_COUNTERS] = {"read_ops", "READS", IOL_CELL_COUNT},
    [IOL_FILES_COUNTERS + 1] = {"read_bytes", "READ", IOL_CELL_BYTES},
    [IOL_FILES_COUNTERS + 2] = {"write_ops", "WRITES", IOL_CELL_COUNT},
    [IOL_FILES_COUNTERS + 3] = {"write_bytes", "WRITTEN", IOL_CELL_BYTES},
    [IOL_FILES_COUNTERS + 4] = {"read_errors", "READ-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [IOL_FILES_COUNTERS + 5] = {"write_errors", "WRITE-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [IOL_FILES_FIRST] = {"first", "FIRST", IOL_CELL_TIME, .drop = 9},
    [IOL_FILES_LAST] = {"last", "LAST", IOL_CELL_TIME, .drop = 8},
    [IOL_FILES_FLAGS] = {"flags", "FLAGS", IOL_CELL_TEXT, .hide = IOL_HIDE_EMPTY, .drop = 4},
    [IOL_FILES_PROCESSES] = {"processes", "PROCS", IOL_CELL_COUNT, .drop = 2},
    [IOL_FILES_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct files *files = input;

    if (key == KEY_LIMIT)
        return iol_option_count(text, &files->limit, err);
    files->grouped = true;
    return iol_groups_option(text, &files->by, err);
}

static const char *nth_word(int key, unsigned int index)
{
    return key == KEY_BY ? iol_groups_word(index) : NULL;
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What is shown:", 1},
    {"by", KEY_BY, "WHAT", 0, IOL_GROUPS_OPTION_DOC, 1},
    {"limit", KEY_LIMIT, "N", 0, "Only the N biggest; 0 is all (default: 50 in a table, all in json and csv)", 1},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "[PID|COMM|EXE]",
    .summary = "Shows the files that a process read or wrote, those with the most bytes first: read ones with --read, "
               "written ones with --write. The process is given "
               "by its number, by its name (comm), or by the path of its program (anything with a '/'); without one "
               "it is the files of all processes.",
    .details =
        "Files of one path, kind and state are one line, whatever their inode; 'processes' is how many "
        "process images touched them. Paths in parentheses are accounts that stand for no single file: all "
        "(pipes) of a process, say. Operations are counted by the interval of the recording (a second by default): "
        "one that the span asked for begins or ends in counts whole. Times are UTC.\n\n"
        "Examples:\n"
        "  ioledger files\n"
        "  ioledger files cc1 --limit 10\n"
        "  ioledger files --write --since '10 min ago'\n"
        "  ioledger files --by exe --since 'yesterday 14:00' --until 'yesterday 15:00'\n"
        "  ioledger files /usr/bin/git --format csv\n"
        "  ioledger files 4711\n\n"
        "Exit status: 0 there are files; 1 there are none (json: an empty array, csv: the header only), or a "
        "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_FORMAT | IOL_COMMON_HOST | IOL_COMMON_SPAN | IOL_COMMON_ACCESS,
    .max_args = 1,
    .options = own_options,
    .option = take_option,
    .word = nth_word,
};

struct question {
    struct iol_arena *arena;
    struct iol_db *db;
    bool pid;              /* asked for by number */
    const char *condition; /* on process p; NULL: all */
    const char *params[2 * IOL_PATHS_MAX];
    size_t n_params;
};

static void done_question(struct question *question)
{
    iol_db_close(question->db);
    iol_arena_free(question->arena);
}

static int ask_comm(struct question *question, const char *comm, struct iol_error *err)
{
    size_t length = strlen(comm);

    question->condition = "p.comm = $1";
    question->params[question->n_params++] =
        iol_text_store(question->arena, comm, length > COMM_MAX ? COMM_MAX : length, NULL);
    return question->params[0] ? 0 : iol_question_no_memory(err);
}

static int ask_exe(struct question *question, const char *exe, struct iol_error *err)
{
    struct iol_paths paths;
    int r = iol_paths_resolve(question->arena, exe, &paths, err);

    if (r < 0)
        return r;
    question->condition = iol_paths_condition(question->arena, &paths, "p.exe", question->params, &question->n_params);
    return question->condition ? 0 : iol_question_no_memory(err);
}

static int ask(struct question *question, const struct iol_options *options, struct iol_error *err)
{
    const char *who = options->n_args ? options->args[0] : NULL;
    int r = 0;

    question->arena = iol_arena_new();
    if (!question->arena)
        return iol_question_no_memory(err);
    if (who && strchr(who, '/')) {
        r = ask_exe(question, who, err);
    } else if (who && strlen(who) <= PID_DIGITS && who[strspn(who, "0123456789")] == '\0') {
        question->pid = true;
        question->condition = "p.pid = CAST($1 AS bigint)";
        question->params[question->n_params++] = who;
    } else if (who) {
        r = ask_comm(question, who, err);
    }
    return r < 0 ? r : iol_db_open_host(options->db, options->verbose, options->host, &question->db, err);
}

/* *ret_all is how many rows there would have been without a limit. */
static int print_files(struct iol_db *db, const struct iol_ask *ask, enum iol_format format, size_t *ret_rows,
                       size_t *ret_all, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("adding up files");
    int r = iol_ask_files(db, ask, &query, err);

    if (r < 0)
        return r;
    if (iol_output_new(stdout, format, columns, IOL_ARRAY_SIZE(columns), &output) < 0)
        return iol_question_no_memory(err);
    while ((r = iol_query_next(query, err)) > 0) {
        iol_question_done_waiting(&waiting);
        *ret_all = (size_t)iol_query_int(query, IOL_FILES_ALL);
        iol_question_copy(output, columns, IOL_ARRAY_SIZE(columns), query);
        r = iol_output_row(output);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = iol_output_finish(output);
    *ret_rows = iol_output_rows(output);
    return r;
}

static int focus_processes(const struct question *question, struct iol_error *err)
{
    return iol_db_focus(question->db,
                        &(struct iol_focus){.kind = IOL_FOCUS_TREE,
                                            .processes = question->condition,
                                            .n_params = question->n_params,
                                            .params = question->params},
                        err);
}

/* A number is given out again: say so when several processes had it. */
static int tell_same_pid(const struct question *question, struct iol_error *err)
{
    long long processes;
    int r = focus_processes(question, err);

    if (r == 0)
        r = iol_question_number(question->db,
                                "SELECT count(*) FROM (SELECT DISTINCT host_id, start_time FROM process"
                                " WHERE pid = CAST($1 AS bigint)) d",
                                1, question->params, &processes, err);

    if (r == 0 && processes > 1)
        iol_log_info("pid %s was %lld different processes; these are the files of all of them", question->params[0],
                     processes);
    return r;
}

static int tell_nothing(const struct question *question, const struct iol_options *options, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;
    long long known;
    int r;

    if (options->since != IOL_NULL || options->until != IOL_NULL || options->reads || options->writes) {
        iol_log_info("nothing of that kind was done in %s", iol_question_when(options));
        return 0;
    }
    if (!question->condition) {
        iol_log_info("this ledger has no reads or writes; 'ioledger record' records some");
        return 0;
    }
    if (asprintf(&sql, "SELECT count(*) FROM process p WHERE %s", question->condition) < 0)
        return iol_question_no_memory(err);
    r = focus_processes(question, err);
    if (r == 0)
        r = iol_question_number(question->db, sql, question->n_params, question->params, &known, err);
    if (r < 0)
        return r;
    if (known > 0)
        iol_log_info("'%s' touched no file; 'ioledger tree' shows what it was", options->args[0]);
    else if (strchr(options->args[0], '/'))
        iol_log_info("no process ran '%s' in this ledger; 'ioledger who %s' tells who touched a file", options->args[0],
                     options->args[0]);
    else
        iol_log_info("there is no process '%s' in this ledger; 'ioledger tree' shows those that are", options->args[0]);
    return 0;
}

/* What is to be said besides a table. */
static int tell(const struct question *question, const struct iol_options *options, size_t rows, size_t all,
                struct iol_error *err)
{
    if (options->format != IOL_FORMAT_TABLE)
        return 0;
    if (all > rows)
        iol_log_info("%zu more; --limit 0 shows all", all - rows);
    if (all == 0)
        return tell_nothing(question, options, err);
    return question->pid ? tell_same_pid(question, err) : 0;
}

static int print(const struct question *question, const struct files *files, const struct iol_options *options,
                 size_t *ret_rows, size_t *ret_all, struct iol_error *err)
{
    int64_t default_limit = options->format == IOL_FORMAT_TABLE ? TABLE_LIMIT : 0;
    const struct iol_ask narrowed = {.since = options->since,
                                     .until = options->until,
                                     .reads = options->reads,
                                     .writes = options->writes,
                                     .processes = question->condition,
                                     .params = question->params,
                                     .n_params = question->n_params,
                                     .limit = files->limit < 0 ? default_limit : files->limit};

    if (files->grouped)
        return iol_groups_print(question->db, &narrowed, files->by, options->format, ret_rows, ret_all, err);
    return print_files(question->db, &narrowed, options->format, ret_rows, ret_all, err);
}

int iol_cmd_files(int argc, char **argv)
{
    struct files files = {.limit = -1};
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_question) struct question question = {0};
    size_t rows = 0, all = 0;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, &files, &options, &status))
        return status;
    if (options.n_args > 0 && !*options.args[0]) {
        iol_error_set(&err, -1, "the process is empty");
        return iol_options_fail("files", &err);
    }
    r = ask(&question, &options, &err);
    if (r == 0)
        r = print(&question, &files, &options, &rows, &all, &err);
    if (r == 0)
        r = tell(&question, &options, rows, all, &err);
    if (r == 0)
        r = iol_coverage_tell(question.db, &options, &err);
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return rows > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
