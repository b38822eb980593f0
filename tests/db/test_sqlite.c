// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"

static const char *in_dir(struct fixture *fixture, const char *name)
{
    snprintf(fixture->url, sizeof(fixture->url), "sqlite:%s/%s", fixture->dir, name);
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

static void test_every_value(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_batch *batch = hostile_batch(1);

    record(url, hostile_batch(1));
    ledger_equals(url, batch);
    iol_batch_free(batch);
    /* And as another program sees it. */
    for (size_t i = 0; i < n_hostile_texts; i++) {
        char expected[1024] = "", query[1024];
        for (const char *c = hostile_texts[i]; *c; c++)
            sprintf(expected + strlen(expected), "%02X", (unsigned char)*c);
        snprintf(query, sizeof(query), "SELECT count(*) FROM file WHERE hex(path) = '%s'", expected);
        _cleanup_free_ char *count = shell("sqlite3 '%s' \"%s\"", path_of(url), query);
        assert_true(atoi(count) >= 2);
    }
    _cleanup_free_ char *check = shell("sqlite3 '%s' 'PRAGMA integrity_check'", path_of(url));
    assert_string_equal(check, "ok\n");
}

static void test_strange_file_names(void **state)
{
    static const char *const names[] = {":memory:", "file:x?mode=memory", "a b%20c#d?e", "quote'\"", "-", " "};
    struct fixture *fixture = *state;

    assert_int_equal(chdir(fixture->dir), 0);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(names); i++) {
        char url[64];
        snprintf(url, sizeof(url), "sqlite:%s", names[i]);
        record(url, io_batch(1, 3));
        assert_int_equal(access(names[i], R_OK), 0);
        assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 3);
    }
    assert_int_equal(chdir("/"), 0);
}

static void test_replay(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
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
    const char *url = in_dir(*state, "ledger.db");
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
    const char *url = in_dir(*state, "ledger.db");
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
    const char *url = in_dir(*state, "ledger.db");
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
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batch = io_batch(1, 2);
    struct iol_error err = {0};

    struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
    io[1].route = 99;
    assert_int_equal(iol_sink_write(sink, batch, &err), -EINVAL);
    io[1].route = IOL_ROUTE_RW;
    io[1].ts = IOL_NULL;
    assert_int_equal(iol_sink_write(sink, batch, &err), -EINVAL);
    assert_non_null(strstr(err.text, "io_interval.ts"));
    iol_batch_free(batch);
    assert_int_equal(ask_int(url, "SELECT (SELECT count(*) FROM io) + (SELECT count(*) FROM batch)"), 0);
    /* The next one is not harmed, nor is the same number. */
    write_batch(sink, io_batch(1, 2));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 2);
    iol_sink_close(sink);
}

/* More rows than one statement takes: of two intervals, files that are there already among them, and one that is told twice. */
static void test_many_rows(void **state)
{
    enum { N = 100, MORE = 230 };
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batch = io_batch(2, MORE);
    struct iol_io *io = batch->rows[IOL_TABLE_IO].data;
    struct iol_file *file = batch->rows[IOL_TABLE_FILE].data;

    write_batch(sink, io_batch(1, N));
    for (int i = 0; i < MORE; i++) {
        io[i].read_bytes = 1000 + i;
        io[i].ts += i < MORE / 2 ? 0 : 1000000;
    }
    file[150] = file[149];
    io[150].file_id = io[149].file_id;
    write_batch(sink, batch);
    iol_sink_close(sink);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM file"), MORE - 1);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM file WHERE path = '/data/' || (id - 1)"), MORE - 1);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), N + MORE);
    assert_int_equal(ask_int(url, "SELECT count(DISTINCT id >> 20) FROM io_row"), 3);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io WHERE read_bytes BETWEEN 1000 AND 1229 AND"
                                  " (file_id = read_bytes - 999 OR (file_id = 150 AND read_bytes = 1150)) AND"
                                  " (ts = (SELECT min(ts) FROM io)) = (read_bytes < 1115)"),
                     MORE);
    _cleanup_free_ char *check = shell("sqlite3 '%s' 'PRAGMA integrity_check'", path_of(url));
    assert_string_equal(check, "ok\n");
}

