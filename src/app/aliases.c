// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/aliases.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/paths.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/reader.h"
#include "store/sql.h"

#define STEPS_MAX 256    /* names looked at, those that were looked at before included */
#define EVENTS_MAX 1000  /* of one name */
#define ANCESTORS_MAX 64 /* directories above a name whose renames are looked for */
#define TOLD_MAX 4

/* Where to look next: all that ever happened to a name, or from the moment on at which it was the file's backwards, or forwards. */
enum way { BOTH_WAYS, BACK, FORTH };

struct step {
    enum way way;
    const char *at;          /* a time; NULL with BOTH_WAYS */
    struct iol_alias *alias; /* whose other bound is to be found; NULL with BOTH_WAYS */
    const char *path;
    int64_t host_id;
};

struct search {
    struct iol_arena *arena;
    struct iol_db *db;
    struct iol_aliases *aliases;
    const struct iol_paths *paths;
    struct step steps[STEPS_MAX];
    size_t n_steps;
    bool no_memory;
};

/* An event that one of the names was part of. */
struct happening {
    const char *ts, *kind, *from, *to;
    int64_t host_id;
    const char *comm;
    long long pid;
};

static const char *keep(struct search *search, const char *text)
{
    const char *copy = text ? iol_arena_dup(search->arena, text, strlen(text)) : NULL;

    if (text && !copy)
        search->no_memory = true;
    return copy;
}

static void add_step(struct search *search, const struct step *step)
{
    if (search->n_steps < STEPS_MAX && step->path)
        search->steps[search->n_steps++] = *step;
}

/* `path` is `directory` or below it: what is behind it, else NULL. */
static const char *below(const char *path, const char *directory)
{
    size_t length = directory ? strlen(directory) : 0;

    if (length == 0 || strncmp(path, directory, length) != 0 || (path[length] && path[length] != '/'))
        return NULL;
    return path + length;
}

static bool is_asked_for(const struct search *search, const char *path)
{
    for (size_t i = 0; i < search->paths->n_names; i++) {
        if (strcmp(search->paths->names[i].from, path) == 0)
            return true;
    }
    return false;
}

static const char *how_of(struct search *search, const struct happening *happening)
{
    bool link = strcmp(happening->kind, "link") == 0;
    _cleanup_free_ char *text = NULL;

    if (asprintf(&text, "%s by %s(%lld)", link ? "linked" : "renamed", happening->comm ? happening->comm : "?",
                 happening->pid) < 0)
        text = NULL;
    if (!text)
        search->no_memory = true;
    return keep(search, text);
}

/*
 * One more name: that of `path` when what was called `one` became, or had been, `another`. The bound on the side of the event
 * is known, the one beyond is looked for in a further step.
 */
static void add_alias(struct search *search, const struct happening *happening, const char *suffix, enum way way)
{
    bool link = strcmp(happening->kind, "link") == 0;
    const char *directory = way == BACK ? happening->from : happening->to;
    _cleanup_free_ char *path = NULL;
    struct iol_alias *alias = NULL;
    const char *ts;

    if (!directory || asprintf(&path, "%s%s", strcmp(directory, "/") == 0 ? "" : directory, suffix) < 0 ||
        is_asked_for(search, path))
        return;
    for (size_t i = 0; i < search->aliases->n; i++) {
        struct iol_alias *known = &search->aliases->list[i];

        if (known->host_id == happening->host_id && strcmp(known->path, path) == 0)
            alias = known;
    }
    ts = keep(search, happening->ts);
    if (alias) {
        /* the name had been this file's more than once: from the first time to the last */
        if (way == BACK && alias->until && strcmp(alias->until, ts) < 0)
            alias->until = ts;
        if (way == FORTH && alias->since && strcmp(alias->since, ts) > 0)
            alias->since = ts;
        return;
    }
    if (search->aliases->n == IOL_ALIASES_MAX)
        return;
    alias = &search->aliases->list[search->aliases->n++];
    *alias = (struct iol_alias){
        .path = keep(search, path),
        .host_id = happening->host_id,
        .since = way == FORTH ? ts : NULL,
        .until = way == BACK && !link ? ts : NULL, /* what a link was made of keeps its name */
        .how = how_of(search, happening),
    };
    add_step(search,
             &(struct step){.way = way, .at = ts, .alias = alias, .path = alias->path, .host_id = alias->host_id});
}

