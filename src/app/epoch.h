// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What everybody does who follows the kernel's accounts, whatever becomes of the rows: ends epochs, and compares the model with what runs. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "capture/capture.h"
#include "core/account.h"

struct iol_batch;
struct iol_error;
struct iol_model;

/* When the model was last compared with the processes that run. */
struct iol_sweep {
    uint64_t began_ns; /* of the boot clock */
    uint64_t took_ns;
    uint64_t lost; /* iol_sweep_lost() then */
};

/* Records of processes that never came, and images of which none has: what a sweep can make up for. */
uint64_t iol_sweep_lost(const struct iol_capture *capture, const struct iol_model *model);

/* Soon after records were lost, and once in a while. */
bool iol_sweep_is_due(const struct iol_sweep *sweep, uint64_t now_ns, uint64_t lost);

/*
 * Whatever is known of the processes. Without a look at them the model stays as it is. *batch is looked at when the records have been
 * taken, as taking one may seal a batch and begin another one. 0 or -ENOMEM.
 */
int iol_sweep_run(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model,
                  struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg);

/* The same by the look that iol_capture_exclude() takes at them: from now on this process and its descendants are left out. */
int iol_sweep_exclude(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model, pid_t pid,
                      struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg);

/* The first look, that of iol_capture_attach(); who goes on with an earlier recorder's counters takes none. 0, or -errno with *err. */
int iol_sweep_attach(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model,
                     struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg, struct iol_error *err);

/* Whether the machine has slept since the last epoch ended. Zeros at first. */
struct iol_naps {
    uint64_t looked_ns; /* at the boot clock */
    uint64_t ahead_ns;  /* it was of the monotonic one, which does not count the time asleep */
    uint64_t from_ns;
    uint64_t slept_ns; /* 0: it has not */
};

/* To be called several times a second: a sleep is known to have been between two calls. */
void iol_naps_look(struct iol_naps *naps);

/* Closes the open epoch, as the one with this number; `naps`, unless NULL, begin anew. 0 or -errno. */
int iol_epoch_end(struct iol_capture *capture, uint64_t number, struct iol_naps *naps, struct iol_epoch *ret_epoch);

/*
 * When the next interval is due to end, `due_ns` being when the last one was: one that ended early leaves that as it is, and one that took
 * too long is not made up for.
 */
static inline uint64_t iol_epoch_next_due(uint64_t due_ns, uint64_t now_ns, uint64_t interval_ns)
{
    if (now_ns < due_ns)
        return due_ns;
    return due_ns + interval_ns < now_ns ? now_ns + interval_ns : due_ns + interval_ns;
}

/* How many images may end in one epoch: more end it early, so that neither memory nor accounts run out for want of an end. */
size_t iol_epoch_max_ended(size_t n_slots);

/* Slots, totals and what to do with them, of the kernel side. */
void iol_epoch_kernel(struct iol_capture *capture, struct iol_account_kernel *ret_kernel);

/* An iol_model_forget_fn; `arg` is the capture. */
void iol_epoch_forget(void *arg, const uint64_t *keys, size_t n);
