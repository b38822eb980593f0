// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/postgres.h"
#include "store/schema_sql.h"
#include "store/sink.h"
#include "store/sink_driver.h"
#include "store/time_text.h"

#define COPY_BUFFER ((size_t)32 * 1024)
#define MAX_COLUMNS 24

/* Several recorders that start at once create the schema one after the other; any number that is always the same. */
#define SCHEMA_LOCK "1869442404"

/* Rows of dimensions arrive in a table of the session with this prefix and go on from there, each only once. */
#define STAGE "iol_new_"

/* Microseconds between 1970 and 2000, where the time of PostgreSQL begins. */
#define EPOCH_2000_US INT64_C(946684800000000)

struct postgres_sink {
    struct iol_sink sink;
    char *url;
    bool verbose;
    pid_t server_pid;
    char *copy_buffer;
    size_t copy_used;
    struct iol_time_text time_text;

    pthread_mutex_t lock; /* of what an interrupt looks at */
    PGconn *conn;         /* NULL: to be connected again */
    bool interrupted;
};

static void disconnect(struct postgres_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    PGconn *conn = TAKE_PTR(sink->conn);
    pthread_mutex_unlock(&sink->lock);
    PQfinish(conn);
}

static bool is_staged(const struct iol_table *table)
{
    return table->mode == IOL_WRITE_ONCE && table->id != IOL_TABLE_BATCH;
}

