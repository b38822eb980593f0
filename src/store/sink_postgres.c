// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
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
#include "store/known.h"
#include "store/postgres.h"
#include "store/postgres_copy.h"
#include "store/postgres_session.h"
#include "store/schema_sql.h"
#include "store/sink.h"
#include "store/sink_driver.h"
#include "store/time_text.h"

#define DAYS 16 /* remembered: a batch has one or two as a rule */
#define DAY_NS (INT64_C(86400) * 1000000000)

/*
 * What is known to be stored is asked of the database anew after a while: rows that nothing referred to for long may have been
 * pruned. That is by the recorder's time: batches of days may come in a minute.
 */
#define KNOWN_NS (INT64_C(3600) * 1000000000)

struct postgres_sink {
    struct iol_sink sink;
    char *url;
    bool verbose;
    bool by_host; /* keys have the host in them, as Citus wants it */
    pid_t server_pid;
    struct iol_pg_copy *copy;
    struct iol_known *known;
    int64_t known_since; /* ts of the first batch of which it knows */
    int64_t days[DAYS];  /* that have partitions, as days since 1970, in a ring */
    size_t n_days;
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

/* What an earlier transaction stored, this session has to find out anew. */
static void forget(struct postgres_sink *sink)
{
    iol_known_clear(sink->known);
    sink->known_since = IOL_NULL;
    sink->n_days = 0;
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
        r = iol_pg_prepare(conn, &sink->by_host, err);
    if (r < 0)
        disconnect(sink);
    else
        sink->server_pid = iol_pg_server(conn);
    forget(sink);
    return r;
}

static void postgres_close(struct iol_sink *base)
{
    struct postgres_sink *sink = (struct postgres_sink *)base;

    disconnect(sink);
    pthread_mutex_destroy(&sink->lock);
    iol_pg_copy_free(sink->copy);
    iol_known_free(sink->known);
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
    sink->copy = iol_pg_copy_new();
    sink->known = iol_known_new();
    int r = sink->url && sink->copy && sink->known ? connect_session(sink, err)
                                                   : iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        postgres_close(&sink->sink);
        return r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

static bool has_day(const struct postgres_sink *sink, int64_t day)
{
    size_t n = sink->n_days < DAYS ? sink->n_days : DAYS;

    for (size_t i = 0; i < n; i++)
        if (sink->days[i] == day)
            return true;
    return false;
}

/* Has the database make what partitions the day wants, in a transaction of its own; and those of the day after, ahead. */
static int add_day(struct postgres_sink *sink, int64_t ns, int64_t day, struct iol_error *err)
{
    char date[32], sql[128];

    iol_time_text(&sink->time_text, date, ns, ' ');
    snprintf(sql, sizeof(sql), "SELECT %s('%.10s', 2)", IOL_PARTITION_FUNCTION, date);
    int r = iol_pg_execute(sink->conn, sql, "add a day to", err);
    if (r == 0)
        sink->days[sink->n_days++ % DAYS] = day;
    return r;
}

static int add_days(struct postgres_sink *sink, const struct iol_batch *batch, enum iol_table_id id,
                    struct iol_error *err)
{
    const struct iol_table *table = &iol_schema_tables[id];
    const struct iol_rows *rows = &batch->rows[id];
    const struct iol_column *ts = &table->columns[0];
    size_t size = iol_batch_row_size(id);
    int64_t last = INT64_MIN;
    int r = 0;

    for (size_t i = 0; i < rows->count && r == 0; i++) {
        int64_t ns = iol_row_int((const char *)rows->data + i * size, ts);
        int64_t day = ns / DAY_NS - (ns % DAY_NS < 0);
        if (ns == IOL_NULL) /* to the server it is a day without a partition */
            return iol_error_set(err, -EINVAL, "a row of %s has a null value in %s", table->name, ts->name);
        if (day == last)
            continue;
        if (!has_day(sink, day))
            r = add_day(sink, ns, day, err);
        last = day;
    }
    return r;
}

/* The batches of one transaction. */
struct group {
    const struct iol_batch *const *batches;
    size_t n;
};

/* One transaction as a text, and the tables whose rows its COPYs ask for, in their order. */
struct transaction {
    char *sql;
    const struct iol_table *tables[IOL_TABLE_COUNT];
    size_t n_tables;
    bool big; /* rows of io have their wide columns, as one of them needs it */
};

static void done_transaction(struct transaction *transaction)
{
    free(transaction->sql);
}

/*
 * From the staging table on. In the order of the key, so that two recorders that know the same rows never wait for
 * each other in a circle; of two rows with one key the same counts as in SQLite: the first, or the last one that replaces.
 */
static void print_merge(FILE *out, const struct iol_table *table, const char *columns, const char *host)
{
    bool by_host = host != NULL, add_host = by_host && table->id == IOL_TABLE_PROCESS_EXIT;

    fprintf(out, "INSERT INTO %s (%s%s) SELECT DISTINCT ON (", table->name, columns, add_host ? ", host_id" : "");
    iol_schema_print_key(out, table, false);
    fprintf(out, ") %s", columns);
    if (add_host)
        fprintf(out, ", %s", host);
    fprintf(out, " FROM pg_temp." IOL_PG_STAGE "%s ORDER BY ", table->name);
    iol_schema_print_key(out, table, false);
    if (table->unknown)
        fprintf(out, ", %s NULLS LAST", table->unknown);
    fputs(table->mode == IOL_WRITE_LATEST ? ", ctid DESC" : ", ctid", out);
    iol_schema_print_conflict(out, table, by_host);
    fputs(";", out);
    if (table->id == IOL_TABLE_FILE)
        fputs("DELETE FROM " IOL_CANDIDATE_TABLE " WHERE id IN (SELECT id FROM pg_temp." IOL_PG_STAGE "file);", out);
}

/* `host`: the id that all rows are of, as a literal, where keys have it in them; else NULL. */
static int print_table(FILE *out, const struct iol_table *table, bool big, const char *host)
{
    _cleanup_free_ char *columns = iol_schema_column_list(table);

    if (!columns)
        return -ENOMEM;
    if (table->id == IOL_TABLE_IO) {
        fputs("COPY " IOL_PG_IO_TABLE " (", out);
        iol_schema_print_io_columns(out, big);
        fputs(") FROM STDIN (FORMAT binary);", out);
        return 0;
    }
    fprintf(out, "COPY %s%s (%s) FROM STDIN (FORMAT binary);", iol_pg_is_staged(table) ? "pg_temp." IOL_PG_STAGE : "",
            table->name, columns);
    if (iol_pg_is_staged(table))
        print_merge(out, table, columns, host);
    return 0;
}

/* A batch's own row comes first: it waits for a transaction with the same batch that still ends. */
static int print_batch_row(struct postgres_sink *sink, FILE *out, const struct iol_batch_row *row)
{
    char *boot_id = row->boot_id ? PQescapeLiteral(sink->conn, row->boot_id, strlen(row->boot_id)) : NULL;
    char ts[32];

    if (row->boot_id && !boot_id)
        return -ENOMEM;
    fprintf(out, "INSERT INTO batch (host_id, boot_id, seq, ts) VALUES (%" PRId64 ", %s, %" PRId64 ", '%sZ');",
            row->host_id, boot_id ? boot_id : "NULL", row->seq, iol_time_text(&sink->time_text, ts, row->ts, ' '));
    PQfreemem(boot_id);
    return 0;
}

static bool has_new(const struct postgres_sink *sink, const struct iol_table *table, const struct group *group)
{
    for (size_t i = 0; i < group->n; i++)
        if (iol_known_count_new(sink->known, table, group->batches[i]) > 0)
            return true;
    return false;
}

static int print_transaction(struct postgres_sink *sink, FILE *out, const struct group *group,
                             struct transaction *transaction)
{
    const struct iol_batch_row *row = group->batches[0]->rows[IOL_TABLE_BATCH].data;
    bool shared = false;
    char host[32];
    int r = 0;

    snprintf(host, sizeof(host), "'%" PRId64 "'::bigint", row->host_id);
    fputs("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;", out);
    for (size_t i = 0; i < group->n && r == 0; i++)
        r = print_batch_row(sink, out, group->batches[i]->rows[IOL_TABLE_BATCH].data);
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        if (i == IOL_TABLE_BATCH || !has_new(sink, table, group))
            continue;
        /* Nobody prunes dimensions between the moment at which a row is found there and the facts that need it. */
        if (!shared)
            fputs("SELECT pg_advisory_xact_lock_shared(" IOL_PG_PRUNE_LOCK ");", out);
        shared = true;
        transaction->tables[transaction->n_tables++] = table;
        r = print_table(out, table, transaction->big, sink->by_host ? host : NULL);
    }
    fputs("COMMIT", out);
    return r;
}

static int make_transaction(struct postgres_sink *sink, const struct group *group, struct transaction *transaction)
{
    size_t size;

    for (size_t i = 0; i < group->n && !transaction->big; i++)
        transaction->big = iol_pg_copy_is_big(&group->batches[i]->rows[IOL_TABLE_IO]);
    FILE *out = open_memstream(&transaction->sql, &size);

    if (!out)
        return -ENOMEM;
    int r = print_transaction(sink, out, group, transaction);
    return fclose(out) == 0 ? r : -ENOMEM;
}

/* Citus does not pass on which table an error of a worker is about; there only the batch's own row can be there already. */
static bool is_error(const PGresult *result, const char *state, const char *table)
{
    const char *its_state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *its_table = PQresultErrorField(result, PG_DIAG_TABLE_NAME);

    return its_state && strcmp(its_state, state) == 0 && (!table || (its_table && strcmp(its_table, table) == 0));
}

static const char *message_of(const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    return message ? message : "";
}

enum { WRITTEN, REPLAYED, NO_PARTITION };

static int failure_of(struct postgres_sink *sink, const PGresult *result, struct iol_error *err)
{
    if (is_error(result, "23505", sink->by_host ? NULL : "batch")) /* unique_violation */
        return REPLAYED;
    if (is_error(result, "23514", IOL_PG_IO_TABLE) || is_error(result, "23514", "event") || /* check_violation */
        (sink->by_host && is_error(result, "23514", NULL) && strstr(message_of(result), "partition")))
        return NO_PARTITION;
    return iol_pg_error(sink->conn, result, "write to", err);
}

/* Answers a COPY with its rows. -EPIPE: the connection takes no more of them. */
static int send_rows(struct postgres_sink *sink, const struct iol_table *table, const struct group *group, bool big,
                     struct iol_error *err)
{
    int r = iol_pg_copy_begin(sink->copy, sink->conn);

