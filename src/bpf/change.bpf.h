/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Changes of files and directories as events: created, renamed, removed, changed otherwise, or not allowed to be opened.
 *
 * A tracepoint at the end of a system call sees no dentry of a file that was given by name. What it sees is where the name starts
 * from, which is walked here as every path is, and the string; user space puts the two together and says how sure that is.
 */
#include "bpf/post.bpf.h"
#include "bpf/syscalls.bpf.h"

/* Which of a call's arguments, 1 to 5, says what; 0: none. */
struct change_shape {
    __u8 kind;  /* enum iol_abi_event; 0: names may have changed in a way that is no event */
    __u8 fd;    /* the file itself */
    __u8 dirfd; /* 0 with a path: the working directory */
    __u8 path;
    __u8 other_dirfd;
    __u8 other_path;
    __u8 flags;
    __u8 reserved;
};

/* renameat() and renameat2() are one class, and only the second has flags. */
#define NATIVE_NUMBER(name, number, class) NATIVE_##name = (number),
#define COMPAT_NUMBER(name, number, class) COMPAT_##name = (number),
enum { NATIVE(NATIVE_NUMBER) COMPAT(COMPAT_NUMBER) };

#define SHAPES 64
#define SHAPE(class, ...) [CLASS_##class] = {.kind = IOL_ABI_EVENT_##__VA_ARGS__}

static const volatile struct change_shape change_shapes[SHAPES] SEC(".rodata.syscalls") = {
    SHAPE(OPEN, OPEN, .path = 1, .flags = 2),
    SHAPE(OPENAT, OPEN, .dirfd = 1, .path = 2, .flags = 3),
    SHAPE(OPENAT2, OPEN, .dirfd = 1, .path = 2, .flags = 3), /* a pointer to them */
    SHAPE(CREAT, OPEN, .path = 1),
    SHAPE(TRUNCATE, TRUNCATE, .path = 1),
    SHAPE(FTRUNCATE, TRUNCATE, .fd = 1),
    SHAPE(RENAME, RENAME, .path = 1, .other_path = 2),
    SHAPE(RENAMEAT, RENAME, .dirfd = 1, .path = 2, .other_dirfd = 3, .other_path = 4, .flags = 5),
    SHAPE(UNLINK, UNLINK, .path = 1),
    SHAPE(UNLINKAT, UNLINK, .dirfd = 1, .path = 2, .flags = 3),
    SHAPE(RMDIR, RMDIR, .path = 1),
    SHAPE(LINK, LINK, .path = 1, .other_path = 2),
    SHAPE(LINKAT, LINK, .dirfd = 1, .path = 2, .other_dirfd = 3, .other_path = 4),
    SHAPE(SYMLINK, SYMLINK, .path = 2),
    SHAPE(SYMLINKAT, SYMLINK, .dirfd = 2, .path = 3),
    SHAPE(MKDIR, MKDIR, .path = 1),
    SHAPE(MKDIRAT, MKDIR, .dirfd = 1, .path = 2),
    SHAPE(CHMOD, CHMOD, .path = 1),
    SHAPE(FCHMOD, CHMOD, .fd = 1),
    SHAPE(FCHMODAT, CHMOD, .dirfd = 1, .path = 2),
    SHAPE(CHOWN, CHOWN, .path = 1),
    SHAPE(FCHOWN, CHOWN, .fd = 1),
    SHAPE(FCHOWNAT, CHOWN, .dirfd = 1, .path = 2),
    SHAPE(SETXATTR, SETXATTR, .path = 1),
    SHAPE(FSETXATTR, SETXATTR, .fd = 1),
    SHAPE(SETXATTRAT, SETXATTR, .dirfd = 1, .path = 2),
};

_Static_assert(CLASS_SETXATTRAT < SHAPES, "a shape for each class");

static __always_inline bool event_is_wanted(__u32 kind)
{
    return settings.events >> (kind & 31) & 1;
}

/*
 * As admit() asks, but counts nothing. The database server's changes are told without a filter too: user space makes no event
 * of them, and has to know that a name means another file now.
 */
static __always_inline bool change_is_wanted(__u32 tgid)
{
    struct iol_task *known;

    if (tgid == control.self_tgid)
        return false;
    if (!settings.filter || settings.filter == IOL_FILTER_ANY)
        return true;
    known = find_task(tgid);
    return known && known->bits & IOL_TASK_TRACED;
}

