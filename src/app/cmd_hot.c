// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/costs.h"
#include "app/coverage.h"
#include "app/options.h"
#include "app/output.h"
#include "app/paths.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/ask.h"
#include "store/reader.h"

#define TABLE_LIMIT 20

enum { KEY_LIMIT = 'n', KEY_BY = 0x200, KEY_DEPTH, KEY_SORT };

struct hot {
    enum iol_costs_by by;
    enum iol_costs_sort sort;
    int64_t depth;
    int64_t limit; /* -1: not given; 0: all */
};

enum {
    HOT_SHARE, /* in tables only */
    HOT_READ_BYTES,
    HOT_WRITE_BYTES,
    HOT_READ_OPS,
    HOT_WRITE_OPS,
    HOT_READ_ERRORS,
    HOT_WRITE_ERRORS,
    HOT_FILES,
    HOT_PATH,
    HOT_HOST,
    HOT_COLUMNS
};

static const struct iol_output_column columns[HOT_COLUMNS] = {
    [HOT_SHARE] = {"share", "SHARE", IOL_CELL_TEXT, .drop = 3},
    [HOT_READ_BYTES] = {"read_bytes", "READ", IOL_CELL_BYTES},
    [HOT_WRITE_BYTES] = {"write_bytes", "WRITTEN", IOL_CELL_BYTES},
    [HOT_READ_OPS] = {"read_ops", "READS", IOL_CELL_COUNT, .drop = 1},
    [HOT_WRITE_OPS] = {"write_ops", "WRITES", IOL_CELL_COUNT, .drop = 1},
    [HOT_READ_ERRORS] = {"read_errors", "READ-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 2},
    [HOT_WRITE_ERRORS] = {"write_errors", "WRITE-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 2},
    [HOT_FILES] = {"files", "FILES", IOL_CELL_COUNT},
    [HOT_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = 24},
    [HOT_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
};

static const char *const by_words[] = {[IOL_COSTS_BY_DIRECTORY] = "directory", [IOL_COSTS_BY_FILE] = "file"};
static const char *const sort_words[IOL_COSTS_SORTS] = {
    [IOL_COSTS_BYTES] = "bytes", [IOL_COSTS_OPS] = "ops", [IOL_COSTS_READ] = "read", [IOL_COSTS_WRITTEN] = "written"};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct hot *hot = input;
    size_t word = 0;
    int r = 0;

    switch (key) {
    case KEY_BY:
        r = iol_option_word(text, by_words, IOL_ARRAY_SIZE(by_words), "grouping", &word, err);
        hot->by = (enum iol_costs_by)word;
        return r;
    case KEY_SORT:
        r = iol_option_word(text, sort_words, IOL_COSTS_SORTS, "measure", &word, err);
        hot->sort = (enum iol_costs_sort)word;
        return r;
    case KEY_DEPTH:
        return iol_option_count(text, &hot->depth, err);
    default:
        return iol_option_count(text, &hot->limit, err);
    }
}

static const char *nth_word(int key, unsigned int index)
{
    if (key == KEY_BY)
        return index < IOL_ARRAY_SIZE(by_words) ? by_words[index] : NULL;
    return key == KEY_SORT && index < IOL_COSTS_SORTS ? sort_words[index] : NULL;
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What is shown:", 1},
    {"by", KEY_BY, "WHAT", 0, "Sum up by directory (default) or by file", 1},
    {"depth", KEY_DEPTH, "N", 0,
     "Put files under the directory at most N levels below PATH, with all that is below it (default: 0, each under its "
     "own)",
     1},
    {"sort", KEY_SORT, "MEASURE", 0, "By bytes (default), ops (operations), read or written (bytes)", 1},
    {"limit", KEY_LIMIT, "N", 0, "Only the N that cost most; 0 is all (default: 20 in a table, all in json and csv)",
     1},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "[PATH]",
    .summary = "Shows the directories, or files, that cost most: with the most bytes read and written, or the most "
               "operations. With PATH only what is below it.",
    .details = "SHARE is the part of what all of them cost together. Every file is counted once, under one line, so "
               "that the lines add up. Operations are counted by the interval of the recording (a second by default): "
               "one that the span asked for begins or ends in counts whole.\n\n"
               "Examples:\n"
               "  ioledger hot\n"
               "  ioledger hot --depth 1 --since '1 hour ago'\n"
               "  ioledger hot /var --depth 2 --write\n"
               "  ioledger hot --by file -n 5 --sort ops\n\n"
               "Exit status: 0 there are some; 1 there are none (json: an empty array, csv: the header only), or a "
               "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_HOST | IOL_COMMON_FORMAT | IOL_COMMON_SPAN | IOL_COMMON_ACCESS,
    .max_args = 1,
    .options = own_options,
    .option = take_option,
    .word = nth_word,
};

/* Cells that programs can work out by themselves are for people only. */
static int print_costs(struct iol_costs *costs, const struct hot *hot, enum iol_format format, size_t *ret_rows,
                       size_t *ret_all, struct iol_error *err)
{
    size_t skip = format == IOL_FORMAT_TABLE ? 0 : HOT_SHARE + 1, n;
    int64_t limit = hot->limit < 0 ? (format == IOL_FORMAT_TABLE ? TABLE_LIMIT : 0) : hot->limit;
    double all = (double)iol_costs_measure(iol_costs_sum(costs), hot->sort);
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    const struct iol_cost *const *list = iol_costs_list(costs, hot->sort, &n);
    int r = 0;

    if (!list || iol_output_new(stdout, format, columns + skip, HOT_COLUMNS - skip, &output) < 0)
        return iol_question_no_memory(err);
    *ret_all = n;
    for (size_t i = 0; r == 0 && i < n && (limit == 0 || (int64_t)i < limit); i++) {
        const struct iol_cost *cost = list[i];
        char share[16];

        snprintf(share, sizeof(share), "%5.1f %%",
                 all > 0 ? 100 * (double)iol_costs_measure(cost, hot->sort) / all : 0);
        if (skip == 0)
            iol_output_set_text(output, HOT_SHARE, share);
        iol_output_set_int(output, HOT_READ_BYTES - skip, cost->read_bytes);
        iol_output_set_int(output, HOT_WRITE_BYTES - skip, cost->write_bytes);
        iol_output_set_int(output, HOT_READ_OPS - skip, cost->read_ops);
        iol_output_set_int(output, HOT_WRITE_OPS - skip, cost->write_ops);
        iol_output_set_int(output, HOT_READ_ERRORS - skip, cost->read_errors);
        iol_output_set_int(output, HOT_WRITE_ERRORS - skip, cost->write_errors);
        iol_output_set_int(output, HOT_FILES - skip, cost->files);
        iol_output_set_text(output, HOT_PATH - skip, cost->path);
        iol_output_set_text(output, HOT_HOST - skip, cost->host);
        r = iol_output_row(output);
    }
    if (r == 0)
        r = iol_output_finish(output);
    *ret_rows = iol_output_rows(output);
    return r;
}

struct question {
    struct iol_arena *arena;
    struct iol_db *db;
    struct iol_paths paths;
    struct iol_costs *costs;
    const char *params[2 * IOL_PATHS_MAX];
};

static void done_question(struct question *question)
{
    iol_costs_free(question->costs);
    iol_db_close(question->db);
    iol_arena_free(question->arena);
}

/* PATH stands for what is below it, with or without a '/' at its end. */
static int resolve(struct question *question, const char *typed, struct iol_ask *ask, struct iol_error *err)
{
    _cleanup_free_ char *tree = NULL;
    int r;

    if (asprintf(&tree, "%s%s", typed, typed[strlen(typed) - 1] == '/' ? "" : "/") < 0)
        return iol_question_no_memory(err);
    r = iol_paths_resolve(question->arena, tree, &question->paths, err);
    if (r < 0)
        return r;
    ask->files = iol_paths_condition(question->arena, &question->paths, "f.path", question->params, &ask->n_params);
    ask->params = question->params;
    return ask->files ? 0 : iol_question_no_memory(err);
}

static int load(struct question *question, const struct hot *hot, const struct iol_options *options,
                struct iol_error *err)
{
    struct iol_ask ask = {
        .since = options->since, .until = options->until, .reads = options->reads, .writes = options->writes};
    struct iol_costs_options how = {.by = hot->by, .depth = (size_t)hot->depth, .below = &question->paths};
    int r = 0;

    question->arena = iol_arena_new();
    if (!question->arena)
        return iol_question_no_memory(err);
    if (options->n_args > 0)
        r = resolve(question, options->args[0], &ask, err);
    if (r == 0)
        r = iol_db_open_host(options->db, options->verbose, options->host, &question->db, err);
    if (r == 0)
        r = iol_costs_load(question->db, &ask, &how, &question->costs, err);
    return r;
}

static void tell(const struct question *question, const struct iol_options *options, size_t rows, size_t all)
{
    if (all > rows)
        iol_log_info("%zu more; --limit 0 shows all", all - rows);
    else if (all == 0 && options->n_args > 0)
        iol_log_info("nothing below '%s' was read or written in %s", question->paths.names[0].from,
                     iol_question_when(options));
    else if (all == 0)
        iol_log_info("nothing was read or written in %s; 'ioledger record' records more", iol_question_when(options));
}

int iol_cmd_hot(int argc, char **argv)
{
    struct hot hot = {.limit = -1};
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_question) struct question question = {0};
    size_t rows = 0, all = 0;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, &hot, &options, &status))
        return status;
    if (options.n_args > 0 && !*options.args[0]) {
        iol_error_set(&err, -EINVAL, "PATH is empty");
        return iol_options_fail("hot", &err);
    }
    r = load(&question, &hot, &options, &err);
    if (r == 0)
        r = print_costs(question.costs, &hot, options.format, &rows, &all, &err);
    if (r == 0 && options.format == IOL_FORMAT_TABLE)
        tell(&question, &options, rows, all);
    if (r == 0)
        r = iol_coverage_tell(question.db, &options, &err);
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return rows > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
