// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * How much slower a command is while ioledger records: `turns SECONDS DB PREPARE COMMAND`. COMMAND runs again and again, each time with nothing
 * attached, with an empty program, or with the recorder's, in an order that chance decides, once each in every round. A machine that gets slower
 * or faster within seconds does so for all three, if COMMAND takes a tenth of a second or less: runs of a recorder that is started anew for each
 * are many seconds apart. PREPARE runs before each of them; $TURN tells it which one it is, counted from 1.
 *
 * The recorder is the real one, with its pipeline and a database, and stays; its hooks come and go. All of a run is stored before the next one
 * begins. So what the recorder does later than the run that it is about, at the end of the interval, mostly, slows no run. Only of a COMMAND that
 * takes several intervals it is within the run.
 *
 * Prints "WALL_MS CPU_MS USER_MS" of nothing, floor and record, in a line for each round, and last "lost DETAILS".
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "app/epoch.h"
#include "app/pipeline.intern.h"
#include "app/record_options.h"
#include "base/clock.h"
#include "base/error.h"
#include "capture/capture.h"
#include "crowd.h"
#include "empty.h"
#include "measure.h"
#include "recorder.h"

#define INTERVAL_NS 1000000000
#define NS_PER_MS 1000000
#define WRITER_PAUSE_US 2000
#define SETTLE_US 5000 /* what the kernel puts off when hooks come and go */

enum state { NOTHING, FLOOR, RECORD, STATES };

struct run {
    double wall_ms, cpu_ms, user_ms;
};

struct turns {
    struct iol_pipeline *pipeline;
    int empty, link; /* the program of the floor; -1, or what attaches it */
    enum state state;

    /* the thread that runs commands asks the one that records for a state */
    int asked, answered; /* eventfd(2) */
    _Atomic enum state wanted;
    _Atomic bool ended;

    double seconds;
    const char *prepare, *command;
    unsigned int turn;
};

extern char **environ;

/* In a session of its own, as commands of another terminal are: the scheduler shares the CPUs between sessions. */
static pid_t start(const char *command)
{
    char *const argv[] = {(char[]){"sh"}, (char[]){"-ec"}, strdup(command), NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    pid_t pid = -1;

    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    errno = posix_spawn(&pid, "/bin/sh", &files, &attributes, argv, environ);
    if (errno)
        crowd_fail("cannot start sh");
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    free(argv[2]);
    return pid;
}

static double ms(const struct timeval *time)
{
    return (double)time->tv_sec * 1e3 + (double)time->tv_usec / 1e3;
}

static struct run run(const char *command)
{
    double began = clock_ns(CLOCK_MONOTONIC), wall_ms;
    struct rusage usage;
    int status;
    pid_t pid = start(command);

    if (wait4(pid, &status, 0, &usage) != pid)
        crowd_fail("cannot wait for sh");
    wall_ms = (clock_ns(CLOCK_MONOTONIC) - began) / NS_PER_MS;
    if (status != 0) {
        fprintf(stderr, "turns: wait status 0x%x of: %s\n", (unsigned int)status, command);
        exit(1);
    }
    return (struct run){wall_ms, ms(&usage.ru_utime) + ms(&usage.ru_stime), ms(&usage.ru_utime)};
}

static void tell(int fd)
{
    if (eventfd_write(fd, 1) < 0)
        crowd_fail("cannot write to an eventfd");
}

static void ask_for(struct turns *turns, enum state state)
{
    eventfd_t value;

    turns->wanted = state;
    tell(turns->asked);
    if (eventfd_read(turns->answered, &value) < 0)
        crowd_fail("cannot read an eventfd");
}

static struct run take_turn(struct turns *turns, enum state state)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", ++turns->turn);
    setenv("TURN", number, 1);
    run(turns->prepare);
    ask_for(turns, state);
    usleep(SETTLE_US);
    return run(turns->command);
}

