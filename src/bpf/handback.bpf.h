/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* What user space gives back at the end of an interval: accounts, their slots, files. See enum iol_hand_back_step. */
#include "bpf/table.bpf.h"
#include "bpf/task.bpf.h"

struct iol_hand_back hand_back SEC(".data.hand_back");

static __always_inline long take_key_out(__u32 slot)
{
    const struct iol_account *account = bpf_map_lookup_elem(&slots, &slot);

    return account ? remove_ref(&account->key, slot) : -1;
}

static __always_inline long hand_back_one(__u32 step, __u32 i)
{
    if (step == IOL_HAND_BACK_KEYS)
        return take_key_out(hand_back.slots[i]);
    if (step == IOL_HAND_BACK_SLOTS)
        return bpf_map_push_elem(&free_slots, &hand_back.slots[i], BPF_ANY);
    if (step == IOL_HAND_BACK_SPARE)
        return bpf_map_push_elem(&spare_slots, &hand_back.slots[i], BPF_ANY);
    if (step == IOL_HAND_BACK_TASKS)
        return forget_task(hand_back.tgids[i]);
    return forget_sent(hand_back.files[i]);
}

#define HAND_BACK_A_CALL 16

_Static_assert(IOL_HAND_BACK_MAX % HAND_BACK_A_CALL == 0, "on_hand_back() passes all of them");

/* So many from `first` on; a global function: the verifier looks at it once. Returns 1 behind the last one. */
__noinline int hand_back_some(__u32 first)
{
    __u32 i;

    for (i = 0; i < HAND_BACK_A_CALL; i++) {
        __u32 at = masked(first + i, IOL_HAND_BACK_MAX - 1);

        if (at >= hand_back.n)
            return 1;
        if (!hand_back_one(hand_back.step, at))
            hand_back.done++;
    }
    return 0;
}

/* Run by user space (BPF_PROG_TEST_RUN). */
SEC("raw_tp/sys_enter")
int on_hand_back(void *ctx)
{
    __u32 first;

    (void)ctx;
    for (first = 0; first < IOL_HAND_BACK_MAX; first += HAND_BACK_A_CALL) {
        if (hand_back_some(first))
            break;
    }
    return 0;
}
