// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Processes: images, their rows, and who started whom. */
#include "core/model.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "core/batch.h"
#include "core/model.intern.h"
#include "core/names.h"

struct iol_model *iol_model_new(const struct iol_model_options *options)
{
    struct iol_model *model = calloc(1, sizeof(*model));

    if (!model)
        return NULL;
    model->host_id = options->host_id;
    model->all = options->all;
    model->running_ancestors = options->running_ancestors;
    model->max_idle_files = options->max_idle_files;
    model->epoch = options->epoch;
    model->now_ns = model->aged_ns = options->epoch_ns;
    model->journal = options->journal;
    model->boot_id = strdup(options->boot_id);
    if (options->max_names)
        model->names = iol_names_new(options->max_names);
    if (!model->boot_id || (options->max_names && !model->names)) {
        iol_model_free(model);
        return NULL;
    }
    return model;
}

static void free_process(struct iol_model_process *process)
{
    iol_model_drop_texts(process);
    free(process);
}

static void forget_logins(struct iol_model *model)
{
    struct login *login, *next;

    HASH_ITER(hh, model->logins, login, next) {
        HASH_DEL(model->logins, login);
        free(login);
    }
}

void iol_model_free(struct iol_model *model)
{
    struct iol_model_process *process, *next_process;
    struct iol_model_file *file, *next_file;

    if (!model)
        return;
    HASH_ITER(hh, model->processes, process, next_process) {
        HASH_DEL(model->processes, process); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
        free_process(process);
    }
    HASH_ITER(hh, model->files, file, next_file) {
        HASH_DEL(model->files, file);
        free(file);
    }
    forget_logins(model);
    iol_names_free(model->names);
    free(model->boot_id);
    free(model);
}

void iol_model_set_boot_offset(struct iol_model *model, int64_t offset)
{
    model->boot_offset = offset;
}

int64_t iol_model_time(const struct iol_model *model, uint64_t boot_ns)
{
    return model->boot_offset + (int64_t)boot_ns;
}

int64_t iol_model_hash_image(const struct iol_model *model, uint64_t image)
{
    const uint64_t numbers[] = {(uint64_t)model->host_id, image};
    uint64_t hash = XXH64(numbers, sizeof(numbers), XXH64(model->boot_id, strlen(model->boot_id), 0));

    return hash ? (int64_t)hash : 1;
}

struct iol_model_process *iol_model_find_process(struct iol_model *model, uint64_t image)
{
    struct iol_model_process *process = NULL;

    HASH_FIND(hh, model->processes, &image, sizeof(image), process);
    return process;
}

/*
 * An image that has ended has accounts to be posted still: those of the epoch it ended in, which may be
 * the one after the next to be posted when its exit is seen early. So it stays for two more.
 */
#define EPOCHS_AFTER_END 2

#define MAX_LOGINS 4096 /* user ids remembered */

/* What a later recorder has to know of the image: that it has its row. `bits` 0: it is forgotten. */
static void note_image(const struct iol_model *model, const struct iol_model_process *process, uint32_t bits)
{
    const struct iol_known_image known = {(uint32_t)process->row.pid, bits};

    if (model->journal)
        iol_journal_image(model->journal, process->image, &known);
}

static uint32_t known_bits(const struct iol_model_process *process)
{
    return (uint32_t)IOL_KNOWN_ROW | (process->traced ? IOL_KNOWN_TRACED : 0) |
           (process->made_up ? IOL_KNOWN_MADE_UP : 0);
}

void iol_model_end_process(struct iol_model *model, struct iol_model_process *process)
{
    if (process->ended)
        return;
    process->ended = true;
    process->ended_epoch = model->epoch;
    model->stats.ended_in_epoch++;
    DL_APPEND(model->ended, process);
}

void iol_model_trim_processes(struct iol_model *model)
{
    struct iol_model_process *process, *next;

    model->stats.ended_in_epoch = 0;
    DL_FOREACH_SAFE(model->ended, process, next)
    {
        if (process->refs || process->ended_epoch + EPOCHS_AFTER_END > model->epoch)
            continue;
        if (process->parent)
            process->parent->refs--;
        if (process->posted)
            note_image(model, process, 0);
        DL_DELETE(model->ended, process);
        HASH_DEL(model->processes, process); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
        free_process(process);
    }
}

