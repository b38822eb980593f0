// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* --by process|exe|user|container|directory: an answer summed up by something else than who and files do by themselves. */
#include <stddef.h>
#include <stdint.h>

#include "app/output.h"
#include "store/ask.h"

struct iol_db;
struct iol_error;

#define IOL_GROUPS_OPTION_DOC "Sum up by process, exe, user, container or directory, those with the most bytes first"

/* Takes the option's argument. 0 or -EINVAL with *err. */
int iol_groups_option(const char *text, enum iol_ask_by *ret_by, struct iol_error *err);

/* What the option's argument may be, one by one; NULL: there are no more. */
const char *iol_groups_word(unsigned int index);

/*
 * Prints the groups. *ret_rows: how many were printed, *ret_all: how many there are without the limit. 0, or -errno; *err stays
 * empty when it is the output that failed.
 */
int iol_groups_print(struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by, enum iol_format format,
                     size_t *ret_rows, size_t *ret_all, struct iol_error *err);
