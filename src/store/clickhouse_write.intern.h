// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the files of store/clickhouse_write.h share. */
#include <stdbool.h>
#include <stddef.h>

#include "core/batch.h"
#include "store/row_native.h"

#define IOL_CH_PIECE_ROWS ((size_t)262144) /* below max_insert_block_size: one block, one part */
#define IOL_CH_GROUP_MAX 1024              /* batches */

struct iol_ch;
struct iol_error;

/* Batches on their way. Those that are there already are not among them. */
struct iol_ch_group {
    struct iol_ch *ch;
    const struct iol_batch *batches[IOL_CH_GROUP_MAX];
    size_t n;
    bool careful; /* part of them may be there; all are of one boot of one host then */
    bool several; /* they are of more than one */
    struct iol_row_binary *body;
    struct iol_error *err;
};

const struct iol_batch_row *iol_ch_batch_row(const struct iol_batch *batch);
int iol_ch_no_memory(const struct iol_ch_group *group);

/*
 * An INSERT of what is in the body, and an end to it. "NAME-HOST-BOOT-..." tells whose it is: one whose answer was lost is found by it
 * on the server.
 */
int iol_ch_group_insert(struct iol_ch_group *group, const char *table, const char *columns, const char *format);

/* "columns" of a table, to be freed; NULL: no memory. */
char *iol_ch_columns_of(const struct iol_table *table);

/* The rows of a table of facts: of each batch and day what is not there. */
int iol_ch_group_facts(struct iol_ch_group *group, const struct iol_table *table);
