// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/story.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "app/options.h"
#include "app/path_question.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "store/ask.h"
#include "store/reader.h"

/* Accounts know their operations to a tick of the kernel's clock, 10 ms at most: a file is created before it is written. */
#define TICK_NS INT64_C(10000000)

#define DIRECTORIES_MAX 64 /* above the names, whose renaming is part of the story */

enum kind { WRITTEN, READ, MAPPED };

/* An episode that may go on. */
struct open_episode {
    struct {
        int64_t process_id;
        const char *path; /* of the story's own texts: equal when they are the same */
        enum kind kind;
    } key;
    struct iol_episode *episode;
    int64_t last_ns;
    UT_hash_handle hh;
};

struct name {
    const char *text;
    int64_t changed_ns; /* when it became another file's, or nobody's, the last time that has been passed */
    UT_hash_handle hh;
};

struct iol_story {
    struct iol_arena *arena;
    struct name *names; /* every text once: a file is read by few programs under few names */
    struct open_episode *open;
    struct iol_episode **list;
    size_t n, capacity;
    size_t n_changes, passed; /* the list's first ones are changes, in order of time, until all is sorted */
    int64_t pause_ns;
    bool no_memory;
};

static void free_story(struct iol_story **story)
{
    iol_story_free(*story);
}

/* NULL: no memory. */
static struct name *find_name(struct iol_story *story, const char *text)
{
    size_t length = strlen(text);
    struct name *name;

    HASH_FIND(hh, story->names, text, length, name);
    if (name)
        return name;
    name = iol_arena_alloc(story->arena, sizeof(*name));
    if (name)
        *name = (struct name){.text = iol_arena_dup(story->arena, text, length), .changed_ns = INT64_MIN};
    if (!name || !name->text) {
        story->no_memory = true;
        return NULL;
    }
    HASH_ADD_KEYPTR(hh, story->names, name->text, length, name);
    return name;
}

static const char *keep(struct iol_story *story, const char *text)
{
    const struct name *name = text ? find_name(story, text) : NULL;

    return name ? name->text : NULL;
}

static struct iol_episode *add_episode(struct iol_story *story)
{
    struct iol_episode *episode = iol_arena_alloc(story->arena, sizeof(*episode));

    if (!episode || iol_array_reserve(&story->list, &story->capacity, story->n + 1, sizeof(*story->list)) < 0)
        return NULL;
    *episode = (struct iol_episode){0};
    story->list[story->n++] = episode;
    return episode;
}

/* The columns PROCESS_ID, PID, COMM, EXE and USER stand together in both queries. */
static void take_process(struct iol_story *story, struct iol_episode *episode, const struct iol_query *query,
                         size_t process_id)
{
    episode->process_id = iol_query_int(query, process_id);
    episode->pid = iol_query_int(query, process_id + 1);
    episode->comm = keep(story, iol_query_text(query, process_id + 2));
    episode->exe = keep(story, iol_query_text(query, process_id + 3));
    episode->user = keep(story, iol_query_text(query, process_id + 4));
}

_Static_assert(IOL_ACCOUNTS_USER == IOL_ACCOUNTS_PROCESS_ID + 4 && IOL_CHANGES_USER == IOL_CHANGES_PROCESS_ID + 4,
               "a process's columns stand together");

/* Notes which names have become another file's before that time. */
static void pass_changes(struct iol_story *story, int64_t until_ns)
{
    static const char *const ends[] = {"created", "renamed", "deleted"};

    for (; story->passed < story->n_changes && story->list[story->passed]->first_ns <= until_ns; story->passed++) {
        const struct iol_episode *change = story->list[story->passed];

        for (size_t i = 0; i < IOL_ARRAY_SIZE(ends); i++) {
            struct name *name =
                change->path && strcmp(change->what, ends[i]) == 0 ? find_name(story, change->path) : NULL;
            struct name *other = name && change->other_path ? find_name(story, change->other_path) : NULL;

            if (name)
                name->changed_ns = change->first_ns;
            if (other)
                other->changed_ns = change->first_ns;
        }
    }
}

