// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>

struct iol_error;
struct iol_spool;
struct iol_spool_options;

/*
 * Opens the spool of a recording to `db`. `dir` is what --spool says: a folder, "none", or NULL for the usual one, which only a
 * network database has: DIR/spool/NAME, where DIR is the service's $STATE_DIRECTORY, else /var/lib/ioledger for root and
 * $XDG_STATE_HOME/ioledger for others, and NAME is made of the database, so that each has its own. Of several recorders to one
 * database each takes one of NAME, NAME-2, ...: first one in which an earlier recording has left something. `options->target` is
 * filled in here. 0, with *ret_spool NULL when there is to be none; or -errno with *err.
 */
int iol_spool_place_open(const char *db, const char *dir, const struct iol_spool_options *options,
                         struct iol_spool **ret_spool, struct iol_error *err);

/* Whether batches can be sent twice to this database without harm, so that it may have a spool. */
bool iol_spool_place_possible(const char *db);
