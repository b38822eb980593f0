// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/prune.h"

/* Two servers for all tests, shards of the cluster "both"; each test has a database of its own on both. */
static char cluster[64];
static char servers[2][128]; /* "127.0.0.1:PORT" */

struct database {
    char name[32];
    char url[256];
};

static void in_cluster(const char *command)
{
    free(shell("\"$IOL_CHCLUSTER\" %s", command));
}

/* Answer of a server to one statement. */
static char *sql_on(int server, const char *database, const char *sql)
{
    return shell("curl -sS --fail-with-body 'http://%s/?database=%s' --data-binary \"%s\"", servers[server], database,
                 sql);
}

static int start_cluster(void **state)
{
    (void)state;
    if (!getenv("IOL_CHCLUSTER")) {
        fputs("# IOL_CHCLUSTER is to hold the path of tests/db/chcluster\n", stderr);
        return -1;
    }
    strcpy(cluster, "/tmp/ioledger-ch.XXXXXX");
    if (!mkdtemp(cluster))
        return -1;
    free(shell("\"$IOL_CHCLUSTER\" start %s 2", cluster));
    for (int i = 0; i < 2; i++) {
        _cleanup_free_ char *url = shell("\"$IOL_CHCLUSTER\" url %s %d", cluster, i + 1);
        assert_int_equal(sscanf(url, "clickhouse://%127[0-9.:]/", servers[i]), 1);
    }
    return 0;
}

static int remove_cluster(void **state)
{
    char command[128];

    (void)state;
    if (!cluster[0])
        return -1;
    snprintf(command, sizeof(command), "remove %s", cluster);
    in_cluster(command);
    return 0;
}

static int make_database(void **state)
{
    static int count;
    struct database *database = calloc(1, sizeof(*database));
    char create[64];

    snprintf(database->name, sizeof(database->name), "ledger%d", ++count);
    snprintf(database->url, sizeof(database->url), "clickhouse://%s/%s", servers[0], database->name);
    snprintf(create, sizeof(create), "CREATE DATABASE %s", database->name);
    for (int i = 0; i < 2; i++)
        free(sql_on(i, "default", create));
    *state = database;
    return 0;
}

static int drop_database(void **state)
{
    free(*state);
    return 0;
}

static const char *url_in(void **state)
{
    return ((struct database *)*state)->url;
}

static const char *name_in(void **state)
{
    return ((struct database *)*state)->name;
}

static long long number_of(void **state, const char *sql)
{
    _cleanup_free_ char *text = sql_on(0, name_in(state), sql);

    return strtoll(text, NULL, 10);
}

static void record(const char *url, struct iol_batch *batch)
{
    struct iol_sink *sink = open_sink(url);

    write_batch(sink, batch);
    iol_sink_close(sink);
}

static void test_every_value(void **state)
{
    struct iol_batch *batch = hostile_batch(1);

    record(url_in(state), hostile_batch(1));
    ledger_equals(url_in(state), batch);
    iol_batch_free(batch);
}

/* In its own columns too: names of words, and times that read as such. */
static void test_columns(void **state)
{
    record(url_in(state), hostile_batch(1));
    _cleanup_free_ char *row =
        sql_on(0, name_in(state), "SELECT route, ts, ts_us, batch_seq FROM total WHERE batch_seq = 1");
    assert_string_equal(row, "mmap\t2026-11-23 08:18:06\t1795421886123456\t1\n");
    assert_int_equal(number_of(state, "SELECT count() FROM io_named"), number_of(state, "SELECT count() FROM io"));
    assert_true(number_of(state, "SELECT count() FROM audit_log WHERE type >= 3") >= 3);
}

static void test_replay(void **state)
{
    struct iol_batch *batch = hostile_batch(1);
    struct iol_sink *sink = open_sink(url_in(state));

    for (int i = 0; i < 3; i++)
        write_batch(sink, hostile_batch(1));
    iol_sink_close(sink);
    record(url_in(state), hostile_batch(1));
    ledger_equals(url_in(state), batch);
    iol_batch_free(batch);
}