/* Where a name starts from: the descriptor's file, or the working directory. NULL when the descriptor is not open. */
static __always_inline struct path *start_of(struct task_struct *task, struct file *file, __s32 dirfd)
{
    struct fs_struct *fs = (struct fs_struct *)LOAD_ADDRESS(task_struct, (__u64)task, fs);

    if (file)
        return (struct path *)((char *)file + bpf_core_field_offset(struct file, f_path));
    return fs && dirfd == AT_FDCWD ? (struct path *)((char *)fs + bpf_core_field_offset(struct fs_struct, pwd)) : NULL;
}

/* The walked part of a name into the record: that of the file itself, or of the directory that the string starts from. */
static __always_inline void put_walked(__u32 index, struct scratch *scratch, struct iol_file_info *info, __s32 fd,
                                       bool itself)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();
    struct fs_struct *fs = (struct fs_struct *)LOAD_ADDRESS(task_struct, (__u64)task, fs);
    struct file *file = fd < 0 ? NULL : (struct file *)file_of(LOAD_ADDRESS(task_struct, (__u64)task, files), fd);
    struct path *start = start_of(task, file, fd);
    struct path *root = (struct path *)((char *)fs + bpf_core_field_offset(struct fs_struct, root));

    if (!start) {
        info->bits |= IOL_FILE_UNREACHABLE;
        return;
    }
    if (itself && file)
        fill_file_info(info, file);
    else if (itself)
        fill_info(info, LOAD_ADDRESS(dentry, LOAD_ADDRESS(path, (__u64)start, dentry), d_inode),
                  LOAD_ADDRESS(path, (__u64)start, dentry));
    set_walk(scratch, start, root);
    walk_path(index);
    info->bits |= scratch->bits;
    info->path_len = path_length(scratch);
    scratch->at = copy_path(scratch, scratch->at);
}

/* A name by descriptor, or by descriptor and string: `fd` and `string` are the numbers of the arguments, 0: none. */
__noinline int put_name(__u32 index, __u32 fd, __u32 string, __u32 second)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    struct iol_record_change *record;
    struct task_struct *task;
    struct iol_name *name;
    struct fs_struct *fs;
    const void *given;
    __s32 start = AT_FDCWD;
    __u8 first = 0;
    long len;

    if (!scratch)
        return 0;
    record = (struct iol_record_change *)scratch->record;
    name = second ? &record->other : &record->file;
    task = (struct task_struct *)bpf_get_current_task();
    fs = (struct fs_struct *)LOAD_ADDRESS(task_struct, (__u64)task, fs);
    name->info.bits =
        root_bits(AS(task_struct, task), (struct path *)((char *)fs + bpf_core_field_offset(struct fs_struct, root)));
    name->info.kind = IOL_ABI_KIND_OTHER;
    if (fd)
        start = (__s32)scratch->argument[masked(fd, 7)];
    given = (const void *)scratch->argument[masked(string, 7)];
    /* apart from the rest: it says where the name starts from, and whether anything can be read at all */
    if (given && bpf_probe_read_user(&first, sizeof(first), given))
        name->bits = IOL_NAME_UNREADABLE;
    if (first != '/')
        put_walked(index, scratch, &name->info, start, !first && !name->bits);
    if (!first)
        return 0;
    len = bpf_probe_read_user_str(&scratch->record[scratch->at & RECORD_OFFSET_MASK], IOL_PATH_MAX, given);
    if (len <= 1) {
        name->bits = IOL_NAME_UNREADABLE;
        return 0;
    }
    name->given_len = (__u32)len - 1;
    scratch->at += (__u32)len - 1;
    return 0;
}

/* Sends the record of the call in the scratch. */
__noinline int send_change(__u32 index)
{
    struct scratch *scratch = bpf_map_lookup_elem(&scratches, &index);
    const volatile struct change_shape *shape;
    struct iol_record_change *record;
    __u32 size;

    if (!scratch)
        return 1;
    shape = &change_shapes[masked(scratch->class, SHAPES - 1)];
    record = (struct iol_record_change *)scratch->record;
    __builtin_memset(record, 0, sizeof(*record));
    record->head.type = IOL_RECORD_CHANGE;
    record->head.ts = bpf_ktime_get_boot_ns();
    record->image = image_of(current_task());
    record->kind = scratch->event;
    record->tid = bpf_get_current_pid_tgid();
    record->result = scratch->result;
    scratch->at = sizeof(*record);
    if (scratch->event == IOL_ABI_EVENT_OPEN ||
        (scratch->event == IOL_ABI_EVENT_TRUNCATE && shape->kind == IOL_ABI_EVENT_OPEN)) {
        scratch->argument[6] = scratch->result;
        put_name(index, 6, 0, 0); /* the file that was opened */
    } else if (shape->path | shape->fd) {
        put_name(index, shape->fd | shape->dirfd, shape->path, 0);
    }
    if (shape->other_path) {
        put_name(index, shape->other_dirfd, shape->other_path, 1);
        record->other.bits |= scratch->change_bits;
    }
    size = scratch->at;
    record->head.size = size;
    return size > sizeof(scratch->record) || ring_send(scratch->record, size);
}

