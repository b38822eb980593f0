// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * From the kernel's counters to rows. The counters only grow; what has been posted is kept here, and
 * the difference becomes a row. Slots whose process has ended, or that were idle while slots were
 * scarce or for very long (IOL_MODEL_IDLE_NS), are taken back in two steps, so that no late operation is lost:
 *
 *   epoch e      the key is removed from the map; programs that had found the slot may still count
 *   epoch e + 1  closed after a grace period: nobody counts any more; posted a last time, and handed back when that is safe
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/books.h"
#include "core/row.h"

struct iol_accounts;
struct iol_batch;
struct iol_journal;
struct iol_model;

/* What the accounts ask of the kernel side. */
struct iol_account_kernel {
    const struct iol_account *slots;
    size_t n_slots;
    size_t first_spare; /* index of the first slot kept for pseudo files */
    const struct iol_cpu *cpus;
    size_t n_cpus;
    const struct iol_thread *threads;
    size_t n_threads;
    const __u64 *owned; /* bits: see IOL_WAS_OWNED() */
    bool mmap_events;   /* the first mapping of a file by a process becomes an event too */
    void *arg;
    void (*remove_accounts)(void *arg, const uint32_t *slots, size_t n);
    void (*free_slots)(void *arg, const uint32_t *slots, size_t n);
    bool keeps_books; /* iol_accounts_journal() is called for every batch */
};

/* One closed epoch: which set of counters, and from when to when on both clocks. */
struct iol_epoch {
    uint64_t number; /* counts up from 1 */
    unsigned int closed;
    uint64_t from_jiffies, to_jiffies;
    uint64_t from_ns, to_ns;
    uint64_t slept_from_ns, slept_ns; /* the machine slept meanwhile: jiffies stood still, the boot clock did not */
    uint64_t left_out_calls;          /* so far: IOL_LOST_LEFT_OUT */
    uint64_t left_out_processes;      /* so far: IOL_LOST_PROCESSES_LEFT_OUT */
};

/* The six counters of struct iol_counters, without its times. */
struct iol_counts {
    uint64_t read_ops, read_bytes, write_ops, write_bytes, read_errors, write_errors;
};

struct iol_account_stats {
    size_t slots;
    size_t in_use;
    uint64_t ops; /* accounted since the start */
    uint64_t read_bytes;
    uint64_t write_bytes;
    uint64_t excluded_ops; /* the recorder's own, and its database server's */
    uint64_t excluded_bytes;
    uint64_t ignored_ops; /* by rules */
    uint64_t ignored_bytes;
    struct iol_counts totals[IOL_ROUTE_COUNT]; /* the kernel's own totals */
    uint64_t io_rows;
    uint64_t lost[IOL_LOST_COUNT];
};

int iol_accounts_new(const struct iol_account_kernel *kernel, int64_t host_id, struct iol_accounts **ret_accounts);
void iol_accounts_free(struct iol_accounts *accounts); /* accepts NULL; before the model is freed */

/*
 * Posts a closed epoch: rows of io, total and loss, and whatever rows of processes and files they
 * need. Sums of io and of total are equal for each route. 0, or -ENOMEM (then nothing more can be trusted).
 */
int iol_accounts_post(struct iol_accounts *accounts, const struct iol_epoch *epoch, struct iol_model *model,
                      struct iol_batch *batch);

/* What has been posted is as safe as it will be: slots that nobody uses go back to the kernel. After each post, or without journals only. */
void iol_accounts_settle(struct iol_accounts *accounts);

/* Everything that posts have changed since the last time, into the journal and the books; so also which slots go back to the kernel. */
void iol_accounts_journal(struct iol_accounts *accounts, struct iol_journal *journal, struct iol_books *books);

/* What was left out is in a row of `recording` now, or will be in the next batch: the books do not keep it any longer. */
void iol_accounts_left_out_told(struct iol_accounts *accounts);

/*
 * Goes on where another recorder has stopped: before the first post. `posted` has an entry for each slot; the model knows the
 * images and files that have rows. 0, or -ENOMEM.
 */
int iol_accounts_restore(struct iol_accounts *accounts, const struct iol_posted *posted, const struct iol_books *books,
                         struct iol_model *model, struct iol_batch *batch);

void iol_accounts_get_stats(const struct iol_accounts *accounts, struct iol_account_stats *ret_stats);