/* The batch stops in the middle: what is there of it is not written again, by this session or by another one. */
static void test_half_a_batch(void **state)
{
    static const char *const tables[] = {"total", "event", "batch"};
    struct iol_batch *batch = hostile_batch(7);

    record(url_in(state), io_batch(1, 3)); /* the tables */
    for (size_t i = 0; i < IOL_ARRAY_SIZE(tables); i++) {
        struct iol_sink *sink = open_sink(url_in(state));
        struct iol_error err = {0};
        char away[64], back[64];

        snprintf(away, sizeof(away), "RENAME TABLE %s TO hidden", tables[i]);
        snprintf(back, sizeof(back), "RENAME TABLE hidden TO %s", tables[i]);
        free(sql_on(0, name_in(state), away));
        assert_true(iol_sink_write(sink, batch, &err) < 0);
        assert_non_null(strstr(err.text, "doesn't exist"));
        free(sql_on(0, name_in(state), back));
        if (i == 1) /* the same session goes on; else the next one does */
            assert_true(iol_sink_write(sink, batch, &err) == 0);
        iol_sink_close(sink);
    }
    record(url_in(state), hostile_batch(7));
    assert_int_equal(number_of(state, "SELECT count() FROM io WHERE batch_seq = 7"), batch->rows[IOL_TABLE_IO].count);
    assert_int_equal(number_of(state, "SELECT count() FROM event WHERE batch_seq = 7"),
                     batch->rows[IOL_TABLE_EVENT].count);
    assert_int_equal(number_of(state, "SELECT count() FROM total WHERE batch_seq = 7"),
                     batch->rows[IOL_TABLE_TOTAL].count);
    assert_int_equal(number_of(state, "SELECT count() FROM loss WHERE batch_seq = 7"),
                     batch->rows[IOL_TABLE_LOSS].count);
    iol_batch_free(batch);
}

static void test_group(void **state)
{
    struct iol_sink *sink = open_sink(url_in(state));

    write_group_with_replays(sink, url_in(state));
    iol_sink_close(sink);
}

#define GROUP 6

/* Each row of io is in the tables beside it, and none that is not. */
static void orders_equal_io(void **state)
{
    long long rows = number_of(state, "SELECT count() FROM io");

    assert_int_equal(number_of(state, "SELECT count() FROM (SELECT DISTINCT * FROM io_by_file)"), rows);
    assert_int_equal(number_of(state, "SELECT count() FROM io WHERE (file_id, process_id, ts_us, batch_seq) IN"
                                      " (SELECT file_id, process_id, ts_us, batch_seq FROM io_by_file)"),
                     rows);
    assert_int_equal(number_of(state,
                               "SELECT count() FROM io WHERE (intDiv(ts_us, 86400000000) * 86400000000, process_id)"
                               " NOT IN (SELECT day_us, process_id FROM process_day)"),
                     0);
}

