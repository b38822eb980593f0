// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/forest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

struct frame {
    struct iol_image *image; /* the one of the process that the walk has come to */
    struct iol_image *next;  /* child of it */
};

/* An explicit stack: a chain of forks can be as long as somebody likes. */
struct stack {
    struct frame *frames;
    bool *levels;
    size_t depth;
    size_t n_frames, n_levels; /* for how many there is room */
};

static void done_stack(struct stack *stack)
{
    free(stack->frames);
    free(stack->levels);
}

void iol_forest_add(struct iol_forest *forest, struct iol_image *image)
{
    struct iol_image *same;

    HASH_FIND(hh, forest->images, &image->id, sizeof(image->id), same);
    if (!same)
        HASH_ADD(hh, forest->images, id, sizeof(image->id), image);
}

size_t iol_forest_prune(struct iol_forest *forest)
{
    struct iol_image *image, *next;
    size_t pruned = 0;

    for (image = forest->images; image; image = image->hh.next) {
        struct iol_image *parent = image;

        /* Where one is kept already, its ancestors are or will be. */
        while (parent->kept && parent->parent_id) {
            int64_t parent_id = parent->parent_id;

            HASH_FIND(hh, forest->images, &parent_id, sizeof(parent_id), parent);
            if (!parent || parent->kept)
                break;
            parent->kept = true;
        }
    }
    HASH_ITER(hh, forest->images, image, next) {
        if (!image->kept) {
            HASH_DEL(forest->images, image);
            pruned++;
        }
    }
    return pruned;
}

static void add_child(struct iol_image *parent, struct iol_image *child)
{
    if (!parent->successor && child->pid == parent->pid && strcmp(child->start_time, parent->start_time) == 0) {
        parent->successor = child;
        child->is_successor = true;
        return;
    }
    if (parent->last_child)
        parent->last_child->next = child;
    else
        parent->first_child = child;
    parent->last_child = child;
}

void iol_forest_link(struct iol_forest *forest)
{
    for (struct iol_image *image = forest->images; image; image = image->hh.next) {
        if (image->parent_id == 0 || image->parent_id == image->id)
            continue;
        HASH_FIND(hh, forest->images, &image->parent_id, sizeof(image->parent_id), image->parent);
        if (image->parent)
            add_child(image->parent, image);
    }
}

static int push(struct stack *stack, struct iol_image *image)
{
    if (iol_array_reserve(&stack->frames, &stack->n_frames, stack->depth + 1, sizeof(*stack->frames)) < 0 ||
        iol_array_reserve(&stack->levels, &stack->n_levels, stack->depth + 1, sizeof(*stack->levels)) < 0)
        return -ENOMEM;
    stack->levels[stack->depth] = false;
    stack->frames[stack->depth++] = (struct frame){.image = image, .next = image->first_child};
    return 0;
}

/* Whether another child of this process comes after those that the frame has passed. */
static bool has_more(const struct frame *frame)
{
    if (frame->next)
        return true;
    for (const struct iol_image *image = frame->image->successor; image && !image->visited; image = image->successor) {
        if (image->first_child)
            return true;
    }
    return false;
}

static int visit_top(struct stack *stack, int (*visit)(const struct iol_walk *walk, void *data), void *data)
{
    struct iol_image *image = stack->frames[stack->depth - 1].image;

    image->visited = true;
    return visit(&(struct iol_walk){.image = image, .depth = stack->depth - 1, .levels = stack->levels}, data);
}

static int walk_from(struct stack *stack, struct iol_image *root, int (*visit)(const struct iol_walk *walk, void *data),
                     void *data)
{
    int r = push(stack, root);

    if (r == 0)
        r = visit_top(stack, visit, data);
    while (r == 0 && stack->depth > 0) {
        struct frame *top = &stack->frames[stack->depth - 1];
        struct iol_image *child = top->next;

        if (child) {
            top->next = child->next;
            if (child->visited)
                continue;
            bool more = has_more(top);

            r = push(stack, child);
            if (r < 0)
                return r;
            stack->levels[stack->depth - 1] = more;
            r = visit_top(stack, visit, data);
        } else if (top->image->successor && !top->image->successor->visited) {
            top->image = top->image->successor;
            top->next = top->image->first_child;
            r = visit_top(stack, visit, data);
        } else {
            stack->depth--;
        }
    }
    return r;
}

int iol_forest_walk(struct iol_forest *forest, int (*visit)(const struct iol_walk *walk, void *data), void *data)
{
    _cleanup_(done_stack) struct stack stack = {0};
    int r = 0;

    for (struct iol_image *image = forest->images; image && r == 0; image = image->hh.next) {
        if (!image->parent)
            r = walk_from(&stack, image, visit, data);
    }
    /* What no root leads to: a circle, which only a damaged ledger has. */
    for (struct iol_image *image = forest->images; image && r == 0; image = image->hh.next) {
        if (!image->visited)
            r = walk_from(&stack, image, visit, data);
    }
    return r;
}

void iol_forest_done(struct iol_forest *forest)
{
    HASH_CLEAR(hh, forest->images);
}
