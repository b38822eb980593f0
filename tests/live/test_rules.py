#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Rules: --every, --sample and --ignore, their patterns, order and conditions, the event budget, and SIGHUP.

IOLEDGER_TEST_PROBES=tracepoint-legacy runs all of it with the programs for older kernels; legacy() runs a part of it with them
anyway.
"""
import contextlib
import math
import mmap
import os
import pwd
import re
import shutil
import signal
import struct
import subprocess
import sys

import booklib
import livelib as live

NOBODY = pwd.getpwnam("nobody").pw_uid
PROGRAM = live.workload("rules")
EVENT_COLUMNS = "e.kind, e.tid, e.offset_bytes, e.bytes, e.result, e.weight"
THREAD_PART = 1000  # workload_rules.c
OVER_BUDGET, RING_FULL = "event budget used up", "ring buffer full: events"


class Setting:
    """What legacy() changes."""
    probes = ("--probes", os.environ.get("IOLEDGER_TEST_PROBES", "auto"))
    word = ""
    series = live.fewer(1000000)
    samples = max(3, live.fewer(20))


def record(url, *options, **more):
    return live.Recorder(url, *Setting.probes, *options, **more)


def named(name):
    return Setting.word + name


def new_file(folder, name, content=b"x" * 50):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    os.chmod(path, 0o666)
    return path


def events(url, path, where="1 = 1"):
    """The reads and writes of a file, in the order in which they came."""
    return live.rows(url, "select %s, p.pid, p.comm from event e join process p on p.id = e.process_id join file f on f.id = e.file_id "
                     "where f.path = '%s' and e.kind in ('read', 'write') and %s order by e.rowid"
                     % (EVENT_COLUMNS, path.replace("'", "''"), where))


def lost_events(url, pid):
    """{reason: events} that the process lost: rows of loss name it."""
    found = {OVER_BUDGET: 0, RING_FULL: 0}
    for row in live.rows(url, "select reason, lost from loss"):
        for reason in found:
            if row["reason"].startswith(reason) and row["reason"].endswith(", pid %d)" % pid):
                found[reason] += row["lost"]
    return found


def ignored_in(recorder):
    """How many operations the recorder says it has ignored; exact below 1000."""
    for line in recorder.lines:
        match = re.search(r" and (\d+) ignored operations left out", line)
        if match:
            return int(match[1])
        if "own operations left out" in line:
            return 0
    return None


def end(tap, recorder, url, name):
    status = recorder.wait() if recorder.process.poll() is not None else recorder.stop()
    tap.ok(status == 0, "%s: the recorder ends well" % name, recorder.errors())
    live.check_balance(tap, url, name)


# --every

def operation_of(i, position):
    """What operation() of workload_rules.c does: (kind, offset, bytes, result), and how far it moves the file's position."""
    step = i % 1000
    if step == 500:
        return ("read", 7 * i % 1000003, 3, 0), 0
    if step == 501:
        return ("read", None, None, -14), 0
    if step == 502:
        return ("write", i, 2, 0), 0
    if step == 504:
        return ("write", position, 1, 0), 1
    if step == 505:
        return ("read", None, None, -22), 0
    return ("read", position, 1, 0), 1


def series_of(n):
    position, operations = 0, []
    for i in range(n):
        operation, moved = operation_of(i, position)
        operations.append(operation)
        position += moved
    return operations


def counts_of(operations):
    counts = dict.fromkeys(live.COUNTERS, 0)
    for kind, _, size, result in operations:
        if result < 0:
            counts[kind + "_errors"] += 1
        else:
            counts[kind + "_ops"] += 1
            counts[kind + "_bytes"] += size
    return tuple(counts[c] for c in live.COUNTERS)


def every(tap, scratch, budget, n):
    name = named("--every, %d operations, --event-budget %s" % (n, budget or "by default"))
    url, path = live.new_url("sqlite", scratch), os.path.join(scratch, "series-%s" % budget)
    recorder = record(url, "--every", path, *(("--event-budget", budget) if budget else ()), command=[PROGRAM, "series", path, str(n)])
    recorder.wait()
    end(tap, recorder, url, name)
    words = recorder.out.split()
    pid, tids = int(words[0]), (int(words[1]), int(words[2]))
    operations = series_of(n)
    tap.equal(live.sums(live.accounts(url, path=path)), counts_of(operations), "%s: the account is exact" % name)

    arrived, lost = events(url, path), lost_events(url, pid)
    tap.ok(len(arrived) + sum(lost.values()) == n, "%s: %d events + %d over the budget + %d that found the ring full = operations"
           % (name, len(arrived), lost[OVER_BUDGET], lost[RING_FULL]), lost, live.rows(url, "select reason, lost from loss"))
    if budget == "none":
        tap.equal(lost[OVER_BUDGET], 0, "%s: none is over the budget" % name)
    else:
        tap.ok(lost[OVER_BUDGET] > 0, "%s: the budget was used up" % name)
    tap.equal({(row["pid"], row["weight"]) for row in arrived}, {(pid, 1)}, "%s: process and weight of all events" % name)
    wrong, at = [], 0
    for row in arrived:
        want = (row["kind"], row["offset_bytes"], row["bytes"], row["result"])
        while at < n and (operations[at] != want or tids[at >= n - THREAD_PART] != row["tid"]):
            at += 1
        if at == n:
            wrong.append(row)
            break
        at += 1
    tap.ok(not wrong, "%s: the events are operations in their order, with kind, offset, bytes, result and thread" % name, *wrong)


