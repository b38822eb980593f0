// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/report/directories.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define CHILDREN_KEPT 80
#define CHILDREN_MAX 1024 /* before the small ones are let go */
#define PSEUDO_NAME "(no path)"

struct node {
    struct node *parent, **children;
    size_t n_children, capacity;
    bool is_directory;
    bool shown; /* set by iol_directories_finish() */
    int64_t read_bytes, write_bytes, files;
    int64_t rest_read, rest_write, rest_files; /* of children that were let go */
    size_t length;
    char name[];
};

struct iol_directories {
    struct node *root, *pseudo;
    struct node *open; /* the directory of the path that came last */
};

static struct node *new_node(struct node *parent, const char *name, size_t length, bool is_directory)
{
    struct node *node = calloc(1, sizeof(*node) + length + 1);

    if (!node)
        return NULL;
    node->parent = parent;
    node->is_directory = is_directory;
    node->length = length;
    memcpy(node->name, name, length);
    return node;
}

/* Without recursion: a path may have two thousand components. */
static void free_node(struct node *top)
{
    struct node *node = top;

    while (node) {
        if (node->n_children > 0) {
            node = node->children[--node->n_children];
            continue;
        }
        struct node *parent = node == top ? NULL : node->parent;
        free(node->children);
        free(node);
        node = parent;
    }
}

static int by_size(const void *a, const void *b)
{
    const struct node *const *x = a, *const *y = b;
    int64_t left = (*x)->read_bytes + (*x)->write_bytes, right = (*y)->read_bytes + (*y)->write_bytes;

    return left != right ? (left < right ? 1 : -1) : strcmp((*x)->name, (*y)->name);
}

static void let_go(struct node *parent, struct node *child)
{
    parent->rest_read += child->read_bytes;
    parent->rest_write += child->write_bytes;
    parent->rest_files += child->files;
    free_node(child);
}

/* What is among the biggest of all children is so among those of now: nothing that would stay in the end is let go. */
static void keep_biggest(struct node *node)
{
    qsort(node->children, node->n_children, sizeof(struct node *), by_size);
    while (node->n_children > CHILDREN_KEPT)
        let_go(node, node->children[--node->n_children]);
}

static struct node *add_child(struct node *parent, const char *name, size_t length, bool is_directory)
{
    struct node *child;

    /* The one that is still open has not all of its bytes yet: this is called when none is. */
    if (parent->n_children == CHILDREN_MAX)
        keep_biggest(parent);
    if (iol_array_reserve(&parent->children, &parent->capacity, parent->n_children + 1, sizeof(struct node *)) < 0)
        return NULL;
    child = new_node(parent, name, length, is_directory);
    if (child)
        parent->children[parent->n_children++] = child;
    return child;
}

static void close_open(struct iol_directories *directories)
{
    struct node *node = directories->open;

    if (node->n_children > CHILDREN_KEPT)
        keep_biggest(node);
    directories->open = node->parent;
}

struct iol_directories *iol_directories_new(void)
{
    struct iol_directories *directories = calloc(1, sizeof(*directories));

    if (!directories)
        return NULL;
    directories->root = new_node(NULL, "/", 1, true);
    directories->pseudo = new_node(NULL, PSEUDO_NAME, strlen(PSEUDO_NAME), true);
    directories->open = directories->root;
    if (!directories->root || !directories->pseudo) {
        iol_directories_free(directories);
        return NULL;
    }
    return directories;
}

void iol_directories_free(struct iol_directories *directories)
{
    if (!directories)
        return;
    free_node(directories->root);
    free_node(directories->pseudo);
    free(directories);
}

/*
 * The directory in which `path` is, opened as far as it is not. All that is below one directory comes in a row, so what is not a part of
 * this path is complete.
 */
static struct node *open_directory(struct iol_directories *directories, const char *path, const char **ret_name)
{
    const char *at = path + 1, *slash;
    struct node *line[2048 + 1]; /* PATH_MAX / 2 */
    size_t depth = 0, open = 0;

    for (struct node *node = directories->open; node->parent; node = node->parent)
        depth++;
    for (struct node *node = directories->open; node->parent; node = node->parent)
        line[--depth] = node;
    for (struct node *node = directories->open; node->parent; node = node->parent)
        depth++;
    while ((slash = strchr(at, '/')) && slash[1] != '\0' && open < depth) {
        size_t length = (size_t)(slash - at);

        if (line[open]->length != length || memcmp(line[open]->name, at, length) != 0)
            break;
        open++;
        at = slash + 1;
    }
    while (depth-- > open)
        close_open(directories);
    for (depth = open; (slash = strchr(at, '/')) && slash[1] != '\0' && depth < 2048; depth++) {
        struct node *child = add_child(directories->open, at, (size_t)(slash - at), true);

        if (!child)
            return NULL;
        directories->open = child;
        at = slash + 1;
    }
    *ret_name = at;
    return directories->open;
}

int iol_directories_add(struct iol_directories *directories, const char *path, int64_t read_bytes, int64_t write_bytes)
{
    struct node *directory = directories->pseudo, *leaf = NULL;
    const char *name = path;

    if (*path == '/')
        directory = open_directory(directories, path, &name);
    if (!directory)
        return -ENOMEM;
    leaf = directory->n_children > 0 ? directory->children[directory->n_children - 1] : NULL;
    if (!leaf || leaf->is_directory || strcmp(leaf->name, name) != 0)
        leaf = add_child(directory, name, strlen(name), false);
    if (!leaf)
        return -ENOMEM;
    for (struct node *node = leaf; node; node = node->parent) {
        node->read_bytes += read_bytes;
        node->write_bytes += write_bytes;
        node->files++;
    }
    return 0;
}

