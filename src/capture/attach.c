// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Hooks on and off. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"
#include "capture/drain.h"
#include "capture/pin.h"
#include "capture/preempt.h"

/* In the order in which they are attached; those that were not chosen are passed over. */
static const char *const process_hooks[] = {"on_exit", "on_exit_call", "on_exec",         "on_exec_call",
                                            "on_fork", "on_fork_call", "on_cgroup_attach"};
static const char *const counting_hooks[] = {"on_switch",
                                             "on_uring_submit",
                                             "on_uring_submit_event",
                                             "on_uring_submit_6_3",
                                             "on_uring_submit_5_19",
                                             "on_uring_complete",
                                             "on_uring_complete_event",
                                             "on_uring_overflow",
                                             "on_uring_overflow_event",
                                             "on_uring_complete_6_12",
                                             "on_sys_exit",
                                             "on_sys_exit_event"};

static int attach_program(struct iol_capture *capture, const char *name, struct iol_attached *attached,
                          struct iol_error *err)
{
    struct bpf_program *program = bpf_object__find_program_by_name(capture->object, name);
    struct bpf_link *link;

    if (program && !bpf_program__autoload(program))
        return 0; /* not on this kernel */
    link = program ? iol_preempt_attach(program) : NULL;

    if (!link)
        return iol_error_set(err, -errno, "cannot attach %s to the kernel: %m", name);
    capture->links[capture->n_links++] = link;
    attached->programs[attached->n++] = bpf_program__fd(program);
    if (capture->folder) {
        int r = iol_pin_add(capture->folder, "links", name, bpf_link__fd(link));

        if (r < 0)
            return iol_error_set(err, r, "cannot pin %s in %s: %s", name, capture->folder, strerror(-r));
    }
    return 0;
}

static int attach_programs(struct iol_capture *capture, const char *const *names, size_t n,
                           struct iol_attached *attached, struct iol_error *err)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        r = attach_program(capture, names[i], attached, err);
    return r;
}

/* The parameters of a tracepoint as BPF programs get them; -1: this kernel does not have it. */
static int tracepoint_parameters(const struct btf *btf, const char *name)
{
    char type_name[128];
    const struct btf_type *type;
    int id;

    snprintf(type_name, sizeof(type_name), "btf_trace_%s", name);
    id = btf__find_by_name_kind(btf, type_name, BTF_KIND_TYPEDEF);
    type = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
    while (type && !btf_is_func_proto(type))
        type = btf__type_by_id(btf, type->type);
    return type ? (int)btf_vlen(type) - 1 : -1; /* the first one is the program's own */
}

static void drop(struct iol_capture *capture, const char *name)
{
    bpf_program__set_autoload(bpf_object__find_program_by_name(capture->object, name), false);
}

enum iol_uring iol_capture_uring(const struct btf *btf)
{
    switch (tracepoint_parameters(btf, "io_uring_complete")) {
    case -1:
        return IOL_URING_ABSENT;
    case 3:
        return IOL_URING_CQE;
    case 7:
        return IOL_URING_6_12;
    default:
        return IOL_URING_UNKNOWN;
    }
}

bool iol_capture_has_notes(void)
{
    /* libbpf cannot tell it of tracing programs, which have it from the same version on */
    return libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_FUNC_task_pt_regs, NULL) > 0;
}

const char *iol_capture_uncovered(const struct iol_capture *capture, size_t i)
{
    if (capture->uncovered && i == 0)
        return capture->uncovered;
    return capture->probes ? iol_probes_uncovered(capture->probes, i - (capture->uncovered ? 1 : 0)) : NULL;
}

enum iol_probe_set iol_capture_probes(const struct iol_capture *capture, const char **ret_why)
{
    *ret_why = capture->why;
    return capture->settings.early ? IOL_PROBES_FEXIT : IOL_PROBES_TRACEPOINT;
}

