// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/question.h"

#include <errno.h>
#include <unistd.h>

#include "app/lineage.h"
#include "app/options.h"
#include "app/output.h"
#include "app/waiting.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/row.h"
#include "store/reader.h"

void iol_question_done_db(struct iol_db **db)
{
    iol_db_close(*db);
}

void iol_question_done_lineage(struct iol_lineage **lineage)
{
    iol_lineage_free(*lineage);
}

void iol_question_done_output(struct iol_output **output)
{
    iol_output_free(*output);
}

struct iol_waiting *iol_question_waiting(const char *what)
{
    struct iol_waiting *waiting = iol_waiting_new();

    iol_waiting_step(waiting, what);
    return waiting;
}

void iol_question_done_waiting(struct iol_waiting **waiting)
{
    iol_waiting_free(*waiting);
    *waiting = NULL;
}

void iol_question_copy(struct iol_output *output, const struct iol_output_column *columns, size_t n,
                       const struct iol_query *query)
{
    for (size_t i = 0; i < n; i++) {
        if (iol_query_is_null(query, i))
            continue;
        if (columns[i].cell == IOL_CELL_TEXT || columns[i].cell == IOL_CELL_TIME)
            iol_output_set_text(output, i, iol_query_text(query, i));
        else
            iol_output_set_int(output, i, iol_query_int(query, i));
    }
}

int iol_question_number(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                        long long *ret_number, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_query_new(db, sql, n_params, params, &query, err);

    if (r < 0)
        return r;
    r = iol_query_next(query, err);
    if (r < 0)
        return r;
    *ret_number = r > 0 ? iol_query_int(query, 0) : 0;
    return 0;
}

const char *iol_question_when(const struct iol_options *options)
{
    return options->since != IOL_NULL || options->until != IOL_NULL ? "that time" : "this ledger";
}

int iol_question_no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "no memory");
}
