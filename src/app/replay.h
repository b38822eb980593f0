// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Batches from a source go into a database, many in one transaction; what cannot is told on stderr, and the rest goes on. */
#include <signal.h>
#include <stdint.h>

struct iol_sink;
struct iol_source;
struct iol_waiting;

struct iol_replay {
    struct iol_sink *sink;
    struct iol_waiting *waiting;              /* or NULL */
    const volatile sig_atomic_t *interrupted; /* not 0: to end soon */
    uint64_t all_bytes, bytes;                /* of all sources, and of those that are through */
    uint64_t batches, rows;                   /* that the database has now */
    uint64_t failed;                          /* batches that it refused, and places where no batch could be read */
};

/*
 * All of a source. 0: it was read to its end, whatever has failed; -EINTR: interrupted; -EAGAIN: the database stays away, which is
 * told, and nothing else can be stored either; -ECANCELED: the database refuses a batch, and what is behind it may not go before it.
 */
int iol_replay_source(struct iol_replay *replay, struct iol_source *source);
