/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* Slots, where the operations of an account are counted, the totals beside them, and the key and name that an account goes by. */
#include "bpf/rules.bpf.h"

enum direction { DIRECTION_READ, DIRECTION_WRITE };

/* The six counters that struct iol_counters begins with. `direction` is 0 or 1. */
static __always_inline void counters_add(__u64 *counters, __u32 direction, __s64 result)
{
    direction &= 1;
    if (result < 0) {
        __sync_fetch_and_add(&counters[4 + direction], 1);
    } else {
        __sync_fetch_and_add(&counters[2 * direction], 1);
        if (result) /* of mappings, and at the end of a file, there are none */
            __sync_fetch_and_add(&counters[2 * direction + 1], result);
    }
}

_Static_assert(__builtin_offsetof(struct iol_counters, read_ops) == 0 &&
                   __builtin_offsetof(struct iol_counters, read_bytes) == 8 &&
                   __builtin_offsetof(struct iol_counters, write_ops) == 16 &&
                   __builtin_offsetof(struct iol_counters, write_bytes) == 24 &&
                   __builtin_offsetof(struct iol_counters, read_errors) == 32 &&
                   __builtin_offsetof(struct iol_counters, write_errors) == 40,
               "counters_add() counts on it");

/* first and last are hints of a tick's precision: a race between two threads costs a tick at most. */
static __always_inline void slot_touch(struct iol_counters *counters, __u64 epoch_start, __u64 first, __u64 last)
{
    if (counters->last < epoch_start || first < counters->first)
        counters->first = first;
    if (counters->last < last)
        counters->last = last;
}

static __always_inline void slot_add(struct iol_account *slot, __u64 epoch, __u64 epoch_start, enum direction direction,
                                     __s64 result)
{
    struct iol_counters *counters = &slot->epoch[epoch & 1];
    __u64 now = bpf_jiffies64();

    slot_touch(counters, epoch_start, now, now);
    counters_add(&counters->read_ops, direction, result);
}

/* The same for what was counted on the tab of a side. */
static __always_inline void slot_add_side(struct iol_account *slot, const struct iol_side *side, __u64 epoch,
                                          __u64 epoch_start, enum direction direction)
{
    const struct iol_tab *tab = &side->tab[epoch & 1];
    struct iol_counters *counters = &slot->epoch[epoch & 1];
    __u64 *first = &counters->read_ops;

    direction &= 1;
    slot_touch(counters, epoch_start, side->first[epoch & 1], tab->last);
    if (tab->sums.ops) {
        __sync_fetch_and_add(&first[2 * direction], tab->sums.ops);
        __sync_fetch_and_add(&first[2 * direction + 1], tab->sums.bytes);
    }
    if (tab->sums.errors)
        __sync_fetch_and_add(&first[4 + direction], tab->sums.errors);
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

/*
 * Sixty-four bits that stand for a file, its name and its mount: loads of four cache lines, most of them warm. Addresses as distances from
 * `now`. 0: no open file.
 */
static __always_inline __u64 name_file(__u64 address)
{
    const struct iol_control *now = &control;
    const struct file *file = AS(file, address);
    const struct inode *inode;
    const struct dentry *dentry;
    __u64 h;

    if (!address)
        return 0;
    inode = LOAD(file, f_inode);
    dentry = LOAD(file, f_path.dentry);
    h = (pointer_distance(dentry, now) ^ LOAD(dentry, d_name.hash_len)) * MIX_A ^
        (LOAD(inode, i_ino) ^ (LOAD(dentry, d_hash.pprev) == NULL)) * MIX_B ^
        (pointer_distance(LOAD(file, f_path.mnt), now) ^ (__u64)LOAD(inode, i_generation) << 32) * MIX_C;
    h = (h ^ h >> 32 ^ pointer_distance(inode, now)) * MIX_A;
    return h ^ h >> 29;
}

/* The same for whatever is not on the way of most calls: its stack is free again afterwards. */
static __noinline __u64 name_file_aside(__u64 address)
{
    return name_file(address);
}

/* A file, or 0: no open file. `name`: name_file() of it. */
static __always_inline void name_account(struct iol_account_key *key, __u64 image, __u64 file, __u32 route, __u64 name)
{
    __u32 pseudo = IOL_FILE_NOT_OPEN;
    __u64 inode;

    key->image = image;
    if (file)
        pseudo = grouped_kind(LOAD(AS(inode, LOAD_ADDRESS(file, file, f_inode)), i_mode));
    if (pseudo) {
        key->inode = 0;
        key->number = pseudo;
        key->mix = route;
    } else {
        inode = LOAD_ADDRESS(file, file, f_inode);
        key->inode = inode;
        key->number = LOAD(AS(inode, inode), i_ino);
        key->mix = name ^ route * MIX_C;
    }
}

/* Renames, rules and retired slots so far: what has been found before another one of these has to be found anew. */
static __always_inline __u64 version_now(void)
{
    return *(const volatile __u64 *)&control.renames;
}

_Static_assert(__builtin_offsetof(struct iol_control, retired) == __builtin_offsetof(struct iol_control, renames) + 4 &&
                   __builtin_offsetof(struct iol_control, renames) % 8 == 0,
               "version_now() reads both");

/* Sixty-four bits that stand for key and version. */
static __always_inline __u64 name_of_account(const struct iol_account_key *key, __u64 version)
{
    __u64 h = key->mix ^ key->mix >> 32;

    h = (h ^ key->inode) * MIX_A;
    h = (h ^ h >> 29 ^ key->number) * MIX_B;
    return h ^ h >> 32 ^ key->image ^ version * MIX_C;
}

/* Renames and rules before anything was looked at: what is found out now is known to be right as long as they stay. */
static __always_inline __u64 state_of(__u64 version, __u32 rules)
{
    return (__u32)version | (__u64)rules << 32;
}

/*
 * Has the processor fetch what a new account will be written to, and the counters that its first operation will be added to, while its path is
 * walked: nothing here waits for what is loaded, and an addition by an atomic would.
 */
static __always_inline void ask_for_slot(const struct iol_account *slot)
{
    (void)*(const volatile __u64 *)&slot->epoch[*(const volatile __u64 *)&control.epoch & 1].last;
    (void)*(const volatile __u64 *)&slot->key.image;
}

static __always_inline void slot_describe(struct iol_account *slot, const struct iol_account_key *key, __u64 file,
                                          __u32 kind, __u32 route, __u32 verdict, __u32 sample, __u64 opened_ns)
{
    slot->key = *key;
    slot->file = file;
    slot->kind = kind;
    slot->route = route;
    slot->verdict = verdict;
    slot->sample = sample;
    slot->opened_ns = opened_ns;
}
