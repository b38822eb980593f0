// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Rows as the data of a binary COPY. For src/store only. */
#include <libpq-fe.h>
#include <stdint.h>

struct iol_error;
struct iol_known;
struct iol_pg_copy;
struct iol_rows;
struct iol_table;

struct iol_pg_copy *iol_pg_copy_new(void);       /* a buffer; NULL: no memory */
void iol_pg_copy_free(struct iol_pg_copy *copy); /* accepts NULL */

/*
 * Sends the rows that `known` does not have to a connection in the state PGRES_COPY_IN, which they leave it in. -EAGAIN: the connection
 * takes no more, and its result says why; -EINVAL and *err: a value that its column does not know.
 */
int iol_pg_copy_rows(struct iol_pg_copy *copy, PGconn *conn, const struct iol_table *table, const struct iol_rows *rows,
                     const struct iol_known *known, struct iol_error *err);

/* Microseconds since 1970, as PostgreSQL counts them: rounded down. */
int64_t iol_pg_microseconds(int64_t ns);
