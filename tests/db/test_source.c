// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/source.h"
#include "store/spool.h"

#define BATCHES 3

static const char *path_in(const struct fixture *fixture, const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", fixture->dir, name);
    return path;
}

static struct iol_source *open_source(const char *path)
{
    struct iol_source *source = NULL;
    struct iol_error err = {0};

    if (iol_source_open(path, &source, &err) < 0)
        fail_msg("%s: %s", path, err.text);
    return source;
}

/* What came of a file: the sequences of its batches, as bits, and its errors. */
struct found {
    unsigned batches;
    int errors;
    char text[IOL_ERROR_TEXT_MAX]; /* of the last one */
};

static struct found read_source(const char *path)
{
    struct iol_source *source = NULL;
    struct found found = {0};
    struct iol_error err = {0};
    struct iol_batch *batch;
    int r = iol_source_open(path, &source, &err);

    for (; r == 0 && (r = iol_source_next(source, &batch, &err)) != 0;) {
        if (r == 1) {
            const struct iol_batch_row *row = batch->rows[IOL_TABLE_BATCH].data;
            assert_int_equal(batch->rows[IOL_TABLE_BATCH].count, 1);
            assert_int_equal(batch->rows[IOL_TABLE_IO].count, 3);
            assert_true(row->seq >= 1 && row->seq <= BATCHES && !(found.batches & 1U << row->seq));
            found.batches |= 1U << row->seq;
            iol_batch_free(batch);
        } else {
            found.errors++;
            memcpy(found.text, err.text, sizeof(found.text));
            if (r != -EBADMSG)
                break;
        }
        r = 0;
    }
    if (r < 0 && !source) {
        found.errors++;
        memcpy(found.text, err.text, sizeof(found.text));
    }
    iol_source_close(source);
    return found;
}

static char *read_file(const char *path, size_t *ret_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *data = malloc((size_t)st.st_size + 1);
    assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
    data[st.st_size] = '\0';
    close(fd);
    *ret_size = (size_t)st.st_size;
    return data;
}

