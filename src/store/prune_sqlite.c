// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/prune.h"
#include "store/prune_driver.h"
#include "store/schema_sql.h"
#include "store/sqlite.h"
#include "store/url.h"

#define BUSY_TIMEOUT_MS 30000

/*
 * There is one writer at a time, and who waits for it looks again after at most 100 ms: steps are short, and after each
 * one the recorder has as long for itself.
 */
#define STEP_NS (15 * UINT64_C(1000000))
#define PAUSE_NS (5 * UINT64_C(1000000))
#define PAGES_PER_STEP "64"
#define EVENTS_PER_STEP 1000

struct sqlite_prune {
    struct iol_prune prune;
    char *path;
    sqlite3 *db;
};

static int failed(struct sqlite_prune *prune, int rc, struct iol_error *err)
{
    return iol_sqlite_error(prune->db, rc, prune->path, "prune", err);
}

static int sqlite_execute(struct iol_prune *base, const char *sql, struct iol_error *err)
{
    struct sqlite_prune *prune = (struct sqlite_prune *)base;
    int rc = sqlite3_exec(prune->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : failed(prune, rc, err);
}

/* The first value of a query with one text parameter (or none: NULL). */
static int ask(struct sqlite_prune *prune, const char *sql, const char *parameter, char **ret_text,
               struct iol_error *err)
{
    sqlite3_stmt *statement = NULL;
    char *text = NULL;
    int rc = sqlite3_prepare_v2(prune->db, sql, -1, &statement, NULL), r = 0;

    if (rc == SQLITE_OK && parameter)
        rc = sqlite3_bind_text(statement, 1, parameter, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL) {
        text = strdup((const char *)sqlite3_column_text(statement, 0));
        r = text ? 0 : iol_error_set(err, -ENOMEM, "out of memory");
    } else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
        r = failed(prune, rc, err);
    }
    sqlite3_finalize(statement);
    if (r == 0)
        *ret_text = text;
    return r;
}

static int ask_number(struct sqlite_prune *prune, const char *sql, const char *parameter, int64_t *ret_number,
                      struct iol_error *err)
{
    _cleanup_free_ char *text = NULL;
    int r = ask(prune, sql, parameter, &text, err);

    if (r == 0)
        *ret_number = text ? strtoll(text, NULL, 10) : 0;
    return r;
}

static int sqlite_text(struct iol_prune *base, const char *sql, char **ret_text, struct iol_error *err)
{
    return ask((struct sqlite_prune *)base, sql, NULL, ret_text, err);
}

