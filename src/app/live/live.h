// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The kernel's accounts without a database: programs, maps and a ring buffer of one's own, whose rows go to whoever asks
 * for them. What is slow here slows no recorder. One thread calls it:
 *
 *   open     the programs; nothing is attached yet
 *   start    from here on everything is counted
 *   step     takes in the records that are there
 *   post     ends an interval
 *   take     the rows since the last take, at any time
 *   free
 */
#include <stdbool.h>

#include "capture/capture.h"

struct iol_batch;
struct iol_error;
struct iol_live;
struct iol_live_names;

int iol_live_open(const struct iol_capture_options *options, struct iol_live **ret_live, struct iol_error *err);
int iol_live_start(struct iol_live *live, struct iol_error *err);
int iol_live_fd(const struct iol_live *live); /* readable: call step */
int iol_live_step(struct iol_live *live, struct iol_error *err);
int iol_live_post(struct iol_live *live, struct iol_error *err);

/* Whether so many processes have ended that the interval is to be posted early. */
bool iol_live_crowded(const struct iol_live *live);

/* Rows with the texts of new processes and files, of accounts, events, totals and losses; the caller's. NULL: no memory. */
struct iol_batch *iol_live_take(struct iol_live *live);

/* Says which processes and files may still come in rows of accounts and events without a row of their own. */
void iol_live_mark(struct iol_live *live, struct iol_live_names *names);

/* Accounts that are open now. */
size_t iol_live_accounts(const struct iol_live *live);

/* A route that this kernel does not tell; NULL when all are covered. */
const char *iol_live_uncovered(const struct iol_live *live);

void iol_live_free(struct iol_live *live); /* accepts NULL */
