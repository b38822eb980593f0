/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * io_uring: a request is counted when its completion is written, under the process that submitted it, whoever finishes it.
 * The tracepoint carries the request, with its file, but for completions that overflow the ring and those of multishot
 * requests: then the request is looked up by ring and user_data, as it was submitted, and has to fit the completion.
 */
#include "bpf/post.bpf.h"

/* Opcodes, of include/uapi/linux/io_uring.h. */
enum uring_opcode {
    URING_READV = 1,
    URING_WRITEV = 2,
    URING_READ_FIXED = 4,
    URING_WRITE_FIXED = 5,
    URING_READ = 22,
    URING_WRITE = 23,
    URING_CLOSE = 19,
    URING_SPLICE = 30,
    URING_RENAMEAT = 35,
    URING_UNLINKAT = 36,
    URING_READ_MULTISHOT = 49,
    URING_READV_FIXED = 60,
    URING_WRITEV_FIXED = 61,
};

#define REQ_F_FIXED_FILE (1 << 0) /* include/linux/io_uring_types.h */
#define REQ_F_CQE_SKIP (1 << 6)
#define SPLICE_F_FD_IN_FIXED (1U << 31) /* include/uapi/linux/io_uring.h */

/* Requests as they were submitted: address, by a hash of ring and user_data; whatever came last. For completions that overflow. */
#define URING_REQUESTS 4096

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, URING_REQUESTS);
    __type(key, __u32);
    __type(value, __u64);
} uring_requests SEC(".maps");

struct request_name {
    __u64 ring;
    __u64 user_data;
};

/* Multishot reads stay, and complete many times. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 1024);
    __type(key, struct request_name);
    __type(value, __u64);
} multishots SEC(".maps");

struct completion {
    __u64 request; /* address; 0: the completion does not say */
    __u64 ring;
    __u64 user_data;
    __s64 result;
};

static __always_inline bool opcode_reads(__u32 opcode)
{
    return opcode == URING_READ || opcode == URING_READV || opcode == URING_READ_FIXED ||
           opcode == URING_READ_MULTISHOT || opcode == URING_READV_FIXED;
}

static __always_inline bool opcode_writes(__u32 opcode)
{
    return opcode == URING_WRITE || opcode == URING_WRITEV || opcode == URING_WRITE_FIXED ||
           opcode == URING_WRITEV_FIXED;
}

static __always_inline __u64 *request_place(__u64 ring, __u64 user_data)
{
    __u32 index = (ring * MIX_A ^ user_data * MIX_B) >> 52;

    return bpf_map_lookup_elem(&uring_requests, &index);
}

_Static_assert(URING_REQUESTS == 1 << (64 - 52), "shift of request_place()");

/* The task that submitted: 6.13 moved it, "io_uring: move struct io_kiocb from task_struct to io_uring_task". */
static __always_inline __u64 submitter_of(const struct io_kiocb *request)
{
    const struct io_kiocb___6_12 *older = (const void *)request;

    if (bpf_core_field_exists(older->task))
        return (__u64)BPF_CORE_READ(older, task);
    return (__u64)BPF_CORE_READ(request, tctx, task);
}

static __always_inline void identify_submitter(const struct io_kiocb *request, struct thread *ret_thread)
{
    ret_thread->place = NULL;
    ret_thread->slept = 0;
    ret_thread->registers = 0;
    ret_thread->task = submitter_of(request);
    ret_thread->image = image_of(AS(task_struct, ret_thread->task));
    ret_thread->standing = standing_of(AS(task_struct, ret_thread->task));
}

/* Posts one side, or leaves it out. */
static __always_inline void post_uring(const struct thread *thread, __u64 file, enum direction direction, __s64 result)
{
    if (thread->standing == IOL_STANDING_EXCLUDED)
        tally(FOUND_NOTHING, current_epoch(), HOW(IOL_ABI_EXCLUDED, direction), result);
    else if (thread->standing == IOL_STANDING_TRACED)
        post(thread->image, thread->task, file, HOW(IOL_ABI_ROUTE_IO_URING, direction), -1, result);
}

#define FFS_MASK 7ULL /* io_uring/filetable.h: flags in the low bits of a file's address */

/* The file in a slot of the ring's table: 6.13 made it one of nodes, which a splice holds on to. */
static __always_inline __u64 file_in_slot(const struct io_kiocb *request, __u32 slot)
{
    struct io_ring_ctx___6_12 *ring = (void *)BPF_CORE_READ(request, ctx);
    __u64 files;

    if (!bpf_core_field_exists(ring->file_table.files) || slot >= BPF_CORE_READ(ring, nr_user_files))
        return 0;
    files = (__u64)BPF_CORE_READ(ring, file_table.files);
    /* struct io_fixed_file, 8 bytes; where there is none, asking BTF for it takes CAP_SYS_ADMIN: modules are searched */
    return load_word(files + slot * sizeof(__u64)) & ~FFS_MASK;
}