def every_operation(tap, scratch):
    every(tap, scratch, "none", Setting.series)
    if not live.spared("the budget by default, which budgets() has in small"):
        every(tap, scratch, None, Setting.series)


# --sample

def binomial_interval(n, p, miss):
    """The narrowest (low, high) that a binomial number leaves on each side with a chance of miss / 2 at most."""
    def log_chance(k):
        return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p))
    low, tail = 0, 0.0
    while tail + math.exp(log_chance(low)) <= miss / 2:
        tail += math.exp(log_chance(low))
        low += 1
    high, tail = min(n, int(n * p + 20 * math.sqrt(n * p) + 50)), 0.0
    while tail + math.exp(log_chance(high)) <= miss / 2:
        tail += math.exp(log_chance(high))
        high -= 1
    return low, high


def sample(tap, scratch):
    """
    Every read is an event with a chance of 1/100 of its own, so the number of events of N reads is binomial (N, 1/100), exactly.
    The intervals and that of their sum are such that a right sampler misses one of them once in 1000 runs of this
    test: each is missed with a chance of 0.001 / (their number) at most, by the exact distribution.
    """
    n, of, k = max(5000, live.fewer(100000)), 100, Setting.samples
    name, url, folder = named("--sample"), live.new_url("sqlite", scratch), os.path.join(scratch, "sample")
    files = [new_file(folder, str(i)) for i in range(k)]
    script = 'program=$1; shift; for file; do "$program" reads "$file" %d; done' % n
    recorder = record(url, "--sample", "%d:%s/**" % (of, folder), "--event-budget", "none", command=["sh", "-c", script, "sh", PROGRAM, *files])
    recorder.wait()
    end(tap, recorder, url, name)
    pids = [int(line.split()[0]) for line in recorder.out.splitlines()]
    booked = {row["path"]: live.sums([row]) for row in live.accounts(url) if row["path"].startswith(folder + "/")}
    tap.equal(booked, {path: (n, n, 0, 0, 0, 0) for path in files}, "%s: %d accounts of %d reads are exact" % (name, k, n))
    lost = sum(sum(lost_events(url, pid).values()) for pid in pids)
    tap.equal(lost, 0, "%s: no event was lost" % name)

    rows = live.rows(url, "select f.path, count(*) as events, sum(e.weight) as weight, min(e.weight) as least from event e "
                     "join file f on f.id = e.file_id where e.kind = 'read' and f.path like '%s/%%' group by f.path" % folder)
    weights = {row["path"]: row["weight"] for row in rows}
    low, high = binomial_interval(n, 1 / of, 0.001 / (k + 1))
    tap.ok(all(row["least"] == of and row["weight"] == of * row["events"] for row in rows), "%s: each event has weight %d" % (name, of))
    outside = [path for path in files if not low <= weights.get(path, 0) / of <= high]
    tap.ok(not outside, "%s: sum(weight) of %d reads is within [%d, %d] in %d of %d: %s"
           % (name, n, low * of, high * of, k - len(outside), k, sorted(weights.values())))
    low, high = binomial_interval(k * n, 1 / of, 0.001 / (k + 1))
    total = sum(weights.values())
    tap.ok(low <= total / of <= high, "%s: pooled, sum(weight) of %d reads is %d, within [%d, %d]" % (name, k * n, total, low * of, high * of))


# --ignore and patterns. In each of these files touch makes 3 writes and 3 reads.

TOUCHED = (3, 3, 0, 3, 3, 0)
OPERATIONS = 6


def touch(url, files, *options, kinds=()):
    """Records `touch` of all files, and a pipe; (recorder, {path: sums}, {path: number of events})."""
    subprocess.run(["mkdir", "-p", "--", *(os.path.dirname(path) for path in files)], check=True)
    script = 'program=$1; shift; "$program" touch 3 "$@" > /dev/null; exec "$program" pipe 5 > /dev/null'
    recorder = record(url, *options, *kinds, command=["sh", "-c", script, "sh", PROGRAM, *files])
    if recorder.wait() != 0:
        raise live.Failure("the recorder ended with %s: %s" % (recorder.process.returncode, recorder.errors()))
    paths = {live.stored(path) for path in files}
    booked = {}
    for row in live.accounts(url, comm="workload_rules"):
        if row["path"] in paths or row["kind"] == "pipe":
            booked[row["path"]] = booklib.add(booked.get(row["path"], booklib.NOTHING), live.sums([row]))
    found = {row["path"]: row["n"] for row in live.rows(
        url, "select f.path, count(*) as n from event e join file f on f.id = e.file_id where e.kind in ('read', 'write') group by f.path")}
    return recorder, booked, {path: n for path, n in found.items() if path in paths or path == "(pipes)"}


