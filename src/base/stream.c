// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "base/stream.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"

FILE *iol_stream_open(struct iol_stream *ret_stream)
{
    *ret_stream = (struct iol_stream){0};
    ret_stream->out = open_memstream(&ret_stream->text, &ret_stream->size);
    return ret_stream->out;
}

char *iol_stream_text(struct iol_stream *stream)
{
    bool failed = ferror(stream->out);

    if (fclose(TAKE_PTR(stream->out)) != 0 || failed)
        free(TAKE_PTR(stream->text));
    return TAKE_PTR(stream->text);
}
