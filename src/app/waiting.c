// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/waiting.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define PATIENCE_S 2
#define NS_PER_S 1000000000LL
#define LEAST_WHAT 8 /* columns of what is being done, however narrow the terminal is */
#define CLEAR "\r\033[K"

struct iol_waiting {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*ask)(void *arg, struct iol_reached *ret_reached);
    void *arg;
    struct iol_reached reached; /* under lock, as what follows */
    uint64_t rows_before;       /* at the beginning of the step */
    uint64_t step_ns;           /* when it began */
    bool ended, shown;
    struct timespec started;
};

/* ", 1.2M rows, 40K/s, 35 %, 12 s left"; nothing when no number is known. */
static void print_reached(const struct iol_waiting *waiting, char *buf, size_t size)
{
    const struct iol_reached *reached = &waiting->reached;
    double seconds = (double)(iol_monotonic_ns() - waiting->step_ns) / NS_PER_S,
           part = reached->part < 1 ? reached->part : 1;
    char rows[16], rate[16], left[32];
    int n = 0;

    buf[0] = '\0';
    if (reached->rows > waiting->rows_before)
        n = snprintf(buf, size, ", %s rows, %s/s", iol_text_count(rows, sizeof(rows), reached->rows),
                     iol_text_count(rate, sizeof(rate),
                                    (uint64_t)((double)(reached->rows - waiting->rows_before) / (seconds + 0.001))));
    if (part > 0.01 && seconds > 1)
        snprintf(buf + n, size - (size_t)n, ", %.0f %%, %s left", 100 * part,
                 iol_text_span(left, sizeof(left), (int64_t)(seconds * (1 - part) / part * NS_PER_S)));
}

/* A line that wraps cannot be rewritten. */
static size_t columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : 79;
}

static void tell(struct iol_waiting *waiting, long elapsed)
{
    const char *what = waiting->reached.what;
    char reached[120], numbers[160], line[300];
    size_t taken, room;

    print_reached(waiting, reached, sizeof(reached));
    taken = (size_t)snprintf(numbers, sizeof(numbers), " ... %ld s%s", elapsed, reached) + strlen("ioledger: ");
    room = columns() > taken + LEAST_WHAT ? columns() - taken : LEAST_WHAT;
    snprintf(line, sizeof(line), "ioledger: %.*s%s", (int)iol_text_head(what, room), what, numbers);
    fprintf(stderr, CLEAR "%.*s", (int)iol_text_head(line, columns()), line);
    waiting->shown = true;
}

static void take(struct iol_waiting *waiting, const struct iol_reached *reached)
{
    if (waiting->reached.what != reached->what) {
        waiting->step_ns = iol_monotonic_ns();
        waiting->rows_before = waiting->reached.what ? reached->rows : 0;
    }
    waiting->reached = *reached;
}

static void *run(void *data)
{
    struct iol_waiting *waiting = data;

    pthread_mutex_lock(&waiting->lock);
    while (!waiting->ended) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        long elapsed = now.tv_sec - waiting->started.tv_sec;
        if (waiting->ask) {
            struct iol_reached reached = {.part = -1};

            waiting->ask(waiting->arg, &reached);
            take(waiting, &reached);
        }
        if (elapsed >= PATIENCE_S && waiting->reached.what)
            tell(waiting, elapsed);
        now.tv_sec++;
        pthread_cond_timedwait(&waiting->changed, &waiting->lock, &now);
    }
    pthread_mutex_unlock(&waiting->lock);
    return NULL;
}

/* The prompt is not to stand behind half a line. Whatever the command is at is undone or left as with any sudden end. */
static void on_interrupt(int signum)
{
    if (write(STDERR_FILENO, CLEAR, strlen(CLEAR)) < 0) {
        /* the terminal has gone */
    }
    raise(signum); /* SA_RESETHAND: as if nobody had caught it */
}

static void watch_interrupts(bool on)
{
    struct sigaction action = {.sa_handler = on ? on_interrupt : SIG_DFL,
                               .sa_flags = on ? SA_RESETHAND | SA_NODEFER : 0};
    struct sigaction now;

    /* a command that has a handler of its own knows what to do */
    if (sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == (on ? SIG_DFL : on_interrupt))
        sigaction(SIGINT, &action, NULL);
}

/* Signals are for the other threads. */
static bool start_thread(struct iol_waiting *waiting)
{
    sigset_t all, before;
    bool started;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    started = pthread_create(&waiting->thread, NULL, run, waiting) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

struct iol_waiting *iol_waiting_new_asking(void (*ask)(void *arg, struct iol_reached *ret_reached), void *arg)
{
    struct iol_waiting *waiting = isatty(STDERR_FILENO) ? calloc(1, sizeof(*waiting)) : NULL;
    pthread_condattr_t attributes;

    if (!waiting)
        return NULL;
    waiting->ask = ask;
    waiting->arg = arg;
    waiting->reached.part = -1;
    clock_gettime(CLOCK_MONOTONIC, &waiting->started);
    pthread_mutex_init(&waiting->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiting->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (start_thread(waiting)) {
        watch_interrupts(true);
        return waiting;
    }
    pthread_cond_destroy(&waiting->changed);
    pthread_mutex_destroy(&waiting->lock);
    free(waiting);
    return NULL;
}

struct iol_waiting *iol_waiting_new(void)
{
    return iol_waiting_new_asking(NULL, NULL);
}

void iol_waiting_step(struct iol_waiting *waiting, const char *what)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    if (waiting->reached.what != what) {
        take(waiting, &(struct iol_reached){.what = what, .rows = waiting->reached.rows, .part = -1});
        pthread_cond_signal(&waiting->changed);
    }
    pthread_mutex_unlock(&waiting->lock);
}

void iol_waiting_reached(struct iol_waiting *waiting, uint64_t rows, double part)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    waiting->reached.rows = rows;
    waiting->reached.part = part;
    pthread_mutex_unlock(&waiting->lock);
}

void iol_waiting_clear(struct iol_waiting *waiting)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    if (waiting->shown)
        fputs(CLEAR, stderr);
    waiting->shown = false;
    pthread_mutex_unlock(&waiting->lock);
}

void iol_waiting_free(struct iol_waiting *waiting)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    waiting->ended = true;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
    pthread_join(waiting->thread, NULL);
    iol_waiting_clear(waiting);
    watch_interrupts(false);
    pthread_cond_destroy(&waiting->changed);
    pthread_mutex_destroy(&waiting->lock);
    free(waiting);
}
