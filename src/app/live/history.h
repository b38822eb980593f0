// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The last minute of something that is counted, a byte for each second and measure: rates on a scale of four steps to the
 * power of two, so within 10 %. Small, as there is one for each account.
 */
#include <stdbool.h>
#include <stdint.h>

#define IOL_HISTORY_SECONDS 60

enum iol_measure {
    IOL_MEASURE_READ,    /* bytes */
    IOL_MEASURE_WRITTEN, /* bytes */
    IOL_MEASURE_OPS,
    IOL_MEASURE_ERRORS,
    IOL_MEASURE_COUNT,
};

struct iol_history {
    uint32_t last; /* the second of the newest entry; 0: there is none */
    uint8_t code[IOL_HISTORY_SECONDS][IOL_MEASURE_COUNT];
};

/*
 * Puts down the rates of an interval that ended in second `now` (of any clock; never less than before) and lasted
 * so many seconds. Of several intervals in one second the highest rate stays.
 */
void iol_history_add(struct iol_history *history, uint32_t now, uint32_t seconds,
                     const uint64_t rates[static IOL_MEASURE_COUNT]);

/* Adds the rates of the seconds up to `now`, the oldest first, to the sums. */
void iol_history_sum(const struct iol_history *history, enum iol_measure measure, uint32_t now,
                     uint64_t sums[static IOL_HISTORY_SECONDS]);

/* The scale: what a rate is put down as, and what is read from it. 0 is 0. */
uint8_t iol_history_encode(uint64_t rate);
uint64_t iol_history_decode(uint8_t code);
