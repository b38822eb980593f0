// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What the reading commands have in common: from a query to the output, and owners' ends. */
#include <stddef.h>

struct iol_arena;
struct iol_db;
struct iol_error;
struct iol_lineage;
struct iol_options;
struct iol_output;
struct iol_output_column;
struct iol_query;
struct iol_waiting;

/* For _cleanup_. */
void iol_question_done_db(struct iol_db **db);
void iol_question_done_lineage(struct iol_lineage **lineage);
void iol_question_done_output(struct iol_output **output);

/*
 * Tells on a terminal what is waited for, from two seconds on, until it is done, which is to be before a row is printed; it is NULL then.
 * `what`: "adding up files". May be NULL.
 */
struct iol_waiting *iol_question_waiting(const char *what);
void iol_question_done_waiting(struct iol_waiting **waiting);

/* Sets the first n cells of the output's row from the query's columns. */
void iol_question_copy(struct iol_output *output, const struct iol_output_column *columns, size_t n,
                       const struct iol_query *query);

/* One query that yields one integer. 0 or -errno with *err. */
int iol_question_number(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                        long long *ret_number, struct iol_error *err);

/* Where nothing was found: "that time", or "this ledger" when all of it was asked. */
const char *iol_question_when(const struct iol_options *options);

/* -ENOMEM with *err. */
int iol_question_no_memory(struct iol_error *err);
