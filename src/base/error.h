// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * How a library function explains a failure to the command that called it.
 *
 * Libraries return 0 or -errno and, where a person has to understand the failure, fill a struct
 * iol_error: `text` is one line that names the input and what went wrong, `hint` one line that says
 * what to do about it (either may be empty). Commands print both and choose the exit status; a
 * library never prints.
 */
#define IOL_ERROR_TEXT_MAX 768

struct iol_error {
    char text[IOL_ERROR_TEXT_MAX];
    char hint[IOL_ERROR_TEXT_MAX];
};

/* Writes text and empties hint; returns `code` (0 or -errno), so that `return iol_error_set(...)` reads well. `err` may be NULL. */
int iol_error_set(struct iol_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Adds the hint to what iol_error_set() wrote. `err` may be NULL. */
void iol_error_hint(struct iol_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
