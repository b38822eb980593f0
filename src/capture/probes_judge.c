// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "capture/features.h"
#include "capture/preempt.h"
#include "capture/probes.h"
#include "capture/probes.intern.h"

int iol_probes_try_trampoline(void)
{
    const struct bpf_insn insns[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    int id = libbpf_find_vmlinux_btf_id("__x64_sys_chroot", BPF_TRACE_FEXIT);
    int program, link;

    if (id < 0)
        return -ENOENT;
    program = iol_probes_load("probe", insns, IOL_ARRAY_SIZE(insns), (uint32_t)id);
    if (program < 0)
        return program;
    link = iol_probes_attach_one(program);
    close(program);
    if (link < 0)
        return link;
    close(link);
    return 0;
}

/* Tried: in 5.10 the arguments of some functions have no type, and are refused. Between that and 6.1 nothing was tried. */
static bool is_new_enough(void)
{
    return iol_kernel_is_at_least(6, 1);
}

enum iol_probes_state iol_probes_judge(const struct btf *btf, char text[IOL_PROBES_TEXT])
{
    struct iol_probes_found found[IOL_PROBES_CALLS];
    int r;

#if !defined(__x86_64__)
    snprintf(text, IOL_PROBES_TEXT, "it is there for x86-64 only");
    return IOL_PROBES_IMPOSSIBLE;
#endif
    if (!is_new_enough()) {
        snprintf(text, IOL_PROBES_TEXT, "it needs Linux 6.1");
        return IOL_PROBES_IMPOSSIBLE;
    }
    r = iol_probes_try_trampoline();
    if (r < 0) {
        snprintf(text, IOL_PROBES_TEXT, "this kernel refuses trampolines (%s)", strerror(-r));
        return IOL_PROBES_IMPOSSIBLE;
    }
    iol_probes_look_up(btf, found);
    for (size_t i = 0; i < IOL_PROBES_CALLS; i++) {
        if (found[i].hidden) {
            snprintf(text, IOL_PROBES_TEXT, "%s is not in this kernel's BTF", iol_probes_calls[i].function);
            return IOL_PROBES_WORSE;
        }
    }
    if (!iol_preempt_has_multi(btf)) {
        snprintf(text, IOL_PROBES_TEXT,
                 "without CONFIG_FPROBE each of a hundred hooks takes the kernel a tenth of a second to remove");
        return IOL_PROBES_WORSE;
    }
    if (iol_preempt_functions()) {
        snprintf(text, IOL_PROBES_TEXT,
                 "where a thread can be preempted within a hook, those that cannot cost reads and writes more");
        return IOL_PROBES_WORSE;
    }
    snprintf(text, IOL_PROBES_TEXT, "nothing but the calls that matter pays for it");
    return IOL_PROBES_BEST;
}
