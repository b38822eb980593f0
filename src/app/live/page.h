// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A screenful of text: lines of pieces, each in a style. Whatever is put is made safe for a terminal here, and never takes
 * more columns than the page has. Knows no terminal.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum iol_style {
    IOL_STYLE_PLAIN,
    IOL_STYLE_TITLE,
    IOL_STYLE_HEADING, /* of columns */
    IOL_STYLE_SORTED,  /* of the column that is sorted by */
    IOL_STYLE_DIM,
    IOL_STYLE_READ,
    IOL_STYLE_WRITTEN,
    IOL_STYLE_CHART,
    IOL_STYLE_ALARM,
    IOL_STYLE_COUNT,
};

enum iol_align { IOL_ALIGN_LEFT, IOL_ALIGN_RIGHT };

struct iol_page_piece {
    size_t line;
    enum iol_style style;
    size_t start, length; /* in the page's text */
};

struct iol_page {
    size_t width, height; /* columns and lines; set by the caller */
    bool utf8;            /* else all characters but ASCII are shown as '?' */
    size_t marked;        /* the line that is selected; SIZE_MAX: none */
    size_t line, column;  /* where the next piece goes */
    struct iol_page_piece *pieces;
    size_t n_pieces, pieces_room;
    char *text;
    size_t text_size, text_room;
    bool failed; /* memory ran out: not everything is there */
};

/* Empties it, for this size of terminal. */
void iol_page_clear(struct iol_page *page, size_t width, size_t height, bool utf8);
void iol_page_done(struct iol_page *page);

/* Exactly so many columns, or as far as the page goes: the text, cut at its end if it has to be, and blanks. */
void iol_page_put(struct iol_page *page, enum iol_style style, enum iol_align align, size_t columns, const char *text);

/* The same; a text that is too long gives way at its start, as of a path the end says most. */
void iol_page_put_path(struct iol_page *page, enum iol_style style, size_t columns, const char *text);

/* As many columns as the text takes. */
void iol_page_say(struct iol_page *page, enum iol_style style, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The text over as many lines as it takes, `most` at most, each behind `indent` blanks. Ends the line. */
void iol_page_wrap(struct iol_page *page, enum iol_style style, size_t indent, size_t most, const char *text);

void iol_page_blanks(struct iol_page *page, size_t columns);
void iol_page_end_line(struct iol_page *page);
size_t iol_page_left(const struct iol_page *page); /* columns left on the line */

/* Numbers as so many bars, the oldest first, each the mean of its share of the numbers; the highest mean is a full one. */
void iol_page_chart(struct iol_page *page, enum iol_style style, size_t columns, const uint64_t *numbers, size_t n);
