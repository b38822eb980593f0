// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/stream.h"
#include "store/schema.h"
#include "store/schema_sql.h"

/*
 * Indexes for the questions that the commands ask. A path may be longer than the third of a page that a PostgreSQL
 * b-tree takes; SP-GiST cuts long values up, and in the C collation it serves =, < and >= alike, so that
 * "path = $1" and "path >= 'DIR/' AND path < 'DIR0'" are index scans in both databases. BRIN over the time costs next
 * to nothing, as rows come in its order; SQLite has nothing like it, and there facts are in the order of their rowid.
 */
static const struct index {
    enum iol_table_id table;
    const char *column;
    const char *method; /* in PostgreSQL */
    bool sqlite;
    const char *rest; /* of the statement */
} indexes[] = {
    {IOL_TABLE_PROCESS, "pid", "btree", true, ""},
    {IOL_TABLE_PROCESS, "comm", "btree", true, ""},
    {IOL_TABLE_PROCESS, "parent_id", "btree", true, ""},
    {IOL_TABLE_FILE, "path", "spgist", true, ""},
    {IOL_TABLE_FILE, "inode", "btree", true, ""},
    {IOL_TABLE_IO, "file_id", "btree", true, ""},
    {IOL_TABLE_IO, "process_id", "btree", true, ""},
    {IOL_TABLE_IO, "ts", "brin", false, ""},
    {IOL_TABLE_EVENT, "file_id", "btree", true, " WHERE file_id IS NOT NULL"},
    {IOL_TABLE_EVENT, "other_file_id", "btree", true, " WHERE other_file_id IS NOT NULL"},
    {IOL_TABLE_EVENT, "ts", "brin", false, ""},
    {IOL_TABLE_TOTAL, "ts", "btree", true, ""},
};

/*
 * CREATE TABLE ... PARTITION OF would lock out everybody who reads or writes; ATTACH of an empty table does not. The advisory lock
 * lets one recorder after the other do it, and keeps prune from dropping days meanwhile.
 */
static const char partition_function[] =
    "-- Partitions for so many days from that one on. Recorders call it for each day that they write, and the day "
    "after.\n"
    "CREATE FUNCTION " IOL_PARTITION_FUNCTION "(first date, days integer) RETURNS void LANGUAGE plpgsql AS $$\n"
    "DECLARE\n"
    "    day date;\n"
    "    parent text;\n"
    "    child text;\n"
    "BEGIN\n"
    "    PERFORM pg_advisory_xact_lock(" IOL_PG_SCHEMA_LOCK ");\n"
    "    FOR day IN SELECT first + i FROM generate_series(0, days - 1) i LOOP\n"
    "        FOREACH parent IN ARRAY ARRAY['" IOL_PG_IO_TABLE "', 'event'] LOOP\n"
    "            child := replace(parent, '_row', '') || to_char(day, '_YYYYMMDD');\n"
    "            CONTINUE WHEN to_regclass(child) IS NOT NULL;\n"
    "            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS)', child, parent);\n"
    "            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child,\n"
    "                           day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');\n"
    "        END LOOP;\n"
    "    END LOOP;\n"
    "END $$;\n\n";

/* "user" is a key word of PostgreSQL, hence the quotes. */
static const char io_named_view[] =
    "CREATE VIEW io_named AS\n"
    "SELECT io.ts, io.interval_ms, io.host_id, io.process_id, io.file_id, io.route,\n"
    "       io.read_ops, io.read_bytes, io.write_ops, io.write_bytes, io.read_errors, io.write_errors,\n"
    "       io.first_ts, io.last_ts,\n"
    "       process.pid, process.comm, process.exe,\n"
    "       coalesce(login.name, CAST(process.uid AS text)) AS \"user\",\n"
    "       file.path, file.kind, file.flags\n"
    "FROM io\n"
    "LEFT JOIN process ON process.id = io.process_id\n"
    "LEFT JOIN file ON file.id = io.file_id\n"
    "LEFT JOIN login ON login.host_id = process.host_id AND login.uid = process.uid;\n";

