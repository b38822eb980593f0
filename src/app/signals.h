// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What signals ask of a recorder. They are blocked while it records, and read from a descriptor. */
#include <stdbool.h>

struct iol_error;

struct iol_signals {
    int fd; /* readable when there is one; -1: none yet */
    bool hangup_ignored;
};

enum iol_wish {
    IOL_WISH_NONE,  /* nothing more at present */
    IOL_WISH_CHILD, /* a child has ended */
    IOL_WISH_RULES, /* SIGHUP by kill(2): read the rules again */
    IOL_WISH_END,   /* SIGINT, SIGTERM, or a terminal that has gone, but not under nohup(1) */
};

/* Before any thread is there. 0, or -errno with *err. */
int iol_signals_block(struct iol_signals *ret_signals, struct iol_error *err);

/* The next wish, and the signal that it came with. Does not block. */
enum iol_wish iol_signals_next(const struct iol_signals *signals, int *ret_signum);

/*
 * From now on signals are not read any more: one that asks for the end sets what the answer points to, and interrupts
 * what the main thread waits in. Threads that are there keep them blocked.
 */
const volatile bool *iol_signals_interrupt(const struct iol_signals *signals);

/*
 * For a command that blocks none: from now on those that ask for the end interrupt what it waits in, and are counted; a terminal that has gone
 * does not under nohup(1). The last one, 0: none came yet; and how many came.
 */
void iol_signals_catch(void);
int iol_signals_caught(void);
int iol_signals_count(void);

void iol_signals_done(struct iol_signals *signals);

/* Whoever started this program wants it to ignore that signal. */
bool iol_signals_ignored(int signum);
