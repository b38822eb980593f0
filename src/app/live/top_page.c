// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/top_page.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/live/names.h"
#include "app/live/page.h"
#include "base/text.h"

#define MEDIUM 100 /* columns from which on a page has more */
#define WIDE 160
#define PID_WIDTH 7
#define USER_WIDTH 9
#define CONTAINER_WIDTH 12 /* digits of an id that tell it apart */
#define BYTES_WIDTH 7
#define OPS_WIDTH 7
#define ERRORS_WIDTH 6
#define PAIRS_WIDTH 6
#define TITLE_LINES 2
#define LEAST_LINES 1 /* of the list, whatever else is on the page */

static const char *const group_names[] = {
    [IOL_GROUP_PAIR] = "process and file", [IOL_GROUP_PROCESS] = "process",     [IOL_GROUP_FILE] = "file",
    [IOL_GROUP_DIRECTORY] = "directory",   [IOL_GROUP_CONTAINER] = "container",
};

static const char *const sort_names[] = {
    [IOL_SORT_BYTES] = "bytes", [IOL_SORT_READ] = "read",     [IOL_SORT_WRITTEN] = "written",
    [IOL_SORT_OPS] = "ops",     [IOL_SORT_ERRORS] = "errors",
};

const char *iol_top_group_name(enum iol_group group)
{
    return group_names[group];
}

const char *iol_top_sort_name(enum iol_sort sort)
{
    return sort_names[sort];
}

uint64_t iol_top_figure(const struct iol_top *top, uint64_t n)
{
    return iol_view_totals(top->view) ? n : n * 1000 / (uint64_t)top->interval->ms;
}

static bool has_alarm(const struct iol_top *top)
{
    return top->lost > 0 || top->uncovered;
}

static size_t details_lines(size_t height)
{
    return height > 20 ? height / 2 : height / 3;
}

size_t iol_top_lines(const struct iol_top *top, size_t height)
{
    size_t taken = TITLE_LINES + (top->command ? 1 : 0) + has_alarm(top) + 1 /* headings */ + 1 /* keys */;

    if (top->mode == IOL_TOP_DETAILS)
        taken += details_lines(height);
    return height > taken + LEAST_LINES ? height - taken : LEAST_LINES;
}

static void put_title(const struct iol_top *top, struct iol_page *page)
{
    const struct iol_live_counts sum = iol_view_sum(top->view);
    const char *each = iol_view_totals(top->view) ? "" : "/s";
    char time[32], ops[16], read[16], written[16], errors[16], accounts[16];

    iol_text_time(time, sizeof(time), top->interval->ts);
    /* on 80 columns there is room for the longest figures without the first word */
    iol_page_say(page, IOL_STYLE_TITLE, page->width >= MEDIUM ? "ioledger top " : "top ");
    if (top->interval->serial == 0) {
        iol_page_say(page, IOL_STYLE_PLAIN, " measuring the first interval");
    } else {
        iol_text_count(ops, sizeof(ops), iol_top_figure(top, sum.read_ops + sum.write_ops));
        iol_text_count(errors, sizeof(errors), iol_top_figure(top, sum.errors));
        iol_text_size(read, sizeof(read), iol_top_figure(top, sum.read_bytes));
        iol_text_size(written, sizeof(written), iol_top_figure(top, sum.write_bytes));
        iol_page_say(page, IOL_STYLE_PLAIN, "%.8s%s  %s ops%s  ", time + strlen("YYYY-MM-DD "),
                     page->width >= MEDIUM ? " UTC" : "", ops, each);
        iol_page_say(page, IOL_STYLE_READ, "%s%s read", read, each);
        iol_page_say(page, IOL_STYLE_PLAIN, "  ");
        iol_page_say(page, IOL_STYLE_WRITTEN, "%s%s written", written, each);
        iol_page_say(page, sum.errors ? IOL_STYLE_ALARM : IOL_STYLE_PLAIN, "  %s errors%s", errors, each);
        if (page->width >= MEDIUM)
            iol_page_say(page, IOL_STYLE_DIM, "  %s accounts open",
                         iol_text_count(accounts, sizeof(accounts), top->accounts));
    }
    iol_page_end_line(page);
}

