// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What each kind of question is about, and how it comes out of the tables of ClickHouse, mostly added up there. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/clickhouse.h"
#include "store/clickhouse_extract.h"
#include "store/clickhouse_rows.h"
#include "store/reader_clickhouse.intern.h"
#include "store/schema_clickhouse.h"

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

char *iol_ch_bind(const char *sql, size_t n_params, const char *const *params)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    for (const char *at = sql; *at;) {
        char *end = NULL;
        unsigned long number = *at == '$' ? strtoul(at + 1, &end, 10) : 0;
        if (number == 0 || number > n_params) {
            putc(*at++, out);
            continue;
        }
        _cleanup_free_ char *literal = params[number - 1] ? iol_ch_literal(params[number - 1]) : NULL;
        fputs(literal ? literal : "NULL", out);
        at = end;
    }
    return iol_stream_text(&stream);
}

const char *iol_ch_shard_table(const struct iol_ch_db *db, const char *table, char buf[static 160])
{
    const struct iol_ch_layout *layout = iol_ch_layout(db->ch);
    char local[64];

    if (layout->cluster[0])
        snprintf(buf, 160, "%s.%s", layout->database, iol_schema_ch_local(local, table, layout));
    else
        snprintf(buf, 160, "%s", table);
    return buf;
}

char *iol_ch_condition(const char *condition, const struct iol_focus *focus)
{
    return condition ? iol_ch_bind(condition, focus->n_params, focus->params) : strdup("1");
}

/* Of the hosts that were asked for, by that column. */
static int extract_rows(struct iol_ch_db *db, enum iol_table_id table, const char *column, struct iol_extract_rows rows,
                        struct iol_error *err)
{
    _cleanup_free_ char *text = NULL;

    if (!db->hosts)
        return iol_extract_table(db->extract, table, &rows, err);
    if (asprintf(&text, "(%s) AND %s IN (%s)", rows.where ? rows.where : "1", column, db->hosts) < 0)
        return no_memory(err);
    rows.where = text;
    return iol_extract_table(db->extract, table, &rows, err);
}

static int extract_table(struct iol_ch_db *db, enum iol_table_id table, const char *column, const char *where,
                         struct iol_error *err)
{
    return extract_rows(db, table, column, (struct iol_extract_rows){.where = where}, err);
}

/* An IN that is not GLOBAL is told before the parts are looked at, so that an index can be used. */
static const char *wanted_ids(const struct iol_ch_db *db)
{
    return iol_ch_layout(db->ch)->cluster[0] ? "id GLOBAL IN (SELECT id FROM ids)" : "id IN (SELECT id FROM ids)";
}

/* Rows of processes or files that others refer to; *ret_n: how many were looked for. */
static int bring_wanted(struct iol_ch_db *db, enum iol_table_id table, size_t *ret_n, struct iol_error *err)
{
    const int64_t *ids;
    size_t n = *ret_n = iol_extract_wanted(db->extract, table, &ids);
    _cleanup_free_ int64_t *copy = n > 0 ? malloc(n * sizeof(*ids)) : NULL; /* the list grows while rows come */

    if (n == 0)
        return 0;
    if (!copy)
        return no_memory(err);
    memcpy(copy, ids, n * sizeof(*ids));
    return iol_extract_table(db->extract, table,
                             &(struct iol_extract_rows){.first = wanted_ids(db), .ids = copy, .n_ids = n}, err);
}

/* The names that few rows have. */
static int bring_names(struct iol_ch_db *db, struct iol_error *err)
{
    int r = db->has_names ? 1 : extract_table(db, IOL_TABLE_HOST, "id", NULL, err);

    if (r == 0)
        r = extract_table(db, IOL_TABLE_RECORDING, "host_id", NULL, err);
    if (r == 0)
        r = extract_table(db, IOL_TABLE_LOGIN, "host_id", NULL, err);
    db->has_names = r >= 0;
    return r < 0 ? r : 0;
}

/* Processes that rows refer to, their parents, theirs, ... */
static int bring_processes(struct iol_ch_db *db, struct iol_error *err)
{
    size_t n = 1;
    int r = 0;

    while (r == 0 && n > 0)
        r = bring_wanted(db, IOL_TABLE_PROCESS, &n, err);
    return r;
}

