// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Records, epochs and slots while a recording runs. */
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "capture/capture.intern.h"
#include "capture/drain.h"

#define WHOLE_MS 1000 /* how long a program may take to write a record that it has begun */

static int read_clock(struct iol_capture *capture, struct iol_clock *ret_clock)
{
    LIBBPF_OPTS(bpf_test_run_opts, options);

    if (bpf_prog_test_run_opts(capture->clock_program_fd, &options) < 0)
        return -errno;
    ret_clock->jiffies = __atomic_load_n(&capture->clock->jiffies, __ATOMIC_RELAXED);
    ret_clock->boot_ns = __atomic_load_n(&capture->clock->boot_ns, __ATOMIC_RELAXED);
    ret_clock->tgid = __atomic_load_n(&capture->clock->tgid, __ATOMIC_RELAXED);
    return 0;
}

int iol_capture_start_clock(struct iol_capture *capture)
{
    struct iol_clock clock = {0};
    int r = read_clock(capture, &clock);

    if (r < 0)
        return r;
    __atomic_store_n(&capture->control->self_tgid, (uint32_t)clock.tgid, __ATOMIC_RELEASE);
    if (capture->resumed) {
        capture->epoch_start = (struct iol_clock_pair){capture->books->from_jiffies, capture->books->from_ns};
        return read_clock(capture, &clock); /* on_clock() forgets what the hot path took this thread for */
    }
    capture->epoch_start = (struct iol_clock_pair){clock.jiffies, clock.boot_ns};
    capture->control->epoch_start = clock.jiffies;
    return 0;
}

void iol_capture_grace_period(struct iol_capture *capture)
{
    const uint32_t zero = 0;

    /* the other way has programs left out for a moment: see enum iol_hand_back_step */
    if (capture->preemptible && syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0)
        return;
    if (capture->outer_fd >= 0)
        bpf_map_update_elem(capture->outer_fd, &zero, &capture->inner_fd, BPF_ANY);
}

static bool tab_is_of(const struct iol_tab *tab, uint64_t epoch)
{
    return tab->account && tab->account >> 32 == (uint32_t)epoch;
}

static bool used_in(const struct iol_thread *place, uint64_t epoch)
{
    for (size_t side = 0; side < IOL_SIDES; side++) {
        if (tab_is_of(&place->side[side].tab[epoch & 1], epoch))
            return true;
    }
    return false;
}

/* Before the epoch ends: its idle owners leave. A program that has found its thread to be the owner may still count. */
static void dismiss_owners(struct iol_capture *capture, uint64_t epoch)
{
    for (size_t i = 0; i < IOL_THREADS; i++) {
        struct iol_thread *place = &capture->threads[i];

        if (IOL_WAS_OWNED(capture->owned, i) && place->owner && !used_in(place, epoch))
            __atomic_store_n(&place->owner, IOL_OWNER_LEAVING, __ATOMIC_RELAXED);
    }
}

/* Once more, if it has been done in part: all values are absolute. */
static void do_fold(struct iol_capture *capture)
{
    struct iol_fold *fold = capture->fold;
    struct iol_tab *tab = &capture->threads[fold->place].side[fold->side].tab[fold->set];

    capture->slots[fold->slot].epoch[fold->set] = fold->counters;
    __atomic_store_n(&tab->account, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&fold->pending, 0, __ATOMIC_RELEASE);
}

/* The closed set of counters is ours: no program adds to it. */
static void settle_tab(struct iol_capture *capture, size_t place, uint64_t epoch, size_t side)
{
    const struct iol_side *from = &capture->threads[place].side[side];
    const struct iol_tab *tab = &from->tab[epoch & 1];
    uint64_t slot = IOL_TAB_SLOT(tab->account);
    struct iol_counters counters = capture->slots[slot].epoch[epoch & 1];

    if (counters.last < capture->epoch_start.jiffies || from->first[epoch & 1] < counters.first)
        counters.first = from->first[epoch & 1];
    if (counters.last < tab->last)
        counters.last = tab->last;
    if (side % IOL_SIDE_BEFORE == 0) {
        counters.read_ops += tab->sums.ops;
        counters.read_bytes += tab->sums.bytes;
        counters.read_errors += tab->sums.errors;
    } else {
        counters.write_ops += tab->sums.ops;
        counters.write_bytes += tab->sums.bytes;
        counters.write_errors += tab->sums.errors;
    }
    *capture->fold =
        (struct iol_fold){.place = place, .side = side, .set = epoch & 1, .slot = slot, .counters = counters};
    __atomic_store_n(&capture->fold->pending, 1, __ATOMIC_RELEASE);
    do_fold(capture);
}

