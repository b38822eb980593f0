// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/priority.h"
#include "base/stream.h"
#include "core/batch.h"
#include "store/io_order.h"
#include "store/schema_sql.h"
#include "store/sink.h"
#include "store/sink_driver.h"
#include "store/sqlite.h"
#include "store/time_text.h"
#include "store/url.h"

/* At the start there is nobody who would try again after another program's lock, later on there is. */
#define OPEN_TIMEOUT_MS 5000
#define WRITE_TIMEOUT_MS 1000

#define MAX_COLUMNS 24
#define ROWS_IN_A_ROW 64 /* some 100 to 300 us, then others may want the CPU */
#define GROUP_ROWS 32    /* in one statement; not more than 999 values, which every SQLite takes */

struct inserts {
    sqlite3_stmt *one;
    sqlite3_stmt *group; /* of GROUP_ROWS; NULL: not for this table, or not needed so far */
};

struct sqlite_sink {
    struct iol_sink sink;
    char *path;
    /*
     * Keeps a second recorder out by flock(2). Opened before the database and closed after it: closing any descriptor
     * of a file drops the POSIX locks that SQLite holds on it.
     */
    int lock_fd;
    sqlite3 *db;
    bool is_ledger; /* else nothing may be changed in it */
    struct inserts inserts[IOL_TABLE_COUNT];
    sqlite3_stmt *insert_interval, *keep_file, *any_candidate;
    bool candidates;        /* prune has files in its list that rows of this transaction may take from it */
    struct iol_io interval; /* ts, interval_ms and host_id of the rows of io that are being inserted */
    int64_t next_row;       /* io_row.id of the next one in that interval; 0: the transaction has none yet */
    struct iol_time_text time_text;
    char times[GROUP_ROWS][MAX_COLUMNS][32]; /* as text, of the rows of a statement */
};

static int path_error(const char *path, struct iol_error *err)
{
    int code = -errno;

    iol_error_set(err, code, "cannot write to %s: %s", path, strerror(-code));
    if (code == -ENOENT || code == -ENOTDIR)
        iol_error_hint(err, "create the directory first, or give another path");
    else if (code == -ENOSPC || code == -EDQUOT)
        iol_error_hint(err, "free some space on that filesystem, or give a path on another one");
    else
        iol_error_hint(err, "give a path where you may create files, for example --db sqlite:/tmp/ioledger.db");
    return code;
}

/* The -wal and -shm files stand beside the database and have to be made there. */
static int check_directory(const char *path, struct iol_error *err)
{
    _cleanup_free_ char *copy = strdup(path);

    if (!copy)
        return iol_error_set(err, -ENOMEM, "out of memory");
    const char *directory = dirname(copy);
    if (access(directory, W_OK | X_OK) == 0)
        return 0;
    int code = -errno;
    iol_error_set(err, code, "cannot create files in %s: %s", directory, strerror(-code));
    iol_error_hint(err, "SQLite keeps its journal beside the database: give a path in a directory you may write to");
    return code;
}

