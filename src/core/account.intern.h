// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The accounts inside. For src/core/account*.c only. */
#include "core/account.h"
#include "core/loss.h"
#include "core/row.h"

/* Events of reads and writes that a process lost in one epoch. */
struct event_loss {
    const struct iol_model_process *process;
    uint64_t over_budget, ring_full;
};

#define EVENT_LOSSES_MAX 64 /* processes told apart in one epoch; the last entry is of all others */

enum slot_state { SLOT_FREE, SLOT_USED, SLOT_REMOVED };

/* What user space knows of a slot. `posted` outlives its use: the kernel's counters go on from there. */
struct slot {
    struct iol_model_process *process;
    struct iol_model_file *file;
    uint64_t last_epoch; /* with operations */
    uint64_t last_ns;    /* its end */
    uint32_t over_budget, ring_full;
    enum slot_state state;
};

/* Indices of slots; of as many as there are. */
struct slot_list {
    uint32_t *items;
    size_t n, room;
};

struct iol_accounts {
    struct iol_account_kernel kernel;
    int64_t host_id;
    struct slot *slots;
    struct iol_counts *posted[2]; /* of each slot and epoch: apart, as every interval looks over all of one of them */
    size_t n_removed;             /* slots that are to be handed back */
    uint64_t looked_ns;           /* when idle accounts were last looked for */
    struct slot_list changed;     /* since the last journal; some of them twice */
    struct slot_list removed;     /* their keys are to be taken away */
    struct slot_list released;    /* to be handed back */
    struct iol_counts totals[2][IOL_ABI_ROUTE_SLOTS];
    struct iol_sums ignored; /* by threads, posted so far */
    struct event_loss event_losses[EVENT_LOSSES_MAX];
    size_t n_event_losses;
    uint64_t lost[IOL_LOST_COUNT]; /* as the kernel counts, posted so far */
    struct iol_account_stats stats;
    struct iol_account_stats told; /* left out, and told in a row of `recording` */
};
