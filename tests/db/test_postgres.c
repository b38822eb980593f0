// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/schema.h"
#include "store/url.h"
#include "store/writer.h"

/* One server for all tests; each test has a database of its own. */
static char cluster[64];

struct database {
    char name[32];
    char url[256];
};

static void in_cluster(const char *command)
{
    free(shell("\"$IOL_PGCLUSTER\" %s %s", command, cluster));
}

static void url_of(char *buf, size_t size, const char *name)
{
    snprintf(buf, size, "postgresql://postgres@/%s?host=%s", name, cluster);
}

static char *psql(const char *url, const char *sql)
{
    return shell("psql -X -q -At -v ON_ERROR_STOP=1 '%s' -c \"%s\"", url, sql);
}

static int start_cluster(void **state)
{
    (void)state;
    if (!getenv("IOL_PGCLUSTER")) {
        fputs("# IOL_PGCLUSTER is to hold the path of tests/db/pgcluster\n", stderr);
        return -1;
    }
    strcpy(cluster, "/tmp/ioledger-pg.XXXXXX");
    if (!mkdtemp(cluster))
        return -1;
    in_cluster("start");
    return 0;
}

static int remove_cluster(void **state)
{
    (void)state;
    if (!cluster[0])
        return -1;
    in_cluster("crash");
    free(shell("umount %s/small 2>/dev/null || true", cluster)); /* left by a test that failed */
    in_cluster("remove");
    return 0;
}

static int make_database(void **state)
{
    static int count;
    struct database *database = calloc(1, sizeof(*database));

    snprintf(database->name, sizeof(database->name), "ledger%d", ++count);
    url_of(database->url, sizeof(database->url), database->name);
    in_cluster("start");
    free(shell("createdb -h %s -U postgres %s", cluster, database->name));
    *state = database;
    return 0;
}

/* In the layout for Citus, but on this server, which is without: its calls are left out. */
static int make_database_by_host(void **state)
{
    int r = make_database(state);
    const struct database *database = *state;
    _cleanup_free_ char *command = NULL;

    if (r < 0 || asprintf(&command, "psql -X -q -v ON_ERROR_STOP=1 -1 '%s' >/dev/null", database->url) < 0)
        return -1;
    FILE *pipe = popen(command, "we");
    if (!pipe || iol_schema_print_citus(pipe, false) < 0 || pclose(pipe) != 0)
        return -1;
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

static void record(const char *url, struct iol_batch *batch)
{
    struct iol_sink *sink = open_sink(url);

    write_batch(sink, batch);
    iol_sink_close(sink);
}

/* Waits until a question gets an answer other than 0. */
static void wait_for(const char *url, const char *sql)
{
    for (int i = 0; i < 3000; i++) {
        _cleanup_free_ char *answer = psql(url, sql);
        if (atoi(answer) > 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    fail_msg("never true: %s", sql);
}

static const char no_recorder[] = "SELECT CASE WHEN count(*) = 0 THEN 1 ELSE 0 END FROM pg_stat_activity "
                                  "WHERE application_name = 'ioledger'";

static void test_every_value(void **state)
{
    const char *url = url_in(state);
    struct iol_batch *batch = hostile_batch(1);

    record(url, hostile_batch(1));
    ledger_equals(url, batch);
    iol_batch_free(batch);
    for (size_t i = 0; i < n_hostile_texts; i++) {
        char expected[1024] = "", query[1200];
        for (const char *c = hostile_texts[i]; *c; c++)
            sprintf(expected + strlen(expected), "%02x", (unsigned char)*c);
        snprintf(query, sizeof(query), "SELECT count(*) FROM file WHERE encode(convert_to(path, 'UTF8'), 'hex') = '%s'",
                 expected);
        _cleanup_free_ char *count = psql(url, query);
        assert_true(atoi(count) >= 2);
    }
}

/* The same questions have the same answers, to the byte, whatever the database. */
static void test_same_as_sqlite(void **state)
{
    static const char *const questions[] = {
        "SELECT * FROM io_named ORDER BY file_id",
        "SELECT * FROM audit_log ORDER BY pid, type, timestamp",
        "SELECT * FROM process ORDER BY id",
        "SELECT path FROM file ORDER BY path, id",
        "SELECT sum(write_ops), min(ts), max(last_ts), count(*) > 1 FROM io",
        "SELECT kind, count(*) FROM event GROUP BY kind ORDER BY 2, CAST(kind AS text)",
    };
    char sqlite[] = "sqlite:/tmp/ioledger-same.XXXXXX";
    int fd = mkstemp(strchr(sqlite, '/'));

    assert_true(fd >= 0);
    close(fd);
    record(url_in(state), hostile_batch(1));
    record(sqlite, hostile_batch(1));
    for (size_t i = 0; i < IOL_ARRAY_SIZE(questions); i++) {
        _cleanup_free_ char *ours = ask_url(url_in(state), questions[i]);
        _cleanup_free_ char *theirs = ask_url(sqlite, questions[i]);
        assert_true(strlen(ours) > 10);
        assert_string_equal(ours, theirs);
    }
    assert_int_equal(unlink(strchr(sqlite, '/')), 0);
}

static void test_replay(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batch = hostile_batch(1);

    for (int i = 0; i < 3; i++)
        write_batch(sink, hostile_batch(1));
    iol_sink_close(sink);
    record(url, hostile_batch(1));
    ledger_equals(url, batch);
    iol_batch_free(batch);
}

static void add_dimensions(struct iol_batch *batch, const char *name, const char *login)
{
    struct iol_host *host = iol_batch_add(batch, IOL_TABLE_HOST);
    struct iol_login *row = iol_batch_add(batch, IOL_TABLE_LOGIN);

    *host = (struct iol_host){.id = 1, .name = name};
    *row = (struct iol_login){1, 2, login};
}

/* Several batches in one transaction. */
static void test_group(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batches[] = {io_batch(11, 10), io_batch(12, 10), io_batch(13, 10)};
    struct iol_error err = {0};

    write_group_with_replays(sink, url);
    ((struct iol_io *)batches[1]->rows[IOL_TABLE_IO].data)->route = 99;
    assert_int_equal(iol_sink_write_some(sink, (const struct iol_batch *const *)batches, 3, &err), -EINVAL);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 90);
    ((struct iol_io *)batches[1]->rows[IOL_TABLE_IO].data)->route = IOL_ROUTE_RW;
    assert_int_equal(iol_sink_write_some(sink, (const struct iol_batch *const *)batches, 3, &err), 3);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 120);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(batches); i++)
        iol_batch_free(batches[i]);
    iol_sink_close(sink);
}