static const char audit_log_view[] =
    "CREATE VIEW audit_log (pid, type, comm, path, timestamp) AS\n"
    "SELECT pid, 1, comm, exe, exec_time FROM process WHERE origin = 'exec'\n"
    "UNION ALL\n"
    "SELECT pid, 2, comm, exe, start_time FROM process WHERE origin = 'fork'\n"
    "UNION ALL\n"
    "SELECT process.pid, 3, process.comm, file.path, io.last_ts FROM io\n"
    "LEFT JOIN process ON process.id = io.process_id LEFT JOIN file ON file.id = io.file_id WHERE io.read_ops > 0\n"
    "UNION ALL\n"
    "SELECT process.pid, 4, process.comm, file.path, io.last_ts FROM io\n"
    "LEFT JOIN process ON process.id = io.process_id LEFT JOIN file ON file.id = io.file_id WHERE io.write_ops > 0;\n";

static const struct view {
    const char *name;
    const char *sql;
    const char *doc;
} views[] = {
    {"io_named", io_named_view, "io with the names in plain sight"},
    {"audit_log", audit_log_view, "The ledger as one table; type: 1 exec, 2 fork, 3 read, 4 write"},
};

const char *const iol_schema_views[] = {"io_named", "audit_log", NULL};
_Static_assert(IOL_ARRAY_SIZE(iol_schema_views) == IOL_ARRAY_SIZE(views) + 1, "a name for each view");

static const struct iol_enum *const enums[] = {&iol_enum_route, &iol_enum_kind, &iol_enum_origin, &iol_enum_event_kind};

static void print_literal(FILE *out, const char *text)
{
    putc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            putc('\'', out);
        putc(*text, out);
    }
    putc('\'', out);
}

static void print_words(FILE *out, const struct iol_enum *words)
{
    for (size_t i = 0; i < words->count; i++) {
        fputs(i == 0 ? "" : ", ", out);
        print_literal(out, words->words[i]);
    }
}

/* A text in PostgreSQL is in the C collation, so that it sorts and compares as in SQLite, by its bytes. */
static const char *type_name(const struct iol_column *column, enum iol_dialect dialect)
{
    bool sqlite = dialect == IOL_DIALECT_SQLITE;

    switch (column->type) {
    case IOL_TYPE_INT:
        return sqlite ? "INTEGER" : "bigint";
    case IOL_TYPE_TEXT:
        return sqlite ? "TEXT" : "text COLLATE \"C\"";
    case IOL_TYPE_TIME:
        return sqlite ? "TEXT" : "timestamptz";
    case IOL_TYPE_ENUM:
        break;
    }
    return sqlite ? "TEXT" : column->words->name;
}

/*
 * A key of SQLite whose type is INTEGER, by that name, is where its row lies. The ids of files and processes are hashes: each new row would
 * write to another page of a table that may be larger than any cache. By another name rows lie in the order in which they come, and what
 * is written to all over is the index of the ids, a tenth as large.
 */
static const char *type_of(const struct iol_table *table, const struct iol_column *column, enum iol_dialect dialect)
{
    bool key = table->key && column == &table->columns[0];
    bool appended = table->id == IOL_TABLE_FILE || table->id == IOL_TABLE_PROCESS;

    return dialect == IOL_DIALECT_SQLITE && key && appended ? "BIGINT" : type_name(column, dialect);
}

/* How the tables stand in PostgreSQL. */
struct layout {
    bool by_host;    /* each key has host_id in it */
    bool distribute; /* Citus distributes them by that */
};

static const struct layout plain;

static bool has_wide_key(const struct iol_table *table, const struct layout *layout)
{
    return table->key && (table->key[1] || (layout->by_host && iol_schema_lacks_host(table)));
}

static void print_column(FILE *out, const struct iol_table *table, const struct iol_column *column,
                         enum iol_dialect dialect, const struct layout *layout)
{
    bool last = column == &table->columns[table->n_columns - 1];
    bool wide_key = has_wide_key(table, layout);
    bool only_key = table->key && !wide_key && column == &table->columns[0];

    fprintf(out, "    %s %s%s%s", column->name, type_of(table, column, dialect), column->not_null ? " NOT NULL" : "",
            only_key ? " PRIMARY KEY" : "");
    if (dialect == IOL_DIALECT_SQLITE && column->type == IOL_TYPE_ENUM) {
        fprintf(out, " CHECK (%s IN (", column->name);
        print_words(out, column->words);
        fputs("))", out);
    }
    fputs(last && !wide_key ? "" : ",", out);
    if (dialect == IOL_DIALECT_SQLITE)
        fprintf(out, " -- %s", column->doc);
    putc('\n', out);
}

