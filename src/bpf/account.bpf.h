/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Accounts: one slot for each process image, file and route. The hot path knows the one that its thread used last; here is
 * everything else: one hash lookup when the account is open, and what it takes to open it when it is not.
 */
#include "bpf/rules.bpf.h"

enum direction { DIRECTION_READ, DIRECTION_WRITE };

/* What find_account() returns: the slot and what is done with it; negative when neither could be had. */
#define FOUND(slot, verdict) ((int)((slot) | (__u32)(verdict) << 28))
#define FOUND_SLOT(found) ((__u32)(found)&0xffffff)
#define FOUND_VERDICT(found) ((__u32)(found) >> 28)
#define FOUND_FOR_NOW 0x1000000 /* something was busy or full: not to be remembered, the next operation asks again */
#define FOUND_NOTHING (-1)
#define FOUND_UNANNOUNCED (-2)

/* The six counters that struct iol_counters and struct iol_sums begin with. `direction` is 0 or 1. */
static __always_inline void counters_add(__u64 *counters, __u32 direction, __s64 result)
{
    direction &= 1;
    if (result < 0) {
        __sync_fetch_and_add(&counters[4 + direction], 1);
    } else {
        __sync_fetch_and_add(&counters[2 * direction], 1);
        __sync_fetch_and_add(&counters[2 * direction + 1], result);
    }
}

#define ASSERT_COUNTERS(type)                                                                                          \
    _Static_assert(                                                                                                    \
        __builtin_offsetof(struct type, read_ops) == 0 && __builtin_offsetof(struct type, read_bytes) == 8 &&          \
            __builtin_offsetof(struct type, write_ops) == 16 && __builtin_offsetof(struct type, write_bytes) == 24 &&  \
            __builtin_offsetof(struct type, read_errors) == 32 && __builtin_offsetof(struct type, write_errors) == 40, \
        "counters_add() counts on it")

ASSERT_COUNTERS(iol_counters);
ASSERT_COUNTERS(iol_sums);

/* first and last are hints of a tick's precision: a race between two threads costs a tick at most. */
static __always_inline void slot_add(struct iol_account *slot, __u64 epoch, __u64 epoch_start, enum direction direction,
                                     __s64 result)
{
    struct iol_counters *counters = &slot->epoch[epoch & 1];
    __u64 now = bpf_jiffies64();

    if (counters->last != now) {
        if (counters->last < epoch_start)
            counters->first = now;
        counters->last = now;
    }
    counters_add(&counters->read_ops, direction, result);
}

