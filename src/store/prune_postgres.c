// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/postgres.h"
#include "store/prune.h"
#include "store/prune_driver.h"
#include "store/schema_sql.h"

/*
 * Who waits for a lock keeps everybody behind it waiting too: so it waits for a moment only, and tries again for as long as
 * somebody may well read.
 */
#define LOCK_TIMEOUT "SET LOCAL lock_timeout = '100ms'"
#define TRY_AGAIN_NS (100 * 1000000L)
#define GIVE_UP_NS (UINT64_C(120) * 1000000000)

/* One prune at a time. */
#define SESSION_LOCK "1869442406"

#define DATE_LENGTH 10
#define MINUTES_PER_STEP 10
#define MINUTES_PER_DAY 1440

struct postgres_prune {
    struct iol_prune prune;
    PGconn *conn;
};

static int pg_execute(struct iol_prune *base, const char *sql, struct iol_error *err)
{
    return iol_pg_execute(((struct postgres_prune *)base)->conn, sql, "prune", err);
}

static int pg_text(struct iol_prune *base, const char *sql, char **ret_text, struct iol_error *err)
{
    return iol_pg_value(((struct postgres_prune *)base)->conn, sql, "prune", ret_text, err);
}

static int change(struct postgres_prune *prune, const char *sql, uint64_t *ret_changes, struct iol_error *err)
{
    PGresult *result = PQexec(prune->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    int r =
        status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ? 0 : iol_pg_error(prune->conn, result, "prune", err);

    if (r == 0 && ret_changes)
        *ret_changes = strtoull(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return r;
}

static int try_step(struct postgres_prune *prune, const char *lock, const struct iol_prune_step *step,
                    struct iol_error *err)
{
    int r = pg_execute(&prune->prune, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;" LOCK_TIMEOUT, err);

    if (r == 0 && lock)
        r = pg_execute(&prune->prune, lock, err);
    uint64_t began = iol_monotonic_ns();
    for (size_t i = 0; i < step->n && r == 0; i++)
        r = change(prune, step->sql[i], step->ret_changes ? &step->ret_changes[i] : NULL, err);
    if (r == 0)
        r = pg_execute(&prune->prune, "COMMIT", err);
    if (r == 0 && lock)
        iol_prune_count_step(&prune->prune, began);
    return r;
}

/* One transaction that has the locks of `lock` (SQL, or NULL) all the time. */
static int run_step(struct postgres_prune *prune, const char *lock, const struct iol_prune_step *step,
                    struct iol_error *err)
{
    uint64_t began = iol_monotonic_ns();
    int r;

    while ((r = try_step(prune, lock, step, err)) < 0) {
        if (r != -EAGAIN || PQstatus(prune->conn) != CONNECTION_OK || iol_monotonic_ns() - began > GIVE_UP_NS)
            break;
        pg_execute(&prune->prune, "ROLLBACK", NULL);
        nanosleep(&(struct timespec){.tv_nsec = TRY_AGAIN_NS}, NULL);
    }
    if (r == -EAGAIN && PQstatus(prune->conn) == CONNECTION_OK)
        iol_error_hint(
            err,
            "somebody reads or locks the ledger in a long transaction (pg_stat_activity): let it end, and prune again");
    return r;
}

static int pg_step(struct iol_prune *base, const struct iol_prune_step *step, struct iol_error *err)
{
    return run_step((struct postgres_prune *)base, "SELECT pg_advisory_xact_lock(" IOL_PG_PRUNE_LOCK ")", step, err);
}

/* Puts SQL together and runs it; *ret_changes (may be NULL). */
static int changef(struct postgres_prune *prune, uint64_t *ret_changes, struct iol_error *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int changef(struct postgres_prune *prune, uint64_t *ret_changes, struct iol_error *err, const char *format, ...)
{
    _cleanup_free_ char *sql = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&sql, format, ap);
    va_end(ap);
    return n < 0 ? iol_error_set(err, -ENOMEM, "out of memory") : change(prune, sql, ret_changes, err);
}

static int count(struct postgres_prune *prune, const char *table, const char *where, uint64_t *rows,
                 struct iol_error *err)
{
    _cleanup_free_ char *text = NULL;
    char sql[240];

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s%s", table, where);
    int r = pg_text(&prune->prune, sql, &text, err);
    if (r == 0 && text)
        *rows += strtoull(text, NULL, 10);
    return r;
}

/* Takes a whole day out: its partitions, and its rows of total in the same transaction. `day` is "20261125". */
static int drop_day(struct postgres_prune *prune, const char *day, struct iol_error *err)
{
    static const enum iol_table_id tables[] = {IOL_TABLE_IO, IOL_TABLE_EVENT};
    static const char *const columns[] = {"file_id", "file_id", "other_file_id"};
    struct iol_prune_result *result = prune->prune.result;
    char drop[100], totals[200];
    uint64_t changes[2] = {0};
    char date[16];
    int r = 0;

    snprintf(date, sizeof(date), "%.4s-%.2s-%.2s", day, day + 4, day + 6);
    iol_prune_reached_time(&prune->prune, date);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(columns) && r == 0; i++)
        r = changef(
            prune, NULL, err,
            "DO $$ BEGIN IF to_regclass('%1$s_%2$s') IS NOT NULL THEN INSERT INTO " IOL_CANDIDATE_TABLE
            " SELECT DISTINCT %3$s FROM %1$s_%2$s WHERE %3$s IS NOT NULL ON CONFLICT DO NOTHING; END IF; END $$",
            i == 0 ? "io" : "event", day, columns[i]);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(tables) && r == 0; i++) {
        char where[160];
        const char *name = iol_schema_tables[tables[i]].name;
        snprintf(where, sizeof(where), " WHERE ts >= timestamptz '%1$s' AND ts < timestamptz '%1$s' + interval '1 day'",
                 day);
        r = count(prune, name, where, &result->rows[tables[i]], err);
    }
    snprintf(drop, sizeof(drop), "DROP TABLE IF EXISTS io_%s, event_%s", day, day);
    snprintf(totals, sizeof(totals),
             "DELETE FROM total WHERE ts >= timestamptz '%1$s' AND ts < timestamptz '%1$s' + interval '1 day'", day);
    const char *const sql[] = {drop, totals};
    const struct iol_prune_step step = {sql, IOL_ARRAY_SIZE(sql), changes};
    if (r == 0)
        r = run_step(prune,
                     "SELECT pg_advisory_xact_lock(" IOL_PG_SCHEMA_LOCK "); LOCK TABLE " IOL_PG_IO_TABLE
                     ", event IN ACCESS EXCLUSIVE MODE",
                     &step, err);
    result->rows[IOL_TABLE_TOTAL] += changes[1];
    result->days += r == 0;
    return r;
}

/* "2026-11-25 ..." as it stands in the name of a partition. */
static void compact(char day[static 9], const char *date)
{
    snprintf(day, 9, "%.4s%.2s%.2s", date, date + 5, date + 8);
}

static int drop_days(struct postgres_prune *prune, const char *before, struct iol_error *err)
{
    char last[9], sql[400];
    int r = 0;

    compact(last, before);
    snprintf(sql, sizeof(sql),
             "SELECT min(day) FROM (SELECT substring(c.relname FROM '_([0-9]{8})$') AS day FROM pg_inherits i"
             " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent IN ('" IOL_PG_IO_TABLE
             "'::regclass, 'event'::regclass)) d"
             " WHERE day < '%s'",
             last);
    while (r == 0) {
        _cleanup_free_ char *day = NULL;
        r = pg_text(&prune->prune, sql, &day, err);
        if (r < 0 || !day)
            break;
        r = drop_day(prune, day, err);
    }
    return r;
}

/* What is left of the day in which the border is, in pieces; each has its intervals whole. */
static int delete_piece(struct postgres_prune *prune, const char *window, struct iol_error *err)
{
    uint64_t *rows = prune->prune.result->rows, changes[6] = {0};
    char sql[6][360];
    const char *const list[] = {sql[0], sql[1], sql[2], sql[3], sql[4], sql[5]};
    const struct iol_prune_step step = {list, IOL_ARRAY_SIZE(list), changes};
    static const char *const from[][2] = {
        {IOL_PG_IO_TABLE, "file_id"}, {"event", "file_id"}, {"event", "other_file_id"}};

    for (size_t i = 0; i < 3; i++)
        snprintf(sql[i], sizeof(sql[i]),
                 "INSERT INTO " IOL_CANDIDATE_TABLE " SELECT DISTINCT %2$s FROM %1$s WHERE %3$s AND %2$s IS NOT NULL"
                 " ON CONFLICT DO NOTHING",
                 from[i][0], from[i][1], window);
    snprintf(sql[3], sizeof(sql[3]), "DELETE FROM " IOL_PG_IO_TABLE " WHERE %s", window);
    snprintf(sql[4], sizeof(sql[4]), "DELETE FROM event WHERE %s", window);
    snprintf(sql[5], sizeof(sql[5]), "DELETE FROM total WHERE %s", window);
    int r = run_step(prune, NULL, &step, err);
    rows[IOL_TABLE_IO] += changes[3];
    rows[IOL_TABLE_EVENT] += changes[4];
    rows[IOL_TABLE_TOTAL] += changes[5];
    return r;
}

static int delete_rest_of_day(struct postgres_prune *prune, const char *before, struct iol_error *err)
{
    int r = 0;

    for (int minute = 0; minute < MINUTES_PER_DAY && r == 0; minute += MINUTES_PER_STEP) {
        char from[40], window[200];
        snprintf(from, sizeof(from), "%.*s %02d:%02d:00", DATE_LENGTH, before, minute / 60, minute % 60);
        if (strcmp(from, before) >= 0)
            break;
        iol_prune_reached_time(&prune->prune, from);
        snprintf(window, sizeof(window),
                 "ts >= '%1$s' AND ts < least(timestamptz '%1$s' + interval '%2$d min', '%3$s')", from,
                 MINUTES_PER_STEP, before);
        r = delete_piece(prune, window, err);
    }
    return r;
}

static int pg_delete_facts(struct iol_prune *base, const char *before, struct iol_error *err)
{
    struct postgres_prune *prune = (struct postgres_prune *)base;
    uint64_t changes = 0;
    int r = drop_days(prune, before, err);

    if (r == 0)
        r = delete_rest_of_day(prune, before, err);
    /* Of days on which nothing else happened; a batch that came late brings its rows of io with it. */
    if (r == 0)
        r = changef(prune, &changes, err,
                    "DELETE FROM total AS t WHERE t.ts < '%1$s' AND NOT EXISTS (SELECT 1 FROM " IOL_PG_IO_TABLE
                    " AS io WHERE io.ts = t.ts)",
                    before);
    base->result->rows[IOL_TABLE_TOTAL] += changes;
    return r;
}

static int pg_size(struct iol_prune *base, uint64_t *ret_bytes, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL, *text = NULL;
    size_t size;
    FILE *out = open_memstream(&sql, &size);

    if (!out)
        return iol_error_set(err, -ENOMEM, "out of memory");
    fputs("SELECT sum(pg_total_relation_size(oid)) FROM (SELECT inhrelid AS oid FROM pg_inherits"
          " WHERE inhparent IN ('" IOL_PG_IO_TABLE "'::regclass, 'event'::regclass)",
          out);
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        fprintf(out, " UNION SELECT '%s'::regclass::oid", iol_schema_tables[i].name);
    fputs(") tables", out);
    if (fclose(out) != 0)
        return iol_error_set(err, -ENOMEM, "out of memory");
    int r = pg_text(base, sql, &text, err);
    if (r == 0)
        *ret_bytes = text ? strtoull(text, NULL, 10) : 0;
    return r;
}

static void pg_close(struct iol_prune *base)
{
    struct postgres_prune *prune = (struct postgres_prune *)base;

    if (!prune)
        return;
    PQfinish(prune->conn);
    free(prune);
}

/* What is deleted here is found by joins that Citus has no answers to. */
static int refuse_citus(struct postgres_prune *prune, struct iol_error *err)
{
    _cleanup_free_ char *found = NULL;
    int r = pg_text(&prune->prune, "SELECT count(*) FROM pg_catalog.pg_extension WHERE extname = 'citus'", &found, err);

    if (r < 0 || !found || *found == '0')
        return r;
    iol_error_set(err, -EOPNOTSUPP, "the database %s is distributed by Citus, and prune is not for that",
                  PQdb(prune->conn));
    iol_error_hint(err, "drop days by hand, each as a whole: DROP TABLE io_20261125, event_20261125");
    return -EOPNOTSUPP;
}

static int check_ledger(struct postgres_prune *prune, struct iol_error *err)
{
    _cleanup_free_ char *locked = NULL;
    enum iol_pg_state state;
    int r = iol_pg_check(prune->conn, &state, err);

    if (r == 0 && state == IOL_PG_EMPTY) {
        iol_error_set(err, -ENOENT, "no ledger in the database %s", PQdb(prune->conn));
        iol_error_hint(err, "say with --db where it is");
        return -ENOENT;
    }
    if (r == 0 && state == IOL_PG_OLD) {
        iol_error_set(err, -EPROTONOSUPPORT, "the database %s has an older version of the schema", PQdb(prune->conn));
        iol_error_hint(err, "record into it once, which upgrades it, and prune then");
        return -EPROTONOSUPPORT;
    }
    if (r == 0)
        r = refuse_citus(prune, err);
    if (r == 0)
        r = pg_text(&prune->prune, "SELECT pg_try_advisory_lock(" SESSION_LOCK ")", &locked, err);
    if (r == 0 && (!locked || *locked != 't')) {
        iol_error_set(err, -EBUSY, "another prune is at work in the database %s", PQdb(prune->conn));
        iol_error_hint(err, "let it end");
        return -EBUSY;
    }
    return r;
}

static int pg_open(const char *url, bool verbose, struct iol_prune **ret_prune, struct iol_error *err)
{
    struct postgres_prune *prune = calloc(1, sizeof(*prune));

    if (!prune)
        return iol_error_set(err, -ENOMEM, "out of memory");
    prune->prune.ops = &iol_prune_postgres_ops;
    int r = iol_pg_connect(url, verbose, &prune->conn, err);
    if (r == 0)
        r = check_ledger(prune, err);
    if (r < 0) {
        pg_close(&prune->prune);
        return r;
    }
    *ret_prune = &prune->prune;
    return 0;
}

const struct iol_prune_ops iol_prune_postgres_ops = {
    .io = IOL_PG_IO_TABLE,
    .per_step = 1000,
    .open = pg_open,
    .execute = pg_execute,
    .text = pg_text,
    .step = pg_step,
    .delete_facts = pg_delete_facts,
    .size = pg_size,
    .close = pg_close,
};
