// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/view.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "app/live/names.h"
#include "app/live/top_few.h"
#include "base/array.h"
#include "base/cleanup.h"

#define MAX_DEPTH 64
#define MAX_WORDS 16

/* An entry of the directory that is looked at. */
struct iol_live_directory {
    struct iol_live_note note;
    UT_hash_handle hh;
    char path[];
};

struct scope {
    enum iol_group kind; /* PROCESS, FILE, DIRECTORY or CONTAINER */
    int64_t id;          /* of a process or file */
    char *text;          /* path of a file or directory, id of a container, name of a process */
    int64_t pid;
    enum iol_group before; /* what it was grouped by */
};

struct group {
    const void *subject; /* as the grouping says */
    struct iol_live_counts counts;
    uint32_t last; /* second of its newest use */
    uint32_t pairs;
    uint32_t shown; /* row + 1; 0: not shown */
};

struct iol_view {
    struct iol_live_names *names;
    struct iol_live_pairs *pairs;
    enum iol_group group;
    enum iol_sort sort;
    bool totals;
    char filter[IOL_VIEW_FILTER_MAX];
    char words[IOL_VIEW_FILTER_MAX]; /* NUL after each */
    const char *word[MAX_WORDS];
    size_t n_words;
    struct scope scopes[MAX_DEPTH];
    size_t n_scopes;
    uint32_t generation; /* of filter and scopes */
    uint32_t frame;
    struct iol_live_directory *directories; /* of this generation */
    struct group *groups;
    size_t n_groups, groups_room;
    struct iol_ranked *ranked;
    size_t n_ranked, ranked_room;
    struct iol_view_row *rows;
    size_t n_rows, rows_room;
    struct iol_live_counts sum;
};

struct iol_view *iol_view_new(struct iol_live_names *names, struct iol_live_pairs *pairs)
{
    struct iol_view *view = calloc(1, sizeof(*view));

    if (!view)
        return NULL;
    view->names = names;
    view->pairs = pairs;
    view->generation = 1; /* no note is of generation 0 */
    return view;
}

/* Filter or scope have changed: what is noted of processes and files does not hold any more. */
static void start_over(struct iol_view *view)
{
    struct iol_live_directory *directory, *next;

    view->generation++;
    HASH_ITER(hh, view->directories, directory, next) {
        HASH_DEL(view->directories, directory); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
        free(directory);
    }
    view->n_rows = 0;
}

void iol_view_free(struct iol_view *view)
{
    if (!view)
        return;
    start_over(view);
    while (view->n_scopes > 0)
        free(view->scopes[--view->n_scopes].text);
    free(view->groups);
    free(view->ranked);
    free(view->rows);
    free(view);
}

void iol_view_set_group(struct iol_view *view, enum iol_group group)
{
    view->group = group;
    view->n_rows = 0;
}

void iol_view_set_sort(struct iol_view *view, enum iol_sort sort)
{
    view->sort = sort;
}

enum iol_group iol_view_group(const struct iol_view *view)
{
    return view->group;
}

enum iol_sort iol_view_sort(const struct iol_view *view)
{
    return view->sort;
}

void iol_view_set_totals(struct iol_view *view, bool totals)
{
    view->totals = totals;
}

bool iol_view_totals(const struct iol_view *view)
{
    return view->totals;
}

void iol_view_set_filter(struct iol_view *view, const char *text)
{
    char *at = view->words, *word;

    snprintf(view->filter, sizeof(view->filter), "%s", text);
    memcpy(view->words, view->filter, sizeof(view->words));
    view->n_words = 0;
    while (view->n_words < MAX_WORDS && (word = strsep(&at, " ")))
        if (*word)
            view->word[view->n_words++] = word;
    start_over(view);
}

const char *iol_view_filter(const struct iol_view *view)
{
    return view->filter;
}

static bool push_scope(struct iol_view *view, const struct scope *scope, const char *text, enum iol_group group)
{
    char *copy = view->n_scopes < MAX_DEPTH ? strdup(text) : NULL;
    struct scope *new;

    if (!copy)
        return false;
    new = &view->scopes[view->n_scopes++];
    *new = *scope;
    new->before = view->group;
    new->text = copy;
    view->group = group;
    start_over(view);
    return true;
}

static bool ends_in_slash(const char *path)
{
    size_t length = strlen(path);

    return length > 0 && path[length - 1] == '/';
}

