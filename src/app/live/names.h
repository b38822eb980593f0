// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Who and what the ids in rows are: processes, files, containers and users, as long as a row may name them. An entry stays
 * where it is as long as it has references, or was held when the names were trimmed last.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uthash.h>

struct iol_batch;
struct iol_live_names;

/* What a view has worked out about an entry, so that it does so once only; see view.c. */
struct iol_live_note {
    uint32_t generation; /* of the settings that `words` and `inside` are of */
    uint32_t words;      /* bit per word of the filter that it has */
    bool inside;         /* in the directory that is looked at */
    uint32_t frame;      /* the frame that `group` is of */
    uint32_t group;      /* its group in that frame */
};

struct iol_live_container {
    struct iol_live_note note;
    UT_hash_handle hh;
    char id[]; /* empty: none */
};

struct iol_live_process {
    int64_t id;
    int64_t parent_id; /* IOL_NULL: not known */
    int64_t pid, uid;
    int64_t start_time, exec_time;        /* IOL_NULL: not known; not called */
    int64_t ended_ts, exit_code, signal;  /* 0: it runs; of the other two one is IOL_NULL, or both: not known */
    const char *comm, *exe, *argv, *cwd;  /* its own; exe, argv and cwd may be NULL */
    struct iol_live_container *container; /* never NULL */
    unsigned int refs;
    bool marked;
    struct iol_live_note note;
    UT_hash_handle hh;
};

struct iol_live_directory; /* view.c's */

struct iol_live_file {
    int64_t id;
    int64_t kind; /* enum iol_kind */
    unsigned int refs;
    bool marked;
    struct iol_live_note note;
    struct iol_live_directory *directory; /* what it is below, of the generation in `note` */
    UT_hash_handle hh;
    char path[];
};

struct iol_live_names *iol_live_names_new(void); /* NULL: no memory */
void iol_live_names_free(struct iol_live_names *names);

/* Takes in the rows of processes, exits, files and users: 0 or -ENOMEM. */
int iol_live_names_take(struct iol_live_names *names, const struct iol_batch *batch);

/* NULL: not known. */
struct iol_live_process *iol_live_names_process(const struct iol_live_names *names, int64_t id);
struct iol_live_file *iol_live_names_file(const struct iol_live_names *names, int64_t id);

/* The process that started this image's process (not the image that called exec in it); NULL: not known. */
struct iol_live_process *iol_live_names_parent(const struct iol_live_names *names,
                                               const struct iol_live_process *process);

/* Name of a user id, or its number; `buf` has 24 bytes at least. */
const char *iol_live_names_user(const struct iol_live_names *names, int64_t uid, char *buf, size_t size);

/*
 * When entries have become many: true, then mark all that may be named again, and call trim, which drops those without a
 * mark or a reference. Ancestors of what stays, 64 of each, stay too.
 */
bool iol_live_names_crowded(const struct iol_live_names *names);
void iol_live_names_mark_process(struct iol_live_names *names, int64_t id);
void iol_live_names_mark_file(struct iol_live_names *names, int64_t id);
void iol_live_names_trim(struct iol_live_names *names);
