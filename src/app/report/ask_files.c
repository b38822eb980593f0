// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/question.h"
#include "app/report/directories.h"
#include "app/report/report.intern.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"

/* Of each file the processes that read most, that wrote most, and that did most. */
#define PAIRS_OF_A_KIND 12
#define DIRECTORY_NODES 4000
#define IDS_AT_ONCE 500
#define UNKNOWN_PATH "(unknown)"

/* The biggest so far, the smallest of them first: a heap. Their texts are the heap's own until it is complete. */
struct biggest {
    struct iol_report_file **files;
    size_t n, limit;
};

static int compare(const struct iol_report_file *a, const struct iol_report_file *b)
{
    int order = iol_report_order(&a->sums, &b->sums);

    if (order == 0)
        order = strcmp(a->path, b->path);
    return order ? order : (a->host_id > b->host_id) - (a->host_id < b->host_id);
}

static void sift_down(struct biggest *heap, size_t at)
{
    for (size_t child; (child = 2 * at + 1) < heap->n; at = child) {
        struct iol_report_file *moved = heap->files[at];

        if (child + 1 < heap->n && compare(heap->files[child + 1], heap->files[child]) > 0)
            child++;
        if (compare(heap->files[child], moved) <= 0)
            break;
        heap->files[at] = heap->files[child];
        heap->files[child] = moved;
    }
}

static void sift_up(struct biggest *heap, size_t at)
{
    for (; at > 0 && compare(heap->files[at], heap->files[(at - 1) / 2]) > 0; at = (at - 1) / 2) {
        struct iol_report_file *moved = heap->files[at];

        heap->files[at] = heap->files[(at - 1) / 2];
        heap->files[(at - 1) / 2] = moved;
    }
}

/* A file and its texts, in one piece of memory. */
static struct iol_report_file *copy_file(const struct iol_report_file *file)
{
    size_t path = strlen(file->path) + 1, kind = strlen(file->kind) + 1, flags = strlen(file->flags) + 1;
    struct iol_report_file *copy = malloc(sizeof(*copy) + path + kind + flags);
    char *text;

    if (!copy)
        return NULL;
    *copy = *file;
    text = (char *)(copy + 1);
    copy->path = memcpy(text, file->path, path);
    copy->kind = memcpy(text + path, file->kind, kind);
    copy->flags = memcpy(text + path + kind, file->flags, flags);
    return copy;
}

static int offer(struct biggest *heap, const struct iol_report_file *file)
{
    struct iol_report_file *copy;

    if (heap->limit == 0 || (heap->n == heap->limit && compare(file, heap->files[0]) > 0))
        return 0;
    copy = copy_file(file);
    if (!copy)
        return -ENOMEM;
    if (heap->n == heap->limit) {
        free(heap->files[0]);
        heap->files[0] = copy;
        sift_down(heap, 0);
    } else {
        heap->files[heap->n++] = copy;
        sift_up(heap, heap->n - 1);
    }
    return 0;
}

static void done_biggest(struct biggest *heap)
{
    for (size_t i = 0; i < heap->n; i++)
        free(heap->files[i]);
    free(heap->files);
}

static int by_order(const void *a, const void *b)
{
    return compare(*(struct iol_report_file *const *)a, *(struct iol_report_file *const *)b);
}

/* "HOST PATH", the key under which a file is found. */
static char *file_key(char **buf, size_t *size, int64_t host_id, const char *path)
{
    size_t length = sizeof(host_id) + strlen(path);

    if (iol_array_reserve(buf, size, length + 1, sizeof(**buf)) < 0)
        return NULL;
    memcpy(*buf, &host_id, sizeof(host_id));
    strcpy(*buf + sizeof(host_id), path);
    return *buf;
}

static int keep_file(struct iol_report *report, const struct iol_report_file *file)
{
    struct iol_report_file *kept = iol_arena_alloc(report->arena, sizeof(*kept));
    char *key = iol_arena_alloc(report->arena, sizeof(file->host_id) + strlen(file->path) + 1);

    if (!kept || !key)
        return -ENOMEM;
    *kept = *file;
    memset(&kept->hh, 0, sizeof(kept->hh));
    memcpy(key, &file->host_id, sizeof(file->host_id));
    kept->path = strcpy(key + sizeof(file->host_id), file->path);
    kept->kind = iol_arena_dup(report->arena, file->kind, strlen(file->kind));
    kept->flags = iol_arena_dup(report->arena, file->flags, strlen(file->flags));
    if (!kept->kind || !kept->flags)
        return -ENOMEM;
    HASH_ADD_KEYPTR(hh, report->files, key, sizeof(file->host_id) + strlen(file->path), kept);
    return 0;
}

