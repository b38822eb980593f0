// SPDX-License-Identifier: BSD-2-Clause
// SPDX-FileCopyrightText: The ioledger authors

/* What happened to a file, in order of time. */
#include "base/cleanup.h"
#include "store/ask.intern.h"

#define USER "coalesce(l.name, CAST(p.uid AS text))"

/* What the accounts do not have. */
#define CHANGES                                                                                                        \
    "('exec','exec_failed','open','open_failed','rename','unlink','truncate','link','symlink','mkdir','rmdir',"        \
    "'chmod','chown','setxattr')"

int iol_ask_accounts(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int64_t end_until;
    int r = iol_ask_focus(db, ask, true, err);
    char mapped[64];

    if (r == 0)
        r = iol_ask_last_end(db, ask, &end_until, err);
    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT ", text.out);
    iol_ask_put_shown_times(&text, "a.first", "a.last");
    fputs(", a.process_id, p.pid, p.comm, p.exe, " USER ", a.path, h.name, CASE WHEN a.mapped THEN 1 ELSE 0 END,"
          " a.read_ops, a.read_bytes, a.write_ops, a.write_bytes, a.read_errors, a.write_errors FROM (SELECT * FROM (",
          text.out);
    snprintf(mapped, sizeof(mapped), ", %s AS mapped", text.d->mapped);
    iol_ask_put_accounts(&text, ask, end_until, mapped);
    fprintf(text.out, ") done WHERE %s) a", ask->names ? ask->names : "1 = 1");
    iol_ask_put_process_names(&text);
    fputs(" ORDER BY a.first, a.last, p.pid, a.process_id, a.path", text.out);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run(&text, db, ask, ret_query, err);
}

/* Events of which the file f is the first file, or the other one. */
static void put_changes_of(struct iol_ask_text *text, const struct iol_ask *ask, const char *column,
                           const char *is_other)
{
    fprintf(text->out,
            "SELECT e.ts AS ts, e.kind AS kind, e.process_id AS process_id, e.file_id AS this_id,"
            " e.other_file_id AS other_id, e.result AS result, e.bytes AS bytes, %1$s AS is_other, f.path AS path,"
            " f.host_id AS host_id, f.id AS file_id, %2$s AS first, %2$s AS last"
            " FROM file f JOIN event e ON e.%3$s = f.id WHERE e.kind IN " CHANGES " AND %4$s",
            is_other, text->d->event_time, column, ask->files);
    iol_ask_put_event_span(text, ask);
}

int iol_ask_changes(struct iol_db *db, const struct iol_ask *ask, struct iol_query **ret_query, struct iol_error *err)
{
    _cleanup_(iol_ask_done) struct iol_ask_text text = {0};
    int r = iol_ask_focus(db, ask, true, err);

    if (r == 0)
        r = iol_ask_begin(&text, db, err);
    if (r < 0)
        return r;
    fputs("SELECT a.ts, a.kind, a.process_id, p.pid, p.comm, p.exe, " USER ", f.path, o.path, a.is_other, a.result,"
          " a.bytes, h.name FROM (SELECT * FROM (",
          text.out);
    put_changes_of(&text, ask, "file_id", "0");
    fputs(" UNION ALL ", text.out);
    put_changes_of(&text, ask, "other_file_id", "1");
    fprintf(text.out, ") done WHERE %s) a", ask->names ? ask->names : "1 = 1");
    iol_ask_put_process_names(&text);
    fputs(" LEFT JOIN file f ON f.id = a.this_id LEFT JOIN file o ON o.id = a.other_id"
          " ORDER BY a.ts, a.is_other, a.process_id, f.path, o.path",
          text.out);
    iol_ask_put_limit(&text, ask);
    return iol_ask_run(&text, db, ask, ret_query, err);
}
