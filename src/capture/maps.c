// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The maps, by name: those of an object that was loaded, or those that an earlier recorder has left. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "capture/capture.intern.h"

static void plain_name(char *plain, size_t size, const char *name)
{
    snprintf(plain, size, "%s", name);
    for (char *at = plain; *at; at++)
        *at = *at == '.' ? '_' : *at;
}

int iol_capture_map(const struct iol_capture *capture, const char *name)
{
    char plain[sizeof(capture->maps[0].name)];

    plain_name(plain, sizeof(plain), name);
    for (size_t i = 0; i < capture->n_maps; i++) {
        if (strcmp(capture->maps[i].name, plain) == 0)
            return capture->maps[i].fd;
    }
    return -1;
}

int iol_capture_add_map(struct iol_capture *capture, const char *name, int fd)
{
    struct iol_capture_map *map = &capture->maps[capture->n_maps];

    if (fd < 0)
        return fd;
    if (capture->n_maps == IOL_CAPTURE_MAPS) {
        close(fd);
        return -E2BIG;
    }
    plain_name(map->name, sizeof(map->name), name);
    map->fd = fd;
    capture->n_maps++;
    return 0;
}

int iol_capture_take_maps(struct iol_capture *capture)
{
    struct bpf_map *map;

    bpf_object__for_each_map(map, capture->object) {
        int fd = fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0);
        int r = fd < 0 ? -errno : iol_capture_add_map(capture, bpf_map__name(map), fd);

        if (r < 0)
            return r;
    }
    return 0;
}

size_t iol_capture_page_round(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return (size + page - 1) / page * page;
}

static void *map_memory(const struct iol_capture *capture, const char *name, size_t size, int protection)
{
    void *memory = mmap(NULL, iol_capture_page_round(size), protection, MAP_SHARED, iol_capture_map(capture, name), 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Addresses, to which something else is mapped later. */
static void *reserve(size_t size)
{
    void *memory = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int map_books(struct iol_capture *capture)
{
    capture->books = map_memory(capture, "books", sizeof(*capture->books), PROT_READ | PROT_WRITE);
    capture->posted =
        map_memory(capture, "posted", capture->n_slots * sizeof(*capture->posted), PROT_READ | PROT_WRITE);
    capture->fold = map_memory(capture, "fold", sizeof(*capture->fold), PROT_READ | PROT_WRITE);
    if (!capture->books || !capture->posted || !capture->fold)
        return -errno;
    if (capture->fresh)
        capture->books->set = iol_boot_ns();
    return 0;
}

int iol_capture_map_hand_back(struct iol_capture *capture)
{
    if (!capture->hand_back)
        capture->hand_back =
            map_memory(capture, ".data.hand_back", sizeof(*capture->hand_back), PROT_READ | PROT_WRITE);
    return capture->hand_back ? 0 : -errno;
}

static uint32_t entries_of(int fd)
{
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info);

    return bpf_obj_get_info_by_fd(fd, &info, &size) < 0 ? 0 : info.max_entries;
}

int iol_capture_map_memory(struct iol_capture *capture)
{
    capture->tasks_fd = iol_capture_map(capture, "tasks");
    capture->n_task_places = entries_of(iol_capture_map(capture, "task_places"));
    capture->task_places = map_memory(capture, "task_places", capture->n_task_places * sizeof(*capture->task_places),
                                      PROT_READ | PROT_WRITE);
    capture->clock = map_memory(capture, ".data.clock", sizeof(*capture->clock), PROT_READ);
    capture->control = map_memory(capture, ".data.control", sizeof(*capture->control), PROT_READ | PROT_WRITE);
    capture->slots = map_memory(capture, "slots", capture->n_slots * sizeof(*capture->slots), PROT_READ | PROT_WRITE);
    capture->threads = reserve(IOL_THREADS * sizeof(*capture->threads));
    capture->cpus = map_memory(capture, "cpus", capture->n_cpus * sizeof(*capture->cpus), PROT_READ);
    capture->fold = &capture->own_fold;
    if (iol_capture_map_hand_back(capture) < 0 || !capture->task_places || !capture->clock || !capture->control ||
        !capture->slots || !capture->threads || !capture->cpus)
        return -errno;
    return iol_capture_map(capture, "books") >= 0 ? map_books(capture) : 0;
}

static_assert(IOL_OWNED_BITS * sizeof(struct iol_thread) % 65536 == 0, "whole pages, however large they are");

int iol_capture_map_owned(struct iol_capture *capture)
{
    const size_t size = IOL_OWNED_BITS * sizeof(*capture->threads);

    for (size_t i = 0; i < IOL_ARRAY_SIZE(capture->owned); i++) {
        __u64 owned = __atomic_load_n(&capture->control->owned[i], __ATOMIC_ACQUIRE);

        if (owned && !capture->owned[i] &&
            mmap(&capture->threads[IOL_OWNED_BITS * i], size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                 iol_capture_map(capture, ".bss.threads"), (off_t)(size * i)) == MAP_FAILED)
            return -errno;
        capture->owned[i] = owned;
    }
    return 0;
}

static void unmap(const void *memory, size_t size)
{
    if (memory)
        munmap((void *)(uintptr_t)memory, iol_capture_page_round(size));
}

void iol_capture_drop_maps(struct iol_capture *capture)
{
    unmap(capture->clock, sizeof(*capture->clock));
    unmap(capture->hand_back, sizeof(*capture->hand_back));
    unmap(capture->control, sizeof(*capture->control));
    unmap(capture->task_places, capture->n_task_places * sizeof(*capture->task_places));
    unmap(capture->slots, capture->n_slots * sizeof(*capture->slots));
    unmap(capture->threads, IOL_THREADS * sizeof(*capture->threads));
    unmap(capture->cpus, capture->n_cpus * sizeof(*capture->cpus));
    unmap(capture->fold == &capture->own_fold ? NULL : capture->fold, sizeof(*capture->fold));
    unmap(capture->books, sizeof(*capture->books));
    unmap(capture->posted, capture->n_slots * sizeof(*capture->posted));
    while (capture->n_maps > 0)
        close(capture->maps[--capture->n_maps].fd);
}

/* "memlock:" of a map's fdinfo (Documentation/filesystems/proc.rst). */
static uint64_t memory_of(int fd)
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
    uint64_t bytes = 0;

    for (size_t i = 0; i < capture->n_maps; i++)
        bytes += memory_of(capture->maps[i].fd);
    return bytes;
}
