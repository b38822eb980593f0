// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What differs between the databases in the SQL of questions, in one place: each dialect is one entry in the table of sql.c. The
 * questions themselves (ask_*.c) are the same text for all of them.
 *
 * Times of accounts are compared, and given to min() and max(), in a form of their own ("account time"): in SQLite they are stored
 * as microseconds, and to write each of them as text would take longer than all the rest of a question.
 */
#include <stdint.h>
#include <stdio.h>

#include "store/schema.h"

struct iol_sql {
    const char *accounts; /* behind FROM or JOIN: `io`, with process_id, file_id and the counters of the contract */
    const char *accounts_join; /* behind that and its ON, if it has one: what `host`, `end`, `first` and `last` need */
    const char *host;          /* host_id of an account */
    const char *end;           /* end of its interval, to be compared with iol_sql_time(): an index leads there */
    const char *first, *last;  /* its first and last operation: account times */
    const char *mapped;        /* whether it came of mmap(2) */
    const char *unordered;     /* before a column to group by: not in the order of its index, whose rows lie anywhere */
    const char *event_time;    /* e.ts of an event as an account time */
};

const struct iol_sql *iol_sql_of(enum iol_dialect dialect);

/* A literal: to be compared with a column that is a time (event.ts, total.ts, the end of an interval). 64 bytes suffice; returns buf. */
char *iol_sql_time(enum iol_dialect dialect, char *buf, size_t size, int64_t ns);

/* A literal: to be compared with an account time. */
char *iol_sql_account_time(enum iol_dialect dialect, char *buf, size_t size, int64_t ns);

/* An account time as the contract writes times. */
void iol_sql_put_shown_time(FILE *out, enum iol_dialect dialect, const char *account_time);

/* An account time as a number: microseconds since 1970. */
void iol_sql_put_micros(FILE *out, enum iol_dialect dialect, const char *account_time);

/*
 * Whatever is in the expression that is a path, cut behind its last '/': "/usr/lib/" of "/usr/lib/x". What does not
 * begin with '/' stays as it is.
 */
void iol_sql_put_directory(FILE *out, enum iol_dialect dialect, const char *path);
