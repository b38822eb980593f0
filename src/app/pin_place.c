// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/pin_place.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "app/pin_options.h"
#include "base/cleanup.h"
#include "base/error.h"

#define SERVICE_DIR "/var/lib/ioledger"

/* malloc'ed; NULL: no memory. */
static char *usual_dir(const struct iol_capture_pin *pin)
{
    const char *state = getenv("STATE_DIRECTORY");
    uint64_t hash = XXH64(pin->books, strlen(pin->books), XXH64(pin->folder, strlen(pin->folder), 0));
    char *dir;

    if (!state || !*state)
        state = SERVICE_DIR;
    return asprintf(&dir, "%.*s/pinned/%016" PRIx64, (int)strcspn(state, ":"), state, hash) < 0 ? NULL : dir;
}

/* The folders above it. */
static int make_parents(char *dir, struct iol_error *err)
{
    for (char *slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        int r;

        *slash = '\0';
        r = mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
        if (r < 0)
            iol_error_set(err, r, "cannot create the folder %s: %s", dir, strerror(-r));
        *slash = '/';
        if (r < 0)
            return r;
    }
    return 0;
}

static int wrong_spool(const struct iol_capture_pin *pin, const struct iol_about *about, const char *dir,
                       struct iol_error *err)
{
    iol_error_set(err, -EEXIST, "what is pinned in %s has its spool in %s, not in %s", pin->folder, about->spool, dir);
    iol_error_hint(err, "leave --spool out, or end what is pinned with 'ioledger stop --unpin' first");
    return -EEXIST;
}

/* *ret_dir is malloc'ed. */
static int find_dir(const struct iol_capture_pin *pin, const char *dir, char **ret_dir, struct iol_error *err)
{
    _cleanup_free_ char *asked = dir ? iol_pin_absolute(dir) : usual_dir(pin);
    struct iol_about about;
    int r = iol_capture_pinned(pin->folder, &about, err);

    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0 && asked && dir && strcmp(asked, about.spool) != 0)
        return wrong_spool(pin, &about, dir, err);
    *ret_dir = r == 0 ? strdup(about.spool) : TAKE_PTR(asked);
    return *ret_dir ? 0 : iol_error_set(err, -ENOMEM, "out of memory");
}

static int open_spool(struct iol_capture_pin *pin, const char *dir, const struct iol_spool_options *options,
                      struct iol_spool **ret_spool, struct iol_error *err)
{
    _cleanup_free_ char *place = NULL;
    struct iol_spool_options complete = *options;
    int r = find_dir(pin, dir, &place, err);

    if (r == 0)
        r = make_parents(place, err);
    if (r < 0)
        return r;
    complete.target = pin->books;
    complete.keep = true;
    r = iol_spool_open(place, &complete, ret_spool, err);
    if (r == 0)
        pin->spool = iol_spool_dir(*ret_spool);
    return r;
}

int iol_pin_place_open(struct iol_capture_pin *pin, const char *dir, const struct iol_spool_options *options,
                       struct iol_spool **ret_spool, struct iol_error *err)
{
    _cleanup_close_ int lock = iol_capture_lock(pin->folder, err);
    int r = lock < 0 ? lock : open_spool(pin, dir, options, ret_spool, err);

    if (r == 0)
        pin->lock = TAKE_FD(lock);
    return r;
}

void iol_pin_place_remove(struct iol_spool *spool, const char *books)
{
    const struct iol_spool_options options = {.max_bytes = IOL_SPOOL_MIN_BYTES, .target = books};
    _cleanup_free_ char *dir = strdup(iol_spool_dir(spool));

    iol_spool_close(spool);
    /* one that need not be kept goes when it is empty */
    if (dir && iol_spool_open(dir, &options, &spool, NULL) == 0)
        iol_spool_close(spool);
}
