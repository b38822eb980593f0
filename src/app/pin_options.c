// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/pin_options.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/url.h"

#define SHOWN_MAX 4096

char *iol_pin_absolute(const char *path)
{
    const char *slash = strrchr(path, '/');
    _cleanup_free_ char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    _cleanup_free_ char *real = folder ? realpath(folder, NULL) : NULL;
    char *whole;

    if (!real)
        return strdup(path);
    if (asprintf(&whole, "%s/%s", strcmp(real, "/") == 0 ? "" : real, slash ? slash + 1 : path) < 0)
        return NULL;
    return whole;
}

char *iol_pin_books(const char *db)
{
    const char *path = iol_url_rest(db, "sqlite");
    _cleanup_free_ char *whole = path ? iol_pin_absolute(path) : NULL;
    char shown[SHOWN_MAX], *url;

    if (!path)
        return strdup(iol_url_redact(shown, sizeof(shown), db));
    if (!whole || asprintf(&url, "sqlite:%s", whole) < 0)
        return NULL;
    return url;
}