static void test_once_and_latest(void **state)
{
    const char *url = url_in(state);
    struct iol_batch *first = io_batch(1, 1), *second = io_batch(2, 1);

    add_dimensions(first, "old", "first");
    add_dimensions(first, "newer", "second");
    add_dimensions(second, "newest", "third");
    record(url, first);
    record(url, second);
    _cleanup_free_ char *names = ask_url(url, "SELECT host.name, login.name FROM host, login");
    assert_string_equal(names, "newest\x1f"
                               "first\n");
    assert_int_equal(ask_int(url, "SELECT count(*) FROM process"), 1);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 2);
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
    assert_int_equal(ask_int(url, "SELECT (SELECT count(*) FROM io) + (SELECT count(*) FROM batch)"), 0);
    write_batch(sink, io_batch(1, 2));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 2);
    iol_sink_close(sink);
}

/* Moves the facts of a batch to another time. */
static struct iol_batch *batch_at(int64_t seq, size_t rows, int64_t ns)
{
    struct iol_batch *batch = io_batch(seq, rows);
    struct iol_io *io = batch->rows[IOL_TABLE_IO].data;

    for (size_t i = 0; i < rows; i++)
        io[i].ts = ns;
    return batch;
}

#define DAY_NS (INT64_C(86400) * 1000000000)
#define DAY_0 (20050 * DAY_NS) /* 2024-11-23 */

/* A day of its own for each day that a batch has, whatever the order: clocks are set, and batches come late. */
static void test_days(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);

    write_batch(sink, batch_at(1, 3, DAY_0));
    _cleanup_free_ char *ahead = psql(
        url, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relispartition AND relkind = 'r'");
    assert_string_equal(ahead, "event_20241123 event_20241124 io_20241123 io_20241124\n");
    write_batch(sink, batch_at(2, 3, DAY_0 + DAY_NS - 1));
    write_batch(sink, batch_at(3, 3, DAY_0 + DAY_NS));
    write_batch(sink, batch_at(4, 3, DAY_0 - 10 * DAY_NS));
    write_batch(sink, batch_at(5, 3, 0));
    write_batch(sink, batch_at(6, 3, -1));
    for (int i = 0; i < 40; i++) /* more days than a session remembers, twice */
        write_batch(sink, batch_at(7 + i, 1, DAY_0 + (100 + i % 20) * DAY_NS));
    iol_sink_close(sink);
    _cleanup_free_ char *counts =
        psql(url, "SELECT (SELECT count(*) FROM io_20241123), (SELECT count(*) FROM io_20241124), "
                  "(SELECT count(*) FROM io_20241113), (SELECT count(*) FROM io_19700101), "
                  "(SELECT count(*) FROM io_19691231), (SELECT count(*) FROM io)");
    assert_string_equal(counts, "6|3|3|3|3|58\n");
}

