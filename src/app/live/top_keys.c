// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/top_keys.h"

#include <stdio.h>
#include <string.h>

#include "app/live/screen.h"
#include "app/live/top_page.h"

#define CONTROL(letter) ((letter)&0x1f)

static void go_home(struct iol_top *top)
{
    top->first = top->at = 0;
    top->selected = 0;
}

/* Selects the row that is so many away, and scrolls as far as that takes. */
static void move(struct iol_top *top, long by, size_t lines)
{
    size_t count = iol_view_count(top->view), n;
    const struct iol_view_row *rows;
    long to = (long)(top->first + top->at) + by;

    if (count == 0)
        return;
    if (to < 0)
        to = 0;
    if (to >= (long)count)
        to = (long)count - 1;
    if ((size_t)to < top->first)
        top->first = (size_t)to;
    if ((size_t)to >= top->first + lines)
        top->first = (size_t)to + 1 - lines;
    top->at = (size_t)to - top->first;
    /* of what was out of sight the rows have to be worked out first */
    if (iol_view_make(top->view, top->first, lines) < 0)
        return;
    rows = iol_view_rows(top->view, &n);
    if (top->at < n)
        top->selected = iol_view_key(&rows[top->at]);
}

static void remove_character(char *text)
{
    size_t length = strlen(text);

    while (length > 0 && ((unsigned char)text[--length] & 0xc0) == 0x80)
        ;
    text[length] = '\0';
}

static void set_filter(struct iol_top *top, const char *text)
{
    iol_view_set_filter(top->view, text);
    go_home(top);
}

static void type(struct iol_top *top, int key)
{
    char text[IOL_VIEW_FILTER_MAX];
    size_t length;

    snprintf(text, sizeof(text), "%s", iol_view_filter(top->view));
    length = strlen(text);
    if (key == IOL_KEY_ENTER) {
        top->typing = false;
        return;
    }
    if (key == IOL_KEY_ESCAPE) {
        top->typing = false;
        set_filter(top, "");
    } else if (key == IOL_KEY_BACKSPACE) {
        remove_character(text);
        set_filter(top, text);
    } else if (key == CONTROL('u')) {
        set_filter(top, "");
    } else if (key >= ' ' && key < 0x100 && length + 1 < sizeof(text)) {
        text[length] = (char)key;
        text[length + 1] = '\0';
        set_filter(top, text);
    }
}

/* Keys may come faster than pages: the rows of what was opened last are worked out first. */
static void open_row(struct iol_top *top, size_t lines)
{
    const struct iol_view_row *row = iol_top_row(top);

    if (!row && iol_view_make(top->view, top->first, lines) == 0)
        row = iol_top_row(top);
    if (!row)
        return;
    if (iol_view_open(top->view, row))
        go_home(top);
    else if (iol_view_group(top->view) == IOL_GROUP_PAIR)
        top->mode = IOL_TOP_DETAILS;
}

/* One step out: of the details, of what was opened, of the filter. */
static void go_back(struct iol_top *top)
{
    if (top->mode != IOL_TOP_LIST) {
        top->mode = IOL_TOP_LIST;
        return;
    }
    if (!iol_view_back(top->view))
        iol_view_set_filter(top->view, "");
    go_home(top);
}

static void group_by(struct iol_top *top, enum iol_group group)
{
    iol_view_set_group(top->view, group);
    go_home(top);
}

static bool choose(struct iol_top *top, int key)
{
    static const struct {
        char key;
        enum iol_group group;
    } groups[] = {{'a', IOL_GROUP_PAIR},
                  {'p', IOL_GROUP_PROCESS},
                  {'f', IOL_GROUP_FILE},
                  {'d', IOL_GROUP_DIRECTORY},
                  {'c', IOL_GROUP_CONTAINER}};
    static const struct {
        char key;
        enum iol_sort sort;
    } sorts[] = {{'b', IOL_SORT_BYTES},
                 {'r', IOL_SORT_READ},
                 {'w', IOL_SORT_WRITTEN},
                 {'o', IOL_SORT_OPS},
                 {'e', IOL_SORT_ERRORS}};

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (groups[i].key == key) {
            group_by(top, groups[i].group);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(sorts) / sizeof(sorts[0]); i++) {
        if (sorts[i].key == key) {
            iol_view_set_sort(top->view, sorts[i].sort);
            return true;
        }
    }
    return false;
}

static bool command(struct iol_top *top, int key)
{
    switch (key) {
    case 'q':
        return false;
    case '/':
        top->typing = true;
        break;
    case '?':
    case 'h':
        top->mode = IOL_TOP_HELP;
        break;
    case 'i':
        top->mode = top->mode == IOL_TOP_DETAILS ? IOL_TOP_LIST : IOL_TOP_DETAILS;
        break;
    case 'g':
        group_by(top, (iol_view_group(top->view) + 1) % IOL_GROUP_COUNT);
        break;
    case 's':
        iol_view_set_sort(top->view, (iol_view_sort(top->view) + 1) % IOL_SORT_COUNT);
        break;
    case ' ':
        top->paused = !top->paused;
        break;
    case 't':
        if (top->command)
            iol_view_set_totals(top->view, !iol_view_totals(top->view));
        break;
    case CONTROL('l'):
        iol_screen_redraw();
        break;
    default:
        choose(top, key);
        break;
    }
    return true;
}

bool iol_top_key(struct iol_top *top, int key, size_t lines)
{
    long page = (long)lines - 1;

    if (key == IOL_KEY_RESIZED)
        return true;
    if (top->typing) {
        type(top, key);
        return true;
    }
    if (top->mode == IOL_TOP_HELP) {
        top->mode = IOL_TOP_LIST;
        return key != 'q';
    }
    switch (key) {
    case IOL_KEY_UP:
    case 'k':
        move(top, -1, lines);
        return true;
    case IOL_KEY_DOWN:
    case 'j':
        move(top, 1, lines);
        return true;
    case IOL_KEY_PAGE_UP:
        move(top, -page, lines);
        return true;
    case IOL_KEY_PAGE_DOWN:
        move(top, page, lines);
        return true;
    case IOL_KEY_HOME:
        go_home(top);
        return true;
    case IOL_KEY_END:
        move(top, (long)iol_view_count(top->view), lines);
        return true;
    case IOL_KEY_ENTER:
    case IOL_KEY_RIGHT:
        open_row(top, lines);
        return true;
    case IOL_KEY_BACKSPACE:
    case IOL_KEY_LEFT:
    case IOL_KEY_ESCAPE:
        go_back(top);
        return true;
    default:
        return command(top, key);
    }
}
