// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "core/decode.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/row.h"

/* The kernel's numbers go into rows as they are. */
static_assert((int)IOL_ABI_ROUTE_RW == (int)IOL_ROUTE_RW, "routes");
static_assert((int)IOL_ABI_ROUTE_SENDFILE == (int)IOL_ROUTE_SENDFILE, "routes");
static_assert((int)IOL_ABI_ROUTE_SPLICE == (int)IOL_ROUTE_SPLICE, "routes");
static_assert((int)IOL_ABI_ROUTE_COPY_FILE_RANGE == (int)IOL_ROUTE_COPY_FILE_RANGE, "routes");
static_assert((int)IOL_ABI_ROUTE_IO_URING == (int)IOL_ROUTE_IO_URING, "routes");
static_assert((int)IOL_ABI_ROUTE_MMAP == (int)IOL_ROUTE_MMAP, "routes");
static_assert((int)IOL_ABI_KIND_FILE == (int)IOL_KIND_FILE, "kinds");
static_assert((int)IOL_ABI_KIND_PIPE == (int)IOL_KIND_PIPE, "kinds");
static_assert((int)IOL_ABI_KIND_MEMFD == (int)IOL_KIND_MEMFD, "kinds");
static_assert((int)IOL_ABI_KIND_COUNT == (int)IOL_KIND_COUNT, "kinds");
static_assert((int)IOL_ABI_EVENT_OPEN == (int)IOL_EVENT_OPEN, "kinds of events");
static_assert((int)IOL_ABI_EVENT_OPEN_FAILED == (int)IOL_EVENT_OPEN_FAILED, "kinds of events");
static_assert((int)IOL_ABI_EVENT_RENAME == (int)IOL_EVENT_RENAME, "kinds of events");
static_assert((int)IOL_ABI_EVENT_UNLINK == (int)IOL_EVENT_UNLINK, "kinds of events");
static_assert((int)IOL_ABI_EVENT_TRUNCATE == (int)IOL_EVENT_TRUNCATE, "kinds of events");
static_assert((int)IOL_ABI_EVENT_LINK == (int)IOL_EVENT_LINK, "kinds of events");
static_assert((int)IOL_ABI_EVENT_SYMLINK == (int)IOL_EVENT_SYMLINK, "kinds of events");
static_assert((int)IOL_ABI_EVENT_MKDIR == (int)IOL_EVENT_MKDIR, "kinds of events");
static_assert((int)IOL_ABI_EVENT_RMDIR == (int)IOL_EVENT_RMDIR, "kinds of events");
static_assert((int)IOL_ABI_EVENT_CHMOD == (int)IOL_EVENT_CHMOD, "kinds of events");
static_assert((int)IOL_ABI_EVENT_CHOWN == (int)IOL_EVENT_CHOWN, "kinds of events");
static_assert((int)IOL_ABI_EVENT_SETXATTR == (int)IOL_EVENT_SETXATTR, "kinds of events");
static_assert(sizeof(struct iol_account) == 3 * 64, "a slot is three cache lines");
static_assert(sizeof(struct iol_counters) == 64, "the counters of an epoch are one cache line");
static_assert(sizeof(struct iol_thread) == 1024, "no place of a thread is in two pages");
static_assert(sizeof(struct iol_tab) == 64 && offsetof(struct iol_side, tab) % 64 == 0 &&
                  sizeof(struct iol_side) % 64 == 0 && offsetof(struct iol_thread, side) % 64 == 0,
              "a tab is one cache line");
static_assert(offsetof(struct iol_thread, image) + 8 == 64, "so is what most operations need of a thread");
static_assert((int)IOL_EVENT_READ == 4 && (int)IOL_EVENT_WRITE == 5 && (int)IOL_EVENT_MMAP == 6,
              "EVENT_READ and the others of bpf/post.bpf.h");
static_assert(sizeof(struct iol_record_process) % 8 == 0, "no padding before data");

/* What is left of a record's variable part. */
struct cursor {
    const char *data;
    size_t left;
};

static int take(struct cursor *cursor, size_t size, size_t max, struct iol_bytes *ret_bytes)
{
    if (size > cursor->left || size > max)
        return -EBADMSG;
    *ret_bytes = (struct iol_bytes){cursor->data, size};
    cursor->data += size;
    cursor->left -= size;
    return 0;
}

/* A path of the kernel holds no NUL; a length that says otherwise ends at the first one. */
static int take_text(struct cursor *cursor, size_t size, size_t max, struct iol_bytes *ret_bytes)
{
    if (take(cursor, size, max, ret_bytes) < 0)
        return -EBADMSG;
    ret_bytes->size = strnlen(ret_bytes->data, ret_bytes->size);
    return 0;
}

