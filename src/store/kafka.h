// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * What the sink and the source of a Kafka topic share: the URL, and what librdkafka's errors mean.
 *
 *   kafka://BROKER[:PORT][,BROKER…]/TOPIC?format=binary|json&group=NAME&config=FILE&PROPERTY=VALUE…
 *
 * A message is one batch, and its key is the host's id in decimal. Its value is rows as JSON (json_rows.h), or a zstd frame (RFC 8878) of
 * the bytes of batch_bytes.h, which begin with their version: the first byte, { or 0x28, tells which.
 *
 * Any property of librdkafka may be given, in the URL or in FILE (lines of PROPERTY=VALUE), for example security.protocol.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stddef.h>

struct iol_batch;
struct iol_error;
struct iol_time_text;

#define IOL_KAFKA_REASON_MAX 256

struct iol_kafka {
    char *brokers, *topic, *group; /* group: NULL when none is given */
    bool json;
    rd_kafka_conf_t *conf;             /* of what is to be opened */
    char reason[IOL_KAFKA_REASON_MAX]; /* what librdkafka complained of last */
};

/*
 * Takes the URL apart; `defaults`, pairs of property and value that end with NULL, is what it may change. *kafka must not move any more:
 * librdkafka has its address. 0, or -EINVAL with *err; in either case it is to be done with.
 */
int iol_kafka_parse(const char *url, bool verbose, const char *const *defaults, struct iol_kafka *kafka,
                    struct iol_error *err);
void iol_kafka_done(struct iol_kafka *kafka);

/* Opens a producer or a consumer. 0, or -EINVAL with *err. */
int iol_kafka_new(struct iol_kafka *kafka, rd_kafka_type_t type, rd_kafka_t **ret_handle, struct iol_error *err);

/*
 * How many partitions the topic has. -EAGAIN: no broker can be reached, or none leads it; -ENOENT: there is no such topic; -EACCES; each
 * with *err.
 */
int iol_kafka_partitions(struct iol_kafka *kafka, rd_kafka_t *handle, int timeout_ms, int *ret_n,
                         struct iol_error *err);

/* -errno of an error as a sink means it: -EAGAIN is worth another try, -EACCES is one of rights, -EMSGSIZE and -EINVAL are final. */
int iol_kafka_fail(const struct iol_kafka *kafka, rd_kafka_resp_err_t error, const char *doing, struct iol_error *err);

/* A batch as a message's value, malloc'ed. 0; -ENOMEM; or -EINVAL with *err. */
int iol_kafka_encode(const struct iol_kafka *kafka, struct iol_time_text *cache, const struct iol_batch *batch,
                     void **ret_data, size_t *ret_size, struct iol_error *err);

/* The other way, whatever the format is. 0; -EBADMSG; -EPROTONOSUPPORT: of a newer version; -ENOMEM; all with *err about "it". */
int iol_kafka_decode(const void *data, size_t size, struct iol_batch **ret_batch, struct iol_error *err);
