// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/kafka.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "store/url.h"

#define AGAIN_MS 200

static void note_error(rd_kafka_t *handle, int error, const char *reason, void *opaque)
{
    struct iol_kafka *kafka = opaque;

    (void)handle;
    (void)error;
    iol_text_visible(kafka->reason, sizeof(kafka->reason), reason);
    char *state = strstr(kafka->reason, " (after "); /* of its own machinery */
    if (state)
        *state = '\0';
}

static void show_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    if (level <= LOG_INFO)
        iol_log_debug("librdkafka: %s: %s", facility, text);
}

static int bad_url(const char *url, struct iol_error *err)
{
    char shown[256];

    iol_error_set(err, -EINVAL, "'%s' is no Kafka URL", iol_url_redact(shown, sizeof(shown), url));
    iol_error_hint(
        err, "write kafka://BROKER:PORT,BROKER:PORT/TOPIC?format=json, with special characters as %%26 (&), %%25 (%%)");
    return -EINVAL;
}

/* %XX in place. False: that is none. */
static bool unescape(char *text)
{
    char *to = text;

    for (; *text; text++) {
        unsigned byte;
        if (*text == '%') {
            if (strspn(text + 1, "0123456789abcdefABCDEF") < 2 || sscanf(text + 1, "%2x", &byte) != 1 || byte == 0)
                return false;
            *to++ = (char)byte;
            text += 2;
        } else {
            *to++ = *text;
        }
    }
    *to = '\0';
    return true;
}

static bool is_topic(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(name);

    return length > 0 && length < 250 && strspn(name, allowed) == length && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int set_property(struct iol_kafka *kafka, const char *name, const char *value, struct iol_error *err)
{
    char reason[256];

    if (rd_kafka_conf_set(kafka->conf, name, value, reason, sizeof(reason)) == RD_KAFKA_CONF_OK)
        return 0;
    iol_error_set(err, -EINVAL, "the Kafka option '%.64s' cannot be set: %s", name, reason);
    iol_error_hint(err,
                   "options are format=, group=, config=, and the properties of librdkafka, as security.protocol=");
    return -EINVAL;
}

/* Lines of PROPERTY=VALUE, as Kafka's own tools take them: passwords do not belong on a command line. */
static int read_config(struct iol_kafka *kafka, const char *path, struct iol_error *err)
{
    FILE *file = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t size = 0;
    int r = 0;

    if (!file)
        return iol_error_set(err, -EINVAL, "cannot read the Kafka configuration %s: %s", path, strerror(errno));
    while (r == 0 && getline(&line, &size, file) > 0) {
        line[strcspn(line, "\r\n")] = '\0';
        char *name = line + strspn(line, " \t"), *value = strchr(name, '=');
        if (*name == '\0' || *name == '#')
            continue;
        if (!value) {
            r = iol_error_set(err, -EINVAL, "%s has a line that is no PROPERTY=VALUE", path);
            break;
        }
        *value++ = '\0';
        r = set_property(kafka, name, value, err);
    }
    fclose(file);
    return r;
}

static int set_format(struct iol_kafka *kafka, const char *value, struct iol_error *err)
{
    kafka->json = strcmp(value, "json") == 0;
    if (kafka->json || strcmp(value, "binary") == 0)
        return 0;
    iol_error_set(err, -EINVAL, "'%.32s' is no format of messages", value);
    iol_error_hint(err, "write format=binary or format=json");
    return -EINVAL;
}

static int take_option(struct iol_kafka *kafka, char *option, const char *url, struct iol_error *err)
{
    char *value = strchr(option, '=');

    if (!value)
        return bad_url(url, err);
    *value++ = '\0';
    if (!unescape(option) || !unescape(value))
        return bad_url(url, err);
    if (strcmp(option, "format") == 0)
        return set_format(kafka, value, err);
    if (strcmp(option, "config") == 0)
        return read_config(kafka, value, err);
    if (strcmp(option, "group") == 0 && *value) {
        free(kafka->group);
        kafka->group = strdup(value);
        return kafka->group ? 0 : iol_error_set(err, -ENOMEM, "out of memory");
    }
    return set_property(kafka, option, value, err);
}

static int parse(const char *url, char *rest, struct iol_kafka *kafka, struct iol_error *err)
{
    char *query = strchr(rest, '?'), *slash, *next;

    if (query)
        *query++ = '\0';
    slash = strchr(rest, '/');
    if (!slash || slash == rest || strchr(rest, '@'))
        return bad_url(url, err);
    *slash = '\0';
    if (!is_topic(slash + 1))
        return bad_url(url, err);
    kafka->brokers = strdup(rest);
    kafka->topic = strdup(slash + 1);
    if (!kafka->brokers || !kafka->topic)
        return iol_error_set(err, -ENOMEM, "out of memory");
    int r = set_property(kafka, "bootstrap.servers", kafka->brokers, err);
    for (char *option = query; option && *option && r == 0; option = next) {
        next = strchr(option, '&');
        if (next)
            *next++ = '\0';
        r = take_option(kafka, option, url, err);
    }
    return r;
}

int iol_kafka_parse(const char *url, bool verbose, const char *const *defaults, struct iol_kafka *kafka,
                    struct iol_error *err)
{
    const char *rest = iol_url_rest(url, "kafka");
    _cleanup_free_ char *copy = rest && strncmp(rest, "//", 2) == 0 ? strdup(rest + 2) : NULL;

    *kafka = (struct iol_kafka){.conf = rd_kafka_conf_new()};
    if (!copy)
        return bad_url(url, err);
    rd_kafka_conf_set_opaque(kafka->conf, kafka);
    rd_kafka_conf_set_error_cb(kafka->conf, note_error);
    rd_kafka_conf_set_log_cb(kafka->conf, verbose ? show_log : NULL);
    int r = set_property(kafka, "client.id", "ioledger", err);
    for (; *defaults && r == 0; defaults += 2)
        r = set_property(kafka, defaults[0], defaults[1], err);
    return r == 0 ? parse(url, copy, kafka, err) : r;
}

void iol_kafka_done(struct iol_kafka *kafka)
{
    if (kafka->conf)
        rd_kafka_conf_destroy(kafka->conf);
    free(kafka->brokers);
    free(kafka->topic);
    free(kafka->group);
}

int iol_kafka_new(struct iol_kafka *kafka, rd_kafka_type_t type, rd_kafka_t **ret_handle, struct iol_error *err)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_dup(kafka->conf); /* taken, unless it fails */
    rd_kafka_t *handle = rd_kafka_new(type, conf, reason, sizeof(reason));

    if (!handle) {
        rd_kafka_conf_destroy(conf);
        iol_error_set(err, -EINVAL, "librdkafka does not take these options: %s", reason);
        iol_error_hint(err, "look at what stands behind the ? of the URL, and at its config=");
        return -EINVAL;
    }
    *ret_handle = handle;
    return 0;
}

