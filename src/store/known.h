// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The rows of dimensions that a session has stored already, so that they need not be sent again: a cache of fixed size
 * that forgets, and never says of a row that it is there when it is not. For src/store only.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_batch;
struct iol_known;
struct iol_table;

struct iol_known *iol_known_new(void);        /* NULL: no memory */
void iol_known_free(struct iol_known *known); /* accepts NULL */

/* Whether the row, or a better one in its place, is stored. */
bool iol_known_has(const struct iol_known *known, const struct iol_table *table, const void *row);

/* How many rows of the batch's table are to be sent. */
size_t iol_known_count_new(const struct iol_known *known, const struct iol_table *table, const struct iol_batch *batch);

/* The batch is committed. Not before: what was rolled back is not there. */
void iol_known_add(struct iol_known *known, const struct iol_batch *batch);

/* Another session, or so long ago that somebody may have deleted rows. */
void iol_known_clear(struct iol_known *known);
