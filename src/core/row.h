// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The rows of the ledger, as the core makes them and the store writes them: one struct for each
 * table of the contract, one member for each column, in the same order and with the same name.
 *
 * Times are nanoseconds since the epoch (UTC). IOL_NULL in an integer or a time, and a NULL pointer
 * in a text, are SQL NULL. Texts are NUL-terminated UTF-8 (see iol_text_store()) and belong to the
 * arena of the batch that holds the row.
 */
#include <stdint.h>

#define IOL_NULL INT64_MIN

enum iol_table_id {
    IOL_TABLE_HOST,
    IOL_TABLE_RECORDING,
    IOL_TABLE_LOGIN,
    IOL_TABLE_PROCESS,
    IOL_TABLE_PROCESS_EXIT,
    IOL_TABLE_FILE,
    IOL_TABLE_IO,
    IOL_TABLE_EVENT,
    IOL_TABLE_TOTAL,
    IOL_TABLE_LOSS,
    IOL_TABLE_BATCH,
    IOL_TABLE_COUNT,
};

enum iol_route {
    IOL_ROUTE_RW,
    IOL_ROUTE_SENDFILE,
    IOL_ROUTE_SPLICE,
    IOL_ROUTE_COPY_FILE_RANGE,
    IOL_ROUTE_IO_URING,
    IOL_ROUTE_MMAP,
    IOL_ROUTE_COUNT,
};

enum iol_kind {
    IOL_KIND_FILE,
    IOL_KIND_DIR,
    IOL_KIND_LINK,
    IOL_KIND_CHR,
    IOL_KIND_BLK,
    IOL_KIND_PIPE,
    IOL_KIND_SOCKET,
    IOL_KIND_ANON,
    IOL_KIND_MEMFD,
    IOL_KIND_OTHER,
    IOL_KIND_COUNT,
};

enum iol_origin { IOL_ORIGIN_FORK, IOL_ORIGIN_EXEC, IOL_ORIGIN_RUNNING, IOL_ORIGIN_COUNT };

enum iol_event_kind {
    IOL_EVENT_EXEC,
    IOL_EVENT_EXEC_FAILED,
    IOL_EVENT_FORK,
    IOL_EVENT_EXIT,
    IOL_EVENT_READ,
    IOL_EVENT_WRITE,
    IOL_EVENT_MMAP,
    IOL_EVENT_OPEN,
    IOL_EVENT_OPEN_FAILED,
    IOL_EVENT_RENAME,
    IOL_EVENT_UNLINK,
    IOL_EVENT_TRUNCATE,
    IOL_EVENT_LINK,
    IOL_EVENT_SYMLINK,
    IOL_EVENT_MKDIR,
    IOL_EVENT_RMDIR,
    IOL_EVENT_CHMOD,
    IOL_EVENT_CHOWN,
    IOL_EVENT_SETXATTR,
    IOL_EVENT_KIND_COUNT,
};

/* A machine. `id` is a hash of machine_id and name; boot_id, kernel and seen are those of the latest recording. */
struct iol_host {
    int64_t id;
    const char *name;
    const char *machine_id;
    const char *boot_id;
    const char *kernel;
    int64_t seen;
};

/* One run of `record`. The row is written when it starts and again, with `ended` and what follows, when it ends. */
struct iol_recording {
    int64_t id;
    int64_t host_id;
    const char *boot_id;
    int64_t started;
    int64_t ended;        /* NULL: still running, or killed */
    const char *version;  /* of ioledger */
    const char *probes;   /* tracepoint or fexit */
    const char *scope;    /* the filters and rules, as given on the command line */
    int64_t excluded_ops; /* left out: of the recorder itself, of its database server, and by --ignore */
    int64_t excluded_bytes;
};

/* The name of a user id on a host when it was first seen. */
struct iol_login {
    int64_t host_id;
    int64_t uid;
    const char *name;
};

/* One process image: a process between two execs. */
struct iol_process {
    int64_t id;
    int64_t host_id;
    int64_t pid; /* in the initial pid namespace */
    int64_t start_time;
    int64_t exec_time; /* of this image; NULL for a fork that has not called exec */
    int64_t parent_id; /* the image that forked or exec'ed it; NULL when unknown */
    int64_t ppid;
    int64_t origin; /* enum iol_origin */
    const char *comm;
    const char *exe;
    const char *argv; /* arguments joined by one space */
    const char *cwd;
    int64_t uid;
    int64_t euid;
    int64_t gid;
    int64_t login_uid;  /* audit login uid; NULL when unset */
    int64_t session_id; /* audit session id; NULL when unset */
    const char *cgroup;
    const char *container_id;
    int64_t ns_pid;    /* what its own pid namespace calls it; NULL: that is the initial one */
    const char *flags; /* words joined by commas, or NULL: escaped, argv_truncated, exe_deleted, ... */
};

struct iol_process_exit {
    int64_t process_id;
    int64_t ts;
    int64_t exit_code; /* NULL when killed by a signal */
    int64_t signal;    /* NULL when it ended by itself */
};

/* A file under one name. A renamed file is a second row with the same dev, inode and generation. */
struct iol_file {
    int64_t id;
    int64_t host_id;
    int64_t dev; /* as st_dev of stat(2) */
    int64_t inode;
    int64_t generation;
    int64_t kind;      /* enum iol_kind */
    const char *path;  /* as the process saw it; pseudo files are in parentheses: (pipes), (other files) */
    const char *flags; /* words joined by commas, or NULL: deleted, truncated, unreachable, escaped, ... */
};

/* What one process did to one file by one route within one interval that ended at ts. */
struct iol_io {
    int64_t ts;
    int64_t interval_ms;
    int64_t host_id;
    int64_t process_id;
    int64_t file_id;
    int64_t route; /* enum iol_route */
    int64_t read_ops;
    int64_t read_bytes;
    int64_t write_ops;
    int64_t write_bytes;
    int64_t read_errors;
    int64_t write_errors;
    int64_t first_ts;
    int64_t last_ts;
};

struct iol_event {
    int64_t ts;
    int64_t host_id;
    int64_t process_id;
    int64_t tid;
    int64_t kind; /* enum iol_event_kind */
    int64_t file_id;
    int64_t other_file_id;
    int64_t offset_bytes;
    int64_t bytes;
    int64_t result; /* 0 or more: success; negative: -errno; exit: the exit code, or minus the signal */
    int64_t weight; /* how many operations this event stands for */
};

/* The kernel's own totals of one interval, counted apart from the accounts. */
struct iol_total {
    int64_t ts;
    int64_t interval_ms;
    int64_t host_id;
    int64_t route;
    int64_t read_ops;
    int64_t read_bytes;
    int64_t write_ops;
    int64_t write_bytes;
    int64_t read_errors;
    int64_t write_errors;
};

/* Detail that was lost (never bytes or operations: those stay in the accounts). */
struct iol_loss {
    int64_t ts_from;
    int64_t ts_to;
    int64_t host_id;
    const char *reason;
    int64_t lost;
};

/* One batch, one transaction; (host_id, boot_id, seq) is its identity: a replayed batch changes nothing. */
struct iol_batch_row {
    int64_t host_id;
    const char *boot_id;
    int64_t seq;
    int64_t ts;
};