static void put_settings(const struct iol_top *top, struct iol_page *page)
{
    char scope[512];

    if (top->paused)
        iol_page_say(page, IOL_STYLE_ALARM, "PAUSED  ");
    iol_page_say(page, IOL_STYLE_PLAIN, "%zu by %s, most %s first", iol_view_count(top->view),
                 group_names[iol_view_group(top->view)], sort_names[iol_view_sort(top->view)]);
    iol_view_scope(top->view, scope, sizeof(scope));
    if (top->typing || iol_view_filter(top->view)[0])
        iol_page_say(page, top->typing ? IOL_STYLE_TITLE : IOL_STYLE_PLAIN, "  filter: %s%s",
                     iol_view_filter(top->view), top->typing ? "_" : "");
    if (scope[0]) {
        iol_page_say(page, IOL_STYLE_PLAIN, "  in ");
        iol_page_put_path(page, IOL_STYLE_TITLE, iol_page_left(page), scope);
    }
    iol_page_end_line(page);
}

static void put_command(const struct iol_top *top, struct iol_page *page)
{
    if (!top->command)
        return;
    iol_page_put(page, top->command_failed ? IOL_STYLE_ALARM : IOL_STYLE_TITLE, IOL_ALIGN_LEFT, iol_page_left(page),
                 top->command);
    iol_page_end_line(page);
}

static void put_alarm(const struct iol_top *top, struct iol_page *page)
{
    if (!has_alarm(top))
        return;
    if (top->lost > 0)
        iol_page_say(page, IOL_STYLE_ALARM, "lost %" PRIu64 ", the last one: %s", top->lost, top->lost_reason);
    else
        iol_page_say(page, IOL_STYLE_ALARM, "this kernel does not tell what is read and written by %s", top->uncovered);
    iol_page_end_line(page);
}

/* What of a row is on the page, by the grouping and the width. */
struct layout {
    bool process, user, container, errors, pairs;
    size_t comm_width, chart_width;
    const char *pairs_heading, *text_heading;
};

static struct layout choose_layout(const struct iol_top *top, size_t width)
{
    static const struct {
        const char *pairs, *text;
    } headings[] = {
        [IOL_GROUP_PAIR] = {NULL, "FILE"},
        [IOL_GROUP_PROCESS] = {"FILES", "COMMAND"},
        [IOL_GROUP_FILE] = {"PROCS", "FILE"},
        [IOL_GROUP_DIRECTORY] = {"PAIRS", "PATH"},
        [IOL_GROUP_CONTAINER] = {"PAIRS", "CONTAINER"},
    };
    enum iol_group group = iol_view_group(top->view);
    bool process = group == IOL_GROUP_PAIR || group == IOL_GROUP_PROCESS;

    return (struct layout){
        .process = process,
        .user = process && width >= MEDIUM,
        .container = process && width >= WIDE,
        .errors = width >= MEDIUM || iol_view_sort(top->view) == IOL_SORT_ERRORS,
        .pairs = headings[group].pairs && (width >= MEDIUM || !process),
        .comm_width = width >= MEDIUM ? 16 : 11,
        .chart_width = width >= WIDE     ? 30
                       : width >= MEDIUM ? 20
                                         : 10,
        .pairs_heading = headings[group].pairs,
        .text_heading = headings[group].text,
    };
}

static void put_heading(struct iol_page *page, enum iol_align align, size_t width, const char *text, bool sorted)
{
    iol_page_put(page, sorted ? IOL_STYLE_SORTED : IOL_STYLE_HEADING, align, width, text);
    iol_page_put(page, IOL_STYLE_HEADING, IOL_ALIGN_LEFT, 1, "");
}