/* True: nothing before this has to do with the file that the name is in the end. */
static bool look_back(struct search *search, const struct step *step, const struct happening *happening)
{
    bool link = strcmp(happening->kind, "link") == 0;
    bool rename = strcmp(happening->kind, "rename") == 0;
    const char *suffix = rename || link ? below(step->path, happening->to) : NULL;

    if (suffix)
        add_alias(search, happening, suffix, BACK);
    else if (link || (!rename && strcmp(happening->from, step->path) != 0))
        return false;
    if (step->alias)
        step->alias->since = keep(search, happening->ts);
    return true;
}

/* True: after this the name is another file's. */
static bool look_forth(struct search *search, const struct step *step, const struct happening *happening)
{
    bool link = strcmp(happening->kind, "link") == 0;
    bool rename = strcmp(happening->kind, "rename") == 0;
    const char *suffix = rename || link ? below(step->path, happening->from) : NULL;

    if (suffix)
        add_alias(search, happening, suffix, FORTH);
    if (link || (!rename && (strcmp(happening->from, step->path) != 0 || strcmp(happening->kind, "open") == 0)))
        return false;
    if (step->alias)
        step->alias->until = keep(search, happening->ts);
    return true;
}

/* The name that was asked for is taken for all that it has ever been: each file that it was has its other names. */
static void look_both_ways(struct search *search, const struct step *step, const struct happening *happening)
{
    const char *suffix;

    if (strcmp(happening->kind, "rename") != 0 && strcmp(happening->kind, "link") != 0)
        return;
    suffix = below(step->path, happening->to);
    if (suffix)
        add_alias(search, happening, suffix, BACK);
    suffix = below(step->path, happening->from);
    if (suffix)
        add_alias(search, happening, suffix, FORTH);
}

/* "$1,$2,..." for the name and the directories above it, the nearest first. */
static size_t list_ancestors(struct search *search, const char *path, const char *params[ANCESTORS_MAX], FILE *out)
{
    size_t n = 0;

    for (size_t length = strlen(path); length > 0 && n < ANCESTORS_MAX; n++) {
        params[n] = iol_arena_dup(search->arena, path, length);
        if (!params[n])
            search->no_memory = true;
        fprintf(out, "%s$%zu", n ? "," : "", n + 1);
        while (length > 0 && path[--length] != '/')
            ;
    }
    return n;
}

static const char *time_cast(const struct iol_db *db)
{
    return iol_db_dialect(db) == IOL_DIALECT_POSTGRESQL ? "AS timestamptz" : "AS text";
}

/* All that happened to the name or to a directory above it, on one side of a moment; the nearest to it first. */
static int query_step(struct search *search, const struct step *step, struct iol_query **ret_query,
                      struct iol_error *err)
{
    const char *params[ANCESTORS_MAX + 1];
    _cleanup_free_ char *list = NULL, *sql = NULL, *condition = NULL;
    struct iol_focus focus = {.kind = IOL_FOCUS_NAMES, .params = params};
    char when[128] = "";
    size_t size, n;
    FILE *out = open_memstream(&list, &size);

    if (!out)
        return iol_question_no_memory(err);
    n = list_ancestors(search, step->path, params, out);
    if (fclose(out) != 0 || search->no_memory)
        return iol_question_no_memory(err);
    if (asprintf(&condition, "f.path IN (%s)", list) < 0)
        return iol_question_no_memory(err);
    focus.files = condition;
    focus.n_params = n;
    int r = iol_db_focus(search->db, &focus, err);
    if (r < 0)
        return r;
    if (step->at) {
        params[n++] = step->at;
        snprintf(when, sizeof(when), " AND e.ts %s CAST($%zu %s) AND e.host_id = %" PRId64,
                 step->way == BACK ? "<" : ">", n, time_cast(search->db), step->host_id);
    }
    if (asprintf(&sql,
                 "SELECT e.ts, e.kind, f.path, o.path, e.host_id, p.comm, p.pid"
                 " FROM file f JOIN event e ON e.file_id = f.id LEFT JOIN file o ON o.id = e.other_file_id"
                 " LEFT JOIN process p ON p.id = e.process_id"
                 " WHERE f.path IN (%1$s) AND e.kind IN ('rename','link','open','mkdir','unlink','rmdir')%2$s"
                 " UNION ALL SELECT e.ts, e.kind, f.path, o.path, e.host_id, p.comm, p.pid"
                 " FROM file o JOIN event e ON e.other_file_id = o.id JOIN file f ON f.id = e.file_id"
                 " LEFT JOIN process p ON p.id = e.process_id"
                 " WHERE o.path IN (%1$s) AND e.kind IN ('rename','link')%2$s ORDER BY 1%3$s LIMIT %4$d",
                 list, when, step->way == FORTH ? "" : " DESC", EVENTS_MAX) < 0)
        return iol_question_no_memory(err);
    return iol_query_new(search->db, sql, n, params, ret_query, err);
}

