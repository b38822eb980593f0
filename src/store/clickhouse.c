// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "store/clickhouse.intern.h"

#define CONNECT_SECONDS 10L
#define SILENT_SECONDS 60L /* no byte to or from a server that is given rows */
#define FIELDS_MAX 64
#define READ_ROWS 20480 /* by each thread, at least */
#define READ_BYTES                                                                                                     \
    16384 /* at once out of a column's file; a server takes 1 MB, and of what is asked for by index most of that in vain */

/* By src/Common/ErrorCodes.cpp of ClickHouse: numbers keep their meaning. */
enum {
    CH_UNEXPECTED_END = 3,
    CH_READ_AFTER_EOF = 32,
    CH_CANNOT_READ_ALL = 33,
    CH_CANNOT_READ_SOCKET = 95,
    CH_CANNOT_WRITE_SOCKET = 96,
    CH_UNKNOWN_PACKET = 100,
    CH_UNEXPECTED_PACKET_OF_CLIENT = 101,
    CH_UNEXPECTED_PACKET = 102,
    CH_DNS_ERROR = 198,
    CH_SYSTEM_ERROR = 425,
    CH_POCO_EXCEPTION = 1000,
    CH_STD_EXCEPTION = 1001,
    CH_UNKNOWN_EXCEPTION = 1002,
    CH_UNKNOWN_DATABASE = 81,
    CH_TIMEOUT_EXCEEDED = 159,
    CH_TOO_SLOW = 160,
    CH_READONLY = 164,
    CH_UNKNOWN_USER = 192,
    CH_WRONG_PASSWORD = 193,
    CH_REQUIRED_PASSWORD = 194,
    CH_IP_ADDRESS_NOT_ALLOWED = 195,
    CH_TOO_MANY_QUERIES = 202,
    CH_NO_FREE_CONNECTION = 203,
    CH_SOCKET_TIMEOUT = 209,
    CH_NETWORK_ERROR = 210,
    CH_SAME_QUERY_ID = 216,
    CH_TABLE_IS_DROPPED = 218,
    CH_NO_ZOOKEEPER = 225,
    CH_ABORTED = 236,
    CH_MEMORY_LIMIT = 241,
    CH_TABLE_IS_READ_ONLY = 242,
    CH_NOT_ENOUGH_SPACE = 243,
    CH_UNEXPECTED_ZOOKEEPER = 244,
    CH_TOO_MANY_PARTS = 252,
    CH_ALL_TRIES_FAILED = 279,
    CH_DATABASE_DENIED = 291,
    CH_TOO_FEW_REPLICAS = 285,
    CH_UNKNOWN_STATUS_OF_INSERT = 319,
    CH_QUERY_CANCELLED = 394,
    CH_ACCESS_DENIED = 497,
    CH_AUTHENTICATION_FAILED = 516,
    CH_KEEPER = 999,
};

struct iol_ch {
    struct iol_ch_url url;
    struct iol_ch_features features;
    char version[32];
    size_t host; /* the one in use */
    bool verbose;
    bool small_reads;
    CURL *curl;
    atomic_bool interrupted;
    char curl_error[CURL_ERROR_SIZE];

    /* Of the answer that comes. */
    const struct iol_ch_request *request;
    char *line; /* what of the last line has come, or of an error's text */
    size_t length, capacity;
    int row_error;
};

const struct iol_ch_features *iol_ch_features(const struct iol_ch *ch)
{
    return &ch->features;
}

const struct iol_ch_layout *iol_ch_layout(const struct iol_ch *ch)
{
    return &ch->url.layout;
}

const char *iol_ch_host(const struct iol_ch *ch)
{
    return ch->url.hosts[ch->host];
}

size_t iol_ch_hosts(const struct iol_ch *ch)
{
    return ch->url.n_hosts;
}

void iol_ch_use_host(struct iol_ch *ch, size_t number)
{
    ch->host = number;
}

void iol_ch_interrupt(struct iol_ch *ch)
{
    atomic_store(&ch->interrupted, true);
}

static int on_progress(void *data, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct iol_ch *ch = data;

    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return atomic_load(&ch->interrupted);
}

