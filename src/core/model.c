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
    const char *texts[] = {process->row.comm,   process->row.exe,          process->row.argv, process->row.cwd,
                           process->row.cgroup, process->row.container_id, process->row.flags};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(texts); i++)
        free((void *)(uintptr_t)texts[i]);
    free(process);
}

void iol_model_free(struct iol_model *model)
{
    struct iol_model_process *process, *next_process;
    struct iol_model_file *file, *next_file;
    struct login *login, *next_login;

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
    HASH_ITER(hh, model->logins, login, next_login) {
        HASH_DEL(model->logins, login);
        free(login);
    }
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

static int64_t process_id(const struct iol_model *model, uint64_t image)
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

static void end_process(struct iol_model *model, struct iol_model_process *process)
{
    if (process->ended)
        return;
    process->ended = true;
    process->ended_epoch = model->epoch;
    DL_APPEND(model->ended, process);
}

void iol_model_trim_processes(struct iol_model *model)
{
    struct iol_model_process *process, *next;

    DL_FOREACH_SAFE(model->ended, process, next)
    {
        if (process->refs || process->ended_epoch + EPOCHS_AFTER_END > model->epoch)
            continue;
        if (process->parent)
            process->parent->refs--;
        DL_DELETE(model->ended, process);
        HASH_DEL(model->processes, process); // NOLINT(clang-analyzer-core.NullDereference): it is in the table
        free_process(process);
    }
}

static struct iol_model_process *new_process(struct iol_model *model, uint64_t image)
{
    struct iol_model_process *process = calloc(1, sizeof(*process));

    if (!process)
        return NULL;
    process->image = image;
    process->row = (struct iol_process){
        .id = process_id(model, image),
        .host_id = model->host_id,
        .exec_time = IOL_NULL,
        .parent_id = IOL_NULL,
        .login_uid = IOL_NULL,
        .session_id = IOL_NULL,
    };
    HASH_ADD(hh, model->processes, image, sizeof(process->image), process);
    return process;
}

static char *dup_or_null(const char *text)
{
    return text ? strdup(text) : NULL;
}

/* The name of a user id goes along with the first process of that user. */
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

/* Links the image to its parent, once both are known: of those that run already a child may be told of first. */
static void find_parent(struct iol_model *model, struct iol_model_process *process)
{
    struct iol_model_process *parent = iol_model_find_process(model, process->parent_image);

    if (process->parent || process->posted || !parent || parent == process)
        return;
    process->parent = parent;
    parent->refs++;
}

/* Whether this one's parent gets a row, now or before. */
static bool parent_has_row(const struct iol_model *model, const struct iol_model_process *process)
{
    const struct iol_model_process *parent = process->parent;

    return !parent || parent->posted || parent->traced || model->running_ancestors ||
           parent->row.origin != IOL_ORIGIN_RUNNING;
}

/* The row, and those of the ancestors that have none yet: who started it can always be answered. */
static int post_process(struct iol_model *model, struct iol_model_process *process, struct iol_batch *batch)
{
    bool more = true;

    for (struct iol_model_process *at = process; more && at && !at->posted; at = at->parent) {
        struct iol_process *row = iol_batch_add(batch, IOL_TABLE_PROCESS);

        if (!row)
            return -ENOMEM;
        find_parent(model, at);
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
        if (at->exited && add_exit(at, batch) < 0)
            return -ENOMEM;
    }
    let_ancestors_go(process);
    return 0;
}

static void set_ids(struct iol_process *row, const struct iol_record_process *fixed)
{
    row->pid = fixed->pid;
    row->ppid = fixed->ppid;
    row->origin = fixed->origin;
    row->uid = fixed->uid;
    row->euid = fixed->euid;
    row->gid = fixed->gid;
    row->login_uid = fixed->login_uid == UINT32_MAX ? IOL_NULL : (int64_t)fixed->login_uid;
    row->session_id = fixed->session_id == UINT32_MAX ? IOL_NULL : (int64_t)fixed->session_id;
}

/* exe, argv, cwd and cgroup as the record has them. */
static void set_texts(struct iol_model_process *process, const struct iol_decoded_process *record, char *flags,
                      size_t flags_size, struct iol_batch *batch)
{
    const struct iol_file_info cwd_info = {.kind = IOL_KIND_DIR, .bits = record->fixed.cwd_bits};
    char exe_flags[128] = "", cwd_flags[128] = "";
    struct iol_bytes argv = record->argv;
    _cleanup_free_ char *cmdline = NULL;
    bool argv_escaped = false, cgroup_escaped = false;

    if (record->exe.size > 0)
        process->row.exe =
            dup_or_null(iol_model_path_text(batch, &record->fixed.exe, &record->exe, exe_flags, sizeof(exe_flags)));
    if (record->cwd.size > 0)
        process->row.cwd =
            dup_or_null(iol_model_path_text(batch, &cwd_info, &record->cwd, cwd_flags, sizeof(cwd_flags)));
    if (record->cgroup.size > 0) {
        const char *text = iol_text_store(batch->arena, record->cgroup.data, record->cgroup.size, &cgroup_escaped);

        process->row.cgroup = dup_or_null(text);
        process->row.container_id = dup_or_null(iol_model_container_id(batch, text));
    }
    if (record->fixed.bits & IOL_PROCESS_NO_ARGV && !(record->fixed.bits & IOL_PROCESS_KERNEL)) {
        cmdline = iol_model_read_cmdline(record->fixed.pid, &argv.size);
        argv.data = cmdline;
    }
    if (argv.data && argv.size > 0)
        process->row.argv = dup_or_null(iol_model_argv_text(batch, &argv, &argv_escaped));
    if (strstr(exe_flags, "deleted"))
        iol_model_add_flag(flags, flags_size, "exe_deleted");
    if (record->fixed.bits & IOL_PROCESS_ARGV_TRUNCATED)
        iol_model_add_flag(flags, flags_size, "argv_truncated");
    if (argv_escaped || cgroup_escaped || strstr(exe_flags, "escaped") || strstr(cwd_flags, "escaped"))
        iol_model_add_flag(flags, flags_size, "escaped");
}

/* A fork runs what its parent ran: exe and argv, and what there is to say about them. */
static void inherit_texts(struct iol_model_process *process, const struct iol_model_process *parent, char *flags,
                          size_t flags_size)
{
    static const char *const words[] = {"exe_deleted", "argv_truncated", "escaped"};

    if (!process->row.exe)
        process->row.exe = dup_or_null(parent->row.exe);
    if (!process->row.argv)
        process->row.argv = dup_or_null(parent->row.argv);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(words) && parent->row.flags; i++) {
        if (strstr(parent->row.flags, words[i]) && !strstr(flags, words[i]))
            iol_model_add_flag(flags, flags_size, words[i]);
    }
}

