// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * What a system call costs in a tight loop: with nothing attached, with the floor (an empty program on the same hook), and
 * with the programs of the recorder in several states. `hotpath FILE [LOADS [CALLS]]` prints one line for each load of the programs, state
 * and call: "STATE CALL NS ADDED"; ADDED is the difference to nothing.
 *
 * For each load all programs are loaded anew, and another process makes the calls: some nanoseconds depend on where in memory
 * they happen to lie, and on nothing else. What is told of a load is the fastest of its short loops, which are
 * spread over its turns: the others tell what else the machine has done meanwhile.
 *
 * The states take turns every few milliseconds, in one process, so that what else the machine does falls on all of them. None
 * is always loaded or measured behind the same other one: each time another begins.
 * The calls are made by a child: the recorder leaves itself out.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
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

#define TURNS 10 /* of a load, for each state */
#define LOOPS 20 /* of a turn, for each call */

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
    int program;      /* of the floor */
    double ns[CALLS]; /* the fastest of this load */
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

static void forget(double ns[CALLS])
{
    for (size_t call = 0; call < CALLS; call++)
        ns[call] = INFINITY;
}

static void keep_faster(double *fastest, double ns)
{
    if (ns < *fastest)
        *fastest = ns;
}

struct files {
    int zero, file, null;
};

static void make_call(const struct files *files, enum call call)
{
    char byte;

    switch (call) {
    case READ_ZERO:
        (void)!read(files->zero, &byte, 1);
        break;
    case PREAD_FILE:
        (void)!pread(files->file, &byte, 1, 0);
        break;
    case WRITE_NULL:
        (void)!write(files->null, "", 1);
        break;
    default:
        syscall(SYS_getppid);
    }
}

/* The child: for each byte on the pipe it makes n of each call, in short loops in turn, and answers with what one took in the fastest of them. */
static void serve(int in, int out, const char *path, long n)
{
    const struct files files = {open("/dev/zero", O_RDONLY | O_CLOEXEC), open(path, O_RDONLY | O_CLOEXEC),
                                open("/dev/null", O_WRONLY | O_CLOEXEC)};
    double start, ns[CALLS];
    char go;

    if (files.zero < 0 || files.null < 0 || files.file < 0)
        fail(path);
    while (read(in, &go, 1) == 1) {
        forget(ns);
        for (long loop = 0; loop < LOOPS * CALLS; loop++) {
            enum call call = loop % CALLS;

            start = clock_ns(CLOCK_MONOTONIC);
            for (long i = 0; i < n / LOOPS; i++)
                make_call(&files, call);
            keep_faster(&ns[call], (clock_ns(CLOCK_MONOTONIC) - start) / (double)(n / LOOPS));
        }
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
    if (state->kind == FLOOR && (state->program = load_empty_program()) < 0)
        fail("cannot load an empty program");
    forget(state->ns);
}

static void close_state(struct state *state)
{
    iol_capture_close(state->capture);
    state->capture = NULL;
    if (state->kind == FLOOR)
        close(state->program);
}

/* Returns what closes it again. */
static int attach_floor(const struct state *state)
{
    int link = bpf_raw_tracepoint_open("sys_exit", state->program);

    if (link < 0)
        fail("cannot attach an empty program");
    return link;
}

static void ask(int to, int from, double ns[CALLS])
{
    if (write(to, "", 1) != 1 || read(from, ns, CALLS * sizeof(*ns)) != (ssize_t)(CALLS * sizeof(*ns)))
        fail("the child is gone");
}

static void measure(struct state *state, int to, int from)
{
    struct iol_error err = {0};
    double ns[CALLS];
    int link = state->kind == FLOOR ? attach_floor(state) : -1;

    if (state->kind == CAPTURE && iol_capture_attach(state->capture, ignore_record, NULL, &err) < 0) {
        fprintf(stderr, "hotpath: %s\n", err.text);
        exit(1);
    }
    /* once for nothing: accounts are opened, caches filled, and the kernel may still be at taking the last hook away */
    ask(to, from, ns);
    if (state->kind == CAPTURE)
        iol_capture_poll(state->capture, 0, ignore_record, NULL);
    ask(to, from, ns);
    if (state->kind == CAPTURE) {
        iol_capture_detach(state->capture);
        iol_capture_poll(state->capture, 0, ignore_record, NULL);
    }
    if (link >= 0)
        close(link);
    for (size_t call = 0; call < CALLS; call++)
        keep_faster(&state->ns[call], ns[call]);
}

static void report(void)
{
    for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++) {
        for (size_t call = 0; call < CALLS; call++)
            printf("%s %s %.2f %.2f\n", states[s].name, call_names[call], states[s].ns[call],
                   states[s].ns[call] - states[0].ns[call]);
    }
}

/* With programs and a process of its own. */
static void measure_load(const char *path, long n, size_t load)
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
        open_state(&states[(s + load) % IOL_ARRAY_SIZE(states)]);
    for (size_t turn = 0; turn < TURNS; turn++) {
        for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++)
            measure(&states[(s + load + turn) % IOL_ARRAY_SIZE(states)], to[1], from[0]);
    }
    report();
    for (size_t s = 0; s < IOL_ARRAY_SIZE(states); s++)
        close_state(&states[s]);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
}

int main(int argc, char **argv)
{
    long loads = argc > 2 ? atol(argv[2]) : 61, n = argc > 3 ? atol(argv[3]) : 10000;

    if (argc < 2 || loads < 1 || n < LOOPS) {
        fprintf(stderr, "usage: hotpath FILE [LOADS [CALLS]]\n");
        return 2;
    }
    setlinebuf(stdout); /* a child is forked */
    for (long load = 0; load < loads; load++)
        measure_load(argv[1], n, (size_t)load);
    return 0;
}