/* Runs a statement whose only parameter, if it has one, is the text; *ret_changes (may be NULL): rows. */
static int change(struct sqlite_prune *prune, const char *sql, const char *parameter, uint64_t *ret_changes,
                  struct iol_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(prune->db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK && parameter)
        rc = sqlite3_bind_text(statement, 1, parameter, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(statement);
    int r = rc == SQLITE_DONE ? 0 : failed(prune, rc, err);
    sqlite3_finalize(statement);
    if (r == 0 && ret_changes)
        *ret_changes += (uint64_t)sqlite3_changes64(prune->db);
    return r;
}

static int begin(struct sqlite_prune *prune, uint64_t *ret_began_ns, struct iol_error *err)
{
    int r = sqlite_execute(&prune->prune, "BEGIN IMMEDIATE", err);

    *ret_began_ns = iol_monotonic_ns();
    return r;
}

static int end(struct sqlite_prune *prune, uint64_t began_ns, int r, struct iol_error *err)
{
    if (r == 0)
        r = sqlite_execute(&prune->prune, "COMMIT", err);
    if (r < 0 && !sqlite3_get_autocommit(prune->db))
        sqlite3_exec(prune->db, "ROLLBACK", NULL, NULL, NULL);
    if (r < 0)
        return r;
    iol_prune_count_step(&prune->prune, began_ns);
    uint64_t took = iol_monotonic_ns() - began_ns;
    uint64_t pause = took < PAUSE_NS ? PAUSE_NS : took;
    nanosleep(&(struct timespec){(time_t)(pause / 1000000000), (long)(pause % 1000000000)}, NULL);
    return 0;
}

static int sqlite_step(struct iol_prune *base, const struct iol_prune_step *step, struct iol_error *err)
{
    struct sqlite_prune *prune = (struct sqlite_prune *)base;
    uint64_t began;
    int r = begin(prune, &began, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < step->n && r == 0; i++)
        r = change(prune, step->sql[i], NULL, step->ret_changes ? &step->ret_changes[i] : NULL, err);
    return end(prune, began, r, err);
}

#define ROWS_OF_TIME                                                                                                   \
    "FROM io_interval i CROSS JOIN io_row r ON r.id >= i.id << " IOL_SQLITE_ROW_BITS                                   \
    " AND r.id < (i.id + 1) << " IOL_SQLITE_ROW_BITS " WHERE i.ts = $1"

/* All rows of io and total with that time: the books of an interval are there whole, or not at all. */
static int delete_time(struct sqlite_prune *prune, const char *ts, struct iol_error *err)
{
    uint64_t *rows = prune->prune.result->rows;
    int r =
        change(prune, "INSERT OR IGNORE INTO " IOL_CANDIDATE_TABLE " SELECT r.file_id " ROWS_OF_TIME, ts, NULL, err);

    if (r == 0)
        r = change(prune, "DELETE FROM io_row WHERE id IN (SELECT r.id " ROWS_OF_TIME ")", ts, &rows[IOL_TABLE_IO],
                   err);
    if (r == 0)
        r = change(prune, "DELETE FROM io_interval WHERE ts = $1", ts, NULL, err);
    if (r == 0)
        r = change(prune, "DELETE FROM total WHERE ts = $1", ts, &rows[IOL_TABLE_TOTAL], err);
    return r;
}

/* One transaction; *ret_more: there may be more to do. */
static int delete_some_times(struct sqlite_prune *prune, const char *before, bool *ret_more, struct iol_error *err)
{
    uint64_t began;
    int r = begin(prune, &began, err);

    if (r < 0)
        return r;
    do {
        _cleanup_free_ char *ts = NULL;
        r = ask(
            prune,
            "SELECT min(ts) FROM (SELECT (SELECT min(ts) FROM io_interval) AS ts UNION ALL SELECT min(ts) FROM total)"
            " WHERE ts < $1",
            before, &ts, err);
        *ret_more = ts;
        if (r == 0 && ts)
            iol_prune_reached_time(&prune->prune, ts);
        if (r == 0 && ts)
            r = delete_time(prune, ts, err);
    } while (r == 0 && *ret_more && iol_monotonic_ns() - began < STEP_NS);
    return end(prune, began, r, err);
}

/* Events have no index over their time. They come nearly in its order, but clocks are set: all are looked at. */
static int delete_events(struct sqlite_prune *prune, const char *before, struct iol_error *err)
{
    int64_t first, last, found;
    int r = ask_number(prune, "SELECT min(rowid) FROM event", NULL, &first, err);

    if (r == 0)
        r = ask_number(prune, "SELECT max(rowid) FROM event", NULL, &last, err);
    for (int64_t at = first; r == 0 && at <= last; at += EVENTS_PER_STEP) {
        char where[120], sql[4][320];
        uint64_t changes[4] = {0};
        const char *const list[] = {sql[1], sql[2], sql[3]};
        const struct iol_prune_step step = {list, IOL_ARRAY_SIZE(list), changes};

        snprintf(where, sizeof(where), "rowid BETWEEN %" PRId64 " AND %" PRId64 " AND ts < '%s'", at,
                 at + EVENTS_PER_STEP - 1, before);
        snprintf(sql[0], sizeof(sql[0]), "SELECT EXISTS (SELECT 1 FROM event WHERE %s)", where);
        for (int i = 1; i <= 2; i++)
            snprintf(sql[i], sizeof(sql[i]),
                     "INSERT OR IGNORE INTO " IOL_CANDIDATE_TABLE
                     " SELECT %1$s FROM event WHERE %2$s AND %1$s IS NOT NULL",
                     i == 1 ? "file_id" : "other_file_id", where);
        snprintf(sql[3], sizeof(sql[3]), "DELETE FROM event WHERE %s", where);
        r = ask_number(prune, sql[0], NULL, &found, err);
        iol_prune_reached(&prune->prune, (double)(at - first) / (double)(last - first + 1));
        if (r == 0 && found)
            r = sqlite_step(&prune->prune, &step, err);
        prune->prune.result->rows[IOL_TABLE_EVENT] += changes[2];
    }
    return r;
}

static int sqlite_delete_facts(struct iol_prune *base, const char *before, struct iol_error *err)
{
    struct sqlite_prune *prune = (struct sqlite_prune *)base;
    bool more = true;
    int r = 0;

    while (r == 0 && more)
        r = delete_some_times(prune, before, &more, err);
    if (r == 0)
        iol_prune_begin(base, "deleting events");
    return r == 0 ? delete_events(prune, before, err) : r;
}

/* A file that was made without auto_vacuum (a dump that was read in again) keeps its free pages for rows to come. */
static int sqlite_give_back(struct iol_prune *base, struct iol_error *err)
{
    struct sqlite_prune *prune = (struct sqlite_prune *)base;
    int64_t before = INT64_MAX, free_pages;
    int r;

    int64_t all = 0;
    while ((r = ask_number(prune, "PRAGMA freelist_count", NULL, &free_pages, err)) == 0 && free_pages > 0 &&
           free_pages < before) {
        static const char *const sql = "PRAGMA incremental_vacuum(" PAGES_PER_STEP ")";
        uint64_t began;
        before = free_pages;
        all = all ? all : free_pages;
        iol_prune_reached(base, 1 - (double)free_pages / (double)all);
        r = begin(prune, &began, err);
        if (r == 0)
            r = sqlite_execute(base, sql, err);
        r = end(prune, began, r, err);
        if (r < 0)
            return r;
    }
    return r;
}

static int sqlite_size(struct iol_prune *base, uint64_t *ret_bytes, struct iol_error *err)
{
    struct sqlite_prune *prune = (struct sqlite_prune *)base;
    int64_t pages, size;
    int r = ask_number(prune, "PRAGMA page_count", NULL, &pages, err);

    if (r == 0)
        r = ask_number(prune, "PRAGMA page_size", NULL, &size, err);
    if (r == 0)
        *ret_bytes = (uint64_t)pages * (uint64_t)size;
    return r;
}

static void sqlite_prune_close(struct iol_prune *base)
{
    struct sqlite_prune *prune = (struct sqlite_prune *)base;

    if (!prune)
        return;
    /* As the recorder does at its end; while one runs this fails, and that is well. */
    if (prune->db) {
        sqlite3_busy_timeout(prune->db, 0);
        sqlite3_exec(prune->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    }
    sqlite3_close(prune->db);
    free(prune->path);
    free(prune);
}

static int open_ledger(struct sqlite_prune *prune, struct iol_error *err)
{
    _cleanup_free_ char *name = iol_sqlite_filename(prune->path);
    enum iol_sqlite_state state;

    if (!name)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (access(prune->path, R_OK | W_OK) < 0) {
        int code = -errno;
        iol_error_set(err, code, "cannot prune %s: %s", prune->path, strerror(-code));
        iol_error_hint(err, code == -ENOENT ? "say with --db where the ledger is" : "prune as the user who records");
        return code;
    }
    int rc = sqlite3_open_v2(name, &prune->db, SQLITE_OPEN_READWRITE, NULL);
    if (rc != SQLITE_OK)
        return failed(prune, rc, err);
    sqlite3_extended_result_codes(prune->db, 1);
    sqlite3_busy_timeout(prune->db, BUSY_TIMEOUT_MS);
    int r = iol_sqlite_check(prune->db, prune->path, &state, err);
    if (r == 0 && state == IOL_SQLITE_EMPTY) {
        iol_error_set(err, -ENOENT, "no ledger in %s: the file is empty", prune->path);
        iol_error_hint(err, "say with --db where the ledger is");
        return -ENOENT;
    }
    return r < 0 ? r
                 : sqlite_execute(&prune->prune,
                                  "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                                  "PRAGMA cache_size = -32000; PRAGMA journal_size_limit = 16777216",
                                  err);
}

static int sqlite_prune_open(const char *url, bool verbose, struct iol_prune **ret_prune, struct iol_error *err)
{
    const char *path;
    int r = iol_url_path(url, "sqlite", &path, err);

    (void)verbose;
    if (r < 0)
        return r;
    struct sqlite_prune *prune = calloc(1, sizeof(*prune));
    if (!prune)
        return iol_error_set(err, -ENOMEM, "out of memory");
    prune->prune.ops = &iol_prune_sqlite_ops;
    prune->path = strdup(path);
    r = prune->path ? open_ledger(prune, err) : iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        sqlite3_close(prune->db);
        prune->db = NULL;
        sqlite_prune_close(&prune->prune);
        return r;
    }
    *ret_prune = &prune->prune;
    return 0;
}

const struct iol_prune_ops iol_prune_sqlite_ops = {
    .io = "io_row",
    .per_step = 500,
    .open = sqlite_prune_open,
    .execute = sqlite_execute,
    .text = sqlite_text,
    .step = sqlite_step,
    .delete_facts = sqlite_delete_facts,
    .give_back = sqlite_give_back,
    .size = sqlite_size,
    .close = sqlite_prune_close,
};
