// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Where batches come from that are to go into a database once more: a file that the spool or the jsonl sink wrote (source_entries.c,
 * source_jsonl.c). A database knows each batch by (host, boot, sequence), so nothing is lost by reading one twice.
 */
#include <stddef.h>
#include <stdint.h>

struct iol_batch;
struct iol_error;
struct iol_source;

/* Order of calls: next any number of times, then close. */
struct iol_source_ops {
    /*
     * 1 and the next batch, the caller's; 0: there is none any more; -EBADMSG: something there is no whole batch, and *err tells where;
     * the next call goes on behind it; anything else: nothing more can be read.
     */
    int (*next)(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err);

    uint64_t (*place)(const struct iol_source *source); /* where the batch that came last begins, in bytes */
    uint64_t (*at)(const struct iol_source *source);    /* how many bytes have been read */
    void (*close)(struct iol_source *source);
};

/* First member of every source's own struct. */
struct iol_source {
    const struct iol_source_ops *ops;
    const char *name; /* the path */
};

/*
 * Opens a file: a spool's segment, a batch from its quarantine, or rows as JSON, by its first bytes; "-" is stdin with rows as JSON. -errno
 * with *err. The path must stay.
 */
int iol_source_open(const char *path, struct iol_source **ret_source, struct iol_error *err);

/*
 * The files of a folder that can be opened, in the order in which they were written; of segments those that a crash has left beside the one that
 * they were merged into are not among them. *ret_paths: of *ret_n strings, all to be freed. -ENOENT: there is none.
 */
int iol_source_list(const char *dir, char ***ret_paths, size_t *ret_n, struct iol_error *err);

int iol_source_next(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err);
uint64_t iol_source_place(const struct iol_source *source);
uint64_t iol_source_at(const struct iol_source *source);
void iol_source_close(struct iol_source *source); /* accepts NULL */
