// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/schema_clickhouse.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/schema_clickhouse.intern.h"
#include "store/schema_sql.h"
#include "store/url.h"

_Static_assert(IOL_CH_SCHEMA_VERSION >= IOL_SCHEMA_VERSION, "what the contract brings, these tables bring");

#define NEWEST_SERVER "24.8" /* whose documents the DDL follows */

/*
 * What the rows of a table are sorted by: io for the files of a process, file for the path, all others for their key. The day is the same in
 * all of a part: it costs nothing, and lets pairs of a day and a process be looked for at once. What is looked up by single ids has small
 * granules, of which a few are read for each.
 */
static const struct {
    const char *order;
    bool by_day;
    unsigned int granularity;
} engines[IOL_TABLE_COUNT] = {
    [IOL_TABLE_HOST] = {"id", false},
    [IOL_TABLE_RECORDING] = {"host_id, id", false},
    [IOL_TABLE_LOGIN] = {"host_id, uid", false},
    [IOL_TABLE_PROCESS] = {"id", false, IOL_CH_SMALL_GRANULES},
    [IOL_TABLE_PROCESS_EXIT] = {"process_id", false},
    [IOL_TABLE_FILE] = {"path, host_id, id", false, IOL_CH_SMALL_GRANULES},
    [IOL_TABLE_IO] = {IOL_CH_IO_DAY ", host_id, process_id, file_id, ts_us", true, IOL_CH_SMALL_GRANULES},
    [IOL_TABLE_EVENT] = {"host_id, ts_us", true},
    [IOL_TABLE_TOTAL] = {"host_id, ts_us, route", true},
    [IOL_TABLE_LOSS] = {"host_id", false},
    [IOL_TABLE_BATCH] = {"host_id, boot_id, seq", false},
};

/* Texts of which there are few different ones. */
static const char *const repeated[] = {"boot_id", "kernel", "machine_id", "version", "probes", "comm",
                                       "exe",     "cwd",    "cgroup",     "flags",   "reason", "container_id"};

bool iol_schema_ch_by_day(const struct iol_table *table)
{
    return engines[table->id].by_day;
}

bool iol_schema_ch_replaces(const struct iol_table *table)
{
    return table->mode != IOL_WRITE_APPEND;
}

const char *iol_schema_ch_local(char buf[static 64], const char *table, const struct iol_ch_layout *layout)
{
    snprintf(buf, 64, "%s%s", table, layout->cluster[0] ? "_local" : "");
    return buf;
}

void iol_schema_ch_print_columns(FILE *out, const struct iol_table *table)
{
    iol_schema_ch_print_columns_of(out, table, IOL_CH_SCHEMA_VERSION);
}

void iol_schema_ch_print_columns_of(FILE *out, const struct iol_table *table, int version)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        if (column->since <= version)
            fprintf(out, "%s%s, ", column->name, column->type == IOL_TYPE_TIME ? "_us" : "");
    }
    fputs(iol_schema_ch_replaces(table) ? IOL_CH_VERSION : IOL_CH_SEQ, out);
}

void iol_ch_ddl_text(FILE *out, const char *text)
{
    putc('\'', out);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            putc('\\', out);
        putc(*text, out);
    }
    putc('\'', out);
}

static void print_enum(FILE *out, const struct iol_enum *words)
{
    fputs("Enum8(", out);
    for (size_t i = 0; i < words->count; i++) {
        fputs(i ? ", " : "", out);
        iol_ch_ddl_text(out, words->words[i]);
        fprintf(out, " = %zu", i);
    }
    putc(')', out);
}

static bool is_repeated(const char *name)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(repeated); i++) {
        if (strcmp(repeated[i], name) == 0)
            return true;
    }
    return false;
}

void iol_ch_ddl_type(struct iol_ch_ddl *ddl, const struct iol_column *column)
{
    bool low = column->type == IOL_TYPE_TEXT && ddl->features->codecs && is_repeated(column->name);

    if (column->type == IOL_TYPE_ENUM) {
        print_enum(ddl->out, column->words);
        return;
    }
    fprintf(ddl->out, "%s%s%s%s%s", low ? "LowCardinality(" : "", column->not_null ? "" : "Nullable(",
            column->type == IOL_TYPE_TEXT ? "String" : "Int64", column->not_null ? "" : ")", low ? ")" : "");
}

