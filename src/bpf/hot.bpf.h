/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * The hot path: reads and writes that a thread makes on files it has used before. It counts in memory that is the thread's own,
 * and goes on to call.bpf.h with everything else.
 */
#include "bpf/call.bpf.h"

/*
 * Sixty-four bits that stand for a thread's descriptor and for everything that may have changed what it leads to, but for
 * what the thread itself does: that clears the entry (forget_descriptors()).
 */
static __always_inline __u64 name_descriptor(__u64 registers, __u64 task, __u32 fd)
{
    __u64 name = (task ^ fd) * MIX_B ^ registers;

    barrier_var(name);
    return name ^ *(const volatile __u64 *)&control.changes;
}

#define NOT_COUNTED (-1)

/* The account is not the one that was used last, or something has happened since: finds it, and remembers it. */
static __always_inline int find_anew(struct iol_thread *place, __u32 direction, __u64 recent, __u64 image, __u64 task,
                                     __u64 file, __u64 name)
{
    struct iol_side *side = &place->side[direction & 1];
    int found = find_recent(place, recent, image, task, file, IOL_ABI_ROUTE_RW, name);

    if (found < 0 || found & FOUND_FOR_NOW)
        return found;
    place->descriptor_check[direction & 1] = 0;
    side->slot = (__u32)found;
    side->file_check = recent ^ (__u32)found;
    return found;
}

#define EXCHANGE(one, other)                                                                                           \
    ({                                                                                                                 \
        __u64 kept = (one);                                                                                            \
                                                                                                                       \
        (one) = (other);                                                                                               \
        (other) = kept;                                                                                                \
    })

/*
 * The account that was used last and the one before change places. The thread is the owner: what it has done on them in this epoch goes with
 * them. Everything that it has moved stays, as do tabs of the other epoch, which user space may be looking at.
 */
static __always_inline void turn_back(struct iol_thread *place, __u32 direction, __u64 epoch)
{
    struct iol_side *last = &place->side[direction & 1], *before = &place->side[(direction & 1) + IOL_SIDE_BEFORE];
    struct iol_tab *tab = &last->tab[epoch & 1], *other = &before->tab[epoch & 1];

    EXCHANGE(place->descriptor_check[direction & 1], place->descriptor_check[(direction & 1) + IOL_SIDE_BEFORE]);
    EXCHANGE(last->file_check, before->file_check);
    EXCHANGE(last->slot, before->slot);
    EXCHANGE(tab->account, other->account);
    EXCHANGE(tab->sums.ops, other->sums.ops);
    EXCHANGE(tab->sums.bytes, other->sums.bytes);
    EXCHANGE(tab->sums.errors, other->sums.errors);
    EXCHANGE(last->first[epoch & 1], before->first[epoch & 1]);
    EXCHANGE(tab->last, other->last);
}

static __always_inline bool owns(const struct iol_thread *place, __u64 registers)
{
    return *(const volatile __u64 *)&place->owner == registers;
}

/*
 * Something may have changed since the thread used this descriptor, or it is another one: looks at the file. NOT_COUNTED when
 * that is not enough: the thread is not known, not traced or in a 32-bit call, there is no file, or it may have left a note of what it used
 * when it fell asleep.
 */
static __always_inline int look_again(const struct told_call *call, struct iol_thread *place, __u32 direction)
{
    const struct task_struct *typed_task = current_task();
    __u64 registers = address_of(call->regs), task = address_of(typed_task), image = place->image, file, files, name,
          full;
    __u32 fd = first_argument_32(call->regs);
    __u64 descriptor = name_descriptor(registers, task, fd); /* before anything is looked at */
    struct iol_side *recent = &place->side[direction & 1];
    int found;

    if (*(volatile __u64 *)&place->check != thread_check(registers, image, task, IOL_STANDING_TRACED) ||
        syscall_is_compat(typed_task))
        return NOT_COUNTED;
    if (has_slept(typed_task, place, registers)) {
        if (*(volatile __u64 *)&place->asleep)
            return NOT_COUNTED; /* there may be a note of it */
        place->switches = switches_of(typed_task, registers);
    }
    files = address_of(LOAD(typed_task, files));
    file = file_of(files, fd);
    if (!file)
        return NOT_COUNTED;
    name = name_file(file);
    full = name_recent(name, image);
    found = *(volatile __u64 *)&recent->slot;
    if ((recent->file_check ^ (__u32)found) != full && owns(place, registers)) {
        turn_back(place, direction, current_epoch());
        found = *(volatile __u64 *)&recent->slot;
    }
    if ((recent->file_check ^ (__u32)found) != full)
        found = find_anew(place, direction, full, image, task, file, name);
    if (found >= 0 && !table_is_shared(files))
        place->descriptor_check[direction & 1] = descriptor ^ (__u32)found;
    return found;
}

