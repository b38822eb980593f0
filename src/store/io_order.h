// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The order in which rows of io are stored: those of a process stand together, so that whoever asks for a process reads few pages,
 * and an index over processes grows at few places. Within a process they have the order of their files' ids, in which the index over
 * files takes them best. For src/store only.
 */
#include <stdint.h>

struct iol_rows;

/* The numbers of rows of io in that order, to be freed; NULL: as they are (as they are in it, or there is no memory). */
uint32_t *iol_io_order(const struct iol_rows *rows);
