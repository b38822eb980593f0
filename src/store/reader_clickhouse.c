// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Questions to ClickHouse: what a question is about is brought into an SQLite ledger (clickhouse_extract.h), which answers it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "store/clickhouse.h"
#include "store/clickhouse_extract.h"
#include "store/reader_clickhouse.intern.h"
#include "store/schema_clickhouse.h"

/* Rows of a native query, in memory. */
struct native_query {
    struct iol_query query;
    struct iol_arena *arena;
    const char **cells;
    size_t n_rows, n_columns, capacity, row; /* the current one is row - 1 */
    bool totals;                             /* an empty row has come: the next one is that of WITH TOTALS */
    bool counted; /* the answer is JSONCompact, as it says how many rows there are without the limit */
};

#define COUNTED " FORMAT JSONCompact"
#define COUNTED_MAX 8

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

/* What is asked for, to know it again; to be freed. */
static char *key_of(const struct iol_focus *focus)
{
    _cleanup_free_ char *files = iol_ch_condition(focus->files, focus),
                        *processes = iol_ch_condition(focus->processes, focus);
    char *key = NULL;

    if (!files || !processes ||
        asprintf(&key, "%d %" PRId64 " %" PRId64 " %" PRId64 " %d %d %d %s \n %s", (int)focus->kind, focus->since,
                 focus->until, focus->host_id, focus->first, focus->row_by_row, focus->nameless, files, processes) < 0)
        return NULL;
    return key;
}

/* An extract of its own for each question; queries that still run have theirs. */
static int begin_extract(struct iol_ch_db *db, struct iol_error *err)
{
    if (db->n_old == EXTRACTS_MAX)
        return iol_error_set(err, -EMFILE, "too many questions at once");
    db->old[db->n_old++] = TAKE_PTR(db->extract);
    db->has_names = db->used = false;
    free(TAKE_PTR(db->same));
    return iol_extract_new(db->ch, db->version, &db->extract, err);
}

static bool is_there(const char *asked, const char *key)
{
    return asked && strcmp(asked, key) == 0;
}

static int clickhouse_focus(struct iol_db *base, const struct iol_focus *asked, struct iol_error *err)
{
    struct iol_ch_db *db = (struct iol_ch_db *)base;
    struct iol_focus focus = *asked;

    if (!focus.span)
        focus.since = focus.until = IOL_NULL;
    _cleanup_free_ char *key = key_of(&focus);
    if (!key)
        return no_memory(err);
    bool anew = iol_ch_focus_anew(&focus);
    if (is_there(db->key, key) || is_there(db->same, key))
        return 0;
    int r = anew && db->used ? begin_extract(db, err) : 0;
    if (r == 0)
        r = iol_ch_focus_bring(db, &focus, err);
    char **place = anew ? &db->key : focus.kind == IOL_FOCUS_SAME ? &db->same : NULL;
    if (r < 0 || !place)
        return r;
    db->used |= anew;
    free(*place);
    *place = TAKE_PTR(key);
    return 0;
}

static void clickhouse_db_close(struct iol_db *base)
{
    struct iol_ch_db *db = (struct iol_ch_db *)base;

    for (size_t i = 0; i < db->n_old; i++)
        iol_extract_free(db->old[i]);
    iol_extract_free(db->extract);
    free(db->key);
    free(db->same);
    iol_ch_close(db->ch);
    free(db->hosts);
    free(db->host_condition);
    free(db);
}

static int check_ledger(struct iol_ch_db *db, struct iol_error *err)
{
    int r = iol_ch_check(db->ch, false, &db->version, err);

    if (r < 0 || db->version > 0)
        return r;
    iol_error_set(err, -ENOENT, "no ledger in the ClickHouse database %s", iol_ch_layout(db->ch)->database);
    iol_error_hint(err, "record one first (ioledger record --db URL), or say with --db where it is");
    return -ENOENT;
}

