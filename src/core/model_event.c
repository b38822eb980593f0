// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Events: single things that happened, beside the counters. */
#include <errno.h>

#include "core/batch.h"
#include "core/model.intern.h"

struct iol_event *iol_model_add_event(struct iol_model *model, enum iol_event_kind kind, uint64_t boot_ns,
                                      const struct iol_model_process *process, struct iol_batch *batch)
{
    struct iol_event *row = iol_batch_add(batch, IOL_TABLE_EVENT);

    if (!row)
        return NULL;
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
        event->tid = record->tid;
        event->file_id = file->id;
        event->offset_bytes = record->offset < 0 ? IOL_NULL : record->offset;
        event->bytes = record->result < 0 ? IOL_NULL : record->result;
        event->result = record->result < 0 ? record->result : 0;
        event->weight = (int64_t)record->weight;
    }
    iol_model_put_file(model, file);
    iol_model_put_process(model, process);
    return event ? 0 : -ENOMEM;
}
