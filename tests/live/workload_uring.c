// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_uring FOLDER: every form in which io_uring reads and writes, each request with a size of its own, so that one
 * that is missed shows. What the rings' own life does to them is in workload_uring_life.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "uring.h"

#define SIZE 10000
#define N(array) (sizeof(array) / sizeof((array)[0]))

static const char *folder;
static char buf[SIZE];
static struct account pipes = {.path = "(pipes)", .kind = "pipe"};
static struct account sockets = {.path = "(sockets)", .kind = "socket"};
static struct account no_file = {.path = "(no open file)", .kind = "other"};

/* READ, WRITE, READV and WRITEV at an offset and at the file's own, to the end and beyond it. */
static void plain(void)
{
    struct account in, out;
    struct uring ring;
    int r = new_hole(&in, folder, "plain_in", SIZE), w = new_hole(&out, folder, "plain_out", 0);
    struct iovec parts[3] = {{buf, 3}, {buf + 3, 4}, {buf + 7, 100}};
    const struct request requests[] = {
        {"READ", IORING_OP_READ, 0, r, buf, 11, 100, &in, NULL, 11},
        {"READ at the file's own offset", IORING_OP_READ, 0, r, buf, 22, URING_AT_POSITION, &in, NULL, 22},
        {"READ of 0 bytes", IORING_OP_READ, 0, r, buf, 0, 0, &in, NULL, 0},
        {"partial READ at the end", IORING_OP_READ, 0, r, buf, 1000, SIZE - 17, &in, NULL, 17},
        {"READ at the end", IORING_OP_READ, 0, r, buf, 1000, SIZE, &in, NULL, 0},
        {"READ beyond the end", IORING_OP_READ, 0, r, buf, 1000, 5L * SIZE, &in, NULL, 0},
        {"READV", IORING_OP_READV, 0, r, parts, 2, 9, &in, NULL, 7},
        {"READV at the file's own offset", IORING_OP_READV, 0, r, parts, 3, URING_AT_POSITION, &in, NULL, 107},
        {"READV of no parts", IORING_OP_READV, 0, r, parts, 0, 0, &in, NULL, 0},
        {"partial READV", IORING_OP_READV, 0, r, parts, 3, SIZE - 50, &in, NULL, 50},
        {"WRITE", IORING_OP_WRITE, 0, w, buf, 33, 50000, NULL, &out, 33},
        {"WRITE at the file's own offset", IORING_OP_WRITE, 0, w, buf, 44, URING_AT_POSITION, NULL, &out, 44},
        {"WRITE of 0 bytes", IORING_OP_WRITE, 0, w, buf, 0, 0, NULL, &out, 0},
        {"WRITEV", IORING_OP_WRITEV, 0, w, parts, 2, 9, NULL, &out, 7},
        {"WRITEV at the file's own offset", IORING_OP_WRITEV, 0, w, parts, 3, URING_AT_POSITION, NULL, &out, 107},
    };
    uring_init(&ring, 16, 0);
    uring_run_each(&ring, requests, N(requests));
    report("plain", &in);
    report("plain", &out);
    uring_done(&ring);
}

