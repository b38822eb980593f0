// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/clickhouse_write.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/clickhouse.h"
#include "store/clickhouse_write.intern.h"
#include "store/known.h"
#include "store/schema_clickhouse.h"
#include "store/schema_sql.h"

/* What is known of the batches of one boot of one host. */
struct boot {
    uint64_t key;    /* hash of both */
    int64_t max_seq; /* that the database has, as far as this session knows */
    int64_t in_group;
    bool uncertain; /* what became of the last batch is not known */
    UT_hash_handle hh;
};

struct iol_ch_writer {
    struct iol_ch *ch;
    struct iol_known *known;
    struct boot *boots;
    struct iol_row_binary body;
    struct iol_ch_group group;
};

const struct iol_batch_row *iol_ch_batch_row(const struct iol_batch *batch)
{
    return batch->rows[IOL_TABLE_BATCH].data;
}

int iol_ch_no_memory(const struct iol_ch_group *group)
{
    return iol_error_set(group->err, -EAGAIN, "out of memory");
}

char *iol_ch_columns_of(const struct iol_table *table)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    iol_schema_ch_print_columns(out, table);
    return iol_stream_text(&stream);
}

/* Rows that were sent before under the same name, the server may leave out: the name has a hash of all of them. */
int iol_ch_group_insert(struct iol_ch_group *group, const char *table, const char *columns, const char *format)
{
    const struct iol_batch_row *id = iol_ch_batch_row(group->batches[0]);
    uint64_t hash = XXH3_64bits(group->body->data, group->body->size);
    _cleanup_free_ char *sql = NULL;
    char name[256];

    if (group->several)
        snprintf(name, sizeof(name), "ioledger-%s-several-%016" PRIx64, table, hash);
    else
        snprintf(name, sizeof(name), "ioledger-%s-%" PRId64 "-%.64s-%016" PRIx64, table, id->host_id, id->boot_id,
                 hash);
    if (asprintf(&sql, "INSERT INTO %s (%s) FORMAT %s", table, columns, format) < 0)
        return iol_ch_no_memory(group);
    int r = iol_ch_run(group->ch,
                       &(struct iol_ch_request){.sql = sql,
                                                .query_id = name,
                                                .token = name,
                                                .data = group->body->data,
                                                .size = group->body->size,
                                                .doing = "write to"},
                       group->err);
    iol_row_binary_clear(group->body);
    return r;
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

/* Names, or the batches' own rows. They may be there already, or come once more. */
static int write_names(struct iol_ch_writer *writer, const struct iol_table *table)
{
    struct iol_ch_group *group = &writer->group;
    _cleanup_free_ char *columns = iol_ch_columns_of(table);
    size_t size = iol_batch_row_size(table->id), count = 0;
    int r = columns ? 0 : iol_ch_no_memory(group);

    iol_row_binary_clear(group->body);
    for (size_t b = 0; b < group->n && r == 0; b++) {
        const struct iol_rows *rows = &group->batches[b]->rows[table->id];
        int64_t ts = iol_ch_batch_row(group->batches[b])->ts;
        for (size_t i = 0; i < rows->count && r == 0; i++) {
            const char *row = (const char *)rows->data + i * size;
            if (iol_known_has(writer->known, table, row))
                continue;
            if (iol_row_binary_add(group->body, table, row, version_of(table, row, ts, i)) < 0)
                r = iol_ch_no_memory(group);
            if (r == 0 && ++count % IOL_CH_PIECE_ROWS == 0)
                r = iol_ch_group_insert(group, table->name, columns, "RowBinary");
        }
    }
    return r == 0 && count % IOL_CH_PIECE_ROWS > 0 ? iol_ch_group_insert(group, table->name, columns, "RowBinary") : r;
}

/* The state of the host's boot; NULL: no memory. */
static struct boot *find_boot(struct iol_ch_writer *writer, const struct iol_batch_row *id)
{
    uint64_t key = XXH3_64bits_withSeed(id->boot_id, strlen(id->boot_id), (uint64_t)id->host_id);
    struct boot *boot = NULL;

    HASH_FIND(hh, writer->boots, &key, sizeof(key), boot);
    if (boot)
        return boot;
    boot = calloc(1, sizeof(*boot));
    if (!boot)
        return NULL;
    boot->key = key;
    boot->max_seq = INT64_MIN;
    boot->uncertain = true;
    HASH_ADD(hh, writer->boots, key, sizeof(boot->key), boot);
    return boot;
}

/* -EAGAIN: an INSERT for this boot, or for several, whose answer was lost, is still at work on the server, or on a shard. */
static int check_running(const struct iol_ch_group *group, const struct iol_batch_row *id)
{
    const struct iol_ch_layout *layout = iol_ch_layout(group->ch);
    _cleanup_free_ char *sql = NULL, *pattern = NULL, *literal = NULL, *from = NULL;
    long long running = 0;

    if (asprintf(&pattern, "ioledger-%%-%" PRId64 "-%.64s-%%", id->host_id, id->boot_id) < 0 ||
        !(literal = iol_ch_literal(pattern)) ||
        asprintf(&from, layout->cluster[0] ? "cluster(%s, system, processes)" : "system.processes", layout->cluster) <
            0 ||
        asprintf(
            &sql,
            "SELECT count() FROM %s WHERE (initial_query_id LIKE %s OR initial_query_id LIKE 'ioledger-%%-several-%%')"
            "%s",
            from, literal, layout->cluster[0] ? " SETTINGS skip_unavailable_shards = 1" : "") < 0)
        return iol_ch_no_memory(group);
    int r = iol_ch_number(group->ch, sql, "write to", &running, group->err);
    if (r == 0 && running > 0)
        r = iol_error_set(group->err, -EAGAIN,
                          "the ClickHouse server at %s still works on a batch whose answer was lost",
                          iol_ch_host(group->ch));
    return r;
}

struct looked_up {
    struct iol_ch_group *group;
    bool there[IOL_CH_GROUP_MAX];
    int64_t max_seq;
};

static int take_batch(void *data, const char *const *fields, size_t n_fields)
{
    struct looked_up *found = data;

    if (n_fields != 1 || !fields[0])
        return -EPROTO;
    int64_t seq = strtoll(fields[0], NULL, 10);
    found->max_seq = seq > found->max_seq ? seq : found->max_seq;
    for (size_t i = 0; i < found->group->n; i++)
        found->there[i] |= iol_ch_batch_row(found->group->batches[i])->seq == seq;
    return 0;
}

/* Takes out of the group what is there as a whole, and learns how far the boot has got. */
static int look_up(struct iol_ch_group *group, struct boot *boot)
{
    const struct iol_batch_row *first = iol_ch_batch_row(group->batches[0]);
    const struct iol_batch_row *last = iol_ch_batch_row(group->batches[group->n - 1]);
    _cleanup_free_ char *literal = iol_ch_literal(first->boot_id), *sql = NULL;
    struct looked_up found = {.group = group, .max_seq = boot->max_seq};
    size_t n = 0;
    int r = check_running(group, first);

    if (r < 0)
        return r;
    if (!literal ||
        asprintf(&sql,
                 "SELECT seq FROM batch WHERE host_id = %1$" PRId64 " AND boot_id = %2$s AND seq >= %3$" PRId64
                 " AND seq <= %4$" PRId64 " UNION ALL SELECT max(seq) AS seq FROM batch WHERE host_id = %1$" PRId64
                 " AND boot_id = %2$s HAVING count() > 0",
                 first->host_id, literal, first->seq, last->seq) < 0)
        return iol_ch_no_memory(group);
    r = iol_ch_run(group->ch,
                   &(struct iol_ch_request){.sql = sql, .doing = "write to", .row = take_batch, .row_data = &found},
                   group->err);
    if (r < 0)
        return r;
    boot->max_seq = found.max_seq;
    for (size_t i = 0; i < group->n; i++) {
        if (!found.there[i])
            group->batches[n++] = group->batches[i];
    }
    group->n = n;
    return 0;
}

/* What will never be accepted is told before any of it is there. */
static int check_batch(const struct iol_batch *batch, struct iol_error *err)
{
    int r = 0;

    for (int t = 0; t < IOL_TABLE_COUNT && r == 0; t++) {
        const struct iol_table *table = &iol_schema_tables[t];
        const struct iol_rows *rows = &batch->rows[t];
        size_t size = iol_batch_row_size(t);
        for (size_t i = 0; i < rows->count && r == 0; i++)
            r = iol_row_binary_check(table, (const char *)rows->data + i * size, err);
    }
    return r;
}

/*
 * How many of the batches go together: such that come after what their boot has sent; or, when it is not known what became of that,
 * batches of one boot. None comes twice. 0: out of memory.
 */
static size_t gather(struct iol_ch_writer *writer, const struct iol_batch *const *batches, size_t n)
{
    struct iol_ch_group *group = &writer->group;
    struct boot *first = NULL, *boot, *next;

    HASH_ITER(hh, writer->boots, boot, next)
        boot->in_group = INT64_MIN;
    group->careful = group->several = false;
    for (group->n = 0; group->n < n && group->n < IOL_CH_GROUP_MAX; group->n++) {
        const struct iol_batch_row *id = iol_ch_batch_row(batches[group->n]);
        boot = find_boot(writer, id);
        if (!boot)
            return 0;
        bool careful = boot->uncertain || id->seq <= boot->max_seq;
        if (group->n == 0) {
            group->careful = careful;
            first = boot;
        } else if (careful != group->careful || (careful && boot != first) || id->seq <= boot->in_group) {
            break;
        }
        group->several |= boot != first;
        boot->in_group = id->seq;
        group->batches[group->n] = batches[group->n];
    }
    return group->n;
}

static int write_group(struct iol_ch_writer *writer)
{
    struct iol_ch_group *group = &writer->group;
    int r = 0;

    for (size_t i = 0; i < group->n && r == 0; i++)
        r = check_batch(group->batches[i], group->err);
    if (r == 0 && group->careful)
        r = look_up(group, find_boot(writer, iol_ch_batch_row(group->batches[0])));
    if (r < 0 || group->n == 0)
        return r;
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        if (iol_schema_ch_replaces(table) && i != IOL_TABLE_BATCH)
            r = write_names(writer, table);
    }
    for (int i = 0; i < IOL_TABLE_COUNT && r == 0; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        if (!iol_schema_ch_replaces(table))
            r = iol_ch_group_facts(group, table);
    }
    return r == 0 ? write_names(writer, &iol_schema_tables[IOL_TABLE_BATCH]) : r;
}

