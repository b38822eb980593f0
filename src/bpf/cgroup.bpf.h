/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/* Processes that move from one cgroup to another while --cgroup or --container choose who is recorded. */
#include "bpf/thread.bpf.h"

#define PLACES_A_CALL 64

_Static_assert(IOL_THREADS % PLACES_A_CALL == 0, "forget_places()");

/* What is kept of threads of the image is to be found anew, in the places from `first` on. A global function: the verifier looks at it once. */
__noinline int forget_places(__u64 image, __u32 first)
{
    int i;

    for (i = 0; i < PLACES_A_CALL; i++) {
        struct iol_thread *place = &threads[masked(first + i, IOL_THREADS - 1)];

        place->untraced = 0; /* whosever: two threads may have written what is in this place */
        if (place->image == image)
            place->check = 0;
    }
    return 0;
}

/* All threads of the process. */
static __always_inline void forget_image(__u64 image)
{
    __u32 first;

    for (first = 0; first < IOL_THREADS; first += PLACES_A_CALL)
        forget_places(image, first);
}

/*
 * After the move, once for the process or once for the thread (cgroup_attach_task() of kernel/cgroup/cgroup.c). A process
 * is where its first thread is. One that has come in gets its record: so far user space may have left it out.
 */
SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *cgroup, const char *path, struct task_struct *task)
{
    struct announcement what = {.task = LOAD(task, group_leader), .origin = 2};
    __u32 tgid = BPF_CORE_READ(task, tgid);
    struct iol_task *known = find_task(tgid);
    struct task_struct *parent;
    __u32 bits;

    what.task_bits = known ? known->bits : 0;
    bits = judge(address_of(what.task), what.task_bits);
    if (last_thread(what.task) || !((bits ^ what.task_bits) & IOL_TASK_TRACED))
        return 0;
    if (bits & IOL_TASK_TRACED) {
        parent = BPF_CORE_READ(task, real_parent);
        what.ppid = BPF_CORE_READ(parent, tgid);
        what.parent_image = image_at(parent);
        announce(&what);
    } else if (known) {
        known->bits = bits;
    }
    forget_image(image_of(what.task));
    __sync_fetch_and_add(&control.changes, IOL_CHANGE); /* what its threads remember of their descriptors is void too */
    return 0;
}
