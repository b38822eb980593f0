// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * What a system call costs in a tight loop: with nothing attached, with the floor (an empty program on the same hook), and
 * with the programs of the recorder in several states. `hotpath FILE [ROUNDS [CALLS]]` prints one line for each state and
 * call: "STATE CALL NS ADDED", medians over the rounds; ADDED is the median of the differences to nothing, which is
 * measured after each state: what is subtracted is the median of these within the round.
 *
 * Every few rounds all programs are loaded anew, and another process makes the calls: some nanoseconds depend on where in memory
 * they happen to lie, and on nothing else.
 *
 * The states take turns every few milliseconds, in one process, so that what else the machine does falls on all of them. None
 * is always loaded or measured behind the same other one: each time another begins.
 * The calls are made by a child: the recorder leaves itself out.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.h"
#include "empty.h"
#include "measure.h"

#define ROUNDS_MAX 1001
#define ROUNDS_IN_A_ROW 4

enum call { READ_ZERO, PREAD_FILE, WRITE_NULL, GETPPID, CALLS };

static const char *const call_names[CALLS] = {"read_zero", "pread_file", "write_null", "getppid"};

static const struct iol_rule ignore_all = {.verdict = IOL_VERDICT_IGNORE, .path = "", .tree = true};
static const struct iol_rule sample_all = {.verdict = IOL_VERDICT_SAMPLE, .sample = 100, .path = "", .tree = true};
static const struct iol_rule every_all = {.verdict = IOL_VERDICT_EVERY, .path = "", .tree = true};
static const char *const nobody = "nobody-is-this";

enum state_kind { NOTHING, FLOOR, CAPTURE };

struct state {
    const char *name;
    enum state_kind kind;
    const struct iol_rule *rule;
    bool filtered;
    struct iol_capture *capture;
    double ns[CALLS][ROUNDS_MAX];
    double added[CALLS][ROUNDS_MAX];
};

static struct state states[] = {
    {.name = "nothing", .kind = NOTHING},
    {.name = "floor", .kind = FLOOR},
    {.name = "record", .kind = CAPTURE},
    {.name = "filtered", .kind = CAPTURE, .filtered = true},
    {.name = "ignored", .kind = CAPTURE, .rule = &ignore_all},
    {.name = "sample_100", .kind = CAPTURE, .rule = &sample_all},
    {.name = "every", .kind = CAPTURE, .rule = &every_all},
};

