// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/time_text.h"

#include <string.h>

#include "base/text.h"

#define NS_PER_SECOND INT64_C(1000000000)

/* An int64_t of nanoseconds stays within the years 1677 to 2262, so these places never move. */
#define SEPARATOR_AT 10
#define FRACTION_AT 20

char *iol_time_text(struct iol_time_text *cache, char buf[static 32], int64_t ns, char separator)
{
    int64_t rest = ns % NS_PER_SECOND;
    int64_t second = ns / NS_PER_SECOND;

    if (rest < 0) {
        rest += NS_PER_SECOND;
        second--;
    }
    if (cache->text[0] == '\0' || cache->second != second) {
        iol_text_time(cache->text, sizeof(cache->text), ns);
        cache->second = second;
    }
    memcpy(buf, cache->text, FRACTION_AT);
    buf[SEPARATOR_AT] = separator;
    int64_t micros = rest / 1000;
    for (int at = IOL_TIME_TEXT_LENGTH - 1; at >= FRACTION_AT; at--, micros /= 10)
        buf[at] = (char)('0' + micros % 10);
    buf[IOL_TIME_TEXT_LENGTH] = '\0';
    return buf;
}
