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

static struct iol_ranked median_of_three(const struct iol_ranked *ranked, size_t n)
{
    const struct iol_ranked *a = &ranked[0], *b = &ranked[n / 2], *c = &ranked[n - 1];

    if (compare(a, b) > 0) {
        const struct iol_ranked *d = a;

        a = b, b = d;
    }
    if (compare(b, c) <= 0)
        return *b;
    return compare(a, c) > 0 ? *a : *c;
}

/* Quickselect: the first `few` come to lie in front. */
static void bring_forward(struct iol_ranked *ranked, size_t n, size_t few)
{
    while (n > 1 && few > 0 && few < n) {
        const struct iol_ranked pivot = median_of_three(ranked, n);
        size_t left = 0, right = n - 1;

        for (;;) {
            while (compare(&ranked[left], &pivot) < 0)
                left++;
            while (compare(&ranked[right], &pivot) > 0)
                right--;
            if (left >= right)
                break;
            swap(&ranked[left++], &ranked[right--]);
        }
        /* what is before `left` goes before all from there on; neither side is empty, as a median is not the first */
        if (few <= left) {
            n = left;
        } else {
            ranked += left;
            n -= left;
            few -= left;
        }
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