/* A day that was dropped behind the recorder's back is made again. */
static void test_dropped_day(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);

    write_batch(sink, batch_at(1, 3, DAY_0));
    free(psql(url, "DROP TABLE io_20241123"));
    write_batch(sink, batch_at(2, 4, DAY_0));
    iol_sink_close(sink);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 4);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM batch"), 2);
}

static struct iol_batch *named_batch(int64_t seq, int64_t process, int64_t file)
{
    struct iol_batch *batch = iol_batch_new();
    struct iol_file *row = iol_batch_add(batch, IOL_TABLE_FILE);

    *row = (struct iol_file){.id = file, .host_id = HOST_ID, .path = "/f"};
    add_known(batch, process, "p");
    seal(batch, seq);
    return batch;
}

/* What a session has stored it does not send again; what was rolled back, or another session stored, it does. */
static void test_known_rows(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *bad = named_batch(2, 11, 12);
    struct iol_io *io = iol_batch_add(bad, IOL_TABLE_IO);
    struct iol_error err = {0};

    write_batch(sink, named_batch(1, 1, 2));
    free(psql(url, "DELETE FROM file; DELETE FROM process"));
    write_batch(sink, named_batch(3, 1, 2));
    assert_int_equal(ask_int(url, "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM process)"), 0);
    io->ts = IOL_NULL;
    assert_int_equal(iol_sink_write(sink, bad, &err), -EINVAL);
    iol_batch_free(bad);
    write_batch(sink, named_batch(4, 11, 12));
    assert_int_equal(ask_int(url, "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM process)"), 2);
    iol_sink_close(sink);
    record(url, named_batch(5, 1, 2));
    assert_int_equal(ask_int(url, "SELECT (SELECT count(*) FROM file) + (SELECT count(*) FROM process)"), 4);
}

/* A row that is there is not written again, by the same session nor by the next one: vacuum has nothing to do. */
static void test_nothing_is_updated(void **state)
{
    const char *url = url_in(state);

    for (int session = 0; session < 2; session++) {
        struct iol_sink *sink = open_sink(url);
        for (int i = 0; i < 4; i++)
            write_batch(sink, batch_at(4 * session + i + 1, 10, DAY_0));
        iol_sink_close(sink);
    }
    wait_for(url, "SELECT CASE WHEN sum(n_tup_ins) = 80 THEN 1 ELSE 0 END FROM pg_stat_user_tables"
                  " WHERE relname LIKE 'io\\_2%'");
    assert_int_equal(
        ask_int(url, "SELECT sum(n_tup_upd + n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'public'"), 0);
}

struct recorder {
    const char *url;
    int first, count, step;
    size_t rows;
    pthread_barrier_t *barrier;
    int failed;
};

/* A recorder as a thread: no cmocka in it, which longjmp()s out of a failed assertion. */
static void *run_recorder(void *arg)
{
    struct recorder *recorder = arg;
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    pthread_barrier_wait(recorder->barrier);
    int r = iol_sink_open(recorder->url, &options, &sink, &err);
    for (int i = 0; i < recorder->count && r == 0; i++) {
        /* All of them come to a new day at the same time. */
        struct iol_batch *batch =
            batch_at(recorder->first + i * recorder->step, recorder->rows, DAY_0 + i / 5 * 7 * DAY_NS);
        do
            r = iol_sink_write(sink, batch, &err);
        while (r == -EAGAIN);
        iol_batch_free(batch);
    }
    if (r < 0)
        fprintf(stderr, "# recorder %d: %s\n", recorder->first, err.text);
    recorder->failed = r;
    iol_sink_close(sink);
    return NULL;
}

