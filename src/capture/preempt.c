// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "capture/preempt.h"

#define PREEMPTED_TRACEPOINTS 7 /* the Linux that has them: see bpf/preempt.bpf.h */

/* A tracepoint's program and the other one; the event that this one is of, and what must stand in its format. */
static const struct {
    const char *program;
    const char *instead;
    const char *function; /* the one at whose beginning it is; NULL: it is an event's */
    const char *event;
    const char *fields[3];
} pairs[] = {
    {"on_fork", "on_fork_call", "wake_up_new_task", NULL, {NULL}},
    {"on_exec", "on_exec_call", "finalize_exec", NULL, {NULL}},
    {"on_exit", "on_exit_call", "exit_files", NULL, {NULL}},
    {"on_sys_exit", "on_sys_exit_event", NULL, "raw_syscalls/sys_exit", {" id;\toffset:8;", " ret;\toffset:16;", NULL}},
    {"on_uring_complete",
     "on_uring_complete_event",
     NULL,
     "io_uring/io_uring_complete",
     {" req;\toffset:16;", " user_data;\toffset:24;", " res;\toffset:32;"}},
    {"on_uring_overflow",
     "on_uring_overflow_event",
     NULL,
     "io_uring/io_uring_cqe_overflow",
     {" ctx;\toffset:8;", " user_data;\toffset:16;", " res;\toffset:24;"}},
    {"on_uring_submit", "on_uring_submit_event", NULL, "io_uring/io_uring_submit_req", {" req;\toffset:16;", NULL}},
};

bool iol_preempt_functions(void)
{
    struct utsname name;
    char line[64] = "";
    FILE *file;

    if (uname(&name) < 0)
        return true;
    if (!strstr(name.version, "PREEMPT"))
        return false;
    if (!strstr(name.version, "PREEMPT_DYNAMIC"))
        return true;
    file = fopen("/sys/kernel/debug/sched/preempt", "re"); /* as in "none (voluntary) full" */
    if (file && !fgets(line, sizeof(line), file))
        line[0] = '\0';
    if (file)
        fclose(file);
    return !strstr(line, "(none)") && !strstr(line, "(voluntary)");
}

bool iol_preempt_tracepoints(void)
{
    struct utsname name;
    int major = 0;

    return iol_preempt_functions() && uname(&name) == 0 && sscanf(name.release, "%d", &major) == 1 &&
           major >= PREEMPTED_TRACEPOINTS;
}

/* 0dcac2725406 "bpf: Add multi kprobe link", 5.18, with CONFIG_FPROBE. */
bool iol_preempt_has_multi(const struct btf *btf)
{
    return btf__find_by_name_kind(btf, "bpf_kprobe_multi_link", BTF_KIND_STRUCT) > 0;
}

/* What the kernel says of an event: in the place of its own file system, or in the older one within debugfs. */
static bool read_format(const char *event, char *text, size_t size)
{
    static const char *const places[] = {"/sys/kernel/tracing", "/sys/kernel/debug/tracing"};
    size_t n = 0;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(places) && !n; i++) {
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/events/%s/format", places[i], event);
        file = fopen(path, "re");
        n = file ? fread(text, 1, size - 1, file) : 0;
        if (file)
            fclose(file);
    }
    text[n] = '\0';
    return n > 0;
}

static bool has_event(const char *event, const char *const fields[3])
{
    char text[4096];

    if (!read_format(event, text, sizeof(text)))
        return false;
    for (size_t i = 0; i < 3 && fields[i]; i++) {
        if (!strstr(text, fields[i]))
            return false;
    }
    return true;
}

static bool is_usable(const struct btf *btf, size_t i)
{
    if (pairs[i].event)
        return has_event(pairs[i].event, pairs[i].fields);
    return iol_preempt_has_multi(btf) && btf__find_by_name_kind(btf, pairs[i].function, BTF_KIND_FUNC) > 0;
}

void iol_preempt_choose(struct bpf_object *object, const struct btf *btf)
{
    bool preempted = btf && iol_preempt_tracepoints();

    for (size_t i = 0; i < IOL_ARRAY_SIZE(pairs); i++) {
        struct bpf_program *program = bpf_object__find_program_by_name(object, pairs[i].program);
        struct bpf_program *instead = bpf_object__find_program_by_name(object, pairs[i].instead);
        bool change = preempted && bpf_program__autoload(program) && is_usable(btf, i);

        bpf_program__set_autoload(change ? program : instead, false);
    }
}

const char *iol_preempt_lacks(const struct btf *btf)
{
    if (!iol_preempt_tracepoints())
        return NULL;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(pairs); i++) {
        if (is_usable(btf, i))
            continue;
        if (!pairs[i].event)
            return iol_preempt_has_multi(btf) ? pairs[i].function : "CONFIG_FPROBE";
        if (strncmp(pairs[i].event, "io_uring/", strlen("io_uring/")) == 0 &&
            btf__find_by_name_kind(btf, "io_ring_ctx", BTF_KIND_STRUCT) < 0)
            continue; /* a kernel without it */
        return read_format(pairs[i].event, (char[64]){0}, 64) ? pairs[i].event : "tracefs in /sys/kernel/tracing";
    }
    return NULL;
}

struct bpf_link *iol_preempt_attach(const struct bpf_program *program)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(pairs); i++) {
        const char *function = pairs[i].function;
        LIBBPF_OPTS(bpf_kprobe_multi_opts, options, .syms = &function, .cnt = 1);

        if (function && strcmp(bpf_program__name(program), pairs[i].instead) == 0)
            return bpf_program__attach_kprobe_multi_opts(program, NULL, &options);
    }
    return bpf_program__attach(program);
}

uint64_t iol_preempt_left_out(int program)
{
    struct bpf_prog_info info = {0};
    uint32_t size = sizeof(info);

    if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &size) < 0)
        return 0;
    return info.recursion_misses;
}

#define LINK_TYPE_KPROBE_MULTI 8 /* BPF_LINK_TYPE_KPROBE_MULTI */

/* The beginning of struct bpf_link_info: e2b2cd592a8a "bpf: Add missed value to kprobe_multi link info", 6.7. */
struct multi_info {
    uint32_t type, id, prog_id, padding;
    uint64_t addrs;
    uint32_t count, flags;
    uint64_t missed;
};

uint64_t iol_preempt_missed(int link)
{
    union {
        struct multi_info multi;
        struct bpf_link_info link;
    } info = {.multi = {0}};
    uint32_t size = sizeof(info);

    if (bpf_obj_get_info_by_fd(link, &info.link, &size) < 0)
        return 0;
    return info.link.type == LINK_TYPE_KPROBE_MULTI ? info.multi.missed : 0;
}
