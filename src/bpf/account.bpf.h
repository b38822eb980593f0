/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* Posting an operation to its account: one hash lookup when the account is open, everything else when it is not. */
#include "bpf/process.bpf.h"

enum direction { DIRECTION_READ, DIRECTION_WRITE };

/* One operation, as the probe saw it. */
struct operation {
    struct task_struct *task;
    __u64 image;
    __u64 epoch;
    __u64 epoch_start;
    long result; /* bytes, or -errno */
    __u32 route;
    __u32 renames; /* iol_control.renames before anything was looked at */
};

static __always_inline void counters_add(struct iol_counters *counters, enum direction direction, long result)
{
    if (result < 0) {
        __sync_fetch_and_add(direction == DIRECTION_READ ? &counters->read_errors : &counters->write_errors, 1);
    } else if (direction == DIRECTION_READ) {
        __sync_fetch_and_add(&counters->read_ops, 1);
        __sync_fetch_and_add(&counters->read_bytes, result);
    } else {
        __sync_fetch_and_add(&counters->write_ops, 1);
        __sync_fetch_and_add(&counters->write_bytes, result);
    }
}

/* first and last are hints of a tick's precision: a race between two threads costs a tick at most. */
static __always_inline void slot_add(struct iol_account *slot, const struct operation *op, enum direction direction)
{
    struct iol_counters *counters = &slot->epoch[op->epoch & 1];
    __u64 now = bpf_jiffies64();

    if (counters->last != now) {
        if (counters->last < op->epoch_start)
            counters->first = now;
        counters->last = now;
    }
    counters_add(counters, direction, op->result);
}

/* The kernel's own total: counted before and apart from any account. */
static __always_inline void total_add(__u64 epoch, __u32 route, enum direction direction, long result)
{
    struct iol_cpu *cpu = this_cpu();

    if (cpu)
        counters_add(&cpu->total[epoch & 1][masked(route, IOL_ABI_ROUTE_SLOTS - 1)], direction, result);
}

/*
 * Makes `index` the slot of `key`. Another thread may have been first: then its slot is the one, and
 * ours goes back unused. Returns the slot's index, or -1 when the map of accounts takes no more.
 */
static __always_inline int slot_publish(const struct iol_account_key *key, __u32 index, __u32 renames, void *free_list)
{
    struct iol_account_ref ref = {.slot = index, .renames = renames};
    struct iol_account_ref *winner;
    long error = bpf_map_update_elem(&accounts, key, &ref, BPF_NOEXIST);

    if (!error)
        return index;
    bpf_map_push_elem(free_list, &index, BPF_ANY);
    winner = bpf_map_lookup_elem(&accounts, key);
    return winner ? winner->slot : -1;
}

static __always_inline void slot_describe(struct iol_account *slot, const struct iol_account_key *key, __u64 file,
                                          __u32 kind, __u32 route)
{
    slot->key = *key;
    slot->file = file;
    slot->kind = kind;
    slot->route = route;
    slot->opened_ns = bpf_ktime_get_boot_ns();
}

/* The account of a pseudo file: the process's, and when there is no slot for it, the host's. */
static __noinline struct iol_account *open_pseudo(const struct operation *op, __u32 pseudo)
{
    struct iol_account_key key = {.image = op->image, .number = pseudo, .mix = op->route};
    struct iol_account_ref *known = bpf_map_lookup_elem(&accounts, &key);
    struct iol_account *slot;
    __u32 index = op->route;
    int published;

    if (known) {
        index = known->slot;
        return bpf_map_lookup_elem(&slots, &index);
    }
    if (bpf_map_pop_elem(&free_slots, &index) && bpf_map_pop_elem(&spare_slots, &index)) {
        index = op->route;
        return bpf_map_lookup_elem(&slots, &index);
    }
    slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot)
        return NULL;
    slot_describe(slot, &key, pseudo, pseudo >= IOL_FILE_GROUP ? pseudo - IOL_FILE_GROUP : IOL_ABI_KIND_OTHER,
                  op->route);
    published = slot_publish(&key, index, op->renames, &free_slots);
    index = published < 0 ? op->route : (__u32)published;
    return bpf_map_lookup_elem(&slots, &index);
}

/*
 * Makes scratch->file_key: everything that tells this name of scratch->file, as scratch->task sees it,
 * from any other, the directories and mounts above it included. So a file has another key as soon as one of them is renamed.
 */
