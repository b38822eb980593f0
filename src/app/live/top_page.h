// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The pages of `top`, put together for any size of terminal. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/live/view.h"

struct iol_page;

enum iol_top_mode { IOL_TOP_LIST, IOL_TOP_DETAILS, IOL_TOP_HELP };

struct iol_top {
    struct iol_live_names *names;
    struct iol_view *view;
    const struct iol_live_interval *interval;
    int64_t running_ns; /* since it was started */
    size_t accounts;    /* open */
    uint64_t lost;      /* rows of detail, since the start */
    char lost_reason[128];
    const char *uncovered; /* a route; NULL: none */
    const char *command;   /* how CMD is; NULL: there is none */
    bool command_failed;
    enum iol_top_mode mode;
    bool paused;
    bool typing;       /* the filter */
    uint64_t selected; /* iol_view_key() of a row; 0: the first one, whatever it is */
    size_t first;      /* row of the view at the top of the list */
    size_t at;         /* the selected row, from the view's first one; worked out by iol_top_page() */
};

/* Lines that the list of rows has on a page of this height in this mode. */
size_t iol_top_lines(const struct iol_top *top, size_t height);

/* Makes the view and puts it on the page: 0 or -ENOMEM. Moves `first` so that the selected row is in sight. */
int iol_top_page(struct iol_top *top, struct iol_page *page);

/* The selected row, as of the last page; NULL: there are no rows. */
const struct iol_view_row *iol_top_row(const struct iol_top *top);

/* What is shown of a count: so many a second, or all when the view has totals. */
uint64_t iol_top_figure(const struct iol_top *top, uint64_t n);

const char *iol_top_group_name(enum iol_group group);
const char *iol_top_sort_name(enum iol_sort sort);

/* top_details.c: who and what the row is, in what is left of the page. */
void iol_top_details(const struct iol_top *top, const struct iol_view_row *row, struct iol_page *page);

void iol_top_help(struct iol_page *page);
