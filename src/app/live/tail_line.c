// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/tail_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/live/names.h"
#include "app/live/tail_line.intern.h"
#include "app/output.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "core/batch.h"
#include "core/row.h"
#include "store/schema.h"

#define KIND_WIDTH 11 /* "exec_failed" */
#define COMM_WIDTH 15
#define NS_PER_MS 1000000

/* Escape sequences of the eight colours; what a kind has none for stays plain. */
static const char *const colours[IOL_EVENT_KIND_COUNT] = {
    [IOL_EVENT_EXEC] = "\033[32m",   [IOL_EVENT_EXEC_FAILED] = "\033[31m", [IOL_EVENT_EXIT] = "\033[2m",
    [IOL_EVENT_FORK] = "\033[34m",   [IOL_EVENT_READ] = "\033[36m",        [IOL_EVENT_WRITE] = "\033[33m",
    [IOL_EVENT_RENAME] = "\033[35m", [IOL_EVENT_UNLINK] = "\033[35m",      [IOL_EVENT_OPEN_FAILED] = "\033[31m",
};
static const char loss_colour[] = "\033[1;31m";
static const char io_colour[] = "";

void iol_tail_heading(const struct iol_tail_format *format, FILE *to)
{
    if (!format->json)
        fprintf(to, "%s%-12s  %-*s  %7s  %-*s  %s%s\n", format->colours ? "\033[1m" : "", "TIME", KIND_WIDTH, "KIND",
                "PID", COMM_WIDTH, "PROCESS", "DETAIL", format->colours ? "\033[m" : "");
}

/* The text as it may go to a terminal; malloc'ed, or NULL. */
static char *make_visible(const char *text)
{
    size_t size = iol_text_visible(NULL, 0, text) + 1;
    char *visible = malloc(size);

    if (visible)
        iol_text_visible(visible, size, text);
    return visible;
}

static int put_line(const struct iol_tail_format *format, int64_t ts, const char *kind, const char *colour,
                    const struct iol_live_process *process, const char *detail, FILE *to)
{
    _cleanup_free_ char *comm = make_visible(process ? process->comm : "-"), *safe = make_visible(detail);
    _cleanup_free_ char *line = NULL;
    bool coloured = format->colours && colour && *colour;
    char time[32], pid[24] = "-";
    size_t length, comm_width;

    if (!comm || !safe)
        return -ENOMEM;
    comm_width = iol_text_width(comm);
    if (process)
        snprintf(pid, sizeof(pid), "%" PRId64, process->pid);
    iol_text_time(time, sizeof(time), ts);
    if (asprintf(&line, "%.12s  %-*s  %7s  %s%*s  %s", time + strlen("YYYY-MM-DD "), KIND_WIDTH, kind, pid, comm,
                 comm_width < COMM_WIDTH ? (int)(COMM_WIDTH - comm_width) : 0, "", safe) < 0)
        return -ENOMEM;
    length = strlen(line);
    if (format->width && iol_text_width(line) > format->width)
        length = iol_text_head(line, format->width - 1);
    fprintf(to, "%s%.*s%s%s\n", coloured ? colour : "", (int)length, line,
            line[length] ? (iol_output_is_utf8() ? "\u2026" : "~") : "", coloured ? "\033[m" : "");
    return 0;
}

static const char *path_of(const struct iol_tail_format *format, int64_t id)
{
    const struct iol_live_file *file = id == IOL_NULL ? NULL : iol_live_names_file(format->names, id);

    return file ? file->path : "";
}

static void tell_exec(const struct iol_live_process *process, FILE *detail)
{
    size_t first;

    if (!process)
        return;
    if (!process->argv) {
        fputs(process->exe ? process->exe : process->comm, detail);
        return;
    }
    fputs(process->argv, detail);
    first = strcspn(process->argv, " ");
    if (process->exe && (strlen(process->exe) != first || strncmp(process->exe, process->argv, first) != 0))
        fprintf(detail, " [%s]", process->exe);
}

static void tell_exit(const struct iol_event *event, const struct iol_live_process *process, FILE *detail)
{
    char span[32];
    int64_t lived = process && process->start_time != IOL_NULL ? event->ts - process->start_time : -1;

    if (event->result < 0)
        fprintf(detail, "killed by signal %" PRId64 " (%s)", -event->result, strsignal((int)-event->result));
    else
        fprintf(detail, "status %" PRId64, event->result);
    if (lived >= 0 && lived < INT64_C(1000) * NS_PER_MS)
        fprintf(detail, " after %" PRId64 " ms", lived / NS_PER_MS);
    else if (lived >= 0)
        fprintf(detail, " after %s", iol_text_span(span, sizeof(span), lived));
}

static void tell_other(const struct iol_tail_format *format, const struct iol_event *event, FILE *detail)
{
    char size[16];

    fputs(path_of(format, event->file_id), detail);
    if (event->other_file_id != IOL_NULL)
        fprintf(detail, " -> %s", path_of(format, event->other_file_id));
    if (event->bytes != IOL_NULL)
        fprintf(detail, "  %s", iol_text_size(size, sizeof(size), (uint64_t)event->bytes));
    if (event->offset_bytes != IOL_NULL)
        fprintf(detail, " at %" PRId64, event->offset_bytes);
    if (event->result < 0)
        fprintf(detail, ": %s", strerror((int)-event->result));
    if (event->weight > 1)
        fprintf(detail, " (one of %" PRId64 ")", event->weight);
}

