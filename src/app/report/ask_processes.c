// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "app/question.h"
#include "app/report/report.intern.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "core/row.h"

#define PROGRAMS_SHOWN 300
#define ASKED_AT_ONCE 500

/* More of a command line than anybody reads, and less than a build with long ones would fill the page with. */
#define ARGV_SHOWN "400"

static int by_sums(const void *a, const void *b)
{
    const struct iol_report_total *x = *(struct iol_report_total *const *)a, *y = *(struct iol_report_total *const *)b;
    int order = iol_report_order(&x->sums, &y->sums);

    return order ? order : (x->id > y->id) - (x->id < y->id);
}

static int ask_file_counts(struct iol_report_asking *asking, const int64_t *ids, size_t n, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *condition = iol_report_condition("p.id", ids, n);
    struct iol_ask ask = asking->span;
    struct iol_report_process *process;
    int r;

    if (!condition)
        return iol_report_no_memory(err);
    ask.processes = condition;
    r = iol_ask_report_file_counts(asking->db, &ask, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        process = iol_report_process(asking->report, iol_query_int(query, 0), false);
        if (process)
            process->files = iol_query_int(query, 1);
    }
    return r;
}

/* Those that moved most, with the number of their files; and what the ones that are known by their files did in all. */
static int take_biggest(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    size_t n = 0, all = HASH_COUNT(asking->by_process);
    _cleanup_free_ struct iol_report_total **totals = calloc(all + 1, sizeof(struct iol_report_total *));
    _cleanup_free_ int64_t *ids = calloc((size_t)report->limit + 1, sizeof(*ids));
    int r = 0;

    if (!totals || !ids)
        return iol_report_no_memory(err);
    for (struct iol_report_total *total = asking->by_process; total; total = total->hh.next)
        totals[n++] = total;
    qsort(totals, n, sizeof(struct iol_report_total *), by_sums);
    report->n_all_processes = (int64_t)n;
    for (size_t i = 0; i < n; i++) {
        bool biggest = i < (size_t)report->limit;
        struct iol_report_process *process = iol_report_process(report, totals[i]->id, biggest);

        if (biggest && !process)
            return iol_report_no_memory(err);
        if (!process)
            continue;
        process->sums = totals[i]->sums;
        process->files = -1;
        if (biggest)
            ids[i] = totals[i]->id;
    }
    n = n < (size_t)report->limit ? n : (size_t)report->limit;
    for (size_t from = 0; r == 0 && from < n; from += ASKED_AT_ONCE) {
        iol_report_say(asking, "counting the files of the biggest processes", (double)from / (double)n);
        r = ask_file_counts(asking, ids + from, n - from < ASKED_AT_ONCE ? n - from : ASKED_AT_ONCE, err);
    }
    return r;
}

/* Those that began, and did nothing that is counted, as far as there is room. */
static int ask_idle(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    int64_t room = report->limit - (int64_t)HASH_COUNT(report->processes);
    struct iol_ask ask = asking->span;
    bool first = true;
    int r;

    ask.limit = room > 0 ? room : 1;
    r = iol_ask_report_idle(asking->db, &ask, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (first)
            report->n_all_processes += iol_query_int(query, 1);
        first = false;
        if (room-- > 0 && !iol_report_process(report, iol_query_int(query, 0), true))
            return iol_report_no_memory(err);
    }
    return r;
}

enum {
    ROW_ID,
    ROW_HOST,
    ROW_PARENT,
    ROW_PID,
    ROW_ORIGIN,
    ROW_COMM,
    ROW_EXE,
    ROW_ARGV,
    ROW_CWD,
    ROW_USER,
    ROW_CONTAINER,
    ROW_STARTED,
    ROW_EXECUTED,
    ROW_ENDED,
    ROW_EXIT_CODE,
    ROW_SIGNAL,
};

static int describe(struct iol_report *report, const struct iol_query *query)
{
    struct iol_report_process *process = iol_report_process(report, iol_query_int(query, ROW_ID), true);
    bool failed = false;

    if (!process)
        return -ENOMEM;
    if (process->described)
        return 0;
    process->described = true;
    process->host_id = iol_query_int(query, ROW_HOST);
    process->parent_id = iol_query_int(query, ROW_PARENT);
    process->pid = iol_query_int(query, ROW_PID);
    process->origin = iol_report_text(report, query, ROW_ORIGIN, &failed);
    process->comm = iol_report_text(report, query, ROW_COMM, &failed);
    process->exe = iol_report_text(report, query, ROW_EXE, &failed);
    process->argv = iol_report_text(report, query, ROW_ARGV, &failed);
    process->cwd = iol_report_text(report, query, ROW_CWD, &failed);
    process->user = iol_report_text(report, query, ROW_USER, &failed);
    process->container = iol_report_text(report, query, ROW_CONTAINER, &failed);
    process->started = iol_report_time(query, ROW_STARTED);
    process->executed = iol_report_time(query, ROW_EXECUTED);
    process->ended = iol_report_time(query, ROW_ENDED);
    process->exit_code = iol_query_is_null(query, ROW_EXIT_CODE) ? IOL_NULL : iol_query_int(query, ROW_EXIT_CODE);
    process->signal = iol_query_is_null(query, ROW_SIGNAL) ? IOL_NULL : iol_query_int(query, ROW_SIGNAL);
    return failed ? -ENOMEM : 0;
}

