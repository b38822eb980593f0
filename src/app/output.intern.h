// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* For output.c and the formats (output_*.c) only. */
#include "app/output.h"

struct iol_output_value {
    enum { IOL_VALUE_NULL, IOL_VALUE_TEXT, IOL_VALUE_INT } is;
    const char *text;
    int64_t number;
    const char *forms[IOL_OUTPUT_FORMS]; /* longer ones; NULL: none */
    bool alarm;
};

struct iol_output_table; /* what the table format keeps between rows */

struct iol_output {
    FILE *to;
    const struct iol_output_ops *ops;
    const struct iol_output_column *columns;
    size_t n_columns;
    struct iol_output_value *values; /* of the row being filled, one for each column */
    size_t rows;                     /* ended so far */
    bool terminal;                   /* `to` is one */
    struct iol_output_table *table;
};

struct iol_output_ops {
    /* Once, before all else; may be NULL. 0 or -ENOMEM. */
    int (*begin)(struct iol_output *output);

    /* Takes the row in output->values; output->rows is its number, from 0. Write errors show in ferror(). 0 or -ENOMEM. */
    int (*row)(struct iol_output *output);

    /* Once, after the last row. */
    int (*finish)(struct iol_output *output);

    /* May be NULL; also after a failed begin. */
    void (*free)(struct iol_output *output);
};

extern const struct iol_output_ops iol_output_json, iol_output_csv, iol_output_table;
