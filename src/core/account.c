// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "core/account.intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "core/batch.h"
#include "core/journal.h"
#include "core/loss.h"
#include "core/model.h"

#define NS_PER_MS 1000000
#define AHEAD 24 /* slots: what is looked at later is on its way from memory meanwhile */
#define LOOK_NS                                                                                                        \
    (60UL * 1000 * 1000 * 1000) /* between two looks at all accounts for those that are idle for very long */

int iol_accounts_new(const struct iol_account_kernel *kernel, int64_t host_id, struct iol_accounts **ret_accounts)
{
    struct iol_accounts *accounts = calloc(1, sizeof(*accounts));

    if (!accounts)
        return -ENOMEM;
    accounts->kernel = *kernel;
    accounts->host_id = host_id;
    accounts->stats.slots = kernel->n_slots;
    accounts->slots = calloc(kernel->n_slots, sizeof(*accounts->slots));
    accounts->posted[0] = calloc(kernel->n_slots, sizeof(*accounts->posted[0]));
    accounts->posted[1] = calloc(kernel->n_slots, sizeof(*accounts->posted[1]));
    if (!accounts->slots || !accounts->posted[0] || !accounts->posted[1]) {
        iol_accounts_free(accounts);
        return -ENOMEM;
    }
    *ret_accounts = accounts;
    return 0;
}

void iol_accounts_free(struct iol_accounts *accounts)
{
    if (!accounts)
        return;
    free(accounts->slots);
    free(accounts->posted[0]);
    free(accounts->posted[1]);
    free(accounts->changed.items);
    free(accounts->removed.items);
    free(accounts->released.items);
    free(accounts);
}

static int note_slot(struct slot_list *list, size_t index)
{
    if (iol_array_reserve(&list->items, &list->room, list->n + 1, sizeof(*list->items)) < 0)
        return -ENOMEM;
    list->items[list->n++] = (uint32_t)index;
    return 0;
}

static int note_change(struct iol_accounts *accounts, size_t index)
{
    return accounts->kernel.keeps_books ? note_slot(&accounts->changed, index) : 0;
}

static struct iol_counts read_counts(const struct iol_counters *counters)
{
    return (struct iol_counts){
        .read_ops = counters->read_ops,
        .read_bytes = counters->read_bytes,
        .write_ops = counters->write_ops,
        .write_bytes = counters->write_bytes,
        .read_errors = counters->read_errors,
        .write_errors = counters->write_errors,
    };
}

static struct iol_counts difference(const struct iol_counts *now, const struct iol_counts *before)
{
    return (struct iol_counts){
        .read_ops = now->read_ops - before->read_ops,
        .read_bytes = now->read_bytes - before->read_bytes,
        .write_ops = now->write_ops - before->write_ops,
        .write_bytes = now->write_bytes - before->write_bytes,
        .read_errors = now->read_errors - before->read_errors,
        .write_errors = now->write_errors - before->write_errors,
    };
}

static bool is_zero(const struct iol_counts *counts)
{
    return !(counts->read_ops | counts->read_bytes | counts->write_ops | counts->write_bytes | counts->read_errors |
             counts->write_errors);
}

/* Jiffies within the epoch as wall-clock time: the two clocks were read together at both of its ends. */
static int64_t jiffies_to_time(const struct iol_epoch *epoch, const struct iol_model *model, uint64_t jiffies)
{
    uint64_t ticks = epoch->to_jiffies - epoch->from_jiffies;
    uint64_t ns = epoch->to_ns - epoch->from_ns, slept = epoch->slept_ns < ns ? epoch->slept_ns : 0, at;

    if (jiffies <= epoch->from_jiffies || ticks == 0)
        return iol_model_time(model, epoch->from_ns);
    if (jiffies >= epoch->to_jiffies)
        return iol_model_time(model, epoch->to_ns);
    at = epoch->from_ns + (uint64_t)((double)(ns - slept) * (double)(jiffies - epoch->from_jiffies) / (double)ticks);
    return iol_model_time(model, at > epoch->slept_from_ns ? at + slept : at);
}

static int64_t interval_ms(const struct iol_epoch *epoch)
{
    return (int64_t)((epoch->to_ns - epoch->from_ns + NS_PER_MS / 2) / NS_PER_MS);
}

