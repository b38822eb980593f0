// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "abi/event.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "capture/pin.h"
#include "capture/preempt.h"
#include "capture/probes.h"
#include "capture/probes.intern.h"

/* Where hooks jump to: a program for each type of function, as BTF has it. */
static const char *const targets[] = {"on_call", "on_other_call"};
static const char *const arrays[] = {"full_call", "other_full_call"}; /* where they are found */

/* These have a program that counts by itself when nothing is special, and jumps only else: QUICK_CALL in bpf/fexit.bpf.h. */
static const struct {
    const char *name;
    const char *program;
} quick_calls[] = {
    {"read", "on_read"},   {"pread64", "on_pread64"},   {"readv", "on_readv"},
    {"write", "on_write"}, {"pwrite64", "on_pwrite64"}, {"writev", "on_writev"},
};

#define N_TARGETS IOL_ARRAY_SIZE(targets)

struct hook {
    const struct iol_probes_call *call;
    uint32_t function; /* its id in BTF */
    uint32_t target;   /* index of targets */
    const char *quick; /* its own program in the object; NULL: one that only jumps */
    int program;       /* -1: not hooked */
    int link;
};

struct iol_probes {
    struct hook hooks[IOL_PROBES_CALLS];
    size_t n;
    const char *together[IOL_PROBES_CALLS]; /* functions that share one hook */
    size_t n_together;
    bool has_multi;
    struct bpf_link *multi;
    uint32_t types[N_TARGETS]; /* of functions; 0: none */
    int jumps[N_TARGETS];      /* arrays of one program; -1: none */
    int shared_program;        /* the one of `together`; -1: none */
    const char *uncovered[IOL_PROBES_UNCOVERED_MAX];
    size_t n_uncovered;
    bool preemptible;
    const char *folder; /* in which links are pinned; NULL: nowhere */
    uint64_t left_out;  /* by hooks that are detached */
};

int iol_probes_load(const char *name, const struct bpf_insn *insns, size_t n, uint32_t function)
{
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_FEXIT, .attach_btf_id = function);
    int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, name, "Dual BSD/GPL", insns, n, &options);

    return fd < 0 ? -errno : fd;
}

int iol_probes_attach_one(int program)
{
    int fd = bpf_raw_tracepoint_open(NULL, program);

    return fd < 0 ? -errno : fd;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void note_uncovered(struct iol_probes *probes, const char *name)
{
    if (probes->n_uncovered < IOL_PROBES_UNCOVERED_MAX)
        probes->uncovered[probes->n_uncovered++] = name;
}

/* The target for functions of this type; N_TARGETS when there is none left. */
static uint32_t target_of(struct iol_probes *probes, uint32_t type)
{
    for (uint32_t i = 0; i < N_TARGETS; i++) {
        if (!probes->types[i])
            probes->types[i] = type;
        if (probes->types[i] == type)
            return i;
    }
    return N_TARGETS;
}

static const char *quick_program(const struct iol_probes_call *call)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(quick_calls); i++) {
        if (strcmp(quick_calls[i].name, call->name) == 0)
            return quick_calls[i].program;
    }
    return NULL;
}

static void choose(struct iol_probes *probes, const struct iol_probes_call *call, const struct iol_probes_found *found)
{
    uint32_t target;

    if (probes->has_multi && (probes->preemptible || !(call->events & IOL_PROBES_ALONE)) && found->function) {
        probes->together[probes->n_together++] = call->function;
        return;
    }
    target = found->function ? target_of(probes, found->type) : N_TARGETS;

    if (target < N_TARGETS)
        probes->hooks[probes->n++] =
            (struct hook){call, found->function, target, target == 0 ? quick_program(call) : NULL, -1, -1};
    else if (found->function || found->hidden)
        note_uncovered(probes, call->name);
}

/* Each target is loaded for a function of its type, whichever; one that nothing jumps to is not loaded. */
static int prepare_target(struct iol_probes *probes, struct bpf_object *object, uint32_t target)
{
    struct bpf_program *program = bpf_object__find_program_by_name(object, targets[target]);

    for (size_t i = 0; i < probes->n; i++) {
        if (probes->hooks[i].target == target)
            return bpf_program__set_attach_target(program, 0, probes->hooks[i].call->function);
    }
    return bpf_program__set_autoload(program, false);
}

