// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The options of `record` that stand in its configuration file. They are taken by the functions of the command line. */
#include "app/record_options.h"

/* Takes those of options->config_path: after the command line, whose options that can be given once go before them. */
int iol_record_config_apply(const struct iol_usage *usage, struct iol_options *common,
                            struct iol_record_options *options, struct iol_error *err);

/*
 * For a command that has some of the options of `record`: takes those, by its own usage and input, and leaves the others of `record` alone.
 * The texts are in *ret_config, which is set in either case when the file could be read.
 */
int iol_record_config_apply_known(const struct iol_usage *usage, struct iol_options *common, const char *path,
                                  void *input, struct iol_config **ret_config, struct iol_error *err);

/* See iol_record_options_reload(). */
int iol_record_config_reload(const struct iol_usage *usage, const struct iol_record_options *options,
                             struct iol_record_rules *ret_rules, char *changed, size_t changed_size,
                             struct iol_error *err);

/* Whether the option may stand in the file. */
bool iol_record_config_has(const char *name);