static int add_io(struct iol_accounts *accounts, const struct iol_epoch *epoch, const struct iol_model *model,
                  size_t index, const struct iol_counts *delta, struct iol_batch *batch)
{
    const struct iol_account *account = &accounts->kernel.slots[index];
    const struct iol_counters *counters = &account->epoch[epoch->closed];
    const struct slot *slot = &accounts->slots[index];
    struct iol_io *row = iol_batch_add(batch, IOL_TABLE_IO);
    int64_t opened = iol_model_time(model, account->opened_ns);

    if (!row)
        return -ENOMEM;
    *row = (struct iol_io){
        .ts = iol_model_time(model, epoch->to_ns),
        .interval_ms = interval_ms(epoch),
        .host_id = accounts->host_id,
        .process_id = iol_model_process_id(slot->process),
        .file_id = iol_model_file_id(slot->file),
        .route = index < IOL_ABI_ROUTE_SLOTS ? (int64_t)index : (int64_t)account->route,
        .read_ops = (int64_t)delta->read_ops,
        .read_bytes = (int64_t)delta->read_bytes,
        .write_ops = (int64_t)delta->write_ops,
        .write_bytes = (int64_t)delta->write_bytes,
        .read_errors = (int64_t)delta->read_errors,
        .write_errors = (int64_t)delta->write_errors,
        .first_ts = jiffies_to_time(epoch, model, counters->first),
        .last_ts = jiffies_to_time(epoch, model, counters->last),
    };
    /* a tick is coarse: an account cannot have been used before it was opened */
    if (opened > row->first_ts && opened <= row->ts)
        row->first_ts = opened;
    if (row->last_ts < row->first_ts)
        row->last_ts = row->first_ts;
    accounts->stats.io_rows++;
    accounts->stats.ops += delta->read_ops + delta->write_ops;
    accounts->stats.read_bytes += delta->read_bytes;
    accounts->stats.write_bytes += delta->write_bytes;
    return 0;
}

/* A slot that has operations for the first time since it was handed out: its names. */
static int adopt_slot(struct iol_accounts *accounts, size_t index, struct iol_model *model, struct iol_batch *batch)
{
    const struct iol_account *account = &accounts->kernel.slots[index];
    bool host_own = index < IOL_ABI_ROUTE_SLOTS;
    struct slot *slot = &accounts->slots[index];

    slot->process = iol_model_get_process(model, host_own ? 0 : account->key.image, batch);
    slot->file = iol_model_get_file(model, host_own ? IOL_FILE_OTHER : account->file, batch);
    if (!slot->process || !slot->file)
        return -ENOMEM;
    slot->state = SLOT_USED;
    accounts->stats.in_use++;
    /* a rule that asks for events has the kernel send them */
    if (accounts->kernel.mmap_events && !host_own && account->route == IOL_ABI_ROUTE_MMAP &&
        account->verdict == IOL_VERDICT_AGGREGATE)
        return iol_model_add_mapping(model, slot->process, slot->file, account->opened_ns, batch);
    return 0;
}

static void note_event_losses(struct iol_accounts *accounts, size_t index)
{
    const struct iol_account *account = &accounts->kernel.slots[index];
    struct slot *slot = &accounts->slots[index];
    uint32_t over_budget = account->over_budget - slot->over_budget, ring_full = account->ring_full - slot->ring_full;
    size_t i;

    if (!(over_budget | ring_full))
        return;
    for (i = 0; i < accounts->n_event_losses && accounts->event_losses[i].process != slot->process; i++)
        ;
    if (i == accounts->n_event_losses && i < EVENT_LOSSES_MAX - 1)
        accounts->event_losses[accounts->n_event_losses++].process = slot->process;
    accounts->event_losses[i].over_budget += over_budget;
    accounts->event_losses[i].ring_full += ring_full;
    slot->over_budget = account->over_budget;
    slot->ring_full = account->ring_full;
}

/*
 * It was used before, and not in this epoch: whatever counts there notes the time, which is not before the epoch has begun. So one cache line
 * tells, and neither what was posted nor what is known of the slot has to be read.
 */
static bool is_idle(const struct iol_accounts *accounts, const struct iol_epoch *epoch, size_t index)
{
    uint64_t last = accounts->kernel.slots[index].epoch[epoch->closed].last;

    return last && last < epoch->from_jiffies;
}

