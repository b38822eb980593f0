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

#define PATIENCE_S 2

struct iol_waiting {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const char *what, *told; /* under lock, as what follows */
    bool ended;
    bool terminal, shown;
    struct timespec started;
};

static void tell(struct iol_waiting *waiting, long elapsed)
{
    if (waiting->terminal) {
        fprintf(stderr, "\r\033[Kioledger: %s ... %ld s", waiting->what, elapsed);
        waiting->shown = true;
    } else if (waiting->told != waiting->what) {
        iol_log_info("%s ...", waiting->what);
        waiting->told = waiting->what;
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
    waiting->what = what;
    pthread_cond_signal(&waiting->changed);
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
