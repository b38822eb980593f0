// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * prune, on ledgers that a recorder of this test's own writes: at rest and while it goes on writing. Each test runs on SQLite and on
 * PostgreSQL.
 */
#include "ledger.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "store/prune.h"

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)

#define FILES_AN_HOUR 4 /* new ones, used in that hour and in the next one */
#define PROCESSES_AN_HOUR 2

static char cluster[64];

struct ledger {
    char dir[64];
    char url[256];
    bool postgres;
    int64_t now, seq;
};

static int start_cluster(void **state)
{
    (void)state;
    strcpy(cluster, "/tmp/ioledger-pr.XXXXXX");
    if (!getenv("IOL_PGCLUSTER") || !mkdtemp(cluster))
        return -1;
    free(shell("\"$IOL_PGCLUSTER\" start %s", cluster));
    return 0;
}

static int remove_cluster(void **state)
{
    (void)state;
    free(shell("\"$IOL_PGCLUSTER\" remove %s", cluster));
    return 0;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * SECOND + now.tv_nsec;
}

static int make_ledger(void **state, bool postgres)
{
    static int count;
    struct ledger *ledger = calloc(1, sizeof(*ledger));

    strcpy(ledger->dir, "/tmp/ioledger-pr.XXXXXX");
    if (!mkdtemp(ledger->dir))
        return -1;
    ledger->postgres = postgres;
    ledger->now = clock_ns(CLOCK_REALTIME);
    ledger->seq = 1;
    if (postgres) {
        free(shell("createdb -h %s -U postgres ledger%d", cluster, ++count));
        snprintf(ledger->url, sizeof(ledger->url), "postgresql://postgres@/ledger%d?host=%s", count, cluster);
    } else {
        snprintf(ledger->url, sizeof(ledger->url), "sqlite:%s/ledger.db", ledger->dir);
    }
    *state = ledger;
    return 0;
}

static int make_sqlite(void **state)
{
    return make_ledger(state, false);
}

static int make_postgres(void **state)
{
    return make_ledger(state, true);
}

static int drop_ledger(void **state)
{
    struct ledger *ledger = *state;

    free(shell("rm -rf '%s'", ledger->dir));
    free(ledger);
    return 0;
}

static void *add(struct iol_batch *batch, enum iol_table_id table)
{
    void *row = iol_batch_add(batch, table);

    assert_non_null(row);
    return row;
}

static void add_recording(struct iol_batch *batch, int64_t id, const char *boot_id, int64_t started, int64_t ended)
{
    struct iol_host *host = add(batch, IOL_TABLE_HOST);
    struct iol_recording *recording = add(batch, IOL_TABLE_RECORDING);

    *host = (struct iol_host){.id = HOST_ID, .name = "machine", .boot_id = boot_id, .seen = started};
    *recording =
        (struct iol_recording){.id = id, .host_id = HOST_ID, .boot_id = boot_id, .started = started, .ended = ended};
}

static void add_image(struct iol_batch *batch, int64_t id, int64_t pid, int64_t start, int64_t parent)
{
    struct iol_process *row = add(batch, IOL_TABLE_PROCESS);

    *row = (struct iol_process){.id = id,
                                .host_id = HOST_ID,
                                .pid = pid,
                                .start_time = start,
                                .exec_time = IOL_NULL,
                                .parent_id = parent ? parent : IOL_NULL,
                                .comm = "p"};
}

static void add_end(struct iol_batch *batch, int64_t process_id, int64_t ts)
{
    *(struct iol_process_exit *)add(batch, IOL_TABLE_PROCESS_EXIT) =
        (struct iol_process_exit){process_id, ts, 0, IOL_NULL};
}

static void add_path(struct iol_batch *batch, int64_t id, int64_t inode)
{
    char path[200];

    snprintf(path, sizeof(path), "/data/%0150lld", (long long)id);
    *(struct iol_file *)add(batch, IOL_TABLE_FILE) = (struct iol_file){
        .id = id, .host_id = HOST_ID, .inode = inode, .path = iol_arena_dup(batch->arena, path, strlen(path))};
}

