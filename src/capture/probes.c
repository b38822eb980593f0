// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
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

#define EVENT(name) (1U << IOL_ABI_EVENT_##name)
#define OPENED (EVENT(OPEN) | EVENT(OPEN_FAILED) | EVENT(TRUNCATE))

#define ALONE (1U << 31) /* no kind of event */

/*
 * A system call, the function behind it, and the events that it is hooked for; 0: whatever events there are. ALONE: it has a
 * hook of its own on every kernel, because it is frequent, or because many threads may wait within it at a time.
 */
struct call {
    const char *name;
    const char *function;
    uint32_t events;
};

/*
 * The calls of bpf/syscalls.bpf.h (tests/check/coverage.py compares) in the order in which they are hooked: what makes known
 * descriptors and names void is there before anything is known. The functions are those of arch/x86/entry/syscalls/
 * syscall_64.tbl and syscall_32.tbl, the same from 5.10 to 7.3. They are what the table of system calls leads to, so that
 * the compiler can neither inline them nor leave them out, and nothing within the kernel calls them.
 */
static const struct call calls[] = {
    {"close", "__x64_sys_close", ALONE},
    {"dup2", "__x64_sys_dup2", 0},
    {"dup3", "__x64_sys_dup3", 0},
    {"close_range", "__x64_sys_close_range", 0},
    {"pivot_root", "__x64_sys_pivot_root", 0},
    {"chroot", "__x64_sys_chroot", 0},
    {"mount", "__x64_sys_mount", 0},
    {"umount2", "__x64_sys_umount", 0},
    {"move_mount", "__x64_sys_move_mount", 0},
    {"rename", "__x64_sys_rename", 0},
    {"renameat", "__x64_sys_renameat", 0},
    {"renameat2", "__x64_sys_renameat2", 0},
    {"unlink", "__x64_sys_unlink", 0},
    {"unlinkat", "__x64_sys_unlinkat", 0},
    {"rmdir", "__x64_sys_rmdir", 0},
    {"close (32-bit)", "__ia32_sys_close", 0},
    {"dup2 (32-bit)", "__ia32_sys_dup2", 0},
    {"dup3 (32-bit)", "__ia32_sys_dup3", 0},
    {"close_range (32-bit)", "__ia32_sys_close_range", 0},
    {"pivot_root (32-bit)", "__ia32_sys_pivot_root", 0},
    {"chroot (32-bit)", "__ia32_sys_chroot", 0},
    {"mount (32-bit)", "__ia32_sys_mount", 0},
    {"umount (32-bit)", "__ia32_sys_oldumount", 0},
    {"umount2 (32-bit)", "__ia32_sys_umount", 0},
    {"move_mount (32-bit)", "__ia32_sys_move_mount", 0},
    {"rename (32-bit)", "__ia32_sys_rename", 0},
    {"renameat (32-bit)", "__ia32_sys_renameat", 0},
    {"renameat2 (32-bit)", "__ia32_sys_renameat2", 0},
    {"unlink (32-bit)", "__ia32_sys_unlink", 0},
    {"unlinkat (32-bit)", "__ia32_sys_unlinkat", 0},
    {"rmdir (32-bit)", "__ia32_sys_rmdir", 0},

    {"open", "__x64_sys_open", OPENED},
    {"openat", "__x64_sys_openat", OPENED | ALONE},
    {"openat2", "__x64_sys_openat2", OPENED},
    {"creat", "__x64_sys_creat", OPENED},
    {"truncate", "__x64_sys_truncate", EVENT(TRUNCATE)},
    {"ftruncate", "__x64_sys_ftruncate", EVENT(TRUNCATE)},
    {"link", "__x64_sys_link", EVENT(LINK)},
    {"linkat", "__x64_sys_linkat", EVENT(LINK)},
    {"symlink", "__x64_sys_symlink", EVENT(SYMLINK)},
    {"symlinkat", "__x64_sys_symlinkat", EVENT(SYMLINK)},
    {"mkdir", "__x64_sys_mkdir", EVENT(MKDIR)},
    {"mkdirat", "__x64_sys_mkdirat", EVENT(MKDIR)},
    {"chmod", "__x64_sys_chmod", EVENT(CHMOD)},
    {"fchmod", "__x64_sys_fchmod", EVENT(CHMOD)},
    {"fchmodat", "__x64_sys_fchmodat", EVENT(CHMOD)},
    {"fchmodat2", "__x64_sys_fchmodat2", EVENT(CHMOD)},
    {"chown", "__x64_sys_chown", EVENT(CHOWN)},
    {"fchown", "__x64_sys_fchown", EVENT(CHOWN)},
    {"lchown", "__x64_sys_lchown", EVENT(CHOWN)},
    {"fchownat", "__x64_sys_fchownat", EVENT(CHOWN)},
    {"setxattr", "__x64_sys_setxattr", EVENT(SETXATTR)},
    {"lsetxattr", "__x64_sys_lsetxattr", EVENT(SETXATTR)},
    {"fsetxattr", "__x64_sys_fsetxattr", EVENT(SETXATTR)},
    {"setxattrat", "__x64_sys_setxattrat", EVENT(SETXATTR)},
    {"open (32-bit)", "__ia32_compat_sys_open", OPENED},
    {"openat (32-bit)", "__ia32_compat_sys_openat", OPENED},
    {"openat2 (32-bit)", "__ia32_sys_openat2", OPENED},
    {"creat (32-bit)", "__ia32_sys_creat", OPENED},
    {"truncate (32-bit)", "__ia32_compat_sys_truncate", EVENT(TRUNCATE)},
    {"truncate64 (32-bit)", "__ia32_sys_ia32_truncate64", EVENT(TRUNCATE)},
    {"ftruncate (32-bit)", "__ia32_compat_sys_ftruncate", EVENT(TRUNCATE)},
    {"ftruncate64 (32-bit)", "__ia32_sys_ia32_ftruncate64", EVENT(TRUNCATE)},
    {"link (32-bit)", "__ia32_sys_link", EVENT(LINK)},
    {"linkat (32-bit)", "__ia32_sys_linkat", EVENT(LINK)},
    {"symlink (32-bit)", "__ia32_sys_symlink", EVENT(SYMLINK)},
    {"symlinkat (32-bit)", "__ia32_sys_symlinkat", EVENT(SYMLINK)},
    {"mkdir (32-bit)", "__ia32_sys_mkdir", EVENT(MKDIR)},
    {"mkdirat (32-bit)", "__ia32_sys_mkdirat", EVENT(MKDIR)},
    {"chmod (32-bit)", "__ia32_sys_chmod", EVENT(CHMOD)},
    {"fchmod (32-bit)", "__ia32_sys_fchmod", EVENT(CHMOD)},
    {"fchmodat (32-bit)", "__ia32_sys_fchmodat", EVENT(CHMOD)},
    {"fchmodat2 (32-bit)", "__ia32_sys_fchmodat2", EVENT(CHMOD)},
    {"lchown16 (32-bit)", "__ia32_sys_lchown16", EVENT(CHOWN)},
    {"fchown16 (32-bit)", "__ia32_sys_fchown16", EVENT(CHOWN)},
    {"chown16 (32-bit)", "__ia32_sys_chown16", EVENT(CHOWN)},
    {"lchown (32-bit)", "__ia32_sys_lchown", EVENT(CHOWN)},
    {"fchown (32-bit)", "__ia32_sys_fchown", EVENT(CHOWN)},
    {"chown (32-bit)", "__ia32_sys_chown", EVENT(CHOWN)},
    {"fchownat (32-bit)", "__ia32_sys_fchownat", EVENT(CHOWN)},
    {"setxattr (32-bit)", "__ia32_sys_setxattr", EVENT(SETXATTR)},
    {"lsetxattr (32-bit)", "__ia32_sys_lsetxattr", EVENT(SETXATTR)},
    {"fsetxattr (32-bit)", "__ia32_sys_fsetxattr", EVENT(SETXATTR)},
    {"setxattrat (32-bit)", "__ia32_sys_setxattrat", EVENT(SETXATTR)},

    {"execve", "__x64_sys_execve", 0},
    {"execveat", "__x64_sys_execveat", 0},
    {"mmap", "__x64_sys_mmap", ALONE},
    {"io_submit", "__x64_sys_io_submit", ALONE},
    {"io_getevents", "__x64_sys_io_getevents", ALONE},
    {"io_pgetevents", "__x64_sys_io_pgetevents", 0},
    {"execve (32-bit)", "__ia32_compat_sys_execve", 0},
    {"execveat (32-bit)", "__ia32_compat_sys_execveat", 0},
    {"mmap (32-bit)", "__ia32_compat_sys_ia32_mmap", 0},
    {"mmap2 (32-bit)", "__ia32_sys_mmap_pgoff", 0},
    {"io_submit (32-bit)", "__ia32_compat_sys_io_submit", 0},
    {"io_getevents (32-bit)", "__ia32_sys_io_getevents_time32", 0},
    {"io_pgetevents (32-bit)", "__ia32_compat_sys_io_pgetevents", 0},
    {"io_pgetevents_time64 (32-bit)", "__ia32_compat_sys_io_pgetevents_time64", 0},

    {"sendfile", "__x64_sys_sendfile64", ALONE},
    {"splice", "__x64_sys_splice", ALONE},
    {"copy_file_range", "__x64_sys_copy_file_range", 0},
    {"sendfile (32-bit)", "__ia32_compat_sys_sendfile", 0},
    {"sendfile64 (32-bit)", "__ia32_sys_sendfile64", 0},
    {"splice (32-bit)", "__ia32_sys_splice", 0},
    {"copy_file_range (32-bit)", "__ia32_sys_copy_file_range", 0},
    {"read (32-bit)", "__ia32_sys_read", 0},
    {"readv (32-bit)", "__ia32_sys_readv", 0},
    {"pread64 (32-bit)", "__ia32_sys_ia32_pread64", 0},
    {"preadv (32-bit)", "__ia32_compat_sys_preadv", 0},
    {"preadv2 (32-bit)", "__ia32_compat_sys_preadv2", 0},
    {"write (32-bit)", "__ia32_sys_write", 0},
    {"writev (32-bit)", "__ia32_sys_writev", 0},
    {"pwrite64 (32-bit)", "__ia32_sys_ia32_pwrite64", 0},
    {"pwritev (32-bit)", "__ia32_compat_sys_pwritev", 0},
    {"pwritev2 (32-bit)", "__ia32_compat_sys_pwritev2", 0},
    {"preadv2", "__x64_sys_preadv2", 0},
    {"preadv", "__x64_sys_preadv", 0},
    {"readv", "__x64_sys_readv", ALONE},
    {"pread64", "__x64_sys_pread64", ALONE},
    {"pwritev2", "__x64_sys_pwritev2", 0},
    {"pwritev", "__x64_sys_pwritev", 0},
    {"writev", "__x64_sys_writev", ALONE},
    {"pwrite64", "__x64_sys_pwrite64", ALONE},
    {"write", "__x64_sys_write", ALONE},
    {"read", "__x64_sys_read", ALONE},
};

