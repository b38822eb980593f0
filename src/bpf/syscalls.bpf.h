/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Which system calls are looked at, by number: X(name, number, class), those of the kernel's own word size and those of
 * 32-bit programs. Sources: arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl; for arm64
 * include/uapi/asm-generic/unistd.h and arch/arm64/tools/syscall_32.tbl. docs/COVERAGE.md says which test proves each.
 */
#include "abi/event.h"
#include "bpf/compat.bpf.h"

/* What a system call does. Those that begin with CHANGE are described in change.bpf.h. */
enum syscall_class {
    CLASS_NONE,
    CLASS_READ,            /* (fd, …) returns bytes read */
    CLASS_READ_AT,         /* the same, fourth argument: offset */
    CLASS_WRITE,           /* (fd, …) returns bytes written */
    CLASS_WRITE_AT,        /* the same, fourth argument: offset */
    CLASS_SENDFILE,        /* (out_fd, in_fd, …) */
    CLASS_SPLICE,          /* (fd_in, off_in, fd_out, …) */
    CLASS_COPY_FILE_RANGE, /* (fd_in, off_in, fd_out, …) */
    CLASS_MMAP,            /* (addr, length, prot, flags, fd, …) */
    CLASS_MMAP_OLD,        /* (pointer to these as 32-bit words) */
    CLASS_IO_SUBMIT,       /* (ctx, n, iocbs) returns the number taken */
    CLASS_IO_GETEVENTS,    /* (ctx, min, n, events, …) returns the number of events */
    CLASS_EXECVE,          /* (path, …): of interest when it fails */
    CLASS_EXECVEAT,        /* (dirfd, path, …) */
    CLASS_CLOSE,           /* descriptors of the thread lead to other files, or to none */
    CLASS_MOUNT,           /* may give files another path: mount, umount, chroot */
    CLASS_CHANGE,          /* from here on: changes of files and directories */
    CLASS_OPEN = CLASS_CHANGE,
    CLASS_OPENAT,
    CLASS_OPENAT2,
    CLASS_CREAT,
    CLASS_TRUNCATE,
    CLASS_FTRUNCATE,
    CLASS_RENAME,
    CLASS_RENAMEAT,
    CLASS_UNLINK,
    CLASS_UNLINKAT,
    CLASS_RMDIR,
    CLASS_LINK,
    CLASS_LINKAT,
    CLASS_SYMLINK,
    CLASS_SYMLINKAT,
    CLASS_MKDIR,
    CLASS_MKDIRAT,
    CLASS_CHMOD,
    CLASS_FCHMOD,
    CLASS_FCHMODAT,
    CLASS_CHOWN,
    CLASS_FCHOWN,
    CLASS_FCHOWNAT,
    CLASS_SETXATTR,
    CLASS_FSETXATTR,
    CLASS_SETXATTRAT,
};

// clang-format off
#if defined(__TARGET_ARCH_x86)

#define NR_READ 0 /* the two that are made most */
#define NR_WRITE 1
#define NR_STAT 262 /* newfstatat: what git makes of each file of its index, and a C library of each stat() */

/* To read, write, pread64 and pwrite64 correspond restart_syscall, exit, break (which does not exist) and oldstat of 32-bit programs. */
#define CERTAIN_CALLS 19

#define NATIVE_RW(X) \
    X(read, 0, READ) X(pread64, 17, READ_AT) X(readv, 19, READ) X(preadv, 295, READ_AT) X(preadv2, 327, READ_AT) \
    X(write, 1, WRITE) X(pwrite64, 18, WRITE_AT) X(writev, 20, WRITE) X(pwritev, 296, WRITE_AT) X(pwritev2, 328, WRITE_AT)

