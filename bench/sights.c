// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * First sights: `sights FOLDER files N` opens, reads a byte of, and closes each of FOLDER/0 to FOLDER/(N-1), once;
 * `sights FOLDER processes N` forks processes, one after the other, that read a byte of FOLDER/0 and end. Prints "NS CPU_NS" of one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crowd.h"

struct times {
    double wall, cpu;
};

static double read_clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static struct times now(void)
{
    return (struct times){read_clock_ns(CLOCK_MONOTONIC), read_clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
}

static void report(struct times start, long n)
{
    struct times end = now();

    printf("%.1f %.1f\n", (end.wall - start.wall) / (double)n, (end.cpu - start.cpu) / (double)n);
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
        pid_t pid = fork();

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
    if (strcmp(argv[2], "files") == 0)
        see_files(atol(argv[3]));
    else
        see_processes(atol(argv[3]));
    return 0;
}
