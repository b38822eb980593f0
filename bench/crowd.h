// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/*
 * Processes that stay alive, wait for their turn, and do their work in it. They wait on a barrier: nothing that a recorder
 * counts. They end with the process that started them, however that ends.
 */
#include <stddef.h>

struct crowd;

typedef void crowd_work_fn(size_t index, void *arg);

struct crowd *crowd_start(size_t n, crowd_work_fn *work, void *arg); /* ends the program on failure */
void crowd_turn(struct crowd *crowd); /* all do their work; returns when all are through */
void crowd_end(struct crowd *crowd);

/* Memory, zeroed, that processes started later share. Ends the program on failure. */
void *crowd_shared(size_t size);

/* Descriptors of FOLDER/0 to FOLDER/(n-1). Ends the program on failure. */
int *crowd_open_files(const char *folder, size_t n);

_Noreturn void crowd_fail(const char *what); /* with errno */