static void test_recorders_at_once(void **state)
{
    enum { N = 4, BATCHES = 25, ROWS = 300 };
    struct recorder recorders[N];
    pthread_t threads[N];
    pthread_barrier_t barrier;

    pthread_barrier_init(&barrier, NULL, N);
    for (int i = 0; i < N; i++) {
        recorders[i] = (struct recorder){url_in(state), i + 1, BATCHES, N, ROWS, &barrier, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, run_recorder, &recorders[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(recorders[i].failed, 0);
    }
    pthread_barrier_destroy(&barrier);
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM io"), N * BATCHES * ROWS);
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM process"), ROWS);
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM file"), ROWS);
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM batch"), N * BATCHES);
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM ioledger_schema"), 1);
}

/* The server goes away in the middle, twice in order and once as in a power cut, and every batch arrives once. */
static void test_restarts(void **state)
{
    enum { BATCHES = 120, ROWS = 500 };
    const char *url = url_in(state);
    const struct iol_writer_options options = {.max_bytes = 1 << 30, .give_up_after_ms = 60000};
    struct iol_sink *sink = open_sink(url);
    struct iol_writer *writer = NULL;
    struct iol_writer_stats stats;
    struct iol_error err = {0};
    uint64_t unwritten = 0;

    assert_int_equal(iol_writer_new(sink, &options, &writer), 0);
    for (int i = 1; i <= BATCHES; i++) {
        iol_writer_put(writer, io_batch(i, ROWS));
        if (i % 30 == 0) {
            in_cluster(i == 60 ? "crash" : "stop");
            /* Only when it has seen the server away does the test test anything. */
            do
                iol_writer_get_stats(writer, &stats);
            while (!stats.down && sched_yield() == 0);
            assert_true(stats.queued > 0);
            assert_string_not_equal(stats.last_error, "");
            in_cluster("start");
        }
    }
    if (iol_writer_finish(writer, NULL, &unwritten, &err) != 0)
        fail_msg("%s", err.text);
    iol_writer_get_stats(writer, &stats);
    assert_int_equal(unwritten, 0);
    assert_int_equal(stats.batches, BATCHES);
    assert_int_equal(stats.rejected, 0);
    assert_true(stats.retries >= 4);
    iol_writer_free(writer);
    iol_sink_close(sink);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), BATCHES * ROWS);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM batch"), BATCHES);
}

static void test_terminated_backend(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batch = io_batch(1, 2000);
    struct iol_error err = {0};
    int r;

    free(psql(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ioledger'"));
    wait_for(url, no_recorder);
    while ((r = iol_sink_write(sink, batch, &err)) == -EAGAIN)
        assert_string_not_equal(err.text, "");
    assert_int_equal(r, 0);
    iol_batch_free(batch);
    iol_sink_close(sink);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 2000);
}

/* A table that somebody locks for good: two signals to end must be enough. */
static void test_hanging_server(void **state)
{
    const char *url = url_in(state);
    const struct iol_writer_options options = {.max_bytes = 1 << 20, .give_up_after_ms = -1};
    static volatile bool interrupted = true;
    struct iol_sink *sink = open_sink(url);
    struct iol_writer *writer = NULL;
    struct iol_error err = {0};
    uint64_t unwritten = 0;
    char command[512];

    snprintf(command, sizeof(command), "psql -X -q '%s'", url);
    FILE *locker = popen(command, "we");
    fprintf(locker, "BEGIN; LOCK TABLE io IN ACCESS EXCLUSIVE MODE;\n");
    fflush(locker);
    wait_for(url, "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' "
                  "AND relation = 'io'::regclass");
    assert_int_equal(iol_writer_new(sink, &options, &writer), 0);
    iol_writer_put(writer, io_batch(1, 10));
    wait_for(url, "SELECT count(*) FROM pg_locks WHERE NOT granted");
    assert_int_equal(iol_writer_finish(writer, &interrupted, &unwritten, &err), -EAGAIN);
    assert_int_equal(unwritten, 31);
    iol_writer_free(writer);
    iol_sink_close(sink);
    pclose(locker);
    wait_for(url, no_recorder);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 0);
}

static void test_foreign(void **state)
{
    const char *url = url_in(state);

    free(psql(url, "CREATE TABLE process (name text); CREATE SCHEMA ledger"));
    open_sink_fails(url, -EEXIST, "'process' that belongs to another program");
    open_db_fails(url, -EEXIST, "'process' that belongs to another program");
    _cleanup_free_ char *tables = psql(url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    assert_string_equal(tables, "1\n");
    /* The way out that the hint tells. */
    char own[320];
    snprintf(own, sizeof(own), "%s&options=-csearch_path%%3Dledger", url);
    record(own, io_batch(1, 3));
    assert_int_equal(ask_int(own, "SELECT count(*) FROM io"), 3);

    snprintf(own, sizeof(own), "%s&options=-csearch_path%%3Dnowhere", url);
    open_sink_fails(own, -ENOENT, "search_path");
}

/* io is a view, and takes what a table would. */
static void test_io_by_hand(void **state)
{
    const char *url = url_in(state);
    struct iol_batch *batch = hostile_batch(1);

    record(url, hostile_batch(1));
    free(psql(url, "CREATE TABLE kept AS SELECT * FROM io; DELETE FROM io"));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 0);
    free(psql(url, "INSERT INTO io SELECT * FROM kept"));
    ledger_equals(url, batch);
    free(shell("psql -X -q '%s' -c 'COPY kept TO STDOUT' >%s/kept", url, cluster));
    free(shell("psql -X -q -v ON_ERROR_STOP=1 '%s' -c 'DELETE FROM io; DROP TABLE kept' -c '\\copy io FROM %s/kept'",
               url, cluster));
    ledger_equals(url, batch);
    free(psql(url, "UPDATE io SET read_errors = 12345, route = 'splice', last_ts = ts"));
    assert_int_equal(
        ask_int(url, "SELECT count(*) FROM io WHERE read_errors = 12345 AND route = 'splice' AND last_ts = ts"),
        ask_int(url, "SELECT count(*) FROM io"));
    iol_batch_free(batch);
}

