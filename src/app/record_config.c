// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/record_config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"

enum use {
    ONCE,
    REPEATED,    /* as often as one likes, on the command line and in the file together */
    NOT_IN_FILE, /* on the command line only */
};

/* The options that are not simply to be given once. `rules`: reading the file again changes it. */
static const struct option_use {
    const char *name;
    enum use use;
    bool rules;
} uses[] = {
    {"pid", REPEATED, false},     {"comm", REPEATED, false},       {"uid", REPEATED, false},
    {"exe", REPEATED, false},     {"cgroup", REPEATED, false},     {"container", REPEATED, false},
    {"ignore", REPEATED, true},   {"every", REPEATED, true},       {"sample", REPEATED, true},
    {"event-budget", ONCE, true}, {"config", NOT_IN_FILE, false},  {"system", NOT_IN_FILE, false},
    {"help", NOT_IN_FILE, false}, {"verbose", NOT_IN_FILE, false}, {"print-config", NOT_IN_FILE, false},
};

static const struct option_use *use_of(const char *name)
{
    static const struct option_use other = {NULL, ONCE, false};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(uses); i++) {
        if (strcmp(uses[i].name, name) == 0)
            return &uses[i];
    }
    return &other;
}

bool iol_record_config_has(const char *name)
{
    return use_of(name)->use != NOT_IN_FILE;
}

/* The first entry of that name. */
static const struct iol_config_entry *first_of(const struct iol_config *config, const char *name)
{
    const struct iol_config_entry *entry = config->entries;

    while (strcmp(entry->name, name) != 0)
        entry++;
    return entry;
}

/* Whether the option may stand where it stands. */
static int check_entry(const struct iol_usage *usage, const struct iol_config *config,
                       const struct iol_config_entry *entry, struct iol_error *err)
{
    const struct iol_config_entry *first = first_of(config, entry->name);
    const struct option_use *use = use_of(entry->name);

    if (!iol_options_known(usage, entry->name, err))
        return -ENOENT;
    if (use->use == NOT_IN_FILE)
        return iol_error_set(err, -EINVAL, "this option is for the command line only");
    if (use->use == ONCE && first != entry)
        return iol_error_set(err, -EINVAL, "line %u has this option already", first->line);
    return 0;
}

/* Takes the entries of the file, of rules only those, unless the command line goes before them. `input` is what the usage takes. */
static int take_entries(const struct iol_usage *usage, const struct iol_config *config, bool only_rules,
                        struct iol_options *common, void *input, struct iol_error *err)
{
    for (size_t i = 0; i < config->n; i++) {
        const struct iol_config_entry *entry = &config->entries[i];
        const struct option_use *use = use_of(entry->name);
        int r = check_entry(usage, config, entry, err);

        if (r == 0 && (use->use == REPEATED || !iol_options_given(common, entry->name)) && (use->rules || !only_rules))
            r = iol_options_take(usage, entry->name, entry->value, common, input, err);
        if (r < 0)
            return iol_config_blame(config, entry, r, err);
    }
    return 0;
}

/* Leaves out what `record` has and the usage has not. */
static void keep_known(const struct iol_usage *usage, struct iol_config *config)
{
    size_t kept = 0;

    for (size_t i = 0; i < config->n; i++) {
        if (iol_options_known(usage, config->entries[i].name, NULL) ||
            !iol_record_option_known(config->entries[i].name))
            config->entries[kept++] = config->entries[i];
    }
    config->n = kept;
}

int iol_record_config_apply_known(const struct iol_usage *usage, struct iol_options *common, const char *path,
                                  void *input, struct iol_config **ret_config, struct iol_error *err)
{
    int r = iol_config_read(path, ret_config, err);

    if (r < 0)
        return r;
    keep_known(usage, *ret_config);
    return take_entries(usage, *ret_config, false, common, input, err);
}

int iol_record_config_apply(const struct iol_usage *usage, struct iol_options *common,
                            struct iol_record_options *options, struct iol_error *err)
{
    int r = iol_config_read(options->config_path, &options->config, err);

    return r < 0 ? r : take_entries(usage, options->config, false, common, options, err);
}

static void add_name(char *names, size_t size, const char *name)
{
    size_t used = strlen(names);

    snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
}

/* Names of options in `one` that `other` has not in the same way; those that both have are told for the first of the two only. */
static void add_differences(const struct iol_config *one, const struct iol_config *other, bool both, char *names,
                            size_t size)
{
    for (size_t i = 0; i < one->n; i++) {
        const char *name = one->entries[i].name;
        bool there = false;

        for (size_t j = 0; j < other->n; j++)
            there |= strcmp(other->entries[j].name, name) == 0;
        if (first_of(one, name) == &one->entries[i] && !use_of(name)->rules && (both || !there) &&
            !iol_config_same(one, other, name))
            add_name(names, size, name);
    }
}

int iol_record_config_reload(const struct iol_usage *usage, const struct iol_record_options *options,
                             struct iol_record_rules *ret_rules, char *changed, size_t changed_size,
                             struct iol_error *err)
{
    struct iol_record_options fresh = {
        .rules = {.event_budget = IOL_RECORD_EVENT_BUDGET, .event_budget_process = IOL_RECORD_EVENT_BUDGET}};
    struct iol_options common = options->common;
    struct iol_config *config = NULL;
    int r = 0;

    if (iol_options_given(&common, "event-budget")) {
        fresh.rules.event_budget = options->rules.event_budget;
        fresh.rules.event_budget_process = options->rules.event_budget_process;
    }
    for (size_t i = 0; r == 0 && i < options->n_own_rules; i++)
        r = iol_rule_text_add(&fresh.rules.list, options->rules.list.rules[i].verdict, options->rules.list.texts[i],
                              err);
    if (r == 0)
        r = iol_config_read(options->config_path, &config, err);
    if (r == 0)
        r = take_entries(usage, config, true, &common, &fresh, err);
    if (r < 0) {
        iol_rule_text_done(&fresh.rules.list);
        iol_config_free(config);
        return r;
    }
    changed[0] = '\0';
    add_differences(config, options->config, true, changed, changed_size);
    add_differences(options->config, config, false, changed, changed_size);
    iol_config_free(config);
    *ret_rules = fresh.rules;
    return 0;
}

struct iol_rule_set iol_record_rules_set(const struct iol_record_rules *rules)
{
    return (struct iol_rule_set){
        .rules = rules->list.rules,
        .n = rules->list.n,
        .event_budget = rules->event_budget,
        .event_budget_process = rules->event_budget_process,
    };
}
