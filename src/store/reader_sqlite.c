// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/reader_driver.h"
#include "store/sqlite.h"
#include "store/url.h"

#define BUSY_TIMEOUT_MS 10000

struct sqlite_db {
    struct iol_db db;
    char *path;
    sqlite3 *handle;
};

struct sqlite_query {
    struct iol_query query;
    struct sqlite_db *db;
    sqlite3_stmt *statement;
    bool ended; /* another step would begin the query again */
};

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

static int check_path(const char *path, struct iol_error *err)
{
    struct stat st;

    if (stat(path, &st) < 0) {
        int code = -errno;
        if (code != -ENOENT) {
            iol_error_set(err, code, "cannot read %s: %s", path, strerror(-code));
            iol_error_hint(err, "ask as a user who may read it, or give another path with --db");
            return code;
        }
        iol_error_set(err, code, "no ledger at %s", path);
        iol_error_hint(err, "record one first (ioledger record --db sqlite:%s), or say with --db where it is", path);
        return code;
    }
    if (!S_ISREG(st.st_mode)) {
        iol_error_set(err, -EINVAL, "%s is not a regular file", path);
        iol_error_hint(err, "give the path of a ledger, for example --db sqlite:ioledger.db");
        return -EINVAL;
    }
    if (access(path, R_OK) < 0) {
        int code = -errno;
        iol_error_set(err, code, "cannot read %s: %s", path, strerror(-code));
        iol_error_hint(err, "ask as a user who may read it");
        return code;
    }
    return 0;
}

/* Escapes what has a meaning in a file: URI of SQLite. */
static char *immutable_uri(const char *path)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs(path[0] == '/' ? "file:" : "file:./", out);
    for (; *path; path++)
        if (strchr("%?#", *path))
            fprintf(out, "%%%02x", (unsigned char)*path);
        else
            putc(*path, out);
    fputs("?immutable=1", out);
    return iol_stream_text(&stream);
}

/* A journal with something in it: rows that are not in the database file yet. */
static bool has_journal(const char *path)
{
    _cleanup_free_ char *journal = NULL;
    struct stat st;

    return asprintf(&journal, "%s-wal", path) >= 0 && stat(journal, &st) == 0 && st.st_size > 0;
}

/* From the first look on, everything is asked of the same state of the ledger. */
static int begin(struct sqlite_db *db, struct iol_error *err)
{
    enum iol_sqlite_state state = IOL_SQLITE_EMPTY;
    /* Half of what a question takes would be system calls that read a page each. */
    int rc = sqlite3_exec(db->handle, "PRAGMA mmap_size = 2147418112; PRAGMA query_only = 1; BEGIN", NULL, NULL, NULL);

    if (rc != SQLITE_OK)
        return iol_sqlite_error(db->handle, rc, db->path, "read", err);
    int r = iol_sqlite_check(db->handle, db->path, &state, err);
    if (r < 0 || state != IOL_SQLITE_EMPTY)
        return r;
    iol_error_set(err, -ENOENT, "no ledger in %s: the file is empty", db->path);
    iol_error_hint(err, "record one first (ioledger record --db sqlite:%s)", db->path);
    return -ENOENT;
}

static int open_handle(struct sqlite_db *db, const char *name, int flags, struct iol_error *err)
{
    int rc = sqlite3_open_v2(name, &db->handle, SQLITE_OPEN_READONLY | flags, NULL);

    if (rc != SQLITE_OK)
        return iol_sqlite_error(db->handle, rc, db->path, "read", err);
    sqlite3_busy_timeout(db->handle, BUSY_TIMEOUT_MS);
    return begin(db, err);
}

/*
 * A ledger in WAL mode wants its -shm file, which a reader without the right to create it cannot have. Nobody records
 * then (the recorder would have made it), so the file may be read as one that does not change.
 */
static int open_immutable(struct sqlite_db *db, struct iol_error *err)
{
    _cleanup_free_ char *uri = immutable_uri(db->path);

    if (!uri)
        return no_memory(err);
    sqlite3_close(db->handle);
    db->handle = NULL;
    return open_handle(db, uri, SQLITE_OPEN_URI, err);
}

static bool is_refused(const struct sqlite_db *db)
{
    int rc = sqlite3_errcode(db->handle) & 0xff;

    return rc == SQLITE_CANTOPEN || rc == SQLITE_READONLY || rc == SQLITE_PERM;
}

