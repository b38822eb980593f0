// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/command.h"
#include "app/coverage.h"
#include "app/options.h"
#include "app/output.h"
#include "app/path_question.h"
#include "app/question.h"
#include "app/story.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#define TABLE_LIMIT 200
#define WHAT_WIDTH 24 /* columns of WHAT on a narrow terminal */
#define SHORT_PATH (WHAT_WIDTH - sizeof("renamed to"))
#define PAUSE_NS INT64_C(60000000000)

enum { KEY_LIMIT = 'n', KEY_PAUSE = 0x200 };

struct timeline {
    int64_t limit; /* -1: not given; 0: all */
    int64_t pause_ns;
};

enum {
    DATA_FIRST,
    DATA_LAST,
    DATA_WHAT,
    DATA_PATH,
    DATA_OTHER_PATH,
    DATA_OPS,
    DATA_BYTES,
    DATA_ERRORS,
    DATA_PID,
    DATA_COMM,
    DATA_EXE,
    DATA_USER,
    DATA_HOST,
    DATA_COLUMNS
};

static const struct iol_output_column data_columns[DATA_COLUMNS] = {
    [DATA_FIRST] = {"first", NULL, IOL_CELL_TIME},
    [DATA_LAST] = {"last", NULL, IOL_CELL_TIME},
    [DATA_WHAT] = {"what", NULL, IOL_CELL_TEXT},
    [DATA_PATH] = {"path", NULL, IOL_CELL_TEXT},
    [DATA_OTHER_PATH] = {"other_path", NULL, IOL_CELL_TEXT},
    [DATA_OPS] = {"ops", NULL, IOL_CELL_COUNT},
    [DATA_BYTES] = {"bytes", NULL, IOL_CELL_BYTES},
    [DATA_ERRORS] = {"errors", NULL, IOL_CELL_COUNT},
    [DATA_PID] = {"pid", NULL, IOL_CELL_NUMBER},
    [DATA_COMM] = {"comm", NULL, IOL_CELL_TEXT},
    [DATA_EXE] = {"exe", NULL, IOL_CELL_TEXT},
    [DATA_USER] = {"user", NULL, IOL_CELL_TEXT},
    [DATA_HOST] = {"host", NULL, IOL_CELL_TEXT},
};

enum {
    TOLD_TIME,
    TOLD_LASTED,
    TOLD_HOST,
    TOLD_BY,
    TOLD_USER,
    TOLD_OPS,
    TOLD_BYTES,
    TOLD_WHAT,
    TOLD_PATH,
    TOLD_COLUMNS
};

