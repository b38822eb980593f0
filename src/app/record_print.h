// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* `record --print-config` */
#include <stdio.h>

struct iol_error;
struct iol_record_options;
struct iol_usage;

/*
 * Prints a configuration file from which the same settings are read; each option that may stand in it has a line, or, when
 * it is off, a comment. -EINVAL with *err: a value cannot stand in a file.
 */
int iol_record_print(const struct iol_usage *usage, const struct iol_record_options *options, FILE *to,
                     struct iol_error *err);
