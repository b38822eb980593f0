// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * A 32-bit program, in an empty folder: it makes its own system calls and needs no 32-bit library. Every call has a size
 * of its own and must return it; the exit status is the number of the first step that did not, 0 when all did.
 * test_compat.py knows what must be in the books.
 *
 * Half of the numbers below mean a read or a write to a 64-bit kernel and something else here, or the other way round.
 */
#include <stdint.h>

enum {
    NR_restart_syscall = 0, /* 64 bits: read */
    NR_exit = 1,            /* write */
    NR_read = 3,            /* close */
    NR_write = 4,           /* stat */
    NR_open = 5,
    NR_close = 6,
    NR_break = 17,   /* pread64 */
    NR_oldstat = 18, /* pwrite64 */
    NR_lseek = 19,   /* readv */
    NR_getpid = 20,  /* writev */
    NR_rmdir = 40,   /* sendfile */
    NR_pipe = 42,
    NR_mmap = 90,
    NR_ftruncate = 93,
    NR_readv = 145,  /* sched_getscheduler */
    NR_writev = 146, /* sched_get_priority_max */
    NR_pread64 = 180,
    NR_pwrite64 = 181,
    NR_sendfile = 187, /* readahead */
    NR_mmap2 = 192,
    NR_sendfile64 = 239,
    NR_io_setup = 245,
    NR_io_getevents = 247,
    NR_io_submit = 248,
    NR_get_mempolicy = 275, /* splice */
    NR_splice = 313,
    NR_timerfd_gettime = 326, /* copy_file_range */
    NR_preadv = 333,
    NR_pwritev = 334,
    NR_copy_file_range = 377,
    NR_preadv2 = 378,
    NR_pwritev2 = 379,
    NR_io_pgetevents = 385,
    NR_io_pgetevents_time64 = 416,
};

enum {
    O_RDWR = 2,
    O_CREAT = 64,
    EBADF = 9,
    EFAULT = 14,
    SIZE = 10000,
    RDWR_PROTECTION = 3,
    SHARED = 1,
    PRIVATE = 2,
    ANONYMOUS = 32,
    PREAD = 0, /* IOCB_CMD_PREAD */
    PWRITE = 1,
};

struct part {
    uint32_t base;
    uint32_t size;
};

static char buf[4096];
static uint32_t step;

/* The sixth argument goes where the compiler keeps its frame. */
static long call6(long number, long a, long b, long c, long d, long e, long f)
{
    long ret;
    const long last[2] = {number, f};
    __asm__ volatile("push %%ebp\n\t"
                     "mov 4(%%eax), %%ebp\n\t"
                     "mov (%%eax), %%eax\n\t"
                     "int $0x80\n\t"
                     "pop %%ebp"
                     : "=a"(ret)
                     : "a"(last), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
                     : "memory", "cc");
    return ret;
}

static long call(long number, long a, long b, long c, long d, long e)
{
    return call6(number, a, b, c, d, e, 0);
}

static void leave(uint32_t status)
{
    for (;;) {
        call(NR_exit, (long)status, 0, 0, 0, 0);
    }
}

static void must_be(long ret, long expected)
{
    step++;
    if (ret != expected) {
        leave(step);
    }
}

static long address(const void *at)
{
    return (long)(uintptr_t)at;
}

static long new_file(const char *name)
{
    long fd = call(NR_open, address(name), O_RDWR | O_CREAT, 0644, 0, 0);
    must_be(fd < 0, 0);
    must_be(call(NR_ftruncate, fd, SIZE, 0, 0, 0), 0);
    return fd;
}

static void reads_and_writes(void)
{
    static struct part parts[2];
    long fd = new_file("rw"), at = address(buf), list = address(parts);
    parts[0] = (struct part){(uint32_t)at, 6};
    parts[1] = (struct part){(uint32_t)at + 6, 5};
    must_be(call(NR_read, fd, at, 21, 0, 0), 21);
    must_be(call(NR_write, fd, at, 22, 0, 0), 22);
    must_be(call(NR_readv, fd, list, 2, 0, 0), 11);
    must_be(call(NR_writev, fd, list, 1, 0, 0), 6);
    must_be(call(NR_pread64, fd, at, 23, 7, 0), 23);
    must_be(call(NR_pwrite64, fd, at, 24, 7, 0), 24);
    must_be(call(NR_preadv, fd, list, 2, 0, 0), 11);
    must_be(call(NR_pwritev, fd, list, 2, 0, 0), 11);
    must_be(call6(NR_preadv2, fd, list, 1, 0, 0, 0), 6);
    must_be(call6(NR_pwritev2, fd, list, 1, 0, 0, 0), 6);
    must_be(call(NR_read, fd, at, 0, 0, 0), 0);
    must_be(call(NR_read, fd, 16, 25, 0, 0), -EFAULT);
    must_be(call(NR_read, 9999, at, 26, 0, 0), -EBADF);
    must_be(call(NR_write, -1, at, 27, 0, 0), -EBADF);
    must_be(call(NR_close, fd, 0, 0, 0, 0), 0);
}

