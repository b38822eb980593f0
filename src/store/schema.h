// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The one description of the ledger's tables: DDL, inserts, COPY, JSON and queries all come from it.
 * A column's `offset` is where its member stands in the row struct of core/row.h.
 *
 * How to add a column: a member in core/row.h, a line at the same place in schema.c, IOL_SCHEMA_VERSION one higher, and
 * the step from the version before in iol_schema_upgrade().
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/row.h"

#define IOL_SCHEMA_VERSION 4
#define IOL_SCHEMA_OLDEST 2 /* that is read as it is, and that a recorder turns into one of this version */

enum iol_type {
    IOL_TYPE_INT,  /* int64_t; IOL_NULL is NULL. PostgreSQL bigint, SQLite INTEGER */
    IOL_TYPE_TEXT, /* const char *; NULL is NULL */
    IOL_TYPE_TIME, /* int64_t ns; PostgreSQL timestamptz, SQLite TEXT 'YYYY-MM-DD HH:MM:SS.ffffff' in UTC */
    IOL_TYPE_ENUM, /* int64_t index into words; PostgreSQL enum type, SQLite TEXT with a CHECK */
};

struct iol_enum {
    const char *name; /* of the PostgreSQL type */
    const char *const *words;
    size_t count;
};

struct iol_column {
    const char *name;
    enum iol_type type;
    size_t offset;
    bool not_null;
    const struct iol_enum *words; /* IOL_TYPE_ENUM only */
    const char *doc;              /* one line, becomes a comment in the DDL */
    int since;                    /* the version of the schema that brought it; 0: all have it */
};

enum iol_write_mode {
    IOL_WRITE_APPEND, /* facts: io, event, total, loss */
    IOL_WRITE_ONCE,   /* dimensions: a row that is already there stays as it is (but see `unknown`) */
    IOL_WRITE_LATEST, /* host, recording: the later row replaces */
};

struct iol_table {
    enum iol_table_id id;
    const char *name;
    const char *doc;
    const struct iol_column *columns;
    size_t n_columns;
    const char *const *key; /* primary key column names, NULL-terminated; NULL for facts */
    enum iol_write_mode mode;
    const char *unknown; /* IOL_WRITE_ONCE: a row in which this column is NULL was made up, and is replaced; or NULL */
    bool by_day;         /* in PostgreSQL, a partition for each day (UTC) of its first column, a time */
};

/* Every table, in an order in which they can be created and filled. */
extern const struct iol_table iol_schema_tables[IOL_TABLE_COUNT];

/* "rw", "pipe", ... for an index; NULL when out of range. */
const char *iol_schema_word(const struct iol_enum *words, int64_t index);
extern const struct iol_enum iol_enum_route, iol_enum_kind, iol_enum_origin, iol_enum_event_kind;

enum iol_dialect { IOL_DIALECT_SQLITE, IOL_DIALECT_POSTGRESQL };

/*
 * Writes the whole DDL (types, tables, indexes, views, version row) as SQL text that creates it from nothing. No
 * BEGIN and COMMIT in it: that is for whoever runs it. 0 or -errno.
 */
int iol_schema_print(FILE *out, enum iol_dialect dialect);

/*
 * The same for PostgreSQL with Citus: all tables are distributed by host, together, and host is a reference table; so each key has host_id in it,
 * and process_exit a column of that name. Without `distribute` the calls of Citus' functions are left out, and any PostgreSQL takes it.
 */
int iol_schema_print_citus(FILE *out, bool distribute);

struct iol_error;

/*
 * The same for ClickHouse, whose DDL depends on the server's version and on what the URL asks for (cluster=, replicated=, keep=). `version` is
 * that of a server, as "18.16"; NULL: it is asked of the server, or, when the URL is just "clickhouse", the newest that is known. 0 or
 * -errno with *err.
 */
int iol_schema_print_clickhouse(FILE *out, const char *url, const char *version, struct iol_error *err);
