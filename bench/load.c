// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * `load FOLDER FILES PROCESSES [RATE SECONDS]` starts the processes, says "ready", and for each line on stdin they read:
 * without RATE each a byte of each of FOLDER/0 ..., once; else RATE preads of 1 byte a second together, 0 being as many as
 * they can, each process from its share of the files, or all from all when there are too few. The answer is a line
 * "OPERATIONS SECONDS CPU_NS": made, in what time, and the CPU time of one.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"

#define NS 1000000000LL
#define TICK_NS 1000000LL /* between two looks at the clock, where the rate does not ask for fewer */
#define UNPACED 1000      /* reads between two looks at the clock */

struct result {
    int64_t operations, ns, cpu_ns;
};

struct load {
    int *fds;
    size_t files, processes;
    int64_t rate, duration_ns;
    struct result *results; /* shared, one for each process */
};

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return now.tv_sec * NS + now.tv_nsec;
}

static void read_one(int fd)
{
    char byte;

    if (pread(fd, &byte, 1, 0) < 0)
        crowd_fail("pread");
}

static struct result now(void)
{
    return (struct result){0, read_clock(CLOCK_MONOTONIC), read_clock(CLOCK_PROCESS_CPUTIME_ID)};
}

static void report_to(struct result *result, struct result start, int64_t operations)
{
    struct result end = now();

    *result = (struct result){operations, end.ns - start.ns, end.cpu_ns - start.cpu_ns};
}

static void read_all(size_t index, void *arg)
{
    const struct load *load = arg;
    struct result start = now();

    for (size_t i = 0; i < load->files; i++)
        read_one(load->fds[i]);
    report_to(&load->results[index], start, (int64_t)load->files);
}

static void sleep_until(int64_t ns)
{
    const struct timespec time = {ns / NS, ns % NS};

    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* How many reads of the process are due so long after the start. Its share of the rate comes at moments of its own. */
static int64_t due(const struct load *load, size_t index, int64_t ns)
{
    if (ns >= load->duration_ns)
        ns = load->duration_ns;
    return (int64_t)(((double)ns * (double)load->rate / (double)NS + (double)load->processes - 1 - (double)index) /
                     (double)load->processes);
}

static int64_t next_look(const struct load *load, size_t index, int64_t done, int64_t ns)
{
    double next = ((double)((done + 1) * (int64_t)load->processes) - (double)load->processes + 1 + (double)index) *
                  (double)NS / (double)load->rate;

    return next > (double)(ns + TICK_NS) ? (int64_t)next + 1 : ns + TICK_NS;
}

static void read_at_rate(size_t index, void *arg)
{
    const struct load *load = arg;
    size_t own = load->files / load->processes, n = own ? own : load->files;
    const int *fds = load->fds + (own ? index * own : 0);
    struct result start = now();
    int64_t done = 0, ns = 0;

    for (;;) {
        int64_t until = load->rate ? due(load, index, ns) : INT64_MAX;

        for (int64_t i = 0; i < UNPACED && done < until; i++, done++)
            read_one(fds[(size_t)done % n]);
        if (ns >= load->duration_ns)
            break;
        if (done >= until) {
            int64_t next = next_look(load, index, done, ns);

            sleep_until(start.ns + (next < load->duration_ns ? next : load->duration_ns));
        }
        ns = read_clock(CLOCK_MONOTONIC) - start.ns;
    }
    report_to(&load->results[index], start, done);
}

static void report(const struct load *load)
{
    struct result sum = {0};

    for (size_t i = 0; i < load->processes; i++) {
        sum.operations += load->results[i].operations;
        sum.cpu_ns += load->results[i].cpu_ns;
        if (load->results[i].ns > sum.ns)
            sum.ns = load->results[i].ns;
    }
    printf("%lld %.3f %.1f\n", (long long)sum.operations, (double)sum.ns / (double)NS,
           sum.operations ? (double)sum.cpu_ns / (double)sum.operations : 0);
}

int main(int argc, char **argv)
{
    struct load load = {0};
    struct crowd *crowd;
    char line[16];

    if (argc != 4 && argc != 6) {
        fprintf(stderr, "usage: load FOLDER FILES PROCESSES [RATE SECONDS]\n");
        return 2;
    }
    load.files = (size_t)atol(argv[2]);
    load.processes = (size_t)atol(argv[3]);
    load.fds = crowd_open_files(argv[1], load.files);
    load.results = crowd_shared(load.processes * sizeof(*load.results));
    if (argc == 6) {
        load.rate = atoll(argv[4]);
        load.duration_ns = (int64_t)(atof(argv[5]) * (double)NS);
    }
    crowd = crowd_start(load.processes, argc == 6 ? read_at_rate : read_all, &load);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        crowd_turn(crowd);
        report(&load);
        fflush(stdout);
    }
    crowd_end(crowd);
    return 0;
}
