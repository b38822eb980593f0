// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>

#include "abi/event.h"
#include "base/cleanup.h"
#include "capture/probes.intern.h"

#define EVENT(name) (1U << IOL_ABI_EVENT_##name)
#define OPENED (EVENT(OPEN) | EVENT(OPEN_FAILED) | EVENT(TRUNCATE))
#define ALONE IOL_PROBES_ALONE

/*
 * The calls of bpf/syscalls.bpf.h (tests/check/coverage.py compares) in the order in which they are hooked: what makes known
 * descriptors and names void is there before anything is known. The functions are those of arch/x86/entry/syscalls/
 * syscall_64.tbl and syscall_32.tbl, the same from 5.10 to 7.3. They are what the table of system calls leads to, so that
 * the compiler can neither inline them nor leave them out, and nothing within the kernel calls them.
 */
const struct iol_probes_call iol_probes_calls[] = {
    {"close", "__x64_sys_close", ALONE},
    {"dup2", "__x64_sys_dup2", 0},
    {"dup3", "__x64_sys_dup3", 0},
    {"close_range", "__x64_sys_close_range", 0},
    {"pivot_root", "__x64_sys_pivot_root", 0},
    {"chroot", "__x64_sys_chroot", 0},
    {"mount", "__x64_sys_mount", 0},
    {"umount2", "__x64_sys_umount", 0},
    {"move_mount", "__x64_sys_move_mount", 0},
    {"rename", "__x64_sys_rename", 0},
    {"renameat", "__x64_sys_renameat", 0},
    {"renameat2", "__x64_sys_renameat2", 0},
    {"unlink", "__x64_sys_unlink", 0},
    {"unlinkat", "__x64_sys_unlinkat", 0},
    {"rmdir", "__x64_sys_rmdir", 0},
    {"close (32-bit)", "__ia32_sys_close", 0},
    {"dup2 (32-bit)", "__ia32_sys_dup2", 0},
    {"dup3 (32-bit)", "__ia32_sys_dup3", 0},
    {"close_range (32-bit)", "__ia32_sys_close_range", 0},
    {"pivot_root (32-bit)", "__ia32_sys_pivot_root", 0},
    {"chroot (32-bit)", "__ia32_sys_chroot", 0},
    {"mount (32-bit)", "__ia32_sys_mount", 0},
    {"umount (32-bit)", "__ia32_sys_oldumount", 0},
    {"umount2 (32-bit)", "__ia32_sys_umount", 0},
    {"move_mount (32-bit)", "__ia32_sys_move_mount", 0},
    {"rename (32-bit)", "__ia32_sys_rename", 0},
    {"renameat (32-bit)", "__ia32_sys_renameat", 0},
    {"renameat2 (32-bit)", "__ia32_sys_renameat2", 0},
    {"unlink (32-bit)", "__ia32_sys_unlink", 0},
    {"unlinkat (32-bit)", "__ia32_sys_unlinkat", 0},
    {"rmdir (32-bit)", "__ia32_sys_rmdir", 0},

    {"open", "__x64_sys_open", OPENED},
    {"openat", "__x64_sys_openat", OPENED | ALONE},
    {"openat2", "__x64_sys_openat2", OPENED},
    {"creat", "__x64_sys_creat", OPENED},
    {"truncate", "__x64_sys_truncate", EVENT(TRUNCATE)},
    {"ftruncate", "__x64_sys_ftruncate", EVENT(TRUNCATE)},
    {"link", "__x64_sys_link", EVENT(LINK)},
    {"linkat", "__x64_sys_linkat", EVENT(LINK)},
    {"symlink", "__x64_sys_symlink", EVENT(SYMLINK)},
    {"symlinkat", "__x64_sys_symlinkat", EVENT(SYMLINK)},
    {"mkdir", "__x64_sys_mkdir", EVENT(MKDIR)},
    {"mkdirat", "__x64_sys_mkdirat", EVENT(MKDIR)},
    {"chmod", "__x64_sys_chmod", EVENT(CHMOD)},
    {"fchmod", "__x64_sys_fchmod", EVENT(CHMOD)},
    {"fchmodat", "__x64_sys_fchmodat", EVENT(CHMOD)},
    {"fchmodat2", "__x64_sys_fchmodat2", EVENT(CHMOD)},
    {"chown", "__x64_sys_chown", EVENT(CHOWN)},
    {"fchown", "__x64_sys_fchown", EVENT(CHOWN)},
    {"lchown", "__x64_sys_lchown", EVENT(CHOWN)},
    {"fchownat", "__x64_sys_fchownat", EVENT(CHOWN)},
    {"setxattr", "__x64_sys_setxattr", EVENT(SETXATTR)},
    {"lsetxattr", "__x64_sys_lsetxattr", EVENT(SETXATTR)},
    {"fsetxattr", "__x64_sys_fsetxattr", EVENT(SETXATTR)},
    {"setxattrat", "__x64_sys_setxattrat", EVENT(SETXATTR)},
    {"open (32-bit)", "__ia32_compat_sys_open", OPENED},
    {"openat (32-bit)", "__ia32_compat_sys_openat", OPENED},
    {"openat2 (32-bit)", "__ia32_sys_openat2", OPENED},
    {"creat (32-bit)", "__ia32_sys_creat", OPENED},
    {"truncate (32-bit)", "__ia32_compat_sys_truncate", EVENT(TRUNCATE)},
    {"truncate64 (32-bit)", "__ia32_sys_ia32_truncate64", EVENT(TRUNCATE)},
    {"ftruncate (32-bit)", "__ia32_compat_sys_ftruncate", EVENT(TRUNCATE)},
    {"ftruncate64 (32-bit)", "__ia32_sys_ia32_ftruncate64", EVENT(TRUNCATE)},
    {"link (32-bit)", "__ia32_sys_link", EVENT(LINK)},
    {"linkat (32-bit)", "__ia32_sys_linkat", EVENT(LINK)},
    {"symlink (32-bit)", "__ia32_sys_symlink", EVENT(SYMLINK)},
    {"symlinkat (32-bit)", "__ia32_sys_symlinkat", EVENT(SYMLINK)},
    {"mkdir (32-bit)", "__ia32_sys_mkdir", EVENT(MKDIR)},
    {"mkdirat (32-bit)", "__ia32_sys_mkdirat", EVENT(MKDIR)},
    {"chmod (32-bit)", "__ia32_sys_chmod", EVENT(CHMOD)},
    {"fchmod (32-bit)", "__ia32_sys_fchmod", EVENT(CHMOD)},
    {"fchmodat (32-bit)", "__ia32_sys_fchmodat", EVENT(CHMOD)},
    {"fchmodat2 (32-bit)", "__ia32_sys_fchmodat2", EVENT(CHMOD)},
    {"lchown16 (32-bit)", "__ia32_sys_lchown16", EVENT(CHOWN)},
    {"fchown16 (32-bit)", "__ia32_sys_fchown16", EVENT(CHOWN)},
    {"chown16 (32-bit)", "__ia32_sys_chown16", EVENT(CHOWN)},
    {"lchown (32-bit)", "__ia32_sys_lchown", EVENT(CHOWN)},
    {"fchown (32-bit)", "__ia32_sys_fchown", EVENT(CHOWN)},
    {"chown (32-bit)", "__ia32_sys_chown", EVENT(CHOWN)},
    {"fchownat (32-bit)", "__ia32_sys_fchownat", EVENT(CHOWN)},
    {"setxattr (32-bit)", "__ia32_sys_setxattr", EVENT(SETXATTR)},
    {"lsetxattr (32-bit)", "__ia32_sys_lsetxattr", EVENT(SETXATTR)},
    {"fsetxattr (32-bit)", "__ia32_sys_fsetxattr", EVENT(SETXATTR)},
    {"setxattrat (32-bit)", "__ia32_sys_setxattrat", EVENT(SETXATTR)},

    {"execve", "__x64_sys_execve", 0},
    {"execveat", "__x64_sys_execveat", 0},
    {"mmap", "__x64_sys_mmap", ALONE},
    {"io_submit", "__x64_sys_io_submit", ALONE},
    {"io_getevents", "__x64_sys_io_getevents", ALONE},
    {"io_pgetevents", "__x64_sys_io_pgetevents", 0},
    {"execve (32-bit)", "__ia32_compat_sys_execve", 0},
    {"execveat (32-bit)", "__ia32_compat_sys_execveat", 0},
    {"mmap (32-bit)", "__ia32_compat_sys_ia32_mmap", 0},
    {"mmap2 (32-bit)", "__ia32_sys_mmap_pgoff", 0},
    {"io_submit (32-bit)", "__ia32_compat_sys_io_submit", 0},
    {"io_getevents (32-bit)", "__ia32_sys_io_getevents_time32", 0},
    {"io_pgetevents (32-bit)", "__ia32_compat_sys_io_pgetevents", 0},
    {"io_pgetevents_time64 (32-bit)", "__ia32_compat_sys_io_pgetevents_time64", 0},

    {"sendfile", "__x64_sys_sendfile64", ALONE},
    {"splice", "__x64_sys_splice", ALONE},
    {"copy_file_range", "__x64_sys_copy_file_range", 0},
    {"sendfile (32-bit)", "__ia32_compat_sys_sendfile", 0},
    {"sendfile64 (32-bit)", "__ia32_sys_sendfile64", 0},
    {"splice (32-bit)", "__ia32_sys_splice", 0},
    {"copy_file_range (32-bit)", "__ia32_sys_copy_file_range", 0},
    {"read (32-bit)", "__ia32_sys_read", 0},
    {"readv (32-bit)", "__ia32_sys_readv", 0},
    {"pread64 (32-bit)", "__ia32_sys_ia32_pread64", 0},
    {"preadv (32-bit)", "__ia32_compat_sys_preadv", 0},
    {"preadv2 (32-bit)", "__ia32_compat_sys_preadv2", 0},
    {"write (32-bit)", "__ia32_sys_write", 0},
    {"writev (32-bit)", "__ia32_sys_writev", 0},
    {"pwrite64 (32-bit)", "__ia32_sys_ia32_pwrite64", 0},
    {"pwritev (32-bit)", "__ia32_compat_sys_pwritev", 0},
    {"pwritev2 (32-bit)", "__ia32_compat_sys_pwritev2", 0},
    {"preadv2", "__x64_sys_preadv2", 0},
    {"preadv", "__x64_sys_preadv", 0},
    {"readv", "__x64_sys_readv", ALONE},
    {"pread64", "__x64_sys_pread64", ALONE},
    {"pwritev2", "__x64_sys_pwritev2", 0},
    {"pwritev", "__x64_sys_pwritev", 0},
    {"writev", "__x64_sys_writev", ALONE},
    {"pwrite64", "__x64_sys_pwrite64", ALONE},
    {"write", "__x64_sys_write", ALONE},
    {"read", "__x64_sys_read", ALONE},
};

