// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "app/command.h"
#include "app/describe.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "core/row.h"

#define NS_PER_S INT64_C(1000000000)

#define DEFAULT_DB "sqlite:ioledger.db"
#define SERVICE_DB "sqlite:/var/lib/ioledger/ioledger.db"
#define SERVICE_DIR "/var/lib/ioledger"

/* Keys of the common options; those of a command are letters or start at 0x200 by the same habit. */
enum {
    KEY_DB = 0x1000,
    KEY_FORMAT,
    KEY_VERBOSE,
    KEY_QUIET,
    KEY_HOST,
    KEY_HELP,
    KEY_DESCRIBE,
    KEY_SINCE,
    KEY_UNTIL,
    KEY_READ,
    KEY_WRITE
};

#define TABLES_MAX 5 /* of options: the command's own, and those that are shared */

/* Keys that argp makes up itself (ARGP_KEY_ARG, ARGP_KEY_END, ...) have this bit. */
#define ARGP_KEY_SPECIAL 0x1000000

struct parse {
    const char *command;
    const struct iol_usage *usage;
    void *input;
    struct iol_options options;
    struct iol_error err;
    FILE *help_to;
    bool helped;
    struct argp_option options_table[10]; /* the shared ones that this command has of the table `general` */
    struct argp general;
    struct argp_child children[TABLES_MAX + 1];
};

_Static_assert((IOL_COMMON_DB | IOL_COMMON_FORMAT | IOL_COMMON_QUIET | IOL_COMMON_COMMAND | IOL_COMMON_SPAN |
                IOL_COMMON_ACCESS | IOL_COMMON_HOST) ==
                   (IOL_COMMON_DB + IOL_COMMON_FORMAT + IOL_COMMON_QUIET + IOL_COMMON_COMMAND + IOL_COMMON_SPAN +
                    IOL_COMMON_ACCESS + IOL_COMMON_HOST),
               "each is a bit of its own");

/* A heading, and options that not every command has. */
static const struct general_option {
    unsigned common; /* 0: every command */
    struct argp_option option;
} general_options[] = {
    {0, {NULL, 0, NULL, 0, "General:", 1}},
    {IOL_COMMON_DB,
     {"db", KEY_DB, "URL", 0,
      "The ledger: sqlite:PATH, postgresql://... or clickhouse://... (default: $IOLEDGER_DB, else " DEFAULT_DB
      " in the working directory, or " SERVICE_DB " for the system service)",
      1}},
    {IOL_COMMON_FORMAT,
     {"format", KEY_FORMAT, "FORMAT", 0, "table (default), json (one array of objects) or csv (with a header line)",
      1}},
    {IOL_COMMON_HOST,
     {"host", KEY_HOST, "NAME", 0, "Only what the machine of that name recorded; 'all', the default, is every machine",
      1}},
    {IOL_COMMON_QUIET, {"quiet", KEY_QUIET, NULL, 0, "Nothing on stderr but warnings and errors", 1}},
    {0, {"verbose", KEY_VERBOSE, NULL, 0, "Also show messages of libraries and databases", 1}},
    {0, {"help", KEY_HELP, NULL, 0, "Show this help", 1}},
};

static const struct argp_option options_hidden[] = {
    {"describe", KEY_DESCRIBE, NULL, OPTION_HIDDEN, NULL, 0},
    {0},
};

static const struct argp_option options_access[] = {
    {NULL, 0, NULL, 0, "Which operations:", 0},
    {"read", KEY_READ, NULL, 0, "Only what was read", 0},
    {"write", KEY_WRITE, NULL, 0, "Only what was written; with --read: what was both", 0},
    {0},
};

static const struct argp_option options_span[] = {
    {NULL, 0, NULL, 0, "Which time:", 0},
    {"since", KEY_SINCE, "TIME", 0,
     "Only what happened then or later: '10 min ago', 'yesterday 14:00', 14:00, '2026-11-25 14:00', "
     "2026-11-25T14:00:00+02:00, now; UTC unless it names a zone, or ends in 'local'",
     0},
    {"until", KEY_UNTIL, "TIME", 0, "Only what happened before that", 0},
    {0},
};

