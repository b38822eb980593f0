// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What files cost, summed up by file or by directory, in memory. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_ask;
struct iol_costs;
struct iol_db;
struct iol_error;
struct iol_paths;

enum iol_costs_by { IOL_COSTS_BY_DIRECTORY, IOL_COSTS_BY_FILE };

struct iol_costs_options {
    enum iol_costs_by by;
    size_t depth;                  /* of directories: at most so many levels below those; 0: all */
    const struct iol_paths *below; /* directories, or NULL: the root */
    const char *host;              /* only of this one; NULL: of all */
    bool hosts_together;           /* a path on two hosts is one */
};

/* Sorted by: bytes both ways, operations both ways, read bytes, or written ones; the most first. */
enum iol_costs_sort { IOL_COSTS_BYTES, IOL_COSTS_OPS, IOL_COSTS_READ, IOL_COSTS_WRITTEN, IOL_COSTS_SORTS };

struct iol_cost {
    const char *path; /* a directory ends in '/'; accounts that stand for no file are by themselves: "(pipes)" */
    const char *host; /* NULL: unknown */
    int64_t files;    /* different paths in it */
    int64_t read_ops, read_bytes, write_ops, write_bytes, read_errors, write_errors;
};

/* 0 or -errno with *err. */
int iol_costs_load(struct iol_db *db, const struct iol_ask *ask, const struct iol_costs_options *options,
                   struct iol_costs **ret_costs, struct iol_error *err);

/* The sorted list, and its length; belongs to costs. NULL: no memory. */
const struct iol_cost *const *iol_costs_list(struct iol_costs *costs, enum iol_costs_sort sort, size_t *ret_n);

/* By what the list is sorted. */
int64_t iol_costs_measure(const struct iol_cost *cost, enum iol_costs_sort sort);

/* The sums of all. */
const struct iol_cost *iol_costs_sum(const struct iol_costs *costs);

void iol_costs_free(struct iol_costs *costs); /* accepts NULL */