/* One field of TabSeparated in place: NULL for \N. */
static const char *unescape(char *field)
{
    char *to = field;

    if (strcmp(field, "\\N") == 0)
        return NULL;
    for (const char *from = field; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        static const char letters[] = "btnfrav0", bytes[] = "\b\t\n\f\r\a\v";
        const char *letter = *++from ? strchr(letters, *from) : NULL;
        if (!*from)
            break;
        *to++ = letter && *letter != '0' ? bytes[letter - letters] : *from;
    }
    *to = '\0';
    return field;
}

static int hand_over(struct iol_ch *ch, char *line)
{
    const char *fields[FIELDS_MAX];
    size_t n = 0;

    for (char *next = line; next && n < FIELDS_MAX;) {
        char *field = strsep(&next, "\t");
        fields[n++] = unescape(field);
    }
    return ch->request->row ? ch->request->row(ch->request->row_data, fields, n) : 0;
}

static bool keep(struct iol_ch *ch, const char *data, size_t size)
{
    if (ch->length + size + 1 > ch->capacity) {
        size_t capacity = (ch->length + size + 1) * 2;
        char *line = realloc(ch->line, capacity);
        if (!line)
            return false;
        ch->line = line;
        ch->capacity = capacity;
    }
    memcpy(ch->line + ch->length, data, size);
    ch->length += size;
    ch->line[ch->length] = '\0';
    return true;
}

