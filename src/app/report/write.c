// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/output.h"
#include "app/report/directories.h"
#include "app/report/page.h"
#include "app/report/report.h"
#include "base/clock.h"
#include "core/row.h"

/* Integers beyond these are written as texts: a script would round them. */
#define EXACT_MAX (INT64_C(1) << 53)

/* What would end the script element that the data stand in, or begin a comment there, is escaped. */
#define HTML_SPECIAL "<>&"

struct writer {
    FILE *to;
    const struct iol_report *report;
    bool more; /* something stands before, in this array */
};

static void put_text(FILE *to, const char *text)
{
    if (text)
        iol_output_put_json(to, text, HTML_SPECIAL);
    else
        fputs("null", to);
}

static void put_int(FILE *to, int64_t number)
{
    fprintf(to, number > -EXACT_MAX && number < EXACT_MAX ? "%" PRId64 : "\"%" PRId64 "\"", number);
}

static void next_text(FILE *to, const char *text)
{
    putc(',', to);
    put_text(to, text);
}

static void next_int(FILE *to, int64_t number)
{
    putc(',', to);
    put_int(to, number);
}

/* null for IOL_NULL */
static void next_maybe(FILE *to, int64_t number)
{
    if (number == IOL_NULL)
        fputs(",null", to);
    else
        next_int(to, number);
}

static void next_sums(FILE *to, const struct iol_report_sums *sums)
{
    for (size_t i = 0; i < IOL_SUMS; i++)
        next_int(to, sums->n[i]);
    next_int(to, sums->first);
    next_int(to, sums->last);
}

static void begin_row(struct writer *writer)
{
    fputs(writer->more ? ",\n[" : "\n[", writer->to);
    writer->more = true;
}

static void begin_array(struct writer *writer, const char *name)
{
    fprintf(writer->to, ",\n\"%s\":[", name);
    writer->more = false;
}

static int64_t host_number(const struct iol_report *report, int64_t id)
{
    for (size_t i = 0; i < report->n_hosts; i++) {
        if (report->hosts[i].id == id)
            return (int64_t)i;
    }
    return -1;
}

static void put_about(const struct iol_report *report, const char *db, FILE *to)
{
    fprintf(to, "{\"version\":\"%s\",\"made\":%" PRId64 ",\"db\":", IOL_VERSION, iol_wall_ns() / 1000);
    put_text(to, db);
    fprintf(to, ",\"since\":%" PRId64 ",\"until\":%" PRId64 ",\"from\":%" PRId64 ",\"to\":%" PRId64, report->since,
            report->until, report->from, report->to);
    fprintf(to, ",\"allFiles\":%" PRId64 ",\"allProcesses\":%" PRId64 ",\"allPrograms\":%" PRId64, report->n_all_files,
            report->n_all_processes, report->n_all_programs);
    fprintf(to, ",\"allRecordings\":%" PRId64 ",\"allLosses\":%" PRId64, report->n_all_recordings,
            report->n_all_losses);
    fputs(",\"accounts\":[0", to);
    next_sums(to, &report->accounts);
    fputs("],\"kernel\":[0", to);
    next_sums(to, &report->kernel);
    putc(']', to);
}

static void put_times(struct writer *writer)
{
    const struct iol_report *report = writer->report;
    FILE *to = writer->to;

    begin_array(writer, "hosts");
    for (size_t i = 0; i < report->n_hosts; i++) {
        begin_row(writer);
        put_text(to, report->hosts[i].name);
        next_text(to, report->hosts[i].kernel);
        putc(']', to);
    }
    fputs("]", to);
    begin_array(writer, "recordings");
    for (size_t i = 0; i < report->n_recordings; i++) {
        const struct iol_report_recording *recording = &report->recordings[i];

        begin_row(writer);
        put_int(to, host_number(report, recording->host_id));
        next_int(to, recording->started);
        next_int(to, recording->ended);
        next_int(to, recording->last_interval);
        next_text(to, recording->version);
        next_text(to, recording->probes);
        next_text(to, recording->scope);
        next_int(to, recording->excluded_ops);
        next_int(to, recording->excluded_bytes);
        putc(']', to);
    }
    fputs("]", to);
    begin_array(writer, "lossKinds");
    for (size_t i = 0; i < report->n_loss_kinds; i++) {
        const struct iol_report_loss *loss = &report->loss_kinds[i];

        begin_row(writer);
        put_int(to, host_number(report, loss->host_id));
        next_text(to, loss->reason);
        next_int(to, loss->from);
        next_int(to, loss->to);
        next_int(to, loss->lost);
        next_int(to, loss->times);
        putc(']', to);
    }
    fputs("]", to);
    begin_array(writer, "losses");
    for (size_t i = 0; i < report->n_losses; i++) {
        begin_row(writer);
        put_int(to, report->losses[i].from);
        next_int(to, report->losses[i].to);
        putc(']', to);
    }
    fprintf(to, "],\n\"barWidth\":%" PRId64, report->bar_width);
    begin_array(writer, "bars");
    for (size_t i = 0; i < report->n_bars; i++) {
        begin_row(writer);
        put_int(to, report->bars[i].n[0]);
        for (size_t j = 1; j < IOL_SUMS; j++)
            next_int(to, report->bars[i].n[j]);
        putc(']', to);
    }
    fputs("]", to);
}

