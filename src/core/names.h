// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Which file a name means, as far as the records of the kernel tell: a tree of directories and the files in them. It
 * holds at most `max` nodes, directories included; what was heard of longest ago goes first, and going is only ever a loss of
 * knowledge. The path of every node is the real one, without a symbolic link in it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_bytes;
struct iol_file_info;
struct iol_names;
struct iol_name_node;

struct iol_names *iol_names_new(size_t max);
void iol_names_free(struct iol_names *names); /* accepts NULL */

/* Forgets everything. */
void iol_names_clear(struct iol_names *names);

/* Forgets what is beyond the bound: until then every node that was handed out stays, unless it was removed. */
void iol_names_trim(struct iol_names *names);

struct iol_name_node *iol_names_root(struct iol_names *names);
struct iol_name_node *iol_names_parent(struct iol_name_node *node); /* of the root: itself */

/* The child of that name, or NULL. */
struct iol_name_node *iol_names_find(struct iol_names *names, struct iol_name_node *directory,
                                     const struct iol_bytes *name);

/* What an absolute path that the kernel walked names, made when it is not there; *info may be NULL for a directory. NULL: no memory. */
struct iol_name_node *iol_names_learn(struct iol_names *names, const struct iol_bytes *path,
                                      const struct iol_file_info *info);

/*
 * The same, in time: it is kept as it came, which is a third of the work, until iol_names_take_in() or until 4 MB of it wait. To be
 * taken in before any of the other functions is called, but for iol_names_clear(). Without memory it is not known, which is no harm.
 */
void iol_names_hear(struct iol_names *names, const struct iol_bytes *path, const struct iol_file_info *info);
void iol_names_take_in(struct iol_names *names);

/* A new file, in place of what was there. Without an inode in *info only its kind is known. 0 or -ENOMEM. */
int iol_names_create(struct iol_names *names, struct iol_name_node *directory, const struct iol_bytes *name,
                     const struct iol_file_info *info);

/* The node's kind, and its identity unless inode is 0. */
const struct iol_file_info *iol_names_info(const struct iol_name_node *node);

/* With all that is below. */
void iol_names_remove(struct iol_names *names, struct iol_name_node *node);

/* Everything of that name, wherever it is. */
void iol_names_remove_all(struct iol_names *names, const struct iol_bytes *name);

/* The node and all below it get another place; what was there goes. 0, or -ENOMEM with the node gone. */
int iol_names_move(struct iol_names *names, struct iol_name_node *node, struct iol_name_node *directory,
                   const struct iol_bytes *name);

/* Two nodes change places, with all that is below them. */
void iol_names_exchange(struct iol_names *names, struct iol_name_node *a, struct iol_name_node *b);
