// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

struct iol_new_file {
    FILE *stream;
    char *path;  /* without symbolic links; NULL: stdout */
    char *aside; /* what is written to; NULL: written directly */
};

/* Of the one that is being written: a signal that ends us takes it away. Once it has its name, no signal but SIGPIPE ends us. */
static char unfinished[PATH_MAX];

static void on_signal(int signum)
{
    unlink(unfinished);
    raise(signum); /* SA_RESETHAND: as if nobody had caught it */
}

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

static void replace_handler(int signum, void (*from)(int), void (*to)(int))
{
    const struct sigaction action = {.sa_handler = to, .sa_flags = to == on_signal ? SA_RESETHAND | SA_NODEFER : 0};
    struct sigaction now;

    if (sigaction(signum, NULL, &now) == 0 && now.sa_handler == from)
        sigaction(signum, &action, NULL);
}

static void replace_handlers(void (*from)(int), void (*to)(int))
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(signals); i++)
        replace_handler(signals[i], from, to);
}

/* Signals with a handler, or that are ignored, are somebody else's affair. */
static void watch_signals(const char *path)
{
    snprintf(unfinished, sizeof(unfinished), "%s", path);
    replace_handlers(SIG_DFL, on_signal);
}

/* Of those that are watched: whoever is killed has changed nothing. */
static void ignore_signals(void)
{
    replace_handler(SIGPIPE, on_signal, SIG_DFL);
    replace_handlers(on_signal, SIG_IGN);
}

static void block_signals(sigset_t *ret_before)
{
    sigset_t ours;

    sigemptyset(&ours);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(signals); i++)
        sigaddset(&ours, signals[i]);
    pthread_sigmask(SIG_BLOCK, &ours, ret_before);
}

static int fail(struct iol_error *err, int code, const char *path)
{
    iol_error_set(err, -code, "cannot write %s: %s", path, strerror(code));
    if (code == ENOENT)
        iol_error_hint(err, "its directory does not exist; make it, or give another path with -o");
    else if (code == EACCES || code == EROFS || code == EPERM)
        iol_error_hint(err, "give a path with -o where you may write, or '-' for standard output");
    return -code;
}

int iol_new_file_check(const char *path, struct iol_error *err)
{
    _cleanup_free_ char *target = realpath(path, NULL), *copy = strdup(target ? target : path);
    struct stat st;

    if (strcmp(path, "-") == 0)
        return 0;
    if (!copy)
        return fail(err, ENOMEM, path);
    if (target && stat(target, &st) == 0 && !S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? fail(err, EISDIR, path) : 0;
    return access(dirname(copy), W_OK | X_OK) < 0 ? fail(err, errno, path) : 0;
}

/* No signal comes between the file and what takes it away. The mode is that of any new file; mkstemp(3) would make it private. */
static int create(const char *path)
{
    sigset_t before;
    int fd, code;

    block_signals(&before);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    code = errno;
    if (fd >= 0)
        watch_signals(path);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fd >= 0 ? fd : -code;
}

static int open_aside(struct iol_new_file *file)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        unsigned number;
        int fd;

        if (getrandom(&number, sizeof(number), 0) != sizeof(number) ||
            asprintf(&file->aside, "%s.%08x", file->path, number) < 0) {
            file->aside = NULL;
            return -ENOMEM;
        }
        fd = create(file->aside);
        if (fd >= 0)
            return fd;
        free(TAKE_PTR(file->aside));
        if (fd != -EEXIST)
            return fd;
    }
    return -EEXIST;
}

static int open_path(struct iol_new_file *file, const char *path, struct iol_error *err)
{
    struct stat st;
    int fd;

    /* A symbolic link stays what it is: it is its target that is written. */
    file->path = realpath(path, NULL);
    if (!file->path)
        file->path = strdup(path);
    if (!file->path)
        return fail(err, ENOMEM, path);
    if (stat(file->path, &st) == 0 && S_ISDIR(st.st_mode))
        return fail(err, EISDIR, path);
    fd = stat(file->path, &st) == 0 && !S_ISREG(st.st_mode) ? open(file->path, O_WRONLY | O_CLOEXEC) : open_aside(file);
    if (fd < 0)
        return fail(err, fd == -1 ? errno : -fd, path);
    file->stream = fdopen(fd, "w");
    if (file->stream)
        return 0;
    close(fd);
    return fail(err, ENOMEM, path);
}

int iol_new_file_open(const char *path, struct iol_new_file **ret_file, struct iol_error *err)
{
    struct iol_new_file *file = calloc(1, sizeof(*file));
    int r = 0;

    if (!file)
        return fail(err, ENOMEM, path);
    if (strcmp(path, "-") == 0)
        file->stream = stdout;
    else
        r = open_path(file, path, err);
    if (r < 0)
        iol_new_file_free(file);
    else
        *ret_file = file;
    return r;
}

FILE *iol_new_file_stream(struct iol_new_file *file)
{
    return file->stream;
}

static int close_stream(struct iol_new_file *file)
{
    int code = 0;

    if (fflush(file->stream) != 0 || (file->aside && fsync(fileno(file->stream)) < 0))
        code = -errno;
    if (fclose(TAKE_PTR(file->stream)) != 0 && code == 0)
        code = -errno;
    return code;
}

/* A signal that came in between is forgotten when it has its name, and ends us when it has not. */
static int give_name(const struct iol_new_file *file)
{
    sigset_t before;
    int r = 0;

    block_signals(&before);
    if (rename(file->aside, file->path) < 0)
        r = -errno;
    else
        ignore_signals();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int iol_new_file_finish(struct iol_new_file *file, int written, long long *ret_size, struct iol_error *err)
{
    if (!file->path || written < 0)
        return !file->path ? written : fail(err, -written, file->path);
    *ret_size = ftello(file->stream);
    written = close_stream(file);
    if (written == 0 && file->aside)
        written = give_name(file);
    if (written < 0)
        return fail(err, -written, file->path);
    free(TAKE_PTR(file->aside));
    return 0;
}

void iol_new_file_free(struct iol_new_file *file)
{
    if (!file)
        return;
    if (file->stream && file->path)
        fclose(file->stream);
    if (file->aside) {
        unlink(file->aside);
        replace_handlers(on_signal, SIG_DFL);
    }
    free(file->aside);
    free(file->path);
    free(file);
}
