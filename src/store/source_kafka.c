// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * A Kafka topic, all of its partitions: from their beginnings, or, with a group, from where that has come to. What a group has come to is
 * told to the brokers only when the database has it, so that whatever ends in between reads some of it twice, and nothing never.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/kafka.h"
#include "store/source.intern.h"

#define ASK_MS 10000
#define POLL_MS 200
#define PATIENCE_MS 60000 /* with brokers that do not answer, unless it is to go on for ever */
#define GIVEN_MAX 1024    /* batches that were handed out and are not in the database yet */

struct partition {
    int64_t begin, next,
        end; /* offsets: of the first message to be read, of the next one, and behind the last that is known */
    bool at_end;
};

struct place {
    int32_t partition;
    int64_t offset;
};

struct kafka_source {
    struct iol_source source;
    struct iol_kafka kafka;
    rd_kafka_t *consumer;
    struct partition *partitions;
    int n;
    bool follow;
    int64_t heard_ms;              /* when a broker last answered */
    struct place given[GIVEN_MAX]; /* in a ring */
    size_t first_given, n_given;
};

static const char *const defaults[] = {
    "enable.auto.commit",
    "false",
    "enable.auto.offset.store",
    "false",
    "auto.offset.reset",
    "earliest", /* what was to be read is gone */
    "enable.partition.eof",
    "true",
    "isolation.level",
    "read_committed",
    "reconnect.backoff.max.ms",
    "1000",
    NULL,
};

static int nothing_now(struct kafka_source *source, struct iol_error *err)
{
    bool all = true;

    for (int i = 0; i < source->n; i++)
        all = all && source->partitions[i].at_end;
    if (all && !source->follow)
        return 0;
    if (!source->follow && iol_monotonic_ms() - source->heard_ms > PATIENCE_MS) {
        iol_kafka_fail(&source->kafka, RD_KAFKA_RESP_ERR__TIMED_OUT, "read", err);
        return -ETIMEDOUT;
    }
    return -EAGAIN;
}

static struct partition *partition_of(struct kafka_source *source, const rd_kafka_message_t *message)
{
    return message->partition >= 0 && message->partition < source->n ? &source->partitions[message->partition] : NULL;
}

static int take_error(struct kafka_source *source, const rd_kafka_message_t *message, struct iol_error *err)
{
    struct partition *partition = partition_of(source, message);

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF && partition) {
        partition->at_end = true;
        source->heard_ms = iol_monotonic_ms();
        return nothing_now(source, err);
    }
    int r = iol_kafka_fail(&source->kafka, message->err, "read", err);
    return r == -EAGAIN ? nothing_now(source, err) : r;
}

static int take_message(struct kafka_source *source, const rd_kafka_message_t *message, struct iol_batch **ret_batch,
                        struct iol_error *err)
{
    struct partition *partition = partition_of(source, message);
    struct iol_error reason = {0};
    struct iol_batch *batch = NULL;

    source->heard_ms = iol_monotonic_ms();
    if (partition) {
        partition->next = message->offset + 1;
        partition->at_end = false;
    }
    int r = iol_kafka_decode(message->payload, message->len, &batch, &reason);
    if (r == 0)
        r = iol_source_check(batch, &reason);
    if (r < 0) {
        iol_batch_free(batch);
        iol_error_set(err, r,
                      "the message at offset %" PRId64 " of partition %d of the Kafka topic %s cannot be read: %s",
                      message->offset, (int)message->partition, source->kafka.topic, reason.text);
        if (r == -EPROTONOSUPPORT)
            iol_error_hint(err, "a newer version of ioledger has written it: load the topic with that");
        return r;
    }
    size_t at = (source->first_given + source->n_given++) % GIVEN_MAX;
    source->given[at] = (struct place){message->partition, message->offset};
    *ret_batch = batch;
    return 1;
}

static int kafka_next(struct iol_source *base, struct iol_batch **ret_batch, struct iol_error *err)
{
    struct kafka_source *source = (struct kafka_source *)base;

    if (source->n_given == GIVEN_MAX)
        return -EAGAIN;
    rd_kafka_message_t *message = rd_kafka_consumer_poll(source->consumer, POLL_MS);
    if (!message)
        return nothing_now(source, err);
    int r = message->err ? take_error(source, message, err) : take_message(source, message, ret_batch, err);
    rd_kafka_message_destroy(message);
    return r;
}

static void kafka_place(const struct iol_source *base, char *buf, size_t size)
{
    const struct kafka_source *source = (const struct kafka_source *)base;
    const struct place *place = &source->given[(source->first_given + source->n_given + GIVEN_MAX - 1) % GIVEN_MAX];

    snprintf(buf, size, "offset %" PRId64 " of partition %d", place->offset, (int)place->partition);
}

static uint64_t sum(const struct kafka_source *source, bool read)
{
    uint64_t messages = 0;

    for (int i = 0; i < source->n; i++) {
        const struct partition *partition = &source->partitions[i];
        int64_t to = read || partition->next > partition->end ? partition->next : partition->end;
        messages += to > partition->begin ? (uint64_t)(to - partition->begin) : 0;
    }
    return messages;
}

static uint64_t kafka_at(const struct iol_source *base)
{
    return sum((const struct kafka_source *)base, true);
}

