// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the tests of every kind of database share: batches full of hostile values, and ways to see what became of them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "base/error.h"
#include "core/batch.h"
#include "store/reader.h"
#include "store/sink.h"

#define HOST_ID INT64_C(-7731892376417823123)
#define BOOT_ID "2f5d6a0c-8f0e-4a53-9d3a-6a1c7a4f9e11"

/* Texts that have broken somebody's quoting, and their number. */
extern const char *const hostile_texts[];
extern const size_t n_hostile_texts;

/* A sealed batch with rows in every table: every hostile text, NULLs and the ends of int64_t. */
struct iol_batch *hostile_batch(int64_t seq);

/* A sealed batch of `n` rows in io, of one process and file each, the same in every batch. */
struct iol_batch *io_batch(int64_t seq, size_t n);

/* Adds a process of which nothing but its id is known (comm "(unknown)"), or one of that comm. */
void add_unknown(struct iol_batch *batch, int64_t id);
void add_known(struct iol_batch *batch, int64_t id, const char *comm);

/* Adds the row that makes a batch whole. */
void seal(struct iol_batch *batch, int64_t seq);

/* Opens or fails the test with the error's text. */
struct iol_sink *open_sink(const char *url);
struct iol_db *open_db(const char *url);

/* Opening must fail with the code, with `text` in its message and with a hint. */
void open_sink_fails(const char *url, int code, const char *text);
void open_db_fails(const char *url, int code, const char *text);

/* Writes and frees the batch. */
void write_batch(struct iol_sink *sink, struct iol_batch *batch);

/* Writes batches 1 to n, some of which are there already, in groups; each is then there once, with its rows. Frees nothing of the sink's. */
void write_group_with_replays(struct iol_sink *sink, const char *url);

/* The whole answer as text: a line for each row, cells parted by 0x1F, NULL as 0x00-free word "<null>". To be freed. */
char *ask(struct iol_db *db, const char *sql);

/* As ask() on a connection of its own. */
char *ask_url(const char *url, const char *sql);
long long ask_int(const char *url, const char *sql);

/* Every row of the batch's table is in the ledger with every cell as it was, and no other row is. */
void ledger_equals(const char *url, const struct iol_batch *batch);

/* Formats, runs in a shell, and returns what it printed (to be freed); the test fails unless it exits 0. */
char *shell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs in a child as the user nobody; returns the child's exit status. */
int as_nobody(int (*function)(const char *url), const char *url);

/* A folder of its own for each test, made by the setup and removed by the teardown. */
struct fixture {
    char dir[64];
    char url[256];
};
int make_dir(void **state);
int remove_dir(void **state);
