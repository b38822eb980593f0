// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* `stop --unpin`. */
#include <stdbool.h>
#include <sys/types.h>

struct iol_error;

struct iol_unpin_options {
    const char *folder;
    const char *db; /* NULL: the one that the counters belong to, as far as it is known */
    bool discard;   /* what has been counted and not posted is dropped */
    bool verbose;
};

/* The recorder that works with what is pinned in the folder; 0: there is none. */
pid_t iol_unpin_recorder(const char *folder);

/*
 * Posts what the programs pinned in the folder have counted, and takes them out of the kernel. No recorder may use them any more. 0;
 * -ENOENT: nothing is pinned there; or -errno; with *err.
 */
int iol_unpin(const struct iol_unpin_options *options, struct iol_error *err);
