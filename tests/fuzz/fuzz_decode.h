// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What libFuzzer calls, and driver.c without it. The input is one byte, whether there is no filter,
 * and records, each after its size (16 bits, little-endian). Aborts when a promise is broken.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many records were taken and refused so far. */
struct fuzz_counts {
    uint64_t taken, refused;
};

struct fuzz_counts fuzz_counts(void);
