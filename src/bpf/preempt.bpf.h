/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Hooks that run with preemption off, for kernels where a tracepoint's programs do not: a46023d5616e "tracing: Guard
 * __DECLARE_TRACE() use of __DO_TRACE_CALL() with SRCU-fast", 7.0. There a thread can be preempted within a program, and
 * as long as it is away from the CPU the kernel leaves that program out for all others that come by: whole time slices of calls.
 * A program of the tracepoint's event for perf has preemption off: 16718274ee75 "tracing: perf: Have perf tracepoint callbacks
 * always disable preemption"; so has one at the beginning of a function (kprobe.multi, as ftrace runs it). What an event hands over
 * stands in events/…/format of tracefs, and begins with eight bytes that all of them have.
 */
#include "bpf/hot.bpf.h"
#include "bpf/process_hooks.bpf.h"
#include "bpf/uring.bpf.h"

struct sys_exit_event {
    __u64 common;
    __s64 number;
    __s64 result;
};

SEC("tp/raw_syscalls/sys_exit")
int on_sys_exit_event(const struct sys_exit_event *ctx)
{
    __u32 nr = plain_number(ctx->number);
    const struct task_struct *task;
    const struct pt_regs *regs;
    struct told_call call;

    /* first of all, as what is of no interest need not know its registers */
    if (!syscall_is_native(nr, true) && !syscall_is_native(nr, false) && !syscall_is_of_interest(nr))
        return 0;
    task = bpf_get_current_task_btf();
    regs = (const struct pt_regs *)bpf_task_pt_regs((struct task_struct *)task);
    tell(&call, regs, ctx->result);
    if (syscall_is_compat(task))
        return other_call(&call);
    return end_of_call((struct hot_call){NULL, &call, regs, true, true}, nr);
}

struct uring_complete_event {
    __u64 common;
    __u64 ring;
    __u64 request;
    __u64 user_data;
    __s32 result;
    __u32 flags;
};

SEC("tp/io_uring/io_uring_complete")
int on_uring_complete_event(const struct uring_complete_event *ctx)
{
    const struct completion what = {ctx->request, ctx->ring, ctx->user_data, ctx->result};

    complete_request(&what, false);
    return 0;
}

struct uring_overflow_event {
    __u64 common;
    __u64 ring;
    __u64 user_data;
    __s32 result;
    __u32 flags;
};

SEC("tp/io_uring/io_uring_cqe_overflow")
int on_uring_overflow_event(const struct uring_overflow_event *ctx)
{
    const struct completion what = {0, ctx->ring, ctx->user_data, ctx->result};

    complete_request(&what, true);
    return 0;
}

struct uring_submit_event {
    __u64 common;
    __u64 ring;
    __u64 request;
};

SEC("tp/io_uring/io_uring_submit_req")
int on_uring_submit_event(const struct uring_submit_event *ctx)
{
    submit_request(ctx->request);
    return 0;
}

/* kernel_clone() of kernel/fork.c calls it right after the tracepoint; a thread of io_uring comes here too. */
SEC("kprobe.multi/wake_up_new_task")
int on_fork_call(struct pt_regs *ctx)
{
    return forked(current_task(), AS(task_struct, function_argument(ctx)));
}

/* The last thing that a loader of binaries does before the new program can start (fs/exec.c). */
SEC("kprobe.multi/finalize_exec")
int on_exec_call(struct pt_regs *ctx)
{
    (void)ctx;
    return executed(current_task());
}

/* do_exit() of kernel/exit.c calls it soon after the tracepoint; for a process that is not born, after all, its group is not dead. */
SEC("kprobe.multi/exit_files")
int on_exit_call(struct pt_regs *ctx)
{
    return exited(AS(task_struct, function_argument(ctx)));
}
