// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/epoch.h"

#include "base/clock.h"
#include "base/error.h"
#include "core/model.h"

#define SWEEP_SOON_NS (1000UL * 1000 * 1000)
#define SWEEP_SELDOM_NS (300UL * 1000 * 1000 * 1000)
#define SWEEP_SHARE 50 /* a sweep takes no more than this part of the time, however many processes there are */

#define MAX_ENDED 16384
#define MIN_ENDED 64
#define ACCOUNTS_PER_ENDED 16
#define NAP_MIN_NS (500UL * 1000 * 1000) /* more than may pass between looks at two clocks */

uint64_t iol_sweep_lost(const struct iol_capture *capture, const struct iol_model *model)
{
    struct iol_model_stats stats;
    uint64_t lost;
    size_t n;
    const struct iol_cpu *cpus = iol_capture_cpus(capture, &n);

    iol_model_get_stats(model, &stats);
    lost = stats.made_up;
    for (size_t cpu = 0; cpu < n; cpu++)
        lost += cpus[cpu].lost[IOL_LOST_EVENTS] + cpus[cpu].lost[IOL_LOST_PROCESS_RECORDS] +
                cpus[cpu].lost[IOL_LOST_TASKS_FULL] + cpus[cpu].lost[IOL_LOST_TASKS_UNJUDGED];
    return lost;
}

bool iol_sweep_is_due(const struct iol_sweep *sweep, uint64_t now_ns, uint64_t lost)
{
    uint64_t gap = lost == sweep->lost ? SWEEP_SELDOM_NS : SWEEP_SOON_NS;

    if (gap < SWEEP_SHARE * sweep->took_ns)
        gap = SWEEP_SHARE * sweep->took_ns;
    return now_ns - sweep->began_ns >= gap;
}

static bool image_lives(void *arg, uint32_t pid, uint64_t image)
{
    return iol_capture_lives(arg, pid, image);
}

static void begin(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model)
{
    sweep->began_ns = iol_boot_ns();
    sweep->lost = iol_sweep_lost(capture, model);
    iol_model_sweep_begin(model);
}

/*
 * The records of a fork, exec or exit say more than the look at the processes: each that is on its way is waited for. An exit
 * comes before its process is taken out of the map, so that who is not there any more has told of it, if it could.
 */
static int end(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model, bool ask,
               struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg)
{
    int r;

    iol_capture_poll_all(capture, record, arg);
    if (ask) {
        iol_model_sweep_ask(model, image_lives, capture);
        iol_capture_poll_all(capture, record, arg);
    }
    r = iol_model_sweep_end(model, *batch);
    sweep->took_ns = iol_boot_ns() - sweep->began_ns;
    return r;
}

int iol_sweep_run(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model,
                  struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg)
{
    struct iol_error err = {0};
    int r;

    begin(sweep, capture, model);
    r = iol_capture_running(capture, record, arg, &err);
    /* without a look at the processes the model stays as it is: the next sweep may have more luck */
    return end(sweep, capture, model, r == 0, batch, record, arg);
}

int iol_sweep_exclude(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model, pid_t pid,
                      struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg)
{
    struct iol_error err = {0};
    int r;

    begin(sweep, capture, model);
    r = iol_capture_exclude(capture, pid, record, arg, &err);
    return end(sweep, capture, model, r == 0, batch, record, arg);
}

int iol_sweep_attach(struct iol_sweep *sweep, struct iol_capture *capture, struct iol_model *model,
                     struct iol_batch *const *batch, iol_capture_record_fn *record, void *arg, struct iol_error *err)
{
    int r;

    if (iol_capture_resumed(capture))
        return iol_capture_attach(capture, record, arg, err);
    begin(sweep, capture, model);
    r = iol_capture_attach(capture, record, arg, err);
    if (r < 0)
        return r;
    r = end(sweep, capture, model, false, batch, record, arg);
    return r < 0 ? iol_error_set(err, r, "out of memory") : 0;
}

void iol_naps_look(struct iol_naps *naps)
{
    uint64_t monotonic = iol_monotonic_ns(), now = iol_boot_ns(), ahead = now - monotonic;

    if (naps->looked_ns && ahead > naps->ahead_ns + NAP_MIN_NS) {
        if (!naps->slept_ns)
            naps->from_ns = naps->looked_ns;
        naps->slept_ns += ahead - naps->ahead_ns;
    }
    naps->ahead_ns = ahead;
    naps->looked_ns = now;
}

int iol_epoch_end(struct iol_capture *capture, uint64_t number, struct iol_naps *naps, struct iol_epoch *ret_epoch)
{
    struct iol_naps none = {0};
    struct iol_clock_pair from, to;
    struct iol_left_out left_out;
    unsigned int closed;
    int r;

    naps = naps ? naps : &none;
    iol_naps_look(naps);
    r = iol_capture_flip(capture, &closed, &from, &to);
    if (r < 0)
        return r;
    iol_capture_left_out(capture, &left_out);
    *ret_epoch = (struct iol_epoch){
        .number = number,
        .closed = closed,
        .from_jiffies = from.jiffies,
        .to_jiffies = to.jiffies,
        .from_ns = from.boot_ns,
        .to_ns = to.boot_ns,
        .slept_from_ns = naps->from_ns,
        .slept_ns = naps->slept_ns,
        .left_out_calls = left_out.calls,
        .left_out_processes = left_out.processes,
    };
    naps->slept_ns = 0;
    return 0;
}

size_t iol_epoch_max_ended(size_t n_slots)
{
    size_t most = n_slots / ACCOUNTS_PER_ENDED;

    if (most < MIN_ENDED)
        return MIN_ENDED;
    return most > MAX_ENDED ? MAX_ENDED : most;
}

static void remove_accounts(void *arg, const uint32_t *slots, size_t n)
{
    iol_capture_remove_accounts(arg, slots, n);
}

static void free_slots(void *arg, const uint32_t *slots, size_t n)
{
    iol_capture_free_slots(arg, slots, n);
}

void iol_epoch_forget(void *arg, const uint64_t *keys, size_t n)
{
    iol_capture_forget_files(arg, keys, n);
}

void iol_epoch_kernel(struct iol_capture *capture, struct iol_account_kernel *ret_kernel)
{
    *ret_kernel = (struct iol_account_kernel){
        .arg = capture,
        .remove_accounts = remove_accounts,
        .free_slots = free_slots,
        .mmap_events = iol_capture_events(capture) >> IOL_EVENT_MMAP & 1,
    };
    ret_kernel->slots = iol_capture_slots(capture, &ret_kernel->n_slots, &ret_kernel->first_spare);
    ret_kernel->cpus = iol_capture_cpus(capture, &ret_kernel->n_cpus);
    ret_kernel->threads = iol_capture_threads(capture, &ret_kernel->n_threads, &ret_kernel->owned);
}