static void prepare_quick(const struct iol_probes *probes, struct bpf_object *object)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(quick_calls); i++) {
        bool used = false;

        for (size_t hook = 0; hook < probes->n; hook++)
            used |= probes->hooks[hook].quick == quick_calls[i].program;
        bpf_program__set_autoload(bpf_object__find_program_by_name(object, quick_calls[i].program), used);
    }
}

int iol_probes_new(const struct btf *btf, struct bpf_object *object, uint32_t events, struct iol_probes **ret_probes,
                   struct iol_error *err)
{
    struct iol_probes *probes = calloc(1, sizeof(*probes));
    struct iol_probes_found found[IOL_PROBES_CALLS];

    if (!probes)
        return iol_error_set(err, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < N_TARGETS; i++)
        probes->jumps[i] = -1;
    probes->shared_program = -1;
    probes->preemptible = iol_preempt_functions();
    probes->has_multi = iol_preempt_has_multi(btf);
    iol_probes_look_up(btf, found);
    probes->types[0] = found[IOL_PROBES_CALLS - 1].type; /* read's: on_call is the one that has a fast way for it */
    for (size_t i = 0; i < IOL_PROBES_CALLS; i++) {
        if (!(iol_probes_calls[i].events & ~IOL_PROBES_ALONE) ||
            iol_probes_calls[i].events & events & ~IOL_PROBES_ALONE)
            choose(probes, &iol_probes_calls[i], &found[i]);
    }
    bpf_program__set_autoload(bpf_object__find_program_by_name(object, IOL_PROBES_TOGETHER), probes->n_together > 0);
    prepare_quick(probes, object);
    for (uint32_t i = 0; i < N_TARGETS; i++) {
        int r = prepare_target(probes, object, i);

        if (r < 0) {
            iol_probes_free(probes);
            return iol_error_set(err, r, "cannot prepare the probe set fexit: %s", strerror(-r));
        }
    }
    *ret_probes = probes;
    return 0;
}

/* Puts the program that the hooks jump to where they look for it. */
static int make_jump(struct iol_probes *probes, const struct bpf_object *object, uint32_t target)
{
    const struct bpf_program *program = bpf_object__find_program_by_name(object, targets[target]);
    const uint32_t zero = 0;
    int fd = bpf_program__fd(program);

    if (fd < 0)
        return 0; /* nothing jumps there */
    probes->jumps[target] = fcntl(bpf_object__find_map_fd_by_name(object, arrays[target]), F_DUPFD_CLOEXEC, 0);
    if (probes->jumps[target] < 0 || bpf_map_update_elem(probes->jumps[target], &zero, &fd, BPF_ANY) < 0)
        return -errno;
    return 0;
}

/* A program that only jumps; -errno when the kernel refuses it. */
static int load_jump(const struct iol_probes *probes, const struct hook *hook)
{
    const struct bpf_insn insns[] = {
        /* r1 is the context already; r2 = the array, r3 = 0 */
        {.code = BPF_LD | BPF_DW | BPF_IMM,
         .dst_reg = BPF_REG_2,
         .src_reg = BPF_PSEUDO_MAP_FD,
         .imm = probes->jumps[hook->target]},
        {.code = 0},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3},
        {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_tail_call},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };
    char name[BPF_OBJ_NAME_LEN];

    snprintf(name, sizeof(name), "on_%.*s", (int)strcspn(hook->call->name, " "), hook->call->name);
    return iol_probes_load(name, insns, IOL_ARRAY_SIZE(insns), hook->function);
}

static int pin_link(const struct iol_probes *probes, const char *name, int link)
{
    return probes->folder ? iol_pin_add(probes->folder, "links", name, link) : 0;
}

static int attach_hook(const struct iol_probes *probes, const struct bpf_object *object, struct hook *hook)
{
    int r;

    if (hook->quick)
        hook->program =
            fcntl(bpf_program__fd(bpf_object__find_program_by_name(object, hook->quick)), F_DUPFD_CLOEXEC, 0);
    else
        hook->program = load_jump(probes, hook);
    if (hook->program < 0)
        return hook->program;
    hook->link = iol_probes_attach_one(hook->program);
    r = hook->link < 0 ? hook->link : pin_link(probes, hook->call->function, hook->link);
    if (r < 0) {
        close_fd(&hook->link);
        close_fd(&hook->program);
    }
    return r;
}

