// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* For source*.c only. */
#include "store/source.h"

/*
 * Whether a batch is sealed and all of its rows are of its host: two recorders' rows may be mixed in a file, or a topic have something else in
 * it. 0, or -EBADMSG with *err about "it".
 */
int iol_source_check(const struct iol_batch *batch, struct iol_error *err);

/* Each takes the open file, also when it fails. */

int iol_source_entries(const char *path, int fd, struct iol_source **ret_source, struct iol_error *err);
int iol_source_jsonl(const char *path, int fd, struct iol_source **ret_source, struct iol_error *err);
