// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stddef.h>
#include <stdio.h>

/* A text that is printed piece by piece, in memory. */
struct iol_stream {
    FILE *out;
    char *text;
    size_t size;
};

/* What is to be printed to; NULL: no memory, and there is nothing to end. */
FILE *iol_stream_open(struct iol_stream *ret_stream);

/* Ends it: the text, to be freed; or NULL when something of it found no memory. */
char *iol_stream_text(struct iol_stream *stream);
