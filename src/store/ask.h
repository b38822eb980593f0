// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The questions that are asked of a ledger, each as one query whose columns are listed here. They are in files of their own
 * (ask_*.c), written once for all databases; what differs is in sql.h. A report, a command and a program on another machine
 * all ask the same.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/row.h"

struct iol_db;
struct iol_error;
struct iol_query;

/*
 * What a question is narrowed to. {.since = IOL_NULL, .until = IOL_NULL} is everything.
 *
 * Accounts are kept by interval, so that a span of time counts an account of an interval whole when its first to last operation
 * touches the span. `reads` and `writes` leave only the pairs of process and file for which there were any (failed ones
 * too); with both, those for which there were both.
 */
struct iol_ask {
    int64_t since, until; /* ns since the epoch; `until` is not in it; IOL_NULL: no bound */
    bool reads, writes;   /* only what was read, what was written */
    const char *files;    /* condition on table file f, or NULL: all */
    const char *names;    /* with `files`: condition on path, host_id, file_id, first and last of an account; or NULL */
    const char *processes;     /* condition on table process p, or NULL: all */
    const char *const *params; /* of the conditions: $1, $2, ... */
    size_t n_params;
    int64_t limit; /* 0: none */
    bool timeless; /* for ask_*.c: first and last are not wanted */
    bool nameless; /* for ask_*.c: nor are rows of table file */
    bool
        sliced; /* of reports: only accounts of intervals that ended then, so that each is in one slice; IOL_NULL: no bound */
    int64_t ended_from, ended_until;
};

#define IOL_ASK_ALL                                                                                                    \
    (struct iol_ask)                                                                                                   \
    {                                                                                                                  \
        .since = IOL_NULL, .until = IOL_NULL                                                                           \
    }

/*
 * For a database that has to be told what a question is about (iol_db_focus()): what is asked of the same accounts next. The questions
 * below do so themselves; who runs iol_ask_process_ids() before one of them has to. `single`: of iol_ask_accounts(). 0 or -errno with *err.
 */
int iol_ask_focus(struct iol_db *db, const struct iol_ask *ask, bool single, struct iol_error *err);

/*
 * Counters, in all questions: read_ops, read_bytes, write_ops, write_bytes, read_errors, write_errors. First and last
 * are the times of the first and the last operation in the span.
 */