/* After the epoch has ended and everybody who counted in it: its tabs go to the slots, and places whose owners left are free. */
static void settle_tabs(struct iol_capture *capture, uint64_t epoch)
{
    for (size_t i = 0; i < IOL_THREADS; i++) {
        struct iol_thread *place = &capture->threads[i];

        if (!IOL_WAS_OWNED(capture->owned, i))
            continue;
        for (size_t side = 0; side < IOL_SIDES; side++) {
            const struct iol_tab *tab = &place->side[side].tab[epoch & 1];

            if (tab_is_of(tab, epoch) && IOL_TAB_SLOT(tab->account) < capture->n_slots)
                settle_tab(capture, i, epoch, side);
        }
        if (place->owner == IOL_OWNER_LEAVING)
            __atomic_store_n(&place->owner, 0, __ATOMIC_RELEASE);
    }
}

int iol_capture_recover(struct iol_capture *capture)
{
    uint64_t epoch = capture->control->epoch;
    int r = iol_capture_map_owned(capture);

    if (r < 0)
        return r;
    capture->epoch_start = (struct iol_clock_pair){capture->books->from_jiffies, capture->books->from_ns};
    if (capture->fold->pending)
        do_fold(capture);
    /* it may have ended one, and not waited for those who counted in it */
    iol_capture_grace_period(capture);
    r = iol_capture_map_owned(capture);
    if (r == 0)
        settle_tabs(capture, epoch - 1);
    return r;
}

int iol_capture_flip(struct iol_capture *capture, unsigned int *ret_closed, struct iol_clock_pair *ret_from,
                     struct iol_clock_pair *ret_to)
{
    uint64_t epoch = capture->control->epoch;
    struct iol_clock clock = {0};
    int r = read_clock(capture, &clock);

    if (r < 0)
        return r;
    dismiss_owners(capture, epoch);
    __atomic_store_n(&capture->control->epoch_start, clock.jiffies, __ATOMIC_RELEASE);
    __atomic_store_n(&capture->control->epoch, epoch + 1, __ATOMIC_RELEASE);
    iol_capture_grace_period(capture);
    r = iol_capture_map_owned(capture);
    if (r < 0)
        return r;
    settle_tabs(capture, epoch);
    *ret_closed = epoch & 1;
    *ret_from = capture->epoch_start;
    *ret_to = (struct iol_clock_pair){clock.jiffies, clock.boot_ns};
    capture->epoch_start = *ret_to;
    return 0;
}

struct iol_clock_pair iol_capture_epoch_start(const struct iol_capture *capture)
{
    return capture->epoch_start;
}

void iol_capture_set_epoch_start(struct iol_capture *capture, const struct iol_clock_pair *start)
{
    capture->epoch_start = *start;
}

int iol_capture_poll(struct iol_capture *capture, int timeout_ms, iol_capture_record_fn *record, void *arg)
{
    iol_ring_wait(capture->ring, timeout_ms);
    /* the wake-up tells of a fill level; what came below it is taken too */
    iol_ring_read(capture->ring, record, arg);
    return 0;
}

void iol_capture_poll_all(struct iol_capture *capture, iol_capture_record_fn *record, void *arg)
{
    const uint64_t end = iol_ring_end(capture->ring);

    iol_ring_read(capture->ring, record, arg);
    for (int ms = 0; ms < WHOLE_MS && iol_ring_position(capture->ring) < end; ms++)
        iol_capture_poll(capture, 1, record, arg);
}

int iol_capture_fd(const struct iol_capture *capture)
{
    return iol_ring_fd(capture->ring);
}

uint64_t iol_capture_position(const struct iol_capture *capture)
{
    return iol_ring_position(capture->ring);
}

void iol_capture_release_records(struct iol_capture *capture, uint64_t position)
{
    iol_ring_release(capture->ring, position);
}

size_t iol_capture_ring_bytes(const struct iol_capture *capture)
{
    return capture->ring_bytes;
}

const struct iol_account *iol_capture_slots(const struct iol_capture *capture, size_t *ret_n, size_t *ret_first_spare)
{
    *ret_n = capture->n_slots;
    *ret_first_spare = capture->n_slots - capture->n_spare;
    return capture->slots;
}

const struct iol_cpu *iol_capture_cpus(const struct iol_capture *capture, size_t *ret_n)
{
    *ret_n = capture->n_cpus;
    return capture->cpus;
}

const struct iol_thread *iol_capture_threads(const struct iol_capture *capture, size_t *ret_n, const __u64 **ret_owned)
{
    *ret_n = IOL_THREADS;
    *ret_owned = capture->owned;
    return capture->threads;
}
