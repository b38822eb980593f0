// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/schema_sql.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/stream.h"

static bool is_key(const struct iol_table *table, const char *name)
{
    for (const char *const *key = table->key; key && *key; key++)
        if (strcmp(*key, name) == 0)
            return true;
    return false;
}

bool iol_schema_lacks_host(const struct iol_table *table)
{
    return table->id != IOL_TABLE_HOST && !is_key(table, "host_id");
}

void iol_schema_print_key(FILE *out, const struct iol_table *table, bool by_host)
{
    if (by_host && iol_schema_lacks_host(table))
        fputs("host_id, ", out);
    for (const char *const *key = table->key; *key; key++)
        fprintf(out, "%s%s", key == table->key ? "" : ", ", *key);
}

void iol_schema_print_conflict(FILE *out, const struct iol_table *table, bool by_host)
{
    if (table->mode == IOL_WRITE_APPEND)
        return;
    fputs(" ON CONFLICT (", out);
    iol_schema_print_key(out, table, by_host);
    if (table->mode == IOL_WRITE_ONCE && !table->unknown) {
        fputs(") DO NOTHING", out);
        return;
    }
    fputs(") DO UPDATE SET ", out);
    const char *separator = "";
    for (size_t i = 0; i < table->n_columns; i++) {
        const char *name = table->columns[i].name;
        if (is_key(table, name) || (by_host && strcmp(name, "host_id") == 0))
            continue;
        fprintf(out, "%s%s = excluded.%s", separator, name, name);
        separator = ", ";
    }
    if (table->unknown)
        fprintf(out, " WHERE %s.%s IS NULL", table->name, table->unknown);
}

static void print_columns(FILE *out, const struct iol_table *table)
{
    for (size_t i = 0; i < table->n_columns; i++)
        fprintf(out, "%s%s", i == 0 ? "" : ", ", table->columns[i].name);
}

void iol_schema_print_values(FILE *out, size_t columns, size_t rows)
{
    for (size_t i = 0; i < columns * rows; i++)
        fprintf(out, "%s$%zu", i == 0 ? "VALUES (" : i % columns == 0 ? "), (" : ", ", i + 1);
    fputs(")", out);
}

char *iol_schema_column_list(const struct iol_table *table)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    print_columns(out, table);
    return iol_stream_text(&stream);
}

char *iol_schema_probe(const struct iol_table *table, int version)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs("SELECT ", out);
    for (size_t i = 0; i < table->n_columns; i++) {
        if (table->columns[i].since <= version)
            fprintf(out, "%s%s", i ? ", " : "", table->columns[i].name);
    }
    fprintf(out, " FROM %s LIMIT 0", table->name);
    return iol_stream_text(&stream);
}

char *iol_schema_insert(const struct iol_table *table, size_t rows)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fprintf(out, "INSERT OR ROLLBACK INTO %s (", table->name);
    print_columns(out, table);
    fputs(") ", out);
    iol_schema_print_values(out, table->n_columns, rows);
    iol_schema_print_conflict(out, table, false);
    return iol_stream_text(&stream);
}

char *iol_schema_citus_ddl(bool distribute)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    iol_schema_print_citus(out, distribute);
    return iol_stream_text(&stream);
}

char *iol_schema_ddl(enum iol_dialect dialect)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    iol_schema_print(out, dialect);
    return iol_stream_text(&stream);
}
