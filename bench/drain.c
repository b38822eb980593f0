// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * What it takes to end an interval: the recorder's own pipeline is called here, on a crowd's accounts.
 * `drain FOLDER FILES PROCESSES SLOTS ROUNDS`: each process reads each of FOLDER/0 ... once, so that PROCESSES * FILES accounts are
 * open, and intervals are ended after nothing, one in a hundred, and all of them was used again. Prints "SHARE CPU_MS WALL_MS"
 * lines, medians: CPU_MS is the work of the thread that captures; WALL_MS has the grace period too, in which it sleeps. The
 * rows go to /dev/null, by the writer's thread, and no interval is ended before that is through.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "crowd.h"
#include "measure.h"
#include "recorder.h"

#define ROUNDS_MAX 1001
#define WRITER_PAUSE_US 20000
#define STEP_FILES 50 /* read by each process between two looks at the ring buffer, while accounts are opened */

struct readers {
    int *fds;
    size_t files;
    size_t *from, *to; /* shared: which files are read */
    size_t *one_in;    /* shared: every file, or one in so many */
};

static const struct {
    const char *name;
    size_t one_in; /* 0: none */
} shares[] = {{"0", 0}, {"1", 100}, {"100", 1}};

enum { SHARES = IOL_ARRAY_SIZE(shares) };

static double cpu_ms[SHARES][ROUNDS_MAX], wall_ms[SHARES][ROUNDS_MAX];

static void read_files(size_t index, void *arg)
{
    const struct readers *readers = arg;
    char byte;

    for (size_t i = *readers->from; i < *readers->to; i++) {
        if ((i + index) % *readers->one_in == 0)
            (void)!pread(readers->fds[i], &byte, 1, 0);
    }
}

static void wait_for_writer(struct iol_pipeline *pipeline)
{
    struct iol_pipeline_stats stats;

    do {
        usleep(WRITER_PAUSE_US);
        iol_pipeline_get_stats(pipeline, &stats);
    } while (stats.writer.queued > 0);
}

static void end_interval(struct iol_pipeline *pipeline, double *ret_cpu_ms, double *ret_wall_ms)
{
    double cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID), wall = clock_ns(CLOCK_MONOTONIC);

    recorder_post(pipeline);
    *ret_cpu_ms = (clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / 1e6;
    *ret_wall_ms = (clock_ns(CLOCK_MONOTONIC) - wall) / 1e6;
    wait_for_writer(pipeline);
}

static void open_accounts(struct iol_pipeline *pipeline, struct crowd *crowd, struct readers *readers)
{
    struct iol_error err = {0};
    double cpu, wall;

    *readers->one_in = 1;
    for (*readers->from = 0; *readers->from < readers->files; *readers->from = *readers->to) {
        *readers->to = *readers->from + STEP_FILES < readers->files ? *readers->from + STEP_FILES : readers->files;
        crowd_turn(crowd);
        if (iol_pipeline_step(pipeline, &err) < 0)
            recorder_fail(&err);
    }
    *readers->from = 0;
    for (int i = 0; i < 3; i++) /* both sets of counters are posted, and memory has been touched */
        end_interval(pipeline, &cpu, &wall);
}

static void measure(struct iol_pipeline *pipeline, struct crowd *crowd, struct readers *readers, size_t rounds)
{
    for (size_t round = 0; round < rounds; round++) {
        for (size_t i = 0; i < SHARES; i++) {
            *readers->one_in = shares[i].one_in;
            if (shares[i].one_in)
                crowd_turn(crowd);
            end_interval(pipeline, &cpu_ms[i][round], &wall_ms[i][round]);
        }
    }
}

/* The accounts must be those that were meant: all open, none lost. */
static void check(struct iol_pipeline *pipeline, size_t accounts)
{
    struct iol_pipeline_stats stats;

    recorder_lost(pipeline);
    iol_pipeline_get_stats(pipeline, &stats);
    if (stats.accounts.in_use < accounts) {
        fprintf(stderr, "drain: %zu accounts are open, not %zu\n", stats.accounts.in_use, accounts);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    size_t processes = argc > 3 ? (size_t)atol(argv[3]) : 0, rounds = argc > 5 ? (size_t)atol(argv[5]) : 0;
    struct readers readers = {.files = argc > 2 ? (size_t)atol(argv[2]) : 0};
    struct iol_pipeline *pipeline;
    struct crowd *crowd;
    size_t *shared;

    if (readers.files < 1 || processes < 1 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: drain FOLDER FILES PROCESSES SLOTS ROUNDS\n");
        return 2;
    }
    shared = crowd_shared(3 * sizeof(*shared));
    readers.from = &shared[0], readers.to = &shared[1], readers.one_in = &shared[2];
    readers.fds = crowd_open_files(argv[1], readers.files);
    crowd = crowd_start(processes, read_files, &readers);
    pipeline = recorder_start("jsonl:/dev/null", (uint32_t)atol(argv[4]), IOL_PROBES_AUTO);
    open_accounts(pipeline, crowd, &readers);
    measure(pipeline, crowd, &readers, rounds);
    check(pipeline, processes * readers.files);
    for (size_t i = 0; i < SHARES; i++)
        printf("%s %.3f %.3f\n", shares[i].name, median(cpu_ms[i], rounds), median(wall_ms[i], rounds));
    recorder_end(pipeline);
    crowd_end(crowd);
    return 0;
}