static int post_slot(struct iol_accounts *accounts, const struct iol_epoch *epoch, struct iol_model *model,
                     size_t index, struct iol_batch *batch)
{
    struct slot *slot = &accounts->slots[index];
    struct iol_counts now, delta;

    if (is_idle(accounts, epoch, index))
        return 0;
    now = read_counts(&accounts->kernel.slots[index].epoch[epoch->closed]);
    delta = difference(&now, &accounts->posted[epoch->closed][index]);
    if (is_zero(&delta))
        return 0;
    if (slot->state == SLOT_FREE && adopt_slot(accounts, index, model, batch) < 0)
        return -ENOMEM;
    accounts->posted[epoch->closed][index] = now;
    slot->last_epoch = epoch->number;
    slot->last_ns = epoch->to_ns;
    note_event_losses(accounts, index);
    if (note_change(accounts, index) < 0)
        return -ENOMEM;
    return add_io(accounts, epoch, model, index, &delta, batch);
}

static int release_slot(struct iol_accounts *accounts, size_t index, struct iol_model *model)
{
    struct slot *slot = &accounts->slots[index];

    iol_model_put_process(model, slot->process);
    iol_model_put_file(model, slot->file);
    slot->process = NULL;
    slot->file = NULL;
    slot->state = SLOT_FREE;
    accounts->stats.in_use--;
    return note_slot(&accounts->released, index) < 0 || note_change(accounts, index) < 0 ? -ENOMEM : 0;
}

void iol_accounts_settle(struct iol_accounts *accounts)
{
    struct slot_list *released = &accounts->released;

    /* from the last to the first, as they come off a stack: low indices are used first */
    for (size_t i = 0; i < released->n / 2; i++) {
        uint32_t slot = released->items[i];

        released->items[i] = released->items[released->n - 1 - i];
        released->items[released->n - 1 - i] = slot;
    }
    accounts->kernel.free_slots(accounts->kernel.arg, released->items, released->n);
    released->n = 0;
}

/* Epochs that a live process's account may be idle before its slot is wanted back: none are while there is room. */
static uint64_t idle_limit(const struct iol_accounts *accounts)
{
    size_t used = accounts->stats.in_use, all = accounts->stats.slots - IOL_ABI_ROUTE_SLOTS;

    if (used * 4 < all * 3)
        return UINT64_MAX;
    return used * 8 < all * 7 ? 10 : 1;
}

static int retire_slot(struct iol_accounts *accounts, const struct iol_epoch *epoch, uint64_t limit, size_t index,
                       struct iol_model *model)
{
    struct slot *slot = &accounts->slots[index];

    if (index < IOL_ABI_ROUTE_SLOTS || slot->state == SLOT_FREE)
        return 0;
    if (slot->state == SLOT_REMOVED) {
        accounts->n_removed--;
        return release_slot(accounts, index, model);
    }
    if (!iol_model_process_ended(slot->process) && epoch->number - slot->last_epoch < limit &&
        epoch->to_ns - slot->last_ns < IOL_MODEL_IDLE_NS)
        return 0;
    slot->state = SLOT_REMOVED;
    accounts->n_removed++;
    return note_slot(&accounts->removed, index);
}

/* While nobody has ended and there is room, nothing has to be taken back but what has been idle for very long. */
static bool retiring_is_due(struct iol_accounts *accounts, const struct iol_epoch *epoch, uint64_t limit,
                            const struct iol_model *model)
{
    bool look = epoch->to_ns - accounts->looked_ns >= LOOK_NS;

    if (look)
        accounts->looked_ns = epoch->to_ns;
    return look || accounts->n_removed > 0 || limit != UINT64_MAX || iol_model_some_ended(model);
}

/*
 * Slots are handed out from low indices up, so a long run that was never opened ends the scan. Holes
 * are short: a slot that was taken and handed back unused, one for each CPU at most.
 */
static int post_slots(struct iol_accounts *accounts, const struct iol_epoch *epoch, struct iol_model *model,
                      struct iol_batch *batch)
{
    const struct iol_account *slots = accounts->kernel.slots;
    size_t n = accounts->kernel.n_slots, hole = accounts->kernel.n_cpus + 64;
    uint64_t limit = idle_limit(accounts);
    bool retires = retiring_is_due(accounts, epoch, limit, model);

