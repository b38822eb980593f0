// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Rows for tests of what `top` and `tail` make of them. Ids are the caller's; texts must outlive the batch. */
#include <stdint.h>

struct iol_batch;

struct iol_process *add_process(struct iol_batch *batch, int64_t id, int64_t pid, const char *comm);
void add_file(struct iol_batch *batch, int64_t id, const char *path);
struct iol_io *add_io(struct iol_batch *batch, int64_t process_id, int64_t file_id, int64_t read_bytes,
                      int64_t write_bytes); /* 1 operation each way that has bytes */
struct iol_event *add_event(struct iol_batch *batch, int64_t ts, int kind, int64_t process_id);
