// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/output.h"

#include <errno.h>
#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/output.intern.h"
#include "base/cleanup.h"

/* stdio remembers that a write failed, but not why. */
static int first_write_error;

static void free_output(struct iol_output **output)
{
    iol_output_free(*output);
}

int iol_output_new(FILE *to, enum iol_format format, const struct iol_output_column *columns, size_t n_columns,
                   struct iol_output **ret_output)
{
    static const struct iol_output_ops *const formats[] = {[IOL_FORMAT_TABLE] = &iol_output_table,
                                                           [IOL_FORMAT_JSON] = &iol_output_json,
                                                           [IOL_FORMAT_CSV] = &iol_output_csv};
    _cleanup_(free_output) struct iol_output *output = calloc(1, sizeof(*output));

    if (!output)
        return -ENOMEM;
    output->to = to;
    output->ops = formats[format];
    output->columns = columns;
    output->n_columns = n_columns;
    output->terminal = isatty(fileno(to)) == 1;
    output->values = calloc(n_columns, sizeof(*output->values));
    if (!output->values || (output->ops->begin && output->ops->begin(output) < 0))
        return -ENOMEM;
    *ret_output = TAKE_PTR(output);
    return 0;
}

void iol_output_set_text(struct iol_output *output, size_t column, const char *text)
{
    output->values[column].is = text ? IOL_VALUE_TEXT : IOL_VALUE_NULL;
    output->values[column].text = text;
}

void iol_output_set_int(struct iol_output *output, size_t column, int64_t number)
{
    output->values[column].is = IOL_VALUE_INT;
    output->values[column].number = number;
}

void iol_output_set_forms(struct iol_output *output, size_t column, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n && i < IOL_OUTPUT_FORMS; i++)
        output->values[column].forms[i] = texts[i];
}

void iol_output_set_alarm(struct iol_output *output, size_t column)
{
    output->values[column].alarm = true;
}

int iol_output_check(FILE *to)
{
    if (!ferror(to))
        return 0;
    if (first_write_error == 0)
        first_write_error = errno > 0 ? errno : EIO;
    return -first_write_error;
}

int iol_output_row(struct iol_output *output)
{
    int r = output->ops->row(output);

    if (r == 0)
        r = iol_output_check(output->to);
    output->rows++;
    memset(output->values, 0, output->n_columns * sizeof(*output->values));
    return r;
}

int iol_output_finish(struct iol_output *output)
{
    int r = output->ops->finish(output);

    return r < 0 ? r : iol_output_check(output->to);
}

size_t iol_output_rows(const struct iol_output *output)
{
    return output->rows;
}

void iol_output_free(struct iol_output *output)
{
    if (!output)
        return;
    if (output->ops->free)
        output->ops->free(output);
    free(output->values);
    free(output);
}

bool iol_output_is_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

int iol_output_close(FILE *to)
{
    int r;

    if (ferror(to) && first_write_error == 0) {
        /* What could not be written is still in the buffer, and fails again with the reason. */
        errno = 0;
        fflush(to);
    }
    r = iol_output_check(to);
    if (fclose(to) != 0 && r == 0)
        r = -errno;
    return r;
}
