// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "capture/pin.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/error.h"

#define LINKS_MAX 192
#define DETACH_PATIENCE_MS 5000
#define BLIND_PATIENCE_MS 500

static const char *const parts[] = {"links", "programs", "maps"};

static int path_of(char path[IOL_PIN_PATH_MAX], const char *folder, const char *part, const char *name)
{
    int n = snprintf(path, IOL_PIN_PATH_MAX, "%s%s%s%s%s", folder, part[0] ? "/" : "", part, name[0] ? "/" : "", name);

    return n < 0 || n >= IOL_PIN_PATH_MAX ? -ENAMETOOLONG : 0;
}

/* The process that has locked the folder, as /proc/locks tells; 0: it does not. */
static long holder_of(int fd)
{
    struct stat folder;
    char line[256];
    long found = 0;
    FILE *file;

    if (fstat(fd, &folder) < 0)
        return 0;
    file = fopen("/proc/locks", "re");
    if (!file)
        return 0;
    while (!found && fgets(line, sizeof(line), file)) {
        unsigned int major_id, minor_id;
        unsigned long inode;
        long pid;

        /* 4: FLOCK  ADVISORY  WRITE 1234 00:2b:567 0 EOF */
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%lu", &pid, &major_id, &minor_id, &inode) == 4 &&
            makedev(major_id, minor_id) == folder.st_dev && inode == folder.st_ino)
            found = pid;
    }
    fclose(file);
    return found;
}

pid_t iol_pin_holder(const char *folder)
{
    _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

    return fd < 0 ? 0 : (pid_t)holder_of(fd);
}

static int check_file_system(const char *folder, struct iol_error *err)
{
    char parent[IOL_PIN_PATH_MAX];
    const char *slash = strrchr(folder, '/');
    struct statfs fs;

    if (folder[0] != '/' || !slash[1] || strlen(folder) >= IOL_PIN_PATH_MAX / 2)
        return iol_error_set(err, -EINVAL, "'%s' is no absolute path of a folder", folder);
    snprintf(parent, sizeof(parent), "%.*s", slash == folder ? 1 : (int)(slash - folder), folder);
    if (statfs(parent, &fs) < 0)
        return iol_error_set(err, -errno, "cannot look at %s: %m", parent);
    if (fs.f_type == BPF_FS_MAGIC)
        return 0;
    iol_error_set(err, -ENODEV, "there is no bpf file system at %s", parent);
    /* what hides behind a mount is not for us to choose */
    if (strcmp(parent, "/sys/fs/bpf") == 0)
        iol_error_hint(err, "mount one, as systemd does: mount -t bpf -o nosuid,nodev,noexec,mode=700 bpf %s", parent);
    else
        iol_error_hint(err, "give a folder in one, or none: /sys/fs/bpf/ioledger is usual");
    return -ENODEV;
}

/* 0: it is ours; 1: it was removed before it was locked. */
static int try_lock(const char *folder, int fd, struct iol_error *err)
{
    struct stat locked, there;
    long pid;

    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return iol_error_set(err, -errno, "cannot lock %s: %m", folder);
        pid = holder_of(fd);
        if (pid > 0)
            iol_error_set(err, -EBUSY, "another recorder (pid %ld) works with %s", pid, folder);
        else
            iol_error_set(err, -EBUSY, "another recorder works with %s", folder);
        iol_error_hint(err, "stop it, or name another folder: --pin=FOLDER");
        return -EBUSY;
    }
    if (fstat(fd, &locked) < 0 || stat(folder, &there) < 0 || locked.st_ino != there.st_ino)
        return 1;
    return 0;
}

int iol_pin_lock(const char *folder, struct iol_error *err)
{
    int r = check_file_system(folder, err);

    while (r == 0) {
        _cleanup_close_ int fd = -1;

        if (mkdir(folder, 0700) < 0 && errno != EEXIST)
            return iol_error_set(err, -errno, "cannot make %s: %m", folder);
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT)
            continue;
        if (fd < 0)
            return iol_error_set(err, -errno, "cannot open %s: %m", folder);
        r = try_lock(folder, fd, err);
        if (r == 0)
            return TAKE_FD(fd);
        if (r == 1)
            r = 0;
    }
    return r;
}

int iol_pin_read(const char *folder, struct iol_about *ret_about, struct iol_error *err)
{
    _cleanup_close_ int fd = iol_pin_open(folder, "", "about");
    _cleanup_free_ struct iol_about *about = NULL;
    struct bpf_map_info info = {0};
    uint32_t size = sizeof(info), zero = 0;

    if (fd == -ENOENT)
        return -ENOENT;
    if (fd < 0)
        return iol_error_set(err, fd, "cannot open %s/about: %s", folder, strerror(-fd));
    if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
        return iol_error_set(err, -errno, "cannot read %s/about: %m", folder);
    about = calloc(1, info.value_size > sizeof(*about) ? info.value_size : sizeof(*about));
    if (!about)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (bpf_map_lookup_elem(fd, &zero, about) < 0)
        return iol_error_set(err, -errno, "cannot read %s/about: %m", folder);
    if (about->layout != IOL_LAYOUT || about->size != sizeof(*about) || info.value_size != sizeof(*about)) {
        iol_error_set(err, -EPROTO, "the counters in %s are of layout %u, and this is ioledger %s with layout %d",
                      folder, about->layout, IOL_VERSION, IOL_LAYOUT);
        iol_error_hint(err, "end them with the version that made them: 'ioledger stop --unpin'; 'ioledger stop --unpin "
                            "--discard' of any version drops what they have counted");
        return -EPROTO;
    }
    *ret_about = *about;
    return 0;
}

