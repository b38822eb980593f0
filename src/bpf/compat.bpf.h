/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Every difference between kernels and between architectures stands here, each with its commit.
 *
 * The source is built three times. The modern object needs kernel 6.2 and loads kernel memory directly; the legacy one
 * (IOL_BPF_LEGACY, from 5.12 on) reads it through bpf_probe_read_kernel(), but for what a pointer of a known type leads to; and the plain one
 * (IOL_BPF_PLAIN too, for 5.10) has no compare-and-swap either.
 */
#include "bpf/kernel.h"

/*
 * Stack: before 6.13 a chain of calls has 512 bytes in all, each function rounded up to 32, and 8 frames.
 * "bpf: Enable private stack for eligible subprogs", 6.13, gives a function on x86 a stack of its own, so
 * that a newer kernel does not notice when a chain has become too long: tests/vm/run does.
 */

/*
 * For a program that several hooks jump to. The kernel guards each hook against another thread that comes to it while one is preempted
 * there, and counts on that when it gives a program's functions a stack for each CPU: "bpf: Enable private stack for eligible
 * subprogs", 6.13. Here two threads may be in one program by way of two hooks; so it must not be eligible, which
 * a program that may jump elsewhere is not. It never does: told->regs is an address.
 */
#define KEEP_KERNEL_STACK(ctx, array, told)                                                                            \
    do {                                                                                                               \
        if (!address_of((told)->regs))                                                                                 \
            bpf_tail_call(ctx, array, 0);                                                                              \
    } while (0)

/*
 * The value under a mask, in a register of its own that the compiler knows nothing of. Otherwise it drops
 * a mask that follows from an earlier comparison, and compares one copy to use another: the verifier of
 * 5.10 does not carry a bound from one 32-bit copy to the other ("R2 unbounded memory access").
 */
static __always_inline __u64 masked(__u64 value, __u64 mask)
{
    barrier_var(value);
    return value & mask;
}

/*
 * A member behind a pointer that the verifier knows the type of, read once. With either object that is one load; the JIT checks the address
 * before it, unless the pointer is trusted too (that of a tracepoint): 3f00c5239344 "bpf: Allow trusted pointers …", 6.2.
 */
#define LOAD_TYPED(pointer, member) (*(const volatile typeof((pointer)->member) *)&(pointer)->member)

/*
 * Such a pointer as an address. Of an operation on a pointer that makes no pointer the verifier takes the result for any number, as
 * long as the loader may see addresses (allow_ptr_leaks); the two together change nothing.
 */
static __always_inline __u64 address_of(const void *pointer)
{
    asm("%0 = -%0" : "+r"(pointer));
    asm("%0 = -%0" : "+r"(pointer));
    return (__u64)pointer;
}

/* The lower half of the address, as a number: a move of 32 bits is no copy of a pointer. One instruction. */
static __always_inline __u32 lower_half(const void *pointer)
{
    __u32 half;

    asm("%0 = %1" : "=w"(half) : "w"((__u32)(__u64)pointer));
    return half;
}

#ifndef IOL_BPF_PLAIN

/* 5ffa25502b5a "bpf: Add instructions for atomic_[cmp]xchg", 5.12. */
static __always_inline bool try_lock(__u32 *word)
{
    return __sync_val_compare_and_swap(word, 0, 1) == 0;
}

static __always_inline bool try_own(__u64 *owner, __u64 name)
{
    return __sync_val_compare_and_swap(owner, 0, name) == 0;
}

/* Of a word that is 0. */
static __always_inline bool try_claim(__u32 *word, __u32 claimed)
{
    return __sync_val_compare_and_swap(word, 0, claimed) == 0;
}

/* What was written before is seen by whoever sees this. */
static __always_inline void publish_word(__u32 *word, __u32 value)
{
    __sync_lock_test_and_set(word, value);
}

#else

/* Without atomics that return a value; up to 6.12 tracepoints run their programs with preemption off. */
static __always_inline bool try_lock(__u32 *word)
{
    if (*(volatile __u32 *)word)
        return false;
    *(volatile __u32 *)word = 1;
    return true;
}

static __always_inline bool try_own(__u64 *owner, __u64 name)
{
    (void)owner;
    (void)name;
    return false;
}

static __always_inline bool try_claim(__u32 *word, __u32 claimed)
{
    (void)word;
    (void)claimed;
    return false;
}

static __always_inline void publish_word(__u32 *word, __u32 value)
{
    *(volatile __u32 *)word = value;
}

#endif

#ifndef IOL_BPF_LEGACY

