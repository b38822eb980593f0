// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The command line of every command, on top of argp. A command describes itself in a const struct iol_usage and
 * calls iol_options_parse() first of all; bad usage is told there, with one line that names the input and one hint.
 */
#include <argp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/output.h"

struct iol_error;

/* Options that commands share; --help and --verbose are everywhere. */
enum iol_common_option {
    IOL_COMMON_DB = 1 << 0,      /* --db URL */
    IOL_COMMON_FORMAT = 1 << 1,  /* --format table|json|csv */
    IOL_COMMON_QUIET = 1 << 2,   /* --quiet: nothing on stderr but warnings and errors */
    IOL_COMMON_COMMAND = 1 << 3, /* the first argument that is no option ends the options: [--] CMD ARG... */
    IOL_COMMON_SPAN = 1 << 4,    /* --since TIME, --until TIME */
    IOL_COMMON_ACCESS = 1 << 5,  /* --read, --write */
    IOL_COMMON_HOST = 1 << 6,    /* --host NAME|all */
};

#define IOL_OPTIONS_MAX 64 /* different ones that a command may have */

struct iol_options {
    const char *db;         /* --db, else $IOLEDGER_DB, else the default; its scheme is a known one */
    const char *host;       /* --host; NULL: of all */
    enum iol_format format; /* IOL_FORMAT_TABLE by default */
    bool verbose, quiet;
    int64_t since, until; /* IOL_NULL (core/row.h): not given; ns since the epoch, and the end is after the start */
    int64_t now;          /* when the command line was read */
    bool reads, writes;   /* --read, --write */
    char **args;          /* what is not an option, as typed; belongs to argv */
    size_t n_args;
    const char *given[IOL_OPTIONS_MAX]; /* names of the options on the command line, each once */
    size_t n_given;
};

struct iol_usage {
    const char *arguments; /* "PATH", "[PID]", ... or NULL */
    const char *summary;   /* first lines of --help */
    const char *details;   /* after the options: examples, exit status; may be NULL */
    unsigned common;       /* enum iol_common_option */
    size_t min_args, max_args;
    const char *missing;               /* what is needed when there are fewer: "a PATH" */
    const struct argp_option *options; /* of the command itself, as argp wants them; may be NULL */

    /*
     * Takes one of the command's own options: 0, or -errno with *err, which iol_options_parse() prefixes with the
     * option's name. `text` is its argument, NULL when it has none. A hint in *err replaces the usual one.
     */
    int (*option)(int key, const char *text, void *input, struct iol_error *err);

    /*
     * May be NULL. The index-th word that one of the command's own options may have, or that a list in it may have; NULL: there
     * are no more. For completion and man pages: from the table by which `option` takes them.
     */
    const char *(*word)(int key, unsigned int index);

    /*
     * May be NULL. Called when the command line has been taken and nothing has its default yet, to take more options from
     * elsewhere with iol_options_take(). 0, or -errno with *err.
     */
    int (*complete)(struct iol_options *common, void *input, struct iol_error *err);
};

/*
 * True: go on with *ret_options. False: the command ends now with *ret_status (--help was printed, or the bad usage
 * was told). Sets the log level according to --verbose and --quiet.
 */
bool iol_options_parse(const struct iol_usage *usage, int argc, char **argv, void *input,
                       struct iol_options *ret_options, int *ret_status);

/*
 * Takes an option of the command by its long name, as if it had been typed; of those without an argument `text` is yes or
 * no. The text must live as long as the options. 0; -ENOENT there is no such option; or -errno: with *err, always.
 */
int iol_options_take(const struct iol_usage *usage, const char *name, const char *text, struct iol_options *common,
                     void *input, struct iol_error *err);

/* Whether the command has the option; *err says if not. */
bool iol_options_known(const struct iol_usage *usage, const char *name, struct iol_error *err);

/* Whether the option was on the command line. */
bool iol_options_given(const struct iol_options *common, const char *name);

/* For usage errors that only show after parsing. Prints the error and a hint; returns IOL_EXIT_USAGE. */
int iol_options_fail(const char *command, const struct iol_error *err);

/* "1s", "0.1s", "500ms", "250us", "2m", "1h", "7d"; a plain number is seconds. Never negative. -EINVAL with *err. */
int iol_option_duration(const char *text, int64_t *ret_ns, struct iol_error *err);

/*
 * A moment: "10 min ago", "2h30m", "yesterday 14:00", "14:00" (the last time it was), "2026-11-25 14:00:05.5", RFC 3339, "@SECONDS"
 * or "now". UTC, unless it ends in a zone (Z, UTC, +02:00, local). -EINVAL with *err.
 */
int iol_option_time(const char *text, int64_t now_ns, int64_t *ret_ns, struct iol_error *err);

/* One of n words, as an index. -EINVAL with *err: "'jsn' is not a WHAT: did you mean 'json'?", and all of them. */
int iol_option_word(const char *text, const char *const *words, size_t n, const char *what, size_t *ret_index,
                    struct iol_error *err);

/* "65536", "64k", "1M", "2G" (powers of 1024). Never negative. -EINVAL with *err. */
int iol_option_count(const char *text, int64_t *ret_count, struct iol_error *err);

/* Any text but an empty one. -EINVAL with *err. */
int iol_option_text(const char *text, const char **ret_text, struct iol_error *err);

/* A process id: 1 or more. -EINVAL with *err. */
int iol_option_pid(const char *text, int64_t *ret_pid, struct iol_error *err);

/* A user, by name or number. -EINVAL with *err. */
int iol_option_user(const char *text, uint32_t *ret_uid, struct iol_error *err);

/* A program: its malloc'ed path without symbolic links, as the kernel tells it; one that is not there stays as it is given. */
int iol_option_exe(const char *text, char **ret_path, struct iol_error *err);
