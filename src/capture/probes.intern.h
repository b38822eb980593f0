// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the files of the probe set fexit share: the calls, where they are in the kernel, and how a program gets there. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_insn;
struct btf;

#define IOL_PROBES_ALONE (1U << 31) /* no kind of event */

/*
 * A system call, the function behind it, and the events that it is hooked for; 0: whatever events there are.
 * IOL_PROBES_ALONE: it has a hook of its own on every kernel, because it is frequent, or because many threads may wait
 * within it at a time.
 */
struct iol_probes_call {
    const char *name;
    const char *function;
    uint32_t events;
};

enum {
    IOL_PROBES_CALLS = 125,
};

/* In the order in which they are hooked; read is the last. */
extern const struct iol_probes_call iol_probes_calls[IOL_PROBES_CALLS];

/* What BTF says of the function behind each call. */
struct iol_probes_found {
    uint32_t function; /* its id; 0: BTF does not have it */
    uint32_t type;
    bool hidden; /* the kernel has it all the same */
};

void iol_probes_look_up(const struct btf *btf, struct iol_probes_found found[IOL_PROBES_CALLS]);

/* A program for the end of `function`; -errno when the kernel refuses it. */
int iol_probes_load(const char *name, const struct bpf_insn *insns, size_t n, uint32_t function);

/* Its link, or -errno. */
int iol_probes_attach_one(int program);
