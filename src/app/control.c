// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

int iol_control_folder(char *buf, size_t size, struct iol_error *err)
{
    const char *runtime = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");

    if (!runtime || runtime[0] != '/')
        return iol_error_set(err, -ENOENT, "XDG_RUNTIME_DIR names no folder for sockets");
    if ((size_t)snprintf(buf, size, "%s/ioledger", runtime) >= size)
        return iol_error_set(err, -ENAMETOOLONG, "XDG_RUNTIME_DIR is too long for the path of a socket");
    return 0;
}

int iol_control_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _cleanup_close_ int fd = -1;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return TAKE_FD(fd);
}
