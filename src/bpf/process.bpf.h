/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* Identity of process images, the filters' verdict on them, and the process records. */
#include "bpf/path.bpf.h"
#include "bpf/task.bpf.h"

#define IMAGE_PID_BITS 16

/* A hash, but for the lower bits, which are the pid's: processes that were made one after the other have neighbouring sets of accounts. */
static __always_inline __u64 image_key(__u64 start_boottime, __u32 tgid, __u64 exec_id)
{
    __u64 h = start_boottime * MIX_A ^ ((__u64)tgid << 32 | (__u32)exec_id) * MIX_B;

    h = (h ^ h >> 29) * MIX_C;
    return h >> IMAGE_PID_BITS << IMAGE_PID_BITS | (tgid & ((1U << IMAGE_PID_BITS) - 1));
}

/*
 * The image that runs in a task: the thread group leader's start (kept by a thread that takes over
 * the group in exec), the pid, and self_exec_id, which begin_new_exec() counts up and fork copies.
 */
static __always_inline __u64 image_of(const struct task_struct *task)
{
    const struct task_struct *leader = LOAD(task, group_leader);

    return image_key(LOAD(leader, start_boottime), LOAD(task, tgid), LOAD(task, self_exec_id));
}

/* The same of the leader itself, which a new process is, and whoever has come through exec (de_thread() of fs/exec.c). */
static __always_inline __u64 image_of_leader(const struct task_struct *leader)
{
    return image_key(LOAD(leader, start_boottime), LOAD(leader, tgid), LOAD(leader, self_exec_id));
}

/* The one that ran in it an exec before. */
static __always_inline __u64 image_before(const struct task_struct *leader)
{
    return image_key(LOAD(leader, start_boottime), LOAD(leader, tgid), LOAD(leader, self_exec_id) - 1);
}

/* Of a task that is no typed pointer. */
static __always_inline __u64 image_at(const void *address)
{
    return image_of(AS(task_struct, address));
}

#define CGROUP_LEVELS 24

/* Hierarchies that a machine may have: v2, a v1 one for each of its 14 controllers at most, and some named ones. */
#define CGROUP_HIERARCHIES 24

/* Is the cgroup with this node one of the filter's, or below one? A global function: the verifier looks at it once. */
__noinline int below_chosen_cgroup(__u64 node, __u32 hierarchy)
{
    struct kernfs_node *at = (struct kernfs_node *)node;
    int i;

    for (i = 0; i < CGROUP_LEVELS && at; i++) {
        __u64 key = BPF_CORE_READ(at, id) | (__u64)hierarchy << IOL_CGROUP_HIERARCHY_SHIFT;

        if (bpf_map_lookup_elem(&cgroup_filter, &key))
            return 1;
        at = kernfs_parent(at);
    }
    return 0;
}

/*
 * Is a process with this css_set in a cgroup of the filter, in whichever hierarchy? Nobody holds css_set_lock for us: when
 * the process is moved meanwhile the answer may be wrong, and on_cgroup_attach asks again afterwards.
 */
__noinline int in_chosen_cgroup(__u64 css_set)
{
    struct css_set *set = (struct css_set *)css_set;
    struct list_head *head = __builtin_preserve_access_index(&set->cgrp_links);
    struct list_head *at = BPF_CORE_READ(set, cgrp_links.next);
    int i;

    for (i = 0; i < CGROUP_HIERARCHIES && at && at != head; i++) {
        struct cgrp_cset_link *link = (void *)at - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);
        struct cgroup *cgroup = BPF_CORE_READ(link, cgrp);

        if (below_chosen_cgroup((__u64)BPF_CORE_READ(cgroup, kn), BPF_CORE_READ(cgroup, root, hierarchy_id)))
            return 1;
        at = BPF_CORE_READ(at, next);
    }
    return 0;
}

/*
 * Which of the filters the process meets; `bits` brings what is inherited (DESCENDANT, EXE, EXCLUDED). A global function: its
 * stack is not in the chains that pass through its callers.
 */
