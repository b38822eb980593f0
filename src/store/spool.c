// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/spool.intern.h"

#define SEGMENTS_MAX 32 /* that make up max_bytes, when each is full */
#define SEGMENT_MIN ((uint64_t)32 << 10)
#define SEGMENT_MAX ((uint64_t)8 << 20)
#define QUARANTINE_SHARE 4 /* of max_bytes: the part that it may take beside the segments */
#define SYNC_MS 1000

static const char suffix[] = ".segment", quarantine[] = "quarantine";

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int disk_error(const struct iol_spool *spool, int code, const char *doing, struct iol_error *err)
{
    return iol_error_set(err, code, "cannot %s the spool %s: %s", doing, spool->dir, strerror(-code));
}

const char *iol_spool_dir(const struct iol_spool *spool)
{
    return spool->dir;
}

static struct iol_segment *last_segment(struct iol_spool *spool)
{
    return spool->n_segments ? &spool->segments[spool->n_segments - 1] : NULL;
}

/* Opening */

static int make_dir(struct iol_spool *spool, struct iol_error *err)
{
    int r = mkdir(spool->dir, 0700) < 0 && errno != EEXIST ? -errno : 0;

    if (r == 0) {
        spool->dir_fd = open(spool->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = spool->dir_fd < 0 ? -errno : 0;
    }
    return r < 0 ? disk_error(spool, r, "open", err) : 0;
}

/* The file may have been removed, together with the spool, between its opening and its locking: 1, to be tried again. */
static int take_lock(struct iol_spool *spool, struct iol_error *err)
{
    struct stat ours, there;
    char pid[16] = "";

    spool->lock_fd = openat(spool->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (spool->lock_fd < 0)
        return errno == ENOENT ? 1 : disk_error(spool, -errno, "lock", err);
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return disk_error(spool, -errno, "lock", err);
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
        return disk_error(spool, -EIO, "lock", err);
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int open_dir(struct iol_spool *spool, struct iol_error *err)
{
    for (;;) {
        int r = make_dir(spool, err);
        if (r == 0)
            r = take_lock(spool, err);
        if (r <= 0)
            return r;
        close_fd(&spool->lock_fd);
        close_fd(&spool->dir_fd);
    }
}

static bool is_segment(const char *name, uint64_t *ret_first)
{
    char *end;

    if (strlen(name) != 16 + strlen(suffix) || strspn(name, "0123456789abcdef") != 16 || strcmp(name + 16, suffix) != 0)
        return false;
    *ret_first = strtoull(name, &end, 16);
    return *ret_first > 0;
}

static struct iol_segment *add_segment(struct iol_spool *spool)
{
    if (spool->n_segments == spool->room_segments) {
        size_t room = spool->room_segments ? spool->room_segments * 2 : 16;
        struct iol_segment *segments = reallocarray(spool->segments, room, sizeof(*segments));
        if (!segments)
            return NULL;
        spool->segments = segments;
        spool->room_segments = room;
    }
    spool->segments[spool->n_segments] = (struct iol_segment){0};
    return &spool->segments[spool->n_segments++];
}

static int foreign(const struct iol_spool *spool, const char *name, struct iol_error *err)
{
    iol_error_set(err, -EEXIST, "the folder %s is no spool: it has a '%s' in it", spool->dir, name);
    iol_error_hint(err, "give an empty folder, or one that is not there yet, with --spool DIR");
    return -EEXIST;
}

static int take_name(struct iol_spool *spool, const char *name, struct iol_error *err)
{
    static const char *const known[] = {".", "..", "lock", "target", "state", quarantine, "lost+found"};
    struct iol_segment *segment;
    uint64_t first;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(known); i++) {
        if (strcmp(name, known[i]) == 0)
            return 0;
    }
    if (strlen(name) > 4 && strcmp(name + strlen(name) - 4, ".new") == 0)
        return unlinkat(spool->dir_fd, name, 0) < 0 ? disk_error(spool, -errno, "tidy", err) : 0;
    if (!is_segment(name, &first))
        return foreign(spool, name, err);
    segment = add_segment(spool);
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
    int fd = dup(spool->dir_fd);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int r = 0;

    if (!dir) {
        close_fd(&fd);
        return disk_error(spool, -errno, "read", err);
    }
    rewinddir(dir);
    while (r == 0 && (entry = readdir(dir)))
        r = take_name(spool, entry->d_name, err);
    closedir(dir);
    if (spool->n_segments > 0)
        qsort(spool->segments, spool->n_segments, sizeof(*spool->segments), compare_segments);
    return r;
}

static void remove_segment(struct iol_spool *spool, size_t i)
{
    char name[32];

    iol_segment_name(name, sizeof(name), spool->segments[i].first);
    unlinkat(spool->dir_fd, name, 0);
    spool->n_segments--;
    memmove(&spool->segments[i], &spool->segments[i + 1], (spool->n_segments - i) * sizeof(*spool->segments));
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
        return disk_error(spool, r, "read", err);
    if (r == 0 && is_last && fstat(fd, &stat) == 0 && (uint64_t)stat.st_size > spool->segments[i].end &&
        (ftruncate(fd, (off_t)spool->segments[i].end) < 0 || fsync(fd) < 0))
        return disk_error(spool, -errno, "repair", err);
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
            remove_segment(spool, i);
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
        spool->reading = spool->n_segments ? last_segment(spool)->first : 0;
        r = iol_spool_write_state(spool, true);
    }
    return r;
}

/* Entries and rows that wait, and where the first of them is. */
static int count_waiting(struct iol_spool *spool)
{
    while (spool->n_segments > 1 && spool->segments[0].last <= spool->acked)
        remove_segment(spool, 0);
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
    spool->next_number = spool->n_segments ? last_segment(spool)->last + 1 : spool->acked + 1;
    if (spool->next_number <= spool->acked)
        spool->next_number = spool->acked + 1;
    return 0;
}

static int read_last(struct iol_spool *spool)
{
    const struct iol_segment *segment = last_segment(spool);
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
    int fd = openat(spool->dir_fd, quarantine, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
        close_fd(&fd);
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
    return r < 0 ? disk_error(spool, r, "write to", err) : 0;
}

static int load(struct iol_spool *spool, const struct iol_spool_options *options, struct iol_error *err)
{
    int r = open_dir(spool, err);

    if (r == 0)
        r = list_segments(spool, err);
    if (r == 0 && fchmod(spool->dir_fd, 0700) < 0)
        r = disk_error(spool, -errno, "protect", err);
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
        return disk_error(spool, r, "read", err);
    return check_target(spool, options->target, err);
}

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static void release(struct iol_spool *spool)
{
    close_fd(&spool->write_fd);
    close_fd(&spool->read_fd);
    close_fd(&spool->state_fd);
    close_fd(&spool->lock_fd);
    close_fd(&spool->dir_fd);
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

const struct iol_spool_last *iol_spool_last(const struct iol_spool *spool)
{
    return spool->has_last ? &spool->last : NULL;
}

/* Appending */

static int sync_segment(struct iol_spool *spool)
{
    if (!spool->unsynced || spool->write_fd < 0)
        return 0;
    if (fdatasync(spool->write_fd) < 0)
        return -errno;
    spool->unsynced = false;
    spool->synced_ms = now_ms();
    return 0;
}

/* Ends the segment that is appended to. It is made safe, as its predecessors are removed when it has followers. */
static int close_segment(struct iol_spool *spool)
{
    int r = spool->sync == IOL_SPOOL_SYNC_NEVER ? 0 : sync_segment(spool);

    if (r == 0) {
        close_fd(&spool->write_fd);
        spool->unsynced = false;
    }
    return r;
}

static int begin_segment(struct iol_spool *spool)
{
    struct iol_segment begun = {.first = spool->next_number, .last = spool->next_number - 1};
    struct iol_segment *segment;
    char name[32];
    int fd;

    iol_segment_name(name, sizeof(name), begun.first);
    begun.end = sizeof(struct iol_segment_header);
    int r = iol_segment_create(spool, name, &begun, &fd);
    if (r < 0)
        return r;
    segment = add_segment(spool);
    if (!segment || (spool->sync != IOL_SPOOL_SYNC_NEVER && fsync(spool->dir_fd) < 0)) {
        r = segment ? -errno : -ENOMEM;
        spool->n_segments -= segment ? 1 : 0;
        close(fd);
        unlinkat(spool->dir_fd, name, 0);
        return r;
    }
    *segment = begun;
    spool->write_fd = fd;
    spool->stats.bytes += begun.end;
    return 0;
}

/* While it waits for nothing, one batch may be as big as it likes. */
static bool has_room(const struct iol_spool *spool, uint64_t size)
{
    /* merging writes its result before it removes what was merged */
    uint64_t reserve = spool->max_bytes / 8;

    return spool->stats.entries == 0 || spool->stats.bytes + size + reserve <= spool->max_bytes;
}

static void remove_acked(struct iol_spool *spool);

static int make_room(struct iol_spool *spool, uint64_t size)
{
    int r = 0;

    if (spool->write_fd >= 0 && last_segment(spool)->end + size > spool->segment_bytes &&
        last_segment(spool)->entries > 0)
        r = close_segment(spool);
    while (r == 0 && !has_room(spool, size))
        r = iol_spool_shrink(spool);
    if (r == 0 && spool->write_fd < 0)
        r = begin_segment(spool);
    return r;
}

static int write_entry(struct iol_spool *spool, const struct iol_entry *entry)
{
    int r = make_room(spool, iol_entry_size(&entry->header));

    if (r < 0)
        return r;
    struct iol_segment *segment = last_segment(spool);
    uint64_t at = segment->end;
    r = iol_entry_write(spool->write_fd, at, entry);
    spool->unsynced = true;
    if (r == 0 && (spool->sync == IOL_SPOOL_SYNC_ALWAYS ||
                   (spool->sync == IOL_SPOOL_SYNC_EVERYSEC && now_ms() - spool->synced_ms >= SYNC_MS)))
        r = sync_segment(spool);
    if (r < 0) {
        /* what is written of it is no entry; should it not go away, it is skipped when it is read */
        (void)!ftruncate(spool->write_fd, (off_t)at);
        return r;
    }
    iol_segment_note(segment, &entry->header, at);
    return 0;
}

/* What is acknowledged gives its room to what is not: on a disk that is full nothing else may be left. */
static bool drop_acked(struct iol_spool *spool)
{
    if (spool->stats.entries > 0 || spool->keep || spool->stats.bytes <= 2 * sizeof(struct iol_segment_header))
        return false;
    close_fd(&spool->write_fd);
    close_fd(&spool->read_fd);
    spool->read_at = sizeof(struct iol_segment_header);
    while (spool->n_segments > 0)
        remove_segment(spool, 0);
    spool->stats.bytes = 0;
    spool->unsynced = false;
    return true;
}

static int append(struct iol_spool *spool, const struct iol_entry *entry)
{
    int r = write_entry(spool, entry);

    if (r == -ENOSPC && drop_acked(spool))
        r = write_entry(spool, entry);
    if (r < 0)
        return r;
    spool->next_number++;
    spool->oldest_known = spool->oldest_known && spool->stats.entries > 0;
    spool->stats.entries++;
    spool->stats.rows += entry->header.rows;
    spool->stats.bytes += iol_entry_size(&entry->header);
    remove_acked(spool);
    return 0;
}

int iol_spool_append(struct iol_spool *spool, const struct iol_batch *batch, struct iol_error *err)
{
    struct iol_entry entry = {0};

    pthread_mutex_lock(&spool->lock);
    int r = iol_entry_pack(spool, batch, spool->next_number, 1, &entry);
    if (r == 0)
        r = append(spool, &entry);
    iol_entry_done(&entry);
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? disk_error(spool, r, "write to", err) : 0;
}

int iol_spool_sync(struct iol_spool *spool, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = sync_segment(spool);
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? disk_error(spool, r, "write to", err) : 0;
}

/* Taking */

/* The last segment that has an entry stays: it says what was appended last. */
static void remove_acked(struct iol_spool *spool)
{
    while (spool->n_segments > 1 && spool->segments[0].last <= spool->acked && spool->segments[1].entries > 0) {
        close_fd(&spool->read_fd);
        spool->read_at = sizeof(struct iol_segment_header);
        spool->stats.bytes -= spool->segments[0].end;
        remove_segment(spool, 0);
    }
}

/* From now on the entries of the first segment that has one to be read may be sent. */
static int open_reading(struct iol_spool *spool)
{
    const struct iol_segment *segment = &spool->segments[0];

    if (spool->read_fd >= 0)
        return 0;
    if (segment->first > spool->reading) {
        uint64_t before = spool->reading;
        spool->reading = segment->first;
        int r = iol_spool_write_state(spool, true);
        if (r < 0) {
            spool->reading = before;
            return r;
        }
    }
    return iol_segment_open(spool, segment, &spool->read_fd);
}

static const char *name_of(char *buf, size_t size, const struct iol_entry_header *header, const char *ending)
{
    snprintf(buf, size, "%s/%016" PRIx64 ".%s", quarantine, header->number, ending);
    return buf;
}

static void print_reason(FILE *out, const struct iol_entry_header *header, const char *reason)
{
    time_t now = time(NULL);
    char when[32] = "";
    struct tm tm;

    if (gmtime_r(&now, &tm))
        strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S UTC", &tm);
    fprintf(out, "set aside:  %s\nreason:     %s\nbatch:      host_id %" PRId64 ", boot_id %s, seq %" PRId64 "\n", when,
            reason, header->host_id, header->boot_id, header->seq);
    fprintf(out, "rows:       %" PRIu32 "\nbatches:    %" PRIu32 "\n", header->rows, header->batches);
}

static int write_quarantine(struct iol_spool *spool, const struct iol_entry *entry, const char *reason)
{
    _cleanup_free_ char *text = NULL, *bytes = NULL;
    size_t size, body = iol_entry_size(&entry->header) - sizeof(entry->header);
    FILE *out = open_memstream(&text, &size);
    char name[64];

    if (!out)
        return -ENOMEM;
    print_reason(out, &entry->header, reason);
    bytes = malloc(sizeof(entry->header) + body);
    if (fclose(out) != 0 || !bytes)
        return -ENOMEM;
    if (mkdirat(spool->dir_fd, quarantine, 0700) < 0 && errno != EEXIST)
        return -errno;
    memcpy(bytes, &entry->header, sizeof(entry->header));
    memcpy(bytes + sizeof(entry->header), entry->body, body);
    int r = iol_spool_replace(spool, name_of(name, sizeof(name), &entry->header, "txt"), text, size, true);
    if (r == 0)
        r = iol_spool_replace(spool, name_of(name, sizeof(name), &entry->header, "batch"), bytes,
                              sizeof(entry->header) + body, true);
    if (r < 0)
        return r;
    spool->quarantine_bytes += size + sizeof(entry->header) + body;
    spool->stats.quarantined++;
    spool->stats.quarantine_files++;
    spool->stats.quarantined_rows += entry->header.rows;
    return 0;
}

static int acknowledge(struct iol_spool *spool, const struct iol_entry_header *header)
{
    spool->acked = header->number;
    spool->read_at += iol_entry_size(header);
    spool->stats.entries--;
    spool->stats.rows -= header->rows;
    spool->taken.number = 0;
    spool->oldest_known = false;
    int r = iol_spool_write_state(spool, false);
    remove_acked(spool);
    return r;
}

/* Reads the first entry that waits, from where the last one ended. 0; -ENOENT: there is none; -EBADMSG: it is damaged. */
static int read_entry(struct iol_spool *spool, struct iol_entry *ret_entry)
{
    while (spool->n_segments > 0) {
        bool skipped = false;
        int r = open_reading(spool);

        if (r < 0)
            return r;
        r = iol_entry_read(spool->read_fd, spool->segments[0].end, &spool->read_at, true, ret_entry, &skipped);
        spool->stats.damaged += skipped || r == -EBADMSG;
        if ((r == 0 || r == -EBADMSG) && ret_entry->header.number <= spool->acked) {
            spool->read_at += iol_entry_size(&ret_entry->header);
            iol_entry_done(ret_entry);
            continue;
        }
        if (r != -ENOENT || spool->n_segments == 1 || spool->segments[1].entries == 0)
            return r;
        /* all of it is acknowledged, or was no entry */
        spool->acked = spool->segments[0].last > spool->acked ? spool->segments[0].last : spool->acked;
        remove_acked(spool);
    }
    return -ENOENT;
}

static int take_next(struct iol_spool *spool, struct iol_batch **ret_batch, struct iol_error *err)
{
    while (spool->stats.entries > 0) {
        struct iol_entry entry = {0};
        struct iol_error damage = {.text = "the bytes on the disk are not those that were written"};
        int r = read_entry(spool, &entry);

        if (r == -ENOENT) {
            /* what was counted and is not there any more was damaged */
            spool->stats.entries = spool->stats.rows = 0;
            break;
        }
        if (r == 0)
            r = iol_entry_unpack(spool, &entry, false, ret_batch, &damage);
        if (r == 0) {
            spool->taken = entry.header;
            iol_entry_done(&entry);
            return 1;
        }
        if (r == -EBADMSG || r == -EPROTONOSUPPORT) {
            r = write_quarantine(spool, &entry, damage.text);
            if (r == 0)
                r = acknowledge(spool, &entry.header);
        }
        iol_entry_done(&entry);
        if (r < 0)
            return disk_error(spool, r, "read", err);
    }
    return 0;
}

int iol_spool_next(struct iol_spool *spool, struct iol_batch **ret_batch, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = take_next(spool, ret_batch, err);
    pthread_mutex_unlock(&spool->lock);
    return r;
}

int iol_spool_ack(struct iol_spool *spool, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = spool->taken.number ? acknowledge(spool, &spool->taken) : 0;
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? disk_error(spool, r, "write to", err) : 0;
}

static int quarantine_taken(struct iol_spool *spool, const char *reason)
{
    struct iol_entry entry = {0};
    uint64_t at = spool->read_at;

    if (!spool->taken.number)
        return 0;
    if (spool->quarantine_bytes + iol_entry_size(&spool->taken) > spool->max_bytes / QUARANTINE_SHARE)
        return -ENOSPC;
    int r = iol_entry_read(spool->read_fd, spool->segments[0].end, &at, true, &entry, NULL);
    if (r == 0 || r == -EBADMSG)
        r = write_quarantine(spool, &entry, reason);
    if (r == 0)
        r = acknowledge(spool, &entry.header);
    iol_entry_done(&entry);
    return r;
}

int iol_spool_quarantine(struct iol_spool *spool, const char *reason, struct iol_error *err)
{
    pthread_mutex_lock(&spool->lock);
    int r = quarantine_taken(spool, reason);
    pthread_mutex_unlock(&spool->lock);
    return r < 0 ? disk_error(spool, r, "set a batch aside in", err) : 0;
}

/* Of the first entry that waits, which may not have been read yet. */
static int64_t oldest_ts(struct iol_spool *spool)
{
    for (size_t i = 0; i < spool->n_segments; i++) {
        const struct iol_segment *segment = &spool->segments[i];
        uint64_t at = i == 0 && spool->read_fd >= 0 ? spool->read_at : sizeof(struct iol_segment_header);
        struct iol_entry entry = {0};
        _cleanup_close_ int fd = -1;

        if (segment->last <= spool->acked || iol_segment_open(spool, segment, &fd) < 0)
            continue;
        while (iol_entry_read(fd, segment->end, &at, false, &entry, NULL) == 0) {
            if (entry.header.number > spool->acked)
                return entry.header.ts;
            at += iol_entry_size(&entry.header);
        }
    }
    return 0;
}

void iol_spool_get_stats(struct iol_spool *spool, struct iol_spool_stats *ret_stats)
{
    pthread_mutex_lock(&spool->lock);
    if (!spool->oldest_known)
        spool->stats.oldest_ts = spool->stats.entries > 0 ? oldest_ts(spool) : 0;
    spool->oldest_known = true;
    *ret_stats = spool->stats;
    pthread_mutex_unlock(&spool->lock);
}

static void remove_spool(struct iol_spool *spool)
{
    while (spool->n_segments > 0)
        remove_segment(spool, 0);
    unlinkat(spool->dir_fd, "state", 0);
    unlinkat(spool->dir_fd, "target", 0);
    unlinkat(spool->dir_fd, quarantine, AT_REMOVEDIR);
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
        sync_segment(spool);
    release(spool);
}