/*
 * A splice has a second file: what its descriptor or slot leads to now or, from 6.13 on, what the node of its slot holds,
 * which is put after the completion. One that was never issued, because its chain was broken, has neither.
 */
static __always_inline __u64 second_file(const struct io_kiocb *request, const struct thread *thread)
{
    const struct io_splice *splice = (const struct io_splice *)request; /* the request begins with its command */
    struct io_rsrc_node *node;

    if (!BPF_CORE_READ(request, file))
        return 0;
    if (!(BPF_CORE_READ(splice, flags) & SPLICE_F_FD_IN_FIXED))
        return file_of(LOAD_ADDRESS(task_struct, thread->task, files), BPF_CORE_READ(splice, splice_fd_in));
    if (!bpf_core_field_exists(splice->rsrc_node))
        return file_in_slot(request, BPF_CORE_READ(splice, splice_fd_in));
    node = BPF_CORE_READ(splice, rsrc_node);
    return node ? BPF_CORE_READ(node, file_ptr) & ~FFS_MASK : 0;
}

static __always_inline void complete_splice(const struct io_kiocb *request, const struct thread *thread, __s64 result)
{
    post_uring(thread, second_file(request, thread), DIRECTION_READ, result);
    post_uring(thread, (__u64)BPF_CORE_READ(request, file), DIRECTION_WRITE, result);
}

static __always_inline bool fits(__u64 address, const struct completion *what)
{
    struct io_kiocb *request = (struct io_kiocb *)address;

    return (__u64)BPF_CORE_READ(request, ctx) == what->ring && BPF_CORE_READ(request, cqe.user_data) == what->user_data;
}

/* The request behind a completion that does not name it, when it is still the one noted at its submission. */
static __always_inline __u64 find_request(const struct completion *what, bool overflow)
{
    struct request_name name = {what->ring, what->user_data};
    __u64 *noted = bpf_map_lookup_elem(&multishots, &name);

    if (noted && fits(*noted, what))
        return *noted;
    if (!overflow)
        return 0; /* of a multishot request that is no read */
    noted = request_place(what->ring, what->user_data);
    if (noted && *noted && fits(*noted, what))
        return *noted;
    count_lost(IOL_LOST_URING_COMPLETIONS, 1);
    return 0;
}

static __always_inline void complete_request(const struct completion *what, bool overflow)
{
    __u64 address = what->request ? what->request : find_request(what, overflow);
    struct io_kiocb *request = (struct io_kiocb *)address;
    struct thread thread;
    __u32 opcode;

    if (!address)
        return;
    opcode = BPF_CORE_READ(request, opcode);
    if (what->result >= 0 && (opcode == URING_RENAMEAT || opcode == URING_CLOSE))
        count_rename(); /* a close: descriptors that threads remember are void */
    if (what->result >= 0 && opcode == URING_UNLINKAT)
        count_unlink();
    if (!opcode_reads(opcode) && !opcode_writes(opcode) && opcode != URING_SPLICE)
        return;
    identify_submitter(request, &thread);
    if (opcode == URING_SPLICE)
        complete_splice(request, &thread, what->result);
    else
        post_uring(&thread, (__u64)BPF_CORE_READ(request, file),
                   opcode_reads(opcode) ? DIRECTION_READ : DIRECTION_WRITE, what->result);
}

/* Of a request that is not issued yet: its descriptor is not looked up. Registered files are not looked up here either. */
static __always_inline __u64 file_to_be(const struct io_kiocb *request, const struct thread *thread)
{
    if (BPF_CORE_READ(request, flags) & REQ_F_FIXED_FILE)
        return 0;
    return file_of(LOAD_ADDRESS(task_struct, thread->task, files), BPF_CORE_READ(request, cqe.fd));
}

/* Notes the request, and counts it at once when a success of it will not be told. */
static __always_inline void submit_request(__u64 address)
{
    struct io_kiocb *request = (struct io_kiocb *)address;
    struct request_name name = {};
    struct thread thread;
    __u32 opcode = BPF_CORE_READ(request, opcode);
    __u64 *noted;

    if (!opcode_reads(opcode) && !opcode_writes(opcode))
        return;
    name.ring = (__u64)BPF_CORE_READ(request, ctx);
    name.user_data = BPF_CORE_READ(request, cqe.user_data);
    noted = request_place(name.ring, name.user_data);
    if (noted)
        *noted = address;
    if (opcode == URING_READ_MULTISHOT)
        bpf_map_update_elem(&multishots, &name, &address, BPF_ANY);
    if (!(BPF_CORE_READ(request, flags) & REQ_F_CQE_SKIP))
        return;
    identify_submitter(request, &thread);
    post_uring(&thread, file_to_be(request, &thread), opcode_reads(opcode) ? DIRECTION_READ : DIRECTION_WRITE, 0);
    if (thread.standing == IOL_STANDING_TRACED)
        count_lost(IOL_LOST_URING_BYTES, 1);
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
