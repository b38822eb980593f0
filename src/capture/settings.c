// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What the programs are told before they are loaded. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"

struct syscall_entry {
    int number;
    enum iol_syscall_class class;
};

static const struct syscall_entry native_syscalls[] = {
    {SYS_read, IOL_SYSCALL_READ},
    {SYS_pread64, IOL_SYSCALL_READ},
    {SYS_readv, IOL_SYSCALL_READ},
    {SYS_preadv, IOL_SYSCALL_READ},
    {SYS_preadv2, IOL_SYSCALL_READ},
    {SYS_write, IOL_SYSCALL_WRITE},
    {SYS_pwrite64, IOL_SYSCALL_WRITE},
    {SYS_writev, IOL_SYSCALL_WRITE},
    {SYS_pwritev, IOL_SYSCALL_WRITE},
    {SYS_pwritev2, IOL_SYSCALL_WRITE},
    {SYS_sendfile, IOL_SYSCALL_SENDFILE},
    {SYS_splice, IOL_SYSCALL_SPLICE},
    {SYS_copy_file_range, IOL_SYSCALL_COPY_FILE_RANGE},
    {SYS_execve, IOL_SYSCALL_EXECVE},
    {SYS_execveat, IOL_SYSCALL_EXECVEAT},
#ifdef SYS_rename
    {SYS_rename, IOL_SYSCALL_RENAME},
#endif
#ifdef SYS_renameat
    {SYS_renameat, IOL_SYSCALL_RENAME},
#endif
    {SYS_renameat2, IOL_SYSCALL_RENAME},
    {SYS_mount, IOL_SYSCALL_RENAME},
    {SYS_umount2, IOL_SYSCALL_RENAME},
    {SYS_move_mount, IOL_SYSCALL_RENAME},
    {SYS_pivot_root, IOL_SYSCALL_RENAME},
    {SYS_chroot, IOL_SYSCALL_RENAME},
};

/*
 * The numbers of 32-bit programs: arch/x86/entry/syscalls/syscall_32.tbl and, for arm64,
 * arch/arm64/tools/syscall_32.tbl (the numbers of 32-bit ARM).
 */
// clang-format off
static const struct syscall_entry compat_syscalls[] = {
    {3, IOL_SYSCALL_READ}, {145, IOL_SYSCALL_READ}, {180, IOL_SYSCALL_READ},
    {4, IOL_SYSCALL_WRITE}, {146, IOL_SYSCALL_WRITE}, {181, IOL_SYSCALL_WRITE},
    {187, IOL_SYSCALL_SENDFILE}, {239, IOL_SYSCALL_SENDFILE},
    {11, IOL_SYSCALL_EXECVE},
    {21, IOL_SYSCALL_RENAME},  /* mount */
    {38, IOL_SYSCALL_RENAME},  /* rename */
    {52, IOL_SYSCALL_RENAME},  /* umount2 */
    {61, IOL_SYSCALL_RENAME},  /* chroot */
    {429, IOL_SYSCALL_RENAME}, /* move_mount */
#if defined(__x86_64__)
    {333, IOL_SYSCALL_READ}, {378, IOL_SYSCALL_READ},
    {334, IOL_SYSCALL_WRITE}, {379, IOL_SYSCALL_WRITE},
    {313, IOL_SYSCALL_SPLICE}, {377, IOL_SYSCALL_COPY_FILE_RANGE},
    {358, IOL_SYSCALL_EXECVEAT},
    {217, IOL_SYSCALL_RENAME}, /* pivot_root */
    {302, IOL_SYSCALL_RENAME}, /* renameat */
    {353, IOL_SYSCALL_RENAME}, /* renameat2 */
#elif defined(__aarch64__)
    {361, IOL_SYSCALL_READ}, {392, IOL_SYSCALL_READ},
    {362, IOL_SYSCALL_WRITE}, {393, IOL_SYSCALL_WRITE},
    {340, IOL_SYSCALL_SPLICE}, {391, IOL_SYSCALL_COPY_FILE_RANGE},
    {387, IOL_SYSCALL_EXECVEAT},
    {218, IOL_SYSCALL_RENAME}, /* pivot_root */
    {329, IOL_SYSCALL_RENAME}, /* renameat */
    {382, IOL_SYSCALL_RENAME}, /* renameat2 */
#endif
};
// clang-format on

static void fill_syscalls(uint8_t table[IOL_SYSCALLS_MAX], const struct syscall_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        table[entries[i].number] = (uint8_t)entries[i].class;
}

int iol_capture_settings(struct iol_capture *capture, const struct iol_capture_options *options, struct iol_error *err)
{
    struct iol_settings *settings = &capture->settings;
    struct stat mnt_ns;

    if (stat("/proc/self/ns/mnt", &mnt_ns) < 0)
        return iol_error_set(err, -errno, "cannot read /proc/self/ns/mnt: %m");

    settings->abi_version = IOL_ABI_VERSION;
    settings->kinds = options->kinds;
    settings->events = options->events;
    settings->n_cpus = (uint32_t)capture->n_cpus;
    settings->self_mnt_ns = mnt_ns.st_ino;
    fill_syscalls(settings->native, native_syscalls, IOL_ARRAY_SIZE(native_syscalls));
    fill_syscalls(settings->compat, compat_syscalls, IOL_ARRAY_SIZE(compat_syscalls));

    if (options->excluded)
        settings->filter |= IOL_FILTER_ANY;
    if (options->n_pids || options->command)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_DESCENDANT;
    if (options->n_comms)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_COMM;
    if (options->n_uids)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_UID;
    if (options->n_exes)
        settings->filter |= IOL_FILTER_ANY | IOL_FILTER_EXE;
    return 0;
}

static int filter_fd(const struct iol_capture *capture, const char *name)
{
    return bpf_object__find_map_fd_by_name(capture->object, name);
}

int iol_capture_fill_filters(struct iol_capture *capture, const struct iol_capture_options *options,
                             struct iol_error *err)
{
    const uint8_t one = 1;

    for (size_t i = 0; i < options->n_comms; i++) {
        char comm[IOL_COMM_MAX] = {0};

        /* the kernel keeps 15 bytes of a name; so does the filter */
        strncpy(comm, options->comms[i], sizeof(comm) - 1);
        if (bpf_map_update_elem(filter_fd(capture, "comm_filter"), comm, &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --comm filters (at most 64)");
    }
    for (size_t i = 0; i < options->n_uids; i++) {
        if (bpf_map_update_elem(filter_fd(capture, "uid_filter"), &options->uids[i], &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --uid filters (at most 64)");
    }
    for (size_t i = 0; i < options->n_exes; i++) {
        char exe[IOL_EXE_FILTER_MAX] = {0};

        if (strlen(options->exes[i]) >= sizeof(exe))
            return iol_error_set(err, -ENAMETOOLONG, "--exe path is longer than %d bytes: %s", IOL_EXE_FILTER_MAX - 1,
                                 options->exes[i]);
        memcpy(exe, options->exes[i], strlen(options->exes[i]));
        if (bpf_map_update_elem(filter_fd(capture, "exe_filter"), exe, &one, BPF_ANY))
            return iol_error_set(err, -errno, "too many --exe filters (at most 64)");
    }
    return 0;
}