static bool goes_on(struct iol_story *story, const struct open_episode *open, int64_t first_ns)
{
    const struct name *name = open->key.path ? find_name(story, open->key.path) : NULL;

    return first_ns - open->last_ns <= story->pause_ns && (!name || name->changed_ns < open->last_ns - TICK_NS);
}

/* The episode that this account goes on with, or a new one; NULL: no memory. */
static struct open_episode *find_open(struct iol_story *story, const struct iol_query *query, enum kind kind,
                                      int64_t first_ns)
{
    static const char *const words[] = {[WRITTEN] = "written", [READ] = "read", [MAPPED] = "mapped"};
    struct open_episode probe, *open;

    memset(&probe, 0, sizeof(probe));
    probe.key.process_id = iol_query_int(query, IOL_ACCOUNTS_PROCESS_ID);
    probe.key.path = keep(story, iol_query_text(query, IOL_ACCOUNTS_PATH));
    probe.key.kind = kind;
    HASH_FIND(hh, story->open, &probe.key, sizeof(probe.key), open);
    if (open && goes_on(story, open, first_ns))
        return open;
    if (!open) {
        open = iol_arena_alloc(story->arena, sizeof(*open));
        if (!open)
            return NULL;
        *open = probe;
        HASH_ADD(hh, story->open, key, sizeof(open->key), open);
    }
    open->last_ns = first_ns;
    open->episode = add_episode(story);
    if (!open->episode)
        return NULL;
    open->episode->what = words[kind];
    open->episode->counted = true;
    open->episode->key = open->episode->first_ns = open->episode->last_ns = first_ns;
    open->episode->path = probe.key.path;
    open->episode->host = keep(story, iol_query_text(query, IOL_ACCOUNTS_HOST));
    take_process(story, open->episode, query, IOL_ACCOUNTS_PROCESS_ID);
    return open;
}

static int take_account(struct iol_story *story, const struct iol_query *query, enum kind kind, size_t counters,
                        int64_t errors)
{
    const char *first = iol_query_text(query, IOL_ACCOUNTS_FIRST), *last = iol_query_text(query, IOL_ACCOUNTS_LAST);
    int64_t ops = iol_query_int(query, counters), first_ns = 0, last_ns = 0;
    struct open_episode *open;

    if (ops + errors == 0)
        return 0;
    if (!first || !last || !iol_text_parse_time(first, &first_ns) || !iol_text_parse_time(last, &last_ns))
        return 0;
    pass_changes(story, first_ns);
    open = find_open(story, query, kind, first_ns);
    if (!open)
        return -ENOMEM;
    open->episode->ops += ops;
    open->episode->bytes += iol_query_int(query, counters + 1);
    open->episode->errors += errors;
    if (last_ns > open->last_ns)
        open->last_ns = open->episode->last_ns = last_ns;
    return 0;
}

static int load_accounts(struct iol_story *story, struct iol_db *db, const struct iol_ask *ask, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_ask_accounts(db, ask, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        bool mapped = iol_query_int(query, IOL_ACCOUNTS_MAPPED) != 0;
        size_t reads = IOL_ACCOUNTS_COUNTERS, writes = reads + 2;

        /* A mapping that may be written is counted as both. */
        if (take_account(story, query, mapped ? MAPPED : READ, reads, iol_query_int(query, reads + 4)) < 0 ||
            (!mapped && take_account(story, query, WRITTEN, writes, iol_query_int(query, reads + 5)) < 0) ||
            story->no_memory)
            return iol_question_no_memory(err);
    }
    return r;
}