static void print_comments(FILE *out, const struct iol_table *table)
{
    fprintf(out, "COMMENT ON TABLE %s IS ", table->name);
    print_literal(out, table->doc);
    fputs(";\n", out);
    for (size_t i = 0; i < table->n_columns; i++) {
        fprintf(out, "COMMENT ON COLUMN %s.%s IS ", table->name, table->columns[i].name);
        print_literal(out, table->columns[i].doc);
        fputs(";\n", out);
    }
}

static void print_table(FILE *out, const struct iol_table *table, enum iol_dialect dialect, const struct layout *layout)
{
    bool wide_key = has_wide_key(table, layout);

    fprintf(out, "-- %s\nCREATE TABLE %s (\n", table->doc, table->name);
    for (size_t i = 0; i < table->n_columns; i++)
        print_column(out, table, &table->columns[i], dialect, layout);
    if (layout->by_host && table->id == IOL_TABLE_PROCESS_EXIT)
        fputs("    host_id bigint NOT NULL,\n", out);
    if (wide_key) {
        fputs("    PRIMARY KEY (", out);
        iol_schema_print_key(out, table, layout->by_host);
        fputs(")\n", out);
    }
    if (table->by_day && dialect == IOL_DIALECT_POSTGRESQL)
        fprintf(out, ") PARTITION BY RANGE (%s);\n", table->columns[0].name);
    else
        fputs(wide_key && dialect == IOL_DIALECT_SQLITE ? ") WITHOUT ROWID;\n" : ");\n", out);
    iol_schema_print_distribute(out, table->name, layout->distribute);
    if (dialect == IOL_DIALECT_POSTGRESQL)
        print_comments(out, table);
    putc('\n', out);
}

static void print_indexes(FILE *out, enum iol_dialect dialect, bool only_io)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(indexes); i++) {
        const struct index *index = &indexes[i];
        const char *table = iol_schema_tables[index->table].name;

        if (only_io && index->table != IOL_TABLE_IO)
            continue;
        if (index->table == IOL_TABLE_IO) /* what io is a view of */
            table = "io_row";
        if (dialect == IOL_DIALECT_POSTGRESQL)
            fprintf(out, "CREATE INDEX %s_%s ON %s USING %s (%s)%s;\n", table, index->column, table, index->method,
                    index->column, index->rest);
        else if (index->sqlite)
            fprintf(out, "CREATE INDEX %s_%s ON %s (%s)%s;\n", table, index->column, table, index->column, index->rest);
    }
    putc('\n', out);
}

/* The joins of a view are to be of rows of one host: for Citus they are in one place then. */
static void print_view(FILE *out, const char *sql, const struct layout *layout)
{
    static const char *const joins[] = {"process.id = io.process_id", "file.id = io.file_id"};

    while (layout->by_host && *sql) {
        const char *next = NULL, *join = NULL, *table;
        for (size_t i = 0; i < IOL_ARRAY_SIZE(joins); i++) {
            const char *found = strstr(sql, joins[i]);
            if (found && (!next || found < next)) {
                next = found;
                join = joins[i];
            }
        }
        if (!next)
            break;
        table = join;
        fprintf(out, "%.*s%s AND %.*s.host_id = io.host_id", (int)(next - sql), sql, join, (int)strcspn(table, "."),
                table);
        sql = next + strlen(join);
    }
    fputs(sql, out);
}

static void print_views(FILE *out, enum iol_dialect dialect, const struct layout *layout)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(views); i++) {
        fprintf(out, "-- %s\n", views[i].doc);
        print_view(out, views[i].sql, layout);
        if (dialect == IOL_DIALECT_POSTGRESQL) {
            fprintf(out, "COMMENT ON VIEW %s IS ", views[i].name);
            print_literal(out, views[i].doc);
            fputs(";\n", out);
        }
        putc('\n', out);
    }
}