static void sqlite_db_close(struct iol_db *base)
{
    struct sqlite_db *db = (struct sqlite_db *)base;

    sqlite3_close(db->handle);
    free(db->path);
    free(db);
}

static int sqlite_db_open(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err)
{
    const char *path;
    int r = iol_url_path(url, "sqlite", &path, err);

    (void)verbose;
    if (r == 0)
        r = check_path(path, err);
    if (r < 0)
        return r;
    _cleanup_free_ char *name = iol_sqlite_filename(path);
    struct sqlite_db *db = calloc(1, sizeof(*db));
    if (!db)
        return no_memory(err);
    db->db.ops = &iol_db_sqlite_ops;
    db->path = strdup(path);
    r = name && db->path ? open_handle(db, name, 0, err) : no_memory(err);
    if (r < 0 && db->path && is_refused(db)) {
        if (!has_journal(path))
            r = open_immutable(db, err);
        else
            iol_error_hint(err, "its journal %s-wal cannot be opened: ask as the user who records", path);
    }
    if (r < 0) {
        sqlite_db_close(&db->db);
        return r == -EAGAIN ? -EIO : r;
    }
    *ret_db = &db->db;
    return 0;
}

static int query_error(struct sqlite_db *db, int rc, struct iol_error *err)
{
    return iol_sqlite_error(db->handle, rc, db->path, "query", err);
}

static void sqlite_query_free(struct iol_query *base)
{
    struct sqlite_query *query = (struct sqlite_query *)base;

    sqlite3_finalize(query->statement);
    free(query);
}

static int bind(struct sqlite_query *query, size_t n_params, const char *const *params)
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < n_params && rc == SQLITE_OK; i++) {
        char name[24];
        snprintf(name, sizeof(name), "$%zu", i + 1);
        int at = sqlite3_bind_parameter_index(query->statement, name);
        if (at == 0 || !params[i])
            continue; /* unbound is NULL */
        rc = sqlite3_bind_text(query->statement, at, params[i], -1, SQLITE_TRANSIENT);
    }
    return rc;
}

static int sqlite_query(struct iol_db *base, const char *sql, size_t n_params, const char *const *params,
                        struct iol_query **ret_query, struct iol_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    struct sqlite_query *query = calloc(1, sizeof(*query));

    if (!query)
        return no_memory(err);
    query->query.ops = &iol_db_sqlite_ops;
    query->db = db;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &query->statement, NULL);
    if (rc == SQLITE_OK)
        rc = bind(query, n_params, params);
    if (rc != SQLITE_OK) {
        int r = query_error(db, rc, err);
        sqlite_query_free(&query->query);
        return r;
    }
    *ret_query = &query->query;
    return 0;
}

static int sqlite_query_next(struct iol_query *base, struct iol_error *err)
{
    struct sqlite_query *query = (struct sqlite_query *)base;

    if (query->ended)
        return 0;
    int rc = sqlite3_step(query->statement);
    if (rc == SQLITE_ROW)
        return 1;
    query->ended = true;
    return rc == SQLITE_DONE ? 0 : query_error(query->db, rc, err);
}

static size_t sqlite_query_columns(const struct iol_query *base)
{
    return (size_t)sqlite3_column_count(((const struct sqlite_query *)base)->statement);
}

static const char *sqlite_query_name(const struct iol_query *base, size_t column)
{
    return sqlite3_column_name(((const struct sqlite_query *)base)->statement, (int)column);
}

static const char *sqlite_query_text(const struct iol_query *base, size_t column)
{
    return (const char *)sqlite3_column_text(((const struct sqlite_query *)base)->statement, (int)column);
}

static int sqlite_restrict_to(struct iol_db *base, const char *views, struct iol_error *err)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    int rc = sqlite3_exec(db->handle, "ROLLBACK; PRAGMA query_only = 0", NULL, NULL, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db->handle, views, NULL, NULL, NULL);
    return rc == SQLITE_OK ? begin(db, err) : query_error(db, rc, err);
}

const struct iol_db_ops iol_db_sqlite_ops = {
    .dialect = IOL_DIALECT_SQLITE,
    .open = sqlite_db_open,
    .close = sqlite_db_close,
    .query = sqlite_query,
    .next = sqlite_query_next,
    .columns = sqlite_query_columns,
    .name = sqlite_query_name,
    .text = sqlite_query_text,
    .free = sqlite_query_free,
    .restrict_to = sqlite_restrict_to,
};
