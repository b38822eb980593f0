// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/lineage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "store/reader.h"

/* More generations than this are cut off at the old end; it also ends a circle in a damaged ledger. */
#define GENERATIONS_MAX 256

#define ARGUMENTS_MAX 200 /* characters of argv: no terminal shows more */

struct image {
    int64_t id;
    int64_t parent_id; /* 0: none */
    int64_t pid;
    const char *comm;
    const char *arguments; /* without the first one; "" when there are none, or they are not known */
    UT_hash_handle hh;
};

struct iol_lineage {
    struct image *images;
    struct iol_arena *arena;
    char *texts[IOL_LINEAGE_FORMS];
};

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "no memory for the ancestors of so many processes");
}

static int add_image(struct iol_lineage *lineage, const struct iol_query *query)
{
    struct image *image = iol_arena_alloc(lineage->arena, sizeof(*image));
    const char *comm = iol_query_text(query, 3), *argv = iol_query_text(query, 4);
    const char *blank = argv ? strchr(argv, ' ') : NULL;

    if (!image)
        return -ENOMEM;
    memset(image, 0, sizeof(*image));
    image->id = iol_query_int(query, 0);
    image->parent_id = iol_query_int(query, 1);
    image->pid = iol_query_int(query, 2);
    image->comm = iol_arena_dup(lineage->arena, comm ? comm : "?", strlen(comm ? comm : "?"));
    image->arguments = blank ? iol_arena_dup(lineage->arena, blank, strlen(blank)) : "";
    if (!image->comm || !image->arguments)
        return -ENOMEM;
    HASH_ADD(hh, lineage->images, id, sizeof(image->id), image);
    return 0;
}

int iol_lineage_load(struct iol_db *db, const char *seeds, size_t n_params, const char *const *params,
                     struct iol_lineage **ret_lineage, struct iol_error *err)
{
    _cleanup_(iol_question_done_lineage) struct iol_lineage *lineage = calloc(1, sizeof(*lineage));
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *sql = NULL;
    int r;

    if (!lineage || !(lineage->arena = iol_arena_new()))
        return no_memory(err);
    if (asprintf(&sql,
                 "WITH RECURSIVE line(id) AS (%s"
                 " UNION SELECT p.parent_id FROM line JOIN process p ON p.id = line.id WHERE p.parent_id IS NOT NULL)"
                 " SELECT p.id, p.parent_id, p.pid, p.comm, substr(p.argv, 1, %d) FROM line JOIN process p ON p.id = "
                 "line.id",
                 seeds, ARGUMENTS_MAX) < 0)
        return no_memory(err);
    r = iol_query_new(db, sql, n_params, params, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (add_image(lineage, query) < 0)
            return no_memory(err);
    }
    if (r < 0)
        return r;
    *ret_lineage = TAKE_PTR(lineage);
    return 0;
}

static const struct image *find_image(const struct iol_lineage *lineage, int64_t id)
{
    struct image *image;

    HASH_FIND(hh, lineage->images, &id, sizeof(id), image);
    return image;
}

/* The images from the youngest up, one for each pid; returns how many. *ret_cut: there are older ones. */
static size_t climb(const struct iol_lineage *lineage, int64_t id, const struct image *chain[GENERATIONS_MAX],
                    bool *ret_cut)
{
    size_t n = 0;

    for (size_t steps = 0; n < GENERATIONS_MAX && steps < 16 * GENERATIONS_MAX; steps++) {
        const struct image *image = id ? find_image(lineage, id) : NULL;

        if (!image)
            break;
        if (n == 0 || chain[n - 1]->pid != image->pid)
            chain[n++] = image;
        id = image->parent_id;
    }
    *ret_cut = id != 0 && n > 0 && find_image(lineage, id);
    return n;
}

const char *iol_lineage_text(struct iol_lineage *lineage, int64_t process_id, const char *arrow,
                             enum iol_lineage_form form)
{
    const struct image *chain[GENERATIONS_MAX];
    bool cut = false;
    size_t n = climb(lineage, process_id, chain, &cut), size = 0;
    FILE *out;

    if (n == 0)
        return NULL;
    free(TAKE_PTR(lineage->texts[form]));
    out = open_memstream(&lineage->texts[form], &size);
    if (!out)
        return NULL;
    if (cut)
        fprintf(out, "...%s", arrow);
    while (n-- > 0) {
        bool with = form == IOL_LINEAGE_ARGUMENTS || (form == IOL_LINEAGE_LAST_ARGUMENTS && n == 0);

        fprintf(out, "%s(%" PRId64 ")%s%s", chain[n]->comm, chain[n]->pid, with ? chain[n]->arguments : "",
                n > 0 ? arrow : "");
    }
    return fclose(out) == 0 ? lineage->texts[form] : NULL;
}

void iol_lineage_free(struct iol_lineage *lineage)
{
    if (!lineage)
        return;
    HASH_CLEAR(hh, lineage->images);
    iol_arena_free(lineage->arena);
    for (size_t i = 0; i < IOL_LINEAGE_FORMS; i++)
        free(lineage->texts[i]);
    free(lineage);
}
