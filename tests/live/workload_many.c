// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_many CONTROL FOLDER FILES PROCESSES THREADS SECONDS [reads]
 *
 * PROCESSES forks, each with THREADS threads, make 1-byte reads and writes as fast as they can on the files
 * FOLDER/0 ... FOLDER/(FILES-1), which exist. What each process did to each file is counted in CONTROL,
 * a file of the right size that everybody maps: a struct control, then counts[process][file].
 *
 * It starts when control.go is set and ends when SECONDS have passed (0: never) or control.stop is set. While
 * control.pause is set the threads stand still and control.parked counts those that do: then the counters are exact.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

struct control {
    _Atomic uint64_t go;
    _Atomic uint64_t stop;
    _Atomic uint64_t pause;
    _Atomic uint64_t parked;
    _Atomic uint64_t ready; /* processes with all their files open */
    _Atomic uint64_t pids[11];
};

/* The same order as the ledger's counters in livelib.py. */
struct shared_counts {
    _Atomic uint64_t read_ops, read_bytes, read_errors, write_ops, write_bytes, write_errors;
};

static struct control *control;
static struct shared_counts *counts; /* of this process */
static int *fds;
static size_t n_files;
static bool only_reads;

static void add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static void wait_until_set(_Atomic uint64_t *flag)
{
    while (!atomic_load(flag) && !atomic_load(&control->stop)) {
        usleep(1000);
    }
}

static void park(void)
{
    add(&control->parked, 1);
    while (atomic_load(&control->pause) && !atomic_load(&control->stop)) {
        usleep(1000);
    }
    atomic_fetch_sub(&control->parked, 1);
}

static void book(struct shared_counts *file, bool is_read, ssize_t ret)
{
    if (ret < 0) {
        add(is_read ? &file->read_errors : &file->write_errors, 1);
    } else {
        add(is_read ? &file->read_ops : &file->write_ops, 1);
        add(is_read ? &file->read_bytes : &file->write_bytes, (uint64_t)ret);
    }
}

static void *work(void *arg)
{
    uint64_t random = (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u + (uint64_t)getpid();
    wait_until_set(&control->go);
    while (!atomic_load_explicit(&control->stop, memory_order_relaxed)) {
        if (atomic_load_explicit(&control->pause, memory_order_relaxed)) {
            park();
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t i = (size_t)(random >> 20) % n_files;
        char byte = 'x';
        switch (only_reads ? 0 : random & 3) {
        case 0:
            book(&counts[i], true, pread(fds[i], &byte, 1, 0));
            break;
        case 1:
            book(&counts[i], true, read(fds[i], &byte, 1));
            break;
        case 2:
            book(&counts[i], false, pwrite(fds[i], &byte, 1, 7));
            break;
        case 3:
            book(&counts[i], false, write(fds[i], &byte, 1));
            break;
        }
    }
    return NULL;
}

static void run_process(const char *folder, size_t n_threads)
{
    char path[4096];
    fds = calloc(n_files, sizeof(*fds));
    for (size_t i = 0; i < n_files; i++) {
        snprintf(path, sizeof(path), "%s/%zu", folder, i);
        fds[i] = (int)must(open(path, only_reads ? O_RDONLY : O_RDWR), path);
    }
    add(&control->ready, 1);
    pthread_t threads[64];
    for (size_t i = 0; i < n_threads; i++) {
        errno = pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1));
        if (errno) {
            die("pthread_create");
        }
    }
    for (size_t i = 0; i < n_threads; i++) {
        pthread_join(threads[i], NULL);
    }
    _exit(0);
}

static void sleep_or_stop(double seconds)
{
    wait_until_set(&control->go);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        usleep(10000);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (
        !atomic_load(&control->stop) &&
        (seconds <= 0 || (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9 < seconds));
    atomic_store(&control->stop, 1);
}

int main(int argc, char **argv)
{
    if (argc < 7) {
        fprintf(stderr, "usage: workload_many CONTROL FOLDER FILES PROCESSES THREADS SECONDS [reads]\n");
        return 64;
    }
    n_files = strtoul(argv[3], NULL, 10);
    size_t n_processes = strtoul(argv[4], NULL, 10);
    size_t n_threads = strtoul(argv[5], NULL, 10);
    only_reads = argc > 7;
    size_t size = sizeof(struct control) + n_processes * n_files * sizeof(struct shared_counts);
    if (n_processes > sizeof(control->pids) / sizeof(control->pids[0]) || n_threads > 64) {
        die("too many processes or threads");
    }

    struct rlimit files = {n_files + 64, n_files + 64};
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    int fd = (int)must(open(argv[1], O_RDWR), argv[1]);
    must(ftruncate(fd, (off_t)size), argv[1]);
    control = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) {
        die("mmap");
    }
    for (size_t i = 0; i < n_processes; i++) {
        counts = (struct shared_counts *)(control + 1) + i * n_files;
        pid_t pid = (pid_t)must(fork(), "fork");
        if (pid == 0) {
            must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
            run_process(argv[2], n_threads);
        }
        atomic_store(&control->pids[i], (uint64_t)pid);
    }
    sleep_or_stop(strtod(argv[6], NULL));
    int failed = 0;
    for (size_t i = 0; i < n_processes; i++) {
        int status;
        must(wait(&status), "wait");
        failed |= status;
    }
    return failed != 0;
}