static void write_file(const char *path, const char *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

/* Writes the batches 1 to n, and where each one ends in the file. */
static void make_jsonl(const char *path, int n, size_t *ret_ends)
{
    char url[160];
    struct stat st;

    snprintf(url, sizeof(url), "jsonl:%s", path);
    struct iol_sink *sink = open_sink(url);
    for (int i = 0; i < n; i++) {
        write_batch(sink, io_batch(i + 1, 3));
        assert_int_equal(stat(path, &st), 0);
        ret_ends[i] = (size_t)st.st_size;
    }
    iol_sink_close(sink);
}

static struct iol_spool *open_spool(const char *dir)
{
    const struct iol_spool_options options = {.max_bytes = 16 << 20, .target = "postgresql://db/ledger"};
    struct iol_spool *spool = NULL;
    struct iol_error err = {0};

    if (iol_spool_open(dir, &options, &spool, &err) < 0)
        fail_msg("%s: %s", dir, err.text);
    return spool;
}

static void make_spool(const char *dir, int n, size_t *ret_ends)
{
    struct iol_spool *spool = open_spool(dir);
    char segment[160];
    struct stat st;

    snprintf(segment, sizeof(segment), "%s/0000000000000001.segment", dir);
    for (int i = 0; i < n; i++) {
        struct iol_batch *batch = io_batch(i + 1, 3);
        assert_int_equal(iol_spool_append(spool, batch, NULL), 0);
        iol_batch_free(batch);
        assert_int_equal(stat(segment, &st), 0);
        ret_ends[i] = (size_t)st.st_size;
    }
    iol_spool_close(spool);
}

/* Each byte near where something begins or ends, and every seventh of the others. */
static size_t next_cut(size_t cut, const size_t *ends)
{
    for (size_t i = 0; i < 8; i++) {
        size_t next = cut + i;
        for (int j = 0; j < BATCHES; j++) {
            if (cut < 50 || (next + 3 > ends[j] && next < ends[j] + 3))
                return next + 1;
        }
    }
    return cut + 7;
}

/* Cut at any byte: what is whole before it is there, and one error names the byte, unless it is where a batch ends. */
static void check_cuts(const char *path, const char *cut_path, size_t empty, const size_t *ends, size_t spare)
{
    size_t size;
    _cleanup_free_ char *data = read_file(path, &size);
    char text[32];

    assert_int_equal(ends[BATCHES - 1], size);
    for (size_t cut = 0; cut <= size; cut = next_cut(cut, ends)) {
        unsigned whole = 0;
        bool at_end = cut == empty;
        for (int i = 0; i < BATCHES; i++) {
            whole |= cut + spare >= ends[i] ? 2U << i : 0;
            at_end = at_end || cut == ends[i] || cut + spare == ends[i];
        }
        write_file(cut_path, data, cut);
        struct found found = read_source(cut_path);
        if (found.batches != whole || found.errors != !at_end)
            fail_msg("cut at %zu of %zu: batches %x, not %x; %d errors: %s", cut, size, found.batches, whole,
                     found.errors, found.text);
        snprintf(text, sizeof(text), "at byte %zu", cut);
        if (!at_end && (!strstr(found.text, text) || !strstr(found.text, cut_path)))
            fail_msg("cut at %zu: %s", cut, found.text);
    }
}

static void test_cut_jsonl(void **state)
{
    const struct fixture *fixture = *state;
    char path[128], cut[128];
    size_t ends[BATCHES];

    snprintf(path, sizeof(path), "%s/whole.jsonl", fixture->dir);
    snprintf(cut, sizeof(cut), "%s/cut.jsonl", fixture->dir);
    make_jsonl(path, BATCHES, ends);
    check_cuts(path, cut, 0, ends, 1); /* the last newline may be missing */
}

static void test_cut_segment(void **state)
{
    const struct fixture *fixture = *state;
    char dir[128], path[192], cut[128];
    size_t ends[BATCHES];

    snprintf(dir, sizeof(dir), "%s/spool", fixture->dir);
    snprintf(path, sizeof(path), "%s/0000000000000001.segment", dir);
    snprintf(cut, sizeof(cut), "%s/cut.segment", fixture->dir);
    make_spool(dir, BATCHES, ends);
    check_cuts(path, cut, 40, ends, 0);
}

/* One byte that is wrong, anywhere: the batch that it is in is told of, and the others are there. */
static void test_damaged_segment(void **state)
{
    const struct fixture *fixture = *state;
    char dir[128], path[192], bad[128];
    size_t ends[BATCHES], size;

    snprintf(dir, sizeof(dir), "%s/spool", fixture->dir);
    snprintf(path, sizeof(path), "%s/0000000000000001.segment", dir);
    snprintf(bad, sizeof(bad), "%s/bad.segment", fixture->dir);
    make_spool(dir, BATCHES, ends);
    _cleanup_free_ char *data = read_file(path, &size);
    for (size_t at = 40; at < size; at += 7) {
        unsigned hit = at < ends[0] ? 2 : at < ends[1] ? 4 : 8;
        data[at] ^= 0x10;
        write_file(bad, data, size);
        data[at] ^= 0x10;
        struct found found = read_source(bad);
        if (found.batches != (14 & ~hit) || found.errors != 1)
            fail_msg("byte %zu: batches %x, %d errors: %s", at, found.batches, found.errors, found.text);
    }
}

/* A line that is none costs its own batch, and no other. */
static void test_damaged_jsonl(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = path_in(fixture, "whole.jsonl");
    size_t ends[BATCHES], size;

    make_jsonl(path, BATCHES, ends);
    _cleanup_free_ char *data = read_file(path, &size);
    char *line = strchr(data + ends[0] + 10, '\n') + 1;
    line[0] = '[';
    path = path_in(fixture, "bad.jsonl");
    write_file(path, data, size);
    struct found found = read_source(path);
    assert_int_equal(found.batches, 2 | 8);
    assert_int_equal(found.errors, 1);
    char text[32];
    snprintf(text, sizeof(text), "at byte %td of", line - data);
    assert_non_null(strstr(found.text, text));
}

/* A recorder that was killed leaves half a batch; whoever appends with > does not know. */
static void test_half_batch_within(void **state)
{
    const struct fixture *fixture = *state;
    const char *path = path_in(fixture, "whole.jsonl");
    size_t ends[BATCHES], size;
    char *text = NULL;
    size_t text_size;

    make_jsonl(path, BATCHES, ends);
    _cleanup_free_ char *data = read_file(path, &size);
    /* The first batch, but for its own row; then the second and the third. */
    char *last = memrchr(data, '\n', ends[0] - 1);
    FILE *out = open_memstream(&text, &text_size);
    fwrite(data, 1, (size_t)(last + 1 - data), out);
    fwrite(data + ends[0], 1, size - ends[0], out);
    fclose(out);
    path = path_in(fixture, "half.jsonl");
    write_file(path, text, text_size);
    free(text);
    struct found found = read_source(path);
    assert_int_equal(found.batches, 4 | 8);
    assert_int_equal(found.errors, 1);
    assert_non_null(strstr(found.text, "another one follows"));
}

/* ... and one that goes on with the file by its name takes it away. */
static void test_half_batch_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    size_t ends[BATCHES], size;

    snprintf(path, sizeof(path), "%s/ledger.jsonl", fixture->dir);
    make_jsonl(path, 2, ends);
    _cleanup_free_ char *data = read_file(path, &size);
    size_t middle = (size_t)((const char *)memrchr(data, '\n', size - 1) - data) + 1; /* all of it but its own row */
    write_file(path, data, middle);
    snprintf(fixture->url, sizeof(fixture->url), "jsonl:%s", path);
    struct iol_sink *sink = open_sink(fixture->url);
    write_batch(sink, io_batch(3, 3));
    iol_sink_close(sink);
    struct found found = read_source(path);
    assert_int_equal(found.batches, 2 | 8);
    assert_int_equal(found.errors, 0);
}