/* A row that the table refuses takes with it what stands before it in its statement, in others and in other batches. */
static void test_rejected_among_many(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batches[] = {io_batch(1, 100), io_batch(2, 200)};
    struct iol_file *file = batches[1]->rows[IOL_TABLE_FILE].data;
    const char *path = file[140].path;
    struct iol_error err = {0};

    file[140].path = NULL;
    assert_int_equal(iol_sink_write_some(sink, (const struct iol_batch *const *)batches, 2, &err), -EINVAL);
    assert_non_null(strstr(err.text, "file.path"));
    assert_int_equal(ask_int(url, "SELECT (SELECT count(*) FROM io) + (SELECT count(*) FROM batch)"
                                  " + (SELECT count(*) FROM file) + (SELECT count(*) FROM process)"),
                     0);
    file[140].path = path;
    assert_int_equal(iol_sink_write_some(sink, (const struct iol_batch *const *)batches, 2, &err), 2);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM file"), 200);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 300);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(batches); i++)
        iol_batch_free(batches[i]);
    iol_sink_close(sink);
}

static void test_second_recorder(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);

    open_sink_fails(url, -EBUSY, "another recorder");
    write_batch(sink, io_batch(1, 2));
    iol_sink_close(sink);
    record(url, io_batch(2, 2));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 4);
}

static void test_read_while_recording(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);

    write_batch(sink, io_batch(1, 10));
    struct iol_db *db = open_db(url);
    write_batch(sink, io_batch(2, 10));
    /* A reader goes on seeing what it saw first; the next one sees more. */
    _cleanup_free_ char *before = ask(db, "SELECT count(*) FROM io");
    assert_string_equal(before, "10\n");
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 20);
    iol_sink_close(sink);
    iol_db_close(db);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 20);
    record(url, io_batch(3, 10));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 30);
}

static void test_foreign(void **state)
{
    const char *url = in_dir(*state, "foreign.db");

    free(shell("sqlite3 '%s' 'CREATE TABLE io (a); INSERT INTO io VALUES (7)'", path_of(url)));
    _cleanup_free_ char *before = shell("md5sum '%s'", path_of(url));
    open_sink_fails(url, -EEXIST, "another program");
    open_db_fails(url, -EEXIST, "another program");
    _cleanup_free_ char *after = shell("md5sum '%s'", path_of(url));
    assert_string_equal(before, after);

    url = in_dir(*state, "application.db");
    free(shell("sqlite3 '%s' 'PRAGMA application_id = 77'", path_of(url)));
    open_sink_fails(url, -EEXIST, "another program");

    url = in_dir(*state, "changed.db");
    record(url, io_batch(1, 1));
    free(shell("sqlite3 '%s' 'ALTER TABLE loss RENAME COLUMN lost TO found'", path_of(url)));
    open_sink_fails(url, -EBADMSG, "not those of a ledger");
    open_db_fails(url, -EBADMSG, "not those of a ledger");
}

/* A ledger of version 2 is read as it is, and becomes one of this version with the same rows when it is recorded to. */
static void test_upgrade(void **state)
{
    static const char rows[] = "SELECT * FROM io WHERE host_id = 1 ORDER BY process_id",
                      log[] = "SELECT * FROM audit_log";
    const char *url = in_dir(*state, "ledger.db");

    free(shell("cat \"$(dirname \"$IOL_PGCLUSTER\")/schema_2.sqlite.sql\" \"$(dirname \"$IOL_PGCLUSTER\")/rows_2.sql\" "
               "| grep -v add_days | sqlite3 '%s'",
               path_of(url)));
    _cleanup_free_ char *before = ask_url(url, rows), *log_before = ask_url(url, log);
    assert_true(strlen(before) > 100);
    record(url, io_batch(1, 10));
    _cleanup_free_ char *after = ask_url(url, rows), *log_after = ask_url(url, log);
    assert_string_equal(after, before);
    assert_true(strlen(log_after) > strlen(log_before));
    assert_int_equal(ask_int(url, "SELECT max(version) FROM ioledger_schema"), 4);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io WHERE host_id <> 1"), 10);
}

