/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * The hooks of the probe set fexit, at the ends of the functions behind system calls, which lead to end_of_call() and other_call().
 * A program gets the function's only argument, the registers, and what it has returned.
 */
#include "bpf/hot.bpf.h"

/*
 * on_call and on_other_call, for what jumps there. From 5.5 on a jump to a fixed place costs no look-up: the JIT writes it as
 * one. Two arrays, as from 6.12 on all programs in one have functions of one type.
 */
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
} full_call SEC(".maps"), other_full_call SEC(".maps");

/*
 * The probe set `fexit`: the end of the function behind a system call, of the calls in capture/probes_calls.c and of no others. Neither
 * of these is attached itself: what is attached to each function is a program of a few instructions that jumps here. Reads and
 * writes end here when the recording does.
 */
static __always_inline int end_of_function(struct told_call *call, const struct pt_regs *regs, bool native)
{
    __u32 nr = plain_number(typed_number(regs));

    if (control.halted && (syscall_is_native(nr, true) || syscall_is_native(nr, false)))
        return 0;
    return end_of_call((struct hot_call){NULL, call, regs, native, true}, nr);
}

SEC("fexit/__x64_sys_read")
int on_call(struct call_end *ctx)
{
    struct told_call call;

    tell(&call, ctx->regs, ctx->result);
    KEEP_KERNEL_STACK(ctx, &full_call, &call);
    return end_of_function(&call, ctx->regs, false);
}

/* The shortest way through one_way(), and through nothing else of it. The clock is read first, as a call keeps nothing in registers. */
static __always_inline bool end_quickly(struct call_end *ctx, __u32 direction)
{
    __u64 now = bpf_jiffies64();
    const struct hot_call hot = {ctx, NULL, NULL, true, false};
    struct iol_thread *place = place_of(lower_registers_of(hot));

    barrier_var(place);
    if (count_quickly(hot, place, direction, &now))
        return true;
    place = place_of(lower_registers_of(hot));
    return registers_are_at(hot, *(volatile __u64 *)&place->untraced);
}

/* The calls that are made most: no 32-bit program comes here. */
#define QUICK_CALL(name, direction)                                                                                    \
    SEC("fexit/__x64_sys_" #name)                                                                                      \
    int on_##name(struct call_end *ctx)                                                                                \
    {                                                                                                                  \
        if (!end_quickly(ctx, direction))                                                                              \
            bpf_tail_call(ctx, &full_call, 0);                                                                         \
        return 0;                                                                                                      \
    }

QUICK_CALL(read, DIRECTION_READ)
QUICK_CALL(pread64, DIRECTION_READ)
QUICK_CALL(readv, DIRECTION_READ)
QUICK_CALL(write, DIRECTION_WRITE)
QUICK_CALL(pwrite64, DIRECTION_WRITE)
QUICK_CALL(writev, DIRECTION_WRITE)

/* For functions that BTF gives another type than read's: from 6.12 on a jump may not lead from one type to another. */
SEC("fexit/__x64_sys_io_submit")
int on_other_call(struct call_end *ctx)
{
    struct told_call call;

    tell(&call, ctx->regs, ctx->result);
    KEEP_KERNEL_STACK(ctx, &other_full_call, &call);
    return other_call(&call);
}

/*
 * One hook for all calls that are rare, or for all of them where a thread could be preempted within the others: this one runs with
 * preemption off. Not loaded where there is no such thing.
 */
SEC("kretprobe.multi")
int on_calls(struct pt_regs *ctx)
{
    const struct task_struct *task = bpf_get_current_task_btf();
    const struct pt_regs *regs = (const struct pt_regs *)bpf_task_pt_regs((struct task_struct *)task);
    struct told_call call;

    tell(&call, regs, function_result(ctx));
    return end_of_function(&call, regs, false);
}
