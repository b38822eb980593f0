// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/options.h"
#include "app/output.h"
#include "app/question.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "core/loss.h"
#include "store/reader.h"

#define SHOWN "5" /* so many intervals and recordings are named one by one */
#define COUNTERS 6

/* In the order of the query's columns. */
enum {
    BALANCE_HOST,
    BALANCE_ROUTE,
    BALANCE_KERNEL,
    BALANCE_ACCOUNTS = BALANCE_KERNEL + COUNTERS,
    BALANCE_DIFFERENCE = BALANCE_ACCOUNTS + COUNTERS,
    BALANCE_INTERVALS = BALANCE_DIFFERENCE + COUNTERS,
    BALANCE_UNBALANCED,
    BALANCE_BALANCED,
    BALANCE_COLUMNS
};

#define SIX(first, prefix)                                                                                             \
    [first] = {prefix "read_ops", NULL, IOL_CELL_NUMBER}, [first + 1] = {prefix "read_bytes", NULL, IOL_CELL_NUMBER},  \
    [first + 2] = {prefix "write_ops", NULL, IOL_CELL_NUMBER},                                                         \
    [first + 3] = {prefix "write_bytes", NULL, IOL_CELL_NUMBER},                                                       \
    [first + 4] = {prefix "read_errors", NULL, IOL_CELL_NUMBER},                                                       \
    [first + 5] = {prefix "write_errors", NULL, IOL_CELL_NUMBER}

static const struct iol_output_column data_columns[BALANCE_COLUMNS] = {
    [BALANCE_HOST] = {"host", NULL, IOL_CELL_TEXT},
    [BALANCE_ROUTE] = {"route", NULL, IOL_CELL_TEXT},
    SIX(BALANCE_KERNEL, "kernel_"),
    SIX(BALANCE_ACCOUNTS, "accounts_"),
    SIX(BALANCE_DIFFERENCE, "difference_"),
    [BALANCE_INTERVALS] = {"intervals", NULL, IOL_CELL_NUMBER},
    [BALANCE_UNBALANCED] = {"unbalanced_intervals", NULL, IOL_CELL_NUMBER},
    [BALANCE_BALANCED] = {"balanced", NULL, IOL_CELL_FLAG},
};

enum { SHEET_HOST, SHEET_ROUTE, SHEET_SIDE, SHEET_COUNTERS, SHEET_COLUMNS = SHEET_COUNTERS + COUNTERS };

static const struct iol_output_column sheet_columns[SHEET_COLUMNS] = {
    [SHEET_HOST] = {"host", "HOST", IOL_CELL_TEXT, IOL_SHORTEN_END, .hide = IOL_HIDE_SAME},
    [SHEET_ROUTE] = {"route", "ROUTE", IOL_CELL_TEXT},
    [SHEET_SIDE] = {"side", "", IOL_CELL_TEXT},
    [SHEET_COUNTERS] = {"read_ops", "READS", IOL_CELL_NUMBER},
    {"read_bytes", "BYTES READ", IOL_CELL_NUMBER},
    {"write_ops", "WRITES", IOL_CELL_NUMBER},
    {"write_bytes", "BYTES WRITTEN", IOL_CELL_NUMBER},
    {"read_errors", "READ-ERR", IOL_CELL_NUMBER, .hide = IOL_HIDE_EMPTY, .drop = 1},
    {"write_errors", "WRITE-ERR", IOL_CELL_NUMBER, .hide = IOL_HIDE_EMPTY, .drop = 1},
};

static const struct iol_usage usage = {
    .summary = "Proves that the books balance: for every host and route, the operations, bytes and errors that the "
               "kernel counted in total must equal the sum of all accounts (the rows of io), over everything and in "
               "every single interval.",
    .details = "Losses of detail and recordings that have not ended are noted on stderr; they do not unbalance the "
               "books.\n\n"
               "Examples:\n"
               "  ioledger balance\n"
               "  ioledger balance --format json | jq '.[] | select(.balanced | not)'\n\n"
               "Exit status: 0 the books balance; 1 they do not, or there is nothing to balance, or a failure; "
               "2 bad usage.",
    .common = IOL_COMMON_DB | IOL_COMMON_FORMAT | IOL_COMMON_HOST,
};

/*
 * Both sides of every (host, route, interval), k_ of the kernel and a_ of the accounts. Each table is gone through once;
 * all the rest works on one row an interval. `balanced` is 1 where all six counters agree.
 */
