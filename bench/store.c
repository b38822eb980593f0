// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * How fast rows go into a ledger. Each way prints "ROWS SECONDS CPU_SECONDS" of rows of io, the names before them left aside.
 *
 *   store sink URL ROWS BATCH [SPAN]    through the store library's sink, BATCH rows in an interval; intervals are spread over SPAN seconds
 *                                   that end now (default: a second each)
 *   store queue URL ROWS BATCH     the same through the recorder's writer, when all of them wait in its queue
 *   store spool URL ROWS BATCH     and through its spool, a folder that is made in the working directory
 *   store loop PATH ROWS BATCH [SPAN]  the same rows by prepared statements, in one transaction, into the tables of that SQLite ledger
 *   store insert URL ROWS BATCH one|each   one INSERT (prepared) for each row into PostgreSQL; one transaction, or each its own
 */
#include <libpq-fe.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "core/batch.h"
#include "measure.h"
#include "rows.h"
#include "store/schema.h"
#include "store/sink.h"
#include "store/spool.h"
#include "store/writer.h"

#define FILES 100000
#define PROCESSES 20000
#define NAMES 10000 /* in a batch */

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "store: %s: %s\n", what, why);
    exit(1);
}

static struct iol_sink *open_sink(const char *url)
{
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    if (iol_sink_open(url, &options, &sink, &err) < 0)
        fail(url, err.text);
    return sink;
}

static void put(struct iol_sink *sink, struct iol_batch *batch)
{
    struct iol_error err = {0};

    if (iol_sink_write(sink, batch, &err) < 0)
        fail("write", err.text);
    iol_batch_free(batch);
}

static void put_names(struct rows *rows, struct iol_sink *sink)
{
    struct iol_batch *batch;

    for (size_t first = 0; (batch = rows_names(rows, first, NAMES)); first += NAMES)
        put(sink, batch);
}

static struct rows make_rows(uint64_t total, uint64_t batch, double span)
{
    int64_t span_ns = span > 0 ? (int64_t)(span * 1e9) : (int64_t)(total / batch) * 1000000000;

    return (struct rows){
        .host_id = 4711,
        .random = 1,
        .files = FILES,
        .processes = PROCESSES,
        .at_work = 200,
        .total = total,
        .ts = (int64_t)clock_ns(CLOCK_REALTIME) - span_ns,
        .interval_ns = span_ns / (int64_t)((total + batch - 1) / batch),
    };
}

/* Everything but the writing: what it takes to make the rows is measured apart and left out. */
struct stopwatch {
    double elapsed, cpu, began, cpu_began;
};

static void start(struct stopwatch *watch)
{
    watch->began = clock_ns(CLOCK_MONOTONIC);
    watch->cpu_began = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static void stop(struct stopwatch *watch)
{
    watch->elapsed += clock_ns(CLOCK_MONOTONIC) - watch->began;
    watch->cpu += clock_ns(CLOCK_PROCESS_CPUTIME_ID) - watch->cpu_began;
}

static void tell(const struct stopwatch *watch, uint64_t rows)
{
    printf("%llu %.6f %.6f\n", (unsigned long long)rows, watch->elapsed / 1e9, watch->cpu / 1e9);
}

static void run_sink(const char *url, uint64_t total, uint64_t batch, double span)
{
    struct rows rows = make_rows(total, batch, span);
    struct iol_sink *sink = open_sink(url);
    struct stopwatch watch = {0};

    put_names(&rows, sink);
    while (rows.made < total) {
        struct iol_batch *interval = rows_interval(&rows, batch);
        start(&watch);
        put(sink, interval);
        stop(&watch);
    }
    iol_sink_close(sink);
    tell(&watch, rows.made);
}

static struct iol_spool *open_spool(char *dir)
{
    const struct iol_spool_options options = {.max_bytes = 1 << 30, .sync = IOL_SPOOL_SYNC_EVERYSEC, .target = "bench"};
    struct iol_spool *spool = NULL;
    struct iol_error err = {0};

    if (!mkdtemp(dir) || iol_spool_open(dir, &options, &spool, &err) < 0)
        fail(dir, err.text);
    return spool;
}

/* All rows are there before the first is written. */
static void run_writer(const char *url, uint64_t total, uint64_t batch, bool spooled)
{
    char dir[] = "bench-spool.XXXXXX";
    struct rows rows = make_rows(total, batch, 0);
    struct iol_sink *sink = open_sink(url);
    struct iol_writer_options options = {.max_bytes = SIZE_MAX, .give_up_after_ms = -1};
    struct iol_batch *first = NULL, **last = &first;
    struct iol_writer *writer = NULL;
    struct stopwatch watch = {0};
    struct iol_error err = {0};

    put_names(&rows, sink);
    for (; rows.made < total; last = &(*last)->next)
        *last = rows_interval(&rows, batch);
    start(&watch);
    options.spool = spooled ? open_spool(dir) : NULL;
    if (iol_writer_new(sink, &options, &writer) < 0)
        fail("writer", "out of memory");
    for (struct iol_batch *next; first; first = next) {
        next = first->next;
        iol_writer_put(writer, first);
    }
    if (iol_writer_finish(writer, NULL, NULL, &err) != 0)
        fail("write", err.text);
    stop(&watch);
    iol_writer_free(writer);
    iol_spool_close(options.spool);
    iol_sink_close(sink);
    tell(&watch, rows.made);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;

    if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK)
        fail(sql, sqlite3_errmsg(db));
    return statement;
}

