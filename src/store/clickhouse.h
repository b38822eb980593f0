// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A ClickHouse server over its HTTP interface (https://clickhouse.com/docs/interfaces/http): URLs, requests, errors, and what is there
 * from which version on. For src/store only; clickhouse.c is the only user of libcurl.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IOL_CH_OLDEST 1816 /* what Debian 12 has; older ones were not tried */

struct iol_ch;
struct iol_error;

/* What a server can do; by its version alone, so that the same version always gets the same tables. */
struct iol_ch_features {
    unsigned int version; /* 18.16 is 1816, 24.8 is 2408 */
    bool codecs;          /* CODEC(...) of a column, LowCardinality: 20.3 */
    bool ttl;             /* TTL of a table that removes whole parts: 20.3 */
    bool time64;          /* DateTime64 and fromUnixTimestamp64Micro(): 20.8 */
    bool token;           /* insert_deduplication_token, and a window for it in tables that are not replicated: 22.3 */
};

/* What a URL says beside where the server is. */
struct iol_ch_layout {
    char database[64];
    char cluster[64];       /* ?cluster=NAME: tables are Distributed over its shards; empty: one server */
    bool replicated;        /* ?replicated=1 */
    unsigned int keep_days; /* ?keep=30d: TTL; 0: none */
};

/* Features of a version as version() tells it, "18.16.1"; what is no version has none. */
void iol_ch_features_of(const char *version, struct iol_ch_features *ret_features);

/* Reads the layout out of a URL, without a connection. -EINVAL with *err. */
int iol_ch_layout_of(const char *url, struct iol_ch_layout *ret_layout, struct iol_error *err);

/*
 * Connects to the first host of the URL that answers. -EAGAIN: none does now; anything else is final. The handle is used by one
 * thread at a time, iol_ch_interrupt() aside.
 */
int iol_ch_open(const char *url, bool verbose, struct iol_ch **ret_ch, struct iol_error *err);
void iol_ch_close(struct iol_ch *ch); /* accepts NULL */

const struct iol_ch_features *iol_ch_features(const struct iol_ch *ch);
const struct iol_ch_layout *iol_ch_layout(const struct iol_ch *ch);
const char *iol_ch_host(const struct iol_ch *ch); /* "127.0.0.1:8123" */

/* Host by host of the URL, for what has to be done on each: 0 while there is one, then -ENOENT. */
size_t iol_ch_hosts(const struct iol_ch *ch);
void iol_ch_use_host(struct iol_ch *ch, size_t number);

/* One statement. `data` (may be NULL) follows it: the rows of an INSERT. */
struct iol_ch_request {
    const char *sql;
    const char *query_id; /* a statement is refused (-EAGAIN) while another one with the same id runs; NULL: none */
    const char *token;    /* insert_deduplication_token, where the server knows it; NULL: none */
    const void *data;
    size_t size;
    const int64_t *ids; /* a table `ids` with one column `id` for this statement; NULL: none */
    size_t n_ids;
    const char *doing; /* for the error: "write to", "read" */

    /* For each row of the answer; NULL in a field is SQL NULL; texts live until it returns. -errno ends it. */
    int (*row)(void *data, const char *const *fields, size_t n_fields);
    void *row_data;
};

/* 0 or -errno with *err. -EAGAIN: it may work later; what a failed INSERT stored is not known then. */
int iol_ch_run(struct iol_ch *ch, const struct iol_ch_request *request, struct iol_error *err);

/* From now on what is read is read by small pieces, as questions want it that look for few rows; if the user may set that. */
int iol_ch_read_little(struct iol_ch *ch, struct iol_error *err);

/* The first field of the first row as a text (to be freed), NULL when there is none. */
int iol_ch_value(struct iol_ch *ch, const char *sql, const char *doing, char **ret_value, struct iol_error *err);
int iol_ch_number(struct iol_ch *ch, const char *sql, const char *doing, long long *ret_number, struct iol_error *err);

/* Makes the statement that runs, or the next one, end soon with -EAGAIN. From any thread. */
void iol_ch_interrupt(struct iol_ch *ch);

/* 'text' with everything escaped that has to be, to be freed; NULL: no memory. */
char *iol_ch_literal(const char *text);

/* The process of the server, when it is on this machine and can be seen; else 0. */
pid_t iol_ch_server_pid(const struct iol_ch *ch);

/*
 * The version of the ledger in the database, one that we know, or 0: there is room for one; else -errno with *err. With `shape` each of its tables
 * is looked at: whoever writes into them does so once.
 */
int iol_ch_check(struct iol_ch *ch, bool shape, int *ret_version, struct iol_error *err);