#define N_CALLS IOL_ARRAY_SIZE(calls)

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
    const struct call *call;
    uint32_t function; /* its id in BTF */
    uint32_t target;   /* index of targets */
    const char *quick; /* its own program in the object; NULL: one that only jumps */
    int program;       /* -1: not hooked */
    int link;
};

struct iol_probes {
    struct hook hooks[N_CALLS];
    size_t n;
    const char *together[N_CALLS]; /* functions that share one hook */
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

/* A program for the end of `function`; -errno when the kernel refuses it. */
static int load_program(const char *name, const struct bpf_insn *insns, size_t n, uint32_t function)
{
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_FEXIT, .attach_btf_id = function);
    int fd = bpf_prog_load(BPF_PROG_TYPE_TRACING, name, "Dual BSD/GPL", insns, n, &options);

    return fd < 0 ? -errno : fd;
}

static int attach_program(int program)
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
    program = load_program("probe", insns, IOL_ARRAY_SIZE(insns), (uint32_t)id);
    if (program < 0)
        return program;
    link = attach_program(program);
    close(program);
    if (link < 0)
        return link;
    close(link);
    return 0;
}

/* What BTF says of the function behind each call. */
struct found {
    uint32_t function; /* its id; 0: BTF does not have it */
    uint32_t type;
    bool hidden; /* the kernel has it all the same */
};