static const char *const format_names[] = {
    [IOL_FORMAT_TABLE] = "table", [IOL_FORMAT_JSON] = "json", [IOL_FORMAT_CSV] = "csv"};

struct words {
    const char *const *words;
    size_t n;
};

static const char *nth_of_words(const void *from, unsigned index)
{
    const struct words *words = from;

    return index < words->n ? words->words[index] : NULL;
}

int iol_option_word(const char *text, const char *const *words, size_t n, const char *what, size_t *ret_index,
                    struct iol_error *err)
{
    const struct words list = {words, n};
    const char *suggestion;
    char all[256] = "";

    for (size_t i = 0; i < n; i++) {
        size_t used = strlen(all);

        if (strcmp(text, words[i]) == 0) {
            *ret_index = i;
            return 0;
        }
        snprintf(all + used, sizeof(all) - used, "%s%s", i == 0 ? "" : i + 1 < n ? ", " : " and ", words[i]);
    }
    suggestion = iol_command_suggest(text, nth_of_words, &list);
    if (suggestion)
        iol_error_set(err, -EINVAL, "'%s' is not a %s: did you mean '%s'?", text, what, suggestion);
    else
        iol_error_set(err, -EINVAL, "'%s' is not a %s", text, what);
    iol_error_hint(err, "%ss are %s", what, all);
    return -EINVAL;
}

static int parse_format(const char *text, enum iol_format *ret_format, struct iol_error *err)
{
    size_t format;
    int r = iol_option_word(text, format_names, IOL_ARRAY_SIZE(format_names), "format", &format, err);

    if (r == 0)
        *ret_format = (enum iol_format)format;
    return r;
}

static int check_db(const char *text, struct iol_error *err)
{
    static const char *const schemes[] = {
        "sqlite:", "postgresql:", "postgres:", "clickhouse:", "clickhouse+https:", "kafka:", "jsonl:"};

    for (size_t i = 0; i < IOL_ARRAY_SIZE(schemes); i++) {
        if (strncmp(text, schemes[i], strlen(schemes[i])) == 0 && text[strlen(schemes[i])] != '\0')
            return 0;
    }
    iol_error_set(err, -EINVAL, "'%s' is not the URL of a database", text);
    if (*text && !strchr(text, ':'))
        iol_error_hint(err, "for an SQLite file write 'sqlite:%s'", text);
    else
        iol_error_hint(
            err,
            "URLs are sqlite:PATH, postgresql://USER@HOST/DATABASE and clickhouse://HOST/DATABASE (and jsonl:PATH and "
            "kafka://BROKER/TOPIC for record and load)");
    return -EINVAL;
}

static int take_option(struct parse *parse, int key, char *text)
{
    switch (key) {
    case KEY_DB:
        parse->options.db = text;
        return check_db(text, &parse->err);
    case KEY_FORMAT:
        return parse_format(text, &parse->options.format, &parse->err);
    case KEY_SINCE:
        return iol_option_time(text, parse->options.now, &parse->options.since, &parse->err);
    case KEY_UNTIL:
        return iol_option_time(text, parse->options.now, &parse->options.until, &parse->err);
    case KEY_READ:
        parse->options.reads = true;
        return 0;
    case KEY_WRITE:
        parse->options.writes = true;
        return 0;
    case KEY_VERBOSE:
        parse->options.verbose = true;
        return 0;
    case KEY_HOST:
        parse->options.host = text;
        return *text ? 0 : iol_error_set(&parse->err, -EINVAL, "the name of the host is empty");
    case KEY_QUIET:
        parse->options.quiet = true;
        return 0;
    default:
        return parse->usage->option(key, text, parse->input, &parse->err);
    }
}

/* The tables of options that this command uses, and NULL. */
static void list_tables(const struct parse *parse, const struct argp_option *ret_tables[TABLES_MAX + 1])
{
    size_t n = 0;

    if (parse->usage->options)
        ret_tables[n++] = parse->usage->options;
    for (const struct argp_child *child = parse->children; child->argp; child++)
        ret_tables[n++] = child->argp->options;
    ret_tables[n] = NULL;
}

