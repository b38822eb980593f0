// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "store/sink.h"

#include <errno.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "store/sink_driver.h"
#include "store/url.h"

#define GROUP_ROWS 100000 /* unless the driver likes another number */

static const struct {
    const char *scheme;
    const struct iol_sink_ops *ops;
} drivers[] = {
    {"sqlite", &iol_sink_sqlite_ops},         {"postgresql", &iol_sink_postgres_ops},
    {"postgres", &iol_sink_postgres_ops},     {"jsonl", &iol_sink_jsonl_ops},
#ifdef IOL_HAVE_CLICKHOUSE
    {"clickhouse", &iol_sink_clickhouse_ops}, {"clickhouse+https", &iol_sink_clickhouse_ops},
#endif
#ifdef IOL_HAVE_KAFKA
    {"kafka", &iol_sink_kafka_ops},
#endif
};

int iol_sink_open(const char *url, const struct iol_sink_options *options, struct iol_sink **ret_sink,
                  struct iol_error *err)
{
    for (size_t i = 0; i < IOL_ARRAY_SIZE(drivers); i++)
        if (iol_url_rest(url, drivers[i].scheme))
            return drivers[i].ops->open(url, options, ret_sink, err);
    return iol_url_unknown(url, err);
}

static int check_sealed(const struct iol_batch *batch, struct iol_error *err)
{
    const struct iol_rows *sealed = &batch->rows[IOL_TABLE_BATCH];

    if (sealed->count == 1 && ((const struct iol_batch_row *)sealed->data)->boot_id)
        return 0;
    return iol_error_set(err, -EINVAL, "a batch without its own row cannot be stored");
}

int iol_sink_write(struct iol_sink *sink, const struct iol_batch *batch, struct iol_error *err)
{
    int r = check_sealed(batch, err);

    return r < 0 ? r : sink->ops->write(sink, batch, err);
}

ssize_t iol_sink_write_some(struct iol_sink *sink, const struct iol_batch *const *batches, size_t n,
                            struct iol_error *err)
{
    int r = 0;

    if (n == 1 || !sink->ops->write_some) {
        r = iol_sink_write(sink, batches[0], err);
        return r < 0 ? r : 1;
    }
    for (size_t i = 0; i < n && r == 0; i++)
        r = check_sealed(batches[i], err);
    return r < 0 ? r : sink->ops->write_some(sink, batches, n, err);
}

size_t iol_sink_group_rows(const struct iol_sink *sink)
{
    return sink->ops->group_rows ? sink->ops->group_rows : GROUP_ROWS;
}

bool iol_sink_reads_ahead(const struct iol_sink *sink)
{
    return sink->ops->reads_ahead;
}

pid_t iol_sink_server_pid(const struct iol_sink *sink)
{
    return sink->ops->server_pid ? sink->ops->server_pid(sink) : 0;
}

void iol_sink_interrupt(struct iol_sink *sink)
{
    if (sink->ops->interrupt)
        sink->ops->interrupt(sink);
}

void iol_sink_close(struct iol_sink *sink)
{
    if (sink)
        sink->ops->close(sink);
}
