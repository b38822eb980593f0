// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the PostgreSQL sink and the PostgreSQL reader share. For src/store only. */
#include <libpq-fe.h>
#include <stdbool.h>

struct iol_error;

enum iol_pg_state {
    IOL_PG_EMPTY, /* nothing of ours in the schema that tables would be created in */
    IOL_PG_LEDGER,
    IOL_PG_OLD, /* a ledger of the version before, IOL_SCHEMA_OLDEST at least */
};

/*
 * Connects and sets up the session (UTC, UTF-8, no timeouts). -EAGAIN: no server answers or it is not ready yet; anything else
 * is final. What it reports never contains the password.
 */
int iol_pg_connect(const char *url, bool verbose, PGconn **ret_conn, struct iol_error *err);

/*
 * -errno for a failed result (NULL: the connection itself): -ENOSPC, -EAGAIN when another try may succeed, -EACCES, -EINVAL, ...
 * Fills *err with what the server says about it.
 */
int iol_pg_error(PGconn *conn, const PGresult *result, const char *doing, struct iol_error *err);

/* Runs SQL without parameters whose rows do not matter. */
int iol_pg_execute(PGconn *conn, const char *sql, const char *doing, struct iol_error *err);

/* Runs SQL that returns one value: *ret_value is to be freed, NULL for SQL NULL or no row. */
int iol_pg_value(PGconn *conn, const char *sql, const char *doing, char **ret_value, struct iol_error *err);

/* Tells a ledger of our version from everything else, which is an error (-EBADMSG, -EPROTONOSUPPORT or -EEXIST). */
int iol_pg_check(PGconn *conn, enum iol_pg_state *ret_state, struct iol_error *err);
