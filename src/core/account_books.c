// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What has been posted, written down for a successor, and taken over from a predecessor. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "core/account.intern.h"
#include "core/journal.h"
#include "core/model.h"

static_assert(sizeof(struct iol_counts) == sizeof(struct iol_posted_sums), "the same six counters");

static struct iol_posted_sums to_sums(const struct iol_counts *counts)
{
    struct iol_posted_sums sums;

    memcpy(&sums, counts, sizeof(sums));
    return sums;
}

static struct iol_counts from_sums(const struct iol_posted_sums *sums)
{
    struct iol_counts counts;

    memcpy(&counts, sums, sizeof(counts));
    return counts;
}

/*
 * A slot whose key was removed counts as used: its key can be removed once more. One that has changed and is free was released by
 * that change.
 */
static void journal_slot(const struct iol_accounts *accounts, uint32_t index, struct iol_journal *journal)
{
    const struct slot *slot = &accounts->slots[index];
    const struct iol_posted posted = {
        .sums = {to_sums(&accounts->posted[0][index]), to_sums(&accounts->posted[1][index])},
        .last_epoch = slot->last_epoch,
        .last_ns = slot->last_ns,
        .over_budget = slot->over_budget,
        .ring_full = slot->ring_full,
        .state = slot->state == SLOT_FREE ? IOL_POSTED_RELEASED : IOL_POSTED_USED,
    };

    iol_journal_slot(journal, index, &posted);
}

void iol_accounts_journal(struct iol_accounts *accounts, struct iol_journal *journal, struct iol_books *books)
{
    const struct iol_account_stats *stats = &accounts->stats, *told = &accounts->told;

    for (size_t i = 0; i < accounts->changed.n; i++)
        journal_slot(accounts, accounts->changed.items[i], journal);
    accounts->changed.n = 0;
    accounts->released.n = 0; /* who reads the journal hands them back */
    for (size_t route = 0; route < IOL_ABI_ROUTE_SLOTS; route++) {
        books->total[0][route] = to_sums(&accounts->totals[0][route]);
        books->total[1][route] = to_sums(&accounts->totals[1][route]);
    }
    memcpy(books->lost, accounts->lost, sizeof(accounts->lost));
    books->ignored_ops = accounts->ignored.ops;
    books->ignored_bytes = accounts->ignored.bytes;
    books->untold_ignored_ops = stats->ignored_ops - told->ignored_ops;
    books->untold_ignored_bytes = stats->ignored_bytes - told->ignored_bytes;
    books->untold_excluded_ops = stats->excluded_ops - told->excluded_ops;
    books->untold_excluded_bytes = stats->excluded_bytes - told->excluded_bytes;
}

void iol_accounts_left_out_told(struct iol_accounts *accounts)
{
    accounts->told = accounts->stats;
}

static void restore_sums(struct iol_accounts *accounts, const struct iol_books *books)
{
    for (size_t route = 0; route < IOL_ABI_ROUTE_SLOTS; route++) {
        accounts->totals[0][route] = from_sums(&books->total[0][route]);
        accounts->totals[1][route] = from_sums(&books->total[1][route]);
    }
    memcpy(accounts->lost, books->lost, sizeof(accounts->lost));
    accounts->ignored.ops = books->ignored_ops;
    accounts->ignored.bytes = books->ignored_bytes;
    accounts->stats.ignored_ops = books->untold_ignored_ops;
    accounts->stats.ignored_bytes = books->untold_ignored_bytes;
    accounts->stats.excluded_ops = books->untold_excluded_ops;
    accounts->stats.excluded_bytes = books->untold_excluded_bytes;
}

static int restore_slot(struct iol_accounts *accounts, const struct iol_posted *posted, size_t index,
                        struct iol_model *model, struct iol_batch *batch)
{
    const struct iol_account *account = &accounts->kernel.slots[index];
    bool host_own = index < IOL_ABI_ROUTE_SLOTS;
    struct slot *slot = &accounts->slots[index];

    accounts->posted[0][index] = from_sums(&posted->sums[0]);
    accounts->posted[1][index] = from_sums(&posted->sums[1]);
    slot->last_epoch = posted->last_epoch;
    slot->last_ns = posted->last_ns;
    slot->over_budget = posted->over_budget;
    slot->ring_full = posted->ring_full;
    if (posted->state != IOL_POSTED_USED)
        return 0;
    slot->process = iol_model_get_process(model, host_own ? 0 : account->key.image, batch);
    slot->file = iol_model_get_file(model, host_own ? IOL_FILE_OTHER : account->file, batch);
    slot->state = SLOT_USED;
    accounts->stats.in_use++;
    return slot->process && slot->file ? 0 : -ENOMEM;
}

int iol_accounts_restore(struct iol_accounts *accounts, const struct iol_posted *posted, const struct iol_books *books,
                         struct iol_model *model, struct iol_batch *batch)
{
    int r = 0;

    restore_sums(accounts, books);
    for (size_t i = 0; r == 0 && i < accounts->kernel.n_slots; i++)
        r = restore_slot(accounts, &posted[i], i, model, batch);
    return r;
}