/* A ledger of version 2 is read as it is, and becomes one of this version with the same rows when it is recorded to. */
static void test_upgrade(void **state)
{
    static const char rows[] = "SELECT * FROM io WHERE host_id = 1 ORDER BY process_id",
                      log[] = "SELECT * FROM audit_log";
    const char *url = url_in(state);

    free(shell("psql -X -q -v ON_ERROR_STOP=1 '%s' -f \"$(dirname \"$IOL_PGCLUSTER\")/schema_2.postgresql.sql\" -f "
               "\"$(dirname \"$IOL_PGCLUSTER\")/rows_2.sql\"",
               url));
    _cleanup_free_ char *before = ask_url(url, rows), *log_before = ask_url(url, log);
    assert_true(strlen(before) > 100);
    record(url, io_batch(1, 10));
    _cleanup_free_ char *after = ask_url(url, rows), *log_after = ask_url(url, log);
    assert_string_equal(after, before);
    assert_true(strlen(log_after) > strlen(log_before));
    assert_int_equal(ask_int(url, "SELECT max(version) FROM ioledger_schema"), 4);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io WHERE host_id <> 1"), 10);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM pg_class WHERE relname ~ '^io_2_'"), 0);
    _cleanup_free_ char *partitions =
        psql(url, "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^io_[0-9]{8}$'");
    assert_non_null(strstr(partitions, "io_20260101 io_20260102"));
}

/* In version 3 a process had no pid of its namespace. */
static void test_upgrade_of_3(void **state)
{
    const char *url = url_in(state);

    record(url, io_batch(1, 10));
    free(psql(url, "ALTER TABLE process DROP COLUMN ns_pid; UPDATE ioledger_schema SET version = 3"));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 10);
    record(url, io_batch(2, 10));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 20);
    assert_int_equal(ask_int(url, "SELECT count(ns_pid) FROM process"), 0);
    assert_int_equal(ask_int(url, "SELECT max(version) FROM ioledger_schema"), 4);
}

static void test_foreign_type_and_version(void **state)
{
    const char *url = url_in(state);

    free(psql(url, "CREATE TYPE file_kind AS ENUM ('a')"));
    open_sink_fails(url, -EEXIST, "file_kind");
    free(psql(url, "DROP TYPE file_kind; CREATE TABLE ioledger_schema (other text)"));
    open_sink_fails(url, -EEXIST, "ioledger_schema");
    free(psql(url, "DROP TABLE ioledger_schema"));
    record(url, io_batch(1, 1));
    free(psql(url, "ALTER TABLE loss DROP COLUMN lost"));
    open_sink_fails(url, -EBADMSG, "not those of a ledger");
    free(psql(url, "UPDATE ioledger_schema SET version = 5"));
    open_sink_fails(url, -EPROTONOSUPPORT, "up to version 4");
    open_db_fails(url, -EPROTONOSUPPORT, "up to version 4");
    free(psql(url, "UPDATE ioledger_schema SET version = 1"));
    open_sink_fails(url, -EPROTONOSUPPORT, "has version 1");
    open_db_fails(url, -EPROTONOSUPPORT, "has version 1");
}

