// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/control_client.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#define CONNECT_PATIENCE_MS 2000 /* while others keep the recorder's queue of connections full */

struct owned_answer {
    char *text;
    size_t length, room;
};

static int refused(int r, const char *path, struct iol_error *err)
{
    iol_error_set(err, r, "cannot ask the recorder that listens on %s: %s", path, strerror(-r));
    if (r == -EACCES || r == -EPERM)
        iol_error_hint(err, "only its own user and root may ask it");
    return r;
}

/* Who listens there: only root, this user and `owner` may say what they like. */
static int add_recorder(struct iol_recorders *recorders, const char *path, uid_t owner, pid_t pid,
                        struct iol_error *err)
{
    struct iol_recorder *recorder = &recorders->items[recorders->n];
    struct ucred peer = {0};
    socklen_t size = sizeof(peer);
    _cleanup_close_ int fd = -1;

    if (recorders->n == IOL_CONTROL_RECORDERS_MAX)
        return 0;
    fd = iol_control_connect(path, CONNECT_PATIENCE_MS);
    if (fd < 0)
        return fd;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return refused(-errno, path, err);
    if (peer.uid != 0 && peer.uid != geteuid() && peer.uid != owner)
        return refused(-EPERM, path, err);
    if (pid && peer.pid != pid)
        return 0;
    snprintf(recorder->path, sizeof(recorder->path), "%s", path);
    recorder->pid = peer.pid;
    recorder->fd = TAKE_FD(fd);
    recorders->n++;
    return 0;
}

static bool is_socket(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), end = strlen(IOL_CONTROL_SUFFIX);

    return strncmp(entry->d_name, IOL_CONTROL_PREFIX, strlen(IOL_CONTROL_PREFIX)) == 0 && length > end &&
           strcmp(entry->d_name + length - end, IOL_CONTROL_SUFFIX) == 0;
}

static int by_pid(const void *a, const void *b)
{
    const struct iol_recorder *left = a, *right = b;

    return (left->pid > right->pid) - (left->pid < right->pid);
}

static int find_in(const char *folder, pid_t pid, struct iol_recorders *recorders, struct iol_error *err)
{
    const struct dirent *entry;
    DIR *dir = opendir(folder);
    struct stat found;
    int r = 0;

    /* root's may belong to the user of the system service */
    if (dir && fstat(dirfd(dir), &found) < 0)
        r = -errno;
    while (dir && r == 0 && (entry = readdir(dir))) {
        char path[IOL_CONTROL_PATH_MAX];

        if (!is_socket(entry) || (size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) >= sizeof(path))
            continue;
        r = add_recorder(recorders, path, found.st_uid, pid, err);
        if (r == -ECONNREFUSED)
            unlink(path); /* its recorder is dead, see app/control.h */
        if (r == -ECONNREFUSED || r == -ENOENT)
            r = 0;
        else if (r < 0)
            refused(r, path, err);
    }
    if (dir)
        closedir(dir);
    qsort(recorders->items, recorders->n, sizeof(recorders->items[0]), by_pid);
    return r;
}

static int none(pid_t pid, struct iol_error *err)
{
    if (pid)
        iol_error_set(err, -ENOENT, "process %d is not a recorder that can be asked", pid);
    else
        iol_error_set(err, -ENOENT, "no recorder is running%s", geteuid() == 0 ? "" : " as this user");
    if (geteuid() != 0)
        iol_error_hint(err, "those of root are for root to ask: try sudo");
    return -ENOENT;
}

int iol_recorders_find(const char *path, pid_t pid, struct iol_recorders *ret_recorders, struct iol_error *err)
{
    char folder[IOL_CONTROL_PATH_MAX];
    int r;

    ret_recorders->n = 0;
    if (path) {
        r = strlen(path) < IOL_CONTROL_PATH_MAX ? add_recorder(ret_recorders, path, geteuid(), pid, err)
                                                : -ENAMETOOLONG;
        if (r == -ENOENT || r == -ECONNREFUSED)
            return iol_error_set(err, -ENOENT, "no recorder listens on %s", path);
        if (r < 0)
            return refused(r, path, err);
    } else {
        r = iol_control_folder(folder, sizeof(folder), NULL);
        if (r == 0)
            r = find_in(folder, pid, ret_recorders, err);
        if (r < 0 && r != -ENOENT) {
            iol_recorders_done(ret_recorders);
            return r;
        }
    }
    return ret_recorders->n > 0 ? 0 : none(pid, err);
}

void iol_recorders_done(struct iol_recorders *recorders)
{
    while (recorders->n > 0)
        close(recorders->items[--recorders->n].fd);
}