static void tell_event(const struct iol_tail_format *format, const struct iol_event *event,
                       const struct iol_live_process *process, FILE *detail)
{
    const struct iol_live_process *parent;

    switch (event->kind) {
    case IOL_EVENT_EXEC:
        tell_exec(process, detail);
        break;
    case IOL_EVENT_EXIT:
        tell_exit(event, process, detail);
        break;
    case IOL_EVENT_FORK:
        parent = process ? iol_live_names_parent(format->names, process) : NULL;
        if (parent)
            fprintf(detail, "by %s (%" PRId64 ")", parent->comm, parent->pid);
        break;
    default:
        tell_other(format, event, detail);
        break;
    }
}

static int put_event(const struct iol_tail_format *format, const struct iol_event *event, FILE *to)
{
    const struct iol_live_process *process = iol_live_names_process(format->names, event->process_id);
    _cleanup_free_ char *detail = NULL;
    size_t size;
    FILE *stream;

    if (format->json)
        return iol_tail_json_event(format, event, to);
    stream = open_memstream(&detail, &size);
    if (!stream)
        return -ENOMEM;
    tell_event(format, event, process, stream);
    if (fclose(stream) != 0 || !detail)
        return -ENOMEM;
    return put_line(format, event->ts, iol_schema_word(&iol_enum_event_kind, event->kind), colours[event->kind],
                    process, detail, to);
}

/* "read 12.3 MB in 17, 2 errors; " */
static void tell_direction(FILE *detail, const char *verb, int64_t ops, int64_t bytes, int64_t errors)
{
    char size[16];

    if (ops == 0 && errors == 0)
        return;
    fprintf(detail, "  %s %s in %" PRId64, verb, iol_text_size(size, sizeof(size), (uint64_t)bytes), ops);
    if (errors > 0)
        fprintf(detail, ", %" PRId64 " %s", errors, iol_text_plural((uint64_t)errors, "error", "errors"));
}

static int put_io(const struct iol_tail_format *format, const struct iol_io *io, FILE *to)
{
    _cleanup_free_ char *detail = NULL;
    size_t size;
    FILE *stream;

    if (format->json)
        return iol_tail_json_io(format, io, to);
    stream = open_memstream(&detail, &size);
    if (!stream)
        return -ENOMEM;
    fputs(path_of(format, io->file_id), stream);
    if (io->route == IOL_ROUTE_MMAP) {
        fprintf(stream, "  mapped");
    } else {
        tell_direction(stream, "read", io->read_ops, io->read_bytes, io->read_errors);
        tell_direction(stream, "wrote", io->write_ops, io->write_bytes, io->write_errors);
    }
    if (fclose(stream) != 0 || !detail)
        return -ENOMEM;
    return put_line(format, io->ts, "io", io_colour, iol_live_names_process(format->names, io->process_id), detail, to);
}

static int put_loss(const struct iol_tail_format *format, const struct iol_loss *loss, FILE *to)
{
    char detail[512];

    if (format->json)
        return iol_tail_json_loss(format, loss, to);
    snprintf(detail, sizeof(detail), "%" PRId64 " lost: %s", loss->lost, loss->reason);
    return put_line(format, loss->ts_to, "loss", loss_colour, NULL, detail, to);
}

struct ordered {
    int64_t ts;
    size_t index;
};

static int compare_times(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;

    if (x->ts != y->ts)
        return x->ts < y->ts ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index; /* as they came */
}

/* Events of several CPUs come nearly in order: here they are put into it. malloc'ed; NULL: no memory. */
static struct ordered *sort_events(const struct iol_rows *rows)
{
    const struct iol_event *events = rows->data;
    struct ordered *sorted = calloc(rows->count + 1, sizeof(*sorted));

    for (size_t i = 0; sorted && i < rows->count; i++)
        sorted[i] = (struct ordered){.ts = events[i].ts, .index = i};
    if (sorted)
        qsort(sorted, rows->count, sizeof(*sorted), compare_times);
    return sorted;
}

int64_t iol_tail_lines(const struct iol_tail_format *format, const struct iol_batch *batch, int64_t most, FILE *to)
{
    const struct iol_rows *rows = batch->rows;
    _cleanup_free_ struct ordered *order = sort_events(&rows[IOL_TABLE_EVENT]);
    const struct iol_event *event = rows[IOL_TABLE_EVENT].data;
    const struct iol_io *io = rows[IOL_TABLE_IO].data;
    const struct iol_loss *loss = rows[IOL_TABLE_LOSS].data;
    int64_t n = 0;
    int r = order ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && n < most && i < rows[IOL_TABLE_EVENT].count; i++, n++)
        r = put_event(format, &event[order[i].index], to);
    for (size_t i = 0; r == 0 && n < most && format->io && i < rows[IOL_TABLE_IO].count; i++, n++)
        r = put_io(format, &io[i], to);
    for (size_t i = 0; r == 0 && n < most && i < rows[IOL_TABLE_LOSS].count; i++, n++)
        r = put_loss(format, &loss[i], to);
    return r < 0 ? r : n;
}
