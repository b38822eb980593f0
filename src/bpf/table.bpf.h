/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * From an account's key to its slot. Who looks while another CPU writes may miss an account that is open: then it is opened a second time, and both
 * slots count as one account.
 */
#include "bpf/slot.bpf.h"

/* What find_account() and open_account() return: the slot and what is done with it; negative when neither could be had. */
#define FOUND(slot, verdict) ((int)((slot) | (__u32)(verdict) << 28))
#define FOUND_SLOT(found) ((__u32)(found)&0xffffff)
#define FOUND_VERDICT(found) ((__u32)(found) >> 28)
#define FOUND_NOTHING (-1)

static __always_inline struct account_set *set_of(__u64 image)
{
    __u32 index = (__u32)image & settings.set_mask;

    return bpf_map_lookup_elem(&account_sets, &index);
}

/* For what finds no place in its process's set: another one. Files whose inodes follow each other have neighbouring ones. */
static __always_inline struct account_set *second_set_of(const struct iol_account_key *key)
{
    __u64 number = key->number >> SHARING_INODES_BITS;
    __u32 region = (__u32)(((number >> REGION_BITS) ^ key->image * MIX_B) * MIX_A >> 32) << REGION_BITS;
    __u32 index = (region | masked(number, (1U << REGION_BITS) - 1)) & settings.set_mask;

    index ^= ((index ^ ((__u32)key->image & settings.set_mask)) - 1) >> 31; /* not the same */
    return bpf_map_lookup_elem(&account_sets, &index);
}

/* Never 0, and not PLACE_CLAIMED. */
static __always_inline __u32 tag_of(const struct iol_account_key *key)
{
    return (__u32)(name_of_account(key, 0) >> 32) | 2;
}

static __always_inline bool same_key(const struct iol_account_key *a, const struct iol_account_key *b)
{
    return a->image == b->image && a->inode == b->inode && a->number == b->number && a->mix == b->mix;
}

/*
 * The place of the set that leads to the slot of this key, whose tag_of() is `tag`; 0: none does. What it returns is any number to the verifier,
 * which else would look at all that follows once for each place.
 */
static __noinline int place_in_set(const struct account_set *set, const struct iol_account_key *key, __u32 tag)
{
    __u32 i;

    for (i = 1; i < PLACES_PER_SET; i++) {
        __u32 index, is = *(const volatile __u32 *)&set->places[i].tag;
        const struct iol_account *slot;

        if (is != tag)
            continue;
        index = FOUND_SLOT(*(const volatile __u32 *)&set->places[i].found);
        slot = bpf_map_lookup_elem(&slots, &index);
        barrier_var(is);
        if (slot && same_key(&slot->key, key))
            return (int)(i + (is - tag));
    }
    return 0;
}

/* NULL: the account is not open. */
static __noinline struct iol_account_ref *find_ref(const struct iol_account_key *key)
{
    struct account_set *set = set_of(key->image);
    __u32 tag = tag_of(key);
    int place;

    if (!set)
        return NULL;
    place = place_in_set(set, key, tag);
    if (place <= 0) {
        if (!*(volatile __u32 *)&set->elsewhere)
            return NULL;
        set = second_set_of(key);
        if (!set)
            return NULL;
        place = place_in_set(set, key, tag);
    }
    if (place > 0)
        return &set->places[masked(place, PLACES_PER_SET - 1)];
    return *(volatile __u32 *)&set->in_table ? bpf_map_lookup_elem(&accounts, key) : NULL;
}

/* The place of the set that leads to this slot, of a key with this tag, is free again; false: none does. */
static __always_inline bool free_place(struct account_set *set, __u32 tag, __u32 slot)
{
    __u32 i;

    for (i = 1; i < PLACES_PER_SET; i++) {
        struct iol_account_ref *place = &set->places[i];

        if (*(volatile __u32 *)&place->tag == tag && FOUND_SLOT(*(volatile __u32 *)&place->found) == slot) {
            *(volatile __u32 *)&place->tag = 0;
            return true;
        }
    }
    return false;
}