#define NATIVE(X) \
    X(sendfile, 40, SENDFILE) X(splice, 275, SPLICE) X(copy_file_range, 326, COPY_FILE_RANGE) X(mmap, 9, MMAP) \
    X(io_submit, 209, IO_SUBMIT) X(io_getevents, 208, IO_GETEVENTS) X(io_pgetevents, 333, IO_GETEVENTS) \
    X(execve, 59, EXECVE) X(execveat, 322, EXECVEAT) \
    X(close, 3, CLOSE) X(dup2, 33, CLOSE) X(dup3, 292, CLOSE) X(close_range, 436, CLOSE) \
    X(pivot_root, 155, MOUNT) X(chroot, 161, MOUNT) X(mount, 165, MOUNT) X(umount2, 166, MOUNT) X(move_mount, 429, MOUNT) \
    X(open, 2, OPEN) X(openat, 257, OPENAT) X(openat2, 437, OPENAT2) X(creat, 85, CREAT) \
    X(truncate, 76, TRUNCATE) X(ftruncate, 77, FTRUNCATE) \
    X(rename, 82, RENAME) X(renameat, 264, RENAMEAT) X(renameat2, 316, RENAMEAT) \
    X(unlink, 87, UNLINK) X(unlinkat, 263, UNLINKAT) X(rmdir, 84, RMDIR) \
    X(link, 86, LINK) X(linkat, 265, LINKAT) X(symlink, 88, SYMLINK) X(symlinkat, 266, SYMLINKAT) \
    X(mkdir, 83, MKDIR) X(mkdirat, 258, MKDIRAT) \
    X(chmod, 90, CHMOD) X(fchmod, 91, FCHMOD) X(fchmodat, 268, FCHMODAT) X(fchmodat2, 452, FCHMODAT) \
    X(chown, 92, CHOWN) X(fchown, 93, FCHOWN) X(lchown, 94, CHOWN) X(fchownat, 260, FCHOWNAT) \
    X(setxattr, 188, SETXATTR) X(lsetxattr, 189, SETXATTR) X(fsetxattr, 190, FSETXATTR) X(setxattrat, 463, SETXATTRAT)

#define COMPAT(X) \
    X(read, 3, READ) X(readv, 145, READ) X(pread64, 180, READ_AT) X(preadv, 333, READ_AT) X(preadv2, 378, READ_AT) \
    X(write, 4, WRITE) X(writev, 146, WRITE) X(pwrite64, 181, WRITE_AT) X(pwritev, 334, WRITE_AT) X(pwritev2, 379, WRITE_AT) \
    X(sendfile, 187, SENDFILE) X(sendfile64, 239, SENDFILE) X(splice, 313, SPLICE) \
    X(copy_file_range, 377, COPY_FILE_RANGE) X(mmap, 90, MMAP_OLD) X(mmap2, 192, MMAP) \
    X(io_submit, 248, IO_SUBMIT) X(io_getevents, 247, IO_GETEVENTS) X(io_pgetevents, 385, IO_GETEVENTS) \
    X(io_pgetevents_time64, 416, IO_GETEVENTS) X(execve, 11, EXECVE) X(execveat, 358, EXECVEAT) \
    X(close, 6, CLOSE) X(dup2, 63, CLOSE) X(dup3, 330, CLOSE) X(close_range, 436, CLOSE) \
    X(mount, 21, MOUNT) X(umount, 22, MOUNT) X(umount2, 52, MOUNT) X(chroot, 61, MOUNT) X(pivot_root, 217, MOUNT) \
    X(move_mount, 429, MOUNT) \
    X(open, 5, OPEN) X(creat, 8, CREAT) X(openat, 295, OPENAT) X(openat2, 437, OPENAT2) \
    X(truncate, 92, TRUNCATE) X(truncate64, 193, TRUNCATE) X(ftruncate, 93, FTRUNCATE) X(ftruncate64, 194, FTRUNCATE) \
    X(rename, 38, RENAME) X(renameat, 302, RENAMEAT) X(renameat2, 353, RENAMEAT) \
    X(unlink, 10, UNLINK) X(unlinkat, 301, UNLINKAT) X(rmdir, 40, RMDIR) \
    X(link, 9, LINK) X(linkat, 303, LINKAT) X(symlink, 83, SYMLINK) X(symlinkat, 304, SYMLINKAT) \
    X(mkdir, 39, MKDIR) X(mkdirat, 296, MKDIRAT) \
    X(chmod, 15, CHMOD) X(fchmod, 94, FCHMOD) X(fchmodat, 306, FCHMODAT) X(fchmodat2, 452, FCHMODAT) \
    X(lchown16, 16, CHOWN) X(fchown16, 95, FCHOWN) X(chown16, 182, CHOWN) \
    X(lchown, 198, CHOWN) X(fchown, 207, FCHOWN) X(chown, 212, CHOWN) X(fchownat, 298, FCHOWNAT) \
    X(setxattr, 226, SETXATTR) X(lsetxattr, 227, SETXATTR) X(fsetxattr, 228, FSETXATTR) X(setxattrat, 463, SETXATTRAT)

#elif defined(__TARGET_ARCH_arm64)

#define NR_READ 63
#define NR_WRITE 64
#define NR_STAT 79

#define CERTAIN_CALLS IOL_SYSCALLS_MAX /* no program makes calls of both sorts */

#define NATIVE_RW(X) \
    X(read, 63, READ) X(readv, 65, READ) X(pread64, 67, READ_AT) X(preadv, 69, READ_AT) X(preadv2, 286, READ_AT) \
    X(write, 64, WRITE) X(writev, 66, WRITE) X(pwrite64, 68, WRITE_AT) X(pwritev, 70, WRITE_AT) X(pwritev2, 287, WRITE_AT)

