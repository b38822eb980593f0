// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/command.h"
#include "app/options.h"
#include "app/replay.h"
#include "app/waiting.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/sink.h"
#include "store/source.h"
#include "store/spool.h"
#include "store/url.h"

#define PATHS_MAX 1000
#define BATCH_ENDING ".batch"

enum { KEY_REMOVE = 0x200, KEY_FOLLOW };

struct load {
    bool remove, follow, verbose;
    struct iol_replay replay;
};

static volatile sig_atomic_t interrupted;

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct load *load = input;

    (void)text;
    (void)err;
    if (key == KEY_FOLLOW)
        load->follow = true;
    else
        load->remove = true;
    return 0;
}

static const struct argp_option own_options[] = {
    {"follow", KEY_FOLLOW, NULL, 0, "Go on at the end of a Kafka topic, until Ctrl-C", 0},
    {"remove", KEY_REMOVE, NULL, 0, "Remove each file, and the reason beside it, when all that is in it is stored", 0},
    {0},
};

static const struct iol_usage usage = {
    .arguments = "PATH...|kafka://BROKER/TOPIC",
    .summary =
        "Stores what was recorded to somewhere else: the segments of a spool, batches that a database had refused and "
        "that are in the quarantine of a spool, or what 'record --db jsonl:PATH' or 'record --db kafka://BROKER/TOPIC' "
        "wrote. PATH is such a file, a folder with them, or - for rows as JSON on stdin. A batch that is in the ledger "
        "already changes nothing.",
    .details =
        "Of a file that is cut or damaged all that is whole is stored, and a line for each place tells what is not. "
        "A spool that a recorder uses is refused: what waits there is sent by itself. Why a batch was "
        "set aside stands in NUMBER.txt beside it; 'ioledger status' tells where the spool is. jsonl: and kafka: as "
        "--db take each "
        "batch as often as it comes.\n\n"
        "A topic is read from its beginning, or with ?group=NAME from where that group has come to, which is noted "
        "when the "
        "database has it. The first batch that the database refuses ends "
        "it.\n\n"
        "Examples:\n"
        "  ioledger load --db postgresql://ledger@db/ledger \\\n"
        "    /var/lib/ioledger/spool/ledger/quarantine\n"
        "  ioledger load --db postgresql://ledger@db/ledger monday.jsonl tuesday.jsonl\n"
        "  zstdcat old.jsonl.zst | ioledger load -\n"
        "  ioledger load --follow --db postgresql://ledger@db/ledger \\\n"
        "    'kafka://kafka1,kafka2/ledger?group=db'\n"
        "  ioledger load --db jsonl:- spool/0000000000000001.segment | jq .\n\n"
        "Exit status: 0 all is stored; 1 some is not; 2 bad usage.",
    .common = IOL_COMMON_DB,
    .min_args = 1,
    .max_args = PATHS_MAX,
    .missing = "a PATH",
    .options = own_options,
    .option = take_option,
};

static void on_signal(int number)
{
    interrupted = number;
}

/* Once; the second time ends at once. */
static void watch_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void fail(struct load *load, const struct iol_error *err)
{
    iol_waiting_clear(load->replay.waiting);
    iol_command_fail(err);
    load->replay.failed++;
}

static void remove_files(const char *path)
{
    size_t length = strlen(path), ending = strlen(BATCH_ENDING);
    _cleanup_free_ char *reason = NULL;

    if (unlink(path) < 0)
        iol_log_warning("cannot remove %s: %s", path, strerror(errno));
    if (length <= ending || strcmp(path + length - ending, BATCH_ENDING) != 0)
        return;
    if (asprintf(&reason, "%.*s.txt", (int)(length - ending), path) >= 0)
        unlink(reason);
}

/* 0, or -errno: nothing more can be loaded. */
static int load_file(struct load *load, const char *path)
{
    struct iol_source *source = NULL;
    struct iol_error err = {0};
    uint64_t failed = load->replay.failed;

    int r = iol_url_is_kafka(path) ? iol_source_open_kafka(path, load->follow, load->verbose, &source, &err)
                                   : iol_source_open(path, &source, &err);
    if (r < 0) {
        fail(load, &err);
        return 0;
    }
    r = iol_replay_source(&load->replay, source);
    load->replay.bytes += iol_source_at(source);
    iol_source_close(source);
    if (r == 0 && load->remove && load->replay.failed == failed && strcmp(path, "-") != 0 && !iol_url_is_kafka(path))
        remove_files(path);
    return r;
}

struct input {
    char **paths;
    size_t n;
    dev_t dev; /* of the folder */
    ino_t ino;
    int hold; /* of the spool that it is, by the first input that is in it; else -1 */
    bool spool;
};

static void done_input(struct input *input)
{
    for (size_t i = 0; i < input->n; i++)
        free(input->paths[i]);
    free(input->paths);
    if (input->hold >= 0)
        close(input->hold);
}

static int take_one(const char *path, struct input *input, struct iol_error *err)
{
    input->paths = calloc(1, sizeof(*input->paths));
    input->paths[0] = input->paths ? strdup(path) : NULL;
    if (!input->paths || !input->paths[0])
        return iol_error_set(err, -ENOMEM, "out of memory");
    input->n = 1;
    return 0;
}

