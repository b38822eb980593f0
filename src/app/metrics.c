// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

int iol_metrics_address(const char *text, char **ret_host, char **ret_port, struct iol_error *err)
{
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    size_t length = colon ? (size_t)(colon - text) : 0;
    _cleanup_free_ char *host = NULL, *copy = NULL;
    unsigned long number = strtoul(port, NULL, 10);
    bool bracketed = length > 2 && text[0] == '[' && text[length - 1] == ']';

    if (!*port || strspn(port, "0123456789") != strlen(port) || strlen(port) > 5 || number < 1 || number > 65535 ||
        (colon && length == 0) || (!bracketed && memchr(text, ':', length)) || memchr(text, '/', length)) {
        iol_error_set(err, -EINVAL, "'%s' is not an address to listen on", text);
        iol_error_hint(err, "addresses are written ADDRESS:PORT or [ADDRESS]:PORT, as in 127.0.0.1:9464 or [::1]:9464");
        return -EINVAL;
    }
    host = !colon ? strdup("127.0.0.1") : bracketed ? strndup(text + 1, length - 2) : strndup(text, length);
    copy = strdup(port);
    if (!host || !copy)
        return iol_error_set(err, -ENOMEM, "out of memory");
    *ret_host = TAKE_PTR(host);
    *ret_port = TAKE_PTR(copy);
    return 0;
}

#ifdef IOL_HAVE_METRICS

#include <microhttpd.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16
#define PATIENCE_S 5 /* with one that says nothing */

struct iol_metrics {
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock; /* of what follows */
    bool any;
    struct iol_metrics_figures figures;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, const char *type, char *text,
                              size_t size, enum MHD_ResponseMemoryMode mode)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(size, text, mode);
    enum MHD_Result r;

    if (!response) {
        if (mode == MHD_RESPMEM_MUST_FREE)
            free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    r = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return r;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned int status, const char *text)
{
    return answer(connection, status, "text/plain; charset=utf-8", (char *)(uintptr_t)text, strlen(text),
                  MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result answer_figures(struct iol_metrics *metrics, struct MHD_Connection *connection)
{
    struct iol_metrics_figures figures;
    char *text = NULL;
    size_t size = 0;
    FILE *to;
    bool any;

    pthread_mutex_lock(&metrics->lock);
    any = metrics->any;
    figures = metrics->figures;
    pthread_mutex_unlock(&metrics->lock);
    if (!any)
        return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the recording has not begun\n");
    to = open_memstream(&text, &size);
    if (to)
        iol_metrics_print(&figures, to);
    if (!to || fclose(to) != 0) {
        free(text);
        return MHD_NO;
    }
    return answer(connection, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text, size,
                  MHD_RESPMEM_MUST_FREE);
}

/* Called once for the head of a request, and, as nothing is taken, until its body is over. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state)
{
    (void)version;
    (void)data;
    (void)state;
    *size = 0;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET /metrics is what there is\n");
    if (strcmp(url, "/metrics") != 0)
        return refuse(connection, MHD_HTTP_NOT_FOUND, "GET /metrics is what there is\n");
    return answer_figures(arg, connection);
}

static int bind_to(const struct addrinfo *address)
{
    _cleanup_close_ int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const int yes = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
        bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, CONNECTIONS_MAX) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int listen_on(const char *text, struct iol_error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    _cleanup_free_ char *host = NULL, *port = NULL;
    struct addrinfo *addresses;
    int r = iol_metrics_address(text, &host, &port, err), fd = -EADDRNOTAVAIL;

    if (r < 0)
        return r;
    r = getaddrinfo(host, port, &hints, &addresses);
    if (r != 0)
        return iol_error_set(err, -EADDRNOTAVAIL, "cannot listen on %s for --metrics: %s", text, gai_strerror(r));
    for (const struct addrinfo *address = addresses; address && fd < 0; address = address->ai_next)
        fd = bind_to(address);
    freeaddrinfo(addresses);
    if (fd == -EADDRINUSE) {
        iol_error_set(err, fd, "cannot listen on %s for --metrics: somebody else does", text);
        iol_error_hint(err, "another recorder perhaps; choose another port: --metrics ADDRESS:PORT");
        return fd;
    }
    return fd < 0 ? iol_error_set(err, fd, "cannot listen on %s for --metrics: %s", text, strerror(-fd)) : fd;
}

int iol_metrics_open(const char *address, struct iol_metrics **ret_metrics, struct iol_error *err)
{
    struct iol_metrics *metrics = calloc(1, sizeof(*metrics));
    int fd = metrics ? listen_on(address, err) : iol_error_set(err, -ENOMEM, "out of memory");

    if (fd < 0) {
        free(metrics);
        return fd;
    }
    pthread_mutex_init(&metrics->lock, NULL);
    metrics->daemon =
        MHD_start_daemon(MHD_USE_AUTO_INTERNAL_THREAD, 0, NULL, NULL, on_request, metrics, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned int)PATIENCE_S, MHD_OPTION_END);
    if (!metrics->daemon) {
        close(fd);
        pthread_mutex_destroy(&metrics->lock);
        free(metrics);
        return iol_error_set(err, -EIO, "cannot start the server for --metrics");
    }
    *ret_metrics = metrics;
    return 0;
}

void iol_metrics_set(struct iol_metrics *metrics, const struct iol_metrics_figures *figures)
{
    pthread_mutex_lock(&metrics->lock);
    metrics->figures = *figures;
    metrics->any = true;
    pthread_mutex_unlock(&metrics->lock);
}

void iol_metrics_close(struct iol_metrics *metrics)
{
    if (!metrics)
        return;
    MHD_stop_daemon(metrics->daemon); /* and closes the socket */
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

#else

int iol_metrics_open(const char *address, struct iol_metrics **ret_metrics, struct iol_error *err)
{
    (void)address;
    (void)ret_metrics;
    return iol_error_set(err, -ENOSYS, "--metrics: this ioledger was built without libmicrohttpd");
}

void iol_metrics_set(struct iol_metrics *metrics, const struct iol_metrics_figures *figures)
{
    (void)metrics;
    (void)figures;
}

void iol_metrics_close(struct iol_metrics *metrics)
{
    (void)metrics;
}

#endif
