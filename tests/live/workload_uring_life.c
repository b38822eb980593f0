// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_uring_life FOLDER: io_uring with all its kinds of rings, and with requests that outlive their submitter, are
 * cancelled, complete many times or unseen, or complete for another task than the one that reaps them.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uring.h"

#define SIZE 10000
#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *folder;
static char buf[SIZE];
static struct account pipes = {.path = "(pipes)", .kind = "pipe"};

/* The same few requests on a ring of each kind; a kernel that does not know one says so. */
static void ring_kinds(void)
{
    const struct {
        const char *name;
        unsigned flags;
    } kinds[] = {
        {"sqpoll", IORING_SETUP_SQPOLL},
        {"coop_taskrun", URING_SETUP_COOP_TASKRUN},
        {"single_issuer", URING_SETUP_SINGLE_ISSUER},
        {"defer_taskrun", URING_SETUP_SINGLE_ISSUER | URING_SETUP_DEFER_TASKRUN},
        {"cqe32", URING_SETUP_CQE32},
        {"sqe128", URING_SETUP_SQE128},
        {"sqe128_cqe32", URING_SETUP_SQE128 | URING_SETUP_CQE32},
        {"clamped", IORING_SETUP_CLAMP},
    };
    for (size_t i = 0; i < N(kinds); i++) {
        struct account a;
        struct uring ring;
        int fd = new_hole(&a, folder, kinds[i].name, SIZE), ends[2];
        must(pipe(ends), "pipe");
        if (uring_try(&ring, 8, kinds[i].flags) < 0) {
            note("ring_kinds", kinds[i].name);
            continue;
        }
        const struct request requests[] = {
            {"READ", IORING_OP_READ, 0, fd, buf, 11, 0, &a, NULL, 11},
            {"WRITE", IORING_OP_WRITE, 0, fd, buf, 12, 0, NULL, &a, 12},
            {"READ in a worker", IORING_OP_READ, IOSQE_ASYNC, fd, buf, 13, 0, &a, NULL, 13},
            {"partial READ", IORING_OP_READ, 0, fd, buf, 500, SIZE - 1, &a, NULL, 1},
            {"WRITE to a pipe", IORING_OP_WRITE, 0, ends[1], buf, 14, -1, NULL, &pipes, 14},
            {"READ of a pipe", IORING_OP_READ, 0, ends[0], buf, 500, -1, &pipes, NULL, 14},
        };
        uring_run(&ring, requests, N(requests));
        uring_run_each(&ring, requests, N(requests));
        report("ring_kinds", &a);
        uring_done(&ring);
    }
}

/* More completions than the queue holds: the kernel keeps them aside, and one that is counted on entering the queue twice. */
static void overflow(void)
{
    enum { REQUESTS = 40, ENTRIES = 2 };
    struct account a;
    struct uring ring;
    int fd = new_hole(&a, folder, "overflow", SIZE);
    uring_init(&ring, ENTRIES, 0);
    for (unsigned i = 0; i < REQUESTS; i++) {
        const struct request request = {"READ of many", IORING_OP_READ, 0, fd, buf, 100 + i, 0, &a,
                                        NULL,           100 + (long)i};
        uring_queue(&ring, &request);
        if (i % ENTRIES == ENTRIES - 1) {
            uring_submit(&ring);
        }
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        uring_reap(&ring);
    }
    report("overflow", &a);
    uring_done(&ring);
}

/*
 * Completions that nobody wanted: the operations are in the books, their bytes are not known. Linked, so that they are over.
 * An error is told all the same, after the request was counted as one whose success would not be: it is there twice.
 */
static void skip_success(void)
{
    struct account a;
    struct uring ring;
    const uint8_t skip = URING_SQE_CQE_SKIP_SUCCESS | IOSQE_IO_LINK;
    int fd = new_hole(&a, folder, "skip_success", SIZE);
    uring_init(&ring, 8, 0);
    if (!(ring.params.features & (1U << 11))) { /* IORING_FEAT_CQE_SKIP, 5.17 */
        note("skip_success", "absent");
        return;
    }
    const struct request unseen[] = {
        {"READ without completion", IORING_OP_READ, skip, fd, buf, 15, 0, &a, NULL, 15},
        {"WRITE without completion", IORING_OP_WRITE, skip, fd, buf, 16, 0, NULL, &a, 16},
    };
    const struct request last = {"READ behind them", IORING_OP_READ, 0, fd, buf, 17, 0, &a, NULL, 17};
    const struct request failing = {
        "READ that fails", IORING_OP_READ, skip & ~IOSQE_IO_LINK, fd, (char *)16, 18, 0, &a, NULL, -EFAULT};
    uring_queue(&ring, &unseen[0]);
    uring_queue(&ring, &unseen[1]);
    uring_run(&ring, &last, 1);
    uring_run(&ring, &failing, 1);
    count_read(&a, ROUTE_IO_URING, 0);
    count_write(&a, ROUTE_IO_URING, 0);
    count_read(&a, ROUTE_IO_URING, 0);
    report("skip_success", &a);
    note("skip_success", "3");
    uring_done(&ring);
}

