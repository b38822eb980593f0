// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_aio FOLDER: Linux AIO (io_submit) in all its forms, each request with a size of its own. An operation is in
 * the books when its event has been fetched.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "aio.h"

#define SIZE 10000
#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *folder;
static char buf[SIZE];

static void buffered(void)
{
    struct account in, out;
    int r = new_hole(&in, folder, "buffered_in", SIZE), w = new_hole(&out, folder, "buffered_out", 0);
    struct iovec parts[2] = {{buf, 3}, {buf + 3, 4}};
    aio_context_t context = aio_init(32);
    const struct aio_request requests[] = {
        {"PREAD", IOCB_CMD_PREAD, r, buf, 11, 0, &in, NULL, 11},
        {"partial PREAD", IOCB_CMD_PREAD, r, buf, 1000, SIZE - 12, &in, NULL, 12},
        {"PREAD at the end", IOCB_CMD_PREAD, r, buf, 1000, SIZE, &in, NULL, 0},
        {"PREAD of 0 bytes", IOCB_CMD_PREAD, r, buf, 0, 0, &in, NULL, 0},
        {"PREADV", IOCB_CMD_PREADV, r, parts, 2, 9, &in, NULL, 7},
        {"PWRITE", IOCB_CMD_PWRITE, w, buf, 21, 50, NULL, &out, 21},
        {"PWRITEV", IOCB_CMD_PWRITEV, w, parts, 2, 9, NULL, &out, 7},
        {"PWRITE of 0 bytes", IOCB_CMD_PWRITE, w, buf, 0, 0, NULL, &out, 0},
    };
    for (size_t i = 0; i < N(requests); i++) {
        aio_submit(context, &requests[i], 1);
        must_return("io_getevents", (ssize_t)aio_fetch(context, 1, 1), 1);
    }
    report("buffered", &in);
    report("buffered", &out);
    aio_done(context);
}

/* A batch over several files, fetched in several calls, by either of them. */
static void batches(void)
{
    struct account accounts[4];
    struct aio_request requests[12];
    const char *const names[4] = {"batch_0", "batch_1", "batch_2", "batch_3"};
    aio_context_t context = aio_init(32);
    for (unsigned i = 0; i < N(requests); i++) {
        struct account *a = &accounts[i % 4];
        int fd = i < 4 ? new_hole(a, folder, names[i], SIZE) : requests[i - 4].fd;
        bool writes = i % 3 == 0;
        requests[i] = (struct aio_request){"of a batch",
                                           writes ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                                           fd,
                                           buf,
                                           100 + i,
                                           i,
                                           writes ? NULL : a,
                                           writes ? a : NULL,
                                           100 + (long)i};
    }
    aio_submit(context, requests, N(requests));
    size_t fetched = aio_fetch(context, 1, 5);
    fetched += aio_fetch_masked(context, 1, 3);
    while (fetched < N(requests)) {
        fetched += aio_fetch(context, 1, 2);
    }
    for (size_t i = 0; i < 4; i++) {
        report("batches", &accounts[i]);
    }
    aio_done(context);
}

/* Past the page cache: in flight when the call returns, and ended by the disk. EINVAL: a size that no disk can read. */
static void direct(void)
{
    struct account a;
    char *aligned = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    close(new_hole(&a, folder, "direct", 0));
    int fd = open(a.path, O_RDWR | O_DIRECT);
    if (fd < 0) {
        note("direct", "absent");
        return;
    }
    struct iovec parts[2] = {{aligned, 4096}, {aligned + 8192, 8192}};
    const struct aio_request first = {"direct PWRITE", IOCB_CMD_PWRITE, fd, aligned, 65536, 0, NULL, &a, 65536};
    const struct aio_request requests[] = {
        {"direct PREAD", IOCB_CMD_PREAD, fd, aligned, 8192, 0, &a, NULL, 8192},
        {"direct PREAD at the end", IOCB_CMD_PREAD, fd, aligned, 65536, 65536 - 4096, &a, NULL, 4096},
        {"direct PREADV", IOCB_CMD_PREADV, fd, parts, 2, 4096, &a, NULL, 12288},
        {"direct PWRITEV", IOCB_CMD_PWRITEV, fd, parts, 2, 4096, NULL, &a, 12288},
        {"direct PREAD of an odd size", IOCB_CMD_PREAD, fd, aligned + 1, 13, 1, &a, NULL, AIO_ANY},
    };
    aio_context_t context = aio_init(32);
    aio_submit(context, &first, 1);
    aio_fetch(context, 1, 1);
    aio_submit(context, requests, N(requests));
    for (size_t fetched = 0; fetched < N(requests);) {
        fetched += aio_fetch(context, 1, 3);
    }
    report("direct", &a);
    aio_done(context);
}

/* Refused by io_submit, which is no operation; and accepted, to fail later. */
static void errors(void)
{
    struct account a, only_write, zero = {.path = "/dev/zero", .kind = "chr"};
    int fd = new_hole(&a, folder, "errors", SIZE), z = (int)must(open(zero.path, O_RDWR), zero.path);
    const char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    close(new_hole(&only_write, folder, "errors_write", SIZE));
    int w = (int)must(open(only_write.path, O_WRONLY), only_write.path);
    aio_context_t context = aio_init(8);
    const struct aio_request no_descriptor = {"no descriptor", IOCB_CMD_PREAD, 9999, buf, 5, 0, NULL, NULL, AIO_ANY};
    const struct aio_request no_reader = {"open for writing", IOCB_CMD_PREAD, w, buf, 5, 0, NULL, NULL, AIO_ANY};
    const struct aio_request no_op = {"no such command", 77, fd, buf, 5, 0, NULL, NULL, AIO_ANY};
    must_fail("io_submit of no descriptor", aio_try(context, &no_descriptor), EBADF);
    must_fail("io_submit of what is open for writing", aio_try(context, &no_reader), EBADF);
    must_fail("io_submit of no command", aio_try(context, &no_op), EINVAL);
    const struct aio_request requests[] = {
        {"PREAD into no memory", IOCB_CMD_PREAD, fd, bad, 31, 0, &a, NULL, -EFAULT},
        {"PWRITE from no memory", IOCB_CMD_PWRITE, fd, bad, 32, 0, NULL, &a, -EFAULT},
        {"PREAD of a device", IOCB_CMD_PREAD, z, buf, 33, 0, &zero, NULL, 33},
    };
    aio_submit(context, requests, N(requests));
    for (size_t fetched = 0; fetched < N(requests);) {
        fetched += aio_fetch(context, 1, 8);
    }
    report("errors", &a);
    report("errors", &only_write);
    report("errors", &zero);
    aio_done(context);
}