/* All in one go: the kernel takes as long for it as for one. */
static int attach_together(struct iol_probes *probes, const struct bpf_object *object)
{
    LIBBPF_OPTS(bpf_kprobe_multi_opts, options, .syms = probes->together, .cnt = probes->n_together, .retprobe = true);

    if (!probes->n_together)
        return 0;
    probes->multi = bpf_program__attach_kprobe_multi_opts(bpf_object__find_program_by_name(object, IOL_PROBES_TOGETHER),
                                                          NULL, &options);
    if (!probes->multi)
        return -errno;
    probes->shared_program =
        fcntl(bpf_program__fd(bpf_object__find_program_by_name(object, IOL_PROBES_TOGETHER)), F_DUPFD_CLOEXEC, 0);
    return pin_link(probes, IOL_PROBES_TOGETHER, bpf_link__fd(probes->multi));
}

void iol_probes_pin(struct iol_probes *probes, const char *folder)
{
    probes->folder = folder;
}

int iol_probes_attach(struct iol_probes *probes, const struct bpf_object *object, struct iol_error *err)
{
    size_t failed = 0;
    int r = 0;

    for (uint32_t i = 0; i < N_TARGETS; i++) {
        r = make_jump(probes, object, i);
        if (r < 0)
            return iol_error_set(err, r, "cannot make the programs of the probe set fexit known to each other: %s",
                                 strerror(-r));
    }
    r = attach_together(probes, object);
    if (r < 0)
        return iol_error_set(err, r, "cannot attach a program to the ends of system calls: %s", strerror(-r));
    for (size_t i = 0; i < probes->n; i++) {
        int failure = attach_hook(probes, object, &probes->hooks[i]);

        if (failure == 0)
            continue;
        r = failure;
        failed++;
        note_uncovered(probes, probes->hooks[i].call->name);
    }
    if (failed < probes->n)
        return 0;
    iol_error_set(err, r, "cannot attach any program of the probe set fexit: %s", strerror(-r));
    iol_error_hint(err, "try: --probes tracepoint");
    return r;
}

uint64_t iol_probes_left_out(const struct iol_probes *probes)
{
    uint64_t sum = probes->left_out;

    if (probes->multi)
        sum += iol_preempt_missed(bpf_link__fd(probes->multi)) + iol_preempt_left_out(probes->shared_program);
    for (size_t i = 0; probes->preemptible && i < probes->n; i++)
        sum += iol_preempt_left_out(probes->hooks[i].program);
    return sum;
}

void iol_probes_drop(struct bpf_object *object)
{
    for (size_t i = 0; i < N_TARGETS; i++)
        bpf_program__set_autoload(bpf_object__find_program_by_name(object, targets[i]), false);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(quick_calls); i++)
        bpf_program__set_autoload(bpf_object__find_program_by_name(object, quick_calls[i].program), false);
    bpf_program__set_autoload(bpf_object__find_program_by_name(object, IOL_PROBES_TOGETHER), false);
}

void iol_probes_detach(struct iol_probes *probes)
{
    const uint32_t zero = 0;

    for (uint32_t i = 0; i < N_TARGETS; i++) {
        if (probes->jumps[i] >= 0)
            bpf_map_delete_elem(probes->jumps[i], &zero);
    }
    probes->left_out = iol_probes_left_out(probes);
    bpf_link__destroy(probes->multi);
    probes->multi = NULL;
    close_fd(&probes->shared_program);
    for (size_t i = probes->n; i-- > 0;) {
        close_fd(&probes->hooks[i].link);
        close_fd(&probes->hooks[i].program);
    }
    probes->n = 0;
}

void iol_probes_let_go(struct iol_probes *probes)
{
    for (size_t i = 0; i < N_TARGETS; i++)
        close_fd(&probes->jumps[i]);
    bpf_link__destroy(probes->multi);
    probes->multi = NULL;
    close_fd(&probes->shared_program);
    for (size_t i = 0; i < probes->n; i++) {
        close_fd(&probes->hooks[i].link);
        close_fd(&probes->hooks[i].program);
    }
    probes->n = 0;
}

const char *iol_probes_uncovered(const struct iol_probes *probes, size_t i)
{
    return i < probes->n_uncovered ? probes->uncovered[i] : NULL;
}

void iol_probes_free(struct iol_probes *probes)
{
    if (!probes)
        return;
    iol_probes_detach(probes);
    for (uint32_t i = 0; i < N_TARGETS; i++)
        close_fd(&probes->jumps[i]);
    free(probes);
}