/* One account of an interval that ends at ts; the interval's total is the sum of all. */
static void add_account(struct iol_batch *batch, int64_t ts, int64_t process_id, int64_t file_id)
{
    struct iol_rows *totals = &batch->rows[IOL_TABLE_TOTAL];
    struct iol_total *total = totals->count ? (struct iol_total *)totals->data + totals->count - 1 : NULL;

    *(struct iol_io *)add(batch, IOL_TABLE_IO) = (struct iol_io){.ts = ts,
                                                                 .interval_ms = 20,
                                                                 .host_id = HOST_ID,
                                                                 .process_id = process_id,
                                                                 .file_id = file_id,
                                                                 .read_ops = 1,
                                                                 .read_bytes = 7,
                                                                 .first_ts = ts - 1000,
                                                                 .last_ts = ts};
    if (!total || total->ts != ts) {
        total = add(batch, IOL_TABLE_TOTAL);
        *total = (struct iol_total){.ts = ts, .interval_ms = 20, .host_id = HOST_ID};
    }
    total->read_ops++;
    total->read_bytes += 7;
}

static void write_at(struct ledger *ledger, struct iol_sink *sink, struct iol_batch *batch, int64_t ts)
{
    seal(batch, ledger->seq++);
    ((struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->ts = ts;
    write_batch(sink, batch);
}

/* Ids of what is first used in an hour (so many hours before now). */
static int64_t file_of(int hour, int i)
{
    return 1000000 + hour * 100 + i;
}

static int64_t process_of(int hour, int i)
{
    return 2000000 + hour * 100 + i;
}

enum { INIT = 1, DAEMON = 2, REPLACED = 3, LOGGER = 4, PSEUDO = 11, CONFIG = 12 };

/*
 * An hour in the life of a machine: an interval each minute, new files that are used in the next hour too, new processes, children
 * of init, that end before the next one. The daemon, once a shell that was replaced by exec, does nothing after the first
 * hour; the logger reads its configuration then and writes now and then.
 */
static void write_hour(struct ledger *ledger, struct iol_sink *sink, int hour, int first_hour)
{
    struct iol_batch *batch = iol_batch_new();
    int64_t begin = ledger->now - hour * HOUR - HOUR;

    if (hour == first_hour) {
        add_image(batch, INIT, 1, begin, 0);
        add_image(batch, REPLACED, 77, begin, INIT);
        add_image(batch, DAEMON, 77, begin, REPLACED);
        add_image(batch, LOGGER, 78, begin, INIT);
        add_path(batch, PSEUDO, 0);
        add_path(batch, CONFIG, 5);
        add_account(batch, begin + SECOND, LOGGER, CONFIG);
        add_account(batch, begin + SECOND, DAEMON, PSEUDO);
    }
    for (int i = 0; i < FILES_AN_HOUR; i++)
        add_path(batch, file_of(hour, i), 100000 - hour * 10 - i);
    for (int i = 0; i < PROCESSES_AN_HOUR; i++) {
        add_image(batch, process_of(hour, i), 1000 + hour * 10 + i, begin + SECOND, INIT);
        add_end(batch, process_of(hour, i), begin + 3500 * SECOND);
    }
    for (int minute = 1; minute < 59; minute++) {
        int64_t ts = begin + minute * 60 * SECOND;
        for (int i = 0; i < FILES_AN_HOUR; i++) {
            add_account(batch, ts, process_of(hour, i % PROCESSES_AN_HOUR), file_of(hour, i));
            if (hour < first_hour)
                add_account(batch, ts, process_of(hour, i % PROCESSES_AN_HOUR), file_of(hour + 1, i));
        }
        *(struct iol_event *)add(batch, IOL_TABLE_EVENT) = (struct iol_event){.ts = ts,
                                                                              .host_id = HOST_ID,
                                                                              .process_id = process_of(hour, 0),
                                                                              .kind = IOL_EVENT_EXEC,
                                                                              .file_id = file_of(hour, 0),
                                                                              .other_file_id = IOL_NULL,
                                                                              .weight = 1};
    }
    write_at(ledger, sink, batch, begin + HOUR);
}

static void write_hours(struct ledger *ledger, struct iol_sink *sink, int first_hour, int last_hour)
{
    for (int hour = first_hour; hour >= last_hour; hour--)
        write_hour(ledger, sink, hour, first_hour);
}

/* What is told on the way only grows, while one thing is being done. */
static void note_progress(void *arg, const struct iol_prune_progress *progress)
{
    struct iol_prune_progress *last = arg;

    assert_non_null(progress->doing);
    assert_true(progress->rows >= last->rows);
    assert_true(progress->part <= 1 && (progress->part >= 0 || progress->part == -1));
    assert_true(progress->doing != last->doing || progress->part >= last->part);
    *last = *progress;
}

static struct iol_prune_result prune(struct ledger *ledger, int64_t keep, bool dry_run)
{
    struct iol_prune_progress progress = {0};
    const struct iol_prune_options options = {
        .before = ledger->now - keep, .dry_run = dry_run, .progress = note_progress, .arg = &progress};
    struct iol_prune_result result = {0};
    struct iol_error err = {0};
    uint64_t rows = 0;

    if (iol_prune(ledger->url, &options, &result, &err) < 0)
        fail_msg("%s (%s)", err.text, err.hint);
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        rows += result.rows[i];
    assert_int_equal(progress.rows, dry_run ? 0 : rows);
    return result;
}

/* Every interval has on both sides the same, and nothing refers to what is not there. */
static void is_whole(struct ledger *ledger)
{
    assert_int_equal(ask_int(ledger->url,
                             "SELECT count(*) FROM (SELECT ts, sum(n) AS n, sum(b) AS b FROM"
                             " (SELECT ts, read_ops AS n, read_bytes AS b FROM io UNION ALL"
                             "  SELECT ts, -read_ops, -read_bytes FROM total) x GROUP BY ts) y WHERE n <> 0 OR b <> 0"),
                     0);
    assert_int_equal(
        ask_int(ledger->url, "SELECT count(*) FROM io LEFT JOIN file f ON f.id = io.file_id WHERE f.id IS NULL"), 0);
    assert_int_equal(
        ask_int(ledger->url, "SELECT count(*) FROM io LEFT JOIN process p ON p.id = io.process_id WHERE p.id IS NULL"),
        0);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM event e LEFT JOIN file f ON f.id = e.file_id"
                                          " WHERE f.id IS NULL"),
                     0);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM process c LEFT JOIN process p ON p.id = c.parent_id"
                                          " WHERE c.parent_id IS NOT NULL AND p.id IS NULL"),
                     0);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM process_exit e LEFT JOIN process p"
                                          " ON p.id = e.process_id WHERE p.id IS NULL"),
                     0);
}