typedef int (*visitor)(struct node *node, size_t child, void *data);

/* Parents before children; `child` is where in its parent the node stands. */
static int walk(struct node *node, visitor visit, void *data)
{
    size_t at[2048 + 3] = {0}, depth = 0;
    int r = visit(node, 0, data);

    while (r == 0) {
        if (at[depth] < node->n_children) {
            node = node->children[at[depth]++];
            r = visit(node, at[depth] - 1, data);
            at[++depth] = 0;
        } else if (depth > 0) {
            node = node->parent;
            depth--;
        } else {
            break;
        }
    }
    return r;
}

struct sizes {
    int64_t *sizes;
    size_t n, capacity;
    int64_t least;
};

static int count_node(struct node *node, size_t child, void *data)
{
    (void)node;
    (void)child;
    ((struct sizes *)data)->capacity++;
    return 0;
}

static int take_size(struct node *node, size_t child, void *data)
{
    struct sizes *sizes = data;

    (void)child;
    sizes->sizes[sizes->n++] = node->read_bytes + node->write_bytes;
    return 0;
}

static int show_node(struct node *node, size_t child, void *data)
{
    const struct sizes *sizes = data;

    (void)child;
    node->shown = !node->parent || (node->parent->shown && node->read_bytes + node->write_bytes >= sizes->least);
    return 0;
}

static int descending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* Children that are not shown are let go; those that are stand first, as they are sorted by size. */
static int let_small_go(struct node *node, size_t child, void *data)
{
    (void)child;
    (void)data;
    qsort(node->children, node->n_children, sizeof(struct node *), by_size);
    while (node->n_children > 0 && !node->children[node->n_children - 1]->shown)
        let_go(node, node->children[--node->n_children]);
    return 0;
}

int iol_directories_finish(struct iol_directories *directories, size_t limit)
{
    struct node *const roots[] = {directories->root, directories->pseudo};
    struct sizes sizes = {0};

    while (directories->open->parent)
        close_open(directories);
    keep_biggest(directories->root);
    keep_biggest(directories->pseudo);
    for (size_t i = 0; i < 2; i++)
        walk(roots[i], count_node, &sizes);
    sizes.sizes = calloc(sizes.capacity, sizeof(*sizes.sizes));
    if (!sizes.sizes)
        return -ENOMEM;
    for (size_t i = 0; i < 2; i++)
        walk(roots[i], take_size, &sizes);
    qsort(sizes.sizes, sizes.n, sizeof(*sizes.sizes), descending);
    /* One more than the size at the limit: as many as like to may share that one. Nothing without bytes is drawn. */
    sizes.least = sizes.n > limit ? sizes.sizes[limit] + 1 : 1;
    free(sizes.sizes);
    for (size_t i = 0; i < 2; i++) {
        walk(roots[i], show_node, &sizes);
        walk(roots[i], let_small_go, NULL);
    }
    return 0;
}

struct telling {
    int (*visit)(const struct iol_directory_node *node, void *data);
    void *data;
    size_t numbers[2048 + 3]; /* of the nodes on the way to this one */
    size_t depth, next;
};

static size_t depth_of(const struct node *node)
{
    size_t depth = 0;

    for (; node->parent; node = node->parent)
        depth++;
    return depth;
}

static int tell(struct telling *telling, struct iol_directory_node *node, size_t depth)
{
    node->parent = depth > 0 ? telling->numbers[depth - 1] : telling->next;
    telling->numbers[depth] = telling->next++;
    return telling->visit(node, telling->data);
}

static int tell_node(struct node *node, size_t child, void *data)
{
    struct telling *telling = data;
    size_t depth = depth_of(node) + telling->depth;
    int r = tell(telling,
                 &(struct iol_directory_node){.name = node->name,
                                              .is_directory = node->is_directory,
                                              .read_bytes = node->read_bytes,
                                              .write_bytes = node->write_bytes,
                                              .files = node->files},
                 depth);

    (void)child;
    if (r == 0 && node->rest_files > 0)
        r = tell(telling,
                 &(struct iol_directory_node){
                     .read_bytes = node->rest_read, .write_bytes = node->rest_write, .files = node->rest_files},
                 depth + 1);
    return r;
}

int iol_directories_walk(const struct iol_directories *directories,
                         int (*visit)(const struct iol_directory_node *node, void *data), void *data)
{
    const struct node *root = directories->root, *pseudo = directories->pseudo;
    struct telling telling = {.visit = visit, .data = data};
    int r = tell(&telling,
                 &(struct iol_directory_node){.name = "",
                                              .is_directory = true,
                                              .read_bytes = root->read_bytes + pseudo->read_bytes,
                                              .write_bytes = root->write_bytes + pseudo->write_bytes,
                                              .files = root->files + pseudo->files},
                 0);

    telling.depth = 1;
    if (r == 0 && root->files > 0)
        r = walk(directories->root, tell_node, &telling);
    if (r == 0 && pseudo->files > 0)
        r = walk(directories->pseudo, tell_node, &telling);
    return r;
}