    for (size_t i = 0; i < group->n && r == 0; i++) {
        const struct iol_rows *rows = &group->batches[i]->rows[table->id];
        r = table->id == IOL_TABLE_IO ? iol_pg_copy_io(sink->copy, rows, big, err)
                                      : iol_pg_copy_rows(sink->copy, table, rows, sink->known, err);
    }
    if (r == 0)
        r = iol_pg_copy_end(sink->copy);
    if (PQputCopyEnd(sink->conn, r == -EINVAL ? "the row cannot be stored" : NULL) != 1)
        return -EPIPE;
    return r == -EINVAL ? r : 0;
}

/*
 * The whole transaction is one message, so that what is waited for is the start of each COPY and the end of it all. libpq's
 * pipeline mode knows no COPY.
 */
static int run_transaction(struct postgres_sink *sink, const struct transaction *transaction, const struct group *group,
                           struct iol_error *err)
{
    PGresult *result;
    size_t next = 0;
    int r = 0;

    if (PQsendQuery(sink->conn, transaction->sql) != 1)
        return iol_pg_error(sink->conn, NULL, "write to", err);
    while (r != -EPIPE && (result = PQgetResult(sink->conn))) {
        switch (PQresultStatus(result)) {
        case PGRES_COMMAND_OK:
        case PGRES_TUPLES_OK:
            break;
        case PGRES_COPY_IN:
            /* A connection that was lost in the middle of a copy gives the same result again and again. */
            r = next < transaction->n_tables
                    ? send_rows(sink, transaction->tables[next++], group, transaction->big, err)
                    : -EPIPE;
            break;
        default:
            r = r == 0 ? failure_of(sink, result, err) : r;
        }
        PQclear(result);
    }
    if (r == -EPIPE || (r == WRITTEN && PQstatus(sink->conn) != CONNECTION_OK))
        r = iol_pg_error(sink->conn, NULL, "write to", err);
    return r;
}

static int64_t host_of(const struct iol_batch *batch)
{
    return ((const struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->host_id;
}

static int64_t ts_of(const struct iol_batch *batch)
{
    return ((const struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->ts;
}

/* Between a file's row and the row of io for which it came there may be an interval: what is known must not be so old either. */
static bool is_old(const struct postgres_sink *sink, const struct iol_batch *batch)
{
    const struct iol_rows *totals = &batch->rows[IOL_TABLE_TOTAL];
    int64_t interval_ms = totals->count > 0 ? ((const struct iol_total *)totals->data)->interval_ms : 0;
    int64_t age;

    return interval_ms > KNOWN_NS / 4 / 1000000 || __builtin_sub_overflow(ts_of(batch), sink->known_since, &age) ||
           age >= KNOWN_NS || age <= -KNOWN_NS;
}

/* Writes those of the group that what is known is good for: at least the first; *group becomes these. */
static int write_group(struct postgres_sink *sink, struct group *group, struct iol_error *err)
{
    _cleanup_(done_transaction) struct transaction transaction = {0};
    size_t n = 0;
    int r = 0;

    if (is_old(sink, group->batches[0]))
        forget(sink);
    if (sink->known_since == IOL_NULL)
        sink->known_since = ts_of(group->batches[0]);
    for (; n < group->n && r == 0 && (n == 0 || !is_old(sink, group->batches[n])); n++) {
        if (sink->by_host && host_of(group->batches[n]) != host_of(group->batches[0]))
            break;
        r = add_days(sink, group->batches[n], IOL_TABLE_IO, err);
        if (r == 0)
            r = add_days(sink, group->batches[n], IOL_TABLE_EVENT, err);
    }
    if (r < 0)
        return r;
    group->n = n;
    if (make_transaction(sink, group, &transaction) < 0)
        return iol_error_set(err, -EAGAIN, "out of memory");
    r = run_transaction(sink, &transaction, group, err);
    for (size_t i = 0; i < n && r == WRITTEN; i++)
        iol_known_add(sink->known, group->batches[i]);
    return r;
}

/* Brings the session back to where a batch can be written; without one there is none any more. */
static int roll_back(struct postgres_sink *sink)
{
    if (PQstatus(sink->conn) == CONNECTION_OK && iol_pg_execute(sink->conn, "ROLLBACK", "write to", NULL) == 0)
        return 0;
    /* Whether a lost COMMIT arrived is found out by the next try, from the batch's own row. */
    disconnect(sink);
    return -EAGAIN;
}

static ssize_t postgres_write_some(struct iol_sink *base, const struct iol_batch *const *batches, size_t n,
                                   struct iol_error *err)
{
    struct postgres_sink *sink = (struct postgres_sink *)base;
    struct group group = {batches, n};

    /* The same database took our batches before: whatever keeps us from it now may pass. */
    if (!sink->conn && connect_session(sink, err) < 0)
        return -EAGAIN;
    int r = write_group(sink, &group, err);
    /* Somebody pruned that day in between. */
    if (r == NO_PARTITION && roll_back(sink) == 0) {
        forget(sink);
        r = write_group(sink, &group, err);
    }
    /* One of them is there already: which is found out one by one. */
    if (r == REPLAYED && group.n > 1 && roll_back(sink) == 0) {
        group.n = 1;
        r = write_group(sink, &group, err);
    }
    if (r == WRITTEN)
        return (ssize_t)group.n;
    if (r == NO_PARTITION)
        r = iol_error_set(err, -EAGAIN, "a day of the database %s was dropped while it was written to",
                          sink->conn ? PQdb(sink->conn) : "");
    bool lost = !sink->conn || roll_back(sink) < 0;
    return r == REPLAYED && group.n == 1 ? 1 : lost || r == REPLAYED ? -EAGAIN : r;
}

static int postgres_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    ssize_t n = postgres_write_some(base, &batch, 1, err);

    return n < 0 ? (int)n : 0;
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
    .write_some = postgres_write_some,
    .server_pid = postgres_server_pid,
    .interrupt = postgres_interrupt,
    .close = postgres_close,
};
