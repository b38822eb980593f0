// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

static const char *in_dir(struct fixture *fixture, const char *name)
{
    snprintf(fixture->url, sizeof(fixture->url), "jsonl:%s/%s", fixture->dir, name);
    return fixture->url;
}

static const char *path_of(const char *url)
{
    return strchr(url, ':') + 1;
}

static void record(const char *url, struct iol_batch *batch)
{
    struct iol_sink *sink = open_sink(url);

    write_batch(sink, batch);
    iol_sink_close(sink);
}

static void check_cell(const struct iol_column *column, const char *row, const json_t *cell)
{
    char time[40], expected[44];
    const char *text;
    int64_t value;

    memcpy(&value, row + column->offset, sizeof(value));
    memcpy(&text, row + column->offset, sizeof(text));
    assert_non_null(cell);
    if (column->type == IOL_TYPE_TEXT ? !text : value == IOL_NULL) {
        assert_true(json_is_null(cell));
        return;
    }
    if (column->type == IOL_TYPE_INT) {
        assert_true(json_is_integer(cell));
        assert_int_equal(json_integer_value(cell), value);
        return;
    }
    assert_true(json_is_string(cell));
    if (column->type == IOL_TYPE_TEXT) {
        assert_string_equal(json_string_value(cell), text);
    } else if (column->type == IOL_TYPE_ENUM) {
        assert_string_equal(json_string_value(cell), column->words->words[value]);
    } else {
        iol_text_time(time, sizeof(time), value);
        time[10] = 'T';
        snprintf(expected, sizeof(expected), "%sZ", time);
        assert_string_equal(json_string_value(cell), expected);
    }
}

/* The file's lines are the batch's rows, in the order of the tables. */
static void file_equals(const char *path, const struct iol_batch *batch)
{
    FILE *file = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;

    assert_non_null(file);
    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        for (size_t i = 0; i < batch->rows[t].count; i++) {
            assert_true(getline(&line, &size, file) > 0);
            json_t *object = json_loads(line, 0, NULL);
            assert_string_equal(json_string_value(json_object_get(object, "table")), table->name);
            assert_int_equal(json_object_size(object), table->n_columns + 1);
            for (size_t j = 0; j < table->n_columns; j++)
                check_cell(&table->columns[j], (const char *)batch->rows[t].data + i * iol_batch_row_size(t),
                           json_object_get(object, table->columns[j].name));
            json_decref(object);
        }
    }
    assert_int_equal(getline(&line, &size, file), -1);
    fclose(file);
}

static int count_lines(const char *path)
{
    _cleanup_free_ char *count = shell("jq -c . '%s' | wc -l", path);

    return atoi(count);
}

static void test_every_value(void **state)
{
    const char *url = in_dir(*state, "ledger.jsonl");
    struct iol_batch *batch = hostile_batch(1);

    record(url, hostile_batch(1));
    file_equals(path_of(url), batch);
    iol_batch_free(batch);
    /* Nothing stands in it that a terminal would obey. */
    free(shell("! LC_ALL=C grep -q '[^ -~]' '%s'", path_of(url)));
}

static void test_append(void **state)
{
    const char *url = in_dir(*state, "ledger.jsonl");

    record(url, io_batch(1, 3));
    record(url, io_batch(2, 3));
    assert_int_equal(count_lines(path_of(url)), 20);
}

static void test_refusals(void **state)
{
    const char *url = in_dir(*state, "ledger.jsonl");
    struct iol_sink *sink = open_sink(url);

    open_sink_fails(url, -EBUSY, "another recorder");
    iol_sink_close(sink);
    open_sink_fails("jsonl:", -EINVAL, "names no file");
    open_sink_fails(in_dir(*state, "none/x.jsonl"), -ENOENT, "No such file");
    open_sink_fails(in_dir(*state, "."), -EISDIR, "directory");
    url = in_dir(*state, "other.txt");
    free(shell("echo 'something else' > '%s'", path_of(url)));
    open_sink_fails(url, -EEXIST, "something else");
    _cleanup_free_ char *text = shell("cat '%s'", path_of(url));
    assert_string_equal(text, "something else\n");
}

static void test_torn_line(void **state)
{
    const char *url = in_dir(*state, "ledger.jsonl");

    record(url, io_batch(1, 3));
    free(shell("tail -c 9000 '%s' | head -c 100 >> '%s'", path_of(url), path_of(url)));
    record(url, io_batch(2, 3));
    assert_int_equal(count_lines(path_of(url)), 20);
    /* One that is torn before its first newline. */
    url = in_dir(*state, "short.jsonl");
    free(shell("printf '{\"tab' > '%s'", path_of(url)));
    record(url, io_batch(1, 3));
    assert_int_equal(count_lines(path_of(url)), 10);
}

