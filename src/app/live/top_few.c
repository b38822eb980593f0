// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/top_few.h"

#include <stdlib.h>

/* Below 0: a goes before b. Never 0 for two different ones. */
static int compare(const struct iol_ranked *a, const struct iol_ranked *b)
{
    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    if (a->last != b->last)
        return a->last > b->last ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static int compare_void(const void *a, const void *b)
{
    return compare(a, b);
}

static void swap(struct iol_ranked *a, struct iol_ranked *b)
{
    struct iol_ranked c = *a;

    *a = *b;
    *b = c;
}

/* A heap whose first is the last of them all: what is at `at` sinks to its place. */
static void sink(struct iol_ranked *heap, size_t n, size_t at)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= n)
            return;
        if (child + 1 < n && compare(&heap[child + 1], &heap[child]) > 0)
            child++;
        if (compare(&heap[at], &heap[child]) >= 0)
            return;
        swap(&heap[at], &heap[child]);
        at = child;
    }
}

/* The first `few` come to lie in front, in whatever order they were: n * log(few) comparisons at most. */
static void bring_forward(struct iol_ranked *ranked, size_t n, size_t few)
{
    for (size_t i = few / 2; i > 0; i--)
        sink(ranked, few, i - 1);
    for (size_t i = few; i < n; i++) {
        if (compare(&ranked[i], &ranked[0]) > 0)
            continue;
        swap(&ranked[i], &ranked[0]);
        sink(ranked, few, 0);
    }
}

void iol_top_few(struct iol_ranked *ranked, size_t n, size_t few)
{
    if (few > n)
        few = n;
    if (few == 0)
        return;
    bring_forward(ranked, n, few);
    qsort(ranked, few, sizeof(*ranked), compare_void);
}