static int decode_process(struct cursor *cursor, struct iol_decoded *decoded)
{
    struct iol_decoded_process *process = &decoded->process;

    process->fixed.comm[IOL_COMM_MAX - 1] = '\0';
    if (process->fixed.origin >= IOL_ORIGIN_COUNT || process->fixed.exe.kind >= IOL_KIND_COUNT)
        return -EBADMSG;
    if (take_text(cursor, process->fixed.exe.path_len, IOL_PATH_MAX, &process->exe) < 0 ||
        take_text(cursor, process->fixed.cwd_len, IOL_PATH_MAX, &process->cwd) < 0 ||
        take_text(cursor, process->fixed.cgroup_len, IOL_CGROUP_MAX, &process->cgroup) < 0)
        return -EBADMSG;
    return take(cursor, process->fixed.argv_len, IOL_ARGV_MAX, &process->argv);
}

/* A process like any other, with nothing to say for itself. */
static int decode_fork(struct cursor *cursor, struct iol_decoded *decoded)
{
    const struct iol_record_fork fork = decoded->fork;

    (void)cursor;
    decoded->type = IOL_RECORD_PROCESS;
    decoded->process = (struct iol_decoded_process){
        .fixed = {.head = fork.head,
                  .image = fork.image,
                  .parent_image = fork.parent_image,
                  .start_ns = fork.start_ns,
                  .pid = fork.pid,
                  .ppid = fork.ppid,
                  .tid = fork.pid,
                  .ns_pid = fork.ns_pid,
                  .origin = IOL_ORIGIN_FORK,
                  .bits = fork.bits | IOL_PROCESS_INHERITS | IOL_PROCESS_SAME_LOCATION | IOL_PROCESS_SAME_TRAITS},
    };
    return 0;
}

static int decode_exit(struct cursor *cursor, struct iol_decoded *decoded)
{
    (void)cursor, (void)decoded;
    return 0;
}

static int decode_exec_failed(struct cursor *cursor, struct iol_decoded *decoded)
{
    return take_text(cursor, decoded->exec_failed.fixed.path_len, IOL_PATH_MAX, &decoded->exec_failed.path);
}

static int decode_file(struct cursor *cursor, struct iol_decoded *decoded)
{
    if (decoded->file.fixed.info.kind >= IOL_KIND_COUNT)
        return -EBADMSG;
    return take_text(cursor, decoded->file.fixed.info.path_len, IOL_PATH_MAX, &decoded->file.path);
}

static int decode_event(struct cursor *cursor, struct iol_decoded *decoded)
{
    (void)cursor;
    return decoded->event.kind < IOL_EVENT_KIND_COUNT ? 0 : -EBADMSG;
}

static int decode_name(struct cursor *cursor, const struct iol_name *name, struct iol_decoded_name *ret_name)
{
    if (name->info.kind >= IOL_KIND_COUNT)
        return -EBADMSG;
    if (take_text(cursor, name->info.path_len, IOL_PATH_MAX, &ret_name->path) < 0)
        return -EBADMSG;
    return take_text(cursor, name->given_len, IOL_PATH_MAX, &ret_name->given);
}

static int decode_change(struct cursor *cursor, struct iol_decoded *decoded)
{
    struct iol_decoded_change *change = &decoded->change;

    if (change->fixed.kind >= IOL_EVENT_KIND_COUNT)
        return -EBADMSG;
    if (decode_name(cursor, &change->fixed.file, &change->file) < 0)
        return -EBADMSG;
    return decode_name(cursor, &change->fixed.other, &change->other);
}

static const struct {
    size_t fixed; /* bytes before the variable part */
    int (*decode)(struct cursor *cursor, struct iol_decoded *decoded);
} decoders[] = {
    [IOL_RECORD_PROCESS] = {sizeof(struct iol_record_process), decode_process},
    [IOL_RECORD_EXIT] = {sizeof(struct iol_record_exit), decode_exit},
    [IOL_RECORD_EXEC_FAILED] = {sizeof(struct iol_record_exec_failed), decode_exec_failed},
    [IOL_RECORD_FILE] = {sizeof(struct iol_record_file), decode_file},
    [IOL_RECORD_EVENT] = {sizeof(struct iol_record_event), decode_event},
    [IOL_RECORD_CHANGE] = {sizeof(struct iol_record_change), decode_change},
    [IOL_RECORD_FORK] = {sizeof(struct iol_record_fork), decode_fork},
};

int iol_decode_record(const void *data, size_t size, struct iol_decoded *ret_decoded)
{
    struct iol_decoded decoded = {0};
    struct iol_record head;
    struct cursor cursor;
    size_t fixed;

    if (size < sizeof(head))
        return -EBADMSG;
    memcpy(&head, data, sizeof(head));
    if (head.type >= IOL_ARRAY_SIZE(decoders) || !decoders[head.type].decode)
        return -EBADMSG;
    fixed = decoders[head.type].fixed;
    if (head.size < fixed || head.size > size)
        return -EBADMSG;

    decoded.type = head.type;
    memcpy(&decoded.process, data, fixed); /* every member of the union starts with its fixed part */
    cursor = (struct cursor){(const char *)data + fixed, head.size - fixed};
    if (decoders[head.type].decode(&cursor, &decoded) < 0)
        return -EBADMSG;
    *ret_decoded = decoded;
    return 0;
}
