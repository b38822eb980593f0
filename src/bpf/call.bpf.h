/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* A system call at its end: what the hooks are given of it, and all that is done with it beside the hot path. */
#include "bpf/aio.bpf.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/change.bpf.h"
#include "bpf/recent.bpf.h"

/* What a hook at the end of a system call gets: the registers of the program, and what it was returned. */
struct call_end {
    const struct pt_regs *regs;
    __s64 result;
};

/* The same for all that is not the hot path. */
struct told_call {
    const struct pt_regs *regs;
    __s64 result;
};

static __always_inline const struct told_call *tell(struct told_call *call, const struct pt_regs *regs, __s64 result)
{
    call->regs = regs;
    call->result = result;
    return call;
}

/* The compiler puts what follows from it elsewhere. */
#define rare(condition) __builtin_expect(condition, 0)

/* A call for the hot path. The last three are constants. Both `end` and `call` lead to registers of a known type. */
struct hot_call {
    const struct call_end *end; /* what the hook got; NULL when it is told */
    struct told_call *call;     /* where it is told, or will be */
    const struct pt_regs *regs; /* of a call that is told, or kept */
    bool native;                /* no 32-bit call, surely */
    bool told;
    bool kept; /* see keep_registers() */
};

/* Read again each time: to keep it costs more on the way that is taken most. */
static __always_inline __s64 result_of(struct hot_call hot)
{
    return hot.told ? hot.call->result : *(const volatile __s64 *)&hot.end->result;
}

static __always_inline const struct pt_regs *pointer_of(struct hot_call hot)
{
    return hot.told || hot.kept ? hot.regs : *(const struct pt_regs *const volatile *)&hot.end->regs;
}

/* The same call, whose registers' address is in a register from here on. */
static __always_inline struct hot_call keep_registers(struct hot_call hot)
{
    hot.regs = pointer_of(hot);
    hot.kept = true;
    return hot;
}

/* What chooses the place of the thread. */
static __always_inline __u32 lower_registers_of(struct hot_call hot)
{
    return lower_half(pointer_of(hot));
}

/* The pointer is compared as it is, and no number is made of it; but where the compiler would go on with it in place of the address. */
static __always_inline bool registers_are_at(struct hot_call hot, __u64 address)
{
    return (hot.told ? address_of(hot.regs) : (__u64)pointer_of(hot)) == address;
}

