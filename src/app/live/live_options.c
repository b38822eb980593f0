// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

#include "app/live/live_options.h"

#include "app/record_config.h"
#include "base/cleanup.h"
#include "base/error.h"

/* Those of `record` that choose what is looked at, with their headings; "" is a heading. */
static const struct {
    const char *name;
    const char *doc; /* in the place of its own, or the heading */
    int group;
} shared[] = {
    {NULL, "What to look at:", 1},
    {"pid", NULL, 1},
    {"comm", NULL, 1},
    {"uid", NULL, 1},
    {"exe", NULL, 1},
    {"cgroup", NULL, 1},
    {"container", NULL, 1},
    {"kinds", NULL, 1},
    {"ignore", NULL, 1},
    {"config", "Take these from a configuration file of 'record' too; what does not concern this command is left alone",
     1},
    {NULL, "How to look at it:", 3},
    {"interval", "Read the accounts this often (default: 1s; at least 10ms)", 3},
    {"duration", "Stop after this time (default: Ctrl-C)", 3},
    {"max-accounts", NULL, 3},
    {"probes", NULL, 3},
};

struct parse {
    const struct iol_live_usage *usage;
    struct iol_record_options options;
    struct iol_usage whole;
    struct argp_option table[IOL_OPTIONS_MAX];
    size_t n;
};

static void add(struct parse *parse, struct argp_option option, const char *doc, int group)
{
    option.group = group;
    option.doc = doc ? doc : option.doc;
    if (parse->n < IOL_OPTIONS_MAX - 1)
        parse->table[parse->n++] = option;
}

static void join_tables(struct parse *parse)
{
    const struct argp_option *own = parse->usage->own->options;

    for (; own && (own->name || own->key || own->doc); own++)
        add(parse, *own, NULL, 0);
    for (size_t i = 0; i < IOL_ARRAY_SIZE(shared); i++) {
        if (shared[i].name)
            add(parse, *iol_record_option(shared[i].name), shared[i].doc, shared[i].group);
        else
            add(parse, (struct argp_option){0}, shared[i].doc, shared[i].group);
    }
    for (const struct iol_live_more *more = parse->usage->more; more && more->doc; more++)
        add(parse, more->name ? *iol_record_option(more->name) : (struct argp_option){0}, more->doc, 2);
}

static bool is_own(const struct iol_live_usage *usage, int key)
{
    const struct argp_option *own = usage->own->options;

    for (; own && (own->name || own->key || own->doc); own++) {
        if (own->key == key)
            return true;
    }
    return false;
}

static int take_option(int key, const char *text, void *input, struct iol_error *err)
{
    struct parse *parse = input;

    if (is_own(parse->usage, key))
        return parse->usage->own->option(key, text, parse->usage->input, err);
    return iol_record_option_take(key, text, &parse->options, err);
}

static int complete(struct iol_options *common, void *input, struct iol_error *err)
{
    struct parse *parse = input;

    if (!parse->options.config_path)
        return 0;
    return iol_record_config_apply_known(&parse->whole, common, parse->options.config_path, parse,
                                         &parse->options.config, err);
}

bool iol_live_options_parse(const struct iol_live_usage *usage, int argc, char **argv,
                            struct iol_record_options *ret_options, int *ret_status)
{
    struct parse parse = {.usage = usage, .whole = *usage->own};
    struct iol_error err = {0};

    iol_record_options_init(&parse.options);
    parse.options.events = usage->events;
    join_tables(&parse);
    parse.whole.options = parse.table;
    parse.whole.option = take_option;
    parse.whole.complete = complete;
    parse.whole.word = usage->own->word ? usage->own->word : iol_record_option_word;
    if (!iol_options_parse(&parse.whole, argc, argv, &parse, &parse.options.common, ret_status)) {
        iol_record_options_done(&parse.options);
        return false;
    }
    if (iol_record_options_complete(&parse.options, &err) < 0) {
        *ret_status = iol_options_fail(argv[0], &err);
        iol_record_options_done(&parse.options);
        return false;
    }
    if (parse.options.common.n_args > 0)
        parse.options.command = parse.options.common.args;
    iol_record_options_warn(&parse.options);
    *ret_options = parse.options;
    return true;
}
