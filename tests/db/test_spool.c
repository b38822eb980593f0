// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "store/batch_bytes.h"
#include "store/schema.h"
#include "store/spool.h"

#define TARGET "postgresql://ledger@db/ledger"

/* In place of libc's, for the whole program: how often the disk was asked. */
static unsigned int syncs;

int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}
#define SECOND INT64_C(1000000000)

static bool same_cell(const struct iol_column *column, const char *a, const char *b)
{
    const char *text_a, *text_b;

    if (column->type != IOL_TYPE_TEXT)
        return memcmp(a + column->offset, b + column->offset, sizeof(int64_t)) == 0;
    memcpy(&text_a, a + column->offset, sizeof(text_a));
    memcpy(&text_b, b + column->offset, sizeof(text_b));
    return text_a && text_b ? strcmp(text_a, text_b) == 0 : text_a == text_b;
}

static void batches_equal(const struct iol_batch *a, const struct iol_batch *b)
{
    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        size_t size = iol_batch_row_size(table->id);
        assert_int_equal(a->rows[t].count, b->rows[t].count);
        for (size_t i = 0; i < a->rows[t].count; i++) {
            for (size_t j = 0; j < table->n_columns; j++) {
                if (!same_cell(&table->columns[j], (char *)a->rows[t].data + i * size,
                               (char *)b->rows[t].data + i * size))
                    fail_msg("%s.%s differs in row %zu", table->name, table->columns[j].name, i);
            }
        }
    }
}

/* As bytes and back: every hostile value is what it was. */
static void test_bytes(void **state)
{
    struct iol_batch *batches[] = {hostile_batch(1), io_batch(2, 1000), iol_batch_new()};

    (void)state;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(batches); i++) {
        _cleanup_free_ void *data = NULL;
        struct iol_batch *back = NULL;
        struct iol_error err = {0};
        size_t size;
        assert_int_equal(iol_batch_encode(batches[i], &data, &size), 0);
        assert_int_equal(iol_batch_decode(data, size, &back, &err), 0);
        batches_equal(batches[i], back);
        iol_batch_free(back);
        iol_batch_free(batches[i]);
    }
}

/* A part of a batch is none, whatever its length. */
static void test_cut_bytes(void **state)
{
    struct iol_batch *batch = io_batch(1, 3), *back = NULL;
    _cleanup_free_ void *data = NULL;
    struct iol_error err = {0};
    size_t size;

    (void)state;
    assert_int_equal(iol_batch_encode(batch, &data, &size), 0);
    for (size_t cut = 0; cut < size; cut++) {
        assert_int_equal(iol_batch_decode(data, cut, &back, &err), -EBADMSG);
        assert_null(back);
    }
    ((char *)data)[0] = 99;
    assert_int_equal(iol_batch_decode(data, size, &back, &err), -EPROTONOSUPPORT);
    iol_batch_free(batch);
}

static const char *spool_dir(void **state)
{
    static char dir[96];

    snprintf(dir, sizeof(dir), "%s/spool", ((struct fixture *)*state)->dir);
    return dir;
}

static struct iol_spool_options options_of(uint64_t max_bytes)
{
    return (struct iol_spool_options){.max_bytes = max_bytes, .sync = IOL_SPOOL_SYNC_NEVER, .target = TARGET};
}

static struct iol_spool *open_spool_with(const char *dir, const struct iol_spool_options *options)
{
    struct iol_spool *spool = NULL;
    struct iol_error err = {0};

    if (iol_spool_open(dir, options, &spool, &err) < 0)
        fail_msg("%s (%s)", err.text, err.hint);
    return spool;
}

static struct iol_spool *open_spool(const char *dir)
{
    const struct iol_spool_options options = options_of(64 << 20);

    return open_spool_with(dir, &options);
}

static void append(struct iol_spool *spool, struct iol_batch *batch)
{
    struct iol_error err = {0};

    if (iol_spool_append(spool, batch, &err) < 0)
        fail_msg("%s", err.text);
    iol_batch_free(batch);
}

static int64_t seq_of(const struct iol_batch *batch)
{
    return ((const struct iol_batch_row *)batch->rows[IOL_TABLE_BATCH].data)->seq;
}

