// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

int iol_control_folder(char *buf, size_t size, struct iol_error *err)
{
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR"), *service = getenv("RUNTIME_DIRECTORY");

    /* of a system service that is not root's: systemd.exec(5) */
    if (geteuid() != 0 && service && service[0] == '/') {
        if ((size_t)snprintf(buf, size, "%.*s", (int)strcspn(service, ":"), service) >= size)
            return iol_error_set(err, -ENAMETOOLONG, "RUNTIME_DIRECTORY is too long for the path of a socket");
        return 0;
    }
    if (!runtime || runtime[0] != '/')
        return iol_error_set(err, -ENOENT, "XDG_RUNTIME_DIR names no folder for sockets");
    if ((size_t)snprintf(buf, size, "%s/ioledger", runtime) >= size)
        return iol_error_set(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long for the path of a socket");
    return 0;
}

int iol_control_connect(const char *path, unsigned int patience_ms)
{
    const struct timeval patience = {.tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (patience_ms ? 0 : SOCK_NONBLOCK), 0);
    /* of connect() too: in unix_stream_connect() of net/unix/af_unix.c */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
        connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}