static void fail(const char *what)
{
    fprintf(stderr, "hotpath: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* On a CPU of its own, where no other program comes in between. Neither is needed for the result to be right. */
static void bind_to(int cpu)
{
    const struct sched_param first = {.sched_priority = 1};
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
    sched_setscheduler(0, SCHED_FIFO, &first);
}

/* The child: for each byte on the pipe it makes n of each call, and answers with nanoseconds for one. */
static void serve(int in, int out, const char *path, long n)
{
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    double start, ns[CALLS];
    char byte, go;

    if (zero < 0 || null < 0 || file < 0)
        fail(path);
    while (read(in, &go, 1) == 1) {
        start = clock_ns(CLOCK_MONOTONIC);
        for (long i = 0; i < n; i++)
            (void)!read(zero, &byte, 1);
        ns[READ_ZERO] = (clock_ns(CLOCK_MONOTONIC) - start) / (double)n;
        start = clock_ns(CLOCK_MONOTONIC);
        for (long i = 0; i < n; i++)
            (void)!pread(file, &byte, 1, 0);
        ns[PREAD_FILE] = (clock_ns(CLOCK_MONOTONIC) - start) / (double)n;
        start = clock_ns(CLOCK_MONOTONIC);
        for (long i = 0; i < n; i++)
            (void)!write(null, &byte, 1);
        ns[WRITE_NULL] = (clock_ns(CLOCK_MONOTONIC) - start) / (double)n;
        start = clock_ns(CLOCK_MONOTONIC);
        for (long i = 0; i < n; i++)
            syscall(SYS_getppid);
        ns[GETPPID] = (clock_ns(CLOCK_MONOTONIC) - start) / (double)n;
        if (write(out, ns, sizeof(ns)) != (ssize_t)sizeof(ns))
            exit(1);
    }
    exit(0);
}

static void ignore_record(void *arg, const void *data, size_t size)
{
    (void)arg, (void)data, (void)size;
}

static void open_state(struct state *state)
{
    struct iol_capture_options options = {.max_accounts = 4096, .kinds = ~0U};
    struct iol_error err = {0};

    options.rules.rules = state->rule;
    options.rules.n = state->rule ? 1 : 0;
    options.comms = &nobody;
    options.n_comms = state->filtered ? 1 : 0;
    if (state->kind == CAPTURE && iol_capture_open(&options, &state->capture, &err) < 0) {
        fprintf(stderr, "hotpath: %s\n", err.text);
        exit(1);
    }
}

static void close_state(struct state *state)
{
    iol_capture_close(state->capture);
    state->capture = NULL;
}

/* A new program each time, as it is no work. Returns what closes it again. */
static int attach_floor(void)
{
    int program = load_empty_program(), link = bpf_raw_tracepoint_open("sys_exit", program);

    if (program < 0 || link < 0)
        fail("cannot attach an empty program");
    close(program);
    return link;
}

static void ask(int to, int from, double ns[CALLS])
{
    if (write(to, "", 1) != 1 || read(from, ns, CALLS * sizeof(*ns)) != (ssize_t)(CALLS * sizeof(*ns)))
        fail("the child is gone");
}

/* `ret_nothing`: what the calls cost afterwards. */
static void measure(struct state *state, int to, int from, size_t round, double ret_nothing[CALLS])
{
    struct iol_error err = {0};
    double ns[CALLS];
    int link = state->kind == FLOOR ? attach_floor() : -1;

    if (state->kind == CAPTURE && iol_capture_attach(state->capture, ignore_record, NULL, &err) < 0) {
        fprintf(stderr, "hotpath: %s\n", err.text);
        exit(1);
    }
    ask(to, from, ns); /* accounts are opened, caches filled */
    if (state->kind == CAPTURE)
        iol_capture_poll(state->capture, 0, ignore_record, NULL);
    ask(to, from, ns);
    if (state->kind == CAPTURE) {
        iol_capture_detach(state->capture);
        iol_capture_poll(state->capture, 0, ignore_record, NULL);
    }
    if (link >= 0)
        close(link);
    ask(to, from, ret_nothing); /* the kernel is still at taking the hook away */
    ask(to, from, ret_nothing);
    for (size_t call = 0; call < CALLS; call++)
        state->ns[call][round] = ns[call];
}

static void measure_all(int to, int from, size_t round)
{
    double nothing[IOL_ARRAY_SIZE(states)][CALLS], of_call[IOL_ARRAY_SIZE(states)];

    for (size_t i = 0; i < IOL_ARRAY_SIZE(states); i++) {
        size_t s = (i + round) % IOL_ARRAY_SIZE(states);

        measure(&states[s], to, from, round, nothing[s]);
    }
    for (size_t call = 0; call < CALLS; call++) {
        for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++)
            of_call[s] = nothing[s][call];
        for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++)
            states[s].added[call][round] = states[s].ns[call][round] - median(of_call, IOL_ARRAY_SIZE(states));
    }
}

/* Rounds from `first` to `end`, with programs and a process of their own. */
static void measure_rounds(const char *path, long n, size_t first, size_t end)
{
    int to[2], from[2], cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    pid_t child;

    if (pipe2(to, O_CLOEXEC) < 0 || pipe2(from, O_CLOEXEC) < 0 || (child = fork()) < 0)
        fail("cannot start a child");
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bind_to(cpus - 1);
        serve(to[0], from[1], path, n);
    }
    bind_to(0);
    for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++)
        open_state(&states[(s + first / ROUNDS_IN_A_ROW) % IOL_ARRAY_SIZE(states)]);
    for (size_t round = first; round < end; round++)
        measure_all(to[1], from[0], round);
    for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++)
        close_state(&states[s]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
}

static void report(size_t rounds)
{
    for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++) {
        for (size_t call = 0; call < CALLS; call++)
            printf("%s %s %.1f %.1f\n", states[s].name, call_names[call], median(states[s].ns[call], rounds),
                   median(states[s].added[call], rounds));
    }
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 2 ? (size_t)atol(argv[2]) : 61;
    long n = argc > 3 ? atol(argv[3]) : 10000;

    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX || n < 1) {
        fprintf(stderr, "usage: hotpath FILE [ROUNDS [CALLS]]\n");
        return 2;
    }
    for (size_t round = 0; round < rounds; round += ROUNDS_IN_A_ROW)
        measure_rounds(argv[1], n, round, rounds - round < ROUNDS_IN_A_ROW ? rounds : round + ROUNDS_IN_A_ROW);
    report(rounds);
    return 0;
}
