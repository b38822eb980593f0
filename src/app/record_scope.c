// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* How a recording was asked for, in one line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/record_options.h"
#include "app/record_words.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/text.h"

static void print_texts(FILE *out, const char *option, const char *const *texts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fprintf(out, "--%s %s ", option, texts[i]);
}

static void print_budget(FILE *out, const struct iol_record_rules *rules)
{
    if (rules->event_budget != IOL_RECORD_EVENT_BUDGET || rules->event_budget_process != IOL_RECORD_EVENT_BUDGET)
        fprintf(out, "--event-budget %u/s,%u/s ", rules->event_budget, rules->event_budget_process);
}

static void print_events(FILE *out, uint32_t events)
{
    if (events == IOL_RECORD_DEFAULT_EVENTS)
        return;
    fputs("--events ", out);
    iol_record_words_print(IOL_RECORD_EVENTS, events, out);
    fputs(" ", out);
}

static void print_scope(FILE *out, const struct iol_record_options *options)
{
    for (size_t i = 0; i < options->n_pids; i++)
        fprintf(out, "--pid %d ", options->pids[i]);
    print_texts(out, "comm", options->comms, options->n_comms);
    for (size_t i = 0; i < options->n_uids; i++)
        fprintf(out, "--uid %u ", options->uids[i]);
    print_texts(out, "exe", options->exes, options->n_exes);
    print_texts(out, "cgroup", options->cgroups, options->n_cgroups);
    print_texts(out, "container", options->containers, options->n_containers);
    iol_rule_text_print(&options->rules.list, out);
    print_budget(out, &options->rules);
    print_events(out, options->events);
    if (options->system)
        fputs("--system ", out);
    if (options->command)
        fputs("--", out);
    for (size_t i = 0; options->command && options->command[i]; i++)
        fprintf(out, " %s", options->command[i]);
}

char *iol_record_options_scope(const struct iol_record_options *options)
{
    struct iol_arena *arena = iol_arena_new();
    _cleanup_free_ char *raw = NULL;
    char *scope = NULL;
    size_t size;
    FILE *out = arena ? open_memstream(&raw, &size) : NULL;

    if (!out) {
        iol_arena_free(arena);
        return NULL;
    }
    print_scope(out, options);
    fclose(out);
    if (raw) {
        const char *text = iol_text_store(arena, raw, size, NULL);

        scope = text ? strdup(text) : NULL;
    }
    iol_arena_free(arena);
    return scope;
}
