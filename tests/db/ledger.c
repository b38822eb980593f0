// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/text.h"

#define SEPARATOR "\x1f"

const char *const hostile_texts[] = {
    "",
    " ",
    "plain",
    "two\nlines",
    "\n",
    "carriage\rreturn",
    "tab\there",
    "'single' \"double\" `back`",
    "'; DROP TABLE io; --",
    "back\\slash\\",
    "\\N",
    "\\.",
    "\\x41",
    "NULL",
    "null",
    "{\"a\": [1, 2]}",
    "$1 ?1 :a @b %s %n %00",
    "comma, semicolon; pipe|",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "\x01\x02\x1f\x7f",
    "\xc3\xa4\xc3\xb6\xc3\xbc \xe6\x97\xa5\xe6\x9c\xac",
    "\xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf",
    "\xe2\x80\xae reversed \xe2\x80\x8b \xef\xbb\xbf",
    "\xc2\x85 \xe2\x80\xa8 next line",
};
const size_t n_hostile_texts = IOL_ARRAY_SIZE(hostile_texts);

static const int64_t hostile_ints[] = {0, 1, -1, INT64_MAX, INT64_MIN + 1, IOL_NULL, INT64_C(1) << 53, 4294967295};

/* Around the epoch, below a microsecond, the ends of what int64_t can tell, and the present. */
static const int64_t hostile_times[] = {
    0, 1, -1, 999, 1000, -1000, -1001, INT64_MAX, INT64_MIN + 1, INT64_C(1795421886123456789),
};

static const char *text_at(size_t i)
{
    return hostile_texts[i % n_hostile_texts];
}

static int64_t int_at(size_t i)
{
    return hostile_ints[i % IOL_ARRAY_SIZE(hostile_ints)];
}

static int64_t time_at(size_t i)
{
    return hostile_times[i % IOL_ARRAY_SIZE(hostile_times)];
}

static void *add(struct iol_batch *batch, enum iol_table_id table)
{
    void *row = iol_batch_add(batch, table);

    assert_non_null(row);
    return row;
}

/* `size` bytes of folders with names of 200 bytes each. */
static const char *long_path(struct iol_batch *batch, size_t size, char last)
{
    char *path = iol_arena_alloc(batch->arena, size + 1);

    assert_non_null(path);
    for (size_t i = 0; i < size; i++)
        path[i] = i % 201 == 0 ? '/' : (char)('a' + i % 13);
    path[size - 1] = last;
    path[size] = '\0';
    return path;
}

void seal(struct iol_batch *batch, int64_t seq)
{
    struct iol_batch_row *row = add(batch, IOL_TABLE_BATCH);

    *row = (struct iol_batch_row){HOST_ID, BOOT_ID, seq, INT64_C(1795421886123456789) + seq};
}

static void add_process(struct iol_batch *batch, int64_t id, size_t i)
{
    struct iol_process *row = add(batch, IOL_TABLE_PROCESS);

    *row = (struct iol_process){
        .id = id,
        .host_id = HOST_ID,
        .pid = (int64_t)i + 1,
        .start_time = time_at(i),
        .exec_time = i % 2 ? time_at(i + 1) : IOL_NULL,
        .parent_id = int_at(i),
        .ppid = int_at(i + 1),
        .origin = (int64_t)i % IOL_ORIGIN_COUNT,
        .comm = text_at(i),
        .exe = i % 7 == 0 ? NULL : text_at(i + 1),
        .argv = i % 5 == 0 ? long_path(batch, 100000, 'z') : text_at(i + 2),
        .cwd = text_at(i + 3),
        .uid = int_at(i + 2),
        .euid = int_at(i + 3),
        .gid = int_at(i + 4),
        .login_uid = i % 2 ? IOL_NULL : 1000,
        .session_id = IOL_NULL,
        .ns_pid = IOL_NULL,
        .cgroup = text_at(i + 4),
        .container_id = NULL,
        .flags = i % 3 ? NULL : "escaped,argv_truncated",
    };
}

static void add_file(struct iol_batch *batch, int64_t id, const char *path, size_t i)
{
    struct iol_file *row = add(batch, IOL_TABLE_FILE);

    *row = (struct iol_file){id,
                             HOST_ID,
                             int_at(i),
                             int_at(i + 1),
                             int_at(i + 2),
                             (int64_t)i % IOL_KIND_COUNT,
                             path,
                             i % 4 ? NULL : text_at(i)};
}