/* Two iocbs, the second of which is refused: the call submits the first and says 1. */
static void half_a_batch(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "half_a_batch", SIZE);
    aio_context_t context = aio_init(8);
    const struct aio_request good = {"the good one", IOCB_CMD_PREAD, fd, buf, 41, 0, &a, NULL, 41};
    const struct aio_request bad = {"the bad one", IOCB_CMD_PREAD, 9999, buf, 42, 0, NULL, NULL, AIO_ANY};
    aio_submit_half(context, &good, &bad);
    must_return("io_getevents", (ssize_t)aio_fetch(context, 1, 8), 1);
    report("half_a_batch", &a);
    aio_done(context);
}

/* The kernel has copied the iocbs: a program may use their memory for something else before it fetches the events. */
static void forgotten(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "forgotten", SIZE);
    aio_context_t context = aio_init(8);
    const struct aio_request requests[] = {
        {"PREAD without iocb", IOCB_CMD_PREAD, fd, buf, 51, 0, &a, NULL, 51},
        {"PWRITE without iocb", IOCB_CMD_PWRITE, fd, buf, 52, 0, NULL, &a, 52},
    };
    aio_submit_forgotten(context, requests, N(requests));
    for (size_t fetched = 0; fetched < N(requests);) {
        fetched += aio_fetch(context, 1, 8);
    }
    report("forgotten", &a);
    aio_done(context);
}

/* FSYNC and POLL have events too, and are no file I/O. */
static void others(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "others", SIZE), counter = (int)must(eventfd(5, 0), "eventfd");
    aio_context_t context = aio_init(8);
    const struct aio_request requests[] = {
        {"FSYNC", IOCB_CMD_FSYNC, fd, NULL, 0, 0, NULL, NULL, AIO_ANY},
        {"FDSYNC", IOCB_CMD_FDSYNC, fd, NULL, 0, 0, NULL, NULL, AIO_ANY},
        {"POLL", 5, counter, (void *)1, 0, 0, NULL, NULL, AIO_ANY}, /* IOCB_CMD_POLL, 4.18 */
    };
    aio_submit(context, requests, N(requests));
    for (size_t fetched = 0; fetched < N(requests);) {
        fetched += aio_fetch(context, 1, 8);
    }
    report("others", &a);
    aio_done(context);
}

struct part {
    aio_context_t submits, fetches;
    int fd;
    struct account account;
};

/* Submits to one context and fetches from another, into which the other thread submits: whoever fetches is the same process. */
static void *exchange(void *arg)
{
    enum { ROUNDS = 50, TIMES = 200 };
    struct part *part = arg;
    unsigned fetched = 0;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < TIMES; i++) {
            const struct aio_request request = {"of a thread",  IOCB_CMD_PREAD, part->fd,   buf, 1 + i, 0,
                                                &part->account, NULL,           1 + (long)i};
            aio_submit(part->submits, &request, 1);
        }
        while (fetched < round * TIMES) {
            fetched += (unsigned)aio_fetch(part->fetches, 1, 7);
        }
    }
    return NULL;
}

static void threads(void)
{
    struct account both, second;
    struct part parts[2] = {0};
    pthread_t thread;
    aio_context_t one = aio_init(512), other = aio_init(512);
    parts[0] = (struct part){.submits = one, .fetches = other, .fd = new_hole(&both, folder, "threads", SIZE)};
    parts[1] = (struct part){.submits = other, .fetches = one, .fd = new_hole(&second, folder, "threads_2", SIZE)};
    if (pthread_create(&thread, NULL, exchange, &parts[0])) {
        die("pthread_create");
    }
    exchange(&parts[1]);
    pthread_join(thread, NULL);
    count_add(&both, &parts[0].account);
    count_add(&second, &parts[1].account);
    report("threads", &both);
    report("threads", &second);
    aio_done(one);
    aio_done(other);
}

/* Events that are taken from the ring in memory: an operation shows when its iocb is used again, without its bytes. */
static void from_the_ring(void)
{
    enum { TIMES = 100 };
    struct account a;
    int fd = new_hole(&a, folder, "from_the_ring", SIZE);
    aio_context_t context = aio_init(8);
    const struct aio_request request = {"PREAD of one iocb", IOCB_CMD_PREAD, fd, buf, 61, 0, NULL, NULL, 61};
    aio_resubmit(context, &request, TIMES);
    for (unsigned i = 0; i < TIMES - 1; i++) {
        count_read(&a, ROUTE_RW, 0);
    }
    report("from_the_ring", &a);
    aio_done(context);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: workload_aio FOLDER");
    }
    folder = argv[1];
    note("start", "-");
    buffered();
    batches();
    direct();
    errors();
    half_a_batch();
    forgotten();
    others();
    threads();
    from_the_ring();
    return 0;
}
