// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/output.intern.h"
#include "base/text.h"

/* Bytes of the character at s, if it is a character at all: a lead byte with what follows it, as far as that goes. */
static size_t piece_length(const unsigned char *s)
{
    size_t length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc0 ? 2 : 1, n = 1;

    while (n < length && (s[n] & 0xc0) == 0x80)
        n++;
    return n;
}

static void put_escape(FILE *to, unsigned long code)
{
    if (code > 0xffff)
        fprintf(to, "\\u%04lx\\u%04lx", 0xd800 + ((code - 0x10000) >> 10), 0xdc00 + ((code - 0x10000) & 0x3ff));
    else
        fprintf(to, "\\u%04lx", code);
}

/*
 * A character outside plain ASCII; returns how many bytes it took. What a terminal would obey or hide is escaped: it
 * reads the same to a parser and is seen by a person. The ledger holds valid UTF-8, but a foreign hand may have
 * written to it, and the output has to parse: anything else becomes U+FFFD.
 */
static size_t put_special(FILE *to, const unsigned char *s)
{
    char one[5] = {0}, visible[32];
    size_t length = piece_length(s);

    memcpy(one, s, length);
    iol_text_visible(visible, sizeof(visible), one);
    if (strcmp(visible, one) == 0)
        fwrite(one, 1, length, to);
    else if (s[0] < 0x80)
        put_escape(to, s[0]);
    else if (strncmp(visible, "\\u{", 3) == 0)
        put_escape(to, strtoul(visible + 3, NULL, 16));
    else {
        fputs("\\ufffd", to);
        return 1;
    }
    return length;
}

void iol_output_put_json(FILE *to, const char *text, const char *also)
{
    const unsigned char *s = (const unsigned char *)text;

    putc('"', to);
    while (*s) {
        if (*s == '\n' || *s == '\t') {
            fputs(*s == '\n' ? "\\n" : "\\t", to);
            s++;
        } else if (*s == '"' || *s == '\\') {
            fprintf(to, "\\%c", *s++);
        } else if (strchr(also, *s)) {
            put_escape(to, *s++);
        } else if (*s >= ' ' && *s < 0x7f) {
            putc(*s++, to);
        } else {
            s += put_special(to, s);
        }
    }
    putc('"', to);
}

static int json_row(struct iol_output *output)
{
    FILE *to = output->to;

    fputs(output->rows == 0 ? "[\n{" : ",\n{", to);
    for (size_t i = 0; i < output->n_columns; i++) {
        const struct iol_output_value *value = &output->values[i];

        fprintf(to, "%s\"%s\": ", i ? ", " : "", output->columns[i].key);
        if (value->is == IOL_VALUE_TEXT)
            iol_output_put_json(to, value->text, "");
        else if (value->is == IOL_VALUE_NULL)
            fputs("null", to);
        else if (output->columns[i].cell == IOL_CELL_FLAG)
            fputs(value->number ? "true" : "false", to);
        else
            fprintf(to, "%" PRId64, value->number);
    }
    putc('}', to);
    return 0;
}

static int json_finish(struct iol_output *output)
{
    fputs(output->rows == 0 ? "[]\n" : "\n]\n", output->to);
    return 0;
}

const struct iol_output_ops iol_output_json = {.row = json_row, .finish = json_finish};