static __always_inline const struct told_call *told(struct hot_call hot)
{
    return hot.told ? hot.call : tell(hot.call, pointer_of(hot), result_of(hot));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __noinline void exec_failed(const struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                                   __s64 result)
{
    const void *name =
        (const void *)(class == CLASS_EXECVE ? syscall_argument1(regs, compat) : syscall_argument2(regs, compat));
    struct iol_record_exec_failed *record;
    struct scratch *scratch;
    __u32 index, size;
    long len;

    scratch = scratch_take(&index);
    if (!scratch) {
        count_lost(IOL_LOST_EVENTS, 1);
        return;
    }
    record = (struct iol_record_exec_failed *)scratch->record;
    __builtin_memset(record, 0, sizeof(*record));
    record->head.type = IOL_RECORD_EXEC_FAILED;
    record->head.ts = bpf_ktime_get_boot_ns();
    record->image = thread->image;
    record->pid = bpf_get_current_pid_tgid() >> 32;
    record->tid = bpf_get_current_pid_tgid();
    record->error = (__s32)result;
    len = bpf_probe_read_user_str(record->data, IOL_PATH_MAX, name);
    record->path_len = len > 1 ? (__u32)len - 1 : 0;
    size = sizeof(*record) + record->path_len;
    record->head.size = size;
    if (size > sizeof(*record) + IOL_PATH_MAX || ring_send(record, size))
        count_lost(IOL_LOST_EVENTS, 1);
    scratch_give(scratch);
}

#define FMODE_STREAM 0x200000 /* include/linux/fs.h: no position */

/* Where the operation began: the argument of calls that have one, else the file's position less what was moved. */
static __always_inline __s64 offset_of(const struct pt_regs *regs, bool compat, __u32 class, __u64 file, __s64 result)
{
    if (class == CLASS_READ_AT || class == CLASS_WRITE_AT) {
        __s64 offset = syscall_argument4(regs, compat);

        if (compat)
            offset |= syscall_argument5(regs, compat) << 32;
        if (offset != -1) /* of preadv2 and pwritev2: the file's own */
            return offset;
    }
    if (!file || result < 0 || LOAD(AS(file, file), f_mode) & FMODE_STREAM)
        return -1;
    return LOAD(AS(file, file), f_pos) - result;
}

/* Has the call brought an offset along for this direction, in memory of the program? Then the file's own tells nothing. */
static __always_inline bool has_offset_of_its_own(const struct pt_regs *regs, bool compat, __u32 class,
                                                  enum direction direction)
{
    if (class == CLASS_SENDFILE)
        return direction == DIRECTION_READ && syscall_argument3(regs, compat);
    if (class == CLASS_SPLICE || class == CLASS_COPY_FILE_RANGE)
        return direction == DIRECTION_READ ? syscall_argument2(regs, compat) : syscall_argument4(regs, compat);
    return false;
}

/* Class, compat and direction of one side of a call, as one argument. */
#define SIDE(class, compat, direction) ((class) << 2 | (compat) << 1 | (direction))

/* One side of a call as an event. `file`: 0 when the position of what is there now tells nothing. */
static __noinline void send_side(__u64 image, const struct pt_regs *regs, __u64 side_and_found, __u64 file,
                                 __s64 result)
{
    __u32 side = side_and_found >> 32, class = side >> 2, direction = side & 1;
    bool compat = side & 2;

    if (has_offset_of_its_own(regs, compat, class, direction))
        file = 0;
    send_event(FOUND_SLOT((__u32)side_and_found), image, direction, offset_of(regs, compat, class, file, result),
               result);
}

/* One side of a call, on the file that its descriptor leads to, or led to when the thread fell asleep. */
static __always_inline void post_side(const struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                                      __u64 file, __u32 how, __s64 result)
{
    __u64 epoch = current_epoch();
    int found = FOUND_NOTHING;

    if (thread->slept && thread->place->asleep)
        found = recall(thread->registers, thread->image, file, how);
    if (found < 0)
        found = find_or_open(thread->image, thread->task, file, how >> 1);
    else
        file = 0; /* it was another one */
    tally(found, epoch, how, result);
    if (wants_events(found))
        send_side(thread->image, regs, (__u64)SIDE(class, compat, how & 1) << 32 | (__u32)found, file, result);
}

/*
 * Has the thread left the CPU since its last operation? Only then can there be a note of what it used when it fell asleep.
 * Whether its descriptors are shared now does not matter: who changed them may be gone.
 */
static __always_inline bool has_slept(const struct task_struct *task, const struct iol_thread *place, __u64 registers)
{
    return *(volatile __u64 *)&place->switches != switches_of(task, registers);
}

/* Reads, writes and the routes that move bytes from one descriptor to another, when the hot path does not have them. */
static __noinline int post_call(struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                                __s64 result)
{
    struct descriptors which;
    __u64 files = LOAD_ADDRESS(task_struct, thread->task, files);

    if (!descriptors_of(regs, class, compat, &which))
        return 0;
    if (has_slept(AS(task_struct, thread->task), thread->place, thread->registers)) {
        thread->slept = 1;
        thread->place->switches = switches_of(AS(task_struct, thread->task), thread->registers);
        if (thread->place->asleep && !note_may_be_of(thread->registers, &which))
            drop_note(thread->place, thread->registers);
    }
    if (which.fd[DIRECTION_READ] >= 0)
        post_side(thread, regs, class, compat, file_of(files, which.fd[DIRECTION_READ]),
                  HOW(which.route, DIRECTION_READ), result);
    if (which.fd[DIRECTION_WRITE] >= 0)
        post_side(thread, regs, class, compat, file_of(files, which.fd[DIRECTION_WRITE]),
                  HOW(which.route, DIRECTION_WRITE), result);
    if (thread->slept)
        drop_note(thread->place, thread->registers);
    return 0;
}

#define PROT_WRITE 2
#define MAP_TYPE 0x0f
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 0x20

/* A mapping of a file: what is read and written through it is not known. Shared and writable ones count as writes too. */
static __noinline void post_mmap(const struct thread *thread, const struct pt_regs *regs, bool compat, bool old,
                                 __s64 result)
{
    __u32 prot = syscall_argument3(regs, compat), flags = syscall_argument4(regs, compat);
    __u32 fd = syscall_argument5(regs, compat);
    __u64 file, epoch, name, recent;
    int found;

    if (old) {
        __u32 arguments[6] = {};

        if (bpf_probe_read_user(arguments, sizeof(arguments), (void *)syscall_argument1(regs, compat)))
            return;
        prot = arguments[2];
        flags = arguments[3];
        fd = arguments[4];
    }
    if (flags & MAP_ANONYMOUS)
        return;
    /* an address is a success; as a number it may be negative for a 32-bit program only */
    result = result < 0 && result >= -4095 ? result : 0;
    file = file_of(address_of(LOAD(current_task(), files)), fd);
    epoch = current_epoch();
    name = name_file(file);
    recent = name_recent(name, thread->image) ^ MIX_A; /* that of the same file by another route */
    /* a program maps a library in four pieces or five */
    found = find_recent(thread->place, recent, thread->image, thread->task, file, IOL_ABI_ROUTE_MMAP, name);
    post_found(found, epoch, thread->image, HOW(IOL_ABI_ROUTE_MMAP, DIRECTION_READ), -1, result);
    if (result == 0 && (flags & MAP_TYPE) != MAP_PRIVATE && prot & PROT_WRITE)
        post_found(found, epoch, thread->image, HOW(IOL_ABI_ROUTE_MMAP, DIRECTION_WRITE), -1, result);
}

/* What may give files another name, or take it away. */
static __always_inline void count_change(__u32 class)
{
    if (class == CLASS_RENAME || class == CLASS_RENAMEAT || class == CLASS_MOUNT)
        count_rename();
    else if (class == CLASS_UNLINK || class == CLASS_UNLINKAT || class == CLASS_RMDIR)
        count_unlink();
}

/*
 * By what its registers tell, the call has neither used nor changed a file: most mappings are of none, and most files that are opened were there. Nor
 * has one of which only the number is that of another call of 32-bit programs.
 */
static __always_inline bool is_of_no_concern(const struct pt_regs *regs, __u32 class, bool compat, __s64 result)
{
    if (class == CLASS_NONE)
        return true;
    if (class == CLASS_MMAP)
        return syscall_argument4(regs, compat) & MAP_ANONYMOUS;
    if (class == CLASS_OPEN || class == CLASS_OPENAT)
        return opens_what_is_there(
            class == CLASS_OPEN ? syscall_argument2(regs, compat) : syscall_argument3(regs, compat), result);
    return false;
}

/* Everything but the hot path. */
static __noinline int other_call(const struct told_call *call)
{
    const struct pt_regs *regs = call->regs;
    __s64 result = call->result;
    struct thread thread;
    __u32 class, nr;
    bool compat;

    nr = masked(syscall_number(regs), IOL_SYSCALLS_MAX - 1);
    compat = syscall_is_compat(current_task());
    class = compat ? compat_classes[nr] : native_classes[nr];
    if (is_of_no_concern(regs, class, compat, result))
        return 0;
    find_thread(address_of(regs), &thread);
    if (class == CLASS_CLOSE)
        forget_descriptors(thread.place);
    if (result >= 0)
        count_change(class);
    if (class >= CLASS_MOUNT)
        change(&thread, regs, class, compat, result);
    if (thread.standing == IOL_STANDING_EXCLUDED && class < CLASS_MMAP)
        total_add(current_epoch(), IOL_ABI_EXCLUDED, 0, result);
    if (thread.standing != IOL_STANDING_TRACED)
        return 0;
    if (class == CLASS_EXECVE || class == CLASS_EXECVEAT) {
        if (result < 0)
            exec_failed(&thread, regs, class, compat, result);
    } else if (class == CLASS_MMAP || class == CLASS_MMAP_OLD) {
        post_mmap(&thread, regs, compat, class == CLASS_MMAP_OLD, result);
    } else if (class == CLASS_IO_SUBMIT) {
        io_submit(&thread, regs, compat, result);
    } else if (class == CLASS_IO_GETEVENTS) {
        io_getevents(&thread, regs, compat, result);
    } else if (class < CLASS_MMAP) {
        post_call(&thread, regs, class, compat, result);
    }
    return 0;
}
