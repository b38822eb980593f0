/* SPDX-License-Identifier: BSD-2-Clause */
/* SPDX-FileCopyrightText: The ioledger authors */
#pragma once

#include <stddef.h>
#include <time.h>

double clock_ns(clockid_t clock);

/* The upper one of the two in the middle when n is even. Sorts the numbers; n is at least 1. */
double median(double *numbers, size_t n);