/* The index-th option of all that are told; NULL: there are no more. */
static const struct argp_option *option_at(const struct parse *parse, unsigned index)
{
    const struct argp_option *tables[TABLES_MAX + 1];

    list_tables(parse, tables);
    for (size_t i = 0; tables[i]; i++) {
        for (const struct argp_option *option = tables[i]; option->name || option->key || option->doc; option++) {
            if (option->name && !(option->flags & OPTION_HIDDEN) && index-- == 0)
                return option;
        }
    }
    return NULL;
}

static const char *nth_option(const void *from, unsigned index)
{
    const struct argp_option *option = option_at(from, index);

    return option ? option->name : NULL;
}

static const char *option_name(const struct parse *parse, int key)
{
    const struct argp_option *option;

    for (unsigned i = 0; (option = option_at(parse, i)); i++) {
        if (option->key == key)
            return option->name;
    }
    return "?";
}

static void remember_given(struct iol_options *options, const char *name)
{
    if (!iol_options_given(options, name) && options->n_given < IOL_OPTIONS_MAX)
        options->given[options->n_given++] = name;
}

static void prefix_error(struct iol_error *err, const char *option)
{
    char text[IOL_ERROR_TEXT_MAX];

    memcpy(text, err->text, sizeof(text));
    snprintf(err->text, sizeof(err->text), "--%s: %.*s", option, (int)sizeof(err->text) - 64, text);
}

static const char *nth_word(const void *from, int key, unsigned int index)
{
    const struct parse *parse = from;

    if (key == KEY_FORMAT)
        return index < IOL_ARRAY_SIZE(format_names) ? format_names[index] : NULL;
    return key < KEY_DB && parse->usage->word ? parse->usage->word(key, index) : NULL;
}

static error_t describe(struct parse *parse)
{
    const struct argp_option *tables[TABLES_MAX + 1];

    list_tables(parse, tables);
    if (iol_describe_usage(parse->command, parse->usage, tables, nth_word, parse, parse->help_to) < 0)
        return ENOMEM;
    parse->helped = true;
    return ECANCELED;
}

static error_t on_key(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;

    if (key == ARGP_KEY_INIT) {
        for (size_t i = 0; parse->children[i].argp; i++)
            state->child_inputs[i] = parse;
        return 0;
    }
    if (key == ARGP_KEY_ARG) {
        /* All options are behind us, or the first argument ends them: the rest of argv is the arguments. */
        parse->options.args = &state->argv[state->next - 1];
        parse->options.n_args = (size_t)(state->argc - (state->next - 1));
        state->next = state->argc;
        return 0;
    }
    if (key & ARGP_KEY_SPECIAL)
        return ARGP_ERR_UNKNOWN;
    if (key == KEY_HELP) {
        argp_state_help(state, parse->help_to, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC);
        parse->helped = true;
        return ECANCELED;
    }
    if (key == KEY_DESCRIBE)
        return describe(parse);
    if (take_option(parse, key, text) < 0) {
        prefix_error(&parse->err, option_name(parse, key));
        return EINVAL;
    }
    remember_given(&parse->options, option_name(parse, key));
    return 0;
}

/* Children are asked only about their own options. */
static error_t on_child_key(int key, char *text, struct argp_state *state)
{
    return key & ARGP_KEY_SPECIAL ? ARGP_ERR_UNKNOWN : on_key(key, text, state);
}

static const struct argp argp_access = {.options = options_access, .parser = on_child_key};
static const struct argp argp_hidden = {.options = options_hidden, .parser = on_child_key};
static const struct argp argp_span = {.options = options_span, .parser = on_child_key};

/* The shared options that this command has, behind its own. */
static void choose_children(struct parse *parse)
{
    unsigned common = parse->usage->common;
    struct argp_option *option = parse->options_table;
    size_t n = 0;

    _Static_assert(IOL_ARRAY_SIZE(general_options) < IOL_ARRAY_SIZE(parse->options_table), "and one of zeros");
    for (size_t i = 0; i < IOL_ARRAY_SIZE(general_options); i++) {
        if (!general_options[i].common || common & general_options[i].common)
            *option++ = general_options[i].option;
    }
    parse->general = (struct argp){.options = parse->options_table, .parser = on_child_key};
    if (common & IOL_COMMON_ACCESS)
        parse->children[n++] = (struct argp_child){&argp_access, 0, NULL, 20};
    if (common & IOL_COMMON_SPAN)
        parse->children[n++] = (struct argp_child){&argp_span, 0, NULL, 21};
    parse->children[n++] = (struct argp_child){&parse->general, 0, NULL, 22};
    parse->children[n++] = (struct argp_child){&argp_hidden, 0, NULL, 23};
    parse->children[n] = (struct argp_child){0};
}