def check_patterns(tap, scratch, name, options, ignored, counted, every_event=(), also_ignored=0, pipe=True):
    """Of the files in the folder, `ignored` are, `counted` are not, and of those `every_event` are events."""
    url = live.new_url("sqlite", scratch)
    recorder, booked, found = touch(url, [*ignored, *counted], *options)
    end(tap, recorder, url, name)
    want = {live.stored(path): TOUCHED for path in counted}
    if pipe:
        want["(pipes)"] = (5, 5, 0, 5, 5, 0)
    tap.equal(booked, want, "%s: what is counted, and nothing else" % name)
    events_of = {live.stored(path): OPERATIONS for path in every_event}
    tap.equal(found, events_of, "%s: what becomes events, and nothing else" % name)
    least = OPERATIONS * len(ignored) + (0 if pipe else 10)
    said = ignored_in(recorder)
    tap.ok(said == least if also_ignored == 0 else said >= least, "%s: the summary tells of %d ignored operations" % (name, least), recorder.errors())
    left_out = live.value(url, "select excluded_ops from recording")
    tap.ok(left_out >= least, "%s: recording.excluded_ops has them" % name, left_out)


def check_cases(tap, scratch, name, *cases):
    """
    Cases of check_patterns whose rules do not meet each other's files: each is a recording of its own. On a slow processor, where it takes
    long until one begins, they are one recording, with the rules of all.
    """
    if live.SLOWNESS == 1:
        for case in cases:
            check_patterns(tap, scratch, named(case[0]), *case[1:])
        return
    options, ignored, counted, every_event = ([one for case in cases for one in (case[at] if len(case) > at else ())] for at in range(1, 5))
    check_patterns(tap, scratch, named("%s, all of: %s" % (name, "; ".join(case[0] for case in cases))), options, ignored, counted, every_event=every_event)


def ignore(tap, scratch):
    def below(*names):
        return [os.path.join(scratch, name) for name in names]

    check_cases(tap, scratch, "--ignore",
                ("--ignore, a tree", ["--ignore", scratch + "/a/b/**"], below("a/b/c", "a/b/c.d/e/f", "a/b/.g"), below("a/bc", "a/b.c", "a/c/b", "b", "a/a/b/c")),
                ("--ignore, a path", ["--ignore", scratch + "/p/q"], below("p/q"), below("p/qq", "p/Q", "q/q", "p/r/q")),
                ("--ignore, a suffix", ["--ignore", "*.skip"], below("s/a.skip", "s/t/.skip", "s/a.skip.skip"),
                 below("s/a.skip2", "s/skip", "s/a.skip.x", "s/u.skip/a")))
    check_patterns(tap, scratch, named("--ignore kind:pipe"), ["--ignore", "kind:pipe"], [], below("k/a"), pipe=False)
    if not live.spared("pipes itemised"):
        check_patterns(tap, scratch, named("--ignore kind:pipe, pipes itemised"), ["--ignore", "kind:pipe", "--kinds", "file,pipe"], [], below("k/b"),
                       pipe=False)
    check_patterns(tap, scratch, named("--ignore '/**'"), ["--ignore", "/**"], below("r/a", "r/b/c"), [], also_ignored=1)


def ignored_alone(tap, scratch):
    """All is ignored: no row of io, no total, no event of a read, by anybody."""
    name, url = named("all is ignored"), live.new_url("sqlite", scratch)
    kinds = "kind:file,dir,link,chr,blk,pipe,socket,anon,memfd,other"
    recorder = record(url, "--ignore", kinds, command=[PROGRAM, "reads", new_file(scratch, "nothing"), "500"])
    recorder.wait()
    tap.ok(recorder.process.returncode == 0, "%s: the recorder ends well" % name, recorder.errors())
    for table in ("io", "total"):
        tap.equal(live.value(url, "select count(*) from " + table), 0, "%s: no row of %s" % (name, table))
    said = live.run("balance", "--db", url).stderr
    tap.ok(b"nothing to balance" in said, "%s: ioledger balance says that there is nothing" % name, said)
    tap.ok((ignored_in(recorder) or 0) >= 500, "%s: the summary tells of them" % name, recorder.errors())


