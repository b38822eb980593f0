// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_race FOLDER TIMES NAMES: while one thread sleeps in a call, another makes its descriptor name a regular file,
 * or nothing. The call goes on with the file that it began with, and that one must be in the books. NAMES is `grouped`,
 * or `each` when the recorder keeps an account for each pipe.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "workload.h"

enum { VICTIM = 200, PIPE_SIZE = 4096 };

/* What the thread that sleeps shall do, and has done. */
static struct {
    sem_t go, done;
    ssize_t (*call)(void);
    int number; /* of the system call */
    ssize_t ret;
    int syscall_file; /* /proc/self/task/TID/syscall */
} sleeper;

static const char *folder;
static int times;
static bool each;
static int decoy, target;
static char buf[65536];

static ssize_t do_read(void)
{
    return read(VICTIM, buf, 500);
}

static ssize_t do_readv(void)
{
    return readv(VICTIM, &(struct iovec){buf, 500}, 1);
}

static ssize_t do_write(void)
{
    return write(VICTIM, buf, 100);
}

static ssize_t do_splice_from(void)
{
    return splice(VICTIM, NULL, target, NULL, 500, 0);
}

static ssize_t do_splice_to(void)
{
    return splice(target, NULL, VICTIM, NULL, 500, 0);
}

static ssize_t do_sendfile_to(void)
{
    off_t offset = 0;
    return sendfile(VICTIM, target, &offset, 100);
}

static void *sleep_and_call(void *arg)
{
    char path[64];
    (void)arg;
    snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", gettid());
    sleeper.syscall_file = (int)must(open(path, O_RDONLY), path);
    sem_post(&sleeper.done);
    for (;;) {
        sem_wait(&sleeper.go);
        sleeper.ret = sleeper.call();
        sem_post(&sleeper.done);
    }
    return NULL;
}

/* Waits until the task is asleep in that call: before that, the call may not have looked its descriptor up. */
static void wait_asleep(int syscall_file, int number)
{
    char wanted[16], text[64];
    int n = snprintf(wanted, sizeof(wanted), "%d ", number);
    do {
        must(pread(syscall_file, text, sizeof(text), 0), "read of what a thread does");
    } while (strncmp(text, wanted, (size_t)n) != 0);
}

/* The ways in which a descriptor comes to mean something else. */
static void swap_dup2(void)
{
    must(dup2(decoy, VICTIM), "dup2");
}

static void swap_close(void)
{
    must(close(VICTIM), "close");
}

static void swap_reopen(void)
{
    must(close(VICTIM), "close");
    must_return("F_DUPFD", fcntl(decoy, F_DUPFD, VICTIM), VICTIM);
}

static void swap_close_range(void)
{
    must(syscall(SYS_close_range, VICTIM, VICTIM, 0), "close_range");
}

static void (*const swaps[])(void) = {swap_dup2, swap_close, swap_reopen, swap_close_range};

enum { SWAPS = sizeof(swaps) / sizeof(swaps[0]) };

/* The account of what a descriptor is open for, by the kernel's own name of it; of all pipes when they are not kept apart. */
static struct account account_of(int fd, const char *kind)
{
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = must(readlink(link, path, sizeof(path) - 1), link);
    path[n] = 0;
    if (!each && strcmp(kind, "pipe") == 0) {
        return (struct account){.path = "(pipes)", .kind = kind};
    }
    return (struct account){.path = strdup(path), .kind = kind};
}

static struct account decoy_account(const char *name)
{
    struct account a;
    decoy = new_hole(&a, folder, name, 10000);
    return a;
}

/* The decoy is used too, so that it has an account. */
static void report_decoy(const char *scenario, struct account *a)
{
    must_return("read of the decoy", count_read(a, ROUTE_RW, pread(decoy, buf, 7, 0)), 7);
    report(scenario, a);
    close(decoy);
}

/* fd becomes the victim; the call sleeps in it; the victim becomes something else. The caller then wakes the call up. */
static void sleep_on(int fd, ssize_t (*call)(void), int number, int i)
{
    must(dup2(fd, VICTIM), "dup2");
    sleeper.call = call;
    sem_post(&sleeper.go);
    wait_asleep(sleeper.syscall_file, number);
    swaps[i % SWAPS]();
}