int iol_recorder_send(const struct iol_recorder *recorder, const char *command, struct iol_error *err)
{
    char request[IOL_CONTROL_REQUEST_MAX];
    int length =
        snprintf(request, sizeof(request), "{\"version\": %d, \"command\": \"%s\"}\n", IOL_CONTROL_VERSION, command);

    /* a new connection has room for that */
    if (send(recorder->fd, request, (size_t)length, MSG_NOSIGNAL) != length)
        return iol_error_set(err, -EPIPE, "recorder %d has hung up; it may have ended just now", recorder->pid);
    return 0;
}

/* Takes what is there: 1 the line is complete, 0 not yet, or -errno. */
static int take_piece(int fd, struct owned_answer *answer)
{
    ssize_t n;

    if (answer->length == IOL_CONTROL_ANSWER_MAX ||
        iol_array_reserve(&answer->text, &answer->room, answer->length + 1, sizeof(*answer->text)) < 0)
        return -ENOMEM;
    n = recv(fd, answer->text + answer->length, answer->room - answer->length, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (n == 0)
        return -EPIPE;
    answer->length += (size_t)n;
    return answer->text[answer->length - 1] == '\n';
}

static int understand(const struct iol_recorder *recorder, const struct owned_answer *answer, json_t **ret_answer,
                      struct iol_error *err)
{
    json_error_t error;
    json_t *object = json_loadb(answer->text, answer->length, 0, &error);
    const char *refusal = json_string_value(json_object_get(object, "error"));
    int r = 1;

    if (!json_is_object(object))
        r = iol_error_set(err, -EPROTO, "what process %d answers on %s is not understood", recorder->pid,
                          recorder->path);
    else if (json_integer_value(json_object_get(object, "version")) != IOL_CONTROL_VERSION)
        r = iol_error_set(err, -EPROTO, "recorder %d is of another version, and does not understand", recorder->pid);
    else if (refusal)
        r = iol_error_set(err, -EACCES, "recorder %d refuses: %s", recorder->pid, refusal);
    if (r < 0)
        json_decref(object);
    else
        *ret_answer = object;
    return r;
}

int iol_recorder_receive(const struct iol_recorder *recorder, int timeout_ms, json_t **ret_answer,
                         struct iol_error *err)
{
    uint64_t until = iol_boot_ns() + (uint64_t)timeout_ms * 1000000;
    struct owned_answer answer = {0};
    int r = 0;

    while (r == 0) {
        uint64_t now = iol_boot_ns();
        struct pollfd fd = {.fd = recorder->fd, .events = POLLIN};

        if (poll(&fd, 1, now < until ? (int)((until - now) / 1000000 + 1) : 0) <= 0 && now >= until)
            break;
        if (fd.revents)
            r = take_piece(recorder->fd, &answer);
    }
    if (r == -EPIPE)
        iol_error_set(err, r, "recorder %d has hung up; it may have ended just now", recorder->pid);
    else if (r < 0)
        iol_error_set(err, r, "recorder %d answers too much", recorder->pid);
    else if (r > 0)
        r = understand(recorder, &answer, ret_answer, err);
    free(answer.text);
    return r;
}

int iol_recorder_reconnect(const struct iol_recorder *recorder, struct iol_recorder *ret_recorder,
                           struct iol_error *err)
{
    int fd = iol_control_connect(recorder->path, CONNECT_PATIENCE_MS);

    if (fd < 0)
        return refused(fd, recorder->path, err);
    *ret_recorder = *recorder;
    ret_recorder->fd = fd;
    return 0;
}

int iol_recorder_receive_status(const struct iol_recorder *recorder, int timeout_ms, json_t **ret_status,
                                struct iol_error *err)
{
    json_t *answer = NULL, *status;
    int r = iol_recorder_receive(recorder, timeout_ms, &answer, err);

    if (r == 0)
        return iol_error_set(err, -ETIMEDOUT, "recorder %d does not answer", recorder->pid);
    if (r < 0)
        return r;
    status = json_incref(json_object_get(answer, "status"));
    json_decref(answer);
    if (!json_is_object(status)) {
        json_decref(status);
        return iol_error_set(err, -EPROTO, "recorder %d tells no status", recorder->pid);
    }
    *ret_status = status;
    return 0;
}

const char *iol_status_text(const json_t *status, const char *key)
{
    return json_string_value(json_object_get(status, key));
}

long long iol_status_int(const json_t *status, const char *key)
{
    const json_t *value = json_object_get(status, key);

    return json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
}

bool iol_status_has(const json_t *status, const char *key)
{
    const json_t *value = json_object_get(status, key);

    return value && !json_is_null(value);
}