/* READ_FIXED and WRITE_FIXED: buffers that the kernel has mapped before. */
static void fixed_buffers(void)
{
    struct account in, out;
    struct uring ring;
    int r = new_hole(&in, folder, "fixed_in", SIZE), w = new_hole(&out, folder, "fixed_out", 0);
    const struct iovec buffers[2] = {{buf, 4096}, {buf + 4096, 4096}};
    const struct request requests[] = {
        {"READ_FIXED", IORING_OP_READ_FIXED, 0, r, buf, 111, 5, &in, NULL, 111},
        {"READ_FIXED at the file's own offset", IORING_OP_READ_FIXED, 0, r, buf + 50, 222, -1, &in, NULL, 222},
        {"partial READ_FIXED", IORING_OP_READ_FIXED, 0, r, buf, 4096, SIZE - 3, &in, NULL, 3},
        {"WRITE_FIXED", IORING_OP_WRITE_FIXED, 0, w, buf, 333, 0, NULL, &out, 333},
    };
    uring_init(&ring, 16, 0);
    uring_register(&ring, IORING_REGISTER_BUFFERS, buffers, 2);
    uring_run(&ring, requests, N(requests));
    struct request second = {"of the second buffer", IORING_OP_READ_FIXED, 0, r, buf + 4096, 444, 0, &in, NULL, 444};
    uring_queue(&ring, &second)->buf_index = 1;
    second = (struct request){"of the second buffer", IORING_OP_WRITE_FIXED, 0, w, buf + 5000, 555, 0, NULL, &out, 555};
    uring_queue(&ring, &second)->buf_index = 1;
    uring_submit(&ring);
    uring_reap(&ring);
    uring_reap(&ring);
    report("fixed_buffers", &in);
    report("fixed_buffers", &out);
    uring_done(&ring);
}

/* READV_FIXED and WRITEV_FIXED, of 6.15: vectors into such buffers. */
static void fixed_vectors(void)
{
    struct account in, out;
    struct uring ring;
    int r = new_hole(&in, folder, "fixed_vectors_in", SIZE), w = new_hole(&out, folder, "fixed_vectors_out", 0);
    const struct iovec buffer = {buf, SIZE}, parts[2] = {{buf, 31}, {buf + 100, 35}};
    const struct request requests[] = {
        {"READV_FIXED", URING_OP_READV_FIXED, 0, r, parts, 2, 0, &in, NULL, 66},
        {"WRITEV_FIXED", URING_OP_WRITEV_FIXED, 0, w, parts, 1, 0, NULL, &out, 31},
    };
    uring_init(&ring, 16, 0);
    if (!uring_knows(&ring, URING_OP_WRITEV_FIXED)) {
        note("fixed_vectors", "absent");
        return;
    }
    uring_register(&ring, IORING_REGISTER_BUFFERS, &buffer, 1);
    uring_run_each(&ring, requests, N(requests));
    report("fixed_vectors", &in);
    report("fixed_vectors", &out);
    uring_done(&ring);
}

/* Requests name a slot of the ring's table, whose files have no descriptor any more, and change while the ring is used. */
static void registered_files(void)
{
    struct account first, second, third;
    struct uring ring;
    int fds[3] = {new_hole(&first, folder, "registered_1", SIZE), new_hole(&second, folder, "registered_2", SIZE), -1};
    int later = new_hole(&third, folder, "registered_3", SIZE);
    const struct request requests[] = {
        {"READ of slot 0", IORING_OP_READ, IOSQE_FIXED_FILE, 0, buf, 61, 0, &first, NULL, 61},
        {"READ of slot 1", IORING_OP_READ, IOSQE_FIXED_FILE, 1, buf, 62, 0, &second, NULL, 62},
        {"WRITE to slot 1", IORING_OP_WRITE, IOSQE_FIXED_FILE, 1, buf, 63, 0, NULL, &second, 63},
        {"READ of slot 1 in a worker", IORING_OP_READ, IOSQE_FIXED_FILE | IOSQE_ASYNC, 1, buf, 64, 0, &second, NULL,
         64},
        {"READ of an empty slot", IORING_OP_READ, IOSQE_FIXED_FILE, 2, buf, 65, 0, &no_file, NULL, -EBADF},
        {"READ of no slot", IORING_OP_READ, IOSQE_FIXED_FILE, 3, buf, 66, 0, &no_file, NULL, -EBADF},
    };
    const struct request updated[] = {
        {"READ of slot 0 updated", IORING_OP_READ, IOSQE_FIXED_FILE, 0, buf, 67, 0, &third, NULL, 67},
        {"WRITE to slot 1", IORING_OP_WRITE, IOSQE_FIXED_FILE, 1, buf, 68, 0, NULL, &second, 68},
    };
    uring_init(&ring, 16, 0);
    uring_register(&ring, IORING_REGISTER_FILES, fds, 3);
    close(fds[0]);
    close(fds[1]);
    uring_run(&ring, requests, N(requests));
    struct io_uring_files_update update = {.offset = 0, .fds = (uintptr_t)&later};
    uring_register(&ring, IORING_REGISTER_FILES_UPDATE, &update, 1);
    close(later);
    uring_run(&ring, updated, N(updated));
    report("registered_files", &first);
    report("registered_files", &second);
    report("registered_files", &third);
    uring_done(&ring);
}

