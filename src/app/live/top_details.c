// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The lower half of a page: who is behind a row, and the keys. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/live/names.h"
#include "app/live/page.h"
#include "app/live/top_page.h"
#include "base/cleanup.h"
#include "base/stream.h"
#include "base/text.h"
#include "core/row.h"
#include "store/schema.h"

#define LABEL_WIDTH 12
#define ARGV_LINES 3
#define LINEAGE_LINES 2
#define ANCESTORS_MAX 64

static void put_label(struct iol_page *page, const char *label)
{
    iol_page_put(page, IOL_STYLE_TITLE, IOL_ALIGN_RIGHT, LABEL_WIDTH - 2, label);
    iol_page_blanks(page, 2);
}

static void put_wrapped(struct iol_page *page, const char *label, size_t most, const char *text)
{
    if (!text || !*text)
        return;
    put_label(page, label);
    iol_page_wrap(page, IOL_STYLE_PLAIN, LABEL_WIDTH, most, text);
}

/* The oldest ancestor first; the process itself is the last one. Returns how many there are. */
static size_t find_ancestors(const struct iol_live_names *names, const struct iol_live_process *process,
                             const struct iol_live_process *line[static ANCESTORS_MAX])
{
    size_t n = 0;

    for (const struct iol_live_process *at = process; at && n < ANCESTORS_MAX; at = iol_live_names_parent(names, at))
        line[n++] = at;
    for (size_t i = 0; i < n / 2; i++) {
        const struct iol_live_process *swapped = line[i];

        line[i] = line[n - 1 - i];
        line[n - 1 - i] = swapped;
    }
    return n;
}

static char *lineage_text(const struct iol_live_names *names, const struct iol_live_process *process, bool utf8)
{
    const struct iol_live_process *line[ANCESTORS_MAX];
    size_t n = find_ancestors(names, process, line);
    struct iol_stream stream;
    FILE *to = iol_stream_open(&stream);

    if (!to)
        return NULL;
    for (size_t i = 0; i < n; i++)
        fprintf(to, "%s%s (%" PRId64 ")", i == 0 ? "" : utf8 ? " \u2192 " : " -> ", line[i]->comm, line[i]->pid);
    return iol_stream_text(&stream);
}

/* The end of it says most: of a long line the oldest are left out. */
static void put_lineage(struct iol_page *page, const char *lineage)
{
    size_t room = page->width > LABEL_WIDTH ? LINEAGE_LINES * (page->width - LABEL_WIDTH) : 0;
    _cleanup_free_ char *shortened = NULL;

    if (lineage && room > 0 && iol_text_width(lineage) > room &&
        asprintf(&shortened, "%s%s", page->utf8 ? "\u2026" : "~", iol_text_tail(lineage, room - 1)) < 0)
        shortened = NULL;
    put_wrapped(page, "lineage", LINEAGE_LINES, shortened ? shortened : lineage);
}

static void put_process(const struct iol_top *top, const struct iol_live_process *process, struct iol_page *page)
{
    _cleanup_free_ char *lineage = lineage_text(top->names, process, page->utf8);
    char user[24], started[32] = "-";
    int64_t start = process->exec_time != IOL_NULL ? process->exec_time : process->start_time;

    if (start != IOL_NULL)
        iol_text_time(started, sizeof(started), start);
    put_label(page, "process");
    iol_page_say(page, IOL_STYLE_PLAIN, "%s (%" PRId64 ") of %s since %.19s", process->comm, process->pid,
                 iol_live_names_user(top->names, process->uid, user, sizeof(user)), started);
    if (process->ended_ts && process->signal != IOL_NULL)
        iol_page_say(page, IOL_STYLE_ALARM, ", killed by signal %" PRId64, process->signal);
    else if (process->ended_ts && process->exit_code != IOL_NULL)
        iol_page_say(page, IOL_STYLE_DIM, ", ended with status %" PRId64, process->exit_code);
    else if (process->ended_ts)
        iol_page_say(page, IOL_STYLE_DIM, ", replaced by an exec");
    iol_page_end_line(page);
    put_wrapped(page, "program", 1, process->exe);
    put_wrapped(page, "argv", ARGV_LINES, process->argv);
    put_wrapped(page, "in", 1, process->cwd);
    put_wrapped(page, "container", 1, process->container->id);
    put_lineage(page, lineage);
}

/* The ancestors with their arguments, the nearest first, as far as the page goes. */
static void put_ancestors(const struct iol_top *top, const struct iol_live_process *process, struct iol_page *page)
{
    const struct iol_live_process *line[ANCESTORS_MAX];
    size_t n = find_ancestors(top->names, process, line);

    for (size_t i = n; i > 1 && page->line < page->height; i--) {
        const struct iol_live_process *at = line[i - 2];

        put_label(page, i == n ? "started by" : "by");
        iol_page_say(page, IOL_STYLE_DIM, "%" PRId64 " ", at->pid);
        iol_page_put(page, IOL_STYLE_DIM, IOL_ALIGN_LEFT, iol_page_left(page), at->argv ? at->argv : at->comm);
        iol_page_end_line(page);
    }
}

void iol_top_details(const struct iol_top *top, const struct iol_view_row *row, struct iol_page *page)
{
    iol_page_put(page, IOL_STYLE_HEADING, IOL_ALIGN_LEFT, page->width, "DETAILS");
    iol_page_end_line(page);
    if (!row) {
        iol_page_say(page, IOL_STYLE_DIM, "there is no row");
        return;
    }
    if (row->file) {
        put_wrapped(page, iol_schema_word(&iol_enum_kind, row->file->kind), 2, row->file->path);
    }
    put_wrapped(page, "path", 2, row->directory);
    if (row->container)
        put_wrapped(page, "container", 2, row->container->id[0] ? row->container->id : "(none)");
    if (!row->process)
        return;
    put_process(top, row->process, page);
    put_ancestors(top, row->process, page);
}

void iol_top_help(struct iol_page *page)
{
    static const struct {
        const char *key, *what;
    } keys[] = {
        {"a", "each process and file"},
        {"p  f", "by process; by file"},
        {"d  c", "by directory; by container"},
        {"g", "the next grouping"},
        {"b", "sort by bytes read and written"},
        {"r  w", "sort by bytes read; by bytes written"},
        {"o  e", "sort by operations; by errors"},
        {"s", "the next sorting"},
        {"/", "filter: words that are in path, name, pid, user or container"},
        {"Enter", "open the row: files of a process, processes of a file, a directory"},
        {"Bksp Left", "back to where it was opened; then the filter goes"},
        {"i", "who is behind the row: lineage, arguments"},
        {"t", "with CMD: what it has done in all, or a second"},
        {"Space", "pause, and go on; what happens meanwhile is not shown"},
        {"Up Down", "select a row, which stays selected wherever it moves; also k and j"},
        {"Home", "back to the first row, whichever that is"},
        {"Ctrl-L", "draw everything again"},
        {"q", "quit"},
    };

    iol_page_put(page, IOL_STYLE_HEADING, IOL_ALIGN_LEFT, page->width, "KEYS");
    iol_page_end_line(page);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(keys); i++) {
        iol_page_put(page, IOL_STYLE_TITLE, IOL_ALIGN_RIGHT, LABEL_WIDTH, keys[i].key);
        iol_page_blanks(page, 2);
        iol_page_put(page, IOL_STYLE_PLAIN, IOL_ALIGN_LEFT, iol_page_left(page), keys[i].what);
        iol_page_end_line(page);
    }
}
