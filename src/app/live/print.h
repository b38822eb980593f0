// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What `top --batch` and `tail` print, as it comes, to a reader who may be slow, may hang, or go. */
#include <stddef.h>

/*
 * Writes it to standard output. Not by stdio: what cannot be written is not kept for the end. 0 or -errno. 1: it is to end, as nobody
 * reads it any more; or as a signal has come and it was not read for a second, or two signals have.
 */
int iol_live_print(const char *data, size_t size);
