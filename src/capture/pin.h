// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The folder on a bpf file system in which maps, programs and links outlive their recorder:
 *
 *   about      what it is (struct iol_about); pinned last and removed first, so that all else is whole when it is there
 *   maps/      programs/      links/
 *
 * Who works on the folder holds its lock, which goes with the process.
 */
#include <stddef.h>
#include <sys/types.h>

#include "abi/books.h"

struct iol_error;

#define IOL_PIN_PATH_MAX 512

/* Makes the folder (mode 0700) unless it is there, and locks it. Returns its descriptor; -EBUSY: another one holds the lock. */
int iol_pin_lock(const char *folder, struct iol_error *err);

pid_t iol_pin_holder(const char *folder); /* of the lock; 0: nobody, as far as one can tell */

/* 0; -ENOENT: nothing whole is there; -EPROTO: it is of a layout that this version does not know; or another -errno with *err. */
int iol_pin_read(const char *folder, struct iol_about *ret_about, struct iol_error *err);

/* Pins what the descriptor means as FOLDER/PART/NAME; a '.' in the name becomes a '_'. 0 or -errno. */
int iol_pin_add(const char *folder, const char *part, const char *name, int fd);

/* Opens FOLDER/PART/NAME: a descriptor, or -errno. */
int iol_pin_open(const char *folder, const char *part, const char *name);

/* Calls `each` with every name in FOLDER/PART, until one returns less than 0. 0 or that. */
typedef int iol_pin_fn(void *arg, const char *name);
int iol_pin_each(const char *folder, const char *part, iol_pin_fn *each, void *arg);

/* Pins `about`: from here on the set is whole. */
int iol_pin_complete(const char *folder, const struct iol_about *about);

/* The hooks are about to be taken away: who finds the set from here on only posts what is left in it. */
int iol_pin_end(const char *folder);

/* Takes the hooks away and waits until no program can be started by them any more. */
int iol_pin_remove_links(const char *folder);

/* Removes everything in the folder, `about` first. 0 or -errno. */
int iol_pin_clear(const char *folder);

/* And the folder itself, if this user may remove it. */
int iol_pin_remove(const char *folder);