#define BOOKS                                                                                                          \
    "WITH sides AS (SELECT host_id, route, ts,"                                                                        \
    " read_ops AS k_read_ops, read_bytes AS k_read_bytes, write_ops AS k_write_ops, write_bytes AS k_write_bytes,"     \
    " read_errors AS k_read_errors, write_errors AS k_write_errors,"                                                   \
    " 0 AS a_read_ops, 0 AS a_read_bytes, 0 AS a_write_ops, 0 AS a_write_bytes, 0 AS a_read_errors,"                   \
    " 0 AS a_write_errors FROM total"                                                                                  \
    " UNION ALL SELECT host_id, route, ts, 0, 0, 0, 0, 0, 0, sum(read_ops), sum(read_bytes), sum(write_ops),"          \
    " sum(write_bytes), sum(read_errors), sum(write_errors) FROM io GROUP BY host_id, route, ts),"                     \
    " pairs AS (SELECT host_id, route, ts,"                                                                            \
    " sum(k_read_ops) AS k_read_ops, sum(a_read_ops) AS a_read_ops,"                                                   \
    " sum(k_read_bytes) AS k_read_bytes, sum(a_read_bytes) AS a_read_bytes,"                                           \
    " sum(k_write_ops) AS k_write_ops, sum(a_write_ops) AS a_write_ops,"                                               \
    " sum(k_write_bytes) AS k_write_bytes, sum(a_write_bytes) AS a_write_bytes,"                                       \
    " sum(k_read_errors) AS k_read_errors, sum(a_read_errors) AS a_read_errors,"                                       \
    " sum(k_write_errors) AS k_write_errors, sum(a_write_errors) AS a_write_errors"                                    \
    " FROM sides GROUP BY host_id, route, ts),"                                                                        \
    " books AS (SELECT pairs.*, CASE WHEN k_read_ops = a_read_ops AND k_read_bytes = a_read_bytes"                     \
    " AND k_write_ops = a_write_ops AND k_write_bytes = a_write_bytes AND k_read_errors = a_read_errors"               \
    " AND k_write_errors = a_write_errors THEN 1 ELSE 0 END AS balanced FROM pairs) "

static const char query_routes[] =
    BOOKS "SELECT min(coalesce(h.name, CAST(b.host_id AS text))), b.route,"
          " CAST(sum(k_read_ops) AS bigint), CAST(sum(k_read_bytes) AS bigint), CAST(sum(k_write_ops) AS bigint),"
          " CAST(sum(k_write_bytes) AS bigint), CAST(sum(k_read_errors) AS bigint),"
          " CAST(sum(k_write_errors) AS bigint),"
          " CAST(sum(a_read_ops) AS bigint), CAST(sum(a_read_bytes) AS bigint), CAST(sum(a_write_ops) AS bigint),"
          " CAST(sum(a_write_bytes) AS bigint), CAST(sum(a_read_errors) AS bigint),"
          " CAST(sum(a_write_errors) AS bigint),"
          " CAST(sum(k_read_ops - a_read_ops) AS bigint), CAST(sum(k_read_bytes - a_read_bytes) AS bigint),"
          " CAST(sum(k_write_ops - a_write_ops) AS bigint), CAST(sum(k_write_bytes - a_write_bytes) AS bigint),"
          " CAST(sum(k_read_errors - a_read_errors) AS bigint), CAST(sum(k_write_errors - a_write_errors) AS bigint),"
          " count(*), CAST(sum(1 - b.balanced) AS bigint), min(b.balanced)"
          " FROM books b LEFT JOIN host h ON h.id = b.host_id"
          " GROUP BY b.host_id, b.route ORDER BY 1, b.host_id, CAST(b.route AS text)";

static const char query_intervals[] =
    BOOKS "SELECT coalesce(h.name, CAST(b.host_id AS text)), b.route, b.ts,"
          " CAST(k_read_ops AS bigint), CAST(a_read_ops AS bigint), CAST(k_read_bytes AS bigint),"
          " CAST(a_read_bytes AS bigint), CAST(k_write_ops AS bigint), CAST(a_write_ops AS bigint),"
          " CAST(k_write_bytes AS bigint), CAST(a_write_bytes AS bigint), CAST(k_read_errors AS bigint),"
          " CAST(a_read_errors AS bigint), CAST(k_write_errors AS bigint), CAST(a_write_errors AS bigint)"
          " FROM books b LEFT JOIN host h ON h.id = b.host_id WHERE b.balanced = 0"
          " ORDER BY b.ts, 1, CAST(b.route AS text) LIMIT " SHOWN;

