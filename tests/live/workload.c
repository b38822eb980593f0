// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "workload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const route_names[ROUTE_COUNT] = {"rw", "sendfile", "splice", "copy_file_range"};

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
