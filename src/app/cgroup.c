// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/cgroup.h"

#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/container.h"

#define MOUNTS_MAX 64
#define SHORT_ID 12 /* digits of a container's id that engines show */

/* A hierarchy, as it is mounted somewhere. */
struct mount {
    dev_t dev;
    unsigned int hierarchy; /* as in /proc/PID/cgroup; 0 is v2 */
    char *root;             /* the cgroup that is mounted there: "/", unless it is a part of the hierarchy */
    char *point;
};

struct mounts {
    struct mount list[MOUNTS_MAX];
    size_t n;
};

static void free_mounts(struct mounts *mounts)
{
    while (mounts->n > 0) {
        struct mount *mount = &mounts->list[--mounts->n];

        free(mount->root);
        free(mount->point);
    }
}

/* "\040" to a blank: how mountinfo writes what would end a field. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *at = text; *at; at++) {
        if (at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' && at[2] <= '7' && at[3] >= '0' &&
            at[3] <= '7') {
            *to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 3;
        } else {
            *to++ = *at;
        }
    }
    *to = '\0';
}

/* Is the word one of the list "a,b,c"? */
static bool in_list(const char *list, const char *word, size_t length)
{
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/*
 * The number of the v1 hierarchy mounted with these options, of which its controllers are a part: each line of
 * /proc/self/cgroup is NUMBER:CONTROLLERS:PATH, and a controller is in one hierarchy only. False: it cannot be told.
 */
static bool find_hierarchy(const char *options, unsigned int *ret_number)
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    bool found = false;

    while (file && !found && getline(&line, &size, file) > 0) {
        char *controllers = strchr(line, ':');
        size_t length = controllers ? strcspn(controllers + 1, ",:") : 0;

        if (length > 0 && in_list(options, controllers + 1, length)) {
            *ret_number = (unsigned int)strtoul(line, NULL, 10);
            found = true;
        }
    }
    if (file)
        fclose(file);
    return found;
}

/* One line of mountinfo, of proc(5): 36 35 98:0 ROOT POINT OPTIONS [optional fields] - TYPE SOURCE SUPER_OPTIONS */
static int take_mount(struct mounts *mounts, char *line)
{
    struct mount mount = {0};
    unsigned int major, minor;
    char *separator = strstr(line, " - "), *root = NULL, *point = NULL;
    char type[16], options[1024];

    if (!separator || sscanf(separator, " - %15s %*s %1023s", type, options) != 2 ||
        (strcmp(type, "cgroup") != 0 && strcmp(type, "cgroup2") != 0) || mounts->n == MOUNTS_MAX)
        return 0;
    if (strcmp(type, "cgroup") == 0 && !find_hierarchy(options, &mount.hierarchy))
        return 0;
    if (sscanf(line, "%*d %*d %u:%u %ms %ms", &major, &minor, &root, &point) == 4) {
        unescape(root);
        unescape(point);
        mount.dev = makedev(major, minor);
        mount.root = root;
        mount.point = point;
        mounts->list[mounts->n++] = mount;
        return 0;
    }
    free(root);
    free(point);
    return -ENOMEM;
}

static int read_mounts(struct mounts *mounts, struct iol_error *err)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    int r = 0;

    if (!file)
        return iol_error_set(err, -errno, "cannot read /proc/self/mountinfo: %m");
    while (r == 0 && getline(&line, &size, file) > 0)
        r = take_mount(mounts, line);
    fclose(file);
    return r < 0 ? iol_error_set(err, r, "out of memory") : 0;
}

static int add_id(struct iol_cgroup_ids *ids, unsigned int hierarchy, ino_t inode, struct iol_error *err)
{
    uint64_t id = (uint64_t)hierarchy << IOL_CGROUP_HIERARCHY_SHIFT | inode;

    for (size_t i = 0; i < ids->n; i++) {
        if (ids->ids[i] == id)
            return 0;
    }
    if (ids->n == IOL_CGROUP_FILTER_MAX)
        return iol_error_set(err, -E2BIG, "these are more than %d cgroups (on v1 each hierarchy has its own)",
                             IOL_CGROUP_FILTER_MAX);
    ids->ids[ids->n++] = id;
    return 0;
}

/* Adds the folder if it is a cgroup: 1, 0 if it is none, or -errno. */
static int add_folder(struct iol_cgroup_ids *ids, const struct mounts *mounts, const char *path, struct iol_error *err)
{
    struct stat folder;

    if (stat(path, &folder) < 0 || !S_ISDIR(folder.st_mode))
        return 0;
    for (size_t i = 0; i < mounts->n; i++) {
        if (mounts->list[i].dev == folder.st_dev) {
            int r = add_id(ids, mounts->list[i].hierarchy, folder.st_ino, err);

            return r < 0 ? r : 1;
        }
    }
    return 0;
}