/* By the hooks that this recorder has attached: those of an earlier one are not in our hands. */
static uint64_t left_out_by(const struct iol_attached *attached)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < attached->n; i++)
        sum += iol_preempt_left_out(attached->programs[i]);
    return sum;
}

struct pinned_sum {
    const struct iol_capture *capture;
    struct iol_left_out *left_out;
};

/* Of a hook whose program is held by its pinned link alone. Asking for it takes CAP_SYS_ADMIN: without, nothing is told. */
static int add_pinned(void *arg, const char *name)
{
    const struct pinned_sum *sum = arg;
    _cleanup_close_ int link = -1, program = -1;
    uint64_t *where = &sum->left_out->calls;
    struct bpf_link_info info = {0};
    uint32_t size = sizeof(info);

    if (!sum->capture->preemptible && strcmp(name, IOL_PROBES_TOGETHER) != 0)
        return 0; /* nothing is left out there */
    link = iol_pin_open(sum->capture->folder, "links", name);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(process_hooks); i++) {
        if (strcmp(name, process_hooks[i]) == 0)
            where = &sum->left_out->processes;
    }
    if (link < 0 || bpf_obj_get_info_by_fd(link, &info, &size) < 0)
        return 0;
    program = bpf_prog_get_fd_by_id(info.prog_id);
    *where += iol_preempt_left_out(program) + iol_preempt_missed(link);
    return 0;
}

void iol_capture_left_out(const struct iol_capture *capture, struct iol_left_out *ret_left_out)
{
    struct pinned_sum pinned = {capture, ret_left_out};

    *ret_left_out = (struct iol_left_out){0};
    if (capture->whole) {
        iol_pin_each(capture->folder, "links", add_pinned, &pinned);
        return;
    }
    ret_left_out->calls = left_out_by(&capture->counting);
    ret_left_out->processes = left_out_by(&capture->processes);
    if (capture->probes)
        ret_left_out->calls += iol_probes_left_out(capture->probes);
}

/* Decides between the probe sets, and drops what the other one would need. */
static int choose_set(struct iol_capture *capture, const struct btf *btf, enum iol_probe_set set, struct iol_error *err)
{
    enum iol_probes_state state = IOL_PROBES_IMPOSSIBLE;

    if (set != IOL_PROBES_TRACEPOINT)
        state = iol_probes_judge(btf, capture->why);
    if (set == IOL_PROBES_FEXIT && state == IOL_PROBES_IMPOSSIBLE) {
        iol_error_set(err, -EOPNOTSUPP, "the probe set fexit cannot be used: %s", capture->why);
        iol_error_hint(err, "try: --probes auto");
        return -EOPNOTSUPP;
    }
    if (set == IOL_PROBES_FEXIT && state == IOL_PROBES_BEST)
        capture->why[0] = '\0';
    if (state == IOL_PROBES_BEST || set == IOL_PROBES_FEXIT) {
        drop(capture, "on_sys_exit");
        capture->settings.early = 1;
        return iol_probes_new(btf, capture->object, capture->settings.events, &capture->probes, err);
    }
    iol_probes_drop(capture->object);
    return 0;
}

