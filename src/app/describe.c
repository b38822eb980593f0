// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/describe.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>

#include "app/command.h"
#include "app/options.h"
#include "store/schema.h"

static int print_object(json_t *object, FILE *to)
{
    int r = object ? json_dumpf(object, to, JSON_INDENT(1)) : -1;

    json_decref(object);
    putc('\n', to);
    return r < 0 ? -ENOMEM : 0;
}

static json_t *describe_option(const struct argp_option *option, iol_describe_word_fn word, const void *from)
{
    const char letter[] = {(char)option->key, '\0'};
    json_t *words = json_array();
    const char *one;

    for (unsigned int i = 0; (one = word(from, option->key, i)); i++)
        json_array_append_new(words, json_string(one));
    return json_pack("{s:s, s:s?, s:s?, s:b, s:s, s:o}", "name", option->name, "letter",
                     option->key < 0x80 && isalnum(option->key) ? letter : NULL, "argument", option->arg, "optional",
                     option->flags & OPTION_ARG_OPTIONAL ? 1 : 0, "doc", option->doc ? option->doc : "", "words",
                     words);
}

static json_t *describe_options(const struct argp_option *const *tables, iol_describe_word_fn word, const void *from)
{
    json_t *list = json_array();

    for (; *tables; tables++) {
        for (const struct argp_option *option = *tables; option->name || option->key || option->doc; option++) {
            if (option->flags & OPTION_HIDDEN)
                continue;
            json_array_append_new(list, option->name ? describe_option(option, word, from)
                                                     : json_pack("{s:s}", "heading", option->doc));
        }
    }
    return list;
}

int iol_describe_usage(const char *command, const struct iol_usage *usage, const struct argp_option *const *tables,
                       iol_describe_word_fn word, const void *from, FILE *to)
{
    return print_object(json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "name", command, "arguments",
                                  usage->arguments ? usage->arguments : "", "summary", usage->summary, "details",
                                  usage->details ? usage->details : "", "runs_command",
                                  usage->common & IOL_COMMON_COMMAND ? 1 : 0, "options",
                                  describe_options(tables, word, from)),
                        to);
}

static json_t *describe_column(const struct iol_column *column)
{
    static const char *const types[] = {
        [IOL_TYPE_INT] = "bigint",
        [IOL_TYPE_TEXT] = "text",
        [IOL_TYPE_TIME] = "timestamp",
        [IOL_TYPE_ENUM] = "word",
    };
    json_t *words = json_array();

    for (size_t i = 0; column->words && i < column->words->count; i++)
        json_array_append_new(words, json_string(column->words->words[i]));
    return json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", column->name, "type", types[column->type], "not_null",
                     column->not_null, "doc", column->doc, "words", words);
}

static json_t *describe_tables(void)
{
    json_t *tables = json_array();

    for (size_t i = 0; i < IOL_TABLE_COUNT; i++) {
        const struct iol_table *table = &iol_schema_tables[i];
        json_t *columns = json_array();

        for (size_t j = 0; j < table->n_columns; j++)
            json_array_append_new(columns, describe_column(&table->columns[j]));
        json_array_append_new(tables,
                              json_pack("{s:s, s:s, s:o}", "name", table->name, "doc", table->doc, "columns", columns));
    }
    return tables;
}

int iol_describe_all(const char *overview, const struct iol_command *commands, size_t n, FILE *to)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", commands[i].name, "summary",
                                              commands[i].summary, "group", commands[i].group));
    return print_object(json_pack("{s:s, s:s, s:o, s:o}", "version", IOL_VERSION, "overview", overview, "commands",
                                  list, "tables", describe_tables()),
                        to);
}
