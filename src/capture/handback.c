// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What goes back to the kernel at the end of an interval, and the slots at the beginning, by a program that takes many at once: see enum iol_hand_back_step. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <bpf/bpf.h>

#include "capture/capture.intern.h"

/* The items are in place. How many of them were done; negative: none. */
static int64_t run(struct iol_capture *capture, enum iol_hand_back_step step, size_t n)
{
    LIBBPF_OPTS(bpf_test_run_opts, options);

    capture->hand_back->step = step;
    capture->hand_back->n = (uint32_t)n;
    capture->hand_back->done = 0;
    if (bpf_prog_test_run_opts(capture->hand_back_program_fd, &options) < 0)
        return -errno;
    return (int64_t)capture->hand_back->done;
}

static size_t at_most(size_t n, size_t most)
{
    return n < most ? n : most;
}

/* Items of `size` bytes, as many at a time as there is room for; all members of the union begin at one place. */
static void run_in_parts(struct iol_capture *capture, enum iol_hand_back_step step, const void *items, size_t size,
                         size_t n)
{
    for (size_t i = 0, some; i < n; i += some) {
        some = at_most(n - i, IOL_HAND_BACK_MAX);
        memcpy(capture->hand_back->files, (const char *)items + i * size, some * size);
        run(capture, step, some);
    }
}

void iol_capture_remove_accounts(struct iol_capture *capture, const uint32_t *slots, size_t n)
{
    if (n == 0)
        return;
    run_in_parts(capture, IOL_HAND_BACK_KEYS, slots, sizeof(*slots), n);
    /* what threads remember of the slots is void from here on */
    __atomic_add_fetch(&capture->control->retired, 1, __ATOMIC_RELEASE);
    __atomic_add_fetch(&capture->control->changes, IOL_CHANGE, __ATOMIC_RELEASE);
}

static bool is_spare(const struct iol_capture *capture, uint32_t slot)
{
    return slot >= capture->n_slots - capture->n_spare;
}

static void set_state(struct iol_capture *capture, const uint32_t *slots, size_t n, uint32_t state)
{
    for (size_t i = 0; capture->posted && i < n; i++)
        __atomic_store_n(&capture->posted[slots[i]].state, state, __ATOMIC_RELEASE);
}

int iol_capture_free_slots(struct iol_capture *capture, const uint32_t *slots, size_t n)
{
    /* who finds one pushed later does not know whether it is on the stack: it is lost then, rather than handed out twice */
    const size_t most = capture->posted ? 1 : IOL_HAND_BACK_MAX;
    int r = 0;

    for (size_t i = 0, some; i < n; i += some) {
        bool spare = is_spare(capture, slots[i]);

        for (some = 0; some < at_most(n - i, most) && is_spare(capture, slots[i + some]) == spare; some++)
            capture->hand_back->slots[some] = slots[i + some];
        set_state(capture, slots + i, some, IOL_POSTED_PUSHING);
        if (run(capture, spare ? IOL_HAND_BACK_SPARE : IOL_HAND_BACK_SLOTS, some) != (int64_t)some)
            r = -E2BIG;
        set_state(capture, slots + i, some, IOL_POSTED_FREE);
    }
    return r;
}

int iol_capture_fill_slots(struct iol_capture *capture)
{
    const uint32_t spare_from = (uint32_t)capture->n_slots - capture->n_spare;
    uint32_t at = (uint32_t)capture->n_slots;
    int r = iol_capture_map_hand_back(capture);

    while (r == 0 && at > IOL_ABI_ROUTE_SLOTS) {
        bool spare = at > spare_from;
        size_t some = at_most(at - (spare ? spare_from : IOL_ABI_ROUTE_SLOTS), IOL_HAND_BACK_MAX);
        int64_t done;

        for (size_t i = 0; i < some; i++)
            capture->hand_back->slots[i] = --at;
        done = run(capture, spare ? IOL_HAND_BACK_SPARE : IOL_HAND_BACK_SLOTS, some);
        if (done != (int64_t)some)
            r = done < 0 ? (int)done : -E2BIG;
    }
    return r;
}

void iol_capture_forget_files(struct iol_capture *capture, const uint64_t *keys, size_t n)
{
    run_in_parts(capture, IOL_HAND_BACK_FILES, keys, sizeof(*keys), n);
}

void iol_capture_forget_tasks(struct iol_capture *capture, const uint32_t *tgids, size_t n)
{
    run_in_parts(capture, IOL_HAND_BACK_TASKS, tgids, sizeof(*tgids), n);
}
