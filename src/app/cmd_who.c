// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "app/aliases.h"
#include "app/command.h"
#include "app/lineage.h"
#include "app/options.h"
#include "app/output.h"
#include "app/paths.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/reader.h"

enum { KEY_LIMIT = 0x200 };

struct who {
    int64_t limit; /* 0: all */
};

/* In the order of the query's columns, with the ancestry last. */
enum {
    WHO_FIRST,
    WHO_LAST,
    WHO_PID,
    WHO_COMM,
    WHO_EXE,
    WHO_USER,
    WHO_READ_OPS,
    WHO_READ_BYTES,
    WHO_WRITE_OPS,
    WHO_WRITE_BYTES,
    WHO_READ_ERRORS,
    WHO_WRITE_ERRORS,
    WHO_EXECS,
    WHO_PATH,
    WHO_HOST,
    WHO_ANCESTRY,
    WHO_COLUMNS
};

static const struct iol_output_column columns[WHO_COLUMNS] = {
    [WHO_FIRST] = {"first", "FIRST", IOL_CELL_TIME, .drop = 8},
    [WHO_LAST] = {"last", "LAST", IOL_CELL_TIME},
    [WHO_PID] = {"pid", "PID", IOL_CELL_NUMBER},
    [WHO_COMM] = {"comm", "COMM", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 4},
    [WHO_EXE] = {"exe", "EXE", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .drop = 9},
    [WHO_USER] = {"user", "USER", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 3},
    [WHO_READ_OPS] = {"read_ops", "READS", IOL_CELL_COUNT, .drop = 7},
    [WHO_READ_BYTES] = {"read_bytes", "READ", IOL_CELL_BYTES},
    [WHO_WRITE_OPS] = {"write_ops", "WRITES", IOL_CELL_COUNT, .drop = 6},
    [WHO_WRITE_BYTES] = {"write_bytes", "WRITTEN", IOL_CELL_BYTES},
    [WHO_READ_ERRORS] = {"read_errors", "READ-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [WHO_WRITE_ERRORS] = {"write_errors", "WRITE-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [WHO_EXECS] = {"execs", "EXECS", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 2},
    [WHO_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .hide = IOL_HIDE_SAME, .least = 18},
    [WHO_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
    [WHO_ANCESTRY] = {"ancestry", "ANCESTRY", IOL_CELL_TEXT, IOL_SHORTEN_START, .drop = 1, .least = 16},
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct who *who = input;

    (void)key;
    return iol_option_count(text, &who->limit, err);
}

static const struct argp_option own_options[] = {
    {"limit", KEY_LIMIT, "N", 0, "Show only the N latest (default: 0, all of them)", 0},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "PATH",
    .summary = "Shows every process that read, wrote or executed PATH, the one that touched it last first, and who "
               "started it. "
               "With a trailing '/' it is everything below that directory.",
    .details =
        "PATH is made absolute, and symbolic links in it are followed as they are now. A file that was renamed, or a "
        "directory above it, or that has hard links, is found by each of its names, as far as it had them. "
        "Each line is one process "
        "image (a process between two execs); exec'ed images of one process are one link in the ancestry. "
        "Times are UTC.\n\n"
        "Examples:\n"
        "  ioledger who /etc/passwd\n"
        "  ioledger who /var/log/ --limit 20\n"
        "  ioledger who --format json ./notes.txt | jq -r '.[].ancestry'\n\n"
        "Exit status: 0 somebody touched it; 1 nobody did (json: an empty array, csv: the header only), or a "
        "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_FORMAT,
    .min_args = 1,
    .max_args = 1,
    .missing = "a PATH",
    .options = own_options,
    .option = take_option,
};

struct question {
    struct iol_arena *arena;
    struct iol_db *db;
    struct iol_paths paths;
    struct iol_aliases aliases;
    const char *condition; /* on file f: its names */
    const char *window;    /* on an account: whether the name was the file's at the time */
    const char *params[2 * (2 * IOL_PATHS_MAX + IOL_ALIASES_PARAMS_MAX)];
    size_t n_params;
};

static void done_question(struct question *question)
{
    iol_db_close(question->db);
    iol_arena_free(question->arena);
}

/*
 * What processes did to the files of the condition, %1$s, while they were the files asked for, %2$s: accounts, and executions,
 * which the kernel reads by itself.
 */
#define DEEDS                                                                                                          \
    "SELECT * FROM (SELECT io.process_id AS process_id, f.path AS path, f.host_id AS host_id, f.id AS file_id,"        \
    " coalesce(io.first_ts, io.ts) AS first, coalesce(io.last_ts, io.ts) AS last, io.read_ops AS read_ops, "           \
    "io.read_bytes AS read_bytes,"                                                                                     \
    " io.write_ops AS write_ops, io.write_bytes AS write_bytes, io.read_errors AS read_errors,"                        \
    " io.write_errors AS write_errors, 0 AS execs"                                                                     \
    " FROM file f JOIN io ON io.file_id = f.id WHERE %1$s"                                                             \
    " UNION ALL SELECT e.process_id, f.path, f.host_id, f.id, e.ts, e.ts, 0, 0, 0, 0, 0, 0, 1"                         \
    " FROM file f JOIN event e ON e.file_id = f.id WHERE e.kind = 'exec' AND %1$s) done WHERE %2$s"

static int start_query(const struct question *question, int64_t limit, struct iol_query **ret_query,
                       struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;
    char limit_clause[40] = "";

    if (limit > 0)
        snprintf(limit_clause, sizeof(limit_clause), " LIMIT %lld", (long long)limit);
    if (asprintf(&sql,
                 "SELECT a.first, a.last, p.pid, p.comm, p.exe, coalesce(l.name, CAST(p.uid AS text)),"
                 " a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors, a.write_errors, a.execs,"
                 " a.path, h.name, a.process_id"
                 " FROM (SELECT process_id, path, min(first) AS first, max(last) AS last,"
                 " CAST(sum(read_ops) AS bigint) AS read_ops, CAST(sum(read_bytes) AS bigint) AS read_bytes,"
                 " CAST(sum(write_ops) AS bigint) AS write_ops, CAST(sum(write_bytes) AS bigint) AS write_bytes,"
                 " CAST(sum(read_errors) AS bigint) AS read_errors,"
                 " CAST(sum(write_errors) AS bigint) AS write_errors, CAST(sum(execs) AS bigint) AS execs"
                 " FROM (" DEEDS ") deeds GROUP BY process_id, path) a"
                 " LEFT JOIN process p ON p.id = a.process_id"
                 " LEFT JOIN host h ON h.id = p.host_id"
                 " LEFT JOIN login l ON l.host_id = p.host_id AND l.uid = p.uid"
                 " ORDER BY a.last DESC, a.first DESC, a.process_id, a.path%3$s",
                 question->condition, question->window, limit_clause) < 0)
        return iol_question_no_memory(err);
    return iol_query_new(question->db, sql, question->n_params, question->params, ret_query, err);
}

static int load_lineage(const struct question *question, struct iol_lineage **ret_lineage, struct iol_error *err)
{
    _cleanup_free_ char *seeds = NULL;

    if (asprintf(&seeds, "SELECT process_id FROM (" DEEDS ") deeds", question->condition, question->window) < 0)
        return iol_question_no_memory(err);
    return iol_lineage_load(question->db, seeds, question->n_params, question->params, ret_lineage, err);
}

/* Of one path nobody needs to be told the path, of a tree everybody does. */
static int new_output(enum iol_format format, bool tree, struct iol_output_column shown[WHO_COLUMNS],
                      struct iol_output **ret_output, struct iol_error *err)
{
    memcpy(shown, columns, sizeof(columns));
    if (tree)
        shown[WHO_PATH].hide = IOL_HIDE_NEVER;
    if (iol_output_new(stdout, format, shown, WHO_COLUMNS, ret_output) < 0)
        return iol_question_no_memory(err);
    return 0;
}

/* 0, or -errno with *err; *err stays empty when it was the output that failed. */
static int print_rows(struct iol_query *query, struct iol_lineage *lineage, enum iol_format format,
                      struct iol_output *output, struct iol_error *err)
{
    const char *arrow = format != IOL_FORMAT_TABLE || iol_output_is_utf8() ? " \u2192 " : " -> ";
    int r;

    while ((r = iol_query_next(query, err)) > 0) {
        iol_question_copy(output, columns, WHO_ANCESTRY, query);
        iol_output_set_text(output, WHO_ANCESTRY, iol_lineage_text(lineage, iol_query_int(query, WHO_ANCESTRY), arrow));
        r = iol_output_row(output);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : iol_output_finish(output);
}

/* The other names under which the ledger has the same file: hard links, renames, bind mounts. */
static int tell_other_names(const struct question *question, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    const char *params[2 * IOL_PATHS_MAX];
    size_t shown = 0, n_params = 0;
    const char *condition = iol_paths_condition(question->arena, &question->paths, "f.path", params, &n_params);
    int r;

    if (!condition ||
        asprintf(&sql,
                 "SELECT DISTINCT o.path FROM file f JOIN file o ON o.host_id = f.host_id AND o.dev = f.dev"
                 " AND o.inode = f.inode AND o.generation = f.generation AND o.path <> f.path"
                 " WHERE %s AND f.inode <> 0 ORDER BY o.path LIMIT %d",
                 condition, IOL_ALIASES_MAX + 4) < 0)
        return iol_question_no_memory(err);
    r = iol_query_new(question->db, sql, n_params, params, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (iol_aliases_have(&question->aliases, iol_query_text(query, 0)))
            continue;
        if (++shown == 4)
            iol_log_info("... and under more names");
        else
            iol_log_info("the same file is in the ledger as '%s' too", iol_query_text(query, 0));
    }
    return r;
}

static void tell_nothing(const char *typed, const struct question *question)
{
    struct stat st;

    if (question->paths.tree)
        iol_log_info("nothing below '%s' was touched in this ledger; 'ioledger files' shows what was",
                     question->paths.names[0].from);
    else if (stat(typed, &st) == 0 && S_ISDIR(st.st_mode))
        iol_log_info("'%s' is a directory that nobody touched itself; 'ioledger who %s/' asks for what is below it",
                     question->paths.names[0].from, typed);
    else
        iol_log_info("nobody touched '%s' in this ledger; 'ioledger files' shows what was touched",
                     question->paths.names[0].from);
}

/* The paths asked for, and the names that the file had besides. */
static const char *make_condition(struct question *question, bool with_times)
{
    const char *own = iol_paths_condition(question->arena, &question->paths, with_times ? "path" : "f.path",
                                          question->params, &question->n_params);
    const char *others = iol_aliases_condition(question->arena, question->db, &question->aliases, with_times,
                                               question->params, &question->n_params);
    size_t size = own && others ? strlen(own) + strlen(others) + 3 : 0;
    char *text = size ? iol_arena_alloc(question->arena, size) : NULL;

    if (text)
        snprintf(text, size, "(%s%s)", own, others);
    return text;
}

static int ask(struct question *question, const struct iol_options *options, struct iol_error *err)
{
    int r;

    question->arena = iol_arena_new();
    if (!question->arena)
        return iol_question_no_memory(err);
    r = iol_paths_resolve(question->arena, options->args[0], &question->paths, err);
    if (r < 0)
        return r;
    r = iol_db_open(options->db, options->verbose, &question->db, err);
    if (r < 0)
        return r;
    r = iol_aliases_find(question->arena, question->db, &question->paths, &question->aliases, err);
    if (r < 0)
        return r;
    question->condition = make_condition(question, false);
    question->window = question->condition ? make_condition(question, true) : NULL;
    return question->window ? 0 : iol_question_no_memory(err);
}

int iol_cmd_who(int argc, char **argv)
{
    struct who who = {0};
    struct iol_options options;
    struct iol_output_column shown[WHO_COLUMNS];
    struct iol_error err = {0};
    _cleanup_(done_question) struct question question = {0};
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_lineage) struct iol_lineage *lineage = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    int status;

    if (!iol_options_parse(&usage, argc, argv, &who, &options, &status))
        return status;
    if (!*options.args[0]) {
        iol_error_set(&err, -EINVAL, "PATH is empty");
        return iol_options_fail("who", &err);
    }
    if (ask(&question, &options, &err) < 0 || load_lineage(&question, &lineage, &err) < 0 ||
        start_query(&question, who.limit, &query, &err) < 0 ||
        new_output(options.format, question.paths.tree, shown, &output, &err) < 0)
        return iol_command_fail(&err);
    if (print_rows(query, lineage, options.format, output, &err) < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    if (iol_output_rows(output) == 0 && options.format == IOL_FORMAT_TABLE)
        tell_nothing(options.args[0], &question);
    iol_query_free(TAKE_PTR(query));
    if (options.format == IOL_FORMAT_TABLE)
        iol_aliases_tell(&question.aliases);
    if (!question.paths.tree && options.format == IOL_FORMAT_TABLE && tell_other_names(&question, &err) < 0)
        return iol_command_fail(&err);
    return iol_output_rows(output) > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