/* The key leads to this slot no more; -1: it has not, as it leads to a younger one with another path. */
static __noinline long remove_ref(const struct iol_account_key *key, __u32 slot)
{
    struct account_set *first = set_of(key->image), *second = second_set_of(key);
    const struct iol_account_ref *known;
    __u32 tag = tag_of(key);

    if (!first || !second)
        return -1;
    if (free_place(first, tag, slot))
        return 0;
    if (!free_place(second, tag, slot)) {
        known = bpf_map_lookup_elem(&accounts, key);
        if (!known || FOUND_SLOT(known->found) != slot || bpf_map_delete_elem(&accounts, key))
            return -1;
        __sync_fetch_and_add(&second->in_table, -1);
    }
    __sync_fetch_and_add(&first->elsewhere, -1);
    return 0;
}

/* A place of the set that nobody else has or gets; 0: there is none. Any number to the verifier, as in place_in_set(). */
static __always_inline __u32 claim_place(struct account_set *set)
{
    __u32 i;

    for (i = 1; i < PLACES_PER_SET; i++) {
        if (!*(volatile __u32 *)&set->places[i].tag && try_claim(&set->places[i].tag, PLACE_CLAIMED))
            return i + (*(volatile __u32 *)&set->places[i].tag ^ PLACE_CLAIMED);
    }
    return 0;
}

static __always_inline void give_slot(__u32 slot)
{
    bpf_map_push_elem(&free_slots, &slot, BPF_ANY);
}

/*
 * Has the place that was claimed lead to the slot of `ref`, unless another one of the set leads to one of that key. Returns what the key leads to.
 */
static __always_inline int publish_in_set(struct account_set *set, __u32 mine, const struct iol_account_key *key,
                                          const struct iol_account_ref *ref)
{
    struct iol_account_ref *place = &set->places[masked(mine, PLACES_PER_SET - 1)];
    __u32 tag = tag_of(key);
    int first;

    place->found = ref->found;
    place->renames = ref->renames;
    place->rules = ref->rules;
    publish_word(&place->tag, tag);
    first = place_in_set(set, key, tag);
    if (first <= 0 || first == (int)mine)
        return ref->found;
    *(volatile __u32 *)&place->tag = 0;
    return set->places[masked(first, PLACES_PER_SET - 1)].found;
}

/* The same for the table; FOUND_NOTHING: it takes no more. */
static __always_inline int publish_in_table(struct account_set *second, const struct iol_account_key *key,
                                            const struct iol_account_ref *ref)
{
    const struct iol_account_ref *winner;

    __sync_fetch_and_add(&second->in_table, 1); /* before it is there: who does not see this does not look there */
    if (!bpf_map_update_elem(&accounts, key, ref, BPF_NOEXIST))
        return ref->found;
    __sync_fetch_and_add(&second->in_table, -1);
    winner = bpf_map_lookup_elem(&accounts, key);
    return winner ? (int)winner->found : FOUND_NOTHING;
}

/*
 * Has the key lead to the slot of `ref`, which has been described. Another thread may have been first: then its slot is the one, and
 * ours goes back unused. Returns what the key leads to, or FOUND_NOTHING when the table takes no more.
 */
static __noinline int publish_ref(const struct iol_account_key *key, const struct iol_account_ref *ref)
{
    struct account_set *first = set_of(key->image), *set = first;
    __u32 mine;
    int found;

    if (!first)
        return FOUND_NOTHING;
    mine = claim_place(set);
    if (!mine) {
        __sync_fetch_and_add(&first->elsewhere, 1); /* before it is there, as above */
        set = second_set_of(key);
        if (!set)
            return FOUND_NOTHING;
        mine = claim_place(set);
    }
    found = mine ? publish_in_set(set, mine, key, ref) : publish_in_table(set, key, ref);
    if (found != (int)ref->found) {
        if (set != first)
            __sync_fetch_and_add(&first->elsewhere, -1);
        give_slot(FOUND_SLOT(ref->found));
    }
    return found;
}