static int ask_rows(struct iol_report_asking *asking, const char *seeds, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    _cleanup_free_ char *sql = NULL;
    int r;

    if (asprintf(&sql,
                 "WITH RECURSIVE line(id) AS (SELECT p.id FROM process p WHERE p.id IN (%s)"
                 " UNION SELECT p.parent_id FROM line JOIN process p ON p.id = line.id WHERE p.parent_id IS NOT NULL)"
                 " SELECT p.id, p.host_id, p.parent_id, p.pid, p.origin, p.comm, p.exe,"
                 " CASE WHEN length(p.argv) > " ARGV_SHOWN " THEN substr(p.argv, 1, " ARGV_SHOWN
                 ") || '\u2026' ELSE p.argv END, p.cwd, coalesce(l.name, CAST(p.uid AS text)),"
                 " p.container_id, p.start_time, p.exec_time, x.ts, x.exit_code, x.signal"
                 " FROM line JOIN process p ON p.id = line.id LEFT JOIN process_exit x ON x.process_id = p.id"
                 " LEFT JOIN login l ON l.host_id = p.host_id AND l.uid = p.uid",
                 seeds) < 0)
        return iol_report_no_memory(err);
    r = iol_query_new(asking->db, sql, 0, NULL, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        if (describe(asking->report, query) < 0)
            return iol_report_no_memory(err);
    }
    return r;
}

/* Rows of all processes that are known by number, and of their ancestors. */
static int describe_all(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report_process *process = asking->report->processes;
    int r = 0;

    iol_report_say(asking, "looking up who started whom", -1);
    while (r == 0 && process) {
        _cleanup_free_ char *seeds = NULL;
        size_t size = 0, n = 0;
        FILE *out = open_memstream(&seeds, &size);

        if (!out)
            return iol_report_no_memory(err);
        /* Ancestors that are found are appended to the list, and have their rows when they are come to. */
        for (; process && n < ASKED_AT_ONCE; process = process->hh.next) {
            if (!process->described)
                fprintf(out, "%s%" PRId64, n++ > 0 ? ", " : "", process->id);
        }
        if (fclose(out) != 0)
            return iol_report_no_memory(err);
        if (n > 0)
            r = ask_rows(asking, seeds, err);
    }
    return r;
}

/* A program while its processes are added up. */
struct program {
    struct iol_report_program program;
    UT_hash_handle hh;
};

/* "EXE NUL COMM" in the arena; the sums of one more process. */
static int add_program(struct iol_report_asking *asking, const struct iol_query *query, struct program **programs,
                       const struct iol_report_total *total)
{
    const char *exe = iol_query_text(query, 1), *comm = iol_query_text(query, 2);
    size_t exe_size = strlen(exe ? exe : "") + 1, size = exe_size + strlen(comm ? comm : "") + 1;
    char *key = iol_arena_alloc(asking->arena, size);
    struct program *found;

    if (!key)
        return -ENOMEM;
    strcpy(key, exe ? exe : "");
    strcpy(key + exe_size, comm ? comm : "");
    HASH_FIND(hh, *programs, key, size, found);
    if (!found) {
        found = iol_arena_alloc(asking->arena, sizeof(*found));
        if (!found)
            return -ENOMEM;
        memset(found, 0, sizeof(*found));
        found->program.exe = key;
        found->program.comm = key + exe_size;
        HASH_ADD_KEYPTR(hh, *programs, key, size, found);
    }
    found->program.processes++;
    iol_report_add_sums(&found->program.sums, &total->sums);
    return 0;
}

static int by_program(const struct program *a, const struct program *b)
{
    int order = iol_report_order(&a->program.sums, &b->program.sums);

    if (order == 0)
        order = strcmp(a->program.exe, b->program.exe);
    return order ? order : strcmp(a->program.comm, b->program.comm);
}

/* The biggest, with texts of the report's own. */
static int keep_programs(struct iol_report *report, struct program *programs)
{
    HASH_SORT(programs, by_program);
    report->n_all_programs = HASH_COUNT(programs);
    report->programs = calloc(PROGRAMS_SHOWN, sizeof(*report->programs));
    if (!report->programs)
        return -ENOMEM;
    for (const struct program *program = programs; program && report->n_programs < PROGRAMS_SHOWN;
         program = program->hh.next) {
        struct iol_report_program *kept = &report->programs[report->n_programs++];

        *kept = program->program;
        kept->exe = iol_arena_dup(report->arena, kept->exe, strlen(kept->exe));
        kept->comm = iol_arena_dup(report->arena, kept->comm, strlen(kept->comm));
        if (!kept->exe || !kept->comm)
            return -ENOMEM;
    }
    return 0;
}

static int ask_programs(struct iol_report_asking *asking, struct iol_error *err)
{
    _cleanup_(iol_query_done) struct iol_query *query = NULL;
    struct program *programs = NULL;
    int r;

    iol_report_say(asking, "adding up programs", -1);
    r = iol_ask_report_programs(asking->db, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        struct iol_report_total *total;
        int64_t id = iol_query_int(query, 0);

        HASH_FIND(hh, asking->by_process, &id, sizeof(id), total);
        if (total && add_program(asking, query, &programs, total) < 0) {
            r = iol_report_no_memory(err);
            break;
        }
    }
    if (r == 0 && keep_programs(asking->report, programs) < 0)
        r = iol_report_no_memory(err);
    HASH_CLEAR(hh, programs);
    return r;
}

int iol_report_ask_processes(struct iol_report_asking *asking, struct iol_error *err)
{
    int r = take_biggest(asking, err);

    if (r == 0)
        r = ask_idle(asking, err);
    if (r == 0)
        r = describe_all(asking, err);
    return r < 0 ? r : ask_programs(asking, err);
}
