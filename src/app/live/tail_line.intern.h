// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* For tail_line.c and tail_json.c only. Each prints one line: 0 or -ENOMEM. */
#include "app/live/tail_line.h"

struct iol_event;
struct iol_io;
struct iol_loss;

int iol_tail_json_event(const struct iol_tail_format *format, const struct iol_event *event, FILE *to);
int iol_tail_json_io(const struct iol_tail_format *format, const struct iol_io *io, FILE *to);
int iol_tail_json_loss(const struct iol_tail_format *format, const struct iol_loss *loss, FILE *to);
