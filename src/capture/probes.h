// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The probe set `fexit`: a hook at the end of each kernel function that is behind a system call which matters, so that no other call
 * pays anything. Each hook is a program of its own, as the kernel wants it; it has five instructions and jumps to
 * the one that does the work (on_call of bpf/fexit.bpf.h), which is loaded and verified once. Where the kernel has a hook for
 * many functions at a time, the rarer calls share one of these: it costs a call more, and takes no time to attach and remove.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;
struct bpf_object;
struct iol_error;
struct iol_probes;

/* Words for a person are at most this long, with their '\0'. */
#define IOL_PROBES_TEXT 160

/* Calls that could not be hooked are told by name, this many at most. */
#define IOL_PROBES_UNCOVERED_MAX 32

/* The program of the hook that many functions share, and the name under which that is pinned. */
#define IOL_PROBES_TOGETHER "on_calls"

/* Whether this kernel lets a program be attached to the end of one of its functions: 0 or -errno. */
int iol_probes_try_trampoline(void);

/* Whether the set works here at all. If not, and when it works with a caveat, `text` says why, in words that follow a colon. */
enum iol_probes_state {
    IOL_PROBES_IMPOSSIBLE,
    IOL_PROBES_WORSE, /* it can be asked for, and covers less than the set tracepoint, or costs more */
    IOL_PROBES_BEST,
};
enum iol_probes_state iol_probes_judge(const struct btf *btf, char text[IOL_PROBES_TEXT]);

/*
 * Chooses the functions for what `events` asks for (bit per enum iol_abi_event), and tells the programs of `object`, before
 * its load, which types of functions they are jumped to from. Free with iol_probes_free().
 */
int iol_probes_new(const struct btf *btf, struct bpf_object *object, uint32_t events, struct iol_probes **ret_probes,
                   struct iol_error *err);

/* For the other set: none of the programs of this one is loaded. */
void iol_probes_drop(struct bpf_object *object);

/* Where its hooks are to stay when the recorder goes: FOLDER of pin.h. Before iol_probes_attach(); belongs to the caller. */
void iol_probes_pin(struct iol_probes *probes, const char *folder);

/* After the load: attaches every hook, those of reads and writes last. Those that fail are told by iol_probes_uncovered(). */
int iol_probes_attach(struct iol_probes *probes, const struct bpf_object *object, struct iol_error *err);

/*
 * All but the quick programs stop at once, which is for iol_control.halted to do; then the hooks are removed, for which the kernel
 * may take a tenth of a second each. No program need have ended yet when it returns: wait for a grace period.
 */
void iol_probes_detach(struct iol_probes *probes);

/* Pinned hooks stay, and go on counting: gives up what holds them besides. */
void iol_probes_let_go(struct iol_probes *probes);

/* The i-th call that is not covered; NULL after the last one. */
const char *iol_probes_uncovered(const struct iol_probes *probes, size_t i);

/* How often the kernel has left out a hook since it was attached: see preempt.h. */
uint64_t iol_probes_left_out(const struct iol_probes *probes);

void iol_probes_free(struct iol_probes *probes); /* accepts NULL; detaches too */
