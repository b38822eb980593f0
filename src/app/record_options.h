// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "app/cgroup.h"
#include "app/config.h"
#include "app/options.h"
#include "app/pin_options.h"
#include "app/rule_text.h"
#include "capture/capture.h"
#include "core/model.h"
#include "store/spool.h"

#define IOL_RECORD_FILTERS_MAX 64
#define IOL_RECORD_EVENT_BUDGET 20000 /* a second, unless --event-budget says otherwise */

/* What SIGHUP may change while it records. */
struct iol_record_rules {
    struct iol_rule_list list; /* of the command line first, then those of the file */
    uint32_t event_budget;     /* as in struct iol_rule_set */
    uint32_t event_budget_process;
};

/* The command line of `record`, and its configuration file. */
#define IOL_RECORD_DEFAULT_ACCOUNTS 65536

/* Changes of files that are told, by default and at most. */
#define IOL_RECORD_DEFAULT_EVENTS (IOL_MODEL_TREE_EVENTS | IOL_MODEL_EVENT_BIT(IOL_EVENT_MMAP))
#define IOL_RECORD_ALL_EVENTS                                                                                          \
    (IOL_RECORD_DEFAULT_EVENTS | IOL_MODEL_EVENT_BIT(IOL_EVENT_OPEN_FAILED) |                                          \
     IOL_MODEL_EVENT_BIT(IOL_EVENT_TRUNCATE) | IOL_MODEL_EVENT_BIT(IOL_EVENT_CHMOD) |                                  \
     IOL_MODEL_EVENT_BIT(IOL_EVENT_CHOWN) | IOL_MODEL_EVENT_BIT(IOL_EVENT_SETXATTR))

struct iol_record_options {
    struct iol_options common;
    char **command; /* CMD ARG... NULL-terminated, or NULL */
    bool system;
    enum iol_probe_set probes;
    bool legacy_probes;
    int64_t interval_ns;
    int64_t duration_ns; /* 0: until it is stopped */
    int64_t max_accounts;
    const char *spool; /* as given; NULL: the usual one */
    int64_t spool_max; /* bytes */
    enum iol_spool_sync spool_sync;
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
    const char *cgroups[IOL_RECORD_FILTERS_MAX]; /* as given */
    size_t n_cgroups;
    const char *containers[IOL_RECORD_FILTERS_MAX];
    size_t n_containers;
    struct iol_cgroup_ids cgroup_ids; /* those of both */
    struct iol_record_rules rules;
    size_t n_own_rules;  /* those of the command line */
    const char *control; /* path of the socket, "none", or NULL: the usual one */
    const char *metrics; /* where to listen, or NULL */
    const char *pin;     /* folder; NULL: nothing is pinned */
    bool print_config;
    const char *config_path;
    struct iol_config *config; /* texts of options are in it; NULL: no --config */
};

/* True: go on. False: the command ends with *ret_status; bad usage has been told. */
bool iol_record_options_parse(int argc, char **argv, struct iol_record_options *ret_options, int *ret_status);

/* Tells in the log of rules that may have been meant otherwise. */
void iol_record_options_warn(const struct iol_record_options *options);

void iol_record_options_done(struct iol_record_options *options);

/*
 * For commands that look at the kernel side themselves: an option of `record` as argp wants it (NULL: there is none of that
 * name), its defaults, how it is taken, and, when all are, what was to be looked up: 0 or -errno with *err.
 */
const struct argp_option *iol_record_option(const char *name);
bool iol_record_option_known(const char *name); /* also of those that other commands have too */
void iol_record_options_init(struct iol_record_options *ret_options);
int iol_record_option_take(int key, const char *text, struct iol_record_options *options, struct iol_error *err);
const char *iol_record_option_word(int key, unsigned int index); /* as `word` of struct iol_usage */
int iol_record_options_complete(struct iol_record_options *options, struct iol_error *err);

/* What the kernel side has to know of them; points into the options. */
struct iol_capture_options iol_record_options_capture(const struct iol_record_options *options);

struct iol_rule_set iol_record_rules_set(const struct iol_record_rules *rules); /* points into the rules */

/*
 * Reads the configuration file again. 0: *ret_rules are the rules that are to be in force now, and `changed` names the
 * options, ", " between them, that differ from those it was started with and need a restart. Else *err, and nothing changes.
 */
int iol_record_options_reload(const struct iol_record_options *options, struct iol_record_rules *ret_rules,
                              char *changed, size_t changed_size, struct iol_error *err);

/* How the recording was asked for, in one line, for the row in `recording`; malloc'ed UTF-8, or NULL. */
char *iol_record_options_scope(const struct iol_record_options *options);
