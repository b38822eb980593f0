// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "core/batch.h"

#define BOOT_ID "6f1c3c1e-0000-4000-8000-00000000be7c"
#define HOT_FILES 100

/* splitmix64: https://prng.di.unimi.it/splitmix64.c */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t below(struct rows *rows, uint64_t n)
{
    return mix(rows->random++) % n;
}

int64_t rows_file_id(const struct rows *rows, size_t file)
{
    return (int64_t)mix(mix((uint64_t)rows->host_id ^ 1) + file);
}

int64_t rows_process_id(const struct rows *rows, size_t process)
{
    return (int64_t)mix(mix((uint64_t)rows->host_id ^ 2) + process);
}

static void *add(struct iol_batch *batch, enum iol_table_id table)
{
    void *row = iol_batch_add(batch, table);

    if (!row)
        abort();
    return row;
}

static const char *text(struct iol_batch *batch, const char *format, size_t a, size_t b)
{
    char buf[128];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the callers' own */
    snprintf(buf, sizeof(buf), format, a, b);
#pragma GCC diagnostic pop
    return iol_arena_dup(batch->arena, buf, strlen(buf));
}

static void seal(struct rows *rows, struct iol_batch *batch)
{
    *(struct iol_batch_row *)add(batch, IOL_TABLE_BATCH) =
        (struct iol_batch_row){rows->host_id, BOOT_ID, ++rows->seq, rows->ts};
}

static void add_process(struct rows *rows, struct iol_batch *batch, size_t i)
{
    *(struct iol_process *)add(batch, IOL_TABLE_PROCESS) = (struct iol_process){
        .id = rows_process_id(rows, i),
        .host_id = rows->host_id,
        .pid = 1000 + (int64_t)i % 30000,
        .start_time = rows->ts,
        .exec_time = rows->ts,
        .parent_id = i ? rows_process_id(rows, i / 2) : IOL_NULL,
        .ppid = 1,
        .origin = IOL_ORIGIN_EXEC,
        .comm = text(batch, "comm%03zu", i % ROWS_COMMS, 0),
        .exe = text(batch, "/usr/bin/comm%03zu", i % ROWS_COMMS, 0),
        .argv = text(batch, "comm%03zu --option %zu", i % ROWS_COMMS, i),
        .cwd = "/",
        .login_uid = IOL_NULL,
        .session_id = IOL_NULL,
        .cgroup = "/system.slice/bench.service",
    };
}

static void add_file(struct rows *rows, struct iol_batch *batch, size_t i)
{
    *(struct iol_file *)add(batch, IOL_TABLE_FILE) = (struct iol_file){
        .id = rows_file_id(rows, i),
        .host_id = rows->host_id,
        .dev = 2049,
        .inode = 100000 + (int64_t)i,
        .generation = 7,
        .path = text(batch, "/data/folder%03zu/file%06zu", i / 1000, i),
    };
}

struct iol_batch *rows_names(struct rows *rows, size_t first, size_t n)
{
    struct iol_batch *batch;

    if (first >= rows->files && first >= rows->processes)
        return NULL;
    batch = iol_batch_new();
    if (!batch)
        abort();
    if (first == 0) {
        *(struct iol_host *)add(batch, IOL_TABLE_HOST) =
            (struct iol_host){.id = rows->host_id,
                              .name = text(batch, "machine%zu", (size_t)rows->host_id, 0),
                              .boot_id = BOOT_ID,
                              .seen = rows->ts};
        *(struct iol_recording *)add(batch, IOL_TABLE_RECORDING) = (struct iol_recording){
            .id = rows->host_id, .host_id = rows->host_id, .boot_id = BOOT_ID, .started = rows->ts, .ended = IOL_NULL};
        *(struct iol_login *)add(batch, IOL_TABLE_LOGIN) = (struct iol_login){rows->host_id, 0, "root"};
    }
    for (size_t i = first; i < first + n && i < rows->processes; i++)
        add_process(rows, batch, i);
    for (size_t i = first; i < first + n && i < rows->files; i++)
        add_file(rows, batch, i);
    seal(rows, batch);
    return batch;
}

static size_t pick_file(struct rows *rows)
{
    return below(rows, 3) == 0 ? below(rows, rows->files < HOT_FILES ? rows->files : HOT_FILES)
                               : below(rows, rows->files);
}

static size_t pick_process(struct rows *rows)
{
    size_t last = rows->processes - rows->at_work;
    size_t first = rows->total ? (size_t)((double)rows->made / (double)rows->total * (double)last) : 0;

    return (first > last ? last : first) + below(rows, rows->at_work);
}

static void add_io(struct rows *rows, struct iol_batch *batch, struct iol_total *total)
{
    struct iol_io *io = add(batch, IOL_TABLE_IO);
    uint64_t how = below(rows, 10); /* 7 of them read, 2 write, one does both */
    int64_t reads = how < 8 ? 1 + (int64_t)below(rows, 40) : 0, writes = how >= 7 ? 1 + (int64_t)below(rows, 20) : 0;
    int64_t first = (int64_t)below(rows, (uint64_t)rows->interval_ns);

    *io = (struct iol_io){
        .ts = rows->ts,
        .interval_ms = rows->interval_ns / 1000000,
        .host_id = rows->host_id,
        .process_id = rows_process_id(rows, pick_process(rows)),
        .file_id = rows_file_id(rows, pick_file(rows)),
        .route = below(rows, 50) ? IOL_ROUTE_RW : IOL_ROUTE_SENDFILE,
        .read_ops = reads,
        .read_bytes = reads * (1 + (int64_t)below(rows, 16384)),
        .write_ops = writes,
        .write_bytes = writes * (1 + (int64_t)below(rows, 8192)),
        .read_errors = below(rows, 100) == 0,
        .first_ts = rows->ts - first,
        .last_ts = rows->ts - (int64_t)below(rows, (uint64_t)first + 1),
    };
    total->read_ops += io->read_ops;
    total->read_bytes += io->read_bytes;
    total->write_ops += io->write_ops;
    total->write_bytes += io->write_bytes;
    total->read_errors += io->read_errors;
    rows->made++;
}

struct iol_batch *rows_interval(struct rows *rows, size_t n)
{
    struct iol_batch *batch = iol_batch_new();
    struct iol_total totals[IOL_ROUTE_COUNT] = {0};

    if (!batch)
        abort();
    rows->ts += rows->interval_ns;
    for (size_t i = 0; i < n; i++) {
        struct iol_total one = {0}, *sum;
        add_io(rows, batch, &one);
        sum = &totals[((struct iol_io *)batch->rows[IOL_TABLE_IO].data)[i].route];
        sum->read_ops += one.read_ops;
        sum->read_bytes += one.read_bytes;
        sum->write_ops += one.write_ops;
        sum->write_bytes += one.write_bytes;
        sum->read_errors += one.read_errors;
    }
    for (int64_t route = 0; route < IOL_ROUTE_COUNT; route++) {
        if (totals[route].read_ops + totals[route].write_ops + totals[route].read_errors == 0)
            continue;
        totals[route].ts = rows->ts;
        totals[route].interval_ms = rows->interval_ns / 1000000;
        totals[route].host_id = rows->host_id;
        totals[route].route = route;
        *(struct iol_total *)add(batch, IOL_TABLE_TOTAL) = totals[route];
    }
    seal(rows, batch);
    return batch;
}