static void add_io(struct iol_batch *batch, int64_t process_id, int64_t file_id, size_t i)
{
    struct iol_io *row = add(batch, IOL_TABLE_IO);

    *row = (struct iol_io){
        .ts = time_at(i),
        .interval_ms = 1000,
        .host_id = HOST_ID,
        .process_id = process_id,
        .file_id = file_id,
        .route = (int64_t)i % IOL_ROUTE_COUNT,
        .read_ops = (int64_t)i % 3,
        .read_bytes = int_at(i),
        .write_ops = (int64_t)i % 2,
        .write_bytes = int_at(i + 1),
        .read_errors = 0,
        .write_errors = INT64_MAX,
        .first_ts = i % 3 ? time_at(i) : IOL_NULL,
        .last_ts = time_at(i + 1),
    };
}

static void add_event(struct iol_batch *batch, size_t i)
{
    struct iol_event *row = add(batch, IOL_TABLE_EVENT);

    *row = (struct iol_event){
        .ts = time_at(i),
        .host_id = HOST_ID,
        .process_id = int_at(i),
        .tid = int_at(i + 1),
        .kind = (int64_t)i % IOL_EVENT_KIND_COUNT,
        .file_id = int_at(i + 2),
        .other_file_id = IOL_NULL,
        .offset_bytes = int_at(i + 3),
        .bytes = int_at(i + 4),
        .result = -2,
        .weight = 1,
    };
}

static void add_singles(struct iol_batch *batch)
{
    *(struct iol_host *)add(batch, IOL_TABLE_HOST) =
        (struct iol_host){HOST_ID, text_at(3), "0123456789abcdef", BOOT_ID, text_at(7), time_at(9)};
    *(struct iol_recording *)add(batch, IOL_TABLE_RECORDING) = (struct iol_recording){
        INT64_MAX, HOST_ID, BOOT_ID, time_at(9), IOL_NULL, "0.1.0", "tracepoint", text_at(18), 1, IOL_NULL};
    *(struct iol_login *)add(batch, IOL_TABLE_LOGIN) = (struct iol_login){HOST_ID, 0, "root"};
    *(struct iol_login *)add(batch, IOL_TABLE_LOGIN) = (struct iol_login){HOST_ID, 4294967295, NULL};
    *(struct iol_total *)add(batch, IOL_TABLE_TOTAL) =
        (struct iol_total){time_at(9), 1000, HOST_ID, IOL_ROUTE_MMAP, INT64_MAX, IOL_NULL, 2, 3, 4, 5};
    *(struct iol_loss *)add(batch, IOL_TABLE_LOSS) =
        (struct iol_loss){time_at(8), time_at(9), HOST_ID, text_at(20), INT64_MAX};
}

struct iol_batch *hostile_batch(int64_t seq)
{
    struct iol_batch *batch = iol_batch_new();

    assert_non_null(batch);
    add_singles(batch);
    for (size_t i = 0; i < 50; i++) {
        int64_t id = i == 0 ? INT64_MAX : i == 1 ? INT64_MIN + 1 : (int64_t)(i * UINT64_C(0x9e3779b97f4a7c15));
        add_process(batch, id, i);
        add_file(batch, id, text_at(i), i);
        add_io(batch, id, id, i);
        add_event(batch, i);
        *(struct iol_process_exit *)add(batch, IOL_TABLE_PROCESS_EXIT) =
            (struct iol_process_exit){id, time_at(i), i % 2 ? IOL_NULL : (int64_t)i, i % 2 ? 9 : IOL_NULL};
    }
    /* As long as a path gets when every byte of it is escaped, and two that differ in the last byte only. */
    add_file(batch, 101, long_path(batch, 4095, 'x'), 1);
    add_file(batch, 102, long_path(batch, 4095, 'y'), 2);
    add_file(batch, 103, long_path(batch, 16380, 'x'), 3);
    add_file(batch, 104, long_path(batch, 16380, 'y'), 4);
    seal(batch, seq);
    return batch;
}

struct iol_batch *io_batch(int64_t seq, size_t n)
{
    struct iol_batch *batch = iol_batch_new();

    assert_non_null(batch);
    for (size_t i = 0; i < n; i++) {
        /* Odd batches name the same rows in the other order: a lock taken row by row would deadlock. */
        size_t at = seq % 2 ? n - 1 - i : i;
        char path[32];
        snprintf(path, sizeof(path), "/data/%zu", at);
        add_process(batch, (int64_t)at + 1, 2);
        add_file(batch, (int64_t)at + 1, iol_arena_dup(batch->arena, path, strlen(path)), 2);
        add_io(batch, (int64_t)at + 1, (int64_t)at + 1, 1);
    }
    seal(batch, seq);
    return batch;
}

