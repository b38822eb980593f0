/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * The hooks of the probe set fexit, at the ends of the functions behind system calls. For ioledger.bpf.c, which has what they lead to:
 * read_or_write() and other_call().
 */

/* What a program at the end of a kernel function gets: the function's only argument, and what it has returned. */
struct call_end {
    const struct pt_regs *regs;
    __s64 result;
};

/* The same as sys_exit tells it, with an address that is a number. */
struct told_call {
    __u64 args[2];
};

static __always_inline struct bpf_raw_tracepoint_args *tell_call(struct call_end *ctx, struct told_call *ret_told)
{
    ret_told->args[0] = first_argument(ctx, ctx->regs);
    ret_told->args[1] = ctx->result;
    return (struct bpf_raw_tracepoint_args *)ret_told;
}

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
 * The probe set `fexit`: the end of the function behind a system call, of the calls in capture/probes.c and of no others. Neither
 * of these is attached itself: what is attached to each function is a program of a few instructions that jumps here.
 */
SEC("fexit/__x64_sys_read")
int on_call(struct call_end *ctx)
{
    struct told_call told;
    struct bpf_raw_tracepoint_args *args = tell_call(ctx, &told);
    bool is_read;

    KEEP_KERNEL_STACK(ctx, &full_call, &told);
    control.address = address_of_base(told.args[0], ctx->regs, &control);
    if (syscall_is_native_rw(syscall_number(AS(pt_regs, told.args[0])), &is_read) &&
        (control.halted || read_or_write(args, AS(pt_regs, told.args[0]), is_read) != NOT_COUNTED))
        return 0;
    return other_call(args);
}

/* The shortest way through one_way(), and through nothing else of it; false when it is not open, and nothing was counted. */
static __always_inline bool count_quickly(struct call_end *ctx, __u32 direction)
{
    __u64 mixed = mixed_stack(quick_address(ctx, ctx->regs, &control, control.address) >> STACK_SHIFT);
    struct iol_thread *place = place_of(mixed);
    struct iol_side *side = &place->side[direction];
    __u64 task, found, epoch;
    struct iol_tab *tab;

    if (*(volatile __u64 *)&place->untraced == mixed)
        return true;
    task = *(volatile __u64 *)&place->task; /* read once: it must be what is checked */
    found = *(volatile __u64 *)&side->slot;
    epoch = current_epoch();
    tab = &side->tab[epoch & 1];
    if ((side->descriptor_check ^ found) != name_descriptor(mixed, task, FIRST_ARGUMENT_32(ctx->regs)) ||
        *(volatile __u64 *)&place->owner != mixed || tab->account != (epoch << 32 | IOL_TAB_OPEN | found) ||
        found >= FOUND(0, IOL_VERDICT_AGGREGATE + 1))
        return false;
    tab->last = bpf_jiffies64();
    sums_add(&tab->sums, ctx->result);
    sums_add(&side->total[epoch & 1], ctx->result);
    return true;
}

_Static_assert(IOL_VERDICT_AGGREGATE == 0, "a number below FOUND(0, 1) is one of an account that is aggregated");

/* The calls that are made most: no 32-bit program comes here. */
#define QUICK_CALL(name, direction)                                                                                    \
    SEC("fexit/__x64_sys_" #name)                                                                                      \
    int on_##name(struct call_end *ctx)                                                                                \
    {                                                                                                                  \
        if (!count_quickly(ctx, direction))                                                                            \
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
    struct told_call told;
    struct bpf_raw_tracepoint_args *args = tell_call(ctx, &told);

    KEEP_KERNEL_STACK(ctx, &other_full_call, &told);
    return other_call(args);
}

/*
 * One hook for all calls that are rare, or for all of them where a thread could be preempted within the others: this one runs with
 * preemption off. Not loaded where there is no such thing.
 */
SEC("kretprobe.multi")
int on_calls(struct pt_regs *ctx)
{
    struct told_call told = {
        {address_now((const void *)bpf_task_pt_regs(bpf_get_current_task_btf()), &control, &control.address),
         function_result(ctx)}};
    struct bpf_raw_tracepoint_args *args = (struct bpf_raw_tracepoint_args *)&told;
    bool is_read;

    if (syscall_is_native_rw(syscall_number(AS(pt_regs, told.args[0])), &is_read) &&
        (control.halted || read_or_write(args, AS(pt_regs, told.args[0]), is_read) != NOT_COUNTED))
        return 0;
    return other_call(args);
}
