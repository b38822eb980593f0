// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * Runs the fuzz target where there is no libFuzzer: mutants of valid records, the same ones every time.
 *
 * usage: fuzz_decode [MUTANT]    all of them, or the one whose number a failed run has given
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "core/row.h"
#include "fuzz_decode.h"
#include "mutate.h"
#include "records.h"

static void add_record(struct input *input, struct record record)
{
    if (input->size + 2 + record.size > INPUT_MAX)
        abort();
    input->data[input->size++] = (uint8_t)record.size;
    input->data[input->size++] = (uint8_t)(record.size >> 8);
    memcpy(input->data + input->size, record.data, record.size);
    input->size += record.size;
    record_free(&record);
}

static struct process_spec process(uint64_t image, uint64_t parent, uint32_t origin)
{
    return (struct process_spec){
        .image = image,
        .parent = parent,
        .pid = 60,
        .ppid = 50,
        .origin = origin,
        .bits = IOL_PROCESS_TRACED | (origin == IOL_ORIGIN_FORK ? IOL_PROCESS_INHERITS : 0),
        .comm = "cat",
        .exe = BYTES("/usr/bin/cat\xc3\xa9"),
        .cwd = BYTES("/tmp"),
        .cgroup = BYTES("/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        .argv = BYTES("cat\0-n\0\xe2\x82\xac\0"),
    };
}

static void add_process(struct input *input, uint64_t image, uint64_t parent, uint32_t origin)
{
    struct process_spec spec = process(image, parent, origin);

    add_record(input, record_process(&spec));
}

static void add_file(struct input *input, uint64_t key, uint32_t kind, uint32_t bits)
{
    struct file_spec spec = {
        .key = key, .info = {.inode = 7, .kind = kind, .bits = bits}, .path = BYTES("/a/\xf0\x9f\x98\x80")};

    add_record(input, record_file(&spec));
}

static void make_processes(struct input *input)
{
    add_process(input, 100, 1, IOL_ORIGIN_RUNNING);
}

static void make_life(struct input *input)
{
    add_process(input, 100, 1, IOL_ORIGIN_RUNNING);
    add_process(input, 101, 100, IOL_ORIGIN_FORK);
    add_process(input, 102, 101, IOL_ORIGIN_EXEC);
    add_record(input, record_exit(9, 102, 9));
}

static void make_exec_failed(struct input *input)
{
    add_process(input, 100, 1, IOL_ORIGIN_RUNNING);
    add_record(input, record_exec_failed(5, 100, -2, BYTES("./no\xc2\xa0")));
}

static void make_files(struct input *input)
{
    add_file(input, 1000, IOL_KIND_FILE, IOL_FILE_DELETED);
    add_file(input, 1001, IOL_KIND_PIPE, IOL_FILE_PSEUDO_DENTRY);
    add_file(input, 1002, IOL_KIND_ANON, IOL_FILE_PSEUDO_DENTRY);
    add_file(input, 1003, IOL_KIND_MEMFD, IOL_FILE_PSEUDO_DENTRY);
}

/* The longest name there can be, of each kind that the model makes a path of. */
static void make_long_names(struct input *input)
{
    static char name[IOL_PATH_MAX];
    struct file_spec spec = {.key = 1004, .info = {.bits = IOL_FILE_PSEUDO_DENTRY}, .path = {name, sizeof(name)}};

    memset(name, 'n', sizeof(name));
    spec.info.kind = below(2) ? IOL_KIND_ANON : IOL_KIND_MEMFD;
    add_record(input, record_file(&spec));
}

static const struct {
    const char *name;
    void (*make)(struct input *input);
} seeds[] = {
    {"process", make_processes}, {"fork, exec and exit", make_life}, {"failed exec", make_exec_failed},
    {"file", make_files},        {"long name", make_long_names},
};

static void run_mutant(uint64_t number)
{
    static struct input input;
    size_t mutations;

    mutate_seed(number);
    input.size = 0;
    input.data[input.size++] = (uint8_t)below(2);
    seeds[number / MUTANTS_OF_EACH].make(&input);
    mutations = number % MUTANTS_OF_EACH == 0 ? 0 : 1 + below(6);
    for (size_t i = 0; i < mutations; i++)
        mutate_once(&input);
    LLVMFuzzerTestOneInput(input.data, input.size);
}

/* The first of each seed is the seed itself: all of it is taken. Of its mutants some are, and some are not. */
static void run_seed(size_t seed)
{
    uint64_t first = seed * MUTANTS_OF_EACH;
    struct fuzz_counts before = fuzz_counts(), after;
    bool whole;

    run_mutant(first);
    after = fuzz_counts();
    whole = after.taken > before.taken && after.refused == before.refused;
    for (uint64_t number = first + 1; number < first + MUTANTS_OF_EACH; number++)
        run_mutant(number);
    before = after;
    after = fuzz_counts();
    printf("%s %zu - %s: %" PRIu64 " records taken, %" PRIu64 " refused\n",
           whole && after.taken > before.taken && after.refused > before.refused ? "ok" : "not ok", seed + 1,
           seeds[seed].name, after.taken - before.taken, after.refused - before.refused);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    return run_mutants(argc, argv, IOL_ARRAY_SIZE(seeds), run_mutant, run_seed);
}