static void test_no_ledger(void **state)
{
    open_db_fails(url_in(state), -ENOENT, "no ledger");
    _cleanup_free_ char *tables = psql(url_in(state), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'");
    assert_string_equal(tables, "0\n");
}

static void test_refusals(void **state)
{
    char url[256];

    free(shell("createdb -h %s -U postgres -E LATIN1 --locale=C -T template0 latin", cluster));
    url_of(url, sizeof(url), "latin");
    open_sink_fails(url, -EINVAL, "LATIN1");
    url_of(url, sizeof(url), "no_such_database");
    open_sink_fails(url, -EACCES, "no_such_database");
    open_sink_fails("postgresql://postgres@/x?host=/nonexistent", -EAGAIN, "No such file");
    open_sink_fails("postgresql://postgres@127.0.0.1:1/x", -EAGAIN, "refused");
    open_db_fails("postgres://postgres@127.0.0.1:1/x", -EAGAIN, "refused");
    open_sink_fails("postgresql:", -EINVAL, "no PostgreSQL URL");
    open_sink_fails("postgresql://h/d?nonsense=1", -EINVAL, "no PostgreSQL URL");

    free(psql(url_in(state), "CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC"));
    snprintf(url, sizeof(url), "postgresql://guest@/%s?host=%s", ((struct database *)*state)->name, cluster);
    open_sink_fails(url, -EACCES, "permission denied");
}

static void keeps_secret(const char *url, int code)
{
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    assert_int_equal(iol_sink_open(url, &options, &sink, &err), code);
    if (strstr(err.text, "Gehe") || strstr(err.hint, "Gehe") || strstr(err.text, "im-nis"))
        fail_msg("the password is shown: %s (%s)", err.text, err.hint);
}

static void test_passwords(void **state)
{
    const char *name = ((struct database *)*state)->name;
    char url[256];

    free(psql(url_in(state), "CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'right@one'"));
    free(shell("sed -i '1i local all keeper scram-sha-256' %s/data/pg_hba.conf", cluster));
    free(psql(url_in(state), "SELECT pg_reload_conf()"));
    wait_for(url_in(state), "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'");

    snprintf(url, sizeof(url), "postgresql://keeper:Geheim-nis@/%s?host=%s", name, cluster);
    /* The reload is a signal: until it has come through, anyone is let in. */
    const struct iol_sink_options options = {0};
    for (int i = 0; i < 500; i++) {
        struct iol_sink *sink = NULL;
        if (iol_sink_open(url, &options, &sink, NULL) < 0)
            break;
        iol_sink_close(sink);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    open_sink_fails(url, -EACCES, "password authentication failed");
    keeps_secret(url, -EACCES);
    keeps_secret("postgresql://keeper:Gehe@im-nis@host.invalid/x", -EINVAL);
    keeps_secret("postgresql://keeper:Gehe/im-nis@host.invalid/x", -EINVAL);
    keeps_secret("postgresql://keeper:Gehe%zzim-nis@host.invalid/x", -EINVAL);
    keeps_secret("postgresql://host.invalid/x?password=Geheim-nis&nonsense=1", -EINVAL);

    snprintf(url, sizeof(url), "postgresql://keeper:right%%40one@/%s?host=%s", name, cluster);
    record(url, io_batch(1, 1));
    snprintf(url, sizeof(url), "postgresql://keeper@/%s?host=%s", name, cluster);
    setenv("PGPASSWORD", "right@one", 1);
    record(url, io_batch(2, 1));
    setenv("PGPASSWORD", "Geheim-nis", 1);
    keeps_secret(url, -EACCES);
    unsetenv("PGPASSWORD");
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM io"), 2);
}

static void test_shown_urls(void **state)
{
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"sqlite:/var/lib/x:y@z.db", "sqlite:/var/lib/x:y@z.db"},
        {"postgresql://u@h/d", "postgresql://u@h/d"},
        {"postgresql://u:secret@h:5432/d", "postgresql://u:***@h:5432/d"},
        {"postgresql://u:se@cr/et@h/d?host=/x", "postgresql://u:***@h/d?host=/x"},
        {"postgresql://u:se?cret@h/d", "postgresql://u:***@h/d"},
        {"postgresql://h/d?password=secret&sslmode=require", "postgresql://h/d?password=***&sslmode=require"},
        {"postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=***"},
        {"postgresql://h:5432,i:5433/d", "postgresql://h:5432,i:5433/d"},
    };
    char shown[128], cut[8];

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(cases); i++)
        assert_string_equal(iol_url_redact(shown, sizeof(shown), cases[i].url), cases[i].shown);
    assert_string_equal(iol_url_redact(cut, sizeof(cut), "postgresql://"), "postgre");
}

/* A tablespace on a disk that fills up: the batch that found no room is stored when there is some. */
static void test_full_disk(void **state)
{
    enum { ROWS = 2000 };
    struct iol_error err = {0};
    char url[256], mounted[128];
    int64_t seq = 0;
    int r = 0;

    snprintf(mounted, sizeof(mounted), "%s/small", cluster);
    if (geteuid() != 0 || mkdir(mounted, 0755) < 0 || mount("tmpfs", mounted, "tmpfs", 0, "size=24m") < 0)
        skip();
    free(shell("chown postgres: %s", mounted));
    snprintf(url, sizeof(url), "CREATE TABLESPACE small LOCATION '%s'", mounted);
    free(psql(url_in(state), url));
    free(psql(url_in(state), "CREATE DATABASE small TABLESPACE small"));
    /* The server wants the folder empty at first. */
    free(shell("head -c 6000000 /dev/zero > %s/filler", mounted));
    url_of(url, sizeof(url), "small");
    struct iol_sink *sink = open_sink(url);
    while (r == 0 && seq < 1000) {
        struct iol_batch *batch = io_batch(++seq, ROWS);
        r = iol_sink_write(sink, batch, &err);
        iol_batch_free(batch);
    }
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err.text, "no space"));
    /* Not asked before there is room: even a reader may have to write somebody's page to get one. */
    free(shell("rm %s/filler", mounted));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), (seq - 1) * ROWS);
    write_batch(sink, io_batch(seq, ROWS));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), seq * ROWS);
    iol_sink_close(sink);
    in_cluster("crash");
    assert_int_equal(umount(mounted), 0);
}