int iol_capture_choose_programs(struct iol_capture *capture, enum iol_probe_set set, struct iol_error *err)
{
    struct btf *btf = btf__load_vmlinux_btf();
    enum iol_uring kind = btf ? iol_capture_uring(btf) : IOL_URING_ABSENT;
    bool uring = kind == IOL_URING_CQE || kind == IOL_URING_6_12;
    int submit = btf ? tracepoint_parameters(btf, "io_uring_submit_sqe") : -1;
    int r;

    capture->uncovered = kind == IOL_URING_UNKNOWN ? IOL_UNCOVERED_URING : NULL;
    if (kind != IOL_URING_CQE)
        drop(capture, "on_uring_complete");
    if (kind != IOL_URING_6_12)
        drop(capture, "on_uring_complete_6_12");
    if (!uring)
        drop(capture, "on_uring_overflow");
    if (!uring || tracepoint_parameters(btf, "io_uring_submit_req") < 0)
        drop(capture, "on_uring_submit");
    if (!uring || submit != 2)
        drop(capture, "on_uring_submit_6_3");
    if (!uring || submit <= 2)
        drop(capture, "on_uring_submit_5_19");
    if (!iol_capture_has_notes())
        drop(capture, "on_switch");
    /* a kernel without CONFIG_CGROUPS has none to filter by */
    if (!(capture->settings.filter & IOL_FILTER_CGROUP) || tracepoint_parameters(btf, "cgroup_attach_task") < 0)
        drop(capture, "on_cgroup_attach");
    r = choose_set(capture, btf, btf ? set : IOL_PROBES_TRACEPOINT, err);
    iol_preempt_choose(capture->object, btf);
    if (btf && iol_preempt_lacks(btf))
        snprintf(capture->why, sizeof(capture->why),
                 "calls are left out when a thread is preempted within a hook, as there is no %s",
                 iol_preempt_lacks(btf));
    btf__free(btf);
    return r;
}

static void ignore_record(void *arg, const void *data, size_t size)
{
    (void)arg;
    (void)data;
    (void)size;
}

int iol_capture_attach(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err)
{
    int r = iol_capture_start_clock(capture);

    if (r < 0)
        return iol_error_set(err, r, "cannot run a BPF program to read the clocks: %s", strerror(-r));
    if (capture->resumed)
        return capture->excluded > 0 ? iol_capture_exclude(capture, capture->excluded, ignore_record, NULL, err) : 0;
    capture->processes.n = capture->counting.n = 0; /* they may have been attached before */
    r = attach_programs(capture, process_hooks, IOL_ARRAY_SIZE(process_hooks), &capture->processes, err);
    if (r == 0)
        r = iol_capture_backfill(capture, record, arg, err);
    if (r == 0)
        r = attach_programs(capture, counting_hooks, IOL_ARRAY_SIZE(counting_hooks), &capture->counting, err);
    if (r == 0 && capture->probes) {
        iol_probes_pin(capture->probes, capture->folder);
        r = iol_probes_attach(capture->probes, capture->object, err);
    }
    return r == 0 && capture->folder ? iol_capture_complete(capture, err) : r;
}

void iol_capture_let_go(struct iol_capture *capture)
{
    if (capture->probes && capture->folder)
        iol_probes_let_go(capture->probes);
    while (capture->n_links > 0)
        bpf_link__destroy(capture->links[--capture->n_links]);
}

/* Of pinned hooks: what they jump to goes, as only this map holds it. */
static void drop_jumps(const struct iol_capture *capture)
{
    static const char *const arrays[] = {"full_call", "other_full_call"};
    const uint32_t zero = 0;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(arrays); i++) {
        int fd = iol_capture_map(capture, arrays[i]);

        if (fd >= 0)
            bpf_map_delete_elem(fd, &zero);
    }
}

/* Reads and writes that are not quick end here; the quick ones as soon as nobody can make more of them possible. */
static void halt(struct iol_capture *capture)
{
    __atomic_store_n(&capture->control->halted, 1, __ATOMIC_RELEASE);
    iol_capture_grace_period(capture);
    __atomic_fetch_add(&capture->control->changes, IOL_CHANGE, __ATOMIC_RELEASE);
}

void iol_capture_detach(struct iol_capture *capture)
{
    if (!capture->whole && !capture->n_links)
        return;
    if (capture->whole)
        iol_pin_end(capture->folder);
    if (capture->settings.early)
        halt(capture);
    if (capture->whole) {
        if (capture->settings.early)
            drop_jumps(capture);
        iol_pin_remove_links(capture->folder);
    } else if (capture->probes) {
        iol_probes_detach(capture->probes);
    }
    iol_capture_let_go(capture);
    iol_capture_grace_period(capture);
}