static int take_lock(struct sqlite_sink *sink, struct iol_error *err)
{
    struct stat st;

    sink->lock_fd = open(sink->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
    if (sink->lock_fd < 0)
        return path_error(sink->path, err);
    if (fstat(sink->lock_fd, &st) < 0)
        return path_error(sink->path, err);
    if (!S_ISREG(st.st_mode)) {
        int code = iol_error_set(err, -EINVAL, "%s is not a regular file", sink->path);
        iol_error_hint(err, "give the path of a file, for example --db sqlite:ioledger.db");
        return code;
    }
    if (flock(sink->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return check_directory(sink->path, err);
    if (errno != EWOULDBLOCK)
        return path_error(sink->path, err);
    int code = iol_error_set(err, -EBUSY, "another recorder is writing to %s", sink->path);
    iol_error_hint(err, "stop it first, or record into another file");
    return code;
}

static int execute(struct sqlite_sink *sink, const char *sql, const char *doing, struct iol_error *err)
{
    int rc = sqlite3_exec(sink->db, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? 0 : iol_sqlite_error(sink->db, rc, sink->path, doing, err);
}

static void roll_back(struct sqlite_sink *sink)
{
    /* After a full disk SQLite may have rolled back by itself. */
    if (!sqlite3_get_autocommit(sink->db))
        sqlite3_exec(sink->db, "ROLLBACK", NULL, NULL, NULL);
}

static int change_schema(struct sqlite_sink *sink, bool upgrade, struct iol_error *err)
{
    _cleanup_free_ char *ddl = upgrade ? iol_schema_upgrade(IOL_DIALECT_SQLITE, iol_sqlite_version(sink->db))
                                       : iol_schema_ddl(IOL_DIALECT_SQLITE);
    const char *doing = upgrade ? "upgrade" : "create";

    if (!ddl)
        return iol_error_set(err, -ENOMEM, "out of memory");
    int r = execute(sink, "BEGIN IMMEDIATE", doing, err);
    if (r == 0)
        r = execute(sink, ddl, doing, err);
    if (r == 0)
        r = execute(sink, "COMMIT", doing, err);
    if (r < 0)
        roll_back(sink);
    return r;
}

/* A row of io goes into two tables, of which io is the view. */
static const char insert_interval[] =
    "INSERT INTO io_interval (ts, ts_us, interval_ms, host_id) VALUES ($1, $2, $3, $4)";
#define IO_VALUES 12 /* of a row of io_row */

static int prepare(struct sqlite_sink *sink, const char *sql, sqlite3_stmt **ret_statement, struct iol_error *err)
{
    int rc = sqlite3_prepare_v3(sink->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL);

    return rc == SQLITE_OK ? 0 : iol_sqlite_error(sink->db, rc, sink->path, "write to", err);
}

static char *insert_io_rows(size_t rows)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs(
        "INSERT OR ROLLBACK INTO io_row (id, process_id, file_id, route, read_ops, read_bytes, write_ops, write_bytes,"
        " read_errors, write_errors, first_us, last_us) ",
        out);
    iol_schema_print_values(out, IO_VALUES, rows);
    return iol_stream_text(&stream);
}

static int prepare_insert(struct sqlite_sink *sink, enum iol_table_id id, size_t rows, sqlite3_stmt **ret_statement,
                          struct iol_error *err)
{
    _cleanup_free_ char *sql =
        id == IOL_TABLE_IO ? insert_io_rows(rows) : iol_schema_insert(&iol_schema_tables[id], rows);

    return sql ? prepare(sink, sql, ret_statement, err) : iol_error_set(err, -ENOMEM, "out of memory");
}

static int prepare_inserts(struct sqlite_sink *sink, struct iol_error *err)
{
    int r = prepare(sink, insert_interval, &sink->insert_interval, err);

    if (r == 0)
        r = prepare(sink, "DELETE FROM " IOL_CANDIDATE_TABLE " WHERE id = $1", &sink->keep_file, err);
    if (r == 0)
        r = prepare(sink, "SELECT 1 FROM " IOL_CANDIDATE_TABLE " LIMIT 1", &sink->any_candidate, err);
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++)
        r = prepare_insert(sink, i, 1, &sink->inserts[i].one, err);
    return r;
}

static int open_database(struct sqlite_sink *sink, struct iol_error *err)
{
    enum iol_sqlite_state state;
    _cleanup_free_ char *name = iol_sqlite_filename(sink->path);

    if (!name)
        return iol_error_set(err, -ENOMEM, "out of memory");
    /* Nobody asks how much memory SQLite uses: without the count malloc() needs no lock. Refused, and no matter, once it is in use. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    /* One thread at a time writes; sqlite3_interrupt() may be called from another one all the same. */
    int rc = sqlite3_open_v2(name, &sink->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc != SQLITE_OK)
        return iol_sqlite_error(sink->db, rc, sink->path, "open", err);
    sqlite3_extended_result_codes(sink->db, 1);
    sqlite3_busy_timeout(sink->db, OPEN_TIMEOUT_MS);

    /* Looked at before the journal mode is touched: a foreign database stays as it is. */
    int r = iol_sqlite_check(sink->db, sink->path, &state, err);
    sink->is_ledger = r == 0;
    /* Takes effect only in a file in which there is nothing yet, not even a journal mode. */
    if (r == 0 && state == IOL_SQLITE_EMPTY)
        r = execute(sink, "PRAGMA auto_vacuum = INCREMENTAL", "write to", err);
    if (r == 0)
        r = execute(sink,
                    "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -16000;"
                    "PRAGMA wal_autocheckpoint = 16000; PRAGMA journal_size_limit = 67108864",
                    "write to", err);
    if (r == 0 && state != IOL_SQLITE_LEDGER)
        r = change_schema(sink, state == IOL_SQLITE_OLD, err);
    /* Words come from the schema's own lists. Of one that is given as a list SQLite would make a table, for each row that it looks at. */
    if (r == 0)
        r = execute(sink, "PRAGMA ignore_check_constraints = ON", "write to", err);
    if (r == 0)
        r = prepare_inserts(sink, err);
    sqlite3_busy_timeout(sink->db, WRITE_TIMEOUT_MS);
    return r;
}

static void sqlite_close(struct iol_sink *base)
{
    struct sqlite_sink *sink = (struct sqlite_sink *)base;

    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        sqlite3_finalize(sink->inserts[i].one);
        sqlite3_finalize(sink->inserts[i].group);
    }
    sqlite3_finalize(sink->insert_interval);
    sqlite3_finalize(sink->keep_file);
    sqlite3_finalize(sink->any_candidate);
    /*
     * A ledger at rest is one file that anyone who may read it can open; in WAL mode that takes the right to create
     * files beside it. When a reader has it open this fails, and the ledger stays in WAL mode.
     */
    if (sink->is_ledger) {
        sqlite3_busy_timeout(sink->db, 0);
        sqlite3_exec(sink->db, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);
    }
    sqlite3_close(sink->db);
    if (sink->lock_fd >= 0)
        close(sink->lock_fd);
    free(sink->path);
    free(sink);
}

static int sqlite_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                       struct iol_error *err)
{
    const char *path;
    int r = iol_url_path(url, "sqlite", &path, err);

    (void)options; /* SQLite prints nothing by itself */
    if (r < 0)
        return r;
    struct sqlite_sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return iol_error_set(err, -ENOMEM, "out of memory");
    sink->sink.ops = &iol_sink_sqlite_ops;
    sink->lock_fd = -1;
    sink->path = strdup(path);
    r = sink->path ? take_lock(sink, err) : iol_error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = open_database(sink, err);
    if (r < 0) {
        sqlite_close(&sink->sink);
        /* Nothing about a file on this machine is "unreachable now". */
        return r == -EAGAIN ? -EIO : r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

static int bind_column(struct sqlite_sink *sink, sqlite3_stmt *statement, int at, const struct iol_column *column,
                       const void *row, char time[static 32])
{
    if (column->type == IOL_TYPE_TEXT) {
        const char *text = iol_row_text(row, column);
        return text ? sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(statement, at);
    }
    int64_t value = iol_row_int(row, column);
    if (column->type == IOL_TYPE_ENUM) {
        const char *word = iol_schema_word(column->words, value);
        return word ? sqlite3_bind_text(statement, at, word, -1, SQLITE_STATIC) : SQLITE_MISMATCH;
    }
    if (value == IOL_NULL)
        return sqlite3_bind_null(statement, at);
    if (column->type == IOL_TYPE_TIME)
        return sqlite3_bind_text(statement, at, iol_time_text(&sink->time_text, time, value, ' '), -1, SQLITE_STATIC);
    return sqlite3_bind_int64(statement, at, value);
}

/* SQLITE_OK, or what went wrong; the statement is ready for the next row either way. */
static int step(sqlite3_stmt *statement)
{
    int rc = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);

    return rc == SQLITE_DONE ? reset : rc;
}

/* `at`: the values before it; `times`: of this row. */
static int bind_row(struct sqlite_sink *sink, sqlite3_stmt *statement, int at, const struct iol_table *table,
                    const void *row, char times[static MAX_COLUMNS][32])
{
    int rc = SQLITE_OK;

    for (size_t i = 0; i < table->n_columns && rc == SQLITE_OK; i++)
        rc = bind_column(sink, statement, at + (int)i + 1, &table->columns[i], row, times[i]);
    return rc;
}

static int keep_file(struct sqlite_sink *sink, const struct iol_file *file)
{
    sqlite3_bind_int64(sink->keep_file, 1, file->id);
    return step(sink->keep_file);
}

static int bind_int(sqlite3_stmt *statement, int at, int64_t value)
{
    return value == IOL_NULL ? sqlite3_bind_null(statement, at) : sqlite3_bind_int64(statement, at, value);
}

/* Rounded down, as iol_time_text() does. */
static int64_t microseconds(int64_t ns)
{
    return ns / 1000 - (ns % 1000 < 0);
}

static int begin_interval(struct sqlite_sink *sink, const struct iol_io *row)
{
    sqlite3_stmt *statement = sink->insert_interval;
    char ts[32];

    if (row->ts == IOL_NULL) /* which the table refuses */
        sqlite3_bind_null(statement, 1);
    else
        sqlite3_bind_text(statement, 1, iol_time_text(&sink->time_text, ts, row->ts, ' '), -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, microseconds(row->ts));
    bind_int(statement, 3, row->interval_ms);
    bind_int(statement, 4, row->host_id);
    int rc = step(statement);
    if (rc == SQLITE_OK) {
        sink->next_row = sqlite3_last_insert_rowid(sink->db) * IOL_SQLITE_INTERVAL_ROWS;
        sink->interval = *row;
    }
    return rc;
}

static bool in_interval(const struct sqlite_sink *sink, const struct iol_io *row)
{
    return sink->next_row % IOL_SQLITE_INTERVAL_ROWS != 0 && row->ts == sink->interval.ts &&
           row->interval_ms == sink->interval.interval_ms && row->host_id == sink->interval.host_id;
}

static int64_t before_end(int64_t end, int64_t ns)
{
    return ns == IOL_NULL ? IOL_NULL : microseconds(end) - microseconds(ns);
}

static int bind_io_row(struct sqlite_sink *sink, sqlite3_stmt *statement, int at, const struct iol_io *row)
{
    if (!iol_schema_word(&iol_enum_route, row->route))
        return SQLITE_MISMATCH;
    int rc = in_interval(sink, row) ? SQLITE_OK : begin_interval(sink, row);
    if (rc != SQLITE_OK)
        return rc;
    const int64_t values[IO_VALUES] = {
        sink->next_row++,
        row->process_id,
        row->file_id,
        row->route,
        row->read_ops,
        row->read_bytes,
        row->write_ops,
        row->write_bytes,
        row->read_errors,
        row->write_errors,
        before_end(row->ts, row->first_ts),
        before_end(row->ts, row->last_ts),
    };
    for (int i = 0; i < IO_VALUES; i++)
        bind_int(statement, at + i + 1, values[i]);
    return SQLITE_OK;
}

static const void *row_at(const struct iol_rows *rows, size_t size, size_t i)
{
    return (const char *)rows->data + i * size;
}

/* The rows `first` to `first` + `n`, n being 1 or GROUP_ROWS; `order` may be NULL. */
static int insert_some(struct sqlite_sink *sink, const struct iol_table *table, const struct iol_rows *rows,
                       const uint32_t *order, size_t first, size_t n)
{
    sqlite3_stmt *statement = n == 1 ? sink->inserts[table->id].one : sink->inserts[table->id].group;
    size_t size = iol_batch_row_size(table->id);
    bool keep = table->id == IOL_TABLE_FILE && sink->candidates;
    int rc = SQLITE_OK;

    for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
        const void *row = row_at(rows, size, order ? order[first + i] : first + i);
        rc = table->id == IOL_TABLE_IO
                 ? bind_io_row(sink, statement, (int)i * IO_VALUES, row)
                 : bind_row(sink, statement, (int)(i * table->n_columns), table, row, sink->times[i]);
    }
    if (rc == SQLITE_OK)
        rc = step(statement);
    for (size_t i = 0; keep && i < n && rc == SQLITE_OK; i++)
        rc = keep_file(sink, row_at(rows, size, first + i));
    return rc;
}