static void step(sqlite3 *db, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE)
        fail("insert", sqlite3_errmsg(db));
    sqlite3_reset(statement);
}

static void loop_interval(sqlite3 *db, sqlite3_stmt *interval, sqlite3_stmt *row, const struct iol_batch *batch,
                          sqlite3_int64 id)
{
    const struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
    char ts[32];

    sqlite3_bind_int64(interval, 1, id);
    sqlite3_bind_text(interval, 2, iol_text_time(ts, sizeof(ts), io->ts), -1, SQLITE_STATIC);
    sqlite3_bind_int64(interval, 3, io->ts / 1000);
    sqlite3_bind_int64(interval, 4, io->interval_ms);
    sqlite3_bind_int64(interval, 5, io->host_id);
    step(db, interval);
    for (size_t i = 0; i < batch->rows[IOL_TABLE_IO].count; i++, io++) {
        const sqlite3_int64 values[] = {id << 20 | (sqlite3_int64)i,
                                        io->process_id,
                                        io->file_id,
                                        io->route,
                                        io->read_ops,
                                        io->read_bytes,
                                        io->write_ops,
                                        io->write_bytes,
                                        io->read_errors,
                                        io->write_errors,
                                        (io->ts - io->first_ts) / 1000,
                                        (io->ts - io->last_ts) / 1000};
        for (int j = 0; j < (int)(sizeof(values) / sizeof(values[0])); j++)
            sqlite3_bind_int64(row, j + 1, values[j]);
        step(db, row);
    }
}

/* The ledger is there, with its names, from a run of `sink`; its rows of io are not. */
static void run_loop(const char *path, uint64_t total, uint64_t batch, double span)
{
    struct rows rows = make_rows(total, batch, span);
    struct stopwatch watch = {0};
    sqlite3 *db = NULL;

    if (sqlite3_open(path, &db) != SQLITE_OK)
        fail(path, sqlite3_errmsg(db));
    if (sqlite3_exec(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000; BEGIN",
                     NULL, NULL, NULL) != SQLITE_OK)
        fail(path, sqlite3_errmsg(db));
    sqlite3_stmt *interval =
        prepare(db, "INSERT INTO io_interval (id, ts, ts_us, interval_ms, host_id) VALUES (?, ?, ?, ?, ?)");
    sqlite3_stmt *row =
        prepare(db, "INSERT INTO io_row (id, process_id, file_id, route, read_ops, read_bytes, write_ops,"
                    " write_bytes, read_errors, write_errors, first_us, last_us)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (sqlite3_int64 id = 1; rows.made < total; id++) {
        struct iol_batch *made = rows_interval(&rows, batch);
        start(&watch);
        loop_interval(db, interval, row, made, id);
        stop(&watch);
        iol_batch_free(made);
    }
    start(&watch);
    if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        fail(path, sqlite3_errmsg(db));
    stop(&watch);
    sqlite3_finalize(interval);
    sqlite3_finalize(row);
    sqlite3_close(db);
    tell(&watch, rows.made);
}

