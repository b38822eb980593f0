#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The path is the right one, or bears the right mark, in both databases and in every form of output.

workload_paths reads files under every kind of name and by every way to reach them, and says for each the path,
the flags and the counts that must be in the books.
"""
import csv
import io
import json
import os
import subprocess
import unicodedata

import livelib as live


def record(tap, scratch, kind, url):
    """Records the workload; returns what it says must be booked, its notes, and its folder."""
    folder = os.path.join(scratch, kind)
    os.mkdir(folder)
    result = os.path.join(scratch, kind + ".result")
    env = {**os.environ, "IOLEDGER_RESULT": result}
    fifos = [os.path.join(folder, name) for name in ("ready", "go")]
    for fifo in fifos:
        os.mkfifo(fifo)
    with subprocess.Popen([live.workload("paths"), folder, "before", *fifos], env=env) as early:
        os.close(os.open(fifos[0], os.O_RDONLY))  # its files are open now
        recorder = live.Recorder(url)
        os.close(os.open(fifos[1], os.O_WRONLY))
        tap.equal(early.wait(), 0, "%s: the workload that was there before the recorder ran to its end" % kind)
        done = subprocess.run([live.workload("paths"), folder], env=env, capture_output=True, check=False)
        tap.ok(done.returncode == 0, "%s: the workload ran to its end" % kind, done.stderr.decode("utf-8", "replace"))
    tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % kind)
    expected, notes = live.read_expected(result)
    return expected, notes, folder


def brief(text):
    return text if len(text) < 200 else "%s...%s (%d characters)" % (text[:100], text[-80:], len(text))


def is_cut(path, account):
    """A name too long for the recorder must at least be most of it, from its end, and be marked."""
    return account.scenario == "path_6000" and len(path) > 3800 and account.path.endswith(path.lstrip("./…<>()"))


def flags_wanted(row):
    """A memfd never had a name to lose."""
    return live.flags_of(row) - ({"deleted"} if row["kind"] == "memfd" else set())


def check_books(tap, kind, booked, expected):
    """Each scenario's accounts: path, kind, flags and counts."""
    for scenario in dict.fromkeys(account.scenario for account in expected):
        wrong, number = [], 0
        for account in expected:
            if account.scenario != scenario:
                continue
            number += 1
            mine = [row for row in booked if row["pid"] == account.pid and row["route"] == account.route and row["kind"] == account.kind]
            same = [row for row in mine if row["path"] == account.path or is_cut(row["path"], account)]
            want = account.flags | ({"truncated"} if scenario == "path_6000" else set())
            # One path may be there twice: before and after it was deleted, for one.
            right = [row for row in same if flags_wanted(row) == want]
            if live.sums(right) != account.counts:
                wrong.append("%r: did %s, flags %s; in the books %s, flags %s" %
                             (brief(account.path), account.counts, sorted(want), live.sums(same), [row["flags"] for row in same]))
                wrong += ["  of this process: " + brief(live.describe(row)) for row in mine if row not in same][:6] if len(mine) < 12 else []
        tap.ok(not wrong, "%s: %s: %d accounts have the right path, flags and counts" % (kind, scenario, number), *wrong)


def check_comms(tap, kind, url, notes):
    for pid, word in notes["comm"]:
        raw = bytes.fromhex(word)
        found = live.rows(url, "select comm, flags from process where pid = %d" % pid)
        good = found and found[0]["comm"] == live.stored(raw) and ("escaped" in live.flags_of(found[0])) == live.is_escaped(raw)
        tap.ok(good, "%s: comm %r of a process" % (kind, raw), "in the books: %s" % found)


# Outputs

