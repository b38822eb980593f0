// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Messages to the person at the keyboard, on stderr, one line each, prefixed "ioledger: ". Control
 * characters in what is printed are made visible. Only src/app logs; libraries return errors.
 */
enum iol_log_level { IOL_LOG_ERROR, IOL_LOG_WARNING, IOL_LOG_INFO, IOL_LOG_DEBUG };

/* Default: up to IOL_LOG_INFO. --verbose raises it to DEBUG, --quiet lowers it to WARNING. */
void iol_log_set_level(enum iol_log_level level);
enum iol_log_level iol_log_get_level(void);

void iol_log(enum iol_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define iol_log_error(...) iol_log(IOL_LOG_ERROR, __VA_ARGS__)
#define iol_log_warning(...) iol_log(IOL_LOG_WARNING, __VA_ARGS__)
#define iol_log_info(...) iol_log(IOL_LOG_INFO, __VA_ARGS__)
#define iol_log_debug(...) iol_log(IOL_LOG_DEBUG, __VA_ARGS__)