/* Rows as they come; of an answer that is an error, its text. */
static size_t on_data(char *data, size_t one, size_t size, void *user)
{
    struct iol_ch *ch = user;
    long status = 0;
    size_t rest = size;

    (void)one;
    curl_easy_getinfo(ch->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return ch->length > 65536 || keep(ch, data, size) ? size : 0;
    for (char *newline; ch->row_error == 0 && (newline = memchr(data, '\n', rest));) {
        size_t n = (size_t)(newline - data);
        if (!keep(ch, data, n))
            ch->row_error = -ENOMEM;
        else
            ch->row_error = hand_over(ch, ch->line);
        ch->length = 0;
        data += n + 1;
        rest -= n + 1;
    }
    if (ch->row_error == 0 && rest > 0 && !keep(ch, data, rest))
        ch->row_error = -ENOMEM;
    return ch->row_error < 0 ? 0 : size;
}

static int errno_of(int code)
{
    switch (code) {
    case CH_NOT_ENOUGH_SPACE:
        return -ENOSPC;
    case CH_UNKNOWN_DATABASE:
    case CH_READONLY:
    case CH_UNKNOWN_USER:
    case CH_WRONG_PASSWORD:
    case CH_REQUIRED_PASSWORD:
    case CH_IP_ADDRESS_NOT_ALLOWED:
    case CH_DATABASE_DENIED:
    case CH_ACCESS_DENIED:
    case CH_AUTHENTICATION_FAILED:
        return -EACCES;
    case CH_UNEXPECTED_END: /* these: a shard that goes away in the middle */
    case CH_READ_AFTER_EOF:
    case CH_CANNOT_READ_ALL:
    case CH_CANNOT_READ_SOCKET:
    case CH_CANNOT_WRITE_SOCKET:
    case CH_UNKNOWN_PACKET:
    case CH_UNEXPECTED_PACKET_OF_CLIENT:
    case CH_UNEXPECTED_PACKET:
    case CH_DNS_ERROR:
    case CH_SYSTEM_ERROR:
    case CH_POCO_EXCEPTION:
    case CH_STD_EXCEPTION:
    case CH_UNKNOWN_EXCEPTION:
    case CH_TIMEOUT_EXCEEDED:
    case CH_TOO_SLOW:
    case CH_TOO_MANY_QUERIES:
    case CH_NO_FREE_CONNECTION:
    case CH_SOCKET_TIMEOUT:
    case CH_NETWORK_ERROR:
    case CH_SAME_QUERY_ID:
    case CH_TABLE_IS_DROPPED:
    case CH_NO_ZOOKEEPER:
    case CH_ABORTED:
    case CH_MEMORY_LIMIT:
    case CH_TABLE_IS_READ_ONLY:
    case CH_UNEXPECTED_ZOOKEEPER:
    case CH_TOO_MANY_PARTS:
    case CH_ALL_TRIES_FAILED:
    case CH_TOO_FEW_REPLICAS:
    case CH_UNKNOWN_STATUS_OF_INSERT:
    case CH_QUERY_CANCELLED:
    case CH_KEEPER:
        return -EAGAIN;
    default:
        return -EINVAL;
    }
}

/* "Code: 60, e.displayText() = DB::Exception: TEXT, e.what() = ..." or "Code: 60. DB::Exception: TEXT (NAME) (version ...)" */
static int answer_error(struct iol_ch *ch, long status, struct iol_error *err)
{
    static const char mark[] = "Exception: ", tries[] = "All connection tries failed. Log: \n\n";
    const char *text = ch->length > 0 ? ch->line : "";
    const char *doing = ch->request->doing;
    int code = 0;

    if (sscanf(text, "Code: %d", &code) != 1) {
        int r = status == 401 || status == 403 ? -EACCES : status >= 500 || status == 0 ? -EAGAIN : -EPROTO;
        iol_error_set(err, r, "cannot %s the ClickHouse database %s: the server at %s answers with HTTP status %ld",
                      doing, ch->url.layout.database, iol_ch_host(ch), status);
        iol_error_hint(
            err, "is it the HTTP interface of ClickHouse? Its port is 8123 as a rule (8443 for clickhouse+https)");
        return r;
    }
    const char *start = strstr(text, mark);
    text = start ? start + strlen(mark) : text;
    while (strncmp(text, mark, strlen(mark)) == 0)
        text += strlen(mark);
    const char *end = strstr(text, ", e.what()");
    if (!end)
        end = strstr(text, " (version ");
    if (strncmp(text, tries, strlen(tries)) == 0) /* what is behind it says why */
        text += strlen(tries);
    if (strncmp(text, "Code: ", 6) == 0 && strstr(text, mark))
        text = strstr(text, mark) + strlen(mark);
    int n = (int)strcspn(text, "\n");
    n = end && end - text < n ? (int)(end - text) : n;
    int r = errno_of(code);
    if (r == -ENOSPC)
        iol_error_set(err, r, "no space left for the ClickHouse database %s: %.*s", ch->url.layout.database, n, text);
    else
        iol_error_set(err, r, "cannot %s the ClickHouse database %s: %.*s (code %d)", doing, ch->url.layout.database, n,
                      text, code);
    if (code == CH_UNKNOWN_DATABASE)
        iol_error_hint(err, "create it: clickhouse-client --query 'CREATE DATABASE %s'", ch->url.layout.database);
    else if (r == -EACCES && (code == CH_READONLY || code == CH_ACCESS_DENIED))
        iol_error_hint(err, "grant the user the rights it needs, or connect as another one");
    else if (r == -EACCES)
        iol_error_hint(err, "check user and password in the URL, or in CLICKHOUSE_USER and CLICKHOUSE_PASSWORD");
    else if (r == -ENOSPC)
        iol_error_hint(err, "free some space on the disk of the server");
    return r;
}

static int curl_failure(struct iol_ch *ch, CURLcode code, struct iol_error *err)
{
    const char *why = ch->curl_error[0] ? ch->curl_error : curl_easy_strerror(code);
    int r = -EAGAIN;

    ch->host = (ch->host + (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)) % ch->url.n_hosts;
    if (ch->row_error < 0)
        return ch->row_error == -ENOMEM ? iol_error_set(err, -ENOMEM, "out of memory") : ch->row_error;
    if (code == CURLE_ABORTED_BY_CALLBACK)
        why = "interrupted";
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
        code == CURLE_UNSUPPORTED_PROTOCOL)
        r = -EACCES;
    iol_error_set(err, r, "cannot %s ClickHouse at %s: %s", ch->request->doing, iol_ch_host(ch), why);
    if (r == -EACCES)
        iol_error_hint(err, "?ca=FILE at the end of the URL names the authority that signed the server's certificate");
    else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        iol_error_hint(err, "is the server running there, and does it accept connections?");
    return r;
}

static void add_parameter(FILE *out, struct iol_ch *ch, const char *key, const char *value)
{
    char *escaped = curl_easy_escape(ch->curl, value, 0);

    fprintf(out, "&%s=%s", key, escaped ? escaped : "");
    curl_free(escaped);
}

/*
 * One piece of rows is one block, which arrives as a whole or not at all; over shards, when the answer comes it is there. The
 * answer comes when it is complete: what fails in the middle is no half of an answer.
 */
