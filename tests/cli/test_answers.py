#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Questions with a span of time, by kind of access, and summed up, about a ledger with known contents (fixture.c: answers), in each
database; and the screens that they leave in tmux.

test_answers.py IOLEDGER FIXTURE PGCLUSTER CHCLUSTER
"""
import contextlib
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

from clilib import (IOLEDGER, OnTerminal, Tap, ask, ask_json, ask_server, ask_terminal, fill, one_line_and_hint, remove_servers, run, start_clickhouse,
                    start_postgres)
from screenlib import Terminal, has_tmux  # of tests/live, where clilib looks too


CONTENTS = ("answers", "full", "many", "renamed", "lossy", "empty")
HOSTILE = "/b/esc\x1b[31m\n\u202e/x\r"


def at(second):
    """The time of the fixture's second."""
    return "2025-11-23 %02d:%02d:%02d" % (8 + (53 * 60 + 20 + second) // 3600, (53 * 60 + 20 + second) // 60 % 60, (20 + second) % 60)


def test_span(tap, db):
    url = db["answers"]

    def who(*options):
        return [(r["comm"], r["read_bytes"]) for r in ask_json("who", "/b/src/a.c", "--db", url, *options)]
    tap.equal(who(), [("cc1", 150), ("cc1", 100)], "who: all of the time")
    tap.equal(who("--since", at(100)), [("cc1", 150)], "who --since")
    tap.equal(who("--until", at(100)), [("cc1", 100)], "who --until")
    tap.equal(who("--since", at(0), "--until", at(1)), [("cc1", 100)], "who: a span in which an interval ends")
    tap.equal(who("--since", at(0) + ".8", "--until", at(1)), [], "who: after the last operation of an interval")
    tap.equal(who("--since", at(0), "--until", at(0) + ".5"), [], "who: before the first operation of an interval")
    tap.equal(who("--since", at(0) + ".6", "--until", at(0) + ".6001"), [("cc1", 100)], "who: within an interval")
    tap.equal(who("--since", "2025-11-23T10:55:00+02:00"), [("cc1", 150)], "who --since with a zone")
    tap.equal(who("--since", "10 min ago"), [], "who --since 10 min ago: nothing is so new")
    tap.equal([(r["path"], r["read_bytes"]) for r in ask_json("files", "cc1", "--db", url, "--since", at(100), "--until", at(110))],
              [("/b/src/a.c", 150), ("/b/src/new.h", 20), ("/usr/lib/libc.so", 0)], "files COMM in a span")
    tap.equal([(r["path"], r["read_bytes"]) for r in ask_json("files", "--db", url, "--until", at(2))][:2],
              [("/b/src/a.c", 100), ("/b/src/old.h", 10)], "files until a time")
    none = ask("files", "--db", url, "--since", "now")
    tap.ok(none.status == 1 and "nothing of that kind was done in that time" in none.err, "files: nothing in the span", none)
    for args, told in ((("--since", at(2), "--until", at(1)), "--until is not after --since"),
                       (("--since", "tomorow"), "--since: 'tomorow' is not a time"),
                       (("--until", "2025-02-30"), "--until: '2025-02-30' is not a time"),
                       (("--by", "prozess"), "--by: 'prozess' is not a grouping: did you mean 'process'?"),
                       (("--by", "x"), "--by: 'x' is not a grouping"),
                       (("--format", "jsn"), "--format: 'jsn' is not a format: did you mean 'json'?")):
        for question in (("who", "/x"), ("files",)):
            tap.ok(one_line_and_hint(ask(*question, "--db", url, *args), told), "bad usage: %s %s" % (question[0], args))


def test_accesses(tap, db):
    url = db["answers"]

    def found(*question):
        return {r["path"] for r in ask_json(*question, "--db", url)}
    everything = {"/b/src/a.c", "/b/src/old.h", "/b/src/new.h", "/b/out/tmp1", "/b/out/a.o", HOSTILE, "/usr/lib/libc.so"}
    tap.equal(found("files"), everything, "files: all")
    tap.equal(found("files", "--write"), {"/b/out/tmp1", HOSTILE}, "files --write")
    tap.equal(found("files", "--read"), everything - {"/b/out/tmp1"}, "files --read")
    tap.equal(found("files", "--read", "--write"), {HOSTILE}, "files --read --write: both")
    tap.equal([r["write_bytes"] for r in ask_json("files", "--write", "--db", url)], [4000, 6], "files --write: most written first")
    tap.equal({r["comm"] for r in ask_json("who", "/b/", "--write", "--db", url)}, {"as"}, "who DIR/ --write")
    tap.equal({r["comm"] for r in ask_json("who", "/b/", "--read", "--db", url)}, {"cc1", "as", "cat"}, "who DIR/ --read")


def test_groups(tap, db):
    url = db["answers"]

    def groups(by, *question):
        rows = ask_json(*question, "--by", by, "--db", url)
        return [(r["argv" if by == "process" else by], r["files"], r["read_bytes"], r["write_bytes"]) for r in rows]
    tap.equal(groups("exe", "files"), [("/usr/bin/as", 2, 5, 4006), ("/bin/cat", 1, 4001, 0), ("/usr/libexec/cc1", 4, 280, 0)],
              "files --by exe")
    tap.equal(groups("user", "files"), [("ann", 6, 285, 4006), ("root", 1, 4001, 0)], "files --by user")
    tap.equal(groups("container", "files"), [(None, 6, 285, 4006), ("0123456789ab", 1, 4001, 0)], "files --by container")
    tap.equal(groups("directory", "files"),
              [("/b/out/", 2, 4001, 4000), ("/b/src/", 3, 280, 0), ("/b/esc\x1b[31m\n\u202e/", 1, 5, 6), ("/usr/lib/", 1, 0, 0)],
              "files --by directory")
    tap.equal(groups("process", "files"), [("as -o a.o", 2, 5, 4006), ("cat a.o", 1, 4001, 0), ("cc1 -quiet a.c", 3, 170, 0),
                                           ("cc1 -quiet a.c", 3, 110, 0)], "files --by process")
    tap.equal(groups("user", "who", "/b/src/"), [("ann", 3, 280, 0)], "who DIR/ --by user")
    tap.equal(groups("exe", "who", "/b/", "--write"), [("/usr/bin/as", 2, 5, 4006)], "who DIR/ --by exe --write")
    tap.equal(groups("exe", "who", "/b/", "--since", at(200)), [("/bin/cat", 1, 4001, 0)], "who DIR/ --by exe --since")
    rows = ask_json("files", "--by", "exe", "--db", url)
    tap.equal([(r["processes"], r["host"], r["first"], r["last"]) for r in rows][2],
              (2, "alpha", at(0) + ".500501", at(101) + ".750507"), "files --by exe: processes, host, first and last")
    table = ask("files", "--by", "directory", "--limit", "1", "--db", url)
    tap.ok(table.out.splitlines()[0].startswith("DIRECTORY") and "3 more; --limit 0" in table.err, "files --by: the table", table)
    tap.equal(ask("who", "/none", "--by", "exe", "--db", url).status, 1, "who --by: nothing")
    tap.equal(len(ask_json("files", "--by", "directory", "--db", db["many"])), 1, "files --by directory: 5000 files of one")


def test_timeline(tap, db):
    url = db["answers"]

    def story(*args, of="answers"):
        return [(r["what"], r["path"] if not r["other_path"] else (r["path"], r["other_path"]), r["comm"], r["bytes"])
                for r in ask_json("timeline", *args, "--db", db[of])]
    whole = [("created", "/b/out/tmp1", "as", None), ("written", "/b/out/tmp1", "as", 4000),
             ("renamed", ("/b/out/tmp1", "/b/out/a.o"), "as", None), ("mode changed", "/b/out/a.o", "as", None),
             ("read", "/b/out/a.o", "cat", 4000), ("read", "/b/out/a.o", "cat", 1), ("deleted", "/b/out/a.o", "rm", None)]
    tap.equal(story("/b/out/a.o"), whole, "timeline: the whole story, by the last name")
    tap.equal(story("/b/out/tmp1"), whole, "timeline: by the first name")
    tap.equal(story("/b/out/a.o", "--pause", "2m")[4:6], [("read", "/b/out/a.o", "cat", 4001), whole[6]], "timeline --pause 2m")
    tap.equal(len(story("/b/out/a.o", "--pause", "100ms")), 9, "timeline --pause 100ms")
    tap.equal(story("/b/out/a.o", "--since", at(100)), whole[4:], "timeline --since")
    tap.equal(story("/b/out/a.o", "--until", at(12)), whole[:2], "timeline --until")
    tap.equal(story("/b/out/a.o", "-n", "2"), whole[5:], "timeline -n: the latest")
    tap.equal([(r["first"], r["last"], r["ops"], r["errors"]) for r in ask_json("timeline", "/b/out/a.o", "--db", url)][4],
              (at(200) + ".500505", at(201) + ".750505", 10, 2), "timeline: from first to last, operations, errors")
    tap.equal(story("/usr/lib/libc.so"), [("mapped", "/usr/lib/libc.so", "cc1", None)] * 2, "timeline: mappings, bytes unknown")
    tap.equal([entry[1] for entry in story("/b/esc\x1b[31m\n\u202e/")], [HOSTILE] * 2, "timeline DIR/ of a hostile name")
    tap.equal(len(story("/b/")), 13, "timeline DIR/")
    tap.equal(story("/s/c", of="renamed"),
              [("created", "/r/a", "mv", None), ("read", "/r/a", "cat", 2), ("renamed", ("/r/a", "/r/b"), "mv", None),
               ("read", "/r/b", "cat", 8), ("renamed", ("/r/b", "/r/c"), "mv", None), ("read", "/r/c", "cat", 32),
               ("renamed", ("/r", "/s"), "mv", None), ("read", "/s/c", "cat", 128), ("deleted", "/s/c", "mv", None),
               ("read", "/s/c", "cat", 256)], "timeline: three names, and another file that has the last one")
    tap.equal(story("/usr/libexec/cc1", of="full"), [("executed", "/usr/libexec/cc1", "cc1", None)], "timeline: executed")
    table = ask("timeline", "/b/out/a.o", "--db", url)
    tap.ok("renamed to /b/out/a.o" in table.out and "read, 2 failed" in table.out and "also known as '/b/out/tmp1'" in table.err,
           "timeline: the table", table)
    none = ask("timeline", "/none", "--db", url)
    tap.ok(none.status == 1 and not none.raw and "nothing is known of '/none'" in none.err, "timeline: nothing", none)
    tap.equal(len(ask_json("timeline", "/many/", "--db", db["many"])), 5000, "timeline: 5000 lines")
    left = ask("timeline", "/many/", "--db", db["many"])
    tap.ok(len(left.out.splitlines()) == 201 and "4800 earlier; --limit 0" in left.err, "timeline: a table has the latest 200", left.err)
    for args, told in ((("timeline",), "a PATH is missing"), (("timeline", ""), "PATH is empty"),
                       (("timeline", "/x", "--pause", "x"), "--pause: 'x' is not a duration")):
        tap.ok(one_line_and_hint(ask(*args), told), "bad usage: %s" % " ".join(args))


def test_hot(tap, db):
    url = db["answers"]

    def hot(*args, of="answers"):
        return [(r["path"], r["files"], r["read_bytes"], r["write_bytes"]) for r in ask_json("hot", *args, "--db", db[of])]
    hostile = "/b/esc\x1b[31m\n\u202e/"
    whole = [("/b/out/", 2, 4001, 4000), ("/b/src/", 3, 280, 0), (hostile, 1, 5, 6), ("/usr/lib/", 1, 0, 0)]
    tap.equal(hot(), whole, "hot: directories")
    tap.equal(hot("--depth", "1"), [("/b/", 6, 4286, 4006), ("/usr/", 1, 0, 0)], "hot --depth 1")
    tap.equal(hot("/b", "--depth", "1"), whole[:3], "hot PATH --depth 1: below PATH")
    tap.equal(hot("/b/", "--depth", "7"), whole[:3], "hot --depth 7: no deeper than there are directories")
    tap.equal(hot("/b/src"), whole[1:2], "hot PATH")
    tap.equal(hot("--by", "file", "-n", "2"), [("/b/out/a.o", 1, 4001, 0), ("/b/out/tmp1", 1, 0, 4000)], "hot --by file -n 2")
    tap.equal(hot("--sort", "written"), [whole[0], whole[2], whole[1], whole[3]], "hot --sort written")
    tap.equal(hot("--sort", "ops"), [whole[0], whole[1], whole[2], whole[3]], "hot --sort ops")
    tap.equal(hot("--since", at(100), "--until", at(110)), [("/b/src/", 2, 170, 0), ("/usr/lib/", 1, 0, 0)], "hot in a span")
    tap.equal(hot("--write"), [("/b/out/", 1, 0, 4000), (hostile, 1, 5, 6)], "hot --write")
    tap.equal([entry[:2] for entry in hot(of="full") if not entry[0].startswith("/h/")],
              [("/", 1), ("/src/", 2), ("/src/sub/", 1), ("/w\\\\x/", 1), (" /h/leading blank", 1), ("(pipes)", 1)],
              "hot: accounts that stand for no file are by themselves")
    tap.equal(hot("/w\\x", of="full"), [("/w\\\\x/", 1, 100, 0)], "hot: a backslash above a name that is not UTF-8")
    table = ask("hot", "--by", "file", "-n", "1", "--db", url)
    tap.ok("48.3 %" in table.out and "6 more; --limit 0" in table.err, "hot: the table", table)
    none = ask("hot", "/none", "--db", url)
    tap.ok(none.status == 1 and not none.raw and "nothing below '/none/'" in none.err, "hot: nothing", none)
    for args, told in ((("hot", ""), "PATH is empty"), (("hot", "--by", "fiel"), "did you mean 'file'?"),
                       (("hot", "--sort", "x"), "--sort: 'x' is not a measure"), (("hot", "--depth", "x"), "--depth: 'x' is not a number")):
        tap.ok(one_line_and_hint(ask(*args), told), "bad usage: %s" % " ".join(args))


def test_diff(tap, db):
    url = db["answers"]

    def diff(*args):
        return [(r["change"], r["path"], r["read_bytes_a"], r["read_bytes_b"], r["write_bytes_a"], r["write_bytes_b"])
                for r in ask_json("diff", *args, "--db", url)]
    builds = [("new", "/b/src/new.h", 0, 20, 0, 0), ("gone", "/b/out/tmp1", 0, 0, 4000, 0), ("gone", HOSTILE, 5, 0, 6, 0),
              ("gone", "/b/src/old.h", 10, 0, 0, 0), ("changed", "/b/src/a.c", 100, 150, 0, 0)]
    tap.equal(diff("last~2", "last~1"), builds, "diff of two recordings")
    tap.equal(diff("recording:1", "recording:-2"), builds, "diff of recordings by id")
    tap.equal(diff("%s..%s" % (at(0), at(51)), "%s .. %s" % (at(100), at(151))), builds, "diff of two spans")
    tap.equal(diff("..%s" % at(51), "recording:-2"), builds, "diff of a span without a beginning and a recording")
    tap.equal(diff("last~2", "last~1", "--read", "--only", "new"), builds[:1], "diff --read --only new: what is read now and was not")
    tap.equal(diff("last~2", "last~1", "--write"), [("gone", "/b/out/tmp1", 0, 0, 4000, 0), ("gone", HOSTILE, 5, 0, 6, 0)],
              "diff --write")
    tap.equal(diff("last~2", "last~1", "--only", "same"), [("same", "/usr/lib/libc.so", 0, 0, 0, 0)], "diff --only same")
    tap.equal(diff("last~2", "last~1", "--all"), builds + [("same", "/usr/lib/libc.so", 0, 0, 0, 0)], "diff --all")
    tap.equal(diff("last~2", "last~1", "-n", "1"), builds[:1], "diff -n 1")
    tap.equal(diff("last~2", "last~1", "--depth", "1"), [("changed", "/b/", 115, 170, 4006, 0)], "diff --depth 1")
    tap.equal(diff("last~2", "last~1", "--by", "directory")[0], ("gone", "/b/out/", 0, 0, 4000, 0), "diff --by directory")
    tap.equal(diff("last", db["answers"] + "#last"), [], "diff of a recording with itself, once by URL")
    everything = diff(db["full"], db["answers"])
    tap.ok(("gone", "/srcery", 9007199254740993, 0, 0, 0) in everything and ("new", "/b/out/a.o", 0, 4001, 0, 0) in everything,
           "diff of two ledgers", everything)
    tap.equal([(r["name"], r["id"], r["ended"], r["scope"]) for r in ask_json("diff", "--db", url)],
              [("last", 3, None, ""), ("last~1", -2, at(151) + ".000000", "-- make"), ("last~2", 1, at(51) + ".000000", "-- make")],
              "diff alone: the recordings")
    table = ask("diff", "last~2", "last~1", "--db", url)
    tap.ok("1 new, 3 gone, 1 changed, 1 the same" in table.err and table.out.startswith("CHANGE"), "diff: the table", table)
    tap.ok("B: complete from" in ask("diff", "last~2", at(90) + "..", "--db", url).err, "diff: which side was not recorded whole")
    same = ask("diff", "last", "last", "--db", url)
    tap.ok(same.status == 1 and not same.raw and "0 new, 0 gone, 0 changed, 1 the same" in same.err, "diff: no difference", same)
    for args, told in ((("last",), "'last' is to be compared with what? give A and B"), (("lst", "last"), "'lst' is neither a recording nor a span"),
                       (("last", "last~"), "'last~' is neither"), (("last", "tomorow.."), "'tomorow' is not a time"),
                       (("last", at(2) + ".." + at(1)), "ends before it begins"), (("a", "b", "c"), "unexpected argument 'c'"),
                       (("last", "last", "--only", "gon"), "did you mean 'gone'?"), (("last", "last", "--by", "user"), "is not a grouping")):
        tap.ok(one_line_and_hint(ask("diff", *args, "--db", url), told), "bad usage: diff %s" % (args,))
    answer = ask("diff", "/etc/passwd", "last", "--db", "sqlite:/none.db")
    tap.ok(answer.status == 2 and "write 'sqlite:/etc/passwd'" in answer.err, "diff: a file's path is no URL", answer)
    for args, told in ((("last", "last~7"), "no recording 'last~7' in that ledger, which has 3"),
                       (("last", "recording:9"), "no recording 'recording:9'"), (("last", "sqlite:/none.db"), "no ledger at /none.db")):
        answer = ask("diff", *args, "--db", url)
        tap.ok(answer.status == 1 and told in answer.err and answer.err.count("\n") == 2, "diff %s" % (args,), answer)


def test_coverage(tap, db):
    url = db["answers"]

    def notes(*options, of="answers"):
        answer = ask("files", "--db", db[of], *options)
        return [line[len("ioledger: note: "):] for line in answer.err.splitlines() if line.startswith("ioledger: note: ")]
    lost = "host alpha lost detail, not bytes: no account slot, 7 times from %s to %s" % (at(120), at(121))
    tap.equal(notes(), [lost], "no span: losses are told, gaps are not asked for")
    tap.equal(notes("--since", at(0), "--until", at(51)), [], "a span that was recorded: nothing to say")
    tap.equal(notes("--since", at(100), "--until", at(119)), [], "a span before the loss")
    tap.equal(notes("--since", at(110), "--until", at(130)), [lost], "a span with a loss")
    tap.equal(notes("--since", at(10), "--until", at(90)),
              ["complete from %s to %s; the rest of that time was not recorded" % (at(10), at(51))], "a recording that ended in the span")
    tap.equal(notes("--since", at(40), "--until", at(110)),
              ["complete from %s to %s, and from %s to %s; the rest of that time was not recorded" % (at(40), at(51), at(100), at(110))],
              "a gap in the span")
    tap.equal(notes("--since", at(60), "--until", at(90)), ["nothing was recorded from %s to %s" % (at(60), at(90))],
              "a span that was not recorded")
    tap.equal(notes("--since", at(250)), ["complete from %s to %s; the rest of that time was not recorded" % (at(250), at(301))],
              "a recording that was killed counts to its last interval")
    tap.equal(notes("--until", at(40)), [], "from the first recording on")
    tap.equal(notes("--since", at(60), "--until", at(90), "--format", "json"), ["nothing was recorded from %s to %s" % (at(60), at(90))],
              "the note for programs too")
    tap.equal(notes("--format", "json"), [], "no note for programs that ask for no span")
    tap.equal(notes("--since", at(0), of="empty"), ["nothing was recorded into this ledger"], "an empty ledger")
    told = notes("--since", "2025-11-23 08:20:00", "--until", "2025-11-23 08:20:30", of="lossy")
    tap.ok(told[0] == "nothing was recorded from 2025-11-23 08:20:00 to 2025-11-23 08:20:30, host beta" and "42 times" in told[1],
           "two hosts: which one", told)
    tap.ok("lost detail" in ask("who", "/b/src/a.c", "--db", url).err, "who tells of losses too")


def test_fleet(tap, db):
    started = time.time()
    T0 = 1763886000  # 2025-11-23 08:20:00
    fleet = ask_json("fleet", "--db", db["lossy"])
    tap.equal([(r["host"], r["last_seen"][:19], r["version"], r["kernel"], (r["ended"] or "-")[:19]) for r in fleet],
              [("alpha", "2025-11-23 08:20:00", "0", "6.1.0", "2025-11-23 09:26:40"), ("beta", "2025-11-23 08:20:00", "0", "6.1.0", "-")],
              "fleet: the hosts, and their latest recording")
    tap.ok((started - T0) * 1000 - 1 <= fleet[0]["lag_ms"] <= (time.time() - T0) * 1000 and fleet[1]["lag_ms"] is None,
           "fleet: the lag is the age of the newest batch; no batch, no lag", fleet)

    def figures(*args, of="lossy"):
        return [(r["host"], r["ops_per_s"], r["read_bytes_per_s"], r["write_bytes_per_s"], r["losses"], r["loss_reasons"])
                for r in ask_json("fleet", "--db", db[of], *args)]
    tap.equal(figures(), [("alpha", 0, 0, 0, 0, None), ("beta", 0, 0, 0, 0, None)], "fleet: nothing in the last 5 minutes")
    tap.equal([entry[:2] for entry in figures("--since", at(0), "--until", at(10))], [("alpha", 10), ("beta", 0)],
              "fleet: 100 operations in 10 seconds, all of one host")
    tap.equal(figures("--since", at(0), "--until", at(10), of="answers"), [("alpha", 0, 11, 0, 0, None)], "fleet: bytes read")
    tap.equal(figures("--since", at(2), "--until", at(12), of="answers"), [("alpha", 0, 0, 300, 0, None)],
              "fleet: bytes written, and of the intervals those that end in the span")
    tap.equal(figures("--until", at(202), of="answers"), [("alpha", 0, 2, 13, 7, "no account slot: 7")], "fleet: 5 minutes before --until")
    tap.equal(figures("--since", "2025-11-23 08:20:00", "--until", "2025-11-23 08:20:10"),
              [("alpha", 0, 0, 0, 42, "no account slot: 42"), ("beta", 0, 0, 0, 0, None)], "fleet: losses, and why")
    tap.equal([entry[0] for entry in figures("--host", "beta")], ["beta"], "fleet --host")
    tap.equal([r["ops_per_s"] for r in ask_json("fleet", "--db", db["lossy"], "--since", "2100-01-01")],
              [None, None], "fleet: a span without length has no rates")
    table = ask("fleet", "--db", db["lossy"], "--since", at(0), "--until", at(100))
    tap.ok(re.search(r"HOST +LAST SEEN +LAG +ENDED", table.out) and re.search(r"^alpha .* \d+ d( \d+ h)? ", table.out, re.MULTILINE) and
           "rates and losses are of the 1 min 40 s from %s to %s" % (at(0), at(100)) in table.err, "fleet: the table says which span", table)
    csv = ask("fleet", "--db", db["lossy"], "--format", "csv").out.splitlines()
    tap.ok(len(csv) == 3 and csv[0].startswith("host,last_seen,lag_ms,ended,"), "fleet: csv", csv)
    none = ask("fleet", "--db", db["empty"])
    tap.ok(none.status == 1 and not none.raw and "no host has recorded" in none.err, "fleet: an empty ledger", none)
    gone = ask("fleet", "--host", "gamma", "--db", db["lossy"])
    tap.ok(gone.status == 1 and "no host 'gamma'" in gone.err and "'ioledger fleet'" in gone.err, "fleet: a host that is not there", gone)


CLEAR = b"\r\x1b[K"
SLOW = (("who", "/src/a.c"), ("who", "/src/", "--by", "user"), ("files",), ("files", "--by", "exe"), ("timeline", "/src/a.c"), ("tree",), ("hot",),
        ("diff", "last", ".."), ("balance",), ("report", "-o", "page.html"))


# From here on io is a view, of which nobody gets rows while somebody has the lock.
SLOW_DOWN = """ALTER TABLE io RENAME TO io_quick;
CREATE VIEW io AS WITH wait AS MATERIALIZED (SELECT pg_advisory_lock_shared(1)) SELECT io_quick.* FROM io_quick CROSS JOIN wait;"""


@contextlib.contextmanager
def locked(url):
    with subprocess.Popen(["psql", "-qXAt", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        session.stdin.write("SELECT 'locked' FROM pg_advisory_lock(1);\n")
        session.stdin.flush()
        session.stdout.readline()
        yield
        session.stdin.close()


def test_waiting(tap, url, scratch):
    """A question that takes longer than two seconds says what it is at, and leaves nothing of that behind; Ctrl-C ends it, and leaves no page."""
    page = os.path.join(scratch, "page.html")
    subprocess.run(["psql", "-qX", url, "-c", SLOW_DOWN], check=True)
    questions = [tuple(page if word == "page.html" else word for word in question) for question in SLOW]
    with locked(url):
        running = [OnTerminal(80, *question, "--db", url) for question in questions]
        tired = OnTerminal(80, "report", "-o", os.path.join(scratch, "tired.html"), "--db", url)
        for question, terminal in zip((*questions, ("report, interrupted",)), (*running, tired)):
            tap.ok(terminal.wait_for(rb"ioledger: [a-z ]+ \.\.\. [2-9] s"), "%s: what it is at" % question[0], terminal.got)
        tired.interrupt()
        answer = tired.end()
        tap.ok(answer.status == -signal.SIGINT and answer.raw.endswith(CLEAR) and not [name for name in os.listdir(scratch) if "tired" in name],
               "report: Ctrl-C while it adds up", answer)
    for question, terminal in zip(questions, running):
        answer, quick = terminal.end(), ask_terminal(80, *question, "--db", url)
        tap.equal((answer.status, answer.raw.split(CLEAR)[-1]), (quick.status, quick.raw), "%s: and then the answer, and nothing else" % question[0])


def test_replaced(tap, scratch):
    """A file that is removed and made anew within a tick of the kernel's clock, by which reads and writes are dated: first the one, then the other."""
    path = os.path.join(scratch, "replaced.db")
    fill({"answers": "sqlite:" + path})
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO event SELECT substr(ts, 1, 20) || '000001', host_id, process_id, tid, 'unlink', file_id, NULL, NULL, NULL, 0, 1"
                           " FROM event WHERE kind = 'open'")
        connection.execute("UPDATE event SET ts = substr(ts, 1, 20) || '000300' WHERE kind = 'open'")
    rows = ask_json("timeline", "/b/out/tmp1", "--db", "sqlite:" + path)
    tap.equal([r["what"] for r in rows][:3], ["deleted", "created", "written"], "timeline: changes stay in their order")


def test_clock_ahead(tap, scratch):
    path = os.path.join(scratch, "ahead.db")
    fill({"lossy": "sqlite:" + path})
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        # some days and half a day: whatever the hour is, the lag has hours
        connection.execute("UPDATE batch SET ts = strftime('%Y-%m-%d %H:%M:%f000', 'now', '+1000 days', '+12 hours')")
    lag = ask_json("fleet", "--db", "sqlite:" + path)[0]["lag_ms"]
    table = ask("fleet", "--db", "sqlite:" + path)
    tap.ok(lag < -86400000 and re.search(r"^alpha .* -\d+ d \d+ h ", table.out, re.MULTILINE), "fleet: a clock that is ahead has a lag below zero", table)


def test_screens(tap, db, scratch):
    """What a person sees, at both sizes; hostile names leave the terminal as it was."""
    for width, height in ((80, 24), (200, 50)):
        with Terminal(scratch, width, height) as terminal:
            def screen(*args):
                return terminal.run(shlex.join([IOLEDGER, *args, "--db", db["answers"]]))[1]
            who = screen("who", "/b/src/a.c")
            tap.ok(re.search(r"LAST +PID .*READ .*WRITTEN", who) and "921" in who and "911" in who and "make(920)" in who, "%d columns: who" % width, who)
            below = screen("who", "/b/")
            tap.ok(re.search(r"LAST +PID +COMM .*PATH", below) and re.search(r"921 +cc1 .*/a\.c", below), "%d columns: who DIR/ has the names of programs" % width, below)
            if width == 200:
                tap.ok("bash(812) \u2192 make(920) -j2 all \u2192 cc1(921) -quiet a.c" in who, "200 columns: who has the arguments", who)
            files = screen("files", "--since", "2025-11-23 08:53:00")
            tap.ok("/b/esc\\e[31m\\n\\u{202e}/x\\x0d" in files and "4.0K" not in files and "3.9K" in files and
                   "complete from 2025-11-23 08:53:20" in files, "%d columns: files" % width, files)
            groups = screen("files", "--by", "directory")
            tap.ok("DIRECTORY" in groups and "/b/esc\\e[31m\\n\\u{202e}/" in groups, "%d columns: files --by directory" % width, groups)
            groups = screen("files", "--by", "process")
            tap.ok("COMMAND" in groups and "cc1 -quiet a.c" in groups, "%d columns: files --by process" % width, groups)
            story = screen("timeline", "/b/")
            tap.ok("TIME" in story and "renamed to /b/out/a.o" in story and "deleted" in story, "%d columns: timeline" % width, story)
            hot = screen("hot")
            tap.ok("SHARE" in hot and "/b/src/" in hot and "/b/esc\\e[31m\\n\\u{202e}/" in hot, "%d columns: hot" % width, hot)
            fleet = screen("fleet")
            tap.ok(re.search(r"HOST .*LAG .*OPS/s +READ/s +WRITTEN/s +LOST", fleet) and "rates and losses are of the 5 min" in fleet,
                   "%d columns: fleet" % width, fleet)
            diff = screen("diff", "last~2", "last~1")
            tap.ok(re.search(r"CHANGE +READ A +READ B +WRITTEN A +WRITTEN B +PATH", diff) and re.search(r"new .* /b/src/new.h", diff) and
                   re.search(r"gone .* /b/esc.*\\x0d", diff), "%d columns: diff" % width, diff)
            tree = screen("tree", "910")
            tap.ok(re.search(r"EXIT +READ +WRITTEN +COMMAND", tree) and re.search(r"911.* 110 +0 .*\u251c\u2500 cc1 -quiet a.c", tree),
                   "%d columns: tree" % width, tree)
            tap.ok(terminal.is_sane(), "%d columns: the terminal is as it was" % width)


LATER = 1_900_000_000  # seconds: behind all that the fixture has


def add_files(url, folder, second, bytes_of_file, more=""):
    """200 files that one process has read at that time."""
    first = 1_000_000_000 + 1000 * second  # ids are those of no other file
    numbers = "FROM (SELECT toInt64(number + 1) AS n, (SELECT any(id) FROM host) AS h FROM numbers(200))"
    file = "id, host_id, dev, inode, generation, kind, path, row_version) SELECT %d + n, h, 1, n, 1, 'file', concat('/%s/', toString(1000 + n)), 1 %s" % (
        first, folder, numbers)
    ask_server(url, "INSERT INTO file (" + file)
    if more:
        ask_server(url, "INSERT INTO file (%s WHERE %s" % (file, more))
    ask_server(url, "INSERT INTO io (ts_us, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, write_bytes, read_errors,"
               " write_errors, first_ts_us, last_ts_us, batch_seq) SELECT t, 1000, h, 1, %d + n, 'rw', 1, %s, 0, 0, 0, 0, t, t, 1 FROM"
               " (SELECT *, toInt64(%d) AS t %s)" % (first, bytes_of_file, (LATER + second) * 1_000_000, numbers))


def test_biggest(tap, db):
    """The biggest files are found without names: when rows of smaller ones are there twice, and when all have the same bytes."""
    url = db["full"]
    ask_server(url, "SYSTEM STOP MERGES")
    add_files(url, "twice", 0, "1000 + n", "n <= 100")
    add_files(url, "same", 100, "4096")
    since, between, until = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(LATER + second)) for second in (-9, 50, 109))
    for title, span, limit, expected in (("of which smaller ones are there twice", (since, between), 20, [("/twice/%d" % n, n) for n in range(1200, 1180, -1)]),
                                         ("of equal ones by name", (between, until), 20, [("/same/%d" % n, 4096) for n in range(1001, 1021)]),
                                         ("of all", (since, until), 70, [("/same/%d" % n, 4096) for n in range(1001, 1071)])):
        args = ("files", "--since", span[0], "--until", span[1], "--limit", str(limit), "--db", url)
        tap.equal([(row["path"], row["read_bytes"]) for row in ask_json(*args)], expected, "files: the biggest " + title)
        all_of = 400 if span == (since, until) else 200
        tap.ok("%d more; --limit 0" % (all_of - limit) in ask(*args).err, "and how many there are", ask(*args).err)
    ask_server(url, "SYSTEM START MERGES")


