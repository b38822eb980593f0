// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "app/command.h"
#include "app/waiting.h"
#include "base/error.h"
#include "base/log.h"
#include "core/batch.h"
#include "store/sink.h"
#include "store/source.h"

#define AGAIN_FIRST_MS 50
#define AGAIN_MAX_MS 5000
#define PATIENCE_MS 60000 /* with a database that is away */

struct group {
    struct iol_batch *batches[IOL_SINK_GROUP_MAX];
    char places[IOL_SINK_GROUP_MAX][64];
    size_t first, n; /* those that are still to be stored */
    size_t most;     /* of them in one transaction: one, when one of many is refused */
    uint64_t rows;
};

static void tell(const struct iol_replay *replay, const struct iol_error *err)
{
    iol_waiting_clear(replay->waiting);
    iol_command_fail(err);
}

static void let_go(struct group *group)
{
    iol_batch_free(group->batches[group->first++]);
    group->n--;
}

static void note_stored(struct iol_replay *replay, struct group *group, struct iol_source *source, size_t n)
{
    struct iol_error err = {0};

    for (size_t i = 0; i < n; i++) {
        replay->batches++;
        replay->rows += iol_batch_count(group->batches[group->first]);
        let_go(group);
    }
    group->most = IOL_SINK_GROUP_MAX;
    if (iol_source_stored(source, n, &err) < 0) {
        iol_waiting_clear(replay->waiting);
        iol_log_warning("%s; what is read twice is stored once", err.text);
    }
}

static void note_refused(struct iol_replay *replay, struct group *group, const struct iol_source *source,
                         const struct iol_error *reason)
{
    const struct iol_batch_row *row = group->batches[group->first]->rows[IOL_TABLE_BATCH].data;
    struct iol_error err = {0};

    iol_error_set(&err, -EINVAL, "the batch at %s of %s (boot %s, sequence %" PRId64 ") is not stored: %s",
                  group->places[group->first], source->name, row && row->boot_id ? row->boot_id : "none",
                  row ? row->seq : 0, reason->text);
    iol_error_hint(&err, "%s", reason->hint);
    tell(replay, &err);
    replay->failed++;
    let_go(group);
}

static bool is_interrupted(const struct iol_replay *replay)
{
    return replay->interrupted && *replay->interrupted;
}

/* Waits before another try, longer each time: 0; or -errno, when there is to be none. */
static int wait_again(const struct iol_replay *replay, int64_t *delay_ms, int64_t *waited_ms,
                      const struct iol_error *reason)
{
    const struct timespec delay = {.tv_sec = *delay_ms / 1000, .tv_nsec = *delay_ms % 1000 * 1000000};

    if (*waited_ms >= PATIENCE_MS) {
        struct iol_error err = {0};
        iol_error_set(&err, -EAGAIN, "the database stays away: %s", reason->text);
        iol_error_hint(&err, "what has been stored stays; load it again when the database is back");
        tell(replay, &err);
        return -EAGAIN;
    }
    iol_waiting_clear(replay->waiting);
    if (*waited_ms == 0)
        iol_log_warning("trying again: %s", reason->text);
    nanosleep(&delay, NULL);
    *waited_ms += *delay_ms;
    *delay_ms = *delay_ms * 2 < AGAIN_MAX_MS ? *delay_ms * 2 : AGAIN_MAX_MS;
    return is_interrupted(replay) ? -EINTR : 0;
}

static int store_group(struct iol_replay *replay, struct group *group, struct iol_source *source)
{
    int64_t delay_ms = AGAIN_FIRST_MS, waited_ms = 0;

    while (group->n > 0) {
        struct iol_error reason = {0};
        ssize_t r = iol_sink_write_some(replay->sink, (const struct iol_batch *const *)group->batches + group->first,
                                        group->n < group->most ? group->n : group->most, &reason);
        if (r > 0) {
            note_stored(replay, group, source, (size_t)r);
            delay_ms = AGAIN_FIRST_MS;
            waited_ms = 0;
        } else if (r == -EAGAIN || r == -ENOSPC) {
            int code = wait_again(replay, &delay_ms, &waited_ms, &reason);
            if (code < 0)
                return code;
        } else if (group->most > 1 && group->n > 1) { /* one of them is to blame */
            group->most = 1;
        } else {
            note_refused(replay, group, source, &reason);
            if (iol_source_is_ordered(source))
                return -ECANCELED;
        }
    }
    group->first = group->rows = 0;
    return 0;
}

static void show(const struct iol_replay *replay, const struct iol_source *source)
{
    uint64_t at = iol_source_at(source), size = iol_source_size(source);

    if (size == 0) {
        at += replay->bytes;
        size = replay->all_bytes;
    }
    iol_waiting_reached(replay->waiting, replay->rows, size ? (double)at / (double)size : -1);
}

/* As many batches as go into one transaction: 1; 0: the source has no more; or -errno. */
static int fill(struct iol_replay *replay, struct group *group, struct iol_source *source)
{
    while (group->n < IOL_SINK_GROUP_MAX && group->rows < iol_sink_group_rows(replay->sink)) {
        struct iol_error err = {0};
        struct iol_batch *batch = NULL;
        int r = is_interrupted(replay) ? -EINTR : iol_source_next(source, &batch, &err);
        if (r == 1) {
            group->rows += iol_batch_count(batch);
            iol_source_place(source, group->places[group->n], sizeof(group->places[0]));
            group->batches[group->n++] = batch;
            continue;
        }
        if (r == 0 || r == -EINTR)
            return r;
        if (r == -EAGAIN)
            return 1;
        tell(replay, &err);
        replay->failed++;
        if (r != -EBADMSG)
            return 0;
    }
    return 1;
}

int iol_replay_source(struct iol_replay *replay, struct iol_source *source)
{
    struct group group = {.most = IOL_SINK_GROUP_MAX};
    int r = 1;

    while (r > 0) {
        r = fill(replay, &group, source);
        int stored = store_group(replay, &group, source);
        if (stored < 0)
            r = stored;
        show(replay, source);
    }
    while (group.n > 0)
        let_go(&group);
    return r;
}
