// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_preempt FOLDER READS FORKS: threads that read hard on one CPU, and processes that start others there, while a thread
 * of a higher priority comes in between every tenth of a millisecond, reads, and starts processes too. Where the kernel
 * lets a thread be preempted within a hook, that happens now; and what the others do meanwhile must be in the books all the same.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

enum { READERS = 3, SIZE = 4096, PAUSE_NS = 100000, READS_AT_A_TIME = 3, WAKES_PER_FORK = 64 };

static const char *folder;
static long reads, forks;
static atomic_int busy = READERS + 1; /* threads of normal priority that are not done */

struct work {
    struct account account;
    int fd;
    pthread_t thread;
};

static void read_once(struct work *work)
{
    char byte;
    must_return("read", count_read(&work->account, ROUTE_RW, pread(work->fd, &byte, 1, 0)), 1);
}

static void *read_hard(void *arg)
{
    for (long i = 0; i < reads; i++) {
        read_once(arg);
    }
    atomic_fetch_sub(&busy, 1);
    return NULL;
}

/* A child that reads the file of its parent, and says so itself. */
static void start_child(const struct work *parent, const char *scenario)
{
    int status;
    pid_t child = fork();
    must(child, "fork");
    if (child == 0) {
        struct work mine = {.fd = parent->fd, .account = {.path = parent->account.path, .kind = "file"}};
        for (int i = 0; i < READS_AT_A_TIME; i++) {
            read_once(&mine);
        }
        report(scenario, &mine.account);
        _exit(0);
    }
    must(waitpid(child, &status, 0), "waitpid");
    must_return("a child", status, 0);
}

static void *fork_hard(void *arg)
{
    for (long i = 0; i < forks; i++) {
        start_child(arg, "forked");
    }
    atomic_fetch_sub(&busy, 1);
    return NULL;
}

static void *interrupt(void *arg)
{
    for (long wakes = 0; atomic_load(&busy); wakes++) {
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_NS}, NULL);
        for (int i = 0; i < READS_AT_A_TIME; i++) {
            read_once(arg);
        }
        if (wakes % WAKES_PER_FORK == 0) {
            start_child(arg, "forked_in_between");
        }
    }
    return NULL;
}

/* All of this process on the CPU that it is on now. */
static void stay_here(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)must(sched_getcpu(), "sched_getcpu"), &set);
    must(sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static void start(struct work *work, const char *name, int priority, void *(*run)(void *))
{
    pthread_attr_t attributes;
    work->fd = new_hole(&work->account, folder, name, SIZE);
    pthread_attr_init(&attributes);
    if (priority) {
        pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
        pthread_attr_setschedpolicy(&attributes, SCHED_FIFO);
        pthread_attr_setschedparam(&attributes, &(struct sched_param){.sched_priority = priority});
    }
    must(-pthread_create(&work->thread, &attributes, run, work), "pthread_create");
}

int main(int argc, char **argv)
{
    static struct work readers[READERS], forker, interrupter;
    if (argc != 4) {
        die("usage: workload_preempt FOLDER READS FORKS");
    }
    folder = argv[1];
    reads = atol(argv[2]);
    forks = atol(argv[3]);
    note("start", "-");
    stay_here();
    start(&interrupter, "interrupter", 10, interrupt);
    for (int i = 0; i < READERS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "reader%d", i);
        start(&readers[i], name, 0, read_hard);
    }
    start(&forker, "forker", 0, fork_hard);
    for (int i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        report("readers", &readers[i].account);
    }
    pthread_join(forker.thread, NULL);
    pthread_join(interrupter.thread, NULL);
    report("interrupter", &interrupter.account);
    return 0;
}
