// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_routes FOLDER: every system call of every route with counts that are known, each scenario on
 * files of its own in FOLDER. Pipes, sockets and calls without an open file are booked in the pseudo files.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workload.h"

#define SIZE 10000

static const char *folder;
static struct account pipes = {.path = "(pipes)", .kind = "pipe"};
static struct account sockets = {.path = "(sockets)", .kind = "socket"};
static struct account no_file = {.path = "(no open file)", .kind = "other"};

/* A file of `size` bytes for one scenario, empty in the books: it is filled by mmap. */
static int new_file(struct account *account, const char *name, size_t size)
{
    *account = (struct account){.path = path_in(folder, name), .kind = "file"};
    int fd = (int)must(open(account->path, O_RDWR | O_CREAT | O_TRUNC, 0644), account->path);
    must(ftruncate(fd, (off_t)size), "ftruncate");
    if (size) {
        char *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) {
            die("mmap");
        }
        memset(data, 'x', size);
        must(munmap(data, size), "munmap");
    }
    return fd;
}

/* Each call of the first route with a size of its own, so that a call that is missed shows in the bytes. */
static void read_calls(void)
{
    struct account a;
    int fd = new_file(&a, "read_calls", SIZE);
    char buf[SIZE];
    struct iovec parts[2] = {{buf, 3}, {buf + 3, 4}};
    must_return("read", count_read(&a, ROUTE_RW, read(fd, buf, 1)), 1);
    must_return("pread", count_read(&a, ROUTE_RW, pread(fd, buf, 20, 5)), 20);
    must_return("readv", count_read(&a, ROUTE_RW, readv(fd, parts, 2)), 7);
    must_return("preadv", count_read(&a, ROUTE_RW, preadv(fd, parts, 1, 9)), 3);
    must_return("preadv2", count_read(&a, ROUTE_RW, preadv2(fd, parts, 2, 9, RWF_HIPRI)), 7);
    must_return("preadv2 at the file's own offset", count_read(&a, ROUTE_RW, preadv2(fd, parts, 2, -1, 0)), 7);
    must_return("partial read at the end", count_read(&a, ROUTE_RW, pread(fd, buf, 1000, SIZE - 17)), 17);
    must_return("read of 0 bytes", count_read(&a, ROUTE_RW, read(fd, buf, 0)), 0);
    must_return("read at the end", count_read(&a, ROUTE_RW, pread(fd, buf, 100, SIZE)), 0);
    must_return("read beyond the end", count_read(&a, ROUTE_RW, pread(fd, buf, 100, SIZE + 5000)), 0);
    must_return("readv of no parts", count_read(&a, ROUTE_RW, readv(fd, parts, 0)), 0);
    report("read_calls", &a);
}

static void write_calls(void)
{
    struct account a;
    int fd = new_file(&a, "write_calls", 0);
    char buf[SIZE] = "";
    struct iovec parts[2] = {{buf, 30}, {buf + 30, 40}};
    must_return("write", count_write(&a, ROUTE_RW, write(fd, buf, 1)), 1);
    must_return("pwrite", count_write(&a, ROUTE_RW, pwrite(fd, buf, 200, 50000)), 200);
    must_return("writev", count_write(&a, ROUTE_RW, writev(fd, parts, 2)), 70);
    must_return("pwritev", count_write(&a, ROUTE_RW, pwritev(fd, parts, 1, 9)), 30);
    must_return("pwritev2", count_write(&a, ROUTE_RW, pwritev2(fd, parts, 2, 9, RWF_DSYNC)), 70);
    must_return("pwritev2 at the file's own offset", count_write(&a, ROUTE_RW, pwritev2(fd, parts, 2, -1, 0)), 70);
    must_return("write of 0 bytes", count_write(&a, ROUTE_RW, write(fd, buf, 0)), 0);
    must(lseek(fd, 3000000000, SEEK_SET), "lseek");
    must_return("write beyond 2 GiB", count_write(&a, ROUTE_RW, write(fd, buf, 11)), 11);
    report("write_calls", &a);
    must(ftruncate(fd, 0), "ftruncate");
}