__noinline int judge(__u64 address, __u32 bits)
{
    struct task_struct *task = (struct task_struct *)address;
    __u32 filter = settings.filter;

    bits &= ~(__u32)IOL_TASK_TRACED;
    if (bits & (IOL_TASK_EXCLUDED | IOL_TASK_AT_EXEC))
        return bits;
    if (filter & IOL_FILTER_DESCENDANT && !(bits & IOL_TASK_DESCENDANT))
        return bits;
    if (filter & IOL_FILTER_EXE && !(bits & IOL_TASK_EXE))
        return bits;
    if (filter & IOL_FILTER_COMM) {
        char comm[IOL_COMM_MAX] = {};

        BPF_CORE_READ_STR_INTO(&comm, task, comm);
        if (!bpf_map_lookup_elem(&comm_filter, comm))
            return bits;
    }
    if (filter & IOL_FILTER_UID) {
        __u32 uid = BPF_CORE_READ(task, real_cred, uid.val);

        if (!bpf_map_lookup_elem(&uid_filter, &uid))
            return bits;
    }
    if (filter & IOL_FILTER_CGROUP && !in_chosen_cgroup((__u64)BPF_CORE_READ(task, group_leader, cgroups)))
        return bits;
    return bits | IOL_TASK_TRACED;
}

/* Is the path that was found one of --exe? */
static __always_inline bool exe_matches(struct scratch *scratch)
{
    __u32 len = path_length(scratch);

    if (len == 0 || len >= IOL_EXE_FILTER_MAX)
        return false;
    __builtin_memset(scratch->exe_key, 0, sizeof(scratch->exe_key));
    bpf_probe_read_kernel(scratch->exe_key, masked(len, IOL_EXE_FILTER_MAX - 1), path_text(scratch));
    return bpf_map_lookup_elem(&exe_filter, scratch->exe_key) != NULL;
}

/* The v2 cgroup when the machine uses v2; else the one of the first v1 hierarchy that is not at its root: those can be renamed. */
static __always_inline struct kernfs_node *cgroup_node_of(const struct task_struct *task, bool *ret_older)
{
    const struct css_set *typed_set = LOAD(task, cgroups);
    const struct cgroup *newer = LOAD(typed_set, dfl_cgrp);
    __u64 set, cgroup;

    *ret_older = false;
    if (LOAD(newer, level) > 0)
        return LOAD(newer, kn);
    set = address_of(typed_set);
#define TRY_SUBSYS(id)                                                                                                 \
    if (bpf_core_enum_value_exists(enum cgroup_subsys_id, id)) {                                                       \
        cgroup = load_word(set + bpf_core_field_offset(struct css_set, subsys) +                                       \
                           sizeof(void *) * bpf_core_enum_value(enum cgroup_subsys_id, id));                           \
        cgroup = LOAD_ADDRESS(cgroup_subsys_state, cgroup, cgroup);                                                    \
        if (cgroup && LOAD(AS(cgroup, cgroup), level) > 0) {                                                           \
            *ret_older = true;                                                                                         \
            return (struct kernfs_node *)LOAD_ADDRESS(cgroup, cgroup, kn);                                             \
        }                                                                                                              \
    }
    TRY_SUBSYS(memory_cgrp_id)
    TRY_SUBSYS(pids_cgrp_id)
    TRY_SUBSYS(cpu_cgrp_id)
#undef TRY_SUBSYS
    return LOAD(newer, kn);
}

#define LOCATION_STEPS 32

/*
 * Of the directory up to the root, with the names and mounts in between: what its path is made of. 0: it is too deep, or there is none. Who is
 * renamed meanwhile brings a hash that nothing else has. A global function: the verifier looks at it once.
 */
