/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* Posting an operation: to the kernel's totals, to its account, and to the ring buffer when a rule asks for events. */
#include "bpf/account.bpf.h"

#define NS_PER_S 1000000000ULL

/* Kinds of events, as in core/row.h (asserted in core/decode.c). */
#define EVENT_READ 4
#define EVENT_WRITE 5
#define EVENT_MMAP 6

static __always_inline bool within_budget(struct budget *budget, __u64 second, __u32 limit)
{
    if (!limit)
        return true;
    if (budget->second < second) { /* a program that read the clock before another one does not go back */
        budget->second = second;
        budget->used = 0;
    }
    if (budget->used >= limit)
        return false;
    __sync_fetch_and_add(&budget->used, 1);
    return true;
}

/* Of the process first, so that one that asks for too much leaves the others theirs. */
static __always_inline bool may_send_event(__u64 image, __u64 second)
{
    struct budget *budget, fresh = {};
    struct iol_rules *rule;
    __u32 zero = 0;

    rule = rules_of(control.rules);
    if (!rule)
        return true;
    if (rule->event_budget_process) {
        budget = bpf_map_lookup_elem(&budgets, &image);
        if (!budget) {
            bpf_map_update_elem(&budgets, &image, &fresh, BPF_NOEXIST);
            budget = bpf_map_lookup_elem(&budgets, &image);
        }
        if (budget && !within_budget(budget, second, rule->event_budget_process))
            return false;
    }
    budget = bpf_map_lookup_elem(&whole_budget, &zero);
    return !budget || within_budget(budget, second, rule->event_budget);
}

/* The current thread, or 0 when it is none of the process's: a request of io_uring may end in any. */
static __always_inline __u32 tid_within(__u64 image)
{
    return image_of(current_task()) == image ? (__u32)bpf_get_current_pid_tgid() : 0;
}

/*
 * The operation as an event, when the verdict on its account wants it: one in N is drawn, each with the same chance, so
 * that the sum of weights is an unbiased estimate whatever the pattern of the operations is.
 */
__noinline int send_event(__u32 index, __u64 image, __u32 direction, __s64 offset, __s64 result)
{
    struct iol_account *slot = bpf_map_lookup_elem(&slots, &index);
    struct iol_record_event record = {.head = {.type = IOL_RECORD_EVENT, .size = sizeof(record)}};

    if (!slot)
        return 0;
    record.weight = slot->verdict == IOL_VERDICT_SAMPLE ? slot->sample : 1;
    if (record.weight > 1 && (__u64)bpf_get_prandom_u32() * record.weight >> 32)
        return 0;
    record.head.ts = bpf_ktime_get_boot_ns();
    if (!may_send_event(image, record.head.ts / NS_PER_S)) {
        __sync_fetch_and_add(&slot->over_budget, 1);
        count_lost(IOL_LOST_OVER_BUDGET, 1);
        return 0;
    }
    record.image = image;
    record.file = slot->file;
    record.kind = direction == DIRECTION_READ ? EVENT_READ : EVENT_WRITE;
    if (slot->route == IOL_ABI_ROUTE_MMAP)
        record.kind = EVENT_MMAP;
    record.tid = tid_within(image);
    record.offset = offset;
    record.result = result;
    if (ring_send_event(&record, sizeof(record))) {
        __sync_fetch_and_add(&slot->ring_full, 1);
        count_lost(IOL_LOST_RING_EVENTS, 1);
    }
    return 0;
}

/*
 * The epoch that an operation belongs to: read once, for total and account, and before the path is looked at, so that it
 * is one that the path was right in.
 */
static __always_inline __u64 current_epoch(void)
{
    return *(const volatile __u64 *)&control.epoch;
}

#define HOW(route, direction) ((route) << 1 | (direction))

/* One side of an operation on the account that was found: total and account in the same epoch. */
__noinline int tally(int found, __u64 epoch, __u32 how, __s64 result)
{
    __u32 route = how >> 1, direction = how & 1, index = FOUND_SLOT(found);
    struct iol_account *slot;

    if (found >= 0 && FOUND_VERDICT(found) == IOL_VERDICT_IGNORE)
        route = IOL_ABI_IGNORED;
    total_add(epoch, route, direction, result);
    slot = found >= 0 && route != IOL_ABI_IGNORED ? bpf_map_lookup_elem(&slots, &index) : NULL;
    if (slot)
        slot_add(slot, epoch, control.epoch_start, direction, result);
    return 0;
}

/* Finds the account, or opens it, announcing its process first if that has not been done. */
static __always_inline int find_or_open_named(__u64 image, __u64 task, __u64 file, __u32 route, __u64 name)
{
    int found = find_account(image, task, file, route, name);

    if (found == FOUND_UNANNOUNCED || found == FOUND_OUTDATED_UNANNOUNCED)
        announce_task(image, task);
    if (found <= FOUND_UNOPENED)
        found = open_account(image, task, file, found >= FOUND_UNANNOUNCED ? route | NO_ACCOUNT : route, name);
    if (found == FOUND_NO_SCRATCH)
        found = open_blindly(image, file, route, name);
    return found;
}

static __always_inline int find_or_open(__u64 image, __u64 task, __u64 file, __u32 route)
{
    return find_or_open_named(image, task, file, route, name_file_aside(file));
}

static __always_inline bool wants_events(int found)
{
    return found >= 0 && (FOUND_VERDICT(found) == IOL_VERDICT_EVERY || FOUND_VERDICT(found) == IOL_VERDICT_SAMPLE);
}

static __always_inline void post_found(int found, __u64 epoch, __u64 image, __u32 how, __s64 offset, __s64 result)
{
    tally(found, epoch, how, result);
    if (wants_events(found))
        send_event(FOUND_SLOT(found), image, how & 1, offset, result);
}

/* All of it, for whatever is not on the hot path. `file` is an address, 0: no open file; offset -1: unknown. */
static __always_inline void post(__u64 image, __u64 task, __u64 file, __u32 how, __s64 offset, __s64 result)
{
    __u64 epoch = current_epoch();

    post_found(find_or_open(image, task, file, how >> 1), epoch, image, how, offset, result);
}

/* Accounts look at their paths again: one of the names above them may be another now. */
static __always_inline void count_rename(void)
{
    __sync_fetch_and_add(&control.renames, 1);
    __sync_fetch_and_add(&control.changes, IOL_CHANGE);
}

/* A file that is open may be deleted now. */
static __always_inline void count_unlink(void)
{
    __sync_fetch_and_add(&control.changes, IOL_CHANGE);
}
