// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * ClickHouse has no transactions: a batch is several INSERTs. Names go first, and may be there twice (the table keeps one of them);
 * then the facts, in pieces that are one part of one table each and so arrive whole or not at all; at last the batch's own row, which
 * says that all of it is there. A batch that may have been sent before, by this session or another one, is looked up first, and of its
 * pieces only those are written that are missing.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/clickhouse.h"
#include "store/known.h"
#include "store/row_binary.h"
#include "store/schema_clickhouse.h"
#include "store/schema_sql.h"
#include "store/sink.h"
#include "store/sink_driver.h"

#define PIECE_ROWS 262144 /* below max_insert_block_size: one block, one part */
#define DAYS_MAX 1024     /* of the rows of one table in one batch */

/* What is known of the batches of one boot of one host. */
struct boot {
    uint64_t key;    /* hash of both */
    int64_t max_seq; /* that the database has, as far as this session knows */
    bool uncertain;  /* what became of the last batch is not known */
    UT_hash_handle hh;
};

struct clickhouse_sink {
    struct iol_sink sink;
    struct iol_ch *ch;
    pid_t server_pid;
    struct iol_known *known;
    struct iol_pairs *pairs;
    struct boot *boots;
    struct iol_row_binary rows;
};

/* A batch on its way. */
struct writing {
    struct clickhouse_sink *sink;
    const struct iol_batch *batch;
    const struct iol_batch_row *id;
    bool careful; /* part of it may be there */
    struct iol_error *err;
};

static int no_memory(const struct writing *writing)
{
    return iol_error_set(writing->err, -EAGAIN, "out of memory");
}

static void name_statement(const struct writing *writing, const char *table, size_t piece, char name[static 256])
{
    snprintf(name, 256, "ioledger-%s-%" PRId64 "-%.64s-%" PRId64 "-%zu", table, writing->id->host_id,
             writing->id->boot_id, writing->id->seq, piece);
}

static int send_rows(struct writing *writing, const char *table, const char *columns, size_t piece)
{
    struct clickhouse_sink *sink = writing->sink;
    _cleanup_free_ char *sql = NULL;
    char name[256];

    name_statement(writing, table, piece, name);
    if (asprintf(&sql, "INSERT INTO %s (%s) FORMAT RowBinary", table, columns) < 0)
        return no_memory(writing);
    return iol_ch_run(sink->ch,
                      &(struct iol_ch_request){.sql = sql,
                                               .query_id = name,
                                               .token = name,
                                               .data = sink->rows.data,
                                               .size = sink->rows.size,
                                               .doing = "write to"},
                      writing->err);
}

static char *columns_of(const struct iol_table *table)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    iol_schema_ch_print_columns(out, table);
    return iol_schema_finish(out, &text);
}

/* Of rows with one key the later one counts, or the first one; one that was made up counts least. */
static int64_t version_of(const struct iol_table *table, const void *row, int64_t ts, size_t i)
{
    uint64_t age = ((uint64_t)ts ^ UINT64_C(1) << 63) + i;

    if (table->mode == IOL_WRITE_LATEST)
        return (int64_t)age;
    for (size_t c = 0; table->unknown && c < table->n_columns; c++) {
        const struct iol_column *column = &table->columns[c];
        if (strcmp(column->name, table->unknown) == 0 &&
            (column->type == IOL_TYPE_TEXT ? !iol_row_text(row, column) : iol_row_int(row, column) == IOL_NULL))
            return 0;
    }
    return (int64_t)~age;
}

/* Names, or the batch's own row. They may be there already, or come once more. */
static int write_names(struct writing *writing, const struct iol_table *table)
{
    const struct iol_rows *rows = &writing->batch->rows[table->id];
    struct clickhouse_sink *sink = writing->sink;
    _cleanup_free_ char *columns = columns_of(table);
    size_t size = iol_batch_row_size(table->id), count = 0, piece = 0;
    int r = columns ? 0 : no_memory(writing);

    iol_row_binary_clear(&sink->rows);
    for (size_t i = 0; i < rows->count && r == 0; i++) {
        const char *row = (const char *)rows->data + i * size;
        if (iol_known_has(sink->known, table, row))
            continue;
        if (iol_row_binary_add(&sink->rows, table, row, version_of(table, row, writing->id->ts, i)) < 0)
            r = no_memory(writing);
        if (r == 0 && ++count % PIECE_ROWS == 0) {
            r = send_rows(writing, table->name, columns, piece++);
            iol_row_binary_clear(&sink->rows);
        }
    }
    return r == 0 && count % PIECE_ROWS > 0 ? send_rows(writing, table->name, columns, piece) : r;
}