/* a35b9af4ec2c "bpf: Add a kfunc for generic type cast", 6.2: a plain move after verification. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym;

/* An address as a pointer to what is there. Loads through it are checked by the JIT: one that faults reads 0. */
#define AS(type, address) ((struct type *)bpf_rdonly_cast((void *)(address), bpf_core_type_id_kernel(struct type)))
#define LOAD(pointer, member) ((pointer)->member)
#define LOAD_WORD(pointer, member, n) (*(const __u64 *)&(pointer)->member[8 * (n)]) /* of an array of bytes */

/* A typed pointer as a number: the verifier lets pointers be subtracted, and nothing else be done with them. */
static __always_inline __u64 pointer_distance(const void *pointer, const void *base)
{
    asm("%0 -= %1" : "+r"(pointer) : "r"(base));
    return (__u64)pointer;
}

/* Eight bytes as a number. Any kernel type that begins with a number of that size does. */
static __always_inline __u64 load_word(__u64 address)
{
    return (__u64)AS(timespec64, address)->tv_sec;
}

/*
 * Helpers without arguments, for the hot path: the compiler is told that they leave no register as it was. Otherwise it keeps values in
 * r6 to r9, and whatever a program has there somewhere the JIT saves each time that it begins, for the ways that end early too.
 */
#define CALL_SPARINGLY(helper)                                                                                         \
    ({                                                                                                                 \
        register __u64 returned asm("r0");                                                                             \
        asm volatile("call %1" : "=r"(returned) : "i"(helper) : "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"); \
        returned;                                                                                                      \
    })

static __always_inline __u64 sparing_jiffies64(void)
{
    return CALL_SPARINGLY(BPF_FUNC_jiffies64);
}

static __always_inline const struct task_struct *sparing_current_task(void)
{
    return (const struct task_struct *)CALL_SPARINGLY(BPF_FUNC_get_current_task_btf);
}

static __always_inline const struct task_struct *current_task(void)
{
    return bpf_get_current_task_btf();
}

/* AS() for the hot path. */
static __always_inline const struct task_struct *sparing_task(__u64 address)
{
    register __u64 first asm("r1") = address, second asm("r2") = bpf_core_type_id_kernel(struct task_struct);
    register const struct task_struct *returned asm("r0");

    asm volatile("call bpf_rdonly_cast"
                 : "=r"(returned), "+r"(first), "+r"(second)
                 :
                 : "r3", "r4", "r5", "r6", "r7", "r8", "r9");
    return returned;
}

#else

#define AS(type, address) ((struct type *)(address))
#define LOAD(pointer, member) BPF_CORE_READ(pointer, member)
#define LOAD_WORD(pointer, member, n) load_word((__u64) & (pointer)->member[8 * (n)])

static __always_inline __u64 pointer_distance(const void *pointer, const void *base)
{
    (void)base;
    return (__u64)pointer; /* a number already */
}

static __always_inline __u64 load_word(__u64 address)
{
    __u64 word = 0;

    bpf_probe_read_kernel(&word, sizeof(word), (void *)address);
    return word;
}

static __always_inline __u64 sparing_jiffies64(void)
{
    return bpf_jiffies64();
}

static __always_inline const struct task_struct *sparing_current_task(void)
{
    return (const struct task_struct *)bpf_get_current_task();
}

static __always_inline const struct task_struct *current_task(void)
{
    return (const struct task_struct *)bpf_get_current_task();
}

static __always_inline const struct task_struct *sparing_task(__u64 address)
{
    return AS(task_struct, address);
}

#endif

/* A member that is a pointer, as an address. */
#define LOAD_ADDRESS(type, address, member) load_word((address) + bpf_core_field_offset(struct type, member))

struct kernfs_node___6_15 {
    struct kernfs_node *__parent;
} __attribute__((preserve_access_index));

/* 633488947ef6 "kernfs: Use RCU to access kernfs_node::parent", 6.15, renamed the member. */
static __always_inline struct kernfs_node *kernfs_parent(struct kernfs_node *node)
{
    struct kernfs_node___6_15 *renamed = (void *)node;

    if (bpf_core_field_exists(renamed->__parent))
        return (struct kernfs_node *)LOAD_ADDRESS(kernfs_node___6_15, (__u64)renamed, __parent);
    return (struct kernfs_node *)LOAD_ADDRESS(kernfs_node, (__u64)node, parent);
}

/*
 * From 6.16 on the tracepoint sched_process_exit says whether the group is dead; signal->live says it
 * on every kernel, to more than one thread perhaps when two exit at the same moment.
 */
