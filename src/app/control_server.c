// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/control_server.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/control.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#define MAX_CLIENTS 16
#define MAX_WAITING 8             /* of them for the end of the recording */
#define PATIENCE_NS 2000000000ULL /* for a peer to send its line, and to take the answer */
#define GRACE_NS 100000000ULL     /* that much of it even when others want its place */
#define MAX_ACCEPTS 8             /* in a row; then the recording has its turn for so long: */
#define REST_NS 20000000ULL
#define END_PATIENCE_MS 200 /* for all who wait, when the recording has ended */

enum client_state { CLIENT_ASKS, CLIENT_WAITS /* for the end */, CLIENT_READS };

struct client {
    int fd; /* -1: a free place */
    enum client_state state;
    uint64_t deadline_ns; /* not while it waits */
    size_t got;           /* bytes in request */
    char request[IOL_CONTROL_REQUEST_MAX];
    char *answer;
    size_t length, sent;
};

struct iol_control {
    char path[IOL_CONTROL_PATH_MAX];
    dev_t dev; /* of the socket's name, to remove it and no other's */
    ino_t inode;
    bool named;
    int listener, epoll;
    bool listening; /* the listener is in epoll */
    uint64_t rest_until_ns;
    const struct iol_control_ops *ops;
    void *arg;
    struct client clients[MAX_CLIENTS];
};

static void drop(struct client *client)
{
    close(client->fd); /* which takes it out of epoll */
    free(client->answer);
    client->answer = NULL;
    client->fd = -1;
}

static void set_listening(struct iol_control *control, bool listening)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MAX_CLIENTS};

    if (control->listening == listening)
        return;
    epoll_ctl(control->epoll, listening ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, control->listener, &event);
    control->listening = listening;
}

static void watch(struct iol_control *control, struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(client - control->clients)};

    if (epoll_ctl(control->epoll, operation, client->fd, &event) < 0)
        drop(client);
}

/* Sends what can be sent now; the rest when the peer has taken it. */
static void send_answer(struct iol_control *control, struct client *client)
{
    while (client->sent < client->length) {
        ssize_t n =
            send(client->fd, client->answer + client->sent, client->length - client->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            watch(control, client, EPOLL_CTL_MOD, EPOLLOUT);
            return;
        }
        if (n < 0) {
            drop(client);
            return;
        }
        client->sent += (size_t)n;
    }
    drop(client);
}

/* Steals the object, which may be NULL: no memory. */
static void answer(struct iol_control *control, struct client *client, json_t *object)
{
    char *text = NULL;

    if (object && json_object_set_new(object, "version", json_integer(IOL_CONTROL_VERSION)) == 0)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (!text) {
        drop(client);
        return;
    }
    client->length = strlen(text);
    text[client->length++] = '\n'; /* in the place of the NUL */
    client->answer = text;
    client->sent = 0;
    client->state = CLIENT_READS;
    client->deadline_ns = iol_boot_ns() + PATIENCE_NS;
    send_answer(control, client);
}

static void refuse(struct iol_control *control, struct client *client, const char *why)
{
    answer(control, client, json_pack("{s:s}", "error", why));
}

static void wait_for_end(struct iol_control *control, struct client *client)
{
    size_t waiting = 0;

    for (size_t i = 0; i < MAX_CLIENTS; i++)
        waiting += control->clients[i].fd >= 0 && control->clients[i].state == CLIENT_WAITS;
    /* the wish is fulfilled all the same */
    control->ops->stop(control->arg);
    if (waiting >= MAX_WAITING) {
        refuse(control, client, "the recording ends, but too many wait for that already");
        return;
    }
    client->state = CLIENT_WAITS;
    watch(control, client, EPOLL_CTL_MOD, 0); /* it is still told when the peer hangs up */
}

static void take_request(struct iol_control *control, struct client *client, size_t length)
{
    json_error_t error;
    json_t *request = json_loadb(client->request, length, JSON_REJECT_DUPLICATES, &error);
    const char *command = json_string_value(json_object_get(request, "command"));

    if (!json_is_object(request))
        refuse(control, client, "this is not one line with an object of JSON");
    else if (json_integer_value(json_object_get(request, "version")) != IOL_CONTROL_VERSION)
        refuse(control, client, "this recorder speaks version 1 of the protocol");
    else if (command && strcmp(command, "status") == 0)
        answer(control, client, json_pack("{s:o}", "status", control->ops->status(control->arg)));
    else if (command && strcmp(command, "stop") == 0)
        wait_for_end(control, client);
    else
        refuse(control, client, "the commands are 'status' and 'stop'");
    json_decref(request);
}