def is_harmless(data):
    """No control character but the newline, nothing that turns text around or hides it, and all of it UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return "not UTF-8: %s" % error
    bad = {c for c in text if c != "\n" and (unicodedata.category(c) in ("Cc", "Cf"))}
    return "raw %r" % sorted(bad) if bad else ""


def parse(data, form):
    text = data.decode("utf-8")
    return json.loads(text) if form == "json" else list(csv.DictReader(io.StringIO(text, newline="")))


def check_outputs(tap, kind, url, expected):
    """`files PID` and `who PATH` in each format, for each account."""
    pids = list(dict.fromkeys(account.pid for account in expected))
    for form in live.some(("json", "table", "csv"), 1):
        wrong = []
        for pid in pids:
            mine = {account.path for account in expected if account.pid == pid and account.scenario != "path_6000"}
            done = live.run("files", "--db", url, "--format", form, str(pid))
            wrong += problems_of("files %d" % pid, done, form, mine)
        tap.ok(not wrong, "%s: files PID as %s shows every path and nothing raw" % (kind, form), *wrong[:20])
    for form in live.some(("json", "table", "csv"), 1):
        wrong = []
        for account in expected[::1 if live.SLOWNESS == 1 else 5]:
            if account.scenario == "path_6000" or len(account.raw) > 4000:
                continue
            done = live.run("who", "--db", url, "--format", form, os.fsdecode(account.raw))
            wrong += problems_of("who %r" % brief(account.path), done, form, set(), account.pid)
        tap.ok(not wrong, "%s: who PATH as %s finds each and shows nothing raw" % (kind, form), *wrong[:20])
    for command in (["tree"], ["files"], ["who", "/"]):
        for form in ("table", "csv"):
            done = live.run(*command, "--db", url, "--format", form)
            raw = is_harmless(done.stdout) if form == "table" else ""
            tap.ok(done.returncode == 0 and not raw, "%s: %s as %s shows nothing raw" % (kind, " ".join(command), form),
                   "exit status %d" % done.returncode, done.stderr.decode("utf-8", "replace"), raw)


def problems_of(name, done, form, paths, pid=None):
    if done.returncode != 0:
        return ["%s: exit status %d: %s" % (name, done.returncode, done.stderr.decode("utf-8", "replace"))]
    if form == "table":
        raw = is_harmless(done.stdout)
        return ["%s: %s" % (name, raw)] if raw else []
    found = parse(done.stdout, form)
    missing = paths - {row["path"] for row in found} if paths else set()
    problems = ["%s: no row for %r" % (name, brief(path)) for path in missing]
    if pid is not None and str(pid) not in {str(row["pid"]) for row in found}:
        problems.append("%s: no row for pid %d among %s" % (name, pid, [row["pid"] for row in found]))
    return problems


def one_database(tap, scratch, kind):
    url = live.new_url(kind, scratch)
    expected, notes, _ = record(tap, scratch, kind, url)
    live.check_balance(tap, url, kind)
    check_books(tap, kind, live.accounts(url), expected)
    if any(name == "overlay" for name in notes):
        tap.skip("%s: overlay" % kind, "this kernel has no overlayfs here")
    check_comms(tap, kind, url, notes)
    check_outputs(tap, kind, url, expected)


def sqlite(tap, scratch):
    one_database(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    one_database(tap, scratch, "postgresql")


def jsonl(tap, scratch):
    """The same rows as lines of JSON."""
    path = os.path.join(scratch, "ledger.jsonl")
    expected, notes, _ = record(tap, scratch, "jsonl", "jsonl:" + path)
    tables = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            tables.setdefault(row["table"], []).append(row)
    processes = {row["id"]: row for row in tables["process"]}
    files = {row["id"]: row for row in tables["file"]}
    booked = {}
    for row in tables["io"]:
        key = (row["process_id"], row["file_id"], row["route"])
        entry = booked.setdefault(key, {**{k: files[key[1]].get(k) for k in ("path", "kind", "flags")}, "route": key[2],
                                        **{k: processes[key[0]].get(k) for k in ("pid", "comm", "exe")},
                                        **{c: 0 for c in live.COUNTERS}})
        for counter in live.COUNTERS:
            entry[counter] += row[counter]
    check_books(tap, "jsonl", list(booked.values()), expected)
    comms = {row["pid"]: row["comm"] for row in tables["process"]}
    for pid, word in notes["comm"]:
        tap.equal(comms.get(pid), live.stored(bytes.fromhex(word)), "jsonl: comm of a process")


live.main(sqlite, postgresql, jsonl)