struct iol_sink *open_sink(const char *url)
{
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    if (iol_sink_open(url, &options, &sink, &err) < 0)
        fail_msg("%s: %s (%s)", url, err.text, err.hint);
    return sink;
}

struct iol_db *open_db(const char *url)
{
    struct iol_db *db = NULL;
    struct iol_error err = {0};

    if (iol_db_open(url, false, &db, &err) < 0)
        fail_msg("%s: %s (%s)", url, err.text, err.hint);
    if (iol_db_focus(db, &(struct iol_focus){.kind = IOL_FOCUS_ALL}, &err) < 0)
        fail_msg("%s: %s", url, err.text);
    return db;
}

static void check_error(int r, int code, const char *text, const struct iol_error *err)
{
    if (r != code || !strstr(err->text, text) || strchr(err->text, '\n') || err->hint[0] == '\0')
        fail_msg("expected %d and '%s', got %d and '%s' with the hint '%s'", code, text, r, err->text, err->hint);
}

void open_sink_fails(const char *url, int code, const char *text)
{
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    check_error(iol_sink_open(url, &options, &sink, &err), code, text, &err);
    assert_null(sink);
}

void open_db_fails(const char *url, int code, const char *text)
{
    struct iol_db *db = NULL;
    struct iol_error err = {0};

    check_error(iol_db_open(url, false, &db, &err), code, text, &err);
    assert_null(db);
}

void write_batch(struct iol_sink *sink, struct iol_batch *batch)
{
    struct iol_error err = {0};

    if (iol_sink_write(sink, batch, &err) != 0)
        fail_msg("%s (%s)", err.text, err.hint);
    iol_batch_free(batch);
}

void write_group_with_replays(struct iol_sink *sink, const char *url)
{
    enum { N = 9 };
    struct iol_batch *batches[N];
    struct iol_error err = {0};

    for (int i = 0; i < N; i++)
        batches[i] = io_batch(i + 1, 10);
    for (int i = 3; i < 6; i += 2) /* as a recorder did whose last answers were lost */
        assert_int_equal(iol_sink_write(sink, batches[i], &err), 0);
    for (size_t done = 0; done < N;) {
        ssize_t n = iol_sink_write_some(sink, (const struct iol_batch *const *)batches + done, N - done, &err);
        if (n < 1 || (size_t)n > N - done)
            fail_msg("%zd: %s", n, err.text);
        done += (size_t)n;
    }
    assert_int_equal(ask_int(url, "SELECT count(*) FROM batch"), N);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), N * 10);
    for (int i = 0; i < N; i++)
        iol_batch_free(batches[i]);
}

char *ask(struct iol_db *db, const char *sql)
{
    struct iol_query *query = NULL;
    struct iol_error err = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    int r;

    if (iol_query_new(db, sql, 0, NULL, &query, &err) < 0)
        fail_msg("%s: %s", sql, err.text);
    while ((r = iol_query_next(query, &err)) == 1) {
        for (size_t i = 0; i < iol_query_columns(query); i++)
            fprintf(out, "%s%s", i ? SEPARATOR : "", iol_query_is_null(query, i) ? "<null>" : iol_query_text(query, i));
        putc('\n', out);
    }
    if (r < 0)
        fail_msg("%s: %s", sql, err.text);
    iol_query_free(query);
    fclose(out);
    return text;
}

char *ask_url(const char *url, const char *sql)
{
    struct iol_db *db = open_db(url);
    char *answer = ask(db, sql);

    iol_db_close(db);
    return answer;
}

long long ask_int(const char *url, const char *sql)
{
    _cleanup_free_ char *answer = ask_url(url, sql);

    return strtoll(answer, NULL, 10);
}

/* A cell as it must read back, told without any of the code that stores it. */
static void print_cell(FILE *out, const struct iol_column *column, const char *row)
{
    const char *member = row + column->offset;
    char time[32];
    int64_t value;

    if (column->type == IOL_TYPE_TEXT) {
        const char *text;
        memcpy(&text, member, sizeof(text));
        fputs(text ? text : "<null>", out);
        return;
    }
    memcpy(&value, member, sizeof(value));
    if (value == IOL_NULL)
        fputs("<null>", out);
    else if (column->type == IOL_TYPE_TIME)
        fputs(iol_text_time(time, sizeof(time), value), out);
    else if (column->type == IOL_TYPE_ENUM)
        fputs(column->words->words[value], out);
    else
        fprintf(out, "%lld", (long long)value);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct texts {
    char **items;
    size_t count;
};

static char *push(struct texts *texts, char *text)
{
    texts->items = realloc(texts->items, (texts->count + 1) * sizeof(*texts->items));
    return texts->items[texts->count++] = text;
}

static void free_texts(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->items[i]);
    free(texts->items);
}