static void sendfile_calls(void)
{
    struct account in, out;
    int in_fd = new_file(&in, "sendfile_in", SIZE), out_fd = new_file(&out, "sendfile_out", 0);
    off_t offset = SIZE - 100;
    ssize_t ret = sendfile(out_fd, in_fd, NULL, 1234);
    must_return("sendfile", ret, 1234);
    count_read(&in, ROUTE_SENDFILE, ret);
    count_write(&out, ROUTE_SENDFILE, ret);
    ret = sendfile(out_fd, in_fd, &offset, 5000);
    must_return("partial sendfile", ret, 100);
    count_read(&in, ROUTE_SENDFILE, ret);
    count_write(&out, ROUTE_SENDFILE, ret);
    ret = sendfile(out_fd, in_fd, &offset, 5000);
    must_return("sendfile at the end", ret, 0);
    count_read(&in, ROUTE_SENDFILE, ret);
    count_write(&out, ROUTE_SENDFILE, ret);
    ret = sendfile(out_fd, 9999, NULL, 5);
    must_fail("sendfile from no file", ret, EBADF);
    count_read(&no_file, ROUTE_SENDFILE, ret);
    count_write(&out, ROUTE_SENDFILE, ret);
    report("sendfile_calls", &in);
    report("sendfile_calls", &out);

    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    struct account to_socket;
    int fd = new_file(&to_socket, "sendfile_to_socket", SIZE);
    ret = sendfile(pair[0], fd, NULL, 777);
    must_return("sendfile to a socket", ret, 777);
    count_read(&to_socket, ROUTE_SENDFILE, ret);
    count_write(&sockets, ROUTE_SENDFILE, ret);
    char buf[1000];
    must_return("read from a socket", count_read(&sockets, ROUTE_RW, read(pair[1], buf, sizeof(buf))), 777);
    report("sendfile_calls", &to_socket);
}

static void splice_calls(void)
{
    struct account in, out;
    int in_fd = new_file(&in, "splice_in", SIZE), out_fd = new_file(&out, "splice_out", 0), ends[2];
    must(pipe(ends), "pipe");
    loff_t offset = SIZE - 50;
    ssize_t ret = splice(in_fd, NULL, ends[1], NULL, 3000, 0);
    must_return("splice from a file", ret, 3000);
    count_read(&in, ROUTE_SPLICE, ret);
    count_write(&pipes, ROUTE_SPLICE, ret);
    ret = splice(in_fd, &offset, ends[1], NULL, 3000, 0);
    must_return("partial splice", ret, 50);
    count_read(&in, ROUTE_SPLICE, ret);
    count_write(&pipes, ROUTE_SPLICE, ret);
    ret = splice(ends[0], NULL, out_fd, NULL, 3050, 0);
    must_return("splice into a file", ret, 3050);
    count_read(&pipes, ROUTE_SPLICE, ret);
    count_write(&out, ROUTE_SPLICE, ret);
    ret = splice(in_fd, NULL, out_fd, NULL, 10, 0);
    must_fail("splice without a pipe", ret, EINVAL);
    count_read(&in, ROUTE_SPLICE, ret);
    count_write(&out, ROUTE_SPLICE, ret);
    ret = splice(ends[0], NULL, out_fd, NULL, 10, SPLICE_F_NONBLOCK);
    must_fail("splice from an empty pipe", ret, EAGAIN);
    count_read(&pipes, ROUTE_SPLICE, ret);
    count_write(&out, ROUTE_SPLICE, ret);
    report("splice_calls", &in);
    report("splice_calls", &out);
}

static void copy_file_range_calls(void)
{
    struct account in, out;
    int in_fd = new_file(&in, "copy_in", SIZE), out_fd = new_file(&out, "copy_out", 0);
    loff_t offset = 100, far = SIZE - 1;
    const struct {
        loff_t *in_offset;
        size_t size;
        ssize_t expected;
    } calls[] = {
        {NULL, 4000, 4000},
        {&offset, 500, 500},
        {&far, 500, 1},
        {&far, 500, 0},
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        ssize_t ret = copy_file_range(in_fd, calls[i].in_offset, out_fd, NULL, calls[i].size, 0);
        must_return("copy_file_range", ret, calls[i].expected);
        count_read(&in, ROUTE_COPY_FILE_RANGE, ret);
        count_write(&out, ROUTE_COPY_FILE_RANGE, ret);
    }
    ssize_t ret = copy_file_range(in_fd, NULL, out_fd, NULL, 5, 12345);
    must_fail("copy_file_range with unknown flags", ret, EINVAL);
    count_read(&in, ROUTE_COPY_FILE_RANGE, ret);
    count_write(&out, ROUTE_COPY_FILE_RANGE, ret);
    /* Within one file. */
    struct account same;
    int fd = new_file(&same, "copy_same", SIZE);
    loff_t from = 0, to = 5000;
    ret = copy_file_range(fd, &from, fd, &to, 300, 0);
    must_return("copy_file_range within a file", ret, 300);
    count_read(&same, ROUTE_COPY_FILE_RANGE, ret);
    count_write(&same, ROUTE_COPY_FILE_RANGE, ret);
    report("copy_file_range_calls", &in);
    report("copy_file_range_calls", &out);
    report("copy_file_range_calls", &same);
}