/* The kernel's own total, apart from any account. The hot path has its own, in struct iol_thread. */
static __always_inline void total_add(__u64 epoch, __u32 route, enum direction direction, __s64 result)
{
    struct iol_cpu *cpu = this_cpu();

    if (cpu) {
        struct iol_counters *total = &cpu->total[epoch & 1][masked(route, IOL_ABI_ROUTE_SLOTS - 1)];

        counters_add(&total->read_ops, direction, result);
    }
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

/* The address of the file behind a descriptor, or 0. */
static __always_inline __u64 file_of(__u64 files, __u32 fd)
{
    __u64 table;

    if (!files)
        return 0;
    table = LOAD_ADDRESS(files_struct, files, fdt);
    if (fd >= LOAD(AS(fdtable, table), max_fds))
        return 0;
    return load_word(LOAD_ADDRESS(fdtable, table, fd) + 8 * (__u64)fd);
}

/* The part of the key that tells the file, its name and its mount: loads of four cache lines, most of them warm. */
static __always_inline void name_file(struct iol_account_key *key, __u64 file, __u32 route)
{
    __u64 inode = LOAD_ADDRESS(file, file, f_inode);
    __u64 dentry = LOAD_ADDRESS(file, file, f_path.dentry);
    const struct dentry *name = AS(dentry, dentry);

    key->inode = inode;
    key->number = LOAD(AS(inode, inode), i_ino);
    key->mix = (dentry ^ (__u64)LOAD(AS(inode, inode), i_generation) << 32) * MIX_A ^
               (LOAD(name, d_name.hash_len) ^ (LOAD(name, d_hash.pprev) == NULL)) * MIX_B ^
               (LOAD_ADDRESS(file, file, f_path.mnt) ^ route) * MIX_C;
}

/* A file, or 0: no open file. */
static __always_inline void name_account(struct iol_account_key *key, __u64 image, __u64 file, __u32 route)
{
    __u32 pseudo = IOL_FILE_NOT_OPEN;

    key->image = image;
    if (file)
        pseudo = grouped_kind(LOAD(AS(inode, LOAD_ADDRESS(file, file, f_inode)), i_mode));
    if (pseudo) {
        key->inode = 0;
        key->number = pseudo;
        key->mix = route;
    } else {
        name_file(key, file, route);
    }
}

/* Renames, rules and retired slots so far: what has been found before another one of these has to be found anew. */
static __always_inline __u64 version_of(const struct iol_control *now)
{
    return *(const volatile __u64 *)&now->renames;
}

_Static_assert(__builtin_offsetof(struct iol_control, retired) == __builtin_offsetof(struct iol_control, renames) + 4 &&
                   __builtin_offsetof(struct iol_control, renames) % 8 == 0,
               "version_of() reads both");

/* Sixty-four bits that stand for key and version. */
static __always_inline __u64 name_of_account(const struct iol_account_key *key, __u64 version)
{
    __u64 h = key->mix ^ key->mix >> 32;

    h = (h ^ key->inode) * MIX_A;
    h = (h ^ h >> 29 ^ key->number) * MIX_B;
    return h ^ h >> 32 ^ key->image ^ version * MIX_C;
}

/*
 * Makes ref->slot the slot of `key`. Another thread may have been first: then its slot is the one, and
 * ours goes back unused. Returns the slot's index, or -1 when the map of accounts takes no more.
 */
static __always_inline int slot_publish(const struct iol_account_key *key, const struct iol_account_ref *ref)
{
    struct iol_account_ref *winner;
    __u32 index = ref->slot;

    if (!bpf_map_update_elem(&accounts, key, ref, BPF_NOEXIST))
        return index;
    bpf_map_push_elem(&free_slots, &index, BPF_ANY);
    winner = bpf_map_lookup_elem(&accounts, key);
    return winner ? winner->slot : -1;
}

static __always_inline void slot_describe(struct iol_account *slot, const struct iol_account_key *key, __u64 file,
                                          __u32 kind, __u32 route, __u32 verdict, __u32 sample)
{
    slot->key = *key;
    slot->file = file;
    slot->kind = kind;
    slot->route = route;
    slot->verdict = verdict;
    slot->sample = sample;
    slot->opened_ns = bpf_ktime_get_boot_ns();
}

/* What is asked of the slow path. */
struct question {
    __u64 image;
    __u64 task; /* address */
    __u64 file; /* address; 0: none */
    __u32 route;
    __u32 renames; /* iol_control.renames and rules before anything was looked at */
    __u32 rules;
    __u32 reserved;
};

/* Opens the account of a pseudo file: the process's, and when there is no slot for it, the host's. */
static __noinline int open_pseudo(const struct question *what, __u32 pseudo, __u32 verdict, __u32 sample)
{
    struct iol_account_key key = {.image = what->image, .number = pseudo, .mix = what->route};
    struct iol_account_ref ref = {.renames = what->renames, .rules = what->rules, .verdict = verdict};
    struct iol_account_ref *known = bpf_map_lookup_elem(&accounts, &key);
    struct iol_account *slot;
    int published;

    if (known && known->rules != what->rules && known->verdict == verdict) {
        slot = bpf_map_lookup_elem(&slots, &known->slot);
        if (slot && slot->sample == sample)
            known->rules = what->rules;
    }
    if (known && known->rules == what->rules)
        return FOUND(known->slot, known->verdict);
    if (known)
        bpf_map_delete_elem(&accounts, &key); /* the rules say something else of it now */
    if (bpf_map_pop_elem(&free_slots, &ref.slot) && bpf_map_pop_elem(&spare_slots, &ref.slot))
        return FOUND(what->route, IOL_VERDICT_AGGREGATE);
    slot = bpf_map_lookup_elem(&slots, &ref.slot);
    if (!slot)
        return FOUND_NOTHING;
    slot_describe(slot, &key, pseudo, pseudo >= IOL_FILE_GROUP ? pseudo - IOL_FILE_GROUP : (__u32)IOL_ABI_KIND_OTHER,
                  what->route, verdict, sample);
    published = slot_publish(&key, &ref);
    return published < 0 ? FOUND(what->route, IOL_VERDICT_AGGREGATE) : FOUND(published, verdict);
}

static __always_inline int open_other(const struct question *what)
{
    return open_pseudo(what, IOL_FILE_OTHER, IOL_VERDICT_AGGREGATE, 1);
}

/* Marks what was found as not to be remembered. */
static __always_inline int for_now(int found)
{
    return found < 0 ? found : found | FOUND_FOR_NOW;
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

/* Builds the record of scratch->file, with scratch->file_key, as scratch->task sees it, and returns its size. */
__noinline int build_file(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_record_file *record;
    struct fs_struct *fs;
    struct task_struct *task;
    struct file *file;
    struct path *root;
    __u32 size;

    if (!scratch)
        return 0;
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
    return size;
}

/* Verdict and known file of scratch->file, by path and kind; the path is walked for it once for each set of rules. */
static __always_inline void judge_file(struct scratch *scratch, __u32 index, struct known_file *known)
{
    struct iol_rules *now = rules_of(scratch->rules);
    struct task_struct *task = scratch->task;
    struct file *file = scratch->file;
    struct fs_struct *fs = BPF_CORE_READ(task, fs);

    if (!now)
        return;
    if (known->rules != scratch->rules) {
        set_walk(scratch, __builtin_preserve_access_index(&file->f_path), __builtin_preserve_access_index(&fs->root));
        walk_path(index);
        known->matches =
            file_matches(scratch, now, file_kind(BPF_CORE_READ(file, f_inode), BPF_CORE_READ(file, f_path.dentry)),
                         !(scratch->bits & IOL_FILE_PSEUDO_DENTRY));
        known->rules = scratch->rules;
    }
    decide(scratch, now, scope_matches(scratch, index, now, known->matches));
}

/* Changes whenever the file's own name does. */
static __always_inline __u32 name_sequence(struct file *file)
{
    return BPF_CORE_READ(file, f_path.dentry, d_seq.seqcount.sequence);
}

/* Once: see consider_file(). 1 + IOL_LOST_RENAMED: the name has changed meanwhile. */
static __always_inline int try_to_consider(struct scratch *scratch, __u32 index)
{
    struct known_file *known, entry = {};
    __u32 sequence = name_sequence(scratch->file);
    __u32 size = 0;
    __u64 key;

    make_file_key(index);
    key = scratch->file_key;
    known = bpf_map_lookup_elem(&files, &key);
    if (known)
        entry = *known;
    scratch->verdict = IOL_VERDICT_AGGREGATE;
    scratch->sample = 1;
    if (scratch->rules)
        judge_file(scratch, index, &entry);
    if (known && known->rules == entry.rules && (known->sent || scratch->verdict == IOL_VERDICT_IGNORE))
        return 0;
    if (!entry.sent && scratch->verdict != IOL_VERDICT_IGNORE)
        size = build_file(index);
    /* key and path have been read one after the other: of the same name? */
    make_file_key(index);
    if (scratch->file_key != key || name_sequence(scratch->file) != sequence)
        return 1 + IOL_LOST_RENAMED;
    if (size) {
        if (size > sizeof(scratch->record) || ring_send(scratch->record, size))
            return 1 + IOL_LOST_FILE_RECORDS;
        entry.sent = 1;
    }
    bpf_map_update_elem(&files, &key, &entry, BPF_ANY);
    return 0;
}

#define TRIES 4

/*
 * Everything that opening an account has to know of scratch->file: its key and the verdict of the rules, into scratch. Makes
 * the file known to user space unless it is, or is ignored. 0, or 1 + the reason (enum iol_lost) why it could not be.
 */
__noinline int consider_file(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    int i, lost = 1 + IOL_LOST_SCRATCH;

    if (!scratch)
        return lost;
    for (i = 0; i < TRIES; i++) {
        lost = try_to_consider(scratch, index);
        if (lost != 1 + IOL_LOST_RENAMED)
            break;
    }
    return lost;
}

/* Opens the account of a pseudo file under the verdict of the rules. */
static __always_inline int open_group(const struct question *what, __u32 pseudo)
{
    __u32 verdict = IOL_VERDICT_AGGREGATE, sample = 1;
    struct scratch *scratch;
    __u32 index;

    if (what->rules && pseudo >= IOL_FILE_GROUP) {
        scratch = scratch_take(&index);
        if (!scratch) {
            count_lost(IOL_LOST_SCRATCH, 1);
            return for_now(open_other(what));
        }
        scratch->task = (struct task_struct *)what->task;
        scratch->rules = what->rules;
        judge_pseudo(index, pseudo - IOL_FILE_GROUP);
        verdict = scratch->verdict;
        sample = scratch->sample;
        scratch_give(scratch);
    }
    if (verdict == IOL_VERDICT_IGNORE)
        return FOUND(0, IOL_VERDICT_IGNORE);
    return open_pseudo(what, pseudo, verdict, sample);
}

/* Opens the account of a file, which consider_file() has looked at. */
static __always_inline int open_slot(const struct question *what, const struct iol_account_key *key,
                                     const struct scratch *scratch, __u32 kind)
{
    struct iol_account_ref ref = {.renames = what->renames, .rules = what->rules, .verdict = scratch->verdict};
    struct iol_account *slot;
    int published;

    if (bpf_map_pop_elem(&free_slots, &ref.slot)) {
        count_lost(IOL_LOST_ACCOUNTS_FULL, 1);
        return open_other(what);
    }
    slot = bpf_map_lookup_elem(&slots, &ref.slot);
    if (!slot)
        return FOUND_NOTHING;
    slot_describe(slot, key, scratch->file_key, kind, what->route, scratch->verdict, scratch->sample);
    published = slot_publish(key, &ref);
    if (published < 0) {
        count_lost(IOL_LOST_ACCOUNTS_FULL, 1);
        return open_other(what);
    }
    return FOUND(published, ref.verdict);
}

/* Whether the account is still the right one for what consider_file() found; or when that could not be told. */
static __always_inline bool account_holds(const struct question *what, struct iol_account_ref *known,
                                          const struct scratch *scratch, int lost)
{
    __u32 index = known->slot;
    const struct iol_account *slot = bpf_map_lookup_elem(&slots, &index);

    if (!slot || lost)
        return slot != NULL;
    if (slot->file != scratch->file_key || known->verdict != scratch->verdict || slot->sample != scratch->sample)
        return false;
    known->rules = what->rules;
    known->renames = what->renames;
    return true;
}

/*
 * The account is not open, or something has happened since its path and verdict were last known to be right: `known` is
 * its entry then. When there is no scratch to find out what holds now, the next operation asks again.
 */
static __always_inline int open_account(const struct question *what, const struct iol_account_key *key,
                                        struct iol_account_ref *known)
{
    struct file *file = (struct file *)what->file;
    __u32 kind = file_kind(BPF_CORE_READ(file, f_inode), BPF_CORE_READ(file, f_path.dentry));
    struct scratch *scratch;
    __u32 index;
    int lost, found;

    if (!(settings.kinds >> (kind & 31) & 1))
        return open_group(what, IOL_FILE_GROUP + kind);
    scratch = scratch_take(&index);
    if (!scratch) {
        if (known)
            return for_now(FOUND(known->slot, known->verdict));
        count_lost(IOL_LOST_SCRATCH, 1);
        return for_now(open_other(what));
    }
    scratch->task = (struct task_struct *)what->task;
    scratch->file = file;
    scratch->rules = what->rules;
    lost = consider_file(index);
    if (known && account_holds(what, known, scratch, lost)) {
        found = FOUND(known->slot, known->verdict);
        if (lost)
            found = for_now(found);
    } else {
        if (known)
            bpf_map_delete_elem(&accounts, key); /* the slot lives on under its old path, until its process ends */
        if (lost) {
            count_lost(lost - 1, 1);
            found = for_now(open_other(what));
        } else if (scratch->verdict == IOL_VERDICT_IGNORE) {
            found = FOUND(0, IOL_VERDICT_IGNORE);
        } else {
            found = open_slot(what, key, scratch, kind);
        }
    }
    scratch_give(scratch);
    return found;
}

/* Ignored accounts have no slot: they are remembered by name. */
static __always_inline bool is_ignored(__u64 name)
{
    return bpf_map_lookup_elem(&ignored, &name) != NULL;
}

/* As open_account(), for an account that belongs to no single file: only rules can have changed. */
static __always_inline int reopen_group(const struct question *what, const struct iol_account_key *key,
                                        struct iol_account_ref *known)
{
    if (known && known->rules == what->rules) {
        known->renames = what->renames;
        return FOUND(known->slot, known->verdict);
    }
    if (known)
        bpf_map_delete_elem(&accounts, key);
    return open_group(what, key->number);
}

#define HOW_ANNOUNCED 0x100

/*
 * Finds the account of image, file (an address; 0: no open file) and route, and opens it if need be. `how` is the route
 * and, once the image has been announced, HOW_ANNOUNCED: otherwise FOUND_UNANNOUNCED asks for it. It is not announced from here:
 * see "Stack" in compat.bpf.h. A global function: the verifier looks at it once.
 */
__noinline int find_account(__u64 image, __u64 task, __u64 file, __u32 how)
{
    struct question what = {.image = image, .task = task, .file = file, .route = how & (IOL_ABI_ROUTE_SLOTS - 1)};
    struct iol_account_key key = {};
    struct iol_account_ref *known;
    struct iol_control *now;
    __u8 one = 1;
    __u32 zero = 0;
    __u64 version, name = 0;
    int found;

    now = bpf_map_lookup_elem(&control, &zero);
    if (!now)
        return FOUND_NOTHING;
    version = version_of(now);
    what.renames = version;
    what.rules = now->rules;
    name_account(&key, image, file, what.route);
    known = bpf_map_lookup_elem(&accounts, &key);
    if (known && known->renames == what.renames)
        return FOUND(known->slot, known->verdict);
    if (what.rules) {
        name = name_of_account(&key, version);
        if (is_ignored(name))
            return FOUND(0, IOL_VERDICT_IGNORE);
    }
    if (!(how & HOW_ANNOUNCED) && !is_announced(BPF_CORE_READ((struct task_struct *)task, tgid), image))
        return FOUND_UNANNOUNCED;
    found = key.inode ? open_account(&what, &key, known) : reopen_group(&what, &key, known);
    if (found >= 0 && FOUND_VERDICT(found) == IOL_VERDICT_IGNORE)
        bpf_map_update_elem(&ignored, &name, &one, BPF_ANY);
    return found;
}
