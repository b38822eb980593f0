/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Threads as the hot path finds them: by the address of their registers, which are always at the same place of their kernel stack
 * (task_pt_regs()), and which a program at sys_exit has in its hand, while the current task costs a call into another part of the
 * kernel. What is kept is right until the stack gets another thread (fork), or the thread another image or another verdict (exec,
 * cgroup): then it is forgotten.
 */
#include "bpf/process.bpf.h"

/* How far from the beginning of a stack they are. */
__u64 registers_offset;

/* What is known of the current thread; `image` and `task` (an address) only when its standing is traced. */
struct thread {
    struct iol_thread *place;
    __u64 registers; /* their address */
    __u64 image;
    __u64 task;
    __u64 standing; /* enum iol_standing */
    __u64 slept;    /* it may have left the CPU during the call: see descriptor.bpf.h */
};

/* Stacks of 16 KiB are aligned to as much, and have a page between them (VMAP_STACK): so no two of them begin within 32 KiB. */
#define PLACE_SHIFT 15

/* `registers`: their address, the lower half of which does. No hash: stacks are mostly side by side, and have a place each then. */
static __always_inline struct iol_thread *place_of(__u32 registers)
{
    __u64 offset = registers >> (PLACE_SHIFT - 10) & (IOL_THREADS - 1) << 10;

    return (struct iol_thread *)((char *)threads + offset);
}

_Static_assert(sizeof(struct iol_thread) == 1 << 10, "the shift of place_of()");

static __always_inline __u64 thread_check(__u64 registers, __u64 image, __u64 task, __u64 standing)
{
    return registers * MIX_A ^ image ^ task ^ standing << 60;
}

static __always_inline __u64 standing_of(const struct task_struct *task)
{
    __u32 tgid = LOAD(task, tgid);
    struct iol_task *known;

    if (tgid == control.self_tgid)
        return IOL_STANDING_EXCLUDED;
    if (!settings.filter)
        return IOL_STANDING_TRACED;
    known = find_task(tgid);
    if (!known)
        return settings.filter == IOL_FILTER_ANY ? IOL_STANDING_TRACED : IOL_STANDING_UNTRACED;
    if (known->bits & IOL_TASK_EXCLUDED)
        return IOL_STANDING_EXCLUDED;
    return known->bits & IOL_TASK_TRACED ? IOL_STANDING_TRACED : IOL_STANDING_UNTRACED;
}

/* What the thread's descriptors lead to may be another file from here on. */
static __always_inline void forget_descriptors(struct iol_thread *place)
{
    place->descriptor_check[0] = 0;
    place->descriptor_check[1] = 0;
    place->descriptor_check[IOL_SIDE_BEFORE] = 0;
    place->descriptor_check[IOL_SIDE_BEFORE + 1] = 0;
}

/*
 * The thread is not the one of its place: looks who it is, and writes that there. A function: its stack is free again
 * afterwards.
 */
static __noinline void identify(struct thread *thread, __u64 registers, struct iol_thread *place)
{
    const struct task_struct *task = current_task();

    thread->task = address_of(task);
    registers_offset = registers - address_of(LOAD(task, stack));
    thread->image = image_of(task);
    thread->standing = standing_of(task);
    place->switches = ~0ULL;
    place->image = thread->image;
    place->task = thread->task;
    place->standing = thread->standing;
    place->check = thread_check(registers, thread->image, thread->task, thread->standing);
    place->untraced = thread->standing == IOL_STANDING_UNTRACED ? registers : 0;
    if (thread->standing != IOL_STANDING_TRACED)
        forget_descriptors(place); /* the shortest way looks at them first */
    /* another CPU may have judged the process meanwhile, and have found nothing to forget */
    if (standing_of(task) != thread->standing) {
        place->check = 0;
        place->untraced = 0;
    }
}

/* Whose registers these are. */
static __always_inline void find_thread(__u64 registers, struct thread *ret_thread)
{
    struct iol_thread *place = place_of(registers);

    ret_thread->place = place;
    ret_thread->registers = registers;
    ret_thread->slept = 0;
    ret_thread->image = *(volatile __u64 *)&place->image; /* read once: they must be what is checked */
    ret_thread->task = *(volatile __u64 *)&place->task;
    ret_thread->standing = *(volatile __u64 *)&place->standing;
    if (place->check != thread_check(registers, ret_thread->image, ret_thread->task, ret_thread->standing))
        identify(ret_thread, registers, place);
}

/* What was noted when the thread fell asleep, if anything. Most places never have a thread that leaves a note. */
static __always_inline void drop_note(struct iol_thread *place, __u64 registers)
{
    if (place->asleep && !bpf_map_delete_elem(&asleep, &registers))
        __sync_fetch_and_add(&place->asleep, -1);
}

/* The task has a new stack, or something else of what is kept of it has changed. */
static __always_inline void forget_thread(const struct task_struct *task)
{
    __u64 registers = address_of(LOAD(task, stack)) + registers_offset;
    struct iol_thread *place = place_of(registers);

    drop_note(place, registers); /* of one that was killed in its sleep */
    forget_descriptors(place);
    if (place->untraced == registers)
        place->untraced = 0;
    if (place->check == thread_check(registers, place->image, place->task, place->standing))
        place->check = 0;
}
