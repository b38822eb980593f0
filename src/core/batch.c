// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "core/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"

static const size_t row_sizes[] = {
    [IOL_TABLE_HOST] = sizeof(struct iol_host),
    [IOL_TABLE_RECORDING] = sizeof(struct iol_recording),
    [IOL_TABLE_LOGIN] = sizeof(struct iol_login),
    [IOL_TABLE_PROCESS] = sizeof(struct iol_process),
    [IOL_TABLE_PROCESS_EXIT] = sizeof(struct iol_process_exit),
    [IOL_TABLE_FILE] = sizeof(struct iol_file),
    [IOL_TABLE_IO] = sizeof(struct iol_io),
    [IOL_TABLE_EVENT] = sizeof(struct iol_event),
    [IOL_TABLE_TOTAL] = sizeof(struct iol_total),
    [IOL_TABLE_LOSS] = sizeof(struct iol_loss),
    [IOL_TABLE_BATCH] = sizeof(struct iol_batch_row),
};
_Static_assert(sizeof(row_sizes) / sizeof(row_sizes[0]) == IOL_TABLE_COUNT, "one size for each table");

struct iol_batch *iol_batch_new(void)
{
    struct iol_batch *batch = calloc(1, sizeof(*batch));

    if (!batch)
        return NULL;
    batch->arena = iol_arena_new();
    if (!batch->arena) {
        free(batch);
        return NULL;
    }
    return batch;
}

void iol_batch_free(struct iol_batch *batch)
{
    if (!batch)
        return;
    for (int table = 0; table < IOL_TABLE_COUNT; table++)
        free(batch->rows[table].data);
    iol_arena_free(batch->arena);
    free(batch->journal);
    free(batch);
}

size_t iol_batch_row_size(enum iol_table_id table)
{
    return row_sizes[table];
}

void *iol_batch_add(struct iol_batch *batch, enum iol_table_id table)
{
    struct iol_rows *rows = &batch->rows[table];
    size_t size = row_sizes[table];

    if (iol_array_reserve(&rows->data, &rows->capacity, rows->count + 1, size) < 0)
        return NULL;
    return memset((char *)rows->data + rows->count++ * size, 0, size);
}

size_t iol_batch_count(const struct iol_batch *batch)
{
    size_t count = 0;

    for (int table = 0; table < IOL_TABLE_COUNT; table++)
        count += batch->rows[table].count;
    return count;
}

size_t iol_batch_memory(const struct iol_batch *batch)
{
    size_t memory = sizeof(*batch) + iol_arena_used(batch->arena) + batch->journal_size;

    for (int table = 0; table < IOL_TABLE_COUNT; table++)
        memory += batch->rows[table].capacity * row_sizes[table];
    return memory;
}
