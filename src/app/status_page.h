// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* The status of one recorder, for a person to read. */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

int iol_status_page_print(const json_t *status, FILE *to);

/* What was recorded and stored, in one line; cuts what does not fit. */
void iol_status_page_sum(const json_t *status, char *buf, size_t size);

/* The database does not take rows. */
bool iol_status_is_away(const json_t *status);
