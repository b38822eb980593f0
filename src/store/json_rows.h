// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Rows as JSON, one object a line: {"table": "io", "ts": "2026-11-23T08:18:06.123456Z", …}, the columns in their order, exact integers,
 * words for enumerations, null for NULL. Pure ASCII, and no control character.
 */
#include <stddef.h>

struct iol_batch;
struct iol_error;
struct iol_table;
struct iol_time_text;

/* How every line begins. */
#define IOL_JSON_LINE_START "{\"table\": \""

/* Takes the next bytes; not 0: no more, and iol_json_write_rows() returns that. */
typedef int iol_json_put(const char *data, size_t size, void *arg);

/*
 * All rows of a batch, table by table; the batch's own row is the last: when it is there, the batch is whole. 0; -EINVAL or -EAGAIN (no
 * memory) with *err; or what `put` returned.
 */
int iol_json_write_rows(struct iol_time_text *cache, const struct iol_batch *batch, iol_json_put *put, void *arg,
                        struct iol_error *err);

/*
 * Adds the row that a line is. A column that is missing is NULL. 0 and the row's table; -EBADMSG: it is none, as *err tells about "it";
 * -EPROTONOSUPPORT: it has a table, column or word that this version does not know; -ENOMEM.
 */
int iol_json_read_row(const char *line, size_t size, struct iol_batch *batch, const struct iol_table **ret_table,
                      struct iol_error *err);
