// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "core/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "core/decode.h"
#include "core/row.h"

/* A name that one node or more have: stored once, and it leads to all of them. */
struct spelling {
    struct iol_name_node *nodes; /* list by alike_prev, alike_next */
    UT_hash_handle hh;
    size_t size;
    char name[];
};

/* Where a node hangs: the key by which it is found. */
struct place {
    struct iol_name_node *parent;
    struct spelling *spelling;
};

struct iol_name_node {
    struct place place;
    struct iol_file_info info;
    struct iol_name_node *children; /* list by sibling_prev, sibling_next */
    struct iol_name_node *sibling_prev, *sibling_next;
    struct iol_name_node *alike_prev, *alike_next;
    struct iol_name_node *prev,
        *next; /* in the order in which they were heard of: a directory after all that is in it */
    UT_hash_handle hh;
};

/* What has been heard of a file and not been taken in. Its path follows. */
struct heard {
    struct iol_file_info info;
    size_t size; /* of the path */
    char path[];
};

#define HEARD_BYTES (4UL << 20) /* of all that waits to be taken in */

struct iol_names {
    size_t max;
    char *heard; /* one after the other, aligned */
    size_t heard_used, heard_room;
    struct iol_name_node root;
    struct iol_name_node *nodes; /* by place */
    struct iol_name_node *order; /* oldest first */
    struct spelling *spellings;
};

struct iol_names *iol_names_new(size_t max)
{
    struct iol_names *names = calloc(1, sizeof(*names));

    if (!names)
        return NULL;
    names->max = max;
    names->root.info.kind = IOL_KIND_DIR;
    names->root.place.parent = &names->root;
    return names;
}

struct iol_name_node *iol_names_root(struct iol_names *names)
{
    return &names->root;
}

struct iol_name_node *iol_names_parent(struct iol_name_node *node)
{
    return node->place.parent;
}

const struct iol_file_info *iol_names_info(const struct iol_name_node *node)
{
    return &node->info;
}

static struct spelling *find_spelling(const struct iol_names *names, const struct iol_bytes *name)
{
    struct spelling *spelling = NULL;

    HASH_FIND(hh, names->spellings, name->data, name->size, spelling);
    return spelling;
}

static struct spelling *get_spelling(struct iol_names *names, const struct iol_bytes *name)
{
    struct spelling *spelling = NULL;
    unsigned int hash;

    HASH_VALUE(name->data, name->size, hash);
    HASH_FIND_BYHASHVALUE(hh, names->spellings, name->data, name->size, hash, spelling);
    if (spelling)
        return spelling;
    spelling = calloc(1, sizeof(*spelling) + name->size + 1);
    if (!spelling)
        return NULL;
    spelling->size = name->size;
    memcpy(spelling->name, name->data, name->size);
    HASH_ADD_KEYPTR_BYHASHVALUE(hh, names->spellings, spelling->name, spelling->size, hash, spelling);
    return spelling;
}

static struct iol_name_node *find_at(const struct iol_names *names, const struct place *place)
{
    struct iol_name_node *node = NULL;

    // NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): two pointers, and both are set
    HASH_FIND(hh, names->nodes, place, sizeof(*place), node);
    return node;
}

struct iol_name_node *iol_names_find(struct iol_names *names, struct iol_name_node *directory,
                                     const struct iol_bytes *name)
{
    struct place place = {directory, find_spelling(names, name)};

    return place.spelling ? find_at(names, &place) : NULL;
}

/* Heard of now, and so are the directories above it, after it. */
static void touch(struct iol_names *names, struct iol_name_node *node)
{
    for (; node != &names->root; node = node->place.parent) {
        DL_DELETE(names->order, node);
        DL_APPEND(names->order, node);
    }
}

static void hang(struct iol_names *names, struct iol_name_node *node, const struct place *place)
{
    node->place = *place;
    HASH_ADD(hh, names->nodes, place, sizeof(node->place), node);
    DL_APPEND2(place->parent->children, node, sibling_prev, sibling_next);
    DL_APPEND2(place->spelling->nodes, node, alike_prev, alike_next);
}

/* Takes the node out of its place, with what is below; `keep` keeps the spelling even when nothing has it any more. */
static void unhang(struct iol_names *names, struct iol_name_node *node, bool keep)
{
    struct spelling *spelling = node->place.spelling;

    HASH_DEL(names->nodes, node); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
    DL_DELETE2(node->place.parent->children, node, sibling_prev, sibling_next);
    DL_DELETE2(spelling->nodes, node, alike_prev, alike_next);
    if (!spelling->nodes && !keep) {
        HASH_DEL(names->spellings, spelling);
        free(spelling);
    }
}

static void remove_leaf(struct iol_names *names, struct iol_name_node *leaf)
{
    unhang(names, leaf, false);
    DL_DELETE(names->order, leaf);
    free(leaf);
}

/* Without recursion: a path may have two thousand directories. */
static void remove_below(struct iol_names *names, struct iol_name_node *node)
{
    struct iol_name_node *at = node;

    while (node->children) {
        while (at->children)
            at = at->children;
        struct iol_name_node *parent = at->place.parent;

        remove_leaf(names, at);
        at = parent;
    }
}

void iol_names_remove(struct iol_names *names, struct iol_name_node *node)
{
    remove_below(names, node);
    if (node != &names->root)
        remove_leaf(names, node);
}

void iol_names_remove_all(struct iol_names *names, const struct iol_bytes *name)
{
    struct spelling *spelling;

    /* looked up anew each time: one may have been below the other, and the last one takes the spelling along */
    while ((spelling = find_spelling(names, name)))
        iol_names_remove(names, spelling->nodes);
}