static void set_parent(struct iol_model *model, struct iol_model_process *process, uint64_t parent_image)
{
    process->parent_image = parent_image;
    process->row.parent_id = parent_image ? process_id(model, parent_image) : IOL_NULL;
    find_parent(model, process);
}

static struct iol_model_process *describe_process(struct iol_model *model, const struct iol_decoded_process *record,
                                                  struct iol_batch *batch)
{
    struct iol_model_process *process = new_process(model, record->fixed.image);
    const char *comm = record->fixed.comm;
    char flags[128] = "";
    bool escaped = false;

    if (!process)
        return NULL;
    set_ids(&process->row, &record->fixed);
    process->row.start_time = iol_model_time(model, record->fixed.start_ns);
    if (record->fixed.exec_ns)
        process->row.exec_time = iol_model_time(model, record->fixed.exec_ns);
    process->row.comm = dup_or_null(iol_text_store(batch->arena, comm, strnlen(comm, IOL_COMM_MAX), &escaped));
    set_texts(process, record, flags, sizeof(flags), batch);
    if (escaped && !strstr(flags, "escaped"))
        iol_model_add_flag(flags, sizeof(flags), "escaped");
    if (record->fixed.bits & IOL_PROCESS_KERNEL)
        iol_model_add_flag(flags, sizeof(flags), "kernel");
    /* pid 0, the parent of init and of kthreadd, is in no list of processes */
    set_parent(model, process,
               record->fixed.ppid || record->fixed.origin == IOL_ORIGIN_EXEC ? record->fixed.parent_image : 0);
    if (record->fixed.bits & IOL_PROCESS_INHERITS && process->parent)
        inherit_texts(process, process->parent, flags, sizeof(flags));
    process->row.flags = flags[0] ? strdup(flags) : NULL;
    return process;
}

static int post_process_record(struct iol_model *model, const struct iol_decoded_process *record,
                               struct iol_batch *batch)
{
    struct iol_model_process *process = iol_model_find_process(model, record->fixed.image), *old;
    bool seen = process != NULL;
    bool traced = record->fixed.bits & IOL_PROCESS_TRACED;
    uint32_t origin = record->fixed.origin;

    if (!process)
        process = describe_process(model, record, batch);
    if (!process)
        return -ENOMEM;
    if (traced && !process->traced)
        model->stats.processes++;
    process->traced |= traced;
    if ((model->all || process->traced) && post_process(model, process, batch) < 0)
        return -ENOMEM;
    if (seen)
        return 0;
    if (traced && origin != IOL_ORIGIN_RUNNING) {
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
        end_process(model, old); /* the image that called exec is no more */
    return 0;
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
    end_process(model, process);
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
    }
    return 0;
}

/* An image whose record was lost, or all of those that found no room at all (image 0). */
static struct iol_model_process *make_up_process(struct iol_model *model, uint64_t image)
{
    struct iol_model_process *process = new_process(model, image);

    if (!process)
        return NULL;
    process->row.origin = IOL_ORIGIN_RUNNING;
    process->row.start_time = IOL_NULL;
    process->row.uid = process->row.euid = process->row.gid = IOL_NULL;
    process->row.comm = strdup(image ? "(unknown)" : "(other processes)");
    process->traced = true;
    return process;
}

struct iol_model_process *iol_model_get_process(struct iol_model *model, uint64_t image, struct iol_batch *batch)
{
    struct iol_model_process *process = iol_model_find_process(model, image);

    if (!process)
        process = make_up_process(model, image);
    if (!process || post_process(model, process, batch) < 0)
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

bool iol_model_process_ended(const struct iol_model_process *process)
{
    return process->ended;
}

void iol_model_get_stats(const struct iol_model *model, struct iol_model_stats *ret_stats)
{
    *ret_stats = model->stats;
    ret_stats->processes_held = HASH_COUNT(model->processes);
    ret_stats->files_held = HASH_COUNT(model->files);
}