static int bring_files(struct iol_ch_db *db, struct iol_error *err)
{
    size_t n;

    return bring_wanted(db, IOL_TABLE_FILE, &n, err);
}

static int focus_all(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    (void)focus;
    iol_extract_hold(db->extract);
    int r = bring_names(db, err);

    for (int i = IOL_TABLE_PROCESS; i < IOL_TABLE_COUNT && r == 0; i++)
        r = i == IOL_TABLE_PROCESS_EXIT && db->hosts ? 0 : extract_table(db, i, "host_id", NULL, err);
    return r == 0 ? iol_extract_release(db->extract, err) : r;
}

static int focus_hosts(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    (void)db;
    (void)focus;
    (void)err;
    return 0;
}

#define OF_FILES                                                                                                       \
    "(file_id IN (SELECT f.id FROM %2$s AS f WHERE %1$s) OR other_file_id IN (SELECT f.id FROM %2$s AS f WHERE %1$s))"

static int focus_names(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *files = iol_ch_condition(focus->files, focus), *events = NULL;
    char table[160];

    if (!files || asprintf(&events, "kind IN ('rename', 'link', 'open', 'mkdir', 'unlink', 'rmdir') AND " OF_FILES,
                           files, iol_ch_shard_table(db, "file", table)) < 0)
        return no_memory(err);
    int r = extract_table(db, IOL_TABLE_FILE, "f.host_id", files, err);
    if (r == 0)
        r = extract_table(db, IOL_TABLE_EVENT, "host_id", events, err);
    if (r == 0)
        r = bring_files(db, err);
    return r == 0 ? bring_processes(db, err) : r;
}

#define IDENTITY "f.host_id, ifNull(f.dev, 0), ifNull(f.inode, 0), ifNull(f.generation, 0)"

/* The files, and those that have their inodes: these are few, by a number that is read for all. */
static int focus_same(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    const char *global = iol_ch_layout(db->ch)->cluster[0] ? "GLOBAL " : "";
    _cleanup_free_ char *files = iol_ch_condition(focus->files, focus), *inodes = NULL, *same = NULL;

    if (!files ||
        asprintf(&inodes, "f.inode %sIN (SELECT f.inode FROM file AS f WHERE (%s) AND f.inode != 0)", global, files) <
            0 ||
        asprintf(&same, "(" IDENTITY ") %sIN (SELECT " IDENTITY " FROM file AS f WHERE (%s) AND f.inode != 0)", global,
                 files) < 0)
        return no_memory(err);
    int r = extract_table(db, IOL_TABLE_FILE, "f.host_id", files, err);
    return r < 0 ? r
                 : extract_rows(db, IOL_TABLE_FILE, "f.host_id",
                                (struct iol_extract_rows){.first = inodes, .where = same}, err);
}

/* For each process and file one row: the sums, and the first and the last time. */
#define ADDED_UP                                                                                                       \
    "SELECT max(ts_us) AS ts, max(interval_ms), host_id, process_id, file_id, 0, sum(read_ops), sum(read_bytes),"      \
    " sum(write_ops), sum(write_bytes), sum(read_errors), sum(write_errors), min(ifNull(first_ts_us, ts_us)),"         \
    " max(ifNull(last_ts_us, ts_us)) FROM "

/* What happened to the files beside reads and writes. */
static int bring_events(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *files = iol_ch_condition(focus->files, focus), *where = NULL;
    char since[64] = "", until[64] = "", table[160];

    if (focus->since != IOL_NULL)
        snprintf(since, sizeof(since), " AND ts_us >= %" PRId64, focus->since / 1000);
    if (focus->until != IOL_NULL)
        snprintf(until, sizeof(until), " AND ts_us < %" PRId64, focus->until / 1000);
    if (!files || asprintf(&where, "kind NOT IN ('read', 'write', 'mmap')%3$s%4$s AND " OF_FILES, files,
                           iol_ch_shard_table(db, "file", table), since, until) < 0)
        return no_memory(err);
    return extract_table(db, IOL_TABLE_EVENT, "host_id", where, err);
}