/* Functions that BTF does not have: calls that this kernel does not know, but for those that are among its symbols. */
static void look_for_hidden(struct found found[N_CALLS])
{
    FILE *file = fopen("/proc/kallsyms", "re");
    char line[512], name[256];

    while (file && fgets(line, sizeof(line), file)) {
        if (!strstr(line, "_sys_") || sscanf(line, "%*s %*s %255s", name) != 1)
            continue;
        for (size_t i = 0; i < N_CALLS; i++)
            found[i].hidden |= !found[i].function && strcmp(name, calls[i].function) == 0;
    }
    if (file)
        fclose(file);
}

static void look_up(const struct btf *btf, struct found found[N_CALLS])
{
    for (size_t i = 0; i < N_CALLS; i++) {
        int id = btf__find_by_name_kind(btf, calls[i].function, BTF_KIND_FUNC);

        found[i] = (struct found){0};
        if (id > 0)
            found[i] = (struct found){.function = (uint32_t)id, .type = btf__type_by_id(btf, (uint32_t)id)->type};
    }
    look_for_hidden(found);
}

/* Tried: in 5.10 the arguments of some functions have no type, and are refused. Between that and 6.1 nothing was tried. */
static bool is_new_enough(void)
{
    struct utsname name;
    int major = 0, minor = 0;

    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 6 || (major == 6 && minor >= 1));
}