static void receive(struct iol_control *control, struct client *client)
{
    size_t room = sizeof(client->request) - client->got;
    ssize_t n = recv(client->fd, client->request + client->got, room, MSG_DONTWAIT);
    const char *end;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(client);
        return;
    }
    client->got += (size_t)n;
    end = memchr(client->request, '\n', client->got);
    if (end)
        take_request(control, client, (size_t)(end - client->request));
    else if (client->got == sizeof(client->request))
        refuse(control, client, "the request is too long");
}

static void serve_client(struct iol_control *control, struct client *client, uint32_t events)
{
    if (client->fd < 0)
        return;
    if (client->state == CLIENT_ASKS)
        receive(control, client);
    else if (client->state == CLIENT_READS && !(events & (EPOLLHUP | EPOLLERR)))
        send_answer(control, client);
    else
        drop(client);
}

static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == geteuid() || peer.uid == 0);
}

/* A free one, or that of the peer who has been slow for longest. */
static struct client *find_place(struct iol_control *control, uint64_t now)
{
    struct client *slowest = NULL;

    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &control->clients[i];

        if (client->fd < 0)
            return client;
        if (client->state != CLIENT_WAITS && (!slowest || client->deadline_ns < slowest->deadline_ns))
            slowest = client;
    }
    if (!slowest || now + PATIENCE_NS < slowest->deadline_ns + GRACE_NS)
        return NULL;
    drop(slowest);
    return slowest;
}

/* Whoever does not fit stays in the kernel's queue for a while. */
static void accept_clients(struct iol_control *control, uint64_t now)
{
    for (int i = 0; i < MAX_ACCEPTS; i++) {
        struct client *client = find_place(control, now);
        int fd = client ? accept4(control->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;

        if (fd < 0 && client && errno == EAGAIN)
            return;
        if (fd < 0)
            break;
        *client = (struct client){.fd = fd, .deadline_ns = now + PATIENCE_NS};
        watch(control, client, EPOLL_CTL_ADD, EPOLLIN);
        if (client->fd >= 0 && !is_allowed(fd))
            refuse(control, client, "the recorder belongs to another user");
    }
    control->rest_until_ns = now + REST_NS;
    set_listening(control, false);
}

int iol_control_fd(const struct iol_control *control)
{
    return control->epoll;
}

void iol_control_serve(struct iol_control *control)
{
    struct epoll_event events[MAX_CLIENTS + 1];
    int n = epoll_wait(control->epoll, events, MAX_CLIENTS + 1, 0);
    uint64_t now = iol_boot_ns();

    for (int i = 0; i < n; i++) {
        if (events[i].data.u32 < MAX_CLIENTS)
            serve_client(control, &control->clients[events[i].data.u32], events[i].events);
    }
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &control->clients[i];

        if (client->fd >= 0 && client->state != CLIENT_WAITS && now >= client->deadline_ns)
            drop(client);
    }
    if (!control->listening && now >= control->rest_until_ns)
        set_listening(control, true);
    if (control->listening)
        accept_clients(control, now);
}

void iol_control_end(struct iol_control *control, json_t *object)
{
    uint64_t until = iol_boot_ns() + END_PATIENCE_MS * 1000000ULL;
    bool left;

    set_listening(control, false);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        struct client *client = &control->clients[i];

        if (client->fd >= 0 && client->state == CLIENT_WAITS) {
            watch(control, client, EPOLL_CTL_MOD, EPOLLOUT);
            if (client->fd >= 0)
                answer(control, client, json_copy(object));
        } else if (client->fd >= 0 && client->state == CLIENT_ASKS) {
            drop(client);
        }
    }
    json_decref(object);
    do {
        struct epoll_event events[MAX_CLIENTS];
        int n = epoll_wait(control->epoll, events, MAX_CLIENTS, END_PATIENCE_MS / 10);

        for (int i = 0; i < n; i++)
            serve_client(control, &control->clients[events[i].data.u32], events[i].events);
        left = false;
        for (size_t i = 0; i < MAX_CLIENTS; i++)
            left |= control->clients[i].fd >= 0;
    } while (left && iol_boot_ns() < until);
}

