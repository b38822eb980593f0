// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stddef.h>

#include "core/row.h"

struct iol_arena;

/*
 * The rows of one transaction. Made by the pipeline's capture side, handed to the store's writer
 * thread, freed there. rows[t] is an array of the table's row struct; rows[IOL_TABLE_BATCH] holds
 * exactly one row once the batch is sealed.
 */
struct iol_rows {
    void *data;
    size_t count;
    size_t capacity;
};

struct iol_batch {
    struct iol_rows rows[IOL_TABLE_COUNT];
    struct iol_arena *arena;
    struct iol_batch *next; /* for the queue that holds the batch */

    /* Bytes of the capture side's own that the spool keeps beside the batch, and hands back after a restart. Not for a database. */
    void *journal; /* malloc'ed, the batch's; NULL: none */
    size_t journal_size;
};

struct iol_batch *iol_batch_new(void);
void iol_batch_free(struct iol_batch *batch); /* accepts NULL */

/* Bytes of one row of the table. */
size_t iol_batch_row_size(enum iol_table_id table);

/* Appends a zeroed row and returns it, valid until the next append to the same table; NULL when there is no memory. */
void *iol_batch_add(struct iol_batch *batch, enum iol_table_id table);

/* Rows in all tables, and bytes of memory held (for the queue's budget). */
size_t iol_batch_count(const struct iol_batch *batch);
size_t iol_batch_memory(const struct iol_batch *batch);
