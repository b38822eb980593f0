/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* The accounts that a thread has used before, beside its place in `threads`: found without a look into the table of all accounts. */
#include "bpf/post.bpf.h"

/* Sixty-four bits that stand for an image, a file (`name`: name_file() of it), and for everything that may have changed what account that is. */
static __always_inline __u64 name_recent(__u64 name, __u64 image)
{
    return name ^ image ^ version_now() * MIX_C;
}

/* In front of those that the thread has used before; the last of them goes. */
static __always_inline void remember_account(struct iol_thread *place, __u64 name, __u32 found)
{
    struct iol_recent *recent = place->recent;

    recent[3] = recent[2];
    recent[2] = recent[1];
    recent[1] = recent[0];
    recent[0].slot = found;
    recent[0].check = name ^ found;
}

_Static_assert(IOL_RECENT == 4, "remember_account() and recent_account() count on it");

/* The account among those that the thread has used before, which changes places with the first of them; FOUND_NOTHING: it is none. */
static __always_inline int recent_account(struct iol_thread *place, __u64 name)
{
    volatile struct iol_recent *first = place->recent, *recent;
    __u64 slot = 0;
    __u32 i;

    for (i = 0; i < IOL_RECENT; i++) {
        slot = first[i].slot;
        if ((first[i].check ^ (__u32)slot) == name)
            break;
    }
    if (i == IOL_RECENT)
        return FOUND_NOTHING;
    recent = &first[masked(i, IOL_RECENT - 1)];
    recent->slot = first->slot;
    recent->check = first->check;
    first->slot = slot;
    first->check = name ^ (__u32)slot;
    return (__u32)slot;
}

/* By `recent`, that name: among those that the thread has used before, or in the table of all accounts; then it is one of them from here on. */
static __always_inline int find_recent(struct iol_thread *place, __u64 recent, __u64 image, __u64 task, __u64 file,
                                       __u32 route, __u64 name)
{
    int found = recent_account(place, recent);

    if (found >= 0)
        return found;
    found = find_or_open_named(image, task, file, route, name);
    if (found >= 0 && !(found & FOUND_FOR_NOW))
        remember_account(place, recent, found);
    return found;
}