bool iol_view_open(struct iol_view *view, const struct iol_view_row *row)
{
    struct scope scope = {.kind = view->group};

    switch (view->group) {
    case IOL_GROUP_PROCESS:
        scope.id = row->process->id;
        scope.pid = row->process->pid;
        return push_scope(view, &scope, row->process->comm, IOL_GROUP_FILE);
    case IOL_GROUP_FILE:
        scope.id = row->file->id;
        return push_scope(view, &scope, row->file->path, IOL_GROUP_PROCESS);
    case IOL_GROUP_DIRECTORY:
        /* of a name without a slash at its end there may be several files: a deleted one and its successor */
        return push_scope(view, &scope, row->directory,
                          ends_in_slash(row->directory) ? IOL_GROUP_DIRECTORY : IOL_GROUP_PROCESS);
    case IOL_GROUP_CONTAINER:
        return push_scope(view, &scope, row->container->id, IOL_GROUP_PROCESS);
    default:
        return false;
    }
}

bool iol_view_back(struct iol_view *view)
{
    if (view->n_scopes == 0)
        return false;
    view->n_scopes--;
    free(view->scopes[view->n_scopes].text);
    view->group = view->scopes[view->n_scopes].before;
    start_over(view);
    return true;
}

void iol_view_scope(const struct iol_view *view, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < view->n_scopes && used < size; i++) {
        const struct scope *scope = &view->scopes[i];
        const char *between = used ? ", " : "";

        /* of directories the innermost says it all */
        if (scope->kind == IOL_GROUP_DIRECTORY && i + 1 < view->n_scopes &&
            view->scopes[i + 1].kind == IOL_GROUP_DIRECTORY)
            continue;
        if (scope->kind == IOL_GROUP_PROCESS)
            used += (size_t)snprintf(buf + used, size - used, "%s%s (%" PRId64 ")", between, scope->text, scope->pid);
        else if (scope->kind == IOL_GROUP_CONTAINER)
            used += (size_t)snprintf(buf + used, size - used, "%s%s", between,
                                     scope->text[0] ? scope->text : "no container");
        else
            used += (size_t)snprintf(buf + used, size - used, "%s%s", between, scope->text);
    }
}

/* The directory whose entries are shown: that of the innermost scope of the kind, or the root. */
static const char *prefix(const struct iol_view *view)
{
    for (size_t i = view->n_scopes; i > 0; i--) {
        if (view->scopes[i - 1].kind == IOL_GROUP_DIRECTORY && ends_in_slash(view->scopes[i - 1].text))
            return view->scopes[i - 1].text;
    }
    return "/";
}

static uint32_t find_words(const struct iol_view *view, const char *text)
{
    uint32_t found = 0;

    for (size_t i = 0; i < view->n_words; i++)
        if (strcasestr(text, view->word[i]))
            found |= UINT32_C(1) << i;
    return found;
}

static void note_process(const struct iol_view *view, struct iol_live_process *process)
{
    char number[24], user[24];

    snprintf(number, sizeof(number), "%" PRId64, process->pid);
    process->note.words = find_words(view, process->comm) | find_words(view, number) |
                          find_words(view, process->container->id) |
                          find_words(view, iol_live_names_user(view->names, process->uid, user, sizeof(user)));
    process->note.inside = true;
    for (size_t i = 0; i < view->n_scopes; i++) {
        const struct scope *scope = &view->scopes[i];

        if (scope->kind == IOL_GROUP_PROCESS && scope->id != process->id)
            process->note.inside = false;
        if (scope->kind == IOL_GROUP_CONTAINER && strcmp(process->container->id, scope->text) != 0)
            process->note.inside = false;
    }
    process->note.generation = view->generation;
}

static bool is_inside(const struct iol_view *view, const struct iol_live_file *file)
{
    for (size_t i = 0; i < view->n_scopes; i++) {
        const struct scope *scope = &view->scopes[i];

        if (scope->kind == IOL_GROUP_FILE && scope->id != file->id)
            return false;
        if (scope->kind != IOL_GROUP_DIRECTORY)
            continue;
        if (ends_in_slash(scope->text) ? strncmp(file->path, scope->text, strlen(scope->text)) != 0
                                       : strcmp(file->path, scope->text) != 0)
            return false;
    }
    return true;
}

/* The entry of the directory that is looked at which the file is, or is below; NULL: no memory. */
static struct iol_live_directory *find_directory(struct iol_view *view, const struct iol_live_file *file)
{
    size_t start = strlen(prefix(view)), length = strlen(file->path);
    const char *slash = length > start && file->path[0] == '/' ? strchr(file->path + start, '/') : NULL;
    struct iol_live_directory *directory;

    if (slash)
        length = (size_t)(slash - file->path) + 1;
    HASH_FIND(hh, view->directories, file->path, length, directory);
    if (directory)
        return directory;
    directory = calloc(1, sizeof(*directory) + length + 1);
    if (!directory)
        return NULL;
    memcpy(directory->path, file->path, length);
    HASH_ADD_KEYPTR(hh, view->directories, directory->path, length, directory);
    return directory;
}