static char *make_url(struct iol_ch *ch, const struct iol_ch_request *request, bool sql_in_url)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    fprintf(out, "%s://%s/?wait_end_of_query=1&buffer_size=1048576", ch->url.https ? "https" : "http", iol_ch_host(ch));
    if (request->data || strncmp(request->sql, "INSERT ", 7) == 0) /* a user who may only read may set nothing */
        fputs("&insert_distributed_sync=1&max_insert_block_size=1048576", out);
    else if (ch->small_reads)
        fprintf(out, "&max_read_buffer_size=%d&merge_tree_min_rows_for_concurrent_read=%d", READ_BYTES, READ_ROWS);
    add_parameter(out, ch, "database", ch->url.layout.database);
    if (request->query_id)
        add_parameter(out, ch, "query_id", request->query_id);
    if (request->token && ch->features.token)
        add_parameter(out, ch, "insert_deduplication_token", request->token);
    if (request->n_ids > 0 || request->ids)
        fputs("&ids_format=RowBinary&ids_structure=id%20Int64", out);
    if (sql_in_url)
        add_parameter(out, ch, "query", request->sql);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static curl_mime *make_mime(struct iol_ch *ch, const struct iol_ch_request *request)
{
    curl_mime *mime = curl_mime_init(ch->curl);
    curl_mimepart *part = mime ? curl_mime_addpart(mime) : NULL;

    if (!part || curl_mime_name(part, "ids") != CURLE_OK || curl_mime_filename(part, "ids") != CURLE_OK ||
        curl_mime_data(part, (const char *)request->ids, request->n_ids * sizeof(*request->ids)) != CURLE_OK) {
        curl_mime_free(mime);
        return NULL;
    }
    return mime;
}

static void set_body(struct iol_ch *ch, const struct iol_ch_request *request, curl_mime *mime)
{
    if (mime) {
        curl_easy_setopt(ch->curl, CURLOPT_MIMEPOST, mime);
        return;
    }
    curl_easy_setopt(ch->curl, CURLOPT_POST, 1L);
    curl_easy_setopt(ch->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t)(request->data ? request->size : strlen(request->sql)));
    curl_easy_setopt(ch->curl, CURLOPT_POSTFIELDS, request->data ? request->data : request->sql);
}