static __always_inline int threads_of(const struct task_struct *task)
{
    const struct signal_struct *signal = LOAD(task, signal);

    return LOAD(signal, live.counter);
}

static __always_inline bool last_thread(const struct task_struct *task)
{
    return threads_of(task) == 0;
}

#if defined(__TARGET_ARCH_x86)

#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: a 32-bit syscall is active */
#define X32_SYSCALL_BIT 0x40000000

static __always_inline __u32 plain_number(__s64 number)
{
    return (__u32)number & ~X32_SYSCALL_BIT;
}

#define NUMBER orig_ax

static __always_inline bool syscall_is_compat(const struct task_struct *task)
{
    return LOAD(task, thread_info.status) & TS_COMPAT;
}

#define FIRST_ARGUMENT di

/*
 * A call of a 64-bit program, surely? SYSCALL leaves the address that it returns to in rcx, and int $0x80 does not. A program could put it
 * there itself: so this is asked of calls below CERTAIN_CALLS only, under whose numbers a 32-bit program moves nothing and changes nothing.
 */
static __always_inline bool is_surely_native(const struct pt_regs *regs)
{
    return LOAD_TYPED(regs, cx) == LOAD_TYPED(regs, ip);
}

/* Within the call, and not on the way out of it: entry code puts -ENOSYS where the result will be. */
static __always_inline bool syscall_goes_on(const struct pt_regs *regs)
{
    return (__s64)LOAD(regs, ax) == -ENOSYS;
}

/* What the function returned that a kretprobe is at the end of. */
static __always_inline __u64 function_result(const struct pt_regs *ctx)
{
    return ctx->ax;
}

/* The first argument of the function that a kprobe is at the beginning of. */
static __always_inline __u64 function_argument(const struct pt_regs *ctx)
{
    return ctx->di;
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

#define FIRST_ARGUMENT orig_x0

#define PSR_MODE32_BIT 0x10

static __always_inline bool is_surely_native(const struct pt_regs *regs)
{
    return !(LOAD_TYPED(regs, pstate) & PSR_MODE32_BIT);
}

#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */

static __always_inline __u32 plain_number(__s64 number)
{
    return (__u32)number;
}

#define NUMBER syscallno

static __always_inline bool syscall_is_compat(const struct task_struct *task)
{
    return LOAD(task, thread_info.flags) & (1UL << TIF_32BIT);
}

/* The result takes the place of the first argument. One that equals it counts as the end of the call: nothing is noted then. */
static __always_inline bool syscall_goes_on(const struct pt_regs *regs)
{
    return LOAD(regs, regs[0]) == LOAD(regs, orig_x0);
}

static __always_inline __u64 function_result(const struct pt_regs *ctx)
{
    return ctx->regs[0];
}

static __always_inline __u64 function_argument(const struct pt_regs *ctx)
{
    return ctx->regs[0];
}

/* The return value has overwritten regs[0] by the time of sys_exit; orig_x0 keeps the first argument. */
static __always_inline __u64 syscall_argument1(const struct pt_regs *regs, bool compat)
{
    return compat ? (__u32)LOAD(regs, orig_x0) : LOAD(regs, orig_x0);
}

#define SYSCALL_ARGUMENT(n)                                                                                            \
    static __always_inline __u64 syscall_argument##n(const struct pt_regs *regs, bool compat)                          \
    {                                                                                                                  \
        return compat ? (__u32)LOAD(regs, regs[n - 1]) : LOAD(regs, regs[n - 1]);                                      \
    }

SYSCALL_ARGUMENT(2)
SYSCALL_ARGUMENT(3)
SYSCALL_ARGUMENT(4)
SYSCALL_ARGUMENT(5)

#endif

static __always_inline __u32 syscall_number(const struct pt_regs *regs)
{
    return plain_number((__u32)LOAD(regs, NUMBER));
}

/* The first argument of a 64-bit program, cut to 32 bits. */
static __always_inline __u32 first_argument_32(const struct pt_regs *regs)
{
    return (__u32)LOAD(regs, FIRST_ARGUMENT);
}

/* The same through a pointer that the verifier knows the type of. The number is as it is. */
static __always_inline __u32 typed_number(const struct pt_regs *regs)
{
    return *(const volatile __u32 *)&regs->NUMBER;
}

static __always_inline __u32 typed_first_argument_32(const struct pt_regs *regs)
{
    return *(const volatile __u32 *)&regs->FIRST_ARGUMENT;
}