static uint64_t kafka_size(const struct iol_source *base)
{
    const struct kafka_source *source = (const struct kafka_source *)base;

    return source->follow ? 0 : sum(source, false);
}

static int kafka_stored(struct iol_source *base, size_t n, struct iol_error *err)
{
    struct kafka_source *source = (struct kafka_source *)base;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(source->n);
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR_NO_ERROR;

    for (size_t i = 0; i < n && source->n_given > 0; i++) {
        const struct place *place = &source->given[source->first_given];
        rd_kafka_topic_partition_t *partition =
            rd_kafka_topic_partition_list_find(list, source->kafka.topic, place->partition);
        if (!partition)
            partition = rd_kafka_topic_partition_list_add(list, source->kafka.topic, place->partition);
        partition->offset = place->offset + 1;
        source->first_given = (source->first_given + 1) % GIVEN_MAX;
        source->n_given--;
    }
    if (source->kafka.group && list->cnt > 0)
        error = rd_kafka_commit(source->consumer, list, 0);
    rd_kafka_topic_partition_list_destroy(list);
    if (error == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    return iol_error_set(err, -EAGAIN, "the group %s cannot be told how far it has come in the Kafka topic %s: %s",
                         source->kafka.group, source->kafka.topic, rd_kafka_err2str(error));
}

static void kafka_close(struct iol_source *base)
{
    struct kafka_source *source = (struct kafka_source *)base;

    if (source->consumer) {
        rd_kafka_consumer_close(source->consumer);
        rd_kafka_destroy(source->consumer);
    }
    iol_kafka_done(&source->kafka);
    free(source->partitions);
    free(source);
}

static const struct iol_source_ops kafka_ops = {
    .next = kafka_next,
    .place = kafka_place,
    .at = kafka_at,
    .size = kafka_size,
    .stored = kafka_stored,
    .close = kafka_close,
};

/* Where each partition is to be read from. */
static int find_offsets(struct kafka_source *source, rd_kafka_topic_partition_list_t *list, struct iol_error *err)
{
    rd_kafka_resp_err_t error =
        source->kafka.group ? rd_kafka_committed(source->consumer, list, ASK_MS) : RD_KAFKA_RESP_ERR_NO_ERROR;

    for (int i = 0; i < list->cnt && error == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        struct partition *partition = &source->partitions[i];
        error = rd_kafka_query_watermark_offsets(source->consumer, source->kafka.topic, i, &partition->begin,
                                                 &partition->end, ASK_MS);
        if (list->elems[i].offset < 0)
            list->elems[i].offset = RD_KAFKA_OFFSET_BEGINNING;
        else if (list->elems[i].offset > partition->begin)
            partition->begin = list->elems[i].offset;
        partition->next = partition->begin;
    }
    return error == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : iol_kafka_fail(&source->kafka, error, "read", err);
}

static int assign(struct kafka_source *source, struct iol_error *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(source->n);

    for (int i = 0; i < source->n; i++)
        rd_kafka_topic_partition_list_add(list, source->kafka.topic, i)->offset = RD_KAFKA_OFFSET_INVALID;
    int r = find_offsets(source, list, err);
    if (r == 0) {
        rd_kafka_resp_err_t error = rd_kafka_assign(source->consumer, list);
        r = error == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : iol_kafka_fail(&source->kafka, error, "read", err);
    }
    rd_kafka_topic_partition_list_destroy(list);
    return r;
}

static int open_consumer(struct kafka_source *source, const char *url, bool verbose, struct iol_error *err)
{
    char reason[256];
    int r = iol_kafka_parse(url, verbose, defaults, &source->kafka, err);

    /* librdkafka wants one; without a name from the URL nothing is ever told in its name. */
    if (r == 0 &&
        rd_kafka_conf_set(source->kafka.conf, "group.id", source->kafka.group ? source->kafka.group : "ioledger-load",
                          reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        r = iol_error_set(err, -EINVAL, "the group of the Kafka URL cannot be set: %s", reason);
    if (r == 0)
        r = iol_kafka_new(&source->kafka, RD_KAFKA_CONSUMER, &source->consumer, err);
    if (r < 0)
        return r;
    rd_kafka_poll_set_consumer(source->consumer);
    r = iol_kafka_partitions(&source->kafka, source->consumer, ASK_MS, &source->n, err);
    if (r < 0)
        return r;
    source->partitions = calloc((size_t)source->n, sizeof(*source->partitions));
    return source->partitions ? assign(source, err) : iol_error_set(err, -ENOMEM, "out of memory");
}

int iol_source_open_kafka(const char *url, bool follow, bool verbose, struct iol_source **ret_source,
                          struct iol_error *err)
{
    struct kafka_source *source = calloc(1, sizeof(*source));

    if (!source)
        return iol_error_set(err, -ENOMEM, "out of memory");
    source->follow = follow;
    source->heard_ms = iol_monotonic_ms();
    int r = open_consumer(source, url, verbose, err);
    if (r < 0) {
        kafka_close(&source->source);
        return r;
    }
    source->source = (struct iol_source){&kafka_ops, source->kafka.topic};
    *ret_source = &source->source;
    return 0;
}
