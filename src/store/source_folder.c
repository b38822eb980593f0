// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What of a folder can be loaded. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/source.intern.h"
#include "store/spool.intern.h"

struct list {
    char **paths;
    size_t n;
};

static bool ends_in(const char *name, const char *ending)
{
    size_t length = strlen(name), n = strlen(ending);

    return length > n && strcmp(name + length - n, ending) == 0;
}

static int is_source(const struct dirent *entry)
{
    uint64_t first;

    return iol_segment_is_name(entry->d_name, &first) || ends_in(entry->d_name, ".batch") ||
           ends_in(entry->d_name, ".jsonl");
}

/* The number of the last entry that was merged into the segment; 0: none was. */
static uint64_t merged_up_to(const char *path)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct iol_segment_header header;

    return fd >= 0 && read(fd, &header, sizeof(header)) == (ssize_t)sizeof(header) &&
                   header.magic == IOL_SEGMENT_MAGIC && header.hash == IOL_SPOOL_HASH(&header)
               ? header.last
               : 0;
}

/* Names of segments are numbers, so that the one that took up others stands before them. */
static int take_name(struct list *list, const char *dir, const char *name, uint64_t *covered)
{
    uint64_t first;
    char *path;

    if (asprintf(&path, "%s/%s", dir, name) < 0)
        return -ENOMEM;
    if (iol_segment_is_name(name, &first)) {
        if (first <= *covered) {
            free(path);
            return 0;
        }
        *covered = merged_up_to(path);
    }
    list->paths[list->n++] = path;
    return 0;
}

static int take_names(struct list *list, const char *dir, struct dirent **names, int n)
{
    uint64_t covered = 0;
    int r = 0;

    list->paths = calloc((size_t)n, sizeof(*list->paths));
    if (!list->paths)
        return -ENOMEM;
    for (int i = 0; i < n && r == 0; i++)
        r = take_name(list, dir, names[i]->d_name, &covered);
    return r;
}

int iol_source_list(const char *dir, char ***ret_paths, size_t *ret_n, struct iol_error *err)
{
    struct dirent **names = NULL;
    struct list list = {0};
    int n = scandir(dir, &names, is_source, alphasort), r = 0;

    if (n < 0)
        return iol_error_set(err, -errno, "cannot read the folder %s: %s", dir, strerror(errno));
    if (n > 0)
        r = take_names(&list, dir, names, n);
    for (int i = 0; i < n; i++)
        free(names[i]);
    free(names);
    if (n == 0) {
        iol_error_set(err, -ENOENT, "no batch is in %s", dir);
        iol_error_hint(err, "give a spool, its folder quarantine, or a folder with *.jsonl in it");
        return -ENOENT;
    }
    if (r < 0) {
        for (size_t i = 0; i < list.n; i++)
            free(list.paths[i]);
        free(list.paths);
        return iol_error_set(err, r, "out of memory");
    }
    *ret_paths = list.paths;
    *ret_n = list.n;
    return 0;
}