struct iol_model_process *iol_model_new_process(struct iol_model *model, uint64_t image)
{
    struct iol_model_process *process = calloc(1, sizeof(*process));

    if (!process)
        return NULL;
    process->image = image;
    process->heard = model->sweep;
    process->row = (struct iol_process){
        .id = iol_model_hash_image(model, image),
        .host_id = model->host_id,
        .exec_time = IOL_NULL,
        .parent_id = IOL_NULL,
        .login_uid = IOL_NULL,
        .session_id = IOL_NULL,
        .ns_pid = IOL_NULL,
    };
    HASH_ADD(hh, model->processes, image, sizeof(process->image), process);
    return process;
}

/* The name of a user id goes along with the first process of that user; and once more when there are too many of them. */
static void post_login(struct iol_model *model, int64_t uid, struct iol_batch *batch)
{
    struct login *login = NULL;
    struct iol_login *row;
    struct passwd *user;

    if (uid == IOL_NULL)
        return;
    HASH_FIND(hh, model->logins, &uid, sizeof(uid), login);
    if (login)
        return;
    if (HASH_COUNT(model->logins) >= MAX_LOGINS)
        forget_logins(model);
    login = calloc(1, sizeof(*login));
    if (!login)
        return;
    login->uid = uid;
    HASH_ADD(hh, model->logins, uid, sizeof(login->uid), login);
    user = getpwuid((uid_t)uid);
    row = user ? iol_batch_add(batch, IOL_TABLE_LOGIN) : NULL;
    if (row) {
        row->host_id = model->host_id;
        row->uid = uid;
        row->name = iol_text_store(batch->arena, user->pw_name, strlen(user->pw_name), NULL);
    }
}

static const char *into_batch(struct iol_batch *batch, const char *text)
{
    return text ? iol_arena_dup(batch->arena, text, strlen(text)) : NULL;
}

static int add_exit(const struct iol_model_process *process, struct iol_batch *batch)
{
    struct iol_process_exit *row = iol_batch_add(batch, IOL_TABLE_PROCESS_EXIT);

    if (!row)
        return -ENOMEM;
    *row = process->exit;
    return 0;
}

/* Ancestors are kept for their rows: once these are out, a long line of exec or fork holds no memory. */
static void let_ancestors_go(struct iol_model_process *process)
{
    struct iol_model_process *parent = TAKE_PTR(process->parent);

    while (parent) {
        struct iol_model_process *next = parent->posted ? TAKE_PTR(parent->parent) : NULL;

        parent->refs--;
        parent = next;
    }
}

/*
 * A line of ancestors without rows is held for its last one, which may still be asked for. One that never ends, of a program
 * that leaves its work to a successor again and again, is cut.
 */
static void cut_line(struct iol_model_process *process)
{
    struct iol_model_process *at = process;

    for (unsigned int i = 0; at->parent && i < IOL_MODEL_MAX_ANCESTORS; i++)
        at = at->parent;
    if (!at->parent)
        return;
    at->parent->refs--;
    at->parent = NULL;
    at->parent_image = 0;
    at->row.parent_id = IOL_NULL;
}

void iol_model_find_parent(struct iol_model *model, struct iol_model_process *process)
{
    struct iol_model_process *parent = iol_model_find_process(model, process->parent_image);

    if (process->parent || process->posted || !parent || parent == process)
        return;
    process->parent = parent;
    parent->refs++;
    cut_line(process);
}

/* Whether this one's parent gets a row, now or before. */
static bool parent_has_row(const struct iol_model *model, const struct iol_model_process *process)
{
    const struct iol_model_process *parent = process->parent;

    return !parent || parent->posted || parent->traced || model->running_ancestors ||
           parent->row.origin != IOL_ORIGIN_RUNNING;
}

