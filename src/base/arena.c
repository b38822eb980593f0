// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Chunks double from the first to the last size: a small batch stays small, a big one asks malloc() seldom. */
#define FIRST_CHUNK ((size_t)4096)
#define LAST_CHUNK ((size_t)256 * 1024)

struct chunk {
    struct chunk *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(max_align_t) char data[];
};

struct iol_arena {
    struct chunk *chunks; /* the one being filled comes first */
    size_t next_size;
    size_t used;
};

struct iol_arena *iol_arena_new(void)
{
    struct iol_arena *arena = calloc(1, sizeof(*arena));
    if (arena)
        arena->next_size = FIRST_CHUNK;
    return arena;
}

void iol_arena_free(struct iol_arena *arena)
{
    if (!arena)
        return;
    for (struct chunk *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}

static struct chunk *chunk_new(size_t size)
{
    if (size > SIZE_MAX - sizeof(struct chunk))
        return NULL;
    struct chunk *chunk = malloc(sizeof(*chunk) + size);
    if (!chunk)
        return NULL;
    chunk->next = NULL;
    chunk->size = size;
    chunk->used = 0;
    return chunk;
}

/* What is big for a chunk gets its own, behind the first, so that the room left in the first one is not given up. */
static void *alloc_big(struct iol_arena *arena, size_t size)
{
    struct chunk *chunk = chunk_new(size);
    if (!chunk)
        return NULL;
    chunk->used = size;
    if (arena->chunks) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        arena->chunks = chunk;
    }
    arena->used += size;
    return chunk->data;
}

static void *alloc_aligned(struct iol_arena *arena, size_t size, size_t align)
{
    struct chunk *chunk = arena->chunks;
    size_t start = chunk ? (chunk->used + align - 1) & ~(align - 1) : 0;

    if (!chunk || start > chunk->size || size > chunk->size - start) {
        if (size > arena->next_size / 4)
            return alloc_big(arena, size);
        chunk = chunk_new(arena->next_size);
        if (!chunk)
            return NULL;
        chunk->next = arena->chunks;
        arena->chunks = chunk;
        if (arena->next_size < LAST_CHUNK)
            arena->next_size *= 2;
        start = 0;
    }
    arena->used += start + size - chunk->used;
    chunk->used = start + size;
    return chunk->data + start;
}

void *iol_arena_alloc(struct iol_arena *arena, size_t size)
{
    return alloc_aligned(arena, size, _Alignof(max_align_t));
}

char *iol_arena_dup(struct iol_arena *arena, const char *data, size_t size)
{
    if (size == SIZE_MAX)
        return NULL;
    char *copy = alloc_aligned(arena, size + 1, 1);
    if (!copy)
        return NULL;
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

size_t iol_arena_used(const struct iol_arena *arena)
{
    return arena->used;
}
