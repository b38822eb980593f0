// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Events: single things that happened, beside the counters. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "core/batch.h"
#include "core/model.intern.h"

struct iol_event *iol_model_add_event(struct iol_model *model, enum iol_event_kind kind, uint64_t boot_ns,
                                      const struct iol_model_process *process, struct iol_batch *batch)
{
    struct iol_event *row = iol_batch_add(batch, IOL_TABLE_EVENT);

    if (!row)
        return NULL;
    model->stats.events[kind]++;
    *row = (struct iol_event){
        .ts = iol_model_time(model, boot_ns),
        .host_id = model->host_id,
        .process_id = process->row.id,
        .tid = IOL_NULL,
        .kind = kind,
        .file_id = IOL_NULL,
        .other_file_id = IOL_NULL,
        .offset_bytes = IOL_NULL,
        .bytes = IOL_NULL,
        .weight = 1,
    };
    return row;
}

/* The account was opened before its first event: its file record has come, and its process is known or is made up. */
int iol_model_post_event(struct iol_model *model, const struct iol_record_event *record, struct iol_batch *batch)
{
    struct iol_model_process *process = iol_model_get_process(model, record->image, batch);
    struct iol_model_file *file = iol_model_get_file(model, record->file, batch);
    struct iol_event *event = NULL;

    if (process && file)
        event = iol_model_add_event(model, record->kind, record->head.ts, process, batch);
    if (event) {
        event->tid = record->tid ? record->tid : IOL_NULL;
        event->file_id = file->id;
        event->offset_bytes = record->offset < 0 ? IOL_NULL : record->offset;
        /* of a mapping nobody knows */
        event->bytes = record->result < 0 || record->kind == IOL_EVENT_MMAP ? IOL_NULL : record->result;
        event->result = record->result < 0 ? record->result : 0;
        event->weight = (int64_t)record->weight;
    }
    iol_model_put_file(model, file);
    iol_model_put_process(model, process);
    return event ? 0 : -ENOMEM;
}

int iol_model_add_mapping(struct iol_model *model, const struct iol_model_process *process,
                          const struct iol_model_file *file, uint64_t boot_ns, struct iol_batch *batch)
{
    struct iol_event *event = iol_model_add_event(model, IOL_EVENT_MMAP, boot_ns, process, batch);

    if (!event)
        return -ENOMEM;
    event->file_id = file->id;
    return 0;
}

const char *iol_model_loss_of(const struct iol_model_process *process, const char *reason, struct iol_batch *batch)
{
    char text[256];
    int length;

    if (process)
        length = snprintf(text, sizeof(text), "%s (%s, pid %" PRId64 ")", reason, process->row.comm, process->row.pid);
    else
        length = snprintf(text, sizeof(text), "%s (other processes)", reason);
    if (length >= (int)sizeof(text))
        length = sizeof(text) - 1;
    return iol_arena_dup(batch->arena, text, (size_t)length);
}
