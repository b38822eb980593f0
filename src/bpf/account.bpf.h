/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Accounts: one slot for each process image, file and route. The hot path knows the one that its thread used last; here is
 * everything else: a look into its process's set when the account is open, and what it takes to open it when it is not.
 */
#include "bpf/table.bpf.h"

/* More of what find_account() and open_account() return. */
#define FOUND_FOR_NOW 0x1000000 /* something was busy or full: not to be remembered, the next operation asks again */
#define TAB_OF(epoch, found) ((epoch) << 32 | IOL_TAB_OPEN | (__u32)(found))
#define FOUND_NO_SCRATCH (-2)
#define FOUND_UNOPENED (-3)    /* from here on: to be opened */
#define FOUND_UNANNOUNCED (-4) /* its process is not known to user space either */
#define FOUND_OUTDATED (-5)    /* it is open; something has happened since it was known to be right */
#define FOUND_OUTDATED_UNANNOUNCED (-6)

/* For open_account(), with the route: the account was looked for, and is not open. */
#define NO_ACCOUNT 0x100

/* A pseudo file and a route, and a verdict and its sample, as one argument each. */
#define PSEUDO(number, route) ((__u32)(number) << 8 | (route))
#define JUDGED(verdict, sample) ((__u64)(verdict) << 32 | (sample))

/* Opens the account of a pseudo file: the process's, and when there is no slot for it, the host's. `state`: see state_of(). */
__noinline int open_pseudo(__u64 image, __u32 pseudo, __u64 state, __u64 judged)
{
    __u32 number = pseudo >> 8, route = pseudo & (IOL_ABI_ROUTE_SLOTS - 1), verdict = judged >> 32;
    struct iol_account_key key = {.image = image, .number = number, .mix = route};
    struct iol_account_ref ref = {.renames = (__u32)state, .rules = state >> 32};
    struct iol_account_ref *known = find_ref(&key);
    struct iol_account *slot;
    int published;
    __u32 index;

    if (known && known->rules != ref.rules && FOUND_VERDICT(known->found) == verdict) {
        index = FOUND_SLOT(known->found);
        slot = bpf_map_lookup_elem(&slots, &index);
        if (slot && slot->sample == (__u32)judged)
            known->rules = ref.rules;
    }
    if (known && known->rules == ref.rules)
        return known->found;
    if (known)
        remove_ref(&key, FOUND_SLOT(known->found)); /* the rules say something else of it now */
    if (bpf_map_pop_elem(&free_slots, &index) && bpf_map_pop_elem(&spare_slots, &index))
        return FOUND(route, IOL_VERDICT_AGGREGATE);
    slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot)
        return FOUND_NOTHING;
    ref.found = FOUND(index, verdict);
    slot_describe(slot, &key, number, number >= IOL_FILE_GROUP ? number - IOL_FILE_GROUP : (__u32)IOL_ABI_KIND_OTHER,
                  route, verdict, (__u32)judged, bpf_ktime_get_boot_ns());
    published = publish_ref(&key, &ref);
    return published < 0 ? FOUND(route, IOL_VERDICT_AGGREGATE) : published;
}

static __always_inline int open_other(__u64 image, __u32 route, __u64 state)
{
    return open_pseudo(image, PSEUDO(IOL_FILE_OTHER, route), state, JUDGED(IOL_VERDICT_AGGREGATE, 1));
}

/* Marks what was found as not to be remembered. */
static __always_inline int for_now(int found)
{
    return found < 0 ? found : found | FOUND_FOR_NOW;
}

/* The lower bits of a key, which lead to its place in `sent`, are of the inode's number without its own lowest: four that follow each other share them. */
#define PLACE_BITS 16
#define PLACE_INODES_SHIFT 2

static __always_inline __u32 sent_place(__u64 inode_number, __u64 device)
{
    return (__u32)(inode_number >> PLACE_INODES_SHIFT ^ device * MIX_A >> (64 - PLACE_BITS));
}