static long long count(struct ledger *ledger, const char *from, int64_t value)
{
    char sql[200];

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM %s %lld", from, (long long)value);
    return ask_int(ledger->url, sql);
}

/* Rows of io, total and event from the time on, or before it. */
static long long facts(struct ledger *ledger, const char *side, int64_t ns)
{
    char sql[400], ts[32];

    iol_text_time(ts, sizeof(ts), ns);
    snprintf(sql, sizeof(sql),
             "SELECT (SELECT count(*) FROM io WHERE ts %1$s '%2$s') + (SELECT count(*) FROM total WHERE ts %1$s '%2$s')"
             " + (SELECT count(*) FROM event WHERE ts %1$s '%2$s')",
             side, ts);
    return ask_int(ledger->url, sql);
}

enum { HOURS = 80, KEPT_HOURS = 30 };

static void test_at_rest(void **state)
{
    struct ledger *ledger = *state;
    struct iol_sink *sink = open_sink(ledger->url);
    struct iol_batch *batch = iol_batch_new();
    int64_t keep = KEPT_HOURS * HOUR;

    write_hours(ledger, sink, HOURS, 0);
    add_recording(batch, 1, BOOT_ID, ledger->now - (HOURS + 1) * HOUR, ledger->now);
    write_at(ledger, sink, batch, ledger->now);
    iol_sink_close(sink);
    is_whole(ledger);
    long long later = facts(ledger, ">=", ledger->now - keep), earlier = facts(ledger, "<", ledger->now - keep);
    assert_true(later > 1000 && earlier > 1000);

    struct iol_prune_result dry = prune(ledger, keep, true);
    assert_int_equal(facts(ledger, "<", ledger->now - keep), earlier);
    struct iol_prune_result result = prune(ledger, keep, false);
    assert_int_equal(facts(ledger, "<", ledger->now - keep), 0);
    assert_int_equal(facts(ledger, ">=", ledger->now - keep), later);
    assert_int_equal(result.rows[IOL_TABLE_IO] + result.rows[IOL_TABLE_TOTAL] + result.rows[IOL_TABLE_EVENT], earlier);
    is_whole(ledger);
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        assert_int_equal(dry.rows[i], result.rows[i]);

    /* The hour of the border uses files of the hour before. */
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM file"), (KEPT_HOURS + 1) * FILES_AN_HOUR);
    assert_int_equal(result.rows[IOL_TABLE_FILE], (HOURS - KEPT_HOURS) * FILES_AN_HOUR + 2);
    assert_int_equal(count(ledger, "process WHERE id =", INIT), 1); /* an ancestor */
    assert_int_equal(count(ledger, "process WHERE id =", DAEMON), 0);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM process"), 1 + KEPT_HOURS * PROCESSES_AN_HOUR);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM process_exit"), KEPT_HOURS * PROCESSES_AN_HOUR);
    assert_true(result.bytes_after < result.bytes_before);
    assert_string_equal(result.left_alone, "");
    if (ledger->postgres) {
        assert_true(result.days >= 2);
        assert_in_range(ask_int(ledger->url, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'io_row'::regclass"),
                        2, 4);
    } else {
        struct stat st;
        assert_int_equal(stat(strchr(ledger->url, '/'), &st), 0);
        assert_int_equal(st.st_size, result.bytes_after);
        assert_int_equal(ask_int(ledger->url, "SELECT freelist_count FROM pragma_freelist_count"), 0);
    }

    struct iol_prune_result again = prune(ledger, keep, false);
    for (int i = 0; i < IOL_TABLE_COUNT; i++)
        assert_int_equal(again.rows[i], 0);
}

