// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What a row of `loss` says, and what it means for the books. */
#include "abi/event.h"

/* What is not in the books then. */
enum iol_loss_kind {
    IOL_LOSS_DETAIL, /* which file or process it was, or a single event: the totals have all of it */
    IOL_LOSS_BYTES,  /* how many bytes calls have moved; the calls are there */
    IOL_LOSS_CALLS,  /* calls, with their bytes: as many as `lost` says */
    IOL_LOSS_ROUTE,  /* a whole route, however much went by it */
};

/* The text of `loss.reason`. */
const char *iol_lost_reason(enum iol_lost lost);

enum iol_loss_kind iol_lost_kind(enum iol_lost lost);

#define IOL_LOSS_ROUTE_REASON "route not covered: " /* and its name */

/* What a host then "lost", or "lacks": words between its name and the reason. */
const char *iol_loss_words(enum iol_loss_kind kind);

/* By the text of `loss.reason`. */
enum iol_loss_kind iol_loss_kind_of(const char *reason);