static int errno_of(rd_kafka_resp_err_t error)
{
    switch ((int)error) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
        return -EMSGSIZE;
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_COMPRESSION_TYPE:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
        return -EINVAL;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return -EACCES;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
        return -ENOENT;
    default:
        return -EAGAIN;
    }
}

int iol_kafka_fail(const struct iol_kafka *kafka, rd_kafka_resp_err_t error, const char *doing, struct iol_error *err)
{
    int code = errno_of(error);

    if (code == -EAGAIN && kafka->reason[0])
        iol_error_set(err, code, "cannot %s the Kafka topic %s: %s (%s)", doing, kafka->topic, rd_kafka_err2str(error),
                      kafka->reason);
    else
        iol_error_set(err, code, "cannot %s the Kafka topic %s: %s", doing, kafka->topic, rd_kafka_err2str(error));
    if (code == -EMSGSIZE)
        iol_error_hint(err,
                       "let the topic take larger messages (max.message.bytes there, message.max.bytes= in the URL), "
                       "write format=binary, or record with a shorter --interval");
    else if (code == -EACCES)
        iol_error_hint(err, "grant the user the right to do that, or connect as another one: config=FILE");
    else if (code == -ENOENT)
        iol_error_hint(err, "create it first: kafka-topics.sh --create --topic %s --partitions N", kafka->topic);
    else if (code == -EAGAIN)
        iol_error_hint(err, "is a broker running at %s?", kafka->brokers);
    return code;
}

static void pause_ms(int ms)
{
    const struct timespec delay = {.tv_nsec = ms * 1000000L};

    nanosleep(&delay, NULL);
}

static rd_kafka_resp_err_t ask_partitions(struct iol_kafka *kafka, rd_kafka_t *handle, int timeout_ms, int *ret_n)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(handle, kafka->topic, NULL);
    rd_kafka_resp_err_t error =
        topic ? rd_kafka_metadata(handle, 0, topic, &metadata, timeout_ms) : rd_kafka_last_error();

    if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
        error = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        *ret_n = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(metadata);
    }
    if (topic)
        rd_kafka_topic_destroy(topic);
    return error;
}

int iol_kafka_partitions(struct iol_kafka *kafka, rd_kafka_t *handle, int timeout_ms, int *ret_n, struct iol_error *err)
{
    rd_kafka_resp_err_t error;

    /* A broker that creates topics when somebody asks for them says at first that there is none. */
    for (int left_ms = timeout_ms;; left_ms -= AGAIN_MS) {
        error = ask_partitions(kafka, handle, timeout_ms, ret_n);
        rd_kafka_poll(handle, 0); /* for the reason */
        if (error == RD_KAFKA_RESP_ERR_NO_ERROR && *ret_n > 0)
            return 0;
        if (error == RD_KAFKA_RESP_ERR__TRANSPORT || error == RD_KAFKA_RESP_ERR__TIMED_OUT || left_ms <= 0)
            break;
        pause_ms(AGAIN_MS);
    }
    return iol_kafka_fail(kafka, error ? error : RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, "ask for", err);
}
