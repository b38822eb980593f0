// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Where batches come from that are to go into a database once more: a file that the spool or the jsonl sink wrote (source_entries.c,
 * source_jsonl.c), or a Kafka topic (source_kafka.c). A database knows each batch by (host, boot, sequence), so nothing is lost by reading one twice.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iol_batch;
struct iol_error;
struct iol_source;

/* Order of calls: next any number of times, then close. */
struct iol_source_ops {
    /*
     * 1 and the next batch, the caller's; 0: there is none any more; -EAGAIN: there is none now; -EBADMSG: something there is no whole
     * batch, and *err tells where; the next call goes on behind it; anything else: nothing more can be read.
     */
    int (*next)(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err);

    void (*place)(const struct iol_source *source, char *buf, size_t size); /* of the batch that came last: "byte 40" */

    /* How far it has been read, and how far that will go, in bytes or messages; 0 is not known. `size` may be NULL. */
    uint64_t (*at)(const struct iol_source *source);
    uint64_t (*size)(const struct iol_source *source);

    /* May be NULL. So many more of the batches that were given, the first ones, are in the database. An error is no reason to end. */
    int (*stored)(struct iol_source *source, size_t n, struct iol_error *err);

    void (*close)(struct iol_source *source);
};

/* First member of every source's own struct. */
struct iol_source {
    const struct iol_source_ops *ops;
    const char *name; /* the path, or the topic */
};

/*
 * Opens a file: a spool's segment, a batch from its quarantine, or rows as JSON, by its first bytes; "-" is stdin with rows as JSON. -errno
 * with *err. The path must stay.
 */
int iol_source_open(const char *path, struct iol_source **ret_source, struct iol_error *err);

/* A topic, by its URL. `follow`: it has no end. -EOPNOTSUPP: this ioledger was built without. */
int iol_source_open_kafka(const char *url, bool follow, bool verbose, struct iol_source **ret_source,
                          struct iol_error *err);

/*
 * The files of a folder that can be opened, in the order in which they were written; of segments those that a crash has left beside the one that
 * they were merged into are not among them. *ret_paths: of *ret_n strings, all to be freed. -ENOENT: there is none.
 */
int iol_source_list(const char *dir, char ***ret_paths, size_t *ret_n, struct iol_error *err);

int iol_source_next(struct iol_source *source, struct iol_batch **ret_batch, struct iol_error *err);
void iol_source_place(const struct iol_source *source, char *buf, size_t size);
uint64_t iol_source_at(const struct iol_source *source);
uint64_t iol_source_size(const struct iol_source *source);

/* Whether what is refused must be told from what comes later, as it would be taken for stored. */
bool iol_source_is_ordered(const struct iol_source *source);
int iol_source_stored(struct iol_source *source, size_t n, struct iol_error *err);
void iol_source_close(struct iol_source *source); /* accepts NULL */
