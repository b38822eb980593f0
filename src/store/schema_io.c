// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * io, of which a ledger has more rows than of anything else, as it is stored: in both databases a view of something smaller.
 *
 * PostgreSQL: a number stands in 4 bytes as long as it fits, and a time as its distance from the end of the interval; a 0 is NULL and takes
 * nothing. What does not fit has a column of its own, big_NAME, which takes nothing either while it is NULL.
 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/schema_sql.h"

bool iol_schema_io_is_narrow(const struct iol_column *column)
{
    return !column->not_null && (column->type == IOL_TYPE_INT || column->type == IOL_TYPE_TIME);
}

static const struct iol_table *io_table(void)
{
    return &iol_schema_tables[IOL_TABLE_IO];
}

/* first_ts is stored as first_us. */
static void print_narrow_name(FILE *out, const char *prefix, const struct iol_column *column)
{
    size_t length = strlen(column->name) - (column->type == IOL_TYPE_TIME ? strlen("ts") : 0);

    fprintf(out, "%s%.*s%s", prefix, (int)length, column->name, column->type == IOL_TYPE_TIME ? "us" : "");
}

void iol_schema_print_io_columns(FILE *out, bool big)
{
    const struct iol_table *table = io_table();
    const char *separator = "";

    for (int pass = 0; pass < (big ? 2 : 1); pass++) {
        for (size_t i = 0; i < table->n_columns; i++) {
            const struct iol_column *column = &table->columns[i];
            if (!iol_schema_io_is_narrow(column) && pass > 0)
                continue;
            fputs(separator, out);
            if (iol_schema_io_is_narrow(column))
                print_narrow_name(out, pass > 0 ? "big_" : "", column);
            else
                fputs(column->name, out);
            separator = ", ";
        }
    }
}

/* The bytes of a row are in this order: 8 bytes, 4 bytes, and what is mostly NULL. */
static void print_pg_table(FILE *out)
{
    const struct iol_table *table = io_table();

    fputs("-- The rows of io\nCREATE TABLE " IOL_PG_IO_TABLE " (\n", out);
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        if (!iol_schema_io_is_narrow(column) && column->type != IOL_TYPE_ENUM)
            fprintf(out, "    %s %s NOT NULL,\n", column->name,
                    column->type == IOL_TYPE_TIME ? "timestamptz" : "bigint");
    }
    fprintf(out, "    route %s NOT NULL,\n", iol_enum_route.name);
    for (int big = 0; big < 2; big++) {
        for (size_t i = 0; i < table->n_columns; i++) {
            if (!iol_schema_io_is_narrow(&table->columns[i]))
                continue;
            fputs("    ", out);
            print_narrow_name(out, big ? "big_" : "", &table->columns[i]);
            fprintf(out, " %s%s\n", big ? "bigint" : "integer", big && i == table->n_columns - 1 ? "" : ",");
        }
    }
    fprintf(out, ") PARTITION BY RANGE (%s);\n", table->columns[0].name);
    fputs("COMMENT ON TABLE " IOL_PG_IO_TABLE
          " IS 'The rows of the view io. Numbers of up to 4 bytes, NULL for 0; big_... has those that "
          "are longer, and " IOL_PG_IO_NULL
          " for NULL; first_us and last_us: microseconds to the end of the interval';\n\n",
          out);
}

static void print_pg_number(FILE *out, const struct iol_column *column)
{
    fputs("nullif(coalesce(", out);
    print_narrow_name(out, "big_", column);
    fputs(", ", out);
    print_narrow_name(out, "", column);
    fputs(", 0), " IOL_PG_IO_NULL ")", out);
}

/* An interval is multiplied by a double, which does not hold every number of microseconds: not of 285 years and more. */
static void print_pg_time(FILE *out, const struct iol_column *column)
{
    fputs("ts - CASE WHEN ", out);
    print_narrow_name(out, "big_", column);
    fputs(" IS NULL THEN interval '1 microsecond' * coalesce(", out);
    print_narrow_name(out, "", column);
    fputs(", 0)\n        ELSE interval '1 second' * (", out);
    print_pg_number(out, column);
    fputs(" / 1000000) + interval '1 microsecond' * (", out);
    print_pg_number(out, column);
    fputs(" % 1000000) END", out);
}

static void print_pg_view(FILE *out)
{
    const struct iol_table *table = io_table();

    fprintf(out, "-- %s\nCREATE VIEW io AS\nSELECT ", table->doc);
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        fputs(i == 0 ? "" : ",\n    ", out);
        if (!iol_schema_io_is_narrow(column)) {
            fputs(column->name, out);
            continue;
        }
        if (column->type == IOL_TYPE_TIME)
            print_pg_time(out, column);
        else
            print_pg_number(out, column);
        fprintf(out, " AS %s", column->name);
    }
    fputs("\nFROM " IOL_PG_IO_TABLE ";\n", out);
}

