// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/live/print.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "app/signals.h"

#define SLOW_MS 1000 /* a reader that takes no more than this may be slow; one that takes longer hangs */

/* No write may block, as a signal could come right before it; a pipe that polls writable takes PIPE_BUF bytes. */
int iol_live_print(const char *data, size_t size)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

    while (size > 0) {
        int ready = poll(&out, 1, SLOW_MS);
        ssize_t n;

        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready <= 0 && (iol_signals_count() > 1 || (ready == 0 && iol_signals_count() > 0)))
            return 1;
        if (ready <= 0)
            continue;
        n = write(STDOUT_FILENO, data, size < PIPE_BUF ? size : PIPE_BUF);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return errno == EPIPE ? 1 : -errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}
