// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Tells on stderr, when that is a terminal, what a command is at when that takes longer than two seconds: a line that is rewritten each
 * second, and goes when the command is through, or ended by Ctrl-C. A thread of its own does it: a database may think for a minute
 * about one question.
 */
#include <stdint.h>

struct iol_waiting;

/* How far it is. */
struct iol_reached {
    const char *what; /* is being done: "adding up files"; must stay */
    uint64_t rows;    /* so many, since it began; then it is also told how many a second */
    double part;      /* of it that is done, 0 to 1; then also how long the rest will take. Negative: nobody knows */
};

/* NULL: there is no terminal, or no memory; then nothing is told, and all functions accept that. */
struct iol_waiting *iol_waiting_new(void);

/* As above; `ask` says, from the thread and once a second, how far it is: for who cannot say so by itself, as it waits. */
struct iol_waiting *iol_waiting_new_asking(void (*ask)(void *arg, struct iol_reached *ret_reached), void *arg);

/* What is being done from now on. The string must stay. */
void iol_waiting_step(struct iol_waiting *waiting, const char *what);

/* How far that is; `rows` are those since the first step. */
void iol_waiting_reached(struct iol_waiting *waiting, uint64_t rows, double part);

/* Takes the line away, for somebody else who has a word to say. */
void iol_waiting_clear(struct iol_waiting *waiting);

/* Ends it, and takes its line from the terminal. */
void iol_waiting_free(struct iol_waiting *waiting);