static void errors(void)
{
    struct account a, only_write, dir = {.path = folder, .kind = "dir"};
    int fd = new_file(&a, "errors", SIZE), ends[2];
    char buf[100] = "";
    char *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must_fail("read into no memory", count_read(&a, ROUTE_RW, read(fd, bad, 10)), EFAULT);
    must_fail("write from no memory", count_write(&a, ROUTE_RW, pwrite(fd, bad, 10, 0)), EFAULT);
    must_fail("pread at a negative offset", count_read(&a, ROUTE_RW, pread(fd, buf, 10, -1)), EINVAL);
    must_fail("read of a closed descriptor", count_read(&no_file, ROUTE_RW, read(9999, buf, 1)), EBADF);
    must_fail("write to descriptor -1", count_write(&no_file, ROUTE_RW, write(-1, buf, 1)), EBADF);
    close(new_file(&only_write, "only_write", SIZE));
    int w = (int)must(open(only_write.path, O_WRONLY), only_write.path);
    must_fail("read of what is open for writing", count_read(&only_write, ROUTE_RW, read(w, buf, 1)), EBADF);
    int d = (int)must(open(folder, O_RDONLY | O_DIRECTORY), folder);
    must_fail("read of a directory", count_read(&dir, ROUTE_RW, read(d, buf, 1)), EISDIR);
    must(pipe2(ends, O_NONBLOCK), "pipe2");
    must_fail("read of an empty pipe", count_read(&pipes, ROUTE_RW, read(ends[0], buf, 1)), EAGAIN);
    must_return("write to a pipe", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 9)), 9);
    must_return("partial read of a pipe", count_read(&pipes, ROUTE_RW, read(ends[0], buf, 100)), 9);
    close(ends[0]);
    must_fail("write to a broken pipe", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 9)), EPIPE);
    report("errors", &a);
    report("errors", &only_write);
    report("errors", &dir);
}

/* A full file system or a limit makes a write shorter than asked for. */
static void short_write(void)
{
    struct account a, out;
    int fd = new_file(&a, "short_in", SIZE), ends[2];
    char buf[200000] = "";
    must(pipe2(ends, O_NONBLOCK), "pipe2");
    must_return("short write to a pipe", count_write(&pipes, ROUTE_RW, write(ends[1], buf, 200000)), 65536);
    must_return("short read of the file", count_read(&a, ROUTE_RW, read(fd, buf, 200000)), SIZE);
    report("short_write", &a);
    int full = (int)must(open("/dev/full", O_RDWR), "/dev/full");
    out = (struct account){.path = "/dev/full", .kind = "chr"};
    must_fail("write to a full device", count_write(&out, ROUTE_RW, write(full, buf, 5)), ENOSPC);
    must_return("read of a device", count_read(&out, ROUTE_RW, read(full, buf, 5)), 5);
    report("short_write", &out);
}

static void others(void)
{
    struct account event = {.path = "anon_inode:[eventfd]", .kind = "anon"},
                   memory = {.path = "/memfd:routes", .kind = "memfd"};
    uint64_t number = 3;
    int fd = (int)must(eventfd(0, EFD_NONBLOCK), "eventfd");
    must_return("write to an eventfd", count_write(&event, ROUTE_RW, write(fd, &number, 8)), 8);
    must_return("read of an eventfd", count_read(&event, ROUTE_RW, read(fd, &number, 8)), 8);
    must_fail("read of an empty eventfd", count_read(&event, ROUTE_RW, read(fd, &number, 8)), EAGAIN);
    report("others", &event);
    int m = (int)must(memfd_create("routes", 0), "memfd_create");
    must_return("write to a memfd", count_write(&memory, ROUTE_RW, write(m, &number, 8)), 8);
    must_return("read of a memfd", count_read(&memory, ROUTE_RW, pread(m, &number, 5, 2)), 5);
    report("others", &memory);
    /* recv and send are no route: nothing of this may be booked. */
    int pair[2];
    char buf[100];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    must_return("send", send(pair[0], buf, 50, 0), 50);
    must_return("recv", recv(pair[1], buf, 50, 0), 50);
    must_return("write to a socket", count_write(&sockets, ROUTE_RW, write(pair[0], buf, 51)), 51);
    must_return("read of a socket", count_read(&sockets, ROUTE_RW, read(pair[1], buf, 100)), 51);
}