static void test_full_disk(void **state)
{
    struct fixture *fixture = *state;
    const char *url = in_dir(fixture, "ledger.jsonl");
    struct iol_error err = {0};
    int64_t seq = 0;
    int r = 0;

    if (geteuid() != 0 || mount("tmpfs", fixture->dir, "tmpfs", 0, "size=3m") < 0)
        skip();
    struct iol_sink *sink = open_sink(url);
    free(shell("head -c 1000000 /dev/zero > '%s/filler'", fixture->dir));
    while (r == 0 && seq < 1000) {
        struct iol_batch *batch = io_batch(++seq, 200);
        r = iol_sink_write(sink, batch, &err);
        iol_batch_free(batch);
    }
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err.text, "no space"));
    assert_int_equal(count_lines(path_of(url)), (seq - 1) * 601);
    free(shell("rm '%s/filler'", fixture->dir));
    write_batch(sink, io_batch(seq, 200));
    assert_int_equal(count_lines(path_of(url)), seq * 601);
    iol_sink_close(sink);
    assert_int_equal(umount(fixture->dir), 0);
}

static void test_device(void **state)
{
    struct iol_sink *sink = open_sink("jsonl:/dev/full");
    struct iol_batch *batch = io_batch(1, 3);
    struct iol_error err = {0};

    (void)state;
    assert_int_equal(iol_sink_write(sink, batch, &err), -ENOSPC);
    iol_batch_free(batch);
    iol_sink_close(sink);
    record("jsonl:/dev/null", io_batch(1, 3));
}

/* stdout becomes `fd` while the sink is opened. */
static struct iol_sink *open_stdout(int fd)
{
    fflush(stdout);
    int before = dup(STDOUT_FILENO);
    assert_true(before >= 0 && dup2(fd, STDOUT_FILENO) >= 0);
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    int r = iol_sink_open("jsonl:-", &options, &sink, NULL);
    dup2(before, STDOUT_FILENO);
    close(before);
    assert_int_equal(r, 0);
    return sink;
}

static void *read_all(void *arg)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size), *in = fdopen(*(int *)arg, "re");

    for (int c; (c = getc(in)) != EOF;)
        putc(c, out);
    fclose(in);
    fclose(out);
    return text;
}

static void test_stdout(void **state)
{
    int ends[2];
    pthread_t reader;
    void *text;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
    struct iol_sink *sink = open_stdout(ends[1]);
    close(ends[1]);
    write_batch(sink, io_batch(1, 500));
    iol_sink_close(sink);
    pthread_join(reader, &text);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_t *object = json_loads(line, 0, NULL);
        assert_non_null(object);
        json_decref(object);
    }
    free(text);
    assert_int_equal(lines, 1501);
}

/* The reader takes a part and goes on only after the first try was broken off: not a byte is missing or doubled. */
static void test_interrupted_pipe(void **state)
{
    int ends[2];
    pthread_t reader;
    void *text;
    struct iol_batch *batch = io_batch(1, 500);
    struct iol_error err = {0};

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct iol_sink *sink = open_stdout(ends[1]);
    close(ends[1]);
    iol_sink_interrupt(sink);
    assert_int_equal(iol_sink_write(sink, batch, &err), -EAGAIN);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &ends[0]), 0);
    write_batch(sink, batch);
    iol_sink_close(sink);
    pthread_join(reader, &text);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++)
        assert_int_equal(line[0], '{');
    free(text);
    assert_int_equal(lines, 1501);
}

static void test_reader_gone(void **state)
{
    int ends[2];
    struct iol_batch *batch = io_batch(1, 3);
    struct iol_error err = {0};

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct iol_sink *sink = open_stdout(ends[1]);
    close(ends[1]);
    close(ends[0]);
    signal(SIGPIPE, SIG_DFL); /* would end the test */
    assert_int_equal(iol_sink_write(sink, batch, &err), -EPIPE);
    assert_non_null(strstr(err.text, "stdout"));
    iol_batch_free(batch);
    iol_sink_close(sink);
}

static void test_fifo(void **state)
{
    const char *url = in_dir(*state, "fifo");
    struct iol_batch *batch = io_batch(1, 500);
    struct iol_error err = {0};
    pthread_t reader;
    void *text;
    int in;

    assert_int_equal(mkfifo(path_of(url), 0600), 0);
    open_sink_fails(url, -ENXIO, "nobody reads");
    in = open(path_of(url), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(in >= 0);
    struct iol_sink *sink = open_sink(url);
    assert_int_equal(fcntl(in, F_SETFL, O_RDONLY), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &in), 0);
    write_batch(sink, io_batch(2, 500));
    iol_sink_close(sink);
    pthread_join(reader, &text);
    int lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    free(text);
    assert_int_equal(lines, 1501);

    in = open(path_of(url), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    sink = open_sink(url);
    close(in);
    assert_int_equal(iol_sink_write(sink, batch, &err), -EPIPE);
    assert_non_null(strstr(err.text, "nobody reads"));
    iol_batch_free(batch);
    iol_sink_close(sink);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_value), TEST(test_append), TEST(test_refusals), TEST(test_torn_line),
        TEST(test_full_disk),   TEST(test_device), TEST(test_stdout),   TEST(test_interrupted_pipe),
        TEST(test_reader_gone), TEST(test_fifo),
    };

    return cmocka_run_group_tests_name("jsonl", tests, NULL, NULL);
}