#define NATIVE(X) \
    X(sendfile, 71, SENDFILE) X(splice, 76, SPLICE) X(copy_file_range, 285, COPY_FILE_RANGE) X(mmap, 222, MMAP) \
    X(io_submit, 2, IO_SUBMIT) X(io_getevents, 4, IO_GETEVENTS) X(io_pgetevents, 292, IO_GETEVENTS) \
    X(execve, 221, EXECVE) X(execveat, 281, EXECVEAT) \
    X(close, 57, CLOSE) X(dup3, 24, CLOSE) X(close_range, 436, CLOSE) \
    X(umount2, 39, MOUNT) X(mount, 40, MOUNT) X(pivot_root, 41, MOUNT) X(chroot, 51, MOUNT) X(move_mount, 429, MOUNT) \
    X(openat, 56, OPENAT) X(openat2, 437, OPENAT2) X(truncate, 45, TRUNCATE) X(ftruncate, 46, FTRUNCATE) \
    X(renameat, 38, RENAMEAT) X(renameat2, 276, RENAMEAT) X(unlinkat, 35, UNLINKAT) X(linkat, 37, LINKAT) \
    X(symlinkat, 36, SYMLINKAT) X(mkdirat, 34, MKDIRAT) \
    X(fchmod, 52, FCHMOD) X(fchmodat, 53, FCHMODAT) X(fchmodat2, 452, FCHMODAT) \
    X(fchownat, 54, FCHOWNAT) X(fchown, 55, FCHOWN) \
    X(setxattr, 5, SETXATTR) X(lsetxattr, 6, SETXATTR) X(fsetxattr, 7, FSETXATTR) X(setxattrat, 463, SETXATTRAT)

#define COMPAT(X) \
    X(read, 3, READ) X(readv, 145, READ) X(pread64, 180, READ_AT) X(preadv, 361, READ_AT) X(preadv2, 392, READ_AT) \
    X(write, 4, WRITE) X(writev, 146, WRITE) X(pwrite64, 181, WRITE_AT) X(pwritev, 362, WRITE_AT) X(pwritev2, 393, WRITE_AT) \
    X(sendfile, 187, SENDFILE) X(sendfile64, 239, SENDFILE) X(splice, 340, SPLICE) \
    X(copy_file_range, 391, COPY_FILE_RANGE) X(mmap2, 192, MMAP) \
    X(io_submit, 246, IO_SUBMIT) X(io_getevents, 245, IO_GETEVENTS) X(io_pgetevents, 399, IO_GETEVENTS) \
    X(io_pgetevents_time64, 416, IO_GETEVENTS) X(execve, 11, EXECVE) X(execveat, 387, EXECVEAT) \
    X(close, 6, CLOSE) X(dup2, 63, CLOSE) X(dup3, 358, CLOSE) X(close_range, 436, CLOSE) \
    X(mount, 21, MOUNT) X(umount2, 52, MOUNT) X(chroot, 61, MOUNT) X(pivot_root, 218, MOUNT) X(move_mount, 429, MOUNT) \
    X(open, 5, OPEN) X(creat, 8, CREAT) X(openat, 322, OPENAT) X(openat2, 437, OPENAT2) \
    X(truncate, 92, TRUNCATE) X(truncate64, 193, TRUNCATE) X(ftruncate, 93, FTRUNCATE) X(ftruncate64, 194, FTRUNCATE) \
    X(rename, 38, RENAME) X(renameat, 329, RENAMEAT) X(renameat2, 382, RENAMEAT) \
    X(unlink, 10, UNLINK) X(unlinkat, 328, UNLINKAT) X(rmdir, 40, RMDIR) \
    X(link, 9, LINK) X(linkat, 330, LINKAT) X(symlink, 83, SYMLINK) X(symlinkat, 331, SYMLINKAT) \
    X(mkdir, 39, MKDIR) X(mkdirat, 323, MKDIRAT) \
    X(chmod, 15, CHMOD) X(fchmod, 94, FCHMOD) X(fchmodat, 333, FCHMODAT) X(fchmodat2, 452, FCHMODAT) \
    X(lchown16, 16, CHOWN) X(fchown16, 95, FCHOWN) X(chown16, 182, CHOWN) \
    X(lchown, 198, CHOWN) X(fchown, 207, FCHOWN) X(chown, 212, CHOWN) X(fchownat, 325, FCHOWNAT) \
    X(setxattr, 226, SETXATTR) X(lsetxattr, 227, SETXATTR) X(fsetxattr, 228, FSETXATTR) X(setxattrat, 463, SETXATTRAT)

#endif
// clang-format on

#define CLASS_ENTRY(name, number, class) [number] = CLASS_##class,

