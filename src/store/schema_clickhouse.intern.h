// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the files that print the tables of ClickHouse share: parts of statements, as the server's version and the URL want them. */
#include <stdbool.h>
#include <stdio.h>

#include "store/clickhouse.h"
#include "store/schema.h"

#define IOL_CH_SMALL_GRANULES 1024

struct iol_ch_ddl {
    FILE *out;
    const struct iol_ch_features *features;
    const struct iol_ch_layout *layout;
};

void iol_ch_ddl_type(struct iol_ch_ddl *ddl, const struct iol_column *column);
void iol_ch_ddl_column(struct iol_ch_ddl *ddl, const struct iol_column *column); /* of one of the contract's tables */
void iol_ch_ddl_codec(struct iol_ch_ddl *ddl, bool delta);
void iol_ch_ddl_text(FILE *out, const char *text); /* as a literal */

/* "CREATE WHAT IF NOT EXISTS NAME", on the whole cluster where the servers see to that. */
void iol_ch_ddl_create(struct iol_ch_ddl *ddl, const char *what, const char *name);
void iol_ch_ddl_on_cluster(struct iol_ch_ddl *ddl);

/* What follows the columns. `version`: of rows with one key that `replaces` each other the one with the highest; NULL: any. */
void iol_ch_ddl_engine(struct iol_ch_ddl *ddl, const char *name, bool replaces, const char *version);
void iol_ch_ddl_rest(struct iol_ch_ddl *ddl, const char *order, bool by_day, const char *time, bool fact,
                     unsigned int granularity);
void iol_ch_ddl_distributed(struct iol_ch_ddl *ddl, const char *name, const char *local, const char *key);

/* The tables that hold rows of io in other orders, and what fills them. */
void iol_ch_ddl_orders(struct iol_ch_ddl *ddl);

/* The version of all this. */
void iol_ch_ddl_version(struct iol_ch_ddl *ddl);
