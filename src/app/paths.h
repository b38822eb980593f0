// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* From a path as a person types it to the condition that finds it in the ledger. */
#include <stdbool.h>
#include <stddef.h>

struct iol_arena;
struct iol_error;

#define IOL_PATHS_MAX 4

/*
 * The names that may stand for one path: itself made absolute (by its letters alone, but for a ".."), and as the file system resolves it
 * now (of a file that is gone, as far as it still can). With a trailing '/' they are ranges: everything from
 * `from` up to, not including, `to`; else `to` is NULL and `from` is the name.
 */
struct iol_paths {
    struct {
        const char *from;
        const char *to;
    } names[IOL_PATHS_MAX];
    size_t n_names;
    bool tree;
};

/* The strings live in the arena. 0, -EINVAL for an empty path, or another -errno with *err. */
int iol_paths_resolve(struct iol_arena *arena, const char *typed, struct iol_paths *ret_paths, struct iol_error *err);

/*
 * "(column = $N OR ...)" with the parameters that it needs appended to params (room for 2 * IOL_PATHS_MAX). The
 * column's collation must be that of bytes. NULL: no memory.
 */
const char *iol_paths_condition(struct iol_arena *arena, const struct iol_paths *paths, const char *column,
                                const char **params, size_t *n_params);