def add_rows(url, path, second, rows):
    """(id of a file, id of a process, bytes read, bytes written), of files that all have that path, or are there; `rows` in the server's words."""
    if path:
        ask_server(url, "INSERT INTO file (id, host_id, dev, inode, generation, kind, path, row_version) SELECT f, h, 1, f, 1, 'file', '%s', 1 FROM"
                   " (SELECT DISTINCT f, (SELECT any(id) FROM host) AS h FROM (%s))" % (path, rows))
    ask_server(url, "INSERT INTO io (ts_us, interval_ms, host_id, process_id, file_id, route, read_ops, read_bytes, write_ops, write_bytes, read_errors,"
               " write_errors, first_ts_us, last_ts_us, batch_seq) SELECT t, 1000, h, p, f, 'rw', r > 0, r, w > 0, w, 0, 0, t, t, 1 FROM"
               " (SELECT *, toInt64(%d) AS t, (SELECT any(id) FROM host) AS h FROM (%s))" % ((LATER + second) * 1_000_000, rows))


def seconds(*of):
    return [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(LATER + second)) for second in of]


def test_one_path(tap, db):
    """Files that have one path are one: also when they are more than a statement can list; who used two of them is one process."""
    url = db["full"]
    three = " UNION ALL ".join("SELECT toInt64(%d) AS f, toInt64(%d) AS p, toInt64(%d) AS r, toInt64(%d) AS w" % row for row in (
        (3_000_000_001, 71, 30000, 0), (3_000_000_002, 71, 0, 5), (3_000_000_002, 72, 7, 3), (3_000_000_003, 72, 0, 1)))
    add_rows(url, "/three", 1000, three)
    since, until = seconds(999, 1001)
    question = ("files", "--since", since, "--until", until, "--db", url, "--limit", "5")
    keys = ("path", "read_bytes", "write_bytes", "processes", "flags")
    for options, expected in (((), (30007, 9, 2)), (("--read",), (30007, 3, 2)), (("--write",), (7, 9, 2)), (("--read", "--write"), (7, 3, 1))):
        tap.equal([tuple(row[key] for key in keys) for row in ask_json(*question, *options)], [("/three", *expected, None)],
                  "files --limit: three of one path " + " ".join(options))
    add_rows(url, "/often", 1000, "SELECT toInt64(3000010000 + number) AS f, toInt64(71 + number % 3) AS p, toInt64(10) AS r, toInt64(0) AS w FROM numbers(2100)")
    tap.equal([tuple(row[key] for key in keys) for row in ask_json(*question)], [("/three", 30007, 9, 2, None), ("/often", 21000, 0, 3, None)],
              "files --limit: 2,100 of one path")


