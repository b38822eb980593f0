// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Brokers on loopback: librdkafka's own mock cluster, which speaks Kafka's protocol over TCP. `kafkacluster BROKERS` prints their
 * addresses, and does what lines on stdin say, each of which it answers with "ok", until there are no more:
 *
 *   topic NAME PARTITIONS | down BROKER | up BROKER | rtt BROKER MS | errors API CODE COUNT
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static rd_kafka_resp_err_t obey(rd_kafka_mock_cluster_t *cluster, const char *line)
{
    char word[256];
    int a, b, c;

    if (sscanf(line, "topic %255s %d", word, &a) == 2)
        return rd_kafka_mock_topic_create(cluster, word, a, 1);
    if (sscanf(line, "down %d", &a) == 1)
        return rd_kafka_mock_broker_set_down(cluster, a);
    if (sscanf(line, "up %d", &a) == 1)
        return rd_kafka_mock_broker_set_up(cluster, a);
    if (sscanf(line, "rtt %d %d", &a, &b) == 2)
        return rd_kafka_mock_broker_set_rtt(cluster, a, b);
    if (sscanf(line, "errors %d %d %d", &a, &b, &c) == 3) {
        while (c-- > 0)
            rd_kafka_mock_push_request_errors(cluster, (int16_t)a, 1, (rd_kafka_resp_err_t)b);
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

int main(int argc, char **argv)
{
    char reason[256], line[512];
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *cluster;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, NULL); /* that it has no brokers to connect to, and so on */
    handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    cluster = argc == 2 && handle ? rd_kafka_mock_cluster_new(handle, atoi(argv[1])) : NULL;
    if (!cluster) {
        fprintf(stderr, "kafkacluster: %s\n", argc == 2 ? "it cannot be made" : "usage: kafkacluster BROKERS");
        return 1;
    }
    puts(rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        rd_kafka_resp_err_t error = obey(cluster, line);
        puts(error ? rd_kafka_err2name(error) : "ok");
        fflush(stdout);
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(handle);
    return 0;
}
