// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What this kernel and this user offer, asked of the kernel itself and not guessed from its version. */
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum iol_feature_state {
    IOL_FEATURE_OK,
    IOL_FEATURE_DEGRADED, /* recording works without it; consequence says what it costs */
    IOL_FEATURE_MISSING,  /* recording does not work without it */
};

struct iol_feature {
    const char *name;
    enum iol_feature_state state;
    char detail[IOL_ERROR_TEXT_MAX]; /* what was found */
    const char *consequence;         /* what follows when it is not there, and what to do; NULL: that is not known */
};

#define IOL_FEATURES_MAX 24

/* Whether the kernel's version is that or a newer one, where nothing can be asked. */
bool iol_kernel_is_at_least(int major, int minor);

/* Fills at most IOL_FEATURES_MAX entries and returns their number. Needs no privileges, and finds less without them. */
size_t iol_features_probe(struct iol_feature features[IOL_FEATURES_MAX]);