int iol_pin_add(const char *folder, const char *part, const char *name, int fd)
{
    char path[IOL_PIN_PATH_MAX], plain[64];

    if (path_of(path, folder, part, "") < 0)
        return -ENAMETOOLONG;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    snprintf(plain, sizeof(plain), "%s", name);
    for (char *at = plain; *at; at++)
        *at = *at == '.' ? '_' : *at; /* the bpf file system keeps names with dots for itself */
    if (path_of(path, folder, part, plain) < 0)
        return -ENAMETOOLONG;
    return bpf_obj_pin(fd, path) < 0 ? -errno : 0;
}

int iol_pin_open(const char *folder, const char *part, const char *name)
{
    char path[IOL_PIN_PATH_MAX];
    int fd;

    if (path_of(path, folder, part, name) < 0)
        return -ENAMETOOLONG;
    fd = bpf_obj_get(path);
    return fd < 0 ? -errno : fd;
}

int iol_pin_each(const char *folder, const char *part, iol_pin_fn *each, void *arg)
{
    char path[IOL_PIN_PATH_MAX];
    struct dirent *entry;
    DIR *dir;
    int r = 0;

    if (path_of(path, folder, part, "") < 0)
        return -ENAMETOOLONG;
    dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    while (r >= 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.')
            r = each(arg, entry->d_name);
    }
    closedir(dir);
    return r < 0 ? r : 0;
}

int iol_pin_complete(const char *folder, const struct iol_about *about)
{
    _cleanup_close_ int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "about", sizeof(uint32_t), sizeof(*about), 1, NULL);
    const uint32_t zero = 0;

    if (fd < 0 || bpf_map_update_elem(fd, &zero, about, BPF_ANY) < 0)
        return -errno;
    return iol_pin_add(folder, "", "about", fd);
}

int iol_pin_end(const char *folder)
{
    _cleanup_close_ int fd = iol_pin_open(folder, "", "about");
    struct iol_about about;
    const uint32_t zero = 0;

    if (fd < 0)
        return fd;
    if (bpf_map_lookup_elem(fd, &zero, &about) < 0)
        return -errno;
    about.ending = 1;
    return bpf_map_update_elem(fd, &zero, &about, BPF_ANY) < 0 ? -errno : 0;
}

struct hooks {
    const char *folder;
    uint32_t programs[LINKS_MAX]; /* their ids */
    size_t n;
};

static int remove_link(void *arg, const char *name)
{
    struct hooks *hooks = arg;
    _cleanup_close_ int fd = iol_pin_open(hooks->folder, "links", name);
    struct bpf_link_info info = {0};
    uint32_t size = sizeof(info);
    char path[IOL_PIN_PATH_MAX];

    if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 && hooks->n < LINKS_MAX)
        hooks->programs[hooks->n++] = info.prog_id;
    if (path_of(path, hooks->folder, "links", name) < 0)
        return -ENAMETOOLONG;
    return unlink(path) < 0 ? -errno : 0;
}

/*
 * A file of the bpf file system lets go of its link after a grace period of its own, and the link detaches in a work queue. It is
 * done when the program, which only the link holds, is no more.
 */
static void wait_until_gone(uint32_t program)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (int ms = 0; ms < DETACH_PATIENCE_MS; ms++) {
        int fd = bpf_prog_get_fd_by_id(program);

        /* only CAP_SYS_ADMIN may ask; others give it the time of many grace periods */
        if (fd == -EPERM && ms < BLIND_PATIENCE_MS) {
            nanosleep(&pause, NULL);
            continue;
        }
        if (fd < 0)
            return;
        close(fd);
        nanosleep(&pause, NULL);
    }
}

int iol_pin_remove_links(const char *folder)
{
    struct hooks hooks = {.folder = folder};
    int r = iol_pin_each(folder, "links", remove_link, &hooks);

    for (size_t i = 0; i < hooks.n; i++)
        wait_until_gone(hooks.programs[i]);
    return r;
}

struct part {
    const char *folder, *name;
};

static int remove_pin(void *arg, const char *name)
{
    const struct part *part = arg;
    char path[IOL_PIN_PATH_MAX];

    if (path_of(path, part->folder, part->name, name) < 0)
        return -ENAMETOOLONG;
    return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int iol_pin_clear(const char *folder)
{
    struct part about = {folder, ""};
    int r = remove_pin(&about, "about");

    for (size_t i = 0; r == 0 && i < IOL_ARRAY_SIZE(parts); i++) {
        struct part part = {folder, parts[i]};
        char path[IOL_PIN_PATH_MAX];

        r = iol_pin_each(folder, parts[i], remove_pin, &part);
        if (r == 0 && path_of(path, folder, parts[i], "") == 0 && rmdir(path) < 0 && errno != ENOENT)
            r = -errno;
    }
    return r;
}

int iol_pin_remove(const char *folder)
{
    int r = iol_pin_clear(folder);

    if (r < 0 || rmdir(folder) == 0)
        return r;
    /* what was made for a service that may not, or that has it as a mount point of its sandbox, stays, and is empty */
    return errno == EACCES || errno == EPERM || errno == EROFS || errno == EBUSY ? 0 : -errno;
}
