// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stddef.h>

/*
 * Room for `wanted` items of `size` bytes in an array that grows: `array` is the address of the pointer to it, which free(3) takes
 * in the end, and is NULL at first; *room is for how many items there is room. It doubles as often as need be. 0; or -ENOMEM, and
 * all is as it was.
 */
int iol_array_reserve(void *array, size_t *room, size_t wanted, size_t size);
