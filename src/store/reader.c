// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/reader_driver.h"
#include "store/url.h"

int iol_db_open(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err)
{
    if (iol_url_rest(url, "sqlite"))
        return iol_db_sqlite_ops.open(url, verbose, ret_db, err);
    if (iol_url_rest(url, "postgresql") || iol_url_rest(url, "postgres"))
        return iol_db_postgres_ops.open(url, verbose, ret_db, err);
#ifdef IOL_HAVE_CLICKHOUSE
    if (iol_url_is_clickhouse(url))
        return iol_db_clickhouse_ops.open(url, verbose, ret_db, err);
#endif
    return iol_url_cannot_ask(url, err);
}

/* The ids of all hosts of that name, "1,2": to be freed. A machine that was set up anew has another id. */
static int find_hosts(struct iol_db *db, const char *name, char **ret_list, struct iol_error *err)
{
    struct iol_query *query = NULL;
    struct iol_stream stream;
    char *list;
    size_t n = 0;
    FILE *out;
    int r = db->ops->find_hosts
                ? db->ops->find_hosts(db, name, &query, err)
                : iol_query_new(db, "SELECT id FROM host WHERE name = $1 ORDER BY id", 1, &name, &query, err);

    if (r < 0)
        return r;
    out = iol_stream_open(&stream);
    while (out && (r = iol_query_next(query, err)) > 0)
        fprintf(out, "%s%lld", n++ ? "," : "", iol_query_int(query, 0));
    iol_query_free(query);
    list = out ? iol_stream_text(&stream) : NULL;
    if (!list)
        r = iol_error_set(err, -ENOMEM, "out of memory");
    if (r == 0 && n == 0) {
        r = iol_error_set(err, -ENOENT, "there is no host '%s' in this ledger", name);
        iol_error_hint(err, "'ioledger fleet' shows those that are; --host all asks of all");
    }
    if (r < 0)
        free(list);
    else
        *ret_list = list;
    return r;
}

/* A view of the session hides the table of its name: queries need not know of it. */
static char *make_views(enum iol_dialect dialect, bool by_host, const char *hosts)
{
    const char *schema = dialect == IOL_DIALECT_SQLITE ? "main." : "";
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    /* There io is made of two tables, and some questions know. */
    if (dialect == IOL_DIALECT_SQLITE)
        fprintf(out, "CREATE TEMP VIEW io_interval AS SELECT * FROM main.io_interval WHERE host_id IN (%s);", hosts);
    for (int i = 0; i < IOL_TABLE_COUNT; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        fprintf(out, "CREATE TEMP VIEW %s AS SELECT * FROM %s%s WHERE ", table->name, schema, table->name);
        if (i == IOL_TABLE_PROCESS_EXIT && !by_host)
            fprintf(out, "process_id IN (SELECT id FROM %sprocess WHERE host_id IN (%s));", schema, hosts);
        else
            fprintf(out, "%s IN (%s);", i == IOL_TABLE_HOST ? "id" : "host_id", hosts);
    }
    return iol_stream_text(&stream);
}

/* Whether all tables have a host_id, as Citus wants it: then a question of one host is one for one shard. */
static int find_by_host(struct iol_db *db, bool *ret_by_host, struct iol_error *err)
{
    struct iol_query *query = NULL;
    int r = iol_query_new(db,
                          "SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = 'process_exit'::regclass"
                          " AND attname = 'host_id' AND NOT attisdropped",
                          0, NULL, &query, err);

    if (r < 0)
        return r;
    r = iol_query_next(query, err);
    *ret_by_host = r > 0;
    iol_query_free(query);
    return r < 0 ? r : 0;
}

static int restrict_to(struct iol_db *db, const char *host, struct iol_error *err)
{
    _cleanup_free_ char *hosts = NULL, *views = NULL;
    int r = find_hosts(db, host, &hosts, err);

    if (r < 0)
        return r;
    if (db->ops->restrict_hosts)
        return db->ops->restrict_hosts(db, hosts, err);
    bool by_host = false;
    r = db->ops->dialect == IOL_DIALECT_POSTGRESQL ? find_by_host(db, &by_host, err) : 0;
    if (r < 0)
        return r;
    views = make_views(db->ops->dialect, by_host, hosts);
    return views ? db->ops->restrict_to(db, views, err) : iol_error_set(err, -ENOMEM, "out of memory");
}

int iol_db_open_host(const char *url, bool verbose, const char *host, struct iol_db **ret_db, struct iol_error *err)
{
    struct iol_db *db = NULL;
    int r = iol_db_open(url, verbose, &db, err);

    if (r == 0 && host && strcmp(host, "all") != 0)
        r = restrict_to(db, host, err);
    if (r < 0)
        iol_db_close(db);
    else
        *ret_db = db;
    return r;
}

int iol_db_focus(struct iol_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    return db->ops->focus ? db->ops->focus(db, focus, err) : 0;
}

bool iol_db_is_clickhouse(const struct iol_db *db)
{
    return db->ops->native != NULL;
}

int iol_db_clickhouse_version(const struct iol_db *db)
{
    return db->ops->version ? db->ops->version(db) : 0;
}

const char *iol_db_shard_table(const struct iol_db *db, const char *table, char buf[static 160])
{
    return db->ops->shard_table ? db->ops->shard_table(db, table, buf) : table;
}

const char *iol_db_host_condition(const struct iol_db *db)
{
    return db->ops->host_condition ? db->ops->host_condition(db) : "";
}

int iol_query_new_native(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                         struct iol_query **ret_query, struct iol_error *err)
{
    return db->ops->native ? db->ops->native(db, sql, n_params, params, ret_query, err)
                           : iol_query_new(db, sql, n_params, params, ret_query, err);
}

void iol_db_close(struct iol_db *db)
{
    if (db)
        db->ops->close(db);
}

enum iol_dialect iol_db_dialect(const struct iol_db *db)
{
    return db->ops->dialect;
}

int iol_query_new(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                  struct iol_query **ret_query, struct iol_error *err)
{
    return db->ops->query(db, sql, n_params, params, ret_query, err);
}

int iol_query_next(struct iol_query *query, struct iol_error *err)
{
    return query->ops->next(query, err);
}

size_t iol_query_columns(const struct iol_query *query)
{
    return query->ops->columns(query);
}

const char *iol_query_name(const struct iol_query *query, size_t column)
{
    return query->ops->name(query, column);
}

const char *iol_query_text(const struct iol_query *query, size_t column)
{
    return query->ops->text(query, column);
}

long long iol_query_int(const struct iol_query *query, size_t column)
{
    const char *text = iol_query_text(query, column);

    return text ? strtoll(text, NULL, 10) : 0;
}

bool iol_query_is_null(const struct iol_query *query, size_t column)
{
    return !iol_query_text(query, column);
}

void iol_query_rewind(struct iol_query *query)
{
    query->ops->rewind(query);
}

void iol_query_free(struct iol_query *query)
{
    if (query)
        query->ops->free(query);
}

void iol_query_done(struct iol_query **query)
{
    iol_query_free(*query);
}