/* Chains: each waits for the one before it. A short read or an error breaks one, but not one of hard links. */
static void links(void)
{
    struct account in, out;
    struct uring ring;
    int r = new_hole(&in, folder, "links_in", SIZE), w = new_hole(&out, folder, "links_out", 0);
    const uint8_t link = IOSQE_IO_LINK, hard = IOSQE_IO_HARDLINK;
    const char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const struct request requests[] = {
        {"first of three", IORING_OP_READ, link, r, buf, 31, 0, &in, NULL, 31},
        {"second of three", IORING_OP_WRITE, link, w, buf, 32, 0, NULL, &out, 32},
        {"third of three", IORING_OP_READ, 0, w, buf, 33, 0, &out, NULL, 32},
        {"short read", IORING_OP_READ, link, r, buf, 100, SIZE - 5, &in, NULL, 5},
        {"behind the short read", IORING_OP_READ, link, r, buf, 34, 0, &no_file, NULL, -ECANCELED},
        {"and behind that", IORING_OP_WRITE, 0, w, buf, 35, 0, NULL, &no_file, -ECANCELED},
        {"no such descriptor", IORING_OP_READ, link, 9999, buf, 36, 0, &no_file, NULL, -EBADF},
        {"behind no such descriptor", IORING_OP_WRITE, 0, w, buf, 37, 0, NULL, &no_file, -ECANCELED},
        {"short read, hard link", IORING_OP_READ, hard, r, buf, 100, SIZE - 6, &in, NULL, 6},
        {"behind it", IORING_OP_READ, hard, r, bad, 38, 0, &in, NULL, -EFAULT},
        {"behind the error", IORING_OP_READ, 0, r, buf, 39, 0, &in, NULL, 39},
    };
    const struct request drained[] = {
        {"before", IORING_OP_READ, IOSQE_ASYNC, r, buf, 41, 0, &in, NULL, 41},
        {"after what went before", IORING_OP_READ, IOSQE_IO_DRAIN, r, buf, 42, 0, &in, NULL, 42},
    };
    uring_init(&ring, 16, 0);
    uring_run(&ring, requests, N(requests));
    uring_run(&ring, drained, N(drained));
    report("links", &in);
    report("links", &out);
    uring_done(&ring);
}

/* In a worker of the kernel's: a thread of this process that is none of its own. */
static void workers(void)
{
    struct account in, out;
    struct uring ring;
    int r = new_hole(&in, folder, "workers_in", SIZE), w = new_hole(&out, folder, "workers_out", 0);
    const uint8_t async = IOSQE_ASYNC, both = IOSQE_ASYNC | IOSQE_IO_LINK;
    struct iovec part = {buf, 73};
    const struct request requests[] = {
        {"READ in a worker", IORING_OP_READ, async, r, buf, 71, 0, &in, NULL, 71},
        {"WRITE in a worker", IORING_OP_WRITE, async, w, buf, 72, 0, NULL, &out, 72},
        {"READV in a worker", IORING_OP_READV, async, r, &part, 1, 0, &in, NULL, 73},
        {"partial READ in a worker", IORING_OP_READ, async, r, buf, 700, SIZE - 7, &in, NULL, 7},
        {"no descriptor for a worker", IORING_OP_READ, async, 9999, buf, 74, 0, &no_file, NULL, -EBADF},
        {"READ in a worker", IORING_OP_READ, both, r, buf, 75, 0, &in, NULL, 75},
        {"and WRITE behind it", IORING_OP_WRITE, async, w, buf, 76, 0, NULL, &out, 76},
    };
    uring_init(&ring, 16, 0);
    uring_run(&ring, requests, N(requests));
    report("workers", &in);
    report("workers", &out);
    uring_done(&ring);
}