static void refused(const struct fixture *fixture, const char *text, const char *word)
{
    const char *path = path_in(fixture, "other.jsonl");

    write_file(path, text, strlen(text));
    struct found found = read_source(path);
    assert_int_equal(found.batches, 0);
    assert_int_equal(found.errors, 1);
    if (!strstr(found.text, word) || !strstr(found.text, path))
        fail_msg("'%s' is not in: %s", word, found.text);
}

static void test_something_else(void **state)
{
    const struct fixture *fixture = *state;

    refused(fixture,
            "\x7f"
            "ELF\n\n\n",
            "no JSON");
    refused(fixture, "{\"ts\":\"2026-11-25T00:00:00Z\",\"kind\":\"exec\"}\n{\"ts\":1}\n", "no row of a ledger");
    refused(fixture, "{\"table\": \"future\", \"a\": 1}\n", "'future'");
    refused(fixture,
            "{\"table\": \"batch\", \"host_id\": 1, \"boot_id\": \"x\", \"seq\": 1, \"ts\": null, \"more\": 1}\n",
            "ts");
    refused(fixture,
            "{\"table\": \"batch\", \"host_id\": 1, \"boot_id\": \"x\", \"seq\": 1, \"ts\": "
            "\"2026-11-23T08:18:06.123456Z\", \"more\": 1}\n",
            "'more'");
    refused(fixture,
            "{\"table\": \"loss\", \"ts_from\": \"2026-11-23T08:18:06.123456Z\", \"ts_to\": "
            "\"2026-11-23T08:18:06.123456Z\", \"host_id\": 2, \"reason\": \"x\", \"lost\": 1}\n"
            "{\"table\": \"batch\", \"host_id\": 1, \"boot_id\": \"x\", \"seq\": 1, \"ts\": "
            "\"2026-11-23T08:18:06.123456Z\"}\n",
            "another host");
}

