// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_churn CONTROL FOLDER HOLDERS FILES
 *
 * HOLDERS forks each open FOLDER/0 ... FOLDER/(FILES-1), which exist, and read one byte of each and of all of them again
 * whenever control.rounds goes up: so there are HOLDERS * FILES live (process, file) pairs. control.read counts the
 * reads they have done; a round is over when it has grown by HOLDERS * FILES.
 *
 * The first process forks short-lived children until control.want of them have been forked, at most control.rate a second
 * (0: as fast as it can). Child number i, from 0 on, reads i % 100 + 1 bytes of FOLDER/(i % FILES) and writes 1 + i % 7 bytes
 * to FOLDER/sink; it makes a file FOLDER/new-i, writes one byte to it and removes it, and exits. control.done counts those that have ended. All ends when control.stop is set.
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

#define MAX_HOLDERS 256
#define AT_ONCE 2 /* threads that have short-lived children */

struct control {
    _Atomic uint64_t stop;
    _Atomic uint64_t rounds;
    _Atomic uint64_t read;
    _Atomic uint64_t want;
    _Atomic uint64_t rate;
    _Atomic uint64_t done;
    _Atomic uint64_t ready; /* holders with all their files open */
    _Atomic uint64_t pids[1 + MAX_HOLDERS];
};

static struct control *control;
static const char *folder;
static size_t n_files;
static int sink;

static void hold(void)
{
    int *fds = calloc(n_files, sizeof(*fds));
    char path[4096], byte;
    for (size_t i = 0; i < n_files; i++) {
        snprintf(path, sizeof(path), "%s/%zu", folder, i);
        fds[i] = (int)must(open(path, O_RDONLY), path);
    }
    atomic_fetch_add(&control->ready, 1);
    for (uint64_t round = 0; !atomic_load(&control->stop);) {
        if (round == atomic_load(&control->rounds)) {
            usleep(2000);
            continue;
        }
        round++;
        for (size_t i = 0; i < n_files; i++) {
            must(pread(fds[i], &byte, 1, 0), "pread");
        }
        atomic_fetch_add(&control->read, n_files);
    }
    _exit(0);
}

static __attribute__((noinline, noreturn)) void live_shortly(uint64_t number)
{
    char path[4096], bytes[128];
    snprintf(path, sizeof(path), "%s/%zu", folder, (size_t)(number % n_files));
    int fd = (int)must(open(path, O_RDONLY), path);
    must(read(fd, bytes, number % 100 + 1), path);
    must(write(sink, bytes, number % 7 + 1), "sink");
    snprintf(path, sizeof(path), "%s/new-%lu", folder, number);
    fd = (int)must(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600), path);
    must(write(fd, bytes, 1), path);
    must(unlink(path), path);
    _exit(0);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Claims the number of the next child, when one is wanted and the rate permits it. */
static bool claim(uint64_t *ret_number)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t number, first, want;
    static double start;
    bool claimed;
    pthread_mutex_lock(&lock);
    uint64_t rate = atomic_load(&control->rate);
    if (want != atomic_load(&control->want)) { /* a new wish begins a new count */
        want = atomic_load(&control->want);
        first = number;
        start = seconds();
    }
    claimed = number < want && (!rate || (double)(number - first) <= (seconds() - start) * (double)rate);
    if (claimed) {
        *ret_number = number++;
    }
    pthread_mutex_unlock(&lock);
    return claimed;
}

/*
 * vfork, because copying the page tables of so many processes would take most of the time. Only the calling thread waits;
 * the child touches nothing but the stack below this frame.
 */
static void *churn(void *arg)
{
    uint64_t number;
    int status;
    (void)arg;
    while (!atomic_load(&control->stop)) {
        if (!claim(&number)) {
            usleep(500);
            continue;
        }
        pid_t pid = vfork();
        if (pid == 0) {
            live_shortly(number);
        }
        must(waitpid((pid_t)must(pid, "vfork"), &status, 0), "waitpid");
        if (status) {
            die("a child failed");
        }
        atomic_fetch_add(&control->done, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        fprintf(stderr, "usage: workload_churn CONTROL FOLDER HOLDERS FILES\n");
        return 64;
    }
    folder = argv[2];
    size_t n_holders = strtoul(argv[3], NULL, 10);
    n_files = strtoul(argv[4], NULL, 10);
    if (n_holders > MAX_HOLDERS) {
        die("too many holders");
    }
    struct rlimit files = {n_files + 64, n_files + 64};
    must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
    int fd = (int)must(open(argv[1], O_RDWR), argv[1]);
    control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) {
        die("mmap");
    }
    char path[4096];
    snprintf(path, sizeof(path), "%s/sink", folder);
    sink = (int)must(open(path, O_WRONLY | O_CREAT | O_APPEND, 0644), path);
    atomic_store(&control->pids[0], (uint64_t)getpid());
    pid_t holders[MAX_HOLDERS];
    for (size_t i = 0; i < n_holders; i++) {
        holders[i] = (pid_t)must(fork(), "fork");
        if (holders[i] == 0) {
            must(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
            hold();
        }
        atomic_store(&control->pids[1 + i], (uint64_t)holders[i]);
    }
    pthread_t threads[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++) {
        errno = pthread_create(&threads[i], NULL, churn, NULL);
        if (errno) {
            die("pthread_create");
        }
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < n_holders; i++) {
        int status;
        must(waitpid(holders[i], &status, 0), "waitpid");
    }
    return 0;
}
