// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* A session with PostgreSQL that writes: its tables, and who serves it. For src/store only. */
#include <libpq-fe.h>
#include <stdbool.h>
#include <sys/types.h>

struct iol_error;
struct iol_table;

/* Rows of dimensions arrive in a table of the session with this prefix and go on from there, each only once. */
#define IOL_PG_STAGE "iol_new_"

/* Rows with a key, which may be there already. The batch's own row is none of them: it has to be new. */
bool iol_pg_is_staged(const struct iol_table *table);

/*
 * Makes the tables of the ledger, or brings them to the present version, when that is to be done, and those of the session.
 * *ret_by_host: keys have the host in them, as Citus wants it. 0, or -errno with *err, as iol_pg_error() has it.
 */
int iol_pg_prepare(PGconn *conn, bool *ret_by_host, struct iol_error *err);

/* The postmaster, when it is on this machine; else 0. */
pid_t iol_pg_server(PGconn *conn);