__noinline __u64 hash_directory(__u64 fs)
{
    __u64 root_dentry = LOAD_ADDRESS(fs_struct, fs, root.dentry), root_mnt = LOAD_ADDRESS(fs_struct, fs, root.mnt);
    __u64 dentry = LOAD_ADDRESS(fs_struct, fs, pwd.dentry), mnt = LOAD_ADDRESS(fs_struct, fs, pwd.mnt);
    __u64 top = LOAD_ADDRESS(vfsmount, mnt, mnt_root);
    __u64 h = (root_dentry * MIX_A ^ root_mnt) * MIX_B ^ dentry_is_unhashed(dentry);
    int i;

    for (i = 0; i < LOCATION_STEPS; i++) {
        __u64 parent;

        if (dentry == root_dentry && mnt == root_mnt)
            return h;
        parent = LOAD_ADDRESS(dentry, dentry, d_parent);
        if (dentry == top || dentry == parent || !parent) {
            __u64 mount = mnt - bpf_core_field_offset(struct mount, mnt);
            __u64 above = LOAD_ADDRESS(mount, mount, mnt_parent);

            h = mix_dentry(h, dentry, mnt);
            if (dentry != top || !above || above == mount)
                return h;
            dentry = LOAD_ADDRESS(mount, mount, mnt_mountpoint);
            mnt = above + bpf_core_field_offset(struct mount, mnt);
            top = LOAD_ADDRESS(vfsmount, mnt, mnt_root);
            continue;
        }
        h = mix_dentry(h, dentry, LOAD(AS(dentry, dentry), d_name.hash_len));
        dentry = parent;
    }
    return 0;
}

/*
 * Sixty-four bits that stand for the working directory and the cgroup of the task at this address; 0: they are to be told in full. A global
 * function: the verifier looks at it once.
 */
__noinline __u64 location_of(__u64 address)
{
    const struct task_struct *task = AS(task_struct, address);
    __u64 fs = address_of(LOAD(task, fs)), h = fs ? hash_directory(fs) : 0;
    const struct kernfs_node *node;
    bool older;

    if (!h)
        return 0;
    node = cgroup_node_of(task, &older);
    h = (h ^ h >> 31 ^ LOAD(AS(kernfs_node, node), id)) * MIX_A;
    h = (h ^ h >> 31 ^ address_of(node) ^ (older ? *(volatile __u32 *)&control.renames : 0)) * MIX_B;
    return h ^ h >> 31;
}

static __always_inline void traits_of(const struct task_struct *task, struct traits *ret_traits)
{
    const struct cred *cred = LOAD(task, real_cred);

    ret_traits->comm[0] = LOAD_WORD(task, comm, 0);
    ret_traits->comm[1] = LOAD_WORD(task, comm, 1);
    ret_traits->uid = LOAD(cred, uid.val);
    ret_traits->euid = LOAD(cred, euid.val);
    ret_traits->gid = LOAD(cred, gid.val);
    ret_traits->login_uid = bpf_core_field_exists(task->loginuid) ? LOAD(task, loginuid.val) : (__u32)-1;
    ret_traits->session_id = bpf_core_field_exists(task->sessionid) ? LOAD(task, sessionid) : (__u32)-1;
}

/* Sixty-four bits that stand for them. */
static __always_inline __u64 hash_traits(const struct traits *traits)
{
    __u64 h = traits->comm[0] * MIX_A ^ traits->comm[1];

    h = (h ^ h >> 31 ^ ((__u64)traits->euid << 32 | traits->uid)) * MIX_B;
    h = (h ^ h >> 31 ^ ((__u64)traits->login_uid << 32 | traits->gid)) * MIX_C;
    h = (h ^ h >> 31 ^ traits->session_id) * MIX_A;
    return h ^ h >> 31;
}

