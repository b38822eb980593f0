// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <string.h>

#include "app/question.h"
#include "app/report/report.intern.h"
#include "base/arena.h"
#include "base/cleanup.h"

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

/* One pass over all accounts: there may be many millions, and to sort them takes longer than all the rest. */
int iol_report_ask_sums(struct iol_report_asking *asking, struct iol_error *err)
{
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    struct iol_report_total *file, *process;
    int r;

    asking->step(asking->data, "adding up what was read and written");
    r = iol_ask_report_parts(asking->db, &asking->span, &query, err);
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
    }
    return r;
}