static const char query_losses[] =
    "SELECT coalesce(h.name, CAST(loss.host_id AS text)), loss.reason, CAST(sum(loss.lost) AS bigint),"
    " min(loss.ts_from), max(loss.ts_to)"
    " FROM loss LEFT JOIN host h ON h.id = loss.host_id GROUP BY 1, loss.reason ORDER BY 1, loss.reason";

static const char query_open[] =
    "SELECT coalesce(h.name, CAST(r.host_id AS text)), r.started"
    " FROM recording r LEFT JOIN host h ON h.id = r.host_id WHERE r.ended IS NULL ORDER BY r.started DESC LIMIT " SHOWN;

struct verdict {
    size_t routes;
    long long totals;     /* rows of the kernel's totals */
    long long operations; /* in the kernel's totals, errors left aside */
    uint64_t bytes;
    long long unbalanced; /* intervals */
    bool missing;         /* calls that neither the totals nor the accounts have */
};

static int print_sheet_line(struct iol_output *output, const struct iol_query *query, const char *side, size_t first,
                            bool alarm)
{
    iol_output_set_text(output, SHEET_HOST, iol_query_text(query, BALANCE_HOST));
    iol_output_set_text(output, SHEET_ROUTE, iol_query_text(query, BALANCE_ROUTE));
    iol_output_set_text(output, SHEET_SIDE, side);
    for (size_t i = 0; i < COUNTERS; i++) {
        long long number = iol_query_int(query, first + i);

        iol_output_set_int(output, SHEET_COUNTERS + i, number);
        if (alarm && number != 0)
            iol_output_set_alarm(output, SHEET_COUNTERS + i);
    }
    return iol_output_row(output);
}

/* Three lines for a route: what the kernel counted, what the accounts add up to, and what lies between. */
static int print_sheet(struct iol_output *output, const struct iol_query *query)
{
    int r = print_sheet_line(output, query, "kernel", BALANCE_KERNEL, false);

    if (r == 0)
        r = print_sheet_line(output, query, "accounts", BALANCE_ACCOUNTS, false);
    if (r == 0)
        r = print_sheet_line(output, query, "difference", BALANCE_DIFFERENCE, true);
    return r;
}

static void add_up(struct verdict *verdict, const struct iol_query *query)
{
    verdict->routes++;
    verdict->operations += iol_query_int(query, BALANCE_KERNEL) + iol_query_int(query, BALANCE_KERNEL + 2);
    verdict->bytes += (uint64_t)(iol_query_int(query, BALANCE_KERNEL + 1) + iol_query_int(query, BALANCE_KERNEL + 3));
    verdict->unbalanced += iol_query_int(query, BALANCE_UNBALANCED);
}

static int print_routes(struct iol_db *db, enum iol_format format, struct verdict *verdict, struct iol_error *err)
{
    bool sheet = format == IOL_FORMAT_TABLE;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_output) struct iol_output *output = NULL;
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("adding up both sides");
    int r = iol_query_new(db, query_routes, 0, NULL, &query, err);

    if (r < 0)
        return r;
    if (iol_output_new(stdout, format, sheet ? sheet_columns : data_columns,
                       sheet ? (size_t)SHEET_COLUMNS : (size_t)BALANCE_COLUMNS, &output) < 0)
        return iol_question_no_memory(err);
    while ((r = iol_query_next(query, err)) > 0) {
        iol_question_done_waiting(&waiting);
        add_up(verdict, query);
        if (sheet) {
            r = print_sheet(output, query);
        } else {
            iol_question_copy(output, data_columns, BALANCE_COLUMNS, query);
            r = iol_output_row(output);
        }
        if (r < 0)
            return r;
    }
    return r < 0 ? r : iol_output_finish(output);
}

