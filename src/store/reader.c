// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/reader.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "store/reader_driver.h"
#include "store/url.h"

int iol_db_open(const char *url, bool verbose, struct iol_db **ret_db, struct iol_error *err)
{
    if (iol_url_rest(url, "sqlite"))
        return iol_db_sqlite_ops.open(url, verbose, ret_db, err);
    if (iol_url_rest(url, "postgresql") || iol_url_rest(url, "postgres"))
        return iol_db_postgres_ops.open(url, verbose, ret_db, err);
    if (!iol_url_rest(url, "jsonl"))
        return iol_url_unknown(url, err);
    int code = iol_error_set(err, -EOPNOTSUPP, "a jsonl ledger can be written, not asked");
    iol_error_hint(err, "read it with jq, or record into sqlite: or postgresql: to ask questions");
    return code;
}

void iol_db_close(struct iol_db *db)
{
    if (db)
        db->ops->close(db);
}

enum iol_dialect iol_db_dialect(const struct iol_db *db)
{
    return db->ops->dialect;
}

int iol_query_new(struct iol_db *db, const char *sql, size_t n_params, const char *const *params,
                  struct iol_query **ret_query, struct iol_error *err)
{
    return db->ops->query(db, sql, n_params, params, ret_query, err);
}

int iol_query_next(struct iol_query *query, struct iol_error *err)
{
    return query->ops->next(query, err);
}

size_t iol_query_columns(const struct iol_query *query)
{
    return query->ops->columns(query);
}

const char *iol_query_name(const struct iol_query *query, size_t column)
{
    return query->ops->name(query, column);
}

const char *iol_query_text(const struct iol_query *query, size_t column)
{
    return query->ops->text(query, column);
}

long long iol_query_int(const struct iol_query *query, size_t column)
{
    const char *text = iol_query_text(query, column);

    return text ? strtoll(text, NULL, 10) : 0;
}

bool iol_query_is_null(const struct iol_query *query, size_t column)
{
    return !iol_query_text(query, column);
}

void iol_query_free(struct iol_query *query)
{
    if (query)
        query->ops->free(query);
}