/* A statement of many rows that may change others copies each page that it changes, whatever it is told: more than it saves. */
static bool in_groups(const struct iol_table *table)
{
    return table->mode != IOL_WRITE_LATEST && !table->unknown;
}

/* Most tables never get as many rows at once. */
static int prepare_group(struct sqlite_sink *sink, const struct iol_table *table, struct iol_error *err)
{
    struct inserts *inserts = &sink->inserts[table->id];

    return inserts->group || !in_groups(table) ? 0 : prepare_insert(sink, table->id, GROUP_ROWS, &inserts->group, err);
}

static int insert_rows(struct sqlite_sink *sink, const struct iol_batch *batch, enum iol_table_id id,
                       struct iol_error *err)
{
    const struct iol_table *table = &iol_schema_tables[id];
    const struct iol_rows *rows = &batch->rows[id];
    _cleanup_free_ uint32_t *order = id == IOL_TABLE_IO ? iol_io_order(rows) : NULL;
    int r = rows->count >= GROUP_ROWS ? prepare_group(sink, table, err) : 0;

    for (size_t i = 0, n; r == 0 && i < rows->count; i += n) {
        if (i % ROWS_IN_A_ROW == 0)
            iol_priority_give_way();
        n = sink->inserts[id].group && rows->count - i >= GROUP_ROWS ? GROUP_ROWS : 1;
        int rc = insert_some(sink, table, rows, order, i, n);
        if (rc == SQLITE_MISMATCH)
            return iol_error_set(err, -EINVAL, "a row of %s has a value that its column does not know", table->name);
        if (rc != SQLITE_OK)
            return iol_sqlite_error(sink->db, rc, sink->path, "write to", err);
    }
    return r;
}