/* Past the page cache: completed by the disk's interrupt, whatever task that one hits. */
static void direct(void)
{
    struct account a;
    struct uring ring;
    char *aligned = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    close(new_hole(&a, folder, "direct", 0));
    int fd = open(a.path, O_RDWR | O_DIRECT);
    if (fd < 0) {
        note("direct", "absent");
        return;
    }
    const struct request requests[] = {
        {"direct WRITE", IORING_OP_WRITE, IOSQE_IO_LINK, fd, aligned, 65536, 0, NULL, &a, 65536},
        {"direct READ", IORING_OP_READ, 0, fd, aligned, 8192, 0, &a, NULL, 8192},
        {"direct READ at the end", IORING_OP_READ, 0, fd, aligned, 65536, 65536 - 4096, &a, NULL, ANY_RESULT},
    };
    uring_init(&ring, 16, 0);
    uring_run_each(&ring, requests, 1);
    uring_run(&ring, requests + 1, N(requests) - 1);
    for (unsigned i = 0; i < 16; i++) {
        const struct request one = {
            "direct READ of many", IORING_OP_READ, 0, fd, aligned, 4096, i * 4096UL, &a, NULL, 4096};
        uring_queue(&ring, &one);
    }
    uring_submit(&ring);
    for (unsigned i = 0; i < 16; i++) {
        uring_reap(&ring);
    }
    report("direct", &a);
    uring_done(&ring);
}

/*
 * What cannot be done at once is done when poll says so. The data comes with system calls, after the submission. Each reader has a pipe of its
 * own: where pipes are not read without waiting (before 6.4), io_arm_poll_handler() gives up after 128 tries, and counts on below zero when the
 * worker that takes over is one of IOSQE_ASYNC and asks once more, in vain when another reader was faster: then it tries without end (seen in 6.1).
 */
static void blocking(void)
{
    static char full[65536];
    struct account event = {.path = "anon_inode:[eventfd]", .kind = "anon"};
    struct uring ring;
    int ends[2], second[2], other[2], pair[2], counter = (int)must(eventfd(0, 0), "eventfd");
    uint64_t number = 3;
    must(pipe(ends), "pipe");
    must(pipe(second), "pipe");
    must(pipe(other), "pipe");
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    must_return("to fill a pipe", count_write(&pipes, ROUTE_RW, write(other[1], full, 65536)), 65536);
    const struct request requests[] = {
        {"READ of an empty pipe", IORING_OP_READ, 0, ends[0], buf, 500, -1, &pipes, NULL, 81},
        {"READ of one in a worker", IORING_OP_READ, IOSQE_ASYNC, second[0], buf, 500, -1, &pipes, NULL, 81},
        {"WRITE to a full pipe", IORING_OP_WRITE, 0, other[1], buf, 83, -1, NULL, &pipes, 83},
        {"READ of a socket", IORING_OP_READ, 0, pair[0], buf, 500, -1, &sockets, NULL, 84},
        {"READ of an eventfd", IORING_OP_READ, 0, counter, &number, 8, -1, &event, NULL, 8},
    };
    uring_init(&ring, 16, 0);
    for (size_t i = 0; i < N(requests); i++) {
        uring_queue(&ring, &requests[i]);
    }
    uring_submit(&ring);
    must_return("write", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 81)), 81);
    must_return("write", count_write(&pipes, ROUTE_RW, write(second[1], buf, 81)), 81);
    must_return("read", count_read(&pipes, ROUTE_RW, read(other[0], full, 65536)), 65536);
    must_return("write", count_write(&sockets, ROUTE_RW, write(pair[1], buf, 84)), 84);
    must_return("write", count_write(&event, ROUTE_RW, write(counter, &number, 8)), 8);
    for (size_t i = 0; i < N(requests); i++) {
        uring_reap(&ring);
    }
    report("blocking", &event);
    uring_done(&ring);
}

