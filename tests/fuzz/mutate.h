// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#pragma once

/* Mutants of a valid input: the same ones for the same seed. */
#include <stddef.h>
#include <stdint.h>

#define INPUT_MAX 8192
#define MUTANTS_OF_EACH 40000

struct input {
    uint8_t data[INPUT_MAX];
    size_t size;
};

/* Mutant `number` of all is in hand from now on. */
void mutate_seed(uint64_t number);
size_t below(size_t n); /* a random number; 0 when n is 0 */
void mutate_once(struct input *input);

/*
 * A main(): runs the mutants of each seed, or the one whose number a failed run has given. Whoever dies of a mutant, or is stopped by a
 * sanitizer, leaves its number on stderr.
 */
int run_mutants(int argc, char **argv, size_t n_seeds, void (*run_mutant)(uint64_t number),
                void (*run_seed)(size_t seed));