enum iol_probes_state iol_probes_judge(const struct btf *btf, char text[IOL_PROBES_TEXT])
{
    struct found found[N_CALLS];
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
    look_up(btf, found);
    for (size_t i = 0; i < N_CALLS; i++) {
        if (found[i].hidden) {
            snprintf(text, IOL_PROBES_TEXT, "%s is not in this kernel's BTF", calls[i].function);
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

static const char *quick_program(const struct call *call)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(quick_calls); i++) {
        if (strcmp(quick_calls[i].name, call->name) == 0)
            return quick_calls[i].program;
    }
    return NULL;
}

static void choose(struct iol_probes *probes, const struct call *call, const struct found *found)
{
    uint32_t target;

    if (probes->has_multi && (probes->preemptible || !(call->events & ALONE)) && found->function) {
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
    struct found found[N_CALLS];

    if (!probes)
        return iol_error_set(err, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < N_TARGETS; i++)
        probes->jumps[i] = -1;
    probes->shared_program = -1;
    probes->preemptible = iol_preempt_functions();
    probes->has_multi = iol_preempt_has_multi(btf);
    look_up(btf, found);
    probes->types[0] = found[N_CALLS - 1].type; /* read's: on_call is the one that has a fast way for it */
    for (size_t i = 0; i < N_CALLS; i++) {
        if (!(calls[i].events & ~ALONE) || calls[i].events & events & ~ALONE)
            choose(probes, &calls[i], &found[i]);
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
    return load_program(name, insns, IOL_ARRAY_SIZE(insns), hook->function);
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
    hook->link = attach_program(hook->program);
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
