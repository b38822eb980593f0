// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The hooks of the `tracepoint` probe set. What they do stands in the headers they include. */
#include "bpf/account.bpf.h"
#include "bpf/change.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void exec_failed(struct task_struct *task, const struct pt_regs *regs, __u32 class, bool compat,
                                        long result)
{
    const void *name =
        (const void *)(class == IOL_SYSCALL_EXECVE ? syscall_argument1(regs, compat) : syscall_argument2(regs, compat));
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
    record->image = image_of(task);
    record->pid = LOAD(task, tgid);
    record->tid = LOAD(task, pid);
    record->error = (__s32)result;
    len = bpf_probe_read_user_str(record->data, IOL_PATH_MAX, name);
    record->path_len = len > 1 ? (__u32)len - 1 : 0;
    size = sizeof(*record) + record->path_len;
    record->head.size = size;
    if (size > sizeof(*record) + IOL_PATH_MAX || ring_send(record, size))
        count_lost(IOL_LOST_EVENTS, 1);
    scratch_give(scratch);
}

/* Counts what the recorder leaves out: its own operations, and those of the database server it writes to. */
static __always_inline void exclude(const struct iol_control *now, enum direction direction, long result)
{
    total_add(now->epoch, IOL_ABI_EXCLUDED, direction, result);
}

/* The recorder itself, and processes that no filter asks for, end here; true when the operation is to be accounted. */
static __always_inline bool admit(struct task_struct *task, enum direction direction, long result)
{
    __u32 tgid = LOAD(task, tgid);
    struct iol_control *now;
    struct iol_task *known;
    __u32 zero = 0;

    now = bpf_map_lookup_elem(&control, &zero);
    if (!now)
        return false;
    if (tgid == now->self_tgid) {
        exclude(now, direction, result);
        return false;
    }
    if (!settings.filter)
        return true;
    known = bpf_map_lookup_elem(&tasks, &tgid);
    if (!known)
        return settings.filter == IOL_FILTER_ANY;
    if (known->bits & IOL_TASK_EXCLUDED)
        exclude(now, direction, result);
    return known->bits & IOL_TASK_TRACED;
}

/* Accounts look at their paths again: one of the names above them may be another now. */
static __always_inline void count_rename(void)
{
    __u32 zero = 0;
    struct iol_control *now = bpf_map_lookup_elem(&control, &zero);

    if (now)
        __sync_fetch_and_add(&now->renames, 1);
}

static __always_inline __u32 route_of(__u32 class)
{
    switch (class) {
    case IOL_SYSCALL_SENDFILE:
        return IOL_ABI_ROUTE_SENDFILE;
    case IOL_SYSCALL_SPLICE:
        return IOL_ABI_ROUTE_SPLICE;
    case IOL_SYSCALL_COPY_FILE_RANGE:
        return IOL_ABI_ROUTE_COPY_FILE_RANGE;
    default:
        return IOL_ABI_ROUTE_RW;
    }
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_sys_exit, struct pt_regs *regs, long ret)
{
    __u32 nr = syscall_number(regs);
    struct task_struct *task;
    __u32 class, route, first;
    __u64 image;
    bool compat;

    if (nr >= IOL_SYSCALLS_MAX || !(native_classes[nr] | compat_classes[nr]))
        return 0;
    task = current_task();
    compat = syscall_is_compat(task);
    class = compat ? compat_classes[nr] : native_classes[nr];
    if (class >= CLASS_MOUNT)
        change(task, regs, class, compat, ret);
    class = compat ? settings.compat[nr] : settings.native[nr];
    if (!class)
        return 0;
    if (class == IOL_SYSCALL_EXECVE || class == IOL_SYSCALL_EXECVEAT) {
        if (ret < 0)
            exec_failed(task, regs, class, compat, ret);
        return 0;
    }
    if (class == IOL_SYSCALL_RENAME) {
        if (ret >= 0)
            count_rename();
        return 0;
    }
    if (!admit(task, class == IOL_SYSCALL_WRITE ? DIRECTION_WRITE : DIRECTION_READ, ret))
        return 0;

    image = image_of(task);
    first = syscall_argument1(regs, compat);
    if (class == IOL_SYSCALL_READ || class == IOL_SYSCALL_WRITE) {
        post(image, first, HOW(IOL_ABI_ROUTE_RW, class == IOL_SYSCALL_READ ? DIRECTION_READ : DIRECTION_WRITE), ret);
        return 0;
    }
    /* the routes that move bytes from one descriptor to another have two sides */
    route = route_of(class);
    if (class == IOL_SYSCALL_SENDFILE) {
        post(image, syscall_argument2(regs, compat), HOW(route, DIRECTION_READ), ret);
        post(image, first, HOW(route, DIRECTION_WRITE), ret);
    } else {
        post(image, first, HOW(route, DIRECTION_READ), ret);
        post(image, syscall_argument3(regs, compat), HOW(route, DIRECTION_WRITE), ret);
    }
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    __u32 parent_tgid = BPF_CORE_READ(parent, tgid);
    struct announcement what = {.task = child, .origin = 0};
    struct iol_task *known;

    if (BPF_CORE_READ(child, tgid) != BPF_CORE_READ(child, pid))
        return 0; /* a thread: it belongs to its process */
    known = bpf_map_lookup_elem(&tasks, &parent_tgid);
    if (known)
        what.task_bits = known->bits & (IOL_TASK_DESCENDANT | IOL_TASK_EXE | IOL_TASK_EXCLUDED);
    what.parent_image = image_of_other(parent, 0);
    what.ppid = BPF_CORE_READ(child, real_parent, tgid);
    announce(&what);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    __u32 tgid = BPF_CORE_READ(task, tgid);
    struct announcement what = {.task = task, .origin = 1, .own_memory = 1};
    struct iol_task *known = bpf_map_lookup_elem(&tasks, &tgid);

    if (known)
        what.task_bits = known->bits;
    if (what.task_bits & IOL_TASK_AT_EXEC)
        what.task_bits = IOL_TASK_DESCENDANT;
    what.parent_image = image_of_other(task, 1);
    what.ppid = BPF_CORE_READ(task, real_parent, tgid);
    announce(&what);
    return 0;
}

