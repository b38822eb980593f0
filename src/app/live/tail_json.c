// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Lines of `tail` as JSON: keys are the columns of the ledger's tables; what is NULL there is left out. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "app/live/names.h"
#include "app/live/tail_line.intern.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "core/row.h"
#include "store/schema.h"

static void set_text(json_t *line, const char *key, const char *text)
{
    if (text)
        json_object_set_new(line, key, json_string(text));
}

static void set_number(json_t *line, const char *key, int64_t number)
{
    if (number != IOL_NULL)
        json_object_set_new(line, key, json_integer(number));
}

static json_t *new_line(int64_t ts, const char *kind)
{
    json_t *line = json_object();
    char time[32];

    set_text(line, "ts", iol_text_time(time, sizeof(time), ts));
    set_text(line, "kind", kind);
    return line;
}

static void set_process(const struct iol_tail_format *format, json_t *line, int64_t id)
{
    const struct iol_live_process *process = iol_live_names_process(format->names, id), *parent;
    char user[24];

    set_number(line, "process_id", id);
    if (!process)
        return;
    set_number(line, "pid", process->pid);
    set_text(line, "comm", process->comm);
    set_text(line, "exe", process->exe);
    set_number(line, "uid", process->uid);
    set_text(line, "user", iol_live_names_user(format->names, process->uid, user, sizeof(user)));
    if (process->container->id[0])
        set_text(line, "container_id", process->container->id);
    parent = iol_live_names_parent(format->names, process);
    if (parent) {
        set_number(line, "parent_pid", parent->pid);
        set_text(line, "parent_comm", parent->comm);
    }
}

static void set_file(const struct iol_tail_format *format, json_t *line, const char *key, int64_t id)
{
    const struct iol_live_file *file = id == IOL_NULL ? NULL : iol_live_names_file(format->names, id);

    if (file)
        set_text(line, key, file->path);
}

static int print(const struct iol_tail_format *format, json_t *line, FILE *to)
{
    _cleanup_free_ char *text =
        line ? json_dumps(line, JSON_COMPACT | (format->terminal ? JSON_ENSURE_ASCII : 0)) : NULL;

    json_decref(line);
    if (!text)
        return -ENOMEM;
    fprintf(to, "%s\n", text);
    return 0;
}

int iol_tail_json_event(const struct iol_tail_format *format, const struct iol_event *event, FILE *to)
{
    json_t *line = new_line(event->ts, iol_schema_word(&iol_enum_event_kind, event->kind));
    const struct iol_live_process *process = iol_live_names_process(format->names, event->process_id);

    set_process(format, line, event->process_id);
    set_number(line, "tid", event->tid);
    if (event->kind == IOL_EVENT_EXEC && process) {
        set_text(line, "argv", process->argv);
        set_text(line, "cwd", process->cwd);
    }
    if (event->kind == IOL_EVENT_EXIT && event->result >= 0)
        set_number(line, "exit_code", event->result);
    else if (event->kind == IOL_EVENT_EXIT)
        set_number(line, "signal", -event->result);
    else
        set_number(line, "result", event->result);
    set_file(format, line, "path", event->file_id);
    set_file(format, line, "other_path", event->other_file_id);
    set_number(line, "offset_bytes", event->offset_bytes);
    set_number(line, "bytes", event->bytes);
    set_number(line, "weight", event->weight);
    return print(format, line, to);
}

int iol_tail_json_io(const struct iol_tail_format *format, const struct iol_io *io, FILE *to)
{
    json_t *line = new_line(io->ts, "io");

    set_number(line, "interval_ms", io->interval_ms);
    set_process(format, line, io->process_id);
    set_file(format, line, "path", io->file_id);
    set_text(line, "route", iol_schema_word(&iol_enum_route, io->route));
    set_number(line, "read_ops", io->read_ops);
    set_number(line, "read_bytes", io->read_bytes);
    set_number(line, "write_ops", io->write_ops);
    set_number(line, "write_bytes", io->write_bytes);
    set_number(line, "read_errors", io->read_errors);
    set_number(line, "write_errors", io->write_errors);
    return print(format, line, to);
}

int iol_tail_json_loss(const struct iol_tail_format *format, const struct iol_loss *loss, FILE *to)
{
    json_t *line = new_line(loss->ts_to, "loss");

    set_text(line, "reason", loss->reason);
    set_number(line, "lost", loss->lost);
    return print(format, line, to);
}
