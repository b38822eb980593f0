// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Rows in ClickHouse's RowBinary (https://clickhouse.com/docs/interfaces/formats/RowBinary): integers of 8 bytes, the low one first;
 * texts behind their length as a varint; before what may be NULL a byte, 1 for NULL.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/schema.h"

struct iol_error;

struct iol_row_binary {
    char *data;
    size_t size, capacity;
};

void iol_row_binary_clear(struct iol_row_binary *rows);
void iol_row_binary_done(struct iol_row_binary *rows);

/* Room for so many bytes behind what is there; NULL: no memory. Who fills it moves `size`. */
char *iol_row_binary_reserve(struct iol_row_binary *rows, size_t size);

/* Appends a row of the table that was checked, and behind it the column of ours; -ENOMEM. */
int iol_row_binary_add(struct iol_row_binary *rows, const struct iol_table *table, const void *row, int64_t last);

/* Whether iol_row_binary_add() takes it: 0, or -EINVAL with *err. */
int iol_row_binary_check(const struct iol_table *table, const void *row, struct iol_error *err);

/* Nanoseconds as microseconds, rounded down. */
int64_t iol_row_binary_time(int64_t ns);
