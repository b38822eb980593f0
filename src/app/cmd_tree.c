// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/command.h"
#include "app/coverage.h"
#include "app/forest.h"
#include "app/options.h"
#include "app/output.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/ask.h"
#include "store/reader.h"

/* Of a deeper tree only the innermost levels are drawn, or the lines would be nothing but indentation. */
#define LEVELS_DRAWN 40

enum { KEY_LIMIT = 'n', KEY_ALL = 0x200 };

/* The columns of the query but for the last one, and the depth. */
enum { TREE_QUERIED = IOL_TREE_STATE, TREE_DEPTH = TREE_QUERIED, TREE_COLUMNS };

static const struct iol_output_column data_columns[TREE_COLUMNS] = {
    [IOL_TREE_ID] = {"id", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_PARENT_ID] = {"parent_id", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_PID] = {"pid", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_PPID] = {"ppid", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_ORIGIN] = {"origin", NULL, IOL_CELL_TEXT},
    [IOL_TREE_COMM] = {"comm", NULL, IOL_CELL_TEXT},
    [IOL_TREE_EXE] = {"exe", NULL, IOL_CELL_TEXT},
    [IOL_TREE_ARGV] = {"argv", NULL, IOL_CELL_TEXT},
    [IOL_TREE_CWD] = {"cwd", NULL, IOL_CELL_TEXT},
    [IOL_TREE_USER] = {"user", NULL, IOL_CELL_TEXT},
    [IOL_TREE_START_TIME] = {"start_time", NULL, IOL_CELL_TIME},
    [IOL_TREE_EXEC_TIME] = {"exec_time", NULL, IOL_CELL_TIME},
    [IOL_TREE_EXIT_TIME] = {"exit_time", NULL, IOL_CELL_TIME},
    [IOL_TREE_EXIT_CODE] = {"exit_code", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_SIGNAL] = {"signal", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_HOST] = {"host", NULL, IOL_CELL_TEXT},
    [IOL_TREE_COUNTERS] = {"read_ops", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_COUNTERS + 1] = {"read_bytes", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_COUNTERS + 2] = {"write_ops", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_COUNTERS + 3] = {"write_bytes", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_COUNTERS + 4] = {"read_errors", NULL, IOL_CELL_NUMBER},
    [IOL_TREE_COUNTERS + 5] = {"write_errors", NULL, IOL_CELL_NUMBER},
    [TREE_DEPTH] = {"depth", NULL, IOL_CELL_NUMBER},
};

enum {
    DRAWN_TIME,
    DRAWN_HOST,
    DRAWN_PID,
    DRAWN_USER,
    DRAWN_RAN,
    DRAWN_EXIT,
    DRAWN_READ,
    DRAWN_WRITTEN,
    DRAWN_COMMAND,
    DRAWN_COLUMNS
};