char *iol_schema_ch_type(const struct iol_column *column)
{
    static const struct iol_ch_features any = {0}; /* only texts depend on it */
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    iol_ch_ddl_type(&(struct iol_ch_ddl){.out = out, .features = &any}, column);
    return iol_stream_text(&stream);
}

void iol_ch_ddl_codec(struct iol_ch_ddl *ddl, bool delta)
{
    if (ddl->features->codecs)
        fputs(delta ? " CODEC(Delta, ZSTD(1))" : " CODEC(ZSTD(1))", ddl->out);
}

void iol_ch_ddl_column(struct iol_ch_ddl *ddl, const struct iol_column *column)
{
    bool time = column->type == IOL_TYPE_TIME;

    fprintf(ddl->out, "    %s%s ", column->name, time ? "_us" : "");
    iol_ch_ddl_type(ddl, column);
    fputs(" COMMENT ", ddl->out);
    iol_ch_ddl_text(ddl->out, column->doc);
    iol_ch_ddl_codec(ddl, time);
    fputs(",\n", ddl->out);
    if (!time)
        return;
    if (ddl->features->time64)
        fprintf(ddl->out, "    %1$s ALIAS fromUnixTimestamp64Micro(%1$s_us, 'UTC'),\n", column->name);
    else
        fprintf(ddl->out, "    %1$s ALIAS toDateTime(intDiv(%1$s_us, 1000000), 'UTC'),\n", column->name);
}

void iol_ch_ddl_create(struct iol_ch_ddl *ddl, const char *what, const char *name)
{
    fprintf(ddl->out, "CREATE %s IF NOT EXISTS %s", what, name);
    iol_ch_ddl_on_cluster(ddl);
}

void iol_ch_ddl_on_cluster(struct iol_ch_ddl *ddl)
{
    if (ddl->layout->cluster[0] && ddl->layout->replicated)
        fprintf(ddl->out, " ON CLUSTER %s", ddl->layout->cluster);
}

/* {shard} and {replica} are macros in the configuration of each server. */
void iol_ch_ddl_engine(struct iol_ch_ddl *ddl, const char *name, bool replaces, const char *version)
{
    fprintf(ddl->out, "ENGINE = %s%sMergeTree", ddl->layout->replicated ? "Replicated" : "",
            replaces ? "Replacing" : "");
    if (ddl->layout->replicated)
        fprintf(ddl->out, "('/clickhouse/tables/{shard}/%s/%s', '{replica}'%s%s)", ddl->layout->database, name,
                version ? ", " : "", version ? version : "");
    else if (version)
        fprintf(ddl->out, "(%s)", version);
    putc('\n', ddl->out);
}

/* Rows that were sent again are recognised by the server too, where it can. */
void iol_ch_ddl_rest(struct iol_ch_ddl *ddl, const char *order, bool by_day, const char *time, bool fact,
                     unsigned int granularity)
{
    const char *separator = "\nSETTINGS ";
    const struct iol_ch_features *features = ddl->features;
    bool window = features->token && !ddl->layout->replicated && fact;
    bool ttl = by_day && features->ttl && ddl->layout->keep_days > 0;

    if (by_day)
        fprintf(ddl->out, "PARTITION BY intDiv(%s, toInt64(%" PRId64 "))\n", time, IOL_CH_DAY_US);
    fprintf(ddl->out, "ORDER BY (%s)", order);
    if (ttl)
        fprintf(ddl->out, "\nTTL toDateTime(intDiv(%s, 1000000)) + INTERVAL %u DAY", time, ddl->layout->keep_days);
    if (granularity > 0) {
        fprintf(ddl->out, "%sindex_granularity = %u", separator, granularity);
        separator = ", ";
    }
    if (window) {
        fprintf(ddl->out, "%snon_replicated_deduplication_window = 1000", separator);
        separator = ", ";
    }
    if (ttl)
        fprintf(ddl->out, "%sttl_only_drop_parts = 1", separator);
    fputs(";\n\n", ddl->out);
}

void iol_ch_ddl_distributed(struct iol_ch_ddl *ddl, const char *name, const char *local, const char *key)
{
    if (!ddl->layout->cluster[0])
        return;
    iol_ch_ddl_create(ddl, "TABLE", name);
    fprintf(ddl->out, " AS %s\nENGINE = Distributed(%s, %s, %s, cityHash64(%s));\n\n", local, ddl->layout->cluster,
            ddl->layout->database, local, key);
}

