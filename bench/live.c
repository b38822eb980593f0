// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * What `top` costs when many accounts are open: `live IOLEDGER FOLDER FILES PROCESSES SLOTS ROUNDS`, as root. Each process
 * reads each of FOLDER/0 ..., so that PROCESSES * FILES accounts are open; then, with one in a hundred and with all of them
 * used again in each interval, it prints
 *
 *   post SHARE MS        CPU to end an interval and take it in: medians
 *   redraw GROUP MS MAX  CPU to work out a page of 200x50 and put it together, all accounts being used: median and maximum
 *   top SHARE PERCENT    CPU of the real program on a terminal of 200x50, one frame a second, of one core
 *   memory MB            its resident memory then
 */
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/live/live.h"
#include "app/live/names.h"
#include "app/live/page.h"
#include "app/live/top_page.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "core/batch.h"
#include "crowd.h"
#include "measure.h"

#define ROUNDS_MAX 101
#define STEP_FILES 20 /* read by each process between two looks at the ring buffer, while accounts are opened */
#define FRAMES 10     /* of the real program that are measured */
#define MARGIN 3      /* frames before them: it has opened its accounts by then */

struct readers {
    int *fds;
    size_t files;
    size_t *from, *to; /* shared: which files are read */
    size_t *one_in;    /* shared: every file, or one in so many */
};

struct looker {
    struct iol_live *live;
    struct iol_live_names *names;
    struct iol_live_pairs *pairs;
    struct iol_top top;
    struct iol_page page;
    uint64_t posted_ns;
};

static void fail(const char *what)
{
    fprintf(stderr, "live: %s\n", what);
    exit(1);
}

static void read_files(size_t index, void *arg)
{
    const struct readers *readers = arg;
    char byte;

    for (size_t i = *readers->from; i < *readers->to; i++) {
        if ((i + index) % *readers->one_in == 0)
            (void)!pread(readers->fds[i], &byte, 1, 0);
    }
}

/* A small piece at a time: each new account has a record to be taken in. */
static void read_all(struct crowd *crowd, struct readers *readers, struct looker *looker)
{
    struct iol_error err = {0};

    *readers->one_in = 1;
    for (*readers->from = 0; *readers->from < readers->files; *readers->from = *readers->to) {
        *readers->to = *readers->from + STEP_FILES < readers->files ? *readers->from + STEP_FILES : readers->files;
        crowd_turn(crowd);
        if (looker && iol_live_step(looker->live, &err) < 0)
            fail(err.text);
        if (!looker)
            usleep(20000); /* the program looks itself */
    }
    *readers->from = 0;
}

static void open_looker(struct looker *looker, uint32_t slots)
{
    const struct iol_capture_options options = {.max_accounts = slots,
                                                .kinds = ~(1U << IOL_ABI_KIND_PIPE | 1U << IOL_ABI_KIND_SOCKET)};
    struct iol_error err = {0};

    if (iol_live_open(&options, &looker->live, &err) < 0 || iol_live_start(looker->live, &err) < 0)
        fail(err.text);
    looker->names = iol_live_names_new();
    looker->pairs = iol_live_pairs_new(looker->names);
    looker->top.names = looker->names;
    looker->top.view = iol_view_new(looker->names, looker->pairs);
    looker->top.interval = iol_live_pairs_interval(looker->pairs);
    looker->posted_ns = iol_boot_ns();
}

/* As app/cmd_top.c does it. */
static double post(struct looker *looker)
{
    double cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    struct iol_error err = {0};
    struct iol_batch *batch;
    uint64_t now;

    if (iol_live_post(looker->live, &err) < 0)
        fail(err.text);
    now = iol_boot_ns();
    batch = iol_live_take(looker->live);
    for (size_t i = 0; i < batch->rows[IOL_TABLE_LOSS].count; i++)
        fprintf(stderr, "live: lost: %s\n", ((struct iol_loss *)batch->rows[IOL_TABLE_LOSS].data)[i].reason);
    if (iol_live_names_take(looker->names, batch) < 0 ||
        iol_live_pairs_take(looker->pairs, batch, now, iol_wall_ns(), now - looker->posted_ns) < 0)
        fail("no memory");
    iol_batch_free(batch);
    looker->posted_ns = now;
    return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / 1e6;
}

static double redraw(struct looker *looker)
{
    double cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);

    iol_page_clear(&looker->page, 200, 50, true);
    if (iol_top_page(&looker->top, &looker->page) < 0)
        fail("no memory");
    return (clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu) / 1e6;
}

static void measure_posts(struct looker *looker, struct crowd *crowd, struct readers *readers, size_t rounds)
{
    static const size_t shares[] = {100, 1};
    static double ms[ROUNDS_MAX];

    for (size_t i = 0; i < IOL_ARRAY_SIZE(shares); i++) {
        *readers->one_in = shares[i];
        for (size_t round = 0; round < rounds; round++) {
            crowd_turn(crowd);
            ms[round] = post(looker);
        }
        printf("post %zu %.2f\n", 100 / shares[i], median(ms, rounds));
    }
}

