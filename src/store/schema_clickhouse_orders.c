// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * io_by_file and process_day. What a question costs that looks for few rows at many places is the number of columns that are opened at each: a column
 * that may be NULL is two. So numbers of io_by_file are not, and the least one stands for NULL; times are distances from the interval's end, which take
 * half as many bytes.
 */
#include <string.h>

#include "store/schema_clickhouse.h"
#include "store/schema_clickhouse.intern.h"

#define NULL_NUMBER "toInt64(-9223372036854775808)"

static const struct iol_table *io_table(void)
{
    return &iol_schema_tables[IOL_TABLE_IO];
}

static bool is_end(const struct iol_column *column)
{
    return column == &io_table()->columns[0];
}

static bool is_distance(const struct iol_column *column)
{
    return column->type == IOL_TYPE_TIME && !is_end(column);
}

/* "ts_us" is the end of the interval in both; first_ts is first_us. */
static void put_name(FILE *out, const struct iol_column *column)
{
    if (is_distance(column))
        fprintf(out, "%.*s_us", (int)strcspn(column->name, "_"), column->name);
    else
        fprintf(out, "%s%s", column->name, is_end(column) ? "_us" : "");
}

void iol_schema_ch_print_by_file_columns(FILE *out)
{
    const struct iol_table *io = io_table();

    for (size_t i = 0; i < io->n_columns; i++) {
        put_name(out, &io->columns[i]);
        fputs(", ", out);
    }
    fputs(IOL_CH_SEQ, out);
}

void iol_schema_ch_print_by_file_values(FILE *out)
{
    const struct iol_table *io = io_table();

    for (size_t i = 0; i < io->n_columns; i++) {
        const struct iol_column *column = &io->columns[i];
        if (is_distance(column))
            fprintf(out, "ifNull(ts_us - %s_us, " NULL_NUMBER ") AS ", column->name);
        else if (!column->not_null)
            fprintf(out, "ifNull(%s, " NULL_NUMBER ") AS ", column->name);
        put_name(out, column);
        fputs(", ", out);
    }
    fputs(IOL_CH_SEQ, out);
}

void iol_schema_ch_print_by_file_rows(FILE *out, const char *table)
{
    const struct iol_table *io = io_table();

    fputs("SELECT DISTINCT ", out);
    for (size_t i = 0; i < io->n_columns; i++) {
        const struct iol_column *column = &io->columns[i];
        if (is_distance(column))
            fputs("ts_us - ", out);
        if (!column->not_null)
            fputs("nullIf(", out);
        put_name(out, column);
        if (!column->not_null)
            fputs(", " NULL_NUMBER ")", out);
        if (is_distance(column))
            fprintf(out, " AS %s_us", column->name);
        else if (!column->not_null)
            fprintf(out, " AS %s", column->name);
        fputs(", ", out);
    }
    fprintf(out, IOL_CH_SEQ " FROM %s", table);
}

static void print_by_file(struct iol_ch_ddl *ddl)
{
    const struct iol_table *io = io_table();
    char local[64];

    iol_schema_ch_local(local, IOL_CH_BY_FILE, ddl->layout);
    fputs("-- The rows of io once more, by the file. -9223372036854775808 stands for NULL; first_us and last_us: "
          "microseconds to the end of the "
          "interval\n",
          ddl->out);
    iol_ch_ddl_create(ddl, "TABLE", local);
    fputs("\n(\n", ddl->out);
    for (size_t i = 0; i < io->n_columns; i++) {
        struct iol_column column = io->columns[i];
        column.not_null = true;
        fputs("    ", ddl->out);
        put_name(ddl->out, &io->columns[i]);
        putc(' ', ddl->out);
        iol_ch_ddl_type(ddl, &column);
        iol_ch_ddl_codec(ddl, is_end(&io->columns[i]));
        fputs(",\n", ddl->out);
    }
    fputs("    " IOL_CH_SEQ " Int64", ddl->out);
    iol_ch_ddl_codec(ddl, true);
    fputs("\n)\n", ddl->out);
    iol_ch_ddl_engine(ddl, local, false, NULL);
    iol_ch_ddl_rest(ddl, "file_id, process_id, ts_us", true, "ts_us", false, IOL_CH_SMALL_GRANULES);
    iol_ch_ddl_distributed(ddl, IOL_CH_BY_FILE, local, "host_id");
}

/* A set: what is written again changes nothing. */
static void print_process_day(struct iol_ch_ddl *ddl)
{
    char local[64];

    iol_schema_ch_local(local, IOL_CH_PROCESS_DAY, ddl->layout);
    fputs("-- On which days a process has rows of io\n", ddl->out);
    iol_ch_ddl_create(ddl, "TABLE", local);
    fputs("\n(\n    day_us Int64 COMMENT 'begin of the day, in microseconds'", ddl->out);
    iol_ch_ddl_codec(ddl, true);
    fputs(",\n    host_id Int64 COMMENT 'host.id'", ddl->out);
    iol_ch_ddl_codec(ddl, false);
    fputs(",\n    process_id Int64 COMMENT 'process.id'", ddl->out);
    iol_ch_ddl_codec(ddl, false);
    fputs("\n)\n", ddl->out);
    iol_ch_ddl_engine(ddl, local, true, NULL);
    iol_ch_ddl_rest(ddl, "process_id, host_id", true, "day_us", false, IOL_CH_SMALL_GRANULES);
    iol_ch_ddl_distributed(ddl, IOL_CH_PROCESS_DAY, local, "host_id");
}

/* A shard's rows go into its own tables: first on which days their processes have some. */
static void print_filling(struct iol_ch_ddl *ddl)
{
    char view[64], to[64], io[64];

    iol_schema_ch_local(io, io_table()->name, ddl->layout);
    fputs("-- What fills both\n", ddl->out);
    iol_ch_ddl_create(ddl, "MATERIALIZED VIEW", iol_schema_ch_local(view, IOL_CH_PROCESS_DAY "_filled", ddl->layout));
    fprintf(ddl->out,
            " TO %s AS\nSELECT " IOL_CH_IO_DAY " * 86400000000 AS day_us, host_id, process_id FROM %s"
            " GROUP BY day_us, host_id, process_id;\n\n",
            iol_schema_ch_local(to, IOL_CH_PROCESS_DAY, ddl->layout), io);
    iol_ch_ddl_create(ddl, "MATERIALIZED VIEW", iol_schema_ch_local(view, IOL_CH_BY_FILE "_filled", ddl->layout));
    fprintf(ddl->out, " TO %s AS\nSELECT ", iol_schema_ch_local(to, IOL_CH_BY_FILE, ddl->layout));
    iol_schema_ch_print_by_file_values(ddl->out);
    fprintf(ddl->out, " FROM %s;\n\n", io);
}

void iol_ch_ddl_orders(struct iol_ch_ddl *ddl)
{
    print_by_file(ddl);
    print_process_day(ddl);
    print_filling(ddl);
}
