// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Sums over many rows of io, in the SQL of ClickHouse. For ask_*clickhouse*.c and ask_io.c only. */
#include <stdbool.h>
#include <stdio.h>

#include "store/ask.h"

struct iol_ask_ch {
    const struct iol_db *db;
    const struct iol_ask *ask;
    int64_t end; /* as of struct iol_ch_rows */
    char *
        days; /* so is this; a server of old finds out anew for each SELECT around the rows when it stands there as a subquery */
    const char *among; /* ids of the files that are asked for, "1, 2" or a SELECT; NULL: all */
    long long all;     /* with `among`: how many rows there would be without it and the limit */
};

/* Asks for what leads to the rows. 0 or -errno with *err. */
int iol_ask_ch_begin(struct iol_db *db, const struct iol_ask *ask, struct iol_ask_ch *ret_of, struct iol_error *err);
void iol_ask_ch_done(struct iol_ask_ch *of);

/* Of sums once more: counters, and the first and the last time. */
#define IOL_ASK_CH_SUMS                                                                                                \
    "sum(ro) AS ro, sum(rb) AS rb, sum(wo) AS wo, sum(wb) AS wb, sum(re) AS re, sum(we) AS we, min(t0) AS t0,"         \
    " max(t1) AS t1"

/* How many different ids there are in the lists `p` of a group. */
#define IOL_ASK_CH_COUNTED "uniqExactArray(p)"

/* A number of microseconds as a time of the contract. */
void iol_ask_ch_put_time(FILE *out, const char *us);

/* "TABLE PREWHERE ... WHERE ...". */
void iol_ask_ch_put_rows(FILE *out, const struct iol_ask_ch *of);

/*
 * A SELECT of the key, ro, rb, wo, wb, re, we, t0, t1, and `p`, the ids of the other kind (`counted`). The key is file_id or process_id, and of the
 * other kind each id is there once; or an expression that has the name, "... AS NAME", when one may be there more often.
 */
void iol_ask_ch_put_sums(FILE *out, const struct iol_ask_ch *of, const char *key, const char *name,
                         const char *counted);

/* What put_sums() puts, which has a file_id, and columns of table file: what stands in "SELECT ... FROM (...)", behind which " LIMIT 1 BY file_id" makes
 * one of a file that comes more than once. */
void iol_ask_ch_put_named(FILE *out, const struct iol_ask_ch *of, const char *names,
                          void (*put_sums)(FILE *out, const struct iol_ask_ch *of));

/* What ORDER BY begins with. */
const char *iol_ask_ch_biggest(const struct iol_ask *ask);

/* The one column of the answer as a list, "1, 2", or several as "(1, 2), (3, 4)"; `none` without rows. To be freed; NULL: it is longer than statements
 * should be. */
#define IOL_ASK_CH_LISTED 2000
int iol_ask_ch_list(struct iol_query *query, const char *none, char **ret_list, struct iol_error *err);

/* iol_ask_files(), names and all. */
int iol_ask_ch_files(struct iol_db *db, const struct iol_ask_ch *of, struct iol_query **ret_query,
                     struct iol_error *err);

/* The same for few rows, of a ledger with IOL_CH_KEYS. 1: not answered, as it takes names to know which rows these are. */
#define IOL_ASK_CH_FEW 500
int iol_ask_ch_few_files(struct iol_db *db, const struct iol_ask_ch *of, struct iol_query **ret_query,
                         struct iol_error *err);

/* The files that have one of the keys, "1, 2" (file.name_key); `all` of them would be there without the limit. 1: not answered, as they have too many ids. */
int iol_ask_ch_named_files(struct iol_db *db, const struct iol_ask_ch *of, const char *keys,
                           struct iol_query **ret_query, struct iol_error *err);

/* iol_ask_groups(), where all of it can be added up on the server. */
bool iol_ask_ch_has_groups(const struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by);
int iol_ask_ch_groups(struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by, struct iol_query **ret_query,
                      struct iol_error *err);
