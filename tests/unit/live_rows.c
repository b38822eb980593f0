// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "live_rows.h"

#include "core/batch.h"
#include "core/row.h"

struct iol_process *add_process(struct iol_batch *batch, int64_t id, int64_t pid, const char *comm)
{
    struct iol_process *row = iol_batch_add(batch, IOL_TABLE_PROCESS);

    *row = (struct iol_process){
        .id = id, .pid = pid, .comm = comm, .parent_id = IOL_NULL, .exec_time = IOL_NULL, .origin = IOL_ORIGIN_FORK};
    return row;
}

void add_file(struct iol_batch *batch, int64_t id, const char *path)
{
    struct iol_file *row = iol_batch_add(batch, IOL_TABLE_FILE);

    *row = (struct iol_file){.id = id, .path = path};
}

struct iol_io *add_io(struct iol_batch *batch, int64_t process_id, int64_t file_id, int64_t read_bytes,
                      int64_t write_bytes)
{
    struct iol_io *row = iol_batch_add(batch, IOL_TABLE_IO);

    *row = (struct iol_io){
        .process_id = process_id,
        .file_id = file_id,
        .read_ops = read_bytes > 0,
        .read_bytes = read_bytes,
        .write_ops = write_bytes > 0,
        .write_bytes = write_bytes,
    };
    return row;
}

struct iol_event *add_event(struct iol_batch *batch, int64_t ts, int kind, int64_t process_id)
{
    struct iol_event *row = iol_batch_add(batch, IOL_TABLE_EVENT);

    *row = (struct iol_event){
        .ts = ts,
        .process_id = process_id,
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
