// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/groups.h"

#include <stdio.h>

#include "app/options.h"
#include "app/question.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "store/reader.h"

static const char *const words[IOL_BY_COUNT] = {[IOL_BY_PROCESS] = "process",
                                                [IOL_BY_EXE] = "exe",
                                                [IOL_BY_USER] = "user",
                                                [IOL_BY_CONTAINER] = "container",
                                                [IOL_BY_DIRECTORY] = "directory"};

#define COUNTERS                                                                                                       \
    {"read_ops", "READS", IOL_CELL_COUNT, .drop = 7}, {"read_bytes", "READ", .cell = IOL_CELL_BYTES},                  \
        {"write_ops", "WRITES", IOL_CELL_COUNT, .drop = 7}, {"write_bytes", "WRITTEN", .cell = IOL_CELL_BYTES},        \
        {"read_errors", "READ-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},                                \
        {"write_errors", "WRITE-ERR", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 5},                              \
        {"execs", "EXECS", IOL_CELL_COUNT, .hide = IOL_HIDE_EMPTY, .drop = 4},                                         \
        {"first", "FIRST", IOL_CELL_TIME, .drop = 10}, {"last", "LAST", IOL_CELL_TIME, .drop = 9},                     \
    {                                                                                                                  \
        "host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME                                          \
    }

/* For each column of the output, the one of the query. */
static const struct iol_output_column process_columns[] = {
    {"pid", "PID", .cell = IOL_CELL_NUMBER},
    {"comm", "COMM", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 3},
    {"exe", "EXE", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .drop = 11},
    {"user", "USER", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 2},
    {"files", "FILES", IOL_CELL_COUNT, .drop = 8},
    COUNTERS,
    {"argv", "COMMAND", IOL_CELL_TEXT, IOL_SHORTEN_END, .least = 24},
};
static const size_t process_sources[] = {
    IOL_GROUPS_PID,          IOL_GROUPS_COMM,         IOL_GROUPS_EXE,          IOL_GROUPS_USER,
    IOL_GROUPS_FILES,        IOL_GROUPS_COUNTERS,     IOL_GROUPS_COUNTERS + 1, IOL_GROUPS_COUNTERS + 2,
    IOL_GROUPS_COUNTERS + 3, IOL_GROUPS_COUNTERS + 4, IOL_GROUPS_COUNTERS + 5, IOL_GROUPS_EXECS,
    IOL_GROUPS_FIRST,        IOL_GROUPS_LAST,         IOL_GROUPS_HOST,         IOL_GROUPS_GROUP,
};
_Static_assert(IOL_ARRAY_SIZE(process_columns) == IOL_ARRAY_SIZE(process_sources), "a source for each column");

static const struct iol_output_column group_columns[] = {
    {"", "", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = 32},
    {"processes", "PROCS", .cell = IOL_CELL_COUNT},
    {"files", "FILES", .cell = IOL_CELL_COUNT},
    COUNTERS,
};
static const size_t group_sources[] = {
    IOL_GROUPS_GROUP,        IOL_GROUPS_PROCESSES,    IOL_GROUPS_FILES,        IOL_GROUPS_COUNTERS,
    IOL_GROUPS_COUNTERS + 1, IOL_GROUPS_COUNTERS + 2, IOL_GROUPS_COUNTERS + 3, IOL_GROUPS_COUNTERS + 4,
    IOL_GROUPS_COUNTERS + 5, IOL_GROUPS_EXECS,        IOL_GROUPS_FIRST,        IOL_GROUPS_LAST,
    IOL_GROUPS_HOST,
};
_Static_assert(IOL_ARRAY_SIZE(group_columns) == IOL_ARRAY_SIZE(group_sources), "a source for each column");

int iol_groups_option(const char *text, enum iol_ask_by *ret_by, struct iol_error *err)
{
    size_t by;
    int r = iol_option_word(text, words, IOL_BY_COUNT, "grouping", &by, err);

    if (r == 0)
        *ret_by = (enum iol_ask_by)by;
    return r;
}

const char *iol_groups_word(unsigned int index)
{
    return index < IOL_BY_COUNT ? words[index] : NULL;
}

static void copy_cell(struct iol_output *output, const struct iol_output_column *column, size_t at,
                      const struct iol_query *query, size_t source)
{
    if (iol_query_is_null(query, source))
        return;
    if (column->cell == IOL_CELL_TEXT || column->cell == IOL_CELL_TIME)
        iol_output_set_text(output, at, iol_query_text(query, source));
    else
        iol_output_set_int(output, at, iol_query_int(query, source));
}

int iol_groups_print(struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by, enum iol_format format,
                     size_t *ret_rows, size_t *ret_all, struct iol_error *err)
{
    static const char *const headings[IOL_BY_COUNT] = {"COMMAND", "EXE", "USER", "CONTAINER", "DIRECTORY"};
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    struct iol_output_column grouped[IOL_ARRAY_SIZE(group_columns)];
    bool process = by == IOL_BY_PROCESS;
    const struct iol_output_column *columns = process ? process_columns : grouped;
    const size_t *sources = process ? process_sources : group_sources;
    size_t n = process ? IOL_ARRAY_SIZE(process_columns) : IOL_ARRAY_SIZE(group_columns);
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("adding up");
    int r = iol_ask_groups(db, ask, by, &query, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(group_columns); i++)
        grouped[i] = group_columns[i];
    grouped[0].key = words[by];
    grouped[0].heading = headings[by];
    if (iol_output_new(stdout, format, columns, n, &output) < 0)
        return iol_question_no_memory(err);
    *ret_rows = *ret_all = 0;
    while ((r = iol_query_next(query, err)) > 0) {
        iol_question_done_waiting(&waiting);
        *ret_all = (size_t)iol_query_int(query, IOL_GROUPS_ALL);
        for (size_t i = 0; i < n; i++)
            copy_cell(output, &columns[i], i, query, sources[i]);
        r = iol_output_row(output);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = iol_output_finish(output);
    *ret_rows = iol_output_rows(output);
    return r;
}
