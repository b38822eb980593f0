// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/io_order.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "core/batch.h"

struct place {
    int64_t process_id;
    int64_t file_id;
    uint32_t number;
};

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->process_id != y->process_id)
        return x->process_id < y->process_id ? -1 : 1;
    if (x->file_id != y->file_id)
        return x->file_id < y->file_id ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_ordered(const struct iol_io *rows, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (rows[i].process_id < rows[i - 1].process_id ||
            (rows[i].process_id == rows[i - 1].process_id && rows[i].file_id < rows[i - 1].file_id))
            return false;
    return true;
}

uint32_t *iol_io_order(const struct iol_rows *rows)
{
    const struct iol_io *row = rows->data;

    if (rows->count > UINT32_MAX || is_ordered(row, rows->count))
        return NULL;
    _cleanup_free_ struct place *places = malloc(rows->count * sizeof(*places));
    uint32_t *order = malloc(rows->count * sizeof(*order));
    if (!places || !order) {
        free(order);
        return NULL;
    }
    for (size_t i = 0; i < rows->count; i++)
        places[i] = (struct place){row[i].process_id, row[i].file_id, (uint32_t)i};
    qsort(places, rows->count, sizeof(*places), compare);
    for (size_t i = 0; i < rows->count; i++)
        order[i] = places[i].number;
    return order;
}
