// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/waiting.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define PATIENCE_S 2
#define NS_PER_S 1000000000LL
#define REPEAT_NS (10 * NS_PER_S)

struct iol_waiting {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *what, *told; /* under lock, as what follows */
    bool ended;
    bool terminal, shown;
    uint64_t rows, rows_before; /* rows_before: at the beginning of the step */
    double part;                /* negative: not known */
    int64_t step_ns, told_ns;   /* when the step began, and when something was told */
    struct timespec started;
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ", 1.2M rows, 40K/s, 35 %, 12 s left"; nothing when no number is known. */
static void print_reached(const struct iol_waiting *waiting, int64_t now, char *buf, size_t size)
{
    double seconds = (double)(now - waiting->step_ns) / NS_PER_S;
    char rows[16], rate[16], left[32];
    int n = 0;

    buf[0] = '\0';
    if (waiting->rows > 0)
        n = snprintf(buf, size, ", %s rows, %s/s", iol_text_count(rows, sizeof(rows), waiting->rows),
                     iol_text_count(rate, sizeof(rate),
                                    (uint64_t)((double)(waiting->rows - waiting->rows_before) / (seconds + 0.001))));
    if (waiting->part > 0.01 && seconds > 1)
        snprintf(
            buf + n, size - (size_t)n, ", %.0f %%, %s left", 100 * waiting->part,
            iol_text_span(left, sizeof(left), (int64_t)(seconds * (1 - waiting->part) / waiting->part * NS_PER_S)));
}

static void tell(struct iol_waiting *waiting, long elapsed)
{
    int64_t now = now_ns();
    char reached[120];

    print_reached(waiting, now, reached, sizeof(reached));
    if (waiting->terminal) {
        fprintf(stderr, "\r\033[Kioledger: %s ... %ld s%s", waiting->what, elapsed, reached);
        waiting->shown = true;
    } else if (waiting->told != waiting->what || (reached[0] && now - waiting->told_ns >= REPEAT_NS)) {
        iol_log_info("%s ... %ld s%s", waiting->what, elapsed, reached);
        waiting->told = waiting->what;
        waiting->told_ns = now;
    }
}

static void *run(void *data)
{
    struct iol_waiting *waiting = data;

    pthread_mutex_lock(&waiting->lock);
    while (!waiting->ended) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        long elapsed = now.tv_sec - waiting->started.tv_sec;
        if (elapsed >= PATIENCE_S && waiting->what)
            tell(waiting, elapsed);
        now.tv_sec++;
        pthread_cond_timedwait(&waiting->changed, &waiting->lock, &now);
    }
    pthread_mutex_unlock(&waiting->lock);
    return NULL;
}

struct iol_waiting *iol_waiting_new(void)
{
    struct iol_waiting *waiting = calloc(1, sizeof(*waiting));
    pthread_condattr_t attributes;

    if (!waiting)
        return NULL;
    waiting->terminal = isatty(STDERR_FILENO);
    clock_gettime(CLOCK_MONOTONIC, &waiting->started);
    pthread_mutex_init(&waiting->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiting->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    if (pthread_create(&waiting->thread, NULL, run, waiting) == 0)
        return waiting;
    pthread_cond_destroy(&waiting->changed);
    pthread_mutex_destroy(&waiting->lock);
    free(waiting);
    return NULL;
}

void iol_waiting_step(struct iol_waiting *waiting, const char *what)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    if (waiting->what != what) {
        waiting->step_ns = now_ns();
        waiting->rows_before = waiting->rows;
        waiting->part = -1;
    }
    waiting->what = what;
    pthread_cond_signal(&waiting->changed);
    pthread_mutex_unlock(&waiting->lock);
}

void iol_waiting_reached(struct iol_waiting *waiting, uint64_t rows, double part)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    waiting->rows = rows;
    waiting->part = part;
    pthread_mutex_unlock(&waiting->lock);
}

void iol_waiting_clear(struct iol_waiting *waiting)
{
    if (!waiting)
        return;
    pthread_mutex_lock(&waiting->lock);
    if (waiting->shown)
        fputs("\r\033[K", stderr);
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
    if (waiting->shown)
        fputs("\r\033[K", stderr);
    pthread_cond_destroy(&waiting->changed);
    pthread_mutex_destroy(&waiting->lock);
    free(waiting);
}
