/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Every difference between kernels and between architectures stands here, each with its commit.
 *
 * The source is built twice. The modern object needs kernel 6.2 and loads kernel memory directly;
 * the legacy one (IOL_BPF_LEGACY, from 5.10 on) reads it through bpf_probe_read_kernel().
 */
#include "bpf/kernel.h"

/*
 * Stack: before 6.13 a chain of calls has 512 bytes in all, each function rounded up to 32, and 8 frames.
 * "bpf: Enable private stack for eligible subprogs", 6.13, gives a function on x86 a stack of its own, so
 * that a newer kernel does not notice when a chain has become too long: tests/vm/run does.
 */

/*
 * The value under a mask, in a register of its own that the compiler knows nothing of. Otherwise it drops
 * a mask that follows from an earlier comparison, and compares one copy to use another: the verifier of
 * 5.10 does not carry a bound from one 32-bit copy to the other ("R2 unbounded memory access").
 */
static __always_inline __u64 masked(__u64 value, __u64 mask)
{
    asm volatile("" : "+r"(value));
    return value & mask;
}

#ifndef IOL_BPF_LEGACY

/* a35b9af4ec2c "bpf: Add a kfunc for generic type cast", 6.2: a plain move after verification. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

/* 3ca1032ab7ab "bpf: Implement get_current_task_btf and RET_PTR_TO_BTF_ID", 5.11. */
#define current_task() ((struct task_struct *)bpf_get_current_task_btf())
#define LOAD(pointer, member) ((pointer)->member)

/* One element of an array of struct file pointers, read as the first member of a struct that starts with one. */
static __always_inline struct file *load_file_slot(struct file **slot)
{
    const struct kiocb *as = bpf_rdonly_cast(slot, bpf_core_type_id_kernel(struct kiocb));

    return as->ki_filp;
}

/* A typed pointer as a number: the verifier lets pointers be subtracted, and nothing else be done with them. */
static __always_inline __u64 pointer_distance(const void *pointer, const void *base)
{
    asm("%0 -= %1" : "+r"(pointer) : "r"(base));
    return (__u64)pointer;
}

/* 5ffa25502b5a "bpf: Add instructions for atomic_[cmp]xchg", 5.12. */
static __always_inline bool try_lock(__u32 *word)
{
    return __sync_val_compare_and_swap(word, 0, 1) == 0;
}

#else

#define current_task() ((struct task_struct *)bpf_get_current_task())
#define LOAD(pointer, member) BPF_CORE_READ(pointer, member)

static __always_inline struct file *load_file_slot(struct file **slot)
{
    struct file *file = NULL;

    bpf_probe_read_kernel(&file, sizeof(file), slot);
    return file;
}

static __always_inline __u64 pointer_distance(const void *pointer, const void *base)
{
    return (__u64)pointer - (__u64)base;
}

/* Without atomics that return a value; up to 6.12 tracepoints run their programs with preemption off. */
static __always_inline bool try_lock(__u32 *word)
{
    if (*(volatile __u32 *)word)
        return false;
    *(volatile __u32 *)word = 1;
    return true;
}

#endif

struct kernfs_node___6_15 {
    struct kernfs_node *__parent;
} __attribute__((preserve_access_index));

/* 633488947ef6 "kernfs: Use RCU to access kernfs_node::parent", 6.15, renamed the member. */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
    struct kernfs_node___6_15 *renamed = (void *)node;

    if (bpf_core_field_exists(renamed->__parent))
        return BPF_CORE_READ(renamed, __parent);
    return BPF_CORE_READ(node, parent);
}

/*
 * From 6.16 on the tracepoint sched_process_exit says whether the group is dead; signal->live says it
 * on every kernel, to more than one thread perhaps when two exit at the same moment.
 */
static __always_inline bool last_thread(struct task_struct *task)
{
    return BPF_CORE_READ(task, signal, live.counter) == 0;
}

#if defined(__TARGET_ARCH_x86)

#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: a 32-bit syscall is active */
#define X32_SYSCALL_BIT 0x40000000

static __always_inline __u32 syscall_number(const struct pt_regs *regs)
{
    return (__u32)LOAD(regs, orig_ax) & ~X32_SYSCALL_BIT;
}

static __always_inline bool syscall_is_compat(const struct task_struct *task)
{
    return LOAD(task, thread_info.status) & TS_COMPAT;
}

#define SYSCALL_ARGUMENT(n, native, thirtytwo)                                                                         \
    static __always_inline __u64 syscall_argument##n(const struct pt_regs *regs, bool compat)                          \
    {                                                                                                                  \
        return compat ? (__u32)LOAD(regs, thirtytwo) : LOAD(regs, native);                                             \
    }

SYSCALL_ARGUMENT(1, di, bx)
SYSCALL_ARGUMENT(2, si, cx)
SYSCALL_ARGUMENT(3, dx, dx)
SYSCALL_ARGUMENT(4, r10, si)
SYSCALL_ARGUMENT(5, r8, di)

#elif defined(__TARGET_ARCH_arm64)

#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */

static __always_inline __u32 syscall_number(const struct pt_regs *regs)
{
    return (__u32)LOAD(regs, syscallno);
}

static __always_inline bool syscall_is_compat(const struct task_struct *task)
{
    return LOAD(task, thread_info.flags) & (1UL << TIF_32BIT);
}

/* The return value has overwritten regs[0] by the time of sys_exit; orig_x0 keeps the first argument. */
static __always_inline __u64 syscall_argument1(const struct pt_regs *regs, bool compat)
{
    return compat ? (__u32)LOAD(regs, orig_x0) : LOAD(regs, orig_x0);
}

static __always_inline __u64 syscall_argument2(const struct pt_regs *regs, bool compat)
{
    return compat ? (__u32)LOAD(regs, regs[1]) : LOAD(regs, regs[1]);
}

static __always_inline __u64 syscall_argument3(const struct pt_regs *regs, bool compat)
{
    return compat ? (__u32)LOAD(regs, regs[2]) : LOAD(regs, regs[2]);
}

static __always_inline __u64 syscall_argument4(const struct pt_regs *regs, bool compat)
{
    return compat ? (__u32)LOAD(regs, regs[3]) : LOAD(regs, regs[3]);
}

static __always_inline __u64 syscall_argument5(const struct pt_regs *regs, bool compat)
{
    return compat ? (__u32)LOAD(regs, regs[4]) : LOAD(regs, regs[4]);
}

#endif
