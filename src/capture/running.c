// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The processes that run already when a recording begins. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.intern.h"

/* What the marking needs of each process. */
struct running {
    uint32_t pid;
    uint32_t ppid;
    uint64_t image;
    uint32_t bits;
};

struct running_list {
    struct running *items;
    size_t n, capacity;
};

static int remember(struct running_list *list, const struct iol_record_process *record)
{
    if (iol_array_reserve(&list->items, &list->capacity, list->n + 1, sizeof(*list->items)) < 0)
        return -ENOMEM;
    list->items[list->n++] = (struct running){.pid = record->pid, .ppid = record->ppid, .image = record->image};
    return 0;
}

/* Runs the iterator once; every complete record in its stream goes to `record` and, unless it is NULL, into the list. */
static int iterate(int link, struct running_list *list, iol_capture_record_fn *record, void *arg)
{
    const size_t size = 256 * 1024;
    _cleanup_free_ char *buf = malloc(size);
    _cleanup_close_ int fd = bpf_iter_create(link);
    size_t have = 0;

    if (!buf)
        return -ENOMEM;
    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t n = read(fd, buf + have, size - have);
        size_t at = 0;

        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        have += (size_t)n;
        while (have - at >= sizeof(struct iol_record_process)) {
            const struct iol_record_process *head = (const void *)(buf + at);

            if (head->head.size < sizeof(*head) || head->head.size > size)
                return -EBADMSG;
            if (head->head.size > have - at)
                break;
            if (list && remember(list, head) < 0)
                return -ENOMEM;
            record(arg, head, head->head.size);
            /* records have any length: the next one is moved to the front, where it is aligned */
            at += head->head.size;
            memmove(buf, buf + at, have - at);
            have -= at;
            at = 0;
        }
    }
}

static struct running *find_running(struct running_list *list, uint32_t pid)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].pid == pid)
            return &list->items[i];
    }
    return NULL;
}

/* Bits that hand themselves down: to the roots, and from every parent to its children until nothing changes. */
static void hand_down(struct running_list *list)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < list->n; i++) {
            const struct running *parent = find_running(list, list->items[i].ppid);
            uint32_t bits = parent ? parent->bits & (IOL_TASK_DESCENDANT | IOL_TASK_EXCLUDED) : 0;

            if (bits & ~list->items[i].bits) {
                list->items[i].bits |= bits;
                changed = true;
            }
        }
    }
}

/* The process's place, if it has one: see bpf/task.bpf.h. */
static struct iol_task *find_place(const struct iol_capture *capture, uint32_t pid)
{
    size_t place = pid & (IOL_TASK_PLACES - 1);

    if (place >= capture->n_task_places)
        return NULL;
    return __atomic_load_n(&capture->task_places[place].tgid, __ATOMIC_ACQUIRE) == pid ? &capture->task_places[place]
                                                                                       : NULL;
}

/* Adds `bits` to what is known of the process; on_running judges it anew at the next look. Returns whether anything changed. */
static bool mark(struct iol_capture *capture, const struct running *process, uint32_t bits)
{
    struct iol_task entry = {.image = process->image, .tgid = process->pid};
    struct iol_task *place = find_place(capture, process->pid);

    if (place)
        return (__atomic_fetch_or(&place->bits, bits, __ATOMIC_RELAXED) & bits) != bits;
    if (bpf_map_lookup_elem(capture->tasks_fd, &process->pid, &entry) == 0 && (entry.bits & bits) == bits)
        return false;
    entry.bits |= bits;
    __atomic_add_fetch(&capture->control->tasks_elsewhere, 1, __ATOMIC_RELEASE);
    if (bpf_map_update_elem(capture->tasks_fd, &process->pid, &entry, BPF_NOEXIST) < 0) {
        __atomic_sub_fetch(&capture->control->tasks_elsewhere, 1, __ATOMIC_RELEASE);
        bpf_map_update_elem(capture->tasks_fd, &process->pid, &entry, BPF_EXIST);
    }
    return true;
}

static void mark_root(struct running_list *list, pid_t pid, uint32_t bits)
{
    struct running *root = pid ? find_running(list, (uint32_t)pid) : NULL;

    if (root)
        root->bits |= bits;
}

static bool mark_all(struct iol_capture *capture, struct running_list *list)
{
    bool changed = false;

    for (size_t i = 0; i < capture->n_pids; i++)
        mark_root(list, capture->pids[i], IOL_TASK_DESCENDANT);
    mark_root(list, capture->excluded, IOL_TASK_EXCLUDED);
    mark_root(list, capture->command, IOL_TASK_AT_EXEC);
    hand_down(list);
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].bits)
            changed |= mark(capture, &list->items[i], list->items[i].bits);
    }
    return changed;
}

