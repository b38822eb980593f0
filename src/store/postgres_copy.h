// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Rows as the data of a binary COPY. For src/store only. */
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

struct iol_error;
struct iol_known;
struct iol_pg_copy;
struct iol_rows;
struct iol_table;

struct iol_pg_copy *iol_pg_copy_new(void);       /* a buffer; NULL: no memory */
void iol_pg_copy_free(struct iol_pg_copy *copy); /* accepts NULL */

/*
 * To a connection in the state PGRES_COPY_IN, which they leave it in: begin, rows any number of times, end. -EAGAIN: the connection takes
 * no more, and its result says why; -EINVAL and *err: a value that its column does not know.
 */
int iol_pg_copy_begin(struct iol_pg_copy *copy, PGconn *conn);
int iol_pg_copy_end(struct iol_pg_copy *copy);

/* Rows of any table but io: those that `known` does not have. */
int iol_pg_copy_rows(struct iol_pg_copy *copy, const struct iol_table *table, const struct iol_rows *rows,
                     const struct iol_known *known, struct iol_error *err);

/* Rows of io, for the columns of iol_schema_print_io_columns(big), in an order that keeps those of a process together. */
int iol_pg_copy_io(struct iol_pg_copy *copy, const struct iol_rows *rows, bool big, struct iol_error *err);
bool iol_pg_copy_is_big(const struct iol_rows *rows); /* whether one of them needs a wide column */