/* Written before the rows of io that they lead to. */
static int write_touched(struct writing *writing)
{
    const struct iol_rows *rows = &writing->batch->rows[IOL_TABLE_IO];
    struct clickhouse_sink *sink = writing->sink;
    size_t count = 0;
    int r = 0;

    iol_row_binary_clear(&sink->rows);
    for (size_t i = 0; i < rows->count && r == 0; i++) {
        const struct iol_io *io = &((const struct iol_io *)rows->data)[i];
        int64_t day = iol_row_binary_time(io->ts) / IOL_CH_DAY_US * IOL_CH_DAY_US;
        if (iol_pairs_put(sink->pairs, io->file_id, io->process_id, day))
            continue;
        const int64_t values[] = {day, io->host_id, io->file_id, io->process_id};
        r = iol_row_binary_ints(&sink->rows, values, IOL_ARRAY_SIZE(values));
        count++;
    }
    if (r < 0)
        r = no_memory(writing);
    else if (count > 0)
        r = send_rows(writing, IOL_CH_TOUCHED, "day_us, host_id, file_id, process_id", 0);
    if (r < 0) /* not there, or not known to be */
        iol_pairs_clear(sink->pairs);
    return r;
}

/* Rows of one day, in the order in which they are sent: what is there already is their beginning. */
struct day {
    int64_t number;
    uint64_t there, sent;
};

struct days {
    struct day list[DAYS_MAX];
    size_t n;
    int64_t first_us, last_us;
};

static int64_t day_of(const struct iol_table *table, const void *row)
{
    return iol_schema_ch_by_day(table) ? iol_row_binary_time(iol_row_int(row, &table->columns[0])) / IOL_CH_DAY_US : 0;
}

static struct day *find_day(struct days *days, int64_t number)
{
    for (size_t i = days->n; i-- > 0;) {
        if (days->list[i].number == number)
            return &days->list[i];
    }
    if (days->n == DAYS_MAX)
        return NULL;
    days->list[days->n] = (struct day){.number = number};
    return &days->list[days->n++];
}

static int list_days(struct writing *writing, const struct iol_table *table, struct days *days)
{
    const struct iol_rows *rows = &writing->batch->rows[table->id];
    size_t size = iol_batch_row_size(table->id);

    days->first_us = INT64_MAX;
    days->last_us = INT64_MIN;
    for (size_t i = 0; i < rows->count; i++) {
        const char *row = (const char *)rows->data + i * size;
        int64_t us = iol_row_binary_time(iol_row_int(row, &table->columns[0]));
        if (!find_day(days, day_of(table, row)))
            return iol_error_set(writing->err, -EINVAL, "a batch has rows of more than %d days", DAYS_MAX);
        days->first_us = us < days->first_us ? us : days->first_us;
        days->last_us = us > days->last_us ? us : days->last_us;
    }
    return 0;
}

static int take_count(void *data, const char *const *fields, size_t n_fields)
{
    struct day *day = n_fields == 2 ? find_day(data, strtoll(fields[0] ? fields[0] : "", NULL, 10)) : NULL;

    if (day)
        day->there = strtoull(fields[1] ? fields[1] : "", NULL, 10);
    return 0;
}