static const struct {
    const char *kind, *what;
    int64_t shift_ns; /* where it stands among reads and writes of the same tick */
} changes[] = {
    {"open", "created", -TICK_NS},    {"mkdir", "created", -TICK_NS},     {"symlink", "symlinked", -TICK_NS},
    {"exec", "executed", 0},          {"exec_failed", "not executed", 0}, {"open_failed", "open refused", 0},
    {"truncate", "truncated", 0},     {"chmod", "mode changed", 0},       {"chown", "owner changed", 0},
    {"setxattr", "attribute set", 0}, {"link", "linked", TICK_NS},        {"rename", "renamed", TICK_NS},
    {"unlink", "deleted", TICK_NS},   {"rmdir", "deleted", TICK_NS},
};

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* An event that was found by its first file is found again by the other one. */
static bool is_known(const struct iol_story *story, const struct iol_episode *one, size_t from)
{
    for (size_t i = story->n; i-- > from;) {
        const struct iol_episode *known = story->list[i];

        if (known->first_ns != one->first_ns)
            return false;
        if (known != one && known->process_id == one->process_id && same_text(known->path, one->path) &&
            same_text(known->other_path, one->other_path) && strcmp(known->what, one->what) == 0)
            return true;
    }
    return false;
}

static int take_change(struct iol_story *story, const struct iol_query *query, size_t from)
{
    const char *ts = iol_query_text(query, IOL_CHANGES_TS), *kind = iol_query_text(query, IOL_CHANGES_KIND);
    struct iol_episode *episode;
    size_t which = 0;

    while (which < IOL_ARRAY_SIZE(changes) && kind && strcmp(changes[which].kind, kind) != 0)
        which++;
    if (!ts || !kind || which == IOL_ARRAY_SIZE(changes))
        return 0;
    episode = add_episode(story);
    if (!episode)
        return -ENOMEM;
    if (iol_text_parse_time(ts, &episode->first_ns))
        episode->last_ns = episode->first_ns;
    episode->key = episode->first_ns + changes[which].shift_ns;
    episode->what = changes[which].what;
    take_process(story, episode, query, IOL_CHANGES_PROCESS_ID);
    episode->path = keep(story, iol_query_text(query, IOL_CHANGES_PATH));
    episode->other_path = keep(story, iol_query_text(query, IOL_CHANGES_OTHER_PATH));
    episode->host = keep(story, iol_query_text(query, IOL_CHANGES_HOST));
    if (is_known(story, episode, from))
        story->n--;
    return 0;
}

static bool is_bound(const struct iol_aliases *aliases, const char *ts)
{
    for (size_t i = 0; i < aliases->n; i++) {
        if (same_text(aliases->list[i].since, ts) || same_text(aliases->list[i].until, ts))
            return true;
    }
    return false;
}

/* `bounds`: only those at which a name began or ended; NULL: all. */
static int load_changes(struct iol_story *story, struct iol_db *db, const struct iol_ask *ask,
                        const struct iol_aliases *bounds, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    size_t from = story->n;
    int r = iol_ask_changes(db, ask, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        const char *ts = iol_query_text(query, IOL_CHANGES_TS), *kind = iol_query_text(query, IOL_CHANGES_KIND);

        if (bounds && (!ts || !kind || strcmp(kind, "rename") != 0 || !is_bound(bounds, ts)))
            continue;
        if (take_change(story, query, from) < 0 || story->no_memory)
            return iol_question_no_memory(err);
    }
    return r;
}

/* Adds the directories above the path to the list. */
static void list_directories(struct iol_story *story, const char *path, const char *list[DIRECTORIES_MAX], size_t *n)
{
    for (size_t length = strlen(path); length > 1;) {
        const char *directory;
        bool known = false;

        while (length > 0 && path[--length] != '/')
            ;
        if (length == 0)
            return;
        directory = iol_arena_dup(story->arena, path, length);
        if (!directory) {
            story->no_memory = true;
            return;
        }
        for (size_t i = 0; i < *n; i++)
            known |= strcmp(list[i], directory) == 0;
        if (!known && *n < DIRECTORIES_MAX)
            list[(*n)++] = directory;
    }
}

