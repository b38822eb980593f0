// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/sql.h"

#include <inttypes.h>

#include "base/text.h"
#include "store/schema_sql.h"

#define NS_PER_US 1000

static const struct iol_sql dialects[] = {
    [IOL_DIALECT_SQLITE] =
        {
            .accounts = "io_row io",
            .accounts_join = " JOIN io_interval i ON i.id = io.id >> " IOL_SQLITE_ROW_BITS
                             " AND likelihood(io.id >= i.id << " IOL_SQLITE_ROW_BITS ", 0.001)"
                             " AND likelihood(io.id < (i.id + 1) << " IOL_SQLITE_ROW_BITS ", 0.001)",
            .host = "i.host_id",
            .end = "i.ts",
            .first = "(i.ts_us - coalesce(io.first_us, 0))",
            .last = "(i.ts_us - coalesce(io.last_us, 0))",
            .mapped = "(io.route = 5)",
            .unordered = "+",
            .event_time = IOL_SQLITE_US("e.ts"),
        },
    [IOL_DIALECT_POSTGRESQL] =
        {
            .accounts = "io",
            .accounts_join = "",
            .host = "io.host_id",
            .end = "io.ts",
            .first = "coalesce(io.first_ts, io.ts)",
            .last = "coalesce(io.last_ts, io.ts)",
            .mapped = "(io.route = 'mmap')",
            .unordered = "",
            .event_time = "e.ts",
        },
};
_Static_assert(IOL_ROUTE_MMAP == 5, "the number of a route in SQLite");

const struct iol_sql *iol_sql_of(enum iol_dialect dialect)
{
    return &dialects[dialect];
}

char *iol_sql_time(enum iol_dialect dialect, char *buf, size_t size, int64_t ns)
{
    char text[32];

    iol_text_time(text, sizeof(text), ns);
    if (dialect == IOL_DIALECT_SQLITE)
        snprintf(buf, size, "'%s'", text);
    else
        snprintf(buf, size, "timestamptz '%s+00'", text);
    return buf;
}

char *iol_sql_account_time(enum iol_dialect dialect, char *buf, size_t size, int64_t ns)
{
    if (dialect != IOL_DIALECT_SQLITE)
        return iol_sql_time(dialect, buf, size, ns);
    snprintf(buf, size, "%" PRId64, ns / NS_PER_US);
    return buf;
}

void iol_sql_put_shown_time(FILE *out, enum iol_dialect dialect, const char *account_time)
{
    if (dialect == IOL_DIALECT_SQLITE)
        iol_schema_print_sqlite_time(out, account_time);
    else
        fputs(account_time, out);
}

void iol_sql_put_micros(FILE *out, enum iol_dialect dialect, const char *account_time)
{
    fprintf(out, dialect == IOL_DIALECT_SQLITE ? "%s" : "CAST(extract(epoch FROM %s) * 1000000 AS bigint)",
            account_time);
}

void iol_sql_put_directory(FILE *out, enum iol_dialect dialect, const char *path)
{
    (void)dialect;
    fprintf(out, "CASE WHEN substr(%1$s, 1, 1) = '/' THEN rtrim(%1$s, replace(%1$s, '/', '')) ELSE %1$s END", path);
}