static const struct iol_output_column told_columns[TOLD_COLUMNS] = {
    [TOLD_TIME] = {"time", "TIME", IOL_CELL_TIME},
    [TOLD_LASTED] = {"lasted", "LASTED", IOL_CELL_TEXT, .drop = 3},
    [TOLD_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
    [TOLD_BY] = {"process", "BY", IOL_CELL_TEXT, IOL_SHORTEN_START},
    [TOLD_USER] = {"user", "USER", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 1},
    [TOLD_OPS] = {"ops", "OPS", IOL_CELL_COUNT, .drop = 2},
    [TOLD_BYTES] = {"bytes", "BYTES", IOL_CELL_BYTES},
    [TOLD_WHAT] = {"what", "WHAT", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = WHAT_WIDTH},
    [TOLD_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .hide = IOL_HIDE_SAME, .least = 14},
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct timeline *timeline = input;

    if (key == KEY_LIMIT)
        return iol_option_count(text, &timeline->limit, err);
    return iol_option_duration(text, &timeline->pause_ns, err);
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What is shown:", 1},
    {"pause", KEY_PAUSE, "TIME", 0,
     "Reads or writes of one process with a longer pause between them are lines of their own (default: 1m)", 1},
    {"limit", KEY_LIMIT, "N", 0, "Only the N latest; 0 is all (default: 200 in a table, all in json and csv)", 1},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "PATH",
    .summary =
        "Shows one file's story in order of time: who created, wrote, renamed, read, executed and deleted it, under "
        "all names that it had. With a trailing '/' it is everything below that directory.",
    .details =
        "What a process read or wrote without a longer pause is one line, from its first to its last operation. Who "
        "created, renamed, linked or removed a file is known when the recording had those events ('ioledger record "
        "--events', which has them by default). A mapped file may have been read and written without any call: BYTES "
        "is "
        "'-' then. Times are UTC.\n\n"
        "Examples:\n"
        "  ioledger timeline /etc/passwd\n"
        "  ioledger timeline ./report.pdf --since yesterday\n"
        "  ioledger timeline /var/www/ -n 20\n"
        "  ioledger timeline /srv/data.db --pause 10s --format json\n\n"
        "Exit status: 0 something happened to it; 1 nothing did (json: an empty array, csv: the header only), or a "
        "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_HOST | IOL_COMMON_FORMAT | IOL_COMMON_SPAN,
    .min_args = 1,
    .max_args = 1,
    .missing = "a PATH",
    .options = own_options,
    .option = take_option,
};

static int print_data(struct iol_output *output, const struct iol_episode *episode)
{
    char first[32], last[32];

    iol_output_set_text(output, DATA_FIRST, iol_text_time(first, sizeof(first), episode->first_ns));
    iol_output_set_text(output, DATA_LAST, iol_text_time(last, sizeof(last), episode->last_ns));
    iol_output_set_text(output, DATA_WHAT, episode->what);
    iol_output_set_text(output, DATA_PATH, episode->path);
    iol_output_set_text(output, DATA_OTHER_PATH, episode->other_path);
    if (episode->counted) {
        iol_output_set_int(output, DATA_OPS, episode->ops);
        iol_output_set_int(output, DATA_ERRORS, episode->errors);
    }
    if (episode->counted && strcmp(episode->what, "mapped") != 0)
        iol_output_set_int(output, DATA_BYTES, episode->bytes);
    if (episode->pid)
        iol_output_set_int(output, DATA_PID, episode->pid);
    iol_output_set_text(output, DATA_COMM, episode->comm);
    iol_output_set_text(output, DATA_EXE, episode->exe);
    iol_output_set_text(output, DATA_USER, episode->user);
    iol_output_set_text(output, DATA_HOST, episode->host);
    return iol_output_row(output);
}

/* "renamed to /b/x", and not `whole` "renamed to …/x" when it is long; "read, 2 failed"; to be freed. */
static char *tell_what(const struct iol_episode *episode, bool whole)
{
    bool renamed = strcmp(episode->what, "renamed") == 0;
    const char *slash = episode->other_path ? strrchr(episode->other_path, '/') : NULL;
    const char *start = whole || !slash || strlen(episode->other_path) <= SHORT_PATH ? ""
                        : iol_output_is_utf8()                                       ? "\u2026"
                                                                                     : "...";
    char *text = NULL;
    int n;

    if (episode->other_path)
        n = asprintf(&text, "%s %s %s%s", episode->what, renamed ? "to" : "as", start,
                     *start ? slash : episode->other_path);
    else if (episode->errors > 0)
        n = asprintf(&text, "%s, %lld failed", episode->what, (long long)episode->errors);
    else
        n = asprintf(&text, "%s", episode->what);
    return n < 0 ? NULL : text;
}

static int print_told(struct iol_output *output, const struct iol_episode *episode)
{
    _cleanup_free_ char *what = tell_what(episode, isatty(STDOUT_FILENO) != 1), *whole = tell_what(episode, true),
                        *by = NULL;
    const char *const forms[] = {whole};
    char time[32], lasted[32];

    if (!what || !whole || asprintf(&by, "%s(%lld)", episode->comm ? episode->comm : "?", (long long)episode->pid) < 0)
        return -ENOMEM;
    iol_output_set_text(output, TOLD_TIME, iol_text_time(time, sizeof(time), episode->first_ns));
    iol_output_set_text(output, TOLD_LASTED,
                        episode->counted ? iol_text_lasted(lasted, sizeof(lasted), episode->last_ns - episode->first_ns)
                                         : "");
    iol_output_set_text(output, TOLD_HOST, episode->host);
    iol_output_set_text(output, TOLD_BY, by);
    iol_output_set_text(output, TOLD_USER, episode->user);
    if (episode->counted)
        iol_output_set_int(output, TOLD_OPS, episode->ops);
    else
        iol_output_set_text(output, TOLD_OPS, "");
    if (episode->counted && strcmp(episode->what, "mapped") != 0)
        iol_output_set_int(output, TOLD_BYTES, episode->bytes);
    else if (!episode->counted)
        iol_output_set_text(output, TOLD_BYTES, "");
    iol_output_set_text(output, TOLD_WHAT, what);
    iol_output_set_forms(output, TOLD_WHAT, forms, IOL_ARRAY_SIZE(forms));
    iol_output_set_text(output, TOLD_PATH, episode->path);
    return iol_output_row(output);
}

/* *ret_left: how many earlier ones the limit leaves out. */
static int print_story(const struct iol_story *story, const struct timeline *timeline,
                       const struct iol_options *options, bool tree, size_t *ret_rows, size_t *ret_left,
                       struct iol_error *err)
{
    bool table = options->format == IOL_FORMAT_TABLE;
    int64_t limit = timeline->limit < 0 ? (table ? TABLE_LIMIT : 0) : timeline->limit;
    struct iol_output_column told[TOLD_COLUMNS];
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    size_t n;
    const struct iol_episode *const *list = iol_story_list(story, &n);
    int r = 0;

    memcpy(told, told_columns, sizeof(told));
    if (tree)
        told[TOLD_PATH].hide = IOL_HIDE_NEVER;
    *ret_left = limit > 0 && n > (size_t)limit ? n - (size_t)limit : 0;
    if (iol_output_new(stdout, options->format, table ? told : data_columns,
                       table ? (size_t)TOLD_COLUMNS : (size_t)DATA_COLUMNS, &output) < 0)
        return iol_question_no_memory(err);
    for (size_t i = *ret_left; r == 0 && i < n; i++)
        r = table ? print_told(output, list[i]) : print_data(output, list[i]);
    if (r == 0)
        r = iol_output_finish(output);
    *ret_rows = iol_output_rows(output);
    return r == -ENOMEM ? iol_question_no_memory(err) : r;
}

static void done_story(struct iol_story **story)
{
    iol_story_free(*story);
}

static void tell(const struct iol_path_question *question, const struct iol_options *options, size_t rows, size_t left)
{
    if (rows == 0)
        iol_log_info("nothing is known of '%s' in %s; 'ioledger files' shows what was touched",
                     question->paths.names[0].from, iol_question_when(options));
    if (left > 0)
        iol_log_info("%zu earlier; --limit 0 shows all", left);
    iol_aliases_tell(&question->aliases);
}

int iol_cmd_timeline(int argc, char **argv)
{
    struct timeline timeline = {.limit = -1, .pause_ns = PAUSE_NS};
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(iol_path_question_done) struct iol_path_question question = {0};
    _cleanup_(done_story) struct iol_story *story = NULL;
    size_t rows = 0, left = 0;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, &timeline, &options, &status))
        return status;
    if (!*options.args[0]) {
        iol_error_set(&err, -EINVAL, "PATH is empty");
        return iol_options_fail("timeline", &err);
    }
    r = iol_path_question_open(&options, options.args[0], &question, &err);
    if (r == 0)
        r = iol_story_load(&question, &options, timeline.pause_ns, &story, &err);
    if (r == 0)
        r = print_story(story, &timeline, &options, question.paths.tree, &rows, &left, &err);
    if (r == 0 && options.format == IOL_FORMAT_TABLE)
        tell(&question, &options, rows, left);
    if (r == 0)
        r = iol_coverage_tell(question.db, &options, &err);
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return rows > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
