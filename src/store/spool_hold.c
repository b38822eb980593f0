// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* A spool whose recorder is not there, for who reads its files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/spool.intern.h"

static int busy(const char *dir, int fd, struct iol_error *err)
{
    char pid[16] = "";

    (void)!pread(fd, pid, sizeof(pid) - 1, 0);
    pid[strspn(pid, "0123456789")] = '\0';
    iol_error_set(err, -EBUSY, "a recorder%s%s uses the spool %s, and may change it", pid[0] ? ", pid " : "", pid, dir);
    iol_error_hint(err, "it sends what waits there by itself; or stop it first");
    return -EBUSY;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t last_segment(int dir_fd)
{
    _cleanup_close_ int fd = dup(dir_fd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    uint64_t first, last = 0;

    if (!dir)
        return UINT64_MAX; /* whatever they are */
    fd = -1;
    while ((entry = readdir(dir)))
        if (iol_segment_is_name(entry->d_name, &first))
            last = max(last, first);
    closedir(dir);
    return last;
}

/* What a database may have, a recorder must not merge: the merged batch would have another identity. */
static int note_reading(int dir_fd)
{
    struct iol_spool spool = {.dir_fd = dir_fd, .state_fd = -1};
    int r = iol_spool_read_state(&spool);

    if (r > 0) /* it cannot be read, and so the next recorder merges nothing */
        r = 0;
    else if (r == 0)
        spool.reading = max(spool.reading, last_segment(dir_fd));
    if (r == 0 && spool.reading > 0)
        r = iol_spool_write_state(&spool, true);
    iol_spool_close_fd(&spool.state_fd);
    return r;
}

int iol_spool_hold(const char *dir, int *ret_fd, struct iol_error *err)
{
    _cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_close_ int fd = dir_fd < 0 ? -1 : openat(dir_fd, "lock", O_RDONLY | O_CLOEXEC);

    if (dir_fd < 0 || (fd < 0 && errno != ENOENT))
        return iol_error_set(err, -errno, "cannot read the folder %s: %s", dir, strerror(errno));
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        return busy(dir, fd, err);
    if (fd >= 0 && faccessat(dir_fd, "state", F_OK, 0) == 0) {
        int r = note_reading(dir_fd);
        if (r < 0 && r != -EROFS) /* nobody merges there */
            return iol_error_set(err, r, "cannot protect the spool %s from merging: %s", dir, strerror(-r));
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}
