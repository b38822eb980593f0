// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The other names under which a file, or everything below a directory, is in the ledger: before and after it, or a
 * directory above it, was renamed, through hard links, and by its device, inode and generation.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_arena;
struct iol_db;
struct iol_error;
struct iol_paths;

#define IOL_ALIASES_MAX 64

/* One name, and when it was that file's. Times are texts as the reader gives them; NULL: no bound. */
struct iol_alias {
    const char *path; /* without a '/' at its end */
    int64_t host_id;
    const char *since;
    const char *until;
    const char *how; /* "renamed by mv(123)" */
};

struct iol_aliases {
    struct iol_alias list[IOL_ALIASES_MAX];
    size_t n;
    bool tree;            /* they stand for what is below them */
    const char *file_ids; /* "1,-2,3": rows of `file` that are the same file by its identity; NULL: none */
};

/* Room for the parameters of one condition. */
#define IOL_ALIASES_PARAMS_MAX (2 * IOL_ALIASES_MAX)

/* Follows events and identities from the names in `paths`; the strings live in the arena. 0 or -errno with *err. */
int iol_aliases_find(struct iol_arena *arena, struct iol_db *db, const struct iol_paths *paths,
                     struct iol_aliases *ret_aliases, struct iol_error *err);

/*
 * What is to be put behind a condition on the paths asked for: " OR ..." on columns path, host_id and id of table f, or, `with_times`,
 * on columns path, host_id, file_id, first and last (account times, store/sql.h) of accounts. Parameters are appended to params. NULL: no memory.
 */
const char *iol_aliases_condition(struct iol_arena *arena, struct iol_db *db, const struct iol_aliases *aliases,
                                  bool with_times, const char **params, size_t *n_params);

/* Tells them, the first few, in the log. */
void iol_aliases_tell(const struct iol_aliases *aliases);
bool iol_aliases_have(const struct iol_aliases *aliases, const char *path);
