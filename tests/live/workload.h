// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What the workloads share: they count their own calls, file by file, and say at the end what must
 * therefore be in the ledger. Each account becomes one line in the file named by $IOLEDGER_RESULT
 * (outside of the folder that is compared), all fields separated by one space:
 *
 *   SCENARIO PID KIND FLAGS ROUTE read_ops read_bytes read_errors write_ops write_bytes write_errors PATH-IN-HEX
 *
 * FLAGS is a comma-joined list, "-" for none.
 */
#include <stdint.h>
#include <sys/types.h>

enum route {
    ROUTE_RW,
    ROUTE_SENDFILE,
    ROUTE_SPLICE,
    ROUTE_COPY_FILE_RANGE,
    ROUTE_IO_URING,
    ROUTE_MMAP,
    ROUTE_COUNT,
};

struct counts {
    uint64_t read_ops;
    uint64_t read_bytes;
    uint64_t read_errors;
    uint64_t write_ops;
    uint64_t write_bytes;
    uint64_t write_errors;
};

struct account {
    const char *path;
    const char *kind;
    const char *flags; /* NULL for none */
    struct counts routes[ROUTE_COUNT];
};

/* Books one call's return value (-1 is an error) and returns it. */
ssize_t count_read(struct account *account, enum route route, ssize_t ret);
ssize_t count_write(struct account *account, enum route route, ssize_t ret);

/* Books a mapping: a read without bytes, and a write too when it is shared and can be written. A failed one is an error. */
void *count_map(struct account *account, void *at, int protection, int flags);

/* Adds what the other account of the same file has counted. */
void count_add(struct account *account, const struct account *part);

/* Writes one line for each route of the account that was used. */
void report(const char *scenario, const struct account *account);

/* Writes "SCENARIO PID note WORD": a fact that is not an account. */
void note(const char *scenario, const char *word);

/* Prints the message with errno and exits 70. */
void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* ret, unless it is negative: then die(). */
long must(long ret, const char *what);

/* A new file with the content; returns its descriptor (O_RDWR) at offset 0. Uses pwrite(2), booked when account is not NULL. */
int make_file(const char *path, const char *content, struct account *account);

/* The name of a file in the folder; never freed. */
char *path_in(const char *folder, const char *name);

/* A new file of that many bytes in the folder, a hole that nothing was written to: the account is empty. O_RDWR. */
int new_hole(struct account *account, const char *folder, const char *name, size_t size);

/* die() unless the call returned what was expected, or failed with this errno. */
void must_return(const char *what, ssize_t ret, ssize_t expected);
void must_fail(const char *what, ssize_t ret, int error);