/* What belongs to a host is on the shard of that host. */
static const char *shard_key(const struct iol_table *table)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        if (strcmp(table->columns[i].name, "host_id") == 0)
            return "host_id";
    }
    return table->columns[0].name;
}

/* What the server makes of the other columns of a file, whoever writes it. */
static void put_name_key(struct iol_ch_ddl *ddl)
{
    fputs(IOL_CH_NAME_KEY " UInt64 DEFAULT cityHash64(host_id, path, toString(kind), ifNull(flags, ''))"
                          " COMMENT 'the same for all files of one host, path, kind and flags'",
          ddl->out);
    iol_ch_ddl_codec(ddl, false);
}

static void print_table(struct iol_ch_ddl *ddl, const struct iol_table *table)
{
    bool replaces = iol_schema_ch_replaces(table), by_day = engines[table->id].by_day;
    char local[64], time[64];

    iol_schema_ch_local(local, table->name, ddl->layout);
    snprintf(time, sizeof(time), "%s_us", table->columns[0].name);
    fprintf(ddl->out, "-- %s\n", table->doc);
    iol_ch_ddl_create(ddl, "TABLE", local);
    fputs("\n(\n", ddl->out);
    for (size_t i = 0; i < table->n_columns; i++)
        iol_ch_ddl_column(ddl, &table->columns[i]);
    fprintf(ddl->out, "    %s COMMENT '%s'", replaces ? IOL_CH_VERSION " UInt64" : IOL_CH_SEQ " Int64",
            replaces ? "of rows with one key the highest counts" : "batch.seq of the batch that brought the row");
    iol_ch_ddl_codec(ddl, true);
    if (table->id == IOL_TABLE_FILE) {
        fputs(",\n    ", ddl->out);
        put_name_key(ddl);
    }
    fputs("\n)\n", ddl->out);
    iol_ch_ddl_engine(ddl, local, replaces, replaces ? IOL_CH_VERSION : NULL);
    iol_ch_ddl_rest(ddl, engines[table->id].order, by_day, time, !replaces, engines[table->id].granularity);
    iol_ch_ddl_distributed(ddl, table->name, local, shard_key(table));
}

/* One JOIN in each SELECT, and of any table the latest rows: what every version understands. */
static void print_views(struct iol_ch_ddl *ddl)
{
    static const char names_of_process[] = "(SELECT id AS process_id, pid, comm, exe, uid FROM process)";
    static const char names_of_file[] = "(SELECT id AS file_id, path, kind, flags FROM file)";

    fputs("-- io with the names in plain sight\n", ddl->out);
    iol_ch_ddl_create(ddl, "VIEW", "io_named");
    fprintf(ddl->out,
            " AS\nSELECT ts_us, ts, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, "
            "write_bytes,\n    read_errors, write_errors, first_ts_us, first_ts, last_ts_us, last_ts, pid, comm, exe, "
            "uid, path, kind, flags\n"
            "FROM\n(\n"
            "    SELECT * FROM (SELECT *, ts, first_ts, last_ts FROM io) GLOBAL ANY LEFT JOIN\n"
            "    %s USING (process_id)\n"
            ") GLOBAL ANY LEFT JOIN\n%s USING (file_id);\n\n",
            names_of_process, names_of_file);
    fputs("-- The ledger as one table; type: 1 exec, 2 fork, 3 read, 4 write\n", ddl->out);
    iol_ch_ddl_create(ddl, "VIEW", "audit_log");
    fputs(
        " AS\n"
        "SELECT pid, toUInt8(1) AS type, comm, exe AS path, exec_time AS timestamp FROM process WHERE origin = 'exec'\n"
        "UNION ALL\n"
        "SELECT pid, toUInt8(2), comm, exe, start_time FROM process WHERE origin = 'fork'\n"
        "UNION ALL\n"
        "SELECT pid, toUInt8(3), comm, CAST(path AS Nullable(String)), last_ts FROM io_named WHERE read_ops > 0\n"
        "UNION ALL\n"
        "SELECT pid, toUInt8(4), comm, CAST(path AS Nullable(String)), last_ts FROM io_named WHERE write_ops > 0;\n\n",
        ddl->out);
}