__noinline int make_file_key(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct task_struct *task;
    struct dentry *dentry;
    struct inode *inode;
    struct fs_struct *fs;
    struct file *file;
    __u64 h;
    int i;

    if (!scratch)
        return 0;
    task = scratch->task;
    file = scratch->file;
    fs = BPF_CORE_READ(task, fs);
    inode = BPF_CORE_READ(file, f_inode);
    dentry = BPF_CORE_READ(file, f_path.dentry);
    h = ((__u64)BPF_CORE_READ(inode, i_sb, s_dev) << 32 | BPF_CORE_READ(inode, i_generation)) * MIX_A;
    h = (h ^ BPF_CORE_READ(inode, i_ino)) * MIX_B;
    h = (h ^ h >> 31 ^ (__u64)dentry ^ dentry_is_unhashed(dentry)) * MIX_C;
    h = (h ^ h >> 31 ^ (__u64)BPF_CORE_READ(file, f_path.mnt)) * MIX_A;
    h = (h ^ h >> 31 ^ (__u64)BPF_CORE_READ(fs, root.dentry)) * MIX_B;
    scratch->file_key = (h ^ h >> 31 ^ (__u64)BPF_CORE_READ(fs, root.mnt)) * MIX_C;
    set_walk(scratch, __builtin_preserve_access_index(&file->f_path), __builtin_preserve_access_index(&fs->root));
    for (i = 0; i < WALK_CALLS; i++) {
        if (mix_steps(index))
            break;
    }
    h = scratch->file_key;
    h ^= h >> 31;
    scratch->file_key = h < IOL_FILE_PSEUDO_END ? h + IOL_FILE_PSEUDO_END : h;
    return 0;
}

/* Sends the record of scratch->file, with scratch->file_key, as scratch->task sees it; not 0 when the ring buffer is full. */
__noinline int send_file(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_record_file *record;
    struct fs_struct *fs;
    struct task_struct *task;
    struct file *file;
    struct path *root;
    __u32 size;

    if (!scratch)
        return 1;
    task = scratch->task;
    file = scratch->file;
    fs = BPF_CORE_READ(task, fs);
    root = __builtin_preserve_access_index(&fs->root);
    record = (struct iol_record_file *)scratch->record;
    __builtin_memset(record, 0, sizeof(*record));
    record->head.type = IOL_RECORD_FILE;
    record->head.ts = bpf_ktime_get_boot_ns();
    record->key = scratch->file_key;
    fill_file_info(&record->info, file);
    set_walk(scratch, __builtin_preserve_access_index(&file->f_path), root);
    walk_path(index);
    record->info.bits = scratch->bits | root_bits(task, root);
    record->info.path_len = path_length(scratch);
    size = copy_path(scratch, sizeof(*record));
    record->head.size = size;
    return size > sizeof(scratch->record) || ring_send(scratch->record, size);
}

/*
 * Makes the file known to user space unless it is, and tells its key; 0, or 1 + the reason (enum
 * iol_lost) why it could not be.
 */
static __always_inline int know_file(struct task_struct *task, struct file *file, __u64 *ret_key)
{
    struct scratch *scratch;
    __u32 one = 1;
    __u32 index;
    int error = 0;
    __u64 key;

    scratch = scratch_take(&index);
    if (!scratch)
        return 1 + IOL_LOST_SCRATCH;
    scratch->task = task;
    scratch->file = file;
    make_file_key(index);
    key = scratch->file_key;
    *ret_key = key;
    if (!bpf_map_lookup_elem(&files, &key)) {
        error = send_file(index);
        if (!error)
            bpf_map_update_elem(&files, &key, &one, BPF_ANY);
    }
    scratch_give(scratch);
    return error ? 1 + IOL_LOST_FILE_RECORDS : 0;
}

/*
 * Something has been renamed since the account's path was last known to be right: is it still? True
 * too when there is no scratch to find it out; then the next operation asks again.
 */
static __always_inline bool path_holds(struct task_struct *task, struct file *file, const struct iol_account *slot,
                                       struct iol_account_ref *ref, __u32 renames)
{
    struct scratch *scratch;
    __u32 index;
    bool same;

    scratch = scratch_take(&index);
    if (!scratch)
        return true;
    scratch->task = task;
    scratch->file = file;
    make_file_key(index);
    same = scratch->file_key == slot->file;
    scratch_give(scratch);
    if (same)
        ref->renames = renames;
    return same;
}

/* Opens the account of a file: slot, names, key. Falls back to (other files), counting why. */
static __always_inline struct iol_account *open_account(const struct operation *op, struct file *file,
                                                        const struct iol_account_key *key)
{
    struct iol_account *slot;
    __u64 file_key = 0;
    __u32 kind, index;
    int lost;

    kind = file_kind(BPF_CORE_READ(file, f_inode), BPF_CORE_READ(file, f_path.dentry));
    if (!(settings.kinds >> (kind & 31) & 1))
        return open_pseudo(op, IOL_FILE_GROUP + kind);
    if (bpf_map_pop_elem(&free_slots, &index)) {
        count_lost(IOL_LOST_ACCOUNTS_FULL, 1);
        return open_pseudo(op, IOL_FILE_OTHER);
    }
    slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot)
        return NULL;
    lost = know_file(op->task, file, &file_key);
    if (lost) {
        bpf_map_push_elem(&free_slots, &index, BPF_ANY);
        count_lost(lost - 1, 1);
        return open_pseudo(op, IOL_FILE_OTHER);
    }
    slot_describe(slot, key, file_key, kind, op->route);
    lost = slot_publish(key, index, op->renames, &free_slots);
    if (lost < 0) {
        count_lost(IOL_LOST_ACCOUNTS_FULL, 1);
        return open_pseudo(op, IOL_FILE_OTHER);
    }
    index = lost;
    return bpf_map_lookup_elem(&slots, &index);
}

