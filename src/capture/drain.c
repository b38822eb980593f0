// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Records, epochs and slots while a recording runs. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "capture/capture.intern.h"
#include "capture/drain.h"

static int read_clock(struct iol_capture *capture, struct iol_clock *ret_clock)
{
    LIBBPF_OPTS(bpf_test_run_opts, options);
    const uint32_t zero = 0;

    if (bpf_prog_test_run_opts(capture->clock_program_fd, &options) < 0)
        return -errno;
    if (bpf_map_lookup_elem(capture->clock_fd, &zero, ret_clock) < 0)
        return -errno;
    return 0;
}

int iol_capture_start_clock(struct iol_capture *capture)
{
    struct iol_clock clock = {0};
    int r = read_clock(capture, &clock);

    if (r < 0)
        return r;
    capture->epoch_start = (struct iol_clock_pair){clock.jiffies, clock.boot_ns};
    capture->control->epoch_start = clock.jiffies;
    capture->control->self_tgid = (uint32_t)clock.tgid;
    return 0;
}

void iol_capture_grace_period(struct iol_capture *capture)
{
    const uint32_t zero = 0;

    if (capture->outer_fd >= 0)
        bpf_map_update_elem(capture->outer_fd, &zero, &capture->inner_fd, BPF_ANY);
}

/* Nobody adds to the closed epoch any more, and what is copied of the open one is not looked at. */
static int read_threads(struct iol_capture *capture)
{
    LIBBPF_OPTS(bpf_map_batch_opts, options);
    uint32_t n = capture->settings.n_threads, next = 0;
    uint32_t *keys = calloc(n, sizeof(*keys));
    int r;

    if (!keys)
        return -ENOMEM;
    r = bpf_map_lookup_batch(capture->threads_fd, NULL, &next, keys, capture->threads, &n, &options);
    free(keys);
    /* -ENOENT says that there are no more */
    return r == 0 || r == -ENOENT ? 0 : r;
}

int iol_capture_flip(struct iol_capture *capture, unsigned int *ret_closed, struct iol_clock_pair *ret_from,
                     struct iol_clock_pair *ret_to)
{
    uint64_t epoch = capture->control->epoch;
    struct iol_clock clock = {0};
    int r = read_clock(capture, &clock);

    if (r < 0)
        return r;
    __atomic_store_n(&capture->control->epoch_start, clock.jiffies, __ATOMIC_RELEASE);
    __atomic_store_n(&capture->control->epoch, epoch + 1, __ATOMIC_RELEASE);
    iol_capture_grace_period(capture);
    r = read_threads(capture);
    if (r < 0)
        return r;
    *ret_closed = epoch & 1;
    *ret_from = capture->epoch_start;
    *ret_to = (struct iol_clock_pair){clock.jiffies, clock.boot_ns};
    capture->epoch_start = *ret_to;
    return 0;
}

int iol_capture_poll(struct iol_capture *capture, int timeout_ms, iol_capture_record_fn *record, void *arg)
{
    int r = 0;

    capture->record = record;
    capture->record_arg = arg;
    if (timeout_ms > 0)
        r = ring_buffer__poll(capture->ring, timeout_ms);
    /* the wake-up tells of a fill level; what came below it is taken too */
    if (r >= 0 || r == -EINTR)
        r = ring_buffer__consume(capture->ring);
    return r < 0 && r != -EINTR ? r : 0;
}

int iol_capture_fd(const struct iol_capture *capture)
{
    return ring_buffer__epoll_fd(capture->ring);
}

const struct iol_account *iol_capture_slots(const struct iol_capture *capture, size_t *ret_n, size_t *ret_first_spare)
{
    *ret_n = capture->n_slots;
    *ret_first_spare = capture->n_slots - capture->n_spare;
    return capture->slots;
}

const struct iol_cpu *iol_capture_cpus(const struct iol_capture *capture, size_t *ret_n)
{
    *ret_n = capture->n_cpus;
    return capture->cpus;
}

const struct iol_thread *iol_capture_threads(const struct iol_capture *capture, size_t *ret_n)
{
    *ret_n = capture->settings.n_threads;
    return capture->threads;
}

int iol_capture_remove_account(struct iol_capture *capture, const struct iol_account_key *key, uint32_t slot)
{
    struct iol_account_ref ref;

    int r = -ENOENT; /* the key leads to a younger slot, with another path */

    if (bpf_map_lookup_elem(capture->accounts_fd, key, &ref) == 0 && ref.slot == slot)
        r = bpf_map_delete_elem(capture->accounts_fd, key) < 0 ? -errno : 0;
    /* what threads remember of the slot is void from here on */
    __atomic_add_fetch(&capture->control->retired, 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&capture->control->changes, 1, __ATOMIC_RELEASE);
    return r;
}

int iol_capture_free_slot(struct iol_capture *capture, uint32_t index)
{
    int fd = index >= capture->n_slots - capture->n_spare ? capture->spare_fd : capture->free_fd;

    return bpf_map_update_elem(fd, NULL, &index, BPF_ANY) < 0 ? -errno : 0;
}

void iol_capture_forget_file(struct iol_capture *capture, uint64_t key)
{
    bpf_map_delete_elem(capture->files_fd, &key);
}

/* "memlock:" of a map's fdinfo (Documentation/filesystems/proc.rst). */
static uint64_t map_memory_of(int fd)
{
    unsigned long long bytes = 0;
    char path[64], line[128];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
    file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "memlock: %llu", &bytes) == 1)
            break;
    }
    fclose(file);
    return bytes;
}

uint64_t iol_capture_memory(const struct iol_capture *capture)
{
    struct bpf_map *map;
    uint64_t bytes = 0;

    bpf_object__for_each_map(map, capture->object)
        bytes += map_memory_of(bpf_map__fd(map));
    return bytes;
}