/* In the transaction: nobody can add one any more. When it cannot be told, each file is looked for. */
static bool has_candidates(struct sqlite_sink *sink)
{
    int rc = sqlite3_step(sink->any_candidate);

    sqlite3_reset(sink->any_candidate);
    return rc != SQLITE_DONE;
}

static int insert_batch(struct sqlite_sink *sink, const struct iol_batch *batch, struct iol_error *err)
{
    int r = insert_rows(sink, batch, IOL_TABLE_BATCH, err);

    if (r < 0 || sqlite3_changes(sink->db) == 0) /* it is there already */
        return r;
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++)
        if (i != IOL_TABLE_BATCH)
            r = insert_rows(sink, batch, i, err);
    return r;
}

static ssize_t sqlite_write_some(struct iol_sink *base, const struct iol_batch *const *batches, size_t n,
                                 struct iol_error *err)
{
    struct sqlite_sink *sink = (struct sqlite_sink *)base;
    struct stat st;

    if (fstat(sink->lock_fd, &st) == 0 && st.st_nlink == 0)
        return iol_error_set(err, -ESTALE, "%s was deleted while it was being recorded to", sink->path);
    sink->next_row = 0;
    int r = execute(sink, "BEGIN IMMEDIATE", "write to", err);
    sink->candidates = r == 0 && has_candidates(sink);
    for (size_t i = 0; i < n && r == 0; i++)
        r = insert_batch(sink, batches[i], err);
    if (r == 0)
        r = execute(sink, "COMMIT", "write to", err);
    if (r < 0)
        roll_back(sink);
    return r < 0 ? r : (ssize_t)n;
}

static int sqlite_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    ssize_t n = sqlite_write_some(base, &batch, 1, err);

    return n < 0 ? (int)n : 0;
}

static void sqlite_interrupt(struct iol_sink *base)
{
    sqlite3_interrupt(((struct sqlite_sink *)base)->db);
}

const struct iol_sink_ops iol_sink_sqlite_ops = {
    .scheme = "sqlite",
    .open = sqlite_open,
    .write = sqlite_write,
    .write_some = sqlite_write_some,
    .interrupt = sqlite_interrupt,
    .close = sqlite_close,
};
