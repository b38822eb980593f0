// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct iol_top;

/* Does what the key (app/live/screen.h) says, on a list of so many lines. False: quit. */
bool iol_top_key(struct iol_top *top, int key, size_t lines);
