// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "app/command.h"
#include "app/options.h"
#include "app/waiting.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/prune.h"
#include "store/schema.h"

enum { KEY_KEEP = 0x200, KEY_DRY_RUN };

struct prune {
    int64_t keep_ns; /* 0: not given */
    bool dry_run;
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct prune *prune = input;

    if (key == KEY_DRY_RUN) {
        prune->dry_run = true;
        return 0;
    }
    int r = iol_option_duration(text, &prune->keep_ns, err);
    if (r == 0 && prune->keep_ns == 0) {
        iol_error_set(err, -EINVAL, "'%s' would keep nothing", text);
        iol_error_hint(err, "keep some time, for example --keep 7d; to begin anew, delete the ledger");
        return -EINVAL;
    }
    return r;
}

static const struct argp_option own_options[] = {
    {"keep", KEY_KEEP, "TIME", 0, "How long back everything stays: 12h, 7d, 4w", 0},
    {"dry-run", KEY_DRY_RUN, NULL, 0, "Only count what would be deleted", 0},
    {0},
};

static const struct iol_usage usage = {
    .summary = "Deletes what is older than a time: reads, writes and events, and then the files and processes that "
               "nothing refers to any more. Recorders go on meanwhile, and the books of what is left still balance.",
    .details =
        "In PostgreSQL whole days are dropped, and their space is free at once; in SQLite the file gets smaller. "
        "Processes that may still run stay, and so does whatever a running recorder may still refer to: it has "
        "to have gone on for 13 hours since the time before which all goes, and its next intervals are waited for.\n\n"
        "Examples:\n"
        "  ioledger prune --keep 7d\n"
        "  ioledger prune --keep 12h --dry-run --db postgresql:///ledger\n\n"
        "Exit status: 0 done; 1 a failure; 2 bad usage.",
    .common = IOL_COMMON_DB,
    .options = own_options,
    .option = take_option,
};

/* In the order in which they are told; what was deleted of none is not. */
static const enum iol_table_id told[] = {
    IOL_TABLE_IO,      IOL_TABLE_EVENT,        IOL_TABLE_TOTAL, IOL_TABLE_LOSS,      IOL_TABLE_FILE,
    IOL_TABLE_PROCESS, IOL_TABLE_PROCESS_EXIT, IOL_TABLE_BATCH, IOL_TABLE_RECORDING,
};

static void tell_rows(const struct iol_prune_result *result, const char *before, bool dry_run)
{
    const char *separator = " ";
    bool first = true;

    printf("%s from before %.19s:", dry_run ? "Would be deleted," : "Deleted,", before);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(told); i++) {
        if (result->rows[told[i]] == 0)
            continue;
        printf("%s%" PRIu64 "%s of %s", separator, result->rows[told[i]],
               first ? iol_text_plural(result->rows[told[i]], " row", " rows") : "", iol_schema_tables[told[i]].name);
        separator = ", ";
        first = false;
    }
    if (result->days > 0)
        printf("; %" PRIu64 " %s whole", result->days, iol_text_plural(result->days, "day went", "days went"));
    puts(".");
}

static uint64_t sum(const struct iol_prune_result *result)
{
    uint64_t all = 0;

    for (size_t i = 0; i < IOL_ARRAY_SIZE(told); i++)
        all += result->rows[told[i]];
    return all;
}

static void tell_space(const struct iol_prune_result *result)
{
    uint64_t freed = result->bytes_before > result->bytes_after ? result->bytes_before - result->bytes_after : 0;
    char before[16], after[16], difference[16];

    iol_text_size(before, sizeof(before), result->bytes_before);
    iol_text_size(after, sizeof(after), result->bytes_after);
    iol_text_size(difference, sizeof(difference), freed);
    printf("The ledger had %s and has %s: %s given back.\n", before, after, difference);
}

static void show_progress(void *arg, const struct iol_prune_progress *progress)
{
    iol_waiting_step(arg, progress->doing);
    iol_waiting_reached(arg, progress->rows, progress->part);
}

int iol_cmd_prune(int argc, char **argv)
{
    struct prune prune = {0};
    struct iol_options options;
    struct iol_prune_result result;
    struct iol_error err = {0};
    char before[32];
    int status;

    if (!iol_options_parse(&usage, argc, argv, &prune, &options, &status))
        return status;
    if (prune.keep_ns == 0) {
        iol_error_set(&err, -EINVAL, "how much is to stay? give --keep TIME, for example --keep 7d");
        return iol_options_fail("prune", &err);
    }
    struct iol_waiting *waiting = iol_waiting_new();
    const struct iol_prune_options prune_options = {
        .before = iol_wall_ns() - prune.keep_ns,
        .dry_run = prune.dry_run,
        .verbose = options.verbose,
        .progress = show_progress,
        .arg = waiting,
    };
    int r = iol_prune(options.db, &prune_options, &result, &err);
    iol_waiting_free(waiting);
    if (r < 0)
        return iol_command_fail(&err);
    iol_text_time(before, sizeof(before), prune_options.before);
    if (sum(&result) > 0)
        tell_rows(&result, before, prune.dry_run);
    else
        printf("Nothing is older than %.19s.\n", before);
    if (sum(&result) > 0 && !prune.dry_run)
        tell_space(&result);
    if (result.left_alone[0])
        iol_log_info("files and processes of %s stay: the recorder there has not ended, and may still refer to them",
                     result.left_alone);
    iol_log_debug("%" PRIu64 " steps, the longest took %" PRIu64 " ms", result.steps, result.longest_ns / 1000000);
    return IOL_EXIT_OK;
}
