// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/top_batch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/live/names.h"
#include "app/live/print.h"
#include "base/cleanup.h"
#include "base/text.h"

enum {
    COLUMN_TS,
    COLUMN_INTERVAL,
    COLUMN_PID,
    COLUMN_COMM,
    COLUMN_USER,
    COLUMN_CONTAINER,
    COLUMN_READ_BYTES_S,
    COLUMN_WRITE_BYTES_S,
    COLUMN_OPS_S,
    COLUMN_ERRORS_S,
    COLUMN_READ_OPS,
    COLUMN_READ_BYTES,
    COLUMN_WRITE_OPS,
    COLUMN_WRITE_BYTES,
    COLUMN_ERRORS,
    COLUMN_PAIRS,
    COLUMN_PATH,
    COLUMN_COUNT,
};

/* A table has rates; json and csv have them too, and beside them what was counted in the interval. */
static const struct iol_output_column columns[COLUMN_COUNT] = {
    [COLUMN_TS] = {"ts", NULL, IOL_CELL_TIME, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_INTERVAL] = {"interval_ms", NULL, IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_PID] = {"pid", "PID", IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_EMPTY, 0, 0},
    [COLUMN_COMM] = {"comm", "PROCESS", IOL_CELL_TEXT, IOL_SHORTEN_END, IOL_HIDE_EMPTY, 0, 0},
    [COLUMN_USER] = {"user", "USER", IOL_CELL_TEXT, IOL_SHORTEN_END, IOL_HIDE_EMPTY, 2, 0},
    [COLUMN_CONTAINER] = {"container_id", "CONTAINER", IOL_CELL_TEXT, IOL_SHORTEN_END, IOL_HIDE_EMPTY, 1, 0},
    [COLUMN_READ_BYTES_S] = {"read_bytes_per_s", "READ/s", IOL_CELL_BYTES, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_WRITE_BYTES_S] = {"write_bytes_per_s", "WRITE/s", IOL_CELL_BYTES, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_OPS_S] = {"ops_per_s", "OPS/s", IOL_CELL_COUNT, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_ERRORS_S] = {"errors_per_s", "ERR/s", IOL_CELL_COUNT, IOL_SHORTEN_NOT, IOL_HIDE_EMPTY, 0, 0},
    [COLUMN_READ_OPS] = {"read_ops", NULL, IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_READ_BYTES] = {"read_bytes", NULL, IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_WRITE_OPS] = {"write_ops", NULL, IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_WRITE_BYTES] = {"write_bytes", NULL, IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_ERRORS] = {"errors", NULL, IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_NEVER, 0, 0},
    [COLUMN_PAIRS] = {"pairs", "PAIRS", IOL_CELL_NUMBER, IOL_SHORTEN_NOT, IOL_HIDE_SAME, 1, 0},
    [COLUMN_PATH] = {"path", "FILE", IOL_CELL_TEXT, IOL_SHORTEN_MIDDLE, IOL_HIDE_EMPTY, 0, 0},
};

struct iol_top_batch {
    enum iol_format format;
    size_t rows;
    size_t frames;
    FILE *to; /* a terminal, whose width and colours count; else *text, which is printed frame by frame */
    char *text;
    size_t size;
    struct iol_output *output;                     /* of all frames, as JSON or CSV; of this one, as a table */
    struct iol_output_column headed[COLUMN_COUNT]; /* of a table with totals */
};

int iol_top_batch_new(enum iol_format format, size_t rows, struct iol_top_batch **ret_batch)
{
    struct iol_top_batch *batch = calloc(1, sizeof(*batch));

    if (!batch)
        return -ENOMEM;
    batch->format = format;
    batch->rows = rows;
    batch->to = isatty(STDOUT_FILENO) == 1 ? stdout : open_memstream(&batch->text, &batch->size);
    if (!batch->to ||
        (format != IOL_FORMAT_TABLE && iol_output_new(batch->to, format, columns, COLUMN_COUNT, &batch->output) < 0)) {
        iol_top_batch_free(batch);
        return -ENOMEM;
    }
    *ret_batch = batch;
    return 0;
}

/* What has been put there since the last time. */
static int print(struct iol_top_batch *batch)
{
    int r = fflush(batch->to) == 0 ? 0 : -errno;

    if (r < 0 || batch->to == stdout)
        return r;
    r = iol_live_print(batch->text, batch->size);
    rewind(batch->to);
    return r;
}

static void set_rates(struct iol_output *output, const struct iol_top *top, const struct iol_live_counts *counts)
{
    const struct {
        int column;
        uint64_t n;
    } cells[] = {
        {COLUMN_READ_BYTES_S, counts->read_bytes},
        {COLUMN_WRITE_BYTES_S, counts->write_bytes},
        {COLUMN_OPS_S, counts->read_ops + counts->write_ops},
        {COLUMN_ERRORS_S, counts->errors},
    };

    for (size_t i = 0; i < IOL_ARRAY_SIZE(cells); i++)
        iol_output_set_int(output, (size_t)cells[i].column, (int64_t)iol_top_figure(top, cells[i].n));
    iol_output_set_int(output, COLUMN_READ_OPS, (int64_t)counts->read_ops);
    iol_output_set_int(output, COLUMN_READ_BYTES, (int64_t)counts->read_bytes);
    iol_output_set_int(output, COLUMN_WRITE_OPS, (int64_t)counts->write_ops);
    iol_output_set_int(output, COLUMN_WRITE_BYTES, (int64_t)counts->write_bytes);
    iol_output_set_int(output, COLUMN_ERRORS, (int64_t)counts->errors);
}