ssize_t iol_ch_writer_write(struct iol_ch_writer *writer, const struct iol_batch *const *batches, size_t n,
                            struct iol_error *err)
{
    writer->group.err = err;
    n = gather(writer, batches, n);
    if (n == 0)
        return iol_error_set(err, -EAGAIN, "out of memory");
    for (size_t i = 0; i < n; i++)
        find_boot(writer, iol_ch_batch_row(batches[i]))->uncertain = true;
    int r = write_group(writer);
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++) {
        const struct iol_batch_row *id = iol_ch_batch_row(batches[i]);
        struct boot *boot = find_boot(writer, id);
        boot->uncertain = false;
        boot->max_seq = id->seq > boot->max_seq ? id->seq : boot->max_seq;
        iol_known_add(writer->known, batches[i]);
    }
    return (ssize_t)n;
}

struct iol_ch_writer *iol_ch_writer_new(struct iol_ch *ch)
{
    struct iol_ch_writer *writer = calloc(1, sizeof(*writer));

    if (!writer)
        return NULL;
    writer->ch = ch;
    writer->known = iol_known_new();
    writer->group.ch = ch;
    writer->group.body = &writer->body;
    if (writer->known)
        return writer;
    iol_ch_writer_free(writer);
    return NULL;
}

void iol_ch_writer_free(struct iol_ch_writer *writer)
{
    struct boot *boot, *next;

    if (!writer)
        return;
    HASH_ITER(hh, writer->boots, boot, next) {
        HASH_DEL(writer->boots, boot);
        free(boot);
    }
    iol_known_free(writer->known);
    iol_row_binary_done(&writer->body);
    free(writer);
}