static void test_server_pid(void **state)
{
    struct iol_sink *sink = open_sink(url_in(state));
    _cleanup_free_ char *pid = shell("head -n 1 %s/data/postmaster.pid", cluster);

    assert_int_equal(iol_sink_server_pid(sink), atoi(pid));
    iol_sink_close(sink);
}

static void uses_index(struct iol_db *db, const char *sql, const char *index)
{
    const char *const params[] = {"/data/", "/data0"};
    char explain[512];
    struct iol_query *query = NULL;
    struct iol_error err = {0};
    bool found = false;

    snprintf(explain, sizeof(explain), "EXPLAIN %s", sql);
    if (iol_query_new(db, explain, strstr(sql, "$2") ? 2 : 1, params, &query, &err) < 0)
        fail_msg("%s: %s", sql, err.text);
    while (iol_query_next(query, &err) == 1)
        found = found || strstr(iol_query_text(query, 0), index);
    iol_query_free(query);
    if (!found)
        fail_msg("%s does not use %s", sql, index);
}

static void test_indexes(void **state)
{
    const char *url = url_in(state);

    record(url, io_batch(1, 20000));
    free(psql(url,
              "INSERT INTO file SELECT i, 1, 1, 1, 1, 'file', '/usr/share/' || i FROM generate_series(30000, 60000) i; "
              "ANALYZE"));
    struct iol_db *db = open_db(url);
    uses_index(db, "SELECT * FROM file WHERE path = $1", "file_path");
    uses_index(db, "SELECT * FROM io WHERE file_id = CAST(length($1) AS bigint)", "_file_id_idx");
    uses_index(db, "SELECT * FROM io WHERE process_id = CAST(length($1) AS bigint)", "_process_id_idx");
    uses_index(db, "SELECT * FROM process WHERE parent_id = CAST(length($1) AS bigint)", "process_parent_id");
    iol_db_close(db);
    free(psql(url, "DELETE FROM file WHERE id > 100 AND id < 30000; ANALYZE"));
    db = open_db(url);
    uses_index(db, "SELECT * FROM file WHERE path >= $1 AND path < $2", "file_path");
    iol_db_close(db);
}

/* A query within another one's rows, one that fails between, and one that is left early. */
static void test_queries(void **state)
{
    struct iol_query *outer = NULL, *inner = NULL, *early = NULL, *wrong = NULL;
    struct iol_error err = {0};
    long long sum = 0;
    int rows = 0, r;

    record(url_in(state), io_batch(1, 1000));
    struct iol_db *db = open_db(url_in(state));
    assert_int_equal(iol_db_dialect(db), IOL_DIALECT_POSTGRESQL);
    assert_int_equal(iol_query_new(db, "SELECT id FROM process ORDER BY id", 0, NULL, &outer, &err), 0);
    assert_int_equal(iol_query_columns(outer), 1);
    assert_string_equal(iol_query_name(outer, 0), "id");
    while ((r = iol_query_next(outer, &err)) == 1) {
        const char *const params[] = {iol_query_text(outer, 0)};
        assert_int_equal(iol_query_new(db, "SELECT path, id FROM file WHERE id = $1", 1, params, &inner, &err), 0);
        assert_int_equal(iol_query_next(inner, &err), 1);
        sum += iol_query_int(inner, 1);
        assert_int_equal(iol_query_next(inner, &err), 0);
        assert_int_equal(iol_query_next(inner, &err), 0);
        iol_query_free(inner);
        if (rows++ == 500) {
            assert_int_equal(iol_query_new(db, "SELECT nothing FROM io", 0, NULL, &wrong, &err), -EINVAL);
            assert_non_null(strstr(err.text, "nothing"));
            assert_int_equal(iol_query_new(db, "DELETE FROM io", 0, NULL, &wrong, &err), -EAGAIN);
            assert_int_equal(iol_query_new(db, "SELECT * FROM io", 0, NULL, &early, &err), 0);
            assert_int_equal(iol_query_next(early, &err), 1);
        }
        if (rows == 600)
            iol_query_free(early);
    }
    assert_int_equal(r, 0);
    assert_int_equal(rows, 1000);
    assert_int_equal(sum, 500500);
    iol_query_free(outer);
    /* Division by zero shows up only after rows have come. */
    assert_int_equal(iol_query_new(db, "SELECT 1 / (id - 900) FROM generate_series(1, 1000) id", 0, NULL, &wrong, &err),
                     0);
    for (rows = 0; (r = iol_query_next(wrong, &err)) == 1; rows++)
        ;
    assert_int_equal(r, -EINVAL);
    assert_non_null(strstr(err.text, "zero"));
    iol_query_free(wrong);
    assert_int_equal(iol_query_new(db, "SELECT count(*) FROM io", 0, NULL, &outer, &err), 0);
    iol_query_free(outer);
    iol_db_close(db);
    assert_int_equal(ask_int(url_in(state), "SELECT count(*) FROM io"), 1000);
}