    for (size_t i = 0, unopened = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(&slots[i + AHEAD].epoch[epoch->closed].last);
        /* the spare slots at the end have their own order */
        if (i == accounts->kernel.first_spare)
            unopened = 0;
        if (!retires && is_idle(accounts, epoch, i)) {
            unopened = 0;
            continue;
        }
        if (i >= IOL_ABI_ROUTE_SLOTS && accounts->slots[i].state == SLOT_FREE && slots[i].opened_ns == 0) {
            if (++unopened <= hole)
                continue;
            if (i >= accounts->kernel.first_spare)
                break;
            i = accounts->kernel.first_spare - 1;
            continue;
        }
        unopened = 0;
        if (post_slot(accounts, epoch, model, i, batch) < 0 ||
            (retires && retire_slot(accounts, epoch, limit, i, model) < 0))
            return -ENOMEM;
    }
    accounts->kernel.remove_accounts(accounts->kernel.arg, accounts->removed.items, accounts->removed.n);
    accounts->removed.n = 0;
    return 0;
}

static void add_counts(struct iol_counts *sum, const struct iol_counts *one)
{
    sum->read_ops += one->read_ops;
    sum->read_bytes += one->read_bytes;
    sum->write_ops += one->write_ops;
    sum->write_bytes += one->write_bytes;
    sum->read_errors += one->read_errors;
    sum->write_errors += one->write_errors;
}

static void add_thread(struct iol_counts *sum, const struct iol_thread *thread, unsigned int closed)
{
    const struct iol_sums *reads = &thread->side[0].tab[closed].total, *writes = &thread->side[1].tab[closed].total;

    add_counts(
        sum, &(struct iol_counts){reads->ops, reads->bytes, writes->ops, writes->bytes, reads->errors, writes->errors});
}

/* What the kernel has counted on a route, by CPUs and, on the hot path, by threads. */
static struct iol_counts sum_kernel(const struct iol_accounts *accounts, unsigned int closed, size_t route)
{
    struct iol_counts sum = {0}, one;

    for (size_t cpu = 0; cpu < accounts->kernel.n_cpus; cpu++) {
        one = read_counts(&accounts->kernel.cpus[cpu].total[closed][route]);
        add_counts(&sum, &one);
    }
    for (size_t i = 0; route == IOL_ABI_ROUTE_RW && i < accounts->kernel.n_threads; i++) {
        if (IOL_WAS_OWNED(accounts->kernel.owned, i))
            add_thread(&sum, &accounts->kernel.threads[i], closed);
    }
    return sum;
}

/* These are not kept by epoch: they belong to no row. */
static void post_ignored(struct iol_accounts *accounts)
{
    struct iol_sums now = {0};

    for (size_t i = 0; i < accounts->kernel.n_threads; i++) {
        if (!IOL_WAS_OWNED(accounts->kernel.owned, i))
            continue;
        for (size_t direction = 0; direction < 2; direction++) {
            now.ops += accounts->kernel.threads[i].side[direction].ignored.ops;
            now.bytes += accounts->kernel.threads[i].side[direction].ignored.bytes;
        }
    }
    accounts->stats.ignored_ops += now.ops - accounts->ignored.ops;
    accounts->stats.ignored_bytes += now.bytes - accounts->ignored.bytes;
    accounts->ignored = now;
}

static int post_totals(struct iol_accounts *accounts, const struct iol_epoch *epoch, const struct iol_model *model,
                       struct iol_batch *batch)
{
    for (size_t route = 0; route < IOL_ABI_ROUTE_SLOTS; route++) {
        struct iol_counts now = sum_kernel(accounts, epoch->closed, route);
        struct iol_counts delta = difference(&now, &accounts->totals[epoch->closed][route]);
        struct iol_total *row;

        if (is_zero(&delta))
            continue;
        accounts->totals[epoch->closed][route] = now;
        if (route == IOL_ABI_EXCLUDED) {
            accounts->stats.excluded_ops += delta.read_ops + delta.write_ops;
            accounts->stats.excluded_bytes += delta.read_bytes + delta.write_bytes;
            continue;
        }
        if (route == IOL_ABI_IGNORED) {
            accounts->stats.ignored_ops += delta.read_ops + delta.write_ops;
            accounts->stats.ignored_bytes += delta.read_bytes + delta.write_bytes;
            continue;
        }
        add_counts(&accounts->stats.totals[route], &delta);
        row = iol_batch_add(batch, IOL_TABLE_TOTAL);
        if (!row)
            return -ENOMEM;
        *row = (struct iol_total){
            .ts = iol_model_time(model, epoch->to_ns),
            .interval_ms = interval_ms(epoch),
            .host_id = accounts->host_id,
            .route = (int64_t)route,
            .read_ops = (int64_t)delta.read_ops,
            .read_bytes = (int64_t)delta.read_bytes,
            .write_ops = (int64_t)delta.write_ops,
            .write_bytes = (int64_t)delta.write_bytes,
            .read_errors = (int64_t)delta.read_errors,
            .write_errors = (int64_t)delta.write_errors,
        };
    }
    return 0;
}