/* Where the mount has the cgroup of this path within its hierarchy; malloc'ed, or NULL when it has it not. */
static char *place_in_mount(const struct mount *mount, const char *path)
{
    size_t root = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    char *place;

    if (strncmp(path, mount->root, root) != 0 || (path[root] != '/' && path[root] != '\0'))
        return NULL;
    return asprintf(&place, "%s%s", mount->point, path + root) < 0 ? NULL : place;
}

static int add_path(struct iol_cgroup_ids *ids, const struct mounts *mounts, const char *path, struct iol_error *err)
{
    int r = add_folder(ids, mounts, path, err);
    bool is_folder = r > 0, found = is_folder;

    /* the path within a hierarchy, then: in each it is another cgroup */
    for (size_t i = 0; r >= 0 && !is_folder && i < mounts->n; i++) {
        _cleanup_free_ char *place = place_in_mount(&mounts->list[i], path);

        if (place)
            r = add_folder(ids, mounts, place, err);
        found |= r > 0;
    }
    if (r < 0 || found)
        return r < 0 ? r : 0;
    iol_error_set(err, -ENOENT, "there is no cgroup '%s'", path);
    iol_error_hint(err, "give its folder below /sys/fs/cgroup, or its path as /proc/PID/cgroup shows it");
    return -ENOENT;
}

int iol_cgroup_add_path(struct iol_cgroup_ids *ids, const char *path, struct iol_error *err)
{
    struct mounts mounts = {.n = 0};
    int r = read_mounts(&mounts, err);

    if (r == 0)
        r = add_path(ids, &mounts, path, err);
    free_mounts(&mounts);
    return r;
}

/* Containers */

struct search {
    struct iol_cgroup_ids *ids;
    const char *wanted;
    char found[IOL_CONTAINER_ID_MAX]; /* empty: none yet */
};

static bool is_hex(const char *text)
{
    return text[strspn(text, "0123456789abcdef")] == '\0';
}

/* 1: it is the container, and is added; 0: it is not; or -errno. */
static int look_at(struct search *search, unsigned int hierarchy, const FTSENT *folder, struct iol_error *err)
{
    size_t length = strlen(search->wanted);
    char id[IOL_CONTAINER_ID_MAX];
    int r;

    if (!iol_container_of_name(folder->fts_name, folder->fts_namelen, id))
        return 0;
    if (strcmp(id, search->wanted) != 0 &&
        !(length >= SHORT_ID && is_hex(search->wanted) && strncmp(id, search->wanted, length) == 0))
        return 0;
    if (search->found[0] && strcmp(search->found, id) != 0)
        return iol_error_set(err, -ENOTUNIQ, "container '%s' may be %s or %s: give more of its id", search->wanted,
                             search->found, id);
    memcpy(search->found, id, sizeof(id));
    r = add_id(search->ids, hierarchy, folder->fts_statp->st_ino, err);
    return r < 0 ? r : 1;
}

static int search_mount(struct search *search, const struct mount *mount, struct iol_error *err)
{
    char *roots[] = {mount->point, NULL};
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    FTSENT *folder;
    int r = 0;

    /* what cannot be read is not the container, or is no more */
    while (tree && r >= 0 && (folder = fts_read(tree))) {
        if (folder->fts_info != FTS_D)
            continue;
        r = look_at(search, mount->hierarchy, folder, err);
        if (r > 0)
            fts_set(tree, folder, FTS_SKIP); /* those below it belong to it */
    }
    if (tree)
        fts_close(tree);
    return r < 0 ? r : 0;
}

int iol_cgroup_add_container(struct iol_cgroup_ids *ids, const char *id, struct iol_error *err)
{
    struct search search = {.ids = ids, .wanted = id};
    struct mounts mounts = {.n = 0};
    int r = read_mounts(&mounts, err);

    for (size_t i = 0; r == 0 && i < mounts.n; i++)
        r = search_mount(&search, &mounts.list[i], err);
    free_mounts(&mounts);
    if (r < 0 || search.found[0])
        return r;
    iol_error_set(err, -ENOENT, "there is no container '%s' that runs", id);
    iol_error_hint(err,
                   "a container must be running when the recording starts; give %d digits of its id or more, or "
                   "the name of a machine of systemd",
                   SHORT_ID);
    return -ENOENT;
}
