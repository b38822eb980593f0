// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <string.h>

#include "app/command.h"
#include "app/new_file.h"
#include "app/options.h"
#include "app/question.h"
#include "app/report/report.h"
#include "app/waiting.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/row.h"
#include "store/reader.h"
#include "store/url.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 100000

enum { KEY_LIMIT = 0x200, KEY_OUTPUT = 'o' };

struct page {
    const char *output;
    int64_t limit;
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct page *page = input;
    int r = 0;

    switch (key) {
    case KEY_OUTPUT:
        page->output = text;
        if (!*text)
            r = iol_error_set(err, -EINVAL, "the path is empty");
        break;
    case KEY_LIMIT:
        r = iol_option_count(text, &page->limit, err);
        if (r == 0 && (page->limit == 0 || page->limit > LIMIT_MAX))
            r = iol_error_set(err, -EINVAL, "'%s' is not between 1 and %d", text, LIMIT_MAX);
        break;
    }
    return r;
}

static const struct argp_option own_options[] = {
    {"output", KEY_OUTPUT, "FILE", 0, "Write the page to FILE; '-' is standard output (default: report.html)", 0},
    {"limit", KEY_LIMIT, "N", 0,
     "Name the N biggest files and processes; the rest is summed up (default: 1000, at most 100000)", 0},
    {0},
};

static const struct iol_usage usage = {
    .summary =
        "Writes one page about a ledger, to be looked at in a browser: when how much was read and written, in which "
        "directories, by which processes, who started them, and what is not known. It can be searched and sorted, "
        "holds everything that it shows and loads nothing, so it can be kept, sent and opened anywhere.",
    .details =
        "Files and processes beyond --limit are summed up, in bytes and operations, and so are the small ones of a "
        "directory. Of each file, those that read most and those that wrote most are named. Command lines are in "
        "the page too: think of that before you send it away.\n\n"
        "Examples:\n"
        "  ioledger report\n"
        "  ioledger report --since '10 min ago'\n"
        "  ioledger report --since 'yesterday 22:00' --until 6:00 -o night.html\n"
        "  ioledger report --db postgresql://reader@db.example/ledger\n"
        "  ioledger report -o - | gzip > report.html.gz\n\n"
        "Exit status: 0 the page was written; 1 a failure; 2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_HOST | IOL_COMMON_QUIET | IOL_COMMON_SPAN,
    .options = own_options,
    .option = take_option,
};

static void done_report(struct iol_report **report)
{
    iol_report_free(*report);
}

static void done_file(struct iol_new_file **file)
{
    iol_new_file_free(*file);
}

static void step(void *data, const struct iol_reached *reached)
{
    iol_waiting_step(data, reached->what);
    iol_waiting_reached(data, reached->rows, reached->part);
}

static int gather(const struct iol_options *options, const struct page *page, struct iol_report **ret_report,
                  struct iol_error *err)
{
    _cleanup_(iol_question_done_db) struct iol_db *db = NULL;
    struct iol_waiting *waiting = options->quiet ? NULL : iol_waiting_new();
    int r = iol_db_open_host(options->db, options->verbose, options->host, &db, err);

    if (r == 0)
        r = iol_db_focus(db, &(struct iol_focus){.kind = IOL_FOCUS_ALL}, err);
    if (r == 0)
        r = iol_report_gather(db, options->since, options->until, page->limit, step, waiting, ret_report, err);
    iol_waiting_free(waiting);
    return r;
}

static void tell(const char *path, long long size, const struct iol_report *report)
{
    char size_text[16];
    unsigned shown = HASH_COUNT(report->files);

    iol_log_info("wrote %s, %s: open it in a browser", path,
                 iol_text_size(size_text, sizeof(size_text), (uint64_t)size));
    if (report->n_all_files == 0)
        iol_log_info("nothing was read or written in what it is about");
    else if (shown < report->n_all_files)
        iol_log_info("it names %u of %lld files, the biggest ones; the rest is summed up (--limit)", shown,
                     (long long)report->n_all_files);
}

int iol_cmd_report(int argc, char **argv)
{
    struct page page = {.output = "report.html", .limit = LIMIT_DEFAULT};
    struct iol_options options;
    struct iol_error err = {0};
    _cleanup_(done_report) struct iol_report *report = NULL;
    _cleanup_(done_file) struct iol_new_file *file = NULL;
    char db[1024];
    long long size = 0;
    int status, written;

    if (!iol_options_parse(&usage, argc, argv, &page, &options, &status))
        return status;
    if (iol_new_file_check(page.output, &err) < 0 || gather(&options, &page, &report, &err) < 0 ||
        iol_new_file_open(page.output, &file, &err) < 0)
        return iol_command_fail(&err);
    written = iol_report_write(report, iol_url_redact(db, sizeof(db), options.db), iol_new_file_stream(file));
    if (iol_new_file_finish(file, written, &size, &err) < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    if (strcmp(page.output, "-") != 0)
        tell(page.output, size, report);
    return IOL_EXIT_OK;
}