static __noinline int send_call_event(const struct told_call *call, __u32 index, __u32 direction)
{
    const struct pt_regs *regs = call->regs;
    __u32 class = native_classes[masked(syscall_number(regs), IOL_SYSCALLS_MAX - 1)];
    __u64 task = bpf_get_current_task(), files = LOAD_ADDRESS(task_struct, task, files);
    __s64 result = call->result;

    return send_event(index, image_of(AS(task_struct, task)), direction,
                      offset_of(regs, false, class, file_of(files, syscall_argument1(regs, false)), result), result);
}

static __always_inline void sums_add(struct iol_sums *sums, __s64 result)
{
    if (rare(result < 0)) {
        sums->errors++;
    } else {
        sums->ops++;
        sums->bytes += result;
    }
}

static __always_inline void leave_out(struct iol_side *mine, __s64 result)
{
    if (result >= 0)
        sums_add(&mine->ignored, result);
}

/* The thread turns to an account that is none of its two: what it has done on the one that goes, in this epoch, is added to the slot. */
static __always_inline void close_tab(const struct iol_side *side, __u64 epoch, __u32 direction)
{
    const struct iol_tab *tab = &side->tab[epoch & 1];
    __u32 index = IOL_TAB_SLOT(tab->account);
    struct iol_account *slot;

    if (tab->account >> 32 != (__u32)epoch)
        return;
    slot = bpf_map_lookup_elem(&slots, &index);
    if (slot)
        slot_add_side(slot, side, epoch, control.epoch_start, direction);
}

/* Takes a place that has no owner. */
static __always_inline bool own(struct iol_thread *place, __u64 registers)
{
    __u32 number = registers >> PLACE_SHIFT & (IOL_THREADS - 1);

    if (!try_own(&place->owner, registers))
        return false;
    __sync_fetch_and_or(&control.owned[number / IOL_OWNED_BITS], 1ULL << number % IOL_OWNED_BITS);
    return true;
}

/*
 * On the account that was found, which need not be the one that the thread has counted on before. `side` is direction and
 * epoch, epoch << 1 | direction.
 */
static __always_inline int count(const struct told_call *call, struct iol_thread *place, int found, __u64 side)
{
    __u64 epoch = side >> 1;
    struct iol_side *mine = &place->side[side & 1];
    struct iol_tab *tab = &mine->tab[epoch & 1];
    __s64 result = call->result;

    if (!owns(place, address_of(call->regs)) && !own(place, address_of(call->regs)))
        return tally(found, epoch, HOW(IOL_ABI_ROUTE_RW, side & 1), result);
    if (FOUND_VERDICT(found) == IOL_VERDICT_IGNORE) {
        leave_out(mine, result);
        return 0;
    }
    if (tab->account != TAB_OF(epoch, found)) {
        close_tab(mine, epoch, side & 1);
        tab->account = TAB_OF(epoch, found);
        tab->sums = (struct iol_sums){};
        mine->first[epoch & 1] = bpf_jiffies64();
    }
    tab->last = bpf_jiffies64();
    sums_add(&tab->sums, result);
    sums_add(&tab->total, result);
    return 0;
}

static __always_inline bool leads_to(const struct iol_thread *place, __u32 side, __u64 descriptor)
{
    return (place->descriptor_check[side] ^ *(const volatile __u64 *)&place->side[side].slot) == descriptor;
}

/* It is not the descriptor that was used last, something has changed, or the place is not the thread's own. */
static __noinline int count_slowly(const struct told_call *call, struct iol_thread *place, __u32 direction)
{
    __u64 task = *(volatile __u64 *)&place->task;
    __u64 registers = address_of(call->regs), epoch = current_epoch();
    __u64 descriptor = name_descriptor(registers, task, first_argument_32(call->regs));
    __u32 side = direction & 1;
    int found;

    if (!leads_to(place, side, descriptor) && owns(place, registers) &&
        leads_to(place, side + IOL_SIDE_BEFORE, descriptor))
        turn_back(place, side, epoch);
    found = *(volatile __u64 *)&place->side[side].slot;
    if ((place->descriptor_check[side] ^ (__u32)found) != descriptor)
        found = look_again(call, place, side);
    else if (syscall_is_compat(AS(task_struct, task)))
        return NOT_COUNTED;
    if (found < 0)
        return NOT_COUNTED;
    count(call, place, found, epoch << 1 | side);
    if (wants_events(found))
        send_call_event(call, FOUND_SLOT(found), side);
    return 0;
}

