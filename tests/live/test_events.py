#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Changes of files and directories are events: each call once, with the right process, thread, result and paths.

workload_events makes each call with names of every sort, and says what must be in the books for it.
"""
import collections
import json
import os
import subprocess

import livelib as live

TREE = ("open", "rename", "unlink", "link", "symlink", "mkdir", "rmdir")
ALL = TREE + ("open_failed", "truncate", "chmod", "chown", "setxattr")
EVENTS = """
select p.pid, e.tid, e.kind, e.result, e.weight, e.bytes, f.path, f.flags, f.kind as file_kind, f.inode,
       o.path as other, o.flags as other_flags, o.inode as other_inode, e.file_id, e.other_file_id
from event e left join process p on p.id = e.process_id left join file f on f.id = e.file_id left join file o on o.id = e.other_file_id
where e.kind in (%s) order by e.ts
""" % ", ".join("'%s'" % kind for kind in ALL)


def flags(text):
    return "-" if not text else text


def event_of(row):
    both = flags(row["flags"]) + ("/" + flags(row["other_flags"]) if row["other"] is not None else "")
    return (row["pid"], row["tid"], row["kind"], row["result"], both, row["path"], row["other"])


def wanted_events(notes, kinds):
    wanted = collections.OrderedDict()
    for scenario, said in notes.items():
        for pid, word in said:
            if word.count(":") == 5:
                kind, tid, result, marks, path, other = word.split(":")
                if kind in kinds:
                    wanted.setdefault(scenario, []).append(
                        (pid, int(tid), kind, int(result), marks, bytes.fromhex(path).decode(),
                         None if other == "-" else bytes.fromhex(other).decode()))
    return wanted


def record(tap, scratch, name, url, *options):
    """Records the workload as CMD; returns its folder, and what it says."""
    folder = os.path.join(scratch, name)
    result = os.path.join(scratch, name + ".result")
    os.mkdir(folder)
    recorder = live.Recorder(url, *options, command=[live.workload("events"), folder],
                             env={**os.environ, "IOLEDGER_RESULT": result})
    if not tap.equal(recorder.wait(), 0, "%s: the workload runs to its end" % name):
        tap.say(recorder.errors())
        raise live.Failure("no workload, no events")
    tap.equal(live.losses(url), [], "%s: no losses" % name)
    accounts, notes = live.read_expected(result)
    return folder, result, accounts, notes


def check_events(tap, name, url, notes, kinds, result):
    """Each event once, and no others of the workload's processes."""
    pids = {pid for said in notes.values() for pid, _ in said}
    rows = [row for row in live.rows(url, EVENTS) if row["pid"] in pids and row["path"] != result]
    booked = collections.Counter(event_of(row) for row in rows)
    for scenario, events in wanted_events(notes, kinds).items():
        wrong = ["did %d times %r, in the books %d times" % (n, event, booked[event])
                 for event, n in collections.Counter(events).items() if booked[event] < n]
        if wrong:
            wrong += ["in the books: %r" % (event,) for event in booked if event[0] == events[0][0] and event[1] == events[0][1]][:60]
        tap.ok(not wrong, "%s: %s: each of %d events is there" % (name, scenario, len(events)), *wrong)
    wanted = collections.Counter(event for events in wanted_events(notes, kinds).values() for event in events)
    tap.equal(dict(booked - wanted), {}, "%s: nothing is there twice, and nothing else" % name)
    tap.equal({(row["weight"], row["bytes"]) for row in rows} - {(1, None)}, set(), "%s: weight 1, no bytes" % name)
    known = {"mkdir": "dir", "rmdir": "dir", "symlink": "link", "open": "file", "truncate": "file"}
    tap.equal({(row["kind"], row["file_kind"]) for row in rows if row["kind"] in known} - set(known.items()), set(),
              "%s: the kinds of files" % name)
    if ("absent") in [word for _, word in notes.get("compat", [])]:
        tap.skip("%s: 32-bit calls" % name, "this kernel takes no 32-bit system calls")


def check_accounts(tap, name, url, folder, accounts):
    """What was written before a renaming is under the old path, after it under the new one, and who finds it under each."""
    for account in accounts:
        booked = live.accounts(url, path=account.path, pid=account.pid)
        tap.equal(live.sums(booked), account.counts, "%s: what was written as %s" % (name, account.path[len(folder):]))
    wanted = {(account.pid, account.path, account.counts[4]) for account in accounts}
    for account in accounts:
        done = live.run("who", "--db", url, "--format", "json", account.path)
        found = {(row["pid"], row["path"], row["write_bytes"]) for row in json.loads(done.stdout)}
        tap.equal(found, wanted, "%s: who %s finds it under all its names" % (name, account.path[len(folder):]))
    done = live.run("who", "--db", url, os.path.join(folder, "io/dir/old"))
    said = done.stderr.decode()
    tap.ok("also known as '%s/io/dir/new' since" % folder in said and "renamed by workload_events(%d)" % accounts[0].pid in said,
           "%s: who says what it is called now, and who renamed it" % name, said)
    done = live.run("who", "--db", url, os.path.join(folder, "io/dir/"))
    tap.ok("io/moved/new" in done.stdout.decode() and "io/moved/' since" in done.stderr.decode(),
           "%s: who DIR/ finds what is below under its new name" % name, done.stdout.decode(), done.stderr.decode())


