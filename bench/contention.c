// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * What a read costs while another CPU reads too: `contention FOLDER ROUNDS`, with files FOLDER/0 and FOLDER/1 of two pages at least. Prints
 * "SITUATION NS FLOOR_ADDS RECORD_ADDS" lines: medians of what a pread of 1 byte takes with nothing attached, and of what it takes more within
 * the same round with an empty program, and with the recorder's. Each reader has a descriptor and a page of its own, so that the kernel itself
 * shares as little as can be: what two readers of one file in one process share is the account.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "capture/capture.h"
#include "crowd.h"
#include "empty.h"
#include "measure.h"

#define ROUNDS_MAX 1001
#define READS 20000
#define WARM_READS 200
#define PAGE 4096
#define PROCESSES 2

/* Who reads: threads of the first process, and of the second. */
static const struct situation {
    const char *name;
    size_t threads[PROCESSES];
    bool two_files;
} situations[] = {
    {"alone", {1, 0}, false},
    {"threads_two_files", {2, 0}, true},
    {"threads_one_file", {2, 0}, false},
    {"processes_one_file", {1, 1}, false},
};

enum { SITUATIONS = IOL_ARRAY_SIZE(situations) };

enum state { NOTHING, FLOOR, RECORD, STATES };

struct shared {
    size_t situation;
    _Atomic size_t waiting; /* readers that have yet to come to the start */
    double ns[2];           /* of each reader, for one read */
};

struct reader {
    struct shared *shared;
    size_t index;
    int fd;
};

struct setup {
    struct shared *shared;
    struct iol_capture *capture;
    int floor;
    int fds[2][2]; /* [reader][file] */
};

static double ns[SITUATIONS][STATES][ROUNDS_MAX];

static void bind_to(size_t cpu)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0)
        crowd_fail("no second CPU");
}

static void read_some(const struct reader *reader, long n)
{
    char byte;

    for (long i = 0; i < n; i++)
        (void)!pread(reader->fd, &byte, 1, (off_t)(reader->index * PAGE));
}

static void *read_together(void *arg)
{
    const struct reader *reader = arg;
    double start;

    bind_to(reader->index);
    read_some(reader, WARM_READS);
    reader->shared->waiting--;
    while (reader->shared->waiting > 0)
        ;
    start = clock_ns(CLOCK_MONOTONIC);
    read_some(reader, READS);
    reader->shared->ns[reader->index] = (clock_ns(CLOCK_MONOTONIC) - start) / READS;
    return NULL;
}

static void take_part(size_t process, void *arg)
{
    const struct setup *setup = arg;
    const struct situation *situation = &situations[setup->shared->situation];
    size_t first = process > 0 ? situation->threads[0] : 0;
    struct reader readers[2];
    pthread_t threads[2];

    for (size_t i = 0; i < situation->threads[process]; i++) {
        size_t index = first + i;

        readers[i] = (struct reader){setup->shared, index, setup->fds[index][situation->two_files ? index : 0]};
        if (i > 0 && pthread_create(&threads[i], NULL, read_together, &readers[i]) != 0)
            crowd_fail("cannot start a thread");
    }
    if (situation->threads[process] > 0)
        read_together(&readers[0]);
    for (size_t i = 1; i < situation->threads[process]; i++)
        pthread_join(threads[i], NULL);
}

static void ignore_record(void *arg, const void *data, size_t size)
{
    (void)arg, (void)data, (void)size;
}

/* Nanoseconds for a read, the mean of all readers. */
static double turn(const struct setup *setup, struct crowd *crowd, size_t situation)
{
    const struct situation *one = &situations[situation];
    size_t readers = one->threads[0] + one->threads[1];
    double sum = 0;

    setup->shared->situation = situation;
    setup->shared->waiting = readers;
    crowd_turn(crowd);
    for (size_t i = 0; i < readers; i++)
        sum += setup->shared->ns[i];
    return sum / (double)readers;
}

/* All situations in one state: once to open accounts and fill caches, once to measure. */
static void measure(const struct setup *setup, struct crowd *crowd, enum state state, size_t round)
{
    struct iol_error err = {0};
    int link = -1;

    if (state == FLOOR && (link = bpf_raw_tracepoint_open("sys_exit", setup->floor)) < 0)
        crowd_fail("cannot attach an empty program");
    if (state == RECORD && iol_capture_attach(setup->capture, ignore_record, NULL, &err) < 0) {
        fprintf(stderr, "contention: %s\n", err.text);
        exit(1);
    }
    for (size_t i = 0; i < SITUATIONS; i++) {
        turn(setup, crowd, i);
        ns[i][state][round] = turn(setup, crowd, i);
    }
    if (link >= 0)
        close(link);
    if (state == RECORD) {
        iol_capture_detach(setup->capture);
        iol_capture_poll(setup->capture, 0, ignore_record, NULL);
    }
}

static void report(size_t rounds)
{
    for (size_t i = 0; i < SITUATIONS; i++) {
        for (enum state state = FLOOR; state < STATES; state++) {
            for (size_t round = 0; round < rounds; round++)
                ns[i][state][round] -= ns[i][NOTHING][round];
        }
        printf("%s %.1f %.1f %.1f\n", situations[i].name, median(ns[i][NOTHING], rounds), median(ns[i][FLOOR], rounds),
               median(ns[i][RECORD], rounds));
    }
}

static void open_files(struct setup *setup, const char *folder)
{
    for (size_t reader = 0; reader < 2; reader++) {
        int *fds = crowd_open_files(folder, 2);

        setup->fds[reader][0] = fds[0];
        setup->fds[reader][1] = fds[1];
        free(fds);
    }
}

int main(int argc, char **argv)
{
    const struct iol_capture_options options = {.max_accounts = 4096, .kinds = ~0U};
    size_t rounds = argc > 2 ? (size_t)atol(argv[2]) : 0;
    struct setup setup = {.shared = crowd_shared(sizeof(*setup.shared))};
    struct iol_error err = {0};
    struct crowd *crowd;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: contention FOLDER ROUNDS\n");
        return 2;
    }
    if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
        fprintf(stderr, "contention: needs two CPUs\n");
        return 1;
    }
    open_files(&setup, argv[1]);
    crowd = crowd_start(PROCESSES, take_part, &setup);
    if ((setup.floor = load_empty_program()) < 0)
        crowd_fail("cannot load an empty program");
    if (iol_capture_open(&options, &setup.capture, &err) < 0) {
        fprintf(stderr, "contention: %s\n", err.text);
        return 1;
    }
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < STATES; i++)
            measure(&setup, crowd, (enum state)(round % 2 ? STATES - 1 - i : i), round);
    }
    report(rounds);
    iol_capture_close(setup.capture);
    crowd_end(crowd);
    return 0;
}
