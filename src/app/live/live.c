// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "app/host.h"
#include "app/live/names.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/account.h"
#include "core/batch.h"
#include "core/decode.h"
#include "core/model.h"

#define MAX_IDLE_FILES 65536
#define ACCOUNTS_PER_ENDED 16 /* images that end in one interval: as in a recording */
#define MIN_ENDED 64
#define MAX_ENDED 16384

/* The model is compared with the processes that run: soon after records were lost, and once in a while. */
#define SWEEP_SOON_NS (1000UL * 1000 * 1000)
#define SWEEP_SELDOM_NS (300UL * 1000 * 1000 * 1000)
#define SWEEP_SHARE 50 /* a sweep takes no more than this part of the time */

struct iol_live {
    struct iol_this_host host;
    struct iol_capture *capture;
    struct iol_accounts *accounts;
    struct iol_model *model;
    struct iol_batch *batch;
    uint64_t epoch;
    size_t max_ended;
    uint64_t swept_ns, swept_lost, sweep_took_ns;
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

static int remove_account(void *arg, const struct iol_account_key *key, uint32_t slot)
{
    return iol_capture_remove_account(arg, key, slot);
}

static int free_slot(void *arg, uint32_t index)
{
    return iol_capture_free_slot(arg, index);
}

static void forget_file(void *arg, uint64_t key)
{
    iol_capture_forget_file(arg, key);
}

static bool image_lives(void *arg, uint32_t pid, uint64_t image)
{
    return iol_capture_lives(arg, pid, image);
}

static int open_core(struct iol_live *live, const struct iol_capture_options *options)
{
    const struct iol_model_options model = {
        .host_id = live->host.id,
        .boot_id = live->host.boot_id,
        .all = !iol_capture_filters(live->capture),
        .running_ancestors = true,
        .max_idle_files = MAX_IDLE_FILES,
    };
    struct iol_account_kernel kernel = {
        .arg = live->capture,
        .remove_account = remove_account,
        .free_slot = free_slot,
        .mmap_events = options->events >> IOL_EVENT_MMAP & 1,
    };

    kernel.slots = iol_capture_slots(live->capture, &kernel.n_slots, &kernel.first_spare);
    kernel.cpus = iol_capture_cpus(live->capture, &kernel.n_cpus);
    kernel.threads = iol_capture_threads(live->capture, &kernel.n_threads);
    live->max_ended = kernel.n_slots / ACCOUNTS_PER_ENDED;
    if (live->max_ended < MIN_ENDED)
        live->max_ended = MIN_ENDED;
    if (live->max_ended > MAX_ENDED)
        live->max_ended = MAX_ENDED;
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
    if (r == 0 && open_core(live, options) < 0)
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
    live->swept_ns = iol_host_boot_ns();
    r = iol_capture_attach(live->capture, take_record, live, err);
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

/* What a sweep can make up for. */
static uint64_t lost_processes(const struct iol_live *live)
{
    struct iol_model_stats stats;
    uint64_t lost;
    size_t n;
    const struct iol_cpu *cpus = iol_capture_cpus(live->capture, &n);

    iol_model_get_stats(live->model, &stats);
    lost = stats.made_up;
    for (size_t cpu = 0; cpu < n; cpu++)
        lost += cpus[cpu].lost[IOL_LOST_EVENTS] + cpus[cpu].lost[IOL_LOST_PROCESS_RECORDS] +
                cpus[cpu].lost[IOL_LOST_TASKS_FULL];
    return lost;
}

/* As a recording does it (docs/ARCHITECTURE.md, "Lost records"). */
static int sweep(struct iol_live *live)
{
    uint64_t now = iol_host_boot_ns(), lost = lost_processes(live);
    uint64_t gap = lost == live->swept_lost ? SWEEP_SELDOM_NS : SWEEP_SOON_NS;
    struct iol_error err = {0};
    int r;

    if (gap < SWEEP_SHARE * live->sweep_took_ns)
        gap = SWEEP_SHARE * live->sweep_took_ns;
    if (now - live->swept_ns < gap)
        return 0;
    live->swept_ns = now;
    live->swept_lost = lost;
    r = iol_capture_poll(live->capture, 0, take_record, live);
    if (r < 0)
        return r;
    iol_model_sweep_begin(live->model);
    r = iol_capture_running(live->capture, take_record, live, &err);
    iol_capture_poll(live->capture, 0, take_record, live);
    r = iol_model_sweep_end(live->model, r < 0 ? NULL : image_lives, live->capture, live->batch);
    live->sweep_took_ns = iol_host_boot_ns() - now;
    return r;
}

int iol_live_post(struct iol_live *live, struct iol_error *err)
{
    struct iol_clock_pair from, to;
    struct iol_epoch epoch;
    int r = iol_capture_flip(live->capture, &epoch.closed, &from, &to);

    if (r < 0)
        return check(live, r, err);
    epoch.number = ++live->epoch;
    epoch.from_jiffies = from.jiffies;
    epoch.to_jiffies = to.jiffies;
    epoch.from_ns = from.boot_ns;
    epoch.to_ns = to.boot_ns;
    epoch.left_out = iol_capture_left_out(live->capture);
    iol_model_set_boot_offset(live->model, iol_host_boot_offset());
    r = iol_capture_poll(live->capture, 0, take_record, live);
    if (r == 0)
        r = sweep(live);
    if (r == 0)
        r = iol_accounts_post(live->accounts, &epoch, live->model, live->batch);
    if (r == 0)
        iol_model_trim(live->model, epoch.number, epoch.to_ns, forget_file, live->capture);
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
