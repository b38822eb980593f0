// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_mix FOLDER FIRST LAST ROUTES: for each seed from FIRST to LAST, several processes and threads make random calls
 * on the same few open files, over descriptors that were inherited, duplicated and sent over a socket. Each knows what it
 * has done itself. ROUTES is a list such as `rw,io_uring`, or `all`. The same seed makes the same choices; what the calls
 * return depends on who was faster.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aio.h"
#include "mix.h"

enum { CHILDREN = 2, THREADS = 2, CALLS = 40, SIZE = 20000 };

static const char *folder;
static unsigned routes;

/* One seed: what is open, in every process of it under other numbers. */
struct scene {
    char name[32];
    uint64_t seed;
    int fds[OBJECTS];
    struct account accounts[ACCOUNTS];
};

static unsigned parse_routes(const char *list)
{
    static const char *const names[MIX_ROUTES] = {"rw",       "sendfile", "splice", "copy_file_range",
                                                  "io_uring", "aio",      "mmap"};
    unsigned bits = 0;
    char *copy = strdup(list);
    for (char *word = strtok(copy, ","); word; word = strtok(NULL, ",")) {
        for (unsigned i = 0; i < MIX_ROUTES; i++) {
            if (strcmp(word, names[i]) == 0 || strcmp(word, "all") == 0) {
                bits |= 1U << i;
            }
        }
    }
    free(copy);
    return bits;
}

static void open_all(struct scene *scene)
{
    char name[64];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%s-%d", scene->name, i);
        scene->fds[i] = new_hole(&scene->accounts[i], folder, name, SIZE);
    }
    scene->fds[MEMORY] = (int)must(memfd_create(scene->name, 0), "memfd_create");
    must(ftruncate(scene->fds[MEMORY], SIZE), "ftruncate");
    must(pipe2(&scene->fds[PIPE_READ], O_NONBLOCK), "pipe2");
}

static void name_accounts(struct scene *scene, unsigned seed)
{
    char name[64];
    snprintf(scene->name, sizeof(scene->name), "seed%u", seed);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "%s-%d", scene->name, i);
        scene->accounts[i] = (struct account){.path = path_in(folder, name), .kind = "file"};
    }
    snprintf(name, sizeof(name), "/memfd:%s", scene->name);
    scene->accounts[MEMORY] = (struct account){.path = strdup(name), .kind = "memfd"};
    scene->accounts[PIPE_READ] = (struct account){.path = "(pipes)", .kind = "pipe"};
    scene->accounts[NO_FILE] = (struct account){.path = "(no open file)", .kind = "other"};
}

/* Descriptors of the thread's own for what the process has open, made in one of three ways. */
static void duplicate_all(struct mix *mix, const struct scene *scene)
{
    for (int i = 0; i < OBJECTS; i++) {
        int fd = mix_random(mix, 2) ? dup(scene->fds[i]) : fcntl(scene->fds[i], F_DUPFD_CLOEXEC, 500);
        mix->fds[i] = (int)must(fd, "dup");
        mix->objects[i] = mix->registered[i] = i;
    }
}

/* One of the thread's descriptors comes to mean another file, as long as a file and a pipe are left. */
static void exchange_one(struct mix *mix, const struct scene *scene)
{
    int slot = (int)mix_random(mix, MEMORY), object = (int)mix_random(mix, OBJECTS);
    if (slot == 0) {
        return;
    }
    must(dup2(scene->fds[object], mix->fds[slot]), "dup2");
    mix->objects[slot] = object;
}

static void *make_calls(void *arg)
{
    struct mix *mix = arg;
    for (int i = 0; i < CALLS; i++) {
        mix_call(mix);
    }
    return NULL;
}

struct thread {
    struct mix mix;
    const struct scene *scene;
    pthread_t id;
};

