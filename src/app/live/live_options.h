// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The command line of `top` and `tail`: filters, rules and some more of `record`, and their own options before them. */
#include "app/record_options.h"

#define IOL_LIVE_OWN_KEYS 0x400 /* keys of their own options that have no letter start here */

struct iol_live_more {
    const char *name; /* of an option; NULL: `doc` is a heading */
    const char *doc;
};

struct iol_live_usage {
    const struct iol_usage *own;      /* its options are shown first, in group 0; `option` takes them */
    void *input;                      /* of own->option */
    uint32_t events;                  /* by default */
    const struct iol_live_more *more; /* of `record`, for this command; ends with zeros; or NULL */
};

/*
 * True: go on with *ret_options, whose `command` is CMD of a usage that takes one. False: the command ends with *ret_status; bad usage has been told. The
 * options are for iol_record_options_done().
 */
bool iol_live_options_parse(const struct iol_live_usage *usage, int argc, char **argv,
                            struct iol_record_options *ret_options, int *ret_status);