static void transfers(void)
{
    static int32_t ends[2];
    long in = new_file("in"), out = new_file("out"), copy = new_file("copy");
    must_be(call(NR_sendfile, out, in, 0, 2500, 0), 2500);
    must_be(call(NR_sendfile64, out, in, 0, 2501, 0), 2501);
    must_be(call(NR_pipe, address(ends), 0, 0, 0, 0), 0);
    must_be(call6(NR_splice, in, 0, ends[1], 0, 1000, 0), 1000);
    must_be(call6(NR_splice, ends[0], 0, out, 0, 900, 0), 900);
    must_be(call6(NR_copy_file_range, in, 0, copy, 0, 1001, 0), 1001);
}

static int failed(long ret)
{
    return ret < 0 && ret >= -4095;
}

static void mappings(void)
{
    long fd = new_file("mapped");
    must_be(failed(call6(NR_mmap2, 0, 4096, RDWR_PROTECTION, SHARED, fd, 0)), 0);
    must_be(failed(call6(NR_mmap2, 0, 4096, RDWR_PROTECTION, PRIVATE, fd, 1)), 0);
    must_be(failed(call6(NR_mmap2, 0, 4096, RDWR_PROTECTION, PRIVATE | ANONYMOUS, fd, 0)), 0);
    /* the oldest form: its arguments are in memory */
    const uint32_t arguments[6] = {0, 4096, RDWR_PROTECTION, SHARED, (uint32_t)fd, 0};
    must_be(failed(call(NR_mmap, address(arguments), 0, 0, 0, 0)), 0);
}

/* struct iocb and struct io_event of include/uapi/linux/aio_abi.h: the same in 32 bits and in 64. */
struct iocb {
    uint64_t data;
    uint32_t key, rw_flags;
    uint16_t opcode;
    int16_t priority;
    uint32_t fd;
    uint64_t buf, size;
    int64_t offset;
    uint64_t reserved;
    uint32_t flags, event_fd;
};

struct io_event {
    uint64_t data, iocb;
    int64_t res, res2;
};

/* One request, fetched by one of the calls that do it. */
static void aio_one(uint32_t context, long fd, int opcode, uint32_t size, long getevents)
{
    static struct iocb iocb;
    static struct io_event event;
    const uint32_t list = (uint32_t)address(&iocb);
    iocb = (struct iocb){.opcode = (uint16_t)opcode, .fd = (uint32_t)fd, .buf = (uint32_t)address(buf), .size = size};
    must_be(call(NR_io_submit, (long)context, 1, address(&list), 0, 0), 1);
    must_be(call6(getevents, (long)context, 1, 1, address(&event), 0, 0), 1);
    must_be((long)event.res, (long)size);
}

static void aio(void)
{
    static uint32_t context;
    long fd = new_file("aio");
    must_be(call(NR_io_setup, 8, address(&context), 0, 0, 0), 0);
    aio_one(context, fd, PREAD, 61, NR_io_getevents);
    aio_one(context, fd, PWRITE, 62, NR_io_pgetevents);
    aio_one(context, fd, PREAD, 63, NR_io_pgetevents_time64);
}

/* On a file that must stay out of the books: calls whose numbers are those of 64-bit reads and writes. */
static void namesakes(void)
{
    long fd = new_file("namesake"), at = address(buf);
    must_be(call(NR_lseek, fd, 4321, 0, 0, 0), 4321);
    call(NR_getpid, fd, at, 10, 0, 0);
    call(NR_break, fd, at, 10, 0, 0);
    call(NR_oldstat, fd, at, 10, 0, 0);
    call(NR_restart_syscall, fd, at, 10, 0, 0);
    call(NR_rmdir, fd, at, 10, 0, 0);
    call(NR_get_mempolicy, fd, 0, fd, 0, 10);
    call(NR_timerfd_gettime, fd, 0, fd, 0, 10);
}

void _start(void) __attribute__((noreturn));

void _start(void)
{
    reads_and_writes();
    transfers();
    mappings();
    aio();
    namesakes();
    for (;;) {
        leave(0);
    }
}
