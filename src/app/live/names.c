// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/batch.h"
#include "core/row.h"

#define MAX_ANCESTORS 64
#define FEW 4096 /* entries that are never too many */

struct user {
    int64_t uid;
    UT_hash_handle hh;
    char name[];
};

struct iol_live_names {
    struct iol_live_process *processes;
    struct iol_live_file *files;
    struct iol_live_container *containers;
    struct user *users;
    size_t kept; /* entries that the last trim has left */
};

struct iol_live_names *iol_live_names_new(void)
{
    return calloc(1, sizeof(struct iol_live_names));
}

static void drop_texts(struct iol_live_process *process)
{
    free((void *)(uintptr_t)process->comm);
    free((void *)(uintptr_t)process->exe);
    free((void *)(uintptr_t)process->argv);
    free((void *)(uintptr_t)process->cwd);
}

void iol_live_names_free(struct iol_live_names *names)
{
    struct iol_live_process *process, *next_process;
    struct iol_live_file *file, *next_file;
    struct iol_live_container *container, *next_container;
    struct user *user, *next_user;

    if (!names)
        return;
    HASH_ITER(hh, names->processes, process, next_process) {
        HASH_DEL(names->processes, process); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
        drop_texts(process);
        free(process);
    }
    HASH_ITER(hh, names->files, file, next_file) {
        HASH_DEL(names->files, file);
        free(file);
    }
    HASH_ITER(hh, names->containers, container, next_container) {
        HASH_DEL(names->containers, container);
        free(container);
    }
    HASH_ITER(hh, names->users, user, next_user) {
        HASH_DEL(names->users, user);
        free(user);
    }
    free(names);
}

struct iol_live_process *iol_live_names_process(const struct iol_live_names *names, int64_t id)
{
    struct iol_live_process *process;

    HASH_FIND(hh, names->processes, &id, sizeof(id), process);
    return process;
}

struct iol_live_file *iol_live_names_file(const struct iol_live_names *names, int64_t id)
{
    struct iol_live_file *file;

    HASH_FIND(hh, names->files, &id, sizeof(id), file);
    return file;
}

/* There are few, and they stay. */
static struct iol_live_container *find_container(struct iol_live_names *names, const char *id)
{
    size_t length = id ? strlen(id) : 0;
    struct iol_live_container *container;

    id = id ? id : "";
    HASH_FIND(hh, names->containers, id, length, container);
    if (container)
        return container;
    container = calloc(1, sizeof(*container) + length + 1);
    if (!container)
        return NULL;
    memcpy(container->id, id, length);
    HASH_ADD_KEYPTR(hh, names->containers, container->id, length, container);
    return container;
}

/* 0, or -ENOMEM; NULL stays NULL. */
static int copy_text(const char **ret_copy, const char *text)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

static int describe(struct iol_live_names *names, struct iol_live_process *process, const struct iol_process *row)
{
    drop_texts(process);
    process->comm = process->exe = process->argv = process->cwd = NULL;
    process->parent_id = row->parent_id;
    process->pid = row->pid;
    process->uid = row->uid;
    process->start_time = row->start_time;
    process->exec_time = row->exec_time;
    process->note.generation = 0;
    process->container = find_container(names, row->container_id);
    if (!process->container || copy_text(&process->comm, row->comm ? row->comm : "") < 0 ||
        copy_text(&process->exe, row->exe) < 0 || copy_text(&process->argv, row->argv) < 0 ||
        copy_text(&process->cwd, row->cwd) < 0)
        return -ENOMEM;
    return 0;
}

/* A row may come again, with more in it. */
static int take_process(struct iol_live_names *names, const struct iol_process *row)
{
    struct iol_live_process *process = iol_live_names_process(names, row->id), *before;

    if (!process) {
        process = calloc(1, sizeof(*process));
        if (!process)
            return -ENOMEM;
        process->id = row->id;
        HASH_ADD(hh, names->processes, id, sizeof(process->id), process);
    }
    before = row->origin == IOL_ORIGIN_EXEC ? iol_live_names_process(names, row->parent_id) : NULL;
    if (before && before->ended_ts == 0) {
        before->ended_ts = row->exec_time;
        before->exit_code = before->signal = IOL_NULL;
    }
    return describe(names, process, row);
}

static void take_exit(struct iol_live_names *names, const struct iol_process_exit *row)
{
    struct iol_live_process *process = iol_live_names_process(names, row->process_id);

    if (!process)
        return;
    process->ended_ts = row->ts;
    process->exit_code = row->exit_code;
    process->signal = row->signal;
}

