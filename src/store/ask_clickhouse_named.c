// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Files whose names are known before their rows are added up: the server is told which ids belong together, by a number for each name, and tells the
 * number; the names are put there here. So it opens `file` once, and makes nothing of texts.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/ask.intern.h"
#include "store/ask_clickhouse.h"
#include "store/reader_driver.h"
#include "store/schema_clickhouse.h"

/* Columns of the first answer, one row for each id. */
enum { NAME_ID, NAME_KEY, NAME_PATH, NAME_KIND, NAME_FLAGS, NAME_HOST };

/* Columns of the second: the name's number, counters, first, last, processes. */
enum { SUM_NUMBER, SUM_COUNTERS, SUM_FIRST = SUM_COUNTERS + 6, SUM_LAST, SUM_PROCESSES };

struct name {
    const char *path, *kind, *flags, *host;
};

struct named_query {
    struct iol_query query;
    struct iol_query *sums;
    struct iol_arena *arena;
    struct name *names; /* in the order in which files of equal bytes are shown */
    size_t n, capacity;
    char all[24];
};

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "out of memory");
}

static int named_next(struct iol_query *base, struct iol_error *err)
{
    return iol_query_next(((struct named_query *)base)->sums, err);
}

static void named_rewind(struct iol_query *base)
{
    iol_query_rewind(((struct named_query *)base)->sums);
}

static size_t named_columns(const struct iol_query *base)
{
    (void)base;
    return IOL_FILES_COLUMNS;
}

static const char *named_name(const struct iol_query *base, size_t column)
{
    (void)base;
    (void)column;
    return "";
}

static const char *named_text(const struct iol_query *base, size_t column)
{
    const struct named_query *query = (const struct named_query *)base;
    long long number = iol_query_int(query->sums, SUM_NUMBER);
    const struct name *name = number >= 0 && (size_t)number < query->n ? &query->names[number] : NULL;

    if (!name)
        return NULL;
    switch (column) {
    case IOL_FILES_PATH:
        return name->path;
    case IOL_FILES_KIND:
        return name->kind;
    case IOL_FILES_FIRST:
        return iol_query_text(query->sums, SUM_FIRST);
    case IOL_FILES_LAST:
        return iol_query_text(query->sums, SUM_LAST);
    case IOL_FILES_FLAGS:
        return name->flags;
    case IOL_FILES_PROCESSES:
        return iol_query_text(query->sums, SUM_PROCESSES);
    case IOL_FILES_HOST:
        return name->host;
    case IOL_FILES_ALL:
        return query->all;
    default:
        return iol_query_text(query->sums, column - IOL_FILES_COUNTERS + SUM_COUNTERS);
    }
}

static void named_free(struct iol_query *base)
{
    struct named_query *query = (struct named_query *)base;

    iol_query_free(query->sums);
    iol_arena_free(query->arena);
    free(query->names);
    free(query);
}

static const struct iol_db_ops named_ops = {.next = named_next,
                                            .columns = named_columns,
                                            .name = named_name,
                                            .text = named_text,
                                            .rewind = named_rewind,
                                            .free = named_free};

static void free_named(struct named_query **query)
{
    if (*query)
        named_free(&(*query)->query);
}

/* Of an id that is there more than once, the latest row. */
static int ask_names(struct iol_db *db, const char *keys, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fprintf(text.out,
            "SELECT id, k, path, kind, flags, name FROM (SELECT id, k, host_id, path, kind, flags FROM (SELECT"
            " id, " IOL_CH_NAME_KEY " AS k, host_id, path, CAST(kind AS String) AS kind, nullIf(flags, '') AS flags,"
            " " IOL_CH_VERSION " AS v FROM file PREWHERE " IOL_CH_NAME_KEY " IN (%s)) ORDER BY v DESC LIMIT 1 BY id)"
            " GLOBAL ANY LEFT JOIN (SELECT id AS host_id, name FROM host) USING (host_id)"
            " ORDER BY path, host_id, flags, k LIMIT %d",
            keys, IOL_ASK_CH_LISTED + 1);
    return iol_ask_run_native(&text, db, &IOL_ASK_ALL, ret_query, err);
}

static int copy_text(struct named_query *query, struct iol_query *rows, size_t column, const char **ret_text)
{
    const char *text = iol_query_text(rows, column);

    *ret_text = text ? iol_arena_dup(query->arena, text, strlen(text)) : NULL;
    return text && !*ret_text ? -ENOMEM : 0;
}

