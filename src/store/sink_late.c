// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* A sink that is opened by the first write for which it can be: for a database that is away when the recording begins. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "store/sink.h"

struct late_sink {
    struct iol_sink sink;
    char *url;
    struct iol_sink_options options;
    pthread_mutex_t lock;  /* of `real`, for who interrupts */
    struct iol_sink *real; /* NULL: not open yet */
};

static struct iol_sink *real_of(struct late_sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    struct iol_sink *real = sink->real;
    pthread_mutex_unlock(&sink->lock);
    return real;
}

/* Whatever keeps it from being opened may be mended, and then nothing is lost: the batches wait. */
static ssize_t late_write_some(struct iol_sink *base, const struct iol_batch *const *batches, size_t n,
                               struct iol_error *err)
{
    struct late_sink *sink = (struct late_sink *)base;
    struct iol_sink *real = real_of(sink);

    if (!real) {
        if (iol_sink_open(sink->url, &sink->options, &real, err) < 0)
            return -EAGAIN;
        pthread_mutex_lock(&sink->lock);
        sink->real = real;
        pthread_mutex_unlock(&sink->lock);
    }
    return iol_sink_write_some(real, batches, n, err);
}

static int late_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    ssize_t n = late_write_some(base, &batch, 1, err);

    return n < 0 ? (int)n : 0;
}

static pid_t late_server_pid(const struct iol_sink *base)
{
    const struct late_sink *sink = (const struct late_sink *)base;

    return sink->real ? iol_sink_server_pid(sink->real) : 0;
}

static void late_interrupt(struct iol_sink *base)
{
    struct iol_sink *real = real_of((struct late_sink *)base);

    if (real)
        iol_sink_interrupt(real);
}

static void late_close(struct iol_sink *base)
{
    struct late_sink *sink = (struct late_sink *)base;

    iol_sink_close(sink->real);
    pthread_mutex_destroy(&sink->lock);
    free(sink->url);
    free(sink);
}

static const struct iol_sink_ops late_ops = {
    .scheme = "late",
    .write = late_write,
    .write_some = late_write_some,
    .server_pid = late_server_pid,
    .interrupt = late_interrupt,
    .close = late_close,
};

int iol_sink_open_late(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink)
{
    struct late_sink *sink = calloc(1, sizeof(*sink));

    if (!sink)
        return -ENOMEM;
    sink->url = strdup(url);
    if (!sink->url) {
        free(sink);
        return -ENOMEM;
    }
    sink->sink.ops = &late_ops;
    sink->options = *options;
    pthread_mutex_init(&sink->lock, NULL);
    *ret_sink = &sink->sink;
    return 0;
}