/*
 * The shortest way, for a thread that owns its place, on a descriptor that it has used before, and an account that it has counted on in
 * this epoch; or one that a rule leaves out. False: something is not so, and nothing was counted. `direction` is a constant. `now`: NULL when
 * the clock has not been read. The barriers keep few values at a time in registers: there are none to spare. What is rare
 * comes last, by a goto: the compiler leaves it in the middle otherwise, and code that is in no cache costs what its length does.
 */
static __always_inline bool count_quickly(struct hot_call hot, struct iol_thread *place, __u32 direction,
                                          const __u64 *now)
{
    __u64 found = *(volatile __u64 *)&place->owner, epoch, account;
    struct iol_thread *set; /* its first tab is the open one */
    struct iol_tab *tab;
    __s64 result;

    if (rare(!registers_are_at(hot, found)))
        return false;
    /*
     * Only the thread itself writes its task there: when it is found to be there now, it was there before. The owner is read again, as
     * the compiler would go on with the registers' pointer, which is no number, in its place.
     */
    found = name_descriptor(*(volatile __u64 *)&place->owner, *(volatile __u64 *)&place->task,
                            typed_first_argument_32(pointer_of(hot))) ^
            place->descriptor_check[direction];
    barrier_var(found);
    if (rare(found == FOUND(0, IOL_VERDICT_IGNORE)))
        goto ignored;
    epoch = current_epoch();
    set = (struct iol_thread *)((char *)place + (epoch & 1) * sizeof(*tab));
    barrier_var(set);
    tab = &set->side[direction].tab[0];
    account = epoch << 32 | IOL_TAB_OPEN;
    barrier_var(account);
    if (rare((tab->account ^ found) != account) || rare(found >= FOUND(0, IOL_VERDICT_AGGREGATE + 1)))
        return false;
    result = result_of(hot);
    if (rare(result < 0))
        return false;
    tab->last = now ? *now : sparing_jiffies64();
    tab->sums.ops++;
    tab->sums.bytes += result;
    tab->total.ops++;
    tab->total.bytes += result;
    return true;

ignored:
    leave_out(&place->side[direction], result_of(hot));
    barrier(); /* or the compiler makes one end of both, which takes both longer */
    return true;
}

_Static_assert(IOL_VERDICT_AGGREGATE == 0, "a number below FOUND(0, 1) is one of an account that is aggregated");

/*
 * The hot path: a read or write of a 64-bit program. The kernel may flush the TLB at each system call: what counts there is
 * how many pages are touched, of code and stack too, and whether one has to be read to find the next; elsewhere it is
 * atomics, and then instructions. A thread that no filter asks for ends at its entry in `threads`; one that uses the
 * descriptor it used last needs that entry and the control page. Everything else is in functions of their own. NOT_COUNTED:
 * something is special, other_call() looks at it. `direction` is a constant.
 */
static __always_inline int one_way(struct hot_call hot, __u32 direction)
{
    struct hot_call kept = keep_registers(hot);
    struct iol_thread *place = place_of(lower_registers_of(kept));

    barrier_var(place); /* or the compiler makes it anew for each member */
    if (registers_are_at(kept, *(volatile __u64 *)&place->untraced))
        return 0;
    if (!hot.native && rare(!is_surely_native(pointer_of(kept))))
        goto doubtful;
native:
    if (count_quickly(kept, place, direction, NULL))
        return 0;
    return count_slowly(told(hot), place, direction);

doubtful:
    if (!syscall_is_compat(sparing_task(*(volatile __u64 *)&place->task)))
        goto native;
    told(hot);
    return NOT_COUNTED;
}

/* Any system call. `nr` may be as it is. */
static __always_inline int end_of_call(struct hot_call hot, __u64 nr)
{
    barrier_var(nr); /* one register */
    if (rare(nr >= CERTAIN_CALLS)) {
        if (nr < 128) {
            if (!rare(near_is_of_interest(nr)))
                return 0;
        } else {
            if (nr == NR_STAT) {
                asm volatile("r0 = 0; exit"); /* here, and not where the others leave, which is in another cache line */
                __builtin_unreachable();
            }
            nr = plain_number(nr);
            barrier_var(nr);
            if (!rare(syscall_is_of_interest(nr)))
                return 0;
        }
        if (!hot.native && syscall_is_compat(sparing_current_task())) {
            told(hot);
            goto other;
        }
    }
    if (syscall_is_native(nr, true)) {
        if (one_way(hot, DIRECTION_READ) != NOT_COUNTED)
            return 0;
    } else if (syscall_is_native(nr, false)) {
        if (one_way(hot, DIRECTION_WRITE) != NOT_COUNTED)
            return 0;
    } else if (nr >= CERTAIN_CALLS || syscall_is_of_interest(nr)) {
        told(hot);
    } else {
        return 0;
    }
other: /* one call for all ways, or the verifier looks at it more than once */
    return other_call(hot.call);
}
