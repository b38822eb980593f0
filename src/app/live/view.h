// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The pairs as somebody wants to see them: narrowed, filtered, grouped, and the busiest first. Knows no terminal. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/live/pairs.h"

struct iol_live_container;
struct iol_live_file;
struct iol_live_names;
struct iol_live_process;
struct iol_view;

enum iol_group {
    IOL_GROUP_PAIR, /* process and file */
    IOL_GROUP_PROCESS,
    IOL_GROUP_FILE,
    IOL_GROUP_DIRECTORY, /* what is in the directory that is looked at */
    IOL_GROUP_CONTAINER,
    IOL_GROUP_COUNT,
};

enum iol_sort { IOL_SORT_BYTES, IOL_SORT_READ, IOL_SORT_WRITTEN, IOL_SORT_OPS, IOL_SORT_ERRORS, IOL_SORT_COUNT };

/* What the row stands for: of the four pointers those that the group has. Good until the pairs are changed. */
struct iol_view_row {
    const struct iol_live_process *process;
    const struct iol_live_file *file;
    const struct iol_live_container *container;
    const char *directory;         /* its path, ends in '/'; or that of a file in the directory that is looked at */
    struct iol_live_counts counts; /* of the interval, or totals */
    size_t pairs;                  /* used within the last minute, or at all when it has totals */
    uint64_t history[IOL_HISTORY_SECONDS]; /* of what is sorted by, a second; the oldest first */
};

struct iol_view *iol_view_new(struct iol_live_names *names, struct iol_live_pairs *pairs); /* NULL: no memory */
void iol_view_free(struct iol_view *view);                                                 /* accepts NULL */

void iol_view_set_group(struct iol_view *view, enum iol_group group);
void iol_view_set_sort(struct iol_view *view, enum iol_sort sort);
enum iol_group iol_view_group(const struct iol_view *view);
enum iol_sort iol_view_sort(const struct iol_view *view);

/* Counts of the interval, or (true) totals since the pairs were met, idle ones included. */
void iol_view_set_totals(struct iol_view *view, bool totals);
bool iol_view_totals(const struct iol_view *view);

/* Words with blanks between them; each has to be in the path, or in name, pid, user or container of the process. */
#define IOL_VIEW_FILTER_MAX 128
void iol_view_set_filter(struct iol_view *view, const char *text);
const char *iol_view_filter(const struct iol_view *view);

/*
 * Looks at what the row stands for only: a process's files, a file's processes, a directory's entries, a container's
 * processes. False: a pair is the end of it, or it is too deep. Back: false when all is looked at.
 */
bool iol_view_open(struct iol_view *view, const struct iol_view_row *row);
bool iol_view_back(struct iol_view *view);

/* What is looked at, "make (812) in /usr/"; empty when it is everything. Not made safe for a terminal. */
void iol_view_scope(const struct iol_view *view, char *buf, size_t size);

/* Works out rows `first` to `first + n - 1` of the order: 0 or -ENOMEM. */
int iol_view_make(struct iol_view *view, size_t first, size_t n);
const struct iol_view_row *iol_view_rows(const struct iol_view *view, size_t *ret_n);
size_t iol_view_count(const struct iol_view *view);               /* of all rows */
struct iol_live_counts iol_view_sum(const struct iol_view *view); /* of all rows */

/* What the row stands for, in a number: the same in different frames. Never 0. */
uint64_t iol_view_key(const struct iol_view_row *row);
