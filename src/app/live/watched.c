// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/watched.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#define SHOW_BYTES (1 << 20)
#define DOTS "..."
#define LEAST_COMMAND 20 /* columns, however long it takes to say how it is */

/* It goes away with the last that writes to it, whatever happens to us. */
static int open_nameless(struct iol_error *err)
{
    const char *folder = getenv("TMPDIR");
    _cleanup_free_ char *path = NULL;
    int fd;

    if (asprintf(&path, "%s/ioledger-top-XXXXXX", folder && *folder ? folder : "/tmp") < 0)
        return iol_error_set(err, -ENOMEM, "out of memory");
    fd = mkostemp(path, O_CLOEXEC | O_APPEND);
    if (fd < 0) {
        iol_error_set(err, -errno, "cannot create a file for what CMD prints, %s: %m", path);
        iol_error_hint(err, "choose another place with --output FILE, or another folder with TMPDIR");
        return -errno;
    }
    unlink(path);
    return fd;
}

static int open_output(const char *path, bool screen, struct iol_error *err)
{
    int fd;

    if (!path)
        return screen ? open_nameless(err) : -1;
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0 && (errno == EINVAL || errno == EACCES)) /* a device or a pipe that is only written to */
        fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd < 0 ? iol_error_set(err, -errno, "cannot write what CMD prints to %s: %m", path) : fd;
}

int iol_watched_start(struct iol_watched *watched, char **argv, const char *output, bool screen, struct iol_error *err)
{
    _cleanup_close_ int nothing = screen ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    struct iol_child_streams streams = {.in = nothing, .out = -1, .err = -1, .apart = screen};
    int r = open_output(output, screen, err);

    if (r < 0 && (output || screen))
        return r;
    watched->output = r;
    watched->shows = screen && !output;
    watched->argv = argv;
    watched->apart = screen;
    if (r >= 0) {
        streams.out = r;
        streams.err = output || isatty(STDERR_FILENO) ? r : -1;
    } else {
        streams.out = STDERR_FILENO;
    }
    return iol_child_start(&watched->child, argv, &streams, err);
}

int iol_watched_release(struct iol_watched *watched, struct iol_error *err)
{
    int r = iol_child_release(&watched->child, watched->argv[0], &watched->status, err);

    watched->started_ns = iol_boot_ns();
    return r;
}

bool iol_watched_runs(const struct iol_watched *watched)
{
    return watched->child.pid > 0;
}

void iol_watched_look(struct iol_watched *watched)
{
    if (watched->child.pid <= 0 || !iol_child_ended(&watched->child, &watched->status))
        return;
    watched->ended = true;
    watched->ended_ns = iol_boot_ns();
}

void iol_watched_signal(const struct iol_watched *watched, int signum)
{
    if (watched->child.pid > 0 && (watched->apart || signum != SIGINT))
        kill(watched->apart ? -watched->child.pid : watched->child.pid, signum);
}

/* As much of the command as has room. */
static size_t say_command(char *const *argv, char *buf, size_t size)
{
    size_t used = 0;

    for (; *argv && used < size; argv++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? " " : "", *argv);
    return used < size ? used : size - 1;
}

void iol_watched_say(const struct iol_watched *watched, uint64_t now_ns, size_t columns, char *buf, size_t size)
{
    size_t used = say_command(watched->argv, buf, size / 2), room;
    uint64_t end = watched->ended ? watched->ended_ns : now_ns;
    char lasted[32], state[80];

    iol_text_lasted(lasted, sizeof(lasted), (int64_t)(end - watched->started_ns));
    if (!watched->ended)
        snprintf(state, sizeof(state), ": runs, %s", lasted);
    else if (watched->status > 128)
        snprintf(state, sizeof(state), ": ended by signal %d after %s", watched->status - 128, lasted);
    else
        snprintf(state, sizeof(state), ": ended with status %d after %s", watched->status, lasted);
    room = columns > strlen(state) + LEAST_COMMAND ? columns - strlen(state) : LEAST_COMMAND;
    if (iol_text_width(buf) > room) {
        used = iol_text_head(buf, room - strlen(DOTS));
        used += (size_t)snprintf(buf + used, size - used, DOTS);
    }
    snprintf(buf + used, size - used, "%s", state);
}

static void copy(int from, off_t at)
{
    static char buf[1 << 16];
    ssize_t n;

    while ((n = pread(from, buf, sizeof(buf), at)) > 0) {
        if (fwrite(buf, 1, (size_t)n, stdout) != (size_t)n)
            return;
        at += n;
    }
    fflush(stdout);
}

/* Where the next line begins. */
static off_t line_after(int fd, off_t at)
{
    char buf[4096];
    ssize_t n = pread(fd, buf, sizeof(buf), at);
    const char *end = n > 0 ? memchr(buf, '\n', (size_t)n) : NULL;

    return end ? at + (end - buf) + 1 : at;
}

void iol_watched_show(const struct iol_watched *watched)
{
    struct stat st;
    off_t start = 0;
    char all[16], shown[16];

    if (!watched->shows || fstat(watched->output, &st) < 0 || st.st_size == 0)
        return;
    if (st.st_size > SHOW_BYTES) {
        start = line_after(watched->output, st.st_size - SHOW_BYTES);
        iol_log_info("%s has printed %s; these are the last %s (--output FILE keeps all)", watched->argv[0],
                     iol_text_size(all, sizeof(all), (uint64_t)st.st_size),
                     iol_text_size(shown, sizeof(shown), (uint64_t)(st.st_size - start)));
    }
    copy(watched->output, start);
}

void iol_watched_done(struct iol_watched *watched)
{
    iol_child_done(&watched->child);
    if (watched->output >= 0)
        close(TAKE_FD(watched->output));
}