/* Has the processor fetch the place in `sent`, while the way up to the root is walked: nothing here waits for what is loaded. */
static __always_inline void ask_for_sent(__u32 place)
{
    const struct sent_files *set = sent_files_of(place);

    if (set)
        (void)*(const volatile __u64 *)&set->key[0];
}

/*
 * What tells this name of scratch->file, as scratch->task sees it, from any other, but for the directories and mounts above it:
 * into scratch->mixed. The walk begins at the file.
 */
static __always_inline void begin_file_key(struct scratch *scratch)
{
    __u64 file = (__u64)scratch->file, inode = LOAD_ADDRESS(file, file, f_inode);
    __u64 fs = LOAD_ADDRESS(task_struct, (__u64)scratch->task, fs), dentry, device, h;

    set_walk(scratch, (struct path *)(file + bpf_core_field_offset(struct file, f_path)),
             (struct path *)(fs + bpf_core_field_offset(struct fs_struct, root)));
    dentry = scratch->dentry;
    device = LOAD(AS(super_block, LOAD_ADDRESS(inode, inode, i_sb)), s_dev);
    h = LOAD(AS(inode, inode), i_ino);
    scratch->place = sent_place(h, device);
    ask_for_sent(scratch->place);
    h = ((device << 32 | LOAD(AS(inode, inode), i_generation)) * MIX_A ^ h) * MIX_B;
    h = (h ^ h >> 31 ^ dentry ^ dentry_is_unhashed(dentry)) * MIX_C;
    h = (h ^ h >> 31 ^ scratch->mnt) * MIX_A;
    h = (h ^ h >> 31 ^ scratch->root_dentry) * MIX_B;
    scratch->mixed = (h ^ h >> 31 ^ scratch->root_mnt) * MIX_C;
    scratch->own = 0;
    scratch->at_file = 1;
}

/* Of all that was passed from the file up to the root. */
static __always_inline __u64 finish_file_key(const struct scratch *scratch)
{
    __u64 h = scratch->mixed;

    h = (h ^ h >> 31) * MIX_A ^ scratch->own;
    h = (h ^ h >> 31) << PLACE_BITS | masked(scratch->place, (1U << PLACE_BITS) - 1);
    return h < IOL_FILE_PSEUDO_END ? h + IOL_FILE_PSEUDO_END : h;
}

/*
 * The key of scratch->file into scratch->file_key; the directories and mounts above it are in it, so that a file has another key
 * as soon as one of them is renamed.
 */
__noinline int make_file_key(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);

    if (!scratch)
        return 0;
    begin_file_key(scratch);
    scratch->torn = 0;
    if (mix_on(index) == STEP_FROM_FILE && !recall_directory(scratch))
        mix_on(index);
    scratch->file_key = finish_file_key(scratch);
    return 0;
}

/*
 * In place of make_file_key(), when the way up was walked before: one program after the other uses the same libraries. 0: the key is not known; then
 * it is to be made, and kept. The key of the account stands for inode, name and mount; of the names above, a change is counted.
 */
__noinline int recall_file_key(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct known_key *known;
    __u64 fs, dentry, h;

    if (!scratch)
        return 0;
    fs = LOAD_ADDRESS(task_struct, (__u64)scratch->task, fs);
    dentry = LOAD_ADDRESS(file, (__u64)scratch->file, f_path.dentry);
    h = LOAD_ADDRESS(fs_struct, fs, root.dentry) * MIX_A ^ LOAD_ADDRESS(fs_struct, fs, root.mnt) * MIX_B;
    h = (h ^ h >> 31 ^ LOAD_ADDRESS(dentry, dentry, d_parent)) * MIX_A;
    h = (h ^ h >> 31 ^ name_of_account(&scratch->key, (__u32)scratch->version) ^ scratch->key.image) * MIX_C;
    scratch->name = h ^ h >> 31;
    known = &scratch->known_keys[masked(scratch->name, KNOWN_KEYS - 1)];
    if (known->name != scratch->name)
        return 0;
    scratch->file_key = known->key;
    scratch->torn = 0;
    return 1;
}

