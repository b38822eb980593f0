// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct iol_error;

/* The CMD of `record -- CMD`: forked first, so that the recorder knows its pid, and let go once everything is attached. */
struct iol_child {
    pid_t pid;  /* 0: none */
    int gate;   /* write end: a byte lets it exec */
    int failed; /* read end: errno of an exec that failed */
};

/* What CMD gets in the place of our own; -1: our own. They stay the caller's. */
struct iol_child_streams {
    int in, out, err;
    bool apart; /* in a session of its own: without our terminal, whose keys and screen are not for it */
};

/* `streams` may be NULL: all our own. */
int iol_child_start(struct iol_child *child, char **argv, const struct iol_child_streams *streams,
                    struct iol_error *err);

/*
 * Lets it go. 0, or -errno with *err when CMD cannot be run, or a signal (Ctrl-C) has ended it before; *ret_status is then what a shell
 * would give for that.
 */
int iol_child_release(struct iol_child *child, const char *name, int *ret_status, struct iol_error *err);

/* True when it has ended; *ret_status as a shell would give it: the exit code, or 128 + signal. Never waits. */
bool iol_child_ended(struct iol_child *child, int *ret_status);

/* Ends what was not released yet, and closes the pipes. A CMD that runs is left alone. */
void iol_child_done(struct iol_child *child);