static int clickhouse_db_open(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err)
{
    struct iol_ch_db *db = calloc(1, sizeof(*db));

    if (!db)
        return no_memory(err);
    db->db.ops = &iol_db_clickhouse_ops;
    db->host_condition = strdup("");
    int r = db->host_condition ? iol_ch_open(url, verbose, &db->ch, err) : no_memory(err);
    if (r == 0)
        r = check_ledger(db, err);
    if (r == 0)
        r = iol_ch_read_little(db->ch, err);
    if (r == 0)
        r = iol_extract_new(db->ch, db->version, &db->extract, err);
    if (r < 0) {
        clickhouse_db_close(&db->db);
        return r;
    }
    *ret_db = &db->db;
    return 0;
}

static int clickhouse_restrict_hosts(struct iol_db *base, const char *hosts, struct iol_error *err)
{
    struct iol_ch_db *db = (struct iol_ch_db *)base;
    char *condition = NULL, *copy = strdup(hosts);

    if (!copy || asprintf(&condition, " AND host_id IN (%s)", hosts) < 0) {
        free(copy);
        return no_memory(err);
    }
    free(db->host_condition);
    db->hosts = copy;
    db->host_condition = condition;
    return 0;
}

static const char *clickhouse_host_condition(const struct iol_db *base)
{
    return ((const struct iol_ch_db *)base)->host_condition;
}

static const char *clickhouse_shard_table(const struct iol_db *base, const char *table, char buf[static 160])
{
    return iol_ch_shard_table((const struct iol_ch_db *)base, table, buf);
}

static int clickhouse_version(const struct iol_db *base)
{
    return ((const struct iol_ch_db *)base)->version;
}

static int clickhouse_query(struct iol_db *base, const char *sql, size_t n_params, const char *const *params,
                            struct iol_query **ret_query, struct iol_error *err)
{
    struct iol_ch_db *db = (struct iol_ch_db *)base;
    struct iol_db *extract;
    int r = iol_extract_db(db->extract, &extract, err);

    return r < 0 ? r : iol_query_new(extract, sql, n_params, params, ret_query, err);
}

static void native_free(struct iol_query *base)
{
    struct native_query *query = (struct native_query *)base;

    iol_arena_free(query->arena);
    free(query->cells);
    free(query);
}

/* The last column of each row. */
static int take_last(struct native_query *query, const char *last, size_t length)
{
    const char *text = iol_arena_dup(query->arena, last, length);

    for (size_t i = 0; i < query->n_rows && text; i++)
        query->cells[(i + 1) * query->n_columns - 1] = text;
    return text ? 0 : -ENOMEM;
}

static int take_row(struct native_query *query, const char *const *fields, size_t n_fields)
{
    if (query->n_columns == 0)
        query->n_columns = n_fields;
    if (iol_array_reserve(&query->cells, &query->capacity, (query->n_rows + 1) * query->n_columns,
                          sizeof(*query->cells)) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < query->n_columns; i++) {
        const char *text = i < n_fields && fields[i] ? iol_arena_dup(query->arena, fields[i], strlen(fields[i])) : NULL;
        if (i < n_fields && fields[i] && !text)
            return -ENOMEM;
        query->cells[query->n_rows * query->n_columns + i] = text;
    }
    query->n_rows++;
    return 0;
}

/* '["1", 2, null],' in place; one field is left for what is not known yet. */
static int take_numbers(struct native_query *query, char *line)
{
    const char *fields[COUNTED_MAX + 1] = {0};
    size_t n = 0;

    for (char *next = line + 1, *field; n < COUNTED_MAX && (field = strsep(&next, ",]")) && next;) {
        field += strspn(field, " \"");
        field[strcspn(field, "\"")] = '\0';
        fields[n++] = strcmp(field, "null") == 0 ? NULL : field;
        if (*next == '\0' || *next == ',') /* behind the bracket */
            break;
    }
    return take_row(query, fields, n + 1);
}

