// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the files of the reader of ClickHouse share: the open database, and what a question brings into its extract. */
#include <stdbool.h>
#include <stddef.h>

#include "store/reader_driver.h"

#define EXTRACTS_MAX 4096 /* questions to one open database */

struct iol_ch_db {
    struct iol_db db;
    struct iol_ch *ch;
    int version; /* of the ledger */
    struct iol_extract *extract;
    char *hosts;          /* "1,2"; NULL: all */
    char *host_condition; /* " AND host_id IN (1,2)" */
    bool has_names;       /* hosts, recordings and logins are in the extract */
    bool used;            /* so is what was asked for last, which is `key` */
    char *key;
    char *same; /* the last IOL_FOCUS_SAME that is in the extract */
    struct iol_extract *old[EXTRACTS_MAX];
    size_t n_old;
};

/* The text with 'literals' in the place of $1, $2, ...; to be freed, NULL: no memory. */
char *iol_ch_bind(const char *sql, size_t n_params, const char *const *params);

/* The table as each shard has it, for subqueries that need only what is on the same one. */
const char *iol_ch_shard_table(const struct iol_ch_db *db, const char *table, char buf[static 160]);

/* The condition with its parameters in it; "1" when there is none. To be freed, NULL: no memory. */
char *iol_ch_condition(const char *condition, const struct iol_focus *focus);

/* Whether what is asked for needs an extract of its own: it brings sums and single rows, which must not be there twice. */
bool iol_ch_focus_anew(const struct iol_focus *focus);

/* Brings what the focus is about into the extract, names included. 0 or -errno with *err. */
int iol_ch_focus_bring(struct iol_ch_db *db, const struct iol_focus *focus, struct iol_error *err);
