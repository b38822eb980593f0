// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Kernels that preempt a thread within a BPF program. While it is away from its CPU they leave that program out for every other
 * thread that comes by there, and only count how often. Programs in the ends of functions (fexit) have met that on every
 * preemptible kernel; those of tracepoints do from Linux 7.0 on. Each has another one here that does the same with preemption
 * off: see bpf/preempt.bpf.h.
 */
#include <stdbool.h>
#include <stdint.h>

struct bpf_link;
struct bpf_object;
struct bpf_program;
struct btf;

/* Whether the kernel can preempt a thread within a program in the end of a function. True also when it cannot be told. */
bool iol_preempt_functions(void);

/* The same of a program of a tracepoint. */
bool iol_preempt_tracepoints(void);

/* Whether one program can be attached to the beginning, or the end, of many functions. */
bool iol_preempt_has_multi(const struct btf *btf);

/*
 * Before the load: where programs of tracepoints can be preempted, those that have another one that cannot give way to it, if
 * this kernel has what that needs.
 */
void iol_preempt_choose(struct bpf_object *object, const struct btf *btf);

/* What such a program would need and this kernel does not have, in words for a person; NULL: nothing, or none is needed. */
const char *iol_preempt_lacks(const struct btf *btf);

/* Attaches a program of the object, whichever sort it is; NULL and errno. */
struct bpf_link *iol_preempt_attach(const struct bpf_program *program);

/* How often the kernel has left out the program, whatever it is attached to. */
uint64_t iol_preempt_left_out(int program);

/* How often a link for the ends of many functions had no room to remember where one more call returns to; 0 of any other link. */
uint64_t iol_preempt_missed(int link);