/* The path of the cgroup scratch->node within its hierarchy, into scratch->path. */
__noinline int walk_cgroup(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct kernfs_node *node;
    char *name;
    int i;

    if (!scratch)
        return 0;
    name = &scratch->path[IOL_PATH_MAX];
    node = scratch->node;
    /* no two cgroups have the same id, ever; those of v1 can be renamed */
    scratch->name =
        (LOAD(AS(kernfs_node, node), id) * MIX_A ^ (__u64)node) * MIX_B ^ *(volatile __u32 *)&control.renames;
    if (take_known_path(scratch, KNOWN_CGROUP))
        return 0;
    scratch->bits = 0;
    scratch->text = 0;
    scratch->offset = IOL_PATH_MAX;
    for (i = 0; i < CGROUP_LEVELS; i++) {
        struct kernfs_node *parent = kernfs_parent(node);
        long len;

        if (!parent)
            break;
        len = bpf_probe_read_kernel_str(name, NAME_SLACK, LOAD(AS(kernfs_node, node), name));
        if (len <= 1 || IOL_PATH_MAX - scratch->offset + len > IOL_CGROUP_MAX)
            break;
        prepend_name(scratch, (const unsigned char *)name, (__u32)len - 1, true);
        node = parent;
    }
    if (scratch->offset == IOL_PATH_MAX)
        prepend_name(scratch, NULL, 0, true);
    keep_known_path(scratch, KNOWN_CGROUP);
    return 0;
}

/* argv from the memory of the current process; returns the offset behind it. */
static __always_inline __u32 copy_argv(struct scratch *scratch, struct iol_record_process *record, __u32 at,
                                       struct mm_struct *mm)
{
    __u64 start = LOAD(AS(mm_struct, mm), arg_start);
    __u64 len = LOAD(AS(mm_struct, mm), arg_end) - start;

    if (len > IOL_ARGV_MAX) {
        len = IOL_ARGV_MAX;
        record->bits |= IOL_PROCESS_ARGV_TRUNCATED;
    }
    if (bpf_probe_read_user(&scratch->record[at & RECORD_OFFSET_MASK], masked(len, 2 * IOL_ARGV_MAX - 1),
                            (void *)start)) {
        record->bits |= IOL_PROCESS_NO_ARGV;
        return at;
    }
    record->argv_len = len;
    return at + len;
}

/* What the innermost pid namespace calls the process; 0: it is in no other than the host's. */
static __always_inline __u32 namespace_pid(const struct task_struct *leader)
{
    struct pid *pid = LOAD(leader, thread_pid);
    __u32 level = LOAD(pid, level);
    struct upid *innermost =
        (void *)pid + bpf_core_field_offset(struct pid, numbers) + (__u64)level * bpf_core_type_size(struct upid);

    return level ? BPF_CORE_READ(innermost, nr) : 0;
}

_Static_assert(IOL_COMM_MAX == 16 && __builtin_offsetof(struct iol_record_process, comm) % 8 == 0,
               "fill_process() copies it as words");

/* What is of one size in the record of the process. */
static __noinline void fill_process(__u32 index, const struct task_struct *task)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    const struct task_struct *leader = LOAD(task, group_leader);
    struct iol_record_process *record;
    struct traits *traits;

    if (!scratch)
        return;
    record = (struct iol_record_process *)scratch->record;
    traits = &scratch->traits;
    traits_of(task, traits);
    __builtin_memset(record, 0, sizeof(*record));
    record->head.type = IOL_RECORD_PROCESS;
    record->head.ts = bpf_ktime_get_boot_ns();
    record->parent_image = scratch->parent_image;
    record->start_ns = LOAD(leader, start_boottime);
    record->exec_ns = scratch->origin == 1 ? record->head.ts : 0;
    record->pid = LOAD(task, tgid);
    record->image = image_key(record->start_ns, record->pid, LOAD(task, self_exec_id));
    scratch->entry.image = record->image;
    scratch->entry.tgid = record->pid;
    record->tid = LOAD(task, pid);
    record->ns_pid = namespace_pid(leader);
    record->ppid = scratch->ppid;
    record->origin = scratch->origin;
    record->uid = traits->uid;
    record->euid = traits->euid;
    record->gid = traits->gid;
    record->login_uid = traits->login_uid;
    record->session_id = traits->session_id;
    if (LOAD(task, flags) & PF_KTHREAD)
        record->bits |= IOL_PROCESS_KERNEL;
    *(__u64 *)&record->comm[0] = traits->comm[0];
    *(__u64 *)&record->comm[8] = traits->comm[1];
    scratch->entry.traits = hash_traits(traits);
}

