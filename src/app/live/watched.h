// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The CMD of `top -- CMD` and `tail -- CMD`: where what it prints goes meanwhile, how it is ended, and how it has ended. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/child.h"

struct iol_error;

struct iol_watched {
    struct iol_child child;
    char **argv;
    bool apart, ended;
    int output; /* the file that what it prints goes to, on a screen or with --output; -1: none */
    bool shows; /* that file has no name: what is in it is for the terminal, in the end */
    int status; /* as a shell would give it */
    uint64_t started_ns, ended_ns;
};

#define IOL_WATCHED_NONE                                                                                               \
    {                                                                                                                  \
        .child = {.gate = -1, .failed = -1}, .output = -1                                                              \
    }

/*
 * Forks it; it waits for iol_watched_release(). What it prints goes to the file `output`. When that is NULL: with a screen into a file
 * without a name, as far as it would reach the terminal; else its standard output becomes our stderr, as lines or frames are
 * on ours. With a screen it has no terminal, and nothing to read: the keys are not for it. 0 or -errno with *err.
 */
int iol_watched_start(struct iol_watched *watched, char **argv, const char *output, bool screen, struct iol_error *err);

/* Lets it go: 0, or -errno with *err when it cannot be run or was interrupted before; its status is then what a shell would give. */
int iol_watched_release(struct iol_watched *watched, struct iol_error *err);

bool iol_watched_runs(const struct iol_watched *watched);

/* Looks whether it has ended. To be called before its last records are taken in: what it did is among these then. */
void iol_watched_look(struct iol_watched *watched);

/* Passes a signal on, to all of its session when it has one. A terminal that it shares with us has told it of Ctrl-C itself. */
void iol_watched_signal(const struct iol_watched *watched, int signum);

/* "make -j2: runs, 12 s", or how it ended, for which a long command is cut to so many columns. Not made safe for a terminal. */
void iol_watched_say(const struct iol_watched *watched, uint64_t now_ns, size_t columns, char *buf, size_t size);

/* When the screen is gone: what it has printed, or the end of that when it is much. */
void iol_watched_show(const struct iol_watched *watched);

void iol_watched_done(struct iol_watched *watched);