/* One request, a completion for each piece of data that arrives, into buffers that were provided before. */
static void multishot(void)
{
    struct uring ring;
    int ends[2];
    const uint8_t select = IOSQE_BUFFER_SELECT;
    must(pipe(ends), "pipe");
    uring_init(&ring, 8, 0);
    const struct request provide = {"PROVIDE_BUFFERS", IORING_OP_PROVIDE_BUFFERS, 0, 8, buf, 512, 0, NULL, NULL, 0};
    const struct request chosen = {
        "READ into a provided buffer", IORING_OP_READ, select, ends[0], NULL, 500, -1, &pipes, NULL, 50};
    const struct request many = {"READ_MULTISHOT", URING_OP_READ_MULTISHOT, select, ends[0], NULL, 0, -1, &pipes, NULL,
                                 ANY_RESULT};
    uring_run(&ring, &provide, 1);
    must_return("write", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 50)), 50);
    uring_run(&ring, &chosen, 1);
    if (!uring_knows(&ring, URING_OP_READ_MULTISHOT)) {
        note("multishot", "absent");
        return;
    }
    uring_queue(&ring, &many);
    uring_submit(&ring);
    for (long i = 51; i < 54; i++) {
        must_return("write", count_write(&pipes, ROUTE_RW, write(ends[1], buf, (size_t)i)), i);
        must_return("READ_MULTISHOT", uring_reap(&ring), i);
    }
    close(ends[1]);
    must_return("READ_MULTISHOT at the end", uring_reap(&ring), 0);
    uring_done(&ring);
}

/* Cancelled by a timeout behind it and by a request: the first ends as an error of its file, the others are no file I/O. */
static void cancelled(void)
{
    struct uring ring;
    int ends[2];
    must(pipe(ends), "pipe");
    const struct __kernel_timespec soon = {.tv_nsec = 1000000};
    const struct request reading = {
        "READ that is cancelled", IORING_OP_READ, IOSQE_IO_LINK, ends[0], buf, 21, -1, &pipes, NULL, -ECANCELED};
    const struct request timeout = {"LINK_TIMEOUT", IORING_OP_LINK_TIMEOUT, 0, -1, &soon, 1, 0, NULL, NULL, ANY_RESULT};
    uring_init(&ring, 8, 0);
    uring_queue(&ring, &reading);
    uring_run(&ring, &timeout, 1);
    uring_reap(&ring);

    struct request alone = reading;
    alone.flags = 0;
    uint64_t name = uring_queue(&ring, &alone)->user_data;
    uring_submit(&ring);
    const struct request cancel = {
        "ASYNC_CANCEL", IORING_OP_ASYNC_CANCEL, 0, -1, (void *)(uintptr_t)name, 0, 0, NULL, NULL, ANY_RESULT};
    uring_run(&ring, &cancel, 1);
    uring_reap(&ring);
    uring_done(&ring);
}

struct submission {
    struct uring *ring;
    const struct request *requests;
    size_t n;
};

static void *submit(void *arg)
{
    struct submission *submission = arg;
    for (size_t i = 0; i < submission->n; i++) {
        uring_queue(submission->ring, &submission->requests[i]);
    }
    uring_submit(submission->ring);
    return NULL;
}

/* A thread that submits, and has ended when this returns. */
static void submit_elsewhere(struct uring *ring, const struct request *requests, size_t n)
{
    struct submission submission = {ring, requests, n};
    pthread_t thread;
    if (pthread_create(&thread, NULL, submit, &submission)) {
        die("pthread_create");
    }
    pthread_join(thread, NULL);
}

/* One thread submits, another reaps; and the submitter is gone before a request could end, which the kernel then cancels. */
static void other_threads(void)
{
    struct account a;
    struct uring ring;
    int fd = new_hole(&a, folder, "other_threads", SIZE), ends[2];
    must(pipe(ends), "pipe");
    const struct request done[] = {
        {"READ by a thread", IORING_OP_READ, 0, fd, buf, 31, 0, &a, NULL, 31},
        {"WRITE by a thread", IORING_OP_WRITE, 0, fd, buf, 32, 0, NULL, &a, 32},
    };
    const struct request waiting[] = {
        {"READ whose thread ends", IORING_OP_READ, 0, ends[0], buf, 33, -1, &pipes, NULL, ANY_RESULT},
        {"READ whose thread ends", IORING_OP_READ, 0, ends[0], buf, 34, -1, &pipes, NULL, ANY_RESULT},
    };
    uring_init(&ring, 8, 0);
    submit_elsewhere(&ring, done, N(done));
    uring_reap(&ring);
    uring_reap(&ring);
    submit_elsewhere(&ring, waiting, N(waiting));
    must_return("write", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 35)), 35);
    uring_reap(&ring);
    uring_reap(&ring);
    report("other_threads", &a);
    uring_done(&ring);
}

