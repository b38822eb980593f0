// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The drivers behind store/reader.h, one for each dialect. For src/store only. */
#include "store/reader.h"

struct iol_db_ops {
    enum iol_dialect dialect;
    int (*open)(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err);
    void (*close)(struct iol_db *db); /* no query is left */
    int (*query)(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                 struct iol_query **ret_query, struct iol_error *err);
    int (*next)(struct iol_query *query, struct iol_error *err);
    size_t (*columns)(const struct iol_query *query);
    const char *(*name)(const struct iol_query *query, size_t column);
    const char *(*text)(const struct iol_query *query, size_t column);
    void (*rewind)(struct iol_query *query); /* NULL where there is no `native` */
    void (*free)(struct iol_query *query);

    /* Runs statements that make temporary views, before anything is asked; the ledger is seen as it is after that. */
    int (*restrict_to)(struct iol_db *db, const char *views, struct iol_error *err);

    /* For a database that does not speak the common SQL; NULL otherwise. `hosts` is a list of numbers: "1,2". */
    int (*restrict_hosts)(struct iol_db *db, const char *hosts, struct iol_error *err);
    int (*focus)(struct iol_db *db, const struct iol_focus *focus, struct iol_error *err);
    int (*native)(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                  struct iol_query **ret_query, struct iol_error *err);
    int (*find_hosts)(struct iol_db *db, const char *name, struct iol_query **ret_query, struct iol_error *err);
    const char *(*host_condition)(const struct iol_db *db);

    /* ClickHouse: the table as each shard has it, "table" or "database.table_local". What belongs to a host is on one shard. */
    const char *(*shard_table)(const struct iol_db *db, const char *table, char buf[static 160]);
    int (*version)(const struct iol_db *db); /* of its tables (store/schema_clickhouse.h) */
};

/* First members of every driver's own structs. */
struct iol_db {
    const struct iol_db_ops *ops;
};

struct iol_query {
    const struct iol_db_ops *ops;
};

extern const struct iol_db_ops iol_db_sqlite_ops, iol_db_postgres_ops, iol_db_clickhouse_ops;