static_assert(IOL_ARRAY_SIZE(iol_probes_calls) == IOL_PROBES_CALLS);

/* Functions that BTF does not have: calls that this kernel does not know, but for those that are among its symbols. */
static void look_for_hidden(struct iol_probes_found found[IOL_PROBES_CALLS])
{
    FILE *file = fopen("/proc/kallsyms", "re");
    char line[512], name[256];

    while (file && fgets(line, sizeof(line), file)) {
        if (!strstr(line, "_sys_") || sscanf(line, "%*s %*s %255s", name) != 1)
            continue;
        for (size_t i = 0; i < IOL_PROBES_CALLS; i++)
            found[i].hidden |= !found[i].function && strcmp(name, iol_probes_calls[i].function) == 0;
    }
    if (file)
        fclose(file);
}

void iol_probes_look_up(const struct btf *btf, struct iol_probes_found found[IOL_PROBES_CALLS])
{
    for (size_t i = 0; i < IOL_PROBES_CALLS; i++) {
        int id = btf__find_by_name_kind(btf, iol_probes_calls[i].function, BTF_KIND_FUNC);

        found[i] = (struct iol_probes_found){0};
        if (id > 0)
            found[i] =
                (struct iol_probes_found){.function = (uint32_t)id, .type = btf__type_by_id(btf, (uint32_t)id)->type};
    }
    look_for_hidden(found);
}