static int create_stages(PGconn *conn, struct iol_error *err)
{
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        char sql[128];
        if (!is_staged(table))
            continue;
        snprintf(sql, sizeof(sql), "CREATE TEMP TABLE " STAGE "%s (LIKE %s) ON COMMIT DELETE ROWS", table->name,
                 table->name);
        int r = iol_pg_execute(conn, sql, "create a temporary table in", err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int create_schema(PGconn *conn, struct iol_error *err)
{
    _cleanup_free_ char *ddl = iol_schema_ddl(IOL_DIALECT_POSTGRESQL);
    enum iol_pg_state state;

    if (!ddl)
        return iol_error_set(err, -ENOMEM, "out of memory");
    int r = iol_pg_execute(conn, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "create the tables in", err);
    if (r == 0)
        r = iol_pg_execute(conn, "SELECT pg_advisory_xact_lock(" SCHEMA_LOCK ")", "create the tables in", err);
    /* Whoever had the lock before may have created it all. */
    if (r == 0)
        r = iol_pg_check(conn, &state, err);
    if (r == 0 && state == IOL_PG_EMPTY)
        r = iol_pg_execute(conn, ddl, "create the tables in", err);
    if (r == 0)
        r = iol_pg_execute(conn, "COMMIT", "create the tables in", err);
    return r;
}

static int prepare_session(PGconn *conn, struct iol_error *err)
{
    enum iol_pg_state state;
    int r = iol_pg_check(conn, &state, err);

    if (r == 0 && state == IOL_PG_EMPTY)
        r = create_schema(conn, err);
    return r == 0 ? create_stages(conn, err) : r;
}

/* Parent and name of a process on this machine; 0 when it is not a server's. */
static pid_t server_parent(pid_t pid)
{
    char path[64], stat[512];

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    size_t n = fread(stat, 1, sizeof(stat) - 1, file);
    fclose(file);
    stat[n] = '\0';

    int parent = 0;
    const char *name = strchr(stat, '(');
    const char *rest = strrchr(stat, ')');
    if (!name || !rest || rest - name != (ptrdiff_t)strlen("(postgres") || strncmp(name, "(postgres)", 10) != 0 ||
        sscanf(rest + 1, " %*c %d", &parent) != 1)
        return 0;
    return parent;
}

/* The postmaster, when it is on this machine: its child serves us and says by which pid, in its own pid namespace. */
static pid_t find_server(PGconn *conn)
{
    const char *host = PQhost(conn), *address = PQhostaddr(conn);
    bool local = (host && (host[0] == '/' || host[0] == '@')) ||
                 (address && (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0));
    pid_t parent = local ? server_parent(PQbackendPID(conn)) : 0;

    return parent > 1 && server_parent(parent) > 0 ? parent : 0;
}

static int connect_session(struct postgres_sink *sink, struct iol_error *err)
{
    PGconn *conn = NULL;
    int r = iol_pg_connect(sink->url, sink->verbose, &conn, err);

    if (r < 0)
        return r;
    pthread_mutex_lock(&sink->lock);
    bool interrupted = sink->interrupted;
    sink->interrupted = false;
    sink->conn = conn;
    pthread_mutex_unlock(&sink->lock);

    r = interrupted ? iol_error_set(err, -EAGAIN, "connecting to PostgreSQL was interrupted") : 0;
    if (r == 0)
        r = prepare_session(conn, err);
    if (r < 0)
        disconnect(sink);
    else
        sink->server_pid = find_server(conn);
    return r;
}

static void postgres_close(struct iol_sink *base)
{
    struct postgres_sink *sink = (struct postgres_sink *)base;

    disconnect(sink);
    pthread_mutex_destroy(&sink->lock);
    free(sink->copy_buffer);
    free(sink->url);
    free(sink);
}

static int postgres_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                         struct iol_error *err)
{
    struct postgres_sink *sink = calloc(1, sizeof(*sink));

    if (!sink)
        return iol_error_set(err, -ENOMEM, "out of memory");
    sink->sink.ops = &iol_sink_postgres_ops;
    sink->verbose = options->verbose;
    pthread_mutex_init(&sink->lock, NULL);
    sink->url = strdup(url);
    sink->copy_buffer = malloc(COPY_BUFFER);
    int r = sink->url && sink->copy_buffer ? connect_session(sink, err) : iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        postgres_close(&sink->sink);
        return r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

static int unknown_value(const struct iol_table *table, const struct iol_column *column, struct iol_error *err)
{
    return iol_error_set(err, -EINVAL, "a row of %s has a value in %s that its column does not know", table->name,
                         column->name);
}

/* -EAGAIN: whatever stopped the copy is known only by its result. */
static int copy_flush(struct postgres_sink *sink)
{
    int n = PQputCopyData(sink->conn, sink->copy_buffer, (int)sink->copy_used);

    sink->copy_used = 0;
    return n == 1 ? 0 : -EAGAIN;
}

static int copy_bytes(struct postgres_sink *sink, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        size_t room = COPY_BUFFER - sink->copy_used;
        size_t n = size < room ? size : room;
        memcpy(sink->copy_buffer + sink->copy_used, at, n);
        sink->copy_used += n;
        at += n;
        size -= n;
        if (sink->copy_used == COPY_BUFFER) {
            int r = copy_flush(sink);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* A field: its length and its bytes; NULL is length -1. */
static int copy_field(struct postgres_sink *sink, const void *data, size_t size)
{
    uint32_t length = htobe32(data ? (uint32_t)size : UINT32_MAX);
    int r = copy_bytes(sink, &length, sizeof(length));

    return r == 0 && data ? copy_bytes(sink, data, size) : r;
}

static int64_t microseconds(int64_t ns)
{
    int64_t us = ns / 1000;

    return ns % 1000 < 0 ? us - 1 : us;
}

static int copy_column(struct postgres_sink *sink, const struct iol_column *column, const void *row)
{
    const char *text = NULL;

    if (column->type == IOL_TYPE_TEXT || column->type == IOL_TYPE_ENUM) {
        if (column->type == IOL_TYPE_TEXT)
            text = iol_row_text(row, column);
        else if (!(text = iol_schema_word(column->words, iol_row_int(row, column))))
            return -EINVAL;
        return copy_field(sink, text, text ? strlen(text) : 0);
    }
    int64_t value = iol_row_int(row, column);
    if (value == IOL_NULL)
        return copy_field(sink, NULL, 0);
    if (column->type == IOL_TYPE_TIME)
        value = microseconds(value) - EPOCH_2000_US;
    uint64_t wire = htobe64((uint64_t)value);
    return copy_field(sink, &wire, sizeof(wire));
}

/* Binary COPY: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4 */
static int copy_rows(struct postgres_sink *sink, const struct iol_table *table, const struct iol_rows *rows,
                     struct iol_error *err)
{
    static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; /* signature, flags, length of the extension */
    uint16_t n_columns = htobe16((uint16_t)table->n_columns), trailer = UINT16_MAX;
    size_t size = iol_batch_row_size(table->id);

    sink->copy_used = 0;
    int r = copy_bytes(sink, header, sizeof(header));
    for (size_t i = 0; i < rows->count && r == 0; i++) {
        const char *row = (const char *)rows->data + i * size;
        r = copy_bytes(sink, &n_columns, sizeof(n_columns));
        for (size_t j = 0; j < table->n_columns && r == 0; j++) {
            r = copy_column(sink, &table->columns[j], row);
            if (r == -EINVAL)
                return unknown_value(table, &table->columns[j], err);
        }
    }
    if (r == 0)
        r = copy_bytes(sink, &trailer, sizeof(trailer));
    return r == 0 ? copy_flush(sink) : r;
}

/* Ends a copy one way or the other and takes every result of it, so that the connection is free again. */
static int copy_end(struct postgres_sink *sink, const char *abort, struct iol_error *err)
{
    PGresult *result;
    int r = 0;

    PQputCopyEnd(sink->conn, abort);
    while ((result = PQgetResult(sink->conn))) {
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && r == 0)
            r = iol_pg_error(sink->conn, result, "write to", err);
        PQclear(result);
        /* A connection that was lost in the middle of a copy gives the same result again and again. */
        if (status == PGRES_COPY_IN)
            break;
    }
    if (r == 0 && PQstatus(sink->conn) != CONNECTION_OK)
        r = iol_pg_error(sink->conn, NULL, "write to", err);
    return r;
}

static int copy_table(struct postgres_sink *sink, const struct iol_table *table, const struct iol_rows *rows,
                      struct iol_error *err)
{
    _cleanup_free_ char *columns = iol_schema_column_list(table), *sql = NULL;

    if (!columns || asprintf(&sql, "COPY %s%s (%s) FROM STDIN (FORMAT binary)",
                             is_staged(table) ? "pg_temp." STAGE : "", table->name, columns) < 0) {
        sql = NULL;
        return iol_error_set(err, -EAGAIN, "out of memory");
    }
    PGresult *result = PQexec(sink->conn, sql);
    int r = PQresultStatus(result) == PGRES_COPY_IN ? 0 : iol_pg_error(sink->conn, result, "write to", err);
    PQclear(result);
    if (r < 0)
        return r;
    r = copy_rows(sink, table, rows, err);
    if (r != -EINVAL)
        return copy_end(sink, NULL, err);
    struct iol_error ignored;
    copy_end(sink, "the row cannot be stored", &ignored);
    return r;
}

/*
 * From the staging table on. In the order of the key, so that two recorders that know the same rows never wait for
 * each other in a circle; of two rows with one key the first counts, as in SQLite.
 */
static int merge_table(struct postgres_sink *sink, const struct iol_table *table, struct iol_error *err)
{
    _cleanup_free_ char *columns = iol_schema_column_list(table), *sql = NULL;
    size_t size;
    FILE *out = columns ? open_memstream(&sql, &size) : NULL;

    if (!out)
        return iol_error_set(err, -EAGAIN, "out of memory");
    fprintf(out, "INSERT INTO %s (%s) SELECT DISTINCT ON (", table->name, columns);
    iol_schema_print_key(out, table);
    fprintf(out, ") %s FROM pg_temp." STAGE "%s ORDER BY ", columns, table->name);
    iol_schema_print_key(out, table);
    if (table->unknown)
        fprintf(out, ", %s NULLS LAST", table->unknown);
    fputs(", ctid", out);
    iol_schema_print_conflict(out, table);
    if (fclose(out) != 0)
        return iol_error_set(err, -EAGAIN, "out of memory");
    return iol_pg_execute(sink->conn, sql, "write to", err);
}

/* One row by parameters: 1 when it was inserted or updated, 0 when it was there already. */
static int insert_row(struct postgres_sink *sink, const struct iol_table *table, const void *row, struct iol_error *err)
{
    _cleanup_free_ char *sql = iol_schema_insert(table);
    const char *values[MAX_COLUMNS] = {0};
    char numbers[MAX_COLUMNS][40];

    if (!sql)
        return iol_error_set(err, -EAGAIN, "out of memory");
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        if (column->type == IOL_TYPE_TEXT) {
            values[i] = iol_row_text(row, column);
            continue;
        }
        int64_t value = iol_row_int(row, column);
        if (column->type == IOL_TYPE_ENUM) {
            values[i] = iol_schema_word(column->words, value);
            if (!values[i])
                return unknown_value(table, column, err);
        } else if (value != IOL_NULL) {
            values[i] = numbers[i];
            if (column->type == IOL_TYPE_TIME) {
                iol_time_text(&sink->time_text, numbers[i], value, ' ');
                memcpy(numbers[i] + IOL_TIME_TEXT_LENGTH, "Z", sizeof("Z"));
            } else {
                snprintf(numbers[i], sizeof(numbers[i]), "%" PRId64, value);
            }
        }
    }
    PGresult *result = PQexecParams(sink->conn, sql, (int)table->n_columns, NULL, values, NULL, NULL, 0);
    int r = PQresultStatus(result) == PGRES_COMMAND_OK ? atoi(PQcmdTuples(result))
                                                       : iol_pg_error(sink->conn, result, "write to", err);
    PQclear(result);
    return r;
}

static int write_table(struct postgres_sink *sink, const struct iol_table *table, const struct iol_rows *rows,
                       struct iol_error *err)
{
    size_t size = iol_batch_row_size(table->id);

    if (rows->count == 0)
        return 0;
    if (table->mode == IOL_WRITE_LATEST) {
        for (size_t i = 0; i < rows->count; i++) {
            int r = insert_row(sink, table, (const char *)rows->data + i * size, err);
            if (r < 0)
                return r;
        }
        return 0;
    }
    int r = copy_table(sink, table, rows, err);
    return r == 0 && is_staged(table) ? merge_table(sink, table, err) : r;
}

/* 1: the batch is there already. Its row comes first: it waits for a transaction with the same batch that still ends. */
static int write_batch(struct postgres_sink *sink, const struct iol_batch *batch, struct iol_error *err)
{
    int r = iol_pg_execute(sink->conn, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", "write to", err);

    if (r == 0)
        r = insert_row(sink, &iol_schema_tables[IOL_TABLE_BATCH], batch->rows[IOL_TABLE_BATCH].data, err);
    if (r <= 0)
        return r < 0 ? r : 1;
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        if (i == IOL_TABLE_BATCH)
            continue;
        r = write_table(sink, &iol_schema_tables[i], &batch->rows[i], err);
        if (r < 0)
            return r;
    }
    return iol_pg_execute(sink->conn, "COMMIT", "write to", err);
}

static int postgres_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    struct postgres_sink *sink = (struct postgres_sink *)base;

    /* The same database took our batches before: whatever keeps us from it now may pass. */
    if (!sink->conn && connect_session(sink, err) < 0)
        return -EAGAIN;
    int r = write_batch(sink, batch, err);
    if (r == 0)
        return 0;
    if (PQstatus(sink->conn) == CONNECTION_OK && iol_pg_execute(sink->conn, "ROLLBACK", "write to", NULL) == 0)
        return r == 1 ? 0 : r;
    /* Whether a lost COMMIT arrived is found out by the next try, from the batch's own row. */
    disconnect(sink);
    return r == 1 ? 0 : -EAGAIN;
}

static pid_t postgres_server_pid(const struct iol_sink *base)
{
    return ((const struct postgres_sink *)base)->server_pid;
}

/* libpq waits in poll(2) without end for a server that hangs; a socket that is shut down wakes it. */
static void postgres_interrupt(struct iol_sink *base)
{
    struct postgres_sink *sink = (struct postgres_sink *)base;

    pthread_mutex_lock(&sink->lock);
    if (!sink->conn)
        sink->interrupted = true;
    else if (PQsocket(sink->conn) >= 0)
        shutdown(PQsocket(sink->conn), SHUT_RDWR);
    pthread_mutex_unlock(&sink->lock);
}

const struct iol_sink_ops iol_sink_postgres_ops = {
    .scheme = "postgresql",
    .open = postgres_open,
    .write = postgres_write,
    .server_pid = postgres_server_pid,
    .interrupt = postgres_interrupt,
    .close = postgres_close,
};