static __always_inline void keep_file_key(struct scratch *scratch)
{
    struct known_key *known = &scratch->known_keys[masked(scratch->name, KNOWN_KEYS - 1)];

    known->name = scratch->name;
    known->key = scratch->file_key;
}

/*
 * Builds the record of scratch->file, with scratch->file_key, as scratch->task sees it. What it passes goes into scratch->mixed, as when
 * the key was made.
 */
__noinline int build_file(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_record_file *record;
    __u64 fs;

    if (!scratch)
        return 0;
    record = (struct iol_record_file *)scratch->record;
    record->head.type = IOL_RECORD_FILE;
    scratch->seen_ns = bpf_ktime_get_boot_ns();
    record->head.ts = scratch->seen_ns;
    record->key = scratch->file_key;
    fill_file_info(&record->info, scratch->file);
    begin_file_key(scratch);
    walk_path(index);
    fs = LOAD_ADDRESS(task_struct, (__u64)scratch->task, fs);
    record->info.bits = scratch->bits | root_bits(AS(task_struct, scratch->task),
                                                  (struct path *)(fs + bpf_core_field_offset(struct fs_struct, root)));
    record->info.path_len = path_length(scratch);
    record->head.size = copy_path(scratch, sizeof(*record));
    return 0;
}

/*
 * Verdict on scratch->file, by path and kind; its path is walked once for each set of rules: scratch->known_file remembers
 * what it met.
 */
__noinline int judge_file(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct task_struct *task;
    struct iol_rules *now;
    struct fs_struct *fs;
    struct file *file;

    if (!scratch)
        return 0;
    now = rules_of(scratch->rules);
    if (!now)
        return 0;
    if (scratch->known_file.rules != scratch->rules) {
        file = scratch->file;
        task = scratch->task;
        fs = BPF_CORE_READ(task, fs);
        set_walk(scratch, __builtin_preserve_access_index(&file->f_path), __builtin_preserve_access_index(&fs->root));
        scratch->at_file = 1;
        walk_path(index);
        scratch->known_file.matches =
            file_matches(scratch, now, scratch->kind, !(scratch->bits & IOL_FILE_PSEUDO_DENTRY));
        scratch->known_file.rules = scratch->rules;
    }
    decide(scratch, now, scope_matches(scratch, index, now, scratch->known_file.matches));
    return 0;
}

/* Changes whenever the file's own name does. */
static __always_inline __u32 name_sequence(struct file *file)
{
    return sequence_of(LOAD_ADDRESS(file, (__u64)file, f_path.dentry));
}

/*
 * Whether the key that was made is still the file's, and that of the path in the record. Each link of the way up was read twice then, and
 * was the same: so at the time between the two readings all of them were there at once. A path that does not fit was not walked to its end;
 * one of which a name is just being changed may be no path at all, and its key one of another path.
 */
static __always_inline bool key_holds(struct scratch *scratch, __u32 index, bool walked)
{
    __u64 key = scratch->file_key;

    if (is_torn(scratch))
        return false;
    walked = walked && !(scratch->bits & IOL_FILE_TRUNCATED);
    if (walked)
        scratch->file_key = finish_file_key(scratch);
    else
        make_file_key(index);
    if (is_torn(scratch) || scratch->file_key != key || name_sequence(scratch->file) != scratch->name_sequence)
        return false;
    if (walked)
        keep_directory(index);
    return true;
}

/* What the rules make of the file, into scratch; true when it was not known before which of them its path meets. */
static __always_inline bool consider_rules(struct scratch *scratch, __u32 index)
{
    struct known_file *known = bpf_map_lookup_elem(&files, &scratch->file_key);
    __u32 known_rules = known ? known->rules : 0;

    scratch->known_file.matches = known ? known->matches : 0;
    scratch->known_file.rules = known_rules;
    judge_file(index);
    return scratch->known_file.rules != known_rules;
}

