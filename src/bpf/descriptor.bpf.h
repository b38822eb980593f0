/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * At the end of a system call its descriptor may lead to another file than at its beginning: another thread has closed it,
 * or put another file in its place, while the call was blocked. So whenever a thread of a process with a shared descriptor
 * table goes to sleep inside a read or write, what its descriptors lead to is noted, and the end of the call looks at the
 * note. What is left is a call that never leaves the CPU between its look at the descriptor and its end.
 */
#include "bpf/post.bpf.h"
#include "bpf/syscalls.bpf.h"

/* The descriptors of a call, by the direction in which they are used; -1: none. */
struct descriptors {
    __u32 route;
    __s64 fd[2];
};

/* False when the call has none that matter. */
static __always_inline bool descriptors_of(const struct pt_regs *regs, __u32 class, bool compat,
                                           struct descriptors *ret_descriptors)
{
    __u32 first = syscall_argument1(regs, compat);

    ret_descriptors->route = IOL_ABI_ROUTE_RW;
    ret_descriptors->fd[DIRECTION_READ] = ret_descriptors->fd[DIRECTION_WRITE] = -1;
    switch (class) {
    case CLASS_READ:
    case CLASS_READ_AT:
        ret_descriptors->fd[DIRECTION_READ] = first;
        return true;
    case CLASS_WRITE:
    case CLASS_WRITE_AT:
        ret_descriptors->fd[DIRECTION_WRITE] = first;
        return true;
    case CLASS_SENDFILE:
        ret_descriptors->route = IOL_ABI_ROUTE_SENDFILE;
        ret_descriptors->fd[DIRECTION_READ] = (__u32)syscall_argument2(regs, compat);
        ret_descriptors->fd[DIRECTION_WRITE] = first;
        return true;
    case CLASS_SPLICE:
    case CLASS_COPY_FILE_RANGE:
        ret_descriptors->route = class == CLASS_SPLICE ? IOL_ABI_ROUTE_SPLICE : IOL_ABI_ROUTE_COPY_FILE_RANGE;
        ret_descriptors->fd[DIRECTION_READ] = first;
        ret_descriptors->fd[DIRECTION_WRITE] = (__u32)syscall_argument3(regs, compat);
        return true;
    default:
        return false;
    }
}

/* Which ones they are. */
static __always_inline __u32 mix_of(const struct descriptors *which)
{
    return (__u32)which->fd[DIRECTION_READ] << 16 ^ (__u32)which->fd[DIRECTION_WRITE];
}

/* How often the thread has left the CPU, mixed with who it is: its place may get another thread at any moment. */
static __always_inline __u64 switches_but(const struct task_struct *task, __u64 registers, __u64 but)
{
    return (LOAD(task, nvcsw) + LOAD(task, nivcsw) - but) ^ registers * MIX_A;
}

static __always_inline __u64 switches_of(const struct task_struct *task, __u64 registers)
{
    return switches_but(task, registers, 0);
}

static __always_inline bool table_is_shared(__u64 files)
{
    return files && LOAD(AS(files_struct, files), count.counter) > 1;
}

/*
 * The account that was noted for this direction when the thread fell asleep, if the file there now is another one.
 * FOUND_NOTHING: there is no note, or it says the same. `how` is route << 1 | direction.
 */
__noinline int recall(__u64 registers, __u64 image, __u64 file, __u32 how)
{
    struct asleep *note = bpf_map_lookup_elem(&asleep, &registers);
    __u32 route = how >> 1 & (IOL_ABI_ROUTE_SLOTS - 1);
    struct iol_account_key here = {}, then;

    /* a call whose hook the kernel has left out leaves its note behind */
    if (!note || note->route != route || !note->side[how & 1])
        return FOUND_NOTHING;
    then = note->key[how & 1];
    name_account(&here, image, file, route, name_file_aside(file));
    /* the same file; it may have another name by now, and that is the one that counts */
    if (note->file[how & 1] == file && here.inode == then.inode && here.number == then.number)
        return FOUND_NOTHING;
    return find_noted(&then, note->side[how & 1] == NOTED_IGNORED, route);
}

/*
 * Whether the note, if there is one, may be of this call. The call before it may have been preempted more than once between the hook at
 * its end and its end: then it has left a note behind, of descriptors of its own, and what they led to.
 */
static __always_inline bool note_may_be_of(__u64 registers, const struct descriptors *which)
{
    const struct asleep *note = bpf_map_lookup_elem(&asleep, &registers);

    return !note || note->descriptors == mix_of(which);
}

/* One descriptor of a thread that goes to sleep: its account is opened now, as the file may be gone when the call ends. */
static __always_inline void note_descriptor(struct asleep *note, const struct thread *thread, __u64 files, __s64 fd,
                                            __u32 route, enum direction direction)
{
    __u64 file;
    int found;

    if (fd < 0)
        return;
    file = file_of(files, fd);
    found = file ? find_or_open(thread->image, thread->task, file, route) : FOUND_NOTHING;
    if (found < 0)
        return;
    name_account(&note->key[direction], thread->image, file, route, name_file_aside(file));
    note->file[direction] = file;
    note->side[direction] = FOUND_VERDICT(found) == IOL_VERDICT_IGNORE ? NOTED_IGNORED : NOTED;
}

/*
 * The current thread is about to leave the CPU, within the system call that `regs` describes, if any. When it is preempted for the
 * first time since its last operation, it may just have come from the hook at the end of that one: there is no note then.
 */
static __always_inline void fall_asleep(__u64 registers, bool preempt)
{
    const struct pt_regs *regs = AS(pt_regs, registers);
    __u32 nr = syscall_number(regs);
    struct descriptors which;
    struct asleep note = {};
    struct thread thread;
    __u64 files;
    bool compat;

    if (nr >= IOL_SYSCALLS_MAX || !syscall_is_of_interest(nr) || !syscall_goes_on(regs))
        return; /* a note that is made after the end of the call would be read at the end of the next one */
    find_thread(registers, &thread);
    if (thread.standing != IOL_STANDING_TRACED)
        return;
    if (preempt && settings.early &&
        *(volatile __u64 *)&thread.place->switches == switches_but(AS(task_struct, thread.task), registers, 1))
        return;
    files = LOAD_ADDRESS(task_struct, thread.task, files);
    if (!table_is_shared(files))
        return;
    compat = syscall_is_compat(AS(task_struct, thread.task));
    if (!descriptors_of(regs, compat ? compat_classes[nr] : native_classes[nr], compat, &which))
        return;
    note.route = which.route;
    note.descriptors = mix_of(&which);
    note_descriptor(&note, &thread, files, which.fd[DIRECTION_READ], which.route, DIRECTION_READ);
    note_descriptor(&note, &thread, files, which.fd[DIRECTION_WRITE], which.route, DIRECTION_WRITE);
    if (!(note.side[DIRECTION_READ] | note.side[DIRECTION_WRITE]))
        return;
    if (thread.place->asleep && !note_may_be_of(registers, &which))
        drop_note(thread.place, registers);
    __sync_fetch_and_add(&thread.place->asleep, 1); /* before there is one: it is looked for then */
    if (bpf_map_update_elem(&asleep, &registers, &note,
                            BPF_NOEXIST)) /* of several times within a call the first one counts */
        __sync_fetch_and_add(&thread.place->asleep, -1);
}
