// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"

const char *iol_url_rest(const char *url, const char *scheme)
{
    size_t length = strlen(scheme);

    return strncmp(url, scheme, length) == 0 && url[length] == ':' ? url + length + 1 : NULL;
}

bool iol_url_is_clickhouse(const char *url)
{
    return iol_url_rest(url, "clickhouse") || iol_url_rest(url, "clickhouse+https");
}

bool iol_url_is_postgres(const char *url)
{
    return iol_url_rest(url, "postgresql") || iol_url_rest(url, "postgres");
}

bool iol_url_is_kafka(const char *url)
{
    return iol_url_rest(url, "kafka");
}

bool iol_url_is_network(const char *url)
{
    return iol_url_is_postgres(url) || iol_url_is_clickhouse(url) || iol_url_is_kafka(url);
}

int iol_url_cannot_ask(const char *url, struct iol_error *err)
{
    char shown[256];

    if (iol_url_is_kafka(url)) {
        iol_error_set(err, -EOPNOTSUPP, "a Kafka topic can be written, not asked");
        iol_error_hint(err, "load it into a database, and ask that: ioledger load '%s' --db sqlite:ledger.db",
                       iol_url_redact(shown, sizeof(shown), url));
        return -EOPNOTSUPP;
    }
    if (!iol_url_rest(url, "jsonl"))
        return iol_url_unknown(url, err);
    iol_error_set(err, -EOPNOTSUPP, "a jsonl ledger can be written, not asked");
    iol_error_hint(err,
                   "read it with jq, or load it into a database, and ask that: ioledger load %s --db sqlite:ledger.db",
                   url + strlen("jsonl:"));
    return -EOPNOTSUPP;
}

int iol_url_path(const char *url, const char *scheme, const char **ret_path, struct iol_error *err)
{
    const char *path = iol_url_rest(url, scheme);

    if (!path || *path == '\0') {
        int code = iol_error_set(err, -EINVAL, "the database '%s:' names no file", scheme);
        iol_error_hint(err, "write --db %s:PATH, for example --db %s:ioledger.%s", scheme, scheme,
                       strcmp(scheme, "jsonl") == 0 ? "jsonl" : "db");
        return code;
    }
    *ret_path = path;
    return 0;
}

int iol_url_unknown(const char *url, struct iol_error *err)
{
    char shown[256];

    if (iol_url_is_clickhouse(url)) {
        iol_error_set(err, -EOPNOTSUPP, "this ioledger was built without ClickHouse");
        iol_error_hint(err, "install libcurl's development files (libcurl4-openssl-dev) and build it again");
        return -EOPNOTSUPP;
    }
    if (iol_url_is_kafka(url)) {
        iol_error_set(err, -EOPNOTSUPP, "this ioledger was built without Kafka");
        iol_error_hint(err, "install librdkafka's development files (librdkafka-dev) and build it again");
        return -EOPNOTSUPP;
    }
    int code = iol_error_set(err, -EINVAL, "'%s' names no database that ioledger knows",
                             iol_url_redact(shown, sizeof(shown), url));

    if (!strchr(url, ':') && *url != '\0' && strcmp(url, "-") != 0)
        iol_error_hint(err,
                       "for an SQLite file write --db sqlite:%s; else postgresql://USER@HOST/DB, clickhouse://HOST/DB "
                       "or jsonl:PATH",
                       shown);
    else
        iol_error_hint(err, "write --db sqlite:PATH, postgresql://USER@HOST/DB, clickhouse://HOST/DB or jsonl:PATH "
                            "(jsonl:- is stdout)");
    return code;
}

/*
 * The user's part ends at the last @ before the query, and the password in it begins at the first colon. That is
 * wider than what a URL allows unescaped, so that a password with a forgotten %40 or %2F in it is hidden whole.
 */
static bool find_password(const char *url, const char **ret_start, const char **ret_end)
{
    const char *start = strstr(url, "://");
    if (!start)
        return false;
    start += 3;

    const char *query = strstr(start, "?");
    const char *at = query ? memrchr(start, '@', (size_t)(query - start)) : strrchr(start, '@');
    if (!at)
        at = strchr(start, '@');
    const char *colon = at ? memchr(start, ':', (size_t)(at - start)) : NULL;
    if (!colon)
        return false;
    *ret_start = colon + 1;
    *ret_end = at;
    return true;
}

/* Ends of "password=..." and "sslpassword=..." in a query or a keyword list. */
static bool is_password_key(const char *url, const char *at)
{
    static const char key[] = "password=";

    return strncasecmp(at, key, strlen(key)) == 0 && at > url;
}

char *iol_url_redact(char *buf, size_t size, const char *url)
{
    const char *hide = NULL, *hide_end = NULL;
    size_t used = 0;

    find_password(url, &hide, &hide_end);
    for (const char *at = url; *at && used + 1 < size;) {
        const char *skip_to = NULL;
        if (at == hide) {
            skip_to = hide_end;
        } else if (at > url && at[-1] == '=' && at - url >= 10 && is_password_key(url, at - 9)) {
            skip_to = at + strcspn(at, "& ");
        }
        if (skip_to && skip_to > at) {
            int n = snprintf(buf + used, size - used, "***");
            used += (size_t)n < size - used ? (size_t)n : size - used - 1;
            at = skip_to;
            continue;
        }
        buf[used++] = *at++;
    }
    if (size > 0)
        buf[used] = '\0';
    return buf;
}