static void put_headings(const struct iol_top *top, const struct layout *layout, struct iol_page *page)
{
    enum iol_sort sort = iol_view_sort(top->view);
    bool both = sort == IOL_SORT_BYTES, totals = iol_view_totals(top->view);

    if (layout->process) {
        put_heading(page, IOL_ALIGN_RIGHT, PID_WIDTH, "PID", false);
        put_heading(page, IOL_ALIGN_LEFT, layout->comm_width, "PROCESS", false);
    }
    if (layout->user)
        put_heading(page, IOL_ALIGN_LEFT, USER_WIDTH, "USER", false);
    if (layout->container)
        put_heading(page, IOL_ALIGN_LEFT, CONTAINER_WIDTH, "CONTAINER", false);
    put_heading(page, IOL_ALIGN_RIGHT, BYTES_WIDTH, totals ? "READ" : "READ/s", both || sort == IOL_SORT_READ);
    put_heading(page, IOL_ALIGN_RIGHT, BYTES_WIDTH, totals ? "WRITTEN" : "WRITE/s", both || sort == IOL_SORT_WRITTEN);
    put_heading(page, IOL_ALIGN_RIGHT, OPS_WIDTH, totals ? "OPS" : "OPS/s", sort == IOL_SORT_OPS);
    if (layout->errors)
        put_heading(page, IOL_ALIGN_RIGHT, ERRORS_WIDTH, totals ? "ERRORS" : "ERR/s", sort == IOL_SORT_ERRORS);
    put_heading(page, IOL_ALIGN_LEFT, layout->chart_width, layout->chart_width > 10 ? "LAST MINUTE" : "LAST MIN",
                false);
    if (layout->pairs)
        put_heading(page, IOL_ALIGN_RIGHT, PAIRS_WIDTH, layout->pairs_heading, false);
    iol_page_put(page, IOL_STYLE_HEADING, IOL_ALIGN_LEFT, iol_page_left(page), layout->text_heading);
    iol_page_end_line(page);
}

static void put_cell(struct iol_page *page, enum iol_style style, enum iol_align align, size_t width, const char *text)
{
    iol_page_put(page, style, align, width, text);
    iol_page_blanks(page, 1);
}

static void put_process(const struct iol_top *top, const struct layout *layout, const struct iol_live_process *process,
                        enum iol_style style, struct iol_page *page)
{
    char buf[24];

    snprintf(buf, sizeof(buf), "%" PRId64, process->pid);
    put_cell(page, style, IOL_ALIGN_RIGHT, PID_WIDTH, buf);
    put_cell(page, style, IOL_ALIGN_LEFT, layout->comm_width, process->comm);
    if (layout->user)
        put_cell(page, style, IOL_ALIGN_LEFT, USER_WIDTH,
                 iol_live_names_user(top->names, process->uid, buf, sizeof(buf)));
    if (layout->container) {
        snprintf(buf, sizeof(buf), "%.*s", CONTAINER_WIDTH, process->container->id);
        put_cell(page, style, IOL_ALIGN_LEFT, CONTAINER_WIDTH, buf[0] ? buf : "-");
    }
}

/* Number 0 is there, but does not shout. */
static void put_rate(const struct iol_top *top, uint64_t n, enum iol_style style, bool bytes, size_t width,
                     struct iol_page *page)
{
    char buf[16];
    uint64_t shown = iol_top_figure(top, n);

    if (bytes)
        iol_text_bytes(buf, sizeof(buf), shown);
    else
        iol_text_count(buf, sizeof(buf), shown);
    if (n > 0 && shown == 0)
        snprintf(buf, sizeof(buf), "<1");
    put_cell(page, n ? style : IOL_STYLE_DIM, IOL_ALIGN_RIGHT, width, buf);
}

static void put_text(const struct iol_view_row *row, enum iol_style style, struct iol_page *page)
{
    size_t left = iol_page_left(page);

    if (row->file)
        iol_page_put_path(page, style, left, row->file->path);
    else if (row->directory)
        iol_page_put_path(page, style, left, row->directory);
    else if (row->container)
        iol_page_put(page, style, IOL_ALIGN_LEFT, left, row->container->id[0] ? row->container->id : "(none)");
    else if (row->process)
        iol_page_put(page, style, IOL_ALIGN_LEFT, left, row->process->argv ? row->process->argv : row->process->comm);
}

static void put_row(const struct iol_top *top, const struct layout *layout, const struct iol_view_row *row,
                    struct iol_page *page)
{
    enum iol_style style = row->process && row->process->ended_ts ? IOL_STYLE_DIM : IOL_STYLE_PLAIN;
    char buf[24];

