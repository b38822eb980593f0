// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/screen.h"

#include <curses.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/live/page.h"
#include "base/cleanup.h"
#include "base/error.h"

#define ESCAPE 27
#define ESCAPE_MS 25 /* how long the rest of a key's sequence may take to come, over ssh too */

static bool is_open;
static attr_t styles[IOL_STYLE_COUNT];

/* The eight colours that every terminal with colours has; on its own background. */
static void choose_styles(void)
{
    static const struct {
        attr_t attributes; /* with colours and without */
        short colour;      /* COLOR_...; -1: the terminal's own */
    } wanted[] = {
        [IOL_STYLE_PLAIN] = {A_NORMAL, -1},
        [IOL_STYLE_TITLE] = {A_BOLD, -1},
        [IOL_STYLE_HEADING] = {A_REVERSE, -1},
        [IOL_STYLE_SORTED] = {A_REVERSE | A_BOLD, -1},
        [IOL_STYLE_DIM] = {A_DIM, -1},
        [IOL_STYLE_READ] = {A_NORMAL, COLOR_GREEN},
        [IOL_STYLE_WRITTEN] = {A_NORMAL, COLOR_YELLOW},
        [IOL_STYLE_CHART] = {A_NORMAL, COLOR_CYAN},
        [IOL_STYLE_ALARM] = {A_BOLD, COLOR_RED},
    };
    const char *no_colour = getenv("NO_COLOR");
    bool colours = !(no_colour && *no_colour) && has_colors() && start_color() == OK && use_default_colors() == OK;

    _Static_assert(IOL_ARRAY_SIZE(wanted) == IOL_STYLE_COUNT, "every style");
    for (int i = 0; i < IOL_STYLE_COUNT; i++) {
        styles[i] = wanted[i].attributes;
        if (colours && wanted[i].colour >= 0 && init_pair((short)(i + 1), wanted[i].colour, -1) == OK)
            styles[i] |= COLOR_PAIR(i + 1);
    }
}

int iol_screen_possible(struct iol_error *err)
{
    if (isatty(STDOUT_FILENO) && isatty(STDIN_FILENO))
        return 0;
    iol_error_set(err, -ENOTTY, "this is no terminal");
    iol_error_hint(err, "'ioledger top --batch' prints plain frames");
    return -ENOTTY;
}

int iol_screen_open(struct iol_error *err)
{
    SCREEN *screen;
    int r = iol_screen_possible(err);

    if (r < 0)
        return r;
    screen = newterm(NULL, stdout, stdin);
    if (!screen) {
        const char *term = getenv("TERM");

        iol_error_set(err, -ENOTTY, "the terminal type '%s' is not known here", term ? term : "");
        iol_error_hint(err, "set TERM to one that is, for instance TERM=xterm, or use 'ioledger top --batch'");
        return -ENOTTY;
    }
    set_term(screen);
    is_open = true;
    choose_styles();
    set_escdelay(ESCAPE_MS);
    cbreak();
    noecho();
    nonl();
    intrflush(stdscr, FALSE);
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    curs_set(0);
    return 0;
}

void iol_screen_close(void)
{
    if (!is_open)
        return;
    is_open = false;
    /* where a terminal has no second screen to come back from, the prompt gets a line of its own */
    move(LINES - 1, 0);
    clrtoeol();
    refresh();
    endwin();
}

void iol_screen_size(size_t *ret_width, size_t *ret_height)
{
    *ret_width = COLS > 0 ? (size_t)COLS : 80;
    *ret_height = LINES > 0 ? (size_t)LINES : 24;
}

void iol_screen_redraw(void)
{
    clearok(stdscr, TRUE);
}

void iol_screen_show(const struct iol_page *page)
{
    erase();
    for (size_t i = 0; i < page->n_pieces; i++) {
        const struct iol_page_piece *piece = &page->pieces[i];
        attr_t marked = piece->line == page->marked ? A_REVERSE : A_NORMAL;

        if (i == 0 || page->pieces[i - 1].line != piece->line)
            move((int)piece->line, 0);
        attrset(marked ? marked : styles[piece->style]);
        addnstr(page->text + piece->start, (int)piece->length);
    }
    attrset(A_NORMAL);
    refresh();
}

int iol_screen_key(void)
{
    static const struct {
        int curses, key;
    } keys[] = {
        {KEY_UP, IOL_KEY_UP},          {KEY_DOWN, IOL_KEY_DOWN},     {KEY_LEFT, IOL_KEY_LEFT},
        {KEY_RIGHT, IOL_KEY_RIGHT},    {KEY_PPAGE, IOL_KEY_PAGE_UP}, {KEY_NPAGE, IOL_KEY_PAGE_DOWN},
        {KEY_HOME, IOL_KEY_HOME},      {KEY_END, IOL_KEY_END},       {KEY_ENTER, IOL_KEY_ENTER},
        {'\r', IOL_KEY_ENTER},         {'\n', IOL_KEY_ENTER},        {KEY_BACKSPACE, IOL_KEY_BACKSPACE},
        {'\b', IOL_KEY_BACKSPACE},     {0x7f, IOL_KEY_BACKSPACE},    {ESCAPE, IOL_KEY_ESCAPE},
        {KEY_RESIZE, IOL_KEY_RESIZED},
    };
    int typed = getch();

    if (typed == ERR)
        return IOL_KEY_NONE;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(keys); i++)
        if (keys[i].curses == typed)
            return keys[i].key;
    return typed > 0 && typed < 0x100 ? typed : IOL_KEY_OTHER;
}
