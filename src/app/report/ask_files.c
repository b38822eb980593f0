// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/question.h"
#include "app/report/directories.h"
#include "app/report/report.intern.h"
#include "base/arena.h"
#include "base/cleanup.h"

/* Of each file the processes that read most, that wrote most, and that did most. */
#define PAIRS_OF_A_KIND 12
#define DIRECTORY_NODES 4000
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

    if (length + 1 > *size) {
        char *more = realloc(*buf, length + 1);

        if (!more)
            return NULL;
        *buf = more;
        *size = length + 1;
    }
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

static int take_file(struct iol_report *report, const struct iol_query *query, struct biggest *heap)
{
    struct iol_report_file file = {.host_id = iol_query_int(query, IOL_REPORT_FILE_HOST_ID),
                                   .path = text_or(query, IOL_REPORT_FILE_PATH, UNKNOWN_PATH),
                                   .kind = text_or(query, IOL_REPORT_FILE_KIND, "other"),
                                   .flags = text_or(query, IOL_REPORT_FILE_FLAGS, ""),
                                   .processes = iol_query_int(query, IOL_REPORT_FILE_PROCESSES)};

    iol_report_take_sums(query, IOL_REPORT_FILE_SUMS, &file.sums);
    iol_report_add_sums(&report->accounts, &file.sums);
    report->n_all_files++;
    if (iol_directories_add(report->directories, file.path, file.sums.n[IOL_SUM_READ_BYTES],
                            file.sums.n[IOL_SUM_WRITE_BYTES]) < 0)
        return -ENOMEM;
    return offer(heap, &file);
}

static int ask_sums(struct iol_report_asking *asking, struct biggest *heap, struct iol_error *err)
{
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    int r;

    asking->step(asking->data, "adding up files");
    r = iol_ask_report_files(asking->db, &asking->span, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (take_file(asking->report, query, heap) < 0)
            return iol_report_no_memory(err);
    }
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
    return iol_report_process(report, pair->process_id, true) ? 0 : -ENOMEM;
}

/* `least`: bytes of the smallest file that is shown. Smaller ones come with no pair, others of that size are not looked up. */
static int ask_pairs(struct iol_report_asking *asking, int64_t least, struct iol_error *err)
{
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    _cleanup_free_ char *key = NULL;
    size_t size = 0;
    int r;

    asking->step(asking->data, "looking up who used the biggest files");
    r = iol_ask_report_pairs(asking->db, &asking->span, least, PAIRS_OF_A_KIND, &query, err);
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

int iol_report_ask_files(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(done_biggest) struct biggest heap = {.limit = (size_t)report->limit};
    int64_t least = 0;
    int r;

    heap.files = calloc(heap.limit + 1, sizeof(struct iol_report_file *));
    if (!heap.files)
        return iol_report_no_memory(err);
    r = ask_sums(asking, &heap, err);
    if (r < 0)
        return r;
    if (iol_directories_finish(report->directories, DIRECTORY_NODES) < 0)
        return iol_report_no_memory(err);
    qsort(heap.files, heap.n, sizeof(struct iol_report_file *), by_order);
    for (size_t i = 0; i < heap.n; i++) {
        least = heap.files[i]->sums.n[IOL_SUM_READ_BYTES] + heap.files[i]->sums.n[IOL_SUM_WRITE_BYTES];
        if (keep_file(report, heap.files[i]) < 0)
            return iol_report_no_memory(err);
    }
    return heap.n > 0 ? ask_pairs(asking, least, err) : 0;
}