/* Requests that end as errors, each under the file that it had. */
static void errors(void)
{
    struct account in, only_write, full = {.path = "/dev/full", .kind = "chr"}, dir = {.path = folder, .kind = "dir"};
    struct uring ring;
    int r = new_hole(&in, folder, "errors", SIZE), ends[2];
    close(new_hole(&only_write, folder, "errors_write", SIZE));
    int w = (int)must(open(only_write.path, O_WRONLY), only_write.path);
    int d = (int)must(open(folder, O_RDONLY | O_DIRECTORY), folder);
    int f = (int)must(open(full.path, O_RDWR), full.path);
    const char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(pipe(ends), "pipe");
    close(ends[0]);
    const struct request requests[] = {
        {"READ of no descriptor", IORING_OP_READ, 0, 9999, buf, 1, 0, &no_file, NULL, -EBADF},
        {"WRITE to descriptor -1", IORING_OP_WRITE, 0, -1, buf, 1, 0, NULL, &no_file, -EBADF},
        {"READ into no memory", IORING_OP_READ, 0, r, bad, 10, 0, &in, NULL, -EFAULT},
        {"WRITE from no memory", IORING_OP_WRITE, 0, r, bad, 10, 0, NULL, &in, -EFAULT},
        {"READ of what is open for writing", IORING_OP_READ, 0, w, buf, 1, 0, &only_write, NULL, -EBADF},
        {"READ of a directory", IORING_OP_READ, 0, d, buf, 1, 0, &dir, NULL, -EISDIR},
        {"WRITE to a full device", IORING_OP_WRITE, 0, f, buf, 5, 0, NULL, &full, -ENOSPC},
        {"READ of a device", IORING_OP_READ, 0, f, buf, 5, 0, &full, NULL, 5},
        {"WRITE to a broken pipe", IORING_OP_WRITE, 0, ends[1], buf, 5, -1, NULL, &pipes, -EPIPE},
    };
    uring_init(&ring, 16, 0);
    uring_run_each(&ring, requests, N(requests));
    report("errors", &in);
    report("errors", &only_write);
    report("errors", &full);
    report("errors", &dir);
    uring_done(&ring);
}

struct move {
    struct request request;
    int in;
    int64_t in_offset; /* -1: none */
    unsigned flags;
};

/* Runs one move of bytes from one file to another; the request's descriptor is the one written to. */
static void run_move(struct uring *ring, const struct move *move)
{
    struct io_uring_sqe *sqe = uring_queue(ring, &move->request);
    sqe->splice_fd_in = move->in;
    sqe->splice_off_in = (uint64_t)move->in_offset;
    sqe->splice_flags = move->flags;
    uring_submit(ring);
    uring_reap(ring);
}

/* A read of one file and a write of another. */
static void splices(void)
{
    struct account in, out;
    struct uring ring;
    int r = new_hole(&in, folder, "splice_in", SIZE), w = new_hole(&out, folder, "splice_out", 0), ends[2];
    must(pipe(ends), "pipe");
    const struct move moves[] = {
        {{"SPLICE into a pipe", IORING_OP_SPLICE, 0, ends[1], NULL, 1111, -1, &in, &pipes, 1111}, r, 5, 0},
        {{"SPLICE out of it", IORING_OP_SPLICE, 0, w, NULL, 1111, 70, &pipes, &out, 1111}, ends[0], -1, 0},
        {{"partial SPLICE", IORING_OP_SPLICE, 0, ends[1], NULL, 900, -1, &in, &pipes, 9}, r, SIZE - 9, 0},
        {{"SPLICE at the end", IORING_OP_SPLICE, 0, ends[1], NULL, 900, -1, &in, &pipes, 0}, r, SIZE, 0},
        {{"SPLICE from no file", IORING_OP_SPLICE, 0, ends[1], NULL, 9, -1, &no_file, &pipes, -EBADF}, 9999, -1, 0},
        {{"SPLICE without a pipe", IORING_OP_SPLICE, 0, w, NULL, 9, -1, &in, &out, -EINVAL}, r, 0, 0},
    };
    uring_init(&ring, 16, 0);
    for (size_t i = 0; i < N(moves); i++) {
        run_move(&ring, &moves[i]);
    }
    report("splices", &in);
    report("splices", &out);
    uring_done(&ring);
}