/*
 * Makes one line of what getopt said, "NAME: unrecognized option '--fromat'\n...": without the name, and with the
 * option that was meant, when one is near.
 */
static void explain_getopt(struct parse *parse, const char *name, char *said)
{
    const char *text = said, *suggestion = NULL, *open, *close;
    char word[64], *hint;

    /* argp's own hint stands behind getopt's line, in which there may be a newline that was typed. */
    hint = strstr(said, "\nTry `");
    if (hint)
        *hint = '\0';
    if (strncmp(text, name, strlen(name)) == 0 && strncmp(text + strlen(name), ": ", 2) == 0)
        text += strlen(name) + 2;
    open = strstr(text, "'--");
    close = strrchr(text, '\'');
    if (open && close > open + 3 && strstr(text, "unrecognized")) {
        snprintf(word, sizeof(word), "%.*s", (int)(close - open - 3), open + 3);
        word[strcspn(word, "=")] = '\0';
        suggestion = iol_command_suggest(word, nth_option, parse);
    }
    if (suggestion)
        iol_error_set(&parse->err, -EINVAL, "%s: did you mean '--%s'?", text, suggestion);
    else
        iol_error_set(&parse->err, -EINVAL, "%s", *text ? text : "bad usage");
}

/* Runs argp with what getopt and argp would print on stderr caught in *ret_said. */
static error_t run_argp(struct parse *parse, const struct argp *argp, int argc, char **argv, char **ret_said)
{
    unsigned flags = ARGP_NO_EXIT | ARGP_NO_HELP;
    FILE *terminal = stderr;
    size_t size = 0;
    FILE *caught = open_memstream(ret_said, &size);
    error_t r;

    if (!caught)
        return ENOMEM;
    if (parse->usage->common & IOL_COMMON_COMMAND)
        flags |= ARGP_IN_ORDER;
    /* glibc's stderr is a variable; getopt has no other way to be told where to complain. */
    stderr = caught;
    r = argp_parse(argp, argc, argv, flags, NULL, parse);
    stderr = terminal;
    if (fclose(caught) != 0)
        return ENOMEM;
    return r;
}

static int check_args(struct parse *parse)
{
    const struct iol_usage *usage = parse->usage;

    if (parse->options.n_args < usage->min_args)
        return iol_error_set(&parse->err, -EINVAL, "%s is missing", usage->missing);
    if (parse->options.n_args > usage->max_args)
        return iol_error_set(&parse->err, -EINVAL, "unexpected argument '%s'", parse->options.args[usage->max_args]);
    return 0;
}

static const struct argp_option *find_option(const struct parse *parse, const char *name, struct iol_error *err)
{
    const struct argp_option *option;
    const char *suggestion;

    for (unsigned i = 0; (option = option_at(parse, i)); i++) {
        if (strcmp(option->name, name) == 0)
            return option;
    }
    suggestion = iol_command_suggest(name, nth_option, parse);
    if (suggestion)
        iol_error_set(err, -ENOENT, "there is no option '%s': did you mean '%s'?", name, suggestion);
    else
        iol_error_set(err, -ENOENT, "there is no option '%s'", name);
    return NULL;
}

bool iol_options_known(const struct iol_usage *usage, const char *name, struct iol_error *err)
{
    struct parse parse = {.usage = usage};

    choose_children(&parse);
    return find_option(&parse, name, err) != NULL;
}

