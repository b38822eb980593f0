// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A place where batches go: one driver for each kind of database (sink_sqlite.c, sink_postgres.c,
 * sink_jsonl.c), each ending in one const struct iol_sink_ops. A sink is used by one thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct iol_batch;
struct iol_error;
struct iol_sink;

/*
 * What goes into one transaction when so much waits. The pages of an index over hashes are written once for each transaction, whatever
 * its size: the more rows it has, the less a row costs.
 About how many rows, iol_sink_group_rows() tells.
 */
#define IOL_SINK_GROUP_MAX 256 /* batches */

struct iol_sink_options {
    bool verbose; /* let the database's own messages through to stderr */
};

/*
 * Order of calls: open, then write any number of times, then close. Every call returns 0 or -errno
 * with *err filled.
 */
struct iol_sink_ops {
    const char *scheme; /* "sqlite", "postgresql", "jsonl" */

    /*
     * Opens or creates the database, creates the schema on first use, checks its version and takes
     * whatever lock keeps a second recorder out. Errors that waiting cannot mend (wrong schema, newer version,
     * corrupt file, bad password, second recorder) and a server that cannot be reached are told by the code:
     * -EAGAIN means "unreachable now", anything else is final.
     */
    int (*open)(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                struct iol_error *err);

    /*
     * Writes the batch in one transaction: 0 when it is committed or was already there (same host_id,
     * boot_id, seq). -EAGAIN: nothing was stored for certain or the connection was lost, try the same batch again
     * (the driver reconnects by itself); -ENOSPC: the disk is full, likewise worth trying again;
     * anything else: this batch will never be accepted. The batch stays the caller's.
     */
    int (*write)(struct iol_sink *sink, const struct iol_batch *batch, struct iol_error *err);

    /*
     * Writes the first of n batches, and as many of those behind it as it likes, in one transaction: how many, 1 at least, or
     * -errno as for write, and none is stored. When it is none that is worth trying again, one of them will never be accepted. May be NULL.
     */
    ssize_t (*write_some)(struct iol_sink *sink, const struct iol_batch *const *batches, size_t n,
                          struct iol_error *err);

    size_t group_rows; /* how many rows write_some likes best, all batches together; 0: no matter */
    bool reads_ahead;  /* the server works on a group for so long that the next one may be made ready meanwhile */

    /* Process id of a database server on this machine that works for this sink (the postmaster), or 0. May be NULL. */
    pid_t (*server_pid)(const struct iol_sink *sink);

    /* From another thread: makes a write that waits for the database end soon, with -EAGAIN. May be NULL. */
    void (*interrupt)(struct iol_sink *sink);

    void (*close)(struct iol_sink *sink); /* accepts NULL */
};

/* First member of every driver's own struct. */
struct iol_sink {
    const struct iol_sink_ops *ops;
};

/* Picks the driver by the URL's scheme and opens it; an unknown scheme is -EINVAL with the known ones in *err. */
int iol_sink_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                  struct iol_error *err);

/*
 * A sink for a database that is away: the first write for which it can be opens it, and until then, whatever the reason is, a
 * write is -EAGAIN. 0, or -ENOMEM.
 */
int iol_sink_open_late(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink);

int iol_sink_write(struct iol_sink *sink, const struct iol_batch *batch, struct iol_error *err);
ssize_t iol_sink_write_some(struct iol_sink *sink, const struct iol_batch *const *batches, size_t n,
                            struct iol_error *err);      /* one, when the driver knows of no more */
size_t iol_sink_group_rows(const struct iol_sink *sink); /* about how many to give to write_some at a time */
bool iol_sink_reads_ahead(const struct iol_sink *sink);  /* whether the next ones may be made ready meanwhile */
pid_t iol_sink_server_pid(const struct iol_sink *sink);
void iol_sink_interrupt(struct iol_sink *sink);
void iol_sink_close(struct iol_sink *sink); /* accepts NULL */
