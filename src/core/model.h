// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What user space knows of processes and files while it records: who they are, which of them have
 * their row already, and which can be forgotten. Every function that may add rows takes the batch they go to.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/decode.h"
#include "core/row.h"

struct iol_batch;
struct iol_model;
struct iol_model_process;
struct iol_model_file;

struct iol_model_options {
    int64_t host_id;
    const char *boot_id; /* copied */
    bool all; /* no filter: every process gets its row when it is seen; else those traced, and their ancestors */
    bool running_ancestors; /* such ancestors may be processes that ran before the recording: not those above CMD */
    size_t max_idle_files;  /* files without an account that are remembered */
    size_t
        max_names; /* names by which files are known again; 0 unless `all`, and each event of IOL_MODEL_TREE_EVENTS is sent */
};

#define IOL_MODEL_EVENT_BIT(kind) (UINT32_C(1) << (kind))

/* The kinds of events that say which file a name means. */
#define IOL_MODEL_TREE_EVENTS                                                                                          \
    (IOL_MODEL_EVENT_BIT(IOL_EVENT_OPEN) | IOL_MODEL_EVENT_BIT(IOL_EVENT_RENAME) |                                     \
     IOL_MODEL_EVENT_BIT(IOL_EVENT_UNLINK) | IOL_MODEL_EVENT_BIT(IOL_EVENT_LINK) |                                     \
     IOL_MODEL_EVENT_BIT(IOL_EVENT_SYMLINK) | IOL_MODEL_EVENT_BIT(IOL_EVENT_MKDIR) |                                   \
     IOL_MODEL_EVENT_BIT(IOL_EVENT_RMDIR))

struct iol_model *iol_model_new(const struct iol_model_options *options);
void iol_model_free(struct iol_model *model); /* accepts NULL */

/* Wall clock minus boot clock, in nanoseconds: set before records are posted. */
void iol_model_set_boot_offset(struct iol_model *model, int64_t offset);
int64_t iol_model_time(const struct iol_model *model, uint64_t boot_ns);

/* Takes in one record: rows of process, process_exit, file, login and event come of it. 0, or -ENOMEM. */
int iol_model_post(struct iol_model *model, const struct iol_decoded *record, struct iol_batch *batch);

/* Records of changes were lost, or names changed unseen: from here on no name is known to mean the file that it meant. */
void iol_model_forget_names(struct iol_model *model);

/*
 * The process image and the file of an account, with a reference that keeps them; their rows are in
 * this batch or in an earlier one when the call returns. Image 0 is (other processes). NULL: no memory.
 */
struct iol_model_process *iol_model_get_process(struct iol_model *model, uint64_t image, struct iol_batch *batch);
struct iol_model_file *iol_model_get_file(struct iol_model *model, uint64_t key, struct iol_batch *batch);
void iol_model_put_process(struct iol_model *model, struct iol_model_process *process); /* accept NULL */
void iol_model_put_file(struct iol_model *model, struct iol_model_file *file);

int64_t iol_model_process_id(const struct iol_model_process *process);
int64_t iol_model_file_id(const struct iol_model_file *file);

/* The image has ended, by exit or by exec. */
bool iol_model_process_ended(const struct iol_model_process *process);

/*
 * Call once an epoch, after it was posted. Forgets images that have ended, when their last accounts
 * are posted, and files that no account uses, once there are too many: `forget` first makes the kernel forget
 * them, and two epochs later, when no account can still be opened on the strength of the old record,
 * they go.
 */
typedef void iol_model_forget_fn(void *arg, uint64_t file_key);
void iol_model_trim(struct iol_model *model, uint64_t epoch, iol_model_forget_fn *forget, void *arg);

struct iol_model_stats {
    uint64_t processes; /* images seen that were traced */
    uint64_t files;     /* files under one name each that were touched */
    size_t processes_held;
    size_t files_held;
};

void iol_model_get_stats(const struct iol_model *model, struct iol_model_stats *ret_stats);