/* A socket of that name which nobody listens on any more is removed. -EADDRINUSE: somebody does; -EEXIST: it is no socket. */
static int make_room(const char *path)
{
    struct stat found;
    int fd;

    if (lstat(path, &found) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(found.st_mode))
        return -EEXIST;
    fd = iol_control_connect(path, 0);
    if (fd >= 0)
        close(fd);
    if (fd >= 0 || fd == -EAGAIN)
        return -EADDRINUSE;
    if (fd != -ECONNREFUSED)
        return fd;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

/* Makes the usual folder, and removes what dead recorders have left in it. */
static int prepare_folder(const char *folder, struct iol_error *err)
{
    struct stat found;
    const struct dirent *entry;
    DIR *dir;

    if (mkdir(folder, 0700) < 0 && errno != EEXIST)
        return iol_error_set(err, -errno, "cannot make the folder %s: %m", folder);
    /* the folder may be that of the system service, whose user is not root */
    if (lstat(folder, &found) < 0 || !S_ISDIR(found.st_mode) || (found.st_uid != geteuid() && geteuid() != 0))
        return iol_error_set(err, -EPERM, "%s is not a folder of this user", folder);
    if (found.st_mode & 077 && chmod(folder, 0700) < 0)
        return iol_error_set(err, -errno, "cannot close the folder %s to others: %m", folder);
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        char path[IOL_CONTROL_PATH_MAX];
        size_t length = strlen(entry->d_name), end = strlen(IOL_CONTROL_SUFFIX);

        if (strncmp(entry->d_name, IOL_CONTROL_PREFIX, strlen(IOL_CONTROL_PREFIX)) == 0 && length > end &&
            strcmp(entry->d_name + length - end, IOL_CONTROL_SUFFIX) == 0 &&
            (size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) < sizeof(path))
            make_room(path);
    }
    if (dir)
        closedir(dir);
    return 0;
}

static int choose_path(struct iol_control *control, const char *path, struct iol_error *err)
{
    char folder[IOL_CONTROL_PATH_MAX];
    size_t length;
    int r;

    if (path) {
        length = (size_t)snprintf(control->path, sizeof(control->path), "%s", path);
    } else {
        r = iol_control_folder(folder, sizeof(folder), err);
        if (r == 0)
            r = prepare_folder(folder, err);
        if (r < 0)
            return r;
        length = (size_t)snprintf(control->path, sizeof(control->path),
                                  "%s/" IOL_CONTROL_PREFIX "%d" IOL_CONTROL_SUFFIX, folder, getpid());
    }
    if (length >= sizeof(control->path))
        return iol_error_set(err, -ENAMETOOLONG, "the path of the socket is longer than %zu bytes",
                             sizeof(control->path) - 1);
    return 0;
}

/* Binds under another name, and takes the right one when it listens: whoever finds that can connect, or knows it dead. */
static int listen_at(struct iol_control *control)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat made;
    int r = make_room(control->path);

    if (r < 0)
        return r;
    static_assert(sizeof(control->path) + sizeof(".new") - 1 <= sizeof(address.sun_path), "the longer name fits");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", control->path);
    r = make_room(address.sun_path);
    if (r < 0)
        return r;
    control->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* the mode of a socket not yet bound is that of the name it gets (unix_bind() in net/unix/af_unix.c) */
    if (control->listener < 0 || fchmod(control->listener, 0600) < 0 ||
        bind(control->listener, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    if (listen(control->listener, MAX_CLIENTS) < 0 || lstat(address.sun_path, &made) < 0 ||
        rename(address.sun_path, control->path) < 0) {
        r = -errno;
        unlink(address.sun_path);
        return r;
    }
    control->dev = made.st_dev;
    control->inode = made.st_ino;
    control->named = true;
    return 0;
}

static void close_half(struct iol_control **control)
{
    iol_control_close(*control);
}

int iol_control_open(const char *path, const struct iol_control_ops *ops, void *arg, struct iol_control **ret_control,
                     struct iol_error *err)
{
    _cleanup_(close_half) struct iol_control *control = calloc(1, sizeof(*control));
    int r;

    if (!control)
        return iol_error_set(err, -ENOMEM, "out of memory");
    control->ops = ops;
    control->arg = arg;
    control->listener = control->epoll = -1;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        control->clients[i].fd = -1;
    r = choose_path(control, path, err);
    if (r < 0)
        return r;
    control->epoll = epoll_create1(EPOLL_CLOEXEC);
    r = control->epoll < 0 ? -errno : listen_at(control);
    if (r == -EADDRINUSE)
        return iol_error_set(err, r, "another recorder listens on %s", control->path);
    if (r == -EEXIST)
        return iol_error_set(err, r, "%s is there, and is no socket", control->path);
    if (r < 0) {
        iol_error_set(err, r, "cannot listen on %s: %s", control->path, strerror(-r));
        if (r == -ENOENT)
            iol_error_hint(err, "create the directory first, or give another path with --control");
        return r;
    }
    set_listening(control, true);
    *ret_control = TAKE_PTR(control);
    return 0;
}

void iol_control_close(struct iol_control *control)
{
    struct stat found;

    if (!control)
        return;
    if (control->named && lstat(control->path, &found) == 0 && found.st_dev == control->dev &&
        found.st_ino == control->inode)
        unlink(control->path);
    for (size_t i = 0; i < MAX_CLIENTS; i++) {
        if (control->clients[i].fd >= 0)
            drop(&control->clients[i]);
    }
    if (control->listener >= 0)
        close(control->listener);
    if (control->epoll >= 0)
        close(control->epoll);
    free(control);
}
