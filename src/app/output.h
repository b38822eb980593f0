// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Prints rows as they come, as a table for people, as JSON or as CSV.
 *
 * json: one array of objects, one object a line; integers exact, texts intact. csv: RFC 4180 with a
 * header line. table: numbers in human units, times in seconds, nothing raw to the terminal; on a terminal as wide
 * as the terminal. Nothing at all is printed for a table without rows.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum iol_format { IOL_FORMAT_TABLE, IOL_FORMAT_JSON, IOL_FORMAT_CSV };

enum iol_cell {
    IOL_CELL_TEXT,
    IOL_CELL_TIME,   /* text 'YYYY-MM-DD HH:MM:SS.ffffff' */
    IOL_CELL_COUNT,  /* integer; "12.3K" in a table */
    IOL_CELL_BYTES,  /* integer; "12.3M" in a table */
    IOL_CELL_NUMBER, /* integer, exact in a table too */
    IOL_CELL_FLAG,   /* integer; true or false in JSON, yes or no in a table */
};

/* Where a text gives way when the terminal is too narrow for it. */
enum iol_shorten { IOL_SHORTEN_NOT, IOL_SHORTEN_START, IOL_SHORTEN_MIDDLE, IOL_SHORTEN_END };

/* When a table leaves a column out, whatever the width. */
enum iol_hide { IOL_HIDE_NEVER, IOL_HIDE_EMPTY /* all 0 or NULL */, IOL_HIDE_SAME /* all the same */ };

struct iol_output_column {
    const char *key;     /* JSON key and CSV header */
    const char *heading; /* in a table; NULL: not in tables */
    enum iol_cell cell;
    enum iol_shorten shorten;
    enum iol_hide hide;
    int drop;     /* on a terminal that is too narrow the columns with the highest go first, together; 0: never */
    size_t least; /* a text is not shortened below this; 0: a default */
};

struct iol_output;

/* The columns stay the caller's. Fails only for want of memory. */
int iol_output_new(FILE *to, enum iol_format format, const struct iol_output_column *columns, size_t n_columns,
                   struct iol_output **ret_output);

/* Cells of the next row; those not set are NULL. A text must stay until iol_output_row(). */
void iol_output_set_text(struct iol_output *output, size_t column, const char *text);
void iol_output_set_int(struct iol_output *output, size_t column, int64_t number);

/*
 * Longer forms of a text that is set, the longest last: in a table on a terminal the longest stands that there is room for when all
 * else has its room. At most IOL_OUTPUT_FORMS; those that are NULL are left out.
 */
#define IOL_OUTPUT_FORMS 2
void iol_output_set_forms(struct iol_output *output, size_t column, const char *const *texts, size_t n);

/* Red, in a table on a terminal. */
void iol_output_set_alarm(struct iol_output *output, size_t column);

/* Ends the row: 0, or -errno when it could not be written (iol_output_close() will tell why). */
int iol_output_row(struct iol_output *output);

/* Ends the output: 0 or -errno. Must be called once after the last row. */
int iol_output_finish(struct iol_output *output);

size_t iol_output_rows(const struct iol_output *output);
void iol_output_free(struct iol_output *output); /* accepts NULL */

/* Right after writing, while errno is still that of the write: 0, or the -errno of the first write that failed. */
int iol_output_check(FILE *to);

/* A text as JSON has it, in quotes, and what a terminal would obey escaped; so are the ASCII characters in `also`. */
void iol_output_put_json(FILE *to, const char *text, const char *also);

/* Arrows and lines outside ASCII may be used. */
bool iol_output_is_utf8(void);

/* By NO_COLOR and TERM: colours may be used, where there is a terminal. */
bool iol_output_want_colours(void);

/* Flushes and closes: 0, or the -errno of the first write that failed. */
int iol_output_close(FILE *to);
