/* SPDX-License-Identifier: BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

/*
 * Rows of a machine that does not exist, for the store: always the same ones. Some processes are at work at a time, and new ones take
 * their place; a third of what they do is done to a hundred files, the rest to all of them alike.
 */
#include <stddef.h>
#include <stdint.h>

struct iol_batch;

struct rows {
    int64_t host_id;
    uint64_t random;
    size_t files, processes; /* in all */
    size_t at_work;          /* processes at a time */
    uint64_t total;          /* rows of io that are to come in all: processes are spread over them */
    uint64_t made;           /* so far */
    int64_t ts, interval_ns; /* end of the last interval; of each one */
    int64_t seq;
};

/* A thousand command names: processes have them in turn. */
#define ROWS_COMMS 1000

int64_t rows_file_id(const struct rows *rows, size_t file);
int64_t rows_process_id(const struct rows *rows, size_t process);

/* The names: host, recording, processes and files from `first` on, at most n of each. A sealed batch, or NULL when there are no more. */
struct iol_batch *rows_names(struct rows *rows, size_t first, size_t n);

/* The accounts of one interval, a total, and the row that makes the batch whole. */
struct iol_batch *rows_interval(struct rows *rows, size_t n);
