// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Any bytes as a batch: what is taken must be a batch that makes bytes which make the same batch, and nothing may touch memory that is
 * not its own (for the sanitizers to see).
 *
 * With libFuzzer: clang -g -fsanitize=fuzzer,address,undefined -DIOL_LIBFUZZER -D_GNU_SOURCE -Isrc tests/fuzz/fuzz_batch.c
 *     src/store/{batch_bytes,schema}.c src/core/batch.c src/base/{arena,error}.c
 * Without: mutants of valid batches, the same ones every time. usage: fuzz_batch [MUTANT]
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "core/batch.h"
#include "mutate.h"
#include "store/batch_bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t taken, refused;

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void take(const struct iol_batch *batch)
{
    struct iol_batch *again = NULL;
    void *bytes = NULL, *bytes_again = NULL;
    size_t size, size_again;

    require(iol_batch_encode(batch, &bytes, &size) == 0);
    require(iol_batch_decode(bytes, size, &again, NULL) == 0);
    require(iol_batch_encode(again, &bytes_again, &size_again) == 0);
    require(size == size_again && memcmp(bytes, bytes_again, size) == 0);
    iol_batch_free(again);
    free(bytes);
    free(bytes_again);
}

/* In memory of exactly its size, where a sanitizer sees the first byte too many. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct iol_batch *batch = NULL;
    struct iol_error err = {0};
    uint8_t *copy = malloc(size);

    require(copy || size == 0);
    if (size > 0)
        memcpy(copy, data, size);
    if (iol_batch_decode(copy, size, &batch, &err) == 0) {
        taken++;
        free(copy);
        take(batch);
        iol_batch_free(batch);
        return 0;
    }
    refused++;
    require(!batch && err.text[0]);
    free(copy);
    return 0;
}

#ifndef IOL_LIBFUZZER

static const char *text(struct iol_batch *batch, const char *letters)
{
    return iol_arena_dup(batch->arena, letters, strlen(letters));
}

static void make_accounts(struct iol_batch *batch)
{
    for (int64_t i = 0; i < 10; i++)
        *(struct iol_io *)iol_batch_add(batch, IOL_TABLE_IO) = (struct iol_io){
            .ts = INT64_C(1795421886123456789),
            .interval_ms = 1000,
            .process_id = (int64_t)((uint64_t)i * 0x9E3779B97F4A7C15ULL),
            .file_id = INT64_MAX - i,
            .read_bytes = i % 2 ? IOL_NULL : i * 4096,
        };
    *(struct iol_total *)iol_batch_add(batch, IOL_TABLE_TOTAL) = (struct iol_total){.route = IOL_ROUTE_MMAP};
}

static void make_texts(struct iol_batch *batch)
{
    for (int i = 0; i < 3; i++)
        *(struct iol_file *)iol_batch_add(batch, IOL_TABLE_FILE) =
            (struct iol_file){.id = i, .path = text(batch, i ? "/srv/\xc3\xa9" : ""), .flags = NULL};
    *(struct iol_process *)iol_batch_add(batch, IOL_TABLE_PROCESS) =
        (struct iol_process){.comm = text(batch, "cat"), .argv = text(batch, "cat -n"), .parent_id = IOL_NULL};
    *(struct iol_batch_row *)iol_batch_add(batch, IOL_TABLE_BATCH) =
        (struct iol_batch_row){1, text(batch, "boot"), 2, 3};
}

static void make_nothing(struct iol_batch *batch)
{
    (void)batch;
}

static const struct {
    const char *name;
    void (*make)(struct iol_batch *batch);
} seeds[] = {{"accounts", make_accounts}, {"texts", make_texts}, {"nothing", make_nothing}};

static void run_mutant(uint64_t number)
{
    static struct input input;
    struct iol_batch *batch = iol_batch_new();
    void *bytes = NULL;

    mutate_seed(number);
    seeds[number / MUTANTS_OF_EACH].make(batch);
    require(iol_batch_encode(batch, &bytes, &input.size) == 0 && input.size <= INPUT_MAX);
    memcpy(input.data, bytes, input.size);
    free(bytes);
    iol_batch_free(batch);
    for (size_t i = number % MUTANTS_OF_EACH ? 1 + below(4) : 0; i > 0; i--)
        mutate_once(&input);
    LLVMFuzzerTestOneInput(input.data, input.size);
}

/* The first of each seed is the seed itself, and is taken. Of its mutants some are refused. */
static void run_seed(size_t seed)
{
    uint64_t first = seed * MUTANTS_OF_EACH, taken_before = taken, refused_before = refused;

    run_mutant(first);
    bool whole = taken == taken_before + 1;
    for (uint64_t number = first + 1; number < first + MUTANTS_OF_EACH; number++)
        run_mutant(number);
    printf("%s %zu - %s: %" PRIu64 " taken, %" PRIu64 " refused\n", whole && refused > refused_before ? "ok" : "not ok",
           seed + 1, seeds[seed].name, taken - taken_before, refused - refused_before);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    return run_mutants(argc, argv, IOL_ARRAY_SIZE(seeds), run_mutant, run_seed);
}

#endif