#ifdef __x86_64__
/* A 32-bit system call made by a 64-bit program, its sixth argument 0. Its numbers mean other calls; pointers must be below 4 GiB. */
static long call32(long number, long a, const void *b, long c, long d, long e)
{
    long ret;
    __asm__ volatile("mov %%rbp, %%r12\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "int $0x80\n\t"
                     "mov %%r12, %%rbp"
                     : "=a"(ret)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory", "cc", "r8", "r9", "r10", "r11", "r12");
    return (int)ret;
}

/* getpid of 32 bits, writev in 64: with the descriptor where writev has it, and in rcx what SYSCALL leaves there. */
static long disguised_getpid(long descriptor)
{
    long ret;
    __asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
                     "int $0x80\n"
                     "1:"
                     : "=a"(ret)
                     : "a"(20), "D"(descriptor)
                     : "memory", "cc", "rcx", "r8", "r9", "r10", "r11");
    return (int)ret;
}

/* Tried by a child: where 32-bit calls were turned off at boot, the instruction is an offence and not an error. */
static bool takes_32_bit_calls(void)
{
    int status;
    pid_t child = (pid_t)must(fork(), "fork");
    if (child == 0) {
        _exit(call32(20, 0, NULL, 0, 0, 0) == getpid() ? 0 : 1); /* 20 is getpid there, writev here */
    }
    must(waitpid(child, &status, 0), "waitpid");
    return status == 0;
}

struct iovec32 {
    uint32_t base;
    uint32_t size;
};

static ssize_t failed32(long ret)
{
    return ret < 0 ? -1 : ret;
}

