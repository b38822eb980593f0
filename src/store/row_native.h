// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A block of rows in ClickHouse's Native (https://clickhouse.com/docs/interfaces/formats/Native): column after column, as the server
 * keeps them, so that it has nothing to take apart. Every version takes it, where the types are those of the table to the letter: for
 * tables without texts, which newer servers keep in types of their own.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/row_binary.h"

/* A row of the table, and the value of the column of ours. */
struct iol_row_ref {
    const void *row;
    int64_t last;
};

bool iol_row_native_takes(const struct iol_table *table);

/* Appends a block of rows that were checked; -ENOMEM. */
int iol_row_native_add(struct iol_row_binary *out, const struct iol_table *table, const struct iol_row_ref *rows,
                       size_t n);

/*
 * Puts rows of io of one host into the order of the table's key: a server that finds them sorted need not do it. Rows of several hosts, and
 * those for which there is no memory, stay as they are.
 */
void iol_row_native_order_io(struct iol_row_ref *rows, size_t n);