/* Of three hosts in turn when `several`, and each with rows of two days. */
static void make_group(struct iol_batch *batches[static GROUP], int64_t first, bool several)
{
    const int64_t midnight = 20050 * INT64_C(86400) * 1000000000;

    for (int i = 0; i < GROUP; i++) {
        struct iol_batch *batch = batches[i] = io_batch(first + i, 500 + (size_t)i);
        struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
        ((struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->host_id += several ? i % 3 : 0;
        for (size_t j = 0; j < batch->rows[IOL_TABLE_IO].count; j++) {
            io[j].ts = midnight + (j % 2 ? 1 : -1);
            io[j].host_id += several ? i % 3 : 0;
        }
        struct iol_total *total = iol_batch_add(batch, IOL_TABLE_TOTAL);
        *total = (struct iol_total){.ts = midnight, .interval_ms = 1000, .host_id = io->host_id};
    }
}

static void write_all(struct iol_sink *sink, struct iol_batch *const batches[static GROUP], size_t at_once)
{
    struct iol_error err = {0};

    for (size_t done = 0; done < GROUP;) {
        size_t n = GROUP - done < at_once ? GROUP - done : at_once;
        ssize_t r = iol_sink_write_some(sink, (const struct iol_batch *const *)batches + done, n, &err);
        if (r < 1)
            fail_msg("%zd: %s", r, err.text);
        done += (size_t)r;
    }
}

/* A group stops in the middle, at each table; its batches come again, in groups of other sizes, and are there once. */
static void test_half_a_group(void **state)
{
    static const char *const tables[] = {"io_by_file", "process_day", "io", "total", "batch"};
    struct iol_error err = {0};
    int64_t first = 1;

    record(url_in(state), io_batch(1000000, 1)); /* the tables */
    for (size_t i = 0; i < IOL_ARRAY_SIZE(tables); i++) {
        for (int several = 0; several < 2; several++, first += GROUP) {
            struct iol_batch *batches[GROUP];
            struct iol_sink *sink = open_sink(url_in(state));
            char away[64], back[64];
            make_group(batches, first, several);
            snprintf(away, sizeof(away), "RENAME TABLE %s TO hidden", tables[i]);
            snprintf(back, sizeof(back), "RENAME TABLE hidden TO %s", tables[i]);
            free(sql_on(0, name_in(state), away));
            assert_true(iol_sink_write_some(sink, (const struct iol_batch *const *)batches, GROUP, &err) < 0);
            free(sql_on(0, name_in(state), back));
            write_all(sink, batches, 2 + i);
            iol_sink_close(sink);
            sink = open_sink(url_in(state)); /* another session knows of nothing */
            write_all(sink, batches, GROUP);
            iol_sink_close(sink);
            for (size_t b = 0; b < GROUP; b++) {
                char sql[128];
                snprintf(sql, sizeof(sql), "SELECT count() FROM io WHERE batch_seq = %lld",
                         (long long)first + (long long)b);
                assert_int_equal(number_of(state, sql), 500 + b);
                iol_batch_free(batches[b]);
            }
        }
    }
    orders_equal_io(state);
    assert_int_equal(number_of(state, "SELECT count() FROM total"), 2 * GROUP * IOL_ARRAY_SIZE(tables));
    assert_int_equal(number_of(state, "SELECT count() FROM (SELECT DISTINCT host_id, seq FROM batch)"),
                     1 + 2 * GROUP * IOL_ARRAY_SIZE(tables));
}

/* More rows than one piece has, over two days; the second half of it is missing. */
static void test_pieces(void **state)
{
    const size_t rows = 600000;
    struct iol_batch *batch = io_batch(2, rows);
    struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
    const int64_t midnight = 20050 * INT64_C(86400) * 1000000000;

    for (size_t i = 0; i < rows; i++)
        io[i].ts = midnight + (i % 2 ? 1 : -1);
    record(url_in(state), io_batch(1, 1));
    record(url_in(state), batch);
    assert_int_equal(number_of(state, "SELECT count() FROM io"), rows + 1);
    assert_int_equal(number_of(state, "SELECT uniq(intDiv(ts_us, 86400000000)) FROM io WHERE batch_seq = 2"), 2);
    /* The whole second day, and the batch's own row, did not arrive. */
    free(sql_on(0, name_in(state), "ALTER TABLE io DROP PARTITION 20050"));
    free(sql_on(0, name_in(state), "TRUNCATE TABLE batch"));
    batch = io_batch(2, rows);
    io = batch->rows[IOL_TABLE_IO].data;
    for (size_t i = 0; i < rows; i++)
        io[i].ts = midnight + (i % 2 ? 1 : -1);
    record(url_in(state), batch);
    assert_int_equal(number_of(state, "SELECT count() FROM io"), rows + 1);
    assert_int_equal(number_of(state, "SELECT count() FROM batch"), 1);
    orders_equal_io(state);
}

static void add_dimensions(struct iol_batch *batch, const char *name, const char *login)
{
    struct iol_host *host = iol_batch_add(batch, IOL_TABLE_HOST);
    struct iol_login *row = iol_batch_add(batch, IOL_TABLE_LOGIN);

    *host = (struct iol_host){.id = 1, .name = name};
    *row = (struct iol_login){1, 2, login};
}

static void test_once_and_latest(void **state)
{
    const char *url = url_in(state);
    struct iol_batch *first = io_batch(1, 1), *second = io_batch(2, 1);
    struct iol_batch_row *later = second->rows[IOL_TABLE_BATCH].data;

    later->ts += 1000000; /* io_batch()'s are 1 ns apart, those of a recorder by more than they have rows */
    add_dimensions(first, "old", "first");
    add_dimensions(first, "newer", "second");
    add_dimensions(second, "newest", "third");
    record(url, first);
    record(url, second);
    for (int merged = 0; merged < 2; merged++) {
        _cleanup_free_ char *names = ask_url(url, "SELECT host.name, login.name FROM host, login");
        assert_string_equal(names, "newest\x1f"
                                   "first\n");
        assert_int_equal(ask_int(url, "SELECT count(*) FROM process"), 1);
        assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 2);
        free(sql_on(0, name_in(state), "OPTIMIZE TABLE host FINAL"));
        free(sql_on(0, name_in(state), "OPTIMIZE TABLE login FINAL"));
    }
    assert_int_equal(number_of(state, "SELECT count() FROM host"), 1);
}

static void test_unknown_becomes_known(void **state)
{
    const char *url = url_in(state);
    struct iol_batch *batches[] = {io_batch(1, 1), io_batch(2, 1), io_batch(3, 1)};

    add_unknown(batches[0], 77);
    add_unknown(batches[0], 78);
    add_known(batches[0], 78, "ls");
    add_known(batches[1], 77, "cat");
    add_known(batches[2], 77, "dog");
    add_unknown(batches[2], 78);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(batches); i++)
        record(url, batches[i]);
    _cleanup_free_ char *names = ask_url(url, "SELECT comm FROM process WHERE id IN (77, 78) ORDER BY id");
    assert_string_equal(names, "cat\nls\n");
}