static int put_row(struct iol_output *output, const struct iol_top *top, const struct iol_view_row *row,
                   const char *time)
{
    const struct iol_live_container *container = row->process ? row->process->container : row->container;
    char user[24];

    iol_output_set_text(output, COLUMN_TS, time);
    iol_output_set_int(output, COLUMN_INTERVAL, top->interval->ms);
    if (row->process) {
        iol_output_set_int(output, COLUMN_PID, row->process->pid);
        iol_output_set_text(output, COLUMN_COMM, row->process->comm);
        iol_output_set_text(output, COLUMN_USER,
                            iol_live_names_user(top->names, row->process->uid, user, sizeof(user)));
    }
    if (container && container->id[0])
        iol_output_set_text(output, COLUMN_CONTAINER, container->id);
    set_rates(output, top, &row->counts);
    iol_output_set_int(output, COLUMN_PAIRS, (int64_t)row->pairs);
    if (row->file || row->directory)
        iol_output_set_text(output, COLUMN_PATH, row->file ? row->file->path : row->directory);
    return iol_output_row(output);
}

static void put_summary(const struct iol_top_batch *batch, const struct iol_top *top, const char *time)
{
    const struct iol_live_counts sum = iol_view_sum(top->view);
    const char *each = iol_view_totals(top->view) ? "" : "/s";
    char ops[16], read[16], written[16];

    fprintf(batch->to, "%s%.19s  %s ops%s  %s%s read  %s%s written  %" PRIu64 " errors%s\n%zu by %s, most %s first",
            batch->frames ? "\n" : "", time,
            iol_text_count(ops, sizeof(ops), iol_top_figure(top, sum.read_ops + sum.write_ops)), each,
            iol_text_size(read, sizeof(read), iol_top_figure(top, sum.read_bytes)), each,
            iol_text_size(written, sizeof(written), iol_top_figure(top, sum.write_bytes)), each,
            iol_top_figure(top, sum.errors), each, iol_view_count(top->view),
            iol_top_group_name(iol_view_group(top->view)), iol_top_sort_name(iol_view_sort(top->view)));
    if (top->lost > 0)
        fprintf(batch->to, "  lost %" PRIu64 " (%s)", top->lost, top->lost_reason);
    putc('\n', batch->to);
}

static void put_command(const struct iol_top_batch *batch, const struct iol_top *top)
{
    char visible[1024];

    iol_text_visible(visible, sizeof(visible), top->command);
    fprintf(batch->to, "%s\n", visible);
}

/* A table by itself, with the headings of what is in it. */
static int begin_table(struct iol_top_batch *batch, const struct iol_top *top, const char *time)
{
    struct iol_output_column *headed = batch->headed;

    put_summary(batch, top, time);
    memcpy(headed, columns, sizeof(columns));
    if (iol_view_totals(top->view)) {
        put_command(batch, top);
        headed[COLUMN_READ_BYTES_S].heading = "READ";
        headed[COLUMN_WRITE_BYTES_S].heading = "WRITTEN";
        headed[COLUMN_OPS_S].heading = "OPS";
        headed[COLUMN_ERRORS_S].heading = "ERRORS";
    }
    return iol_output_new(batch->to, batch->format, headed, COLUMN_COUNT, &batch->output);
}

static int end_table(struct iol_top_batch *batch, int r)
{
    if (r == 0)
        r = iol_output_finish(batch->output);
    iol_output_free(TAKE_PTR(batch->output));
    return r;
}

int iol_top_batch_frame(struct iol_top_batch *batch, struct iol_top *top)
{
    const struct iol_view_row *rows;
    bool table = batch->format == IOL_FORMAT_TABLE;
    char time[32];
    size_t n;
    int r = iol_view_make(top->view, 0, batch->rows);

    iol_text_time(time, sizeof(time), top->interval->ts);
    rows = iol_view_rows(top->view, &n);
    if (r == 0 && table)
        r = begin_table(batch, top, time);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = put_row(batch->output, top, &rows[i], time);
    batch->frames++;
    if (table && batch->output)
        r = end_table(batch, r);
    return r == 0 ? print(batch) : r;
}

int iol_top_batch_totals(struct iol_top_batch *batch, struct iol_top *top)
{
    if (batch->format != IOL_FORMAT_TABLE)
        return 0;
    iol_view_set_totals(top->view, true);
    return iol_top_batch_frame(batch, top);
}

int iol_top_batch_finish(struct iol_top_batch *batch)
{
    int r = batch->output ? iol_output_finish(batch->output) : 0;

    return r == 0 ? print(batch) : r;
}

void iol_top_batch_free(struct iol_top_batch *batch)
{
    if (!batch)
        return;
    iol_output_free(batch->output);
    if (batch->to && batch->to != stdout)
        fclose(batch->to);
    free(batch->text);
    free(batch);
}
