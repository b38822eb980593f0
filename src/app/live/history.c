// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/history.h"

#include <string.h>

#include "base/cleanup.h"

uint8_t iol_history_encode(uint64_t rate)
{
    /* 2^(1/8), 2^(3/8), ... in units of 2^-15: halfway, on a logarithmic scale, between two steps */
    static const uint32_t halfway[] = {35734, 42494, 50535, 60097};
    unsigned int power, code;
    uint32_t mantissa;

    if (rate == 0)
        return 0;
    power = 63 - (unsigned int)__builtin_clzll(rate);
    mantissa = (uint32_t)(rate << (63 - power) >> 48);
    code = 1 + 4 * power;
    for (size_t i = 0; i < IOL_ARRAY_SIZE(halfway); i++)
        code += mantissa >= halfway[i];
    return code < UINT8_MAX ? (uint8_t)code : UINT8_MAX;
}

uint64_t iol_history_decode(uint8_t code)
{
    static const uint64_t quarter[] = {256, 304, 362, 431}; /* 2^(0/4) ... 2^(3/4), of 256 */
    unsigned int power = (code - 1U) / 4;
    uint64_t factor = quarter[(code - 1U) % 4];

    if (code == 0)
        return 0;
    return power < 8 ? ((factor << power) + 128) >> 8 : factor << (power - 8);
}

void iol_history_add(struct iol_history *history, uint32_t now, uint32_t seconds,
                     const uint64_t rates[static IOL_MEASURE_COUNT])
{
    uint32_t stale = now - history->last;
    bool fresh;

    if (history->last == 0 || stale > IOL_HISTORY_SECONDS)
        stale = IOL_HISTORY_SECONDS;
    for (uint32_t i = 0; i < stale; i++)
        memset(history->code[(now - i) % IOL_HISTORY_SECONDS], 0, IOL_MEASURE_COUNT);
    fresh = stale > 0;
    history->last = now;
    if (seconds < 1)
        seconds = 1;
    if (seconds > IOL_HISTORY_SECONDS)
        seconds = IOL_HISTORY_SECONDS;
    for (size_t measure = 0; measure < IOL_MEASURE_COUNT; measure++) {
        uint8_t code = iol_history_encode(rates[measure]);
        uint8_t *newest = &history->code[now % IOL_HISTORY_SECONDS][measure];

        if (*newest < code)
            *newest = code;
        for (uint32_t i = 1; fresh && i < seconds; i++)
            history->code[(now - i) % IOL_HISTORY_SECONDS][measure] = code;
    }
}

void iol_history_sum(const struct iol_history *history, enum iol_measure measure, uint32_t now,
                     uint64_t sums[static IOL_HISTORY_SECONDS])
{
    uint32_t age = now - history->last;

    if (history->last == 0)
        return;
    for (uint32_t back = age; back < IOL_HISTORY_SECONDS; back++) {
        uint8_t code = history->code[(now - back) % IOL_HISTORY_SECONDS][measure];

        if (code)
            sums[IOL_HISTORY_SECONDS - 1 - back] += iol_history_decode(code);
    }
}
