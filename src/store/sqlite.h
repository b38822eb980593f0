// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the SQLite sink and the SQLite reader share. For src/store only. */
#include <sqlite3.h>
#include <stdbool.h>

struct iol_error;

/* How the schema of a file stands to ours. */
enum iol_sqlite_state {
    IOL_SQLITE_EMPTY, /* no tables at all */
    IOL_SQLITE_LEDGER,
    IOL_SQLITE_OLD, /* a ledger of the version before, IOL_SCHEMA_OLDEST at least */
};

/*
 * -errno for a result code: -ENOSPC, -EAGAIN when waiting or a person may mend it, -EBADMSG when the file is damaged or no
 * database, -EINVAL for the rest. Fills *err with what SQLite says about it.
 */
int iol_sqlite_error(sqlite3 *db, int rc, const char *path, const char *doing, struct iol_error *err);

/* The path as SQLite takes it for a plain file, whatever it begins with (":memory:", "file:"). To be freed; NULL: no memory. */
char *iol_sqlite_filename(const char *path);

/* The version of the ledger's schema; 0: it has none. */
int iol_sqlite_version(sqlite3 *db);

/* Tells a ledger of our version from everything else, which is an error (-EBADMSG, -EPROTONOSUPPORT or -EEXIST). */
int iol_sqlite_check(sqlite3 *db, const char *path, enum iol_sqlite_state *ret_state, struct iol_error *err);
