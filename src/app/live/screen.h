// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The terminal. The only user of ncurses. */
#include <stddef.h>

struct iol_error;
struct iol_page;

/* Keys that are no bytes of text. */
enum iol_key {
    IOL_KEY_NONE = 0, /* nothing was typed */
    IOL_KEY_UP = 0x100,
    IOL_KEY_DOWN,
    IOL_KEY_LEFT,
    IOL_KEY_RIGHT,
    IOL_KEY_PAGE_UP,
    IOL_KEY_PAGE_DOWN,
    IOL_KEY_HOME,
    IOL_KEY_END,
    IOL_KEY_ENTER,
    IOL_KEY_BACKSPACE,
    IOL_KEY_ESCAPE,
    IOL_KEY_RESIZED,
    IOL_KEY_OTHER,
};

/* Whether there is a terminal to take over: 0, or -ENOTTY with *err. */
int iol_screen_possible(struct iol_error *err);

/* Takes the terminal over; call iol_screen_close() before anything else is printed. -ENOTTY with *err: there is none. */
int iol_screen_open(struct iol_error *err);
void iol_screen_close(void); /* may be called at any time */

void iol_screen_size(size_t *ret_width, size_t *ret_height);
void iol_screen_show(const struct iol_page *page);
void iol_screen_redraw(void); /* all of it, at the next show */

/* A byte of text, or an enum iol_key; does not wait. */
int iol_screen_key(void);
