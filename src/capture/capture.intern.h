// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "abi/books.h"
#include "capture/capture.h"
#include "capture/probes.h"
#include "capture/ring.h"

#define IOL_CAPTURE_LINKS 16
#define IOL_CAPTURE_MAPS 48

struct iol_capture_map {
    char name[32]; /* '_' for each '.' */
    int fd;
};

/* Programs that have a hook, by descriptors of the object. */
struct iol_attached {
    int programs[IOL_CAPTURE_LINKS];
    size_t n;
};

struct iol_capture {
    struct bpf_object *object; /* NULL: the programs are not, or not any more, in the hands of libbpf */
    struct bpf_link *links[IOL_CAPTURE_LINKS];
    size_t n_links;
    struct iol_attached processes, counting;
    struct iol_ring *ring;
    struct iol_capture_map maps[IOL_CAPTURE_MAPS];
    size_t n_maps;

    char *folder;     /* in which all of it is pinned; NULL: it is not */
    char *books_name; /* struct iol_about, books */
    char *spool_name;
    int lock;     /* of the folder */
    bool resumed; /* taken over from an earlier recorder */
    bool fresh;   /* nothing was there to be taken over */
    bool whole;   /* the set of pins is complete */
    struct iol_books *books;
    struct iol_posted *posted;
    struct iol_fold *fold; /* of the pins, or the one below */
    struct iol_fold own_fold;
    uint64_t identity; /* see struct iol_about */

    struct iol_control *control;
    struct iol_account *slots;
    const struct iol_cpu *cpus;
    struct iol_thread *threads; /* IOL_THREADS, of which those are mapped that have, or had, an owner: see `owned` */
    __u64 owned[IOL_THREADS / IOL_OWNED_BITS]; /* of struct iol_control, when it was last looked at */
    struct iol_hand_back *hand_back;
    struct iol_task *task_places;
    size_t n_task_places;
    size_t n_slots;
    size_t n_cpus;

    int tasks_fd;
    int clock_program_fd;
    int hand_back_program_fd;
    int running_program_fd;
    const struct iol_clock *clock;
    bool preemptible; /* a thread may be preempted within a hook: see preempt.h */

    /* Updating a map of maps is how user space waits for running programs: see grace_period(). */
    int inner_fd;
    int outer_fd;

    uint32_t n_spare;
    uint32_t ring_bytes;
    uint32_t rules; /* the last generation of rules that there was */
    struct iol_clock_pair epoch_start;
    struct iol_settings settings;
    pid_t *pids; /* roots whose descendants are marked while attaching */
    size_t n_pids;
    pid_t command;
    pid_t excluded;
    const char *uncovered;     /* a route that the tracepoints do not tell of; NULL: none */
    struct iol_probes *probes; /* NULL: the set tracepoint */
    char why[IOL_PROBES_TEXT]; /* see iol_capture_probes() */
};

/* maps.c: a descriptor of the map, which belongs to the capture; -1: there is none of that name. */
int iol_capture_map(const struct iol_capture *capture, const char *name);

/* maps.c: takes the descriptor over, also when it fails: 0 or -errno. */
int iol_capture_add_map(struct iol_capture *capture, const char *name, int fd);
int iol_capture_take_maps(struct iol_capture *capture);  /* those of the object */
int iol_capture_map_memory(struct iol_capture *capture); /* control, slots, CPUs, and the books, if there are any */
int iol_capture_map_hand_back(struct iol_capture *capture);
int iol_capture_map_owned(
    struct iol_capture *capture); /* places of threads that have had an owner by now: 0 or -errno */
void iol_capture_drop_maps(struct iol_capture *capture);
size_t iol_capture_page_round(size_t size);

/* handback.c: all slots of maps that are new, so that low ones are used first and a scan stays short: 0 or -errno. */
int iol_capture_fill_slots(struct iol_capture *capture);

/*
 * pinned.c: locks the folder and takes over what is there. 0: it did; 1: nothing is there yet; -ESTALE: other programs, or
 * other options than those of this identity.
 */
int iol_capture_take_over(struct iol_capture *capture, const struct iol_capture_pin *pin, struct iol_error *err);

/* pinned.c: makes the books, and pins maps and programs before anything is attached; and what makes the set whole, after. */
int iol_capture_pin(struct iol_capture *capture, struct iol_error *err);
int iol_capture_complete(struct iol_capture *capture, struct iol_error *err);

/* settings.c: hash of everything that makes programs differ from others: what they are, and what they were told. */
uint64_t iol_capture_identity(const struct iol_capture *capture, const struct iol_capture_options *options,
                              const void *object, size_t object_size);

/* settings.c: syscall tables, filters and ids into the settings, before the load. */
int iol_capture_settings(struct iol_capture *capture, const struct iol_capture_options *options, struct iol_error *err);
int iol_capture_fill_filters(struct iol_capture *capture, const struct iol_capture_options *options,
                             struct iol_error *err);

/* attach.c: the programs of this probe set that the kernel has hooks for are loaded, the others not. */
int iol_capture_choose_programs(struct iol_capture *capture, enum iol_probe_set set, struct iol_error *err);

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

#define IOL_UNCOVERED_URING "io_uring" /* as iol_capture_uncovered() tells it */

/* handback.c: takes processes that are no more out of the map of processes. */
void iol_capture_forget_tasks(struct iol_capture *capture, const uint32_t *tgids, size_t n);

/* attach.c: gives up what holds the hooks; those that are pinned stay. */
void iol_capture_let_go(struct iol_capture *capture);

/* running.c: hands over the processes that run already, and marks those below the roots. */
int iol_capture_backfill(struct iol_capture *capture, iol_capture_record_fn *record, void *arg, struct iol_error *err);

/* Why a load failed, in words for a person: errno of the load, and what the machine lacks. */
int iol_capture_explain(int code, struct iol_error *err);
