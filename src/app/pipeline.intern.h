// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* For pipeline.c, which runs a recording, and pipeline_open.c, which sets it up, only. */
#include "app/epoch.h"
#include "app/host.h"
#include "app/pipeline.h"
#include "base/error.h"
#include "core/row.h"

#define IOL_PIPELINE_QUEUE_BYTES (256UL << 20)

struct iol_pipeline {
    struct iol_this_host host;
    struct iol_spool *spool; /* or NULL */
    struct iol_sink *sink;
    struct iol_error away; /* see iol_pipeline_away() */
    pid_t excluded;        /* the database's server; -1: not known yet; 0: it is none of ours */
    struct iol_writer *writer;
    struct iol_capture *capture;
    struct iol_accounts *accounts;
    struct iol_model *model;
    struct iol_resume *resume; /* NULL: nothing is pinned */
    char *books;               /* struct iol_capture_pin; NULL: nothing is pinned */
    struct iol_batch *batch;
    struct iol_recording recording; /* its texts are static or belong to options or host */
    char *scope;
    uint64_t epoch;
    uint64_t seq;
    uint64_t bad_records;
    uint64_t postponed;
    int64_t posted_ts; /* when the last interval ended, wall clock */
    int64_t stored_ts; /* as posted_ts, of an interval that is in the database with all before it */
    size_t max_ended;  /* iol_epoch_max_ended() */
    bool unpinned;     /* nothing is left of the pins */
    bool stopped;      /* detached: who runs now is no part of the recording */
    struct iol_sweep swept;
    struct iol_naps naps;
    int failed; /* -errno of a record that could not be taken in */
};