/* Once: see consider_file(). 1 + IOL_LOST_RENAMED: the name has changed meanwhile. */
static __always_inline int try_to_consider(struct scratch *scratch, __u32 index, bool again)
{
    bool judged, sends;

    scratch->name_sequence = name_sequence(scratch->file);
    scratch->verdict = IOL_VERDICT_AGGREGATE;
    scratch->sample = 1;
    scratch->directory = 0;

    if (again || !recall_file_key(index)) {
        make_file_key(index);
        if (!is_torn(scratch))
            keep_file_key(scratch);
    }
    judged = scratch->rules && !is_torn(scratch) && consider_rules(scratch, index);
    if (is_torn(scratch))
        return 1 + IOL_LOST_RENAMED;
    sends = scratch->verdict != IOL_VERDICT_IGNORE && !is_sent(scratch->file_key);
    if (!judged && !sends)
        return 0;
    if (sends)
        build_file(index);
    if (!key_holds(scratch, index, sends))
        return 1 + IOL_LOST_RENAMED;
    if (sends) {
        if (send_record(scratch))
            return 1 + IOL_LOST_FILE_RECORDS;
        mark_as_sent(scratch->file_key);
    }
    if (judged)
        bpf_map_update_elem(&files, &scratch->file_key, &scratch->known_file, BPF_ANY);
    return 0;
}

#define TRIES 4

/*
 * Everything that opening an account has to know of scratch->file: its key and the verdict of the rules, into scratch. Makes
 * the file known to user space unless it is, or is ignored. 0, or 1 + the reason (enum iol_lost) why it could not be.
 */
static __always_inline int consider_file(struct scratch *scratch, __u32 index)
{
    int i, lost = 0;

    for (i = 0; i < TRIES; i++) {
        ADDRESSES_ANEW(scratch);
        lost = try_to_consider(scratch, index, i > 0);
        if (lost != 1 + IOL_LOST_RENAMED)
            break;
    }
    return lost;
}

/* The free slot that was taken last, and the one that is likely to be next. */
__u32 slot_taken, slot_next;

/* Takes a free slot for the account that is being opened, if there is one, and has the processor fetch what will be written there. */
static __always_inline bool take_slot(struct scratch *scratch)
{
    const struct iol_account *slot;

    if (bpf_map_pop_elem(&free_slots, &scratch->slot)) {
        scratch->slot = 0;
        return false;
    }
    slot = bpf_map_lookup_elem(&slots, &scratch->slot);
    if (slot)
        ask_for_slot(slot);
    slot_next = 2 * scratch->slot - slot_taken;
    slot_taken = scratch->slot;
    return true;
}

static __always_inline void ask_for_opening(__u64 file, __u64 number)
{
    const struct iol_account *slot = bpf_map_lookup_elem(&slots, &slot_next);
    __u64 inode = LOAD_ADDRESS(file, file, f_inode);

    if (slot)
        ask_for_slot(slot);
    ask_for_sent(sent_place(number, LOAD(AS(super_block, LOAD_ADDRESS(inode, inode, i_sb)), s_dev)));
}

/* Opens the account of a file, which consider_file() has looked at. FOUND_NOTHING: there is no room for it. */
__noinline int open_slot(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_account *slot;

    if (!scratch || (!scratch->slot && !take_slot(scratch)))
        return FOUND_NOTHING;
    slot = bpf_map_lookup_elem(&slots, &scratch->slot);
    if (!slot)
        return FOUND_NOTHING;
    slot_describe(slot, &scratch->key, scratch->file_key, scratch->kind, scratch->route, scratch->verdict,
                  scratch->sample, scratch->seen_ns ? scratch->seen_ns : bpf_ktime_get_boot_ns());
    scratch->ref.found = FOUND(scratch->slot, scratch->verdict);
    scratch->ref.renames = (__u32)scratch->version;
    scratch->ref.rules = scratch->rules;
    return publish_ref(&scratch->key, &scratch->ref);
}

