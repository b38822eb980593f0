/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* Fork, exec and exit, and the processes that are there already when a recording begins. */
#include "bpf/cgroup.bpf.h"

/* Has user space been told of this image, so that what is as then need not be told again? */
static __always_inline bool was_told(const struct iol_task *known, __u64 image)
{
    return !settings.whole && known && known->image == image && known->bits & IOL_TASK_ANNOUNCED;
}

/* Is the child, in all that its record would tell, as its parent was told to be? */
static __always_inline bool is_as_parent(const struct iol_task *parent, const struct task_struct *child, __u64 location)
{
    struct traits traits;

    if (!location || parent->location != location || LOAD(child, flags) & PF_KTHREAD)
        return false;
    traits_of(child, &traits);
    return parent->traits == hash_traits(&traits);
}

/* Then this is said in a few words. */
static __always_inline void announce_fork(const struct announcement *what, const struct iol_task *parent)
{
    const struct task_struct *child = what->task;
    struct iol_task entry = {.location = parent->location, .traits = parent->traits};
    struct iol_record_fork record = {};

    record.head.type = IOL_RECORD_FORK;
    record.head.size = sizeof(record);
    record.head.ts = bpf_ktime_get_boot_ns();
    record.image = image_of_leader(child);
    record.parent_image = what->parent_image;
    record.start_ns = LOAD(child, start_boottime);
    record.pid = LOAD(child, tgid);
    record.ppid = what->ppid;
    record.ns_pid = namespace_pid(child);
    entry.image = record.image;
    entry.tgid = record.pid;
    entry.bits = judge(address_of(child), what->task_bits) & ~(__u32)IOL_TASK_ANNOUNCED;
    if (entry.bits & IOL_TASK_TRACED)
        record.bits |= IOL_PROCESS_TRACED;
    if (!ring_send(&record, sizeof(record)))
        entry.bits |= IOL_TASK_ANNOUNCED;
    else
        count_lost(IOL_LOST_PROCESS_RECORDS, 1);
    remember_task(&entry);
}

/* The record of the child has told where its parent is. */
static __always_inline void follow_child(struct iol_task *parent, const struct task_struct *child)
{
    const struct iol_task *known = find_task(LOAD(child, tgid));

    if (was_told(known, image_of_leader(child)))
        parent->location = known->location;
}

static __always_inline int forked(const struct task_struct *parent, const struct task_struct *child)
{
    __u32 parent_tgid = LOAD(parent, tgid);
    struct announcement what = {.task = child, .origin = 0};
    struct iol_task *known;

    forget_thread(child);
    if (LOAD(child, files) == LOAD(parent, files))
        forget_thread(parent); /* another thread can change its descriptors from here on */
    if (LOAD(child, tgid) != LOAD(child, pid))
        return 0; /* a thread: it belongs to its process */
    known = find_task(parent_tgid);
    if (known)
        what.task_bits = known->bits & (IOL_TASK_DESCENDANT | IOL_TASK_EXE | IOL_TASK_EXCLUDED);
    what.parent_image = image_of(parent);
    what.ppid = parent_of(child);
    what.location = location_of(address_of(child));
    if (was_told(known, what.parent_image)) {
        if (is_as_parent(known, child, what.location)) {
            announce_fork(&what, known);
            return 0;
        }
        /* its next children are there too; of two threads who fork at the same time, user space may hear in another order */
        if (known->location != what.location && threads_of(parent) == 1)
            what.location_bits = IOL_PROCESS_PARENT_MOVED;
    }
    announce(&what);
    if (known && what.location_bits)
        follow_child(known, child);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    return forked(parent, child);
}

static __always_inline int executed(const struct task_struct *task)
{
    __u32 tgid = LOAD(task, tgid);
    struct announcement what = {.task = task, .origin = 1, .own_memory = 1};
    struct iol_task *known = find_task(tgid);

    if (known)
        what.task_bits = known->bits;
    if (what.task_bits & IOL_TASK_AT_EXEC)
        what.task_bits = IOL_TASK_DESCENDANT;
    what.parent_image = image_before(task);
    what.ppid = parent_of(task);
    what.location = location_of(address_of(task));
    if (was_told(known, what.parent_image) && what.location && known->location == what.location)
        what.location_bits = IOL_PROCESS_SAME_LOCATION;
    announce(&what);
    forget_thread(task);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    return executed(task);
}

static __always_inline __u32 leader_exit_code(const struct task_struct *task)
{
    const struct task_struct *leader = LOAD(task, group_leader);

    return LOAD(leader, exit_code);
}

