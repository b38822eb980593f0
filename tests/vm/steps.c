// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * steps FILE [HOOK|runs]: instructions that a system call takes, user and kernel side, where the time stamp counter counts instructions:
 * under qemu with -icount shift=0. A line for each call, "NAME INSTRUCTIONS"; the least of many rounds, as a round may be
 * interrupted. The guest of tests/vm/run --steps runs it under each probe set.
 * With HOOK there is one that does nothing at the end of each call: tracepoint (tp_btf), event (of tracefs), fexit or return
 * (kretprobe.multi). That is what the kernel takes for such a hook, whatever is done there.
 * "runs" in its place: how many BPF programs the kernel runs for a call, as it counts them itself (BPF_ENABLE_STATS).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <x86intrin.h>

#define ROUNDS 200
#define CALLS 100
#define RUN_ROUNDS 20

static int file, other;

static void call_getppid(void)
{
    syscall(SYS_getppid);
}

static void call_pread(void)
{
    char byte;

    syscall(SYS_pread64, file, &byte, 1, 0);
}

static void call_read(void)
{
    char byte;

    syscall(SYS_read, file, &byte, 1);
}

static void call_write(void)
{
    syscall(SYS_pwrite64, other, "x", 1, 0);
}

static void call_openat_close(void)
{
    close(openat(AT_FDCWD, "/dev/null", O_RDONLY));
}

static void call_lseek(void)
{
    syscall(SYS_lseek, file, 0, SEEK_SET);
}

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"getppid", call_getppid}, {"lseek", call_lseek},    {"read", call_read},
    {"pread64", call_pread},   {"pwrite64", call_write}, {"openat+close", call_openat_close},
};

static double measure(void (*call)(void))
{
    uint64_t least = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from, to;

        lseek(file, 0, SEEK_SET);
        call(); /* whatever is done once, and the page of the file */
        from = __rdtsc();
        for (int i = 0; i < CALLS; i++)
            call();
        to = __rdtsc();
        if (to - from < least)
            least = to - from;
    }
    return (double)least / CALLS;
}

/* Of all programs that are loaded, so far. */
static uint64_t count_runs(void)
{
    uint64_t sum = 0;

    for (uint32_t id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
        struct bpf_prog_info info = {0};
        uint32_t size = sizeof(info);
        int program = bpf_prog_get_fd_by_id(id);

        if (program >= 0 && bpf_obj_get_info_by_fd(program, &info, &size) == 0)
            sum += info.run_cnt;
        close(program);
    }
    return sum;
}

/* The least of some rounds, as other processes make calls too; less those of counting, which makes calls itself. */
static double measure_runs(void (*call)(void))
{
    uint64_t least[2] = {UINT64_MAX, UINT64_MAX};

    for (int round = 0; round < RUN_ROUNDS; round++) {
        for (int with = 0; with < 2; with++) {
            uint64_t before, runs;

            lseek(file, 0, SEEK_SET);
            before = count_runs();
            for (int i = 0; i < with * CALLS; i++)
                call();
            runs = count_runs() - before;
            if (runs < least[with])
                least[with] = runs;
        }
    }
    return ((double)least[1] - (double)least[0]) / CALLS;
}

static int load(enum bpf_prog_type type, enum bpf_attach_type attach_type, uint32_t id)
{
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach_type, .attach_btf_id = id);
    const struct bpf_insn nothing[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
        {.code = BPF_JMP | BPF_EXIT},
    };

    return bpf_prog_load(type, "nothing", "Dual BSD/GPL", nothing, 2, &options);
}

static int hook_tracing(const char *name, enum bpf_attach_type type)
{
    int id = libbpf_find_vmlinux_btf_id(name, type);
    int program = id < 0 ? -1 : load(BPF_PROG_TYPE_TRACING, type, (uint32_t)id);

    return program < 0 ? -1 : bpf_raw_tracepoint_open(NULL, program);
}

static int hook_returns(const char **names)
{
    LIBBPF_OPTS(bpf_link_create_opts, options, .kprobe_multi = {.flags = BPF_F_KPROBE_MULTI_RETURN, .syms = names});
    int program = load(BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI, 0);

    while (names[options.kprobe_multi.cnt])
        options.kprobe_multi.cnt++;
    return program < 0 ? -1 : bpf_link_create(program, 0, BPF_TRACE_KPROBE_MULTI, &options);
}

static int hook_event(const char *path)
{
    struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr), .sample_period = 1};
    int program = load(BPF_PROG_TYPE_TRACEPOINT, 0, 0), event;
    FILE *number = fopen(path, "re");

    if (program < 0 || !number || fscanf(number, "%llu", &attr.config) != 1)
        return -1;
    fclose(number);
    event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0);
    if (event < 0 || ioctl(event, PERF_EVENT_IOC_SET_BPF, program) < 0)
        return -1;
    return ioctl(event, PERF_EVENT_IOC_ENABLE, 0);
}

/* One at the end of each call that is measured and traced. */
static int hook(const char *kind)
{
    static const char *functions[] = {"__x64_sys_read",   "__x64_sys_pread64", "__x64_sys_pwrite64",
                                      "__x64_sys_openat", "__x64_sys_close",   NULL};

    if (strcmp(kind, "tracepoint") == 0)
        return hook_tracing("sys_exit", BPF_TRACE_RAW_TP);
    if (strcmp(kind, "event") == 0)
        return hook_event("/sys/kernel/tracing/events/raw_syscalls/sys_exit/id");
    if (strcmp(kind, "return") == 0)
        return hook_returns(functions);
    for (size_t i = 0; functions[i]; i++) {
        if (hook_tracing(functions[i], BPF_TRACE_FEXIT) < 0)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static const char content[2 * CALLS];
    bool runs = argc == 3 && strcmp(argv[2], "runs") == 0;

    if (argc != 2 && argc != 3)
        return 2;
    if (argc == 3 && (runs ? bpf_enable_stats(BPF_STATS_RUN_TIME) : hook(argv[2])) < 0) {
        fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    file = open(argv[1], O_RDWR | O_CREAT, 0600);
    other = open(argv[1], O_RDWR);
    if (file < 0 || other < 0 || write(file, content, sizeof(content)) != sizeof(content)) {
        perror(argv[1]);
        return 1;
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        printf("%s %.1f\n", calls[i].name, (runs ? measure_runs : measure)(calls[i].call));
    return 0;
}
