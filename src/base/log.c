// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define PREFIX "ioledger: "
#define PREFIX_SIZE (sizeof(PREFIX) - 1)

static _Atomic enum iol_log_level max_level = IOL_LOG_INFO;

void iol_log_set_level(enum iol_log_level level)
{
    max_level = level;
}

enum iol_log_level iol_log_get_level(void)
{
    return max_level;
}

static void write_all(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(STDERR_FILENO, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nobody left to tell */
        data += n;
        size -= (size_t)n;
    }
}

/* One write() for the whole line, so that lines of several threads or processes do not mix. */
static void write_line(const char *message)
{
    size_t length = iol_text_visible(NULL, 0, message);
    _cleanup_free_ char *line = malloc(PREFIX_SIZE + length + 2);
    if (!line) {
        write_all(PREFIX "out of memory\n", PREFIX_SIZE + 14);
        return;
    }
    for (size_t i = 0; i < PREFIX_SIZE; i++)
        line[i] = PREFIX[i];
    iol_text_visible(line + PREFIX_SIZE, length + 1, message);
    line[PREFIX_SIZE + length] = '\n';
    fflush(stderr);
    write_all(line, PREFIX_SIZE + length + 1);
}

void iol_log(enum iol_log_level level, const char *format, ...)
{
    if (level > max_level)
        return;

    int saved_errno = errno;
    char *message = NULL;
    va_list ap;
    va_start(ap, format);
    int length = vasprintf(&message, format, ap);
    va_end(ap);
    write_line(length < 0 ? "out of memory" : message);
    if (length >= 0)
        free(message);
    errno = saved_errno;
}