static int print_all(FILE *out, enum iol_dialect dialect, const struct layout *layout)
{
    fprintf(out, "-- The tables of ioledger, version %d of the schema%s.\n\n", IOL_SCHEMA_VERSION,
            layout->distribute ? ", distributed by Citus" : "");
    if (dialect == IOL_DIALECT_SQLITE)
        fprintf(out,
                "PRAGMA auto_vacuum = INCREMENTAL; -- so that prune can give space back; before there is any table\n"
                "PRAGMA application_id = %d; -- what file(1) and ioledger know a ledger by\n\n",
                IOL_SQLITE_APPLICATION_ID);
    if (dialect == IOL_DIALECT_POSTGRESQL) {
        for (size_t i = 0; i < IOL_ARRAY_SIZE(enums); i++) {
            fprintf(out, "CREATE TYPE %s AS ENUM (", enums[i]->name);
            print_words(out, enums[i]);
            fputs(");\n", out);
        }
        putc('\n', out);
    }
    for (size_t i = 0; i < IOL_TABLE_COUNT; i++) {
        if (i == IOL_TABLE_IO && layout->by_host)
            iol_schema_print_io_by_host(out, layout->distribute);
        else if (i == IOL_TABLE_IO)
            iol_schema_print_io(out, dialect);
        else
            print_table(out, &iol_schema_tables[i], dialect, layout);
    }
    fprintf(out,
            "-- For prune: files of deleted facts, until it has looked whether others refer to them\n"
            "CREATE TABLE " IOL_CANDIDATE_TABLE " (id %s PRIMARY KEY);\n\n",
            dialect == IOL_DIALECT_SQLITE ? "INTEGER" : "bigint");
    print_indexes(out, dialect, false);
    if (dialect == IOL_DIALECT_SQLITE)
        fputs("CREATE INDEX io_interval_ts ON io_interval (ts);\n\n", out);
    if (dialect == IOL_DIALECT_POSTGRESQL)
        fputs(partition_function, out);
    print_views(out, dialect, layout);
    fprintf(out, "CREATE TABLE %s (version integer NOT NULL);\nINSERT INTO %s (version) VALUES (%d);\n",
            IOL_VERSION_TABLE, IOL_VERSION_TABLE, IOL_SCHEMA_VERSION);
    return ferror(out) ? -EIO : 0;
}

int iol_schema_print(FILE *out, enum iol_dialect dialect)
{
    return print_all(out, dialect, &plain);
}

int iol_schema_print_citus(FILE *out, bool distribute)
{
    const struct layout layout = {.by_host = true, .distribute = distribute};

    return print_all(out, IOL_DIALECT_POSTGRESQL, &layout);
}

/*
 * In version 2 io was a table of PostgreSQL with all its columns. Its rows are written once more, so there must be room for that;
 * indexes come when the rows are there. In SQLite nothing has changed. In version 3 a process had no ns_pid.
 */
static void print_upgrade(FILE *out, enum iol_dialect dialect, int version)
{
    fprintf(out, "ALTER TABLE process ADD COLUMN ns_pid %s;\n", dialect == IOL_DIALECT_SQLITE ? "INTEGER" : "bigint");
    if (dialect == IOL_DIALECT_POSTGRESQL && version < 3) {
        fputs("DROP VIEW io_named, audit_log;\n"
              "DROP FUNCTION " IOL_PARTITION_FUNCTION "(date, integer);\n"
              "DROP INDEX io_file_id, io_process_id, io_ts;\n"
              "ALTER TABLE io RENAME TO io_2;\n"
              "DO $$ DECLARE child regclass; BEGIN\n"
              "    FOR child IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'io_2'::regclass LOOP\n"
              "        EXECUTE format('ALTER TABLE %s RENAME TO %I', child,\n"
              "                       (SELECT replace(relname, 'io_', 'io_2_') FROM pg_class WHERE oid = child));\n"
              "    END LOOP;\nEND $$;\n",
              out);
        iol_schema_print_io(out, dialect);
        fputs(partition_function, out);
        fputs("SELECT " IOL_PARTITION_FUNCTION "(to_date(right(relname, 8), 'YYYYMMDD'), 1) FROM pg_inherits\n"
              "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'io_2'::regclass ORDER BY relname;\n",
              out);
        iol_schema_print_io_copy(out);
        fputs("DROP TABLE io_2;\n", out);
        print_indexes(out, dialect, true);
        print_views(out, dialect, &plain);
    }
    fprintf(out, "UPDATE %s SET version = %d;\n", IOL_VERSION_TABLE, IOL_SCHEMA_VERSION);
}

char *iol_schema_upgrade(enum iol_dialect dialect, int version)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    print_upgrade(out, dialect, version);
    return iol_stream_text(&stream);
}
