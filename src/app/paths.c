// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

static int no_memory(struct iol_error *err)
{
    return iol_error_set(err, -ENOMEM, "no memory");
}

/* Takes "//", "/." and "/.." out of an absolute path, in place, by its letters alone. */
static void clean_path(char *path)
{
    char *out = path;
    const char *in = path;

    while (*in) {
        size_t length;

        while (*in == '/')
            in++;
        length = strcspn(in, "/");
        if (length == 2 && in[0] == '.' && in[1] == '.') {
            while (out > path && *--out != '/')
                ;
        } else if (length > 0 && !(length == 1 && in[0] == '.')) {
            *out++ = '/';
            memmove(out, in, length);
            out += length;
        }
        in += length;
    }
    if (out == path)
        *out++ = '/';
    *out = '\0';
}

/* Behind the last component "..", or NULL. */
static char *behind_parents(char *path)
{
    char *found = NULL;

    for (char *at = path; (at = strstr(at, "/..")); at += 3) {
        if (at[3] == '/' || at[3] == '\0')
            found = at + 3;
    }
    return found;
}

/* The directory above a link's target is not the one above the link: as far as "..", links are followed. */
static char *follow_to_parents(char *path)
{
    char *rest = behind_parents(path), *followed = NULL, end;
    _cleanup_free_ char *parent = NULL;

    if (!rest)
        return path;
    end = *rest;
    *rest = '\0';
    parent = realpath(path, NULL);
    *rest = end;
    if (!parent)
        return path;
    if (asprintf(&followed, "%s%s", parent, rest) < 0)
        followed = NULL;
    free(path);
    return followed;
}

static char *make_absolute(const char *typed)
{
    _cleanup_free_ char *cwd = NULL;
    char *path = NULL;

    if (*typed == '/') {
        path = strdup(typed);
    } else {
        cwd = getcwd(NULL, 0);
        if (!cwd || asprintf(&path, "%s/%s", cwd, typed) < 0)
            return NULL;
    }
    if (path)
        path = follow_to_parents(path);
    if (path)
        clean_path(path);
    return path;
}

/* realpath() of the longest beginning that still exists, with the rest as it was typed. */
static char *resolve_links(const char *absolute)
{
    _cleanup_free_ char *head = strdup(absolute);
    char *result = NULL;

    if (!head)
        return NULL;
    for (char *slash = head + strlen(head); slash;) {
        _cleanup_free_ char *resolved = NULL;

        *slash = '\0';
        resolved = realpath(*head ? head : "/", NULL);
        if (resolved) {
            const char *rest = absolute + (slash - head);

            if (asprintf(&result, "%s%s", strcmp(resolved, "/") == 0 && *rest ? "" : resolved, rest) < 0)
                return NULL;
            return result;
        }
        slash = strrchr(head, '/');
    }
    return NULL;
}

/* In a name that is not UTF-8 throughout, backslashes are stored doubled. */
static char *double_backslashes(struct iol_arena *arena, const char *text)
{
    char *copy = iol_arena_alloc(arena, 2 * strlen(text) + 1), *out = copy;

    if (!copy)
        return NULL;
    for (; *text; text++) {
        if (*text == '\\')
            *out++ = '\\';
        *out++ = *text;
    }
    *out = '\0';
    return copy;
}

static int add_name(struct iol_arena *arena, struct iol_paths *paths, const char *name)
{
    size_t length = strlen(name);
    char *to = NULL;

    for (size_t i = 0; i < paths->n_names; i++) {
        if (strcmp(paths->names[i].from, name) == 0)
            return 0;
    }
    if (paths->tree) {
        to = iol_arena_dup(arena, name, length);
        if (!to)
            return -ENOMEM;
        to[length - 1]++; /* '0' comes after '/' */
    }
    paths->names[paths->n_names].from = name;
    paths->names[paths->n_names++].to = to;
    return 0;
}

/* Adds a path in the form in which the ledger has it. */
static int add_path(struct iol_arena *arena, struct iol_paths *paths, const char *path)
{
    _cleanup_free_ char *full = NULL;
    bool escaped;
    const char *name;

    /* "/" is its own tree. */
    if (asprintf(&full, "%s%s", path, paths->tree && strcmp(path, "/") != 0 ? "/" : "") < 0)
        return -ENOMEM;
    name = iol_text_store(arena, full, strlen(full), &escaped);
    if (!name || add_name(arena, paths, name) < 0)
        return -ENOMEM;
    /* Below a directory there may be names that are not UTF-8, and those have its backslashes doubled too. */
    if (paths->tree && !escaped && strchr(name, '\\')) {
        name = double_backslashes(arena, name);
        return name ? add_name(arena, paths, name) : -ENOMEM;
    }
    return 0;
}

int iol_paths_resolve(struct iol_arena *arena, const char *typed, struct iol_paths *ret_paths, struct iol_error *err)
{
    struct iol_paths paths = {0};
    _cleanup_free_ char *absolute = NULL, *resolved = NULL;
    bool pseudo = *typed == '(' || strncmp(typed, "anon_inode:", 11) == 0;

    if (!*typed)
        return iol_error_set(err, -EINVAL, "the path is empty");
    paths.tree = typed[strlen(typed) - 1] == '/';
    /* Accounts that stand for no file, "(pipes)", are asked for by their name as it is. */
    if (pseudo && !paths.tree) {
        const char *name = iol_text_store(arena, typed, strlen(typed), NULL);

        if (!name || add_name(arena, &paths, name) < 0)
            return no_memory(err);
    }
    absolute = make_absolute(typed);
    if (!absolute)
        return iol_error_set(err, -errno, "'%s' cannot be made absolute: %s", typed, strerror(errno));
    if (add_path(arena, &paths, absolute) < 0)
        return no_memory(err);
    resolved = pseudo ? NULL : resolve_links(absolute);
    if (resolved && add_path(arena, &paths, resolved) < 0)
        return no_memory(err);
    *ret_paths = paths;
    return 0;
}

const char *iol_paths_condition(struct iol_arena *arena, const struct iol_paths *paths, const char *column,
                                const char **params, size_t *n_params)
{
    _cleanup_free_ char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    for (size_t i = 0; i < paths->n_names; i++) {
        fputs(i ? " OR " : "(", out);
        params[(*n_params)++] = paths->names[i].from;
        if (paths->names[i].to) {
            fprintf(out, "(%s >= $%zu AND %s < $%zu)", column, *n_params, column, *n_params + 1);
            params[(*n_params)++] = paths->names[i].to;
        } else {
            fprintf(out, "%s = $%zu", column, *n_params);
        }
    }
    putc(')', out);
    return fclose(out) == 0 ? iol_arena_dup(arena, text, size) : NULL;
}
