// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/status.h"

#include <assert.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "app/pipeline.h"
#include "app/rates.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "store/url.h"

#define NS_PER_MS 1000000

static const char *const loss_keys[] = {
    [IOL_LOST_ACCOUNTS_FULL] = "lost_accounts_full",
    [IOL_LOST_FILE_RECORDS] = "lost_file_records",
    [IOL_LOST_SCRATCH] = "lost_scratch",
    [IOL_LOST_PROCESS_RECORDS] = "lost_process_records",
    [IOL_LOST_EVENTS] = "lost_events",
    [IOL_LOST_TASKS_FULL] = "lost_tasks_full",
    [IOL_LOST_OVER_BUDGET] = "lost_over_budget",
    [IOL_LOST_RING_EVENTS] = "lost_ring_events",
    [IOL_LOST_URING_BYTES] = "lost_uring_bytes",
    [IOL_LOST_URING_COMPLETIONS] = "lost_uring_completions",
    [IOL_LOST_AIO_BYTES] = "lost_aio_bytes",
    [IOL_LOST_AIO_OPERATIONS] = "lost_aio_operations",
    [IOL_LOST_RENAMED] = "lost_renamed",
    [IOL_LOST_LEFT_OUT] = "lost_left_out",
    [IOL_LOST_PROCESSES_LEFT_OUT] = "lost_processes_left_out",
    [IOL_LOST_TASKS_UNJUDGED] = "lost_tasks_unjudged",
};

static_assert(IOL_ARRAY_SIZE(loss_keys) == IOL_LOST_COUNT, "a key for each reason");

const char *iol_status_loss_key(int lost)
{
    return loss_keys[lost];
}

static void put_int(json_t *status, const char *key, uint64_t number)
{
    json_object_set_new(status, key, json_integer((json_int_t)number));
}

/* NULL, and what is not UTF-8 in spite of all: null. */
static void put_text(json_t *status, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : NULL;

    json_object_set_new(status, key, value ? value : json_null());
}

static void put_time(json_t *status, const char *key, int64_t ns)
{
    char text[32];

    put_text(status, key, ns ? iol_text_time(text, sizeof(text), ns) : NULL);
}

uint64_t iol_status_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size, pages = 0;

    if (file && fscanf(file, "%lu %lu", &size, &pages) != 2)
        pages = 0;
    if (file)
        fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t iol_status_cpu_ms(void)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static void put_recording(json_t *status, const struct iol_status_source *source)
{
    const struct iol_pipeline_stats *stats = source->stats;
    char db[IOL_ERROR_TEXT_MAX];

    put_int(status, "pid", (uint64_t)getpid());
    put_text(status, "version", IOL_VERSION);
    put_text(status, "state", source->state);
    put_int(status, "recording_id", (uint64_t)stats->recording_id);
    put_time(status, "started", stats->started);
    put_int(status, "uptime_ms", source->uptime_ns / NS_PER_MS);
    put_text(status, "db", iol_url_redact(db, sizeof(db), source->db));
    put_text(status, "scope", stats->scope);
    put_text(status, "probes", stats->probes);
    put_text(status, "uncovered", stats->uncovered);
    put_int(status, "interval_ms", (uint64_t)source->interval_ns / NS_PER_MS);
    put_int(status, "resident_bytes", iol_status_resident_bytes());
    put_int(status, "maps_bytes", source->map_memory);
    put_int(status, "cpu_ms", iol_status_cpu_ms());
    put_int(status, "start_cpu_ms", source->start_cpu_ms);
}

static void put_counted(json_t *status, const struct iol_pipeline_stats *stats, const struct iol_rates *rates)
{
    uint64_t losses = 0;

    put_int(status, "accounts", stats->accounts.in_use);
    put_int(status, "accounts_max", stats->accounts.slots);
    put_int(status, "processes_held", stats->model.processes_held);
    put_int(status, "files_held", stats->model.files_held);
    put_int(status, "processes", stats->model.processes);
    put_int(status, "files", stats->model.files);
    put_int(status, "ops", stats->accounts.ops);
    put_int(status, "read_bytes", stats->accounts.read_bytes);
    put_int(status, "write_bytes", stats->accounts.write_bytes);
    put_int(status, "excluded_ops", stats->accounts.excluded_ops);
    put_int(status, "ignored_ops", stats->accounts.ignored_ops);
    put_int(status, "ops_per_s", rates->ops_per_s);
    put_int(status, "read_bytes_per_s", rates->read_bytes_per_s);
    put_int(status, "write_bytes_per_s", rates->write_bytes_per_s);
    put_int(status, "rows_per_s", rates->rows_per_s);
    put_int(status, "bad_records", stats->bad_records);
    for (int i = 0; i < IOL_LOST_COUNT; i++) {
        put_int(status, loss_keys[i], stats->accounts.lost[i]);
        losses += stats->accounts.lost[i];
    }
    put_int(status, "losses", losses);
}

static void put_spooled(json_t *status, const struct iol_pipeline_stats *stats)
{
    const struct iol_writer_stats *writer = &stats->writer;

    put_text(status, "spool", stats->spool_dir);
    put_int(status, "spool_batches", writer->spool.entries);
    put_int(status, "spool_rows", writer->spool.rows);
    put_int(status, "spool_bytes", writer->spool.bytes);
    put_int(status, "spool_merged", writer->spool.merged);
    put_int(status, "quarantined_batches", writer->spool.quarantine_files);
    put_text(status, "spool_error", writer->spool_failed ? writer->spool_error : NULL);
}

static void put_stored(json_t *status, const struct iol_pipeline_stats *stats)
{
    const struct iol_writer_stats *writer = &stats->writer;
    int64_t age_ns = iol_wall_ns() - writer->oldest_ts;

    put_text(status, "database", writer->down ? "away" : "ok");
    put_int(status, "lag_ms", (uint64_t)stats->lag_ns / NS_PER_MS);
    put_int(status, "rows", writer->rows);
    put_int(status, "batches", writer->batches);
    put_int(status, "queued_batches", writer->waiting);
    put_int(status, "queued_bytes", writer->queued_bytes + (writer->spool.entries ? writer->spool.bytes : 0));
    put_int(status, "oldest_ms", writer->waiting > 0 && age_ns > 0 ? (uint64_t)age_ns / NS_PER_MS : 0);
    put_int(status, "postponed_intervals", stats->postponed);
    put_int(status, "retries", writer->retries);
    put_int(status, "rejected_batches", writer->rejected);
    put_int(status, "rejected_rows", writer->rejected_rows);
    put_text(status, "last_error", writer->last_error[0] ? writer->last_error : NULL);
    put_time(status, "last_error_time", writer->error_ts);
}

json_t *iol_status_make(const struct iol_status_source *source)
{
    json_t *status = json_object();

    if (!status)
        return NULL;
    put_recording(status, source);
    put_counted(status, source->stats, source->rates);
    put_stored(status, source->stats);
    put_spooled(status, source->stats);
    return status;
}
