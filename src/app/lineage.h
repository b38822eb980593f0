// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Who started whom: the ancestors of a set of process images, in memory, one small node for each. */
#include <stddef.h>
#include <stdint.h>

struct iol_db;
struct iol_error;
struct iol_lineage;

/*
 * Loads the images that the query `seeds` yields (one column: ids) and all their ancestors. `seeds` and its
 * parameters are as for iol_query_new(). 0 or -errno with *err.
 */
int iol_lineage_load(struct iol_db *db, const char *seeds, size_t n_params, const char *const *params,
                     struct iol_lineage **ret_lineage, struct iol_error *err);

enum iol_lineage_form {
    IOL_LINEAGE_NAMES,          /* "bash(812) → make(900) → cc1(911)" */
    IOL_LINEAGE_LAST_ARGUMENTS, /* "bash(812) → make(900) → cc1(911) -quiet a.c" */
    IOL_LINEAGE_ARGUMENTS,      /* "bash(812) → make(900) -j2 → cc1(911) -quiet a.c" */
    IOL_LINEAGE_FORMS
};

/*
 * The line that ends in the image itself; each pid once, with the comm that it had when it went on to the next one.
 * Valid until the next call with the same form; NULL when the image is unknown or there is no memory.
 */
const char *iol_lineage_text(struct iol_lineage *lineage, int64_t process_id, const char *arrow,
                             enum iol_lineage_form form);

void iol_lineage_free(struct iol_lineage *lineage); /* accepts NULL */
