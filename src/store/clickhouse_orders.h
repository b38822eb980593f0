// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * io_by_file and process_day, out of the rows of io. The server fills them from what comes into io; here is what it takes when it was killed in between,
 * and for rows that are older than these tables. For src/store only.
 */
#include <stdint.h>

struct iol_ch;
struct iol_error;

/* Puts the rows of io that meet the condition there, once more perhaps. `query_id` may be NULL. 0 or -errno with *err. */
int iol_ch_orders_add_days(struct iol_ch *ch, const char *where, const char *doing, struct iol_error *err);
int iol_ch_orders_add_rows(struct iol_ch *ch, const char *where, const char *query_id, const char *doing,
                           struct iol_error *err);

/* How many different rows that meet the condition io_by_file has. */
int iol_ch_orders_count(struct iol_ch *ch, const char *where, const char *doing, long long *ret_rows,
                        struct iol_error *err);

/* `rows` rows of io meet the condition, and none more comes: sees to it that all are there. */
int iol_ch_orders_complete(struct iol_ch *ch, const char *where, long long rows, struct iol_error *err);
