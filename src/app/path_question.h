// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* A question about a path: the ledger, and the conditions that find the file under all names that it had. */
#include <stdbool.h>
#include <stddef.h>

#include "app/aliases.h"
#include "app/paths.h"
#include "store/ask.h"

struct iol_arena;
struct iol_db;
struct iol_error;
struct iol_options;

struct iol_path_question {
    struct iol_arena *arena;
    struct iol_db *db;
    struct iol_paths paths;
    struct iol_aliases aliases;
    const char *condition; /* on table file f: its names */
    const char *window;    /* on an account: whether the name was the file's at the time */
    const char *params[2 * (2 * IOL_PATHS_MAX + IOL_ALIASES_PARAMS_MAX)];
    size_t n_params;
};

/* Opens the ledger of the options and looks for the names. Always to be ended with done(). 0 or -errno with *err. */
int iol_path_question_open(const struct iol_options *options, const char *path, struct iol_path_question *question,
                           struct iol_error *err);
void iol_path_question_done(struct iol_path_question *question);

/* What is asked of the file, narrowed by the options (span and accesses). */
struct iol_ask iol_path_question_ask(const struct iol_path_question *question, const struct iol_options *options);