def order(tap, scratch):
    def below(*names):
        return [os.path.join(scratch, name) for name in names]

    check_cases(tap, scratch, "order",
                ("the first rule wins: --every, --ignore", ["--every", scratch + "/1/a", "--ignore", scratch + "/1/**"],
                 below("1/b"), below("1/a", "c1"), below("1/a")),
                ("the first rule wins: --ignore, --every", ["--ignore", scratch + "/2/**", "--every", scratch + "/2/a"], below("2/b", "2/a"), below("c2")),
                ("a tree and a suffix", ["--ignore", scratch + "/6/**/*.log", "--every", scratch + "/6/**"],
                 below("6/a.log", "6/b/c/d.log", "6/.log"), below("6/a.logs", "6/log", "6/b/a.log.1", "60/a.log", "a.log"),
                 below("6/a.logs", "6/log", "6/b/a.log.1")),
                ("suffixes of suffixes", ["--every", "*.tar.gz", "--ignore", "*.gz", "--every", "*z"],
                 below("7/a.gz", "7/.gz"), below("7/a.tar.gz", "7/.tar.gz", "7/z", "7/x"), below("7/a.tar.gz", "7/.tar.gz", "7/z")),
                ("the first rule wins: --sample of which nearly none arrives, --every",
                 ["--sample", "1000000:*.log", "--every", scratch + "/5/**"], [], below("5/a.log", "5/b"), below("5/b")))
    check_cases(tap, scratch, "order of trees",
                ("the first rule wins: an outer tree before an inner one",
                 ["--every", scratch + "/4/**", "--ignore", scratch + "/4/a/**", "--ignore", "*.log"],
                 below("c.log"), below("4/a/x", "4/b.log"), below("4/a/x", "4/b.log")),
                ("the first rule wins: an inner tree before an outer one",
                 ["--ignore", scratch + "/3/a/**", "--sample", "1:%s/3/**" % scratch, "--every", "/**"], below("3/a/x"), below("3/b", "c3"), below("3/b", "c3")))
    if not live.spared("the root, which ignore() has"):
        check_patterns(tap, scratch, named("the root"), ["--every", scratch + "/8/a", "--ignore", "/**"], below("8/b"), below("8/a"),
                       also_ignored=1, every_event=below("8/a"))
    check_patterns(tap, scratch, named("64 rules"), [word for i in range(63) for word in ("--ignore", "%s/9/no-%d/**" % (scratch, i))] +
                   ["--every", scratch + "/9/**"], below("9/no-0/a", "9/no-62/a"), below("9/yes", "c9"), every_event=below("9/yes"))


def names(tap, scratch):
    """Hostile names, long ones, deep ones."""
    hostile = [b"new\nline", b"quote'\"`$(x)", b"a b  c", b"back\\\\slash\\n", b"star*[a-z]?{}", b"tab\tand\x01", b"\xff\xfe\x80", "Zürich \u202e".encode(),
               b"-x", b"..x", b" if comm=y", b"%s%n", b"x" * 255, b"#"]
    folder = os.fsencode(scratch) + b"/names"
    # a rule for each name, by its own text with what has to be escaped
    rules = []
    fits = [name for name in hostile if len(folder + b"/ignored/" + name) <= 253]
    for name in fits:
        rules += ["--ignore", folder + b"/ignored/" + re.sub(rb"([*?\[\\])", rb"\\\1", name).replace(b" if comm=y", b" if comm=y if kind=file")]
    check_patterns(tap, scratch, named("hostile names, exact"), rules, [folder + b"/ignored/" + name for name in fits],
                   [folder + b"/counted/" + name for name in hostile])
    if not live.spared("hostile names below a tree"):
        check_patterns(tap, scratch, named("hostile names below a tree"), ["--ignore", scratch + "/names/tree/**", "--every", scratch + "/names/**"],
                       [folder + b"/tree/" + name for name in hostile], [folder + b"/trees/" + name for name in hostile],
                       every_event=[folder + b"/trees/" + name for name in hostile])
    long = os.fsencode(scratch) + b"/long"
    deep = [long + b"/" + b"/".join([b"d" * 100] * 5) + b"/f", long + b"/" + b"x" * 255, long + b"/" + b"/".join([b"e"] * 1500) + b"/f",
            long + b"/" + b"/".join([b"f" * 250] * 14) + b"/f"]
    # the longest path of a rule has 253 bytes, the longest suffix 64
    limit = os.fsencode(scratch) + b"/limit/"
    limit += b"l" * (253 - len(limit))
    tree, end64 = limit[:-1] + b"m", b"/" + b"s" * 64
    check_cases(tap, scratch, "names",
                ("hostile names by what they end in",
                 ["--ignore", b"*\nline", "--every", b"*\xfe\x80", "--every", "*\\*[a-z]\\?{}".replace("[", "\\[")],
                 [folder + b"/end/new\nline"], [folder + b"/end/\xff\xfe\x80", folder + b"/end/star*[a-z]?{}", folder + b"/end/line"],
                 [folder + b"/end/\xff\xfe\x80", folder + b"/end/star*[a-z]?{}"]),
                ("paths longer than a rule can be, below a tree", ["--ignore", scratch + "/long/**"], deep,
                 [path.replace(b"/long/", b"/longer/") for path in deep]),
                ("the longest path of a rule", ["--ignore", limit, "--every", limit + b"/**"], [limit], [limit + b"l", limit[:-1]]),
                ("the longest tree of a rule", ["--every", tree + b"/**"],
                 [], [tree + b"/a", tree + b"/" + b"b" * 200, tree + b"n/a"], [tree + b"/a", tree + b"/" + b"b" * 200]),
                ("the longest suffix of a rule", ["--ignore", b"*" + end64[1:]],
                 [limit[:-200] + b"1" + end64, limit[:-200] + b"1/a" + end64[1:]],
                 [limit[:-200] + b"1/" + b"s" * 63, limit[:-200] + b"1/" + end64[1:] + b"a"]))