/* After measure_posts(): every account was used in the last interval. */
static void measure_redraws(struct looker *looker, size_t rounds)
{
    static double ms[ROUNDS_MAX];

    for (int group = 0; group < IOL_GROUP_COUNT; group++) {
        double most = 0;

        iol_view_set_group(looker->top.view, (enum iol_group)group);
        for (size_t round = 0; round < rounds; round++) {
            ms[round] = redraw(looker);
            most = ms[round] > most ? ms[round] : most;
        }
        printf("redraw %s %.2f %.2f\n", iol_top_group_name((enum iol_group)group), median(ms, rounds), most);
    }
    iol_view_set_group(looker->top.view, IOL_GROUP_PAIR);
    for (size_t round = 0; round < rounds; round++) {
        iol_view_set_filter(looker->top.view, round % 2 ? "7 1" : "7");
        ms[round] = redraw(looker);
    }
    printf("redraw filter-typed %.2f %.2f\n", median(ms, rounds), ms[rounds - 1]);
}

static void close_looker(struct looker *looker)
{
    iol_page_done(&looker->page);
    iol_view_free(looker->top.view);
    iol_live_pairs_free(looker->pairs);
    iol_live_names_free(looker->names);
    iol_live_free(looker->live);
}

/* Reads what the program draws, for so long, so that it never waits for its terminal. */
static void drain(int terminal, double ms)
{
    double end = clock_ns(CLOCK_MONOTONIC) + ms * 1e6, now;
    struct pollfd fd = {.fd = terminal, .events = POLLIN};
    char buf[65536];

    while ((now = clock_ns(CLOCK_MONOTONIC)) < end) {
        if (poll(&fd, 1, (int)((end - now) / 1e6) + 1) > 0 && read(terminal, buf, sizeof(buf)) <= 0)
            fail("top has ended");
    }
}

static double cpu_ms(pid_t pid)
{
    char path[64];
    unsigned long long ns = 0;
    FILE *from;

    snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
    from = fopen(path, "r");
    if (!from || fscanf(from, "%llu", &ns) != 1)
        fail("top has ended");
    fclose(from);
    return (double)ns / 1e6;
}

static double resident_mb(pid_t pid)
{
    unsigned long pages = 0;
    char path[64];
    FILE *from;

    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    from = fopen(path, "r");
    if (!from || fscanf(from, "%*u %lu", &pages) != 1)
        fail("top has ended");
    fclose(from);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static void measure_program(const char *program, const char *slots, struct crowd *crowd, struct readers *readers)
{
    static const size_t shares[] = {100, 1};
    struct winsize size = {.ws_row = 50, .ws_col = 200};
    int terminal, status;
    pid_t pid;

    signal(SIGCHLD, SIG_DFL);
    fflush(stdout);
    pid = forkpty(&terminal, NULL, NULL, &size);
    if (pid < 0)
        crowd_fail("forkpty");
    if (pid == 0) {
        setenv("TERM", "xterm-256color", 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        execl(program, "ioledger", "top", "--max-accounts", slots, NULL);
        crowd_fail(program);
    }
    drain(terminal, 3000);
    read_all(crowd, readers, NULL);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(shares); i++) {
        double before = 0, began = 0;

        *readers->one_in = shares[i];
        for (int frame = 0; frame < MARGIN + FRAMES; frame++) {
            if (frame == MARGIN) {
                before = cpu_ms(pid);
                began = clock_ns(CLOCK_MONOTONIC);
            }
            crowd_turn(crowd);
            drain(terminal, 1000);
        }
        printf("top %zu %.2f\n", 100 / shares[i],
               (cpu_ms(pid) - before) / ((clock_ns(CLOCK_MONOTONIC) - began) / 1e6) * 100);
    }
    printf("memory %.0f\n", resident_mb(pid));
    kill(pid, SIGTERM);
    close(terminal);
    waitpid(pid, &status, 0);
}

int main(int argc, char **argv)
{
    size_t processes = argc > 4 ? (size_t)atol(argv[4]) : 0, rounds = argc > 6 ? (size_t)atol(argv[6]) : 0;
    struct readers readers = {.files = argc > 3 ? (size_t)atol(argv[3]) : 0};
    struct looker looker = {0};
    struct crowd *crowd;
    size_t *shared;

    if (readers.files < 1 || processes < 1 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: live IOLEDGER FOLDER FILES PROCESSES SLOTS ROUNDS\n");
        return 2;
    }
    shared = crowd_shared(3 * sizeof(*shared));
    readers.from = &shared[0], readers.to = &shared[1], readers.one_in = &shared[2];
    readers.fds = crowd_open_files(argv[2], readers.files);
    crowd = crowd_start(processes, read_files, &readers);
    open_looker(&looker, (uint32_t)atol(argv[5]));
    read_all(crowd, &readers, &looker);
    post(&looker);
    printf("accounts %zu\n", iol_live_accounts(looker.live));
    measure_posts(&looker, crowd, &readers, rounds);
    measure_redraws(&looker, rounds);
    close_looker(&looker);
    measure_program(argv[1], argv[5], crowd, &readers);
    crowd_end(crowd);
    return 0;
}
