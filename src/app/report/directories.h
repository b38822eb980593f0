// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Bytes by directory, of any number of files in bounded memory: of each directory the biggest children stay, the rest is summed up.
 * What has no path (pipes, sockets) is below a directory of its own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_directories;

/* A node in the order of the walk, parents first. A node that stands for many small children has no name. */
struct iol_directory_node {
    size_t parent; /* number in that order; the root is its own */
    const char *name;
    bool is_directory;
    int64_t read_bytes, write_bytes, files;
};

struct iol_directories *iol_directories_new(void);
void iol_directories_free(struct iol_directories *directories); /* accepts NULL */

/* Paths come in the order of their bytes; the same one may come twice. 0 or -ENOMEM. */
int iol_directories_add(struct iol_directories *directories, const char *path, int64_t read_bytes, int64_t write_bytes);

/* Call once, after the last path: at most so many nodes stay (and as many that stand for the rest). 0 or -ENOMEM. */
int iol_directories_finish(struct iol_directories *directories, size_t limit);

/* Calls visit for each node until it returns other than 0, which is then returned. */
int iol_directories_walk(const struct iol_directories *directories,
                         int (*visit)(const struct iol_directory_node *node, void *data), void *data);
