// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * A recorder without a kernel: batches that are made up go through the recorder's own spool and writer into a database.
 * `feed URL SPOOL BATCHES ROWS RATE MAX`: batches 1 to BATCHES of ROWS rows of io each, RATE a second (0: as fast as they are taken),
 * into a spool of at most MAX bytes. What one run has spooled the next one does not make again: killed and started again it goes on with
 * the batch after the last that is in the spool. Ends when all is stored, or when SIGTERM asks for it.
 *
 * A line on stdout five times a second, and at the end:
 * SECONDS MADE SPOOLED STORED_BATCHES STORED_ROWS WAITING SPOOL_BYTES MERGED QUARANTINED QUEUED_BYTES RSS_KIB
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "core/batch.h"
#include "measure.h"
#include "store/sink.h"
#include "store/spool.h"
#include "store/writer.h"

#define HOST_ID 4711
#define PROCESSES 100
#define FILES_MAX 10000 /* ten for each row of a batch, at most */
#define QUEUE_BYTES (64UL << 20)
#define NS_PER_S 1000000000LL
#define REPORT_NS 200000000
#define FIRST_TS (1790000000 * NS_PER_S)

static const char boot_id[] = "00000000-0000-4000-8000-000000000000";

struct feed {
    int64_t batches, rows, files;
    double rate;
    struct iol_spool *spool;
    struct iol_sink *sink;
    struct iol_writer *writer;
    int64_t made;
    double started, reported;
};

static volatile bool interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = true;
}

static void fail(const struct iol_error *err)
{
    fprintf(stderr, "feed: %s\n", err->text);
    exit(1);
}

static const char *text(struct iol_batch *batch, const char *name, int64_t number)
{
    char buf[64];
    int n = snprintf(buf, sizeof(buf), "%s%" PRId64, name, number);

    return iol_arena_dup(batch->arena, buf, (size_t)n);
}

static int64_t id_of(int64_t number)
{
    return (int64_t)((uint64_t)number * UINT64_C(0x9e3779b97f4a7c15));
}

static void add_dimensions(const struct feed *feed, struct iol_batch *batch)
{
    *(struct iol_host *)iol_batch_add(batch, IOL_TABLE_HOST) = (struct iol_host){
        .id = HOST_ID, .name = "feed", .machine_id = "feed", .boot_id = boot_id, .kernel = "", .seen = FIRST_TS};
    for (int64_t i = 1; i <= PROCESSES; i++)
        *(struct iol_process *)iol_batch_add(batch, IOL_TABLE_PROCESS) = (struct iol_process){
            .id = id_of(i),
            .host_id = HOST_ID,
            .pid = i,
            .start_time = FIRST_TS,
            .exec_time = IOL_NULL,
            .parent_id = IOL_NULL,
            .origin = IOL_ORIGIN_RUNNING,
            .comm = text(batch, "process", i),
            .exe = "/usr/bin/feed",
            .argv = text(batch, "feed ", i),
            .cwd = "/",
            .login_uid = IOL_NULL,
            .session_id = IOL_NULL,
        };
    for (int64_t i = 1; i <= feed->files; i++)
        *(struct iol_file *)iol_batch_add(batch, IOL_TABLE_FILE) = (struct iol_file){
            .id = id_of(i),
            .host_id = HOST_ID,
            .dev = 1,
            .inode = i,
            .generation = 1,
            .kind = IOL_KIND_FILE,
            .path = text(batch, "/srv/data/file", i),
        };
}

/* The same number always makes the same batch. */
static struct iol_batch *make_batch(const struct feed *feed, int64_t seq)
{
    struct iol_batch *batch = iol_batch_new();
    struct iol_total total = {
        .ts = FIRST_TS + seq * NS_PER_S, .interval_ms = 1000, .host_id = HOST_ID, .route = IOL_ROUTE_RW};

