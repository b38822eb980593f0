// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * The biggest files, without the names of all. First only their bytes are added up, and grouped by file.name_key; then the whole question is asked of
 * the keys with the most. The first sums may be too large, never too small: a file whose row is there twice counts twice, as long as the server has
 * not merged these. So what is shown is known when all of it is larger than what the keys that were left out may have. Else it is asked of more keys;
 * and where that does not help, as where many files have the same bytes, nothing is answered here: it would be in the order of names.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/ask.intern.h"
#include "store/ask_clickhouse.h"
#include "store/schema_clickhouse.h"

/* Columns of the first answer. UNKNOWN: a number is NULL, which is sorted behind all others. */
enum { TOP_KEY, TOP_BYTES, TOP_UNKNOWN, TOP_ALL };
#define UNKNOWN (-1)

/* Columns of the whole one. */
enum { FILES_READ = 3, FILES_WRITTEN = 5 };

/* The first of the keys. */
struct part {
    int64_t n;
    size_t length;   /* of the text */
    long long least; /* bytes of the last: keys that are not in it have no more */
};

struct top {
    char *keys; /* "1, 2", of the rows that may be shown */
    struct part few, whole;
    long long all;
    bool unnamed; /* a file without a row of its own is in it, whose key is 0 */
};

static void done_top(struct top *top)
{
    free(top->keys);
}

/* "BEFOREread_REST OP BEFOREwrite_REST", or the one that rows are sorted by. */
static void put_sides(FILE *out, const struct iol_ask *ask, const char *before, const char *rest, const char *operator)
{
    bool reads = ask->reads || !ask->writes, writes = ask->writes || !ask->reads;

    if (reads)
        fprintf(out, "%sread_%s", before, rest);
    if (reads && writes)
        fprintf(out, " %s ", operator);
    if (writes)
        fprintf(out, "%swrite_%s", before, rest);
}

static void put_ranks(FILE *out, const struct iol_ask_ch *of)
{
    const struct iol_ask *ask = of->ask;
    bool pairs = ask->reads || ask->writes;

    if (pairs)
        fputs("SELECT file_id, sum(b) AS b, max(u) AS u FROM (", out);
    fprintf(out, "SELECT file_id%s, sum(", pairs ? ", process_id" : "");
    put_sides(out, ask, "ifNull(", "bytes, 0)", "+");
    fputs(") AS b, max(", out);
    put_sides(out, ask, "isNull(", "bytes)", "OR");
    fputs(") AS u FROM ", out);
    iol_ask_ch_put_rows(out, of);
    fprintf(out, " GROUP BY file_id%s", pairs ? ", process_id" : "");
    if (pairs)
        fprintf(out, " HAVING %s AND %s) GROUP BY file_id", ask->reads ? "sum(read_ops) + sum(read_errors) > 0" : "1",
                ask->writes ? "sum(write_ops) + sum(write_errors) > 0" : "1");
}

#define FEW_MORE 20 /* than are shown */

/* Rows come in the order of their bytes. */
static int take_top(struct iol_query *query, int64_t limit, struct top *top, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);
    struct part *part = &top->whole;
    long long shown = 0; /* bytes of the last row that may be */
    int r = out ? 0 : iol_error_set(err, -ENOMEM, "out of memory");

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        const char *key = iol_query_text(query, TOP_KEY);
        top->unnamed |= !key || strcmp(key, "0") == 0;
        top->all = top->all == UNKNOWN || iol_query_int(query, TOP_UNKNOWN) ? UNKNOWN : iol_query_int(query, TOP_ALL);
        part->least = iol_query_int(query, TOP_BYTES);
        part->length += (size_t)fprintf(out, "%s%s", part->n > 0 ? ", " : "", key ? key : "0");
        if (++part->n == limit)
            shown = part->least;
        if (top->few.n == 0 && part->n >= limit + FEW_MORE && part->least < shown)
            top->few = *part;
    }
    if (top->few.n == 0)
        top->few = *part;
    top->keys = out ? iol_stream_text(&stream) : NULL;
    return r == 0 && !top->keys ? iol_error_set(err, -ENOMEM, "out of memory") : r;
}

