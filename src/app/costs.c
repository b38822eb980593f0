// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/costs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "app/paths.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "store/ask.h"
#include "store/reader.h"

struct entry {
    struct iol_cost cost;
    UT_hash_handle hh; /* by host and path, joined by a NUL */
};

struct iol_costs {
    struct iol_arena *arena;
    struct entry *entries;
    struct entry *paths; /* by directory only: which paths have been counted */
    struct iol_cost sum;
    const struct iol_cost **list;
    enum iol_costs_sort sort; /* while the list is sorted */
};

static void free_costs(struct iol_costs **costs)
{
    iol_costs_free(*costs);
}

/* What of the path is behind the directory that was asked for. */
static const char *below(const char *path, const struct iol_paths *paths)
{
    for (size_t i = 0; paths && i < paths->n_names; i++) {
        size_t length = strlen(paths->names[i].from);

        if (strncmp(path, paths->names[i].from, length) == 0)
            return path + length;
    }
    return path + 1;
}

/* How much of the path is the directory that it is put under. */
static size_t directory_length(const char *path, const struct iol_costs_options *options)
{
    const char *slash = strrchr(path, '/'), *at;

    if (path[0] != '/' || !slash)
        return strlen(path);
    at = below(path, options->below);
    if (options->depth > 0 && slash >= at) {
        for (size_t i = 0; i < options->depth && at <= slash; i++)
            at = strchr(at, '/') + 1;
        return (size_t)(at - path);
    }
    return (size_t)(slash + 1 - path);
}

/* The entry of the first `length` bytes of the path; NULL: no memory. *ret_new: it was not there. */
static struct entry *find_entry(struct iol_costs *costs, struct entry **table, const char *host, const char *path,
                                size_t length, bool *ret_new)
{
    size_t host_length = host ? strlen(host) : 0, size = host_length + 1 + length;
    char *key = iol_arena_alloc(costs->arena, size + 1);
    struct entry *entry;

    if (!key)
        return NULL;
    memcpy(key, host ? host : "", host_length + 1);
    memcpy(key + host_length + 1, path, length);
    key[size] = '\0';
    HASH_FIND(hh, *table, key, size, entry);
    *ret_new = !entry;
    if (entry)
        return entry;
    entry = iol_arena_alloc(costs->arena, sizeof(*entry));
    if (!entry)
        return NULL;
    *entry = (struct entry){.cost = {.path = key + host_length + 1, .host = host ? key : NULL}};
    HASH_ADD_KEYPTR(hh, *table, key, size, entry);
    return entry;
}

static void add(struct iol_cost *cost, const struct iol_query *query)
{
    cost->read_ops += iol_query_int(query, IOL_COSTS_COUNTERS);
    cost->read_bytes += iol_query_int(query, IOL_COSTS_COUNTERS + 1);
    cost->write_ops += iol_query_int(query, IOL_COSTS_COUNTERS + 2);
    cost->write_bytes += iol_query_int(query, IOL_COSTS_COUNTERS + 3);
    cost->read_errors += iol_query_int(query, IOL_COSTS_COUNTERS + 4);
    cost->write_errors += iol_query_int(query, IOL_COSTS_COUNTERS + 5);
}

static int take_row(struct iol_costs *costs, const struct iol_costs_options *options, const struct iol_query *query)
{
    const char *path = iol_query_text(query, IOL_COSTS_PATH), *host = iol_query_text(query, IOL_COSTS_HOST);
    bool by_file = options->by == IOL_COSTS_BY_FILE, is_new, new_path = false;
    struct entry *entry;

    if (options->host && (!host || strcmp(options->host, host) != 0))
        return 0;
    if (options->hosts_together)
        host = NULL;
    if (!path)
        path = "(unknown file)";
    entry = find_entry(costs, &costs->entries, host, path, by_file ? strlen(path) : directory_length(path, options),
                       &is_new);
    /* A path whose file was made anew each time is one file. */
    if (!entry || (!by_file && !find_entry(costs, &costs->paths, host, path, strlen(path), &new_path)))
        return -ENOMEM;
    add(&entry->cost, query);
    add(&costs->sum, query);
    entry->cost.files += by_file ? is_new : new_path;
    costs->sum.files += by_file ? is_new : new_path;
    return 0;
}

int iol_costs_load(struct iol_db *db, const struct iol_ask *ask, const struct iol_costs_options *options,
                   struct iol_costs **ret_costs, struct iol_error *err)
{
    _cleanup_(free_costs) struct iol_costs *costs = calloc(1, sizeof(*costs));
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("adding up files");
    int r;

    if (!costs || !(costs->arena = iol_arena_new()))
        return iol_question_no_memory(err);
    r = iol_ask_costs(db, ask, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (take_row(costs, options, query) < 0)
            return iol_question_no_memory(err);
    }
    if (r < 0)
        return r;
    *ret_costs = TAKE_PTR(costs);
    return 0;
}

int64_t iol_costs_measure(const struct iol_cost *cost, enum iol_costs_sort sort)
{
    switch (sort) {
    case IOL_COSTS_OPS:
        return cost->read_ops + cost->write_ops;
    case IOL_COSTS_READ:
        return cost->read_bytes;
    case IOL_COSTS_WRITTEN:
        return cost->write_bytes;
    case IOL_COSTS_BYTES:
    case IOL_COSTS_SORTS:
        break;
    }
    return cost->read_bytes + cost->write_bytes;
}

static int compare(const void *left, const void *right, void *data)
{
    const struct iol_cost *a = *(const struct iol_cost *const *)left, *b = *(const struct iol_cost *const *)right;
    const struct iol_costs *costs = data;
    int64_t x = iol_costs_measure(a, costs->sort), y = iol_costs_measure(b, costs->sort);

    if (x == y) {
        x = iol_costs_measure(a, IOL_COSTS_OPS);
        y = iol_costs_measure(b, IOL_COSTS_OPS);
    }
    if (x != y)
        return x < y ? 1 : -1;
    return strcmp(a->path, b->path);
}

const struct iol_cost *const *iol_costs_list(struct iol_costs *costs, enum iol_costs_sort sort, size_t *ret_n)
{
    size_t n = 0;

    if (!costs->list)
        costs->list = calloc(HASH_COUNT(costs->entries) + 1, sizeof(*costs->list));
    if (!costs->list)
        return NULL;
    for (const struct entry *entry = costs->entries; entry; entry = entry->hh.next)
        costs->list[n++] = &entry->cost;
    costs->sort = sort;
    qsort_r(costs->list, n, sizeof(*costs->list), compare, costs);
    *ret_n = n;
    return costs->list;
}

const struct iol_cost *iol_costs_sum(const struct iol_costs *costs)
{
    return &costs->sum;
}

void iol_costs_free(struct iol_costs *costs)
{
    if (!costs)
        return;
    HASH_CLEAR(hh, costs->entries);
    HASH_CLEAR(hh, costs->paths);
    iol_arena_free(costs->arena);
    free(costs->list);
    free(costs);
}
