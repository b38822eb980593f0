// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Nanoseconds for each of some cheap system calls, in a tight loop: `calls N FILE` prints "name ns" lines. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

static void report(const char *name, double start, long n)
{
    printf("%s %.2f\n", name, (clock_ns(CLOCK_MONOTONIC) - start) / (double)n);
}

int main(int argc, char **argv)
{
    long n = argc > 1 ? atol(argv[1]) : 1000000;
    int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
    int file = open(argc > 2 ? argv[2] : argv[0], O_RDONLY);
    ssize_t sum = 0;
    double start;
    char byte;

    if (zero < 0 || null < 0 || file < 0) {
        perror("open");
        return 1;
    }
    start = clock_ns(CLOCK_MONOTONIC);
    for (long i = 0; i < n; i++)
        sum += read(zero, &byte, 1);
    report("read_zero", start, n);
    start = clock_ns(CLOCK_MONOTONIC);
    for (long i = 0; i < n; i++)
        sum += pread(file, &byte, 1, 0);
    report("pread_file", start, n);
    start = clock_ns(CLOCK_MONOTONIC);
    for (long i = 0; i < n; i++)
        sum += write(null, &byte, 1);
    report("write_null", start, n);
    start = clock_ns(CLOCK_MONOTONIC);
    for (long i = 0; i < n; i++)
        sum += syscall(SYS_getppid);
    report("getppid", start, n);
    return sum > 0 ? 0 : 1;
}