static void *take_turns(void *arg)
{
    struct turns *turns = arg;
    enum state order[STATES] = {NOTHING, FLOOR, RECORD};
    struct run round[STATES];
    double end = clock_ns(CLOCK_MONOTONIC) + turns->seconds * 1e9;

    while (clock_ns(CLOCK_MONOTONIC) < end) {
        for (size_t i = STATES - 1; i > 0; i--) {
            size_t other = (size_t)random() % (i + 1);
            enum state last = order[i];

            order[i] = order[other];
            order[other] = last;
        }
        for (size_t i = 0; i < STATES; i++)
            round[order[i]] = take_turn(turns, order[i]);
        for (size_t i = 0; i < STATES; i++)
            printf("%.3f %.3f %.3f%c", round[i].wall_ms, round[i].cpu_ms, round[i].user_ms,
                   i < STATES - 1 ? ' ' : '\n');
    }
    ask_for(turns, NOTHING); /* the last run is stored too */
    turns->ended = true;
    tell(turns->asked);
    return NULL;
}

/* What ran before the hooks came back is known, and what has come since has ended: nothing new is told of. */
static void ignore_record(void *arg, const void *data, size_t size)
{
    (void)arg, (void)data, (void)size;
}

/* To attach begins an interval, but this one goes on. */
static void attach_again(struct iol_capture *capture)
{
    const struct iol_clock_pair began = iol_capture_epoch_start(capture);
    struct iol_error err = {0};

    if (iol_capture_attach(capture, ignore_record, NULL, &err) < 0)
        recorder_fail(&err);
    iol_capture_set_epoch_start(capture, &began);
}

/* Nothing of the run is left to be done. Both sets of counters are posted, as the last operations may be in either. */
static void store(struct turns *turns)
{
    struct iol_pipeline_stats stats;

    for (int set = 0; set < 2; set++)
        recorder_post(turns->pipeline);
    do {
        usleep(WRITER_PAUSE_US);
        iol_pipeline_get_stats(turns->pipeline, &stats);
    } while (stats.writer.waiting > 0);
}

static void change_state(struct turns *turns, enum state state)
{
    if (turns->state == RECORD) {
        store(turns);
        iol_capture_detach(turns->pipeline->capture);
    }
    if (turns->state == FLOOR)
        close(turns->link);
    if (state == FLOOR && (turns->link = bpf_raw_tracepoint_open("sys_exit", turns->empty)) < 0)
        crowd_fail("cannot attach an empty program");
    if (state == RECORD)
        attach_again(turns->pipeline->capture);
    turns->state = state;
}

/* As `record` does it, but for the states. */
static void record(struct turns *turns)
{
    uint64_t next = iol_boot_ns() + INTERVAL_NS;
    struct iol_error err = {0};
    eventfd_t value;

    while (!turns->ended) {
        uint64_t now = iol_boot_ns();
        struct pollfd fds[] = {
            {.fd = turns->asked, .events = POLLIN},
            {.fd = iol_pipeline_fd(turns->pipeline), .events = POLLIN},
        };

        if (poll(fds, 2, next > now ? (int)((next - now) / NS_PER_MS + 1) : 0) < 0)
            crowd_fail("cannot wait");
        if (fds[0].revents && eventfd_read(turns->asked, &value) == 0 && !turns->ended) {
            change_state(turns, turns->wanted);
            tell(turns->answered);
        }
        if (iol_pipeline_step(turns->pipeline, &err) < 0)
            recorder_fail(&err);
        if (iol_boot_ns() < next && !iol_pipeline_crowded(turns->pipeline))
            continue;
        recorder_post(turns->pipeline);
        next = iol_epoch_next_due(next, iol_boot_ns(), INTERVAL_NS);
    }
}

int main(int argc, char **argv)
{
    struct turns turns = {.link = -1, .empty = load_empty_program()};
    pthread_t thread;

    if (argc != 5 || (turns.seconds = atof(argv[1])) <= 0) {
        fprintf(stderr, "usage: turns SECONDS DB PREPARE COMMAND\n");
        return 2;
    }
    if (turns.empty < 0)
        crowd_fail("cannot load an empty program");
    turns.prepare = argv[3], turns.command = argv[4];
    turns.asked = eventfd(0, EFD_CLOEXEC), turns.answered = eventfd(0, EFD_CLOEXEC);
    if (turns.asked < 0 || turns.answered < 0)
        crowd_fail("eventfd");
    turns.pipeline = recorder_start(argv[2], IOL_RECORD_DEFAULT_ACCOUNTS, IOL_PROBES_TRACEPOINT);
    turns.state = RECORD;
    if (pthread_create(&thread, NULL, take_turns, &turns) != 0)
        crowd_fail("cannot start a thread");
    record(&turns);
    pthread_join(thread, NULL);
    printf("lost %" PRIu64 "\n", recorder_end(turns.pipeline));
    return 0;
}
