// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* What clickhouse_url.c makes of a URL. For clickhouse*.c only. */
#include <stdbool.h>
#include <stddef.h>

#include "store/clickhouse.h"

#define IOL_CH_HOSTS_MAX 64

struct iol_ch_url {
    bool https;
    char *user, *password;         /* NULL: not given */
    char *hosts[IOL_CH_HOSTS_MAX]; /* "HOST:PORT" */
    size_t n_hosts;
    char *ca; /* file with certificates of authorities; NULL: the system's */
    struct iol_ch_layout layout;
};

/* -EINVAL with *err. What is in *ret_url is freed by done, in either case. */
int iol_ch_url_parse(const char *text, struct iol_ch_url *ret_url, struct iol_error *err);
void iol_ch_url_done(struct iol_ch_url *url);
