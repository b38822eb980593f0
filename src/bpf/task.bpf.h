/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * From a pid to what is known of the process: in the place that its lower bits lead to, or, when another process has that, in a hash table. Pids
 * are handed out one after the other, so that the places of new processes are side by side.
 */
#include "bpf/maps.bpf.h"

static __always_inline struct iol_task *task_place(__u32 tgid)
{
    __u32 place = tgid & (IOL_TASK_PLACES - 1);

    return bpf_map_lookup_elem(&task_places, &place);
}

/* NULL: nothing is known of it. */
static __always_inline struct iol_task *find_task(__u32 tgid)
{
    struct iol_task *place = task_place(tgid);

    if (place && *(volatile __u32 *)&place->tgid == tgid)
        return place;
    return *(volatile __u32 *)&control.tasks_elsewhere ? bpf_map_lookup_elem(&tasks, &tgid) : NULL;
}

/* A process of which nothing is known so far; not 0: there is no room for it. */
static __always_inline long add_task(const struct iol_task *task)
{
    struct iol_task *place = task_place(task->tgid);
    long error;

    if (place && !*(volatile __u32 *)&place->tgid && try_claim(&place->tgid, IOL_TASK_CLAIMED)) {
        place->image = task->image;
        place->bits = task->bits;
        place->location = task->location;
        place->traits = task->traits;
        publish_word(&place->tgid, task->tgid);
        return 0;
    }
    /* counted before it is there: who does not see this does not look there */
    __sync_fetch_and_add(&control.tasks_elsewhere, 1);
    error = bpf_map_update_elem(&tasks, &task->tgid, task, BPF_NOEXIST);
    if (error)
        __sync_fetch_and_add(&control.tasks_elsewhere, -1);
    return error;
}

/*
 * A process that is known keeps its place. Its image first: who reads the two in between finds the bits of the image before, of which the
 * filters' are the ones that it was used by until then.
 */
static __always_inline void remember_task(const struct iol_task *task)
{
    struct iol_task *known = find_task(task->tgid);

    if (known) {
        *(volatile __u64 *)&known->image = task->image;
        *(volatile __u32 *)&known->bits = task->bits;
        known->location = task->location;
        known->traits = task->traits;
        return;
    }
    if (add_task(task))
        count_lost(settings.filter & ~IOL_FILTER_ANY ? IOL_LOST_TASKS_UNJUDGED : IOL_LOST_TASKS_FULL, 1);
}

/* The process is no more. -1: nothing was known of it. */
static __always_inline long forget_task(__u32 tgid)
{
    struct iol_task *place = task_place(tgid);
    bool found = place && *(volatile __u32 *)&place->tgid == tgid;

    if (found)
        *(volatile __u32 *)&place->tgid = 0;
    if (found && !*(volatile __u32 *)&control.tasks_elsewhere)
        return 0;
    if (bpf_map_delete_elem(&tasks, &tgid))
        return found ? 0 : -1;
    __sync_fetch_and_add(&control.tasks_elsewhere, -1);
    return 0;
}
