// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * `ioledger --describe` and `ioledger COMMAND --describe`, which no help names: what the tables of commands, options and columns
 * say, as one object of JSON, for the programs that make man pages and completions of it when ioledger is built.
 */
#include <argp.h>
#include <stdio.h>

struct iol_command;
struct iol_usage;

/* The word that the option with that key may have, the index-th; NULL: there are no more, or it is no word. */
typedef const char *(*iol_describe_word_fn)(const void *from, int key, unsigned int index);

/*
 * {"name", "summary", "details", "arguments", "options": [{"heading"} or {"name", "letter", "argument", "optional", "doc", "words"}]}
 * with the options of the tables, which end with NULL, in their order. 0, or -ENOMEM.
 */
int iol_describe_usage(const char *command, const struct iol_usage *usage, const struct argp_option *const *tables,
                       iol_describe_word_fn word, const void *from, FILE *to);

/* {"version", "overview", "commands": [{"name", "summary", "group"}], "tables": [{"name", "doc", "columns": [...]}]}. 0, or -ENOMEM. */
int iol_describe_all(const char *overview, const struct iol_command *commands, size_t n, FILE *to);
