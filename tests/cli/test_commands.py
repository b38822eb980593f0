#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Asks every reading command about ledgers with known contents (fixture.c), in each database.

test_commands.py IOLEDGER FIXTURE PGCLUSTER CHCLUSTER
"""
import contextlib
import csv
import io
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

from clilib import (HOSTILE_COMM, HOSTILE_PATHS, IOLEDGER, PATIENCE, Tap, ask, ask_json, ask_terminal, environment, fill, one_line_and_hint,
                    remove_servers, run, start_clickhouse, start_postgres, wait_for, width)

CONTENTS = ("pruned", "full", "empty", "unbalanced", "lossy", "incomplete", "many", "renamed")


# What follows runs once for each database; `db` maps the contents' names to URLs.

def test_who(tap, db):
    rows = ask_json("who", "/src/a.c", "--db", db["full"])
    tap.equal([(r["pid"], r["comm"], r["exe"], r["user"]) for r in rows],
              [(912, "ld", "/usr/bin/ld", "4242"), (911, "cc1", "/usr/libexec/cc1", "ann")],
              "who PATH: the processes, latest first, a user without a name by number")
    tap.equal([[r[k] for k in ("read_ops", "read_bytes", "write_ops", "write_bytes", "read_errors", "write_errors")]
               for r in rows], [[1, 50, 0, 0, 0, 0], [4, 400, 2, 20, 1, 0]], "who PATH: the sums over intervals")
    tap.equal([r["ancestry"] for r in rows],
              ["systemd(1) \u2192 bash(812) \u2192 make(900) \u2192 ld(912)",
               "systemd(1) \u2192 bash(812) \u2192 make(900) \u2192 cc1(911)"],
              "who PATH: the ancestry, each pid once")
    tap.equal([r["ancestry_argv"] for r in rows],
              ["systemd(1) \u2192 bash(812) \u2192 make(900) -j2 \u2192 ld(912) a.o",
               "systemd(1) \u2192 bash(812) \u2192 make(900) -j2 \u2192 cc1(911) -quiet a.c"], "who PATH: the ancestry with arguments")
    tap.equal([(r["first"], r["last"]) for r in rows],
              [("2025-11-23 08:53:21.500101", "2025-11-23 08:53:21.750101"),
               ("2025-11-23 08:53:20.500101", "2025-11-23 08:53:21.750101")], "who PATH: first and last")
    rows = ask_json("who", "/usr/libexec/cc1", "--db", db["full"])
    tap.equal([(r["comm"], r["execs"], r["read_ops"], r["first"], r["ancestry"][-8:]) for r in rows],
              [("cc1", 1, 0, "2025-11-23 08:36:40.000000", "cc1(911)")], "who PATH: who executed it")
    tap.ok("'/src/hardlink.c' too" in ask("who", "/src/a.c", "--db", db["full"]).err,
           "who PATH: the other name of the file is told")
    tap.equal(len(ask_json("who", "/src/a.c", "--limit", "1", "--db", db["full"])), 1, "who --limit")


def test_who_tree(tap, db):
    rows = ask_json("who", "/src/", "--db", db["full"])
    tap.equal(sorted((r["path"], r["comm"], r["read_bytes"]) for r in rows),
              [("/src/a.c", "cc1", 400), ("/src/a.c", "ld", 50), ("/src/hardlink.c", "make", 5000),
               ("/src/sub/b.c", "cc1", 2048)], "who DIR/: everything below, and no /srcery")
    tap.ok("PATH" in ask("who", "/w\\x/", "--db", db["full"]).out, "who DIR/: the path is shown even when it is one")
    tap.equal([r["path"] for r in ask_json("who", "/w\\x/", "--db", db["full"])], ["/w\\\\x/bad\\xfe"],
              "who DIR/: a backslash above a name that is not UTF-8")
    tap.equal(len(ask_json("who", "/", "--db", db["full"])), 15, "who /: every path that begins at the root")
    tap.equal([r["comm"] for r in ask_json("who", "(pipes)", "--db", db["full"])], ["bash"], "who '(pipes)'")


def test_who_names(tap, db, scratch):
    for path, ops in HOSTILE_PATHS.items():
        typed = path.encode() if ops != 5 else b"/h/bad\xff\\byte"
        rows = ask_json("who", typed, "--db", db["full"])
        tap.equal([(r["path"], r["read_ops"], r["comm"], r["exe"]) for r in rows],
                  [(path, ops, HOSTILE_COMM, "/h/pro\ngram")], "who %s" % ascii(path))
    tap.equal([r["pid"] for r in ask_json("who", "../src/a.c", "--db", db["full"], cwd="/usr/bin")], [],
              "who: '..' goes up one directory")
    tap.equal([r["pid"] for r in ask_json("who", "../src/./sub/..//a.c", "--db", db["full"], cwd="/usr")],
              [912, 911], "who: a relative path")
    os.makedirs(scratch + "/names", exist_ok=True)
    for name, target in (("link", "/src/a.c"), ("dir", "/src"), ("root", "/"), ("bin", "/usr/bin")):
        if not os.path.lexists(scratch + "/names/" + name):
            os.symlink(target, scratch + "/names/" + name)
    tap.equal([r["pid"] for r in ask_json("who", "root/(pipes)", "--db", db["full"], cwd=scratch + "/names")], [],
              "who: a file named like an account is not the account")
    tap.equal(len(ask_json("who", "root/h/back\\slash", "--db", db["full"], cwd=scratch + "/names")), 1,
              "who: a link above a file that is gone")
    tap.equal([r["pid"] for r in ask_json("who", "bin/../../src/a.c", "--db", db["full"], cwd=scratch + "/names")], [912, 911],
              "who: '..' behind a link is the directory above its target")
    tap.equal(len(ask_json("who", "root/", "--db", db["full"], cwd=scratch + "/names")), 15,
              "who: a link to the root, with everything below")


def test_who_renamed(tap, db):
    def found(path):
        rows = ask_json("who", path, "--db", db["renamed"])
        return {name: sum(r["read_bytes"] for r in rows if r["path"] == name) for name in {r["path"] for r in rows}}

    tap.equal(found("/r/a"), {"/r/a": 1 + 2 + 16, "/r/b": 8, "/r/c": 32, "/s/c": 128},
              "who: by its first name, and from each renaming on by the next, until it was removed")
    tap.equal(found("/s/c"), {"/s/c": 128 + 256, "/r/c": 32, "/r/b": 8, "/r/a": 2},
              "who: by its last name, and before each renaming by the one before, since it was created")
    tap.equal(found("/r/b"), {"/r/b": 4 + 8 + 64, "/r/a": 2, "/r/c": 32, "/s/c": 128}, "who: by a name in the middle")
    tap.equal(found("/s/"), {"/s/c": 128 + 256, "/r/a": 19, "/r/b": 76, "/r/c": 32}, "who DIR/: under its old name too")
    tap.equal(found("/r/"), {"/r/a": 19, "/r/b": 76, "/r/c": 32, "/s/c": 128 + 256}, "who DIR/: under its new name too")
    tap.equal(found("/e/conf"), {"/e/conf": 4, "/e/conf.tmp99": 2}, "who: the latest of very many names")
    tap.equal(found("/e/conf.tmp0"), {"/e/conf.tmp0": 1}, "who: a file that was replaced at once")
    tap.equal((found("/l/one"), found("/l/two")), ({"/l/one": 3, "/l/two": 4}, {"/l/one": 3, "/l/two": 4}),
              "who: a hard link, by either name")
    tap.equal(found("/g/one"), {"/g/one": 1, "/g/two": 2}, "who: the same inode and generation, and no other one")
    tap.equal([r["ancestry"] for r in ask_json("who", "/g/one", "--db", db["renamed"])], ["cat(600)"] * 2,
              "who: the ancestry of those under another name")
    table = ask("who", "/s/c", "--db", db["renamed"])
    tap.ok("PATH" in table.out and "/r/a" in table.out and
           "also known as '/r/c' since 2025-11-23 08:53:28 until 2025-11-23 08:53:31, renamed by mv(500)" in table.err,
           "who: says what it was called, when, and who renamed it", table)
    tap.ok("since 2025-11-23 08:53:31 until 2025-11-23 08:53:33, renamed by mv(500)" in
           ask("who", "/r/c", "--db", db["renamed"]).err, "who: says what it is called now")
    tap.ok("more names" in ask("who", "/e/conf", "--db", db["renamed"]).err, "who: says that there are more names")
    tap.ok("'/s/' since" in ask("who", "/r/", "--db", db["renamed"]).err, "who DIR/: says what the directory is called now")
    tap.ok("PATH" not in ask("who", "/e/conf.tmp0", "--db", db["renamed"]).out, "who: no column PATH for one path")
    header = ask("who", "/e/conf.tmp0", "--db", db["renamed"], "--format", "csv").out.splitlines()[0]
    tap.ok("path" in header.split(","), "who: the path is always in csv", header)


def test_files(tap, db):
    rows = ask_json("files", "--db", db["full"])
    sizes = [r["read_bytes"] + r["write_bytes"] for r in rows]
    tap.equal(sizes, sorted(sizes, reverse=True), "files: biggest first")
    tap.equal(rows[0]["read_bytes"], 9007199254740993, "files: a number that no double holds")
    tap.equal({r["path"]: r["read_ops"] for r in rows if r["path"].startswith("/h/")}, HOSTILE_PATHS,
              "files: hostile names intact")
    a = [r for r in rows if r["path"] == "/src/a.c"]
    tap.equal([(r["read_ops"], r["read_bytes"], r["write_bytes"], r["processes"], r["kind"], r["flags"]) for r in a],
              [(5, 450, 20, 2, "file", None)], "files: one line a path, over processes, routes and intervals")
    tap.equal([r["flags"] for r in rows if r["path"] == "/src/sub/b.c"], ["deleted"], "files: flags")
    for who, want in (("911", ["/srcery", "/src/sub/b.c", "/src/a.c"]), ("cc1", ["/src/sub/b.c", "/src/a.c"]),
                      ("/usr/libexec/../libexec/cc1", ["/src/sub/b.c", "/src/a.c"]), ("make", ["/src/hardlink.c"])):
        tap.equal([r["path"] for r in ask_json("files", who, "--db", db["full"])], want, "files %s" % who)
    tap.equal(len(ask_json("files", HOSTILE_COMM, "--db", db["full"])), 10, "files: a hostile comm")
    tap.equal(len(ask_json("files", "/h/pro\ngram", "--db", db["full"])), 10, "files: a hostile program")
    tap.ok("2 different processes" in ask("files", "911", "--db", db["full"]).err, "files: a reused pid is told")
    table = ask("files", "--db", db["many"])
    tap.ok(len(table.out.splitlines()) == 51 and "4950 more" in table.err, "files: a table of 50, and how many more")
    tap.equal(len(ask_json("files", "--db", db["many"])), 5000, "files: all of them in json")
    tap.equal(len(ask("files", "--db", db["many"], "--limit", "0").out.splitlines()), 5001, "files --limit 0")


def test_tree(tap, db):
    rows = ask_json("tree", "--db", db["full"])
    tap.equal([(r["pid"], r["comm"], r["depth"]) for r in rows],
              [(1, "systemd", 0), (911, "cron", 1), (812, "bash", 1), (900, "bash", 2), (900, "make", 2),
               (911, "make", 3), (911, "sh", 3), (911, "cc1", 3), (912, "ld", 3), (950, HOSTILE_COMM, 4), (2, "kthreadd", 0)],
              "tree: in the order of the lineage")
    tap.equal([(r["id"], r["parent_id"], r["exit_code"], r["signal"]) for r in rows if r["exit_time"]],
              [(4, 3, 2, None), (7, 6, 0, None), (8, 4, None, 9)], "tree: exit codes and signals")
    tap.equal([r["argv"] for r in rows][-2], '\x1b[2Jargv "a,b" \\xff', "tree: hostile arguments intact")
    tap.equal([r["id"] for r in ask_json("tree", "812", "--db", db["full"])], [1, 2, 3, 4, 5, 6, 7, 8, 10],
              "tree PID: ancestors and descendants, not their other children")
    drawn = [line[len("2025-11-23 08:20:01  "):] for line in ask("tree", "812", "--db", db["full"]).out.splitlines()]
    tap.equal(drawn[1:], [
        "  1  root  -            -           0        0  /sbin/init [/usr/lib/systemd/systemd]",
        "812  ann   -            -          10       20  \u2514\u2500 -bash",
        "900  ann   4 ms                     0        0    \u2514\u2500 bash (fork)",
        "900  ann   34 min 59 s  2        4.9K        0      \u2192 make -j2",
        "911  ann   6 ms                     0        0      \u251c\u2500 make (fork)",
        "911  ann   1 ms                     0        0      \u2502 \u2192 /bin/sh -c exec cc1 [/usr/bin/dash]",
        "911  ann   34 min 48 s  0        2.4K       20      \u2502 \u2192 cc1 -quiet a.c",
        "912  4242  34 min 47 s  SIGKILL    50        0      \u2514\u2500 ld a.o",
        "950  root  -            -         550        0        \u2514\u2500 \\e[2Jargv \"a,b\" \\xff [/h/pro\\ngram]"], "tree: as drawn")
    for question in (("tree",), ("tree", "812")):
        moved = {r["id"]: (r["read_ops"], r["read_bytes"], r["write_ops"], r["write_bytes"], r["read_errors"])
                 for r in ask_json(*question, "--db", db["full"])}
        tap.equal((moved[7], moved[4], moved[5]), ((6, 2448, 2, 20, 1), (5, 5000, 0, 0, 0), (0, 0, 0, 0, 0)),
                  "%s: what each image read and wrote" % " ".join(question))
    idle = ask("tree", "--db", db["full"])
    tap.ok("kthreadd" not in idle.out and "1 process that did nothing while recorded is left out; --all shows it" in idle.err, "tree: without the idle", idle)
    idle = ask("tree", "--all", "--db", db["full"])
    tap.ok("[kthreadd]" in idle.out and not idle.err, "tree --all: with the idle", idle)
    ascii_tree = ask("tree", "--db", db["full"], LC_ALL="C")
    tap.ok(ascii_tree.raw.isascii() and "|- make (fork)" in ascii_tree.out, "tree: in ASCII where the locale is",
           ascii_tree)
    many = ask_json("tree", "--db", db["many"])
    tap.equal([r["depth"] for r in many], list(range(5000)), "tree: 5000 generations")
    tap.ok(max(map(len, ask("tree", "--db", db["many"]).out.splitlines())) < 200, "tree: their lines stay short")
    tap.ok(ask_json("who", "/many/file5000", "--db", db["many"])[0]["ancestry"].startswith("... \u2192 p4745(4745)"),
           "who: an ancestry of 5000 generations is cut and says so")


def test_tree_span(tap, db):
    def span(since, until):
        return ["--since=2025-11-23T%sZ" % since] * bool(since) + ["--until=2025-11-23T%sZ" % until] * bool(until)

    def ids(*args):
        return sorted(r["id"] for r in ask_json("tree", *args, "--db", db["full"]))

    def drawn(*args):
        return ask("tree", *args, "--db", db["full"])

    idle = drawn(*span("09:00:00", None))
    tap.ok(idle.status == 0 and [word in idle.out for word in ("make -j2", "cc1 -quiet", "SIGKILL", "cron", "argv", "kthreadd")] == [True] * 3 + [False] * 3,
           "tree --since: what ended in that time and its ancestors, not what was idle", idle)
    tap.ok("3 processes that did nothing while recorded are left out" in idle.err and "complete from 2025-11-23 09:00:00 to 2025-11-23 09:26:40" in idle.err,
           "tree --since: what is left out, and what was not recorded", idle)
    moved = {r["id"]: (r["read_bytes"], r["write_bytes"]) for r in ask_json("tree", *span("08:53:21.6", "08:55:00"), "--db", db["full"])}
    tap.equal((moved[7], moved[8], moved[4], moved[2]), ((100, 20), (50, 0), (0, 0), (0, 0)), "tree --since: what was read and written in that time only")
    moved = {r["id"]: r["read_bytes"] for r in ask_json("tree", "900", *span(None, "08:53:21"), "--db", db["full"])}
    tap.equal((moved[7], moved[4], 10 in moved), (2348, 5000, True), "tree PID --until: the same of a family")
    tap.equal(ids(*span(None, "08:35:01")), [1, 2, 3, 4, 11], "tree --until: nothing that began later")
    tap.equal(ids(*span("08:35:01", "08:35:11.006")), [1, 2, 3, 4, 5, 11], "tree --since --until: what was there then")
    tap.equal(ids(*span("09:10:01", None)), [1, 2, 3, 4, 8, 9, 10, 11], "tree --since: what had ended comes as an ancestor only")
    tap.equal(drawn(*span("10:00:00", None)).status, 1, "tree --since: nothing was active")
    tap.equal(ids("--limit", "2"), [1, 2, 3, 4, 8, 10], "tree --limit: those that began last, and their ancestors")
    tap.equal(ids("-n", "2", "911"), [1, 2, 3, 4, 5, 6, 7, 9], "tree PID -n")
    limited = drawn("--limit", "1")
    tap.ok(len(limited.out.splitlines()) == 7 and "4 more that began earlier; --limit 0 shows all" in limited.err, "tree --limit: how many more", limited)


def test_balance(tap, db):
    good = ask("balance", "--db", db["full"])
    tap.ok(good.status == 0 and re.search(r"^The books balance: \S+ operations, [\d.]+ [KMGTPE]?B, to the byte\.$", good.out, re.M) and not good.err, "balance: a good ledger", good)
    rows = {r["route"]: r for r in ask_json("balance", "--db", db["full"])}
    tap.equal(list(rows), ["copy_file_range", "rw", "sendfile"], "balance: the routes")
    tap.equal([rows["rw"][side + c] for side in ("kernel_", "accounts_", "difference_") for c in
               ("read_ops", "read_bytes", "write_ops", "write_bytes", "read_errors", "write_errors")],
              [76, 8008, 22, 40, 1, 0] * 2 + [0] * 6, "balance: the sums")
    tap.equal((rows["rw"]["intervals"], rows["rw"]["unbalanced_intervals"], rows["rw"]["balanced"]), (2, 0, True),
              "balance: the intervals")
    tap.equal(rows["copy_file_range"]["accounts_read_bytes"], 9007199254740993, "balance: exact")
    bad = ask("balance", "--db", db["unbalanced"])
    tap.ok(bad.status == 1 and "the books do not balance: 2 intervals differ" in bad.err and
           "The books balance" not in bad.out, "balance: a bad ledger", bad)
    tap.ok("interval 2025-11-23 08:53:21.000000, host alpha, route rw, reads: the kernel counted 21, the accounts 20"
           in bad.err, "balance: names the interval", bad)
    tap.ok("08:53:22.000000, host alpha, route rw, write errors: the kernel counted 1, the accounts 0" in bad.err,
           "balance: intervals that only cancel each other out do not balance", bad)
    tap.equal({r["route"]: r["balanced"] for r in ask_json("balance", "--db", db["unbalanced"])},
              {"copy_file_range": True, "rw": False, "sendfile": True}, "balance: which route")
    tap.equal(ask("balance", "--format", "csv", "--db", db["unbalanced"]).status, 1, "balance: the status in csv")
    lossy = ask("balance", "--db", db["lossy"])
    tap.ok(lossy.status == 0 and "no account slot, 42 times" in lossy.err and "host beta has not ended" in lossy.err,
           "balance: losses and open recordings are noted", lossy)
    lossy = ask("balance", "--db", db["incomplete"])
    tap.ok("host alpha lost detail, not bytes: no account slot, 42 times" in lossy.err and
           "host alpha lacks calls, and their bytes: hooks left out by the kernel: calls not counted, 45 times" in lossy.err and
           "host alpha has calls without their bytes: AIO completions read by the program itself: bytes unknown, 7 times" in lossy.err and
           "host alpha lacks all that went this way: route not covered: io_uring" in lossy.err,
           "balance: it says what each loss has cost: detail, bytes, calls, or a route", lossy)
    tap.ok("to the byte.\nBut there were calls that they do not have." in lossy.out and
           "to the byte." in ask("balance", "--db", db["full"]).out,
           "balance: books that lack calls are not told to be complete", lossy)
    nothing = ask("balance", "--db", db["empty"])
    tap.ok(nothing.status == 1 and "nothing to balance" in nothing.err, "balance: nothing is not balanced", nothing)


QUESTIONS = (("who", "/src/a.c"), ("who", "/"), ("files",), ("files", "911"), ("tree",), ("tree", "911"), ("balance",),
             ("timeline", "/h/"), ("timeline", "/src/a.c"), ("hot",), ("hot", "--by", "file"), ("diff",), ("diff", "last", "..2025-11-23 08:53:21"), ("files", "--by", "directory"),
             ("files", "--by", "process"), ("who", "/h/", "--by", "exe"))


def as_csv_text(value):
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def test_formats(tap, db):
    for question in QUESTIONS:
        name = " ".join(question)
        rows = ask_json(*question, "--db", db["full"])
        answer = ask(*question, "--format", "csv", "--db", db["full"])
        # newline='' leaves carriage returns in texts alone
        table = list(csv.reader(io.StringIO(answer.out, newline=""), strict=True))
        tap.equal(table, [list(rows[0])] + [[as_csv_text(v) for v in row.values()] for row in rows],
                  "%s: csv equals json" % name)
        raw = ask(*question, "--format", "json", "--db", db["full"]).raw
        tap.ok(not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xaa-\xae]", raw),
               "%s: nothing in json that a terminal would obey" % name)
        raw = ask(*question, "--db", db["full"]).raw
        tap.ok(raw and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xaa-\xae]", raw),
               "%s: nothing in the table that a terminal would obey" % name)


def test_terminal(tap, db):
    for question in QUESTIONS:
        name = " ".join(question)
        for columns in (80, 200):
            # Messages on stderr may be longer: the terminal folds them.
            lines = [line for line in ask_terminal(columns, *question, "--db", db["full"], NO_COLOR="1").out.splitlines()
                     if not line.startswith("ioledger: ")]
            tap.ok(lines and max(map(width, lines)) <= columns, "%s: fits into %d columns" % (name, columns), lines)
        csv_answer = ask_terminal(80, *question, "--format", "csv", "--db", db["full"])
        tap.ok(csv_answer.raw and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae", csv_answer.raw),
               "%s: nothing in csv on a terminal that it would obey" % name, csv_answer)
    plain = ask_terminal(80, "tree", "--db", db["full"], NO_COLOR="1").raw
    colour = ask_terminal(80, "tree", "--db", db["full"]).raw
    tap.ok(b"\x1b" not in plain, "no colours with NO_COLOR", plain)
    tap.ok(b"\x1b[31mSIGKILL\x1b[m" in colour, "a killed process is red on a terminal", colour)
    tap.ok(b"\x1b" not in ask_terminal(80, "tree", "--db", db["full"], TERM="dumb").raw, "no colours on a dumb terminal")
    tap.equal(re.sub(rb"\x1b\[[0-9]*m", b"", colour), plain, "colours are all that differs")


def test_nothing_found(tap, db):
    for question, told in ((("who", "/none"), "nobody touched '/none'"), (("who", "/none/"), "nothing below '/none/'"),
                           (("who", "/usr"), "'ioledger who /usr/'"), (("files", "99"), "no process '99'"),
                           (("files", "none"), "no process 'none'"), (("files", "/bin/none"), "no process ran '/bin/none' in this ledger; 'ioledger who /bin/none' tells who touched a file"),
                           (("tree", "99"), "no process 99"),
                           (("files", "systemd"), "'systemd' touched no file")):
        name = " ".join(question)
        table = ask(*question, "--db", db["full"])
        tap.ok(table.status == 1 and not table.raw and told in table.err and table.err.count("\n") == 1,
               "%s: nothing found is one line and status 1" % name, table)
        answer = ask(*question, "--db", db["full"], "--format", "json")
        tap.ok(answer.status == 1 and json.loads(answer.out) == [] and not answer.err, "%s: []" % name, answer)
        answer = ask(*question, "--db", db["full"], "--format", "csv")
        tap.ok(answer.status == 1 and answer.out.count("\n") == 1 and not answer.err, "%s: a header" % name, answer)
    for question in (("files",), ("tree",)):
        answer = ask(*question, "--db", db["empty"])
        tap.ok(answer.status == 1 and "'ioledger record'" in answer.err, "%s: an empty ledger" % question, answer)


def test_statements(tap, db):
    """Questions of the shape that who asks must not make SQLite look at every file or every account."""
    if not db["full"].startswith("sqlite:"):
        return
    with sqlite3.connect(db["many"][len("sqlite:"):]) as connection:
        for sql, indexes in (
                ("SELECT 1 FROM file f JOIN io ON io.file_id = f.id WHERE ((f.path >= '/a/' AND f.path < '/a0')"
                 " OR (f.path >= '/b/' AND f.path < '/b0'))", ("file_path", "file_id")),
                ("SELECT DISTINCT o.path FROM file f JOIN file o ON o.host_id = f.host_id AND o.dev = f.dev"
                 " AND o.inode = f.inode WHERE (f.path = '/a' OR f.path = '/b')", ("file_path", "file_inode"))):
            plan = " ".join(row[3] for row in connection.execute("EXPLAIN QUERY PLAN " + sql))
            tap.ok(all(index in plan for index in indexes) and "SCAN" not in plan,
                   "by the indexes %s and %s" % indexes, plan)


def test_host(tap, db):
    url = db["lossy"]
    for command in (("files",), ("tree",), ("balance",), ("who", "/")):
        everywhere = ask_json(*command, "--db", url)
        tap.ok(len(everywhere) > 0, "%s: there is something" % command[0])
        tap.equal(ask_json(*command, "--host", "all", "--db", url), everywhere, "%s --host all" % command[0])
        tap.equal(ask_json(*command, "--host", "alpha", "--db", url), everywhere, "%s --host alpha: who did it all" % command[0])
        tap.equal(ask_json(*command, "--host", "beta", "--db", url), [], "%s --host beta: who did nothing" % command[0])
        answer = ask(*command, "--host", "gamma'; --", "--db", url)
        tap.ok(answer.status == 1 and "no host 'gamma'; --'" in answer.err and not answer.raw, "%s of a host that is not there" % command[0],
               answer)
    tap.equal(ask("files", "--host", "", "--db", url).status, 2, "--host without a name")


# What follows needs no database in particular.

def test_usage(tap, url):
    for args, first in ((("who",), "a PATH is missing"), (("who", "a", "b"), "unexpected argument 'b'"),
                        (("who", ""), "PATH is empty"), (("files", ""), "the process is empty"),
                        (("who", "--fromat", "json", "x"), "'--fromat': did you mean '--format'?"),
                        (("who", "--nonsense", "x"), "'--nonsense'"), (("who", "-z", "x"), "'z'"),
                        (("who", "--format", "xml", "x"), "--format: 'xml' is not a format"),
                        (("who", "x", "--format"), "option '--format' requires an argument"),
                        (("who", "x", "--verbose=1"), "'--verbose' doesn't allow an argument"),
                        (("who", "x", "--limit", "1x"), "--limit: '1x' is not a number"),
                        (("who", "x", "--limit", "-1"), "--limit: '-1' is not a number"),
                        (("tree", "abc"), "'abc' is not a process id"), (("tree", "0"), "'0' is not a process id"),
                        (("balance", "x"), "unexpected argument 'x'"), (("schema", "oracle"), "'oracle'"),
                        (("schema", "--db", "jsonl:x"), "'jsonl:x'"),
                        (("files", "--db", "mysql://x"), "--db: 'mysql://x' is not the URL of a database"),
                        (("files", "--db", "some.db"), "--db: 'some.db' is not the URL of a database"),
                        (("files", "--db", ""), "--db: '' is not the URL of a database"),
                        (("status", "x"), "unexpected argument 'x'"), (("status", "--pid", "0"), "--pid: '0' is not a process id"),
                        (("status", "--pid", "-5"), "--pid: '-5' is not a process id"),
                        (("status", "--format", "xml"), "--format: 'xml' is not a format"),
                        (("status", "--control", ""), "--control: the value is empty"),
                        (("status", "--watch=soon"), "--watch: 'soon' is not a duration"),
                        (("status", "--watch=1ms"), "--watch: '1ms' is not between 100ms and 1d"),
                        (("status", "--watch", "--format", "csv"), "--watch is for tables only"),
                        (("status", "--db", "sqlite:x"), "'--db'"), (("balance", "--since", "1h"), "'--since'"),
                        (("stop", "x"), "unexpected argument 'x'"), (("stop", "--pid", "me"), "--pid: 'me' is not a process id"),
                        (("stop", "--timeout", "0"), "--timeout: '0' is no time to wait for"),
                        (("stop", "--timeout", "long"), "--timeout: 'long' is not a duration"),
                        (("stop", "--all", "--pid", "1"), "--all and --pid contradict each other"),
                        (("stop", "--all", "--control", "/x"), "--all and --control contradict each other"),
                        (("record", "--control", ""), "--control: the value is empty"),
                        (("who", "--\x1b[31m\n", "x"), "'--\\e[31m\\n'")):
        answer = ask(*args)
        tap.ok(one_line_and_hint(answer, first), "bad usage: %s" % ascii(" ".join(args)), answer)
    for words, wrong in (("rename,nonsense", "nonsense"), ("exec", "exec"), ("read", "read"), ("rename,", ""), ("renam", "renam")):
        answer = ask("record", "--events", words)
        tap.ok(one_line_and_hint(answer, "--events: '%s' is no event; events are none, all, tree, or of open," % wrong),
               "bad usage: record --events %s" % words, answer)
    tap.ok("'sqlite:some.db'" in ask("files", "--db", "some.db").err, "bad usage: a path for a URL is understood")
    for word, suggestion in (("whoo", "did you mean 'who'?"), ("fiels", "did you mean 'files'?"),
                             ("bal", "did you mean 'balance'?"), ("zzz", "unknown command 'zzz'"),
                             ("--zzz", "unknown option '--zzz': a command comes first"), ("\x1b[31m", "'\\e[31m'")):
        answer = ask(word)
        tap.ok(answer.status == 2 and suggestion in answer.err and answer.err.count("\n") == 1 and
               "try 'ioledger --help'" in answer.err, "unknown command: %s" % ascii(word), answer)
    tap.equal(ask("who", "--f", "json", "/src/a.c", "--db", url).status, 0, "an option may be shortened")
    tap.ok(one_line_and_hint(ask("files", IOLEDGER_DB="nonsense"), "IOLEDGER_DB: 'nonsense'"), "a bad IOLEDGER_DB")


def test_help(tap, url):
    listing = ask("--help")
    commands = re.findall(r"^  ([a-z]+) ", listing.out, re.M)
    tap.ok({"who", "files", "tree", "balance", "schema"} <= set(commands), "--help lists the commands", listing)
    for command in commands:
        answer = ask(command, "--help")
        tap.ok(answer.status == 0 and answer.out.startswith("Usage: ioledger " + command) and not answer.err and
               "Exit" in answer.out and "ioledger %s" % command in answer.out.split("\n", 1)[1],
               "%s --help has examples and the exit status" % command, answer)
        tap.equal(ask("help", command).out, answer.out, "help %s" % command)
        tap.ok(max(map(len, answer.out.splitlines())) <= 80, "%s --help fits into 80 columns" % command, answer)
        tap.ok(not re.search(" $", answer.out, re.M), "%s --help: no line ends with blanks" % command, answer)
        examples = re.search(r"^Examples:\n(.*?)\n\n", answer.out, re.M | re.S)
        tap.ok(examples and all(re.match(r"  \S|    \S", line) for line in examples[1].split("\n")), "%s --help: no example is broken" % command, answer)
    tap.ok(max(map(len, listing.out.splitlines())) <= 80, "--help fits into 80 columns", listing)
    overview = ask()
    tap.ok(max(map(len, overview.out.splitlines())) <= 80, "no command: it fits into 80 columns", overview)
    examples = re.findall(r"^  (?:sudo )?ioledger (\S.*?)   ", overview.out, re.M)
    tap.ok(overview.status == 0 and len(examples) == 6 and not overview.err, "no command: six things to begin with", overview)
    for example in examples:
        answer = ask(*example.split(), "--help")
        tap.ok(answer.status == 0 and answer.out.startswith("Usage: "), "'ioledger %s' is understood" % example, answer)
        if example.split()[0] not in ("record", "top"):
            answer = ask(*example.split(), IOLEDGER_DB=url)
            tap.ok(answer.status in (0, 1) and (answer.raw or "nobody touched" in answer.err), "'ioledger %s' answers" % example, answer)
    tap.ok(re.fullmatch(r"ioledger [0-9.]+\S*\n", ask("--version").out), "--version")


def test_database_choice(tap, url, scratch):
    path = url[len("sqlite:"):]
    tap.equal(ask("files", IOLEDGER_DB=url).status, 0, "IOLEDGER_DB chooses the ledger")
    tap.equal(ask("files", "--db", url, IOLEDGER_DB="sqlite:/none/at.all").status, 0, "--db goes before IOLEDGER_DB")
    where = os.path.join(scratch, "default")
    os.mkdir(where)
    missing = ask("files", cwd=where)
    tap.ok(missing.status == 1 and "ioledger.db" in missing.err and not os.listdir(where),
           "a missing ledger is told, not created", missing)
    shutil.copy(path, os.path.join(where, "ioledger.db"))
    tap.equal(ask("files", cwd=where).status, 0, "the default is ioledger.db in the working directory")
    broken = os.path.join(scratch, "broken.db")
    with open(broken, "wb") as file:
        file.write(b"no database at all\n" * 500)
    for bad in ("sqlite:" + broken, "sqlite:" + scratch, "jsonl:x", "postgresql://u@127.0.0.1:1/x"):
        for command in (("who", "/x"), ("files",), ("tree",), ("balance",)):
            answer = ask(*command, "--db", bad)
            tap.ok(answer.status == 1 and not answer.raw and 1 <= answer.err.count("\n") <= 2 and
                   answer.err.startswith("ioledger: "), "%s of %s" % (command[0], bad.split("/")[0]), answer)


def test_prune(tap, urls):
    url = urls["pruned"]
    answer = ask("prune", "--db", url)
    tap.ok(answer.status == 2 and "--keep 7d" in answer.err, "prune: without --keep it deletes nothing", answer)
    for bad in ("0", "7y", "-1d", ""):
        answer = ask("prune", "--db", url, "--keep", bad)
        tap.ok(answer.status == 2 and answer.err.count("\n") == 2, "prune --keep '%s'" % bad, answer)
    answer = ask("prune", "--db", url, "--keep", "1000w")
    tap.ok(answer.status == 0 and answer.out.startswith("Nothing is older than ") and answer.out.count("\n") == 1,
           "prune: nothing is so old", answer)
    before = ask("files", "--db", url, "--format", "json").raw
    dry = ask("prune", "--db", url, "--keep", "7d", "--dry-run")
    tap.ok(dry.status == 0 and dry.out.startswith("Would be deleted, from before ") and " rows of io, " in dry.out, "prune --dry-run", dry)
    tap.equal(ask("files", "--db", url, "--format", "json").raw, before, "prune --dry-run deletes nothing")
    answer = ask("prune", "--db", url, "--keep", "7d")
    lines = answer.out.splitlines()
    tap.ok(answer.status == 0 and len(lines) == 2, "prune --keep 7d", answer)
    tap.equal(lines[0].split(": ")[1].split(";")[0].rstrip("."), dry.out.split(": ")[1].strip().rstrip("."), "prune: what --dry-run had said")
    tap.ok(re.match(r"The ledger had [\d.]+ [KMG]B and has [\d.]+ [KMG]B: [\d.]+ [KMG]?B given back\.$", lines[1]), "prune: the space given back", lines[1])
    tap.equal(ask("files", "--db", url).status, 1, "prune: nothing is left to ask for")
    tap.equal(ask("prune", "--db", url, "--keep", "7d").out.count("Nothing is older than "), 1, "prune: a second time")
    for db, told in (("sqlite:/nonexistent/x.db", "No such file"), ("jsonl:x", "jsonl"), ("postgresql://u@127.0.0.1:1/x", "refused")):
        answer = ask("prune", "--keep", "7d", "--db", db)
        tap.ok(answer.status == 1 and told in answer.err and answer.err.count("\n") == 2, "prune of %s" % db, answer)


def test_schema(tap, scratch):
    for kind in ("sqlite", "sqlite:some.db"):
        connection = sqlite3.connect(":memory:")
        connection.executescript(ask("schema", "--db", kind).out)
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")}
        tap.ok({"io", "process", "file", "total", "loss", "batch"} <= tables, "schema --db %s is SQL" % kind, tables)
    tap.equal(ask("schema").out, ask("schema", "sqlite").out, "schema: SQLite by default")
    tap.equal(ask("schema", "--db", "postgresql://u@127.0.0.1:1/x").out, ask("schema", "postgresql").out,
              "schema: opens no database")
    tap.ok("CREATE TYPE" in ask("schema", "postgresql").out, "schema postgresql")
    tap.equal(os.listdir(scratch + "/none") if os.path.exists(scratch + "/none") else [], [], "schema: creates nothing")


def test_golden(tap):
    """The DDL of servers that cannot be tried here is as it was read and compared with their documents."""
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")
    for name, url, version in (
            ("clickhouse-18.16", "clickhouse://h/ledger", "18.16"), ("clickhouse-18.16-cluster", "clickhouse://h/ledger?cluster=both", "18.16.1"),
            ("clickhouse-20.8-keep", "clickhouse://h/ledger?keep=30d", "20.8"), ("clickhouse-24.8", "clickhouse://h/ledger", "24.8"),
            ("clickhouse-24.8-replicated", "clickhouse://h/ledger?cluster=both&replicated=1&keep=30d", "24.8")):
        with open(os.path.join(folder, name + ".sql.txt"), encoding="utf-8") as file:
            tap.equal(ask("schema", "--db", url, "--server", version).out, file.read(), "schema: " + name)
    with open(os.path.join(folder, "postgresql-citus.sql.txt"), encoding="utf-8") as file:
        tap.equal(ask("schema", "--db", "postgresql", "--citus").out, file.read(), "schema: postgresql-citus")
    tap.equal(ask("schema", "clickhouse").out, ask("schema", "clickhouse", "--server", "24.8").out, "schema clickhouse: for the newest that is known")
    for args in (("clickhouse", "--server", "17.1"), ("clickhouse", "--server", "new"), ("sqlite", "--server", "24.8"), ("sqlite", "--citus"), ("clickhouse", "--citus"), ("clickhouse://h/a?b=c", "--server", "24.8")):
        answer = ask("schema", *args)
        tap.ok(answer.status == 2 and not answer.raw and answer.err.count("\n") == 2, "schema %s" % " ".join(args), answer)


def run_into(stdout, *args, ignore_pipe=False):
    """Exit status and stderr with that stdout; a signal is negative."""
    done = subprocess.run([IOLEDGER, *args], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          env=environment(), timeout=PATIENCE, check=False, restore_signals=not ignore_pipe)
    return done.returncode, done.stderr.decode()


def test_stdout(tap, url):
    for args in (("files", "--format", "json"), ("who", "/many/", "--format", "csv"), ("tree",), ("files",)):
        for ignore in (False, True):
            read_end, write_end = os.pipe()
            os.close(read_end)
            status, err = run_into(write_end, *args, "--db", url, ignore_pipe=ignore)
            os.close(write_end)
            # On a table, what is told besides stays: only the pipe is not worth a word.
            tap.ok(status == (1 if ignore else -signal.SIGPIPE) and "annot write" not in err,
                   "%s: a closed pipe%s is no matter" % (args[0], ", ignored," if ignore else ""), (status, err))
        with open("/dev/full", "wb") as full:
            status, err = run_into(full, *args, "--db", url)
        tap.ok(status == 1 and "cannot write to standard output: No space left on device" in err,
               "%s: a full disk" % args[0], (status, err))
    with open("/dev/full", "wb") as full:
        for args in (("--help",), ("--version",), ("schema",), ("who", "--help"), ()):
            status, err = run_into(full, *args)
            tap.ok(status == 1 and "No space left on device" in err and err.count("\n") == 1,
                   "%s: a full disk" % " ".join(args), (status, err))


def close_standard(numbers):
    for number in numbers:
        os.close(number)


def descriptors(pid):
    """What leads where in that process."""
    there = {}
    for number in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            there[int(number)] = os.readlink("/proc/%d/fd/%s" % (pid, number))
    return there


def test_closed(tap, scratch):
    """What is not open at the start is not the number of a file later on, in which messages would be written."""
    for numbers in ((1,), (2,), (1, 2)):
        path = os.path.join(scratch, "closed-%d.db" % len(numbers))
        with subprocess.Popen([IOLEDGER, "load", "--db", "sqlite:" + path, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, env=environment(), preexec_fn=lambda n=numbers: close_standard(n)) as load:
            wait_for(lambda: path in descriptors(load.pid).values(), "the ledger to be opened")
            there = descriptors(load.pid)
            tap.equal([there.get(number) for number in numbers], ["/"] * len(numbers), "closed descriptors %s stay out of use" % (numbers,))
            load.stdin.close()
            load.wait(PATIENCE)


def test_damaged(tap, url, scratch):
    """Circles and strangers in a ledger neither hang nor crash anything."""
    path = os.path.join(scratch, "damaged.db")
    shutil.copy(url[len("sqlite:"):], path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE process SET parent_id = 10 WHERE id = 1")
        connection.execute("UPDATE process SET parent_id = 7 WHERE id = 5")
        connection.execute("UPDATE process SET comm = CAST(x'62ff62' AS text), argv = NULL WHERE id = 8")
        connection.execute("DELETE FROM process WHERE id = 9")
        connection.execute("UPDATE io_row SET file_id = 4711 WHERE file_id = 103")
    tap.equal(sorted(r["id"] for r in ask_json("tree", "--db", "sqlite:" + path)), [1, 2, 3, 4, 5, 6, 7, 8, 10, 11],
              "tree: every image once, in spite of circles")
    tap.equal([r["comm"] for r in ask_json("who", "/src/a.c", "--db", "sqlite:" + path)], ["b\ufffdb", "cc1"],
              "json is valid whatever the ledger holds")
    for question in QUESTIONS:
        answer = ask(*question, "--db", "sqlite:" + path)
        tap.ok(answer.status in (0, 1) and answer.raw, "%s: a damaged ledger" % " ".join(question), answer)
    tap.equal([r["comm"] for r in ask_json("who", "/srcery", "--db", "sqlite:" + path)], [None],
              "who: an account whose process is missing is still there")


def main():
    tap = Tap()
    scratch = tempfile.mkdtemp(prefix="ioledger-cli.")
    try:
        sqlite = {name: "sqlite:%s/%s.db" % (scratch, name) for name in CONTENTS}
        postgres = start_postgres(scratch, CONTENTS)
        for kind, db in (("sqlite", sqlite), ("postgresql", postgres)):
            if db is None:
                tap.count += 1
                print("ok %d - %s # SKIP no server is installed" % (tap.count, kind))
                continue
            fill(db)
            for test in (test_who, test_who_tree, test_who_renamed, test_files, test_tree, test_tree_span, test_balance, test_formats, test_terminal,
                         test_nothing_found, test_statements):
                run(tap, "%s on %s" % (test.__name__, kind), test, db)
            run(tap, "test_who_names on %s" % kind, test_who_names, db, scratch)
            run(tap, "test_host on %s" % kind, test_host, db)
            if kind != "clickhouse":
                run(tap, "test_prune on %s" % kind, test_prune, db)
        run(tap, "test_usage", test_usage, sqlite["full"])
        run(tap, "test_help", test_help, sqlite["full"])
        run(tap, "test_database_choice", test_database_choice, sqlite["full"], scratch)
        run(tap, "test_schema", test_schema, scratch)
        run(tap, "test_golden", test_golden)
        run(tap, "test_stdout", test_stdout, sqlite["many"])
        run(tap, "test_closed", test_closed, scratch)
        run(tap, "test_damaged", test_damaged, sqlite["full"], scratch)
    finally:
        remove_servers(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    print("1..%d" % tap.count)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
