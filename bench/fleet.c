// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * fleet URL RECORDERS RATE SECONDS: so many recorders, a process each with a host of its own, the store's writer and a sink, put so many
 * rows of io a second into one database. Prints, when all of it is written:
 *
 *   ROWS SECONDS LEAST MOST RETRIES REJECTED
 *
 * LEAST and MOST are rows that one recorder had committed when the time was over and the rest was still in the queues.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "core/batch.h"
#include "measure.h"
#include "rows.h"
#include "store/sink.h"
#include "store/writer.h"

#define RECORDERS_MAX 1000
#define FILES 2000
#define PROCESSES 400
#define QUEUE_BYTES ((size_t)64 << 20)

struct shared {
    pthread_barrier_t barrier;
    struct one {
        uint64_t in_time, rows, retries, rejected;
        double seconds;
    } recorders[RECORDERS_MAX];
};

static void sleep_until(double ns)
{
    double rest = ns - clock_ns(CLOCK_MONOTONIC);

    if (rest > 0)
        nanosleep(&(struct timespec){(time_t)(rest / 1e9), (long)(rest - 1e9 * (double)(time_t)(rest / 1e9))}, NULL);
}

static int record(const char *url, struct shared *shared, size_t number, uint64_t rate, unsigned int seconds)
{
    const struct iol_sink_options sink_options = {0};
    const struct iol_writer_options options = {.max_bytes = QUEUE_BYTES, .give_up_after_ms = -1};
    struct rows rows = {.host_id = (int64_t)number + 1,
                        .random = number << 32,
                        .files = FILES,
                        .processes = PROCESSES,
                        .at_work = 50,
                        .total = rate * seconds,
                        .interval_ns = 1000000000};
    struct one *one = &shared->recorders[number];
    struct iol_writer_stats stats;
    struct iol_writer *writer = NULL;
    struct iol_sink *sink = NULL;
    struct iol_error err = {0};
    uint64_t unwritten = 0, before;

    rows.ts = (int64_t)clock_ns(CLOCK_REALTIME);
    /* All of them at once: the first ones create the tables. */
    if (iol_sink_open(url, &sink_options, &sink, &err) < 0 || iol_writer_new(sink, &options, &writer) < 0) {
        fprintf(stderr, "fleet: recorder %zu: %s\n", number, err.text);
        return 1;
    }
    iol_writer_put(writer, rows_names(&rows, 0, FILES));
    do {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        iol_writer_get_stats(writer, &stats);
    } while (stats.queued > 0);
    before = stats.rows;
    pthread_barrier_wait(&shared->barrier);
    double began = clock_ns(CLOCK_MONOTONIC);
    for (unsigned int second = 1; second <= seconds; second++) {
        /* Not all in the same moment: intervals of machines do not end together. */
        sleep_until(began + 1e9 * (second - 1) + 1e9 * (double)(number % 50) / 50);
        iol_writer_put(writer, rows_interval(&rows, rate));
    }
    sleep_until(began + 1e9 * seconds);
    iol_writer_get_stats(writer, &stats);
    one->in_time = stats.rows - before;
    int r = iol_writer_finish(writer, NULL, &unwritten, &err);
    one->seconds = (clock_ns(CLOCK_MONOTONIC) - began) / 1e9;
    iol_writer_get_stats(writer, &stats);
    one->rows = rows.made;
    one->retries = stats.retries;
    one->rejected = stats.rejected;
    if (r < 0 || stats.retries || stats.rejected)
        fprintf(stderr, "fleet: recorder %zu: %s\n", number, stats.last_error);
    iol_writer_free(writer);
    iol_sink_close(sink);
    return r < 0;
}

static void tell(const struct shared *shared, size_t n)
{
    struct one sum = {0}, least = {.in_time = UINT64_MAX};

    for (size_t i = 0; i < n; i++) {
        const struct one *one = &shared->recorders[i];
        sum.rows += one->rows;
        sum.retries += one->retries;
        sum.rejected += one->rejected;
        sum.seconds = one->seconds > sum.seconds ? one->seconds : sum.seconds;
        sum.in_time = one->in_time > sum.in_time ? one->in_time : sum.in_time;
        least.in_time = one->in_time < least.in_time ? one->in_time : least.in_time;
    }
    printf("%llu %.3f %llu %llu %llu %llu\n", (unsigned long long)sum.rows, sum.seconds,
           (unsigned long long)least.in_time, (unsigned long long)sum.in_time, (unsigned long long)sum.retries,
           (unsigned long long)sum.rejected);
}

int main(int argc, char **argv)
{
    size_t n = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    uint64_t rate = argc == 5 ? strtoull(argv[3], NULL, 10) : 0;
    unsigned int seconds = argc == 5 ? (unsigned int)strtoul(argv[4], NULL, 10) : 0;
    pthread_barrierattr_t attributes;
    int status, failed = 0;

    if (n == 0 || n > RECORDERS_MAX || rate == 0 || seconds == 0) {
        fprintf(stderr, "usage: fleet URL RECORDERS RATE SECONDS\n");
        return 2;
    }
    struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->barrier, &attributes, (unsigned int)n);
    fflush(NULL);
    for (size_t i = 0; i < n; i++) {
        pid_t child = fork();
        if (child < 0) {
            fprintf(stderr, "fleet: fork: %s\n", strerror(errno));
            return 1;
        }
        if (child == 0)
            _exit(record(argv[1], shared, i, rate, seconds));
    }
    while (wait(&status) > 0)
        failed += status != 0;
    tell(shared, n);
    return failed > 0;
}