static int count_there(struct writing *writing, const struct iol_table *table, struct days *days)
{
    _cleanup_free_ char *sql = NULL;
    char day[64] = "0", bounds[128] = "";

    if (iol_schema_ch_by_day(table)) {
        snprintf(day, sizeof(day), "intDiv(%s_us, toInt64(%" PRId64 "))", table->columns[0].name, IOL_CH_DAY_US);
        snprintf(bounds, sizeof(bounds), " AND %1$s_us >= %2$" PRId64 " AND %1$s_us <= %3$" PRId64,
                 table->columns[0].name, days->first_us, days->last_us);
    }
    if (asprintf(&sql,
                 "SELECT %s AS day, count() FROM %s WHERE host_id = %" PRId64 " AND " IOL_CH_SEQ " = %" PRId64
                 "%s GROUP BY day",
                 day, table->name, writing->id->host_id, writing->id->seq, bounds) < 0)
        return no_memory(writing);
    return iol_ch_run(writing->sink->ch,
                      &(struct iol_ch_request){.sql = sql, .doing = "write to", .row = take_count, .row_data = days},
                      writing->err);
}

static int write_day(struct writing *writing, const struct iol_table *table, const char *columns, struct day *day,
                     size_t first_piece)
{
    const struct iol_rows *rows = &writing->batch->rows[table->id];
    struct iol_row_binary *out = &writing->sink->rows;
    size_t size = iol_batch_row_size(table->id), piece = first_piece;
    int r = 0;

    iol_row_binary_clear(out);
    for (size_t i = 0; i < rows->count && r == 0; i++) {
        const char *row = (const char *)rows->data + i * size;
        if (day_of(table, row) != day->number)
            continue;
        bool there = day->sent++ < day->there;
        if (!there && iol_row_binary_add(out, table, row, writing->id->seq) < 0)
            r = no_memory(writing);
        if (r == 0 && day->sent % PIECE_ROWS == 0) {
            r = out->size > 0 ? send_rows(writing, table->name, columns, piece) : 0;
            piece++;
            iol_row_binary_clear(out);
        }
    }
    return r == 0 && out->size > 0 ? send_rows(writing, table->name, columns, piece) : r;
}

static int write_facts(struct writing *writing, const struct iol_table *table)
{
    _cleanup_free_ struct days *days = calloc(1, sizeof(*days));
    _cleanup_free_ char *columns = columns_of(table);
    int r;

    if (!days || !columns)
        return no_memory(writing);
    if (writing->batch->rows[table->id].count == 0)
        return 0;
    r = list_days(writing, table, days);
    if (r == 0 && writing->careful)
        r = count_there(writing, table, days);
    for (size_t i = 0; i < days->n && r == 0; i++)
        r = write_day(writing, table, columns, &days->list[i], i << 20);
    return r;
}

/* The state of the host's boot; NULL: no memory. */
static struct boot *find_boot(struct clickhouse_sink *sink, const struct iol_batch_row *id)
{
    uint64_t key = XXH3_64bits_withSeed(id->boot_id, strlen(id->boot_id), (uint64_t)id->host_id);
    struct boot *boot = NULL;

    HASH_FIND(hh, sink->boots, &key, sizeof(key), boot);
    if (boot)
        return boot;
    boot = calloc(1, sizeof(*boot));
    if (!boot)
        return NULL;
    boot->key = key;
    boot->max_seq = INT64_MIN;
    boot->uncertain = true;
    HASH_ADD(hh, sink->boots, key, sizeof(boot->key), boot);
    return boot;
}

/* -EAGAIN: an INSERT of this batch, whose answer was lost, is still at work on the server, or on a shard. */
static int check_running(const struct writing *writing)
{
    const struct iol_ch_layout *layout = iol_ch_layout(writing->sink->ch);
    _cleanup_free_ char *sql = NULL, *pattern = NULL, *literal = NULL, *from = NULL;
    long long running = 0;

    if (asprintf(&pattern, "ioledger-%%-%" PRId64 "-%.64s-%" PRId64 "-%%", writing->id->host_id, writing->id->boot_id,
                 writing->id->seq) < 0 ||
        !(literal = iol_ch_literal(pattern)) ||
        asprintf(&from, layout->cluster[0] ? "cluster(%s, system, processes)" : "system.processes", layout->cluster) <
            0 ||
        asprintf(&sql, "SELECT count() FROM %s WHERE initial_query_id LIKE %s%s", from, literal,
                 layout->cluster[0] ? " SETTINGS skip_unavailable_shards = 1" : "") < 0)
        return no_memory(writing);
    int r = iol_ch_number(writing->sink->ch, sql, "write to", &running, writing->err);
    if (r == 0 && running > 0)
        r = iol_error_set(writing->err, -EAGAIN,
                          "the ClickHouse server at %s still works on a batch whose answer was lost",
                          iol_ch_host(writing->sink->ch));
    return r;
}

