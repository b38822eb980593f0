// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The URLs that --db takes: a scheme, a colon, and what the scheme makes of the rest. */
#include <stdbool.h>
#include <stddef.h>

struct iol_error;

/* What follows "SCHEME:" when the URL begins so, else NULL. */
const char *iol_url_rest(const char *url, const char *scheme);

bool iol_url_is_clickhouse(const char *url);
bool iol_url_is_postgres(const char *url);
bool iol_url_is_kafka(const char *url);

/* A database on a server, for which rows may have to wait. */
bool iol_url_is_network(const char *url);

/* As iol_url_rest() for a scheme whose rest is a path; -EINVAL when there is none. */
int iol_url_path(const char *url, const char *scheme, const char **ret_path, struct iol_error *err);

/* -EINVAL, with the known schemes in *err; -EOPNOTSUPP for a known one that this build is without. */
int iol_url_unknown(const char *url, struct iol_error *err);

/* For who wants to read from what can only be written, or is not known: -EOPNOTSUPP or -EINVAL, and what to do, in *err. */
int iol_url_cannot_ask(const char *url, struct iol_error *err);

/* The URL as it may be shown: without its password. Cuts what does not fit; returns buf. */
char *iol_url_redact(char *buf, size_t size, const char *url);