/* In version 3 a process had no pid of its namespace. */
static void test_upgrade_of_3(void **state)
{
    const char *url = in_dir(*state, "ledger.db");

    record(url, io_batch(1, 10));
    free(shell("sqlite3 '%s' 'ALTER TABLE process DROP COLUMN ns_pid; UPDATE ioledger_schema SET version = 3'",
               path_of(url)));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 10);
    record(url, io_batch(2, 10));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 20);
    assert_int_equal(ask_int(url, "SELECT count(ns_pid) FROM process"), 0);
    assert_int_equal(ask_int(url, "SELECT max(version) FROM ioledger_schema"), 4);
}

static void test_newer_version(void **state)
{
    const char *url = in_dir(*state, "ledger.db");

    record(url, io_batch(1, 1));
    free(shell("sqlite3 '%s' 'UPDATE ioledger_schema SET version = version + 1'", path_of(url)));
    open_sink_fails(url, -EPROTONOSUPPORT, "up to version 4");
    open_db_fails(url, -EPROTONOSUPPORT, "up to version 4");
    free(shell("sqlite3 '%s' 'UPDATE ioledger_schema SET version = 1'", path_of(url)));
    open_sink_fails(url, -EPROTONOSUPPORT, "has version 1");
    open_db_fails(url, -EPROTONOSUPPORT, "has version 1");
}

static void test_dumped_and_loaded(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    char copy[300];

    record(url, io_batch(1, 4));
    snprintf(copy, sizeof(copy), "%s.copy", url);
    free(shell("sqlite3 '%s' .dump | sqlite3 '%s'", path_of(url), path_of(copy)));
    record(copy, io_batch(2, 4));
    assert_int_equal(ask_int(copy, "SELECT count(*) FROM io"), 8);
}

static void test_damaged(void **state)
{
    const char *url = in_dir(*state, "text.db");

    free(shell("yes 'not a database' | head -c 20000 > '%s'", path_of(url)));
    open_sink_fails(url, -EBADMSG, "not an SQLite database");
    open_db_fails(url, -EBADMSG, "not an SQLite database");

    url = in_dir(*state, "cut.db");
    record(url, hostile_batch(1));
    free(shell("truncate -s 5000 '%s'", path_of(url)));
    open_sink_fails(url, -EBADMSG, "damaged");
    open_db_fails(url, -EBADMSG, "damaged");
}

static void test_bad_paths(void **state)
{
    open_sink_fails("sqlite:", -EINVAL, "names no file");
    open_sink_fails("ledger.db", -EINVAL, "no database");
    open_sink_fails("mysql://root@localhost/x", -EINVAL, "no database");
    open_sink_fails("", -EINVAL, "no database");
    open_sink_fails(in_dir(*state, "none/ledger.db"), -ENOENT, "No such file");
    open_sink_fails(in_dir(*state, "."), -EISDIR, "directory");
    open_sink_fails("sqlite:/dev/null", -EINVAL, "regular file");
    open_sink_fails("sqlite:/proc/self/ledger.db", -ENOENT, "/proc/self/ledger.db");

    const char *url = in_dir(*state, "missing.db");
    open_db_fails(url, -ENOENT, "no ledger");
    assert_int_equal(access(path_of(url), F_OK), -1);
    free(shell(": > '%s'", path_of(url)));
    open_db_fails(url, -ENOENT, "no ledger");
    open_db_fails("sqlite:", -EINVAL, "names no file");
    open_db_fails("jsonl:x", -EOPNOTSUPP, "jsonl");
    open_db_fails("x", -EINVAL, "no database");
}

