// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Mutants of a valid input: the same ones for the same seed. */
#include <stddef.h>
#include <stdint.h>

#define INPUT_MAX 8192

struct input {
    uint8_t data[INPUT_MAX];
    size_t size;
};

void mutate_seed(uint64_t number);
size_t below(size_t n); /* a random number; 0 when n is 0 */
void mutate_once(struct input *input);
