// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/costs.h"
#include "app/coverage.h"
#include "app/options.h"
#include "app/output.h"
#include "app/question.h"
#include "app/side.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "store/ask.h"
#include "store/reader.h"

#define TABLE_LIMIT 50

enum { KEY_LIMIT = 'n', KEY_BY = 0x200, KEY_DEPTH, KEY_ONLY, KEY_ALL };

/* In the order in which they are shown. */
enum change { CHANGE_NEW, CHANGE_GONE, CHANGE_CHANGED, CHANGE_SAME, CHANGES };

static const char *const change_words[CHANGES] = {
    [CHANGE_NEW] = "new", [CHANGE_GONE] = "gone", [CHANGE_CHANGED] = "changed", [CHANGE_SAME] = "same"};
static const char *const by_words[] = {[IOL_COSTS_BY_DIRECTORY] = "directory", [IOL_COSTS_BY_FILE] = "file"};

struct diff {
    struct iol_costs_options how;
    int64_t limit; /* -1: not given; 0: all */
    bool chosen, all;
    enum change only; /* when chosen */
};

enum {
    DIFF_CHANGE,
    DIFF_READ_A,
    DIFF_READ_B,
    DIFF_WRITE_A,
    DIFF_WRITE_B,
    DIFF_READ_OPS_A,
    DIFF_READ_OPS_B,
    DIFF_WRITE_OPS_A,
    DIFF_WRITE_OPS_B,
    DIFF_PATH,
    DIFF_COLUMNS
};

static const struct iol_output_column columns[DIFF_COLUMNS] = {
    [DIFF_CHANGE] = {"change", "CHANGE", IOL_CELL_TEXT},
    [DIFF_READ_A] = {"read_bytes_a", "READ A", IOL_CELL_BYTES},
    [DIFF_READ_B] = {"read_bytes_b", "READ B", IOL_CELL_BYTES},
    [DIFF_WRITE_A] = {"write_bytes_a", "WRITTEN A", IOL_CELL_BYTES},
    [DIFF_WRITE_B] = {"write_bytes_b", "WRITTEN B", IOL_CELL_BYTES},
    [DIFF_READ_OPS_A] = {"read_ops_a", NULL, IOL_CELL_COUNT},
    [DIFF_READ_OPS_B] = {"read_ops_b", NULL, IOL_CELL_COUNT},
    [DIFF_WRITE_OPS_A] = {"write_ops_a", NULL, IOL_CELL_COUNT},
    [DIFF_WRITE_OPS_B] = {"write_ops_b", NULL, IOL_CELL_COUNT},
    [DIFF_PATH] = {"path", "PATH", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, .least = 24},
};

enum { LIST_NAME, LIST_ID, LIST_HOST, LIST_STARTED, LIST_ENDED, LIST_SCOPE, LIST_COLUMNS };