struct writer {
    struct ledger *ledger;
    struct iol_sink *sink;
    atomic_bool stop;
    int64_t last_ts, longest;
    int intervals, failed;
};

/*
 * Goes on recording, an interval each 20 ms. Files that were used long ago come back one after the other, each row an interval before its
 * first account.
 */
static void *go_on(void *arg)
{
    struct writer *writer = arg;
    struct iol_error err = {0};
    int64_t back = 0;

    for (int i = 0; !writer->stop && writer->failed == 0; i++) {
        struct iol_batch *batch = iol_batch_new();
        int64_t ts = writer->ledger->now + i * 20 * SECOND / 1000, began;
        struct iol_batch_row *row;
        int r;

        add_account(batch, ts, LOGGER, CONFIG);
        if (back)
            add_account(batch, ts, LOGGER, back);
        back = file_of(HOURS - i / 3 % HOURS, i % FILES_AN_HOUR);
        add_path(batch, back, 100000);
        row = iol_batch_add(batch, IOL_TABLE_BATCH);
        *row = (struct iol_batch_row){HOST_ID, BOOT_ID, writer->ledger->seq++, ts};
        began = clock_ns(CLOCK_MONOTONIC);
        do
            r = iol_sink_write(writer->sink, batch, &err);
        while (r == -EAGAIN);
        int64_t took = clock_ns(CLOCK_MONOTONIC) - began;
        if (writer->longest < took)
            writer->longest = took;
        iol_batch_free(batch);
        writer->failed = r;
        writer->intervals++;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    if (writer->failed)
        fprintf(stderr, "# writer: %s\n", err.text);
    return NULL;
}

static void test_while_recording(void **state)
{
    struct ledger *ledger = *state;
    struct writer writer = {.ledger = ledger, .sink = open_sink(ledger->url)};
    struct iol_batch *batch = iol_batch_new();
    pthread_t thread;

    add_recording(batch, 1, BOOT_ID, ledger->now - (HOURS + 1) * HOUR, IOL_NULL);
    write_at(ledger, writer.sink, batch, ledger->now - (HOURS + 1) * HOUR);
    write_hours(ledger, writer.sink, HOURS, 0);
    long long later = facts(ledger, ">=", ledger->now - KEPT_HOURS * HOUR);
    assert_int_equal(pthread_create(&thread, NULL, go_on, &writer), 0);
    struct iol_prune_result result = prune(ledger, KEPT_HOURS * HOUR, false);
    writer.stop = true;
    pthread_join(thread, NULL);
    iol_sink_close(writer.sink);
    assert_int_equal(writer.failed, 0);
    assert_string_equal(result.left_alone, "");
    assert_int_equal(facts(ledger, "<", ledger->now - KEPT_HOURS * HOUR), 0);
    assert_true(facts(ledger, ">=", ledger->now - KEPT_HOURS * HOUR) >= later + 3 * writer.intervals - 3);
    is_whole(ledger);
    assert_true(result.rows[IOL_TABLE_FILE] > 0);
    /* Those that may still run, and what one of them was before it called exec. */
    assert_int_equal(count(ledger, "process WHERE id <=", LOGGER), 4);
    assert_int_equal(count(ledger, "process WHERE id =", process_of(HOURS - 1, 0)), 0);
    assert_int_equal(count(ledger, "file WHERE id =", PSEUDO), 1);
    printf("# %d intervals, the longest write took %.1f ms, the longest of %llu steps %.1f ms\n", writer.intervals,
           (double)writer.longest / 1e6, (unsigned long long)result.steps, (double)result.longest_ns / 1e6);
}

/* A recorder whose newest rows are of long ago: what it will send refers to what it sent. */
static void test_lagging(void **state)
{
    struct ledger *ledger = *state;
    struct iol_sink *sink = open_sink(ledger->url);
    struct iol_batch *batch = iol_batch_new();

    add_recording(batch, 1, BOOT_ID, ledger->now - (HOURS + 1) * HOUR, IOL_NULL);
    write_at(ledger, sink, batch, ledger->now - (HOURS + 1) * HOUR);
    write_hours(ledger, sink, HOURS, KEPT_HOURS);
    long long files = ask_int(ledger->url, "SELECT count(*) FROM file");
    long long processes = ask_int(ledger->url, "SELECT count(*) FROM process");
    struct iol_prune_result result = prune(ledger, KEPT_HOURS * HOUR, false);
    assert_string_equal(result.left_alone, "machine");
    assert_int_equal(result.rows[IOL_TABLE_FILE], 0);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM file"), files);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM process"), processes);
    write_hours(ledger, sink, KEPT_HOURS - 1, 0);
    is_whole(ledger);
    /* It has caught up and ended: now they go, though their facts went long ago. */
    batch = iol_batch_new();
    add_recording(batch, 1, BOOT_ID, ledger->now - (HOURS + 1) * HOUR, ledger->now);
    write_at(ledger, sink, batch, ledger->now);
    iol_sink_close(sink);
    result = prune(ledger, KEPT_HOURS * HOUR, false);
    assert_true(result.rows[IOL_TABLE_FILE] > 0);
    is_whole(ledger);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM file"), KEPT_HOURS * FILES_AN_HOUR + 2);
}

