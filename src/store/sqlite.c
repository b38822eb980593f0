// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/schema_sql.h"

static int errno_of(sqlite3 *db, int rc)
{
    int system = db ? sqlite3_system_errno(db) : 0;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return -ENOSPC;
    case SQLITE_IOERR:
        return system == ENOSPC || system == EDQUOT ? -ENOSPC : -EAGAIN;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_INTERRUPT:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return -EAGAIN;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return -EBADMSG;
    default:
        return -EINVAL;
    }
}

static void add_hint(int rc, int code, struct iol_error *err)
{
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        iol_error_hint(err, "give another path, or move that file away");
        return;
    case SQLITE_CORRUPT:
        iol_error_hint(err,
                       "move the file away and record into a new one; sqlite3 FILE .recover may get its rows back");
        return;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        iol_error_hint(err, "another program keeps the file locked; let it finish");
        return;
    }
    if (code == -ENOSPC)
        iol_error_hint(err, "free some space on that filesystem, or give a path on another one");
}

int iol_sqlite_error(sqlite3 *db, int rc, const char *path, const char *doing, struct iol_error *err)
{
    int code = errno_of(db, rc);
    const char *what = sqlite3_errstr(rc & 0xff);

    if ((rc & 0xff) == SQLITE_NOTADB)
        iol_error_set(err, code, "%s is not an SQLite database", path);
    else if ((rc & 0xff) == SQLITE_CORRUPT)
        iol_error_set(err, code, "%s is damaged: %s", path, db ? sqlite3_errmsg(db) : what);
    else if (code == -ENOSPC)
        iol_error_set(err, code, "no space left on the disk of %s", path);
    else
        iol_error_set(err, code, "cannot %s %s: %s", doing, path, db ? sqlite3_errmsg(db) : what);
    add_hint(rc, code, err);
    return code;
}

char *iol_sqlite_filename(const char *path)
{
    char *name = NULL;

    return asprintf(&name, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : name;
}

static int read_int(sqlite3 *db, const char *sql, sqlite3_int64 *ret_value)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
            *ret_value = sqlite3_column_int64(statement, 0);
            rc = SQLITE_OK;
        } else if (rc == SQLITE_DONE) {
            rc = SQLITE_NOTFOUND;
        }
    }
    sqlite3_finalize(statement);
    return rc;
}

static int foreign(const char *path, struct iol_error *err)
{
    int code = iol_error_set(err, -EEXIST, "%s is a database of another program, not a ledger", path);

    iol_error_hint(err, "give the path of a new file, for example --db sqlite:ioledger.db");
    return code;
}

/* Every table with every column, or some other program or person has changed them. */
static int check_shape(sqlite3 *db, const char *path, int version, struct iol_error *err)
{
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        _cleanup_free_ char *sql = iol_schema_probe(&iol_schema_tables[i], version);
        sqlite3_stmt *statement = NULL;
        if (!sql)
            return iol_error_set(err, -ENOMEM, "out of memory");
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        sqlite3_finalize(statement);
        if (rc == SQLITE_ERROR) {
            iol_error_set(err, -EBADMSG, "the tables of %s are not those of a ledger: %s", path, sqlite3_errmsg(db));
            iol_error_hint(err, "record into a new file");
            return -EBADMSG;
        }
        if (rc != SQLITE_OK)
            return iol_sqlite_error(db, rc, path, "read", err);
    }
    return 0;
}

int iol_sqlite_version(sqlite3 *db)
{
    sqlite3_int64 version = 0;

    return read_int(db, "SELECT max(version) FROM " IOL_VERSION_TABLE, &version) == SQLITE_OK ? (int)version : 0;
}

int iol_sqlite_check(sqlite3 *db, const char *path, enum iol_sqlite_state *ret_state, struct iol_error *err)
{
    sqlite3_int64 application = 0, objects = 0, versions = 0, version = 0;
    int rc = read_int(db, "PRAGMA application_id", &application);

    if (rc == SQLITE_OK)
        rc = read_int(db, "SELECT count(*) FROM sqlite_master", &objects);
    if (rc == SQLITE_OK)
        rc = read_int(db, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '" IOL_VERSION_TABLE "'",
                      &versions);
    if (rc != SQLITE_OK)
        return iol_sqlite_error(db, rc, path, "read", err);
    if (objects == 0 && application == 0) {
        *ret_state = IOL_SQLITE_EMPTY;
        return 0;
    }
    /* A ledger that went through .dump has lost its application id and is one nevertheless. */
    if ((application != IOL_SQLITE_APPLICATION_ID && application != 0) || versions == 0)
        return foreign(path, err);

    rc = read_int(db, "SELECT max(version) FROM " IOL_VERSION_TABLE, &version);
    if (rc == SQLITE_ERROR)
        return foreign(path, err);
    if (rc != SQLITE_OK)
        return iol_sqlite_error(db, rc, path, "read", err);
    if (version > IOL_SCHEMA_VERSION) {
        iol_error_set(err, -EPROTONOSUPPORT, "%s has version %lld of the schema, this ioledger knows up to version %d",
                      path, (long long)version, IOL_SCHEMA_VERSION);
        iol_error_hint(err, "use the ioledger that wrote it or a newer one, or another file");
        return -EPROTONOSUPPORT;
    }
    if (version < 1)
        return foreign(path, err);
    if (version < IOL_SCHEMA_OLDEST) {
        iol_error_set(err, -EPROTONOSUPPORT, "%s has version %lld of the schema, this ioledger writes version %d", path,
                      (long long)version, IOL_SCHEMA_VERSION);
        iol_error_hint(err, "record into a new file, and ask the old one with the ioledger that wrote it");
        return -EPROTONOSUPPORT;
    }
    *ret_state = version < IOL_SCHEMA_VERSION ? IOL_SQLITE_OLD : IOL_SQLITE_LEDGER;
    return check_shape(db, path, (int)version, err);
}