/* What must be counted as what it is, and what must not be counted as its namesake by number. */
static void compat_calls(void)
{
    struct account a, out, in, copy;
    int fd = new_file(&a, "compat", SIZE), out_fd = new_file(&out, "compat_out", 0),
        in_fd = new_file(&in, "compat_in", SIZE), copy_fd = new_file(&copy, "compat_copy", 0), ends[2];
    char *low = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED) {
        die("mmap");
    }
    if (!takes_32_bit_calls()) {
        note("compat_calls", "absent");
        return;
    }
    note("compat_calls", "present");
    struct iovec32 *parts = (struct iovec32 *)(void *)low;
    char *buf = low + 4096;
    parts[0] = (struct iovec32){(uint32_t)(uintptr_t)buf, 6};
    parts[1] = (struct iovec32){(uint32_t)(uintptr_t)buf + 6, 5};

    must_return("read (3)", count_read(&a, ROUTE_RW, failed32(call32(3, fd, buf, 21, 0, 0))), 21);
    must_return("write (4)", count_write(&a, ROUTE_RW, failed32(call32(4, fd, buf, 22, 0, 0))), 22);
    must_return("readv (145)", count_read(&a, ROUTE_RW, failed32(call32(145, fd, parts, 2, 0, 0))), 11);
    must_return("writev (146)", count_write(&a, ROUTE_RW, failed32(call32(146, fd, parts, 1, 0, 0))), 6);
    must_return("pread64 (180)", count_read(&a, ROUTE_RW, failed32(call32(180, fd, buf, 23, 7, 0))), 23);
    must_return("pwrite64 (181)", count_write(&a, ROUTE_RW, failed32(call32(181, fd, buf, 24, 7, 0))), 24);
    must_return("preadv (333)", count_read(&a, ROUTE_RW, failed32(call32(333, fd, parts, 2, 0, 0))), 11);
    must_return("pwritev (334)", count_write(&a, ROUTE_RW, failed32(call32(334, fd, parts, 2, 0, 0))), 11);
    must_return("preadv2 (378)", count_read(&a, ROUTE_RW, failed32(call32(378, fd, parts, 1, 0, 0))), 6);
    must_return("pwritev2 (379)", count_write(&a, ROUTE_RW, failed32(call32(379, fd, parts, 1, 0, 0))), 6);
    count_read(&a, ROUTE_RW, failed32(call32(3, fd, (void *)16, 21, 0, 0))); /* EFAULT */
    count_read(&no_file, ROUTE_RW, failed32(call32(3, 9999, buf, 21, 0, 0)));

    ssize_t ret = failed32(call32(187, out_fd, (void *)(intptr_t)in_fd, 0, 2500, 0)); /* sendfile */
    must_return("sendfile (187)", ret, 2500);
    count_read(&in, ROUTE_SENDFILE, ret);
    count_write(&out, ROUTE_SENDFILE, ret);
    ret = failed32(call32(239, out_fd, (void *)(intptr_t)in_fd, 0, 2501, 0)); /* sendfile64 */
    must_return("sendfile64 (239)", ret, 2501);
    count_read(&in, ROUTE_SENDFILE, ret);
    count_write(&out, ROUTE_SENDFILE, ret);
    must(pipe(ends), "pipe");
    ret = failed32(call32(313, in_fd, NULL, ends[1], 0, 1000)); /* splice */
    must_return("splice (313)", ret, 1000);
    count_read(&in, ROUTE_SPLICE, ret);
    count_write(&pipes, ROUTE_SPLICE, ret);
    ret = failed32(call32(377, in_fd, NULL, copy_fd, 0, 1001)); /* copy_file_range */
    must_return("copy_file_range (377)", ret, 1001);
    count_read(&in, ROUTE_COPY_FILE_RANGE, ret);
    count_write(&copy, ROUTE_COPY_FILE_RANGE, ret);

    /* 64-bit numbers of the routes, as 32-bit calls on a file that must stay out of the books. */
    struct account namesake;
    int other = new_file(&namesake, "compat_namesake", SIZE);
    must(lseek(other, 4321, SEEK_SET), "lseek");
    must_return("lseek (19, readv in 64 bits)", call32(19, other, NULL, SEEK_CUR, 0, 0), 4321);
    call32(20, other, buf, 10, 0, 0);  /* getpid, writev in 64 bits */
    call32(17, other, buf, 10, 0, 0);  /* break, pread64 in 64 bits */
    call32(18, other, buf, 10, 0, 0);  /* oldstat, pwrite64 in 64 bits */
    call32(0, other, buf, 10, 0, 0);   /* restart_syscall, read in 64 bits */
    call32(40, other, buf, 10, 0, 0);  /* rmdir, sendfile in 64 bits */
    call32(275, other, buf, 10, 0, 0); /* get_mempolicy, splice in 64 bits */
    /* and where a 64-bit call has its descriptor, the one that this thread has just used */
    struct account used;
    int used_fd = new_file(&used, "compat_used", SIZE);
    for (int i = 0; i < 3; i++) {
        must_return("read", count_read(&used, ROUTE_RW, read(used_fd, buf, 10)), 10);
        must_return("write", count_write(&used, ROUTE_RW, write(used_fd, buf, 10)), 10);
        call32(0, 0, NULL, 0, 0, used_fd);
        call32(17, 0, NULL, 0, 0, used_fd);
        call32(18, 0, NULL, 0, 0, used_fd);
        call32(19, used_fd, NULL, SEEK_CUR, 0, used_fd);
        call32(20, 0, NULL, 0, 0, used_fd);
        must_return("getpid (20)", disguised_getpid(used_fd), getpid());
    }
    report("compat_calls", &used);
    report("compat_calls", &a);
    report("compat_calls", &out);
    report("compat_calls", &in);
    report("compat_calls", &copy);
}

/* And the other way round: 64-bit calls whose numbers are reads and writes in 32 bits. */
static void native_namesakes(void)
{
    struct account a;
    int fd = new_file(&a, "native_namesake", SIZE);
    syscall(3, 9998);              /* close, read in 32 bits */
    syscall(4, "/", alloca(4096)); /* stat, write in 32 bits */
    syscall(145, fd, 0, 0);        /* sched_getscheduler, readv in 32 bits */
    syscall(180, fd, 0, 0);        /* nfsservctl, pread64 in 32 bits */
    syscall(187, fd, 0, 1);        /* readahead, sendfile in 32 bits */
    report("native_namesakes", &a);
}
#else
static void compat_calls(void)
{
    note("compat_calls", "absent");
}

static void native_namesakes(void)
{
}
#endif

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: workload_routes FOLDER\n");
        return 64;
    }
    folder = argv[1];
    signal(SIGPIPE, SIG_IGN);
    note("start", "-");
    read_calls();
    write_calls();
    sendfile_calls();
    splice_calls();
    copy_file_range_calls();
    errors();
    short_write();
    others();
    compat_calls();
    native_namesakes();
    report("whole", &pipes);
    report("whole", &sockets);
    report("whole", &no_file);
    return 0;
}