# A folder whose path is longer than the kernel can tell: what is read there is in the books by the end of its path.
TOO_DEEP = """
import os, sys
os.chdir(sys.argv[1])
for _ in range(20):
    os.makedirs("etc-" + "d" * 240, exist_ok=True)
    os.chdir("etc-" + "d" * 240)
os.execv(sys.argv[2], [sys.argv[2], "touch", "3", "end.log", "end"])
"""


def too_deep(tap, scratch):
    """Of a path of more than 4096 bytes the beginning is not known: it is below the root, it ends so, and that is all."""
    name, url = named("paths of more than 4096 bytes"), live.new_url("sqlite", scratch)
    recorder = record(url, "--ignore", "/etc-%s/**" % ("d" * 240), "--every", "/**/*.log", "--ignore", "/**",
                      command=[sys.executable, "-c", TOO_DEEP, scratch, PROGRAM])
    recorder.wait()
    end(tap, recorder, url, name)
    rows = [row for row in live.accounts(url, comm="workload_rules") if row["kind"] == "file"]
    tap.equal([(row["path"][-8:], live.flags_of(row) & {"truncated"}, live.sums([row])) for row in rows], [("/end.log", {"truncated"}, TOUCHED)],
              "%s: by '/**' and by a suffix, and not by a tree that has the name of a folder in the middle" % name)
    found = live.value(url, "select count(*) from event e join file f on f.id = e.file_id where f.path like '%/end.log' and e.kind in ('read', 'write')")
    tap.equal(found, OPERATIONS, "%s: each operation is an event" % name)


def nameless(tap, scratch):
    """What has no place in a folder has no path for a rule, however it is called; its kind is met."""
    config, url = os.path.join(scratch, "nameless.conf"), live.new_url("sqlite", scratch)
    with open(config, "w", encoding="utf-8") as file:
        file.write("every = /no/such\n")
    recorder = record(url, "--config", config, "--pid", str(os.getpid()))
    pids = {}
    for pattern in ("*.log", "/**", "kind:memfd"):
        reload(tap, recorder, config, "ignore = %s\nignore = /no/such\n" % pattern, "2 rules now in force", named("a memfd called x.log: --ignore %s" % pattern))
        program = subprocess.Popen([sys.executable, "-c", "import os; os.write(os.memfd_create('x.log'), b'12345')"])
        pids[pattern] = program.pid
        tap.equal(program.wait(live.PATIENCE), 0, named("a memfd called x.log, --ignore %s: it is written" % pattern))
    end(tap, recorder, url, named("memfds called x.log"))
    for pattern, pid in pids.items():
        got = [live.sums([row]) for row in live.accounts(url, kind="memfd", pid=pid)]
        counted = pattern != "kind:memfd"
        tap.equal(got, [(0, 0, 0, 1, 5, 0)] if counted else [], named("a memfd called x.log, --ignore %s: it is %s" % (pattern, "counted" if counted else "ignored")))


def scopes(tap, scratch):
    """` if comm=`, `user=`, `exe=` and `kind=`, where they hold and where they do not."""
    name, url, folder = named("conditions"), live.new_url("sqlite", scratch), os.path.join(scratch, "scopes")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    programs = {}
    for what in ("one", "two", "a name of more than 15"):
        programs[what] = shutil.copy(PROGRAM, os.path.join(scratch, what))
    link = os.path.join(scratch, "link")
    os.symlink(programs["two"], link)
    conditions = {"comm": "comm=one", "long": "comm=a name of more than 15", "user": "user=nobody", "uid": "user=%d" % NOBODY, "exe": "exe=" + link,
                  "kind": "kind=file", "wrong-kind": "kind=dir,pipe", "both": "user=nobody and exe=" + programs["one"]}
    # one rule for each (condition, process): a pattern has no `*` in the middle of a name
    runs = {"one": ("one", False), "two": ("two", False), "long": ("a name of more than 15", False), "one-nobody": ("one", True), "two-nobody": ("two", True)}
    options = [word for what, condition in conditions.items() for run in runs
               for word in ("--every", "%s/%s.%s if %s" % (folder, what, run, condition))]
    holds = {"comm": {"one", "one-nobody"}, "long": {"long"}, "user": {"one-nobody", "two-nobody"}, "uid": {"one-nobody", "two-nobody"},
             "exe": {"two", "two-nobody"}, "kind": set(runs), "wrong-kind": set(), "both": {"one-nobody"}}
    recorder = record(url, *options, "--pid", str(os.getpid()))
    for run, (program, as_nobody) in runs.items():
        subprocess.run([programs[program], "touch", "3", *(os.path.join(folder, "%s.%s" % (what, run)) for what in conditions)],
                       check=True, stdout=subprocess.DEVNULL, user=NOBODY if as_nobody else None)
    end(tap, recorder, url, name)
    counted = {os.path.basename(row["path"]): live.sums([row]) for row in live.accounts(url) if os.path.dirname(row["path"]) == folder}
    tap.equal(counted, {"%s.%s" % (what, run): TOUCHED for what in conditions for run in runs}, "%s: all is counted" % name)
    got = {row["path"][len(folder) + 1:]: row["n"] for row in live.rows(
        url, "select f.path, count(*) as n from event e join file f on f.id = e.file_id where f.path like '%s/%%' "
        "and e.kind in ('read', 'write') group by f.path" % folder)}
    for what, runs_of in holds.items():
        tap.equal({file: n for file, n in got.items() if file.startswith(what + ".")}, {"%s.%s" % (what, run): OPERATIONS for run in runs_of},
                  "%s: if %s: events where it holds, and only there" % (name, conditions[what].replace(scratch, "")))


