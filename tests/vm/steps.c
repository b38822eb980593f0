// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * steps FILE: instructions that a system call takes, user and kernel side, where the time stamp counter counts instructions:
 * under qemu with -icount shift=0. A line for each call, "NAME INSTRUCTIONS"; the least of many rounds, as a round may be
 * interrupted. The guest of tests/vm/run --steps runs it under each probe set.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <x86intrin.h>

#define ROUNDS 200
#define CALLS 100

static int file, other;

static void call_getppid(void)
{
    syscall(SYS_getppid);
}

static void call_pread(void)
{
    char byte;

    syscall(SYS_pread64, file, &byte, 1, 0);
}

static void call_read(void)
{
    char byte;

    syscall(SYS_read, file, &byte, 1);
}

static void call_write(void)
{
    syscall(SYS_pwrite64, other, "x", 1, 0);
}

static void call_openat_close(void)
{
    close(openat(AT_FDCWD, "/dev/null", O_RDONLY));
}

static void call_lseek(void)
{
    syscall(SYS_lseek, file, 0, SEEK_SET);
}

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"getppid", call_getppid}, {"lseek", call_lseek},    {"read", call_read},
    {"pread64", call_pread},   {"pwrite64", call_write}, {"openat+close", call_openat_close},
};

static double measure(void (*call)(void))
{
    uint64_t least = UINT64_MAX;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from, to;

        lseek(file, 0, SEEK_SET);
        call(); /* whatever is done once, and the page of the file */
        from = __rdtsc();
        for (int i = 0; i < CALLS; i++)
            call();
        to = __rdtsc();
        if (to - from < least)
            least = to - from;
    }
    return (double)least / CALLS;
}

int main(int argc, char **argv)
{
    static const char content[2 * CALLS];

    if (argc != 2)
        return 2;
    file = open(argv[1], O_RDWR | O_CREAT, 0600);
    other = open(argv[1], O_RDWR);
    if (file < 0 || other < 0 || write(file, content, sizeof(content)) != sizeof(content)) {
        perror(argv[1]);
        return 1;
    }
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        printf("%s %.1f\n", calls[i].name, measure(calls[i].call));
    return 0;
}