static int tell_intervals(struct iol_db *db, struct iol_error *err)
{
    static const char *const counters[COUNTERS] = {"reads",         "bytes read",  "writes",
                                                   "bytes written", "read errors", "write errors"};
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_(iol_question_done_waiting) struct iol_waiting *waiting = iol_question_waiting("looking for differences");
    int r = iol_query_new(db, query_intervals, 0, NULL, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        iol_question_done_waiting(&waiting);
        for (size_t i = 0; i < COUNTERS; i++) {
            long long kernel = iol_query_int(query, 3 + 2 * i), accounts = iol_query_int(query, 4 + 2 * i);

            if (kernel != accounts)
                iol_log_error("interval %s, host %s, route %s, %s: the kernel counted %lld, the accounts %lld",
                              iol_query_text(query, 2), iol_query_text(query, 0), iol_query_text(query, 1), counters[i],
                              kernel, accounts);
        }
    }
    return r;
}

static void tell_loss(const struct iol_query *query, struct verdict *verdict)
{
    enum iol_loss_kind kind = iol_loss_kind_of(iol_query_text(query, 1));

    verdict->missing |= kind == IOL_LOSS_CALLS || kind == IOL_LOSS_ROUTE;
    iol_log_info("note: host %s %s: %s, %lld %s from %.19s to %.19s", iol_query_text(query, 0), iol_loss_words(kind),
                 iol_query_text(query, 1), iol_query_int(query, 2),
                 iol_text_plural((uint64_t)iol_query_int(query, 2), "time", "times"), iol_query_text(query, 3),
                 iol_query_text(query, 4));
}

static int tell_losses(struct iol_db *db, struct verdict *verdict, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_query_new(db, query_losses, 0, NULL, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0)
        tell_loss(query, verdict);
    return r;
}

static int tell_open(struct iol_db *db, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int r = iol_query_new(db, query_open, 0, NULL, &query, err);

    while (r >= 0 && (r = iol_query_next(query, err)) > 0)
        iol_log_info("note: the recording that started %.19s on host %s has not ended: it still runs, or was killed",
                     iol_query_text(query, 1), iol_query_text(query, 0));
    return r;
}

static int tell_verdict(const struct verdict *verdict, const struct iol_options *options)
{
    char operations[16], bytes[16];

    if (verdict->totals == 0) {
        iol_log_error("there is nothing to balance: the ledger has no totals of the kernel");
        iol_log_error("'ioledger record' records some");
        return IOL_EXIT_FAILURE;
    }
    if (verdict->unbalanced > 0) {
        iol_log_error("the books do not balance: %lld %s", verdict->unbalanced,
                      iol_text_plural((uint64_t)verdict->unbalanced, "interval differs", "intervals differ"));
        return IOL_EXIT_FAILURE;
    }
    iol_text_count(operations, sizeof(operations), (uint64_t)verdict->operations);
    iol_text_size(bytes, sizeof(bytes), verdict->bytes);
    if (options->format == IOL_FORMAT_TABLE)
        printf("The books balance: %s %s, %s, to the byte.\n%s", operations,
               iol_text_plural((uint64_t)verdict->operations, "operation", "operations"), bytes,
               verdict->missing ? "But there were calls that they do not have.\n" : "");
    return IOL_EXIT_OK;
}

/* 0 or -errno; *err stays empty when it is the output that failed. */
static int examine(struct iol_db *db, const struct iol_options *options, struct verdict *verdict, struct iol_error *err)
{
    int r = iol_db_focus(db, &(struct iol_focus){.kind = IOL_FOCUS_BALANCE}, err);

    if (r == 0)
        r = iol_question_number(db, "SELECT count(*) FROM total", 0, NULL, &verdict->totals, err);
    if (r == 0)
        r = print_routes(db, options->format, verdict, err);
    if (r == 0 && verdict->unbalanced > 0)
        r = tell_intervals(db, err);
    if (r == 0)
        r = tell_losses(db, verdict, err);
    if (r == 0)
        r = tell_open(db, err);
    return r;
}

int iol_cmd_balance(int argc, char **argv)
{
    struct iol_options options;
    struct iol_error err = {0};
    struct verdict verdict = {0};
    _cleanup_(iol_question_done_db) struct iol_db *db = NULL;
    int status;

    if (!iol_options_parse(&usage, argc, argv, NULL, &options, &status))
        return status;
    if (iol_db_open_host(options.db, options.verbose, options.host, &db, &err) < 0 ||
        examine(db, &options, &verdict, &err) < 0)
        return err.text[0] ? iol_command_fail(&err) : IOL_EXIT_FAILURE;
    return tell_verdict(&verdict, &options);
}