int iol_model_post_process(struct iol_model *model, struct iol_model_process *process, struct iol_batch *batch)
{
    bool more = true;

    for (struct iol_model_process *at = process; more && at && !at->posted; at = at->parent) {
        struct iol_process *row = iol_batch_add(batch, IOL_TABLE_PROCESS);

        if (!row)
            return -ENOMEM;
        iol_model_find_parent(model, at);
        *row = at->row;
        more = parent_has_row(model, at);
        if (!more)
            row->parent_id = IOL_NULL;
        row->comm = into_batch(batch, at->row.comm);
        row->exe = into_batch(batch, at->row.exe);
        row->argv = into_batch(batch, at->row.argv);
        row->cwd = into_batch(batch, at->row.cwd);
        row->cgroup = into_batch(batch, at->row.cgroup);
        row->container_id = into_batch(batch, at->row.container_id);
        row->flags = into_batch(batch, at->row.flags);
        post_login(model, at->row.uid, batch);
        at->posted = true;
        note_image(model, at, known_bits(at));
        if (at->exited && add_exit(at, batch) < 0)
            return -ENOMEM;
    }
    let_ancestors_go(process);
    return 0;
}

/* What a new image is an event of, and that it takes the place of another one. */
static int note_start(struct iol_model *model, struct iol_model_process *process,
                      const struct iol_decoded_process *record, struct iol_batch *batch)
{
    uint32_t origin = record->fixed.origin;
    struct iol_model_process *old;

    if (record->fixed.bits & IOL_PROCESS_TRACED && origin != IOL_ORIGIN_RUNNING) {
        struct iol_event *event = iol_model_add_event(
            model, origin == IOL_ORIGIN_EXEC ? IOL_EVENT_EXEC : IOL_EVENT_FORK, record->fixed.head.ts, process, batch);

        if (!event)
            return -ENOMEM;
        event->tid = record->fixed.tid;
        if (origin == IOL_ORIGIN_EXEC && record->exe.size > 0) {
            event->file_id = iol_model_add_file(model, &record->fixed.exe, &record->exe, NULL, batch);
            iol_model_learn_name(model, &record->fixed.exe, &record->exe);
        }
    }
    old = origin == IOL_ORIGIN_EXEC ? iol_model_find_process(model, record->fixed.parent_image) : NULL;
    if (old && old != process)
        iol_model_end_process(model, old); /* the image that called exec is no more */
    return 0;
}

static int post_process_record(struct iol_model *model, const struct iol_decoded_process *record,
                               struct iol_batch *batch)
{
    struct iol_model_process *process = iol_model_find_process(model, record->fixed.image);
    /* what a sweep found, and what had to be made up, is described anew by a record of its own */
    bool recalled = process && process->recalled;
    /* the sweep that found it ended before its own record was there: one of another CPU, still being written, holds up what is behind it */
    bool late = process && !process->provisional && !process->ended && process->row.origin == IOL_ORIGIN_RUNNING &&
                record->fixed.origin != IOL_ORIGIN_RUNNING;
    bool news = !process || process->provisional || process->made_up || recalled || late;
    bool traced = record->fixed.bits & IOL_PROCESS_TRACED;
    bool provisional =
        (!process || process->provisional) && model->sweeping && record->fixed.origin == IOL_ORIGIN_RUNNING;

    if (!process)
        process = iol_model_new_process(model, record->fixed.image);
    if (!process)
        return -ENOMEM;
    if (news) {
        iol_model_describe(model, process, record, batch);
        process->posted &= !process->made_up && !late;
        process->made_up = false;
        process->recalled = false;
    } else if (traced && !process->posted) {
        /* told again because it has moved into a cgroup that is recorded */
        iol_model_set_cgroup(process, &record->cgroup, batch, NULL);
    }
    if (traced && !process->traced)
        model->stats.processes++;
    process->heard = model->sweep;
    if (traced && !process->traced && process->posted) {
        process->traced = true;
        note_image(model, process, known_bits(process));
    }
    process->traced |= traced;
    process->provisional = provisional;
    if (provisional)
        return 0;
    if ((model->all || process->traced) && iol_model_post_process(model, process, batch) < 0)
        return -ENOMEM;
    return news && !recalled ? note_start(model, process, record, batch) : 0;
}

