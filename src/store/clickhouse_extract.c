// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/clickhouse_extract.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/clickhouse.h"
#include "store/reader.h"
#include "store/schema_clickhouse.h"
#include "store/schema_sql.h"
#include "store/sink.h"

#define ROWS_AT_ONCE 20000
#define DBS_MAX 1024 /* states of the extract that queries look at */

/* An id that was met, or an event that was brought. */
struct met {
    uint64_t key;
    UT_hash_handle hh;
};

/* Ids that rows refer to, and those of which the rows themselves came. */
struct wanted {
    struct met *met, *brought;
    int64_t *list;
    size_t n, told, capacity;
};

struct iol_extract {
    struct iol_ch *ch;
    int version; /* of the ledger */
    char dir[64], url[96];
    struct iol_sink *sink;
    struct iol_batch *batch;
    int64_t seq; /* of the batches that bring rows here */
    bool held;   /* everything goes through as one, with the ledger's own rows of batch */
    struct met *events;
    struct wanted processes, files;
    struct iol_db *dbs[DBS_MAX];
    size_t n_dbs;
    bool changed; /* since the last of them was opened */
    const struct iol_table *table;
    struct iol_error *err;
};

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

/* 1: it was met before. */
static int meet(struct met **all, uint64_t key)
{
    struct met *met = NULL;

    HASH_FIND(hh, *all, &key, sizeof(key), met);
    if (met)
        return 1;
    met = malloc(sizeof(*met));
    if (!met)
        return -ENOMEM;
    met->key = key;
    HASH_ADD(hh, *all, key, sizeof(met->key), met);
    return 0;
}

static void forget(struct met **all)
{
    struct met *met, *next;

    HASH_ITER(hh, *all, met, next) {
        HASH_DEL(*all, met);
        free(met);
    }
}

static int want(struct wanted *wanted, int64_t id)
{
    int r = id == IOL_NULL || id == 0 ? 1 : meet(&wanted->met, (uint64_t)id);

    if (r != 0)
        return r < 0 ? r : 0;
    if (iol_array_reserve(&wanted->list, &wanted->capacity, wanted->n + 1, sizeof(*wanted->list)) < 0)
        return -ENOMEM;
    wanted->list[wanted->n++] = id;
    return 0;
}

static int bring(struct wanted *wanted, int64_t id)
{
    int r = meet(&wanted->brought, (uint64_t)id);

    return r < 0 ? r : 0;
}

static int want_all(struct iol_extract *extract, const void *row)
{
    const struct iol_process *process = row;
    const struct iol_file *file = row;
    const struct iol_event *event = row;
    const struct iol_io *io = row;
    int r = 0;

    switch (extract->table->id) {
    case IOL_TABLE_PROCESS:
        r = bring(&extract->processes, process->id);
        return r < 0 ? r : want(&extract->processes, process->parent_id);
    case IOL_TABLE_FILE:
        return bring(&extract->files, file->id);
    case IOL_TABLE_IO:
        r = want(&extract->processes, io->process_id);
        return r < 0 ? r : want(&extract->files, io->file_id);
    case IOL_TABLE_EVENT:
        r = want(&extract->processes, event->process_id);
        if (r == 0)
            r = want(&extract->files, event->file_id);
        return r < 0 ? r : want(&extract->files, event->other_file_id);
    default:
        return 0;
    }
}

static int64_t number_of(const char *field)
{
    return field ? strtoll(field, NULL, 10) : IOL_NULL;
}

/* Microseconds that no nanoseconds can tell are the end of what can. */
static int64_t ns_of(int64_t us)
{
    int64_t ns;

    if (us == IOL_NULL || __builtin_mul_overflow(us, INT64_C(1000), &ns))
        return us == IOL_NULL ? IOL_NULL : us < 0 ? INT64_MIN + 1 : INT64_MAX;
    return ns;
}

static int fill(struct iol_extract *extract, char *row, const char *const *fields)
{
    for (size_t i = 0; i < extract->table->n_columns; i++) {
        const struct iol_column *column = &extract->table->columns[i];
        void *member = row + column->offset;
        if (column->type == IOL_TYPE_TEXT) {
            const char *text = fields[i] ? iol_arena_dup(extract->batch->arena, fields[i], strlen(fields[i])) : NULL;
            if (fields[i] && !text)
                return -ENOMEM;
            memcpy(member, &text, sizeof(text));
        } else {
            int64_t value = number_of(fields[i]);
            value = column->type == IOL_TYPE_TIME ? ns_of(value) : value;
            memcpy(member, &value, sizeof(value));
        }
    }
    return 0;
}