static int bring_added_up(struct iol_ch_db *db, const struct iol_ch_rows *rows, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return no_memory(err);
    fputs(ADDED_UP, out);
    iol_ch_put_rows(out, &db->db, rows);
    fputs(" GROUP BY host_id, process_id, file_id", out);
    _cleanup_free_ char *sql = iol_stream_text(&stream);
    return sql ? iol_extract_select(db->extract, IOL_TABLE_IO, sql, NULL, 0, err) : no_memory(err);
}

static int bring_row_by_row(struct iol_ch_db *db, const struct iol_ch_rows *rows, struct iol_error *err)
{
    struct iol_stream streams[3];
    FILE *out[3];
    bool bounded = true;

    for (int i = 0; i < 3; i++)
        out[i] = iol_stream_open(&streams[i]);
    bool plain = out[0] && iol_ch_put_rows_table(out[0], &db->db, rows);
    if (out[1])
        bounded = iol_ch_put_rows_first(out[1], &db->db, rows);
    if (out[2])
        iol_ch_put_rows_span(out[2], rows);
    _cleanup_free_ char *table = out[0] ? iol_stream_text(&streams[0]) : NULL;
    _cleanup_free_ char *first = out[1] ? iol_stream_text(&streams[1]) : NULL;
    _cleanup_free_ char *span = out[2] ? iol_stream_text(&streams[2]) : NULL;
    if (!table || !first || !span)
        return no_memory(err);
    return iol_extract_table(
        db->extract, IOL_TABLE_IO,
        &(struct iol_extract_rows){.from = table, .first = plain && bounded ? first : NULL, .where = span}, err);
}

static int bring_accounts(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *files = iol_ch_condition(focus->files, focus),
                        *processes = iol_ch_condition(focus->processes, focus);
    struct iol_ch_rows rows = {.files = focus->files ? files : NULL,
                               .processes = focus->processes ? processes : NULL,
                               .since = focus->since,
                               .until = focus->until};

    if (!files || !processes)
        return no_memory(err);
    int r = iol_ch_find_end(&db->db, focus->until, &rows.end, err);
    if (r < 0)
        return r;
    return focus->row_by_row ? bring_row_by_row(db, &rows, err) : bring_added_up(db, &rows, err);
}

static int focus_accounts(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *files = iol_ch_condition(focus->files, focus);
    int r = files ? 0 : no_memory(err);

    if (r == 0 && focus->files)
        r = extract_table(db, IOL_TABLE_FILE, "f.host_id", files, err);
    if (r == 0)
        r = bring_accounts(db, focus, err);
    if (r == 0 && focus->files)
        r = bring_events(db, focus, err);
    if (r == 0 && !focus->nameless)
        r = bring_files(db, err);
    return r == 0 ? bring_processes(db, err) : r;
}

static int focus_interval(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;

    if (asprintf(&sql,
                 "SELECT ts_us, interval_ms, host_id, CAST(route AS Int8), 0, 0, 0, 0, 0, 0 FROM total WHERE host_id = "
                 "%" PRId64 " AND ts_us >= %" PRId64 " AND ts_us <= %" PRId64 " ORDER BY ts_us%s LIMIT 1",
                 focus->host_id, focus->since / 1000, focus->until == IOL_NULL ? INT64_MAX : focus->until / 1000,
                 focus->first ? "" : " DESC") < 0)
        return no_memory(err);
    return iol_extract_select(db->extract, IOL_TABLE_TOTAL, sql, NULL, 0, err);
}

static int focus_losses(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;

    if (asprintf(
            &sql,
            "SELECT min(ts_from_us), max(ts_to_us), host_id, reason, sum(lost) FROM loss WHERE (ts_to_us >= %" PRId64
            " OR %d) AND (ts_from_us < %" PRId64 " OR %d)%s GROUP BY host_id, reason",
            focus->since / 1000, focus->since == IOL_NULL, focus->until / 1000, focus->until == IOL_NULL,
            db->host_condition) < 0)
        return no_memory(err);
    return iol_extract_select(db->extract, IOL_TABLE_LOSS, sql, NULL, 0, err);
}