static long long question(const char *url, const char *host, const char *sql)
{
    struct iol_db *db = NULL;
    struct iol_error err = {0};

    if (iol_db_open_host(url, false, host, &db, &err) < 0)
        fail_msg("%s", err.text);
    _cleanup_free_ char *answer = ask(db, sql);
    iol_db_close(db);
    return strtoll(answer, NULL, 10);
}

/* The rows of two hosts, put in one group: each transaction is of one host. */
static void test_by_host(void **state)
{
    const char *url = url_in(state);
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batches[6];
    struct iol_error err = {0};

    for (int i = 0; i < 6; i++) {
        batches[i] = io_batch(i / 2 + 1, 3);
        int64_t host = 1 + i % 2;
        *(struct iol_host *)iol_batch_add(batches[i], IOL_TABLE_HOST) =
            (struct iol_host){host, i % 2 ? "two" : "one", "m", BOOT_ID, "6.1", 1};
        *(struct iol_process_exit *)iol_batch_add(batches[i], IOL_TABLE_PROCESS_EXIT) =
            (struct iol_process_exit){100 * host + 1, 1000 * i, 0, IOL_NULL};
        ((struct iol_batch_row *)batches[i]->rows[IOL_TABLE_BATCH].data)->host_id = host;
        for (int j = 0; j < 3; j++) {
            struct iol_process *process = (struct iol_process *)batches[i]->rows[IOL_TABLE_PROCESS].data + j;
            struct iol_file *file = (struct iol_file *)batches[i]->rows[IOL_TABLE_FILE].data + j;
            struct iol_io *io = (struct iol_io *)batches[i]->rows[IOL_TABLE_IO].data + j;
            process->host_id = file->host_id = io->host_id = host;
            process->id += 100 * host;
            file->id += 100 * host;
            io->process_id += 100 * host;
            io->file_id += 100 * host;
        }
    }
    for (size_t done = 0; done < 6;) {
        ssize_t n = iol_sink_write_some(sink, (const struct iol_batch *const *)batches + done, 6 - done, &err);
        if (n != 1)
            fail_msg("%zd: %s", n, err.text);
        done += (size_t)n;
    }
    iol_sink_close(sink);
    for (int i = 0; i < 6; i++)
        iol_batch_free(batches[i]);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM process"), 6);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM file"), 6);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM process_exit"), 2);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io_named"), 18);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM audit_log WHERE type = 3 AND path IS NULL"), 0);
    assert_int_equal(question(url, "two", "SELECT count(*) FROM process_exit"), 1);
    assert_int_equal(question(url, "two", "SELECT count(*) FROM io"), 9);
}

#define BY_HOST(name)                                                                                                  \
    {                                                                                                                  \
        "by_host_" #name, name, make_database_by_host, drop_database, NULL                                             \
    }
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_database, drop_database)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_value),
        TEST(test_same_as_sqlite),
        TEST(test_replay),
        TEST(test_group),
        TEST(test_once_and_latest),
        TEST(test_unknown_becomes_known),
        TEST(test_rejected),
        TEST(test_days),
        TEST(test_dropped_day),
        TEST(test_known_rows),
        TEST(test_nothing_is_updated),
        TEST(test_recorders_at_once),
        TEST(test_restarts),
        TEST(test_terminated_backend),
        TEST(test_hanging_server),
        TEST(test_foreign),
        TEST(test_io_by_hand),
        TEST(test_upgrade),
        TEST(test_upgrade_of_3),
        TEST(test_foreign_type_and_version),
        TEST(test_no_ledger),
        TEST(test_refusals),
        TEST(test_passwords),
        TEST(test_shown_urls),
        TEST(test_server_pid),
        TEST(test_indexes),
        TEST(test_queries),
        BY_HOST(test_every_value),
        BY_HOST(test_same_as_sqlite),
        BY_HOST(test_replay),
        BY_HOST(test_group),
        BY_HOST(test_once_and_latest),
        BY_HOST(test_unknown_becomes_known),
        BY_HOST(test_rejected),
        BY_HOST(test_days),
        BY_HOST(test_dropped_day),
        BY_HOST(test_known_rows),
        BY_HOST(test_recorders_at_once),
        BY_HOST(test_by_host),
        TEST(test_full_disk), /* the last: the server does not start again without that disk */
    };

    return cmocka_run_group_tests_name("postgres", tests, start_cluster, remove_cluster);
}
