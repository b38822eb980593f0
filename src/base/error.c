// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What vsnprintf() cut may end in half a UTF-8 character: takes that half away. */
static void trim_half_character(char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start == 0)
        return;
    unsigned char lead = (unsigned char)text[start - 1];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (length - start + 1 < want)
        text[start - 1] = '\0';
}

static void format_into(char *text, const char *format, va_list ap) __attribute__((format(printf, 2, 0)));

static void format_into(char *text, const char *format, va_list ap)
{
    int length = vsnprintf(text, IOL_ERROR_TEXT_MAX, format, ap);
    if (length < 0)
        text[0] = '\0';
    else if (length >= IOL_ERROR_TEXT_MAX)
        trim_half_character(text, IOL_ERROR_TEXT_MAX - 1);
}

int iol_error_set(struct iol_error *err, int code, const char *format, ...)
{
    if (!err)
        return code;

    /* Not straight into err->text: a caller that adds to a message passes the old one as an argument. */
    char text[IOL_ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    format_into(text, format, ap);
    va_end(ap);

    memcpy(err->text, text, sizeof(text));
    err->hint[0] = '\0';
    return code;
}

void iol_error_hint(struct iol_error *err, const char *format, ...)
{
    if (!err)
        return;

    char hint[IOL_ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, format);
    format_into(hint, format, ap);
    va_end(ap);
    memcpy(err->hint, hint, sizeof(hint));
}