static int take_batch(void *data, const char *const *fields, size_t n_fields)
{
    long long *numbers = data;

    for (size_t i = 0; i < n_fields && i < 2; i++)
        numbers[i] = fields[i] ? strtoll(fields[i], NULL, 10) : 0;
    return 0;
}

/* 1: the database has it all. Learns how far the boot has got otherwise. */
static int look_up(struct writing *writing, struct boot *boot)
{
    _cleanup_free_ char *literal = iol_ch_literal(writing->id->boot_id), *sql = NULL;
    long long numbers[2] = {0, INT64_MIN};
    int r = check_running(writing);

    if (r < 0)
        return r;
    if (!literal || asprintf(&sql,
                             "SELECT countIf(seq = %" PRId64 "), if(count() > 0, max(seq), %" PRId64
                             ") FROM batch WHERE host_id = %" PRId64 " AND boot_id = %s",
                             writing->id->seq, INT64_MIN + 1, writing->id->host_id, literal) < 0)
        return no_memory(writing);
    r = iol_ch_run(writing->sink->ch,
                   &(struct iol_ch_request){.sql = sql, .doing = "write to", .row = take_batch, .row_data = numbers},
                   writing->err);
    if (r == 0 && numbers[1] > boot->max_seq)
        boot->max_seq = numbers[1];
    return r < 0 ? r : numbers[0] > 0;
}

/* What will never be accepted is told before any of it is there. */
static int check_batch(const struct writing *writing)
{
    int r = 0;

    for (int t = 0; t < IOL_TABLE_COUNT && r == 0; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        const struct iol_rows *rows = &writing->batch->rows[t];
        size_t size = iol_batch_row_size(t);
        for (size_t i = 0; i < rows->count && r == 0; i++)
            r = iol_row_binary_check(table, (const char *)rows->data + i * size, writing->err);
    }
    return r;
}

static int write_all(struct writing *writing, struct boot *boot)
{
    int r = check_batch(writing);

    if (r == 0 && writing->careful)
        r = look_up(writing, boot);
    if (r != 0)
        return r;
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        if (iol_schema_ch_replaces(table) && i != IOL_TABLE_BATCH)
            r = write_names(writing, table);
    }
    if (r == 0)
        r = write_touched(writing);
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        if (!iol_schema_ch_replaces(table))
            r = write_facts(writing, table);
    }
    return r == 0 ? write_names(writing, &iol_schema_tables[IOL_TABLE_BATCH]) : r;
}

static int clickhouse_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    struct clickhouse_sink *sink = (struct clickhouse_sink *)base;
    struct writing writing = {.sink = sink, .batch = batch, .id = batch->rows[IOL_TABLE_BATCH].data, .err = err};
    struct boot *boot = find_boot(sink, writing.id);

    if (!boot)
        return iol_error_set(err, -EAGAIN, "out of memory");
    writing.careful = boot->uncertain || writing.id->seq <= boot->max_seq;
    boot->uncertain = true;
    int r = write_all(&writing, boot);
    if (r < 0)
        return r;
    boot->uncertain = false;
    if (writing.id->seq > boot->max_seq)
        boot->max_seq = writing.id->seq;
    iol_known_add(sink->known, batch);
    return 0;
}

static int run_statements(struct iol_ch *ch, char *ddl, struct iol_error *err)
{
    int r = 0;

    for (char *statement = ddl, *end; r == 0 && (end = strstr(statement, ";\n\n")); statement = end + 3) {
        *end = '\0';
        r = iol_ch_run(ch, &(struct iol_ch_request){.sql = statement, .doing = "create the tables in"}, err);
    }
    return r;
}

