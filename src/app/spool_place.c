// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/spool_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/stream.h"
#include "store/spool.h"
#include "store/url.h"

#define SERVICE_DIR "/var/lib/ioledger"
#define RECORDERS_MAX 64 /* at once, to one database */

bool iol_spool_place_possible(const char *db)
{
    return !iol_url_rest(db, "jsonl");
}

/* The database as a person knows it: what libpq takes from the environment is a part of it. To be freed; NULL: no memory. */
static char *target_of(const char *db)
{
    static const char *const names[] = {"PGHOST", "PGPORT", "PGDATABASE", "PGSERVICE"};
    char shown[IOL_ERROR_TEXT_MAX], *text;
    struct iol_stream stream;
    FILE *out = iol_stream_open(&stream);

    if (!out)
        return NULL;
    fputs(iol_url_redact(shown, sizeof(shown), db), out);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(names) && iol_url_is_postgres(db); i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            fprintf(out, " %s=%s", names[i], value);
    }
    text = iol_stream_text(&stream);
    for (char *c = text; c && *c; c++) /* it is a line of a file */
        *c = *c == '\n' ? ' ' : *c;
    return text;
}

/* The folder for spools, to be freed; NULL: no memory, or nobody knows. */
static char *usual_dir(void)
{
    const char *service = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *dir = NULL;
    int n = -1;

    if (service && *service)
        n = asprintf(&dir, "%.*s/spool", (int)strcspn(service, ":"), service);
    else if (geteuid() == 0)
        n = asprintf(&dir, SERVICE_DIR "/spool");
    else if (state && state[0] == '/')
        n = asprintf(&dir, "%s/ioledger/spool", state);
    else if (home && home[0] == '/')
        n = asprintf(&dir, "%s/.local/state/ioledger/spool", home);
    return n < 0 ? NULL : dir;
}

/* With the folders above it. */
static int make_dirs(char *dir)
{
    for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int r = mkdir(dir, 0755) < 0 && errno != EEXIST ? -errno : 0;
        *slash = '/';
        if (r < 0)
            return r;
    }
    return mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_candidate(const char *base, uint64_t hash, int number, const struct iol_spool_options *options,
                          bool create, struct iol_spool **ret_spool, struct iol_error *err)
{
    _cleanup_free_ char *dir = NULL;
    char suffix[16] = "";

    if (number > 1)
        snprintf(suffix, sizeof(suffix), "-%d", number);
    if (asprintf(&dir, "%s/%016" PRIx64 "%s", base, hash, suffix) < 0) {
        dir = NULL;
        return iol_error_set(err, -ENOMEM, "out of memory");
    }
    if (!create && access(dir, F_OK) < 0)
        return -ENOENT;
    return iol_spool_open(dir, options, ret_spool, err);
}

static bool has_something(struct iol_spool *spool)
{
    struct iol_spool_stats stats;

    iol_spool_get_stats(spool, &stats);
    return stats.entries > 0 || iol_spool_last(spool);
}

/* Those who look first and open then may meet: the lock decides, and the loser looks on. */
static int open_usual(const char *base, const struct iol_spool_options *options, struct iol_spool **ret_spool,
                      struct iol_error *err)
{
    uint64_t hash = XXH3_64bits(options->target, strlen(options->target));
    int r = -EBUSY;

    for (int number = 1; number <= RECORDERS_MAX; number++) {
        struct iol_spool *spool = NULL;
        r = open_candidate(base, hash, number, options, false, &spool, err);
        if (r == -ENOENT)
            break;
        if (r < 0)
            continue;
        if (has_something(spool)) {
            *ret_spool = spool;
            return 0;
        }
        iol_spool_close(spool);
    }
    r = -EBUSY;
    for (int number = 1; number <= RECORDERS_MAX && r == -EBUSY; number++)
        r = open_candidate(base, hash, number, options, true, ret_spool, err);
    return r;
}

int iol_spool_place_open(const char *db, const char *dir, const struct iol_spool_options *options,
                         struct iol_spool **ret_spool, struct iol_error *err)
{
    _cleanup_free_ char *target = target_of(db), *base = dir ? NULL : usual_dir();
    struct iol_spool_options complete = *options;
    struct iol_spool *spool = NULL;
    int r = 0;

    complete.target = target;
    if (!target)
        return iol_error_set(err, -ENOMEM, "out of memory");
    if (dir && strcmp(dir, "none") != 0) {
        r = iol_spool_open(dir, &complete, &spool, err);
    } else if (!dir && iol_url_is_network(db)) {
        if (!base)
            return iol_error_set(err, -ENOENT, "there is no place for a spool: neither HOME nor XDG_STATE_HOME is set");
        r = make_dirs(base);
        if (r < 0)
            iol_error_set(err, r, "cannot create the folder %s: %s", base, strerror(-r));
        else
            r = open_usual(base, &complete, &spool, err);
    }
    if (r == 0)
        *ret_spool = spool;
    return r;
}