static int post_exit(struct iol_model *model, const struct iol_record_exit *record, struct iol_batch *batch)
{
    struct iol_model_process *process = iol_model_find_process(model, record->image);
    int status = (int)record->status;
    int64_t ts = iol_model_time(model, record->head.ts);

    if (!process || process->ended)
        return 0;
    process->exited = true;
    process->exit = (struct iol_process_exit){
        .process_id = process->row.id,
        .ts = ts,
        .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : IOL_NULL,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : IOL_NULL,
    };
    if (process->posted && add_exit(process, batch) < 0)
        return -ENOMEM;
    if (process->traced) {
        struct iol_event *event = iol_model_add_event(model, IOL_EVENT_EXIT, record->head.ts, process, batch);

        if (!event)
            return -ENOMEM;
        event->tid = record->tid;
        event->result = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    iol_model_end_process(model, process);
    return 0;
}

static int post_exec_failed(struct iol_model *model, const struct iol_decoded_exec_failed *record,
                            struct iol_batch *batch)
{
    const struct iol_file_info info = {.kind = IOL_KIND_OTHER};
    struct iol_model_process *process = iol_model_find_process(model, record->fixed.image);
    struct iol_event *event;

    if (!process || !process->traced)
        return 0;
    event = iol_model_add_event(model, IOL_EVENT_EXEC_FAILED, record->fixed.head.ts, process, batch);
    if (!event)
        return -ENOMEM;
    event->tid = record->fixed.tid;
    event->result = record->fixed.error;
    if (record->path.size > 0)
        event->file_id = iol_model_add_file(model, &info, &record->path, "unresolved", batch);
    return 0;
}

int iol_model_post(struct iol_model *model, const struct iol_decoded *record, struct iol_batch *batch)
{
    switch (record->type) {
    case IOL_RECORD_PROCESS:
        return post_process_record(model, &record->process, batch);
    case IOL_RECORD_EXIT:
        return post_exit(model, &record->exit, batch);
    case IOL_RECORD_EXEC_FAILED:
        return post_exec_failed(model, &record->exec_failed, batch);
    case IOL_RECORD_FILE:
        return iol_model_post_file(model, &record->file, batch);
    case IOL_RECORD_EVENT:
        return iol_model_post_event(model, &record->event, batch);
    case IOL_RECORD_CHANGE:
        return iol_model_post_change(model, &record->change, batch);
    case IOL_RECORD_FORK: /* decoded as a process */
        break;
    }
    return 0;
}

/* An image whose record was lost, or all of those that found no room at all (image 0). */
static struct iol_model_process *make_up_process(struct iol_model *model, uint64_t image)
{
    struct iol_model_process *process = iol_model_new_process(model, image);

    if (!process)
        return NULL;
    process->row.origin = IOL_ORIGIN_RUNNING;
    process->row.start_time = IOL_NULL;
    process->row.uid = process->row.euid = process->row.gid = IOL_NULL;
    process->row.comm = strdup(image ? "(unknown)" : "(other processes)");
    process->traced = true;
    process->made_up = image != 0;
    model->stats.made_up += process->made_up;
    return process;
}

int iol_model_recall_process(struct iol_model *model, uint64_t image, const struct iol_known_image *known)
{
    struct iol_model_process *process = iol_model_find_process(model, image);

    if (process)
        return 0;
    process = iol_model_new_process(model, image);
    if (!process)
        return -ENOMEM;
    process->row.pid = known->pid;
    process->posted = process->recalled = true;
    process->traced = known->bits & IOL_KNOWN_TRACED;
    process->made_up = known->bits & IOL_KNOWN_MADE_UP;
    return 0;
}

struct iol_model_process *iol_model_get_process(struct iol_model *model, uint64_t image, struct iol_batch *batch)
{
    struct iol_model_process *process = iol_model_find_process(model, image);

    if (!process)
        process = make_up_process(model, image);
    if (!process || iol_model_post_process(model, process, batch) < 0)
        return NULL;
    process->refs++;
    return process;
}

void iol_model_put_process(struct iol_model *model, struct iol_model_process *process)
{
    (void)model;
    if (process)
        process->refs--;
}

int64_t iol_model_process_id(const struct iol_model_process *process)
{
    return process->row.id;
}

bool iol_model_some_ended(const struct iol_model *model)
{
    return model->ended != NULL;
}

bool iol_model_process_ended(const struct iol_model_process *process)
{
    return process->ended;
}

void iol_model_each_process(const struct iol_model *model, iol_model_id_fn *one, void *arg)
{
    const struct iol_model_process *process, *next;

    HASH_ITER(hh, model->processes, process, next)
        one(arg, process->row.id);
}

void iol_model_get_stats(const struct iol_model *model, struct iol_model_stats *ret_stats)
{
    *ret_stats = model->stats;
    ret_stats->processes_held = HASH_COUNT(model->processes);
    ret_stats->files_held = HASH_COUNT(model->files);
}
