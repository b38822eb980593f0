// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <uthash.h>
#include <utlist.h>

#include "core/model.h"
#include "core/row.h"

/* Where a process is by now. The texts are malloc'ed. */
struct iol_model_location {
    const char *cwd, *cgroup, *container_id;
    bool escaped;
};

struct iol_model_process {
    uint64_t image;
    struct iol_process row;           /* its texts are this entry's own */
    struct iol_model_process *parent; /* counted in the parent's refs: an ancestor may still need its row */
    uint64_t parent_image;
    struct iol_model_location *moved;      /* for its children; NULL: it is where its row says */
    struct iol_process_exit exit;          /* when it has exited: for a row that may come later */
    struct iol_model_process *prev, *next; /* in the list of ended images */
    uint64_t ended_epoch;                  /* the epoch that had been posted last when it ended */
    uint64_t heard;        /* number of the sweep that heard of it last, or that had begun when it became known */
    unsigned int refs;     /* accounts, and children whose row is not out */
    bool escaped_location; /* cwd or cgroup, in its row */
    bool traced;
    bool posted;
    bool ended;       /* by exit or by exec */
    bool exited;      /* by exit */
    bool made_up;     /* no record has come of it, and its row says so */
    bool provisional; /* found by a sweep: its own record may still be on its way */
    bool gone;        /* a sweep has found it nowhere: its exit may still be on its way */
    bool recalled;    /* from an earlier recorder: it has a row, of which nothing is known here */
    UT_hash_handle hh;
};

struct iol_model_file {
    uint64_t key;
    int64_t id;
    unsigned int refs;  /* accounts */
    uint64_t idle_ns;   /* the end of the epoch in which it was used last */
    uint64_t forgotten; /* epoch in which the kernel was made to forget it; 0: not */
    UT_hash_handle hh;
};

struct login {
    int64_t uid;
    UT_hash_handle hh;
};

struct iol_model {
    int64_t host_id;
    char *boot_id;
    bool all;
    bool running_ancestors;
    size_t max_idle_files;
    size_t n_idle_files;      /* with refs 0 */
    size_t n_forgotten_files; /* with forgotten set */
    int64_t boot_offset;
    struct iol_model_process *processes;
    struct iol_model_process *ended; /* list, oldest first */
    uint64_t epoch;                  /* posted last */
    uint64_t now_ns;                 /* its end */
    uint64_t aged_ns;                /* when files were last looked through for idle ones */
    struct iol_model_file *files;
    struct iol_model_file
        *found; /* last, by its key: accounts are asked for in the order of the files' records, or nearly so */
    struct iol_names *names; /* which file a name means; NULL when changes of names are not all seen */
    struct login *logins;
    struct iol_journal *journal; /* NULL: none is kept */
    uint64_t sweep;              /* how many have begun */
    bool sweeping;
    struct iol_model_stats stats;
};

/* model_file.c: the row of a file (or of a pseudo file) into the batch; returns its id. 0 is no id: no memory. */
int64_t iol_model_add_file(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path,
                           const char *more_flags, struct iol_batch *batch);

/* The same for a file of which only its name is known, and perhaps its kind: without device, inode and generation. */
int64_t iol_model_add_name(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path,
                           const char *more_flags, struct iol_batch *batch);

int iol_model_post_file(struct iol_model *model, const struct iol_decoded_file *record, struct iol_batch *batch);

/* model.c: the image, or NULL when it is not known. */
struct iol_model_process *iol_model_find_process(struct iol_model *model, uint64_t image);

/* model.c: an image of which nothing is known yet, or NULL: no memory. */
struct iol_model_process *iol_model_new_process(struct iol_model *model, uint64_t image);
int64_t iol_model_hash_image(const struct iol_model *model, uint64_t image); /* process.id */

/* model.c: links the image to its parent, once both are known: of those that run already a child may be told of first. */
void iol_model_find_parent(struct iol_model *model, struct iol_model_process *process);

/* model.c: the row, and those of the ancestors that have none yet: who started it can always be answered. */
int iol_model_post_process(struct iol_model *model, struct iol_model_process *process, struct iol_batch *batch);

/* model.c: its accounts are posted still, and then it is forgotten. */
void iol_model_end_process(struct iol_model *model, struct iol_model_process *process);

/* model_describe.c: everything that the record says, in place of what was known. */
void iol_model_describe(struct iol_model *model, struct iol_model_process *process,
                        const struct iol_decoded_process *record, struct iol_batch *batch);
void iol_model_drop_texts(struct iol_model_process *process);

/* model_event.c: an event of the process at boot_ns, with a result of 0, a weight of 1, and NULL in all else. NULL: no memory. */
struct iol_event *iol_model_add_event(struct iol_model *model, enum iol_event_kind kind, uint64_t boot_ns,
                                      const struct iol_model_process *process, struct iol_batch *batch);
int iol_model_post_event(struct iol_model *model, const struct iol_record_event *record, struct iol_batch *batch);

/* model_change.c */
int iol_model_post_change(struct iol_model *model, const struct iol_decoded_change *change, struct iol_batch *batch);

/* The kernel has walked this path to this file. */
void iol_model_learn_name(struct iol_model *model, const struct iol_file_info *info, const struct iol_bytes *path);

/* model.c: forgets the images that have ended and that nobody needs any more. */
void iol_model_trim_processes(struct iol_model *model);

/* model_text.c */

/* The stored form of a path; NULL without memory. What is worth a flag is appended to flags (words joined by commas). */
char *iol_model_path_text(struct iol_batch *batch, const struct iol_file_info *info, const struct iol_bytes *path,
                          char *flags, size_t flags_size);
void iol_model_add_flag(char *flags, size_t size, const char *word);
char *iol_model_argv_text(struct iol_batch *batch, const struct iol_bytes *argv, bool *ret_escaped);

/* Its cgroup, and the container that this is (core/container.h), in place of those it had; an empty one changes nothing. */
void iol_model_set_cgroup(struct iol_model_process *process, const struct iol_bytes *cgroup, struct iol_batch *batch,
                          bool *ret_escaped);

/* argv of a process that runs already, from /proc; returns malloc'ed bytes, or NULL. */
char *iol_model_read_cmdline(int64_t pid, size_t *ret_size);