static const char *text_or(const struct iol_query *query, size_t column, const char *otherwise)
{
    const char *text = iol_query_text(query, column);

    return text ? text : otherwise;
}

/* The rows of one path on one host, which come one after the other, become one file. */
static void join_row(struct iol_report_file *file, const struct iol_report_file *row)
{
    iol_report_add_sums(&file->sums, &row->sums);
    if (strcmp(row->flags, file->flags) > 0)
        file->flags = row->flags;
    if (strcmp(row->kind, file->kind) < 0)
        file->kind = row->kind;
}

static int take_file(struct iol_report *report, const struct iol_report_file *file, struct biggest *heap)
{
    report->n_all_files++;
    if (iol_directories_add(report->directories, file->path, file->sums.n[IOL_SUM_READ_BYTES],
                            file->sums.n[IOL_SUM_WRITE_BYTES]) < 0)
        return -ENOMEM;
    return offer(heap, file);
}

/* `file` is the one before, with a copy of its own: 0 and the row is joined to it, or it is taken and the row is the next one. */
static int take_row(struct iol_report *report, struct iol_report_file **file, struct iol_report_file *row,
                    struct biggest *heap)
{
    int r = 0;

    if (*file && (*file)->host_id == row->host_id && strcmp((*file)->path, row->path) == 0) {
        struct iol_report_file joined = **file, *copy;

        join_row(&joined, row);
        copy = copy_file(&joined);
        free(*file);
        *file = copy;
        return copy ? 0 : -ENOMEM;
    }
    if (*file)
        r = take_file(report, *file, heap);
    free(*file);
    *file = copy_file(row);
    return *file ? r : -ENOMEM;
}

static int take_unknown(struct iol_report_asking *asking, struct biggest *heap)
{
    struct iol_report_file unknown = {.path = UNKNOWN_PATH, .kind = "other", .flags = ""};
    bool some = false;

    for (const struct iol_report_total *total = asking->by_file; total; total = total->hh.next) {
        if (total->place > 0)
            continue;
        iol_report_add_sums(&unknown.sums, &total->sums);
        some = true;
    }
    unknown.place = (size_t)asking->report->n_all_files + 1;
    return some ? take_file(asking->report, &unknown, heap) : 0;
}

/* The names come in the order of paths, as the tree of directories wants them. */
static int ask_names(struct iol_report_asking *asking, struct biggest *heap, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ struct iol_report_file *file = NULL;
    int r;

    iol_report_say(asking, "looking up the names of files", -1);
    r = iol_ask_report_files(asking->db, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        struct iol_report_total *total;
        int64_t id = iol_query_int(query, IOL_REPORT_FILE_ID);

        HASH_FIND(hh, asking->by_file, &id, sizeof(id), total);
        if (!total)
            continue;
        struct iol_report_file row = {.host_id = iol_query_int(query, IOL_REPORT_FILE_HOST_ID),
                                      .path = text_or(query, IOL_REPORT_FILE_PATH, UNKNOWN_PATH),
                                      .kind = text_or(query, IOL_REPORT_FILE_KIND, "other"),
                                      .flags = text_or(query, IOL_REPORT_FILE_FLAGS, ""),
                                      .sums = total->sums};
        if (take_row(report, &file, &row, heap) < 0)
            return iol_report_no_memory(err);
        file->place = total->place = (size_t)report->n_all_files + 1;
    }
    if (r == 0 && ((file && take_file(report, file, heap) < 0) || take_unknown(asking, heap) < 0))
        return iol_report_no_memory(err);
    return r;
}

