// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/options.h"
#include "app/output.h"
#include "app/paths.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/reader.h"

#define TABLE_LIMIT 50
#define COMM_MAX 15 /* TASK_COMM_LEN without the NUL: the kernel cuts longer names there */

#define PID_DIGITS 10 /* a longer number is a name */

enum { KEY_LIMIT = 0x200 };

struct files {
    int64_t limit; /* -1: not given; 0: all */
};

/* In the order of the query's columns, which has the number of all rows after them. */
enum {
    FILES_PATH,
    FILES_KIND,
    FILES_READ_OPS,
    FILES_READ_BYTES,
    FILES_WRITE_OPS,
    FILES_WRITE_BYTES,
    FILES_READ_ERRORS,
    FILES_WRITE_ERRORS,
    FILES_FIRST,
    FILES_LAST,
    FILES_FLAGS,
    FILES_PROCESSES,
    FILES_HOST,
    FILES_COLUMNS
};

static const struct iol_output_column columns[FILES_COLUMNS] = {
    [FILES_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = 32},
    [FILES_KIND] = {"kind", "KIND", IOL_CELL_TEXT, .drop = 3},
    [FILES_READ_OPS] = {"read_ops", "READS", IOL_CELL_COUNT},
    [FILES_READ_BYTES] = {"read_bytes", "READ", IOL_CELL_BYTES},
    [FILES_WRITE_OPS] = {"write_ops", "WRITES", IOL_CELL_COUNT},
    [FILES_WRITE_BYTES] = {"write_bytes", "WRITTEN", IOL_CELL_BYTES},
    [FILES_READ_ERRORS] = {"read_errors", "READ-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [FILES_WRITE_ERRORS] = {"write_errors", "WRITE-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [FILES_FIRST] = {"first", "FIRST", IOL_CELL_TIME, .drop = 9},
    [FILES_LAST] = {"last", "LAST", IOL_CELL_TIME, .drop = 8},
    [FILES_FLAGS] = {"flags", "FLAGS", IOL_CELL_TEXT, .hide = IOL_HIDE_EMPTY, .drop = 4},
    [FILES_PROCESSES] = {"processes", "PROCS", IOL_CELL_COUNT, .drop = 2},
    [FILES_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct files *files = input;

    (void)key;
    return iol_option_count(text, &files->limit, err);
}

static const struct argp_option own_options[] = {
    {"limit", KEY_LIMIT, "N", 0, "Show only the N biggest; 0 is all (default: 50 in a table, all in json and csv)", 0},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "[PID|COMM|EXE]",
    .summary = "Shows the files that a process read or wrote, those with the most bytes first. The process is given "
               "by its number, by its name (comm), or by the path of its program (anything with a '/'); without one "
               "it is the files of all processes.",
    .details = "Files of one path, kind and state are one line, whatever their inode; 'processes' is how many "
               "process images touched them. Paths in parentheses are accounts that stand for no single file: all "
               "(pipes) of a process, say. Times are UTC.\n\n"
               "Examples:\n"
               "  ioledger files\n"
               "  ioledger files cc1 --limit 10\n"
               "  ioledger files /usr/bin/git --format csv\n"
               "  ioledger files 4711\n\n"
               "Exit status: 0 there are files; 1 there are none (json: an empty array, csv: the header only), or a "
               "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_FORMAT,
    .max_args = 1,
    .options = own_options,
    .option = take_option,
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
    return r < 0 ? r : iol_db_open(options->db, options->verbose, &question->db, err);
}

static int start_query(const struct question *question, int64_t limit, struct iol_query **ret_query,
                       struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL, *filter = NULL;
    char limit_clause[40] = "";

    if (limit > 0)
        snprintf(limit_clause, sizeof(limit_clause), " LIMIT %lld", (long long)limit);
    if (question->condition &&
        asprintf(&filter, " WHERE io.process_id IN (SELECT p.id FROM process p WHERE %s)", question->condition) < 0)
        return iol_question_no_memory(err);
    /* io is summed up by its ids before the names come in: there are far fewer pairs than rows. */
    if (asprintf(&sql,
                 "SELECT f.path, f.kind,"
                 " CAST(sum(a.read_ops) AS bigint), CAST(sum(a.read_bytes) AS bigint),"
                 " CAST(sum(a.write_ops) AS bigint), CAST(sum(a.write_bytes) AS bigint),"
                 " CAST(sum(a.read_errors) AS bigint), CAST(sum(a.write_errors) AS bigint),"
                 " min(a.first), max(a.last), f.flags, count(DISTINCT a.process_id), min(h.name), count(*) OVER ()"
                 " FROM (SELECT io.process_id AS process_id, io.file_id AS file_id,"
                 " sum(io.read_ops) AS read_ops, sum(io.read_bytes) AS read_bytes,"
                 " sum(io.write_ops) AS write_ops, sum(io.write_bytes) AS write_bytes,"
                 " sum(io.read_errors) AS read_errors, sum(io.write_errors) AS write_errors,"
                 " min(coalesce(io.first_ts, io.ts)) AS first, max(coalesce(io.last_ts, io.ts)) AS last"
                 " FROM io%s GROUP BY io.process_id, io.file_id) a"
                 " LEFT JOIN file f ON f.id = a.file_id LEFT JOIN host h ON h.id = f.host_id"
                 " GROUP BY f.host_id, f.path, f.kind, f.flags"
                 " ORDER BY sum(a.read_bytes) + sum(a.write_bytes) DESC, sum(a.read_ops) + sum(a.write_ops) DESC,"
                 " f.path, f.host_id, f.flags%s",
                 filter ? filter : "", limit_clause) < 0)
        return iol_question_no_memory(err);
    return iol_query_new(question->db, sql, question->n_params, question->params, ret_query, err);
}

/* Prints the rows; *ret_all is how many there would have been without a limit. */
static int print_rows(struct iol_query *query, struct iol_output *output, size_t *ret_all, struct iol_error *err)
{
    size_t all = 0;
    int r;

    while ((r = iol_query_next(query, err)) > 0) {
        all = (size_t)iol_query_int(query, FILES_COLUMNS);
        iol_question_copy(output, columns, FILES_COLUMNS, query);
        r = iol_output_row(output);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = iol_output_finish(output);
    if (r == 0)
        *ret_all = all;
    return r;
}

/* A number is given out again: say so when several processes had it. */
static int tell_same_pid(const struct question *question, struct iol_error *err)
{
    long long processes;
    int r = iol_question_number(question->db,
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

    if (!question->condition) {
        iol_log_info("this ledger has no reads or writes; 'ioledger record' records some");
        return 0;
    }
    if (asprintf(&sql, "SELECT count(*) FROM process p WHERE %s", question->condition) < 0)
        return iol_question_no_memory(err);
    r = iol_question_number(question->db, sql, question->n_params, question->params, &known, err);
    if (r < 0)
        return r;
    if (known > 0)
        iol_log_info("'%s' touched no file; 'ioledger tree' shows what it was", options->args[0]);
    else
        iol_log_info("there is no process '%s' in this ledger; 'ioledger tree' shows those that are", options->args[0]);
    return 0;
}

int iol_cmd_files(int argc, char **argv)
{
    struct files files = {.limit = -1};
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_question) struct question question = {0};
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    size_t all = 0;
    int status, r = 0;

    if (!iol_options_parse(&usage, argc, argv, &files, &options, &status))
        return status;
    if (options.n_args > 0 && !*options.args[0]) {
        iol_error_set(&err, -1, "the process is empty");
        return iol_options_fail("files", &err);
    }
    if (files.limit < 0)
        files.limit = options.format == IOL_FORMAT_TABLE ? TABLE_LIMIT : 0;
    if (ask(&question, &options, &err) < 0 || start_query(&question, files.limit, &query, &err) < 0)
        return iol_command_fail(&err);
    if (iol_output_new(stdout, options.format, columns, FILES_COLUMNS, &output) < 0) {
        iol_question_no_memory(&err);
        return iol_command_fail(&err);
    }
    if (print_rows(query, output, &all, &err) < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    iol_query_free(TAKE_PTR(query));
    if (options.format == IOL_FORMAT_TABLE) {
        if (all > iol_output_rows(output))
            iol_log_info("%zu more; --limit 0 shows all", all - iol_output_rows(output));
        if (all == 0)
            r = tell_nothing(&question, &options, &err);
        else if (question.pid)
            r = tell_same_pid(&question, &err);
    }
    if (r < 0)
        return iol_command_fail(&err);
    return iol_output_rows(output) > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