/* Writes what has gathered. A batch without a row of its own gets one. */
static int flush(struct iol_extract *extract, struct iol_error *err)
{
    struct iol_batch_row *own;
    int r = 0;

    if (extract->held)
        return 0;
    struct iol_batch *batch = TAKE_PTR(extract->batch);

    extract->batch = iol_batch_new();
    if (batch && batch->rows[IOL_TABLE_BATCH].count == 0 && iol_batch_count(batch) > 0 &&
        (own = iol_batch_add(batch, IOL_TABLE_BATCH)))
        *own = (struct iol_batch_row){.boot_id = "extract", .seq = ++extract->seq};
    if (batch && iol_batch_count(batch) > 0)
        r = iol_sink_write(extract->sink, batch, err);
    iol_batch_free(batch);
    extract->changed = true;
    return extract->batch ? r : no_memory(err);
}

static int take_row(void *data, const char *const *fields, size_t n_fields)
{
    struct iol_extract *extract = data;
    enum iol_table_id id = extract->table->id;
    size_t size = iol_batch_row_size(id);
    char *row = n_fields >= extract->table->n_columns ? iol_batch_add(extract->batch, id) : NULL;

    if (!row || fill(extract, row, fields) < 0)
        return -ENOMEM;
    int r = want_all(extract, row);
    if (r == 0 && id == IOL_TABLE_EVENT && (r = meet(&extract->events, XXH3_64bits(row, size))) == 1)
        extract->batch->rows[id].count--;
    if (r < 0)
        return r;
    return iol_batch_count(extract->batch) >= ROWS_AT_ONCE ? flush(extract, extract->err) : 0;
}

int iol_extract_select(struct iol_extract *extract, enum iol_table_id table, const char *sql, const int64_t *ids,
                       size_t n_ids, struct iol_error *err)
{
    const struct iol_ch_request request = {
        .sql = sql, .ids = ids, .n_ids = n_ids, .doing = "read", .row = take_row, .row_data = extract};

    extract->table = &iol_schema_tables[table];
    extract->err = err;
    int r = iol_ch_run(extract->ch, &request, err);
    return r == 0 ? flush(extract, err) : r;
}

/* What the ledger's version does not have, is NULL. */
static void print_columns(FILE *out, const struct iol_table *table, int version)
{
    for (size_t i = 0; i < table->n_columns; i++) {
        const struct iol_column *column = &table->columns[i];
        fputs(i ? ", " : "", out);
        if (column->since > version)
            fputs("NULL", out);
        else if (column->type == IOL_TYPE_ENUM)
            fprintf(out, "CAST(%s AS Int8)", column->name);
        else
            fprintf(out, "%s%s", column->name, column->type == IOL_TYPE_TIME ? "_us" : "");
    }
}

int iol_extract_table(struct iol_extract *extract, enum iol_table_id id, const struct iol_extract_rows *rows,
                      struct iol_error *err)
{
    const struct iol_table *table = &iol_schema_tables[id];
    _cleanup_free_ char *sql = NULL;
    size_t size;
    FILE *out = open_memstream(&sql, &size);

    if (!out)
        return no_memory(err);
    fputs("SELECT ", out);
    print_columns(out, table, extract->version);
    fprintf(out, " FROM %s AS %c%s%s%s%s", rows->from ? rows->from : table->name, table->name[0],
            rows->first ? " PREWHERE " : "", rows->first ? rows->first : "", rows->where ? " WHERE " : "",
            rows->where ? rows->where : "");
    if (iol_schema_ch_replaces(table)) {
        fputs(" ORDER BY " IOL_CH_VERSION " DESC LIMIT 1 BY ", out);
        iol_schema_print_key(out, table, false);
    }
    if (fclose(out) != 0)
        return no_memory(err);
    return iol_extract_select(extract, id, sql, rows->ids, rows->n_ids, err);
}

void iol_extract_hold(struct iol_extract *extract)
{
    extract->held = true;
}

/* The sink takes a batch with one row of batch: the others follow with nothing else. */
int iol_extract_release(struct iol_extract *extract, struct iol_error *err)
{
    struct iol_rows *own = &extract->batch->rows[IOL_TABLE_BATCH];
    int r = 0;

    for (size_t i = 1; i < own->count && r == 0; i++) {
        struct iol_batch *batch = iol_batch_new();
        struct iol_batch_row *row = batch ? iol_batch_add(batch, IOL_TABLE_BATCH) : NULL;
        if (row)
            *row = ((struct iol_batch_row *)own->data)[i];
        r = row ? iol_sink_write(extract->sink, batch, err) : no_memory(err);
        iol_batch_free(batch);
    }
    own->count = own->count > 0;
    extract->held = false;
    return r == 0 ? flush(extract, err) : r;
}

