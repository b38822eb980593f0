// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdio.h>

#include "base/cleanup.h"
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
    "        FOREACH parent IN ARRAY ARRAY['io', 'event'] LOOP\n"
    "            child := parent || to_char(day, '_YYYYMMDD');\n"
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

static void print_column(FILE *out, const struct iol_table *table, const struct iol_column *column,
                         enum iol_dialect dialect)
{
    bool last = column == &table->columns[table->n_columns - 1];
    bool only_key = table->key && !table->key[1] && column == &table->columns[0];

    fprintf(out, "    %s %s%s%s", column->name, type_name(column, dialect), column->not_null ? " NOT NULL" : "",
            only_key ? " PRIMARY KEY" : "");
    if (dialect == IOL_DIALECT_SQLITE && column->type == IOL_TYPE_ENUM) {
        fprintf(out, " CHECK (%s IN (", column->name);
        print_words(out, column->words);
        fputs("))", out);
    }
    fputs(last && !(table->key && table->key[1]) ? "" : ",", out);
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

static void print_table(FILE *out, const struct iol_table *table, enum iol_dialect dialect)
{
    bool wide_key = table->key && table->key[1];

    fprintf(out, "-- %s\nCREATE TABLE %s (\n", table->doc, table->name);
    for (size_t i = 0; i < table->n_columns; i++)
        print_column(out, table, &table->columns[i], dialect);
    if (wide_key) {
        fputs("    PRIMARY KEY (", out);
        iol_schema_print_key(out, table);
        fputs(")\n", out);
    }
    if (table->by_day && dialect == IOL_DIALECT_POSTGRESQL)
        fprintf(out, ") PARTITION BY RANGE (%s);\n", table->columns[0].name);
    else
        fputs(wide_key && dialect == IOL_DIALECT_SQLITE ? ") WITHOUT ROWID;\n" : ");\n", out);
    if (dialect == IOL_DIALECT_POSTGRESQL)
        print_comments(out, table);
    putc('\n', out);
}

void iol_schema_print_sqlite_time(FILE *out, const char *us)
{
    fprintf(
        out,
        "strftime('%%Y-%%m-%%d %%H:%%M:%%S', (%1$s - ((%1$s) %% 1000000 + 1000000) %% 1000000) / 1000000, 'unixepoch')"
        " || printf('.%%06d', ((%1$s) %% 1000000 + 1000000) %% 1000000)",
        us);
}

/*
 * In SQLite an integer takes as many bytes as it needs, so what rows of an interval have in common is stored once, and times as a
 * distance. A row's number has that of its interval in its upper bits: it leads from one to the other and back without an
 * index. likelihood() tells the planner how few rows an interval has.
 */
static void print_sqlite_io(FILE *out, const struct iol_table *table)
{
    fprintf(out,
            "-- The intervals of io_row: what its rows have in common\n"
            "CREATE TABLE io_interval (\n"
            "    id INTEGER PRIMARY KEY,\n"
            "    ts TEXT NOT NULL, -- end of the interval\n"
            "    ts_us INTEGER NOT NULL, -- the same in microseconds since 1970\n"
            "    interval_ms INTEGER, -- length of the interval\n"
            "    host_id INTEGER NOT NULL -- host.id\n"
            ");\n\n"
            "-- The rows of io\n"
            "CREATE TABLE io_row (\n"
            "    id INTEGER PRIMARY KEY, -- io_interval.id << " IOL_SQLITE_ROW_BITS " | number within the interval\n"
            "    process_id INTEGER NOT NULL,\n"
            "    file_id INTEGER NOT NULL,\n"
            "    route INTEGER NOT NULL, -- as in the view io, counted from 0\n"
            "    read_ops INTEGER,\n"
            "    read_bytes INTEGER,\n"
            "    write_ops INTEGER,\n"
            "    write_bytes INTEGER,\n"
            "    read_errors INTEGER,\n"
            "    write_errors INTEGER,\n"
            "    first_us INTEGER, -- microseconds from the first operation to the end of the interval\n"
            "    last_us INTEGER -- and from the last one\n"
            ");\n\n"
            "-- %s\n"
            "CREATE VIEW io AS\n"
            "SELECT i.ts, -- end of the interval\n"
            "    i.interval_ms, -- length of the interval\n"
            "    i.host_id, r.process_id, r.file_id,\n"
            "    CASE r.route",
            table->doc);
    for (size_t i = 0; i < iol_enum_route.count; i++)
        fprintf(out, " WHEN %zu THEN '%s'", i, iol_enum_route.words[i]);
    fputs(" END AS route, -- system calls that it went by\n"
          "    r.read_ops, r.read_bytes, r.write_ops, r.write_bytes, r.read_errors, r.write_errors,\n    ",
          out);
    iol_schema_print_sqlite_time(out, "i.ts_us - r.first_us");
    fputs(" AS first_ts,\n    ", out);
    iol_schema_print_sqlite_time(out, "i.ts_us - r.last_us");
    fputs(" AS last_ts\n"
          "FROM io_row r JOIN io_interval i ON i.id = r.id >> " IOL_SQLITE_ROW_BITS "\n"
          "    AND likelihood(r.id >= i.id << " IOL_SQLITE_ROW_BITS ", 0.001)"
          " AND likelihood(r.id < (i.id + 1) << " IOL_SQLITE_ROW_BITS ", 0.001);\n\n",
          out);
}

/* The number of a route by its word. */
static void print_sqlite_route(FILE *out, const char *word)
{
    fprintf(out, "CASE %s", word);
    for (size_t i = 0; i < iol_enum_route.count; i++)
        fprintf(out, " WHEN '%s' THEN %zu", iol_enum_route.words[i], i);
    fputs(" END", out);
}

#define SQLITE_COUNTS(row)                                                                                             \
    row "read_ops, " row "read_bytes, " row "write_ops, " row "write_bytes, " row "read_errors, " row "write_errors"
#define SQLITE_ROWS_OF(row)                                                                                            \
    "SELECT r.id FROM io_interval i JOIN io_row r ON r.id >= i.id << " IOL_SQLITE_ROW_BITS                             \
    " AND r.id < (i.id + 1) << " IOL_SQLITE_ROW_BITS "\n        WHERE i.ts = " row "ts AND i.interval_ms IS " row      \
    "interval_ms AND i.host_id = " row "host_id\n        AND r.process_id = " row "process_id AND r.file_id = " row    \
    "file_id AND r.route = "

static void print_sqlite_old_row(FILE *out)
{
    fputs("(\n        " SQLITE_ROWS_OF("OLD."), out);
    print_sqlite_route(out, "OLD.route");
    fputs(
        "\n        AND (" SQLITE_COUNTS("r.") ") IS (" SQLITE_COUNTS(
            "OLD.") ")\n        AND r.first_us IS i.ts_us - " IOL_SQLITE_US("OLD.first_ts") " AND r.last_us IS i.ts_us "
                                                                                            "- " IOL_SQLITE_US(
                                                                                                "OLD.last_ts") ")",
        out);
}

/* Whoever writes to io by hand, in a test or to put something right, need not know of the tables below it. */
static void print_sqlite_io_triggers(FILE *out)
{
    fputs("CREATE TRIGGER io_insert INSTEAD OF INSERT ON io BEGIN\n"
          "    INSERT INTO io_interval (ts, ts_us, interval_ms, host_id)\n"
          "        SELECT NEW.ts, " IOL_SQLITE_US(
              "NEW.ts") ", NEW.interval_ms, NEW.host_id WHERE NOT EXISTS (SELECT 1 FROM io_interval\n"
                        "            WHERE ts = NEW.ts AND interval_ms IS NEW.interval_ms AND host_id = NEW.host_id);\n"
                        "    INSERT INTO io_row SELECT coalesce((SELECT max(id) + 1 FROM io_row WHERE id >= i.id "
                        "<< " IOL_SQLITE_ROW_BITS " AND id < (i.id + 1) << " IOL_SQLITE_ROW_BITS
                        "), i.id << " IOL_SQLITE_ROW_BITS "),\n"
                        "        NEW.process_id, NEW.file_id, ",
          out);
    print_sqlite_route(out, "NEW.route");
    fputs(", " SQLITE_COUNTS("NEW.") ",\n        i.ts_us - " IOL_SQLITE_US("NEW.first_ts") ", i.ts_us - " IOL_SQLITE_US(
              "NEW.last_ts") "\n"
                             "        FROM io_interval i WHERE i.ts = NEW.ts AND i.interval_ms IS NEW.interval_ms AND "
                             "i.host_id = NEW.host_id\n"
                             "        ORDER BY i.id DESC LIMIT 1;\n"
                             "END;\n\n"
                             "CREATE TRIGGER io_update INSTEAD OF UPDATE ON io BEGIN\n"
                             "    SELECT RAISE(ABORT, 'of a row of io, process, file, route and counts can be changed, "
                             "times and host cannot')\n"
                             "        WHERE (NEW.ts, NEW.interval_ms, NEW.host_id, NEW.first_ts, NEW.last_ts)\n"
                             "        IS NOT (OLD.ts, OLD.interval_ms, OLD.host_id, OLD.first_ts, OLD.last_ts);\n"
                             "    UPDATE io_row SET process_id = NEW.process_id, file_id = NEW.file_id, route = ",
          out);
    print_sqlite_route(out, "NEW.route");
    fputs(",\n        (" SQLITE_COUNTS("") ") = (" SQLITE_COUNTS("NEW.") ")\n        WHERE id IN ", out);
    print_sqlite_old_row(out);
    fputs(";\nEND;\n\nCREATE TRIGGER io_delete INSTEAD OF DELETE ON io BEGIN\n    DELETE FROM io_row WHERE id IN ",
          out);
    print_sqlite_old_row(out);
    fputs(";\nEND;\n\n", out);
}

static void print_indexes(FILE *out, enum iol_dialect dialect)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(indexes); i++) {
        const struct index *index = &indexes[i];
        const char *table = iol_schema_tables[index->table].name;

        if (index->table == IOL_TABLE_IO && dialect == IOL_DIALECT_SQLITE)
            table = "io_row";
        if (dialect == IOL_DIALECT_POSTGRESQL)
            fprintf(out, "CREATE INDEX %s_%s ON %s USING %s (%s)%s;\n", table, index->column, table, index->method,
                    index->column, index->rest);
        else if (index->sqlite)
            fprintf(out, "CREATE INDEX %s_%s ON %s (%s)%s;\n", table, index->column, table, index->column, index->rest);
    }
    putc('\n', out);
}

