// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/known.h"

#include <stdlib.h>
#include <string.h>

#include "core/batch.h"
#include "store/schema.h"

#define ENTRIES ((size_t)1 << 16) /* 512 kB; an entry that is taken by another row is forgotten */

struct iol_known {
    uint64_t entries[ENTRIES];
};

struct iol_known *iol_known_new(void)
{
    return calloc(1, sizeof(struct iol_known));
}

void iol_known_free(struct iol_known *known)
{
    free(known);
}

void iol_known_clear(struct iol_known *known)
{
    memset(known, 0, sizeof(*known));
}

/* Odd factors: no two ids of one table have the same key. The ids are hashes already. 0: a row that is always sent. */
static uint64_t key_of(const struct iol_table *table, const void *data)
{
    const struct iol_process *process = data;
    const struct iol_file *file = data;
    const struct iol_login *login = data;

    switch (table->id) {
    case IOL_TABLE_PROCESS:
        return (uint64_t)process->id * UINT64_C(0x9e3779b97f4a7c15);
    case IOL_TABLE_FILE:
        return (uint64_t)file->id * UINT64_C(0xc2b2ae3d27d4eb4f);
    case IOL_TABLE_LOGIN:
        return (uint64_t)login->host_id * UINT64_C(0x165667b19e3779f9) + (uint64_t)login->uid + 1;
    default:
        return 0;
    }
}

static size_t place_of(uint64_t key)
{
    return key >> 48;
}

_Static_assert(ENTRIES == (size_t)1 << 16, "place_of() takes 16 bits");

bool iol_known_has(const struct iol_known *known, const struct iol_table *table, const void *row)
{
    uint64_t key = key_of(table, row);

    return key && known->entries[place_of(key)] == key;
}

size_t iol_known_count_new(const struct iol_known *known, const struct iol_table *table, const struct iol_batch *batch)
{
    const struct iol_rows *rows = &batch->rows[table->id];
    size_t size = iol_batch_row_size(table->id), count = 0;

    for (size_t i = 0; i < rows->count; i++)
        count += !iol_known_has(known, table, (const char *)rows->data + i * size);
    return count;
}

/* A process of which only the id is known is replaced when more is: that row must get through. */
static bool is_final(const struct iol_table *table, const void *row)
{
    return table->id != IOL_TABLE_PROCESS || ((const struct iol_process *)row)->start_time != IOL_NULL;
}

void iol_known_add(struct iol_known *known, const struct iol_batch *batch)
{
    static const enum iol_table_id tables[] = {IOL_TABLE_LOGIN, IOL_TABLE_PROCESS, IOL_TABLE_FILE};

    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++) {
        const struct iol_table *table = &iol_schema_tables[tables[t]];
        const struct iol_rows *rows = &batch->rows[table->id];
        size_t size = iol_batch_row_size(table->id);

        for (size_t i = 0; i < rows->count; i++) {
            const char *row = (const char *)rows->data + i * size;
            uint64_t key = key_of(table, row);
            if (is_final(table, row))
                known->entries[place_of(key)] = key;
        }
    }
}
