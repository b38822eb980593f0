// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A batch as bytes, for the spool. Column by column, as the table of columns (schema.c) has them, and each table says the
 * names and types of its columns first: a version with more columns reads what an older one wrote, and finds NULL in them.
 *
 *   version (1 byte), number of tables, for each table that has rows:
 *     name, number of columns, for each: name, type (1 byte); number of rows
 *     for each column: form (1 byte), values
 *
 * Numbers, and lengths of texts, are LEB128. Of an integer, a time or an enumeration form 0 is the difference to the row before,
 * zigzag-coded; form 1 is 8 bytes, little-endian, for what is a hash. A text is its length plus 1, and its bytes; NULL is 0.
 */
#include <stddef.h>

struct iol_batch;
struct iol_error;

/* *ret_data: malloc'ed. 0, or -ENOMEM. The journal is no part of it. */
int iol_batch_encode(const struct iol_batch *batch, void **ret_data, size_t *ret_size);

/*
 * Any bytes may be given. 0; -EBADMSG: that is no batch; -EPROTONOSUPPORT: it is of a newer version, which has tables or columns
 * that are not known here; -ENOMEM. Takes at most some 16 times `size` of memory.
 */
int iol_batch_decode(const void *data, size_t size, struct iol_batch **ret_batch, struct iol_error *err);