static int sink_code(const char *url)
{
    const struct iol_sink_options options = {0};
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};

    int r = iol_sink_open(url, &options, &sink, &err);
    iol_sink_close(sink);
    return -r;
}

/* 0: it could be read and holds three rows. */
static int reader_code(const char *url)
{
    struct iol_db *db = NULL;
    struct iol_query *query = NULL;
    struct iol_error err = {0};
    int r = iol_db_open(url, false, &db, &err);

    if (r == 0)
        r = iol_query_new(db, "SELECT count(*) FROM io", 0, NULL, &query, &err);
    if (r == 0)
        r = iol_query_next(query, &err) == 1 && iol_query_int(query, 0) == 3 ? 0 : -EBADMSG;
    if (r < 0)
        fprintf(stderr, "# %s: %s\n", err.text, err.hint);
    iol_query_free(query);
    iol_db_close(db);
    return -r;
}

static void test_without_rights(void **state)
{
    struct fixture *fixture = *state;
    const char *url = in_dir(fixture, "ledger.db");

    if (geteuid() != 0)
        skip();
    record(url, io_batch(1, 3));
    assert_int_equal(as_nobody(sink_code, url), EACCES);
    assert_int_equal(chmod(path_of(url), 0666), 0);
    assert_int_equal(as_nobody(sink_code, url), EACCES); /* the folder */
    char missing[300];
    snprintf(missing, sizeof(missing), "%s.new", url);
    assert_int_equal(as_nobody(sink_code, missing), EACCES);

    assert_int_equal(as_nobody(reader_code, url), 0);
    assert_int_equal(chmod(path_of(url), 0600), 0);
    assert_int_equal(as_nobody(reader_code, url), EACCES);
}

static void test_reader_without_rights_while_recording(void **state)
{
    const char *url = in_dir(*state, "ledger.db");

    if (geteuid() != 0)
        skip();
    struct iol_sink *sink = open_sink(url);
    write_batch(sink, io_batch(1, 3));
    assert_int_equal(as_nobody(reader_code, url), 0);
    /* A ledger that a reader kept from leaving the WAL mode. */
    struct iol_db *db = open_db(url);
    iol_sink_close(sink);
    iol_db_close(db);
    assert_int_equal(as_nobody(reader_code, url), 0);
}

static void test_killed_recorder(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    pid_t child = fork();
    int status;

    if (child == 0) {
        write_batch(open_sink(url), io_batch(1, 3));
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    if (geteuid() == 0)
        assert_int_equal(as_nobody(reader_code, url), 0);
    assert_int_equal(reader_code(url), 0);
    record(url, io_batch(2, 3));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 6);
}

static void test_read_only_filesystem(void **state)
{
    struct fixture *fixture = *state;
    const char *url = in_dir(fixture, "ledger.db");

    if (geteuid() != 0)
        skip();
    record(url, io_batch(1, 3));
    if (mount(fixture->dir, fixture->dir, NULL, MS_BIND, NULL) < 0)
        skip();
    assert_int_equal(mount(NULL, fixture->dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL), 0);
    int writing = sink_code(url), reading = reader_code(url);
    assert_int_equal(umount(fixture->dir), 0);
    assert_int_equal(writing, EROFS);
    assert_int_equal(reading, 0);
}

/* Fills the disk, sees the refusal, makes room, and goes on with the very batch that was refused. */
static void fill_and_continue(const char *dir, const char *url)
{
    struct iol_sink *sink = open_sink(url);
    struct iol_error err = {0};
    int64_t seq = 0;
    int r = 0;

    free(shell("head -c 2000000 /dev/zero > '%s/filler'", dir));
    while (r == 0 && seq < 1000) {
        struct iol_batch *batch = io_batch(++seq, 200);
        r = iol_sink_write(sink, batch, &err);
        iol_batch_free(batch);
    }
    assert_int_equal(r, -ENOSPC);
    assert_non_null(strstr(err.text, "no space"));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), (seq - 1) * 200);
    free(shell("rm '%s/filler'", dir));
    write_batch(sink, io_batch(seq, 200));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), seq * 200);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM batch"), seq);
    iol_sink_close(sink);
    _cleanup_free_ char *check = shell("sqlite3 '%s' 'PRAGMA integrity_check'", path_of(url));
    assert_string_equal(check, "ok\n");
}

