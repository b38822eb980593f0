// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/*
 * verify modern|legacy|plain: loads each program of the object by itself, with every filter and without any, and prints a line
 * for each, "NAME INSTRUCTIONS INSTRUCTIONS STACK": how many the verifier looked at, and the stack of its functions. A program
 * that is refused shows what the verifier said, on stderr. Exit status: 1 when one of the programs was refused.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "abi/event.h"
#include "bpf/objects.h"

#define LOG_STATS 4
#define LOG_PATH 1
#define LOG_BYTES (16U << 20)

static char log_text[LOG_BYTES];

static void set_sizes(struct bpf_object *object, const struct iol_settings *settings)
{
    struct bpf_map *map;

    bpf_object__for_each_map(map, object) {
        const char *name = bpf_map__name(map);

        if (bpf_map__max_entries(map) == 1 && strcmp(name, "control") != 0 && strcmp(name, "whole_budget") != 0 &&
            bpf_map__key_size(map) + bpf_map__value_size(map) > 0 && !strchr(name, '.'))
            bpf_map__set_max_entries(map, 64);
    }
    bpf_map__set_initial_value(bpf_object__find_map_by_name(object, ".rodata.settings"), settings, sizeof(*settings));
}

static struct bpf_object *open_object(const char *which)
{
    LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "verify");

    if (strcmp(which, "plain") == 0)
        return bpf_object__open_mem(iol_bpf_plain_object, (size_t)(iol_bpf_plain_object_end - iol_bpf_plain_object),
                                    &options);
    if (strcmp(which, "legacy") == 0)
        return bpf_object__open_mem(iol_bpf_legacy_object, (size_t)(iol_bpf_legacy_object_end - iol_bpf_legacy_object),
                                    &options);
    return bpf_object__open_mem(iol_bpf_object, (size_t)(iol_bpf_object_end - iol_bpf_object), &options);
}

/* 0 and the log of the verifier in log_text, or the error. */
static int load(const char *which, const char *name, const struct iol_settings *settings, unsigned int level)
{
    struct bpf_object *object = open_object(which);
    struct bpf_program *program;
    int r;

    if (!object)
        return -1;
    set_sizes(object, settings);
    bpf_object__for_each_program(program, object)
        bpf_program__set_autoload(program, strcmp(bpf_program__name(program), name) == 0);
    program = bpf_object__find_program_by_name(object, name);
    log_text[0] = '\0';
    bpf_program__set_log_buf(program, log_text, sizeof(log_text));
    bpf_program__set_log_level(program, level);
    r = bpf_object__load(object);
    bpf_object__close(object);
    return r;
}

static void print_field(const char *before)
{
    const char *at = strstr(log_text, before);
    size_t n = at ? strcspn(at + strlen(before), " \n") : 0;

    printf(" %.*s", n ? (int)n : 1, n ? at + strlen(before) : "-");
}

static int verify(const char *which, const char *name)
{
    const struct iol_settings plain = {.kinds = ~0U, .events = ~0U};
    const struct iol_settings filtered = {.filter = ~0U, .kinds = 1U << IOL_ABI_KIND_FILE, .events = ~0U};
    const struct iol_settings *const both[] = {&plain, &filtered};

    printf("%s", name);
    for (size_t i = 0; i < 2; i++) {
        if (load(which, name, both[i], LOG_STATS) < 0) {
            size_t size;

            load(which, name, both[i], LOG_STATS | LOG_PATH);
            size = strlen(log_text);
            fprintf(stderr, "%s %s:\n%s\n", which, name, log_text + (size > 8000 ? size - 8000 : 0));
            puts(" refused");
            return 1;
        }
        print_field("processed ");
    }
    print_field("stack depth ");
    putchar('\n');
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv)
{
    static char names[64][64];
    struct bpf_object *object = open_object("legacy");
    struct bpf_program *program;
    size_t n = 0;
    int refused = 0;

    if (argc < 2 || !object)
        return 2;
    libbpf_set_print(NULL);
    libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
    bpf_object__for_each_program(program, object) {
        if (n < 64)
            snprintf(names[n++], sizeof(names[0]), "%s", bpf_program__name(program));
    }
    bpf_object__close(object);
    for (size_t i = 0; i < n; i++) {
        if (argc == 2 || strstr(names[i], argv[2]))
            refused |= verify(argv[1], names[i]);
    }
    return refused;
}