/* Where set_walk() has pointed to. */
static __always_inline void find_path(__u32 index)
{
    if (recall_path(index))
        return;
    walk_path(index);
    keep_path(index);
}

/*
 * Builds the record of the process in scratch->record and returns its size; the verdict
 * of the filters is missing in it, see judge_process(). A fork inherits exe and argv from its parent in user
 * space, which knows them; only its working directory is walked here.
 */
static __noinline int build_process(__u32 index, const struct task_struct *task)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_record_process *record;
    struct mm_struct *mm;
    struct fs_struct *fs;
    struct file *exe;
    struct path *root;
    bool older;
    __u32 at = sizeof(*record);

    if (!scratch)
        return 0;
    record = (struct iol_record_process *)scratch->record;
    fs = (struct fs_struct *)address_of(LOAD(task, fs));
    mm = (struct mm_struct *)address_of(LOAD(task, mm));
    exe = (struct file *)LOAD_ADDRESS(mm_struct, (__u64)mm, exe_file);
    root = __builtin_preserve_access_index(&fs->root);

    fill_process(index, task);
    if (scratch->origin == 0) {
        record->bits |= IOL_PROCESS_INHERITS;
    } else if (exe && fs) {
        fill_file_info(&record->exe, exe);
        set_walk(scratch, __builtin_preserve_access_index(&exe->f_path), root);
        find_path(index);
        record->exe.bits = scratch->bits | root_bits(task, root);
        record->exe.path_len = path_length(scratch);
        at = copy_path(scratch, at);
        scratch->task_bits &= ~(__u32)IOL_TASK_EXE;
        if (settings.filter & IOL_FILTER_EXE && exe_matches(scratch))
            scratch->task_bits |= IOL_TASK_EXE;
    }
    record->bits |= scratch->location_bits;
    if (!(scratch->location_bits & IOL_PROCESS_SAME_LOCATION)) {
        if (fs) {
            set_walk(scratch, __builtin_preserve_access_index(&fs->pwd), root);
            find_path(index);
            record->cwd_bits = scratch->bits;
            record->cwd_len = path_length(scratch);
            at = copy_path(scratch, at);
        }
        /* by its address: each pointer that is loaded through a trusted one costs Linux 6.4 and newer a search of all types when this is verified */
        scratch->node = cgroup_node_of(AS(task_struct, address_of(task)), &older);
        walk_cgroup(index);
        record->cgroup_len = path_length(scratch);
        at = copy_path(scratch, at);
    }
    if (scratch->origin != 0) {
        if (mm && scratch->own_memory)
            at = copy_argv(scratch, record, at, mm);
        else
            record->bits |= IOL_PROCESS_NO_ARGV;
    }
    record->head.size = at;
    return at;
}

/* The verdict of the filters on scratch->task, into scratch->task_bits and the record that build_process() has made. */
static __always_inline void judge_process(struct scratch *scratch)
{
    struct iol_record_process *record = (struct iol_record_process *)scratch->record;

    scratch->task_bits = judge((__u64)scratch->task, scratch->task_bits);
    if (scratch->task_bits & IOL_TASK_TRACED)
        record->bits |= IOL_PROCESS_TRACED;
}

/*
 * What the record of the process in scratch tells user space for good: of one image the first record counts. `entry` has its traits, and its location
 * before it was told; the process may have moved meanwhile.
 */