/* Every hostile value comes through JSON and through a segment as it was, and twice is once. */
static void test_every_value(void **state)
{
    struct fixture *fixture = *state;
    struct iol_batch *batch = hostile_batch(1);
    char path[128], url[160], dir[128], segment[192];

    snprintf(path, sizeof(path), "%s/hostile.jsonl", fixture->dir);
    snprintf(dir, sizeof(dir), "%s/spool", fixture->dir);
    snprintf(segment, sizeof(segment), "%s/0000000000000001.segment", dir);
    snprintf(url, sizeof(url), "jsonl:%s", path);
    struct iol_sink *sink = open_sink(url);
    write_batch(sink, hostile_batch(1));
    iol_sink_close(sink);
    struct iol_spool *spool = open_spool(dir);
    assert_int_equal(iol_spool_append(spool, batch, NULL), 0);
    iol_spool_close(spool);
    const char *paths[] = {path, segment};
    for (size_t i = 0; i < IOL_ARRAY_SIZE(paths); i++) {
        snprintf(url, sizeof(url), "sqlite:%s/ledger%zu.db", fixture->dir, i);
        sink = open_sink(url);
        for (int turn = 0; turn < 2; turn++) {
            struct iol_source *source = open_source(paths[i]);
            struct iol_batch *read = NULL;
            struct iol_error err = {0};
            if (iol_source_next(source, &read, &err) != 1)
                fail_msg("%s", err.text);
            write_batch(sink, read);
            assert_int_equal(iol_source_next(source, &read, &err), 0);
            iol_source_close(source);
        }
        iol_sink_close(sink);
        ledger_equals(url, batch);
    }
    iol_batch_free(batch);
}

/* A recorder's spool is its own; what was read of it once, no recorder merges any more. */
static void test_hold(void **state)
{
    const struct fixture *fixture = *state;
    const struct iol_spool_options small = {.max_bytes = IOL_SPOOL_MIN_BYTES / 64, .target = "postgresql://db/ledger"};
    char dir[128];
    struct iol_error err = {0};
    size_t ends[BATCHES];
    char **paths;
    size_t n;
    int fd = -1, r = 0;

    snprintf(dir, sizeof(dir), "%s/spool", fixture->dir);
    make_spool(dir, BATCHES, ends);
    struct iol_spool *spool = open_spool(dir);
    assert_int_equal(iol_spool_hold(dir, &fd, &err), -EBUSY);
    assert_non_null(strstr(err.text, dir));
    iol_spool_close(spool);
    /* Many segments, none of which has been sent. */
    assert_int_equal(iol_spool_open(dir, &small, &spool, &err), 0);
    for (int64_t seq = BATCHES + 1; seq < 120; seq++) {
        struct iol_batch *batch = io_batch(seq, 400);
        assert_int_equal(iol_spool_append(spool, batch, &err), 0);
        iol_batch_free(batch);
    }
    iol_spool_close(spool);
    assert_int_equal(iol_spool_hold(dir, &fd, &err), 0);
    assert_true(fd >= 0);
    assert_int_equal(iol_spool_open(dir, &small, &spool, &err), -EBUSY);
    assert_int_equal(iol_source_list(dir, &paths, &n, &err), 0);
    assert_true(n > 2);
    unsigned long long held = 0;
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        assert_int_equal(stat(paths[i], &st), 0);
        held += (unsigned long long)st.st_ino * (i + 1);
    }
    close(fd);
    assert_int_equal(iol_spool_open(dir, &small, &spool, &err), 0);
    for (int64_t seq = 120; seq < 500 && r == 0; seq++) {
        struct iol_batch *batch = io_batch(seq, 400);
        r = iol_spool_append(spool, batch, &err);
        iol_batch_free(batch);
    }
    iol_spool_close(spool);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        assert_int_equal(stat(paths[i], &st), 0);
        held -= (unsigned long long)st.st_ino * (i + 1);
        free(paths[i]);
    }
    free(paths);
    assert_int_equal(held, 0);
    /* A folder that is no spool is anybody's. */
    assert_int_equal(iol_spool_hold(fixture->dir, &fd, &err), 0);
    assert_int_equal(fd, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_value, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_cut_jsonl, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_cut_segment, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_damaged_segment, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_damaged_jsonl, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_half_batch_within, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_half_batch_is_cut_off, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_something_else, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(test_hold, make_dir, remove_dir),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