static const struct iol_output_column drawn_columns[DRAWN_COLUMNS] = {
    [DRAWN_TIME] = {"time", "TIME", IOL_CELL_TIME, .drop = 3},
    [DRAWN_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
    [DRAWN_PID] = {"pid", "PID", IOL_CELL_NUMBER},
    [DRAWN_USER] = {"user", "USER", IOL_CELL_TEXT, IOL_SHORTEN_END, .drop = 2},
    [DRAWN_RAN] = {"ran", "RAN", IOL_CELL_TEXT, .drop = 4},
    [DRAWN_EXIT] = {"exit", "EXIT", IOL_CELL_TEXT},
    [DRAWN_READ] = {"read_bytes", "READ", IOL_CELL_BYTES, .drop = 1},
    [DRAWN_WRITTEN] = {"write_bytes", "WRITTEN", IOL_CELL_BYTES, .drop = 1},
    [DRAWN_COMMAND] = {"command", "COMMAND", IOL_CELL_TEXT, IOL_SHORTEN_END, .least = 40},
};

/* One row of the query: what iol_image.data points to. */
struct row {
    bool null[TREE_QUERIED];
    int64_t numbers[TREE_QUERIED];
    const char *texts[TREE_QUERIED];
    enum iol_tree_state state;
    size_t number; /* in the order of the query */
    bool chosen;   /* to be shown, if the limit allows it */
};

struct tree {
    struct iol_arena *arena;
    struct iol_db *db;
    struct iol_forest forest;
    struct iol_output *output;
    bool utf8;
    bool all;             /* --all */
    int64_t limit;        /* --limit; 0: none */
    size_t idle, earlier; /* how many are left out because they did nothing, and by the limit */
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct tree *tree = input;

    if (key == KEY_LIMIT)
        return iol_option_count(text, &tree->limit, err);
    tree->all = true;
    return 0;
}

static const struct argp_option own_options[] = {
    {NULL, 0, NULL, 0, "What is shown:", 1},
    {"all", KEY_ALL, NULL, 0, "In a table, show the processes too that were there but did nothing", 1},
    {"limit", KEY_LIMIT, "N", 0, "Only the N that began last, and their ancestors (default: 0, all of them)", 1},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "[PID]",
    .summary =
        "Shows which process started which, one line for each process image: a process as it was forked, and "
        "below it, behind an arrow, every program that it became by exec; when it began and how it ended, and what it "
        "read and wrote. With PID only that process, its "
        "ancestors and its descendants; with --since or --until only what was there in that time, and its ancestors.",
    .details =
        "TIME is when the image began (UTC), RAN how long until it ended or became another one, EXIT its exit code or "
        "the "
        "signal that killed it; '-' is not known: it still ran when the recording ended. READ and WRITTEN are the "
        "bytes "
        "that this image moved in that time, as far as it was recorded. Behind the arguments stands the program in "
        "brackets when it has "
        "another name. json and csv are flat, in the same order, with the depth.\n\n"
        "Examples:\n"
        "  ioledger tree\n"
        "  ioledger tree 4711\n"
        "  ioledger tree --since '10 min ago' --limit 20\n"
        "  ioledger tree --format json | jq '.[] | select(.exit_code > 0) | .argv'\n\n"
        "Exit status: 0 there are processes; 1 there are none (json: an empty array, csv: the header only), or a "
        "failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_FORMAT | IOL_COMMON_HOST | IOL_COMMON_SPAN,
    .max_args = 1,
    .options = own_options,
    .option = take_option,
};

static void done_tree(struct tree *tree)
{
    iol_output_free(tree->output);
    iol_db_close(tree->db);
    iol_forest_done(&tree->forest);
    iol_arena_free(tree->arena);
}

static bool is_text(size_t column)
{
    return data_columns[column].cell == IOL_CELL_TEXT || data_columns[column].cell == IOL_CELL_TIME;
}

static int load_row(struct tree *tree, const struct iol_query *query)
{
    struct iol_image *image = iol_arena_alloc(tree->arena, sizeof(*image));
    struct row *row = iol_arena_alloc(tree->arena, sizeof(*row));

    if (!image || !row)
        return -ENOMEM;
    memset(image, 0, sizeof(*image));
    memset(row, 0, sizeof(*row));
    for (size_t i = 0; i < TREE_QUERIED; i++) {
        const char *text = iol_query_text(query, i);

        row->null[i] = !text;
        if (text && !is_text(i))
            row->numbers[i] = iol_query_int(query, i);
        else if (text && !(row->texts[i] = iol_arena_dup(tree->arena, text, strlen(text))))
            return -ENOMEM;
    }
    image->id = row->numbers[IOL_TREE_ID];
    image->parent_id = row->numbers[IOL_TREE_PARENT_ID];
    image->pid = row->numbers[IOL_TREE_PID];
    image->start_time = row->texts[IOL_TREE_START_TIME] ? row->texts[IOL_TREE_START_TIME] : "";
    row->state = (enum iol_tree_state)iol_query_int(query, IOL_TREE_STATE);
    row->number = HASH_COUNT(tree->forest.images);
    image->data = row;
    iol_forest_add(&tree->forest, image);
    return 0;
}

static const char *began(const struct row *row)
{
    const char *text = row->texts[row->null[IOL_TREE_EXEC_TIME] ? IOL_TREE_START_TIME : IOL_TREE_EXEC_TIME];

    return text ? text : "";
}

/* The latest first. */
static int by_begin(const void *a, const void *b)
{
    const struct iol_image *const *x = a, *const *y = b;
    const struct row *one = (*x)->data, *other = (*y)->data;
    int order = strcmp(began(other), began(one));

    return order != 0 ? order : one->number < other->number ? 1 : -1;
}

/* Keeps those of the kept ones that began last. */
static int apply_limit(struct tree *tree)
{
    struct iol_image *image;
    size_t n = 0;
    _cleanup_free_ struct iol_image **kept = calloc(HASH_COUNT(tree->forest.images) + 1, sizeof(struct iol_image *));

    if (!kept)
        return -ENOMEM;
    for (image = tree->forest.images; image; image = image->hh.next) {
        if (image->kept)
            kept[n++] = image;
    }
    qsort(kept, n, sizeof(struct iol_image *), by_begin);
    for (size_t i = (size_t)tree->limit; i < n; i++)
        kept[i]->kept = false;
    return 0;
}

static void count(const struct tree *tree, size_t *ret_chosen, size_t *ret_idle)
{
    *ret_chosen = *ret_idle = 0;
    for (struct iol_image *image = tree->forest.images; image; image = image->hh.next) {
        const struct row *row = image->data;

        *ret_chosen += row->chosen;
        *ret_idle += !row->chosen && row->state == IOL_TREE_IDLE;
    }
}

/* Takes out what is not to be shown, but for ancestors of what is. */
static int choose(struct tree *tree, const struct iol_options *options)
{
    bool idle = tree->all || options->n_args > 0 || options->format != IOL_FORMAT_TABLE;
    size_t chosen, left_chosen, left_idle;

    for (struct iol_image *image = tree->forest.images; image; image = image->hh.next) {
        struct row *row = image->data;

        row->chosen = row->state == IOL_TREE_ACTIVE || (idle && row->state == IOL_TREE_IDLE);
        image->kept = row->chosen;
    }
    count(tree, &chosen, &tree->idle);
    if (tree->limit > 0 && apply_limit(tree) < 0)
        return -ENOMEM;
    iol_forest_prune(&tree->forest);
    count(tree, &left_chosen, &left_idle);
    tree->idle -= left_idle;
    tree->earlier = chosen - left_chosen;
    return 0;
}

static int load(struct tree *tree, const struct iol_options *options, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("adding up processes");
    const struct iol_ask ask = {.since = options->since, .until = options->until};
    int r;

    tree->arena = iol_arena_new();
    if (!tree->arena)
        return iol_question_no_memory(err);
    r = iol_db_open_host(options->db, options->verbose, options->host, &tree->db, err);
    if (r == 0)
        r = iol_ask_tree(tree->db, &ask, options->n_args > 0 ? options->args[0] : NULL, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (load_row(tree, query) < 0)
            return iol_error_set(err, -ENOMEM, "no memory for a tree of so many processes");
    }
    if (r < 0)
        return r;
    if (choose(tree, options) < 0)
        return iol_question_no_memory(err);
    iol_forest_link(&tree->forest);
    return 0;
}

static int visit_data(const struct iol_walk *walk, void *data)
{
    struct tree *tree = data;
    const struct row *row = walk->image->data;

    for (size_t i = 0; i < TREE_QUERIED; i++) {
        if (row->null[i])
            continue;
        if (is_text(i))
            iol_output_set_text(tree->output, i, row->texts[i]);
        else
            iol_output_set_int(tree->output, i, row->numbers[i]);
    }
    iol_output_set_int(tree->output, TREE_DEPTH, (int64_t)walk->depth);
    return iol_output_row(tree->output);
}

static void draw_branches(FILE *out, const struct iol_walk *walk, bool utf8)
{
    bool arrow = walk->image->is_successor;
    /* An arrow stands below its process, in the column where the children's branches are. */
    size_t bars = arrow ? walk->depth : walk->depth > 0 ? walk->depth - 1 : 0, from = 1;

    if (bars > LEVELS_DRAWN) {
        from = bars - LEVELS_DRAWN + 1;
        fprintf(out, "%s%zu ", utf8 ? "\u2026" : "~", bars - LEVELS_DRAWN);
    }
    for (size_t i = from; i <= bars; i++)
        fputs(!walk->levels[i] ? "  " : utf8 ? "\u2502 " : "| ", out);
    if (arrow)
        fputs(utf8 ? "\u2192 " : "> ", out);
    else if (walk->depth > 0 && walk->levels[walk->depth])
        fputs(utf8 ? "\u251c\u2500 " : "|- ", out);
    else if (walk->depth > 0)
        fputs(utf8 ? "\u2514\u2500 " : "`- ", out);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* argv[0] is what the caller liked to say; the program is named when it is another one. */
static bool is_misnamed(const char *argv, const char *exe)
{
    size_t length = strcspn(argv, " ");
    const char *name = memrchr(argv, '/', length);

    name = name ? name + 1 : argv;
    if (name == argv && *name == '-') /* a login shell */
        name++;
    length -= (size_t)(name - argv);
    return strlen(last_part(exe)) != length || strncmp(last_part(exe), name, length) != 0;
}

static void draw_command(FILE *out, const struct row *row)
{
    const char *comm = row->texts[IOL_TREE_COMM] ? row->texts[IOL_TREE_COMM] : "?";
    const char *argv = row->texts[IOL_TREE_ARGV], *exe = row->texts[IOL_TREE_EXE],
               *origin = row->texts[IOL_TREE_ORIGIN];

    if (origin && strcmp(origin, "fork") == 0)
        fprintf(out, "%s (fork)", comm);
    else if (!argv || !*argv)
        fprintf(out, "[%s]", comm);
    else if (exe && *exe && is_misnamed(argv, exe))
        fprintf(out, "%s [%s]", argv, exe);
    else
        fputs(argv, out);
}

/* "0", "SIGKILL", "" for an image that went on as another, "-" for one whose end is not known. */
static const char *exit_text(const struct iol_image *image, char *buf, size_t size)
{
    const struct row *row = image->data;
    const char *name = NULL;

    if (!row->null[IOL_TREE_SIGNAL]) {
#ifdef IOL_HAVE_SIGABBREV_NP
        name = sigabbrev_np((int)row->numbers[IOL_TREE_SIGNAL]);
#endif
        if (name)
            snprintf(buf, size, "SIG%s", name);
        else
            snprintf(buf, size, "SIG%" PRId64, row->numbers[IOL_TREE_SIGNAL]);
        return buf;
    }
    if (!row->null[IOL_TREE_EXIT_CODE]) {
        snprintf(buf, size, "%" PRId64, row->numbers[IOL_TREE_EXIT_CODE]);
        return buf;
    }
    return image->successor ? "" : NULL;
}

/* "0.4 s" from its begin to its end, or to that of the image that it became; NULL: not known. */
static const char *ran_text(const struct iol_image *image, char *buf, size_t size)
{
    const struct row *row = image->data, *next = image->successor ? image->successor->data : NULL;
    const char *from = row->texts[row->null[IOL_TREE_EXEC_TIME] ? IOL_TREE_START_TIME : IOL_TREE_EXEC_TIME];
    const char *to = next ? next->texts[IOL_TREE_EXEC_TIME] : row->texts[IOL_TREE_EXIT_TIME];
    int64_t from_ns, to_ns;

    if (!from || !to || !iol_text_parse_time(from, &from_ns) || !iol_text_parse_time(to, &to_ns))
        return NULL;
    return iol_text_lasted(buf, size, to_ns - from_ns);
}

static int visit_drawn(const struct iol_walk *walk, void *data)
{
    struct tree *tree = data;
    const struct row *row = walk->image->data;
    _cleanup_free_ char *command = NULL;
    char exit_buf[32], ran_buf[32];
    size_t size = 0;
    FILE *out = open_memstream(&command, &size);

    if (!out)
        return -ENOMEM;
    draw_branches(out, walk, tree->utf8);
    draw_command(out, row);
    if (fclose(out) != 0)
        return -ENOMEM;
    iol_output_set_text(tree->output, DRAWN_TIME, *began(row) ? began(row) : NULL);
    iol_output_set_text(tree->output, DRAWN_HOST, row->texts[IOL_TREE_HOST]);
    if (!row->null[IOL_TREE_PID])
        iol_output_set_int(tree->output, DRAWN_PID, row->numbers[IOL_TREE_PID]);
    iol_output_set_text(tree->output, DRAWN_USER, row->texts[IOL_TREE_USER]);
    iol_output_set_text(tree->output, DRAWN_RAN, ran_text(walk->image, ran_buf, sizeof(ran_buf)));
    iol_output_set_int(tree->output, DRAWN_READ, row->numbers[IOL_TREE_COUNTERS + 1]);
    iol_output_set_int(tree->output, DRAWN_WRITTEN, row->numbers[IOL_TREE_COUNTERS + 3]);
    iol_output_set_text(tree->output, DRAWN_EXIT, exit_text(walk->image, exit_buf, sizeof(exit_buf)));
    if (!row->null[IOL_TREE_SIGNAL] || row->numbers[IOL_TREE_EXIT_CODE] != 0)
        iol_output_set_alarm(tree->output, DRAWN_EXIT);
    iol_output_set_text(tree->output, DRAWN_COMMAND, command);
    return iol_output_row(tree->output);
}

/* 0, or -errno; -ENOMEM with *err. */
static int print(struct tree *tree, enum iol_format format, struct iol_error *err)
{
    bool drawn = format == IOL_FORMAT_TABLE;
    int r = iol_output_new(stdout, format, drawn ? drawn_columns : data_columns,
                           drawn ? (size_t)DRAWN_COLUMNS : (size_t)TREE_COLUMNS, &tree->output);

    if (r == 0)
        r = iol_forest_walk(&tree->forest, drawn ? visit_drawn : visit_data, tree);
    if (r == 0)
        r = iol_output_finish(tree->output);
    return r == -ENOMEM ? iol_question_no_memory(err) : r;
}

/* What a person may want to know of what is not in the table. */
static void tell(const struct tree *tree, const struct iol_options *options)
{
    size_t rows = iol_output_rows(tree->output);

    if (tree->earlier > 0)
        iol_log_info("%zu more that began earlier; --limit 0 shows all", tree->earlier);
    else if (tree->idle > 0)
        iol_log_info("%zu %s that did nothing while recorded %s left out; --all shows %s", tree->idle,
                     iol_text_plural(tree->idle, "process", "processes"), iol_text_plural(tree->idle, "is", "are"),
                     iol_text_plural(tree->idle, "it", "them"));
    if (rows == 0 && options->n_args > 0)
        iol_log_info("there is no process %s in %s; 'ioledger tree' shows those that are", options->args[0],
                     iol_question_when(options));
    else if (rows == 0 && tree->idle == 0)
        iol_log_info("there are no processes in %s; 'ioledger record' records some", iol_question_when(options));
}

int iol_cmd_tree(int argc, char **argv)
{
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_tree) struct tree tree = {0};
    int64_t pid;
    int status, r;

    if (!iol_options_parse(&usage, argc, argv, &tree, &options, &status))
        return status;
    if (options.n_args > 0 && iol_option_pid(options.args[0], &pid, &err) < 0)
        return iol_options_fail("tree", &err);
    tree.utf8 = iol_output_is_utf8();
    r = load(&tree, &options, &err);
    if (r == 0)
        r = print(&tree, options.format, &err);
    if (r == 0 && options.format == IOL_FORMAT_TABLE)
        tell(&tree, &options);
    if (r == 0)
        r = iol_coverage_tell(tree.db, &options, &err);
    if (r < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return iol_output_rows(tree.output) > 0 ? IOL_EXIT_OK : IOL_EXIT_FAILURE;
}