    if (seq == 1)
        add_dimensions(feed, batch);
    for (int64_t i = 0; i < feed->rows; i++) {
        struct iol_io *io = iol_batch_add(batch, IOL_TABLE_IO);
        *io = (struct iol_io){
            .ts = total.ts,
            .interval_ms = 1000,
            .host_id = HOST_ID,
            .process_id = id_of(1 + i % PROCESSES),
            .file_id = id_of(1 + (i * 7 + seq % 3) % feed->files),
            .route = IOL_ROUTE_RW,
            .read_ops = 1 + (i * seq) % 100,
            .read_bytes = (i * 4096 + seq * 17) % 1000000,
            .write_ops = i % 3,
            .write_bytes = i % 3 * 512,
            .first_ts = total.ts - NS_PER_S + i * 1000,
            .last_ts = total.ts - i * 1000,
        };
        total.read_ops += io->read_ops;
        total.read_bytes += io->read_bytes;
        total.write_ops += io->write_ops;
        total.write_bytes += io->write_bytes;
    }
    *(struct iol_total *)iol_batch_add(batch, IOL_TABLE_TOTAL) = total;
    *(struct iol_batch_row *)iol_batch_add(batch, IOL_TABLE_BATCH) =
        (struct iol_batch_row){HOST_ID, boot_id, seq, total.ts};
    return batch;
}

static double seconds(void)
{
    return clock_ns(CLOCK_MONOTONIC) / 1e9;
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void report(struct feed *feed, bool always)
{
    struct iol_writer_stats stats;
    double now = seconds();

    if (!always && now - feed->reported < REPORT_NS / 1e9)
        return;
    feed->reported = now;
    iol_writer_get_stats(feed->writer, &stats);
    printf("%.2f %" PRId64 " %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
           " %" PRIu64 " %ld\n",
           now - feed->started, feed->made, stats.spool_seq, stats.batches, stats.rows, stats.spool.entries,
           stats.spool.bytes, stats.spool.merged, stats.spool.quarantined, stats.queued_bytes, resident_kib());
    fflush(stdout);
}

static void open_feed(struct feed *feed, const char *url, const char *dir, uint64_t max)
{
    const struct iol_spool_options spool = {
        .max_bytes = max, .sync = IOL_SPOOL_SYNC_ALWAYS, .target = "feed", .keep = true};
    const struct iol_sink_options sink = {0};
    struct iol_writer_options writer = {.max_bytes = QUEUE_BYTES, .give_up_after_ms = -1};
    struct iol_error err = {0};
    int r = iol_spool_open(dir, &spool, &feed->spool, &err);

    if (r == 0)
        r = iol_sink_open(url, &sink, &feed->sink, &err);
    if (r == -EAGAIN)
        r = iol_sink_open_late(url, &sink, &feed->sink);
    writer.spool = feed->spool;
    if (r == 0)
        r = iol_writer_new(feed->sink, &writer, &feed->writer);
    if (r < 0)
        fail(&err);
    if (iol_spool_last(feed->spool))
        feed->made = iol_spool_last(feed->spool)->seq;
}

/* Waits while it is too early, or there is no room. */
static void pause_feed(struct feed *feed, int64_t made_here)
{
    double due = feed->rate > 0 ? feed->started + (double)made_here / feed->rate : 0;

    while (!interrupted && (iol_writer_full(feed->writer) || seconds() < due)) {
        report(feed, false);
        usleep(1000);
    }
}

int main(int argc, char **argv)
{
    struct feed feed = {0};
    struct iol_error err = {0};

    if (argc != 7) {
        fprintf(stderr, "usage: feed URL SPOOL BATCHES ROWS RATE MAX\n");
        return 2;
    }
    feed.batches = atoll(argv[3]);
    feed.rows = atoll(argv[4]);
    feed.files = feed.rows < FILES_MAX / 10 ? 10 * feed.rows : FILES_MAX;
    feed.rate = atof(argv[5]);
    feed.started = seconds();
    mallopt(M_MMAP_THRESHOLD, 128 << 10); /* as `record` does */
    signal(SIGTERM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    open_feed(&feed, argv[1], argv[2], strtoull(argv[6], NULL, 10));
    for (int64_t made_here = 0; feed.made < feed.batches && !interrupted; made_here++) {
        pause_feed(&feed, made_here);
        if (interrupted)
            break;
        iol_writer_put(feed.writer, make_batch(&feed, ++feed.made));
        report(&feed, false);
    }
    while (!interrupted) {
        struct iol_writer_stats stats;
        iol_writer_get_stats(feed.writer, &stats);
        if (stats.queued == 0 && stats.spool.entries == 0)
            break;
        report(&feed, false);
        usleep(1000);
    }
    int r = iol_writer_finish(feed.writer, &interrupted, NULL, &err);
    report(&feed, true);
    iol_writer_free(feed.writer);
    iol_sink_close(feed.sink);
    iol_spool_close(feed.spool);
    if (r < 0)
        fail(&err);
    return 0;
}