/*
 * Once for each thread; the process ends with the last one. Two that end at the same moment may both
 * find themselves the last: user space takes the first record of an image.
 */
static __always_inline int exited(const struct task_struct *task)
{
    __u32 tgid = LOAD(task, tgid);
    struct iol_record_exit record = {};
    const struct signal_struct *signal;
    struct iol_task *known;

    if (!last_thread(task))
        return 0;
    if (tgid == control.self_tgid)
        control.self_tgid = 0; /* whoever gets the pid next is nobody special */
    record.head.type = IOL_RECORD_EXIT;
    record.head.size = sizeof(record);
    record.head.ts = bpf_ktime_get_boot_ns();
    record.image = image_of(task);
    record.pid = tgid;
    record.tid = LOAD(task, pid);
    /* what wait_task_zombie() of kernel/exit.c hands to the parent */
    signal = LOAD(task, signal);
    record.status = LOAD(signal, flags) & SIGNAL_GROUP_EXIT ? LOAD(signal, group_exit_code) : leader_exit_code(task);
    known = find_task(tgid);
    if (known && known->bits & IOL_TASK_TRACED)
        record.bits |= IOL_PROCESS_TRACED;
    if (ring_send(&record, sizeof(record)))
        count_lost(IOL_LOST_EVENTS, 1);
    forget_task(tgid);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    return exited(task);
}

/* The recorder's own, or, when it is in a sandbox, that of the service manager which started it. */
static __always_inline void find_home_root(struct task_struct *recorder)
{
    struct task_struct *task = recorder;

    if (BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum) != (__u32)settings.home_mnt_ns)
        task = BPF_CORE_READ(task, real_parent);
    home_root_dentry = BPF_CORE_READ(task, fs, root.dentry);
    home_root_mnt = BPF_CORE_READ(task, fs, root.mnt);
}

static __always_inline __u64 state_of_task(struct task_struct *task)
{
    const struct task_struct___5_13 *older = (const struct task_struct___5_13 *)task;

    return bpf_core_field_exists(older->state) ? (__u64)BPF_CORE_READ(older, state) : BPF_CORE_READ(task, __state);
}

/* In fork, or in exec behind the point where it is the next image already: the hook there is about to tell of it, and knows more. */
static __always_inline bool is_being_made(struct task_struct *task, __u64 image, const struct iol_task *known)
{
    if (state_of_task(task) & TASK_NEW)
        return true;
    return known && known->image != image && BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/* Processes that are there already: a record each, through the iterator's own buffer, where nothing is lost. */
SEC("iter/task")
int on_running(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct iol_task entry = {};
    struct iol_task *known;
    struct task_struct *parent;
    struct scratch *scratch;
    __u32 tgid, index, size;
    long error = -1;
    __u64 image;

    if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
        return 0;
    tgid = BPF_CORE_READ(task, tgid);
    if (tgid == control.self_tgid)
        find_home_root(task);
    image = image_at(task);
    known = find_task(tgid);
    if (BPF_CORE_READ(task, flags) & PF_EXITING || is_being_made(task, image, known))
        return 0;
    scratch = scratch_take(&index);
    if (!scratch)
        return 1; /* 1: the iterator calls again for the same task */
    parent = BPF_CORE_READ(task, real_parent);
    scratch->task = task;
    scratch->parent_image = image_at(parent);
    scratch->ppid = BPF_CORE_READ(parent, tgid);
    scratch->origin = 2;
    scratch->own_memory = 0;
    scratch->task_bits = known ? known->bits : 0;
    scratch->location_bits = 0;
    scratch->entry.location = location_of(address_of(task));
    size = build_process(index, AS(task_struct, task));
    judge_process(scratch);
    keep_told(&scratch->entry, AS(task_struct, task), false);
    if (scratch->entry.image != image || image_at(task) != image) {
        /* an exec in the middle of the look: what was read is of two images, and the hook has not told of the second one perhaps */
        scratch_give(scratch);
        return 1;
    }
    if (size <= sizeof(scratch->record))
        error = bpf_seq_write(ctx->meta->seq, scratch->record, size);
    entry = scratch->entry;
    entry.bits = scratch->task_bits;
    scratch_give(scratch);
    if (error)
        return 0; /* the buffer is full: the iterator calls again for the same task */
    entry.bits |= IOL_TASK_ANNOUNCED;
    known = find_task(tgid);
    if (known && known->image != image)
        return 0; /* an exec since then: its hook has judged it */
    if (known) {
        known->bits = entry.bits; /* judged anew: user space has marked it since */
        known->location = entry.location;
        known->traits = entry.traits;
    } else {
        add_task(&entry);
    }
    return 0;
}