/* Out of a slot of the ring's table: there is no descriptor of this file any more. */
static void splice_from_slot(void)
{
    struct account in, out;
    struct uring ring;
    int slot = new_hole(&in, folder, "splice_slot", SIZE), w = new_hole(&out, folder, "splice_slot_out", 0), ends[2];
    must(pipe(ends), "pipe");
    const struct move moves[] = {
        {{"SPLICE of a slot", IORING_OP_SPLICE, 0, ends[1], NULL, 77, -1, &in, &pipes, 77}, 0, 0, SPLICE_F_FD_IN_FIXED},
        {{"SPLICE out of the pipe", IORING_OP_SPLICE, 0, w, NULL, 77, -1, &pipes, &out, 77}, ends[0], -1, 0},
    };
    uring_init(&ring, 16, 0);
    uring_register(&ring, IORING_REGISTER_FILES, &slot, 1);
    close(slot);
    run_move(&ring, &moves[0]);
    run_move(&ring, &moves[1]);
    report("splice_from_slot", &in);
    report("splice_from_slot", &out);
    uring_done(&ring);
}

/* What moves no bytes of a file, or is none of the routes: nothing of it may be booked. */
static void others(void)
{
    struct account a;
    struct uring ring;
    int fd = new_hole(&a, folder, "others", SIZE), pair[2], ends[2], second[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    must(pipe(ends), "pipe");
    must(pipe(second), "pipe");
    must_return("write", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 91)), 91);
    const struct request requests[] = {
        {"NOP", IORING_OP_NOP, 0, -1, NULL, 0, 0, NULL, NULL, 0},
        {"SEND", IORING_OP_SEND, 0, pair[0], buf, 92, 0, NULL, NULL, 92},
        {"RECV", IORING_OP_RECV, 0, pair[1], buf, 500, 0, NULL, NULL, 92},
        {"FSYNC", IORING_OP_FSYNC, 0, fd, NULL, 0, 0, NULL, NULL, 0},
        {"FADVISE", IORING_OP_FADVISE, 0, fd, NULL, 100, 0, NULL, NULL, 0},
        {"FALLOCATE", IORING_OP_FALLOCATE, 0, fd, (void *)100, 0, 0, NULL, NULL, ANY_RESULT},
        {"POLL_ADD", IORING_OP_POLL_ADD, 0, ends[0], NULL, 0, 0, NULL, NULL, ANY_RESULT},
    };
    uring_init(&ring, 16, 0);
    uring_run_each(&ring, requests, N(requests) - 1);
    struct io_uring_sqe *sqe = uring_queue(&ring, &requests[N(requests) - 1]);
    sqe->poll32_events = 1; /* POLLIN */
    uring_submit(&ring);
    uring_reap(&ring);
    const struct request tee = {"TEE", IORING_OP_TEE, 0, second[1], NULL, 91, 0, NULL, NULL, 91};
    sqe = uring_queue(&ring, &tee);
    sqe->splice_fd_in = ends[0];
    uring_submit(&ring);
    uring_reap(&ring);
    report("others", &a);
    uring_done(&ring);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: workload_uring FOLDER");
    }
    folder = argv[1];
    signal(SIGPIPE, SIG_IGN);
    note("start", "-");
    plain();
    fixed_buffers();
    fixed_vectors();
    registered_files();
    links();
    workers();
    direct();
    blocking();
    errors();
    splices();
    splice_from_slot();
    others();
    report("whole", &pipes);
    report("whole", &sockets);
    report("whole", &no_file);
    return 0;
}