static ssize_t woken(void)
{
    sem_wait(&sleeper.done);
    close(VICTIM);
    return sleeper.ret;
}

/* A call that reads from what has no data yet. */
static void reads(const char *scenario, int from, int to, const char *kind, ssize_t (*call)(void), int number)
{
    struct account in = account_of(from, kind), out = account_of(to, kind), unused = decoy_account(scenario);
    size_t size = strcmp(kind, "anon") == 0 ? 8 : 77;
    struct account *written = strcmp(in.path, out.path) == 0 ? &in : &out;
    memset(buf, 1, size);
    for (int i = 0; i < times; i++) {
        sleep_on(from, call, number, i);
        must_return("write", count_write(written, ROUTE_RW, write(to, buf, size)), (ssize_t)size);
        must_return(scenario, count_read(&in, ROUTE_RW, woken()), (ssize_t)size);
    }
    report(scenario, &in);
    if (written == &out) {
        report(scenario, &out);
    }
    report_decoy(scenario, &unused);
}

static void pipe_reads(void)
{
    int ends[2];
    must(pipe(ends), "pipe");
    reads("pipe_read", ends[0], ends[1], "pipe", do_read, SYS_read);
    must(pipe(ends), "pipe");
    reads("pipe_readv", ends[0], ends[1], "pipe", do_readv, SYS_readv);
}

static void other_reads(void)
{
    int counter = (int)must(eventfd(0, 0), "eventfd"), master = posix_openpt(O_RDWR | O_NOCTTY);
    struct termios raw;
    reads("eventfd_read", counter, counter, "anon", do_read, SYS_read);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0) {
        note("pty_read", "absent");
        return;
    }
    int slave = (int)must(open(ptsname(master), O_RDWR | O_NOCTTY), ptsname(master));
    must(tcgetattr(slave, &raw), "tcgetattr");
    cfmakeraw(&raw);
    must(tcsetattr(slave, TCSANOW, &raw), "tcsetattr");
    reads("pty_read", master, slave, "chr", do_read, SYS_read);
}

static void fill(int fd, struct account *a)
{
    must(fcntl(fd, F_SETPIPE_SZ, PIPE_SIZE), "F_SETPIPE_SZ");
    must_return("write that fills", count_write(a, ROUTE_RW, write(fd, buf, PIPE_SIZE)), PIPE_SIZE);
}

/* A write to a full pipe. */
static void pipe_write(void)
{
    int ends[2];
    must(pipe(ends), "pipe");
    struct account a = account_of(ends[1], "pipe"), unused = decoy_account("pipe_write");
    for (int i = 0; i < times; i++) {
        fill(ends[1], &a);
        sleep_on(ends[1], do_write, SYS_write, i);
        must_return("read", count_read(&a, ROUTE_RW, read(ends[0], buf, PIPE_SIZE)), PIPE_SIZE);
        must_return("pipe_write", count_write(&a, ROUTE_RW, woken()), 100);
        must_return("read", count_read(&a, ROUTE_RW, read(ends[0], buf, PIPE_SIZE)), 100);
    }
    report("pipe_write", &a);
    report_decoy("pipe_write", &unused);
}

/* The two sides of a splice: the pipe that has no data yet, and the file that waits for them. */
static void splice_sides(const char *scenario, bool swap_pipe)
{
    struct account out;
    int ends[2], fd = new_hole(&out, folder, swap_pipe ? "splice_from_out" : "splice_to_out", 0);
    must(pipe(ends), "pipe");
    struct account a = account_of(ends[0], "pipe"), unused = decoy_account(scenario);
    for (int i = 0; i < times; i++) {
        target = swap_pipe ? fd : ends[0];
        sleep_on(swap_pipe ? ends[0] : fd, swap_pipe ? do_splice_from : do_splice_to, SYS_splice, i);
        must_return("write", count_write(&a, ROUTE_RW, write(ends[1], buf, 77)), 77);
        ssize_t ret = woken();
        must_return(scenario, ret, 77);
        count_read(&a, ROUTE_SPLICE, ret);
        count_write(&out, ROUTE_SPLICE, ret);
    }
    report(scenario, &a);
    report(scenario, &out);
    report_decoy(scenario, &unused);
}