static void note_file(const struct iol_view *view, struct iol_live_file *file)
{
    file->note.words = find_words(view, file->path);
    file->note.inside = is_inside(view, file);
    file->directory = NULL;
    file->note.generation = view->generation;
}

static struct iol_live_counts counts_of(const struct iol_view *view, const struct iol_live_pair *pair)
{
    return view->totals ? pair->total : iol_live_pair_counts(pair, iol_live_pairs_interval(view->pairs));
}

static bool is_wanted(const struct iol_view *view, const struct iol_live_pair *pair)
{
    if (!view->totals && iol_live_pair_is_idle(pair, iol_live_pairs_interval(view->pairs)))
        return false;
    if (pair->process->note.generation != view->generation)
        note_process(view, pair->process);
    if (pair->file->note.generation != view->generation)
        note_file(view, pair->file);
    return pair->process->note.inside && pair->file->note.inside &&
           (pair->process->note.words | pair->file->note.words) == (UINT32_C(1) << view->n_words) - 1;
}

static uint64_t sort_key(enum iol_sort sort, const struct iol_live_counts *counts)
{
    switch (sort) {
    case IOL_SORT_READ:
        return counts->read_bytes;
    case IOL_SORT_WRITTEN:
        return counts->write_bytes;
    case IOL_SORT_OPS:
        return counts->read_ops + counts->write_ops;
    case IOL_SORT_ERRORS:
        return counts->errors;
    default:
        return counts->read_bytes + counts->write_bytes;
    }
}

static int rank(struct iol_view *view, uint64_t key, uint32_t last, size_t index)
{
    if (iol_array_reserve(&view->ranked, &view->ranked_room, view->n_ranked + 1, sizeof(*view->ranked)) < 0)
        return -ENOMEM;
    view->ranked[view->n_ranked++] = (struct iol_ranked){.key = key, .last = last, .index = (uint32_t)index};
    return 0;
}

/* What the pair belongs to in this grouping: the entry, and its note. NULL: no memory. */
static const void *subject_of(struct iol_view *view, struct iol_live_pair *pair, struct iol_live_note **ret_note)
{
    switch (view->group) {
    case IOL_GROUP_PROCESS:
        *ret_note = &pair->process->note;
        return pair->process;
    case IOL_GROUP_CONTAINER:
        *ret_note = &pair->process->container->note;
        return pair->process->container;
    case IOL_GROUP_DIRECTORY:
        if (!pair->file->directory)
            pair->file->directory = find_directory(view, pair->file);
        *ret_note = pair->file->directory ? &pair->file->directory->note : NULL;
        return pair->file->directory;
    default:
        *ret_note = &pair->file->note;
        return pair->file;
    }
}

static int add_to_group(struct iol_view *view, struct iol_live_pair *pair, const struct iol_live_counts *counts)
{
    struct iol_live_note *note;
    const void *subject = subject_of(view, pair, &note);
    struct group *group;

    if (!subject)
        return -ENOMEM;
    if (note->frame != view->frame) {
        if (iol_array_reserve(&view->groups, &view->groups_room, view->n_groups + 1, sizeof(*view->groups)) < 0)
            return -ENOMEM;
        note->frame = view->frame;
        note->group = (uint32_t)view->n_groups;
        view->groups[view->n_groups++] = (struct group){.subject = subject};
    }
    group = &view->groups[note->group];
    iol_live_counts_add(&group->counts, counts);
    group->pairs++;
    if (group->last < pair->history.last)
        group->last = pair->history.last;
    return 0;
}

/* All pairs that are wanted, each by itself or in its group, with their rank. */
static int gather(struct iol_view *view)
{
    size_t n;
    struct iol_live_pair *pairs = iol_live_pairs_all(view->pairs, &n);
    int r = 0;

    view->n_groups = view->n_ranked = 0;
    view->sum = (struct iol_live_counts){0};
    if (view->totals && view->n_words == 0 && view->n_scopes == 0)
        view->sum = iol_live_pairs_dropped(view->pairs);
    view->frame++;
    for (size_t i = 0; r == 0 && i < n; i++) {
        struct iol_live_counts counts = counts_of(view, &pairs[i]);

        iol_live_pair_expect(view->pairs, i + IOL_LIVE_PAIRS_AHEAD);
        if (!is_wanted(view, &pairs[i]))
            continue;
        iol_live_counts_add(&view->sum, &counts);
        if (view->group == IOL_GROUP_PAIR)
            r = rank(view, sort_key(view->sort, &counts), pairs[i].history.last, i);
        else
            r = add_to_group(view, &pairs[i], &counts);
    }
    for (size_t i = 0; r == 0 && i < view->n_groups; i++) {
        view->groups[i].shown = 0;
        r = rank(view, sort_key(view->sort, &view->groups[i].counts), view->groups[i].last, i);
    }
    return r;
}

