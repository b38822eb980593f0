// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* From the record of a process to what the model keeps of it. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "core/batch.h"
#include "core/model.intern.h"

static char *dup_or_null(const char *text)
{
    return text ? strdup(text) : NULL;
}

static void drop(const char **text)
{
    free((void *)(uintptr_t)*text);
    *text = NULL;
}

static void drop_location(struct iol_model_location *location)
{
    drop(&location->cwd);
    drop(&location->cgroup);
    drop(&location->container_id);
}

static void drop_texts(struct iol_process *row)
{
    const char **texts[] = {&row->comm,   &row->exe,          &row->argv, &row->cwd,
                            &row->cgroup, &row->container_id, &row->flags};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(texts); i++)
        drop(texts[i]);
}

void iol_model_drop_texts(struct iol_model_process *process)
{
    drop_texts(&process->row);
    if (process->moved)
        drop_location(process->moved);
    free(TAKE_PTR(process->moved));
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
    row->ns_pid = fixed->ns_pid ? (int64_t)fixed->ns_pid : IOL_NULL;
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
    iol_model_set_cgroup(process, &record->cgroup, batch, &cgroup_escaped);
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
    if (!(record->fixed.bits & IOL_PROCESS_SAME_LOCATION))
        process->escaped_location = cgroup_escaped || strstr(cwd_flags, "escaped");
    if (argv_escaped || cgroup_escaped || strstr(exe_flags, "escaped") || strstr(cwd_flags, "escaped"))
        iol_model_add_flag(flags, flags_size, "escaped");
}

static void inherit_text(const char **text, const char *parents)
{
    if (!*text)
        *text = dup_or_null(parents);
}

/* Exe and argv, and what there is to say about them. */
static void inherit_program(struct iol_process *row, const struct iol_process *parent, char *flags, size_t flags_size)
{
    static const char *const words[] = {"exe_deleted", "argv_truncated", "escaped"};

    inherit_text(&row->exe, parent->exe);
    inherit_text(&row->argv, parent->argv);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(words) && parent->flags; i++) {
        if (strstr(parent->flags, words[i]) && !strstr(flags, words[i]))
            iol_model_add_flag(flags, flags_size, words[i]);
    }
}

static void inherit_location(struct iol_model_process *process, const struct iol_model_location *parents, char *flags,
                             size_t flags_size)
{
    inherit_text(&process->row.cwd, parents->cwd);
    inherit_text(&process->row.cgroup, parents->cgroup);
    inherit_text(&process->row.container_id, parents->container_id);
    process->escaped_location = parents->escaped;
    if (parents->escaped && !strstr(flags, "escaped"))
        iol_model_add_flag(flags, flags_size, "escaped");
}

static void inherit_traits(struct iol_process *row, const struct iol_process *parent)
{
    bool known = parent->comm;

    inherit_text(&row->comm, known ? parent->comm : "(unknown)");
    row->uid = known ? parent->uid : IOL_NULL;
    row->euid = known ? parent->euid : IOL_NULL;
    row->gid = known ? parent->gid : IOL_NULL;
    row->login_uid = known ? parent->login_uid : IOL_NULL;
    row->session_id = known ? parent->session_id : IOL_NULL;
}

static struct iol_model_location location_of(const struct iol_process *row, bool escaped)
{
    return (struct iol_model_location){row->cwd, row->cgroup, row->container_id, escaped};
}

/* What the record says is as with the parent image. `seen` is what was known of the process itself, for when nothing is of its parent. */
static void inherit(struct iol_model *model, struct iol_model_process *process, uint32_t bits,
                    const struct iol_process *seen, char *flags, size_t flags_size)
{
    struct iol_model_process *parent = iol_model_find_process(model, process->parent_image);
    bool known = parent && parent != process && parent->row.comm;
    const struct iol_process *row = known ? &parent->row : seen;
    struct iol_model_location location = location_of(row, known ? parent->escaped_location : process->escaped_location);

    if (bits & IOL_PROCESS_INHERITS)
        inherit_program(&process->row, row, flags, flags_size);
    if (bits & IOL_PROCESS_SAME_LOCATION)
        inherit_location(process, known && parent->moved ? parent->moved : &location, flags, flags_size);
    if (bits & IOL_PROCESS_SAME_TRAITS)
        inherit_traits(&process->row, row);
}

/* The child has told where its parent is. */
static void move_parent(struct iol_model *model, const struct iol_model_process *child)
{
    struct iol_model_process *parent = iol_model_find_process(model, child->parent_image);

    if (!parent || parent == child)
        return;
    if (!parent->moved)
        parent->moved = calloc(1, sizeof(*parent->moved));
    if (!parent->moved)
        return;
    drop_location(parent->moved);
    *parent->moved = (struct iol_model_location){dup_or_null(child->row.cwd), dup_or_null(child->row.cgroup),
                                                 dup_or_null(child->row.container_id), child->escaped_location};
}

static void set_parent(struct iol_model *model, struct iol_model_process *process, uint64_t parent_image)
{
    if (process->parent)
        process->parent->refs--;
    process->parent = NULL;
    process->parent_image = parent_image;
    process->row.parent_id = parent_image ? iol_model_hash_image(model, parent_image) : IOL_NULL;
    iol_model_find_parent(model, process);
}

void iol_model_describe(struct iol_model *model, struct iol_model_process *process,
                        const struct iol_decoded_process *record, struct iol_batch *batch)
{
    const uint32_t inherited =
        record->fixed.bits & (IOL_PROCESS_INHERITS | IOL_PROCESS_SAME_LOCATION | IOL_PROCESS_SAME_TRAITS);
    struct iol_process seen = process->row; /* by the iterator, of one whose parent nobody knows any more */
    const char *comm = record->fixed.comm;
    char flags[128] = "";
    bool escaped = false;

    process->row.comm = process->row.exe = process->row.argv = process->row.cwd = NULL;
    process->row.cgroup = process->row.container_id = process->row.flags = NULL;
    set_ids(&process->row, &record->fixed);
    process->row.start_time = iol_model_time(model, record->fixed.start_ns);
    process->row.exec_time = record->fixed.exec_ns ? iol_model_time(model, record->fixed.exec_ns) : IOL_NULL;
    if (!(inherited & IOL_PROCESS_SAME_TRAITS))
        process->row.comm = dup_or_null(iol_text_store(batch->arena, comm, strnlen(comm, IOL_COMM_MAX), &escaped));
    set_texts(process, record, flags, sizeof(flags), batch);
    if (escaped && !strstr(flags, "escaped"))
        iol_model_add_flag(flags, sizeof(flags), "escaped");
    if (record->fixed.bits & IOL_PROCESS_KERNEL)
        iol_model_add_flag(flags, sizeof(flags), "kernel");
    /* pid 0, the parent of init and of kthreadd, is in no list of processes */
    set_parent(model, process,
               record->fixed.ppid || record->fixed.origin == IOL_ORIGIN_EXEC ? record->fixed.parent_image : 0);
    /* one process has one start, though the clock may have been set since */
    if (record->fixed.origin == IOL_ORIGIN_EXEC && process->parent && process->parent->row.pid == process->row.pid &&
        process->parent->row.start_time != IOL_NULL)
        process->row.start_time = process->parent->row.start_time;
    if (inherited)
        inherit(model, process, inherited, &seen, flags, sizeof(flags));
    if (record->fixed.bits & IOL_PROCESS_PARENT_MOVED)
        move_parent(model, process);
    drop_texts(&seen);
    process->row.flags = flags[0] ? strdup(flags) : NULL;
}
