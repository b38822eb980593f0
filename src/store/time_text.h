// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* iol_text_time() for millions of rows whose times are close to each other: the calendar is asked once a second. */
#include <stdint.h>

#define IOL_TIME_TEXT_LENGTH 26

struct iol_time_text {
    int64_t second;
    char text[40]; /* of that second; empty at first */
};

/* Writes "2026-11-23 08:18:06.123456", with `separator` between date and time; `buf` has at least 32 bytes. */
char *iol_time_text(struct iol_time_text *cache, char buf[static 32], int64_t ns, char separator);