/* The account that takes the operations of one that cannot be had. */
static __always_inline int open_substitute(const struct scratch *scratch, enum iol_lost reason)
{
    count_lost(reason, 1);
    return open_other(scratch->key.image, scratch->route, state_of(scratch->version, scratch->rules));
}

/* Whether the account is still the right one for what consider_file() found; or when that could not be told. */
static __always_inline bool account_holds(struct iol_account_ref *known, const struct scratch *scratch, int lost)
{
    __u32 index = FOUND_SLOT(known->found);
    const struct iol_account *slot = bpf_map_lookup_elem(&slots, &index);

    if (!slot || lost)
        return slot != NULL;
    if (slot->file != scratch->file_key || FOUND_VERDICT(known->found) != scratch->verdict ||
        slot->sample != scratch->sample)
        return false;
    known->rules = scratch->rules;
    known->renames = (__u32)scratch->version;
    return true;
}

/*
 * The account is not open, or something has happened since its path and verdict were last known to be right: `known` is
 * its entry then.
 */
static __always_inline int open_file(struct scratch *scratch, __u32 index, struct iol_account_ref *known)
{
    int lost, found;

    scratch->slot = 0;
    /* a walk each time that a file is used would be for nothing: when there is no slot, unless a rule asks for the path */
    if (!known && !scratch->rules && !take_slot(scratch))
        return open_substitute(scratch, IOL_LOST_ACCOUNTS_FULL);
    /* or when nobody reads the ring buffer */
    lost = ring_is_full() ? 1 + IOL_LOST_FILE_RECORDS : consider_file(scratch, index);
    if (known && account_holds(known, scratch, lost))
        return lost ? for_now(known->found) : (int)known->found;
    if (known) /* the slot lives on under its old path, until its process ends */
        remove_ref(&scratch->key, FOUND_SLOT(known->found));
    if (lost) {
        if (scratch->slot)
            give_slot(scratch->slot);
        return for_now(open_substitute(scratch, lost - 1));
    }
    if (scratch->verdict == IOL_VERDICT_IGNORE)
        return FOUND(0, IOL_VERDICT_IGNORE);
    found = open_slot(index);
    return found >= 0 ? found : open_substitute(scratch, IOL_LOST_ACCOUNTS_FULL);
}

/* The same, for an account that belongs to no single file: only rules can have changed. */
static __always_inline int open_group(struct scratch *scratch, __u32 index, struct iol_account_ref *known, __u32 pseudo)
{
    if (known && known->rules == scratch->rules) {
        known->renames = (__u32)scratch->version;
        return known->found;
    }
    if (known)
        remove_ref(&scratch->key, FOUND_SLOT(known->found));
    if (scratch->rules && pseudo >= IOL_FILE_GROUP)
        judge_pseudo(index, pseudo - IOL_FILE_GROUP);
    if (scratch->verdict == IOL_VERDICT_IGNORE)
        return FOUND(0, IOL_VERDICT_IGNORE);
    return open_pseudo(scratch->key.image, PSEUDO(pseudo, scratch->route), state_of(scratch->version, scratch->rules),
                       JUDGED(scratch->verdict, scratch->sample));
}

/* Ignored accounts have no slot: they are remembered by name. */
static __always_inline bool is_ignored(__u64 name)
{
    return bpf_map_lookup_elem(&ignored, &name) != NULL;
}

/* The account of a key that was noted earlier: it is open, unless slots are scarce. `was_ignored`: it had none then. */
static __always_inline int find_noted(const struct iol_account_key *key, bool was_ignored, __u32 route)
{
    struct iol_account_ref *known = find_ref(key);

    if (known)
        return known->found;
    if (was_ignored || (control.rules && is_ignored(name_of_account(key, version_now()))))
        return FOUND(0, IOL_VERDICT_IGNORE);
    return open_other(key->image, route, state_of(version_now(), control.rules));
}

