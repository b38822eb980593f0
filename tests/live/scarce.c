// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Loaded into the recorder (LD_PRELOAD): the hash map that IOLEDGER_SCARCE names gets the memory of an entry when the entry is made, and not
 * all of it at once. Where the recorder's cgroup has no more memory, the kernel itself then refuses entries, with ENOMEM. Of the places in front of
 * the map `tasks` there is one then, and so next to no process that does not need an entry.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/bpf.h>

static void make_scarce(union bpf_attr *attr)
{
    const char *name = getenv("IOLEDGER_SCARCE");

    if (name && attr->map_type == BPF_MAP_TYPE_HASH && strncmp(attr->map_name, name, BPF_OBJ_NAME_LEN) == 0)
        attr->map_flags |= BPF_F_NO_PREALLOC;
    if (name && strcmp(name, "tasks") == 0 && strncmp(attr->map_name, "task_places", BPF_OBJ_NAME_LEN) == 0)
        attr->max_entries = 1;
}

/* libbpf's way into the kernel. */
__attribute__((visibility("default"))) long syscall(long number, ...)
{
    static long (*next)(long number, ...);
    long a[6];
    va_list args;

    va_start(args, number);
    for (size_t i = 0; i < sizeof(a) / sizeof(a[0]); i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    if (number == SYS_bpf && a[0] == BPF_MAP_CREATE)
        make_scarce((union bpf_attr *)a[1]);
    return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