static void test_rejected(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batch = io_batch(1, 5000);
    struct iol_error err = {0};
    struct iol_io *io = batch->rows[IOL_TABLE_IO].data;

    io[4999].route = 99;
    assert_int_equal(iol_sink_write(sink, batch, &err), -EINVAL);
    io[4999].route = IOL_ROUTE_RW;
    io[4999].ts = IOL_NULL;
    assert_int_equal(iol_sink_write(sink, batch, &err), -EINVAL);
    assert_non_null(strstr(err.text, "null value"));
    iol_batch_free(batch);
    assert_int_equal(number_of(state, "SELECT count() FROM io"), 0);
    assert_int_equal(number_of(state, "SELECT count() FROM process"), 0);
    write_batch(sink, io_batch(1, 2));
    assert_int_equal(number_of(state, "SELECT count() FROM io"), 2);
    iol_sink_close(sink);
}

/* A server that is killed is away; what was on its way is written by the next try. */
static void test_restart(void **state)
{
    struct iol_sink *sink = open_sink(url_in(state));
    struct iol_batch *batch = io_batch(2, 1000);
    struct iol_error err = {0};
    char command[128];

    write_batch(sink, io_batch(1, 1000));
    snprintf(command, sizeof(command), "crash %s 1", cluster);
    in_cluster(command);
    assert_int_equal(iol_sink_write(sink, batch, &err), -EAGAIN);
    snprintf(command, sizeof(command), "up %s 1", cluster);
    in_cluster(command);
    assert_int_equal(iol_sink_write(sink, batch, &err), 0);
    assert_int_equal(iol_sink_write(sink, batch, &err), 0);
    iol_batch_free(batch);
    iol_sink_close(sink);
    assert_int_equal(number_of(state, "SELECT count() FROM io"), 2000);
    orders_equal_io(state);
}

/* What belongs to a host is on one shard, and all of it can be seen from both. */
static void test_shards(void **state)
{
    char url[512], from_second[512];

    snprintf(url, sizeof(url), "clickhouse://%s,%s/%s?cluster=both", servers[0], servers[1], name_in(state));
    snprintf(from_second, sizeof(from_second), "clickhouse://%s/%s?cluster=both", servers[1], name_in(state));
    for (int64_t host = 1; host <= 20; host++) {
        struct iol_batch *batch = io_batch(host, 10);
        struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
        for (size_t i = 0; i < 10; i++)
            io[i].host_id = host;
        ((struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->host_id = host;
        record(host % 2 ? url : from_second, batch);
    }
    long long first = number_of(state, "SELECT count() FROM io_local");
    _cleanup_free_ char *text = sql_on(1, name_in(state), "SELECT count() FROM io_local");
    assert_int_equal(first + atoll(text), 200);
    assert_int_equal(first % 10, 0);
    assert_in_range(first, 10, 190);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ask_int(i ? from_second : url, "SELECT count(*) FROM io"), 200);

    /* One that has not been given tables says so. */
    free(sql_on(0, "default", "CREATE DATABASE alone"));
    free(sql_on(1, "default", "CREATE DATABASE alone"));
    snprintf(url, sizeof(url), "clickhouse://%s/alone?cluster=both", servers[0]);
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};
    assert_true(iol_sink_open(url, &(struct iol_sink_options){0}, &sink, &err) < 0);
    assert_non_null(strstr(err.text, "shard"));
    assert_true(strlen(err.hint) > 0);
}