static void test_full_disk(void **state)
{
    struct fixture *fixture = *state;

    if (geteuid() != 0 || mount("tmpfs", fixture->dir, "tmpfs", 0, "size=6m") < 0)
        skip();
    fill_and_continue(fixture->dir, in_dir(fixture, "ledger.db"));
    free(shell("head -c 9000000 /dev/zero > '%s/filler' 2>/dev/null || true", fixture->dir));
    open_sink_fails(in_dir(fixture, "other.db"), -ENOSPC, "space");
    assert_int_equal(umount(fixture->dir), 0);
}

static void test_deleted_file(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);
    struct iol_batch *batch = io_batch(1, 1);
    struct iol_error err = {0};

    assert_int_equal(unlink(path_of(url)), 0);
    assert_int_equal(iol_sink_write(sink, batch, &err), -ESTALE);
    assert_non_null(strstr(err.text, "deleted"));
    iol_batch_free(batch);
    iol_sink_close(sink);
}

static void test_locked_for_a_while(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_sink *sink = open_sink(url);
    sqlite3 *other;

    assert_int_equal(sqlite3_open(path_of(url), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    struct iol_batch *batch = io_batch(1, 1);
    struct iol_error err = {0};
    assert_int_equal(iol_sink_write(sink, batch, &err), -EAGAIN);
    iol_batch_free(batch);
    sqlite3_close(other);
    write_batch(sink, io_batch(1, 1));
    iol_sink_close(sink);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 1);
}

static void uses_index(struct iol_db *db, const char *sql, const char *index)
{
    char explain[512];

    snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
    _cleanup_free_ char *plan = ask(db, explain);
    if (!strstr(plan, index))
        fail_msg("%s: %s", sql, plan);
}

static void test_indexes(void **state)
{
    const char *url = in_dir(*state, "ledger.db");

    record(url, io_batch(1, 100));
    struct iol_db *db = open_db(url);
    uses_index(db, "SELECT * FROM file WHERE path = $1", "file_path");
    uses_index(db, "SELECT * FROM file WHERE path >= $1 AND path < $2", "file_path");
    uses_index(db, "SELECT * FROM io WHERE file_id = $1", "io_row_file_id");
    uses_index(db, "SELECT * FROM io WHERE process_id = $1", "io_row_process_id");
    uses_index(db, "SELECT * FROM process WHERE pid = $1", "process_pid");
    uses_index(db, "SELECT * FROM process WHERE parent_id = $1", "process_parent_id");
    iol_db_close(db);
}

/* Ids are hashes: were their tables ordered by them, each row would go to another page. */
static void test_order_of_arrival(void **state)
{
    const char *url = in_dir(*state, "ledger.db");

    record(url, io_batch(1, 100)); /* an odd one has the ids from 100 down to 1 */
    assert_int_equal(ask_int(url, "SELECT count(*) FROM file WHERE rowid = 101 - id"), 100);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM process WHERE rowid = 101 - id"), 100);
}

static void test_views(void **state)
{
    const char *url = in_dir(*state, "ledger.db");

    record(url, hostile_batch(1));
    _cleanup_free_ char *columns =
        shell("sqlite3 -header '%s' 'SELECT * FROM audit_log LIMIT 1' | head -n 1", path_of(url));
    assert_string_equal(columns, "pid|type|comm|path|timestamp\n");
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io_named"), 50);
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io_named WHERE \"user\" = 'root'"),
                     ask_int(url, "SELECT count(*) FROM io JOIN process ON id = process_id WHERE uid = 0"));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM audit_log WHERE type = 1"),
                     ask_int(url, "SELECT count(*) FROM process WHERE origin = 'exec'"));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM audit_log WHERE type = 3"),
                     ask_int(url, "SELECT count(*) FROM io WHERE read_ops > 0"));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM audit_log WHERE type = 4"), 25);
}

