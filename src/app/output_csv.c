// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "app/output.intern.h"
#include "base/cleanup.h"
#include "base/text.h"

/* An empty text is "", a NULL is nothing at all: programs that care can tell them apart. */
static void put_field(FILE *to, const char *text)
{
    if (*text && !strpbrk(text, "\",\r\n") && *text != ' ' && text[strlen(text) - 1] != ' ') {
        fputs(text, to);
        return;
    }
    putc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            putc('"', to);
        putc(*text, to);
    }
    putc('"', to);
}

static int csv_begin(struct iol_output *output)
{
    for (size_t i = 0; i < output->n_columns; i++)
        fprintf(output->to, "%s%s", i ? "," : "", output->columns[i].key);
    fputs("\r\n", output->to);
    return 0;
}

static int put_text(struct iol_output *output, const char *text)
{
    _cleanup_free_ char *visible = NULL;
    size_t size;

    if (output->terminal) {
        size = iol_text_visible(NULL, 0, text) + 1;
        visible = malloc(size);
        if (!visible)
            return -ENOMEM;
        iol_text_visible(visible, size, text);
        text = visible;
    }
    put_field(output->to, text);
    return 0;
}

static int csv_row(struct iol_output *output)
{
    for (size_t i = 0; i < output->n_columns; i++) {
        const struct iol_output_value *value = &output->values[i];

        if (i > 0)
            putc(',', output->to);
        if (value->is == IOL_VALUE_INT && output->columns[i].cell == IOL_CELL_FLAG)
            fputs(value->number ? "true" : "false", output->to);
        else if (value->is == IOL_VALUE_INT)
            fprintf(output->to, "%" PRId64, value->number);
        else if (value->is == IOL_VALUE_TEXT && put_text(output, value->text) < 0)
            return -ENOMEM;
    }
    fputs("\r\n", output->to);
    return 0;
}

static int csv_finish(struct iol_output *output)
{
    (void)output;
    return 0;
}

const struct iol_output_ops iol_output_csv = {.begin = csv_begin, .row = csv_row, .finish = csv_finish};
