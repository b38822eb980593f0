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
#include "core/journal.h"
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
    uint64_t epoch;    /* the last one that was posted, by an earlier recorder; 0: none was */
    uint64_t epoch_ns; /* its end */
    struct iol_journal
        *journal; /* where it is noted what has a row, and what is forgotten; outlives the model; NULL: nowhere */
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

/*
 * From an earlier recorder: the image, or the file, has its row. Of the image nothing else is known until a record of it comes,
 * which changes nothing in the row. 0, or -ENOMEM.
 */
int iol_model_recall_process(struct iol_model *model, uint64_t image, const struct iol_known_image *known);
int iol_model_recall_file(struct iol_model *model, uint64_t key, int64_t id);

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

/* The event of a file's first mapping by a process: bytes unknown. 0, or -ENOMEM. */
int iol_model_add_mapping(struct iol_model *model, const struct iol_model_process *process,
                          const struct iol_model_file *file, uint64_t boot_ns, struct iol_batch *batch);

/* The text of a loss that one process had; NULL as process: several others. From the batch's arena, or NULL. */
const char *iol_model_loss_of(const struct iol_model_process *process, const char *reason, struct iol_batch *batch);

/* The image has ended, by exit or by exec. */
/* Whether images have ended that are still held. */
bool iol_model_some_ended(const struct iol_model *model);

bool iol_model_process_ended(const struct iol_model_process *process);

/*
 * An account that was not used for so long is closed, and a file that had no account for so long is forgotten: when it is used
 * again, its row is sent again. So a row of io has the row of its file from a batch of the same recording that had a row of io with that
 * file no more than twice as long before, and prune may delete rows of files that nothing has referred to for a day.
 */
#define IOL_MODEL_IDLE_NS (UINT64_C(6) * 3600 * 1000000000)

/*
 * Call once an epoch, after it was posted; `now_ns` is its end, on the clock of the records. Forgets images that have ended, when
 * their last accounts are posted, and files that no account uses, once there are too many or they were idle for long: `forget`
 * first makes the kernel forget them, and two epochs later, when no account can still be opened on the strength of the old
 * record, they go.
 */
typedef void iol_model_forget_fn(void *arg, const uint64_t *file_keys, size_t n);
void iol_model_trim(struct iol_model *model, uint64_t epoch, uint64_t now_ns, iol_model_forget_fn *forget, void *arg);

/*
 * A sweep brings the model back in line with the machine, after records of processes were lost, and every look at the processes
 * that run is one, the first one too:
 *
 *   begin   all records sent so far have been posted
 *           post a record of every process that runs, from the task iterator, once or more; then what has come on the ring buffer
 *   ask     of which of the images that had been known when the sweep began, and of which nothing was heard in it, `lives` denies
 *           that they are alive; not when there was no look at the processes, nor at the first one. What has come on the ring buffer
 *           until then is posted once more
 *   end     images that only the iterator told of become known, as `running`; those of which it was denied have ended
 *
 * The iterator is ahead of the ring buffer. So what it tells of an unknown image is kept back until the end: a record
 * of the fork or exec that is still on its way takes its place. So does a record of the exit of one that is gone: there is no row in
 * process_exit for an image that ended unheard. iol_model_sweep_end returns 0 or -ENOMEM.
 */
typedef bool iol_model_lives_fn(void *arg, uint32_t pid, uint64_t image);
void iol_model_sweep_begin(struct iol_model *model);
void iol_model_sweep_ask(struct iol_model *model, iol_model_lives_fn *lives, void *arg);
int iol_model_sweep_end(struct iol_model *model, struct iol_batch *batch);

/* Ancestors without rows that are held for an image which may be asked for; of a longer line the oldest are forgotten. */
#define IOL_MODEL_MAX_ANCESTORS 64

/* The ids of all processes and files that are held: rows to come may name them without their own row being sent again. */
typedef void iol_model_id_fn(void *arg, int64_t id);
void iol_model_each_process(const struct iol_model *model, iol_model_id_fn *one, void *arg);
void iol_model_each_file(const struct iol_model *model, iol_model_id_fn *one, void *arg);

struct iol_model_stats {
    uint64_t processes; /* images seen that were traced */
    uint64_t files;     /* files under one name each that were touched */
    uint64_t made_up;   /* images with accounts of which no record had come */
    uint64_t sweeps;
    uint64_t found_running; /* images that a sweep made known */
    uint64_t ended_unheard; /* images that a sweep found to have ended */
    size_t ended_in_epoch;  /* images that have ended since the last epoch was posted */
    size_t processes_held;
    size_t files_held;
    uint64_t events[IOL_EVENT_KIND_COUNT]; /* rows, not weights */
};

void iol_model_get_stats(const struct iol_model *model, struct iol_model_stats *ret_stats);