static void *keep_busy(void *arg)
{
    struct submission *mine = arg;
    for (int i = 0; i < 50; i++) {
        uring_run(mine->ring, mine->requests, mine->n);
    }
    return NULL;
}

/* A ring for each of some threads, all on one descriptor. Each has an account of its own: they are summed. */
static void several_rings(void)
{
    enum { RINGS = 4 };
    static struct uring rings[RINGS];
    static struct request requests[RINGS][2];
    struct account a, parts[RINGS] = {0};
    struct submission work[RINGS];
    pthread_t threads[RINGS];
    int fd = new_hole(&a, folder, "several_rings", SIZE);
    for (unsigned i = 0; i < RINGS; i++) {
        requests[i][0] =
            (struct request){"READ", IORING_OP_READ, 0, fd, buf, 100 + i, 0, &parts[i], NULL, 100 + (long)i};
        requests[i][1] =
            (struct request){"WRITE", IORING_OP_WRITE, 0, fd, buf, 200 + i, 0, NULL, &parts[i], 200 + (long)i};
        uring_init(&rings[i], 4, 0);
        work[i] = (struct submission){&rings[i], requests[i], 2};
        if (pthread_create(&threads[i], NULL, keep_busy, &work[i])) {
            die("pthread_create");
        }
    }
    for (unsigned i = 0; i < RINGS; i++) {
        pthread_join(threads[i], NULL);
        count_add(&a, &parts[i]);
        uring_done(&rings[i]);
    }
    report("several_rings", &a);
}

static void wait_for(pid_t child)
{
    int status;
    must(waitpid(child, &status, 0), "waitpid");
    if (status != 0) {
        die("a child ended with status %#x", status);
    }
}

/* One ring, two processes: what the child submits is the child's, whoever reaps it. */
static void forked(void)
{
    struct account a;
    struct uring ring;
    int fd = new_hole(&a, folder, "forked", SIZE);
    const struct request requests[] = {
        {"READ by the parent", IORING_OP_READ, 0, fd, buf, 41, 0, &a, NULL, 41},
        {"READ by the child", IORING_OP_READ, 0, fd, buf, 42, 0, &a, NULL, 42},
        {"READ by the child, reaped by the parent", IORING_OP_READ, 0, fd, buf, 43, 0, NULL, NULL, 43},
    };
    uring_init(&ring, 8, 0);
    pid_t child = (pid_t)must(fork(), "fork");
    if (child == 0) {
        uring_run(&ring, &requests[1], 1);
        uring_queue(&ring, &requests[2]);
        uring_submit(&ring);
        count_read(&a, ROUTE_IO_URING, 43);
        report("forked", &a);
        _exit(0);
    }
    wait_for(child);
    uring_skip(&ring, 43);
    uring_run(&ring, requests, 1);
    report("forked", &a);
    uring_done(&ring);
}

/* A process that ends while its requests wait: they end with it, and no read of anything has happened. */
static void exits_in_flight(void)
{
    int ends[2];
    must(pipe(ends), "pipe");
    pid_t child = (pid_t)must(fork(), "fork");
    if (child == 0) {
        const struct request requests[] = {
            {"READ in flight", IORING_OP_READ, 0, ends[0], buf, 51, -1, NULL, NULL, ANY_RESULT},
            {"READ in flight", IORING_OP_READ, 0, ends[0], buf, 52, -1, NULL, NULL, ANY_RESULT},
            {"READ in flight in a worker", IORING_OP_READ, IOSQE_ASYNC, ends[0], buf, 53, -1, NULL, NULL, ANY_RESULT},
        };
        struct uring ring;
        note("exits_in_flight", "3");
        uring_init(&ring, 8, 0);
        submit(&(struct submission){&ring, requests, N(requests)});
        _exit(0);
    }
    wait_for(child);
    must_return("write", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 54)), 54);
    must_return("read", count_read(&pipes, ROUTE_RW, read(ends[0], buf, 500)), 54);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: workload_uring_life FOLDER");
    }
    folder = argv[1];
    note("start", "-");
    ring_kinds();
    overflow();
    skip_success();
    multishot();
    cancelled();
    other_threads();
    several_rings();
    forked();
    exits_in_flight();
    report("whole", &pipes);
    return 0;
}