static struct texts expected_rows(const struct iol_table *table, const struct iol_rows *rows)
{
    struct texts texts = {0};

    for (size_t i = 0; i < rows->count; i++) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        for (size_t j = 0; j < table->n_columns; j++) {
            fputs(j ? SEPARATOR : "", out);
            print_cell(out, &table->columns[j], (const char *)rows->data + i * iol_batch_row_size(table->id));
        }
        fclose(out);
        push(&texts, text);
    }
    return texts;
}

static struct texts stored_rows(struct iol_db *db, const struct iol_table *table)
{
    struct texts texts = {0};
    struct iol_query *query = NULL;
    struct iol_error err = {0};
    char sql[1024] = "SELECT ";

    for (size_t j = 0; j < table->n_columns; j++)
        snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), "%s%s", j ? ", " : "", table->columns[j].name);
    snprintf(sql + strlen(sql), sizeof(sql) - strlen(sql), " FROM %s", table->name);
    if (iol_query_new(db, sql, 0, NULL, &query, &err) < 0)
        fail_msg("%s: %s", sql, err.text);
    while (iol_query_next(query, &err) == 1) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        for (size_t j = 0; j < table->n_columns; j++) {
            assert_string_equal(iol_query_name(query, j), table->columns[j].name);
            const char *cell = iol_query_text(query, j);
            fprintf(out, "%s%s", j ? SEPARATOR : "", cell ? cell : "<null>");
        }
        fclose(out);
        push(&texts, text);
    }
    assert_string_equal(err.text, "");
    iol_query_free(query);
    return texts;
}

void ledger_equals(const char *url, const struct iol_batch *batch)
{
    struct iol_db *db = open_db(url);

    for (int t = 0; t < IOL_TABLE_COUNT; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        struct texts expected = expected_rows(table, &batch->rows[t]);
        struct texts stored = stored_rows(db, table);
        if (!expected.items || !stored.items || expected.count != stored.count) {
            fail_msg("%s: %zu rows instead of %zu", table->name, stored.count, expected.count);
            return;
        }
        qsort(expected.items, expected.count, sizeof(char *), compare_texts);
        qsort(stored.items, stored.count, sizeof(char *), compare_texts);
        for (size_t i = 0; i < expected.count; i++)
            assert_string_equal(stored.items[i], expected.items[i]);
        free_texts(&expected);
        free_texts(&stored);
    }
    iol_db_close(db);
}

char *shell(const char *format, ...)
{
    _cleanup_free_ char *command = NULL;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    va_list ap;

    va_start(ap, format);
    assert_true(vasprintf(&command, format, ap) > 0);
    va_end(ap);
    fflush(stdout);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    for (int c; (c = getc(pipe)) != EOF;)
        putc(c, out);
    fclose(out);
    if (pclose(pipe) != 0)
        fail_msg("failed: %s: %s", command, text);
    return text;
}

int as_nobody(int (*function)(const char *url), const char *url)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        if (setgroups(0, NULL) < 0 || setgid(65534) < 0 || setuid(65534) < 0)
            _exit(99);
        _exit(function(url));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int make_dir(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcpy(fixture->dir, "/tmp/ioledger-db.XXXXXX");
    if (!mkdtemp(fixture->dir))
        return -1;
    chmod(fixture->dir, 0755);
    *state = fixture;
    return 0;
}

int remove_dir(void **state)
{
    struct fixture *fixture = *state;

    free(shell("rm -rf '%s'", fixture->dir));
    free(fixture);
    return 0;
}

void add_known(struct iol_batch *batch, int64_t id, const char *comm)
{
    add_process(batch, id, 2);
    struct iol_process *row =
        (struct iol_process *)batch->rows[IOL_TABLE_PROCESS].data + batch->rows[IOL_TABLE_PROCESS].count - 1;
    row->comm = comm;
    row->start_time = 1;
}

void add_unknown(struct iol_batch *batch, int64_t id)
{
    add_known(batch, id, "(unknown)");
    struct iol_process *row =
        (struct iol_process *)batch->rows[IOL_TABLE_PROCESS].data + batch->rows[IOL_TABLE_PROCESS].count - 1;
    row->start_time = IOL_NULL;
}
