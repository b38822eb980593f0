// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What `tail` prints: a line for each event, account and loss. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct iol_batch;
struct iol_live_names;

struct iol_tail_format {
    const struct iol_live_names *names;
    bool json;     /* one object a line */
    bool io;       /* accounts too */
    bool colours;  /* by kind */
    bool terminal; /* nothing raw goes there, not even in JSON */
    size_t width;  /* lines are cut there; 0: they are not */
};

/* "TIME KIND PID ..." */
void iol_tail_heading(const struct iol_tail_format *format, FILE *to);

/*
 * The batch, whose names have been taken already: events in the order of their times, then accounts, then losses; `most`
 * lines of them. Returns how many there were, or -ENOMEM.
 */
int64_t iol_tail_lines(const struct iol_tail_format *format, const struct iol_batch *batch, int64_t most, FILE *to);
