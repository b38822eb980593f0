// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "crowd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct crowd {
    pthread_barrier_t begin, end;
    size_t n;
    pid_t pids[];
};

void crowd_fail(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

void *crowd_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        crowd_fail("no memory");
    return memory;
}

/* One that is gone never comes to the barrier: nobody shall wait for it. */
static void on_death(int signal)
{
    static const char text[] = "one of the processes has ended\n";

    (void)signal;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(1);
}

static void serve(struct crowd *crowd, pid_t parent, size_t index, crowd_work_fn *work, void *arg)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (;;) {
        pthread_barrier_wait(&crowd->begin);
        work(index, arg);
        pthread_barrier_wait(&crowd->end);
    }
}

struct crowd *crowd_start(size_t n, crowd_work_fn *work, void *arg)
{
    struct crowd *crowd = crowd_shared(sizeof(*crowd) + n * sizeof(crowd->pids[0]));
    pthread_barrierattr_t shared;
    pid_t parent = getpid();

    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&crowd->begin, &shared, (unsigned int)n + 1);
    pthread_barrier_init(&crowd->end, &shared, (unsigned int)n + 1);
    fflush(NULL);
    signal(SIGCHLD, on_death);
    for (size_t i = 0; i < n; i++) {
        pid_t pid = fork();

        if (pid < 0)
            crowd_fail("cannot start a process");
        if (pid == 0)
            serve(crowd, parent, i, work, arg);
        crowd->pids[crowd->n++] = pid;
    }
    return crowd;
}

void crowd_turn(struct crowd *crowd)
{
    pthread_barrier_wait(&crowd->begin);
    pthread_barrier_wait(&crowd->end);
}

void crowd_end(struct crowd *crowd)
{
    signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; i < crowd->n; i++)
        kill(crowd->pids[i], SIGKILL);
    for (size_t i = 0; i < crowd->n; i++)
        waitpid(crowd->pids[i], NULL, 0);
}

int *crowd_open_files(const char *folder, size_t n)
{
    int *fds = calloc(n, sizeof(*fds));
    struct rlimit limit;
    char path[4096];

    if (!fds)
        crowd_fail("no memory");
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%zu", folder, i);
        fds[i] = open(path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0)
            crowd_fail(path);
    }
    return fds;
}
