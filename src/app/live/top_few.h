// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The first few of many in their order, without sorting the others. */
#include <stddef.h>
#include <stdint.h>

struct iol_ranked {
    uint64_t key;   /* the highest first, */
    uint32_t last;  /* then the highest of these, */
    uint32_t index; /* then the lowest of these */
};

/* Brings the first `few` into their places; the others lie behind them in any order. Time: n * log(few) at most. */
void iol_top_few(struct iol_ranked *ranked, size_t n, size_t few);