/* Killed, and the machine was started anew: what ran then runs no more. */
static void test_earlier_boot(void **state)
{
    struct ledger *ledger = *state;
    struct iol_sink *sink = open_sink(ledger->url);
    struct iol_batch *batch = iol_batch_new();

    add_recording(batch, 1, "earlier", ledger->now - (HOURS + 1) * HOUR, IOL_NULL);
    write_at(ledger, sink, batch, ledger->now - (HOURS + 1) * HOUR);
    write_hours(ledger, sink, HOURS, HOURS - 1);
    batch = iol_batch_new();
    add_recording(batch, 2, BOOT_ID, ledger->now - HOUR, ledger->now);
    write_at(ledger, sink, batch, ledger->now);
    iol_sink_close(sink);
    struct iol_prune_result result = prune(ledger, KEPT_HOURS * HOUR, false);
    assert_string_equal(result.left_alone, "");
    assert_int_equal(ask_int(ledger->url, "SELECT (SELECT count(*) FROM process) + (SELECT count(*) FROM file)"), 0);
}

/* Batches that are written again after their facts were pruned: they are known still. */
static void test_replay_after(void **state)
{
    enum { BATCHES = 300 };
    struct ledger *ledger = *state;
    struct iol_sink *sink = open_sink(ledger->url);

    for (int turn = 0; turn < 2; turn++) {
        ledger->seq = turn ? BATCHES - 100 : 1;
        while (ledger->seq <= BATCHES) {
            struct iol_batch *batch = iol_batch_new();
            int64_t ts = ledger->now - 50 * HOUR + ledger->seq * SECOND;
            add_account(batch, ts, 1, 2);
            write_at(ledger, sink, batch, ts);
        }
        if (turn == 0)
            assert_int_equal(prune(ledger, KEPT_HOURS * HOUR, false).rows[IOL_TABLE_IO], BATCHES);
    }
    iol_sink_close(sink);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM io"), 0);
    assert_int_equal(ask_int(ledger->url, "SELECT count(*) FROM batch"), 256);
}