static int take_file(struct iol_live_names *names, const struct iol_file *row)
{
    struct iol_live_file *file = iol_live_names_file(names, row->id);
    size_t length = strlen(row->path);

    if (file)
        return 0; /* the id is a hash of all that is in the row */
    file = calloc(1, sizeof(*file) + length + 1);
    if (!file)
        return -ENOMEM;
    file->id = row->id;
    file->kind = row->kind;
    memcpy(file->path, row->path, length);
    HASH_ADD(hh, names->files, id, sizeof(file->id), file);
    return 0;
}

static int take_user(struct iol_live_names *names, const struct iol_login *row)
{
    struct user *user;
    size_t length = row->name ? strlen(row->name) : 0;

    HASH_FIND(hh, names->users, &row->uid, sizeof(row->uid), user);
    if (user || !length)
        return 0;
    user = calloc(1, sizeof(*user) + length + 1);
    if (!user)
        return -ENOMEM;
    user->uid = row->uid;
    memcpy(user->name, row->name, length);
    HASH_ADD(hh, names->users, uid, sizeof(user->uid), user);
    return 0;
}

int iol_live_names_take(struct iol_live_names *names, const struct iol_batch *batch)
{
    const struct iol_rows *rows = batch->rows;
    const struct iol_process *process = rows[IOL_TABLE_PROCESS].data;
    const struct iol_process_exit *ended = rows[IOL_TABLE_PROCESS_EXIT].data;
    const struct iol_file *file = rows[IOL_TABLE_FILE].data;
    const struct iol_login *login = rows[IOL_TABLE_LOGIN].data;
    int r = 0;

    for (size_t i = 0; r == 0 && i < rows[IOL_TABLE_LOGIN].count; i++)
        r = take_user(names, &login[i]);
    for (size_t i = 0; r == 0 && i < rows[IOL_TABLE_PROCESS].count; i++)
        r = take_process(names, &process[i]);
    for (size_t i = 0; r == 0 && i < rows[IOL_TABLE_PROCESS_EXIT].count; i++)
        take_exit(names, &ended[i]);
    for (size_t i = 0; r == 0 && i < rows[IOL_TABLE_FILE].count; i++)
        r = take_file(names, &file[i]);
    return r;
}

struct iol_live_process *iol_live_names_parent(const struct iol_live_names *names,
                                               const struct iol_live_process *process)
{
    struct iol_live_process *parent = iol_live_names_process(names, process->parent_id);

    for (unsigned int i = 0; parent && parent->pid == process->pid && i < MAX_ANCESTORS; i++)
        parent = iol_live_names_process(names, parent->parent_id);
    return parent && parent->pid != process->pid ? parent : NULL;
}

const char *iol_live_names_user(const struct iol_live_names *names, int64_t uid, char *buf, size_t size)
{
    struct user *user;

    HASH_FIND(hh, names->users, &uid, sizeof(uid), user);
    if (user)
        return user->name;
    if (uid == IOL_NULL)
        return "-";
    snprintf(buf, size, "%" PRId64, uid);
    return buf;
}

/* Processes and files held. */
static size_t count(const struct iol_live_names *names)
{
    return HASH_COUNT(names->processes) + HASH_COUNT(names->files);
}

bool iol_live_names_crowded(const struct iol_live_names *names)
{
    return count(names) > 2 * names->kept + FEW;
}

void iol_live_names_mark_process(struct iol_live_names *names, int64_t id)
{
    struct iol_live_process *process = iol_live_names_process(names, id);

    if (process)
        process->marked = true;
}

void iol_live_names_mark_file(struct iol_live_names *names, int64_t id)
{
    struct iol_live_file *file = iol_live_names_file(names, id);

    if (file)
        file->marked = true;
}

static void mark_ancestors(struct iol_live_names *names, struct iol_live_process *process)
{
    for (unsigned int i = 0; process && i < MAX_ANCESTORS; i++) {
        process->marked = true;
        process = iol_live_names_process(names, process->parent_id);
    }
}

void iol_live_names_trim(struct iol_live_names *names)
{
    struct iol_live_process *process, *next_process;
    struct iol_live_file *file, *next_file;

    HASH_ITER(hh, names->processes, process, next_process)
        if (process->refs > 0)
            process->marked = true;
    /* marks that are set on the way cost another walk at most: ancestors are few */
    HASH_ITER(hh, names->processes, process, next_process)
        if (process->marked)
            mark_ancestors(names, process);
    HASH_ITER(hh, names->processes, process, next_process) {
        if (!process->marked) {
            HASH_DEL(names->processes, process); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
            drop_texts(process);
            free(process);
            continue;
        }
        process->marked = false;
    }
    HASH_ITER(hh, names->files, file, next_file) {
        if (!file->marked && file->refs == 0) {
            HASH_DEL(names->files, file);
            free(file);
            continue;
        }
        file->marked = false;
    }
    names->kept = count(names);
}
