// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The hooks of both probe sets. What they do stands in the headers they include. */
#include "bpf/aio.bpf.h"
#include "bpf/cgroup.bpf.h"
#include "bpf/change.bpf.h"
#include "bpf/handback.bpf.h"
#include "bpf/uring.bpf.h"

/* What a hook at the end of a system call gets: the registers of the program, and what it was returned. */
struct call_end {
    const struct pt_regs *regs;
    __s64 result;
};

/* The same for all that is not the hot path: an address that is a number. */
struct told_call {
    __u64 registers;
    __s64 result;
};

static __always_inline const struct told_call *tell(struct told_call *call, __u64 registers, __s64 result)
{
    call->registers = registers;
    call->result = result;
    return call;
}

/* The compiler puts what follows from it elsewhere. */
#define rare(condition) __builtin_expect(condition, 0)

/* A call for the hot path. `end`: what the hook got, of which `call` is not told yet; NULL: it is. Both lead to registers of a known type. */
struct hot_call {
    const struct call_end *end;
    struct told_call *call;
    const struct pt_regs *regs; /* … when `call` is told */
    bool native;                /* no 32-bit call, surely */
};

/* Read again each time: to keep it costs more on the way that is taken most. */
static __always_inline __s64 result_of(struct hot_call hot)
{
    return hot.end ? *(const volatile __s64 *)&hot.end->result : hot.call->result;
}

static __always_inline const struct pt_regs *pointer_of(struct hot_call hot)
{
    return hot.end ? *(const struct pt_regs *const volatile *)&hot.end->regs : hot.regs;
}

/* What chooses the place of the thread. */
static __always_inline __u32 lower_registers_of(struct hot_call hot)
{
    return hot.end ? lower_half(pointer_of(hot)) : (__u32)hot.call->registers;
}

/* The pointer is compared as it is: no number is made of it. */
static __always_inline bool registers_are_at(struct hot_call hot, __u64 address)
{
    return (hot.end ? (__u64)pointer_of(hot) : hot.call->registers) == address;
}

static __always_inline __u64 registers_of(struct hot_call hot)
{
    return hot.end ? address_of(pointer_of(hot)) : hot.call->registers;
}

