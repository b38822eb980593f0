/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Threads as the hot path finds them: by the address of their kernel stack, which a program at sys_exit has in its hand,
 * while the current task costs a call into another part of the kernel. What is kept is right until the stack gets another
 * thread (fork), or the thread another image or another verdict (exec, cgroup): then it is forgotten.
 */
#include "bpf/process.bpf.h"

#define STACK_SHIFT 14 /* stacks are aligned to at least 16 KiB (THREAD_ALIGN) */

/* Which piece of a stack the registers are in: 0, or more where stacks are larger than 16 KiB (KASAN, large pages). */
__u64 registers_piece;

/* What is known of the current thread; `image` and `task` (an address) only when its standing is traced. */
struct thread {
    struct iol_thread *place;
    __u64 stack; /* its address, shifted */
    __u64 image;
    __u64 task;
    __u64 standing; /* enum iol_standing */
    __u64 slept;    /* it may have left the CPU during the call: see descriptor.bpf.h */
};

static __always_inline __u64 mixed_stack(__u64 stack)
{
    return stack * MIX_A;
}

static __always_inline struct iol_thread *place_of(__u64 mixed)
{
    return &threads[mixed >> 52];
}

_Static_assert(IOL_THREADS == 1 << (64 - 52), "the shift of place_of()");

static __always_inline __u64 thread_check(__u64 stack, __u64 image, __u64 task, __u64 standing)
{
    return stack ^ image ^ task ^ standing << 60;
}

static __always_inline __u64 standing_of(const struct task_struct *task)
{
    __u32 tgid = LOAD(task, tgid);
    struct iol_task *known;

    if (tgid == control.self_tgid)
        return IOL_STANDING_EXCLUDED;
    if (!settings.filter)
        return IOL_STANDING_TRACED;
    known = bpf_map_lookup_elem(&tasks, &tgid);
    if (!known)
        return settings.filter == IOL_FILTER_ANY ? IOL_STANDING_TRACED : IOL_STANDING_UNTRACED;
    if (known->bits & IOL_TASK_EXCLUDED)
        return IOL_STANDING_EXCLUDED;
    return known->bits & IOL_TASK_TRACED ? IOL_STANDING_TRACED : IOL_STANDING_UNTRACED;
}

/*
 * The thread is not the one of its place: looks who it is, and writes that there. A function: its stack is free again
 * afterwards.
 */
static __noinline void identify(struct thread *thread, __u64 stack, struct iol_thread *place)
{
    thread->task = bpf_get_current_task();
    registers_piece = stack - (LOAD_ADDRESS(task_struct, thread->task, stack) >> STACK_SHIFT);
    thread->image = image_of(AS(task_struct, thread->task));
    thread->standing = standing_of(AS(task_struct, thread->task));
    place->switches = ~0ULL;
    place->image = thread->image;
    place->task = thread->task;
    place->standing = thread->standing;
    place->check = thread_check(stack, thread->image, thread->task, thread->standing);
    place->untraced = thread->standing == IOL_STANDING_UNTRACED ? mixed_stack(stack) : 0;
    /* another CPU may have judged the process meanwhile, and have found nothing to forget */
    if (standing_of(AS(task_struct, thread->task)) != thread->standing) {
        place->check = 0;
        place->untraced = 0;
    }
}

/* Who runs on this stack. */
static __always_inline void find_thread(__u64 registers, struct thread *ret_thread)
{
    __u64 stack = registers >> STACK_SHIFT;
    struct iol_thread *place = place_of(mixed_stack(stack));

    ret_thread->place = place;
    ret_thread->stack = stack;
    ret_thread->slept = 0;
    ret_thread->image = *(volatile __u64 *)&place->image; /* read once: they must be what is checked */
    ret_thread->task = *(volatile __u64 *)&place->task;
    ret_thread->standing = *(volatile __u64 *)&place->standing;
    if (place->check != thread_check(stack, ret_thread->image, ret_thread->task, ret_thread->standing))
        identify(ret_thread, stack, place);
}

/* What the thread's descriptors lead to may be another file from here on. */
static __always_inline void forget_descriptors(struct iol_thread *place)
{
    place->side[0].descriptor_check = 0;
    place->side[1].descriptor_check = 0;
}

/* The task has a new stack, or something else of what is kept of it has changed. */
static __always_inline void forget_thread(struct task_struct *task)
{
    __u64 stack = ((__u64)BPF_CORE_READ(task, stack) >> STACK_SHIFT) + registers_piece;
    struct iol_thread *place = place_of(mixed_stack(stack));

    bpf_map_delete_elem(&asleep, &stack); /* of one that was killed in its sleep */
    forget_descriptors(place);
    if (place->untraced == mixed_stack(stack))
        place->untraced = 0;
    if (place->check == thread_check(stack, place->image, place->task, place->standing))
        place->check = 0;
}
