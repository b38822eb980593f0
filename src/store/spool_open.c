// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* How a spool begins and ends: what an earlier run, or a crash, has left in the folder. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/spool.intern.h"

#define SEGMENTS_MAX 32 /* that make up max_bytes, when each is full */
#define SEGMENT_MIN ((uint64_t)32 << 10)
#define SEGMENT_MAX ((uint64_t)8 << 20)

static const char suffix[] = ".segment";

static int make_dir(struct iol_spool *spool, struct iol_error *err)
{
    int r = mkdir(spool->dir, 0700) < 0 && errno != EEXIST ? -errno : 0;

    if (r == 0) {
        spool->dir_fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = spool->dir_fd < 0 ? -errno : 0;
    }
    return r < 0 ? iol_spool_error(spool, r, "open", err) : 0;
}

/* The file may have been removed, together with the spool, between its opening and its locking: 1, to be tried again. */
static int take_lock(struct iol_spool *spool, struct iol_error *err)
{
    struct stat ours, there;
    char pid[16] = "";

    spool->lock_fd = openat(spool->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->lock_fd < 0)
        return errno == ENOENT ? 1 : iol_spool_error(spool, -errno, "lock", err);
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return iol_spool_error(spool, -errno, "lock", err);
        (void)!pread(spool->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[strspn(pid, "0123456789")] = '\0';
        iol_error_set(err, -EBUSY, "another recorder%s%s uses the spool %s", pid[0] ? ", pid " : "", pid, spool->dir);
        iol_error_hint(err, "give this one another folder with --spool DIR");
        return -EBUSY;
    }
    if (fstat(spool->lock_fd, &ours) < 0 || fstatat(spool->dir_fd, "lock", &there, 0) < 0 ||
        ours.st_ino != there.st_ino || ours.st_dev != there.st_dev)
        return 1;
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(spool->lock_fd, 0) < 0 || iol_write_all(spool->lock_fd, pid, (size_t)n, 0) < 0)
        return iol_spool_error(spool, -EIO, "lock", err);
    return 0;
}

bool iol_segment_is_name(const char *name, uint64_t *ret_first)
{
    char *end;

    if (strlen(name) != 16 + strlen(suffix) || strspn(name, "0123456789abcdef") != 16 || strcmp(name + 16, suffix) != 0)
        return false;
    *ret_first = strtoull(name, &end, 16);
    return *ret_first > 0;
}

static bool is_temporary(const char *name)
{
    return strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".new") == 0;
}

/* Whether a spool may have a file of that name. */
static bool is_known(const char *name)
{
    static const char *const known[] = {".", "..", "lock", "target", "state", IOL_SPOOL_QUARANTINE, "lost+found"};
    uint64_t first;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(known); i++) {
        if (strcmp(name, known[i]) == 0)
            return true;
    }
    return is_temporary(name) || iol_segment_is_name(name, &first);
}

/* Calls `take` for each name in the folder, until one is an error. */
static int each_name(struct iol_spool *spool,
                     int (*take)(struct iol_spool *spool, const char *name, struct iol_error *err),
                     struct iol_error *err)
{
    int fd = dup(spool->dir_fd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        r = -errno;
        iol_spool_close_fd(&fd);
        return iol_spool_error(spool, r, "read", err);
    }
    rewinddir(dir);
    while (r == 0 && (entry = readdir(dir)))
        r = take(spool, entry->d_name, err);
    closedir(dir);
    return r;
}

static int check_name(struct iol_spool *spool, const char *name, struct iol_error *err)
{
    if (is_known(name))
        return 0;
    iol_error_set(err, -EEXIST, "the folder %s is no spool: it has a '%s' in it", spool->dir, name);
    iol_error_hint(err, "give an empty folder, or one that is not there yet, with --spool DIR");
    return -EEXIST;
}

static int open_dir(struct iol_spool *spool, struct iol_error *err)
{
    for (;;) {
        int r = make_dir(spool, err);
        if (r == 0) /* before anything is written to a folder that is somebody else's */
            r = each_name(spool, check_name, err);
        if (r == 0)
            r = take_lock(spool, err);
        if (r <= 0)
            return r;
        iol_spool_close_fd(&spool->lock_fd);
        iol_spool_close_fd(&spool->dir_fd);
    }
}

static int take_name(struct iol_spool *spool, const char *name, struct iol_error *err)
{
    struct iol_segment *segment;
    uint64_t first;

    if (is_temporary(name))
        return unlinkat(spool->dir_fd, name, 0) < 0 ? iol_spool_error(spool, -errno, "tidy", err) : 0;
    if (!iol_segment_is_name(name, &first))
        return 0;
    segment = iol_spool_add_segment(spool);
    if (!segment)
        return iol_error_set(err, -ENOMEM, "out of memory");
    segment->first = first;
    return 0;
}

static int compare_segments(const void *a, const void *b)
{
    const struct iol_segment *one = a, *other = b;

    return one->first < other->first ? -1 : one->first > other->first;
}