static int take_step(struct search *search, const struct step *step, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = query_step(search, step, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        const struct happening happening = {
            .ts = iol_query_text(query, 0),
            .kind = iol_query_text(query, 1),
            .from = iol_query_text(query, 2),
            .to = iol_query_text(query, 3),
            .host_id = iol_query_int(query, 4),
            .comm = iol_query_text(query, 5),
            .pid = iol_query_int(query, 6),
        };

        if (step->way == BOTH_WAYS)
            look_both_ways(search, step, &happening);
        else if (step->way == BACK ? look_back(search, step, &happening) : look_forth(search, step, &happening))
            break;
    }
    if (search->no_memory)
        return iol_question_no_memory(err);
    return r < 0 ? r : 0;
}

/*
 * The rows of the very same files: device, inode and a generation, which tells apart files that had one inode after the
 * other. Without a generation only events link two names.
 */
static int find_identities(struct search *search, struct iol_error *err)
{
    const char *params[2 * IOL_PATHS_MAX];
    size_t n_params = 0, size, n = 0;
    const char *condition = iol_paths_condition(search->arena, search->paths, "f.path", params, &n_params);
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *sql = NULL, *ids = NULL;
    FILE *out;
    int r;

    if (!condition || asprintf(&sql,
                               "SELECT DISTINCT o.id FROM file f JOIN file o ON o.host_id = f.host_id"
                               " AND o.dev = f.dev AND o.inode = f.inode AND o.generation = f.generation"
                               " AND o.path <> f.path WHERE %s AND f.inode <> 0 AND f.generation <> 0 LIMIT %d",
                               condition, EVENTS_MAX) < 0)
        return iol_question_no_memory(err);
    r = iol_db_focus(
        search->db,
        &(struct iol_focus){.kind = IOL_FOCUS_SAME, .files = condition, .n_params = n_params, .params = params}, err);
    if (r == 0)
        r = iol_query_new(search->db, sql, n_params, params, &query, err);
    out = r < 0 ? NULL : open_memstream(&ids, &size);
    while (out && (r = iol_query_next(query, err)) > 0)
        fprintf(out, "%s%lld", n++ ? "," : "", iol_query_int(query, 0));
    if (r < 0) {
        if (out)
            fclose(out);
        return r;
    }
    if (!out || fclose(out) != 0)
        return iol_question_no_memory(err);
    search->aliases->file_ids = n ? keep(search, ids) : NULL;
    return search->no_memory ? iol_question_no_memory(err) : 0;
}

int iol_aliases_find(struct iol_arena *arena, struct iol_db *db, const struct iol_paths *paths,
                     struct iol_aliases *ret_aliases, struct iol_error *err)
{
    struct search search = {.arena = arena, .db = db, .aliases = ret_aliases, .paths = paths};
    int r = 0;

    *ret_aliases = (struct iol_aliases){.tree = paths->tree};
    for (size_t i = 0; i < paths->n_names; i++) {
        size_t length = strlen(paths->names[i].from);
        bool slash = length > 0 && paths->names[i].from[length - 1] == '/';

        add_step(&search,
                 &(struct step){.way = BOTH_WAYS,
                                .path = iol_arena_dup(arena, paths->names[i].from, slash ? length - 1 : length)});
    }
    for (size_t i = 0; r == 0 && i < search.n_steps; i++) {
        if (search.steps[i].path[0] == '/')
            r = take_step(&search, &search.steps[i], err);
    }
    if (r == 0 && !paths->tree)
        r = find_identities(&search, err);
    return r;
}

