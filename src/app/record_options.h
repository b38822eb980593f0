// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app/options.h"
#include "capture/capture.h"

#define IOL_RECORD_FILTERS_MAX 64

/* The command line of `record`. */
struct iol_record_options {
    struct iol_options common;
    char **command; /* CMD ARG... NULL-terminated, or NULL */
    bool system;
    bool legacy_probes;
    int64_t interval_ns;
    int64_t duration_ns; /* 0: until it is stopped */
    int64_t max_accounts;
    uint32_t kinds;
    uint32_t events; /* bit per enum iol_event_kind */
    pid_t pids[IOL_RECORD_FILTERS_MAX];
    size_t n_pids;
    const char *comms[IOL_RECORD_FILTERS_MAX];
    size_t n_comms;
    uint32_t uids[IOL_RECORD_FILTERS_MAX];
    size_t n_uids;
    const char *exes[IOL_RECORD_FILTERS_MAX];
    size_t n_exes;
};

/* True: go on. False: the command ends with *ret_status; bad usage has been told. */
bool iol_record_options_parse(int argc, char **argv, struct iol_record_options *ret_options, int *ret_status);

void iol_record_options_done(struct iol_record_options *options);

/* How the recording was asked for, in one line, for the row in `recording`; malloc'ed UTF-8, or NULL. */
char *iol_record_options_scope(const struct iol_record_options *options);
