// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <string.h>

#include "app/question.h"
#include "app/report/report.intern.h"
#include "base/arena.h"
#include "base/cleanup.h"

#define NS_PER_US 1000
#define SLICES_MAX 20
#define SLICE_INTERVALS 2 /* at least; a slice takes a millisecond or two by itself */
#define SAY_ROWS 10000

static struct iol_report_total *find(struct iol_report_total **totals, int64_t id, struct iol_arena *arena)
{
    struct iol_report_total *total;

    HASH_FIND(hh, *totals, &id, sizeof(id), total);
    if (total)
        return total;
    total = iol_arena_alloc(arena, sizeof(*total));
    if (!total)
        return NULL;
    memset(total, 0, sizeof(*total));
    total->id = id;
    HASH_ADD(hh, *totals, id, sizeof(total->id), total);
    return total;
}

/* The kernel's totals say how much there is to be added up. */
static void say_sums(struct iol_report_asking *asking)
{
    const int64_t *done = asking->report->accounts.n, *all = asking->report->kernel.n;
    int64_t ops = all[IOL_SUM_READ_OPS] + all[IOL_SUM_WRITE_OPS];

    iol_report_say(asking, "adding up what was read and written",
                   ops > 0 ? (double)(done[IOL_SUM_READ_OPS] + done[IOL_SUM_WRITE_OPS]) / (double)ops : -1);
}

static int ask_slice(struct iol_report_asking *asking, const struct iol_ask *slice, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    struct iol_report_total *file, *process;
    int r = iol_ask_report_parts(asking->db, slice, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        struct iol_report_sums sums;

        file = find(&asking->by_file, iol_query_int(query, IOL_REPORT_PART_FILE_ID), asking->arena);
        process = find(&asking->by_process, iol_query_int(query, IOL_REPORT_PART_PROCESS_ID), asking->arena);
        if (!file || !process)
            return iol_report_no_memory(err);
        iol_report_take_sums(query, IOL_REPORT_PART_SUMS, &sums);
        iol_report_add_sums(&file->sums, &sums);
        iol_report_add_sums(&process->sums, &sums);
        iol_report_add_sums(&asking->report->accounts, &sums);
        if (++asking->rows % SAY_ROWS == 0)
            say_sums(asking);
    }
    return r;
}

/* A database that adds up before it answers is asked for one stretch of time after the other: else nobody would know how far it is. */
static size_t count_slices(const struct iol_report_asking *asking)
{
    size_t n = asking->n_intervals / SLICE_INTERVALS + 1;

    if (iol_db_dialect(asking->db) != IOL_DIALECT_POSTGRESQL)
        return 1;
    return n < SLICES_MAX ? n : SLICES_MAX;
}

/* One pass over all accounts: there may be many millions, and to sort them takes longer than all the rest. */
int iol_report_ask_sums(struct iol_report_asking *asking, struct iol_error *err)
{
    const struct iol_report *report = asking->report;
    int64_t from = report->from * NS_PER_US, width;
    size_t n = count_slices(asking);
    int r = 0;

    width = (report->to - report->from) * NS_PER_US / (int64_t)n + 1;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct iol_ask slice = asking->span;

        slice.sliced = n > 1;
        slice.ended_from = i == 0 ? IOL_NULL : from + (int64_t)i * width;
        slice.ended_until = i + 1 == n ? IOL_NULL : from + (int64_t)(i + 1) * width;
        say_sums(asking);
        r = ask_slice(asking, &slice, err);
    }
    return r;
}
