// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * The floor: an empty program on tp_btf/sys_exit, the least that any accounting on that hook costs.
 * Prints "attached" and stays until it is killed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

int main(void)
{
    const struct bpf_insn insns[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP);
    int id = libbpf_find_vmlinux_btf_id("sys_exit", BPF_TRACE_RAW_TP);
    int program, link;

    options.attach_btf_id = id > 0 ? (__u32)id : 0;
    program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "floor", "GPL", insns, sizeof(insns) / sizeof(insns[0]), &options);
    link = program >= 0 ? bpf_raw_tracepoint_open(NULL, program) : -1;
    if (link < 0) {
        fprintf(stderr, "floor: cannot attach an empty program: %s\n", strerror(errno));
        return 1;
    }
    puts("attached");
    fflush(stdout);
    pause();
    return 0;
}