size_t iol_extract_wanted(struct iol_extract *extract, enum iol_table_id table, const int64_t **ret_ids)
{
    struct wanted *wanted = table == IOL_TABLE_PROCESS ? &extract->processes : &extract->files;
    size_t begin = wanted->told;

    for (size_t i = begin; i < wanted->n; i++) {
        struct met *there = NULL;
        HASH_FIND(hh, wanted->brought, &wanted->list[i], sizeof(there->key), there);
        if (!there) { /* those that are there are behind them: all were met */
            int64_t id = wanted->list[i];
            wanted->list[i] = wanted->list[wanted->told];
            wanted->list[wanted->told++] = id;
        }
    }
    size_t n = wanted->told - begin;
    *ret_ids = wanted->list + begin;
    wanted->told = wanted->n;
    return n;
}

size_t iol_extract_met(const struct iol_extract *extract, enum iol_table_id table, const int64_t **ret_ids)
{
    const struct wanted *wanted = table == IOL_TABLE_PROCESS ? &extract->processes : &extract->files;

    *ret_ids = wanted->list;
    return wanted->n;
}

int iol_extract_db(struct iol_extract *extract, struct iol_db **ret_db, struct iol_error *err)
{
    if (extract->changed || extract->n_dbs == 0) {
        if (extract->n_dbs == DBS_MAX)
            return iol_error_set(err, -EMFILE, "too many questions at once");
        int r = iol_db_open(extract->url, false, &extract->dbs[extract->n_dbs], err);
        if (r < 0)
            return r;
        extract->n_dbs++;
        extract->changed = false;
    }
    *ret_db = extract->dbs[extract->n_dbs - 1];
    return 0;
}

/* Memory, where there is a file system of it; else the usual place for temporary files. */
static int make_dir(struct iol_extract *extract, struct iol_error *err)
{
    static const char name[] = "ioledger-XXXXXX";
    const char *places[] = {"/dev/shm", getenv("TMPDIR"), "/tmp"};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(places); i++) {
        if (!places[i] || strlen(places[i]) > 40)
            continue;
        snprintf(extract->dir, sizeof(extract->dir), "%s/%s", places[i], name);
        if (mkdtemp(extract->dir))
            return 0;
    }
    int r = iol_error_set(err, -errno, "cannot make a temporary folder: %s", strerror(errno));
    extract->dir[0] = '\0';
    return r;
}

int iol_extract_new(struct iol_ch *ch, int version, struct iol_extract **ret_extract, struct iol_error *err)
{
    struct iol_extract *extract = calloc(1, sizeof(*extract));
    const struct iol_sink_options options = {0};

    if (!extract || !(extract->batch = iol_batch_new())) {
        free(extract);
        return no_memory(err);
    }
    extract->ch = ch;
    extract->version = version;
    int r = make_dir(extract, err);
    snprintf(extract->url, sizeof(extract->url), "sqlite:%s/extract", extract->dir);
    if (r == 0)
        r = iol_sink_open(extract->url, &options, &extract->sink, err);
    if (r < 0) {
        iol_extract_free(extract);
        return r;
    }
    *ret_extract = extract;
    return 0;
}

static void remove_dir(const struct iol_extract *extract)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    char path[128];

    for (size_t i = 0; extract->dir[0] && i < IOL_ARRAY_SIZE(endings); i++) {
        snprintf(path, sizeof(path), "%s/extract%s", extract->dir, endings[i]);
        unlink(path);
    }
    if (extract->dir[0])
        rmdir(extract->dir);
}

void iol_extract_free(struct iol_extract *extract)
{
    if (!extract)
        return;
    for (size_t i = 0; i < extract->n_dbs; i++)
        iol_db_close(extract->dbs[i]);
    iol_sink_close(extract->sink);
    remove_dir(extract);
    iol_batch_free(extract->batch);
    forget(&extract->events);
    forget(&extract->processes.met);
    forget(&extract->processes.brought);
    forget(&extract->files.met);
    forget(&extract->files.brought);
    free(extract->processes.list);
    free(extract->files.list);
    free(extract);
}
