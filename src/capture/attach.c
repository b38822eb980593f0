// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Hooks on and off. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"
#include "capture/drain.h"

static int attach_program(struct iol_capture *capture, const char *name, struct iol_error *err)
{
    struct bpf_program *program = bpf_object__find_program_by_name(capture->object, name);
    struct bpf_link *link = program ? bpf_program__attach(program) : NULL;

    if (!link)
        return iol_error_set(err, -errno, "cannot attach %s to the kernel: %m", name);
    capture->links[capture->n_links++] = link;
    return 0;
}

int iol_capture_attach(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err)
{
    static const char *const process_hooks[] = {"on_exit", "on_exec", "on_fork"};
    int r = iol_capture_start_clock(capture);

    if (r < 0)
        return iol_error_set(err, r, "cannot run a BPF program to read the clocks: %s", strerror(-r));
    for (size_t i = 0; i < IOL_ARRAY_SIZE(process_hooks); i++) {
        r = attach_program(capture, process_hooks[i], err);
        if (r < 0)
            return r;
    }
    /* only loaded when there is a filter that it serves */
    if (bpf_program__autoload(bpf_object__find_program_by_name(capture->object, "on_cgroup_attach"))) {
        r = attach_program(capture, "on_cgroup_attach", err);
        if (r < 0)
            return r;
    }
    r = iol_capture_backfill(capture, record, arg, err);
    if (r < 0)
        return r;
    return attach_program(capture, "on_sys_exit", err);
}

void iol_capture_detach(struct iol_capture *capture)
{
    if (!capture->n_links)
        return;
    while (capture->n_links > 0)
        bpf_link__destroy(capture->links[--capture->n_links]);
    iol_capture_grace_period(capture);
}
