// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * The biggest files, without the names of all. First only what they are sorted by is added up, and grouped by file.name_key; then the whole question is
 * asked of the keys that are left. Rows that are equal in bytes and operations are in the order of their names: where it is not certain without
 * names which rows are shown, nothing is answered here.
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
enum { TOP_KEY, TOP_BYTES, TOP_OPS, TOP_ALL };
#define UNKNOWN (-1)

struct top {
    char *keys; /* "1, 2", of the rows that may be shown */
    int64_t n;
    long long all;
    long long bytes, ops; /* of the last row that is shown */
    bool open;            /* the last one that came is equal to it */
    bool unnamed;         /* a file without a row of its own is in it, whose key is 0 */
};

static void done_top(struct top *top)
{
    free(top->keys);
}

static void done_query(struct iol_query **query)
{
    iol_query_free(*query);
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
        fputs("SELECT file_id, sum(b) AS b, sum(o) AS o, max(u) AS u FROM (", out);
    fprintf(out, "SELECT file_id%s, sum(", pairs ? ", process_id" : "");
    put_sides(out, ask, "ifNull(", "bytes, 0)", "+");
    fputs(") AS b, sum(", out);
    put_sides(out, ask, "ifNull(", "ops, 0)", "+");
    fputs(") AS o, max(", out);
    put_sides(out, ask, "isNull(", "bytes)", "OR");
    fputs(" OR ", out);
    put_sides(out, ask, "isNull(", "ops)", "OR");
    fputs(") AS u FROM ", out);
    iol_ask_ch_put_rows(out, of);
    fprintf(out, " GROUP BY file_id%s", pairs ? ", process_id" : "");
    if (pairs)
        fprintf(out, " HAVING %s AND %s) GROUP BY file_id", ask->reads ? "sum(read_ops) + sum(read_errors) > 0" : "1",
                ask->writes ? "sum(write_ops) + sum(write_errors) > 0" : "1");
}

static int take_top(struct iol_query *query, const struct iol_ask *ask, struct top *top, struct iol_error *err)
{
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);
    int r = out ? 0 : iol_error_set(err, -ENOMEM, "out of memory");

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        const char *key = iol_query_text(query, TOP_KEY);
        long long bytes = iol_query_int(query, TOP_BYTES), ops = iol_query_int(query, TOP_OPS);
        top->all = iol_query_int(query, TOP_ALL);
        if (++top->n <= ask->limit) {
            top->bytes = bytes;
            top->ops = ops;
        }
        top->open = bytes == top->bytes && ops == top->ops;
        if (!top->open && top->n > ask->limit)
            continue;
        top->unnamed |= !key || strcmp(key, "0") == 0;
        fprintf(out, "%s%s", top->n > 1 ? ", " : "", key ? key : "0");
    }
    if (out && top->n == 0)
        putc('0', out);
    top->keys = out ? iol_stream_text(&stream) : NULL;
    return r == 0 && !top->keys ? iol_error_set(err, -ENOMEM, "out of memory") : r;
}

/* The row of totals says in its last column how many there are without the limit. */
static int ask_top(struct iol_db *db, const struct iol_ask_ch *of, struct top *top, struct iol_error *err)
{
    const struct iol_ask *ask = of->ask;
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    _cleanup_(done_query) struct iol_query *query = NULL;
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT " IOL_CH_NAME_KEY ", any(b) AS b, any(o) AS o, if(max(u), -1, toInt64(count())) FROM (SELECT"
          " " IOL_CH_NAME_KEY ", sum(b) AS b, sum(o) AS o, max(u) AS u FROM (SELECT * FROM (",
          text.out);
    iol_ask_ch_put_named(text.out, of, IOL_CH_NAME_KEY, put_ranks);
    fprintf(text.out,
            ") GROUP BY " IOL_CH_NAME_KEY ") GROUP BY " IOL_CH_NAME_KEY
            " WITH TOTALS ORDER BY b DESC, o DESC LIMIT %" PRId64,
            2 * ask->limit + 100);
    r = iol_ask_run_native(&text, db, ask, &query, err);
    return r == 0 ? take_top(query, ask, top, err) : r;
}

/* Whether the last row that is shown is known: what did not come is smaller. */
static bool is_certain(const struct top *top)
{
    if (top->all == UNKNOWN || top->unnamed)
        return false;
    return top->n == top->all || !top->open;
}

/* The ids of the files with the keys; NULL: too many. */
static int ask_ids(struct iol_db *db, const struct top *top, char **ret_ids, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    _cleanup_(done_query) struct iol_query *query = NULL;
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fprintf(text.out, "SELECT DISTINCT id FROM file PREWHERE " IOL_CH_NAME_KEY " IN (%s) LIMIT %d", top->keys,
            IOL_ASK_CH_LISTED + 1);
    r = iol_ask_run_native(&text, db, &IOL_ASK_ALL, &query, err);
    return r == 0 ? iol_ask_ch_list(query, "0", ret_ids, err) : r;
}

int iol_ask_ch_few_files(struct iol_db *db, const struct iol_ask_ch *of, struct iol_query **ret_query,
                         struct iol_error *err)
{
    _cleanup_(done_top) struct top top = {0};
    _cleanup_free_ char *ids = NULL;
    int r = ask_top(db, of, &top, err);

    if (r == 0 && is_certain(&top))
        r = ask_ids(db, &top, &ids, err);
    if (r < 0 || !ids)
        return r < 0 ? r : 1;
    struct iol_ask_ch among = *of;
    among.among = ids;
    among.all = top.all;
    return iol_ask_ch_files(db, &among, ret_query, err);
}
