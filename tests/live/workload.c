// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const route_names[ROUTE_COUNT] = {"rw", "sendfile", "splice", "copy_file_range", "io_uring", "mmap"};

ssize_t count_read(struct account *account, enum route route, ssize_t ret)
{
    struct counts *counts = &account->routes[route];
    if (ret < 0) {
        counts->read_errors++;
    } else {
        counts->read_ops++;
        counts->read_bytes += (uint64_t)ret;
    }
    return ret;
}

ssize_t count_write(struct account *account, enum route route, ssize_t ret)
{
    struct counts *counts = &account->routes[route];
    if (ret < 0) {
        counts->write_errors++;
    } else {
        counts->write_ops++;
        counts->write_bytes += (uint64_t)ret;
    }
    return ret;
}

void *count_map(struct account *account, void *at, int protection, int flags)
{
    struct counts *counts = &account->routes[ROUTE_MMAP];
    if (at == MAP_FAILED) {
        counts->read_errors++;
        return at;
    }
    counts->read_ops++;
    if ((flags & MAP_TYPE) != MAP_PRIVATE && protection & PROT_WRITE) {
        counts->write_ops++;
    }
    return at;
}

void count_add(struct account *account, const struct account *part)
{
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        struct counts *sum = &account->routes[i];
        const struct counts *more = &part->routes[i];
        sum->read_ops += more->read_ops;
        sum->read_bytes += more->read_bytes;
        sum->read_errors += more->read_errors;
        sum->write_ops += more->write_ops;
        sum->write_bytes += more->write_bytes;
        sum->write_errors += more->write_errors;
    }
}

/* One write(2) a line, so that the lines of several processes do not mix. */
static void append_line(const char *line, size_t size)
{
    const char *name = getenv("IOLEDGER_RESULT");
    if (!name) {
        die("IOLEDGER_RESULT is not set");
    }
    /* Kept open, because a scenario may leave the file out of reach (chroot, user id). */
    static int fd = -1;
    if (fd < 0) {
        fd = (int)must(open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666), name);
    }
    must(write(fd, line, size), "write to the result file");
}

void report(const char *scenario, const struct account *account)
{
    static char line[16384];
    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        const struct counts *c = &account->routes[i];
        if (!(c->read_ops | c->read_errors | c->write_ops | c->write_errors)) {
            continue;
        }
        int n = snprintf(line, sizeof(line), "%s %d %s %s %s %lu %lu %lu %lu %lu %lu ", scenario, getpid(),
                         account->kind, account->flags ? account->flags : "-", route_names[i], c->read_ops,
                         c->read_bytes, c->read_errors, c->write_ops, c->write_bytes, c->write_errors);
        for (const char *p = account->path; *p; p++) {
            n += snprintf(line + n, sizeof(line) - (size_t)n, "%02x", (unsigned char)*p);
        }
        line[n++] = '\n';
        append_line(line, (size_t)n);
    }
}

void note(const char *scenario, const char *word)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "%s %d note %s\n", scenario, getpid(), word);
    append_line(line, (size_t)n);
}

void die(const char *format, ...)
{
    int error = errno;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, ": %s\n", strerror(error));
    exit(70);
}

long must(long ret, const char *what)
{
    if (ret < 0) {
        die("%s", what);
    }
    return ret;
}

int make_file(const char *path, const char *content, struct account *account)
{
    int fd = (int)must(open(path, O_RDWR | O_CREAT | O_TRUNC, 0644), path);
    size_t size = strlen(content);
    if (size) {
        ssize_t ret = pwrite(fd, content, size, 0);
        must(ret, path);
        if (account) {
            count_write(account, ROUTE_RW, ret);
        }
    }
    return fd;
}

char *path_in(const char *folder, const char *name)
{
    char *path;
    must(asprintf(&path, "%s/%s", folder, name), "asprintf");
    return path;
}

int new_hole(struct account *account, const char *folder, const char *name, size_t size)
{
    *account = (struct account){.path = path_in(folder, name), .kind = "file"};
    int fd = (int)must(open(account->path, O_RDWR | O_CREAT | O_TRUNC, 0644), account->path);
    must(ftruncate(fd, (off_t)size), "ftruncate");
    return fd;
}

void must_return(const char *what, ssize_t ret, ssize_t expected)
{
    if (ret != expected) {
        die("%s returned %zd, not %zd", what, ret, expected);
    }
}

void must_fail(const char *what, ssize_t ret, int error)
{
    if (ret != -1 || errno != error) {
        die("%s returned %zd, not error %d", what, ret, error);
    }
}
