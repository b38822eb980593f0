// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_mmap FOLDER: mappings of files, of each kind and several times over. What is read and written through them
 * nobody can count; that they were made can be, and which of them can write to the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uring.h"

#define SIZE 8192

static const char *folder;
static const int RO = PROT_READ, RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC;

/* Maps, touches and unmaps. */
static void map(struct account *account, int fd, int protection, int flags)
{
    volatile char *at = count_map(account, mmap(NULL, SIZE, protection, flags, fd, 0), protection, flags);
    if (at == MAP_FAILED) {
        die("mmap of %s", account->path);
    }
    if (protection & PROT_WRITE) {
        at[1] = 'x';
    }
    (void)at[0];
    must(munmap((void *)(uintptr_t)at, SIZE), "munmap");
}

static void kinds(void)
{
    static const struct {
        const char *name;
        int protection, flags;
    } mappings[] = {
        {"private_ro", PROT_READ, MAP_PRIVATE},
        {"private_rw", PROT_READ | PROT_WRITE, MAP_PRIVATE},
        {"private_exec", PROT_READ | PROT_EXEC, MAP_PRIVATE},
        {"shared_ro", PROT_READ, MAP_SHARED},
        {"shared_rw", PROT_READ | PROT_WRITE, MAP_SHARED},
        {"validated_rw", PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE},
        {"write_only", PROT_WRITE, MAP_SHARED},
        {"populated", PROT_READ, MAP_SHARED | MAP_POPULATE},
    };
    for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
        struct account a;
        int fd = new_hole(&a, folder, mappings[i].name, SIZE);
        map(&a, fd, mappings[i].protection, mappings[i].flags);
        report("kinds", &a);
        close(fd);
    }
}

/* One file, many mappings, through two descriptors: one account and one event. */
static void repeated(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "repeated", SIZE), second = (int)must(open(a.path, O_RDONLY), a.path);
    map(&a, fd, RW, MAP_SHARED);
    map(&a, fd, RO, MAP_SHARED);
    map(&a, second, RO, MAP_PRIVATE);
    map(&a, second, RX, MAP_PRIVATE);
    must_return("read", count_read(&a, ROUTE_RW, read(fd, &(char[5]){0}, 5)), 5);
    report("repeated", &a);
}

/* Mapped and used after the descriptor is closed and the file is gone; changed by mprotect and mremap, which are no mappings. */
static void outlives(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "outlives", SIZE);
    char *at = count_map(&a, mmap(NULL, SIZE, RO, MAP_SHARED, fd, 0), RO, MAP_SHARED);
    close(fd);
    must(mprotect(at, SIZE, RW), "mprotect");
    at[5] = 'x';
    at = mremap(at, SIZE, 2L * SIZE, MREMAP_MAYMOVE);
    if (at == MAP_FAILED) {
        die("mremap");
    }
    must(munmap(at, 2L * SIZE), "munmap");
    report("outlives", &a);
}

/* Files without a place in the tree, and devices. */
static void elsewhere(void)
{
    struct account memory = {.path = "/memfd:mapped", .kind = "memfd"}, zero = {.path = "/dev/zero", .kind = "chr"},
                   gone;
    int m = (int)must(memfd_create("mapped", 0), "memfd_create"), z = (int)must(open(zero.path, O_RDWR), zero.path);
    must(ftruncate(m, SIZE), "ftruncate");
    map(&memory, m, RW, MAP_SHARED);
    map(&memory, m, RW, MAP_PRIVATE);
    map(&zero, z, RW, MAP_PRIVATE);
    map(&zero, z, RW, MAP_SHARED);
    int fd = new_hole(&gone, folder, "gone", SIZE);
    must(unlink(gone.path), gone.path);
    gone.flags = "deleted";
    map(&gone, fd, RW, MAP_SHARED);
    report("elsewhere", &memory);
    report("elsewhere", &zero);
    report("elsewhere", &gone);
}

/* No file, whatever the descriptor says: nothing of this may be booked. */
static void anonymous(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "anonymous", SIZE);
    const int descriptors[] = {-1, 9999, fd};
    for (size_t i = 0; i < sizeof(descriptors) / sizeof(descriptors[0]); i++) {
        char *at = mmap(NULL, SIZE, RW, MAP_PRIVATE | MAP_ANONYMOUS, descriptors[i], 0);
        at[0] = 'x';
        must(munmap(at, SIZE), "munmap");
        at = mmap(NULL, SIZE, RW, MAP_SHARED | MAP_ANONYMOUS, descriptors[i], 0);
        at[0] = 'x';
        must(munmap(at, SIZE), "munmap");
    }
    report("anonymous", &a);
}

static void must_not_map(struct account *account, int fd, int protection, int flags, off_t offset, int error)
{
    void *at = count_map(account, mmap(NULL, SIZE, protection, flags, fd, offset), protection, flags);
    if (at != MAP_FAILED || errno != error) {
        die("mmap of %s did not fail with %d", account->path, error);
    }
}

static void errors(void)
{
    struct account a, dir = {.path = folder, .kind = "dir"}, no_file = {.path = "(no open file)", .kind = "other"},
                      pipes = {.path = "(pipes)", .kind = "pipe"};
    int ends[2], writable = new_hole(&a, folder, "errors", SIZE), fd = (int)must(open(a.path, O_RDONLY), a.path);
    int d = (int)must(open(folder, O_RDONLY | O_DIRECTORY), folder);
    must(pipe(ends), "pipe");
    must_not_map(&a, fd, RW, MAP_SHARED, 0, EACCES);
    must_not_map(&a, writable, RW, MAP_SHARED, -4096, EOVERFLOW);
    must_not_map(&dir, d, RO, MAP_SHARED, 0, ENODEV);
    must_not_map(&pipes, ends[0], RO, MAP_PRIVATE, 0, ENODEV);
    must_not_map(&no_file, 9999, RO, MAP_PRIVATE, 0, EBADF);
    must_not_map(&no_file, -1, RO, MAP_SHARED, 0, EBADF);
    report("errors", &a);
    report("errors", &dir);
    report("errors", &pipes);
    report("errors", &no_file);
}

/* A child has its parent's mappings without having made them. */
static void forked(void)
{
    struct account a;
    int fd = new_hole(&a, folder, "forked", SIZE), status;
    char *at = count_map(&a, mmap(NULL, SIZE, RW, MAP_SHARED, fd, 0), RW, MAP_SHARED);
    report("forked", &a);
    pid_t child = (pid_t)must(fork(), "fork");
    if (child == 0) {
        struct account mine = {.path = a.path, .kind = "file"};
        at[0] = 'x';
        map(&mine, fd, RO, MAP_PRIVATE);
        report("forked", &mine);
        _exit(0);
    }
    must(waitpid(child, &status, 0), "waitpid");
    must_return("a child", status, 0);
}

/* A ring of io_uring is mapped from its descriptor: one mapping for both queues, one for the entries. */
static void rings(void)
{
    struct account a = {.path = "anon_inode:[io_uring]", .kind = "anon"};
    struct uring ring;
    uring_init(&ring, 4, 0);
    a.routes[ROUTE_MMAP].read_ops = a.routes[ROUTE_MMAP].write_ops = 2;
    uring_done(&ring);
    report("rings", &a);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: workload_mmap FOLDER");
    }
    folder = argv[1];
    note("start", "-");
    kinds();
    repeated();
    outlives();
    elsewhere();
    anonymous();
    errors();
    forked();
    rings();
    return 0;
}
