// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/page.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

void iol_page_clear(struct iol_page *page, size_t width, size_t height, bool utf8)
{
    page->width = width;
    page->height = height;
    page->utf8 = utf8;
    page->marked = SIZE_MAX;
    page->line = page->column = 0;
    page->n_pieces = page->text_size = 0;
    page->failed = false;
}

void iol_page_done(struct iol_page *page)
{
    free(page->pieces);
    free(page->text);
    *page = (struct iol_page){0};
}

static bool make_room(struct iol_page *page, size_t size)
{
    return iol_array_reserve(&page->pieces, &page->pieces_room, page->n_pieces + 1, sizeof(*page->pieces)) == 0 &&
           iol_array_reserve(&page->text, &page->text_room, page->text_size + size, 1) == 0;
}

/* Safe text of a known width, on the line that is being written; lines below the last one are left out. */
static void add(struct iol_page *page, enum iol_style style, const char *text, size_t length, size_t width)
{
    if (page->line >= page->height || length == 0)
        return;
    if (!make_room(page, length)) {
        page->failed = true;
        return;
    }
    page->pieces[page->n_pieces++] =
        (struct iol_page_piece){.line = page->line, .style = style, .start = page->text_size, .length = length};
    memcpy(page->text + page->text_size, text, length);
    page->text_size += length;
    page->column += width;
}

size_t iol_page_left(const struct iol_page *page)
{
    return page->column < page->width ? page->width - page->column : 0;
}

static void put_blanks(struct iol_page *page, enum iol_style style, size_t columns)
{
    static const char blanks[] = "                                ";

    if (columns > iol_page_left(page))
        columns = iol_page_left(page);
    for (size_t n; columns > 0; columns -= n) {
        n = columns < sizeof(blanks) - 1 ? columns : sizeof(blanks) - 1;
        add(page, style, blanks, n, n);
    }
}

void iol_page_blanks(struct iol_page *page, size_t columns)
{
    put_blanks(page, IOL_STYLE_PLAIN, columns);
}

void iol_page_end_line(struct iol_page *page)
{
    page->line++;
    page->column = 0;
}

/* Other characters than ASCII, each with all its bytes, become question marks. */
static void make_ascii(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        unsigned char byte = (unsigned char)*from;

        if (byte < 0x80)
            *to++ = *from;
        else if (byte >= 0xc0)
            *to++ = '?';
    }
    *to = '\0';
}

/* In memory of its own, or NULL. */
static char *safe_copy(struct iol_page *page, const char *text)
{
    size_t size = iol_text_visible(NULL, 0, text) + 1;
    char *copy = malloc(size);

    if (!copy) {
        page->failed = true;
        return NULL;
    }
    iol_text_visible(copy, size, text);
    if (!page->utf8)
        make_ascii(copy);
    return copy;
}

static void put_cut(struct iol_page *page, enum iol_style style, const char *text, size_t columns, bool at_start)
{
    const char *dots = page->utf8 ? "\u2026" : "~";

    if (columns == 0)
        return;
    if (at_start) {
        const char *tail = iol_text_tail(text, columns - 1);

        add(page, style, dots, strlen(dots), 1);
        add(page, style, tail, strlen(tail), iol_text_width(tail));
    } else {
        size_t head = iol_text_head(text, columns - 1);
        _cleanup_free_ char *copy = strndup(text, head);
        size_t width = copy ? iol_text_width(copy) : 0;

        add(page, style, text, head, width);
        add(page, style, dots, strlen(dots), 1);
    }
}

static void put(struct iol_page *page, enum iol_style style, enum iol_align align, size_t columns, const char *text,
                bool at_start)
{
    _cleanup_free_ char *safe = safe_copy(page, text);
    size_t width = safe ? iol_text_width(safe) : 0, before = page->column;

    if (columns > iol_page_left(page))
        columns = iol_page_left(page);
    if (!safe || columns == 0)
        return;
    if (align == IOL_ALIGN_RIGHT && width < columns)
        put_blanks(page, style, columns - width);
    if (width > columns)
        put_cut(page, style, safe, columns, at_start);
    else
        add(page, style, safe, strlen(safe), width);
    /* a character of two columns may leave one over */
    if (page->column < before + columns)
        put_blanks(page, style, before + columns - page->column);
}

void iol_page_put(struct iol_page *page, enum iol_style style, enum iol_align align, size_t columns, const char *text)
{
    put(page, style, align, columns, text, false);
}

void iol_page_put_path(struct iol_page *page, enum iol_style style, size_t columns, const char *text)
{
    put(page, style, IOL_ALIGN_LEFT, columns, text, true);
}

void iol_page_say(struct iol_page *page, enum iol_style style, const char *format, ...)
{
    _cleanup_free_ char *text = NULL, *safe = NULL;
    va_list args;
    int r;

    va_start(args, format);
    r = vasprintf(&text, format, args);
    va_end(args);
    if (r < 0) {
        text = NULL;
        page->failed = true;
        return;
    }
    safe = safe_copy(page, text);
    if (safe)
        iol_page_put(page, style, IOL_ALIGN_LEFT, iol_text_width(safe), text);
}

void iol_page_wrap(struct iol_page *page, enum iol_style style, size_t indent, size_t most, const char *text)
{
    _cleanup_free_ char *safe = safe_copy(page, text);
    size_t room = page->width > indent ? page->width - indent : 0;
    const char *at = safe;

    if (page->column > 0 && page->column < page->width)
        room = page->width - page->column;
    for (size_t i = 0; at && *at && room > 0 && i < most; i++) {
        size_t length = iol_text_head(at, room);

        if (page->column == 0)
            iol_page_blanks(page, indent);
        if (i + 1 == most && at[length])
            put_cut(page, style, at, room, false);
        else
            add(page, style, at, length, room);
        iol_page_end_line(page);
        if (length == 0)
            break;
        at += length;
        room = page->width - indent;
    }
    if (page->column > 0)
        iol_page_end_line(page);
}

/* The mean of the i-th of so many shares. */
static double mean_of_share(const uint64_t *numbers, size_t n, size_t i, size_t shares)
{
    size_t from = i * n / shares, to = (i + 1) * n / shares;
    double sum = 0;

    for (size_t j = from; j < to; j++)
        sum += (double)numbers[j];
    return sum / (double)(to - from);
}

void iol_page_chart(struct iol_page *page, enum iol_style style, size_t columns, const uint64_t *numbers, size_t n)
{
    static const char *const fine[] = {" ",      "\u2581", "\u2582", "\u2583", "\u2584",
                                       "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char *const coarse[] = {" ", ".", ".", ":", ":", "-", "=", "+", "#"};
    const size_t steps = IOL_ARRAY_SIZE(fine) - 1;
    size_t wanted = columns < iol_page_left(page) ? columns : iol_page_left(page);
    size_t shares = wanted < n ? wanted : n;
    double highest = 0;

    for (size_t i = 0; i < shares; i++) {
        double mean = mean_of_share(numbers, n, i, shares);

        highest = mean > highest ? mean : highest;
    }
    for (size_t i = 0; i < shares; i++) {
        double mean = mean_of_share(numbers, n, i, shares);
        size_t step = highest > 0 ? (size_t)(mean * (double)steps / highest + 0.5) : 0;
        const char *bar;

        if (step == 0 && mean > 0)
            step = 1; /* little is not nothing */
        bar = (page->utf8 ? fine : coarse)[step];
        add(page, style, bar, strlen(bar), 1);
    }
    iol_page_blanks(page, wanted - shares);
}