static const volatile __u8 native_classes[IOL_SYSCALLS_MAX] SEC(".rodata.syscalls") = {NATIVE_RW(CLASS_ENTRY)
                                                                                           NATIVE(CLASS_ENTRY)};
static const volatile __u8 compat_classes[IOL_SYSCALLS_MAX] SEC(".rodata.syscalls") = {COMPAT(CLASS_ENTRY)};

/*
 * The calls of no interest, which are most, leave after a look at a bit in an immediate operand: a table in memory
 * would cost every system call of the machine a TLB miss where the kernel flushes the TLB at each of them. A word has its first
 * number at the top, so that a shift by the number makes its bit the sign.
 */
#define BIT_OF(word, number) ((number) / 64 == (word) ? 1ULL << (63 - (number) % 64) : 0)
#define WORD_0(name, number, class) | BIT_OF(0, number)
#define WORD_1(name, number, class) | BIT_OF(1, number)
#define WORD_2(name, number, class) | BIT_OF(2, number)
#define WORD_3(name, number, class) | BIT_OF(3, number)
#define WORD_4(name, number, class) | BIT_OF(4, number)
#define WORD_5(name, number, class) | BIT_OF(5, number)
#define WORD_6(name, number, class) | BIT_OF(6, number)
#define WORD_7(name, number, class) | BIT_OF(7, number)
#define ALL_WORD(n) (0 NATIVE_RW(WORD_##n) NATIVE(WORD_##n) COMPAT(WORD_##n))
#define RW_WORD(n) (0 NATIVE_RW(WORD_##n))

/*
 * Is the number's bit set in the word that has it? The lower six bits of the number count: a shift of BPF by a register takes no others, while C
 * would ask for a mask first. The compiler does not see the word, or it would make a table of all of them; and it is told how to leave when
 * the bit is not set, or it would leave by two jumps.
 */
static __always_inline bool has_bit_of(__u64 word, __u64 number)
{
    asm("%0 <<= %1" : "+r"(word) : "r"(number));
    asm goto("if %0 s> -1 goto %l1" : : "r"(word) : : no);
    return true;
no:
    return false;
}

/* A number below 128. */
static __always_inline bool near_is_of_interest(__u64 number)
{
    return number < 64 ? has_bit_of(ALL_WORD(0), number) : has_bit_of(ALL_WORD(1), number);
}

static __always_inline bool syscall_is_of_interest(__u64 number)
{
    if (number < 128)
        return near_is_of_interest(number);
    if (number < 256)
        return number < 192 ? has_bit_of(ALL_WORD(2), number) : has_bit_of(ALL_WORD(3), number);
    if (number < 384)
        return number < 320 ? has_bit_of(ALL_WORD(4), number) : has_bit_of(ALL_WORD(5), number);
    if (number < IOL_SYSCALLS_MAX)
        return number < 448 ? has_bit_of(ALL_WORD(6), number) : has_bit_of(ALL_WORD(7), number);
    return false;
}

_Static_assert(IOL_SYSCALLS_MAX == 512, "eight words");
#define IS_STAT(name, number, class) || (number) == NR_STAT
_Static_assert(!(0 NATIVE_RW(IS_STAT) NATIVE(IS_STAT) COMPAT(IS_STAT)), "left before its bit is looked at");

#define IS_READ_READ true
#define IS_READ_READ_AT true
#define IS_READ_WRITE false
#define IS_READ_WRITE_AT false
#define READ_WORD_0(name, number, class) | (IS_READ_##class ? BIT_OF(0, number) : 0)
#define READ_WORD_1(name, number, class) | (IS_READ_##class ? BIT_OF(1, number) : 0)
#define READ_WORD(n) (0 NATIVE_RW(READ_WORD_##n))
#define RW_WORDS 2 /* the words that have the calls that are made most, on every architecture */
#define IS_CASE(name, number_, class)                                                                                  \
    if ((number_) >= RW_WORDS * 64 && IS_READ_##class == reads && number == (number_))                                 \
        return true;

/* The hottest calls, of a 64-bit program: read or write in their forms. They are looked for first. `reads` is a constant. */
static __always_inline bool syscall_is_native(__u64 number, bool reads)
{
    const __u64 words[RW_WORDS] = {reads ? READ_WORD(0) : RW_WORD(0) & ~READ_WORD(0),
                                   reads ? READ_WORD(1) : RW_WORD(1) & ~READ_WORD(1)};

    if (number < 64)
        return number == (reads ? NR_READ : NR_WRITE) || has_bit_of(words[0], number);
    if (number < 128)
        return words[1] != 0 && has_bit_of(words[1], number);
    NATIVE_RW(IS_CASE)
    return false;
}