static int focus_fleet(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *totals = NULL, *batches = NULL;

    if (asprintf(&totals,
                 "SELECT max(ts_us), max(interval_ms), host_id, 0, sum(read_ops), sum(read_bytes), sum(write_ops),"
                 " sum(write_bytes), sum(read_errors), sum(write_errors) FROM total WHERE (ts_us >= %" PRId64
                 " OR %d) AND (ts_us < %" PRId64 " OR %d)%s GROUP BY host_id",
                 focus->since / 1000, focus->since == IOL_NULL, focus->until / 1000, focus->until == IOL_NULL,
                 db->host_condition) < 0 ||
        asprintf(&batches,
                 "SELECT host_id, boot_id, max(seq), max(ts_us) FROM batch WHERE 1%s GROUP BY host_id, boot_id",
                 db->host_condition) < 0)
        return no_memory(err);
    int r = iol_extract_select(db->extract, IOL_TABLE_TOTAL, totals, NULL, 0, err);
    if (r < 0)
        return r;
    iol_extract_hold(db->extract);
    r = iol_extract_select(db->extract, IOL_TABLE_BATCH, batches, NULL, 0, err);
    return r == 0 ? iol_extract_release(db->extract, err) : r;
}

/* Ids of processes whose descendants are to be found, generation by generation. */
struct generation {
    int64_t *ids;
    size_t n, capacity;
};

static int take_id(void *data, const char *const *fields, size_t n_fields)
{
    struct generation *generation = data;

    (void)n_fields;
    if (iol_array_reserve(&generation->ids, &generation->capacity, generation->n + 1, sizeof(*generation->ids)) < 0)
        return -ENOMEM;
    generation->ids[generation->n++] = fields[0] ? strtoll(fields[0], NULL, 10) : 0;
    return 0;
}

static void done_generation(struct generation *generation)
{
    free(generation->ids);
}

#define GENERATIONS_MAX 4096 /* ends a circle in a damaged ledger */

/* The ids of all processes that the condition finds, and of those that descend from them. */
static int find_descendants(struct iol_ch_db *db, const char *condition, struct generation *all, struct iol_error *err)
{
    _cleanup_free_ char *sql = NULL;
    size_t from = 0;

    if (asprintf(&sql, "SELECT DISTINCT p.id FROM process AS p WHERE (%s)%s", condition, db->host_condition) < 0)
        return no_memory(err);
    struct iol_ch_request request = {.sql = sql, .doing = "read", .row = take_id, .row_data = all};
    int r = iol_ch_run(db->ch, &request, err);
    for (size_t i = 0; r == 0 && from < all->n && i < GENERATIONS_MAX; i++) {
        size_t n = all->n - from;
        _cleanup_free_ int64_t *parents = malloc(n * sizeof(*parents));
        if (!parents)
            return no_memory(err);
        memcpy(parents, all->ids + from, n * sizeof(*parents));
        from = all->n;
        request.sql = "SELECT DISTINCT id FROM process WHERE parent_id GLOBAL IN (SELECT id FROM ids)";
        request.ids = parents;
        request.n_ids = n;
        r = iol_ch_run(db->ch, &request, err);
    }
    return r;
}

/* What each process did, of all or of those in `ids`. To be freed, NULL: no memory. */
static char *done_by_each(const struct iol_ch_db *db, const struct iol_focus *focus, bool all)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs("SELECT max(ts_us) AS ts, max(interval_ms), host_id, process_id, any(file_id), 0, sum(read_ops), "
          "sum(read_bytes),"
          " sum(write_ops), sum(write_bytes), sum(read_errors), sum(write_errors), min(ifNull(first_ts_us, ts_us)),"
          " max(ifNull(last_ts_us, ts_us)) FROM ",
          out);
    iol_ch_put_rows(out, &db->db, &(struct iol_ch_rows){.since = focus->since, .until = focus->until, .end = IOL_NULL});
    fprintf(out, "%s GROUP BY host_id, process_id", all ? "" : " AND process_id GLOBAL IN (SELECT id FROM ids)");
    return iol_stream_text(&stream);
}