/* The file's name changes with that of a directory above it. */
static int load_directories(struct iol_story *story, const struct iol_path_question *question, struct iol_ask ask,
                            struct iol_error *err)
{
    const char *list[DIRECTORIES_MAX];
    _cleanup_free_ char *condition = NULL;
    size_t n = 0, size;
    FILE *out = open_memstream(&condition, &size);

    if (!out)
        return iol_question_no_memory(err);
    for (size_t i = 0; i < question->paths.n_names; i++)
        list_directories(story, question->paths.names[i].from, list, &n);
    for (size_t i = 0; i < question->aliases.n; i++)
        list_directories(story, question->aliases.list[i].path, list, &n);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "%s$%zu", i ? "," : "f.path IN (", i + 1);
    fputs(n ? ")" : "", out);
    if (fclose(out) != 0 || story->no_memory)
        return iol_question_no_memory(err);
    ask.files = condition;
    ask.names = NULL;
    ask.params = list;
    ask.n_params = n;
    return n > 0 && question->aliases.n > 0 ? load_changes(story, question->db, &ask, &question->aliases, err) : 0;
}

static int compare(const void *left, const void *right)
{
    const struct iol_episode *a = *(const struct iol_episode *const *)left;
    const struct iol_episode *b = *(const struct iol_episode *const *)right;

    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->counted != b->counted)
        return a->counted ? 1 : -1;
    if (a->first_ns != b->first_ns)
        return a->first_ns < b->first_ns ? -1 : 1;
    if (a->pid != b->pid)
        return a->pid < b->pid ? -1 : 1;
    return strcmp(a->what, b->what);
}

static int compare_times(const void *left, const void *right)
{
    const struct iol_episode *a = *(const struct iol_episode *const *)left;
    const struct iol_episode *b = *(const struct iol_episode *const *)right;

    return a->first_ns < b->first_ns ? -1 : a->first_ns > b->first_ns;
}

/* Of changes the time is exact: wherever they stand among reads and writes, they stay in their order. */
static void order_changes(struct iol_story *story)
{
    story->n_changes = story->n;
    if (story->n == 0)
        return;
    qsort(story->list, story->n, sizeof(*story->list), compare_times);
    for (size_t i = story->n - 1; i > 0; i--) {
        if (story->list[i - 1]->key > story->list[i]->key)
            story->list[i - 1]->key = story->list[i]->key;
    }
}

int iol_story_load(const struct iol_path_question *question, const struct iol_options *options, int64_t pause_ns,
                   struct iol_story **ret_story, struct iol_error *err)
{
    _cleanup_(free_story) struct iol_story *story = calloc(1, sizeof(*story));
    const struct iol_ask ask = iol_path_question_ask(question, options);
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("gathering what happened");
    int r;

    if (!story || !(story->arena = iol_arena_new()))
        return iol_question_no_memory(err);
    story->pause_ns = pause_ns;
    r = load_changes(story, question->db, &ask, NULL, err);
    if (r == 0)
        r = load_directories(story, question, ask, err);
    order_changes(story);
    if (r == 0)
        r = load_accounts(story, question->db, &ask, err);
    if (r < 0)
        return r;
    if (story->n > 0)
        qsort(story->list, story->n, sizeof(*story->list), compare);
    *ret_story = TAKE_PTR(story);
    return 0;
}

const struct iol_episode *const *iol_story_list(const struct iol_story *story, size_t *ret_n)
{
    *ret_n = story->n;
    return (const struct iol_episode *const *)story->list;
}

void iol_story_free(struct iol_story *story)
{
    if (!story)
        return;
    HASH_CLEAR(hh, story->names);
    HASH_CLEAR(hh, story->open);
    iol_arena_free(story->arena);
    free(story->list);
    free(story);
}
