// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "app/command.h"
#include "app/coverage.h"
#include "app/groups.h"
#include "app/lineage.h"
#include "app/options.h"
#include "app/output.h"
#include "app/path_question.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/ask.h"
#include "store/reader.h"

enum { KEY_LIMIT = 'n', KEY_BY = 0x200 };

struct who {
    int64_t limit; /* 0: all */
    bool grouped;
    enum iol_ask_by by;
};

/* The columns of the query up to the host, then these. */
enum { WHO_ARGV = IOL_WHO_HOST + 1, WHO_ANCESTRY, WHO_ANCESTRY_ARGV, WHO_COLUMNS };

static const struct iol_output_column columns[WHO_COLUMNS] = {
    [IOL_WHO_FIRST] = {"first", "FIRST", IOL_CELL_TIME, .drop = 8},
    [IOL_WHO_LAST] = {"last", "LAST", IOL_CELL_TIME},
    [IOL_WHO_PID] = {"pid", "PID", IOL_CELL_NUMBER},
    [IOL_WHO_COMM] = {"comm", "COMM", IOL_CELL_TEXT, IOL_SHORTEN_END, .least = 8},
    [IOL_WHO_EXE] = {"exe", "EXE", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .drop = 9},
    [IOL_WHO_USER] = {"user", "USER", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 3},
    [IOL_WHO_COUNTERS] = {"read_ops", "READS", IOL_CELL_COUNT, .drop = 7},
    [IOL_WHO_COUNTERS + 1] = {"read_bytes", "READ", IOL_CELL_BYTES},
    [IOL_WHO_COUNTERS + 2] = {"write_ops", "WRITES", IOL_CELL_COUNT, .drop = 7},
    [IOL_WHO_COUNTERS + 3] = {"write_bytes", "WRITTEN", IOL_CELL_BYTES},
    [IOL_WHO_COUNTERS + 4] = {"read_errors", "READ-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [IOL_WHO_COUNTERS + 5] = {"write_errors", "WRITE-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},
    [IOL_WHO_EXECS] = {"execs", "EXECS", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 2},
    [IOL_WHO_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .hide = IOL_HIDE_SAME, .least = 18},
    [IOL_WHO_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
    [WHO_ARGV] = {"argv", NULL, IOL_CELL_TEXT},
    [WHO_ANCESTRY] = {"ancestry", "ANCESTRY", IOL_CELL_TEXT, IOL_SHORTEN_START, .drop = 1, .least = 16},
    [WHO_ANCESTRY_ARGV] = {"ancestry_argv", NULL, IOL_CELL_TEXT},
};
_Static_assert((int)WHO_ARGV == (int)IOL_WHO_ARGV, "the query's columns come first");

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct who *who = input;

    if (key == KEY_LIMIT)
        return iol_option_count(text, &who->limit, err);
    who->grouped = true;
    return iol_groups_option(text, &who->by, err);
}

static const char *nth_word(int key, unsigned int index)
{
    return key == KEY_BY ? iol_groups_word(index) : NULL;
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What is shown:", 1},
    {"by", KEY_BY, "WHAT", 0, IOL_GROUPS_OPTION_DOC, 1},
    {"limit", KEY_LIMIT, "N", 0, "Only the N latest, or with --by the N biggest (default: 0, all of them)", 1},
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
        "image (a process between two execs); exec'ed images of one process are one link in the ancestry, which on a "
        "wide "
        "terminal has their arguments too; json and csv have them in ancestry_argv. Operations are counted by the "
        "interval of the recording (a second by "
        "default): one that the span asked for begins or ends in counts whole. "
        "Times are UTC.\n\n"
        "Examples:\n"
        "  ioledger who /etc/passwd\n"
        "  ioledger who /var/log/ --limit 20\n"
        "  ioledger who /etc/ --write --since 'yesterday 14:00'\n"
        "  ioledger who /srv/ --by user --since '10 min ago'\n"
        "  ioledger who --format json ./notes.txt | jq -r '.[].ancestry'\n\n"
        "Exit status: 0 somebody touched it; 1 nobody did (json: an empty array, csv: the header only), or a "
        "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_FORMAT | IOL_COMMON_HOST | IOL_COMMON_SPAN | IOL_COMMON_ACCESS,
    .min_args = 1,
    .max_args = 1,
    .missing = "a PATH",
    .options = own_options,
    .option = take_option,
    .word = nth_word,
};

static int load_lineage(const struct iol_path_question *question, const struct iol_ask *ask,
                        struct iol_lineage **ret_lineage, struct iol_error *err)
{
    _cleanup_free_ char *seeds = iol_ask_process_ids(question->db, ask);
    int r = seeds ? iol_ask_focus(question->db, ask, false, err) : iol_question_no_memory(err);

    return r < 0 ? r : iol_lineage_load(question->db, seeds, ask->n_params, ask->params, ret_lineage, err);
}

/* Of one path nobody needs to be told the path, of a tree everybody does. */
static int new_output(enum iol_format format, bool tree, struct iol_output_column shown[WHO_COLUMNS],
                      struct iol_output **ret_output, struct iol_error *err)
{
    memcpy(shown, columns, sizeof(columns));
    if (tree)
        shown[IOL_WHO_PATH].hide = IOL_HIDE_NEVER;
    if (iol_output_new(stdout, format, shown, WHO_COLUMNS, ret_output) < 0)
        return iol_question_no_memory(err);
    return 0;
}

