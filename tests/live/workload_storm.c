// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
/*
 * workload_storm FOLDER LOG SECONDS PAUSE
 *
 * A storm of renames. Two threads rename FILES files in FOLDER for SECONDS: one gives two of the first half of them each
 * other's name at once (RENAME_EXCHANGE), the other gives one of the second half a name that no file had before, in
 * another directory as often as not; each pauses for up to PAUSE microseconds in between, or with
 * PAUSE 0 for a quarter of a second now and then: what went wrong in the storm shows in the calm. Two threads read and write all of them by descriptors that stay open.
 *
 * LOG, a file elsewhere, says afterwards what must be in the books; times are CLOCK_REALTIME in nanoseconds:
 *
 *   name INODE FROM TO PATH   the file had this name from a moment not before FROM to one not after TO
 *   sum INODE reads read_bytes writes write_bytes
 *   pid PID
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

#define BURST 500 /* renames between two calms, on average */
#define FILES 16  /* the first half is exchanged, the second half renamed */

struct file {
    char path[256];
    uint64_t inode;
    int64_t from; /* since when it may have had this name */
    int fd;
    _Atomic uint64_t reads, read_bytes, writes, write_bytes;
};

static struct file files[FILES];
static const char *folder;
static FILE *names; /* written by both renaming threads: stdio locks */
static atomic_bool stop;
static unsigned int longest_pause;

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void log_name(const struct file *file, int64_t to)
{
    fprintf(names, "name %" PRIu64 " %" PRId64 " %" PRId64 " %s\n", file->inode, file->from, to, file->path);
}

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random >> 20;
}

static void pause_shortly(uint64_t *random)
{
    if (longest_pause) {
        usleep((unsigned)(next_random(random) % longest_pause));
    } else if (next_random(random) % BURST == 0) {
        usleep(250000);
    }
}

static void exchange(struct file *a, struct file *b)
{
    char path[sizeof(a->path)];
    int64_t before = now(), after;
    must(renameat2(AT_FDCWD, a->path, AT_FDCWD, b->path, RENAME_EXCHANGE), "renameat2");
    after = now();
    log_name(a, after);
    log_name(b, after);
    memcpy(path, a->path, sizeof(path));
    memcpy(a->path, b->path, sizeof(path));
    memcpy(b->path, path, sizeof(path));
    a->from = b->from = before;
}

static void *exchange_names(void *arg)
{
    uint64_t random = 88172645463325252u;
    (void)arg;
    while (!atomic_load(&stop)) {
        uint64_t i = next_random(&random) % (FILES / 2);
        uint64_t j = (i + 1 + next_random(&random) % (FILES / 2 - 1)) % (FILES / 2);
        exchange(&files[i], &files[j]);
        pause_shortly(&random);
    }
    return NULL;
}

static void *make_up_names(void *arg)
{
    uint64_t random = 6364136223846793005u;
    (void)arg;
    for (uint64_t n = 0; !atomic_load(&stop); n++) {
        struct file *file = &files[FILES / 2 + next_random(&random) % (FILES / 2)];
        char path[sizeof(file->path)];
        int64_t before;
        snprintf(path, sizeof(path), "%s/%c/new-%" PRIu64, folder, n & 1 ? 'a' : 'b', n);
        before = now();
        must(rename(file->path, path), path);
        log_name(file, now());
        memcpy(file->path, path, sizeof(path));
        file->from = before;
        pause_shortly(&random);
    }
    return NULL;
}

static void *use_files(void *arg)
{
    uint64_t random = 0x9e3779b97f4a7c15u * (uint64_t)(uintptr_t)arg;
    while (!atomic_load(&stop)) {
        uint64_t chosen = next_random(&random);
        struct file *file = &files[chosen % FILES];
        size_t size = 1 + chosen / FILES % 50;
        char bytes[64] = {0};
        if (chosen / 1024 & 1) {
            must(pread(file->fd, bytes, size, 0), "pread");
            atomic_fetch_add(&file->reads, 1);
            atomic_fetch_add(&file->read_bytes, size);
        } else {
            must(pwrite(file->fd, bytes, size, 0), "pwrite");
            atomic_fetch_add(&file->writes, 1);
            atomic_fetch_add(&file->write_bytes, size);
        }
    }
    return NULL;
}

static void make_files(void)
{
    char path[256];
    for (const char *name = "ab"; *name; name++) {
        snprintf(path, sizeof(path), "%s/%c", folder, *name);
        must(mkdir(path, 0755), path);
    }
    for (size_t i = 0; i < FILES; i++) {
        struct stat status;
        char content[64];
        memset(content, 'x', sizeof(content) - 1);
        content[sizeof(content) - 1] = '\0';
        snprintf(files[i].path, sizeof(files[i].path), "%s/%c/file-%zu", folder, i & 1 ? 'a' : 'b', i);
        files[i].from = now();
        files[i].fd = make_file(files[i].path, content, NULL);
        must(fstat(files[i].fd, &status), files[i].path);
        files[i].inode = status.st_ino;
        files[i].writes = 1;
        files[i].write_bytes = strlen(content);
    }
}

int main(int argc, char **argv)
{
    void *(*const work[])(void *) = {exchange_names, make_up_names, use_files, use_files};
    pthread_t threads[4];
    if (argc < 5) {
        fprintf(stderr, "usage: workload_storm FOLDER LOG SECONDS PAUSE\n");
        return 64;
    }
    folder = argv[1];
    longest_pause = (unsigned)strtoul(argv[4], NULL, 10);
    names = fopen(argv[2], "we");
    if (!names) {
        die("%s", argv[2]);
    }
    make_files();
    for (size_t i = 0; i < 4; i++) {
        errno = pthread_create(&threads[i], NULL, work[i], (void *)(uintptr_t)(i + 1));
        if (errno) {
            die("pthread_create");
        }
    }
    usleep((unsigned)(strtod(argv[3], NULL) * 1e6));
    atomic_store(&stop, true);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    for (size_t i = 0; i < FILES; i++) {
        log_name(&files[i], INT64_MAX);
        fprintf(names, "sum %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", files[i].inode,
                files[i].reads, files[i].read_bytes, files[i].writes, files[i].write_bytes);
    }
    fprintf(names, "pid %d\n", getpid());
    return fclose(names) != 0;
}