void iol_ch_ddl_version(struct iol_ch_ddl *ddl)
{
    fputs("-- The version of all this; made last\n", ddl->out);
    iol_ch_ddl_create(ddl, "VIEW", IOL_VERSION_TABLE);
    fprintf(ddl->out, " AS SELECT toInt32(%d) AS version;\n\n", IOL_CH_SCHEMA_VERSION);
}

int iol_schema_ch_print_column(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout,
                               const char *name, const struct iol_table *table, const struct iol_column *column)
{
    struct iol_ch_ddl ddl = {.out = out, .features = features, .layout = layout};

    fprintf(out, "ALTER TABLE %s", name);
    iol_ch_ddl_on_cluster(&ddl);
    fprintf(out, " ADD COLUMN %s ", column->name);
    iol_ch_ddl_type(&ddl, column);
    fputs(" COMMENT ", out);
    iol_ch_ddl_text(out, column->doc);
    iol_ch_ddl_codec(&ddl, false);
    if (column > table->columns)
        fprintf(out, " AFTER %s%s", column[-1].name, column[-1].type == IOL_TYPE_TIME ? "_us" : "");
    fputs(";\n\n", out);
    return ferror(out) ? -EIO : 0;
}

int iol_schema_ch_print_name_key(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout,
                                 const char *name)
{
    struct iol_ch_ddl ddl = {.out = out, .features = features, .layout = layout};

    fprintf(out, "ALTER TABLE %s", name);
    iol_ch_ddl_on_cluster(&ddl);
    fputs(" ADD COLUMN ", out);
    put_name_key(&ddl);
    fputs(";\n\n", out);
    return ferror(out) ? -EIO : 0;
}

int iol_schema_ch_print_version(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout)
{
    struct iol_ch_ddl ddl = {.out = out, .features = features, .layout = layout};

    fputs("DROP TABLE IF EXISTS " IOL_VERSION_TABLE, out);
    iol_ch_ddl_on_cluster(&ddl);
    fputs(";\n\n", out);
    iol_ch_ddl_version(&ddl);
    return ferror(out) ? -EIO : 0;
}

int iol_schema_ch_print(FILE *out, const struct iol_ch_features *features, const struct iol_ch_layout *layout)
{
    struct iol_ch_ddl ddl = {.out = out, .features = features, .layout = layout};

    fprintf(out, "-- The tables of ioledger, version %d of the schema, for ClickHouse %u.%u.\n\n",
            IOL_CH_SCHEMA_VERSION, features->version / 100, features->version % 100);
    for (size_t i = 0; i < IOL_TABLE_COUNT; i++)
        print_table(&ddl, &iol_schema_tables[i]);
    iol_ch_ddl_orders(&ddl);
    print_views(&ddl);
    iol_ch_ddl_version(&ddl);
    return ferror(out) ? -EIO : 0;
}

/* Of the server that the URL names. */
static int ask_version(const char *url, struct iol_ch_features *ret_features, struct iol_error *err)
{
#ifdef IOL_HAVE_CLICKHOUSE
    struct iol_ch *ch = NULL;
    int r = iol_ch_open(url, false, &ch, err);

    if (r == 0)
        *ret_features = *iol_ch_features(ch);
    iol_ch_close(ch);
    return r;
#else
    (void)ret_features;
    return iol_url_unknown(url, err);
#endif
}

int iol_schema_print_clickhouse(FILE *out, const char *url, const char *version, struct iol_error *err)
{
    struct iol_ch_layout layout = {.database = "default"};
    struct iol_ch_features features = {0};
    bool bare = strchr(url, ':') == NULL;
    int r = bare ? 0 : iol_ch_layout_of(url, &layout, err);

    if (version || bare)
        iol_ch_features_of(version ? version : NEWEST_SERVER, &features);
    else if (r == 0)
        r = ask_version(url, &features, err);
    if (r == 0 && features.version < IOL_CH_OLDEST)
        r = iol_error_set(err, -EINVAL,
                          "'%s' is no version of ClickHouse that can hold a ledger: it has to be %d.%d or later",
                          version ? version : "", IOL_CH_OLDEST / 100, IOL_CH_OLDEST % 100);
    return r == 0 ? iol_schema_ch_print(out, &features, &layout) : r;
}
