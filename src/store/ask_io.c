// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* Who did how much to which files. */
#include "base/cleanup.h"
#include "store/ask.intern.h"
#include "store/ask_clickhouse.h"

#define USER "coalesce(l.name, CAST(p.uid AS text))"

int iol_ask_who(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT ", text.out);
    iol_ask_put_shown_times(&text, "a.first", "a.last");
    fputs(", p.pid, p.comm, p.exe, " USER ", a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors,"
          " a.write_errors, a.execs, a.path, h.name, p.argv, a.process_id"
          " FROM (SELECT a.process_id AS process_id, f.path AS path, min(a.first) AS first, max(a.last) AS last",
          text.out);
    iol_ask_put_sums(&text, "a");
    fputs(", CAST(sum(a.execs) AS bigint) AS execs FROM ", text.out);
    r = iol_ask_put_sums_by(&text, db, ask, IOL_ASK_PAIRS, true, err);
    if (r < 0)
        return r;
    fputs(" LEFT JOIN file f ON f.id = a.file_id GROUP BY a.process_id, f.path) a", text.out);
    iol_ask_put_process_names(&text);
    fputs(" ORDER BY a.last DESC, a.first DESC, a.process_id, a.path", text.out);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run(&text, db, ask, ret_query, err);
}

/*
 * The bytes, and where they are equal the operations, that the question is about, of table a. It is said twice: for the rows that the
 * limit leaves, and for these when their names and times have come in.
 */
static void put_biggest_first(struct iol_ask_text *text, const struct iol_ask *ask, const char *rest)
{
    static const char both[] = " ORDER BY a.read_bytes + a.write_bytes DESC, a.read_ops + a.write_ops DESC";
    static const char reads[] = " ORDER BY a.read_bytes DESC, a.read_ops DESC";
    static const char writes[] = " ORDER BY a.write_bytes DESC, a.write_ops DESC";

    fprintf(text->out, "%s, %s", ask->reads == ask->writes ? both : ask->reads ? reads : writes, rest);
}

#define COUNTERS "a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors, a.write_errors"
#define FILES_ORDER "a.path, a.host_id, a.flags"

int iol_ask_files(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r;

    if (iol_db_is_clickhouse(db) && !ask->names)
        return iol_ask_files_clickhouse(db, ask, ret_query, err);
    r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    fputs("SELECT a.path, a.kind, " COUNTERS, text.out);
    fputs(", ", text.out);
    iol_ask_put_shown_times(&text, "a.first", "a.last");
    /* io is summed up by its ids before the names come in: there are far fewer pairs than rows. */
    fputs(", a.flags, a.processes, a.host, a.n FROM (SELECT a.*, count(*) OVER () AS n FROM (SELECT f.path AS path,"
          " f.kind AS kind, f.flags AS flags, f.host_id AS host_id, min(h.name) AS host,"
          " min(a.first) AS first, max(a.last) AS last, count(DISTINCT a.process_id) AS processes",
          text.out);
    iol_ask_put_sums(&text, "a");
    fputs(" FROM ", text.out);
    r = iol_ask_put_sums_by(&text, db, ask, IOL_ASK_PAIRS, false, err);
    if (r < 0)
        return r;
    fputs(" LEFT JOIN file f ON f.id = a.file_id LEFT JOIN host h ON h.id = f.host_id"
          " GROUP BY f.host_id, f.path, f.kind, f.flags) a",
          text.out);
    put_biggest_first(&text, ask, FILES_ORDER);
    iol_ask_put_limit(&text, ask);
    fputs(") a", text.out);
    put_biggest_first(&text, ask, FILES_ORDER);
    return iol_ask_run(&text, db, ask, ret_query, err);
}

static void put_group(struct iol_ask_text *text, enum iol_ask_by by)
{
    switch (by) {
    case IOL_BY_PROCESS:
        fputs("a.process_id", text->out);
        break;
    case IOL_BY_EXE:
        fputs("CASE WHEN p.exe <> '' THEN p.exe ELSE '[' || p.comm || ']' END", text->out);
        break;
    case IOL_BY_USER:
        fputs(USER, text->out);
        break;
    case IOL_BY_CONTAINER:
        fputs("p.container_id", text->out);
        break;
    case IOL_BY_DIRECTORY:
    case IOL_BY_COUNT:
        iol_sql_put_directory(text->out, text->dialect, "f.path");
        break;
    }
}

/* What is known of a group beside its sums. */
static void put_group_columns(struct iol_ask_text *text, enum iol_ask_by by)
{
    if (by == IOL_BY_PROCESS) {
        fputs("min(p.argv) AS name, min(p.pid) AS pid, min(p.comm) AS comm, min(p.exe) AS exe, min(" USER ") AS login,"
              " a.process_id AS process_id",
              text->out);
    } else {
        put_group(text, by);
        fputs(" AS name, NULL AS pid, NULL AS comm, NULL AS exe, NULL AS login, NULL AS process_id", text->out);
    }
    fputs(", count(DISTINCT a.process_id) AS processes, count(DISTINCT a.file_id) AS files,"
          " CAST(sum(a.execs) AS bigint) AS execs, min(a.first) AS first, max(a.last) AS last,"
          " CASE WHEN min(h.name) = max(h.name) THEN min(h.name) END AS host",
          text->out);
    iol_ask_put_sums(text, "a");
}

int iol_ask_groups(struct iol_db *db, const struct iol_ask *ask, enum iol_ask_by by, struct iol_query **ret_query,
                   struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    struct iol_ask narrowed = *ask;
    int r;

    if (iol_ask_ch_has_groups(db, ask, by))
        return iol_ask_ch_groups(db, ask, by, ret_query, err);
    narrowed.nameless = by != IOL_BY_DIRECTORY && !ask->files;
    r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT a.name, a.pid, a.comm, a.exe, a.login, a.processes, a.files, " COUNTERS ", a.execs", text.out);
    fputs(", ", text.out);
    iol_ask_put_shown_times(&text, "a.first", "a.last");
    fputs(", a.host, a.process_id, a.n FROM (SELECT a.*, count(*) OVER () AS n FROM (SELECT ", text.out);
    put_group_columns(&text, by);
    fputs(" FROM ", text.out);
    r = iol_ask_put_sums_by(&text, db, &narrowed, IOL_ASK_PAIRS, true, err);
    if (r < 0)
        return r;
    iol_ask_put_process_names(&text);
    if (by == IOL_BY_DIRECTORY)
        fputs(" LEFT JOIN file f ON f.id = a.file_id", text.out);
    fputs(" GROUP BY ", text.out);
    put_group(&text, by);
    fputs(") a", text.out);
    put_biggest_first(&text, ask, "a.name, a.pid");
    iol_ask_put_limit(&text, ask);
    fputs(") a", text.out);
    put_biggest_first(&text, ask, "a.name, a.pid");
    return iol_ask_run(&text, db, ask, ret_query, err);
}

int iol_ask_costs(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    struct iol_ask timeless = *ask;
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_begin(&text, db, err);

    if (r < 0)
        return r;
    timeless.timeless = true;
    fputs("SELECT f.path, h.name, f.kind, a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors,"
          " a.write_errors FROM ",
          text.out);
    r = iol_ask_put_sums_by(&text, db, &timeless, "file_id", false, err);
    if (r < 0)
        return r;
    fputs(" LEFT JOIN file f ON f.id = a.file_id LEFT JOIN host h ON h.id = f.host_id", text.out);
    return iol_ask_run(&text, db, ask, ret_query, err);
}