def test_last_day(tap, db):
    """What is asked of the time before --until is not looked for in the days after it."""
    url = db["full"]

    def parts():
        return int(ask_server(url, "SELECT value FROM system.events WHERE event = 'SelectedParts'"))

    def looked_at(*question):
        before = parts()
        rows = ask_json(*question, "--since", since, "--until", until, "--db", url)
        return parts() - before, rows
    row = "SELECT toInt64(4000000001) AS f, toInt64(81) AS p, toInt64(1) AS r, toInt64(0) AS w"
    add_rows(url, "/day", 2000, row)
    since, until = seconds(1999, 2001)
    questions = (("files", "--limit", "5"), ("files",), ("files", "--by", "exe"), ("who", "/day"))
    before = [looked_at(*question) for question in questions]
    for later in range(1, 5):
        add_rows(url, None, 2000 + later * 86400, row)
    for question, was in zip(questions, before):
        found = looked_at(*question)
        tap.ok(found[1] == was[1] and len(found[1]) == 1, "%s --until: the same as before there were later days" % " ".join(question), (was, found))
        tap.ok(found[0] <= was[0], "%s --until: later days are not looked at" % " ".join(question), (was, found))


def main():
    tap = Tap()
    scratch = tempfile.mkdtemp(prefix="ioledger-answers.")
    try:
        sqlite = {name: "sqlite:%s/%s.db" % (scratch, name) for name in CONTENTS}
        for kind, db in (("sqlite", sqlite), ("postgresql", start_postgres(scratch, CONTENTS)),
                         ("clickhouse", start_clickhouse(scratch, CONTENTS))):
            if db is None:
                tap.skip("%s" % kind, "no server is installed")
                continue
            fill(db)
            for test in (test_span, test_accesses, test_groups, test_timeline, test_hot, test_diff, test_coverage, test_fleet):
                run(tap, "%s on %s" % (test.__name__, kind), test, db)
            if kind == "clickhouse":
                for test in (test_biggest, test_one_path, test_last_day):
                    run(tap, test.__name__, test, db)
            if kind == "postgresql":
                run(tap, "test_waiting", test_waiting, db["full"], scratch)
        run(tap, "test_replaced", test_replaced, scratch)
        run(tap, "test_clock_ahead", test_clock_ahead, scratch)
        if has_tmux():
            run(tap, "test_screens", test_screens, sqlite, scratch)
        else:
            tap.skip("screens", "no tmux on this machine")
    finally:
        remove_servers(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    print("1..%d" % tap.count)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
