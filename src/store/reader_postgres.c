// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/postgres.h"
#include "store/reader_driver.h"

/* From pg_type.dat: these never change. */
#define OID_BOOL 16
#define OID_TIMESTAMP 1114
#define OID_TIMESTAMPTZ 1184

/* "2026-11-23 08:18:06.123456" */
#define TIME_LENGTH 26
#define SECONDS_END 19

struct postgres_query;

struct postgres_db {
    struct iol_db db;
    PGconn *conn;
    struct postgres_query *active; /* the query whose rows still come over the connection, or NULL */
};

struct kept {
    struct kept *next;
    PGresult *result;
};

struct postgres_query {
    struct iol_query query;
    struct postgres_db *db;
    PGresult *row;      /* of one row, or the last and empty result, which still knows the columns */
    bool has_row;       /* `row` is one */
    bool fetched;       /* ... and iol_query_next() has not been asked for it yet */
    struct kept *first; /* rows that had to make room for another query */
    struct kept **last;
    int failure; /* while they were kept */
    struct iol_error failure_error;
    char (*cells)[TIME_LENGTH + 2]; /* texts that differ from PostgreSQL's, one for each column */
};

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

/* Everything is asked of the same state of the ledger; the savepoint brings that state back after a query that failed. */
static int begin(PGconn *conn, struct iol_error *err)
{
    enum iol_pg_state state = IOL_PG_EMPTY;
    /*
     * For questions that look up some thousand rows among many: with a partition for each day, compiling one takes longer
     * than to answer it, and the defaults for disks that turn have PostgreSQL read whole tables instead.
     */
    int r = iol_pg_execute(conn,
                           "SET jit = off; SET random_page_cost = 1.1; SET work_mem = '32MB';"
                           "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                           "read", err);

    if (r == 0)
        r = iol_pg_check(conn, &state, err);
    if (r < 0)
        return r;
    if (state == IOL_PG_EMPTY) {
        iol_error_set(err, -ENOENT, "no ledger in the database %s", PQdb(conn));
        iol_error_hint(err, "record one first (ioledger record --db URL), or say with --db where it is");
        return -ENOENT;
    }
    return iol_pg_execute(conn, "SAVEPOINT asked", "read", err);
}

static void postgres_db_close(struct iol_db *base)
{
    struct postgres_db *db = (struct postgres_db *)base;

    PQfinish(db->conn);
    free(db);
}

static int postgres_db_open(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err)
{
    struct postgres_db *db = calloc(1, sizeof(*db));

    if (!db)
        return no_memory(err);
    db->db.ops = &iol_db_postgres_ops;
    int r = iol_pg_connect(url, verbose, &db->conn, err);
    if (r == 0)
        r = begin(db->conn, err);
    if (r < 0) {
        postgres_db_close(&db->db);
        return r;
    }
    *ret_db = &db->db;
    return 0;
}

/* The query's results are all taken: the connection is free for another one. */
static void end_active(struct postgres_db *db, bool failed)
{
    db->active = NULL;
    if (failed)
        iol_pg_execute(db->conn, "ROLLBACK TO SAVEPOINT asked", "read", NULL);
}

static void drain(struct postgres_db *db)
{
    PGresult *result;
    bool failed = false;

    while ((result = PQgetResult(db->conn))) {
        failed = failed || PQresultStatus(result) == PGRES_FATAL_ERROR;
        PQclear(result);
    }
    end_active(db, failed);
}

/* Takes the next result of the active query: 1 a row, 0 the end, -errno. The result is *ret_result, if there is one. */
static int fetch(struct postgres_db *db, PGresult **ret_result, struct iol_error *err)
{
    PGresult *result = PQgetResult(db->conn);
    ExecStatusType status = PQresultStatus(result);

    if (result && status == PGRES_SINGLE_TUPLE) {
        *ret_result = result;
        return 1;
    }
    if (result && (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)) {
        *ret_result = result;
        drain(db);
        return 0;
    }
    int r = iol_pg_error(db->conn, result, "query", err);
    PQclear(result);
    drain(db);
    end_active(db, true);
    return r;
}

/* Brings the rest of the active query's rows into memory, so that another query can run. */
static int keep_rest(struct postgres_db *db, struct iol_error *err)
{
    struct postgres_query *query = db->active;

    while (db->active) {
        struct kept *kept = calloc(1, sizeof(*kept));
        if (!kept)
            return no_memory(err);
        int r = fetch(db, &kept->result, &query->failure_error);
        if (r != 1) {
            PQclear(kept->result);
            free(kept);
            query->failure = r;
            break;
        }
        *query->last = kept;
        query->last = &kept->next;
    }
    return 0;
}

static void postgres_query_free(struct iol_query *base)
{
    struct postgres_query *query = (struct postgres_query *)base;

    if (query->db->active == query)
        drain(query->db);
    for (struct kept *kept = query->first, *next; kept; kept = next) {
        next = kept->next;
        PQclear(kept->result);
        free(kept);
    }
    PQclear(query->row);
    free(query->cells);
    free(query);
}

static int send(struct postgres_query *query, const char *sql, size_t n_params, const char *const *params,
                struct iol_error *err)
{
    struct postgres_db *db = query->db;

    if (PQsendQueryParams(db->conn, sql, (int)n_params, NULL, params, NULL, NULL, 0) != 1 ||
        PQsetSingleRowMode(db->conn) != 1)
        return iol_pg_error(db->conn, NULL, "query", err);
    db->active = query;
    /* The first row at once: it knows the columns, and a mistake in the SQL shows here. */
    int r = fetch(db, &query->row, err);
    if (r < 0)
        return r;
    query->has_row = query->fetched = r == 1;
    query->cells = calloc((size_t)PQnfields(query->row) + 1, sizeof(*query->cells));
    return query->cells ? 0 : no_memory(err);
}

static int postgres_query(struct iol_db *base, const char *sql, size_t n_params, const char *const *params,
                          struct iol_query **ret_query, struct iol_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    struct postgres_query *query = NULL;
    int r = keep_rest(db, err);

    if (r < 0)
        return r;
    query = calloc(1, sizeof(*query));
    if (!query)
        return no_memory(err);
    query->query.ops = &iol_db_postgres_ops;
    query->db = db;
    query->last = &query->first;
    r = send(query, sql, n_params, params, err);
    if (r < 0) {
        postgres_query_free(&query->query);
        return r;
    }
    *ret_query = &query->query;
    return 0;
}

static int next_kept(struct postgres_query *query, PGresult **ret_result)
{
    struct kept *kept = query->first;

    *ret_result = kept->result;
    query->first = kept->next;
    if (!query->first)
        query->last = &query->first;
    free(kept);
    return 1;
}

static int postgres_query_next(struct iol_query *base, struct iol_error *err)
{
    struct postgres_query *query = (struct postgres_query *)base;
    PGresult *result = NULL;
    int r = 0;

    if (query->fetched) {
        query->fetched = false;
        return 1;
    }
    if (query->first)
        r = next_kept(query, &result);
    else if (query->db->active == query)
        r = fetch(query->db, &result, err);
    else if (query->failure < 0 && err)
        *err = query->failure_error;
    if (r == 0)
        r = query->failure;
    query->has_row = r == 1;
    if (result) {
        PQclear(query->row);
        query->row = result;
    }
    return r;
}

static size_t postgres_query_columns(const struct iol_query *base)
{
    return (size_t)PQnfields(((const struct postgres_query *)base)->row);
}

static const char *postgres_query_name(const struct iol_query *base, size_t column)
{
    return PQfname(((const struct postgres_query *)base)->row, (int)column);
}

/* "2026-11-23 08:18:06.12+00" as SQLite has it, with six digits and no zone; what does not look so stays. */
static const char *time_text(char *cell, const char *text)
{
    if (strlen(text) < SECONDS_END || text[4] != '-')
        return text;
    memcpy(cell, text, SECONDS_END);
    memcpy(cell + SECONDS_END, ".000000", TIME_LENGTH - SECONDS_END + 1);
    if (text[SECONDS_END] == '.')
        for (size_t i = SECONDS_END + 1; i < TIME_LENGTH && text[i] >= '0' && text[i] <= '9'; i++)
            cell[i] = text[i];
    return cell;
}

static const char *postgres_query_text(const struct iol_query *base, size_t column)
{
    const struct postgres_query *query = (const struct postgres_query *)base;
    int at = (int)column;

    if (!query->has_row || PQgetisnull(query->row, 0, at))
        return NULL;
    const char *text = PQgetvalue(query->row, 0, at);
    switch (PQftype(query->row, at)) {
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        return time_text(query->cells[column], text);
    case OID_BOOL:
        return *text == 't' ? "1" : "0";
    default:
        return text;
    }
}

static int postgres_restrict_to(struct iol_db *base, const char *views, struct iol_error *err)
{
    struct postgres_db *db = (struct postgres_db *)base;
    int r = iol_pg_execute(db->conn, "ROLLBACK; SET client_min_messages = error", "read", err);

    if (r == 0)
        r = iol_pg_execute(db->conn, views, "make temporary views in", err);
    return r == 0 ? begin(db->conn, err) : r;
}

const struct iol_db_ops iol_db_postgres_ops = {
    .dialect = IOL_DIALECT_POSTGRESQL,
    .open = postgres_db_open,
    .close = postgres_db_close,
    .query = postgres_query,
    .next = postgres_query_next,
    .columns = postgres_query_columns,
    .name = postgres_query_name,
    .text = postgres_query_text,
    .free = postgres_query_free,
    .restrict_to = postgres_restrict_to,
};
