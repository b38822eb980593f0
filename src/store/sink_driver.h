// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The drivers behind store/sink.h. For src/store only. */
struct iol_sink_ops;

extern const struct iol_sink_ops iol_sink_sqlite_ops, iol_sink_postgres_ops, iol_sink_jsonl_ops;
