// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * First sights: `sights FOLDER files N` opens, reads a byte of, and closes each of FOLDER/0 to FOLDER/(N-1), once;
 * `sights FOLDER processes N` makes processes, one after the other, that read a byte of FOLDER/0 and end. Prints "NS CPU_NS" of one.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"
#include "measure.h"

struct times {
    double wall, cpu;
};

static struct times now(void)
{
    struct rusage children;

    getrusage(RUSAGE_CHILDREN, &children);
    return (struct times){clock_ns(CLOCK_MONOTONIC),
                          clock_ns(CLOCK_PROCESS_CPUTIME_ID) +
                              (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1e9 +
                              (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec) * 1e3};
}

static void report(struct times start, long n)
{
    struct times end = now();

    printf("%.1f %.1f\n", (end.wall - start.wall) / (double)n, (end.cpu - start.cpu) / (double)n);
}

/* A child that moves to another CPU costs more than what is looked for. The last one: interrupts prefer the first. */
static void stay_on_one_cpu(void)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static void see_files(long n)
{
    struct times start;
    char name[32], byte;

    start = now();
    for (long i = 0; i < n; i++) {
        int fd;

        snprintf(name, sizeof(name), "%ld", i);
        fd = open(name, O_RDONLY);
        if (fd < 0 || read(fd, &byte, 1) < 0)
            crowd_fail(name);
        close(fd);
    }
    report(start, n);
}

static void see_processes(long n)
{
    int fd = open("0", O_RDONLY);
    struct times start = now();
    char byte;

    for (long i = 0; i < n; i++) {
        /* the cheapest of processes, so that what is added stands out: on Linux such a child may make system calls */
        pid_t pid = vfork();

        if (pid < 0)
            crowd_fail("cannot start a process");
        if (pid == 0)
            _exit(pread(fd, &byte, 1, 0) < 0);
        waitpid(pid, NULL, 0);
    }
    report(start, n);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: sights FOLDER files|processes N\n");
        return 2;
    }
    if (chdir(argv[1]) < 0)
        crowd_fail(argv[1]);
    stay_on_one_cpu();
    if (strcmp(argv[2], "files") == 0)
        see_files(atol(argv[3]));
    else
        see_processes(atol(argv[3]));
    return 0;
}