static int add_name(struct named_query *query, struct iol_query *rows)
{
    if (iol_array_reserve(&query->names, &query->capacity, query->n + 1, sizeof(*query->names)) < 0)
        return -ENOMEM;
    struct name *name = &query->names[query->n++];
    bool copied =
        copy_text(query, rows, NAME_PATH, &name->path) == 0 && copy_text(query, rows, NAME_KIND, &name->kind) == 0 &&
        copy_text(query, rows, NAME_FLAGS, &name->flags) == 0 && copy_text(query, rows, NAME_HOST, &name->host) == 0;
    return copied ? 0 : -ENOMEM;
}

/* The lists that go into the statement: ids as they are, the same without their sign, as all numbers of an array are of one type, and the number of
 * each one's name. */
struct lists {
    struct iol_stream ids, bare, numbers;
    char *text[3];
};

static void done_lists(struct lists *lists)
{
    for (int i = 0; i < 3; i++)
        free(lists->text[i]);
}

/* Rows of one name come one after the other. 1: there are too many. */
static int take_names(struct named_query *query, struct iol_query *rows, struct lists *lists, struct iol_error *err)
{
    FILE *ids = iol_stream_open(&lists->ids), *bare = iol_stream_open(&lists->bare);
    FILE *numbers = iol_stream_open(&lists->numbers);
    unsigned long long key = 0;
    size_t n = 0;
    int r = ids && bare && numbers ? 0 : no_memory(err);

    while (r >= 0 && (r = iol_query_next(rows, err)) > 0) {
        const char *text = iol_query_text(rows, NAME_KEY);
        unsigned long long its = strtoull(text ? text : "0", NULL, 10);
        if ((n == 0 || its != key) && add_name(query, rows) < 0)
            r = no_memory(err);
        key = its;
        int64_t id = iol_query_int(rows, NAME_ID);
        const char *comma = n++ > 0 ? ", " : "";
        fprintf(ids, "%s%" PRId64, comma, id);
        fprintf(bare, "%s%" PRIu64, comma, (uint64_t)id);
        fprintf(numbers, "%s%zu", comma, query->n - 1);
    }
    for (int i = 0; n == 0 && r == 0 && i < 3; i++)
        putc('0', i == 0 ? ids : i == 1 ? bare : numbers);
    lists->text[0] = ids ? iol_stream_text(&lists->ids) : NULL;
    lists->text[1] = bare ? iol_stream_text(&lists->bare) : NULL;
    lists->text[2] = numbers ? iol_stream_text(&lists->numbers) : NULL;
    if (r == 0 && !(lists->text[0] && lists->text[1] && lists->text[2]))
        return no_memory(err);
    return r < 0 ? r : n > IOL_ASK_CH_LISTED;
}

static int ask_sums(struct iol_db *db, const struct iol_ask_ch *of, const struct lists *lists,
                    struct iol_query **ret_sums, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    _cleanup_free_ char *number = NULL;
    struct iol_ask_ch among = *of;
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    if (asprintf(&number, "transform(toUInt64(file_id), [%s], [%s], 0) AS number", lists->text[1], lists->text[2]) < 0)
        return no_memory(err);
    among.among = lists->text[0];
    fputs("SELECT number, ro, rb, wo, wb, re, we, ", text.out);
    iol_ask_ch_put_time(text.out, "t0");
    fputs(", ", text.out);
    iol_ask_ch_put_time(text.out, "t1");
    fputs(", arrayUniq(p) FROM (", text.out);
    iol_ask_ch_put_sums(text.out, &among, number, "number", "process_id");
    fprintf(text.out, ") ORDER BY %s, number", iol_ask_ch_biggest(of->ask));
    iol_ask_put_limit(&text, of->ask);
    return iol_ask_run_native(&text, db, of->ask, ret_sums, err);
}

int iol_ask_ch_named_files(struct iol_db *db, const struct iol_ask_ch *of, const char *keys,
                           struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(free_named) struct named_query *query = calloc(1, sizeof(*query));
    _cleanup_(iol_query_done) struct iol_query *rows = NULL;
    _cleanup_(done_lists) struct lists lists = {0};

    if (!query || !(query->arena = iol_arena_new())) {
        free(TAKE_PTR(query));
        return no_memory(err);
    }
    query->query.ops = &named_ops;
    snprintf(query->all, sizeof(query->all), "%lld", of->all);
    int r = ask_names(db, keys, &rows, err);
    if (r == 0)
        r = take_names(query, rows, &lists, err);
    if (r == 0)
        r = ask_sums(db, of, &lists, &query->sums, err);
    if (r == 0)
        *ret_query = &TAKE_PTR(query)->query;
    return r;
}