static void *prune_in_thread(void *arg)
{
    struct ledger *ledger = arg;
    const struct iol_prune_options options = {.before = ledger->now - KEPT_HOURS * HOUR};
    struct iol_prune_result result;
    struct iol_error err = {0};
    int r = iol_prune(ledger->url, &options, &result, &err);

    if (r < 0)
        fprintf(stderr, "# prune: %s\n", err.text);
    return r < 0 ? arg : NULL;
}

/* Who reads for long is not disturbed, and a recorder is not kept waiting for that. */
static void test_long_reader(void **state)
{
    struct ledger *ledger = *state;
    struct iol_sink *sink = open_sink(ledger->url);
    struct iol_db *db;
    struct iol_query *query = NULL;
    struct iol_error err = {0};
    pthread_t thread;
    void *failed;

    write_hours(ledger, sink, HOURS, 0);
    db = open_db(ledger->url);
    assert_int_equal(iol_query_new(db, "SELECT count(*) FROM io", 0, NULL, &query, &err), 0);
    assert_int_equal(iol_query_next(query, &err), 1);
    long long before = iol_query_int(query, 0);
    iol_query_free(query);
    assert_int_equal(pthread_create(&thread, NULL, prune_in_thread, ledger), 0);
    for (int i = 0; i < 20; i++) {
        struct iol_batch *batch = iol_batch_new();
        int64_t began = clock_ns(CLOCK_MONOTONIC);
        add_account(batch, ledger->now + i, 1, file_of(0, 0));
        write_at(ledger, sink, batch, ledger->now);
        assert_true(clock_ns(CLOCK_MONOTONIC) - began < 5 * SECOND);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    assert_int_equal(iol_query_new(db, "SELECT count(*) FROM io", 0, NULL, &query, &err), 0);
    assert_int_equal(iol_query_next(query, &err), 1);
    assert_int_equal(iol_query_int(query, 0), before);
    iol_query_free(query);
    iol_db_close(db);
    pthread_join(thread, &failed);
    assert_null(failed);
    iol_sink_close(sink);
    assert_int_equal(facts(ledger, "<", ledger->now - KEPT_HOURS * HOUR), 0);
}

static void fails(const char *url, int code, const char *text)
{
    const struct iol_prune_options options = {.before = 0};
    struct iol_prune_result result;
    struct iol_error err = {0};

    assert_int_equal(iol_prune(url, &options, &result, &err), code);
    if (!strstr(err.text, text) || !err.hint[0])
        fail_msg("'%s' (%s) instead of '%s'", err.text, err.hint, text);
}

static void test_refusals(void **state)
{
    struct ledger *ledger = *state;

    fails("jsonl:/tmp/x", -EINVAL, "jsonl");
    fails("nonsense:x", -EINVAL, "nonsense");
    if (ledger->postgres) {
        fails(ledger->url, -ENOENT, "no ledger");
        return;
    }
    fails("sqlite:/nonexistent/x", -ENOENT, "No such file");
    free(shell("touch %s/empty", ledger->dir));
    char url[128];
    snprintf(url, sizeof(url), "sqlite:%s/empty", ledger->dir);
    fails(url, -ENOENT, "empty");
}

#define BOTH(test)                                                                                                     \
    {#test " on sqlite", test, make_sqlite, drop_ledger, NULL},                                                        \
    {                                                                                                                  \
#test " on postgresql", test, make_postgres, drop_ledger, NULL                                                 \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_at_rest),      BOTH(test_while_recording), BOTH(test_lagging),  BOTH(test_earlier_boot),
        BOTH(test_replay_after), BOTH(test_long_reader),     BOTH(test_refusals),
    };

    return cmocka_run_group_tests_name("prune", tests, start_cluster, remove_cluster);
}
