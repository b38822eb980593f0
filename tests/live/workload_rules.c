// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * What test_rules.py asks for, where many operations or exact ones are needed:
 *
 *   workload_rules series FILE N      the N operations of operation_of() there, the last THREAD_PART of them by a second thread
 *   workload_rules reads FILE N       N reads of one byte
 *   workload_rules touch N FILE...    in each file, that is created, N writes and N reads of one byte
 *   workload_rules pipe N             N writes to and N reads of a pipe, of one byte
 *   workload_rules serve FILE         for each line "N" on stdin N reads of FILE, that stays open, and the line "done"
 *   workload_rules spin FILE CONTROL  reads FILE, that stays open, and counts in CONTROL (struct control) until it says stop
 *
 * Each prints "PID TID" when it begins, series then the id of its second thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "workload.h"

#define THREAD_PART 1000

static void *volatile nowhere = (void *)8; /* an address that the compiler knows nothing of */

struct control {
    _Atomic uint64_t done;
    _Atomic uint64_t stop;
};

static void one(ssize_t got, ssize_t want, const char *what)
{
    if (got != want) {
        die("%s returned %zd, not %zd", what, got, want);
    }
}

/* Operation i of a series: what series_of() in test_rules.py says of it. */
static void operation(int fd, uint64_t i)
{
    char buf[4] = "";
    struct iovec part = {buf, 1};
    switch (i % 1000) {
    case 500:
        one(pread(fd, buf, 3, (off_t)(7 * i % 1000003)), 3, "pread");
        break;
    case 501:
        if (read(fd, nowhere, 1) != -1 || errno != EFAULT) {
            die("read into no memory");
        }
        break;
    case 502:
        one(pwrite(fd, buf, 2, (off_t)i), 2, "pwrite");
        break;
    case 503:
        one(preadv2(fd, &part, 1, -1, 0), 1, "preadv2");
        break;
    case 504:
        one(write(fd, buf, 1), 1, "write");
        break;
    case 505:
        if (pread(fd, buf, 1, -3) != -1 || errno != EINVAL) {
            die("pread at a negative offset");
        }
        break;
    default:
        one(read(fd, buf, 1), 1, "read");
    }
}

struct part {
    int fd;
    uint64_t from, to;
};

static void *run_part(void *arg)
{
    const struct part *part = arg;
    printf("%d\n", gettid());
    fflush(stdout);
    for (uint64_t i = part->from; i < part->to; i++) {
        operation(part->fd, i);
    }
    return NULL;
}

static void series(const char *path, uint64_t n)
{
    int fd = (int)must(open(path, O_RDWR | O_CREAT, 0644), path);
    must(ftruncate(fd, (off_t)(n + 2000000)), "ftruncate");
    struct part part = {fd, n - THREAD_PART, n};
    pthread_t thread;
    for (uint64_t i = 0; i < part.from; i++) {
        operation(fd, i);
    }
    if (pthread_create(&thread, NULL, run_part, &part) != 0) {
        die("pthread_create");
    }
    pthread_join(thread, NULL);
}

static void reads(const char *path, uint64_t n)
{
    int fd = (int)must(open(path, O_RDONLY), path);
    char c;
    for (uint64_t i = 0; i < n; i++) {
        one(pread(fd, &c, 1, 0), 1, path);
    }
}

static void touch(uint64_t n, char **paths)
{
    char c = 'x';
    for (; *paths; paths++) {
        int fd = (int)must(open(*paths, O_RDWR | O_CREAT, 0666), *paths);
        for (uint64_t i = 0; i < n; i++) {
            one(pwrite(fd, &c, 1, 0), 1, *paths);
            one(pread(fd, &c, 1, 0), 1, *paths);
        }
        close(fd);
    }
}

static void use_pipe(uint64_t n)
{
    int ends[2];
    char c = 'x';
    must(pipe(ends), "pipe");
    for (uint64_t i = 0; i < n; i++) {
        one(write(ends[1], &c, 1), 1, "write to a pipe");
        one(read(ends[0], &c, 1), 1, "read of a pipe");
    }
}

static void serve(const char *path)
{
    int fd = (int)must(open(path, O_RDONLY), path);
    char line[32], c;
    while (fgets(line, sizeof(line), stdin)) {
        for (unsigned long n = strtoul(line, NULL, 10); n > 0; n--) {
            one(pread(fd, &c, 1, 0), 1, path);
        }
        printf("done\n");
        fflush(stdout);
    }
}

static void spin(const char *path, const char *control_path)
{
    int fd = (int)must(open(path, O_RDONLY), path);
    int control_fd = (int)must(open(control_path, O_RDWR), control_path);
    struct control *control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, control_fd, 0);
    char c;
    if (control == MAP_FAILED) {
        die("mmap");
    }
    while (!atomic_load(&control->stop)) {
        one(pread(fd, &c, 1, 0), 1, path);
        atomic_fetch_add(&control->done, 1);
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 2 ? argv[1] : "";
    printf("%d %d\n", getpid(), gettid());
    fflush(stdout);
    if (strcmp(mode, "series") == 0 && argc == 4) {
        series(argv[2], strtoull(argv[3], NULL, 10));
    } else if (strcmp(mode, "reads") == 0 && argc == 4) {
        reads(argv[2], strtoull(argv[3], NULL, 10));
    } else if (strcmp(mode, "touch") == 0) {
        touch(strtoull(argv[2], NULL, 10), argv + 3);
    } else if (strcmp(mode, "pipe") == 0) {
        use_pipe(strtoull(argv[2], NULL, 10));
    } else if (strcmp(mode, "serve") == 0) {
        serve(argv[2]);
    } else if (strcmp(mode, "spin") == 0 && argc == 4) {
        spin(argv[2], argv[3]);
    } else {
        fprintf(stderr, "usage: see workload_rules.c\n");
        return 64;
    }
    return 0;
}