/* io is a view there, and takes what a table would. */
static void test_io_by_hand(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    struct iol_batch *batch = hostile_batch(1);

    record(url, hostile_batch(1));
    free(shell("sqlite3 '%s' 'CREATE TABLE kept AS SELECT * FROM io; DELETE FROM io'", path_of(url)));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io"), 0);
    free(shell("sqlite3 '%s' 'INSERT INTO io SELECT * FROM kept; DROP TABLE kept'", path_of(url)));
    ledger_equals(url, batch);
    free(shell("sqlite3 '%s' \"UPDATE io SET read_errors = 12345, route = 'splice'\"", path_of(url)));
    assert_int_equal(ask_int(url, "SELECT count(*) FROM io WHERE read_errors = 12345 AND route = 'splice'"),
                     ask_int(url, "SELECT count(*) FROM io"));
    _cleanup_free_ char *refused = shell("sqlite3 '%s' \"UPDATE io SET ts = '2026-01-01'\" 2>&1 || true", path_of(url));
    assert_non_null(strstr(refused, "times and host cannot"));
    iol_batch_free(batch);
}

static void test_queries(void **state)
{
    const char *url = in_dir(*state, "ledger.db");
    const char *const params[] = {"/data/3", NULL};
    struct iol_query *query = NULL;
    struct iol_error err = {0};

    record(url, io_batch(1, 10));
    struct iol_db *db = open_db(url);
    assert_int_equal(iol_db_dialect(db), IOL_DIALECT_SQLITE);
    assert_int_equal(
        iol_query_new(db, "SELECT id, path FROM file WHERE path = $1 AND $2 IS NULL", 2, params, &query, &err), 0);
    assert_int_equal(iol_query_columns(query), 2);
    assert_int_equal(iol_query_next(query, &err), 1);
    assert_int_equal(iol_query_int(query, 0), 4);
    assert_int_equal(iol_query_next(query, &err), 0);
    assert_int_equal(iol_query_next(query, &err), 0);
    iol_query_free(query);
    assert_true(iol_query_new(db, "SELECT nothing", 0, NULL, &query, &err) < 0);
    assert_non_null(strstr(err.text, "nothing"));
    assert_int_equal(iol_query_new(db, "DELETE FROM file", 0, NULL, &query, &err), 0);
    assert_true(iol_query_next(query, &err) < 0);
    iol_query_free(query);
    iol_db_close(db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_every_value),
        TEST(test_strange_file_names),
        TEST(test_replay),
        TEST(test_group),
        TEST(test_once_and_latest),
        TEST(test_unknown_becomes_known),
        TEST(test_rejected),
        TEST(test_many_rows),
        TEST(test_rejected_among_many),
        TEST(test_second_recorder),
        TEST(test_read_while_recording),
        TEST(test_foreign),
        TEST(test_upgrade),
        TEST(test_upgrade_of_3),
        TEST(test_newer_version),
        TEST(test_dumped_and_loaded),
        TEST(test_damaged),
        TEST(test_bad_paths),
        TEST(test_without_rights),
        TEST(test_reader_without_rights_while_recording),
        TEST(test_killed_recorder),
        TEST(test_read_only_filesystem),
        TEST(test_full_disk),
        TEST(test_deleted_file),
        TEST(test_locked_for_a_while),
        TEST(test_indexes),
        TEST(test_order_of_arrival),
        TEST(test_views),
        TEST(test_io_by_hand),
        TEST(test_queries),
    };

    return cmocka_run_group_tests_name("sqlite", tests, NULL, NULL);
}