static void must(PGconn *conn, PGresult *result)
{
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail("PostgreSQL", PQerrorMessage(conn));
    PQclear(result);
}

static void insert_row(PGconn *conn, const struct iol_io *io)
{
    const int64_t numbers[] = {io->interval_ms,
                               io->host_id,
                               io->process_id,
                               io->file_id,
                               io->read_ops,
                               io->read_bytes,
                               io->write_ops,
                               io->write_bytes,
                               io->read_errors,
                               io->write_errors,
                               (io->ts - io->first_ts) / 1000,
                               (io->ts - io->last_ts) / 1000};
    char texts[12][24], ts[40];
    const char *values[14] = {iol_text_time(ts, sizeof(ts), io->ts), [5] = iol_schema_word(&iol_enum_route, io->route)};

    for (size_t i = 0; i < 12; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%lld", (long long)numbers[i]);
        if (i < 4 || numbers[i] != 0) /* as the sink stores it */
            values[i < 4 ? i + 1 : i + 2] = texts[i];
    }
    must(conn, PQexecPrepared(conn, "row", 14, values, NULL, NULL, 0));
}

static void run_insert(const char *url, uint64_t total, uint64_t batch, bool each)
{
    struct rows rows = make_rows(total, batch, 0);
    struct stopwatch watch = {0};
    PGconn *conn = PQconnectdb(url);

    if (PQstatus(conn) != CONNECTION_OK)
        fail(url, PQerrorMessage(conn));
    must(conn, PQexec(conn, "SET timezone = 'UTC'"));
    must(conn,
         PQprepare(conn, "row",
                   "INSERT INTO io_row (ts, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes,"
                   " write_ops, write_bytes, read_errors, write_errors, first_us, last_us)"
                   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
                   14, NULL));
    must(conn, PQexec(conn, each ? "SELECT 1" : "BEGIN"));
    while (rows.made < total) {
        struct iol_batch *made = rows_interval(&rows, batch);
        start(&watch);
        for (size_t i = 0; i < made->rows[IOL_TABLE_IO].count; i++)
            insert_row(conn, (const struct iol_io *)made->rows[IOL_TABLE_IO].data + i);
        stop(&watch);
        iol_batch_free(made);
    }
    start(&watch);
    must(conn, PQexec(conn, each ? "SELECT 1" : "COMMIT"));
    stop(&watch);
    PQfinish(conn);
    tell(&watch, rows.made);
}

int main(int argc, char **argv)
{
    const char *how = argc > 4 ? argv[1] : "";
    uint64_t total = argc > 4 ? strtoull(argv[3], NULL, 10) : 0, batch = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;

    if (total > 0 && batch > 0 && strcmp(how, "sink") == 0) {
        run_sink(argv[2], total, batch, argc > 5 ? strtod(argv[5], NULL) : 0);
    } else if (total > 0 && batch > 0 && (strcmp(how, "queue") == 0 || strcmp(how, "spool") == 0)) {
        run_writer(argv[2], total, batch, strcmp(how, "spool") == 0);
    } else if (total > 0 && batch > 0 && strcmp(how, "loop") == 0) {
        run_loop(argv[2], total, batch, argc > 5 ? strtod(argv[5], NULL) : 0);
    } else if (total > 0 && batch > 0 && strcmp(how, "insert") == 0 && argc > 5) {
        run_insert(argv[2], total, batch, strcmp(argv[5], "each") == 0);
    } else {
        fprintf(stderr, "usage: store sink URL ROWS BATCH [SPAN] | queue|spool URL ROWS BATCH | loop PATH ROWS BATCH "
                        "[SPAN] | insert URL ROWS BATCH one|each\n");
        return 2;
    }
    return 0;
}