/*
 * Once for each thread; the process ends with the last one. Two that end at the same moment may both
 * find themselves the last: user space takes the first record of an image.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    __u32 tgid = BPF_CORE_READ(task, tgid);
    struct iol_record_exit record = {};
    struct iol_task *known;

    if (!last_thread(task))
        return 0;
    record.head.type = IOL_RECORD_EXIT;
    record.head.size = sizeof(record);
    record.head.ts = bpf_ktime_get_boot_ns();
    record.image = image_of_other(task, 0);
    record.pid = tgid;
    record.tid = BPF_CORE_READ(task, pid);
    /* what wait_task_zombie() of kernel/exit.c hands to the parent */
    record.status = BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT
                        ? BPF_CORE_READ(task, signal, group_exit_code)
                        : BPF_CORE_READ(task, group_leader, exit_code);
    known = bpf_map_lookup_elem(&tasks, &tgid);
    if (known && known->bits & IOL_TASK_TRACED)
        record.bits |= IOL_PROCESS_TRACED;
    if (ring_send(&record, sizeof(record)))
        count_lost(IOL_LOST_EVENTS, 1);
    bpf_map_delete_elem(&tasks, &tgid);
    return 0;
}

/* Processes that are there already: a record each, through the iterator's own buffer, where nothing is lost. */
SEC("iter/task")
int on_running(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct iol_task entry = {};
    struct iol_control *now;
    struct iol_task *known;
    struct task_struct *parent;
    struct scratch *scratch;
    __u32 tgid, index, size;
    __u32 zero = 0;
    long error = -1;

    if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
        return 0;
    tgid = BPF_CORE_READ(task, tgid);
    now = bpf_map_lookup_elem(&control, &zero);
    if (now && tgid == now->self_tgid) {
        recorder_root_dentry = BPF_CORE_READ(task, fs, root.dentry);
        recorder_root_mnt = BPF_CORE_READ(task, fs, root.mnt);
    }
    if (BPF_CORE_READ(task, flags) & PF_EXITING)
        return 0;
    scratch = scratch_take(&index);
    if (!scratch)
        return 1; /* 1: the iterator calls again for the same task */
    parent = BPF_CORE_READ(task, real_parent);
    scratch->task = task;
    scratch->parent_image = image_of_other(parent, 0);
    scratch->ppid = BPF_CORE_READ(parent, tgid);
    scratch->origin = 2;
    scratch->own_memory = 0;
    known = bpf_map_lookup_elem(&tasks, &tgid);
    scratch->task_bits = known ? known->bits : 0;
    size = build_process(index);
    if (size <= sizeof(scratch->record))
        error = bpf_seq_write(ctx->meta->seq, scratch->record, size);
    entry.image = image_of_other(task, 0);
    entry.bits = scratch->task_bits;
    scratch_give(scratch);
    if (error)
        return 0; /* the buffer is full: the iterator calls again for the same task */
    entry.bits |= IOL_TASK_ANNOUNCED;
    if (known)
        known->bits = entry.bits; /* judged anew: user space has marked it since */
    else
        bpf_map_update_elem(&tasks, &tgid, &entry, BPF_NOEXIST);
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
    return 0;
}