/* sendfile to a full pipe. */
static void sendfile_to(void)
{
    struct account in;
    int ends[2];
    target = new_hole(&in, folder, "sendfile_in", 10000);
    must(pipe(ends), "pipe");
    struct account a = account_of(ends[1], "pipe"), unused = decoy_account("sendfile_to");
    for (int i = 0; i < times; i++) {
        fill(ends[1], &a);
        sleep_on(ends[1], do_sendfile_to, SYS_sendfile, i);
        must_return("read", count_read(&a, ROUTE_RW, read(ends[0], buf, PIPE_SIZE)), PIPE_SIZE);
        ssize_t ret = woken();
        must_return("sendfile_to", ret, 100);
        count_read(&in, ROUTE_SENDFILE, ret);
        count_write(&a, ROUTE_SENDFILE, ret);
        must_return("read", count_read(&a, ROUTE_RW, read(ends[0], buf, PIPE_SIZE)), 100);
    }
    report("sendfile_to", &a);
    report("sendfile_to", &in);
    report_decoy("sendfile_to", &unused);
}

/* A signal ends the call: an error of the pipe, not of the file that its descriptor has become. */
static void interrupted(pthread_t thread)
{
    int ends[2];
    must(pipe(ends), "pipe");
    struct account a = account_of(ends[0], "pipe"), unused = decoy_account("interrupted");
    for (int i = 0; i < times; i++) {
        sleep_on(ends[0], do_read, SYS_read, i);
        pthread_kill(thread, SIGUSR1);
        must_return("read that a signal ends", count_read(&a, ROUTE_RW, woken()), -1);
    }
    report("interrupted", &a);
    report_decoy("interrupted", &unused);
}

static void on_signal(int number)
{
    (void)number;
}

/* The same between two processes that share nothing but their descriptors (CLONE_FILES). */
static void shared_table(void)
{
    int ends[2], status;
    char path[64];
    must(pipe(ends), "pipe");
    struct account a = account_of(ends[0], "pipe"), unused = decoy_account("shared_table");
    for (int i = 0; i < times; i++) {
        must(dup2(ends[0], VICTIM), "dup2");
        pid_t child = (pid_t)must(syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0), "clone");
        if (child == 0) {
            struct account mine = a;
            mine.routes[ROUTE_RW] = (struct counts){0};
            must_return("shared_table", count_read(&mine, ROUTE_RW, do_read()), 77);
            report("shared_table", &mine);
            _exit(0);
        }
        snprintf(path, sizeof(path), "/proc/%d/syscall", child);
        int file = (int)must(open(path, O_RDONLY), path);
        wait_asleep(file, SYS_read);
        close(file);
        swaps[i % SWAPS]();
        must_return("write", count_write(&a, ROUTE_RW, write(ends[1], buf, 77)), 77);
        must(waitpid(child, &status, 0), "waitpid");
        must_return("a child", status, 0);
        close(VICTIM);
    }
    report("shared_table", &a);
    report_decoy("shared_table", &unused);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc != 4) {
        die("usage: workload_race FOLDER TIMES grouped|each");
    }
    folder = argv[1];
    times = atoi(argv[2]);
    each = strcmp(argv[3], "each") == 0;
    note("start", "-");
    must(sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL), "sigaction");
    sem_init(&sleeper.go, 0, 0);
    sem_init(&sleeper.done, 0, 0);
    if (pthread_create(&thread, NULL, sleep_and_call, NULL)) {
        die("pthread_create");
    }
    sem_wait(&sleeper.done);
    pipe_reads();
    other_reads();
    pipe_write();
    splice_sides("splice_from", true);
    splice_sides("splice_to", false);
    sendfile_to();
    interrupted(thread);
    shared_table();
    return 0;
}