/* One row for each process image and path, the latest first: who did something to the files, or executed them. */
enum iol_ask_who {
    IOL_WHO_FIRST,
    IOL_WHO_LAST,
    IOL_WHO_PID,
    IOL_WHO_COMM,
    IOL_WHO_EXE,
    IOL_WHO_USER,
    IOL_WHO_COUNTERS,
    IOL_WHO_EXECS = IOL_WHO_COUNTERS + 6,
    IOL_WHO_PATH,
    IOL_WHO_HOST,
    IOL_WHO_ARGV,
    IOL_WHO_PROCESS_ID,
    IOL_WHO_COLUMNS
};
int iol_ask_who(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

/* One row for each path with its kind and flags, the most bytes first (read, written, or both, as was asked). */
enum iol_ask_files {
    IOL_FILES_PATH,
    IOL_FILES_KIND,
    IOL_FILES_COUNTERS,
    IOL_FILES_FIRST = IOL_FILES_COUNTERS + 6,
    IOL_FILES_LAST,
    IOL_FILES_FLAGS,
    IOL_FILES_PROCESSES, /* how many images */
    IOL_FILES_HOST,
    IOL_FILES_ALL, /* how many rows there are without the limit, in every row */
    IOL_FILES_COLUMNS
};
int iol_ask_files(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

enum iol_ask_by { IOL_BY_PROCESS, IOL_BY_EXE, IOL_BY_USER, IOL_BY_CONTAINER, IOL_BY_DIRECTORY, IOL_BY_COUNT };

/*
 * The same, one row for each group, the most bytes first. GROUP is a program's path ([comm] if it has none), a user, a container
 * (NULL: none), a directory with '/' at its end, or the arguments of a process.
 */
enum iol_ask_groups {
    IOL_GROUPS_GROUP,
    IOL_GROUPS_PID, /* this to USER: by process only, else NULL */
    IOL_GROUPS_COMM,
    IOL_GROUPS_EXE,
    IOL_GROUPS_USER,
    IOL_GROUPS_PROCESSES,
    IOL_GROUPS_FILES,
    IOL_GROUPS_COUNTERS,
    IOL_GROUPS_EXECS = IOL_GROUPS_COUNTERS + 6,
    IOL_GROUPS_FIRST,
    IOL_GROUPS_LAST,
    IOL_GROUPS_HOST,       /* NULL: more than one */
    IOL_GROUPS_PROCESS_ID, /* by process only */
    IOL_GROUPS_ALL,
    IOL_GROUPS_COLUMNS
};
int iol_ask_groups(struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by, struct iol_query **ret_query,
                   struct iol_error *err);

/* What each file cost in the span: one row for each row of `file` (a path may come more than once), in no order. */
enum iol_ask_costs {
    IOL_COSTS_PATH,
    IOL_COSTS_HOST,
    IOL_COSTS_KIND,
    IOL_COSTS_COUNTERS,
    IOL_COSTS_COLUMNS = IOL_COSTS_COUNTERS + 6
};
int iol_ask_costs(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

/*
 * A file's accounts, one row for each interval, process and name, in the order of their first operation. MAPPED: 1 when it
 * is mappings that were counted, whose bytes are not known. Wants `files`.
 */
enum iol_ask_accounts {
    IOL_ACCOUNTS_FIRST,
    IOL_ACCOUNTS_LAST,
    IOL_ACCOUNTS_PROCESS_ID,
    IOL_ACCOUNTS_PID,
    IOL_ACCOUNTS_COMM,
    IOL_ACCOUNTS_EXE,
    IOL_ACCOUNTS_USER,
    IOL_ACCOUNTS_PATH,
    IOL_ACCOUNTS_HOST,
    IOL_ACCOUNTS_MAPPED,
    IOL_ACCOUNTS_COUNTERS,
    IOL_ACCOUNTS_COLUMNS = IOL_ACCOUNTS_COUNTERS + 6
};
int iol_ask_accounts(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

/*
 * What happened to the files, in order of time: executed, created (open), renamed, linked, removed, and so on, but not single
 * reads and writes, which the accounts have. PATH is a name among those asked for when IS_OTHER is 0, and else OTHER_PATH is: what
 * something was renamed to, or linked as. Wants `files`, whose condition is also applied to the other file of an event.
 */
enum iol_ask_changes {
    IOL_CHANGES_TS,
    IOL_CHANGES_KIND,
    IOL_CHANGES_PROCESS_ID,
    IOL_CHANGES_PID,
    IOL_CHANGES_COMM,
    IOL_CHANGES_EXE,
    IOL_CHANGES_USER,
    IOL_CHANGES_PATH,
    IOL_CHANGES_OTHER_PATH,
    IOL_CHANGES_IS_OTHER,
    IOL_CHANGES_RESULT,
    IOL_CHANGES_BYTES,
    IOL_CHANGES_HOST,
    IOL_CHANGES_COLUMNS
};
int iol_ask_changes(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

/*
 * Text of a query for the ids of the processes of iol_ask_who() and iol_ask_accounts(), with the same parameters. To be freed; NULL:
 * no memory.
 */
char *iol_ask_process_ids(struct iol_db *db, const struct iol_ask *ask);

/*
 * What was recorded, by host and in the order of their start, or, `latest_first`, of all hosts together. ENDED is NULL of one that
 * still runs, or was killed.
 */
enum iol_ask_recordings {
    IOL_RECORDINGS_HOST_ID,
    IOL_RECORDINGS_HOST,
    IOL_RECORDINGS_ID,
    IOL_RECORDINGS_STARTED,
    IOL_RECORDINGS_ENDED,
    IOL_RECORDINGS_SCOPE,
    IOL_RECORDINGS_COLUMNS
};
int iol_ask_recordings(struct iol_db *db, bool latest_first, struct iol_query **ret_query, struct iol_error *err);

/*
 * Time and length (ms) of the host's last interval that ended in the span, or, `first`, of its first one. No row: there is
 * none.
 */
int iol_ask_interval(struct iol_db *db, int64_t host_id, int64_t since, int64_t until, bool first,
                     struct iol_query **ret_query, struct iol_error *err);

/* Detail that was lost in the span, one row for each host and reason: host, reason, how many, from, to, host_id. */
enum iol_ask_losses {
    IOL_LOSSES_HOST,
    IOL_LOSSES_REASON,
    IOL_LOSSES_LOST,
    IOL_LOSSES_FROM,
    IOL_LOSSES_TO,
    IOL_LOSSES_HOST_ID
};
int iol_ask_losses(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

/*
 * One row for each host, by name. VERSION and ENDED are of its latest recording, BATCH is when the newest batch that is stored was closed (NULL:
 * there is none); the sums are of the kernel's totals of the intervals that ended in the span.
 */
enum iol_ask_fleet {
    IOL_FLEET_HOST_ID,
    IOL_FLEET_HOST,
    IOL_FLEET_SEEN,
    IOL_FLEET_KERNEL,
    IOL_FLEET_VERSION,
    IOL_FLEET_ENDED,
    IOL_FLEET_BATCH,
    IOL_FLEET_OPS, /* reads and writes that succeeded */
    IOL_FLEET_READ_BYTES,
    IOL_FLEET_WRITE_BYTES,
    IOL_FLEET_COLUMNS
};
int iol_ask_fleet(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err);

/*
 * Every process image with what it did in the span, in the order of their begin; with a pid only that one's, its ancestors and its
 * descendants. Those that were not there in the span come too: others descend from them.
 */
enum iol_ask_tree {
    IOL_TREE_ID,
    IOL_TREE_PARENT_ID,
    IOL_TREE_PID,
    IOL_TREE_PPID,
    IOL_TREE_ORIGIN,
    IOL_TREE_COMM,
    IOL_TREE_EXE,
    IOL_TREE_ARGV,
    IOL_TREE_CWD,
    IOL_TREE_USER,
    IOL_TREE_START_TIME,
    IOL_TREE_EXEC_TIME,
    IOL_TREE_EXIT_TIME,
    IOL_TREE_EXIT_CODE,
    IOL_TREE_SIGNAL,
    IOL_TREE_HOST,
    IOL_TREE_COUNTERS,
    IOL_TREE_STATE = IOL_TREE_COUNTERS + 6, /* enum iol_tree_state */
    IOL_TREE_COLUMNS
};
enum iol_tree_state {
    IOL_TREE_ABSENT, /* it began later, or had ended */
    IOL_TREE_IDLE,
    IOL_TREE_ACTIVE, /* it began, ended, read or wrote in the span, and was recorded then */
};
int iol_ask_tree(struct iol_db *db, const struct iol_ask *ask, const char *pid, struct iol_query **ret_query,
                 struct iol_error *err);