static int list_segments(struct iol_spool *spool, struct iol_error *err)
{
    int r = each_name(spool, take_name, err);

    if (spool->n_segments > 0)
        qsort(spool->segments, spool->n_segments, sizeof(*spool->segments), compare_segments);
    return r;
}

/* What a crash left at the end of the last one is cut off. */
static int scan_segment(struct iol_spool *spool, size_t i, struct iol_error *err)
{
    bool is_last = i + 1 == spool->n_segments;
    _cleanup_close_ int fd = -1;
    struct stat stat;
    int r = iol_segment_open(spool, &spool->segments[i], &fd);

    if (r == 0)
        r = iol_segment_scan(fd, &spool->segments[i], is_last);
    if (r == -EPROTONOSUPPORT) {
        iol_error_set(err, r, "a newer version of ioledger has written the spool %s", spool->dir);
        iol_error_hint(err, "use that version, or another spool: --spool DIR");
        return r;
    }
    if (r < 0 && r != -EBADMSG)
        return iol_spool_error(spool, r, "read", err);
    if (r == 0 && is_last && fstat(fd, &stat) == 0 && (uint64_t)stat.st_size > spool->segments[i].end &&
        (ftruncate(fd, (off_t)spool->segments[i].end) < 0 || fsync(fd) < 0))
        return iol_spool_error(spool, -errno, "repair", err);
    return 0;
}

