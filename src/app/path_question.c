// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include "app/path_question.h"

#include <stdio.h>
#include <string.h>

#include "app/options.h"
#include "app/question.h"
#include "base/arena.h"
#include "base/error.h"
#include "store/reader.h"

void iol_path_question_done(struct iol_path_question *question)
{
    iol_db_close(question->db);
    iol_arena_free(question->arena);
}

/* The paths asked for, and the names that the file had besides. */
static const char *make_condition(struct iol_path_question *question, bool with_times)
{
    const char *own = iol_paths_condition(question->arena, &question->paths, with_times ? "path" : "f.path",
                                          question->params, &question->n_params);
    const char *others = iol_aliases_condition(question->arena, question->db, &question->aliases, with_times,
                                               question->params, &question->n_params);
    size_t size = own && others ? strlen(own) + strlen(others) + 3 : 0;
    char *text = size ? iol_arena_alloc(question->arena, size) : NULL;

    if (text)
        snprintf(text, size, "(%s%s)", own, others);
    return text;
}

int iol_path_question_open(const struct iol_options *options, const char *path, struct iol_path_question *question,
                           struct iol_error *err)
{
    int r;

    *question = (struct iol_path_question){.arena = iol_arena_new()};
    if (!question->arena)
        return iol_question_no_memory(err);
    r = iol_paths_resolve(question->arena, path, &question->paths, err);
    if (r == 0)
        r = iol_db_open_host(options->db, options->verbose, options->host, &question->db, err);
    if (r == 0)
        r = iol_aliases_find(question->arena, question->db, &question->paths, &question->aliases, err);
    if (r < 0)
        return r;
    question->condition = make_condition(question, false);
    question->window = question->condition ? make_condition(question, true) : NULL;
    return question->window ? 0 : iol_question_no_memory(err);
}

struct iol_ask iol_path_question_ask(const struct iol_path_question *question, const struct iol_options *options)
{
    return (struct iol_ask){.since = options->since,
                            .until = options->until,
                            .reads = options->reads,
                            .writes = options->writes,
                            .files = question->condition,
                            .names = question->window,
                            .params = question->params,
                            .n_params = question->n_params};
}