static void set_options(struct iol_ch *ch, const struct iol_ch_request *request, const char *url)
{
    const char *user = ch->url.user ? ch->url.user : getenv("CLICKHOUSE_USER");
    const char *password = ch->url.password ? ch->url.password : getenv("CLICKHOUSE_PASSWORD");

    curl_easy_reset(ch->curl); /* the connection stays */
    ch->curl_error[0] = '\0';
    curl_easy_setopt(ch->curl, CURLOPT_ERRORBUFFER, ch->curl_error);
    curl_easy_setopt(ch->curl, CURLOPT_URL, url);
    curl_easy_setopt(ch->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(ch->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(ch->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(ch->curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(ch->curl, CURLOPT_VERBOSE, (long)ch->verbose);
    curl_easy_setopt(ch->curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(ch->curl, CURLOPT_WRITEDATA, ch);
    curl_easy_setopt(ch->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(ch->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(ch->curl, CURLOPT_XFERINFODATA, ch);
    if (request->data) {
        curl_easy_setopt(ch->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(ch->curl, CURLOPT_LOW_SPEED_TIME, SILENT_SECONDS);
    }
    if (user || password) {
        curl_easy_setopt(ch->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(ch->curl, CURLOPT_USERNAME, user ? user : "default");
        curl_easy_setopt(ch->curl, CURLOPT_PASSWORD, password ? password : "");
    }
    if (ch->url.ca)
        curl_easy_setopt(ch->curl, CURLOPT_CAINFO, ch->url.ca);
}

static void free_mime(curl_mime **mime)
{
    curl_mime_free(*mime);
}

static void free_headers(struct curl_slist **headers)
{
    curl_slist_free_all(*headers);
}

int iol_ch_run(struct iol_ch *ch, const struct iol_ch_request *request, struct iol_error *err)
{
    _cleanup_(free_mime) curl_mime *mime = request->ids ? make_mime(ch, request) : NULL;
    /* A server that asks for it first would make every request a second longer. */
    _cleanup_(free_headers) struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    _cleanup_free_ char *url = make_url(ch, request, request->data || request->ids);
    long status = 0;

    if (!url || !headers || (request->ids && !mime))
        return iol_error_set(err, -ENOMEM, "out of memory");
    set_options(ch, request, url);
    curl_easy_setopt(ch->curl, CURLOPT_HTTPHEADER, headers);
    set_body(ch, request, mime);
    ch->request = request;
    ch->length = 0;
    ch->row_error = 0;
    CURLcode code = curl_easy_perform(ch->curl);
    atomic_store(&ch->interrupted, false);
    curl_easy_getinfo(ch->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK && !(code == CURLE_SEND_ERROR && ch->length > 0))
        return curl_failure(ch, code, err);
    return status == 200 ? 0 : answer_error(ch, status, err);
}

static int keep_first(void *data, const char *const *fields, size_t n_fields)
{
    char **value = data;

    (void)n_fields;
    if (!*value && fields[0])
        *value = strdup(fields[0]);
    return 0;
}

int iol_ch_value(struct iol_ch *ch, const char *sql, const char *doing, char **ret_value, struct iol_error *err)
{
    char *value = NULL;
    const struct iol_ch_request request = {.sql = sql, .doing = doing, .row = keep_first, .row_data = &value};
    int r = iol_ch_run(ch, &request, err);

    if (r < 0)
        free(value);
    else
        *ret_value = value;
    return r;
}

int iol_ch_number(struct iol_ch *ch, const char *sql, const char *doing, long long *ret_number, struct iol_error *err)
{
    _cleanup_free_ char *value = NULL;
    int r = iol_ch_value(ch, sql, doing, &value, err);

    if (r == 0)
        *ret_number = value ? strtoll(value, NULL, 10) : 0;
    return r;
}

char *iol_ch_literal(const char *text)
{
    char *literal = malloc(2 * strlen(text) + 3), *to = literal;

    if (!literal)
        return NULL;
    *to++ = '\'';
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            *to++ = '\\';
        *to++ = *text;
    }
    *to++ = '\'';
    *to = '\0';
    return literal;
}

static int greet(struct iol_ch *ch, struct iol_error *err)
{
    _cleanup_free_ char *version = NULL;
    int r = -EAGAIN;

    for (size_t i = 0; i < ch->url.n_hosts && r == -EAGAIN; i++) {
        ch->host = i;
        r = iol_ch_value(ch, "SELECT version()", "connect to", &version, err);
    }
    if (r < 0)
        return r;
    iol_ch_features_of(version ? version : "", &ch->features);
    snprintf(ch->version, sizeof(ch->version), "%s", version ? version : "");
    if (ch->features.version >= IOL_CH_OLDEST)
        return 0;
    iol_error_set(err, -EPROTONOSUPPORT, "the ClickHouse server at %s is too old: %s", iol_ch_host(ch), ch->version);
    iol_error_hint(err, "version %d.%d or later is needed", IOL_CH_OLDEST / 100, IOL_CH_OLDEST % 100);
    return -EPROTONOSUPPORT;
}

int iol_ch_read_little(struct iol_ch *ch, struct iol_error *err)
{
    long long readonly = 1;
    int r = iol_ch_number(ch, "SELECT value FROM system.settings WHERE name = 'readonly'", "read", &readonly, err);

    ch->small_reads = r == 0 && readonly != 1;
    return r;
}

int iol_ch_open(const char *url, bool verbose, struct iol_ch **ret_ch, struct iol_error *err)
{
    struct iol_ch *ch = calloc(1, sizeof(*ch));
    int r = ch ? iol_ch_url_parse(url, &ch->url, err) : iol_error_set(err, -ENOMEM, "out of memory");

    if (r == 0) {
        ch->verbose = verbose;
        ch->curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
        r = ch->curl ? greet(ch, err) : iol_error_set(err, -ENOMEM, "out of memory");
    }
    if (r == 0 && ch->url.layout.keep_days > 0 && !ch->features.ttl) {
        r = iol_error_set(err, -EPROTONOSUPPORT,
                          "the ClickHouse server at %s (%s) knows no TTL of tables, as keep= asks for", iol_ch_host(ch),
                          ch->version);
        iol_error_hint(err, "leave keep= out of the URL, and drop old days with 'ioledger prune --keep %ud --db URL'",
                       ch->url.layout.keep_days);
    }
    if (r < 0) {
        iol_ch_close(ch);
        return r;
    }
    *ret_ch = ch;
    return 0;
}

void iol_ch_close(struct iol_ch *ch)
{
    if (!ch)
        return;
    curl_easy_cleanup(ch->curl);
    iol_ch_url_done(&ch->url);
    free(ch->line);
    free(ch);
}
