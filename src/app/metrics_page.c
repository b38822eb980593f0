// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* The figures as Prometheus reads them. */
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

#include "app/metrics.h"
#include "app/status.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "store/schema.h"

#define NS_PER_S 1e9

/* Its values follow it. */
static void family(FILE *to, const char *name, const char *type, const char *help)
{
    fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void count(FILE *to, const char *name, const char *type, const char *help, uint64_t value)
{
    family(to, name, type, help);
    fprintf(to, "%s %" PRIu64 "\n", name, value);
}

static void seconds(FILE *to, const char *name, const char *type, const char *help, double value)
{
    family(to, name, type, help);
    fprintf(to, "%s %.3f\n", name, value);
}

/* One operation of the kernel's totals after the other. */
static void by_route(FILE *to, const struct iol_account_stats *accounts, const char *name, const char *help,
                     size_t read_offset, size_t write_offset)
{
    family(to, name, "counter", help);
    for (size_t route = 0; route < IOL_ROUTE_COUNT; route++) {
        const char *total = (const char *)&accounts->totals[route];
        const char *word = iol_schema_word(&iol_enum_route, (int64_t)route);
        uint64_t read, written;

        memcpy(&read, total + read_offset, sizeof(read));
        memcpy(&written, total + write_offset, sizeof(written));
        fprintf(to, "%s{route=\"%s\",direction=\"read\"} %" PRIu64 "\n", name, word, read);
        fprintf(to, "%s{route=\"%s\",direction=\"write\"} %" PRIu64 "\n", name, word, written);
    }
}

static void print_counted(FILE *to, const struct iol_pipeline_stats *stats)
{
    const struct iol_account_stats *accounts = &stats->accounts;

    by_route(to, accounts, "ioledger_operations_total", "Operations, as the kernel counts them in total.",
             offsetof(struct iol_counts, read_ops), offsetof(struct iol_counts, write_ops));
    by_route(to, accounts, "ioledger_bytes_total",
             "Bytes read and written, as the kernel counts them in total; of mappings nobody knows.",
             offsetof(struct iol_counts, read_bytes), offsetof(struct iol_counts, write_bytes));
    by_route(to, accounts, "ioledger_operation_errors_total", "Operations that failed.",
             offsetof(struct iol_counts, read_errors), offsetof(struct iol_counts, write_errors));
    family(to, "ioledger_left_out_operations_total", "counter",
           "Operations that are not recorded: of the recorder and its database server, or ignored by a rule.");
    fprintf(to, "ioledger_left_out_operations_total{by=\"recorder\"} %" PRIu64 "\n", accounts->excluded_ops);
    fprintf(to, "ioledger_left_out_operations_total{by=\"rule\"} %" PRIu64 "\n", accounts->ignored_ops);
    family(to, "ioledger_events_total", "counter", "Events, by kind.");
    for (int64_t kind = 0; kind < IOL_EVENT_KIND_COUNT; kind++)
        fprintf(to, "ioledger_events_total{kind=\"%s\"} %" PRIu64 "\n", iol_schema_word(&iol_enum_event_kind, kind),
                stats->model.events[kind]);
    family(to, "ioledger_losses_total", "counter", "Losses of detail, by reason; totals lose nothing.");
    for (int i = 0; i < IOL_LOST_COUNT; i++)
        fprintf(to, "ioledger_losses_total{reason=\"%s\"} %" PRIu64 "\n", iol_status_loss_key(i) + strlen("lost_"),
                accounts->lost[i]);
    count(to, "ioledger_bad_records_total", "counter", "Records of the kernel that could not be understood.",
          stats->bad_records);
}

static void print_held(FILE *to, const struct iol_pipeline_stats *stats)
{
    count(to, "ioledger_accounts", "gauge", "Accounts in use: process, file and route.", stats->accounts.in_use);
    count(to, "ioledger_accounts_max", "gauge", "Accounts that there can be.", stats->accounts.slots);
    count(to, "ioledger_processes_held", "gauge", "Process images that the recorder holds.",
          stats->model.processes_held);
    count(to, "ioledger_files_held", "gauge", "Files that the recorder holds.", stats->model.files_held);
    count(to, "ioledger_processes_total", "counter", "Process images recorded.", stats->model.processes);
    count(to, "ioledger_files_total", "counter", "Files recorded, under one name each.", stats->model.files);
}

static void print_stored(FILE *to, const struct iol_pipeline_stats *stats)
{
    const struct iol_writer_stats *writer = &stats->writer;
    int64_t age_ns = writer->waiting > 0 ? iol_wall_ns() - writer->oldest_ts : 0;

    count(to, "ioledger_database_up", "gauge", "Whether the database took the last batch.", !writer->down);
    seconds(to, "ioledger_database_lag_seconds", "gauge", "How far the database is behind.",
            (double)stats->lag_ns / NS_PER_S);
    count(to, "ioledger_batches_total", "counter", "Batches committed.", writer->batches);
    count(to, "ioledger_rows_total", "counter", "Rows committed.", writer->rows);
    count(to, "ioledger_database_errors_total", "counter", "Tries to store a batch that failed.", writer->retries);
    count(to, "ioledger_rejected_batches_total", "counter", "Batches that the database refused for good.",
          writer->rejected);
    count(to, "ioledger_rejected_rows_total", "counter", "Rows that the database refused for good.",
          writer->rejected_rows);
    count(to, "ioledger_waiting_batches", "gauge",
          "Batches that are not in the database yet, in memory or in the spool.", writer->waiting);
    seconds(to, "ioledger_waiting_age_seconds", "gauge", "Age of the oldest batch that waits.",
            age_ns > 0 ? (double)age_ns / NS_PER_S : 0);
    count(to, "ioledger_queue_batches", "gauge", "Batches that wait in memory.", writer->queued);
    count(to, "ioledger_queue_bytes", "gauge", "Memory of the batches that wait in it.", writer->queued_bytes);
    count(to, "ioledger_postponed_intervals_total", "counter", "Intervals left in the kernel, as the queue was full.",
          stats->postponed);
}

static void print_spooled(FILE *to, const struct iol_writer_stats *writer)
{
    count(to, "ioledger_spool_batches", "gauge", "Batches that wait in the spool.", writer->spool.entries);
    count(to, "ioledger_spool_rows", "gauge", "Rows that wait in the spool.", writer->spool.rows);
    count(to, "ioledger_spool_bytes", "gauge", "What the spool takes on the disk.", writer->spool.bytes);
    count(to, "ioledger_spool_merged_intervals_total", "counter",
          "Intervals merged with others, as the spool was full.", writer->spool.merged);
    count(to, "ioledger_spool_quarantined_batches", "gauge", "Batches set aside in the spool's folder quarantine.",
          writer->spool.quarantine_files);
}

static void print_own(FILE *to, const struct iol_metrics_figures *figures)
{
    struct rusage usage = {0};

    getrusage(RUSAGE_SELF, &usage);
    seconds(to, "ioledger_uptime_seconds", "gauge", "How long it has been recording.",
            (double)(iol_boot_ns() - figures->started_ns) / NS_PER_S);
    seconds(to, "ioledger_interval_seconds", "gauge", "How often the accounts are posted.",
            (double)figures->interval_ns / NS_PER_S);
    count(to, "ioledger_map_memory_bytes", "gauge", "Memory of BPF maps.", figures->map_memory);
    count(to, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", iol_status_resident_bytes());
    seconds(to, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.",
            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

void iol_metrics_print(const struct iol_metrics_figures *figures, FILE *to)
{
    const struct iol_pipeline_stats *stats = &figures->stats;

    family(to, "ioledger_build_info", "gauge", "Version of ioledger, and the probe set in use.");
    fprintf(to, "ioledger_build_info{version=\"%s\",probes=\"%s\"} 1\n", IOL_VERSION, stats->probes);
    print_own(to, figures);
    print_counted(to, stats);
    print_held(to, stats);
    print_stored(to, stats);
    print_spooled(to, &stats->writer);
}
