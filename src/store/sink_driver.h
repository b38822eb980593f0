// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * The drivers behind store/sink.h. For src/store only.
 *
 * How to add one: write sink_NAME.c, static functions that end in one const struct iol_sink_ops (sink_jsonl.c is the
 * shortest); take tables, columns and their order from iol_schema_tables, never from a list of your own; name it here,
 * in the table of sink.c and in the hints of url.c; give it a tests/db/test_NAME.c that writes hostile_batch() and
 * compares what it reads back, replays a batch, and breaks the connection or fills the disk in the middle.
 */
struct iol_sink_ops;

extern const struct iol_sink_ops iol_sink_sqlite_ops, iol_sink_postgres_ops, iol_sink_jsonl_ops,
    iol_sink_clickhouse_ops, iol_sink_kafka_ops;