static const struct iol_output_column list_columns[LIST_COLUMNS] = {
    [LIST_NAME] = {"name", "NAME", IOL_CELL_TEXT},
    [LIST_ID] = {"id", "ID", IOL_CELL_NUMBER, .drop = 1},
    [LIST_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
    [LIST_STARTED] = {"started", "STARTED", IOL_CELL_TIME},
    [LIST_ENDED] = {"ended", "ENDED", IOL_CELL_TIME},
    [LIST_SCOPE] = {"scope", "RECORDED", IOL_CELL_TEXT, IOL_SHORTEN_END, .least = 16},
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct diff *diff = input;
    int64_t depth = 0;
    size_t word = 0;
    int r = 0;

    switch (key) {
    case KEY_BY:
        r = iol_option_word(text, by_words, IOL_ARRAY_SIZE(by_words), "grouping", &word, err);
        diff->how.by = (enum iol_costs_by)word;
        return r;
    case KEY_DEPTH:
        r = iol_option_count(text, &depth, err);
        diff->how.by = IOL_COSTS_BY_DIRECTORY;
        diff->how.depth = (size_t)depth;
        return r;
    case KEY_ONLY:
        r = iol_option_word(text, change_words, CHANGES, "change", &word, err);
        diff->chosen = true;
        diff->only = (enum change)word;
        return r;
    case KEY_ALL:
        diff->all = true;
        return 0;
    default:
        return iol_option_count(text, &diff->limit, err);
    }
}

static const char *nth_word(int key, unsigned int index)
{
    if (key == KEY_BY)
        return index < IOL_ARRAY_SIZE(by_words) ? by_words[index] : NULL;
    return key == KEY_ONLY && index < CHANGES ? change_words[index] : NULL;
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What is shown:", 1},
    {"by", KEY_BY, "WHAT", 0, "Compare by file (default) or by directory", 1},
    {"depth", KEY_DEPTH, "N", 0, "Compare directories at most N levels deep", 1},
    {"only", KEY_ONLY, "CHANGE", 0,
     "Only what is new (in B and not in A), gone (in A and not in B), changed (other bytes) or same", 1},
    {"all", KEY_ALL, NULL, 0, "Also what is the same in both", 1},
    {"limit", KEY_LIMIT, "N", 0, "Only the first N lines; 0 is all (default: 50 in a table, all in json and csv)", 1},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "[A B]",
    .summary = "Compares two recordings or two spans of time: which files were read or written in B and not in A, in A "
               "and not "
               "in B, or with other numbers of bytes. Without A and B it lists the recordings of the ledger.",
    .details =
        "A and B are each one of\n\n"
        "  last, last~1, ...    the latest recording of the ledger, the one before it\n"
        "  recording:ID         a recording by its id\n"
        "  SINCE..UNTIL         a span of time, as 'ioledger who --help' has them;\n"
        "                       either may be left out\n"
        "  URL                  all of another ledger\n"
        "  URL#last, URL#SINCE..UNTIL, ...\n"
        "                       one of these in another ledger\n\n"
        "The ledger is that of --db where there is no URL. New things come first, then those that are gone, then what "
        "has "
        "changed, each with the most bytes first.\n\n"
        "Examples:\n"
        "  ioledger diff\n"
        "  ioledger diff last~1 last\n"
        "  ioledger diff last~1 last --read --only new\n"
        "  ioledger diff 'yesterday 14:00..yesterday 15:00' '1 hour ago..now' --depth 2\n"
        "  ioledger diff sqlite:old-build.db sqlite:new-build.db --format json\n\n"
        "Exit status: 0 there are differences (or recordings); 1 there are none (json: an empty array, csv: the header "
        "only), or a failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_HOST | IOL_COMMON_FORMAT | IOL_COMMON_ACCESS,
    .max_args = 2,
    .options = own_options,
    .option = take_option,
    .word = nth_word,
};

static int print_recordings(const struct iol_options *options, size_t *ret_rows, struct iol_error *err)
{
    _cleanup_(iol_question_done_db) struct iol_db *db = NULL;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    int r = iol_db_open_host(options->db, options->verbose, options->host, &db, err);

    if (r == 0)
        r = iol_ask_recordings(db, true, &query, err);
    if (r < 0)
        return r;
    if (iol_output_new(stdout, options->format, list_columns, LIST_COLUMNS, &output) < 0)
        return iol_question_no_memory(err);
    while ((r = iol_query_next(query, err)) > 0) {
        const char *scope = iol_query_text(query, IOL_RECORDINGS_SCOPE);
        char name[32] = "last";

        if (iol_output_rows(output) > 0)
            snprintf(name, sizeof(name), "last~%zu", iol_output_rows(output));
        iol_output_set_text(output, LIST_NAME, name);
        iol_output_set_int(output, LIST_ID, iol_query_int(query, IOL_RECORDINGS_ID));
        iol_output_set_text(output, LIST_HOST, iol_query_text(query, IOL_RECORDINGS_HOST));
        iol_output_set_text(output, LIST_STARTED, iol_query_text(query, IOL_RECORDINGS_STARTED));
        iol_output_set_text(output, LIST_ENDED, iol_query_text(query, IOL_RECORDINGS_ENDED));
        iol_output_set_text(output, LIST_SCOPE,
                            options->format == IOL_FORMAT_TABLE && !(scope && *scope) ? "the whole machine" : scope);
        r = iol_output_row(output);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = iol_output_finish(output);
    *ret_rows = iol_output_rows(output);
    if (*ret_rows == 0 && options->format == IOL_FORMAT_TABLE)
        iol_log_info("there are no recordings in this ledger; 'ioledger record' makes one");
    return r;
}

struct line {
    const struct iol_cost *a, *b; /* NULL: not there */
    enum change change;
    int64_t weight;
};

struct comparison {
    struct iol_side sides[2];
    struct iol_costs *costs[2];
    struct line *lines;
    size_t n;
    size_t counts[CHANGES];
};

static void done_comparison(struct comparison *comparison)
{
    for (size_t i = 0; i < 2; i++) {
        iol_costs_free(comparison->costs[i]);
        iol_side_done(&comparison->sides[i]);
    }
    free(comparison->lines);
}

static int64_t part(const struct iol_cost *cost, bool read)
{
    return !cost ? 0 : read ? cost->read_bytes : cost->write_bytes;
}

static void weigh(struct line *line, const struct iol_options *options)
{
    bool reads = options->reads || !options->writes, writes = options->writes || !options->reads;
    int64_t read = part(line->b, true) - part(line->a, true), written = part(line->b, false) - part(line->a, false);

    line->weight = (reads ? llabs(read) : 0) + (writes ? llabs(written) : 0);
    line->change = !line->a ? CHANGE_NEW : !line->b ? CHANGE_GONE : line->weight != 0 ? CHANGE_CHANGED : CHANGE_SAME;
}

static int by_path(const void *left, const void *right)
{
    const struct iol_cost *a = *(const struct iol_cost *const *)left, *b = *(const struct iol_cost *const *)right;

    return strcmp(a->path, b->path);
}

static const char *path_of(const struct line *line)
{
    return line->b ? line->b->path : line->a->path;
}

static int by_change(const void *left, const void *right)
{
    const struct line *a = left, *b = right;

    if (a->change != b->change)
        return a->change < b->change ? -1 : 1;
    if (a->weight != b->weight)
        return a->weight < b->weight ? 1 : -1;
    return strcmp(path_of(a), path_of(b));
}

/* The list by path, to be freed; NULL: no memory. */
static const struct iol_cost **sorted(struct iol_costs *costs, size_t *ret_n)
{
    const struct iol_cost *const *list = iol_costs_list(costs, IOL_COSTS_BYTES, ret_n);
    const struct iol_cost **copy = list ? calloc(*ret_n + 1, sizeof(*copy)) : NULL;

    if (!copy)
        return NULL;
    memcpy(copy, list, *ret_n * sizeof(*copy));
    qsort(copy, *ret_n, sizeof(*copy), by_path);
    return copy;
}

/* Walks both lists in the order of their paths. */
static int compare(struct comparison *comparison, const struct diff *diff, const struct iol_options *options,
                   struct iol_error *err)
{
    size_t n_a = 0, n_b = 0;
    _cleanup_free_ const struct iol_cost **a = sorted(comparison->costs[0], &n_a);
    _cleanup_free_ const struct iol_cost **b = sorted(comparison->costs[1], &n_b);

    comparison->lines = calloc(n_a + n_b + 1, sizeof(*comparison->lines));
    if (!a || !b || !comparison->lines)
        return iol_question_no_memory(err);
    for (size_t i = 0, j = 0; i < n_a || j < n_b;) {
        int order = i == n_a ? 1 : j == n_b ? -1 : strcmp(a[i]->path, b[j]->path);
        struct line line = {.a = order <= 0 ? a[i] : NULL, .b = order >= 0 ? b[j] : NULL};

        i += line.a != NULL;
        j += line.b != NULL;
        weigh(&line, options);
        comparison->counts[line.change]++;
        if (diff->chosen ? line.change == diff->only : line.change != CHANGE_SAME || diff->all)
            comparison->lines[comparison->n++] = line;
    }
    qsort(comparison->lines, comparison->n, sizeof(*comparison->lines), by_change);
    return 0;
}

static int load(struct comparison *comparison, const struct diff *diff, const struct iol_options *options,
                struct iol_error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < 2; i++)
        r = iol_side_open(options->args[i], options, &comparison->sides[i], err);
    for (size_t i = 0; r == 0 && i < 2; i++) {
        const struct iol_side *side = &comparison->sides[i];
        const struct iol_ask ask = {
            .since = side->since, .until = side->until, .reads = options->reads, .writes = options->writes};
        struct iol_costs_options how = diff->how;

        how.host = side->host;
        how.hosts_together = true;
        r = iol_costs_load(side->db, &ask, &how, &comparison->costs[i], err);
    }
    return r;
}

static int print_line(struct iol_output *output, const struct line *line)
{
    static const struct iol_cost none = {0};
    const struct iol_cost *a = line->a ? line->a : &none, *b = line->b ? line->b : &none;

    iol_output_set_text(output, DIFF_CHANGE, change_words[line->change]);
    iol_output_set_int(output, DIFF_READ_A, a->read_bytes);
    iol_output_set_int(output, DIFF_READ_B, b->read_bytes);
    iol_output_set_int(output, DIFF_WRITE_A, a->write_bytes);
    iol_output_set_int(output, DIFF_WRITE_B, b->write_bytes);
    iol_output_set_int(output, DIFF_READ_OPS_A, a->read_ops);
    iol_output_set_int(output, DIFF_READ_OPS_B, b->read_ops);
    iol_output_set_int(output, DIFF_WRITE_OPS_A, a->write_ops);
    iol_output_set_int(output, DIFF_WRITE_OPS_B, b->write_ops);
    iol_output_set_text(output, DIFF_PATH, path_of(line));
    return iol_output_row(output);
}

static int print_lines(const struct comparison *comparison, const struct diff *diff, const struct iol_options *options,
                       struct iol_error *err)
{
    int64_t limit = diff->limit < 0 ? (options->format == IOL_FORMAT_TABLE ? TABLE_LIMIT : 0) : diff->limit;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    struct iol_output_column shown[DIFF_COLUMNS];
    int r = 0;

    memcpy(shown, columns, sizeof(shown));
    if (options->reads && !options->writes)
        shown[DIFF_WRITE_A].heading = shown[DIFF_WRITE_B].heading = NULL;
    if (options->writes && !options->reads)
        shown[DIFF_READ_A].heading = shown[DIFF_READ_B].heading = NULL;
    if (iol_output_new(stdout, options->format, shown, DIFF_COLUMNS, &output) < 0)
        return iol_question_no_memory(err);
    for (size_t i = 0; r == 0 && i < comparison->n && (limit == 0 || (int64_t)i < limit); i++)
        r = print_line(output, &comparison->lines[i]);
    if (r == 0)
        r = iol_output_finish(output);
    if (r == 0 && options->format == IOL_FORMAT_TABLE && iol_output_rows(output) < comparison->n)
        iol_log_info("%zu more; --limit 0 shows all", comparison->n - iol_output_rows(output));
    return r;
}

/* What was compared, and what of it was not recorded. */
static int tell(const struct comparison *comparison, const struct iol_options *options, struct iol_error *err)
{
    static const char *const names[] = {"A: ", "B: "};
    const size_t *counts = comparison->counts;
    int r = 0;

    if (options->format == IOL_FORMAT_TABLE)
        iol_log_info("%zu new, %zu gone, %zu changed, %zu the same", counts[CHANGE_NEW], counts[CHANGE_GONE],
                     counts[CHANGE_CHANGED], counts[CHANGE_SAME]);
    for (size_t i = 0; r == 0 && i < 2; i++) {
        const struct iol_side *side = &comparison->sides[i];

        if (side->span)
            r = iol_coverage_tell_span(side->db, side->since, side->until, options->now, names[i], err);
    }
    return r;
}

static int check_args(const struct iol_options *options, struct iol_error *err)
{
    if (options->n_args == 1) {
        iol_error_set(err, -EINVAL, "'%s' is to be compared with what? give A and B", options->args[0]);
        iol_error_hint(err, "for example: ioledger diff last~1 last");
        return -EINVAL;
    }
    return 0;
}

int iol_cmd_diff(int argc, char **argv)
{
    struct diff diff = {.how = {.by = IOL_COSTS_BY_FILE}, .limit = -1};
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_comparison) struct comparison comparison = {0};
    size_t rows = 0;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, &diff, &options, &status))
        return status;
    if (check_args(&options, &err) < 0)
        return iol_options_fail("diff", &err);
    if (options.n_args == 0) {
        r = print_recordings(&options, &rows, &err);
    } else {
        r = load(&comparison, &diff, &options, &err);
        if (r == -EINVAL)
            return iol_options_fail("diff", &err);
        if (r == 0)
            r = compare(&comparison, &diff, &options, &err);
        if (r == 0)
            r = print_lines(&comparison, &diff, &options, &err);
        if (r == 0)
            r = tell(&comparison, &options, &err);
        rows = comparison.n;
    }
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return rows > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
