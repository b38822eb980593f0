// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/epoch.h"
#include "app/host.h"
#include "app/live/names.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "core/account.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/model.h"

#define MAX_IDLE_FILES 65536

struct iol_live {
    struct iol_this_host host;
    struct iol_capture *capture;
    struct iol_accounts *accounts;
    struct iol_model *model;
    struct iol_batch *batch;
    uint64_t epoch;
    size_t max_ended;
    struct iol_sweep swept;
    int failed; /* -errno of a record that could not be taken in */
};

static void take_record(void *arg, const void *data, size_t size)
{
    struct iol_live *live = arg;
    struct iol_decoded decoded;
    int r = iol_decode_record(data, size, &decoded);

    if (r == 0)
        r = iol_model_post(live->model, &decoded, live->batch);
    if (r < 0)
        live->failed = r;
}

static int open_core(struct iol_live *live)
{
    const struct iol_model_options model = {
        .host_id = live->host.id,
        .boot_id = live->host.boot_id,
        .all = !iol_capture_filters(live->capture),
        .running_ancestors = true,
        .max_idle_files = MAX_IDLE_FILES,
    };
    struct iol_account_kernel kernel;

    iol_epoch_kernel(live->capture, &kernel);
    live->max_ended = iol_epoch_max_ended(kernel.n_slots);
    live->model = iol_model_new(&model);
    live->batch = iol_batch_new();
    if (!live->model || !live->batch)
        return -ENOMEM;
    return iol_accounts_new(&kernel, live->host.id, &live->accounts);
}

int iol_live_open(const struct iol_capture_options *options, struct iol_live **ret_live, struct iol_error *err)
{
    struct iol_live *live = calloc(1, sizeof(*live));
    int r;

    if (!live)
        return iol_error_set(err, -ENOMEM, "out of memory");
    r = iol_host_read(&live->host, err);
    if (r == 0)
        r = iol_capture_open(options, &live->capture, err);
    if (r == 0 && open_core(live) < 0)
        r = iol_error_set(err, -ENOMEM, "out of memory");
    if (r < 0) {
        iol_live_free(live);
        return r;
    }
    *ret_live = live;
    return 0;
}

static int check(const struct iol_live *live, int r, struct iol_error *err)
{
    if (r == 0)
        r = live->failed;
    return r < 0 ? iol_error_set(err, r, "cannot go on: %s", strerror(-r)) : 0;
}

int iol_live_start(struct iol_live *live, struct iol_error *err)
{
    int r;

    iol_model_set_boot_offset(live->model, iol_host_boot_offset());
    r = iol_sweep_attach(&live->swept, live->capture, live->model, &live->batch, take_record, live, err);
    return r < 0 ? r : check(live, 0, err);
}

int iol_live_fd(const struct iol_live *live)
{
    return iol_capture_fd(live->capture);
}

int iol_live_step(struct iol_live *live, struct iol_error *err)
{
    iol_model_set_boot_offset(live->model, iol_host_boot_offset());
    return check(live, iol_capture_poll(live->capture, 0, take_record, live), err);
}

/* As a recording does it (docs/ARCHITECTURE.md, "Lost records"). */
static int sweep(struct iol_live *live)
{
    int r;

    if (!iol_sweep_is_due(&live->swept, iol_boot_ns(), iol_sweep_lost(live->capture, live->model)))
        return 0;
    r = iol_capture_poll(live->capture, 0, take_record, live);
    return r < 0 ? r : iol_sweep_run(&live->swept, live->capture, live->model, &live->batch, take_record, live);
}

int iol_live_post(struct iol_live *live, struct iol_error *err)
{
    struct iol_epoch epoch;
    int r = iol_epoch_end(live->capture, live->epoch + 1, NULL, &epoch);

    if (r < 0)
        return check(live, r, err);
    live->epoch++;
    iol_model_set_boot_offset(live->model, iol_host_boot_offset());
    r = iol_capture_poll(live->capture, 0, take_record, live);
    if (r == 0)
        r = sweep(live);
    if (r == 0)
        r = iol_accounts_post(live->accounts, &epoch, live->model, live->batch);
    if (r == 0)
        iol_model_trim(live->model, epoch.number, epoch.to_ns, iol_epoch_forget, live->capture);
    iol_accounts_settle(live->accounts);
    return check(live, r, err);
}

bool iol_live_crowded(const struct iol_live *live)
{
    struct iol_model_stats stats;

    iol_model_get_stats(live->model, &stats);
    return stats.ended_in_epoch >= live->max_ended;
}

struct iol_batch *iol_live_take(struct iol_live *live)
{
    struct iol_batch *next = iol_batch_new(), *taken = live->batch;

    if (!next)
        return NULL;
    live->batch = next;
    return taken;
}

static void mark_process(void *arg, int64_t id)
{
    iol_live_names_mark_process(arg, id);
}

static void mark_file(void *arg, int64_t id)
{
    iol_live_names_mark_file(arg, id);
}

void iol_live_mark(struct iol_live *live, struct iol_live_names *names)
{
    iol_model_each_process(live->model, mark_process, names);
    iol_model_each_file(live->model, mark_file, names);
}

size_t iol_live_accounts(const struct iol_live *live)
{
    struct iol_account_stats stats;

    iol_accounts_get_stats(live->accounts, &stats);
    return stats.in_use;
}

const char *iol_live_uncovered(const struct iol_live *live)
{
    return iol_capture_uncovered(live->capture, 0);
}

void iol_live_free(struct iol_live *live)
{
    if (!live)
        return;
    iol_accounts_free(live->accounts);
    iol_model_free(live->model);
    iol_batch_free(live->batch);
    iol_capture_close(live->capture);
    free(live);
}
