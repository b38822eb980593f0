// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * One file's story: what was done to it, in order of time, under all names that it had. Reads and writes of one process that
 * follow each other without a longer pause are one episode.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_error;
struct iol_path_question;
struct iol_options;
struct iol_story;

struct iol_episode {
    int64_t first_ns, last_ns; /* since the epoch; the same of what happened at once */
    const char *what;          /* "created", "written", "read", "mapped", "renamed", "deleted", ... */
    int64_t process_id;        /* 0: unknown */
    bool counted;              /* reads or writes: ops and bytes are known, but of mappings no bytes */
    int64_t ops, bytes, errors;
    int64_t pid;
    const char *comm, *exe, *user, *host; /* NULL: unknown */
    const char *path;                     /* the name at that time */
    const char *other_path;               /* what it was renamed to, linked as or from; else NULL */
    int64_t key;                          /* a time by which they are sorted */
};

/* `pause_ns`: how long may be nothing within an episode. 0 or -errno with *err. */
int iol_story_load(const struct iol_path_question *question, const struct iol_options *options, int64_t pause_ns,
                   struct iol_story **ret_story, struct iol_error *err);

/* In order of time; belongs to the story. */
const struct iol_episode *const *iol_story_list(const struct iol_story *story, size_t *ret_n);

void iol_story_free(struct iol_story *story); /* accepts NULL */
