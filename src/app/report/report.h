// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What a report shows, out of a ledger, in memory of a bounded size: aggregates made by the database, the biggest ones with their
 * names, and the rest summed up. Times are microseconds since 1970, 0 where there is none.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <uthash.h>

struct iol_arena;
struct iol_db;
struct iol_directories;
struct iol_error;
struct iol_reached;

enum {
    IOL_SUM_READ_OPS,
    IOL_SUM_READ_BYTES,
    IOL_SUM_WRITE_OPS,
    IOL_SUM_WRITE_BYTES,
    IOL_SUM_READ_ERRORS,
    IOL_SUM_WRITE_ERRORS,
    IOL_SUM_MAPPED, /* operations among the others that are mmap(2): their bytes are not known */
    IOL_SUMS
};

struct iol_report_sums {
    int64_t n[IOL_SUMS];
    int64_t first, last;
};

/* What one process image did to one file. */
struct iol_report_pair {
    struct iol_report_pair *next;
    int64_t process_id;
    struct iol_report_sums sums;
};

/* All files that had one path on one host. */
struct iol_report_file {
    int64_t host_id;
    const char *path, *kind, *flags;
    struct iol_report_sums sums;
    int64_t processes;             /* that touched it; not all of them are in `pairs` */
    struct iol_report_pair *pairs; /* those that read most and that wrote most */
    size_t place;                  /* its number among all, in the order of paths */
    UT_hash_handle hh;             /* by host and path */
};

struct iol_report_process {
    int64_t id, host_id, parent_id, pid;
    const char *origin, *comm, *exe, *argv, *cwd, *user, *container;
    int64_t started, executed, ended;
    int64_t exit_code, signal; /* IOL_NULL: none */
    struct iol_report_sums sums;
    int64_t files;  /* how many it used; -1: not counted */
    bool described; /* its row was found */
    UT_hash_handle hh;
};

struct iol_report_program {
    const char *exe, *comm;
    struct iol_report_sums sums;
    int64_t processes;
};

struct iol_report_host {
    int64_t id;
    const char *name, *kernel;
};

struct iol_report_recording {
    int64_t host_id, started, ended, last_interval; /* ended 0: it still runs, or was killed */
    const char *version, *probes, *scope;
    int64_t excluded_ops, excluded_bytes;
};

struct iol_report_loss {
    int64_t host_id, from, to, lost, times;
    const char *reason;
};

/* One bar of the timeline: what the kernel counted in all intervals whose middle is in it. */
struct iol_report_bar {
    int64_t n[IOL_SUMS];
};

struct iol_report {
    struct iol_arena *arena;
    int64_t limit;                           /* of files and of processes: so many, and what belongs to them */
    int64_t since, until;                    /* as asked for; 0: not */
    int64_t from, to;                        /* of what is shown */
    struct iol_report_sums accounts, kernel; /* summed up independently of each other */
    int64_t n_all_files, n_all_processes, n_all_programs, n_all_recordings, n_all_losses;
    struct iol_report_file *files; /* hash */
    struct iol_report_process *processes;
    struct iol_directories *directories;
    struct iol_report_program *programs;
    struct iol_report_host *hosts;
    struct iol_report_recording *recordings;
    struct iol_report_loss *losses, *loss_kinds;
    size_t n_programs, n_hosts, n_recordings, n_losses, n_loss_kinds;
    int64_t bar_width;
    struct iol_report_bar *bars;
    size_t n_bars;
};

/* Tells how far it is (app/waiting.h); may be called at any time. */
typedef void (*iol_report_step)(void *data, const struct iol_reached *reached);

/*
 * Asks everything of one state of the ledger. `since` and `until` are nanoseconds since 1970, or IOL_NULL. 0 or -errno with *err; the
 * report is to be freed in either case.
 */
int iol_report_gather(struct iol_db *db, int64_t since, int64_t until, int64_t limit, iol_report_step step, void *data,
                      struct iol_report **ret_report, struct iol_error *err);

/*
 * The page: one HTML file that needs nothing else. `db` is the ledger's URL as it may be shown. 0, or -errno when it could not be
 * written.
 */
int iol_report_write(const struct iol_report *report, const char *db, FILE *to);

void iol_report_free(struct iol_report *report); /* accepts NULL */
