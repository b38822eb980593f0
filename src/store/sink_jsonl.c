// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/json_rows.h"
#include "store/sink.h"
#include "store/sink_driver.h"
#include "store/time_text.h"
#include "store/url.h"

#define BUFFER_SIZE ((size_t)64 * 1024)

/* A pipe that poll(2) calls writable takes this much without blocking, so an interrupt is seen in time. */
#define PIPE_PIECE ((size_t)4096)
#define POLL_MS 200

struct jsonl_sink {
    struct iol_sink sink;
    char *path;
    int fd;
    bool regular; /* can be cut back to where the batch began */
    atomic_bool interrupted;
    struct iol_time_text time_text;

    /*
     * What a pipe or a device has already taken of a batch that failed in the middle: the same batch makes the same
     * bytes again, and these are left out.
     */
    size_t taken;
    struct iol_batch_row taken_of;

    /* The batch being written. */
    char *buffer;
    size_t used;
    size_t skip;
};

static int jsonl_error(struct jsonl_sink *sink, int number, const char *doing, struct iol_error *err)
{
    int code = number == EDQUOT ? -ENOSPC : -number;

    if (code == -ENOSPC)
        iol_error_set(err, code, "no space left on the disk of %s", sink->path);
    else if (code == -EPIPE)
        iol_error_set(err, code, "nobody reads %s any more", sink->path);
    else if (code == -ENXIO)
        iol_error_set(err, code, "nobody reads %s", sink->path);
    else
        iol_error_set(err, code, "cannot %s %s: %s", doing, sink->path, strerror(number));
    if (code == -ENOSPC)
        iol_error_hint(err, "free some space on that filesystem, or give a path on another one");
    else if (code == -ENOENT || code == -ENOTDIR)
        iol_error_hint(err, "create the directory first, or give another path");
    else if (code == -ENXIO)
        iol_error_hint(err, "start what reads from it first");
    else if (code == -EACCES || code == -EROFS || code == -EPERM || code == -EISDIR)
        iol_error_hint(err, "give the path of a file that you may write, or jsonl:- for stdout");
    return code;
}

/* write(2) without the signal: a reader that has gone is an error like any other. */
static ssize_t write_no_signal(int fd, const char *data, size_t size)
{
    static const struct timespec now;
    sigset_t pipe_set, before, pending;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
    ssize_t n = write(fd, data, size);
    int number = errno;
    if (n < 0 && number == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return n;
}

/* Waits until a pipe or a terminal takes more; -EAGAIN when interrupted meanwhile. */
static int wait_writable(struct jsonl_sink *sink)
{
    struct pollfd poll_fd = {.fd = sink->fd, .events = POLLOUT};

    for (;;) {
        if (atomic_exchange(&sink->interrupted, false))
            return -EAGAIN;
        int n = poll(&poll_fd, 1, POLL_MS);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
    }
}

static int flush(struct jsonl_sink *sink, struct iol_error *err)
{
    size_t at = sink->skip < sink->used ? sink->skip : sink->used;

    sink->skip -= at;
    while (at < sink->used) {
        size_t size = sink->used - at;
        if (!sink->regular) {
            if (wait_writable(sink) == -EAGAIN)
                return iol_error_set(err, -EAGAIN, "writing to %s was interrupted", sink->path);
            size = size < PIPE_PIECE ? size : PIPE_PIECE;
        }
        ssize_t n = write_no_signal(sink->fd, sink->buffer + at, size);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return jsonl_error(sink, errno, "write to", err);
        at += (size_t)n;
        sink->taken += sink->regular ? 0 : (size_t)n;
    }
    sink->used = 0;
    return 0;
}

struct output {
    struct jsonl_sink *sink;
    struct iol_error *err;
};

static int put(const char *data, size_t size, void *arg)
{
    struct output *output = arg;
    struct jsonl_sink *sink = output->sink;

    while (size > 0) {
        if (sink->used == BUFFER_SIZE) {
            int r = flush(sink, output->err);
            if (r < 0)
                return r;
        }
        size_t room = BUFFER_SIZE - sink->used;
        size_t n = size < room ? size : room;
        memcpy(sink->buffer + sink->used, data, n);
        sink->used += n;
        data += n;
        size -= n;
    }
    return 0;
}

static bool same_batch(const struct iol_batch_row *a, const struct iol_batch_row *b)
{
    return a->host_id == b->host_id && a->seq == b->seq && a->ts == b->ts;
}

static int jsonl_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    struct jsonl_sink *sink = (struct jsonl_sink *)base;
    const struct iol_batch_row *row = batch->rows[IOL_TABLE_BATCH].data;
    struct output output = {.sink = sink, .err = err};
    off_t begin = 0;

    if (sink->regular) {
        begin = lseek(sink->fd, 0, SEEK_END);
        if (begin < 0)
            return jsonl_error(sink, errno, "write to", err);
    } else if (sink->taken > 0 && !same_batch(&sink->taken_of, row)) {
        sink->taken = 0;
    }
    sink->used = 0;
    sink->skip = sink->taken;
    sink->taken_of = *row;
    sink->taken_of.boot_id = NULL; /* belongs to the batch */

    int r = iol_json_write_rows(&sink->time_text, batch, put, &output, err);
    if (r == 0)
        r = flush(sink, err);
    if (r == 0)
        sink->taken = 0;
    else if (sink->regular && ftruncate(sink->fd, begin) < 0)
        return jsonl_error(sink, EIO, "undo half a batch in", err);
    return r;
}

static void jsonl_interrupt(struct iol_sink *base)
{
    atomic_store(&((struct jsonl_sink *)base)->interrupted, true);
}