static __always_inline const struct told_call *told(struct hot_call hot)
{
    return hot.end ? tell(hot.call, registers_of(hot), result_of(hot)) : hot.call;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __noinline void exec_failed(const struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                                   __s64 result)
{
    const void *name =
        (const void *)(class == CLASS_EXECVE ? syscall_argument1(regs, compat) : syscall_argument2(regs, compat));
    struct iol_record_exec_failed *record;
    struct scratch *scratch;
    __u32 index, size;
    long len;

    scratch = scratch_take(&index);
    if (!scratch) {
        count_lost(IOL_LOST_EVENTS, 1);
        return;
    }
    record = (struct iol_record_exec_failed *)scratch->record;
    __builtin_memset(record, 0, sizeof(*record));
    record->head.type = IOL_RECORD_EXEC_FAILED;
    record->head.ts = bpf_ktime_get_boot_ns();
    record->image = thread->image;
    record->pid = bpf_get_current_pid_tgid() >> 32;
    record->tid = bpf_get_current_pid_tgid();
    record->error = (__s32)result;
    len = bpf_probe_read_user_str(record->data, IOL_PATH_MAX, name);
    record->path_len = len > 1 ? (__u32)len - 1 : 0;
    size = sizeof(*record) + record->path_len;
    record->head.size = size;
    if (size > sizeof(*record) + IOL_PATH_MAX || ring_send(record, size))
        count_lost(IOL_LOST_EVENTS, 1);
    scratch_give(scratch);
}

#define FMODE_STREAM 0x200000 /* include/linux/fs.h: no position */

/* Where the operation began: the argument of calls that have one, else the file's position less what was moved. */
static __always_inline __s64 offset_of(const struct pt_regs *regs, bool compat, __u32 class, __u64 file, __s64 result)
{
    if (class == CLASS_READ_AT || class == CLASS_WRITE_AT) {
        __s64 offset = syscall_argument4(regs, compat);

        if (compat)
            offset |= syscall_argument5(regs, compat) << 32;
        if (offset != -1) /* of preadv2 and pwritev2: the file's own */
            return offset;
    }
    if (!file || result < 0 || LOAD(AS(file, file), f_mode) & FMODE_STREAM)
        return -1;
    return LOAD(AS(file, file), f_pos) - result;
}

/* Has the call brought an offset along for this direction, in memory of the program? Then the file's own tells nothing. */
static __always_inline bool has_offset_of_its_own(const struct pt_regs *regs, bool compat, __u32 class,
                                                  enum direction direction)
{
    if (class == CLASS_SENDFILE)
        return direction == DIRECTION_READ && syscall_argument3(regs, compat);
    if (class == CLASS_SPLICE || class == CLASS_COPY_FILE_RANGE)
        return direction == DIRECTION_READ ? syscall_argument2(regs, compat) : syscall_argument4(regs, compat);
    return false;
}

/* Class, compat and direction of one side of a call, as one argument. */
#define SIDE(class, compat, direction) ((class) << 2 | (compat) << 1 | (direction))

/* One side of a call as an event. `file`: 0 when the position of what is there now tells nothing. */
static __noinline void send_side(__u64 image, const struct pt_regs *regs, __u64 side_and_found, __u64 file,
                                 __s64 result)
{
    __u32 side = side_and_found >> 32, class = side >> 2, direction = side & 1;
    bool compat = side & 2;

    if (has_offset_of_its_own(regs, compat, class, direction))
        file = 0;
    send_event(FOUND_SLOT((__u32)side_and_found), image, direction, offset_of(regs, compat, class, file, result),
               result);
}

/* One side of a call, on the file that its descriptor leads to, or led to when the thread fell asleep. */
static __always_inline void post_side(const struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                                      __u64 file, __u32 how, __s64 result)
{
    __u64 epoch = current_epoch();
    int found = FOUND_NOTHING;

    if (thread->slept && thread->place->asleep)
        found = recall(thread->registers, thread->image, file, how);
    if (found < 0)
        found = find_or_open(thread->image, thread->task, file, how >> 1);
    else
        file = 0; /* it was another one */
    tally(found, epoch, how, result);
    if (wants_events(found))
        send_side(thread->image, regs, (__u64)SIDE(class, compat, how & 1) << 32 | (__u32)found, file, result);
}

/*
 * Has the thread left the CPU since its last operation? Only then can there be a note of what it used when it fell asleep.
 * Whether its descriptors are shared now does not matter: who changed them may be gone.
 */
static __always_inline bool has_slept(const struct task_struct *task, const struct iol_thread *place, __u64 registers)
{
    return *(volatile __u64 *)&place->switches != switches_of(task, registers);
}

/* Reads, writes and the routes that move bytes from one descriptor to another, when the hot path does not have them. */
static __noinline int post_call(struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                                __s64 result)
{
    struct descriptors which;
    __u64 files = LOAD_ADDRESS(task_struct, thread->task, files);

    if (!descriptors_of(regs, class, compat, &which))
        return 0;
    if (has_slept(AS(task_struct, thread->task), thread->place, thread->registers)) {
        thread->slept = 1;
        thread->place->switches = switches_of(AS(task_struct, thread->task), thread->registers);
    }
    if (which.fd[DIRECTION_READ] >= 0)
        post_side(thread, regs, class, compat, file_of(files, which.fd[DIRECTION_READ]),
                  HOW(which.route, DIRECTION_READ), result);
    if (which.fd[DIRECTION_WRITE] >= 0)
        post_side(thread, regs, class, compat, file_of(files, which.fd[DIRECTION_WRITE]),
                  HOW(which.route, DIRECTION_WRITE), result);
    if (thread->slept)
        drop_note(thread->place, thread->registers);
    return 0;
}

#define PROT_WRITE 2
#define MAP_TYPE 0x0f
#define MAP_PRIVATE 2
#define MAP_ANONYMOUS 0x20

/* A mapping of a file: what is read and written through it is not known. Shared and writable ones count as writes too. */
static __noinline void post_mmap(const struct thread *thread, const struct pt_regs *regs, bool compat, bool old,
                                 __s64 result)
{
    __u32 prot = syscall_argument3(regs, compat), flags = syscall_argument4(regs, compat);
    __u32 fd = syscall_argument5(regs, compat);
    __u64 file;

    if (old) {
        __u32 arguments[6] = {};

        if (bpf_probe_read_user(arguments, sizeof(arguments), (void *)syscall_argument1(regs, compat)))
            return;
        prot = arguments[2];
        flags = arguments[3];
        fd = arguments[4];
    }
    if (flags & MAP_ANONYMOUS)
        return;
    /* an address is a success; as a number it may be negative for a 32-bit program only */
    result = result < 0 && result >= -4095 ? result : 0;
    file = file_of(LOAD_ADDRESS(task_struct, thread->task, files), fd);
    post(thread->image, thread->task, file, HOW(IOL_ABI_ROUTE_MMAP, DIRECTION_READ), -1, result);
    if (result == 0 && (flags & MAP_TYPE) != MAP_PRIVATE && prot & PROT_WRITE)
        post(thread->image, thread->task, file, HOW(IOL_ABI_ROUTE_MMAP, DIRECTION_WRITE), -1, result);
}

/* What may give files another name, or take it away. */
static __always_inline void count_change(__u32 class)
{
    if (class == CLASS_RENAME || class == CLASS_RENAMEAT || class == CLASS_MOUNT)
        count_rename();
    else if (class == CLASS_UNLINK || class == CLASS_UNLINKAT || class == CLASS_RMDIR)
        count_unlink();
}

/* Everything but the hot path. */
static __noinline int other_call(const struct told_call *call)
{
    const struct pt_regs *regs = AS(pt_regs, call->registers);
    __s64 result = call->result;
    struct thread thread;
    __u32 class, nr;
    bool compat;

    find_thread(call->registers, &thread);
    nr = masked(syscall_number(regs), IOL_SYSCALLS_MAX - 1);
    compat = syscall_is_compat(AS(task_struct, thread.task));
    class = compat ? compat_classes[nr] : native_classes[nr];
    if (class == CLASS_CLOSE)
        forget_descriptors(thread.place);
    if (result >= 0)
        count_change(class);
    if (class >= CLASS_MOUNT)
        change(&thread, regs, class, compat, result);
    if (thread.standing == IOL_STANDING_EXCLUDED && class != CLASS_NONE && class < CLASS_MMAP)
        total_add(current_epoch(), IOL_ABI_EXCLUDED, 0, result);
    if (thread.standing != IOL_STANDING_TRACED)
        return 0;
    if (class == CLASS_EXECVE || class == CLASS_EXECVEAT) {
        if (result < 0)
            exec_failed(&thread, regs, class, compat, result);
    } else if (class == CLASS_MMAP || class == CLASS_MMAP_OLD) {
        post_mmap(&thread, regs, compat, class == CLASS_MMAP_OLD, result);
    } else if (class == CLASS_IO_SUBMIT) {
        io_submit(&thread, regs, compat, result);
    } else if (class == CLASS_IO_GETEVENTS) {
        io_getevents(&thread, regs, compat, result);
    } else if (class < CLASS_MMAP) {
        post_call(&thread, regs, class, compat, result);
    }
    return 0;
}

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

/* The same for the file, its name and its mount: addresses as distances from `now`. */
static __always_inline __u64 name_recent(const struct file *file, __u64 image)
{
    const struct iol_control *now = &control;
    const struct inode *inode = LOAD(file, f_inode);
    const struct dentry *dentry = LOAD(file, f_path.dentry);
    __u64 h = (pointer_distance(dentry, now) ^ LOAD(dentry, d_name.hash_len)) * MIX_A ^
              (LOAD(inode, i_ino) ^ (LOAD(dentry, d_hash.pprev) == NULL)) * MIX_B ^
              (pointer_distance(LOAD(file, f_path.mnt), now) ^ (__u64)LOAD(inode, i_generation) << 32) * MIX_C;

    h = (h ^ h >> 32 ^ pointer_distance(inode, now)) * MIX_A;
    return h ^ h >> 29 ^ image ^ version_now() * MIX_C;
}

#define NOT_COUNTED (-1)

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

/* The account is not the one that was used last, or something has happened since: finds it, and remembers it. */
static __always_inline int find_anew(struct iol_thread *place, __u32 direction, __u64 name, __u64 image, __u64 task,
                                     __u64 file)
{
    struct iol_side *side = &place->side[direction & 1];
    int found = recent_account(place, name);

    if (found < 0) {
        found = find_or_open(image, task, file, IOL_ABI_ROUTE_RW);
        if (found < 0 || found & FOUND_FOR_NOW)
            return found;
        remember_account(place, name, found);
    }
    side->descriptor_check = 0;
    side->slot = (__u32)found;
    side->file_check = name ^ (__u32)found;
    return found;
}

/*
 * Something may have changed since the thread used this descriptor, or it is another one: looks at the file. NOT_COUNTED when
 * that is not enough: the thread is not known, not traced or in a 32-bit call, there is no file, or it has slept meanwhile.
 */
static __noinline int look_again(const struct told_call *call, struct iol_thread *place, __u32 direction)
{
    __u64 registers = call->registers, task = bpf_get_current_task(), image = place->image, file, files, name;
    __u32 fd = first_argument_32(AS(pt_regs, call->registers));
    __u64 descriptor = name_descriptor(registers, task, fd); /* before anything is looked at */
    struct iol_side *recent = &place->side[direction & 1];
    int found;

    if (*(volatile __u64 *)&place->check != thread_check(registers, image, task, IOL_STANDING_TRACED) ||
        syscall_is_compat(AS(task_struct, task)) || has_slept(AS(task_struct, task), place, registers))
        return NOT_COUNTED;
    files = LOAD_ADDRESS(task_struct, task, files);
    file = file_of(files, fd);
    if (!file)
        return NOT_COUNTED;
    name = name_recent(AS(file, file), image);
    found = *(volatile __u64 *)&recent->slot;
    if ((recent->file_check ^ (__u32)found) != name)
        found = find_anew(place, direction, name, image, task, file);
    if (found >= 0 && !table_is_shared(files))
        recent->descriptor_check = descriptor ^ (__u32)found;
    return found;
}

static __noinline int send_call_event(const struct told_call *call, __u32 index, __u32 direction)
{
    const struct pt_regs *regs = AS(pt_regs, call->registers);
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

/* The thread turns to another account: what it has done on the last one, in this epoch, goes to the slot. */
static __always_inline void close_tab(const struct iol_tab *tab, __u64 epoch, __u32 direction)
{
    __u32 index = IOL_TAB_SLOT(tab->account);
    struct iol_account *slot;

    if (tab->account >> 32 != (__u32)epoch)
        return;
    slot = bpf_map_lookup_elem(&slots, &index);
    if (slot)
        slot_add_tab(slot, tab, epoch, control.epoch_start, direction);
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

    if (*(volatile __u64 *)&place->owner != call->registers && !try_own(&place->owner, call->registers))
        return tally(found, epoch, HOW(IOL_ABI_ROUTE_RW, side & 1), result);
    if (FOUND_VERDICT(found) == IOL_VERDICT_IGNORE) {
        leave_out(mine, result);
        return 0;
    }
    if (tab->account != TAB_OF(epoch, found)) {
        close_tab(tab, epoch, side & 1);
        tab->account = TAB_OF(epoch, found);
        tab->sums = (struct iol_sums){};
        tab->first = bpf_jiffies64();
    }
    tab->last = bpf_jiffies64();
    sums_add(&tab->sums, result);
    sums_add(&tab->total, result);
    return 0;
}

static __noinline int count_and_tell(const struct told_call *call, struct iol_thread *place, int found, __u64 side)
{
    count(call, place, found, side);
    if (wants_events(found))
        send_call_event(call, FOUND_SLOT(found), side & 1);
    return 0;
}

/* It is not the descriptor that was used last, something has changed, or the place is not the thread's own. */
static __noinline int count_slowly(const struct told_call *call, struct iol_thread *place, __u32 direction)
{
    __u64 task = *(volatile __u64 *)&place->task;
    __u32 fd = first_argument_32(AS(pt_regs, call->registers));
    struct iol_side *side = &place->side[direction & 1];
    __u64 found = *(volatile __u64 *)&side->slot, epoch = current_epoch();
    int looked = (__u32)found;

    if ((side->descriptor_check ^ found) != name_descriptor(call->registers, task, fd))
        looked = look_again(call, place, direction);
    else if (syscall_is_compat(AS(task_struct, task)))
        return NOT_COUNTED;
    if (looked < 0)
        return NOT_COUNTED;
    return count_and_tell(call, place, looked, epoch << 1 | (direction & 1));
}

/*
 * The shortest way, for a thread that owns its place, on a descriptor that it has used before, and an account that it has counted on in
 * this epoch; or one that a rule leaves out. False: something is not so, and nothing was counted. `direction` is a constant. `now`: NULL when
 * the clock has not been read. The barriers keep few values at a time in registers: there are none to spare.
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
    /* only the thread itself writes its task there: when it is found to be there now, it was there before */
    found = name_descriptor(found, *(volatile __u64 *)&place->task, typed_first_argument_32(pointer_of(hot))) ^
            place->side[direction].descriptor_check;
    barrier_var(found);
    epoch = current_epoch();
    set = (struct iol_thread *)((char *)place + (epoch & 1) * sizeof(*tab));
    barrier_var(set);
    tab = &set->side[direction].tab[0];
    account = epoch << 32 | IOL_TAB_OPEN;
    barrier_var(account);
    if (rare((tab->account ^ found) != account) || rare(found >= FOUND(0, IOL_VERDICT_AGGREGATE + 1))) {
        if (found != FOUND(0, IOL_VERDICT_IGNORE))
            return false;
        leave_out(&place_of(lower_registers_of(hot))->side[direction], result_of(hot));
        barrier(); /* or the compiler makes one end of both, which takes both longer */
        return true;
    }
    result = result_of(hot);
    if (rare(result < 0))
        return false;
    tab->last = now ? *now : sparing_jiffies64();
    tab->sums.ops++;
    tab->sums.bytes += result;
    tab->total.ops++;
    tab->total.bytes += result;
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
    struct iol_thread *place = place_of(lower_registers_of(hot));

    barrier_var(place); /* or the compiler makes it anew for each member */
    if (registers_are_at(hot, *(volatile __u64 *)&place->untraced))
        return 0;
    if (!hot.native && rare(!is_surely_native(pointer_of(hot))) &&
        rare(syscall_is_compat(sparing_task(*(volatile __u64 *)&place->task)))) {
        told(hot);
        return NOT_COUNTED;
    }
    if (count_quickly(hot, place, direction, NULL))
        return 0;
    return count_slowly(told(hot), place, direction);
}

/* Any system call. `nr` may be as it is. */
static __always_inline int end_of_call(struct hot_call hot, __u32 nr)
{
    barrier_var(nr); /* one register */
    if (rare(nr >= CERTAIN_CALLS)) {
        nr = plain_number(nr);
        barrier_var(nr);
        if (!syscall_is_of_interest(nr))
            return 0;
        if (!hot.native && syscall_is_compat(sparing_current_task())) {
            told(hot);
            return other_call(hot.call);
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
    return other_call(hot.call);
}

SEC("tp_btf/sys_exit")
int on_sys_exit(struct call_end *ctx)
{
    struct told_call call;

    return end_of_call((struct hot_call){ctx, &call, NULL, false}, typed_number(ctx->regs));
}

#include "bpf/fexit.bpf.h"

/* Sleeping inside a call: see descriptor.bpf.h. Not loaded where bpf_task_pt_regs() (5.15) is missing. */
SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev)
{
    const struct pt_regs *regs;

    if (!prev->mm || !prev->files || prev->files->count.counter < 2)
        return 0;
    regs = (const struct pt_regs *)bpf_task_pt_regs(prev);
    if (!regs)
        return 0;
    fall_asleep(address_of(regs), preempt);
    return 0;
}

/* The arguments of these tracepoints differ from kernel to kernel: capture/attach.c looks and chooses. */
SEC("raw_tp/io_uring_complete")
int on_uring_complete(struct bpf_raw_tracepoint_args *ctx)
{
    const struct io_uring_cqe *cqe = AS(io_uring_cqe, ctx->args[2]);
    const struct completion what = {ctx->args[1], ctx->args[0], LOAD(cqe, user_data), LOAD(cqe, res)};

    complete_request(&what, false);
    return 0;
}

/* (ring, request, user_data, result, …): up to 6.12 */
SEC("raw_tp/io_uring_complete")
int on_uring_complete_6_12(struct bpf_raw_tracepoint_args *ctx)
{
    const struct completion what = {ctx->args[1], ctx->args[0], ctx->args[2], (__s32)ctx->args[3]};

    complete_request(&what, false);
    return 0;
}

SEC("raw_tp/io_uring_cqe_overflow")
int on_uring_overflow(struct bpf_raw_tracepoint_args *ctx)
{
    const struct completion what = {0, ctx->args[0], ctx->args[1], (__s32)ctx->args[2]};

    complete_request(&what, true);
    return 0;
}

SEC("raw_tp/io_uring_submit_req")
int on_uring_submit(struct bpf_raw_tracepoint_args *ctx)
{
    submit_request(ctx->args[0]);
    return 0;
}

/* (request, …): up to 6.3 */
SEC("raw_tp/io_uring_submit_sqe")
int on_uring_submit_6_3(struct bpf_raw_tracepoint_args *ctx)
{
    submit_request(ctx->args[0]);
    return 0;
}

/* (ring, request, …): 5.19 */
SEC("raw_tp/io_uring_submit_sqe")
int on_uring_submit_5_19(struct bpf_raw_tracepoint_args *ctx)
{
    submit_request(ctx->args[1]);
    return 0;
}

static __always_inline int forked(struct task_struct *parent, struct task_struct *child)
{
    __u32 parent_tgid = LOAD(AS(task_struct, parent), tgid);
    struct announcement what = {.task = child, .origin = 0};
    struct iol_task *known;

    forget_thread(child);
    if (LOAD(AS(task_struct, child), files) == LOAD(AS(task_struct, parent), files))
        forget_thread(parent); /* another thread can change its descriptors from here on */
    if (LOAD(AS(task_struct, child), tgid) != LOAD(AS(task_struct, child), pid))
        return 0; /* a thread: it belongs to its process */
    known = bpf_map_lookup_elem(&tasks, &parent_tgid);
    if (known)
        what.task_bits = known->bits & (IOL_TASK_DESCENDANT | IOL_TASK_EXE | IOL_TASK_EXCLUDED);
    what.parent_image = image_of_other(parent, 0);
    what.ppid = parent_of(child);
    announce(&what);
    return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    return forked(parent, child);
}

static __always_inline int executed(struct task_struct *task)
{
    __u32 tgid = LOAD(AS(task_struct, task), tgid);
    struct announcement what = {.task = task, .origin = 1, .own_memory = 1};
    struct iol_task *known = bpf_map_lookup_elem(&tasks, &tgid);

    if (known)
        what.task_bits = known->bits;
    if (what.task_bits & IOL_TASK_AT_EXEC)
        what.task_bits = IOL_TASK_DESCENDANT;
    what.parent_image = image_of_other(task, 1);
    what.ppid = parent_of(task);
    announce(&what);
    forget_thread(task);
    return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
    return executed(task);
}

/*
 * Once for each thread; the process ends with the last one. Two that end at the same moment may both
 * find themselves the last: user space takes the first record of an image.
 */
static __always_inline int exited(struct task_struct *task)
{
    __u32 tgid = LOAD(AS(task_struct, task), tgid);
    struct iol_record_exit record = {};
    struct iol_task *known;

    if (!last_thread(task))
        return 0;
    if (tgid == control.self_tgid)
        control.self_tgid = 0; /* whoever gets the pid next is nobody special */
    record.head.type = IOL_RECORD_EXIT;
    record.head.size = sizeof(record);
    record.head.ts = bpf_ktime_get_boot_ns();
    record.image = image_of_other(task, 0);
    record.pid = tgid;
    record.tid = LOAD(AS(task_struct, task), pid);
    /* what wait_task_zombie() of kernel/exit.c hands to the parent */
    record.status = BPF_CORE_READ(task, signal, flags) & SIGNAL_GROUP_EXIT
                        ? BPF_CORE_READ(task, signal, group_exit_code)
                        : BPF_CORE_READ(task, group_leader, exit_code);
    known = bpf_map_lookup_elem(&tasks, &tgid);
    if (known && known->bits & IOL_TASK_TRACED)
        record.bits |= IOL_PROCESS_TRACED;
    if (ring_send(&record, sizeof(record)))
        count_lost(IOL_LOST_EVENTS, 1);
    bpf_map_delete_elem(&tasks, &tgid);
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
    return exited(task);
}

#include "bpf/preempt.bpf.h"

/* The recorder's own, or, when it is in a sandbox, that of the service manager which started it. */
static __always_inline void find_home_root(struct task_struct *recorder)
{
    struct task_struct *task = recorder;

    if (BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum) != (__u32)settings.home_mnt_ns)
        task = BPF_CORE_READ(task, real_parent);
    home_root_dentry = BPF_CORE_READ(task, fs, root.dentry);
    home_root_mnt = BPF_CORE_READ(task, fs, root.mnt);
}

static __always_inline __u64 state_of_task(struct task_struct *task)
{
    const struct task_struct___5_13 *older = (const struct task_struct___5_13 *)task;

    return bpf_core_field_exists(older->state) ? (__u64)BPF_CORE_READ(older, state) : BPF_CORE_READ(task, __state);
}

/* In fork, or in exec behind the point where it is the next image already: the hook there is about to tell of it, and knows more. */
static __always_inline bool is_being_made(struct task_struct *task, __u64 image, const struct iol_task *known)
{
    if (state_of_task(task) & TASK_NEW)
        return true;
    return known && known->image != image && BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/* Processes that are there already: a record each, through the iterator's own buffer, where nothing is lost. */
SEC("iter/task")
int on_running(struct bpf_iter__task *ctx)
{
    struct task_struct *task = ctx->task;
    struct iol_task entry = {};
    struct iol_task *known;
    struct task_struct *parent;
    struct scratch *scratch;
    __u32 tgid, index, size;
    long error = -1;
    __u64 image;

    if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
        return 0;
    tgid = BPF_CORE_READ(task, tgid);
    if (tgid == control.self_tgid)
        find_home_root(task);
    image = image_of_other(task, 0);
    known = bpf_map_lookup_elem(&tasks, &tgid);
    if (BPF_CORE_READ(task, flags) & PF_EXITING || is_being_made(task, image, known))
        return 0;
    scratch = scratch_take(&index);
    if (!scratch)
        return 1; /* 1: the iterator calls again for the same task */
    parent = BPF_CORE_READ(task, real_parent);
    scratch->task = task;
    scratch->parent_image = image_of_other(parent, 0);
    scratch->ppid = BPF_CORE_READ(parent, tgid);
    scratch->origin = 2;
    scratch->own_memory = 0;
    scratch->task_bits = known ? known->bits : 0;
    size = build_process(index);
    judge_process(scratch);
    if (image_of_other(task, 0) != image) {
        /* an exec in the middle of the look: what was read is of two images, and the hook has not told of the second one perhaps */
        scratch_give(scratch);
        return 1;
    }
    if (size <= sizeof(scratch->record))
        error = bpf_seq_write(ctx->meta->seq, scratch->record, size);
    entry.image = image;
    entry.bits = scratch->task_bits;
    scratch_give(scratch);
    if (error)
        return 0; /* the buffer is full: the iterator calls again for the same task */
    entry.bits |= IOL_TASK_ANNOUNCED;
    known = bpf_map_lookup_elem(&tasks, &tgid);
    if (known && known->image != image)
        return 0; /* an exec since then: its hook has judged it */
    if (known)
        known->bits = entry.bits; /* judged anew: user space has marked it since */
    else
        bpf_map_update_elem(&tasks, &tgid, &entry, BPF_NOEXIST);
    return 0;
}

/* Run by user space (BPF_PROG_TEST_RUN) to read the two clocks at one moment. */
struct iol_clock clock_now SEC(".data.clock");

SEC("raw_tp/sys_enter")
int on_clock(void *ctx)
{
    (void)ctx;
    clock_now.jiffies = bpf_jiffies64();
    clock_now.boot_ns = bpf_ktime_get_boot_ns();
    clock_now.tgid = bpf_get_current_pid_tgid() >> 32;
    /* it may have been taken for one of those that are recorded, before it took over */
    forget_thread((struct task_struct *)bpf_get_current_task());
    return 0;
}
