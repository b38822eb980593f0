// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * One side of a comparison, as it is typed: "last" (the latest recording), "last~2" (the second before it), "recording:ID", a span of
 * time "SINCE..UNTIL" (either may be left out), each also behind "URL#", or "URL" alone for all of another ledger.
 */
#include <stdbool.h>
#include <stdint.h>

struct iol_db;
struct iol_error;
struct iol_options;

struct iol_side {
    const char *typed;
    struct iol_db *db;
    int64_t since, until; /* IOL_NULL: no bound */
    char *host;           /* only of this host; NULL: of all */
    bool span;            /* a span was typed, not a recording */
};

/* Opens the ledger: that of the URL, else --db's. 0, -EINVAL when it cannot be understood, or another -errno: with *err. */
int iol_side_open(const char *typed, const struct iol_options *options, struct iol_side *side, struct iol_error *err);
void iol_side_done(struct iol_side *side);
