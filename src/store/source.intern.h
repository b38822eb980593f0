// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* For source*.c only: each takes the open file, also when it fails. */
#include "store/source.h"

int iol_source_entries(const char *path, int fd, struct iol_source **ret_source, struct iol_error *err);
int iol_source_jsonl(const char *path, int fd, struct iol_source **ret_source, struct iol_error *err);