static void *be_thread(void *arg)
{
    struct thread *thread = arg;
    struct mix *mix = &thread->mix;
    duplicate_all(mix, thread->scene);
    mix->buf = mmap(NULL, MIX_BUFFER * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mix->bad = mmap(NULL, MIX_BUFFER * 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mix->routes & 1U << MIX_URING) {
        uring_init(&mix->ring, 16, 0);
        mix->ring.never_begun = &mix->accounts[NO_FILE];
        uring_register(&mix->ring, IORING_REGISTER_BUFFERS, &(struct iovec){mix->buf, MIX_BUFFER}, 1);
        uring_register(&mix->ring, IORING_REGISTER_FILES, mix->fds, OBJECTS);
    }
    if (mix->routes & 1U << MIX_AIO) {
        mix->aio = aio_init(16);
    }
    for (int i = 0; i < 4; i++) {
        make_calls(mix);
        exchange_one(mix, thread->scene);
    }
    if (mix->routes & 1U << MIX_AIO) {
        aio_done(mix->aio);
    }
    return NULL;
}

/*
 * What a thread may do. io_uring calls a thread out of a system call when it wants something of it, as a signal does: a splice
 * that has moved nothing yet is then begun again by the kernel, and the books have an error of which the program knows nothing.
 * So threads with a ring leave the calls that can be begun again to the others.
 */
static unsigned routes_of(unsigned thread)
{
    const unsigned rings = 1U << MIX_URING, splices = 1U << MIX_SENDFILE | 1U << MIX_SPLICE | 1U << MIX_COPY;
    unsigned mine = routes & ~(thread % 2 ? splices : rings);
    return mine ? mine : routes;
}

/* Threads until they are done; then what they have counted is the process's, and is reported. */
static void be_process(struct scene *scene, unsigned number)
{
    static struct thread threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i].scene = scene;
        threads[i].mix = (struct mix){.random = scene->seed * 1000003 + number * 101 + i + 1, .routes = routes_of(i)};
        memcpy(threads[i].mix.accounts, scene->accounts, sizeof(scene->accounts));
        if (pthread_create(&threads[i].id, NULL, be_thread, &threads[i])) {
            die("pthread_create");
        }
    }
    struct account sums[ACCOUNTS];
    memcpy(sums, scene->accounts, sizeof(sums));
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i].id, NULL);
        for (unsigned a = 0; a < ACCOUNTS; a++) {
            count_add(&sums[a], &threads[i].mix.accounts[a]);
        }
    }
    for (unsigned a = 0; a < ACCOUNTS; a++) {
        if (sums[a].path) {
            report(scene->name, &sums[a]);
        }
    }
}

static void wait_for_children(void)
{
    int status;
    while (wait(&status) > 0) {
        if (status != 0) {
            die("a child ended with status %#x", status);
        }
    }
}

/* A child with inherited descriptors, which has a child of its own. */
static void be_child(struct scene *scene, unsigned number)
{
    be_process(scene, number);
    if (must(fork(), "fork") == 0) {
        be_process(scene, number + 50);
        _exit(0);
    }
    wait_for_children();
    _exit(0);
}

union rights {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int[OBJECTS]))];
};

static void send_all(int to, const int fds[OBJECTS])
{
    union rights rights = {
        .head = {.cmsg_len = CMSG_LEN(sizeof(int[OBJECTS])), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(char[1]){0}, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights)};
    memcpy(CMSG_DATA(&rights.head), fds, sizeof(int[OBJECTS]));
    must(sendmsg(to, &message, 0), "sendmsg");
}

/* A process that was there before anything was open: it is sent the descriptors. */
static void be_stranger(struct scene *scene, int from)
{
    union rights rights;
    struct iovec part = {(char[1]){0}, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof(rights)};
    must(recvmsg(from, &message, 0), "recvmsg");
    memcpy(scene->fds, CMSG_DATA(&rights.head), sizeof(scene->fds));
    be_process(scene, 99);
    _exit(0);
}

static void run(unsigned seed)
{
    struct scene scene = {.seed = seed};
    int pair[2];
    name_accounts(&scene, seed);
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    if (must(fork(), "fork") == 0) {
        be_stranger(&scene, pair[1]);
    }
    open_all(&scene);
    for (unsigned i = 0; i < CHILDREN; i++) {
        if (must(fork(), "fork") == 0) {
            be_child(&scene, i);
        }
    }
    send_all(pair[0], scene.fds);
    close(pair[0]);
    close(pair[1]);
    wait_for_children();
    for (int i = 0; i < OBJECTS; i++) {
        close(scene.fds[i]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        die("usage: workload_mix FOLDER FIRST LAST ROUTES");
    }
    folder = argv[1];
    routes = parse_routes(argv[4]);
    signal(SIGPIPE, SIG_IGN);
    note("start", "-");
    for (unsigned seed = (unsigned)atoi(argv[2]); seed <= (unsigned)atoi(argv[3]); seed++) {
        run(seed);
    }
    return 0;
}