/* By mode alone: pipes and sockets, which come and go too fast to be looked at one by one unless asked for. */
static __always_inline __u32 grouped_kind(__u16 mode)
{
    switch (mode & S_IFMT) {
    case S_IFIFO:
        return settings.kinds & 1 << IOL_ABI_KIND_PIPE ? 0 : IOL_FILE_GROUP + IOL_ABI_KIND_PIPE;
    case S_IFSOCK:
        return settings.kinds & 1 << IOL_ABI_KIND_SOCKET ? 0 : IOL_FILE_GROUP + IOL_ABI_KIND_SOCKET;
    default:
        return 0;
    }
}

static __always_inline struct file *file_of(struct task_struct *task, __u32 fd)
{
    struct files_struct *open_files = LOAD(task, files);
    struct fdtable *table;

    if (!open_files)
        return NULL;
    table = LOAD(open_files, fdt);
    if (fd >= LOAD(table, max_fds))
        return NULL;
    return load_file_slot(LOAD(table, fd) + fd);
}

/* The part of the key that tells the file, its name and its mount: loads of four cache lines, most of them warm. */
static __always_inline void name_file(struct iol_account_key *key, struct file *file, struct inode *inode, __u32 route)
{
    struct dentry *dentry = LOAD(file, f_path.dentry);

    key->inode = (__u64)inode;
    key->number = LOAD(inode, i_ino);
    key->mix = (pointer_distance(dentry, inode) ^ (__u64)LOAD(inode, i_generation) << 32) * MIX_A ^
               (LOAD(dentry, d_name.hash_len) ^ (LOAD(dentry, d_hash.pprev) == NULL)) * MIX_B ^
               (pointer_distance(LOAD(file, f_path.mnt), inode) ^ route) * MIX_C;
}

/* What account() does, in its argument `how`. */
#define HOW(route, direction) ((route) << 1 | (direction))
#define HOW_ANNOUNCED 0x100

/*
 * Posts one side of an operation: to the total, and to the account of (process image, file, route).
 * Both in the same epoch, which is read once. A global function: the verifier looks at it once.
 * Not 0: nothing was posted, for the account is to be opened and its image is not announced yet. It is
 * not announced from here: see "Stack" in compat.bpf.h.
 */
__noinline int account(__u64 image, __u32 fd, __u32 how, __s64 result)
{
    enum direction direction = how & 1;
    struct operation op = {.image = image, .result = result, .route = how >> 1 & (IOL_ABI_ROUTE_SLOTS - 1)};
    struct iol_account_key key = {.image = image};
    struct task_struct *task = current_task();
    struct iol_account *slot = NULL;
    struct iol_account_ref *known;
    struct iol_control *now;
    struct inode *inode = NULL;
    struct file *file;
    __u32 pseudo = IOL_FILE_NOT_OPEN;
    __u32 zero = 0;

    now = bpf_map_lookup_elem(&control, &zero);
    if (!now)
        return 0;
    op.epoch = *(volatile __u64 *)&now->epoch;
    op.epoch_start = now->epoch_start;
    op.renames = *(volatile __u32 *)&now->renames;
    op.task = task;

    file = file_of(task, fd);
    if (file) {
        inode = LOAD(file, f_inode);
        pseudo = grouped_kind(LOAD(inode, i_mode));
    }
    if (pseudo) {
        key.number = pseudo;
        key.mix = op.route;
    } else {
        name_file(&key, file, inode, op.route);
    }
    known = bpf_map_lookup_elem(&accounts, &key);
    if (known) {
        __u32 index = known->slot;

        slot = bpf_map_lookup_elem(&slots, &index);
        if (slot && file && !pseudo && known->renames != op.renames &&
            !path_holds(task, file, slot, known, op.renames)) {
            bpf_map_delete_elem(&accounts, &key); /* the slot lives on under its old path, until its process ends */
            slot = NULL;
        }
    }
    if (!slot) {
        if (!(how & HOW_ANNOUNCED) && !is_announced(LOAD(task, tgid), image))
            return 1;
        slot = pseudo ? open_pseudo(&op, pseudo) : open_account(&op, file, &key);
    }
    total_add(op.epoch, op.route, direction, result);
    if (slot)
        slot_add(slot, &op, direction);
    return 0;
}

static __always_inline void post(__u64 image, __u32 fd, __u32 how, __s64 result)
{
    if (account(image, fd, how, result)) {
        announce_current(image);
        account(image, fd, how | HOW_ANNOUNCED, result);
    }
}