static int add_pair(struct iol_report *report, const struct iol_query *query, struct iol_report_file *file)
{
    struct iol_report_pair *pair = iol_arena_alloc(report->arena, sizeof(*pair));

    if (!pair)
        return -ENOMEM;
    pair->process_id = iol_query_int(query, IOL_REPORT_PAIR_PROCESS_ID);
    iol_report_take_sums(query, IOL_REPORT_PAIR_SUMS, &pair->sums);
    pair->next = file->pairs;
    file->pairs = pair;
    file->processes = iol_query_int(query, IOL_REPORT_PAIR_PROCESSES);
    return iol_report_process(report, pair->process_id, true) ? 0 : -ENOMEM;
}

static int ask_some_pairs(struct iol_report_asking *asking, const int64_t *ids, size_t n, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *condition = iol_report_condition("f.id", ids, n), *key = NULL;
    struct iol_ask ask = asking->span;
    size_t size = 0;
    int r;

    if (!condition)
        return iol_report_no_memory(err);
    ask.files = condition;
    r = iol_ask_report_pairs(asking->db, &ask, PAIRS_OF_A_KIND, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        const char *path = text_or(query, IOL_REPORT_PAIR_PATH, UNKNOWN_PATH);
        struct iol_report_file *file;

        if (!file_key(&key, &size, iol_query_int(query, IOL_REPORT_PAIR_HOST_ID), path))
            return iol_report_no_memory(err);
        HASH_FIND(hh, asking->report->files, key, sizeof(int64_t) + strlen(path), file);
        if (file && add_pair(asking->report, query, file) < 0)
            return iol_report_no_memory(err);
    }
    return r;
}

struct id_of_path {
    size_t place;
    int64_t id;
};

static int by_place(const void *a, const void *b)
{
    const struct id_of_path *x = a, *y = b;

    return (x->place > y->place) - (x->place < y->place);
}

/* Ids of the files that are kept, those of one path next to each other. NULL: no memory. */
static struct id_of_path *ids_of_kept(const struct iol_report_asking *asking, size_t *ret_n)
{
    size_t places = (size_t)asking->report->n_all_files + 2, n = 0;
    _cleanup_free_ bool *kept = calloc(places, sizeof(*kept));
    struct id_of_path *ids = calloc(HASH_COUNT(asking->by_file) + 1, sizeof(*ids));

    if (!kept || !ids) {
        free(ids);
        return NULL;
    }
    for (const struct iol_report_file *file = asking->report->files; file; file = file->hh.next)
        kept[file->place] = true;
    for (const struct iol_report_total *total = asking->by_file; total; total = total->hh.next) {
        if (total->place > 0 && kept[total->place])
            ids[n++] = (struct id_of_path){.place = total->place, .id = total->id};
    }
    qsort(ids, n, sizeof(*ids), by_place);
    *ret_n = n;
    return ids;
}

/* A path's ids are asked for in one query, as its processes are counted there. */
static int ask_pairs(struct iol_report_asking *asking, struct iol_error *err)
{
    size_t n = 0, from = 0, to;
    _cleanup_free_ struct id_of_path *ids = ids_of_kept(asking, &n);
    _cleanup_free_ int64_t *some = calloc(n + 1, sizeof(*some));
    int r = 0;

    if (!ids || !some)
        return iol_report_no_memory(err);
    for (; r == 0 && from < n; from = to) {
        iol_report_say(asking, "looking up who used the biggest files", (double)from / (double)n);
        for (to = from; to < n && (to - from < IDS_AT_ONCE || ids[to].place == ids[to - 1].place); to++)
            some[to - from] = ids[to].id;
        r = ask_some_pairs(asking, some, to - from, err);
    }
    return r;
}

int iol_report_ask_files(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(done_biggest) struct biggest heap = {.limit = (size_t)report->limit};
    int r;

    heap.files = calloc(heap.limit + 1, sizeof(struct iol_report_file *));
    if (!heap.files)
        return iol_report_no_memory(err);
    r = ask_names(asking, &heap, err);
    if (r < 0)
        return r;
    if (iol_directories_finish(report->directories, DIRECTORY_NODES) < 0)
        return iol_report_no_memory(err);
    qsort(heap.files, heap.n, sizeof(struct iol_report_file *), by_order);
    for (size_t i = 0; i < heap.n; i++) {
        if (keep_file(report, heap.files[i]) < 0)
            return iol_report_no_memory(err);
    }
    return ask_pairs(asking, err);
}