static void jsonl_close(struct iol_sink *base)
{
    struct jsonl_sink *sink = (struct jsonl_sink *)base;

    if (sink->fd >= 0)
        close(sink->fd);
    free(sink->buffer);
    free(sink->path);
    free(sink);
}

static int foreign(struct jsonl_sink *sink, struct iol_error *err)
{
    iol_error_set(err, -EEXIST, "%s has something else in it than a ledger's rows", sink->path);
    iol_error_hint(err, "give the path of a new file, for example --db jsonl:ioledger.jsonl");
    return -EEXIST;
}

/* Where the line that begins there ends: just behind its newline; 0: it does not. */
static off_t line_end(int fd, off_t from)
{
    char piece[4096];
    ssize_t n = pread(fd, piece, sizeof(piece), from);
    const char *newline = n > 0 ? memchr(piece, '\n', (size_t)n) : NULL;

    return newline ? from + (newline - piece) + 1 : 0;
}

/* Where the last whole batch ends: behind its own row, which is its last one. 0: there is none. */
static off_t last_batch_end(int fd, off_t size)
{
    static const char row[] = "\n" IOL_JSON_LINE_START "batch\"";
    const off_t length = sizeof(row) - 1;
    _cleanup_free_ char *piece = malloc(BUFFER_SIZE);

    if (!piece)
        return -1;
    for (off_t to = size; to > 0;) {
        off_t from = to > (off_t)BUFFER_SIZE ? to - (off_t)BUFFER_SIZE : 0;
        ssize_t n = pread(fd, piece, (size_t)(to - from), from);
        if (n != to - from)
            return -1;
        for (ssize_t at = n - length; at >= 0; at--) {
            if (piece[at] != '\n' || memcmp(piece + at, row, (size_t)length) != 0)
                continue;
            off_t end = line_end(fd, from + at + 1);
            if (end > 0)
                return end;
        }
        to = from > 0 ? from + length - 1 : 0; /* it may lie across */
    }
    return size >= length && memcmp(piece, row + 1, (size_t)length - 1) == 0 ? line_end(fd, 0) : 0;
}

/* A file that is continued holds rows and ends in a whole batch; half a batch of a recorder that was killed is cut off. */
static int check_file(struct jsonl_sink *sink, off_t size, struct iol_error *err)
{
    size_t length = strlen(IOL_JSON_LINE_START);
    char start[sizeof(IOL_JSON_LINE_START)];

    if (size == 0)
        return 0;
    size_t known = (size_t)size < length ? (size_t)size : length;
    if (pread(sink->fd, start, known, 0) != (ssize_t)known || memcmp(start, IOL_JSON_LINE_START, known) != 0)
        return foreign(sink, err);
    off_t end = last_batch_end(sink->fd, size);
    if (end < 0)
        return jsonl_error(sink, EIO, "read", err);
    return end == size || ftruncate(sink->fd, end) == 0 ? 0 : jsonl_error(sink, errno, "write to", err);
}

/* Continued from wherever the shell's > or >> has put it: what is before is not ours to judge. */
static int open_stdout(struct jsonl_sink *sink, struct iol_error *err)
{
    struct stat st;

    sink->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (sink->fd < 0 || fstat(sink->fd, &st) < 0)
        return jsonl_error(sink, errno, "write to", err);
    if ((fcntl(sink->fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        return jsonl_error(sink, EBADF, "write to", err);
    sink->regular = S_ISREG(st.st_mode);
    return 0;
}

/* Who has a FIFO open for reading too is never told that its reader has gone. */
static int open_to_write(const char *path)
{
    struct stat st;
    int fd;

    if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0 && (errno == EACCES || errno == EINVAL))
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
    return fd;
}

static int open_file(struct jsonl_sink *sink, struct iol_error *err)
{
    struct stat st;

    sink->fd = open_to_write(sink->path);
    if (sink->fd < 0 || fstat(sink->fd, &st) < 0)
        return jsonl_error(sink, errno, "write to", err);
    sink->regular = S_ISREG(st.st_mode);
    if (!sink->regular)
        return 0;
    if (flock(sink->fd, LOCK_EX | LOCK_NB) < 0) {
        iol_error_set(err, -EBUSY, "another recorder is writing to %s", sink->path);
        iol_error_hint(err, "stop it first, or record into another file");
        return -EBUSY;
    }
    return check_file(sink, st.st_size, err);
}

static int jsonl_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                      struct iol_error *err)
{
    const char *path;
    int r = iol_url_path(url, "jsonl", &path, err);

    (void)options;
    if (r < 0)
        return r;
    struct jsonl_sink *sink = calloc(1, sizeof(*sink));
    if (!sink)
        return iol_error_set(err, -ENOMEM, "out of memory");
    bool is_stdout = strcmp(path, "-") == 0;
    sink->sink.ops = &iol_sink_jsonl_ops;
    sink->fd = -1;
    sink->path = strdup(is_stdout ? "stdout" : path);
    sink->buffer = malloc(BUFFER_SIZE);
    if (!sink->path || !sink->buffer)
        r = iol_error_set(err, -ENOMEM, "out of memory");
    else
        r = is_stdout ? open_stdout(sink, err) : open_file(sink, err);
    if (r < 0) {
        jsonl_close(&sink->sink);
        return r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

const struct iol_sink_ops iol_sink_jsonl_ops = {
    .scheme = "jsonl",
    .open = jsonl_open,
    .write = jsonl_write,
    .interrupt = jsonl_interrupt,
    .close = jsonl_close,
};
