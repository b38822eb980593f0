// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

static bool set_streams(const struct iol_child_streams *streams)
{
    const int wanted[] = {streams->in, streams->out, streams->err};

    for (int fd = 0; fd < (int)IOL_ARRAY_SIZE(wanted); fd++)
        if (wanted[fd] >= 0 && wanted[fd] != fd && dup2(wanted[fd], fd) < 0)
            return false;
    return !streams->apart || setsid() >= 0;
}

/* In the child: waits at the gate, then becomes CMD. */
static _Noreturn void become_command(char **argv, const struct iol_child_streams *streams, int gate, int failed)
{
    sigset_t none;
    char byte;
    int code;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (read(gate, &byte, 1) != 1)
        _exit(127); /* the recorder gave up */
    close(gate);
    if (streams && !set_streams(streams))
        _exit(126);
    execvp(argv[0], argv);
    code = errno;
    if (write(failed, &code, sizeof(code)) != (ssize_t)sizeof(code))
        _exit(126);
    _exit(code == ENOENT ? 127 : 126);
}

/* As a shell has it. */
static int status_of(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int iol_child_start(struct iol_child *child, char **argv, const struct iol_child_streams *streams,
                    struct iol_error *err)
{
    int gate[2], failed[2];
    pid_t pid;

    *child = (struct iol_child){.gate = -1, .failed = -1};
    if (pipe2(gate, O_CLOEXEC) < 0)
        return iol_error_set(err, -errno, "cannot create a pipe: %m");
    if (pipe2(failed, O_CLOEXEC) < 0) {
        close(gate[0]);
        close(gate[1]);
        return iol_error_set(err, -errno, "cannot create a pipe: %m");
    }
    pid = fork();
    if (pid == 0) {
        close(gate[1]);
        close(failed[0]);
        become_command(argv, streams, gate[0], failed[1]);
    }
    close(gate[0]);
    close(failed[1]);
    child->gate = gate[1];
    child->failed = failed[0];
    if (pid < 0) {
        int code = errno;

        iol_child_done(child);
        return iol_error_set(err, -code, "cannot fork: %s", strerror(code));
    }
    child->pid = pid;
    return 0;
}

/* It waited for nothing else, so a signal has ended it. */
static int ended_before(struct iol_child *child, const char *name, int *ret_status, struct iol_error *err)
{
    int status = 0;

    waitpid(child->pid, &status, 0);
    child->pid = 0;
    *ret_status = status_of(status);
    return iol_error_set(err, -EINTR, "%s was interrupted before it began", name);
}

int iol_child_release(struct iol_child *child, const char *name, int *ret_status, struct iol_error *err)
{
    int code = 0;
    ssize_t n;

    if (write(child->gate, "", 1) != 1) /* SIGPIPE is ignored */
        return ended_before(child, name, ret_status, err);
    close(TAKE_FD(child->gate));
    do
        n = read(child->failed, &code, sizeof(code)); /* ends without a byte when the exec closes the pipe */
    while (n < 0 && errno == EINTR);
    close(TAKE_FD(child->failed));
    if (n != (ssize_t)sizeof(code))
        return 0;
    *ret_status = code == ENOENT ? 127 : 126;
    return iol_error_set(err, -code, "cannot run %s: %s", name, strerror(code));
}

bool iol_child_ended(struct iol_child *child, int *ret_status)
{
    int status;

    if (child->pid <= 0 || waitpid(child->pid, &status, WNOHANG) != child->pid)
        return false;
    child->pid = 0;
    *ret_status = status_of(status);
    return true;
}

void iol_child_done(struct iol_child *child)
{
    bool waiting = child->gate >= 0;

    if (child->gate >= 0)
        close(TAKE_FD(child->gate));
    if (child->failed >= 0)
        close(TAKE_FD(child->failed));
    if (waiting && child->pid > 0) {
        waitpid(child->pid, NULL, 0);
        child->pid = 0;
    }
}
