// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/clickhouse.intern.h"
#include "store/url.h"

#define HTTP_PORT "8123"
#define HTTPS_PORT "8443"
#define KEEP_DAYS_MAX 36500

static int complain(const char *text, struct iol_error *err)
{
    char shown[256];

    iol_error_set(err, -EINVAL, "'%s' is no ClickHouse URL", iol_url_redact(shown, sizeof(shown), text));
    iol_error_hint(err,
                   "write clickhouse://USER@HOST:PORT/DATABASE?OPTION=VALUE (or clickhouse+https://...), with special "
                   "characters as %%40 (@), %%2F (/), %%25 (%%); the password may also stand in CLICKHOUSE_PASSWORD");
    return -EINVAL;
}

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 : -1;
}

/* `length` bytes with %XX resolved, to be freed; NULL: a % without its digits, %00, or no memory. */
static char *decode(const char *from, size_t length)
{
    char *text = malloc(length + 1);
    size_t n = 0;

    for (size_t i = 0; text && i < length; i++) {
        char c = from[i];
        if (c == '%') {
            int high = i + 2 < length ? hex(from[i + 1]) : -1, low = i + 2 < length ? hex(from[i + 2]) : -1;
            if (i + 2 == length - 0 || high < 0 || low < 0 || high + low == 0) {
                free(text);
                return NULL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        text[n++] = c;
    }
    if (text)
        text[n] = '\0';
    return text;
}

static bool is_host(const char *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)from[i]) && !strchr(".-_:[]%", from[i]))
            return false;
    }
    return length > 0;
}

/* "a:1,b,[::1]:2" */
static int add_hosts(struct iol_ch_url *url, const char *from, size_t length)
{
    for (const char *end = from + length; from <= end && url->n_hosts < IOL_CH_HOSTS_MAX;) {
        size_t n = strcspn(from, ",/?");
        n = from + n > end ? (size_t)(end - from) : n;
        const char *bracket = memchr(from, ']', n);
        bool has_port = memchr(bracket ? bracket : from, ':', bracket ? n - (size_t)(bracket - from) : n);
        if (!is_host(from, n) || asprintf(&url->hosts[url->n_hosts], "%.*s%s%s", (int)n, from, has_port ? "" : ":",
                                          has_port     ? ""
                                          : url->https ? HTTPS_PORT
                                                       : HTTP_PORT) < 0)
            return -EINVAL;
        url->n_hosts++;
        from += n + 1;
    }
    return url->n_hosts > 0 ? 0 : -EINVAL;
}

static int parse_server(struct iol_ch_url *url, const char *from, size_t length)
{
    const char *at = memrchr(from, '@', length);

    if (at) {
        size_t n = (size_t)(at - from);
        const char *colon = memchr(from, ':', n);
        url->user = decode(from, colon ? (size_t)(colon - from) : n);
        url->password = colon ? decode(colon + 1, n - (size_t)(colon + 1 - from)) : NULL;
        if (!url->user || (colon && !url->password))
            return -EINVAL;
        length -= n + 1;
        from = at + 1;
    }
    return add_hosts(url, from, length);
}

/* A name that needs no quotes anywhere. */
static bool take_name(char *name, size_t size, const char *text)
{
    size_t length = strlen(text);

    if (length == 0 || length >= size || isdigit((unsigned char)text[0]))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (!isalnum((unsigned char)text[i]) && text[i] != '_')
            return false;
    }
    memcpy(name, text, length + 1);
    return true;
}

static int take_keep(struct iol_ch_layout *layout, const char *value, struct iol_error *err)
{
    char *end;
    unsigned long days = strtoul(value, &end, 10);

    if (!isdigit((unsigned char)value[0]) || (*end && strcmp(end, "d") != 0) || days == 0 || days > KEEP_DAYS_MAX) {
        iol_error_set(err, -EINVAL, "keep=%s is no number of days", value);
        iol_error_hint(err, "write keep=30d");
        return -EINVAL;
    }
    layout->keep_days = (unsigned int)days;
    return 0;
}