static void set_ancestry(struct iol_output *output, struct iol_lineage *lineage, int64_t process_id, const char *arrow)
{
    const char *texts[IOL_LINEAGE_FORMS];

    for (enum iol_lineage_form form = 0; form < IOL_LINEAGE_FORMS; form++)
        texts[form] = iol_lineage_text(lineage, process_id, arrow, form);
    iol_output_set_text(output, WHO_ANCESTRY, texts[IOL_LINEAGE_NAMES]);
    iol_output_set_forms(output, WHO_ANCESTRY, &texts[IOL_LINEAGE_NAMES + 1], IOL_LINEAGE_FORMS - 1);
    iol_output_set_text(output, WHO_ANCESTRY_ARGV, texts[IOL_LINEAGE_ARGUMENTS]);
}

/* 0, or -errno with *err; *err stays empty when it was the output that failed. */
static int print_rows(struct iol_query *query, struct iol_lineage *lineage, enum iol_format format,
                      struct iol_output *output, struct iol_waiting **waiting, struct iol_error *err)
{
    const char *arrow = format != IOL_FORMAT_TABLE || iol_output_is_utf8() ? " \u2192 " : " -> ";
    int r;

    while ((r = iol_query_next(query, err)) > 0) {
        iol_question_done_waiting(waiting);
        iol_question_copy(output, columns, WHO_ANCESTRY, query);
        set_ancestry(output, lineage, iol_query_int(query, IOL_WHO_PROCESS_ID), arrow);
        r = iol_output_row(output);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : iol_output_finish(output);
}

static int print_processes(const struct iol_path_question *question, const struct iol_ask *ask, enum iol_format format,
                           size_t *ret_rows, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_lineage) struct iol_lineage *lineage = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("looking for processes");
    struct iol_output_column shown[WHO_COLUMNS];
    int r = load_lineage(question, ask, &lineage, err);

    if (r == 0)
        r = iol_ask_who(question->db, ask, &query, err);
    if (r == 0)
        r = new_output(format, question->paths.tree, shown, &output, err);
    if (r == 0)
        r = print_rows(query, lineage, format, output, &waiting, err);
    *ret_rows = output ? iol_output_rows(output) : 0;
    return r;
}

/* The other names under which the ledger has the same file: hard links, renames, bind mounts. */
static int tell_other_names(const struct iol_path_question *question, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
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
    r = iol_db_focus(
        question->db,
        &(struct iol_focus){.kind = IOL_FOCUS_SAME, .files = condition, .n_params = n_params, .params = params}, err);
    if (r == 0)
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

static void tell_nothing(const char *typed, const struct iol_path_question *question, const struct iol_options *options)
{
    struct stat st;

    if (options->since != IOL_NULL || options->until != IOL_NULL || options->reads || options->writes)
        iol_log_info("nobody did that with '%s' in %s", question->paths.names[0].from, iol_question_when(options));
    else if (question->paths.tree)
        iol_log_info("nothing below '%s' was touched in this ledger; 'ioledger files' shows what was",
                     question->paths.names[0].from);
    else if (stat(typed, &st) == 0 && S_ISDIR(st.st_mode))
        iol_log_info("'%s' is a directory that nobody touched itself; 'ioledger who %s/' asks for what is below it",
                     question->paths.names[0].from, typed);
    else
        iol_log_info("nobody touched '%s' in this ledger; 'ioledger files' shows what was touched",
                     question->paths.names[0].from);
}

/* What is to be said besides a table. */
static int tell(const struct iol_path_question *question, const struct who *who, const struct iol_options *options,
                size_t rows, struct iol_error *err)
{
    if (options->format != IOL_FORMAT_TABLE)
        return 0;
    if (rows == 0)
        tell_nothing(options->args[0], question, options);
    if (who->grouped)
        return 0;
    iol_aliases_tell(&question->aliases);
    return question->paths.tree ? 0 : tell_other_names(question, err);
}

int iol_cmd_who(int argc, char **argv)
{
    struct who who = {0};
    struct iol_options options;
    struct iol_error err = {0};
    struct iol_ask narrowed;
    _cleanup_(iol_path_question_done) struct iol_path_question question = {0};
    size_t rows = 0, all;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, &who, &options, &status))
        return status;
    if (!*options.args[0]) {
        iol_error_set(&err, -EINVAL, "PATH is empty");
        return iol_options_fail("who", &err);
    }
    r = iol_path_question_open(&options, options.args[0], &question, &err);
    if (r == 0) {
        narrowed = iol_path_question_ask(&question, &options);
        narrowed.limit = who.limit;
        r = who.grouped ? iol_groups_print(question.db, &narrowed, who.by, options.format, &rows, &all, &err)
                        : print_processes(&question, &narrowed, options.format, &rows, &err);
    }
    if (r == 0)
        r = tell(&question, &who, &options, rows, &err);
    if (r == 0)
        r = iol_coverage_tell(question.db, &options, &err);
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return rows > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