/* Tables over shards are made on each host that the URL names, unless the servers see to that themselves. */
static int create_schema(struct iol_ch *ch, struct iol_error *err)
{
    const struct iol_ch_layout *layout = iol_ch_layout(ch);
    size_t hosts = layout->cluster[0] && !layout->replicated ? iol_ch_hosts(ch) : 1;
    int r = 0;

    for (size_t i = 0; i < hosts && r == 0; i++) {
        _cleanup_free_ char *ddl = NULL;
        size_t size;
        FILE *out = open_memstream(&ddl, &size);
        if (hosts > 1)
            iol_ch_use_host(ch, hosts - 1 - i);
        r = out ? iol_schema_ch_print(out, iol_ch_features(ch), layout) : -ENOMEM;
        if (!out || fclose(out) != 0 || r < 0)
            return iol_error_set(err, -ENOMEM, "out of memory");
        r = run_statements(ch, ddl, err);
    }
    return r;
}

/* Each shard has its part of the tables, or the batches of some hosts would find none. */
static int check_shards(struct iol_ch *ch, struct iol_error *err)
{
    const struct iol_ch_layout *layout = iol_ch_layout(ch);
    char sql[256];
    long long number;

    if (!layout->cluster[0])
        return 0;
    snprintf(sql, sizeof(sql), "SELECT count() FROM cluster(%s, %s, batch_local)", layout->cluster, layout->database);
    int r = iol_ch_number(ch, sql, "read", &number, err);
    if (r == 0 || r == -EACCES || (r == -EAGAIN && !strstr(err->text, "There is no table")))
        return r;
    struct iol_error why = *err;
    iol_error_set(err, r = -ENOENT, "not every shard of the cluster %s has the tables: %s", layout->cluster, why.text);
    iol_error_hint(err,
                   "name a host of each shard in the URL (clickhouse://A:8123,B:8123/%s?cluster=%s), or run there what "
                   "'ioledger schema --db URL' prints",
                   layout->database, layout->cluster);
    return r;
}

static void clickhouse_close(struct iol_sink *base)
{
    struct clickhouse_sink *sink = (struct clickhouse_sink *)base;
    struct boot *boot, *next;

    HASH_ITER(hh, sink->boots, boot, next) {
        HASH_DEL(sink->boots, boot);
        free(boot);
    }
    iol_ch_close(sink->ch);
    iol_known_free(sink->known);
    iol_pairs_free(sink->pairs);
    iol_row_binary_done(&sink->rows);
    free(sink);
}

static int open_tables(struct clickhouse_sink *sink, struct iol_error *err)
{
    enum iol_ch_state state;
    int r = iol_ch_check(sink->ch, &state, err);

    if (r == 0 && state == IOL_CH_EMPTY)
        r = create_schema(sink->ch, err);
    if (r == 0)
        r = check_shards(sink->ch, err);
    if (r == 0)
        sink->server_pid = iol_ch_server_pid(sink->ch);
    return r;
}

static int clickhouse_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                           struct iol_error *err)
{
    struct clickhouse_sink *sink = calloc(1, sizeof(*sink));

    if (!sink)
        return iol_error_set(err, -ENOMEM, "out of memory");
    sink->sink.ops = &iol_sink_clickhouse_ops;
    sink->known = iol_known_new();
    sink->pairs = iol_pairs_new();
    int r = sink->known && sink->pairs ? iol_ch_open(url, options->verbose, &sink->ch, err)
                                       : iol_error_set(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = open_tables(sink, err);
    if (r < 0) {
        clickhouse_close(&sink->sink);
        return r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

static pid_t clickhouse_server_pid(const struct iol_sink *base)
{
    return ((const struct clickhouse_sink *)base)->server_pid;
}

static void clickhouse_interrupt(struct iol_sink *base)
{
    iol_ch_interrupt(((struct clickhouse_sink *)base)->ch);
}

const struct iol_sink_ops iol_sink_clickhouse_ops = {
    .scheme = "clickhouse",
    .open = clickhouse_open,
    .write = clickhouse_write,
    .server_pid = clickhouse_server_pid,
    .interrupt = clickhouse_interrupt,
    .close = clickhouse_close,
};