static __always_inline void remember_ignored(const struct scratch *scratch)
{
    __u64 name = name_of_account(&scratch->key, scratch->version);
    __u8 one = 1;

    bpf_map_update_elem(&ignored, &name, &one, BPF_ANY);
}

/*
 * Opens the account that find_account() did not find; its process has been announced. What it works with is in scratch, and
 * not on the stack: this is where the longest chains of calls pass, see "Stack" in compat.bpf.h.
 */
__noinline int open_account(__u64 image, __u64 task, __u64 file, __u32 route, __u64 name)
{
    struct file *opened = (struct file *)file;
    struct iol_account_ref *known;
    struct scratch *scratch;
    __u32 index;
    int found;

    scratch = scratch_take(&index);
    if (!scratch)
        return FOUND_NO_SCRATCH;
    scratch->version = version_now(); /* before the rules, which are put in place first: see capture/rules.c */
    scratch->rules = *(volatile __u32 *)&control.rules;
    scratch->route = route & (IOL_ABI_ROUTE_SLOTS - 1);
    scratch->task = (struct task_struct *)task;
    scratch->file = opened;
    scratch->verdict = IOL_VERDICT_AGGREGATE;
    scratch->sample = 1;
    scratch->seen_ns = 0;
    name_account(&scratch->key, image, file, scratch->route, name);
    known = route & NO_ACCOUNT ? NULL : find_ref(&scratch->key);
    scratch->kind = file ? file_kind(LOAD_ADDRESS(file, file, f_inode), LOAD_ADDRESS(file, file, f_path.dentry)) : 0;
    ADDRESSES_ANEW(scratch);
    if (known && known->renames == (__u32)scratch->version)
        found = known->found; /* another thread has opened it meanwhile */
    else if (!scratch->key.inode)
        found = open_group(scratch, index, known, scratch->key.number);
    else if (!(settings.kinds >> (scratch->kind & 31) & 1))
        found = open_group(scratch, index, NULL, IOL_FILE_GROUP + scratch->kind);
    else
        found = open_file(scratch, index, known);
    if (found >= 0 && FOUND_VERDICT(found) == IOL_VERDICT_IGNORE)
        remember_ignored(scratch);
    scratch_give(scratch);
    return found;
}

/* After FOUND_NO_SCRATCH nothing can be found out: what was known is used, and the next operation asks again. */
__noinline int open_blindly(__u64 image, __u64 file, __u32 route, __u64 name)
{
    struct iol_account_key key = {};
    struct iol_account_ref *known;

    name_account(&key, image, file, route & (IOL_ABI_ROUTE_SLOTS - 1), name);
    known = find_ref(&key);
    if (known)
        return for_now(known->found);
    count_lost(IOL_LOST_SCRATCH, 1);
    return for_now(open_other(image, route & (IOL_ABI_ROUTE_SLOTS - 1), state_of(version_now(), control.rules)));
}

/*
 * Finds the account of image, file (an address; 0: no open file; and name_file() of it) and route. It is neither announced nor opened from here: the
 * caller does that, see find_or_open(), when the stack of this function is free again. A global function: the verifier looks at it once.
 */
__noinline int find_account(__u64 image, __u64 task, __u64 file, __u32 route, __u64 name)
{
    struct iol_account_key key = {};
    struct iol_account_ref *known;
    __u64 version = version_now();

    name_account(&key, image, file, route & (IOL_ABI_ROUTE_SLOTS - 1), name);
    known = find_ref(&key);
    if (known && known->renames == (__u32)version)
        return known->found;
    if (control.rules && is_ignored(name_of_account(&key, version)))
        return FOUND(0, IOL_VERDICT_IGNORE);
    if (is_announced(LOAD(AS(task_struct, task), tgid), image)) {
        if (known)
            return FOUND_OUTDATED;
        if (key.inode)
            ask_for_opening(file, key.number);
        return FOUND_UNOPENED;
    }
    return known ? FOUND_OUTDATED_UNANNOUNCED : FOUND_UNANNOUNCED;
}
