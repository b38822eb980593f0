// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "capture/capture.h"

#define IOL_CAPTURE_LINKS 16

struct iol_capture {
    struct bpf_object *object;
    struct bpf_link *links[IOL_CAPTURE_LINKS];
    size_t n_links;
    struct ring_buffer *ring;
    iol_capture_record_fn *record; /* where ring_sample() hands records to, during a poll */
    void *record_arg;

    struct iol_control *control;
    struct iol_account *slots;
    const struct iol_cpu *cpus;
    struct iol_thread *threads; /* IOL_THREADS */
    size_t n_slots;
    size_t n_cpus;

    int accounts_fd;
    int free_fd;
    int spare_fd;
    int files_fd;
    int tasks_fd;
    int clock_program_fd;
    int clock_fd;

    /* Updating a map of maps is how user space waits for running programs: see grace_period(). */
    int inner_fd;
    int outer_fd;

    uint32_t n_spare;
    uint32_t rules; /* the last generation of rules that there was */
    struct iol_clock_pair epoch_start;
    struct iol_settings settings;
    pid_t *pids; /* roots whose descendants are marked while attaching */
    size_t n_pids;
    pid_t command;
    pid_t excluded;
    const char *uncovered; /* see iol_capture_uncovered() */
};

/* settings.c: syscall tables, filters and ids into the settings, before the load. */
int iol_capture_settings(struct iol_capture *capture, const struct iol_capture_options *options, struct iol_error *err);
int iol_capture_fill_filters(struct iol_capture *capture, const struct iol_capture_options *options,
                             struct iol_error *err);

/* attach.c: the programs that this kernel has hooks for are loaded, the others not. */
void iol_capture_choose_programs(struct iol_capture *capture);

/* attach.c: what the tracepoint of completions says of a request. */
enum iol_uring {
    IOL_URING_ABSENT,  /* a kernel without io_uring */
    IOL_URING_UNKNOWN, /* not which one it is: before 5.19 */
    IOL_URING_6_12,    /* (ring, request, user_data, result, …) */
    IOL_URING_CQE,     /* (ring, request, cqe), from 6.13 on */
};
enum iol_uring iol_capture_uring(const struct btf *btf);

/* attach.c: whether what a thread's descriptors led to when it fell asleep can be noted: bpf_task_pt_regs(), 5.15. */
bool iol_capture_has_notes(void);

/* running.c: hands over the processes that run already, and marks those below the roots. */
int iol_capture_backfill(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err);

/* Why a load failed, in words for a person: errno of the load, and what the machine lacks. */
int iol_capture_explain(int code, struct iol_error *err);