/* What stands in the narrow columns, or in the wide ones, for a row of io named `row`. */
static void print_pg_values(FILE *out, const char *row, const char *separator, bool assign)
{
    const struct iol_table *table = io_table();
    const char *before = "";

    for (int big = 0; big < 2; big++) {
        for (size_t i = 0; i < table->n_columns; i++) {
            const struct iol_column *column = &table->columns[i];
            bool narrow = iol_schema_io_is_narrow(column);
            if (!narrow && big)
                continue;
            fputs(before, out);
            before = separator;
            if (assign && narrow)
                print_narrow_name(out, big ? "big_" : "", column);
            else if (assign)
                fputs(column->name, out);
            if (assign)
                fputs(strcmp(separator, ", ") == 0 ? " = " : " IS NOT DISTINCT FROM ", out);
            if (!narrow)
                fprintf(out, "%s.%s", row, column->name);
            else if (column->type == IOL_TYPE_TIME)
                fprintf(out, "ioledger_%s((extract(epoch FROM %s.ts - %s.%s) * 1000000)::bigint)",
                        big ? "big" : "small", row, row, column->name);
            else
                fprintf(out, "ioledger_%s(%s.%s)", big ? "big" : "small", row, column->name);
        }
    }
}

/* Whoever writes to io by hand need not know of the table below it. DELETE works on such a view by itself. */
static void print_pg_triggers(FILE *out)
{
    fputs("CREATE FUNCTION ioledger_small(bigint) RETURNS integer LANGUAGE sql IMMUTABLE AS\n"
          "'SELECT CASE WHEN $1 BETWEEN -2147483648 AND 2147483647 THEN nullif($1, 0)::integer END';\n"
          "CREATE FUNCTION ioledger_big(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS\n"
          "'SELECT CASE WHEN $1 BETWEEN -2147483648 AND 2147483647 THEN NULL ELSE coalesce($1, " IOL_PG_IO_NULL
          ") END';\n"
          "CREATE FUNCTION ioledger_io_insert() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"
          "    INSERT INTO " IOL_PG_IO_TABLE " (",
          out);
    iol_schema_print_io_columns(out, true);
    fputs(")\n    VALUES (", out);
    print_pg_values(out, "NEW", ", ", false);
    fputs(");\n    RETURN NEW;\nEND $$;\n"
          "CREATE TRIGGER io_insert INSTEAD OF INSERT ON io FOR EACH ROW EXECUTE FUNCTION ioledger_io_insert();\n"
          "CREATE FUNCTION ioledger_io_update() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"
          "    UPDATE " IOL_PG_IO_TABLE " SET ",
          out);
    print_pg_values(out, "NEW", ", ", true);
    fputs("\n    WHERE ", out);
    print_pg_values(out, "OLD", " AND ", true);
    fputs(";\n    RETURN NEW;\nEND $$;\n"
          "CREATE TRIGGER io_update INSTEAD OF UPDATE ON io FOR EACH ROW EXECUTE FUNCTION ioledger_io_update();\n",
          out);
}

static void print_pg_comments(FILE *out)
{
    const struct iol_table *table = io_table();

    fprintf(out, "COMMENT ON VIEW io IS '%s';\n", table->doc);
    for (size_t i = 0; i < table->n_columns; i++)
        fprintf(out, "COMMENT ON COLUMN io.%s IS '%s';\n", table->columns[i].name, table->columns[i].doc);
    fputs("\n", out);
}

/* From the table io of version 2, which is io_2 by now. */
void iol_schema_print_io_copy(FILE *out)
{
    fputs("INSERT INTO " IOL_PG_IO_TABLE " (", out);
    iol_schema_print_io_columns(out, true);
    fputs(")\nSELECT ", out);
    print_pg_values(out, "io_2", ", ", false);
    fputs(" FROM io_2;\n", out);
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

void iol_schema_print_io(FILE *out, enum iol_dialect dialect)
{
    if (dialect == IOL_DIALECT_SQLITE) {
        print_sqlite_io(out, io_table());
        print_sqlite_io_triggers(out);
        return;
    }
    print_pg_table(out);
    print_pg_view(out);
    print_pg_comments(out);
    print_pg_triggers(out);
    fputs("\n", out);
}

void iol_schema_print_distribute(FILE *out, const char *table, bool distribute)
{
    /* The first one in whose company the others are. */
    static const char first[] = "recording";

    if (!distribute)
        return;
    if (strcmp(table, "host") == 0)
        fprintf(out, "SELECT create_reference_table('%s');\n", table);
    else
        fprintf(out, "SELECT create_distributed_table('%s', 'host_id', colocate_with => '%s');\n", table,
                strcmp(table, first) == 0 ? "none" : first);
}

/* Citus has no writing to views. */
void iol_schema_print_io_by_host(FILE *out, bool distribute)
{
    print_pg_table(out);
    iol_schema_print_distribute(out, IOL_PG_IO_TABLE, distribute);
    print_pg_view(out);
    print_pg_comments(out);
}
