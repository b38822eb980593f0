// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A configuration file: one option a line, `name = value`, with the long names of the command line. A line that begins with
 * # is a comment. What the values mean is the affair of who takes the options.
 */
#include <stdbool.h>
#include <stddef.h>

struct iol_error;

struct iol_config_entry {
    const char *name, *value; /* not empty */
    unsigned int line;
};

struct iol_config {
    char *path, *text;
    struct iol_config_entry *entries; /* as they stand in the file */
    size_t n;
};

/* Errors name the file and, as FILE:LINE:, the line. */
int iol_config_read(const char *path, struct iol_config **ret_config, struct iol_error *err);
void iol_config_free(struct iol_config *config); /* accepts NULL */

/* Puts "FILE:LINE: NAME: " before what *err says; returns `code`. */
int iol_config_blame(const struct iol_config *config, const struct iol_config_entry *entry, int code,
                     struct iol_error *err);

/* Whether both have the same values of that name, in the same order. */
bool iol_config_same(const struct iol_config *a, const struct iol_config *b, const char *name);