    if (row->process)
        put_process(top, layout, row->process, style, page);
    put_rate(top, row->counts.read_bytes, IOL_STYLE_READ, true, BYTES_WIDTH, page);
    put_rate(top, row->counts.write_bytes, IOL_STYLE_WRITTEN, true, BYTES_WIDTH, page);
    put_rate(top, row->counts.read_ops + row->counts.write_ops, IOL_STYLE_PLAIN, false, OPS_WIDTH, page);
    if (layout->errors)
        put_rate(top, row->counts.errors, IOL_STYLE_ALARM, false, ERRORS_WIDTH, page);
    iol_page_chart(page, IOL_STYLE_CHART, layout->chart_width, row->history, IOL_HISTORY_SECONDS);
    iol_page_blanks(page, 1);
    if (layout->pairs) {
        snprintf(buf, sizeof(buf), "%zu", row->pairs);
        put_cell(page, style, IOL_ALIGN_RIGHT, PAIRS_WIDTH, buf);
    }
    put_text(row, style, page);
    iol_page_end_line(page);
}

static void put_keys(const struct iol_top *top, struct iol_page *page)
{
    const char *keys = "q quit  / filter  a p f d c group by  b r w o e sort  Enter open  Bksp back  i details  ? all";

    if (top->typing)
        keys = "words in path, name, pid, user or container; Enter keeps it, Esc takes it back";
    else if (top->mode == IOL_TOP_HELP)
        keys = "any key goes on";
    else if (page->width < MEDIUM)
        keys = "q quit / filter apfdc group brwoe sort Enter open Bksp back i details ? help";
    page->line = page->height - 1;
    page->column = 0;
    iol_page_put(page, IOL_STYLE_DIM, IOL_ALIGN_LEFT, page->width, keys);
}

/* Where the selected row has gone; out of sight: what is in its place is selected now. */
static void follow(struct iol_top *top)
{
    size_t n;
    const struct iol_view_row *rows = iol_view_rows(top->view, &n);

    if (n == 0 || !top->selected) {
        top->at = 0;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (iol_view_key(&rows[i]) == top->selected) {
            top->at = i;
            return;
        }
    }
    if (top->at >= n)
        top->at = n - 1;
    top->selected = iol_view_key(&rows[top->at]);
}

const struct iol_view_row *iol_top_row(const struct iol_top *top)
{
    size_t n;
    const struct iol_view_row *rows = iol_view_rows(top->view, &n);

    return top->at < n ? &rows[top->at] : NULL;
}

static void put_list(struct iol_top *top, size_t lines, struct iol_page *page)
{
    const struct layout layout = choose_layout(top, page->width);
    size_t n, start;
    const struct iol_view_row *rows = iol_view_rows(top->view, &n);

    put_headings(top, &layout, page);
    start = page->line;
    for (size_t i = 0; i < n && i < lines; i++) {
        if (i == top->at)
            page->marked = page->line;
        put_row(top, &layout, &rows[i], page);
    }
    if (n == 0 && top->interval->serial > 0)
        iol_page_say(page, IOL_STYLE_DIM, "nothing was read or written%s%s",
                     iol_view_totals(top->view) ? "" : " in the last minute",
                     iol_view_filter(top->view)[0] ? " that the filter lets through" : "");
    page->line = start + lines;
    page->column = 0;
}

int iol_top_page(struct iol_top *top, struct iol_page *page)
{
    size_t lines = iol_top_lines(top, page->height);
    int r = iol_view_make(top->view, top->first, lines);

    /* what was there has gone: back to where there are rows */
    if (r == 0 && top->first > 0 && top->first >= iol_view_count(top->view)) {
        top->first = 0;
        r = iol_view_make(top->view, 0, lines);
    }
    if (r < 0)
        return r;
    follow(top);
    page->height--; /* the last line is for the keys, whatever comes */
    put_title(top, page);
    put_settings(top, page);
    put_command(top, page);
    put_alarm(top, page);
    if (top->mode == IOL_TOP_HELP) {
        iol_top_help(page);
    } else {
        put_list(top, lines, page);
        if (top->mode == IOL_TOP_DETAILS)
            iol_top_details(top, iol_top_row(top), page);
    }
    page->height++;
    put_keys(top, page);
    return page->failed ? -ENOMEM : 0;
}
