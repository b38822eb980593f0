// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What `record --pin` and `stop --unpin` have in common. */

#define IOL_PIN_DEFAULT "/sys/fs/bpf/ioledger"

/* The path from the root on; what is above its last part must be there, or nothing changes. malloc'ed; NULL: no memory. */
char *iol_pin_absolute(const char *path);

/*
 * The database as what is pinned remembers it: without a password, and a path from the root on, so that it is the same from every
 * working directory. malloc'ed; NULL: no memory.
 */
char *iol_pin_books(const char *db);
