// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The hooks of both probe sets. What they do stands in the headers they include. */
#include "bpf/fexit.bpf.h"
#include "bpf/handback.bpf.h"
#include "bpf/hot.bpf.h"
#include "bpf/preempt.bpf.h"

SEC("tp_btf/sys_exit")
int on_sys_exit(struct call_end *ctx)
{
    struct told_call call;

    return end_of_call((struct hot_call){ctx, &call, NULL, false, false}, typed_number(ctx->regs));
}

/* Sleeping inside a call: see descriptor.bpf.h. Not loaded where bpf_task_pt_regs() (5.15) is missing. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
    const struct pt_regs *regs;

    if (!prev->mm || !prev->files || prev->files->count.counter < 2)
        return 0;
    regs = (const struct pt_regs *)bpf_task_pt_regs(prev);
    if (!regs)
        return 0;
    fall_asleep(address_of(regs), preempt);
    return 0;
}

/* Run by user space (BPF_PROG_TEST_RUN) to read the two clocks at one moment. */
struct iol_clock clock_now SEC(".data.clock");

SEC("raw_tp/sys_enter")
int on_clock(void *ctx)
{
    (void)ctx;
    clock_now.jiffies = bpf_jiffies64();
    clock_now.boot_ns = bpf_ktime_get_boot_ns();
    clock_now.tgid = bpf_get_current_pid_tgid() >> 32;
    /* it may have been taken for one of those that are recorded, before it took over */
    forget_thread(current_task());
    return 0;
}
