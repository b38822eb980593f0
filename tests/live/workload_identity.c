// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_identity fork FILE SIZE          a fork reads SIZE times one byte and never calls exec; so does its parent, once
 * workload_identity thread FILE SIZE        a thread other than the main one reads; the main one reads once
 * workload_identity thread-exec FILE CMD... a thread other than the main one reads once, then calls exec
 * workload_identity fork-thread FILE SIZE   a thread other than the main one forks; the child reads
 * workload_identity vfork FILE CMD...       a vfork that calls exec; the parent reads once
 * workload_identity chain FILE N            reads N bytes, then calls exec on itself with N-1, down to 0
 * workload_identity reuse FOLDER            two forks get the same pid one after the other, each reads a file of its own
 * workload_identity reuse-namespace FOLDER N pid_max  the same in a pid namespace, N forks
 * workload_identity end exit|SIGNAL NUMBER  ends so
 * workload_identity exec-fail CMD...        calls exec on each of CMD, which must fail; notes the errno
 *
 * Each process reports what it did under its own pid (see workload.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

static char **args;

/* Reads the file's first byte `times` times, booked for this process. */
static void read_times(const char *path, long times)
{
    struct account account = {.path = path, .kind = "file"};
    int fd = (int)must(open(path, O_RDONLY), path);
    char byte;
    for (long i = 0; i < times; i++) {
        must(count_read(&account, ROUTE_RW, pread(fd, &byte, 1, 0)), path);
    }
    close(fd);
    report(args[1], &account);
}

static void wait_for_child(pid_t pid)
{
    int status;
    must(waitpid(pid, &status, 0), "waitpid");
    if (status) {
        die("the child ended with %d", status);
    }
}

static void do_fork(void)
{
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        read_times(args[2], atol(args[3]));
        _exit(0);
    }
    wait_for_child(pid);
    read_times(args[2], 1);
}

static void *read_in_thread(void *arg)
{
    (void)arg;
    read_times(args[2], atol(args[3]));
    return NULL;
}

static void *exec_in_thread(void *arg)
{
    (void)arg;
    read_times(args[2], 1);
    execv(args[3], args + 3);
    die("%s", args[3]);
}

static void *fork_in_thread(void *arg)
{
    (void)arg;
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        read_times(args[2], atol(args[3]));
        _exit(0);
    }
    wait_for_child(pid);
    return NULL;
}

static void in_thread(void *(*function)(void *))
{
    pthread_t thread;
    errno = pthread_create(&thread, NULL, function, NULL);
    if (errno) {
        die("pthread_create");
    }
    pthread_join(thread, NULL);
}

static void do_thread(void)
{
    in_thread(read_in_thread);
    /* The main thread's own read is one more on the same account: reported apart, added up by the test. */
    read_times(args[2], 1);
}

static void do_thread_exec(void)
{
    in_thread(exec_in_thread);
}

static void do_fork_thread(void)
{
    in_thread(fork_in_thread);
}

static void do_vfork(void)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execv(args[3], args + 3);
        _exit(71);
    }
    wait_for_child((pid_t)must(pid, "vfork"));
    read_times(args[2], 1);
}

static void do_chain(void)
{
    long left = atol(args[3]);
    read_times(args[2], left);
    if (left > 0) {
        char next[24];
        snprintf(next, sizeof(next), "%ld", left - 1);
        execl("/proc/self/exe", args[0], args[1], args[2], next, NULL);
        die("exec");
    }
}

/* The fork of which the file FOLDER/NUMBER is read, NUMBER times and once more. */
static pid_t fork_reader(const char *folder, int number)
{
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%d", folder, number);
        read_times(path, number + 1);
        _exit(0);
    }
    return pid;
}

static bool ask_for_next_pid(pid_t pid)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
    if (!file) {
        return false;
    }
    fprintf(file, "%d", pid - 1);
    return fclose(file) == 0;
}

static void do_reuse(void)
{
    pid_t first = fork_reader(args[2], 0);
    wait_for_child(first);
    /* At most once around all pids, should somebody else take the one that was asked for. */
    for (long i = 0; i < 200000; i++) {
        ask_for_next_pid(first);
        int ends[2];
        must(pipe(ends), "pipe");
        pid_t pid = (pid_t)must(fork(), "fork");
        if (pid == 0) {
            char path[4096];
            if (getpid() == first) {
                snprintf(path, sizeof(path), "%s/1", args[2]);
                read_times(path, 2);
            }
            _exit(0);
        }
        close(ends[0]);
        close(ends[1]);
        wait_for_child(pid);
        if (pid == first) {
            note(args[1], "reused");
            return;
        }
    }
    note(args[1], "absent");
}

/* As the first process of a new pid namespace: forks until pids have come again and again. */
static void reuse_in_namespace(int forks, const char *pid_max)
{
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "make / private");
    must(mount("proc", "/proc", "proc", 0, NULL), "mount /proc");
    /* Kernels since 6.14 have a pid_max for each namespace; others are asked for the pid each time. */
    FILE *file = fopen("/proc/sys/kernel/pid_max", "r");
    long limit = 0;
    (void)!fscanf(file, "%ld", &limit);
    fclose(file);
    bool own_limit = false;
    if (getenv("IOLEDGER_PID_MAX_IS_OURS")) {
        file = fopen("/proc/sys/kernel/pid_max", "w");
        fprintf(file, "%s", pid_max);
        own_limit = fclose(file) == 0;
    }
    bool seen[65536] = {false};
    int again = 0;
    for (int i = 0; i < forks; i++) {
        if (!own_limit && i % 2) {
            ask_for_next_pid(2);
        }
        pid_t pid = fork_reader(args[2], i);
        again += seen[pid];
        seen[pid] = true;
        wait_for_child(pid);
    }
    char word[64];
    snprintf(word, sizeof(word), "%d", again);
    note(args[1], word);
}

static void do_reuse_namespace(void)
{
    must(unshare(CLONE_NEWPID | CLONE_NEWNS), "unshare");
    pid_t pid = (pid_t)must(fork(), "fork");
    if (pid == 0) {
        reuse_in_namespace(atoi(args[3]), args[4]);
        _exit(0);
    }
    wait_for_child(pid);
}

static void do_end(void)
{
    struct rlimit none = {0, 0};
    must(setrlimit(RLIMIT_CORE, &none), "setrlimit");
    if (strcmp(args[2], "exit") == 0) {
        exit(atoi(args[3]));
    }
    signal(atoi(args[3]), SIG_DFL);
    raise(atoi(args[3]));
    pause();
}

static void do_exec_fail(void)
{
    for (char **arg = args + 2; *arg; arg++) {
        execl(*arg, *arg, NULL);
        char word[64];
        snprintf(word, sizeof(word), "%d", errno);
        note(args[1], word);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int argc;
        void (*function)(void);
    } table[] = {
        {"fork", 4, do_fork},
        {"thread", 4, do_thread},
        {"thread-exec", 4, do_thread_exec},
        {"fork-thread", 4, do_fork_thread},
        {"vfork", 4, do_vfork},
        {"chain", 4, do_chain},
        {"reuse", 3, do_reuse},
        {"reuse-namespace", 5, do_reuse_namespace},
        {"end", 4, do_end},
        {"exec-fail", 3, do_exec_fail},
    };
    args = argv;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (argc >= table[i].argc && strcmp(argv[1], table[i].name) == 0) {
            note(argv[1], "started");
            table[i].function();
            return 0;
        }
    }
    fprintf(stderr, "usage: see the head of workload_identity.c\n");
    return 64;
}
