// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stddef.h>

/* Memory that is freed all at once: the strings of a batch. Not thread-safe; one owner at a time. */
struct iol_arena;

struct iol_arena *iol_arena_new(void);
void iol_arena_free(struct iol_arena *arena); /* accepts NULL */

/* Returns memory aligned for any type, or NULL when there is none. */
void *iol_arena_alloc(struct iol_arena *arena, size_t size);

/* Copies `size` bytes and adds a NUL; NULL when there is no memory. */
char *iol_arena_dup(struct iol_arena *arena, const char *data, size_t size);

/* Bytes handed out so far (for memory budgets). */
size_t iol_arena_used(const struct iol_arena *arena);
