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

static int take_process(struct iol_report *report, const struct iol_query *query)
{
    struct iol_report_process *process = iol_report_process(report, iol_query_int(query, IOL_REPORT_PROCESS_ID), true);

    if (!process)
        return -ENOMEM;
    process->files = iol_query_int(query, IOL_REPORT_PROCESS_FILES);
    iol_report_take_sums(query, IOL_REPORT_PROCESS_SUMS, &process->sums);
    return 0;
}

/* Those that moved most, and what the ones that are known by their files did in all. */
static int ask_biggest(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    int64_t taken = 0;
    int r;

    asking->step(asking->data, "adding up processes");
    r = iol_ask_report_processes(asking->db, &asking->span, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        bool wanted =
            taken++ < report->limit || iol_report_process(report, iol_query_int(query, IOL_REPORT_PROCESS_ID), false);

        report->n_all_processes++;
        if (wanted && take_process(report, query) < 0)
            return iol_report_no_memory(err);
    }
    return r;
}

/* Those that began, and did nothing that is counted, as far as there is room. */
static int ask_idle(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
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
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
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

    asking->step(asking->data, "looking up who started whom");
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

static int ask_programs(struct iol_report_asking *asking, struct iol_error *err)
{
    struct iol_report *report = asking->report;
    _cleanup_(iol_question_done_query) struct iol_query *query = NULL;
    struct iol_ask ask = asking->span;
    bool failed = false;
    int r;

    asking->step(asking->data, "adding up programs");
    ask.limit = PROGRAMS_SHOWN;
    report->programs = calloc(PROGRAMS_SHOWN, sizeof(*report->programs));
    if (!report->programs)
        return iol_report_no_memory(err);
    r = iol_ask_report_programs(asking->db, &ask, &query, err);
    while (r >= 0 && (r = iol_query_next(query, err)) > 0) {
        struct iol_report_program *program = &report->programs[report->n_programs++];

        program->exe = iol_report_text(report, query, IOL_REPORT_PROGRAM_EXE, &failed);
        program->comm = iol_report_text(report, query, IOL_REPORT_PROGRAM_COMM, &failed);
        program->processes = iol_query_int(query, IOL_REPORT_PROGRAM_PROCESSES);
        iol_report_take_sums(query, IOL_REPORT_PROGRAM_SUMS, &program->sums);
        report->n_all_programs = iol_query_int(query, IOL_REPORT_PROGRAM_ALL);
        if (failed)
            return iol_report_no_memory(err);
    }
    return r;
}

int iol_report_ask_processes(struct iol_report_asking *asking, struct iol_error *err)
{
    int r = ask_biggest(asking, err);

    if (r == 0)
        r = ask_idle(asking, err);
    if (r == 0)
        r = describe_all(asking, err);
    return r < 0 ? r : ask_programs(asking, err);
}