static void forget_heard(struct iol_names *names)
{
    free(names->heard);
    names->heard = NULL;
    names->heard_used = names->heard_room = 0;
}

void iol_names_clear(struct iol_names *names)
{
    forget_heard(names);
    remove_below(names, &names->root);
}

void iol_names_free(struct iol_names *names)
{
    if (!names)
        return;
    iol_names_clear(names);
    free(names);
}

void iol_names_trim(struct iol_names *names)
{
    while (HASH_COUNT(names->nodes) > names->max)
        iol_names_remove(names, names->order);
}

static struct iol_name_node *get_child(struct iol_names *names, struct iol_name_node *directory,
                                       const struct iol_bytes *name)
{
    struct place place = {directory, get_spelling(names, name)};
    /* a spelling that is new leads to none, and need not be looked for */
    struct iol_name_node *node = place.spelling && place.spelling->nodes ? find_at(names, &place) : NULL;

    if (node || !place.spelling)
        return node;
    node = calloc(1, sizeof(*node));
    if (!node) {
        if (!place.spelling->nodes) {
            HASH_DEL(names->spellings, place.spelling);
            free(place.spelling);
        }
        return NULL;
    }
    node->info.kind = IOL_KIND_DIR;
    hang(names, node, &place);
    DL_APPEND(names->order, node);
    return node;
}

/* The node is this file, whatever was known of it before. */
static void set_info(struct iol_names *names, struct iol_name_node *node, const struct iol_file_info *info)
{
    if (info->kind != IOL_KIND_DIR ||
        (node->info.inode &&
         (node->info.inode != info->inode || node->info.dev != info->dev || node->info.generation != info->generation)))
        remove_below(names, node);
    node->info = (struct iol_file_info){
        .inode = info->inode, .dev = info->dev, .generation = info->generation, .kind = info->kind};
}

struct iol_name_node *iol_names_learn(struct iol_names *names, const struct iol_bytes *path,
                                      const struct iol_file_info *info)
{
    const struct iol_file_info directory = {.kind = IOL_KIND_DIR};
    struct iol_name_node *node = &names->root;
    const char *at = path->data, *end = path->data + path->size;

    while (at < end) {
        const char *slash = memchr(at, '/', (size_t)(end - at));
        struct iol_bytes name = {at, (size_t)((slash ? slash : end) - at)};

        at = slash ? slash + 1 : end;
        if (name.size == 0)
            continue;
        if (node->info.kind != IOL_KIND_DIR)
            set_info(names, node, &directory);
        node = get_child(names, node, &name);
        if (!node)
            return NULL;
    }
    if (info && node != &names->root)
        set_info(names, node, info);
    else if (node->info.kind != IOL_KIND_DIR)
        set_info(names, node, &directory);
    touch(names, node);
    return node;
}

static size_t room_of(size_t path_size)
{
    return (sizeof(struct heard) + path_size + 7) / 8 * 8;
}

void iol_names_take_in(struct iol_names *names)
{
    for (size_t at = 0; at < names->heard_used;) {
        const struct heard *one = (const void *)(names->heard + at);
        const struct iol_bytes path = {one->path, one->size};

        iol_names_learn(names, &path, &one->info);
        iol_names_trim(names);
        at += room_of(one->size);
    }
    forget_heard(names);
}

void iol_names_hear(struct iol_names *names, const struct iol_bytes *path, const struct iol_file_info *info)
{
    size_t room = room_of(path->size);
    struct heard *one;

    if (names->heard_used + room > HEARD_BYTES)
        iol_names_take_in(names);
    if (iol_array_reserve(&names->heard, &names->heard_room, names->heard_used + room, 1) < 0)
        return;
    one = (void *)(names->heard + names->heard_used);
    one->info = *info;
    one->size = path->size;
    memcpy(one->path, path->data, path->size);
    names->heard_used += room;
}

int iol_names_create(struct iol_names *names, struct iol_name_node *directory, const struct iol_bytes *name,
                     const struct iol_file_info *info)
{
    struct iol_name_node *node = get_child(names, directory, name);

    if (!node)
        return -ENOMEM;
    remove_below(names, node);
    set_info(names, node, info);
    touch(names, node);
    return 0;
}

static bool is_within(const struct iol_names *names, const struct iol_name_node *node,
                      const struct iol_name_node *above)
{
    while (node != above && node != &names->root)
        node = node->place.parent;
    return node == above;
}

int iol_names_move(struct iol_names *names, struct iol_name_node *node, struct iol_name_node *directory,
                   const struct iol_bytes *name)
{
    struct iol_name_node *there = iol_names_find(names, directory, name);
    struct place place = {.parent = directory};

    if (there == node)
        return 0;
    /* a directory below itself, or in the place of one above it, the kernel makes of none: a record before this one is missing */
    if (is_within(names, directory, node) || (there && is_within(names, node, there))) {
        iol_names_remove(names, there && is_within(names, node, there) ? there : node);
        return 0;
    }
    if (there)
        iol_names_remove(names, there);
    place.spelling = get_spelling(names, name);
    if (!place.spelling) {
        iol_names_remove(names, node);
        return -ENOMEM;
    }
    unhang(names, node, place.spelling == node->place.spelling);
    hang(names, node, &place);
    touch(names, node);
    return 0;
}

void iol_names_exchange(struct iol_names *names, struct iol_name_node *a, struct iol_name_node *b)
{
    const struct place place_a = a->place, place_b = b->place;

    if (is_within(names, a, b) || is_within(names, b, a)) { /* as above */
        iol_names_remove(names, is_within(names, a, b) ? b : a);
        return;
    }
    unhang(names, a, true);
    unhang(names, b, true);
    hang(names, a, &place_b);
    hang(names, b, &place_a);
    touch(names, a);
    touch(names, b);
}
