// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Tells on stderr what a command is at when that takes longer than two seconds: a line that is rewritten on a terminal, and else one
 * line for each step that is reached so late. A thread of its own does it: a database may think for a minute about one question.
 */
#include <stdint.h>

struct iol_waiting;

/* NULL when it cannot be had: then nothing is told, and all functions accept that. */
struct iol_waiting *iol_waiting_new(void);

/* What is being done from now on: "adding up files". The string must stay. */
void iol_waiting_step(struct iol_waiting *waiting, const char *what);

/*
 * How far that is: so many rows, and which part of it, 0 to 1 (negative: nobody knows). Then it is also told how many a second, and how
 * long the rest will take; without a terminal every ten seconds.
 */
void iol_waiting_reached(struct iol_waiting *waiting, uint64_t rows, double part);

/* Takes its line from the terminal, before something else is written there; it comes again. */
void iol_waiting_clear(struct iol_waiting *waiting);

/* Ends it, and takes its line from the terminal. */
void iol_waiting_free(struct iol_waiting *waiting);
