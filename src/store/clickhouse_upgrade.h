// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The tables of a ClickHouse ledger, made, and brought from an older version to ours. Each step may be broken off anywhere, and be taken by several at
 * once: whoever comes next does what is missing. Meanwhile recorders go on writing, those of the older version too. For src/store only.
 */
struct iol_ch;
struct iol_error;

/* All tables, on each host that the URL names unless the servers see to that themselves. 0 or -errno with *err. */
int iol_ch_create_schema(struct iol_ch *ch, struct iol_error *err);

/* The same for a ledger of an older version: what it does not have. */
int iol_ch_upgrade_schema(struct iol_ch *ch, int version, struct iol_error *err);

/* The rows that are older than tables that hold them in other orders; then it is a ledger of our version. */
int iol_ch_upgrade_rows(struct iol_ch *ch, int version, struct iol_error *err);
