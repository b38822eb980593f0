// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What a recording with pins has to hold and to know before its database is opened. */
#include "capture/capture.h"
#include "store/spool.h"

struct iol_error;

/*
 * Locks the folder, so that a second recorder is told whom it disturbs, and opens the spool of what is pinned there: the one that it
 * was begun with; else `dir`, or when that is NULL the usual one: DIR/pinned/NAME, where DIR is the service's $STATE_DIRECTORY, else
 * /var/lib/ioledger, and NAME is made of the folder and the books. Fills in lock (the caller's) and spool (a text that lives as
 * long as the spool) of *pin; `options->target` and `keep` are filled in here. 0 or -errno with *err.
 */
int iol_pin_place_open(struct iol_capture_pin *pin, const char *dir, const struct iol_spool_options *options,
                       struct iol_spool **ret_spool, struct iol_error *err);

/* After everything was unpinned: closes the spool, which goes unless something waits in it. */
void iol_pin_place_remove(struct iol_spool *spool, const char *books);