# SIGHUP

def reload(tap, recorder, config, text, want, name):
    before = len(recorder.lines)
    with open(config + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(config + ".new", config)
    recorder.process.send_signal(signal.SIGHUP)
    live.wait_for(lambda: any(re.search(want, line) for line in recorder.lines[before:]) or recorder.process.poll() is not None,
                  "a line like %r; the recorder said %s" % (want, recorder.lines[before:]))
    tap.ok(any(re.search(want, line) for line in recorder.lines[before:]), name, *recorder.lines[before:])


class Server:
    """workload_rules serve: a file that stays open, and reads of it when told to."""

    def __init__(self, path):
        self.process = subprocess.Popen([PROGRAM, "serve", path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = int(self.process.stdout.readline().split()[0])

    def read(self, n):
        self.process.stdin.write(b"%d\n" % n)
        self.process.stdin.flush()
        if self.process.stdout.readline() != b"done\n":
            raise live.Failure("the server ended")

    def end(self):
        self.process.stdin.close()
        self.process.wait(live.PATIENCE)


def step_by_step(tap, scratch, name, path, pattern, *options):
    """How many operations were done under which rules is known: the books are exact."""
    name = named("SIGHUP, " + name)
    config, url = os.path.join(scratch, "rules.conf"), live.new_url("sqlite", scratch)
    with open(config, "w", encoding="utf-8") as file:
        file.write("event-budget = none\n")
    recorder = record(url, "--config", config, "--comm", "workload_rules", "--interval", "0.1s", *options)
    server = Server(path)
    server.read(1000)
    reload(tap, recorder, config, "event-budget = none\nevery = %s\n" % pattern, "1 rule now in force", "%s: aggregate to every" % name)
    server.read(2000)
    reload(tap, recorder, config, "every = /no/such\nignore = %s\n" % pattern, "2 rules now in force", "%s: every to ignore" % name)
    server.read(400)
    reload(tap, recorder, config, "every = %s\nignore = no/pattern\n" % pattern, "the old rules stay in force", "%s: a bad file" % name)
    server.read(70)
    reload(tap, recorder, config, "ignore = /no/such\nignore = %s\n" % pattern, "2 rules now in force", "%s: ignore to ignore" % name)
    server.read(30)
    reload(tap, recorder, config, "", "0 rules now in force", "%s: ignore to aggregate" % name)
    server.read(3000)
    reload(tap, recorder, config, "event-budget = none\nsample = 1:%s\n" % pattern, "1 rule now in force", "%s: aggregate to sample" % name)
    server.read(500)
    server.end()
    end(tap, recorder, url, name)
    rows = [row for row in live.accounts(url, pid=server.pid) if row["read_ops"] and row["route"] == "rw" and row["kind"] != "pipe"
            and (row["path"] == path or row["path"].startswith("("))]
    tap.equal(live.sums(rows), (6500, 6500, 0, 0, 0, 0), "%s: what was counted" % name)
    tap.equal(ignored_in(recorder), 500, "%s: what was ignored; with what was counted it is what was done" % name)
    got = live.rows(url, "select e.weight, count(*) as n from event e join process p on p.id = e.process_id join file f on f.id = e.file_id "
                    "where p.pid = %d and e.kind = 'read' group by e.weight" % server.pid)
    lost = lost_events(url, server.pid)
    tap.equal(sum(row["n"] for row in got) + sum(lost.values()), 2500, "%s: each operation under every or sample 1 is an event" % name)


def rules_change(tap, scratch):
    path = new_file(scratch, "open")
    for name, opened, pattern, *options in live.some((("a file that is open", path, path),
                                                      ("a device in an account of all devices", "/dev/zero", "kind:chr", "--kinds", "file"),
                                                      ("a device of its own", "/dev/zero", "/dev/**")), 1):
        step_by_step(tap, scratch, name, opened, pattern, *options)


class Spinning:
    """workload_rules spin, and how many reads it has made."""

    def __init__(self, scratch, path):
        control = new_file(scratch, "control", bytes(16))
        with open(control, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 16)
        self.process = subprocess.Popen([PROGRAM, "spin", path, control], stdout=subprocess.PIPE)
        self.pid = int(self.process.stdout.readline().split()[0])

    def done(self):
        return struct.unpack_from("=Q", self.map, 0)[0]

    def more(self, n=2000):
        at = self.done()
        live.wait_for(lambda: self.done() >= at + n, "reads")

    def stop(self):
        struct.pack_into("=Q", self.map, 8, 1)
        self.process.wait(live.PATIENCE)


def while_it_reads(tap, scratch):
    """Rules change under a process that never pauses: each operation is counted or ignored, and none is both or neither."""
    name, url = named("SIGHUP while it reads"), live.new_url("sqlite", scratch)
    config, path = os.path.join(scratch, "spin.conf"), new_file(scratch, "spin")
    with open(config, "w", encoding="utf-8") as file:
        file.write("ignore = /no/such/file\n")
    recorder = record(url, "--config", config, "--comm", "workload_rules", "--interval", "0.1s")
    spin = Spinning(scratch, path)
    spin.more()
    ignored = [0, 0]  # at least, at most
    for turn in range(3):
        reload(tap, recorder, config, "every = %s\n" % path, "1 rule now in force", "%s, turn %d: to every" % (name, turn))
        spin.more()
        before = spin.done()
        reload(tap, recorder, config, "ignore = %s\nevery = /no/such\n" % path, "2 rules now in force", "%s, turn %d: to ignore" % (name, turn))
        begun = spin.done() + 1  # one read may be under way
        spin.more()
        ending = spin.done()
        reload(tap, recorder, config, "sample = 7:/no/such\n", "1 rule now in force", "%s, turn %d: to aggregate" % (name, turn))
        ended = spin.done() + 1
        ignored = [ignored[0] + ending - begun, ignored[1] + ended - before]
        spin.more()
    spin.stop()
    done = spin.done()
    end(tap, recorder, url, name)
    counted = live.sums(live.accounts(url, path=path))[0]
    tap.ok(ignored[0] <= done - counted <= ignored[1], "%s: of %d reads %d are counted, so %d were ignored, which is between %d and %d"
           % (name, done, counted, done - counted, *ignored))
    # what was ignored is counted too, with what the recorder itself has done
    left_out = live.value(url, "select excluded_ops from recording")
    said = next((line for line in recorder.lines if "ignored operations left out" in line), "")
    tap.ok(left_out >= done - counted, "%s: recording.excluded_ops has what was ignored" % name, left_out, done - counted)
    own = re.search(r"(\d+) own and", said)
    if own:
        tap.equal(left_out, int(own[1]) + done - counted, "%s: counted + ignored = done, to the operation" % name)


# The event budget

def budgets(tap, scratch):
    name, url = named("--event-budget 100/s"), live.new_url("sqlite", scratch)
    n, path = max(5000, live.fewer(50000)), new_file(scratch, "one")
    recorder = record(url, "--event-budget", "100/s", "--every", scratch + "/**", "--interval", "0.1s", command=[PROGRAM, "reads", path, str(n)])
    recorder.wait()
    end(tap, recorder, url, name)
    pid = int(recorder.out.split()[0])
    arrived, lost = events(url, path), lost_events(url, pid)
    tap.equal(len(arrived) + sum(lost.values()), n, "%s: %d events and the lost ones are the operations" % (name, len(arrived)))
    rows = [row for row in live.rows(url, "select l.reason, l.lost, l.ts_from, l.ts_to, (select min(ts_from) from loss) as first from loss l")
            if row["reason"].startswith(OVER_BUDGET)]
    tap.ok(rows and all(row["reason"].endswith("(workload_rules, pid %d)" % pid) and row["ts_from"] < row["ts_to"] for row in rows),
           "%s: rows of loss with reason, process and span" % name, *rows)
    span = live.rows(url, "select min(i.first_ts) as a, max(i.last_ts) as b from io i join file f on f.id = i.file_id where f.path = '%s'" % path)[0]
    tap.ok(rows and all(row["ts_from"] <= span["b"] and row["ts_to"] >= span["a"] for row in rows), "%s: the spans meet that of the reads" % name,
           span, *rows)
    seconds = {}
    for row in live.rows(url, "select substr(e.ts, 1, 19) as second, count(*) as n from event e join file f on f.id = e.file_id "
                         "where f.path = '%s' and e.kind = 'read' group by 1" % path):
        seconds[row["second"]] = row["n"]
    # a second of the budget is one of the clock of the boot: it has parts of two of those of the wall
    tap.ok(all(0 < m <= 210 for m in seconds.values()), "%s: not more than that in any second" % name, seconds)

    name, url = named("--event-budget 1000/s,100/s"), live.new_url("sqlite", scratch)
    quiet_path, flood_path = new_file(scratch, "quiet"), new_file(scratch, "flood")
    recorder = record(url, "--event-budget", "1000/s,100/s", "--every", scratch + "/quiet", "--every", scratch + "/flood", "--comm", "workload_rules")
    flood = Spinning(scratch, flood_path)
    quiet = Server(quiet_path)
    for _ in range(30):
        flood.more(200)
        quiet.read(2)
    quiet.end()
    flood.stop()
    end(tap, recorder, url, name)
    tap.equal((len(events(url, quiet_path)), sum(lost_events(url, quiet.pid).values())), (60, 0), "%s: all events of the quiet process arrive" % name)
    arrived, lost = events(url, flood_path), lost_events(url, flood.pid)
    tap.ok(lost[OVER_BUDGET] > 0 and len(arrived) + sum(lost.values()) == flood.done(),
           "%s: of %d of the other one %d do" % (name, flood.done(), len(arrived)), lost)


# The other routes: workloads that count their own operations

PER_FILE = """
select p.pid, p.origin, f.path, sum(case when e.kind = 'mmap' then 1 else 0 end) as maps, sum(case when e.kind in ('read', 'write') then 1 else 0 end) as rw
from event e join process p on p.id = e.process_id join file f on f.id = e.file_id
where e.kind in ('read', 'write', 'mmap') group by p.pid, p.origin, f.path
"""


def clear(run):
    shutil.rmtree(run.folder)
    os.unlink(run.result)


def routes(tap, scratch):
    for workload in ("routes", "uring", "aio", "mmap"):
        if live.SLOWNESS > 1 and workload != "routes":
            tap.skip(named(workload), "an emulated processor has them without rules, in a test of their own")
            continue
        folder = os.path.join(scratch, "sqlite-" + workload)
        run = booklib.Run(tap, scratch, "sqlite", workload, options=[*Setting.probes, "--every", folder + "/**", "--event-budget", "none"])
        name = named("--every, " + workload)
        run.name = name
        # the workload fills its files by mappings that it does not report
        maps = [(row["pid"], row["path"], row["kind"], "mmap") for row in live.accounts(run.url, maps=True) if row["route"] == "mmap"]
        run.check(ignored=maps if workload == "routes" else ())
        want, got = {}, {}
        for account in run.expected:
            if account.path.startswith(folder + "/"):
                key = (account.pid, account.path, "mmap" if account.route == "mmap" else "rw")
                reads, _, read_errors, writes, _, write_errors = account.counts
                want[key] = want.get(key, 0) + reads + read_errors + writes + write_errors
        for row in live.rows(run.url, PER_FILE):
            for column in ("maps", "rw"):
                key = (row["pid"], row["path"], "mmap" if column == "maps" else "rw")
                if row[column] and row["path"].startswith(folder + "/") and (key in want or key[2] == "rw"):
                    got[key] = got.get(key, 0) + row[column]
        wrong = ["%s: did %s, events %s" % (key, want.get(key), got.get(key)) for key in sorted(set(want) | set(got)) if want.get(key) != got.get(key)]
        tap.ok(not wrong and want, "%s: each of %d operations on %d (process, file) is an event" % (name, sum(want.values()), len(want)), *wrong[:20])
        clear(run)

        run = booklib.Run(tap, scratch, "sqlite", workload, options=[*Setting.probes, "--ignore", folder + "/**"])
        name = named("--ignore, " + workload)
        booked = [live.describe(row) for row in live.accounts(run.url, maps=True) if row["path"].startswith(folder + "/")]
        tap.equal(booked, [], "%s: nothing of the folder is in the books" % name)
        seen = [row["path"] for row in live.rows(run.url, PER_FILE) if row["path"].startswith(folder + "/")]
        tap.equal(seen, [], "%s: and nothing of it is an event of a read, a write or a mapping" % name)
        done = sum(a.counts[0] + a.counts[3] for a in run.expected if a.path.startswith(folder + "/"))
        left_out = live.value(run.url, "select excluded_ops from recording")
        tap.ok(left_out >= done, "%s: recording.excluded_ops has its %d operations" % (name, done), left_out)
        live.check_balance(tap, run.url, name)
        clear(run)


def legacy(tap, scratch):
    """A part of all this with the programs for older kernels."""
    if live.SLOWNESS > 1 and "IOLEDGER_TEST_PROBES" in os.environ:
        raise live.Skip("with tracepoint-legacy it would be another run of all this")
    before = {key: getattr(Setting, key) for key in ("probes", "word", "series", "samples")}
    Setting.probes, Setting.word, Setting.series, Setting.samples = ("--probes", "tracepoint-legacy"), "legacy: ", live.fewer(50000), 3
    try:
        for test in (every_operation, sample, ignore, order, names, too_deep, nameless, scopes, rules_change, while_it_reads, budgets, routes):
            folder = os.path.join(scratch, test.__name__)
            os.mkdir(folder)
            with contextlib.suppress(live.Skip):
                test(tap, folder)
    finally:
        for key, value in before.items():
            setattr(Setting, key, value)


live.main(every_operation, sample, ignore, ignored_alone, order, names, too_deep, nameless, scopes, rules_change, while_it_reads, budgets, routes, legacy)
