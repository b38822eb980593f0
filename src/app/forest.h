// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Process images in memory, linked as parents and children, and a walk through them in the order in which a tree is
 * drawn: an image, what it started, then the image that it became by exec with what that started, and so on.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

struct iol_image {
    int64_t id;
    int64_t parent_id; /* 0: none */
    int64_t pid;
    const char *start_time;
    bool kept;  /* whether iol_forest_prune() leaves it */
    void *data; /* the caller's */

    /* Set by iol_forest_link(). */
    struct iol_image *parent;
    struct iol_image *successor;                       /* what it became by exec */
    struct iol_image *first_child, *last_child, *next; /* in the order of adding; without the successor */
    bool is_successor;
    bool visited;
    UT_hash_handle hh;
};

struct iol_forest {
    struct iol_image *images; /* by id, and in the order of adding */
};

/* Where the walk is. levels[1..depth] say whether that ancestor's branch goes on below; roots have depth 0. */
struct iol_walk {
    const struct iol_image *image;
    size_t depth;
    const bool *levels;
};

/* The image stays the caller's; one with an id that is there already is left out. */
void iol_forest_add(struct iol_forest *forest, struct iol_image *image);

/* Takes all but the images with `kept` and their ancestors out; returns how many. Before linking only. */
size_t iol_forest_prune(struct iol_forest *forest);

/* Call once when all images are there. */
void iol_forest_link(struct iol_forest *forest);

/* Calls visit for every image once, until it returns other than 0, which is then returned; or -ENOMEM. */
int iol_forest_walk(struct iol_forest *forest, int (*visit)(const struct iol_walk *walk, void *data), void *data);

void iol_forest_done(struct iol_forest *forest);