/* Processes are told by their number in the array, in the order of the hash's list; files likewise. */
static void put_processes(struct writer *writer)
{
    const struct iol_report *report = writer->report;
    FILE *to = writer->to;

    begin_array(writer, "processes");
    for (const struct iol_report_process *process = report->processes; process; process = process->hh.next) {
        begin_row(writer);
        /* Ids are hashes of 64 bits: in a script they are names, not numbers. */
        fprintf(to, "\"%" PRId64 "\",", process->id);
        if (process->parent_id)
            fprintf(to, "\"%" PRId64 "\"", process->parent_id);
        else
            fputs("null", to);
        next_int(to, process->described ? host_number(report, process->host_id) : -1);
        next_int(to, process->pid);
        next_text(to, process->origin);
        next_text(to, process->comm);
        next_text(to, process->exe);
        next_text(to, process->argv);
        next_text(to, process->cwd);
        next_text(to, process->user);
        next_text(to, process->container);
        next_int(to, process->started);
        next_int(to, process->executed);
        next_int(to, process->ended);
        next_maybe(to, process->described ? process->exit_code : IOL_NULL);
        next_maybe(to, process->described ? process->signal : IOL_NULL);
        next_int(to, process->files);
        next_sums(to, &process->sums);
        putc(']', to);
    }
    fputs("]", to);
    begin_array(writer, "programs");
    for (size_t i = 0; i < report->n_programs; i++) {
        begin_row(writer);
        put_text(to, report->programs[i].exe);
        next_text(to, report->programs[i].comm);
        next_int(to, report->programs[i].processes);
        next_sums(to, &report->programs[i].sums);
        putc(']', to);
    }
    fputs("]", to);
}

static void put_files(struct writer *writer)
{
    const struct iol_report *report = writer->report;
    FILE *to = writer->to;

    begin_array(writer, "files");
    for (const struct iol_report_file *file = report->files; file; file = file->hh.next) {
        begin_row(writer);
        put_int(to, host_number(report, file->host_id));
        next_text(to, file->path);
        next_text(to, file->kind);
        next_text(to, file->flags);
        next_int(to, file->processes);
        next_sums(to, &file->sums);
        fputs(",[", to);
        for (const struct iol_report_pair *pair = file->pairs; pair; pair = pair->next) {
            fprintf(to, "%s[\"%" PRId64 "\"", pair == file->pairs ? "" : ",", pair->process_id);
            next_sums(to, &pair->sums);
            putc(']', to);
        }
        fputs("]]", to);
    }
    fputs("]", to);
}

static int put_directory(const struct iol_directory_node *node, void *data)
{
    struct writer *writer = data;
    FILE *to = writer->to;

    begin_row(writer);
    put_int(to, (int64_t)node->parent);
    next_text(to, node->name);
    next_int(to, node->is_directory);
    next_int(to, node->read_bytes);
    next_int(to, node->write_bytes);
    next_int(to, node->files);
    putc(']', to);
    return iol_output_check(to);
}

int iol_report_write(const struct iol_report *report, const char *db, FILE *to)
{
    struct writer writer = {.to = to, .report = report};
    int r;

    fwrite(iol_report_page_head, 1, iol_report_page_head_size, to);
    put_about(report, db, to);
    put_times(&writer);
    r = iol_output_check(to);
    if (r < 0)
        return r;
    put_processes(&writer);
    put_files(&writer);
    begin_array(&writer, "directories");
    r = iol_directories_walk(report->directories, put_directory, &writer);
    fputs("]}", to);
    fwrite(iol_report_page_tail, 1, iol_report_page_tail_size, to);
    return r < 0 ? r : iol_output_check(to);
}