/* Those that were merged into another one before a crash are removed, and so are those without an entry. */
static int scan_segments(struct iol_spool *spool, struct iol_error *err)
{
    uint64_t covered = 0;

    for (size_t i = 0; i < spool->n_segments; i++) {
        int r = scan_segment(spool, i, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < spool->n_segments;) {
        const struct iol_segment *segment = &spool->segments[i];
        if (segment->first <= covered || segment->entries == 0) {
            iol_spool_remove_segment(spool, i);
            continue;
        }
        covered = segment->covers;
        i++;
    }
    return 0;
}

/* Without a state nothing is known to be acknowledged, and all may have been sent. */
static int read_state(struct iol_spool *spool)
{
    int r = iol_spool_read_state(spool);

    if (r > 0) {
        spool->acked = 0;
        spool->reading = spool->n_segments ? iol_spool_last_segment(spool)->first : 0;
        r = iol_spool_write_state(spool, true);
    }
    return r;
}

/* Entries and rows that wait, and where the first of them is. */
static int count_waiting(struct iol_spool *spool)
{
    while (spool->n_segments > 1 && spool->segments[0].last <= spool->acked)
        iol_spool_remove_segment(spool, 0);
    for (size_t i = 0; i < spool->n_segments; i++) {
        const struct iol_segment *segment = &spool->segments[i];
        uint64_t at = sizeof(struct iol_segment_header);
        struct iol_entry entry = {0};
        _cleanup_close_ int fd = -1;
        int r = iol_segment_open(spool, segment, &fd);

        for (; r == 0; at += iol_entry_size(&entry.header)) {
            r = iol_entry_read(fd, segment->end, &at, false, &entry, NULL);
            if (r < 0)
                break;
            if (entry.header.number <= spool->acked)
                continue;
            spool->stats.entries++;
            spool->stats.rows += entry.header.rows;
        }
        if (r != -ENOENT)
            return r;
        spool->stats.bytes += segment->end;
    }
    spool->read_at = sizeof(struct iol_segment_header);
    spool->stats.inherited = spool->stats.entries;
    spool->next_number = spool->n_segments ? iol_spool_last_segment(spool)->last + 1 : spool->acked + 1;
    if (spool->next_number <= spool->acked)
        spool->next_number = spool->acked + 1;
    return 0;
}

static int read_last(struct iol_spool *spool)
{
    const struct iol_segment *segment = iol_spool_last_segment(spool);
    struct iol_entry entry = {0};
    struct iol_batch *batch = NULL;
    _cleanup_close_ int fd = -1;

    if (!segment)
        return 0;
    uint64_t at = segment->last_at;
    int r = iol_segment_open(spool, segment, &fd);
    if (r == 0)
        r = iol_entry_read(fd, segment->end, &at, true, &entry, NULL);
    if (r == -EBADMSG)
        r = 0; /* who it was is known */
    else if (r == 0 && iol_entry_unpack(spool, &entry, true, &batch, NULL) == 0)
        spool->last_journal = TAKE_PTR(batch->journal);
    iol_entry_done(&entry);
    if (r < 0)
        return r;
    spool->has_last = true;
    spool->last.host_id = entry.header.host_id;
    spool->last.seq = entry.header.seq;
    memcpy(spool->last.boot_id, entry.header.boot_id, sizeof(spool->last.boot_id));
    spool->last.journal = spool->last_journal;
    spool->last.journal_size = batch && spool->last_journal ? batch->journal_size : 0;
    iol_batch_free(batch);
    return 0;
}

static void count_quarantine(struct iol_spool *spool)
{
    int fd = openat(spool->dir_fd, IOL_SPOOL_QUARANTINE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct stat stat;

    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &stat, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        size_t length = strlen(entry->d_name);
        if (length > 6 && strcmp(entry->d_name + length - 6, ".batch") == 0)
            spool->stats.quarantine_files++;
        spool->quarantine_bytes += (uint64_t)stat.st_size;
    }
    if (dir)
        closedir(dir);
    else
        iol_spool_close_fd(&fd);
}

/* Rows of one database are not to end up in another one. */
static int check_target(struct iol_spool *spool, const char *target, struct iol_error *err)
{
    char text[IOL_ERROR_TEXT_MAX] = "", line[IOL_ERROR_TEXT_MAX];
    _cleanup_close_ int fd = openat(spool->dir_fd, "target", O_RDONLY | O_CLOEXEC);

    if (fd >= 0)
        (void)!read(fd, text, sizeof(text) - 1);
    text[strcspn(text, "\n")] = '\0';
    if (text[0] && spool->stats.entries > 0 && strncmp(text, target, sizeof(text) - 1) != 0) {
        iol_error_set(err, -EEXIST, "in the spool %s %" PRIu64 " batches wait for another database, %s", spool->dir,
                      spool->stats.entries, text);
        iol_error_hint(err, "record to that one to send them, or give another --spool DIR; to send them to this one, "
                            "remove the file 'target' in the folder");
        return -EEXIST;
    }
    int n = snprintf(line, sizeof(line), "%s\n", target);
    int r = iol_spool_replace(spool, "target", line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1, false);
    return r < 0 ? iol_spool_error(spool, r, "write to", err) : 0;
}

static int load(struct iol_spool *spool, const struct iol_spool_options *options, struct iol_error *err)
{
    int r = open_dir(spool, err);

    if (r == 0)
        r = list_segments(spool, err);
    if (r == 0 && fchmod(spool->dir_fd, 0700) < 0)
        r = iol_spool_error(spool, -errno, "protect", err);
    spool->removable = r == 0;
    if (r == 0)
        r = scan_segments(spool, err);
    if (r < 0)
        return r;
    count_quarantine(spool);
    r = read_state(spool);
    if (r == 0)
        r = count_waiting(spool);
    if (r == 0)
        r = read_last(spool);
    if (r < 0)
        return iol_spool_error(spool, r, "read", err);
    return check_target(spool, options->target, err);
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static void release(struct iol_spool *spool)
{
    iol_spool_close_fd(&spool->write_fd);
    iol_spool_close_fd(&spool->read_fd);
    iol_spool_close_fd(&spool->state_fd);
    iol_spool_close_fd(&spool->lock_fd);
    iol_spool_close_fd(&spool->dir_fd);
    ZSTD_freeCCtx(spool->compressor);
    ZSTD_freeDCtx(spool->decompressor);
    pthread_mutex_destroy(&spool->lock);
    free(spool->last_journal);
    free(spool->segments);
    free(spool->dir);
    free(spool);
}

int iol_spool_open(const char *dir, const struct iol_spool_options *options, struct iol_spool **ret_spool,
                   struct iol_error *err)
{
    struct iol_spool *spool = calloc(1, sizeof(*spool));

    if (!spool)
        return iol_error_set(err, -ENOMEM, "out of memory");
    spool->dir_fd = spool->lock_fd = spool->state_fd = spool->write_fd = spool->read_fd = -1;
    spool->max_bytes = options->max_bytes;
    spool->segment_bytes = clamp(options->max_bytes / SEGMENTS_MAX, SEGMENT_MIN, SEGMENT_MAX);
    spool->sync = options->sync;
    spool->keep = options->keep;
    pthread_mutex_init(&spool->lock, NULL);
    spool->dir = strdup(dir);
    spool->compressor = ZSTD_createCCtx();
    spool->decompressor = ZSTD_createDCtx();
    int r = spool->dir && spool->compressor && spool->decompressor ? load(spool, options, err)
                                                                   : iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        release(spool);
        return r;
    }
    *ret_spool = spool;
    return 0;
}

static void remove_spool(struct iol_spool *spool)
{
    while (spool->n_segments > 0)
        iol_spool_remove_segment(spool, 0);
    unlinkat(spool->dir_fd, "state", 0);
    unlinkat(spool->dir_fd, "target", 0);
    unlinkat(spool->dir_fd, IOL_SPOOL_QUARANTINE, AT_REMOVEDIR);
    unlinkat(spool->dir_fd, "lock", 0);
    rmdir(spool->dir);
}

void iol_spool_close(struct iol_spool *spool)
{
    if (!spool)
        return;
    if (spool->removable && !spool->keep && spool->stats.entries == 0 && spool->stats.quarantine_files == 0)
        remove_spool(spool);
    else
        iol_spool_flush(spool);
    release(spool);
}
