/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Maps and settings. Sizes of 1 are placeholders: user space sets them before the load
 * (capture/load.c), from --max-accounts and the number of CPUs.
 */
#include "abi/event.h"
#include "bpf/compat.bpf.h"

const volatile struct iol_settings settings SEC(".rodata.settings") = {};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_control);
} control SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_cpu);
} cpus SEC(".maps");

/* The first IOL_ABI_ROUTE_SLOTS slots are the host's own, one for each route: (other processes). */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_account);
} slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, struct iol_account_key);
    __type(value, struct iol_account_ref);
} accounts SEC(".maps");

/* Free slots: the spare ones are kept for pseudo files, so that there is room for (other files) when all else is taken. */
struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 1);
    __type(value, __u32);
} free_slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_STACK);
    __uint(max_entries, 1);
    __type(value, __u32);
} spare_slots SEC(".maps");

/* Files whose record has been sent. Losing an entry only means sending the record again. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1);
    __type(key, __u64);
    __type(value, __u32);
} files SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct iol_task);
} tasks SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __uint(key_size, IOL_COMM_MAX);
    __uint(value_size, 1);
} comm_filter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, __u8);
} uid_filter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __uint(key_size, IOL_EXE_FILTER_MAX);
    __uint(value_size, 1);
} exe_filter SEC(".maps");

/* Cgroups given with --cgroup and --container: inode and hierarchy, see IOL_CGROUP_HIERARCHY_SHIFT. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, IOL_CGROUP_FILTER_MAX);
    __type(key, __u64);
    __type(value, __u8);
} cgroup_filter SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} ring SEC(".maps");

static __always_inline struct iol_cpu *this_cpu(void)
{
    __u32 cpu = bpf_get_smp_processor_id();

    return bpf_map_lookup_elem(&cpus, &cpu);
}

static __always_inline void count_lost(enum iol_lost reason, __u64 n)
{
    struct iol_cpu *cpu = this_cpu();

    if (cpu)
        __sync_fetch_and_add(&cpu->lost[reason], n);
}

/* Wakes the reader on a fill level only; otherwise it looks in on its own timer. */
static __always_inline long ring_send(void *record, __u32 size)
{
    __u64 flags =
        bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= settings.ring_wakeup ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;

    return bpf_ringbuf_output(&ring, record, size, flags);
}
