// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "mutate.h"

#include <inttypes.h>
#include <sanitizer/common_interface_defs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

/* The state of xorshift64 (Marsaglia, 2003). */
static uint64_t state;

static uint64_t running; /* the mutant in hand, for who dies of it */

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

size_t below(size_t n)
{
    return n ? (size_t)(next_random() % n) : 0;
}

void mutate_seed(uint64_t number)
{
    running = number;
    state = (number + 1) * 0x9E3779B97F4A7C15ULL;
    for (int i = 0; i < 8; i++)
        next_random();
}

static void overwrite(struct input *input, const void *value, size_t size)
{
    if (input->size >= size)
        memcpy(input->data + below(input->size - size + 1), value, size);
}

void mutate_once(struct input *input)
{
    static const uint32_t numbers[] = {0,    1,    2,     15,    16,        63,       64,
                                       4096, 4097, 16385, 65535, INT32_MAX, 1U << 31, UINT32_MAX};
    uint32_t number = numbers[below(IOL_ARRAY_SIZE(numbers))];
    size_t at = below(input->size), length = below(64);
    uint8_t byte = (uint8_t)next_random();

    switch (below(7)) {
    case 0:
        input->data[at] ^= (uint8_t)(1 << below(8));
        break;
    case 1:
        input->data[at] = byte;
        break;
    case 2:
        overwrite(input, &number, sizeof(number));
        break;
    case 3: /* near misses of the lengths and sizes that are there */
        input->data[at] = (uint8_t)(input->data[at] + (below(2) ? 1 : -1));
        break;
    case 4:
        input->size = at + 1;
        break;
    case 5: /* a piece twice */
        if (at + length <= input->size && input->size + length <= INPUT_MAX) {
            memmove(input->data + at + length, input->data + at, input->size - at);
            input->size += length;
        }
        break;
    default: /* a piece away */
        if (at + length < input->size) {
            memmove(input->data + at, input->data + at + length, input->size - at - length);
            input->size -= length;
        }
        break;
    }
}

static void tell_mutant(void)
{
    fprintf(stderr, "# mutant %" PRIu64 "\n", running);
}

/* abort() itself is no business of the sanitizers */
static void on_abort(int number)
{
    tell_mutant();
    signal(number, SIG_DFL);
    raise(number);
}

int run_mutants(int argc, char **argv, size_t n_seeds, void (*run_mutant)(uint64_t number),
                void (*run_seed)(size_t seed))
{
    signal(SIGABRT, on_abort);
    __sanitizer_set_death_callback(tell_mutant);
    if (argc > 1) {
        uint64_t number = strtoull(argv[1], NULL, 10);

        if (number >= n_seeds * MUTANTS_OF_EACH)
            return 2;
        run_mutant(number);
        return 0;
    }
    printf("1..%zu\n", n_seeds);
    for (size_t seed = 0; seed < n_seeds; seed++)
        run_seed(seed);
    return 0;
}