/*
 * With GROUP BY the number of rows before the limit is exact (https://clickhouse.com/docs/interfaces/formats/JSON); WITH TOTALS would take one more
 * grouping to count the groups.
 */
static int ask_top(struct iol_db *db, const struct iol_ask_ch *of, struct top *top, struct iol_error *err)
{
    const struct iol_ask *ask = of->ask;
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT " IOL_CH_NAME_KEY ", sum(b) AS b, max(u) AS u FROM (SELECT * FROM (", text.out);
    iol_ask_ch_put_named(text.out, of, IOL_CH_NAME_KEY, put_ranks);
    fprintf(text.out, ") GROUP BY " IOL_CH_NAME_KEY " ORDER BY u DESC, b DESC LIMIT %" PRId64 " FORMAT JSONCompact",
            2 * ask->limit + 100);
    r = iol_ask_run_native(&text, db, ask, &query, err);
    return r == 0 ? take_top(query, ask->limit, top, err) : r;
}

/* Of files that have too many ids to list them. */
static int ask_many_ids(struct iol_db *db, const struct iol_ask_ch *of, const char *keys, struct iol_query **ret_query,
                        struct iol_error *err)
{
    _cleanup_free_ char *ids = NULL;
    struct iol_ask_ch among = *of;
    char file[160];

    if (asprintf(&ids, "SELECT id FROM %s PREWHERE " IOL_CH_NAME_KEY " IN (%s)", iol_db_shard_table(db, "file", file),
                 keys) < 0)
        return iol_error_set(err, -ENOMEM, "out of memory");
    among.among = ids;
    return iol_ask_ch_files(db, &among, ret_query, err);
}

/* Whether these rows are the biggest: what others have is at most `least`. */
static int are_certain(struct iol_query *query, const struct iol_ask *ask, long long least, struct iol_error *err)
{
    int64_t n = 0;
    long long bytes = 0;
    int r;

    for (; (r = iol_query_next(query, err)) > 0; n++)
        bytes = (ask->reads || !ask->writes ? iol_query_int(query, FILES_READ) : 0) +
                (ask->writes || !ask->reads ? iol_query_int(query, FILES_WRITTEN) : 0);
    iol_query_rewind(query);
    return r < 0 ? r : n == ask->limit && bytes > least;
}

/* 1: it is not certain that these are the biggest. */
static int ask_part(struct iol_db *db, const struct iol_ask_ch *of, const struct top *top, const struct part *part,
                    struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *keys = part->n > 0 ? strndup(top->keys, part->length) : strdup("0");
    struct iol_ask_ch counted = *of;
    int r = keys ? 0 : iol_error_set(err, -ENOMEM, "out of memory");

    counted.all = top->all;
    if (r == 0)
        r = iol_ask_ch_named_files(db, &counted, keys, &query, err);
    if (r > 0)
        r = ask_many_ids(db, &counted, keys, &query, err);
    if (r == 0)
        r = part->n == top->all ? 1 : are_certain(query, of->ask, part->least, err);
    if (r > 0)
        *ret_query = TAKE_PTR(query);
    return r < 0 ? r : r == 0;
}

int iol_ask_ch_few_files(struct iol_db *db, const struct iol_ask_ch *of, struct iol_query **ret_query,
                         struct iol_error *err)
{
    _cleanup_(done_top) struct top top = {0};
    int r = ask_top(db, of, &top, err);

    if (r < 0 || top.all == UNKNOWN || top.unnamed)
        return r < 0 ? r : 1;
    r = ask_part(db, of, &top, &top.few, ret_query, err);
    return r > 0 && top.few.n < top.whole.n ? ask_part(db, of, &top, &top.whole, ret_query, err) : r;
}
