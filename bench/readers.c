// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Reads that are known beforehand: `readers read|open N FOLDER FILES` reads 1 byte N times from each of FOLDER/0000,
 * FOLDER/0001, … and from /dev/zero, or opens each of them N times, as fast as it can. Their descriptors are
 * FIRST_FD and those that follow. Says on stdout its pid, the calls made, the nanoseconds of a call, the CPU
 * nanoseconds of a call, and the CPU seconds of the whole process. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

#define MOST_FILES 900
#define FIRST_FD 100 /* descriptors that nothing else in the process has had */

static char paths[MOST_FILES + 1][4096];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void open_as(const char *path, int fd)
{
    int opened = open(path, O_RDONLY | O_CLOEXEC);

    if (opened < 0 || dup3(opened, fd, O_CLOEXEC) < 0)
        fail(path);
    close(opened);
}

static void read_bytes(const char *path, int fd, long n)
{
    char byte;

    for (long i = 0; i < n; i++) {
        if (read(fd, &byte, 1) != 1)
            fail(path); /* it is shorter than n */
    }
}

static void open_and_close(const char *path, long n)
{
    for (long i = 0; i < n; i++) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
            fail(path);
        close(fd);
    }
}

int main(int argc, char **argv)
{
    long n = argc == 5 ? atol(argv[2]) : 0;
    int files = argc == 5 ? atoi(argv[4]) : 0;
    bool reads = argc == 5 && strcmp(argv[1], "read") == 0;
    double start, cpu;

    if (n < 1 || files < 1 || files > MOST_FILES) {
        fprintf(stderr, "usage: readers read|open N FOLDER FILES\n");
        return 2;
    }
    for (int i = 0; i < files; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%04d", argv[3], i);
    strcpy(paths[files], "/dev/zero");
    for (int i = 0; reads && i <= files; i++)
        open_as(paths[i], FIRST_FD + i);
    start = clock_ns(CLOCK_MONOTONIC);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i <= files; i++) {
        if (reads)
            read_bytes(paths[i], FIRST_FD + i, n);
        else
            open_and_close(paths[i], n);
    }
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    start = clock_ns(CLOCK_MONOTONIC) - start;
    n *= files + 1;
    printf("%d %ld %.2f %.2f %.6f\n", getpid(), n, start / (double)n, cpu / (double)n,
           clock_ns(CLOCK_PROCESS_CPUTIME_ID) / 1e9);
    return 0;
}
