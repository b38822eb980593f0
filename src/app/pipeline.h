// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A recording: records and counters from the capture side, through decode, model and accounts, into
 * batches for the store. The only place where capture and store meet. One thread calls it; the writer has its own.
 *
 *   open     the spool, the database, then the programs; nothing is attached yet. A database that is away can wait if there is a spool
 *   start    from here on everything is counted
 *   step     takes in the records that are there
 *   post     ends an interval: rows of it go to the writer
 *   stop     detaches, unless what is pinned is to stay; the last rows go to the writer
 *   finish   waits until everything is stored
 *   free
 */
#include <stdbool.h>
#include <stdint.h>

#include "capture/capture.h"
#include "core/account.h"
#include "core/model.h"
#include "store/writer.h"

struct iol_error;
struct iol_pipeline;

struct iol_pipeline_options {
    const char *db;
    const char *scope; /* how the recording was asked for, for the row in `recording`; UTF-8 */
    bool verbose;
    const char *spool; /* see iol_spool_place_open(), and with pins iol_pin_place_open() */
    uint64_t spool_max;
    enum iol_spool_sync spool_sync;
    struct iol_capture_options capture; /* `excluded` is filled in here */
};

struct iol_pipeline_stats {
    struct iol_account_stats accounts;
    struct iol_model_stats model;
    struct iol_writer_stats writer;
    uint64_t bad_records;  /* from the kernel that could not be understood: always 0 */
    uint64_t postponed;    /* intervals left in the kernel because the queue was full */
    const char *uncovered; /* the first one of iol_capture_uncovered() */
    int64_t recording_id;  /* of the row in `recording` */
    int64_t started;       /* wall clock, ns */
    const char *probes, *scope;
    int64_t lag_ns;        /* since the end of the last interval of which everything is in the database */
    const char *spool_dir; /* NULL: there is no spool */
};

/* Whether this user may record here at all: before anything is created. */
int iol_pipeline_check(bool verbose, struct iol_error *err);

/* -ESTALE: what is pinned was made by another version or with other options, and has to be ended first: iol_pipeline_end_pinned(). */
int iol_pipeline_open(const struct iol_pipeline_options *options, struct iol_pipeline **ret_pipeline,
                      struct iol_error *err);
int iol_pipeline_start(struct iol_pipeline *pipeline, struct iol_error *err);

/* Why the database could not be reached when the recording was opened, so that all goes to the spool for now; NULL: it could. */
const char *iol_pipeline_away(const struct iol_pipeline *pipeline);
const char *iol_pipeline_uncovered(const struct iol_pipeline *pipeline, size_t i); /* see iol_capture_uncovered() */

/* Name of the probe set in use, and why it is that one: see iol_capture_probes(). */
const char *iol_pipeline_probes(const struct iol_pipeline *pipeline, const char **ret_why);
int iol_pipeline_fd(const struct iol_pipeline *pipeline); /* readable: call step; -1: do not wait for records now */
int iol_pipeline_step(struct iol_pipeline *pipeline, struct iol_error *err);
int iol_pipeline_post(struct iol_pipeline *pipeline, struct iol_error *err);

/* Puts these rules in the place of those in force, at any time while it records. On failure the old ones stay. */
int iol_pipeline_set_rules(struct iol_pipeline *pipeline, const struct iol_rule_set *rules, struct iol_error *err);
/* Whether so many processes have ended in this interval that it is to be posted early: what is known of them is held until then. */
bool iol_pipeline_crowded(const struct iol_pipeline *pipeline);
int iol_pipeline_stop(struct iol_pipeline *pipeline, bool unpin,
                      struct iol_error *err); /* unpin: of no matter without pins */

/*
 * Posts what the programs that are pinned have counted and takes them out of the kernel, whatever their options are; `options` need the
 * database and the pins. 0: nothing of them is there any more, and everything is stored, or waits in the spool.
 */
int iol_pipeline_end_pinned(const struct iol_pipeline_options *options, struct iol_error *err);

/* As iol_writer_finish(). */
int iol_pipeline_finish(struct iol_pipeline *pipeline, const volatile bool *interrupted, uint64_t *ret_unwritten,
                        struct iol_error *err);
void iol_pipeline_get_stats(struct iol_pipeline *pipeline, struct iol_pipeline_stats *ret_stats);
uint64_t iol_pipeline_map_memory(const struct iol_pipeline *pipeline); /* bytes of kernel memory */
void iol_pipeline_free(struct iol_pipeline *pipeline);                 /* accepts NULL */