static int add_loss(const struct iol_accounts *accounts, const struct iol_epoch *epoch, const struct iol_model *model,
                    const char *reason, uint64_t lost, struct iol_batch *batch)
{
    struct iol_loss *row = lost ? iol_batch_add(batch, IOL_TABLE_LOSS) : NULL;

    if (!row)
        return lost ? -ENOMEM : 0;
    *row = (struct iol_loss){
        .ts_from = iol_model_time(model, epoch->from_ns),
        .ts_to = iol_model_time(model, epoch->to_ns),
        .host_id = accounts->host_id,
        .reason = reason,
        .lost = (int64_t)lost,
    };
    return reason ? 0 : -ENOMEM;
}

/* Events that were left out are told process by process. */
static int post_event_losses(struct iol_accounts *accounts, const struct iol_epoch *epoch,
                             const struct iol_model *model, struct iol_batch *batch)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < EVENT_LOSSES_MAX; i++) {
        const struct event_loss *one = &accounts->event_losses[i];

        if (one->over_budget)
            r = add_loss(accounts, epoch, model,
                         iol_model_loss_of(one->process, iol_lost_reason(IOL_LOST_OVER_BUDGET), batch),
                         one->over_budget, batch);
        if (r == 0 && one->ring_full)
            r = add_loss(accounts, epoch, model,
                         iol_model_loss_of(one->process, iol_lost_reason(IOL_LOST_RING_EVENTS), batch), one->ring_full,
                         batch);
    }
    memset(accounts->event_losses, 0, sizeof(accounts->event_losses));
    accounts->n_event_losses = 0;
    return r;
}

/* What the kernel counts itself: nothing when its programs are out of reach. */
static uint64_t at_least(uint64_t before, uint64_t now)
{
    return now > before ? now : before;
}

static int post_losses(struct iol_accounts *accounts, const struct iol_epoch *epoch, const struct iol_model *model,
                       struct iol_batch *batch)
{
    for (size_t reason = 0; reason < IOL_LOST_COUNT; reason++) {
        uint64_t sum = 0, before = accounts->lost[reason];

        if (reason == IOL_LOST_LEFT_OUT)
            sum = at_least(before, epoch->left_out_calls);
        if (reason == IOL_LOST_PROCESSES_LEFT_OUT)
            sum = at_least(before, epoch->left_out_processes);
        for (size_t cpu = 0; cpu < accounts->kernel.n_cpus; cpu++)
            sum += accounts->kernel.cpus[cpu].lost[reason];
        accounts->lost[reason] = sum;
        accounts->stats.lost[reason] += sum - before;
        if (reason == IOL_LOST_OVER_BUDGET || reason == IOL_LOST_RING_EVENTS)
            continue;
        if (add_loss(accounts, epoch, model, iol_lost_reason(reason), sum - before, batch) < 0)
            return -ENOMEM;
    }
    return post_event_losses(accounts, epoch, model, batch);
}

int iol_accounts_post(struct iol_accounts *accounts, const struct iol_epoch *epoch, struct iol_model *model,
                      struct iol_batch *batch)
{
    if (post_slots(accounts, epoch, model, batch) < 0 || post_totals(accounts, epoch, model, batch) < 0 ||
        post_losses(accounts, epoch, model, batch) < 0)
        return -ENOMEM;
    post_ignored(accounts);
    return 0;
}

void iol_accounts_get_stats(const struct iol_accounts *accounts, struct iol_account_stats *ret_stats)
{
    *ret_stats = accounts->stats;
}