/* No recorder changes the folder's files as long as the input lives. */
static int hold_folder(const char *folder, const struct input *before, size_t n_before, struct input *input,
                       struct iol_error *err)
{
    struct stat st;

    if (stat(folder, &st) < 0)
        return iol_error_set(err, -errno, "cannot read the folder %s: %s", folder, strerror(errno));
    input->dev = st.st_dev;
    input->ino = st.st_ino;
    for (size_t i = 0; i < n_before; i++) {
        if (before[i].spool && before[i].dev == st.st_dev && before[i].ino == st.st_ino) {
            input->spool = true;
            return 0;
        }
    }
    int r = iol_spool_hold(folder, &input->hold, err);
    input->spool = input->hold >= 0;
    return r;
}

/* The files that an argument means. */
static int open_input(const struct load *load, const char *path, const struct input *before, size_t n_before,
                      struct input *input, struct iol_error *err)
{
    _cleanup_free_ char *copy = strdup(path);
    struct stat st = {0};
    bool known = strcmp(path, "-") != 0 && !iol_url_is_kafka(path) && stat(path, &st) == 0,
         folder = known && S_ISDIR(st.st_mode);
    int r = 0;

    if (!copy)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (folder || (known && S_ISREG(st.st_mode)))
        r = hold_folder(folder ? path : dirname(copy), before, n_before, input, err);
    if (r == 0 && input->spool && load->remove) {
        iol_error_set(err, -EINVAL, "--remove does not take files out of a spool, %s", path);
        iol_error_hint(err, "the next recorder with that spool sends what waits there, and removes it");
        return -EINVAL;
    }
    if (r == 0)
        r = folder ? iol_source_list(path, &input->paths, &input->n, err) : take_one(path, input, err);
    return r;
}

static uint64_t size_of(const struct input *input)
{
    uint64_t size = 0;
    struct stat st;

    for (size_t i = 0; i < input->n; i++)
        size += stat(input->paths[i], &st) == 0 ? (uint64_t)st.st_size : 0;
    return size;
}

static void load_all(struct load *load, const struct iol_options *options)
{
    struct input *inputs = calloc(options->n_args, sizeof(*inputs));
    int r = 0;

    for (size_t i = 0; inputs && i < options->n_args; i++) {
        struct iol_error err = {0};
        inputs[i].hold = -1;
        if (open_input(load, options->args[i], inputs, i, &inputs[i], &err) < 0)
            fail(load, &err);
        load->replay.all_bytes += size_of(&inputs[i]);
    }
    for (size_t i = 0; inputs && i < options->n_args; i++) {
        for (size_t j = 0; j < inputs[i].n && r == 0; j++)
            r = load_file(load, inputs[i].paths[j]);
    }
    if (interrupted && load->follow) /* as it is meant to end */
        r = 0;
    for (size_t i = 0; inputs && i < options->n_args; i++)
        done_input(&inputs[i]);
    free(inputs);
    if (r < 0 && r != -ECANCELED) /* which is counted */
        load->replay.failed++;
}

static int tell(const struct load *load, const char *db)
{
    FILE *out = strcmp(db, "jsonl:-") == 0 ? stderr : stdout;

    fprintf(out, "%" PRIu64 " %s with %" PRIu64 " %s %s stored", load->replay.batches,
            iol_text_plural(load->replay.batches, "batch", "batches"), load->replay.rows,
            iol_text_plural(load->replay.rows, "row", "rows"), iol_text_plural(load->replay.batches, "is", "are"));
    if (interrupted && !load->follow)
        fputs(", and then it was interrupted", out);
    else if (load->replay.failed > 0)
        fprintf(out, ", %" PRIu64 " %s not", load->replay.failed, iol_text_plural(load->replay.failed, "is", "are"));
    fputs(".\n", out);
    return load->replay.failed > 0 ? IOL_EXIT_FAILURE : IOL_EXIT_OK;
}

static int check_usage(const struct load *load, const struct iol_options *options, struct iol_error *err)
{
    if (!load->follow || (options->n_args == 1 && iol_url_is_kafka(options->args[0])))
        return 0;
    iol_error_set(err, -EINVAL, "--follow is for one Kafka topic");
    iol_error_hint(err, "ioledger load --follow --db URL kafka://BROKER/TOPIC");
    return -EINVAL;
}

int iol_cmd_load(int argc, char **argv)
{
    const struct iol_sink_options sink_options = {0};
    struct iol_options options;
    struct load load = {.replay = {.interrupted = &interrupted}};
    struct iol_error err = {0};
    int status;

    if (!iol_options_parse(&usage, argc, argv, &load, &options, &status))
        return status;
    load.verbose = options.verbose;
    if (check_usage(&load, &options, &err) < 0)
        return iol_options_fail("load", &err);
    if (iol_sink_open(options.db, &sink_options, &load.replay.sink, &err) < 0)
        return iol_command_fail(&err);
    watch_signals();
    load.replay.waiting = iol_waiting_new();
    iol_waiting_step(load.replay.waiting, "loading");
    load_all(&load, &options);
    iol_waiting_free(load.replay.waiting);
    iol_sink_close(load.replay.sink);
    return tell(&load, options.db);
}