def check(tap, scratch, kind, name, *options):
    url = live.new_url(kind, scratch)
    folder, result, accounts, notes = record(tap, scratch, name, url, "--events", "all", *options)
    check_events(tap, name, url, notes, ALL, result)
    check_accounts(tap, name, url, folder, accounts)
    live.check_balance(tap, url, name)
    tap.ok("--events all" in live.value(url, "select scope from recording"), "%s: the scope tells of the events" % name)


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite", "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql", "postgresql")


def legacy(tap, scratch):
    if live.SLOWNESS > 1:
        raise live.Skip("an emulated processor has them as a probe set of their own")
    check(tap, scratch, "sqlite", "legacy", "--probes", "tracepoint-legacy")


def chosen(tap, scratch):
    for name, options, kinds in live.some((
            ("default", [], TREE), ("three", ["--events", "rename,chmod,open_failed"], ("rename", "chmod", "open_failed")),
            ("none", ["--events", "none"], ())), 2):
        url = live.new_url("sqlite", scratch)
        _, result, _, notes = record(tap, scratch, name, url, *options)
        check_events(tap, name, url, notes, kinds, result)
        scope = live.value(url, "select scope from recording")
        tap.equal("--events" in scope, name != "default", "%s: the scope tells of the events if they are chosen" % name)


def whole_machine(tap, scratch):
    """Without a filter a name is known again: the rows are those of the accounts, with the identity of the file."""
    url = live.new_url("sqlite", scratch)
    folder = os.path.join(scratch, "whole")
    recorder = live.Recorder(url, "--events", "all")
    script = ("mkdir %s && cd %s && echo one >f && chmod 600 %s/f && mv %s/f %s/g && cat g && mkdir d && mv g d/h &&"
              " mv d e && cat e/h && truncate -s 2 %s/e/h && stat -c %%i e/h") % ((folder,) * 6)
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=False)
    tap.equal(done.returncode, 0, "whole: the workload runs to its end")
    inode = int(done.stdout.split()[-1])
    tap.equal(recorder.stop(), 0, "whole: the recorder ends well")
    rows = [row for row in live.rows(url, EVENTS) if (row["path"] or "").startswith(folder)]
    steps = [(row["kind"], row["path"][len(folder):], (row["other"] or folder)[len(folder):], row["inode"], row["other_inode"])
             for row in rows]
    tap.equal(steps, [("mkdir", "", "", None, None), ("open", "/f", "", inode, None), ("chmod", "/f", "", inode, None),
                      ("rename", "/f", "/g", inode, inode), ("mkdir", "/d", "", None, None), ("rename", "/g", "/d/h", inode, inode),
                      ("rename", "/d", "/e", None, None), ("truncate", "/e/h", "", inode, None)],
              "whole: names are known again through every change")
    tap.equal({row["path"] for row in rows[1:] if row["flags"] or row["other_flags"]}, set(), "whole: every path is sure")
    files = {(row["path"], row["id"]) for row in live.rows(url, "select path, id from file where inode = %d" % inode)
             if row["path"].startswith(folder)}
    tap.equal(len(files), 4, "whole: one row for each name, whether of an event or of an account")
    ids = {row["path"]: row["id"] for row in live.rows(url, "select f.path, f.id from io join file f on f.id = io.file_id")}
    mine = {row["path"]: row["file_id"] for row in rows if row["kind"] != "mkdir"}
    tap.equal({path[len(folder):] for path in mine if path in ids and ids[path] == mine[path]}, {"/f", "/g", "/e/h"},
              "whole: the file of an event is the file of the account")
    for name in ("f", "g", "d/h", "e/h"):
        done = live.run("who", "--db", url, "--format", "json", os.path.join(folder, name))
        found = {(row["comm"], row["path"][len(folder):]) for row in json.loads(done.stdout)}
        tap.equal(found, {("sh", "/f"), ("cat", "/g"), ("cat", "/e/h")}, "whole: who %s finds all of its names" % name)
    live.check_balance(tap, url, "whole")


live.main(sqlite, postgresql, legacy, chosen, whole_machine)
