// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/command.h"
#include "app/options.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "core/batch.h"
#include "store/sink.h"
#include "store/spool.h"

#define PATHS_MAX 1000
#define ENDING ".batch"

enum { KEY_REMOVE = 0x200 };

struct load {
    bool remove;
    uint64_t batches, rows, failed;
};

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    (void)key;
    (void)text;
    (void)err;
    ((struct load *)input)->remove = true;
    return 0;
}

static const struct argp_option own_options[] = {
    {"remove", KEY_REMOVE, NULL, 0, "Remove each file, and the reason beside it, when its batch is stored", 0},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "PATH...",
    .summary =
        "Stores batches that the database had refused, and that a recorder has set aside in the quarantine of its "
        "spool, when what was wrong has been mended. PATH is such a file, NUMBER.batch, or a folder with them. A "
        "batch that is in the ledger already changes nothing.",
    .details =
        "Why a batch was set aside stands in NUMBER.txt beside it; 'ioledger status' tells where the spool is. What "
        "waits in a spool otherwise is sent by the next 'ioledger record' to its database.\n\n"
        "Examples:\n"
        "  ioledger load --db postgresql://ledger@db/ledger /var/lib/ioledger/spool/ledger/quarantine\n"
        "  ioledger load --remove quarantine/0000000000000007.batch\n\n"
        "Exit status: 0 all are stored; 1 some are not; 2 bad usage.",
    .common = IOL_COMMON_DB,
    .min_args = 1,
    .max_args = PATHS_MAX,
    .missing = "a PATH",
    .options = own_options,
    .option = take_option,
};

static void remove_files(const char *path, size_t length)
{
    _cleanup_free_ char *reason = NULL;

    if (unlink(path) < 0)
        iol_log_warning("cannot remove %s: %s", path, strerror(errno));
    if (asprintf(&reason, "%.*s.txt", (int)(length - strlen(ENDING)), path) >= 0)
        unlink(reason);
}

static void load_file(struct load *load, struct iol_sink *sink, const char *path)
{
    struct iol_batch *batch = NULL;
    struct iol_error err = {0}, reason = {0};
    size_t length = strlen(path);
    int r = iol_spool_read_set_aside(path, &batch, &err);

    if (r == 0) {
        r = iol_sink_write(sink, batch, &reason);
        if (r < 0) {
            iol_error_set(&err, r, "%s is not stored: %s", path, reason.text);
            iol_error_hint(&err, "%s", reason.hint);
        }
    }
    if (r < 0) {
        iol_command_fail(&err);
        load->failed++;
    } else {
        load->batches++;
        load->rows += iol_batch_count(batch);
        if (load->remove && length > strlen(ENDING))
            remove_files(path, length);
    }
    iol_batch_free(batch);
}

static int is_batch(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);

    return length > strlen(ENDING) && strcmp(entry->d_name + length - strlen(ENDING), ENDING) == 0;
}

/* A folder's batches in the order in which they were made: their names are numbers. */
static int load_path(struct load *load, struct iol_sink *sink, const char *path, struct iol_error *err)
{
    struct dirent **names = NULL;
    struct stat st;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        load_file(load, sink, path);
        return 0;
    }
    int n = scandir(path, &names, is_batch, alphasort);
    if (n < 0)
        return iol_error_set(err, -errno, "cannot read the folder %s: %s", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        _cleanup_free_ char *file = NULL;
        if (asprintf(&file, "%s/%s", path, names[i]->d_name) >= 0)
            load_file(load, sink, file);
        free(names[i]);
    }
    free(names);
    if (n == 0) {
        iol_error_set(err, -ENOENT, "no batch is in %s", path);
        iol_error_hint(err, "give the folder quarantine of a spool, or a file NUMBER.batch in it");
        return -ENOENT;
    }
    return 0;
}

int iol_cmd_load(int argc, char **argv)
{
    const struct iol_sink_options sink_options = {0};
    struct iol_sink *sink = NULL;
    struct iol_options options;
    struct load load = {0};
    struct iol_error err = {0};
    int status;

    if (!iol_options_parse(&usage, argc, argv, &load, &options, &status))
        return status;
    if (iol_sink_open(options.db, &sink_options, &sink, &err) < 0)
        return iol_command_fail(&err);
    for (size_t i = 0; i < options.n_args; i++) {
        if (load_path(&load, sink, options.args[i], &err) < 0) {
            iol_command_fail(&err);
            load.failed++;
        }
    }
    iol_sink_close(sink);
    printf("%" PRIu64 " batches with %" PRIu64 " rows are stored", load.batches, load.rows);
    if (load.failed > 0)
        printf(", %" PRIu64 " are not", load.failed);
    puts(".");
    return load.failed > 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}