/* A line of JSONCompact: tabs, and what stands in it. */
static int take_counted(struct native_query *query, const char *const *fields, size_t n_fields)
{
    static const char all[] = "\"rows_before_limit_at_least\": ";
    const char *line = fields[n_fields - 1] ? fields[n_fields - 1] : "";

    if (strncmp(line, all, strlen(all)) == 0) {
        line += strlen(all);
        return take_last(query, line, strspn(line, "0123456789"));
    }
    if (*line != '[' || n_fields != 3) /* two tabs before it: others tell the columns */
        return 0;
    _cleanup_free_ char *row = strdup(line);
    return row ? take_numbers(query, row) : -ENOMEM;
}

/* What totals say in the last column is said in that of each row. */
static int take_cells(void *data, const char *const *fields, size_t n_fields)
{
    struct native_query *query = data;

    if (query->counted)
        return take_counted(query, fields, n_fields);
    if (query->totals) {
        const char *last = fields[n_fields - 1] ? fields[n_fields - 1] : "";
        return take_last(query, last, strlen(last));
    }
    query->totals = query->n_columns != 1 && n_fields == 1 && fields[0] && !*fields[0];
    return query->totals ? 0 : take_row(query, fields, n_fields);
}

static int native_next(struct iol_query *base, struct iol_error *err)
{
    struct native_query *query = (struct native_query *)base;

    (void)err;
    if (query->row > query->n_rows)
        return 0;
    return ++query->row <= query->n_rows;
}

static void native_rewind(struct iol_query *base)
{
    ((struct native_query *)base)->row = 0;
}

static size_t native_columns(const struct iol_query *base)
{
    return ((const struct native_query *)base)->n_columns;
}

static const char *native_name(const struct iol_query *base, size_t column)
{
    (void)base;
    (void)column;
    return "";
}

static const char *native_text(const struct iol_query *base, size_t column)
{
    const struct native_query *query = (const struct native_query *)base;

    return query->row > 0 && query->row <= query->n_rows && column < query->n_columns
               ? query->cells[(query->row - 1) * query->n_columns + column]
               : NULL;
}

static const struct iol_db_ops native_ops = {.next = native_next,
                                             .columns = native_columns,
                                             .name = native_name,
                                             .text = native_text,
                                             .rewind = native_rewind,
                                             .free = native_free};

static int clickhouse_native(struct iol_db *base, const char *sql, size_t n_params, const char *const *params,
                             struct iol_query **ret_query, struct iol_error *err)
{
    struct iol_ch_db *db = (struct iol_ch_db *)base;
    struct native_query *query = calloc(1, sizeof(*query));
    _cleanup_free_ char *text = iol_ch_bind(sql, n_params, params);

    if (query)
        query->arena = iol_arena_new();
    if (!query || !query->arena || !text) {
        if (query)
            native_free(&query->query);
        return no_memory(err);
    }
    size_t length = strlen(text), suffix = strlen(COUNTED);
    query->counted = length > suffix && strcmp(text + length - suffix, COUNTED) == 0;
    query->query.ops = &native_ops;
    int r = iol_ch_run(
        db->ch, &(struct iol_ch_request){.sql = text, .doing = "query", .row = take_cells, .row_data = query}, err);
    if (r < 0)
        native_free(&query->query);
    else
        *ret_query = &query->query;
    return r;
}

static int clickhouse_find_hosts(struct iol_db *db, const char *name, struct iol_query **ret_query,
                                 struct iol_error *err)
{
    return clickhouse_native(db, "SELECT DISTINCT id FROM host WHERE name = $1 ORDER BY id", 1, &name, ret_query, err);
}

const struct iol_db_ops iol_db_clickhouse_ops = {
    .dialect = IOL_DIALECT_SQLITE, /* of the extract */
    .open = clickhouse_db_open,
    .close = clickhouse_db_close,
    .query = clickhouse_query,
    .restrict_hosts = clickhouse_restrict_hosts,
    .focus = clickhouse_focus,
    .native = clickhouse_native,
    .find_hosts = clickhouse_find_hosts,
    .host_condition = clickhouse_host_condition,
    .shard_table = clickhouse_shard_table,
    .version = clickhouse_version,
};
