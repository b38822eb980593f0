// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Frames of `top` for scripts: tables, or exact numbers as JSON or CSV. */
#include <stddef.h>

#include "app/live/top_page.h"
#include "app/output.h"

struct iol_top_batch;

int iol_top_batch_new(enum iol_format format, size_t rows, struct iol_top_batch **ret_batch); /* 0 or -ENOMEM */

/* Prints a frame: 0 or -errno; 1: it is to end, see iol_live_print(). */
int iol_top_batch_frame(struct iol_top_batch *batch, struct iol_top *top);

/* The last one, with what CMD has done in all; only as a table, as the others are added up easily. As frame. */
int iol_top_batch_totals(struct iol_top_batch *batch, struct iol_top *top);

int iol_top_batch_finish(struct iol_top_batch *batch); /* once, after the last frame; as frame */
void iol_top_batch_free(struct iol_top_batch *batch);  /* accepts NULL */