/* Accounts know their first and last operation to a tick of the kernel's clock, 10 ms at most, and events happen at a nanosecond. */
#define SLACK_NS INT64_C(20000000)

/* " AND first <= TIME", with the bound moved by two ticks. */
static void print_bound(FILE *out, enum iol_dialect dialect, const char *column, const char *compare, const char *ts,
                        int64_t slack_ns)
{
    char literal[64];
    int64_t ns;

    if (iol_text_parse_time(ts, &ns))
        fprintf(out, " AND %s %s %s", column, compare,
                iol_sql_account_time(dialect, literal, sizeof(literal), ns + slack_ns));
}

static const char *end_of_tree(struct iol_arena *arena, const char *directory)
{
    char *end = iol_arena_dup(arena, directory, strlen(directory));

    if (end)
        end[strlen(end) - 1]++; /* '0' comes after '/' */
    return end;
}

static void print_alias(FILE *out, struct iol_arena *arena, const struct iol_aliases *aliases,
                        const struct iol_alias *alias, const char *f, const char **params, size_t *n)
{
    if (aliases->tree) {
        char *directory = iol_arena_alloc(arena, strlen(alias->path) + 2);

        if (directory)
            sprintf(directory, "%s/", alias->path);
        params[(*n)++] = directory;
        params[(*n)++] = directory ? end_of_tree(arena, directory) : NULL;
        fprintf(out, "(%spath >= $%zu AND %spath < $%zu", f, *n - 1, f, *n);
    } else {
        params[(*n)++] = alias->path;
        fprintf(out, "(%spath = $%zu", f, *n);
    }
    fprintf(out, " AND %shost_id = %" PRId64, f, alias->host_id);
}

const char *iol_aliases_condition(struct iol_arena *arena, struct iol_db *db, const struct iol_aliases *aliases,
                                  bool with_times, const char **params, size_t *n_params)
{
    const char *f = with_times ? "" : "f.";
    _cleanup_free_ char *text = NULL;
    size_t size = 0, first = *n_params;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    if (aliases->file_ids)
        fprintf(out, " OR %s IN (%s)", with_times ? "file_id" : "f.id", aliases->file_ids);
    for (size_t i = 0; i < aliases->n; i++) {
        const struct iol_alias *alias = &aliases->list[i];

        fputs(" OR ", out);
        print_alias(out, arena, aliases, alias, f, params, n_params);
        if (with_times && alias->until)
            print_bound(out, iol_db_dialect(db), "first", "<=", alias->until, SLACK_NS);
        if (with_times && alias->since)
            print_bound(out, iol_db_dialect(db), "last", ">=", alias->since, -SLACK_NS);
        putc(')', out);
    }
    if (fclose(out) != 0)
        return NULL;
    for (size_t i = first; i < *n_params; i++) {
        if (!params[i])
            return NULL;
    }
    return iol_arena_dup(arena, text, size);
}

bool iol_aliases_have(const struct iol_aliases *aliases, const char *path)
{
    for (size_t i = 0; i < aliases->n; i++) {
        if (strcmp(aliases->list[i].path, path) == 0)
            return true;
    }
    return false;
}

void iol_aliases_tell(const struct iol_aliases *aliases)
{
    enum { SECONDS = 19 }; /* "YYYY-MM-DD HH:MM:SS" */
    const char *slash = aliases->tree ? "/" : "";

    for (size_t i = 0; i < aliases->n && i < TOLD_MAX; i++) {
        const struct iol_alias *alias = &aliases->list[i];
        char since[32] = "", until[32] = "";

        if (alias->since)
            snprintf(since, sizeof(since), " since %.*s", SECONDS, alias->since);
        if (alias->until)
            snprintf(until, sizeof(until), " until %.*s", SECONDS, alias->until);
        iol_log_info("also known as '%s%s'%s%s, %s", alias->path, slash, since, until, alias->how);
    }
    if (aliases->n > TOLD_MAX)
        iol_log_info("... and under more names");
}