/* The ancestors that came along: they are shown, and what they did. */
static int add_met(struct iol_ch_db *db, struct generation *all)
{
    const int64_t *met;
    size_t n = iol_extract_met(db->extract, IOL_TABLE_PROCESS, &met);

    if (iol_array_reserve(&all->ids, &all->capacity, all->n + n + 1, sizeof(*all->ids)) < 0)
        return -ENOMEM;
    if (n > 0)
        memcpy(all->ids + all->n, met, n * sizeof(*all->ids));
    all->n += n;
    return 0;
}

static int focus_tree(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    _cleanup_free_ char *condition = focus->processes ? iol_ch_condition(focus->processes, focus) : NULL;
    _cleanup_(done_generation) struct generation all = {0};
    _cleanup_free_ char *did = done_by_each(db, focus, !condition), *exits = NULL;
    int r = focus->processes && !condition ? no_memory(err) : 0;

    if (r == 0 && condition)
        r = find_descendants(db, condition, &all, err);

    if (r < 0)
        return r;
    if (condition && all.n == 0)
        return 0;
    if (!did || asprintf(&exits, "process_id GLOBAL IN (SELECT id FROM process WHERE 1%s)", db->host_condition) < 0)
        return no_memory(err);
    r = extract_rows(
        db, IOL_TABLE_PROCESS, "host_id",
        (struct iol_extract_rows){.first = condition ? wanted_ids(db) : NULL, .ids = all.ids, .n_ids = all.n}, err);
    if (r == 0)
        r = bring_processes(db, err); /* the ancestors */
    if (r == 0 && condition && add_met(db, &all) < 0)
        r = no_memory(err);
    if (r == 0)
        r = iol_extract_table(db->extract, IOL_TABLE_PROCESS_EXIT,
                              &(struct iol_extract_rows){.where = condition ? NULL : exits}, err);
    return r == 0 ? iol_extract_select(db->extract, IOL_TABLE_IO, did, all.ids, all.n, err) : r;
}

/* Of batches that are there as a whole: another one may be on its way, or wait for a server that was away in the middle of it. */
#define WHOLE "(host_id, batch_seq) GLOBAL IN (SELECT host_id, seq FROM batch)"

static int focus_balance(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    (void)focus;
    _cleanup_free_ char *sql = NULL;

    if (asprintf(
            &sql,
            "SELECT ts_us, any(interval_ms), host_id, 0, 0, CAST(route AS Int8) AS r, sum(read_ops), sum(read_bytes),"
            " sum(write_ops), sum(write_bytes), sum(read_errors), sum(write_errors), NULL, NULL"
            " FROM io WHERE 1%s GROUP BY host_id, ts_us, route, batch_seq HAVING " WHOLE,
            db->host_condition) < 0)
        return no_memory(err);
    int r = iol_extract_select(db->extract, IOL_TABLE_IO, sql, NULL, 0, err);
    if (r == 0)
        r = extract_table(db, IOL_TABLE_TOTAL, "host_id", WHOLE, err);
    return r == 0 ? extract_table(db, IOL_TABLE_LOSS, "host_id", NULL, err) : r;
}

static const struct {
    int (*bring)(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err);
    bool anew; /* it brings sums and single rows, which must not be there twice */
} foci[] = {
    [IOL_FOCUS_ALL] = {focus_all, true},           [IOL_FOCUS_HOSTS] = {focus_hosts, false},
    [IOL_FOCUS_NAMES] = {focus_names, false},      [IOL_FOCUS_SAME] = {focus_same, false},
    [IOL_FOCUS_ACCOUNTS] = {focus_accounts, true}, [IOL_FOCUS_TREE] = {focus_tree, true},
    [IOL_FOCUS_BALANCE] = {focus_balance, true},   [IOL_FOCUS_INTERVAL] = {focus_interval, false},
    [IOL_FOCUS_LOSSES] = {focus_losses, true},     [IOL_FOCUS_FLEET] = {focus_fleet, true},
};

bool iol_ch_focus_anew(const struct iol_focus *focus)
{
    return foci[focus->kind].anew;
}

int iol_ch_focus_bring(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err)
{
    int r = focus->kind == IOL_FOCUS_ALL ? 0 : bring_names(db, err);

    return r == 0 ? foci[focus->kind].bring(db, focus, err) : r;
}