/* Days go whole, from both shards; the day of the moment stays, and so do the names. */
static void test_prune(void **state)
{
    const int64_t day_ns = INT64_C(86400) * 1000000000, moment = 20051 * day_ns + 1;
    struct iol_prune_options options = {.before = moment, .dry_run = true};
    struct iol_prune_result result;
    struct iol_error err = {0};
    char url[512], one[512];

    snprintf(url, sizeof(url), "clickhouse://%s,%s/%s?cluster=both", servers[0], servers[1], name_in(state));
    snprintf(one, sizeof(one), "clickhouse://%s/%s?cluster=both", servers[0], name_in(state));
    for (int64_t host = 1; host <= 12; host++) {
        struct iol_batch *batch = io_batch(host, 30);
        struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
        for (int64_t i = 0; i < 30; i++) {
            io[i].host_id = host;
            io[i].ts = moment - i % 3 * day_ns;
        }
        ((struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->host_id = host;
        record(url, batch);
    }
    assert_int_equal(iol_prune(url, &options, &result, &err), 0);
    assert_int_equal(result.rows[IOL_TABLE_IO], 240);
    assert_int_equal(result.days, 2);
    assert_int_equal(number_of(state, "SELECT count() FROM io"), 360);
    options.dry_run = false;
    assert_int_equal(iol_prune(one, &options, &result, &err), -ENOENT);
    assert_non_null(strstr(err.text, "days of a shard of the cluster both stay"));
    assert_in_range(number_of(state, "SELECT count() FROM io"), 121, 359);
    assert_int_equal(iol_prune(url, &options, &result, &err), 0);
    assert_int_equal(result.days, 2);
    assert_true(result.bytes_after < result.bytes_before);
    assert_int_equal(number_of(state, "SELECT count() FROM io"), 120);
    assert_int_equal(number_of(state, "SELECT countIf(ts_us < 20051 * 86400000000) FROM io_by_file"), 0);
    assert_int_equal(number_of(state, "SELECT countIf(day_us < 20051 * 86400000000) FROM process_day"), 0);
    assert_int_equal(number_of(state, "SELECT count() FROM io_by_file"), 120);
    assert_int_equal(number_of(state, "SELECT count() FROM process") > 0, 1);
    assert_int_equal(iol_prune(url, &options, &result, &err), 0);
    assert_int_equal(result.rows[IOL_TABLE_IO], 0);
    snprintf(one, sizeof(one), "clickhouse://%s/default", servers[0]);
    assert_int_equal(iol_prune(one, &options, &result, &err), -ENOENT);
    assert_non_null(strstr(err.text, "no ledger"));
}

static void test_foreign(void **state)
{
    free(sql_on(0, name_in(state), "CREATE TABLE process (name String) ENGINE = Log"));
    open_sink_fails(url_in(state), -EEXIST, "'process' that is not that of a ledger");
    open_db_fails(url_in(state), -EEXIST, "'process' that is not that of a ledger");
    assert_int_equal(number_of(state, "SELECT count() FROM system.tables WHERE database = currentDatabase()"), 1);
    free(sql_on(0, name_in(state), "DROP TABLE process"));
    open_db_fails(url_in(state), -ENOENT, "no ledger");
    record(url_in(state), io_batch(1, 1));
    free(sql_on(0, name_in(state), "DROP TABLE ioledger_schema"));
    free(sql_on(0, name_in(state), "CREATE VIEW ioledger_schema AS SELECT 99 AS version"));
    open_sink_fails(url_in(state), -EPROTONOSUPPORT, "has version 99");
    open_db_fails(url_in(state), -EPROTONOSUPPORT, "has version 99");
}

/* A schema whose making was broken off is completed. */
static void test_half_a_schema(void **state)
{
    record(url_in(state), io_batch(1, 1));
    free(sql_on(0, name_in(state), "DROP TABLE ioledger_schema"));
    free(sql_on(0, name_in(state), "DROP TABLE io_by_file"));
    record(url_in(state), io_batch(2, 5));
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM io"), 6);
}

static void test_refusals(void **state)
{
    char url[512];

    snprintf(url, sizeof(url), "clickhouse://%s/no_such_database", servers[0]);
    open_sink_fails(url, -EACCES, "no_such_database");
    open_sink_fails("clickhouse://127.0.0.1:1/x", -EAGAIN, "127.0.0.1:1");
    open_db_fails("clickhouse://127.0.0.1:1/x", -EAGAIN, "127.0.0.1:1");
    open_sink_fails("clickhouse:x", -EINVAL, "no ClickHouse URL");
    open_sink_fails("clickhouse://", -EINVAL, "no ClickHouse URL");
    open_sink_fails("clickhouse://h/a-b", -EINVAL, "a-b");
    open_sink_fails("clickhouse://h/d?nonsense=1", -EINVAL, "nonsense");
    open_sink_fails("clickhouse://h/d?keep=soon", -EINVAL, "keep=soon");
    snprintf(url, sizeof(url), "%s?keep=30d", url_in(state));
    open_sink_fails(url, -EPROTONOSUPPORT, "TTL");
    struct iol_db *db = NULL;
    struct iol_error ttl = {0};
    assert_int_equal(iol_db_open(url, false, &db, &ttl), -EPROTONOSUPPORT);
    assert_non_null(strstr(ttl.hint, "prune --keep"));
    snprintf(url, sizeof(url), "clickhouse://reader@%s/%s", servers[0], name_in(state));
    open_sink_fails(url, -EACCES, "readonly");
    record(url_in(state), io_batch(1, 4));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 4); /* who may only read can ask */
    /* The native protocol's port is not that of HTTP. */
    _cleanup_free_ char *tcp = shell("cut -d' ' -f2 %s/1/ports", cluster);
    snprintf(url, sizeof(url), "clickhouse://127.0.0.1:%d/x", atoi(tcp));
    struct iol_error err = {0};
    struct iol_sink *sink = NULL;
    assert_true(iol_sink_open(url, &(struct iol_sink_options){0}, &sink, &err) < 0);
    assert_true(strlen(err.hint) > 0);
}

static void keeps_secret(const char *url, int code)
{
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    assert_int_equal(iol_sink_open(url, &(struct iol_sink_options){0}, &sink, &err), code);
    if (strstr(err.text, "Gehe") || strstr(err.hint, "Gehe") || strstr(err.text, "im-nis"))
        fail_msg("the password is shown: %s (%s)", err.text, err.hint);
}

static void test_passwords(void **state)
{
    const char *name = name_in(state);
    char url[256];

    snprintf(url, sizeof(url), "clickhouse://keeper:Geheim-nis@%s/%s", servers[0], name);
    open_sink_fails(url, -EACCES, "assword");
    keeps_secret(url, -EACCES);
    keeps_secret("clickhouse://keeper:Gehe/im-nis@host.invalid/x", -EINVAL);
    keeps_secret("clickhouse://keeper:Gehe%zzim-nis@host.invalid/x", -EINVAL);
    snprintf(url, sizeof(url), "clickhouse://keeper:s3cret%%2F%%40x@%s/%s", servers[0], name);
    record(url, io_batch(1, 1));
    setenv("CLICKHOUSE_PASSWORD", "s3cret/@x", 1);
    snprintf(url, sizeof(url), "clickhouse://keeper@%s/%s", servers[0], name);
    record(url, io_batch(2, 1));
    setenv("CLICKHOUSE_USER", "keeper", 1);
    snprintf(url, sizeof(url), "clickhouse://%s/%s", servers[0], name);
    record(url, io_batch(3, 1));
    unsetenv("CLICKHOUSE_USER");
    unsetenv("CLICKHOUSE_PASSWORD");
    assert_int_equal(number_of(state, "SELECT count() FROM io"), 3);
}

static void test_server_pid(void **state)
{
    struct iol_sink *sink = open_sink(url_in(state));
    _cleanup_free_ char *pid = shell("\"$IOL_CHCLUSTER\" pid %s 1", cluster);

    assert_int_equal(iol_sink_server_pid(sink), geteuid() == 0 ? atoi(pid) : iol_sink_server_pid(sink));
    iol_sink_close(sink);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_database, drop_database)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_value),  TEST(test_columns),         TEST(test_replay),
        TEST(test_half_a_batch), TEST(test_group),           TEST(test_half_a_group),
        TEST(test_pieces),       TEST(test_once_and_latest), TEST(test_unknown_becomes_known),
        TEST(test_rejected),     TEST(test_restart),         TEST(test_shards),
        TEST(test_prune),        TEST(test_foreign),         TEST(test_half_a_schema),
        TEST(test_refusals),     TEST(test_passwords),       TEST(test_server_pid),
    };

    if (system("\"$IOL_CHCLUSTER\" url /tmp 2>/dev/null >&2") == 77 << 8) {
        puts("1..0 # SKIP no ClickHouse server is installed");
        return 0;
    }
    return cmocka_run_group_tests_name("clickhouse", tests, start_cluster, remove_cluster);
}
