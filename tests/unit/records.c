// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "records.h"

#include <stdlib.h>
#include <string.h>

static struct record new_record(enum iol_record_type type, size_t size, uint64_t ts)
{
    struct record record = {calloc(1, size), size};
    const struct iol_record head = {.type = type, .size = (uint32_t)size, .ts = ts};

    if (!record.data)
        abort();
    memcpy(record.data, &head, sizeof(head));
    return record;
}

static char *append(char *out, const struct iol_bytes *bytes)
{
    if (bytes->size > 0)
        memcpy(out, bytes->data, bytes->size);
    return out + bytes->size;
}

struct record record_process(const struct process_spec *spec)
{
    size_t texts = spec->exe.size + spec->cwd.size + spec->cgroup.size + spec->argv.size;
    struct record record = new_record(IOL_RECORD_PROCESS, sizeof(struct iol_record_process) + texts, spec->ts);
    struct iol_record_process *process = record.data;
    char *out = process->data;

    process->image = spec->image;
    process->parent_image = spec->parent;
    process->start_ns = spec->start_ns;
    process->exec_ns = spec->exec_ns;
    process->pid = spec->pid;
    process->ppid = spec->ppid;
    process->tid = spec->tid ? spec->tid : spec->pid;
    process->origin = spec->origin;
    process->uid = process->euid = process->gid = spec->uid;
    process->login_uid = spec->login_uid;
    process->session_id = spec->session_id;
    process->bits = spec->bits;
    process->ns_pid = spec->ns_pid;
    process->exe = spec->exe_info;
    process->exe.path_len = (uint32_t)spec->exe.size;
    process->cwd_bits = spec->cwd_bits;
    process->cwd_len = (uint32_t)spec->cwd.size;
    process->cgroup_len = (uint32_t)spec->cgroup.size;
    process->argv_len = (uint32_t)spec->argv.size;
    if (spec->comm)
        memcpy(process->comm, spec->comm, strnlen(spec->comm, IOL_COMM_MAX));
    out = append(out, &spec->exe);
    out = append(out, &spec->cwd);
    out = append(out, &spec->cgroup);
    append(out, &spec->argv);
    return record;
}

struct record record_fork(const struct process_spec *spec)
{
    struct record record = new_record(IOL_RECORD_FORK, sizeof(struct iol_record_fork), spec->ts);
    struct iol_record_fork *fork = record.data;

    fork->image = spec->image;
    fork->parent_image = spec->parent;
    fork->start_ns = spec->start_ns;
    fork->pid = spec->pid;
    fork->ppid = spec->ppid;
    fork->ns_pid = spec->ns_pid;
    fork->bits = spec->bits;
    return record;
}

struct record record_exit(uint64_t ts, uint64_t image, int status)
{
    struct record record = new_record(IOL_RECORD_EXIT, sizeof(struct iol_record_exit), ts);
    struct iol_record_exit *ended = record.data;

    ended->image = image;
    ended->status = (uint32_t)status;
    return record;
}

struct record record_exec_failed(uint64_t ts, uint64_t image, int error, struct iol_bytes path)
{
    struct record record = new_record(IOL_RECORD_EXEC_FAILED, sizeof(struct iol_record_exec_failed) + path.size, ts);
    struct iol_record_exec_failed *failed = record.data;

    failed->image = image;
    failed->error = error;
    failed->path_len = (uint32_t)path.size;
    append(failed->data, &path);
    return record;
}

struct record record_file(const struct file_spec *spec)
{
    struct record record = new_record(IOL_RECORD_FILE, sizeof(struct iol_record_file) + spec->path.size, 0);
    struct iol_record_file *file = record.data;

    file->key = spec->key;
    file->info = spec->info;
    file->info.path_len = (uint32_t)spec->path.size;
    append(file->data, &spec->path);
    return record;
}

struct record record_event(const struct iol_record_event *event)
{
    struct record record = new_record(IOL_RECORD_EVENT, sizeof(*event), event->head.ts);
    const struct iol_record head = *(struct iol_record *)record.data;

    memcpy(record.data, event, sizeof(*event));
    ((struct iol_record_event *)record.data)->head = head;
    return record;
}

static struct iol_name name_of(const struct name_spec *spec)
{
    struct iol_name name = {.info = spec->info, .given_len = (uint32_t)spec->given.size};

    name.info.path_len = (uint32_t)spec->path.size;
    return name;
}

struct record record_change(const struct change_spec *spec)
{
    const struct iol_bytes *texts[] = {&spec->file.path, &spec->file.given, &spec->other.path, &spec->other.given};
    size_t size = sizeof(struct iol_record_change);
    struct iol_record_change *change;
    struct record record;
    char *at;

    for (size_t i = 0; i < 4; i++)
        size += texts[i]->size;
    record = new_record(IOL_RECORD_CHANGE, size, spec->ts);
    change = record.data;
    change->image = spec->image;
    change->kind = spec->kind;
    change->result = spec->result;
    change->file = name_of(&spec->file);
    change->other = name_of(&spec->other);
    at = change->data;
    for (size_t i = 0; i < 4; i++)
        at = append(at, texts[i]);
    return record;
}

void record_free(struct record *record)
{
    free(record->data);
}
