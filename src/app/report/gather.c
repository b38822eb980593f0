// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/question.h"
#include "app/report/directories.h"
#include "app/report/report.intern.h"
#include "app/waiting.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "base/text.h"

int iol_report_no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "no memory for a report of so much; --limit makes it smaller");
}

/* "2026-11-23 08:18:06.123456" in microseconds; 0 for what is no time. */
static int64_t parse_time(const char *text)
{
    struct tm tm = {0};
    int64_t micros = 0;
    const char *end = text ? strptime(text, "%Y-%m-%d %H:%M:%S", &tm) : NULL;

    if (!end)
        return 0;
    if (*end == '.')
        end++;
    for (int digit = 0; digit < 6; digit++)
        micros = micros * 10 + (*end >= '0' && *end <= '9' ? *end++ - '0' : 0);
    return (int64_t)timegm(&tm) * 1000000 + micros;
}

int64_t iol_report_time(const struct iol_query *query, size_t column)
{
    return parse_time(iol_query_text(query, column));
}

void iol_report_take_sums(const struct iol_query *query, size_t column, struct iol_report_sums *ret_sums)
{
    for (size_t i = 0; i < IOL_SUMS; i++)
        ret_sums->n[i] = iol_query_int(query, column + i);
    ret_sums->first = iol_query_int(query, column + IOL_SUMS);
    ret_sums->last = iol_query_int(query, column + IOL_SUMS + 1);
}

void iol_report_add_sums(struct iol_report_sums *to, const struct iol_report_sums *more)
{
    for (size_t i = 0; i < IOL_SUMS; i++)
        to->n[i] += more->n[i];
    if (more->first && (!to->first || more->first < to->first))
        to->first = more->first;
    if (more->last > to->last)
        to->last = more->last;
}

int iol_report_order(const struct iol_report_sums *a, const struct iol_report_sums *b)
{
    int64_t x = a->n[IOL_SUM_READ_BYTES] + a->n[IOL_SUM_WRITE_BYTES];
    int64_t y = b->n[IOL_SUM_READ_BYTES] + b->n[IOL_SUM_WRITE_BYTES];

    if (x == y) {
        x = a->n[IOL_SUM_READ_OPS] + a->n[IOL_SUM_WRITE_OPS];
        y = b->n[IOL_SUM_READ_OPS] + b->n[IOL_SUM_WRITE_OPS];
    }
    return x > y ? -1 : x < y ? 1 : 0;
}

char *iol_report_condition(const char *column, const int64_t *ids, size_t n)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fprintf(out, "%s IN (", column);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s%" PRId64, i > 0 ? ", " : "", ids[i]);
    putc(')', out);
    return iol_stream_text(&stream);
}

const char *iol_report_text(struct iol_report *report, const struct iol_query *query, size_t column, bool *ret_failed)
{
    const char *text = iol_query_text(query, column), *copy;

    if (!text)
        return NULL;
    copy = iol_arena_dup(report->arena, text, strlen(text));
    if (!copy)
        *ret_failed = true;
    return copy;
}

void iol_report_say(struct iol_report_asking *asking, const char *what, double part)
{
    asking->step(asking->data, &(struct iol_reached){.what = what, .rows = asking->rows, .part = part});
}

struct iol_report_process *iol_report_process(struct iol_report *report, int64_t id, bool create)
{
    struct iol_report_process *process;

    HASH_FIND(hh, report->processes, &id, sizeof(id), process);
    if (process || !create)
        return process;
    process = iol_arena_alloc(report->arena, sizeof(*process));
    if (!process)
        return NULL;
    memset(process, 0, sizeof(*process));
    process->id = id;
    HASH_ADD(hh, report->processes, id, sizeof(process->id), process);
    return process;
}

int iol_report_gather(struct iol_db *db, int64_t since, int64_t until, int64_t limit, iol_report_step step, void *data,
                      struct iol_report **ret_report, struct iol_error *err)
{
    struct iol_report *report = calloc(1, sizeof(*report));
    struct iol_report_asking asking = {
        .report = report, .db = db, .span = {.since = since, .until = until}, .step = step, .data = data};
    int r;

    *ret_report = report;
    if (!report || !(report->arena = iol_arena_new()) || !(report->directories = iol_directories_new()) ||
        !(asking.arena = iol_arena_new()))
        return iol_report_no_memory(err);
    report->since = since == IOL_NULL ? 0 : since / 1000;
    report->until = until == IOL_NULL ? 0 : until / 1000;
    report->limit = limit;
    r = iol_report_ask_times(&asking, err);
    if (r == 0)
        r = iol_report_ask_sums(&asking, err);
    if (r == 0)
        r = iol_report_ask_files(&asking, err);
    if (r == 0)
        r = iol_report_ask_processes(&asking, err);
    HASH_CLEAR(hh, asking.by_file);
    HASH_CLEAR(hh, asking.by_process);
    iol_arena_free(asking.arena);
    return r;
}

void iol_report_free(struct iol_report *report)
{
    if (!report)
        return;
    HASH_CLEAR(hh, report->files);
    HASH_CLEAR(hh, report->processes);
    iol_directories_free(report->directories);
    iol_arena_free(report->arena);
    free(report->programs);
    free(report->hosts);
    free(report->recordings);
    free(report->losses);
    free(report->loss_kinds);
    free(report->bars);
    free(report);
}