static __always_inline void keep_told(struct iol_task *entry, const struct task_struct *task, bool same)
{
    const struct iol_task *known = find_task(entry->tgid);

    if (known && known->image == entry->image && known->bits & IOL_TASK_ANNOUNCED) {
        entry->location = known->location;
        entry->traits = known->traits;
    } else if (!same && location_of(address_of(task)) != entry->location) {
        entry->location = 0;
    }
}

/* Sends the record of the process and remembers the process with its verdict. */
static __noinline int announce_scratch(__u32 index, const struct task_struct *task)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);

    if (!scratch)
        return 0;
    build_process(index, task);
    judge_process(scratch);
    scratch->entry.bits = scratch->task_bits & ~(__u32)IOL_TASK_ANNOUNCED;
    keep_told(&scratch->entry, task, scratch->location_bits & IOL_PROCESS_SAME_LOCATION);
    if (!send_record(scratch))
        scratch->entry.bits |= IOL_TASK_ANNOUNCED;
    else
        count_lost(IOL_LOST_PROCESS_RECORDS, 1);
    remember_task(&scratch->entry);
    return 0;
}

/* Without a buffer for the record: the process is known all the same. */
__noinline int announce_nothing(__u64 address, __u32 bits)
{
    struct task_struct *task = (struct task_struct *)address;
    struct iol_task entry = {.image = image_at(task), .tgid = LOAD(AS(task_struct, task), tgid)};

    count_lost(IOL_LOST_PROCESS_RECORDS, 1);
    entry.bits = judge(address, bits) & ~(__u32)IOL_TASK_ANNOUNCED;
    remember_task(&entry);
    return 0;
}

struct announcement {
    const struct task_struct *task;
    __u64 parent_image;
    __u32 ppid;
    __u32 origin;
    __u32 own_memory;
    __u32 task_bits;
    __u32 location_bits; /* SAME_LOCATION and PARENT_MOVED of enum iol_process_bits */
    __u64 location;      /* see location_of() */
};

/* A new image: its record, and what is known of the process from here on. */
static __always_inline void announce(const struct announcement *what)
{
    struct scratch *scratch;
    __u32 index;

    scratch = ring_is_full() ? NULL : scratch_take(&index);
    if (!scratch) {
        announce_nothing(address_of(what->task), what->task_bits);
        return;
    }
    scratch->task = (struct task_struct *)address_of(what->task);
    scratch->parent_image = what->parent_image;
    scratch->ppid = what->ppid;
    scratch->origin = what->origin;
    scratch->own_memory = what->own_memory;
    scratch->task_bits = what->task_bits;
    scratch->location_bits = what->location_bits;
    scratch->entry.location = what->location;
    announce_scratch(index, what->task);
    scratch_give(scratch);
}

static __always_inline __u32 parent_of(const struct task_struct *task)
{
    const struct task_struct *parent = LOAD(task, real_parent);

    return LOAD(parent, tgid);
}

/* What opening an account asks: has this image been announced? */
static __always_inline bool is_announced(__u32 tgid, __u64 image)
{
    const struct iol_task *known = find_task(tgid);

    return known && known->image == image && known->bits & IOL_TASK_ANNOUNCED;
}

/* If not (its record was lost), then now. `task` is an address; its memory can be read when it is the current process. */
__noinline int announce_task(__u64 image, __u64 address)
{
    const struct task_struct *task = AS(task_struct, address), *parent;
    struct announcement what = {.task = task, .origin = 2};
    __u32 tgid = LOAD(task, tgid);
    struct iol_task *known = find_task(tgid);

    if (is_announced(tgid, image))
        return 0;
    if (known && known->image == image && ring_is_full()) {
        count_lost(IOL_LOST_PROCESS_RECORDS, 1);
        return 0;
    }
    if (known)
        what.task_bits = known->bits;
    what.own_memory = bpf_get_current_pid_tgid() >> 32 == tgid;
    parent = LOAD(task, real_parent);
    what.ppid = LOAD(parent, tgid);
    what.parent_image = image_of(parent);
    what.location = location_of(address);
    announce(&what);
    return 0;
}