/* The sequence number of the oldest; 0: none waits. */
static int64_t next_seq(struct iol_spool *spool)
{
    struct iol_batch *batch = NULL;
    struct iol_error err = {0};
    int r = iol_spool_next(spool, &batch, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    int64_t seq = r ? seq_of(batch) : 0;
    iol_batch_free(batch);
    return seq;
}

static void ack(struct iol_spool *spool)
{
    assert_int_equal(iol_spool_ack(spool, NULL), 0);
}

static struct iol_spool_stats stats_of(struct iol_spool *spool)
{
    struct iol_spool_stats stats;

    iol_spool_get_stats(spool, &stats);
    return stats;
}

/* The next ones are `n` batches in their order, given ahead or not; the last of them is *seq then. */
static void given(struct iol_spool *spool, bool ahead, size_t n, int64_t *seq)
{
    struct iol_batch *batches[IOL_SPOOL_TAKE_MAX] = {NULL};
    struct iol_error err = {0};
    size_t got = ahead ? iol_spool_take_ahead(spool, IOL_SPOOL_TAKE_MAX, UINT64_MAX, batches)
                       : (size_t)iol_spool_take(spool, IOL_SPOOL_TAKE_MAX, UINT64_MAX, batches, &err);

    assert_int_equal(got, n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(((struct iol_batch_row *)batches[i]->rows[IOL_TABLE_BATCH].data)->seq, ++*seq);
        iol_batch_free(batches[i]);
    }
}

/* What is given ahead comes next, in its order; what was acknowledged of it all does not come again. */
static void test_ahead(void **state)
{
    const size_t most = IOL_SPOOL_TAKE_MAX;
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool(dir);
    int64_t seq = 0;

    given(spool, true, 0, &seq);
    for (size_t i = 1; i <= 3 * most + 20; i++)
        append(spool, io_batch((int64_t)i, 2));
    given(spool, true, 0, &seq); /* none was given before */
    given(spool, false, most, &seq);
    given(spool, true, most, &seq);
    given(spool, true, 0, &seq); /* no room */
    for (size_t i = 0; i < most; i++)
        ack(spool);
    given(spool, true, most, &seq);
    for (size_t i = 0; i < 2 * most; i++)
        ack(spool);
    given(spool, false, 20, &seq);
    append(spool, io_batch((int64_t)(3 * most) + 21, 2));
    given(spool, true, 1, &seq);
    given(spool, true, 0, &seq);
    for (size_t i = 0; i < 20; i++)
        ack(spool);
    assert_int_equal(stats_of(spool).entries, 1);
    iol_spool_close(spool);

    spool = open_spool(dir);
    assert_int_equal(next_seq(spool), seq);
    ack(spool);
    assert_int_equal(next_seq(spool), 0);
    iol_spool_close(spool);
}

static void test_order(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool(dir);

    assert_int_equal(next_seq(spool), 0);
    for (int i = 1; i <= 300; i++)
        append(spool, io_batch(i, 20));
    assert_int_equal(stats_of(spool).entries, 300);
    assert_int_equal(stats_of(spool).rows, 300 * 61);
    for (int i = 1; i <= 100; i++) {
        assert_int_equal(next_seq(spool), i);
        assert_int_equal(next_seq(spool), i);
        ack(spool);
    }
    iol_spool_close(spool);

    spool = open_spool(dir);
    assert_int_equal(stats_of(spool).inherited, 200);
    assert_int_equal(stats_of(spool).oldest_ts, INT64_C(1795421886123456789) + 101);
    for (int i = 301; i <= 310; i++)
        append(spool, io_batch(i, 1));
    for (int i = 101; i <= 310; i++) {
        assert_int_equal(next_seq(spool), i);
        ack(spool);
        append(spool, io_batch(i + 210, 1));
    }
    assert_int_equal(next_seq(spool), 311);
    iol_spool_close(spool);
    assert_int_equal(access(dir, F_OK), 0);

    spool = open_spool(dir);
    while (next_seq(spool))
        ack(spool);
    iol_spool_close(spool);
    assert_int_equal(access(dir, F_OK), -1);
}

/* Ten batches, and one more that is made safe when none comes for a while; how often the disk was asked in the two parts. */
static void append_synced(void **state, enum iol_spool_sync sync, unsigned int *ret_ten, unsigned int *ret_flush)
{
    struct iol_spool_options options = options_of(64 << 20);

    options.sync = sync;
    struct iol_spool *spool = open_spool_with(spool_dir(state), &options);
    append(spool, io_batch(1, 1));
    iol_spool_flush(spool);
    syncs = 0;
    for (int i = 2; i <= 11; i++)
        append(spool, io_batch(i, 1));
    *ret_ten = syncs;
    append(spool, io_batch(12, 1));
    syncs = 0;
    iol_spool_flush(spool);
    iol_spool_flush(spool);
    *ret_flush = syncs;
    while (next_seq(spool))
        ack(spool);
    iol_spool_close(spool);
}

static void test_sync(void **state)
{
    unsigned int ten, flush;

    append_synced(state, IOL_SPOOL_SYNC_ALWAYS, &ten, &flush);
    assert_int_equal(ten, 10);
    assert_int_equal(flush, 0);
    append_synced(state, IOL_SPOOL_SYNC_NEVER, &ten, &flush);
    assert_int_equal(ten, 0);
    assert_int_equal(flush, 0);
    append_synced(state, IOL_SPOOL_SYNC_EVERYSEC, &ten, &flush);
    assert_in_range(ten, 0, 9); /* 0, unless it took seconds */
    assert_in_range(flush, 0, 1);
    if (ten == 0)
        assert_int_equal(flush, 1);
}

static void test_modes(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool(dir);

    append(spool, hostile_batch(1));
    assert_int_equal(next_seq(spool), 1);
    assert_int_equal(iol_spool_quarantine(spool, "a reason", NULL), 0);
    append(spool, hostile_batch(2));
    _cleanup_free_ char *open_to_others = shell("find '%s' -perm /077", dir);
    assert_string_equal(open_to_others, "");
    iol_spool_close(spool);
}

static void opening_fails(const char *dir, const struct iol_spool_options *options, int code, const char *text)
{
    struct iol_spool *spool = NULL;
    struct iol_error err = {0};

    assert_int_equal(iol_spool_open(dir, options, &spool, &err), code);
    assert_null(spool);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in '%s'", text, err.text);
}

static void test_refusals(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_spool_options options = options_of(64 << 20);
    struct iol_spool *spool = open_spool(dir);
    char pid[32];

    snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    opening_fails(dir, &options, -EBUSY, pid);
    append(spool, io_batch(1, 1));
    iol_spool_close(spool);

    options.target = "postgresql://ledger@other/ledger";
    opening_fails(dir, &options, -EEXIST, TARGET);
    free(shell("rm '%s/target'", dir));
    spool = open_spool_with(dir, &options);
    assert_int_equal(next_seq(spool), 1);
    iol_spool_close(spool);

    free(shell("touch '%s/letter'", dir));
    opening_fails(dir, &options, -EEXIST, "'letter'");
    opening_fails(((struct fixture *)*state)->dir, &options, -EEXIST, "'spool'");
    _cleanup_free_ char *left = shell("ls '%s'", ((struct fixture *)*state)->dir);
    assert_string_equal(left, "spool\n");
    opening_fails("/nonexistent/spool", &options, -ENOENT, "/nonexistent/spool");
    opening_fails("/etc/passwd", &options, -ENOTDIR, "/etc/passwd");
    assert_int_equal(access("/etc/passwd", F_OK), 0);
}

/* The file of the segment that was written last. */
static char *last_file(const char *dir)
{
    char *path = shell("ls %s/*.segment | tail -n 1", dir);

    path[strcspn(path, "\n")] = '\0';
    return path;
}

static off_t size_of(const char *path)
{
    struct stat file;

    assert_int_equal(stat(path, &file), 0);
    return file.st_size;
}

/* Whatever is missing of the last entry, it is cut off, and those before it are there. */
static void test_torn_tail(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool(dir);

    append(spool, io_batch(1, 2));
    append(spool, io_batch(2, 2));
    _cleanup_free_ char *path = last_file(dir);
    off_t good = size_of(path);
    append(spool, io_batch(3, 2));
    off_t whole = size_of(path);
    iol_spool_close(spool);
    free(shell("cp -a '%s' '%s.whole'", dir, dir));

    for (off_t cut = whole - 1; cut >= good; cut -= cut > whole - 20 ? 1 : 37) {
        free(shell("rm -rf '%s'; cp -a '%s.whole' '%s'", dir, dir, dir));
        assert_int_equal(truncate(path, cut), 0);
        if (cut % 2) /* the file had its length before it had its bytes */
            assert_int_equal(truncate(path, whole + 4096), 0);
        spool = open_spool(dir);
        assert_int_equal(size_of(path), good);
        assert_int_equal(stats_of(spool).entries, 2);
        assert_int_equal(iol_spool_last(spool)->seq, 2);
        append(spool, io_batch(4, 2));
        assert_int_equal(next_seq(spool), 1);
        ack(spool);
        assert_int_equal(next_seq(spool), 2);
        ack(spool);
        assert_int_equal(next_seq(spool), 4);
        assert_int_equal(stats_of(spool).damaged, 0);
        iol_spool_close(spool);
    }
}

static void flip_byte(const char *path, off_t at)
{
    _cleanup_close_ int fd = open(path, O_RDWR);
    char byte;

    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* A bit that has changed on the disk, in a header or behind it, costs the one batch; the others are sent. */
static void test_damage(void **state)
{
    const char *dir = spool_dir(state);

    for (int where = 0; where < 2; where++) {
        struct iol_spool *spool = open_spool(dir);
        append(spool, io_batch(1, 2));
        _cleanup_free_ char *path = last_file(dir);
        off_t second = size_of(path);
        append(spool, io_batch(2, 2));
        append(spool, io_batch(3, 2));
        iol_spool_close(spool);
        flip_byte(path, second + (where ? 20 : 160));
        spool = open_spool(dir);
        assert_int_equal(next_seq(spool), 1);
        ack(spool);
        assert_int_equal(next_seq(spool), 3);
        ack(spool);
        assert_int_equal(next_seq(spool), 0);
        assert_int_equal(stats_of(spool).entries, 0);
        assert_int_equal(stats_of(spool).damaged, 1);
        assert_int_equal(stats_of(spool).quarantine_files, where ? 0 : 1);
        iol_spool_close(spool);
        free(shell("rm -rf '%s'", dir));
    }
}

static void set_journal(struct iol_batch *batch, char fill, size_t size)
{
    batch->journal = malloc(size);
    batch->journal_size = size;
    memset(batch->journal, fill, size);
}

static void journal_is(const struct iol_spool *spool, int64_t seq, char fill, size_t size)
{
    const struct iol_spool_last *last = iol_spool_last(spool);

    assert_non_null(last);
    assert_int_equal(last->seq, seq);
    assert_int_equal(last->host_id, HOST_ID);
    assert_string_equal(last->boot_id, BOOT_ID);
    assert_int_equal(last->journal_size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(((const char *)last->journal)[i], fill);
}

/* What was appended last is known after a restart, whether it is acknowledged or not. */
static void test_journal(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_spool_options options = options_of(64 << 20);
    struct iol_batch *batch = io_batch(5, 1);

    options.keep = true;
    struct iol_spool *spool = open_spool_with(dir, &options);
    assert_null(iol_spool_last(spool));
    append(spool, io_batch(4, 1));
    set_journal(batch, 'x', 100000);
    append(spool, batch);
    iol_spool_close(spool);

    spool = open_spool_with(dir, &options);
    journal_is(spool, 5, 'x', 100000);
    while (next_seq(spool))
        ack(spool);
    iol_spool_close(spool);
    spool = open_spool_with(dir, &options);
    journal_is(spool, 5, 'x', 100000);
    batch = io_batch(6, 1);
    set_journal(batch, 'y', 10);
    append(spool, batch);
    iol_spool_close(spool);
    spool = open_spool_with(dir, &options);
    journal_is(spool, 6, 'y', 10);
    append(spool, io_batch(7, 1));
    iol_spool_close(spool);
    spool = open_spool_with(dir, &options);
    journal_is(spool, 7, 0, 0);
    iol_spool_close(spool);
}

/* Set aside with its reason, told to whoever looks, and the next one comes. */
static void test_quarantine(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool(dir);

    for (int i = 1; i <= 3; i++)
        append(spool, io_batch(i, 10));
    assert_int_equal(next_seq(spool), 1);
    ack(spool);
    assert_int_equal(next_seq(spool), 2);
    assert_int_equal(iol_spool_quarantine(spool, "violates check constraint \"no\"", NULL), 0);
    assert_int_equal(next_seq(spool), 3);
    ack(spool);
    assert_int_equal(stats_of(spool).quarantined, 1);
    assert_int_equal(stats_of(spool).quarantined_rows, 31);
    iol_spool_close(spool);
    _cleanup_free_ char *told = shell("cat %s/quarantine/*.txt", dir);
    assert_non_null(strstr(told, "reason:     violates check constraint \"no\"\n"));
    assert_non_null(strstr(told, "seq 2\n"));
    assert_non_null(strstr(told, "rows:       31\n"));

    spool = open_spool(dir);
    assert_int_equal(stats_of(spool).quarantine_files, 1);
    assert_int_equal(stats_of(spool).quarantined, 0);
    iol_spool_close(spool);
}

/* One interval: `n` accounts of one route each, with totals that are their sum, and a read as an event. */
static struct iol_batch *interval(int64_t seq, size_t n)
{
    struct iol_batch *batch = iol_batch_new();
    struct iol_total totals[IOL_ROUTE_COUNT] = {0};

    for (size_t i = 0; i < n; i++) {
        int64_t route = (int64_t)i % 2, ops = seq % 7 + (int64_t)i, bytes = seq * 1000 + (int64_t)i;
        struct iol_io *io = iol_batch_add(batch, IOL_TABLE_IO);
        *io = (struct iol_io){.ts = seq * SECOND,
                              .interval_ms = 1000,
                              .host_id = HOST_ID,
                              .process_id = (int64_t)(i * UINT64_C(0x9e3779b97f4a7c15)),
                              .file_id = (int64_t)i,
                              .route = route,
                              .read_ops = ops,
                              .read_bytes = bytes,
                              .write_ops = 1,
                              .write_bytes = 2,
                              .read_errors = 3,
                              .write_errors = 4,
                              .first_ts = seq * SECOND - 5,
                              .last_ts = seq * SECOND - 1};
        totals[route].read_ops += ops;
        totals[route].read_bytes += bytes;
        totals[route].write_ops += 1;
        totals[route].write_bytes += 2;
        totals[route].read_errors += 3;
        totals[route].write_errors += 4;
    }
    for (int64_t route = 0; route < 2; route++) {
        struct iol_total *total = iol_batch_add(batch, IOL_TABLE_TOTAL);
        *total = totals[route];
        total->ts = seq * SECOND;
        total->interval_ms = 1000;
        total->host_id = HOST_ID;
        total->route = route;
    }
    *(struct iol_event *)iol_batch_add(batch, IOL_TABLE_EVENT) =
        (struct iol_event){.ts = seq * SECOND, .host_id = HOST_ID, .kind = IOL_EVENT_READ, .weight = 1};
    if (seq % 10 == 0)
        *(struct iol_event *)iol_batch_add(batch, IOL_TABLE_EVENT) =
            (struct iol_event){.ts = seq * SECOND, .host_id = HOST_ID, .kind = IOL_EVENT_RENAME, .weight = 1};
    seal(batch, seq);
    return batch;
}

struct sums {
    int64_t ops[2], bytes[2], others[2]; /* by route */
};

struct seen {
    struct sums io, total;
    int64_t reads, renames, lost_intervals, lost_events;
    int64_t covered_ms; /* Σ of the intervals, each batch's once */
    int64_t batches;
};

static void add_sums(struct sums *sums, int64_t route, int64_t ops, int64_t bytes, int64_t others)
{
    sums->ops[route] += ops;
    sums->bytes[route] += bytes;
    sums->others[route] += others;
}

/* Adds up what a batch says, and looks that its own books balance. */
static void see(struct seen *seen, const struct iol_batch *batch)
{
    const struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
    const struct iol_total *total = batch->rows[IOL_TABLE_TOTAL].data;
    const struct iol_event *event = batch->rows[IOL_TABLE_EVENT].data;
    const struct iol_loss *loss = batch->rows[IOL_TABLE_LOSS].data;
    struct seen own = {0};

    for (size_t i = 0; i < batch->rows[IOL_TABLE_IO].count; i++) {
        assert_int_equal(io[i].ts, total[0].ts);
        assert_int_equal(io[i].interval_ms, total[0].interval_ms);
        assert_true(io[i].first_ts >= io[i].ts - io[i].interval_ms * 1000000 && io[i].last_ts <= io[i].ts);
        add_sums(&own.io, io[i].route, io[i].read_ops, io[i].read_bytes,
                 io[i].write_ops + io[i].write_bytes + io[i].read_errors + io[i].write_errors);
    }
    for (size_t i = 0; i < batch->rows[IOL_TABLE_TOTAL].count; i++) {
        assert_int_equal(total[i].ts, total[0].ts);
        add_sums(&own.total, total[i].route, total[i].read_ops, total[i].read_bytes,
                 total[i].write_ops + total[i].write_bytes + total[i].read_errors + total[i].write_errors);
    }
    assert_memory_equal(&own.io, &own.total, sizeof(own.io));
    for (int i = 0; i < 2; i++) {
        add_sums(&seen->io, i, own.io.ops[i], own.io.bytes[i], own.io.others[i]);
        add_sums(&seen->total, i, own.total.ops[i], own.total.bytes[i], own.total.others[i]);
    }
    for (size_t i = 0; i < batch->rows[IOL_TABLE_EVENT].count; i++) {
        seen->reads += event[i].kind == IOL_EVENT_READ;
        seen->renames += event[i].kind == IOL_EVENT_RENAME;
    }
    for (size_t i = 0; i < batch->rows[IOL_TABLE_LOSS].count; i++) {
        bool intervals = strcmp(loss[i].reason, "spool full: intervals merged") == 0;
        if (!intervals)
            assert_string_equal(loss[i].reason, "spool full: events of reads and writes");
        *(intervals ? &seen->lost_intervals : &seen->lost_events) += loss[i].lost;
    }
    seen->covered_ms += total[0].interval_ms;
    seen->batches++;
}

static void take_all(struct iol_spool *spool, struct seen *seen)
{
    struct iol_batch *batch = NULL;
    struct iol_error err = {0};
    int64_t before = 0;
    int r;

    while ((r = iol_spool_next(spool, &batch, &err)) == 1) {
        assert_true(seq_of(batch) > before);
        before = seq_of(batch);
        see(seen, batch);
        iol_batch_free(batch);
        ack(spool);
    }
    assert_int_equal(r, 0);
}

/* More than it may hold: intervals become coarser, and everything that was counted is there. */
static void test_full(void **state)
{
    enum { INTERVALS = 3000, ROWS = 200, MAX = 2 << 20 };
    struct iol_spool_options options = options_of(MAX);
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool_with(dir, &options);
    struct seen offered = {0}, seen = {0};
    struct iol_batch *first = NULL;

    for (int i = 1; i <= INTERVALS; i++) {
        struct iol_batch *batch = interval(i, ROWS);
        see(&offered, batch);
        append(spool, batch);
        if (i == 1) /* it may have been sent: it must stay as it is */
            assert_int_equal(iol_spool_next(spool, &first, NULL), 1);
        if (i % 100 == 0) {
            _cleanup_free_ char *kib = shell("du -s --apparent-size -B1 '%s'", dir);
            assert_true(strtoull(kib, NULL, 10) <= MAX);
            assert_true(stats_of(spool).bytes <= MAX);
        }
        if (i == INTERVALS / 2) { /* a restart in between */
            iol_spool_close(spool);
            spool = open_spool_with(dir, &options);
        }
    }
    struct iol_spool_stats stats = stats_of(spool);
    assert_true(stats.merged > 1000);
    struct iol_batch *again = NULL;
    assert_int_equal(iol_spool_next(spool, &again, NULL), 1);
    batches_equal(first, again);
    iol_batch_free(first);
    iol_batch_free(again);
    take_all(spool, &seen);
    assert_memory_equal(&seen.io, &offered.io, sizeof(seen.io));
    assert_memory_equal(&seen.total, &offered.total, sizeof(seen.total));
    assert_int_equal(seen.renames, offered.renames);
    assert_int_equal(seen.reads + seen.lost_events, offered.reads);
    assert_int_equal(seen.batches, stats.entries);
    assert_int_equal(seen.batches + seen.lost_intervals, INTERVALS);
    assert_int_equal(seen.covered_ms, INTERVALS * 1000);
    assert_int_equal(stats_of(spool).entries, 0);
    assert_int_equal(stats_of(spool).rows, 0);
    iol_spool_close(spool);
}

/* What cannot be merged into less is refused, and nothing that is there is harmed. */
static void test_nothing_to_merge(void **state)
{
    struct iol_spool_options options = options_of(2 << 20);
    struct iol_spool *spool = open_spool_with(spool_dir(state), &options);
    struct iol_error err = {0};
    int64_t seq = 0;
    int r = 0;

    while (r == 0) {
        /* processes that are never the same again */
        struct iol_batch *batch = interval(++seq, 1);
        for (int i = 0; i < 500; i++)
            add_known(batch, (int64_t)((seq * 500 + i) * UINT64_C(0x9e3779b97f4a7c15)), "sh");
        r = iol_spool_append(spool, batch, &err);
        iol_batch_free(batch);
        assert_true(seq < 20000);
    }
    assert_int_equal(r, -ENOSPC);
    assert_true(stats_of(spool).bytes <= 2 << 20);
    struct seen seen = {0};
    size_t processes = 0;
    struct iol_batch *batch = NULL;
    while (iol_spool_next(spool, &batch, NULL) == 1) {
        see(&seen, batch);
        processes += batch->rows[IOL_TABLE_PROCESS].count;
        iol_batch_free(batch);
        ack(spool);
    }
    assert_int_equal(processes, (seq - 1) * 500);
    assert_int_equal(seen.batches + seen.lost_intervals, seq - 1);
    append(spool, interval(seq, 1));
    iol_spool_close(spool);
}

/* The journal of the last survives merging. */
static void test_merged_journal(void **state)
{
    struct iol_spool_options options = options_of(2 << 20);
    const char *dir = spool_dir(state);
    struct iol_spool *spool = open_spool_with(dir, &options);

    for (int i = 1; i <= 2000; i++) {
        struct iol_batch *batch = interval(i, 200);
        set_journal(batch, (char)('a' + i % 26), 1000);
        append(spool, batch);
        if (i % 250 == 0) {
            iol_spool_close(spool);
            spool = open_spool_with(dir, &options);
            journal_is(spool, i, (char)('a' + i % 26), 1000);
        }
    }
    assert_true(stats_of(spool).entries < 2000);
    iol_spool_close(spool);
}

/* A disk without room: the batch is refused whole, and taken when there is some. */
static void test_full_disk(void **state)
{
    const char *dir = spool_dir(state);
    struct iol_error err = {0};
    int64_t seq = 0, at = 0;
    int r = 0;

    if (geteuid() != 0 || mkdir(dir, 0755) < 0 || mount("tmpfs", dir, "tmpfs", 0, "size=1m") < 0)
        skip();
    struct iol_spool *spool = open_spool(dir);
    while (r == 0) {
        struct iol_batch *batch = hostile_batch(++seq);
        r = iol_spool_append(spool, batch, &err);
        iol_batch_free(batch);
    }
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err.text, "No space left"));
    while (++at < seq) {
        assert_int_equal(next_seq(spool), at);
        ack(spool);
    }
    assert_int_equal(next_seq(spool), 0);
    append(spool, hostile_batch(seq));
    assert_int_equal(next_seq(spool), seq);
    iol_spool_close(spool);
    assert_int_equal(umount(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_bytes),
        TEST(test_cut_bytes),
        TEST(test_ahead),
        TEST(test_order),
        TEST(test_sync),
        TEST(test_modes),
        TEST(test_refusals),
        TEST(test_torn_tail),
        TEST(test_damage),
        TEST(test_journal),
        TEST(test_quarantine),
        TEST(test_full),
        TEST(test_nothing_to_merge),
        TEST(test_merged_journal),
        TEST(test_full_disk),
    };

    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