static int attach_iterator(const struct iol_capture *capture, struct iol_error *err)
{
    int link = bpf_link_create(capture->running_program_fd, 0, BPF_TRACE_ITER, NULL);

    return link < 0 ? iol_error_set(err, -errno, "cannot walk the processes that are running: %m") : link;
}

int iol_capture_backfill(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err)
{
    _cleanup_close_ int link = attach_iterator(capture, err);
    struct running_list list = {0};
    int r;

    if (link < 0)
        return link;
    r = iterate(link, &list, record, arg);
    for (size_t i = 0; r == 0 && i < capture->n_pids; i++) {
        if (!find_running(&list, (uint32_t)capture->pids[i]))
            r = iol_error_set(err, -ESRCH, "there is no process %d", capture->pids[i]);
    }
    if (r == -ESRCH)
        goto out;
    /*
     * A process forked between its parent's marking and the look at it is not marked: look again until
     * nothing new turns up. From then on on_fork hands the marks down.
     */
    while (r == 0 && mark_all(capture, &list)) {
        list.n = 0;
        r = iterate(link, &list, record, arg);
    }
    if (r < 0)
        iol_error_set(err, r, "cannot walk the processes that are running: %s", strerror(-r));
out:
    free(list.items);
    return r;
}

/*
 * Forgets a process when there is no such pid: the iterator may have found it while it ended. The kernel
 * makes an entry after a pid and removes it before, so that an entry without a pid is a stale one.
 */
static void drop_stale(struct iol_capture *capture, uint32_t pid)
{
    if (kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        iol_capture_forget_tasks(capture, &pid, 1);
}

static void drop_stale_tasks(struct iol_capture *capture)
{
    const unsigned int most = 1U << 17; /* a walk that is led back too often, by others who delete, ends some time */
    uint32_t pid, next;
    unsigned int n = 0;
    int r;

    /* pids of the map are those of the initial namespace */
    if (capture->control->self_tgid != (uint32_t)getpid())
        return;
    for (size_t i = 0; i < capture->n_task_places; i++) {
        pid = __atomic_load_n(&capture->task_places[i].tgid, __ATOMIC_RELAXED);
        if (pid != 0 && pid != IOL_TASK_CLAIMED)
            drop_stale(capture, pid);
    }
    for (r = bpf_map_get_next_key(capture->tasks_fd, NULL, &next); r == 0 && n < most; n++) {
        pid = next;
        /* a key that is gone would lead back to the first one */
        r = bpf_map_get_next_key(capture->tasks_fd, &pid, &next);
        drop_stale(capture, pid);
    }
}

int iol_capture_running(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err)
{
    _cleanup_close_ int link = -1;
    int r;

    drop_stale_tasks(capture);
    link = attach_iterator(capture, err);
    if (link < 0)
        return link;
    r = iterate(link, NULL, record, arg);
    return r < 0 ? iol_error_set(err, r, "cannot walk the processes that are running: %s", strerror(-r)) : 0;
}

/* As in iol_capture_backfill(): until no process forked meanwhile turns up. */
int iol_capture_exclude(struct iol_capture *capture, pid_t pid, iol_capture_record_fn *record, void *arg,
                        struct iol_error *err)
{
    _cleanup_close_ int link = attach_iterator(capture, err);
    struct running_list list = {0};
    bool changed = true;
    int r = 0;

    if (link < 0)
        return link;
    while (r == 0 && changed) {
        list.n = 0;
        changed = false;
        r = iterate(link, &list, record, arg);
        mark_root(&list, pid, IOL_TASK_EXCLUDED);
        hand_down(&list);
        for (size_t i = 0; i < list.n && r == 0; i++) {
            if (list.items[i].bits)
                changed |= mark(capture, &list.items[i], list.items[i].bits);
        }
    }
    free(list.items);
    return r < 0 ? iol_error_set(err, r, "cannot walk the processes that are running: %s", strerror(-r)) : 0;
}

bool iol_capture_lives(const struct iol_capture *capture, uint32_t pid, uint64_t image)
{
    const struct iol_task *place = find_place(capture, pid);
    struct iol_task entry;

    if (place)
        return place->image == image;
    return bpf_map_lookup_elem(capture->tasks_fd, &pid, &entry) == 0 && entry.image == image;
}
