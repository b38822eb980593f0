/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Linux AIO: which file a request is for is seen when it is submitted, what became of it when its event is fetched. A program
 * that reads events from the ring itself, without a system call, shows when it uses the same control block again: then
 * the operation is counted, and its bytes are not known.
 */
#include "bpf/descriptor.bpf.h"

/* A request in flight: by its process image and the address of its control block. */
struct aio_name {
    __u64 image;
    __u64 block;
};

struct aio_request {
    struct iol_account_key key;
    __u16 direction;
    __u16 ignored; /* by the rules when it was submitted: it may have no account */
    __u32 fetched; /* its event was fetched by another thread before the call that submitted it returned */
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 16384);
    __type(key, struct aio_name);
    __type(value, struct aio_request);
} aio_requests SEC(".maps");

/* In a map of its own, and not on the stack of complete_aio(). */
static const struct aio_request fetched_already SEC(".rodata.aio") = {.fetched = 1};

/* include/uapi/linux/aio_abi.h, little-endian; the same for 32-bit programs. */
struct aio_block {
    __u64 data;
    __u32 key, rw_flags;
    __u16 opcode;
    __s16 priority;
    __u32 fd;
};

struct aio_event {
    __u64 data;
    __u64 block;
    __s64 result;
    __s64 result2;
};

enum aio_opcode { AIO_PREAD = 0, AIO_PWRITE = 1, AIO_PREADV = 7, AIO_PWRITEV = 8 };

/*
 * Submission and event of a request are seen on two CPUs, in either order: the first leaves a note, the second finds that and
 * takes it away.
 */
static __always_inline void meet(const struct aio_name *name, const struct aio_request *note)
{
    if (bpf_map_update_elem(&aio_requests, name, note, BPF_NOEXIST))
        bpf_map_delete_elem(&aio_requests, name);
}

/* Direction and file of a control block; false when it neither reads nor writes. */
static __noinline bool read_block(__u64 block, __u64 task, __u32 *ret_direction, __u64 *ret_file)
{
    struct aio_block what = {};

    if (bpf_probe_read_user(&what, sizeof(what), (void *)block))
        return false;
    if (what.opcode == AIO_PREAD || what.opcode == AIO_PREADV)
        *ret_direction = DIRECTION_READ;
    else if (what.opcode == AIO_PWRITE || what.opcode == AIO_PWRITEV)
        *ret_direction = DIRECTION_WRITE;
    else
        return false;
    *ret_file = file_of(LOAD_ADDRESS(task_struct, task, files), what.fd);
    return true;
}

/* One control block that the kernel has taken. Global functions: the verifier looks at them once, not for each turn of the loop. */
__noinline int submit_aio(__u64 image, __u64 task, __u64 block)
{
    struct aio_name name = {image, block};
    struct aio_request request = {}, *old;
    __u32 direction;
    __u64 file;
    int found;

    old = bpf_map_lookup_elem(&aio_requests, &name);
    if (old && old->fetched) {
        bpf_map_delete_elem(&aio_requests, &name);
        return 0;
    }
    if (old) {
        post_found(find_noted(&old->key, old->ignored, IOL_ABI_ROUTE_RW), current_epoch(), image,
                   HOW(IOL_ABI_ROUTE_RW, old->direction & 1), -1, 0);
        count_lost(IOL_LOST_AIO_BYTES, 1);
        bpf_map_delete_elem(&aio_requests, &name);
    }
    if (!read_block(block, task, &direction, &file))
        return 0;
    found = find_or_open(image, task, file, IOL_ABI_ROUTE_RW);
    request.direction = direction;
    request.ignored = found >= 0 && FOUND_VERDICT(found) == IOL_VERDICT_IGNORE;
    name_account(&request.key, image, file, IOL_ABI_ROUTE_RW, name_file_aside(file));
    meet(&name, &request);
    return 0;
}

/* One event that the program has fetched. When its request was not noted yet, or is not any more, its block says what it was. */
__noinline int complete_aio(__u64 image, __u64 task, __u64 address)
{
    struct aio_name name = {.image = image};
    struct aio_event *event = (struct aio_event *)address;
    struct aio_request *request;
    __u32 direction;
    __u64 file;
    __s64 result;

    if (bpf_probe_read_user(&name.block, sizeof(name.block), &event->block) ||
        bpf_probe_read_user(&result, sizeof(result), &event->result))
        return 0;
    request = bpf_map_lookup_elem(&aio_requests, &name);
    if (request && !request->fetched) {
        post_found(find_noted(&request->key, request->ignored, IOL_ABI_ROUTE_RW), current_epoch(), image,
                   HOW(IOL_ABI_ROUTE_RW, request->direction & 1), -1, result);
        bpf_map_delete_elem(&aio_requests, &name);
        return 0;
    }
    if (!read_block(name.block, task, &direction, &file))
        return 0;
    post(image, task, file, HOW(IOL_ABI_ROUTE_RW, direction & 1), -1, result);
    meet(&name, &fetched_already);
    return 0;
}

static __always_inline void io_submit(const struct thread *thread, const struct pt_regs *regs, bool compat, __s64 n)
{
    __u64 list = syscall_argument3(regs, compat);
    int i;

    for (i = 0; i < IOL_AIO_BATCH && i < n; i++) {
        __u64 block = 0;

        if (bpf_probe_read_user(&block, compat ? 4 : 8, (void *)(list + i * (compat ? 4 : 8))))
            break;
        submit_aio(thread->image, thread->task, block);
    }
    if (n > IOL_AIO_BATCH)
        count_lost(IOL_LOST_AIO_OPERATIONS, n - IOL_AIO_BATCH);
}

static __always_inline void io_getevents(const struct thread *thread, const struct pt_regs *regs, bool compat, __s64 n)
{
    __u64 events = syscall_argument4(regs, compat);
    int i;

    for (i = 0; i < IOL_AIO_BATCH && i < n; i++)
        complete_aio(thread->image, thread->task, events + i * sizeof(struct aio_event));
    if (n > IOL_AIO_BATCH)
        count_lost(IOL_LOST_AIO_OPERATIONS, n - IOL_AIO_BATCH);
}