/* The call has opened a file that was there, and has left it as it was; or it has failed for a reason that is not told. */
static __always_inline bool opens_what_is_there(__u64 flags, __s64 result)
{
    return result < 0 ? result != -EACCES && result != -EPERM : !(flags & (O_CREAT | O_TRUNC));
}

/* What an open was: the file created, an old one emptied, or not allowed; 0: none of these. */
static __always_inline __u32 kind_of_open(const struct thread *thread, __u32 class, __u64 flags, __s64 result)
{
    struct file *file;
    __u32 mode;

    if (result < 0)
        return result == -EACCES || result == -EPERM ? IOL_ABI_EVENT_OPEN_FAILED : 0;
    file = (struct file *)file_of(LOAD_ADDRESS(task_struct, thread->task, files), result);
    if (!file)
        return 0;
    mode = LOAD(AS(file, file), f_mode);
    if (mode & FMODE_CREATED)
        return IOL_ABI_EVENT_OPEN;
    if (!event_is_wanted(IOL_ABI_EVENT_TRUNCATE) || mode & FMODE_PATH)
        return 0;
    if (class == CLASS_CREAT)
        flags = O_TRUNC;
    if (class == CLASS_OPENAT2) {
        const void *how = (const void *)flags;

        if (bpf_probe_read_user(&flags, sizeof(flags), how)) /* first member of struct open_how */
            return 0;
    }
    /* as do_open() of fs/namei.c: of regular files, and whatever they are opened for */
    if (!(flags & O_TRUNC) || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFREG)
        return 0;
    return IOL_ABI_EVENT_TRUNCATE;
}

/* The kind of event that the call is, 0: none. */
static __always_inline __u32 kind_of_change(const struct thread *thread, __u32 class, __u64 flags, __s64 result)
{
    __u32 kind = change_shapes[masked(class, SHAPES - 1)].kind;

    if (kind == IOL_ABI_EVENT_OPEN)
        return kind_of_open(thread, class, flags, result);
    if (result < 0)
        return 0;
    return class == CLASS_UNLINKAT && flags & AT_REMOVEDIR ? IOL_ABI_EVENT_RMDIR : kind;
}

static __always_inline bool has_exchanged(const struct pt_regs *regs, __u32 class, bool compat, __u64 flags)
{
    return class == CLASS_RENAMEAT && flags & RENAME_EXCHANGE &&
           syscall_number(regs) != (compat ? COMPAT_renameat : NATIVE_renameat);
}

/*
 * A call of class CLASS_CHANGE or above has ended. One of CLASS_MOUNT may be told of too: it makes no event, and user space then
 * knows that names mean other files from here on.
 */
static __noinline int change(const struct thread *thread, const struct pt_regs *regs, __u32 class, bool compat,
                             __s64 result)
{
    __u32 kind, index, at, tgid = bpf_get_current_pid_tgid() >> 32;
    __u64 flags = 0;
    struct scratch *scratch;

    if (!settings.events || (result < 0 && result != -EACCES && result != -EPERM))
        return 0;
    at = change_shapes[masked(class, SHAPES - 1)].flags;
    if (at == 2)
        flags = syscall_argument2(regs, compat);
    else if (at == 3)
        flags = syscall_argument3(regs, compat);
    else if (at == 5)
        flags = syscall_argument5(regs, compat);
    kind = kind_of_change(thread, class, flags, result);
    if ((kind ? !event_is_wanted(kind) : class != CLASS_MOUNT || result < 0) || !change_is_wanted(tgid))
        return 0;
    if (!is_announced(tgid, thread->image))
        announce_task(thread->image, thread->task);
    scratch = scratch_take(&index);
    if (!scratch) {
        count_lost(IOL_LOST_EVENTS, 1);
        return 0;
    }
    scratch->argument[0] = 0;
    scratch->argument[1] = syscall_argument1(regs, compat);
    scratch->argument[2] = syscall_argument2(regs, compat);
    scratch->argument[3] = syscall_argument3(regs, compat);
    scratch->argument[4] = syscall_argument4(regs, compat);
    scratch->result = result;
    scratch->class = class;
    scratch->event = kind;
    scratch->change_bits = has_exchanged(regs, class, compat, flags) ? IOL_NAME_EXCHANGED : 0;
    if (send_change(index))
        count_lost(IOL_LOST_EVENTS, 1);
    scratch_give(scratch);
    return 0;
}
