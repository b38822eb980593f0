// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/unpin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/pin_options.h"
#include "app/pipeline.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"

#define REDACTED "***" /* what stands for a password: iol_url_redact() */

/* What a start that was killed has left is of no use to anybody. */
static int clear_rest(const char *folder, struct iol_error *err)
{
    int r;

    if (access(folder, F_OK) < 0) {
        iol_error_set(err, -ENOENT, "nothing is pinned in %s", folder);
        iol_error_hint(err, "what was pinned elsewhere is named with --unpin=FOLDER");
        return -ENOENT;
    }
    r = iol_capture_discard(folder, err);
    if (r == 0)
        iol_log_info("removed from %s what a start that was interrupted had left; nothing was counted", folder);
    return r;
}

static int find_db(const struct iol_unpin_options *options, const struct iol_about *about, const char **ret_db,
                   struct iol_error *err)
{
    *ret_db = options->db ? options->db : about->books;
    if (options->db || !strstr(about->books, REDACTED))
        return 0;
    iol_error_set(err, -EINVAL, "the counters in %s belong to %s, whose password is not kept", options->folder,
                  about->books);
    iol_error_hint(err, "name the database: --db URL");
    return -EINVAL;
}

pid_t iol_unpin_recorder(const char *folder)
{
    return iol_capture_holder(folder);
}

int iol_unpin(const struct iol_unpin_options *options, struct iol_error *err)
{
    _cleanup_free_ char *books = NULL;
    struct iol_capture_pin pin = {.folder = options->folder};
    struct iol_pipeline_options pipeline = {.verbose = options->verbose, .capture = {.pin = &pin}};
    struct iol_about about;
    int r;

    if (options->discard)
        return access(options->folder, F_OK) < 0 ? clear_rest(options->folder, err)
                                                 : iol_capture_discard(options->folder, err);
    r = iol_capture_pinned(options->folder, &about, err);
    if (r == -ENOENT)
        return clear_rest(options->folder, err);
    if (r == 0)
        r = find_db(options, &about, &pipeline.db, err);
    if (r < 0)
        return r;
    pin.books = books = iol_pin_books(pipeline.db);
    return books ? iol_pipeline_end_pinned(&pipeline, err) : iol_error_set(err, -ENOMEM, "out of memory");
}
