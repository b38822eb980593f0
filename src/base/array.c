// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "base/array.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 8

int iol_array_reserve(void *array, size_t *room, size_t wanted, size_t size)
{
    size_t more = *room ? *room : FIRST_ROOM, bytes;
    void *memory;

    if (wanted <= *room)
        return 0;
    while (more < wanted) {
        if (__builtin_mul_overflow(more, 2, &more))
            return -ENOMEM;
    }
    if (__builtin_mul_overflow(more, size, &bytes))
        return -ENOMEM;
    memcpy(&memory, array, sizeof(memory)); /* a pointer to any type */
    memory = realloc(memory, bytes);
    if (!memory)
        return -ENOMEM;
    memcpy(array, &memory, sizeof(memory));
    *room = more;
    return 0;
}