static int take_parameter(struct iol_ch_url *url, const char *key, const char *value, struct iol_error *err)
{
    if (strcmp(key, "cluster") == 0) {
        if (take_name(url->layout.cluster, sizeof(url->layout.cluster), value))
            return 0;
        return iol_error_set(err, -EINVAL, "cluster=%s: the name of a cluster is letters, digits and _", value);
    }
    if (strcmp(key, "replicated") == 0) {
        url->layout.replicated = strcmp(value, "1") == 0;
        if (url->layout.replicated || strcmp(value, "0") == 0)
            return 0;
        return iol_error_set(err, -EINVAL, "replicated=%s: it is 0 or 1", value);
    }
    if (strcmp(key, "keep") == 0)
        return take_keep(&url->layout, value, err);
    if (strcmp(key, "ca") == 0) {
        url->ca = strdup(value);
        return url->ca ? 0 : iol_error_set(err, -ENOMEM, "out of memory");
    }
    iol_error_set(err, -EINVAL, "'%s' is no option of a ClickHouse URL", key);
    iol_error_hint(err, "options are cluster=NAME, replicated=1, keep=30d and ca=FILE");
    return -EINVAL;
}

static int parse_query(struct iol_ch_url *url, const char *query, const char *whole, struct iol_error *err)
{
    while (*query) {
        size_t n = strcspn(query, "&"), key_length = strcspn(query, "=&");
        _cleanup_free_ char *key = decode(query, key_length);
        _cleanup_free_ char *value = key_length < n ? decode(query + key_length + 1, n - key_length - 1) : strdup("");
        if (!key || !value)
            return complain(whole, err);
        int r = n > 0 ? take_parameter(url, key, value, err) : 0;
        if (r < 0)
            return r;
        query += n + (query[n] == '&');
    }
    return 0;
}

static int parse_database(struct iol_ch_url *url, const char *from, size_t length, const char *whole,
                          struct iol_error *err)
{
    _cleanup_free_ char *name = decode(from, length);

    if (!name || strchr(name, '@')) /* the end of a password that was torn */
        return complain(whole, err);
    if (take_name(url->layout.database, sizeof(url->layout.database), *name ? name : "default"))
        return 0;
    iol_error_set(err, -EINVAL, "'%s' cannot be the name of the database of a ledger", name);
    iol_error_hint(err, "take letters, digits and _");
    return -EINVAL;
}

int iol_ch_url_parse(const char *text, struct iol_ch_url *ret_url, struct iol_error *err)
{
    const char *rest = iol_url_rest(text, "clickhouse+https"), *query;
    size_t length;

    *ret_url = (struct iol_ch_url){.https = rest != NULL};
    if (!rest)
        rest = iol_url_rest(text, "clickhouse");
    if (!rest || strncmp(rest, "//", 2) != 0)
        return complain(text, err);
    rest += 2;
    length = strcspn(rest, "/?");
    if (parse_server(ret_url, rest, length) < 0)
        return complain(text, err);
    rest += length;
    query = strchr(rest, '?');
    if (*rest == '/')
        rest++;
    int r = parse_database(ret_url, rest,
                           query && query >= rest ? (size_t)(query - rest)
                           : query                ? 0
                                                  : strlen(rest),
                           text, err);
    return r == 0 && query ? parse_query(ret_url, query + 1, text, err) : r;
}

void iol_ch_url_done(struct iol_ch_url *url)
{
    for (size_t i = 0; i < url->n_hosts; i++)
        free(url->hosts[i]);
    free(url->user);
    free(url->password);
    free(url->ca);
    *url = (struct iol_ch_url){0};
}

int iol_ch_layout_of(const char *url, struct iol_ch_layout *ret_layout, struct iol_error *err)
{
    struct iol_ch_url parsed;
    int r = iol_ch_url_parse(url, &parsed, err);

    if (r == 0)
        *ret_layout = parsed.layout;
    iol_ch_url_done(&parsed);
    return r;
}

/*
 * By https://clickhouse.com/docs/whats-new/changelog/ and the pages of earlier years: each from the first release with long support
 * that has it without a setting.
 */
void iol_ch_features_of(const char *version, struct iol_ch_features *ret_features)
{
    unsigned int year = 0, month = 0;

    if (sscanf(version, "%u.%u", &year, &month) != 2 || month > 99 || year > 99)
        year = month = 0;
    unsigned int v = year * 100 + month;
    *ret_features = (struct iol_ch_features){
        .version = v, .codecs = v >= 2003, .ttl = v >= 2003, .time64 = v >= 2008, .token = v >= 2203};
}
