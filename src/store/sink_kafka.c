// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* A Kafka topic: one message a batch. A batch is stored when the brokers have acknowledged its message (acks=all). */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/batch.h"
#include "store/kafka.h"
#include "store/sink.h"
#include "store/sink_driver.h"
#include "store/time_text.h"

#define OPEN_MS 5000
#define POLL_MS 100
#define GROUP_MAX 64 /* messages that are in the hands of librdkafka at a time */

/* How long librdkafka tries by itself: the writer tries again, and says what is the matter meanwhile. */
#define MESSAGE_TIMEOUT_MS "5000"

/* What is too large is for the brokers to say: they see it compressed. */
#define MESSAGE_MAX_BYTES "1000000000"

struct kafka_sink {
    struct iol_sink sink;
    struct iol_kafka kafka;
    rd_kafka_t *producer; /* NULL: to be made anew */
    struct iol_time_text time_text;
    size_t outstanding; /* messages whose reports have not come */
    atomic_bool interrupted;
};

/* What became of a message. */
struct report {
    struct kafka_sink *sink;
    rd_kafka_resp_err_t error;
};

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
    struct report *report = message->_private;

    (void)producer;
    (void)opaque;
    report->error = message->err;
    report->sink->outstanding--;
}

static const char *const defaults[] = {
    "enable.idempotence",
    "true",
    "acks",
    "all",
    "message.timeout.ms",
    MESSAGE_TIMEOUT_MS,
    "message.max.bytes",
    MESSAGE_MAX_BYTES,
    "reconnect.backoff.max.ms",
    "1000",
    NULL,
};

/* The other format is compressed already. */
static int compress_json(struct iol_kafka *kafka, struct iol_error *err)
{
    char codec[16] = "", reason[128];
    size_t size = sizeof(codec);

    if (kafka->json && rd_kafka_conf_get(kafka->conf, "compression.codec", codec, &size) == RD_KAFKA_CONF_OK &&
        strcmp(codec, "none") == 0 &&
        rd_kafka_conf_set(kafka->conf, "compression.codec", "lz4", reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        return iol_error_set(err, -EINVAL, "librdkafka cannot compress: %s", reason);
    return 0;
}

static int open_producer(struct kafka_sink *sink, struct iol_error *err)
{
    int n, r = iol_kafka_new(&sink->kafka, RD_KAFKA_PRODUCER, &sink->producer, err);

    if (r == 0)
        r = iol_kafka_partitions(&sink->kafka, sink->producer, OPEN_MS, &n, err);
    return r;
}

static void close_producer(struct kafka_sink *sink)
{
    if (sink->producer)
        rd_kafka_destroy(sink->producer);
    sink->producer = NULL;
}

static void kafka_close(struct iol_sink *base)
{
    struct kafka_sink *sink = (struct kafka_sink *)base;

    close_producer(sink);
    iol_kafka_done(&sink->kafka);
    free(sink);
}

static int kafka_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                      struct iol_error *err)
{
    struct kafka_sink *sink = calloc(1, sizeof(*sink));

    if (!sink)
        return iol_error_set(err, -ENOMEM, "out of memory");
    sink->sink.ops = &iol_sink_kafka_ops;
    int r = iol_kafka_parse(url, options->verbose, defaults, &sink->kafka, err);
    if (r == 0)
        r = compress_json(&sink->kafka, err);
    if (r == 0) {
        rd_kafka_conf_set_dr_msg_cb(sink->kafka.conf, on_report);
        r = open_producer(sink, err);
    }
    if (r < 0) {
        kafka_close(&sink->sink);
        return r;
    }
    *ret_sink = &sink->sink;
    return 0;
}

/* Hands one batch to librdkafka: 0; or -errno, with *err unless the report has it. */
static int produce(struct kafka_sink *sink, const struct iol_batch *batch, struct report *report, struct iol_error *err)
{
    const struct iol_batch_row *row = batch->rows[IOL_TABLE_BATCH].data;
    void *data = NULL;
    char key[24];
    size_t size;
    int r = iol_kafka_encode(&sink->kafka, &sink->time_text, batch, &data, &size, err);

    if (r < 0)
        return r == -ENOMEM ? iol_error_set(err, -EAGAIN, "out of memory") : r;
    int n = snprintf(key, sizeof(key), "%" PRId64, row->host_id);
    *report = (struct report){.sink = sink};
    report->error =
        rd_kafka_producev(sink->producer, RD_KAFKA_V_TOPIC(sink->kafka.topic), RD_KAFKA_V_KEY(key, (size_t)n),
                          RD_KAFKA_V_VALUE(data, size), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_FREE),
                          RD_KAFKA_V_OPAQUE(report), RD_KAFKA_V_END);
    if (report->error != RD_KAFKA_RESP_ERR_NO_ERROR) {
        free(data);
        return iol_kafka_fail(&sink->kafka, report->error, "write to", err);
    }
    sink->outstanding++;
    return 0;
}

static void wait_for_reports(struct kafka_sink *sink)
{
    while (sink->outstanding > 0) {
        rd_kafka_poll(sink->producer, POLL_MS);
        if (atomic_exchange(&sink->interrupted, false))
            rd_kafka_purge(sink->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    }
}

/* How many from the first on have arrived, or -errno of the first. */
static ssize_t settle(struct kafka_sink *sink, const struct report *reports, size_t n, struct iol_error *err)
{
    char text[IOL_KAFKA_REASON_MAX];
    size_t arrived = 0;

    while (arrived < n && reports[arrived].error == RD_KAFKA_RESP_ERR_NO_ERROR)
        arrived++;
    /* An idempotent producer that has lost its place among the sequence numbers is of no use any more. */
    if (rd_kafka_fatal_error(sink->producer, text, sizeof(text)) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        close_producer(sink);
        if (arrived == 0)
            return iol_error_set(err, -EAGAIN, "cannot write to the Kafka topic %s: %s", sink->kafka.topic, text);
    }
    if (arrived > 0)
        return (ssize_t)arrived;
    int r = iol_kafka_fail(&sink->kafka, reports[0].error, "write to", err);
    return r == -ENOENT ? -EAGAIN : r; /* it was there when it was opened */
}

static ssize_t kafka_write_some(struct iol_sink *base, const struct iol_batch *const *batches, size_t n,
                                struct iol_error *err)
{
    struct kafka_sink *sink = (struct kafka_sink *)base;
    struct report reports[GROUP_MAX];
    struct iol_error reason = {0};
    size_t sent = 0;
    int r = 0;

    if (!sink->producer && open_producer(sink, err) < 0) {
        close_producer(sink);
        return -EAGAIN;
    }
    sink->kafka.reason[0] = '\0';
    while (sent < n && sent < GROUP_MAX && r == 0) {
        r = produce(sink, batches[sent], &reports[sent], &reason);
        sent += r == 0;
    }
    wait_for_reports(sink);
    if (sent > 0)
        return settle(sink, reports, sent, err);
    if (err)
        *err = reason;
    return r == -ENOENT ? -EAGAIN : r;
}

static int kafka_write(struct iol_sink *base, const struct iol_batch *batch, struct iol_error *err)
{
    ssize_t n = kafka_write_some(base, &batch, 1, err);

    return n < 0 ? (int)n : 0;
}

static void kafka_interrupt(struct iol_sink *base)
{
    atomic_store(&((struct kafka_sink *)base)->interrupted, true);
}

const struct iol_sink_ops iol_sink_kafka_ops = {
    .scheme = "kafka",
    .open = kafka_open,
    .write = kafka_write,
    .write_some = kafka_write_some,
    .interrupt = kafka_interrupt,
    .close = kafka_close,
};