static void sum_history(const struct iol_view *view, const struct iol_live_pair *pair, struct iol_view_row *row)
{
    static const enum iol_measure measures[] = {
        [IOL_SORT_BYTES] = IOL_MEASURE_READ,      [IOL_SORT_READ] = IOL_MEASURE_READ,
        [IOL_SORT_WRITTEN] = IOL_MEASURE_WRITTEN, [IOL_SORT_OPS] = IOL_MEASURE_OPS,
        [IOL_SORT_ERRORS] = IOL_MEASURE_ERRORS,
    };
    uint32_t now = iol_live_pairs_interval(view->pairs)->second;

    iol_history_sum(&pair->history, measures[view->sort], now, row->history);
    if (view->sort == IOL_SORT_BYTES)
        iol_history_sum(&pair->history, IOL_MEASURE_WRITTEN, now, row->history);
}

static void fill_pair(const struct iol_view *view, const struct iol_live_pair *pair, struct iol_view_row *row)
{
    *row = (struct iol_view_row){
        .process = pair->process,
        .file = pair->file,
        .counts = counts_of(view, pair),
        .pairs = 1,
    };
    sum_history(view, pair, row);
}

static void fill_group(const struct iol_view *view, const struct group *group, struct iol_view_row *row)
{
    *row = (struct iol_view_row){.counts = group->counts, .pairs = group->pairs};
    if (view->group == IOL_GROUP_PROCESS)
        row->process = group->subject;
    else if (view->group == IOL_GROUP_FILE)
        row->file = group->subject;
    else if (view->group == IOL_GROUP_CONTAINER)
        row->container = group->subject;
    else
        row->directory = ((const struct iol_live_directory *)group->subject)->path;
}

/* The minute of a group is that of its pairs: only those of groups that are shown are looked at. */
static void sum_histories(struct iol_view *view)
{
    size_t n;
    struct iol_live_pair *pairs = iol_live_pairs_all(view->pairs, &n);

    for (size_t i = 0; i < n; i++) {
        struct iol_live_note *note;
        const struct group *group;

        if (!is_wanted(view, &pairs[i]) || !subject_of(view, &pairs[i], &note))
            continue;
        group = &view->groups[note->group];
        if (group->shown)
            sum_history(view, &pairs[i], &view->rows[group->shown - 1]);
    }
}

int iol_view_make(struct iol_view *view, size_t first, size_t n)
{
    size_t n_pairs;
    const struct iol_live_pair *pairs = iol_live_pairs_all(view->pairs, &n_pairs);
    int r = gather(view);

    view->n_rows = 0;
    if (r < 0)
        return r;
    if (first > view->n_ranked)
        first = view->n_ranked;
    if (n > view->n_ranked - first)
        n = view->n_ranked - first;
    if (iol_array_reserve(&view->rows, &view->rows_room, n, sizeof(*view->rows)) < 0)
        return -ENOMEM;
    iol_top_few(view->ranked, view->n_ranked, first + n);
    for (size_t i = 0; i < n; i++) {
        size_t index = view->ranked[first + i].index;

        if (view->group == IOL_GROUP_PAIR) {
            fill_pair(view, &pairs[index], &view->rows[i]);
        } else {
            fill_group(view, &view->groups[index], &view->rows[i]);
            view->groups[index].shown = (uint32_t)i + 1;
        }
    }
    view->n_rows = n;
    if (view->group != IOL_GROUP_PAIR && n > 0)
        sum_histories(view);
    return 0;
}

const struct iol_view_row *iol_view_rows(const struct iol_view *view, size_t *ret_n)
{
    *ret_n = view->n_rows;
    return view->rows;
}

size_t iol_view_count(const struct iol_view *view)
{
    return view->n_ranked;
}

struct iol_live_counts iol_view_sum(const struct iol_view *view)
{
    return view->sum;
}

uint64_t iol_view_key(const struct iol_view_row *row)
{
    const int64_t ids[] = {row->process ? row->process->id : 0, row->file ? row->file->id : 0};
    const char *text = row->container ? row->container->id : row->directory ? row->directory : "";
    uint64_t key = XXH64(text, strlen(text), XXH64(ids, sizeof(ids), 0));

    return key ? key : 1;
}