static void print_views(FILE *out, enum iol_dialect dialect)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(views); i++) {
        fprintf(out, "-- %s\n%s", views[i].doc, views[i].sql);
        if (dialect == IOL_DIALECT_POSTGRESQL) {
            fprintf(out, "COMMENT ON VIEW %s IS ", views[i].name);
            print_literal(out, views[i].doc);
            fputs(";\n", out);
        }
        putc('\n', out);
    }
}

int iol_schema_print(FILE *out, enum iol_dialect dialect)
{
    fprintf(out, "-- The tables of ioledger, version %d of the schema.\n\n", IOL_SCHEMA_VERSION);
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
        if (i != IOL_TABLE_IO || dialect != IOL_DIALECT_SQLITE) {
            print_table(out, &iol_schema_tables[i], dialect);
            continue;
        }
        print_sqlite_io(out, &iol_schema_tables[i]);
        print_sqlite_io_triggers(out);
    }
    fprintf(out,
            "-- For prune: files of deleted facts, until it has looked whether others refer to them\n"
            "CREATE TABLE " IOL_CANDIDATE_TABLE " (id %s PRIMARY KEY);\n\n",
            dialect == IOL_DIALECT_SQLITE ? "INTEGER" : "bigint");
    print_indexes(out, dialect);
    if (dialect == IOL_DIALECT_SQLITE)
        fputs("CREATE INDEX io_interval_ts ON io_interval (ts);\n\n", out);
    if (dialect == IOL_DIALECT_POSTGRESQL)
        fputs(partition_function, out);
    print_views(out, dialect);
    fprintf(out, "CREATE TABLE %s (version integer NOT NULL);\nINSERT INTO %s (version) VALUES (%d);\n",
            IOL_VERSION_TABLE, IOL_VERSION_TABLE, IOL_SCHEMA_VERSION);
    return ferror(out) ? -EIO : 0;
}