int iol_options_take(const struct iol_usage *usage, const char *name, const char *text, struct iol_options *common,
                     void *input, struct iol_error *err)
{
    struct parse parse = {.usage = usage, .input = input, .options = *common};
    const struct argp_option *option;
    int r;

    choose_children(&parse);
    option = find_option(&parse, name, err);
    if (!option)
        return -ENOENT;
    if (!option->arg && strcmp(text, "no") == 0)
        return 0;
    if (!option->arg && strcmp(text, "yes") != 0)
        return iol_error_set(err, -EINVAL, "'%s' is neither yes nor no", text);
    /* the text is only read: argp's own type has no const */
    r = take_option(&parse, option->key, option->arg ? (char *)(uintptr_t)text : NULL);
    if (r < 0) {
        if (err)
            *err = parse.err;
        return r;
    }
    *common = parse.options;
    return 0;
}

bool iol_options_given(const struct iol_options *common, const char *name)
{
    for (size_t i = 0; i < common->n_given; i++) {
        if (strcmp(common->given[i], name) == 0)
            return true;
    }
    return false;
}

static int check_span(struct parse *parse)
{
    const struct iol_options *options = &parse->options;

    if (options->since == IOL_NULL || options->until == IOL_NULL || options->until > options->since)
        return 0;
    return iol_error_set(&parse->err, -EINVAL, "--until is not after --since: there is nothing between them");
}

static int complete(struct parse *parse)
{
    const struct iol_usage *usage = parse->usage;

    return usage->complete ? usage->complete(&parse->options, parse->input, &parse->err) : 0;
}

static int choose_db(struct parse *parse)
{
    const char *from_environment = getenv("IOLEDGER_DB");

    if (parse->options.db || !(parse->usage->common & IOL_COMMON_DB))
        return 0;
    if (from_environment && *from_environment) {
        parse->options.db = from_environment;
        if (check_db(from_environment, &parse->err) < 0) {
            iol_error_set(&parse->err, -EINVAL, "IOLEDGER_DB: '%s' is not the URL of a database", from_environment);
            return -EINVAL;
        }
        return 0;
    }
    parse->options.db = getenv("INVOCATION_ID") && access(SERVICE_DIR, F_OK) == 0 ? SERVICE_DB : DEFAULT_DB;
    return 0;
}

int iol_options_fail(const char *command, const struct iol_error *err)
{
    iol_log_error("%s", err->text);
    if (err->hint[0])
        iol_log_error("%s", err->hint);
    else
        iol_log_error("try 'ioledger %s --help'", command);
    return IOL_EXIT_USAGE;
}

bool iol_options_parse(const struct iol_usage *usage, int argc, char **argv, void *input,
                       struct iol_options *ret_options, int *ret_status)
{
    const char *command = argv[0];
    struct parse parse = {.command = command, .usage = usage, .input = input, .help_to = stdout};
    _cleanup_free_ char *name = NULL, *doc = NULL, *said = NULL;
    error_t r;

    parse.options.now = iol_wall_ns();
    parse.options.since = parse.options.until = IOL_NULL;
    choose_children(&parse);
    if (asprintf(&name, "ioledger %s", command) < 0 ||
        asprintf(&doc, "%s\v%s", usage->summary, usage->details ? usage->details : "") < 0) {
        iol_log_error("no memory");
        *ret_status = IOL_EXIT_FAILURE;
        return false;
    }
    argv[0] = name;
    r = run_argp(&parse,
                 &(struct argp){.options = usage->options,
                                .parser = on_key,
                                .args_doc = usage->arguments,
                                .doc = doc,
                                .children = parse.children},
                 argc, argv, &said);
    argv[0] = (char *)(uintptr_t)command;
    if (parse.helped) {
        *ret_status = IOL_EXIT_OK;
        return false;
    }
    if (r != 0 && !parse.err.text[0])
        explain_getopt(&parse, name, said);
    if (r != 0 || check_args(&parse) < 0 || check_span(&parse) < 0 || complete(&parse) < 0 || choose_db(&parse) < 0) {
        *ret_status = iol_options_fail(command, &parse.err);
        return false;
    }
    if (parse.options.verbose)
        iol_log_set_level(IOL_LOG_DEBUG);
    else if (parse.options.quiet)
        iol_log_set_level(IOL_LOG_WARNING);
    *ret_options = parse.options;
    return true;
}
