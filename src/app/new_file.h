// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * A file that is there as a whole or not at all: it is written beside its name and renamed when it is complete. What is at the name
 * before stays until then. Whoever is ended by SIGINT, SIGTERM or SIGHUP leaves what was there: once the new one has its name, they
 * are ignored, for the little that is left to do. A name that is no regular file (a device, a pipe) is written to directly, "-" is stdout.
 */
#include <stdio.h>

struct iol_error;
struct iol_new_file;

/* Whether it could be opened, before work is done for it that takes long. 0 or -errno with *err. */
int iol_new_file_check(const char *path, struct iol_error *err);

/* 0 or -errno with *err. */
int iol_new_file_open(const char *path, struct iol_new_file **ret_file, struct iol_error *err);
FILE *iol_new_file_stream(struct iol_new_file *file);

/*
 * Makes it appear under its name, when `written`, the result of writing, is 0. 0, with *ret_size, or -errno with *err, which stays
 * empty when it is stdout that failed: main() tells that.
 */
int iol_new_file_finish(struct iol_new_file *file, int written, long long *ret_size, struct iol_error *err);

/* Takes away what is not finished. Accepts NULL. */
void iol_new_file_free(struct iol_new_file *file);
