#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""No operation missing or doubled: 4 processes x 4 threads, 1-byte reads and writes over 1,000 files.

The workload counts its own calls, file by file. With the default number of accounts each (process, file) must
be in the books with exactly these counts, however long the interval; with 64 accounts each process's sum must be,
what was itemised and its `(other files)` together, and the loss of detail must be told.
$IOLEDGER_MANY_SECONDS shortens the workload (10).
"""
import os

import livelib as live

SECONDS = float(os.environ.get("IOLEDGER_MANY_SECONDS", "10"))


def record(tap, url, scratch, name, *options, files=1000, **shape):
    """Records the workload from its start to its end; returns what it counted."""
    many = live.ManyControl(scratch, files=max(min(files, 100), live.fewer(files)), seconds=SECONDS, **shape)
    recorder = live.Recorder(url, *options, command=many.command)
    live.wait_for(lambda: many.get("ready") == many.processes or recorder.process.poll() is not None,
                  "the workload to have its files open")
    many.set("go")
    tap.equal(recorder.wait(), 0, "%s: the recorder passes on the workload's exit status" % name)
    tap.say("%s: %d operations; the recorder's last words: %s" % (name, many.operations(), recorder.lines[-1:]))
    live.check_balance(tap, url, name)
    return many


def check_each(tap, url, many, name):
    """Every (process, file), to the operation."""
    wrong = many.differences(url)
    tap.ok(not wrong, "%s: each of %d (process, file) is exact" % (name, len(many.counts())),
           "%d differ, the first:" % len(wrong), *wrong[:20])
    tap.equal(live.losses(url), [], "%s: nothing was lost" % name)


def check_sums(tap, url, many, name):
    """Every process's sum; and what could not be itemised is told."""
    expected = many.counts()
    booked = live.accounts(url, route="rw")
    for pid in many.pids():
        mine = [row for row in booked if row["pid"] == pid and row["origin"] == "fork"]
        want = tuple(sum(counts[i] for (p, _), counts in expected.items() if p == pid) for i in range(6))
        tap.equal(live.sums(mine), want, "%s: the sum of a process is exact" % name)
        tap.ok(any(row["path"] == "(other files)" and row["kind"] == "other" for row in mine),
               "%s: the process has an account (other files)" % name, *[live.describe(row) for row in mine[:5]])
        # What was itemised must not say more than what was done.
        too_much = [live.describe(row) for row in mine if (pid, row["path"]) in expected
                    and any(b > e for b, e in zip(live.sums([row]), expected[pid, row["path"]]))]
        tap.equal(too_much, [], "%s: no itemised account exceeds what was done" % name)
    losses = live.losses(url)
    tap.ok(losses, "%s: the loss of detail is told in the table loss: %s" % (name, losses))


def default_accounts(tap, scratch):
    for kind, interval in live.some((("sqlite", "0.1s"), ("sqlite", "5s"), ("postgresql", "0.1s")), 1):
        name = "%s, interval %s" % (kind, interval)
        url = live.new_url(kind, scratch)
        many = record(tap, url, scratch, name, "--interval", interval)
        check_each(tap, url, many, name)


def many_threads(tap, scratch):
    """So many threads that some have their place in the kernel's array in common: one of them owns it, the others do not."""
    name = "256 threads, 2 files"
    url = live.new_url("sqlite", scratch)
    check_each(tap, url, record(tap, url, scratch, name, "--interval", "0.1s", files=2, threads=64), name)


def files_in_turn(tap, scratch):
    """A thread alone with its descriptors, which turns from one of a few files to another: the kernel keeps the last two apart."""
    for files in (2, 3):
        name = "one thread each, %d files" % files
        url = live.new_url("sqlite", scratch)
        check_each(tap, url, record(tap, url, scratch, name, "--interval", "0.1s", files=files, threads=1), name)


def few_accounts(tap, scratch):
    for kind, interval in live.some((("sqlite", "5s"), ("sqlite", "0.1s"), ("postgresql", "5s")), 1):
        name = "%s, interval %s, 64 accounts" % (kind, interval)
        url = live.new_url(kind, scratch)
        many = record(tap, url, scratch, name, "--interval", interval, "--max-accounts", "64")
        check_sums(tap, url, many, name)


def churn(tap, scratch):
    """Thousands of short-lived processes on few accounts, so that accounts are handed back and taken again all the time."""
    number = int(100 * SECONDS)
    folder = os.path.join(scratch, "files")
    os.mkdir(folder)
    for i in range(number):
        with open(os.path.join(folder, str(i)), "wb") as file:
            file.write(b"x" * size_of(i))
    script = 'i=0; while [ $i -lt %d ]; do cat "$1/$i" > /dev/null & [ $((i %% 20)) = 0 ] && wait; i=$((i + 1)); done; wait' % number
    for accounts in ("256", "65536"):
        name = "%d processes, %s accounts" % (number, accounts)
        url = live.new_url("sqlite", scratch)
        recorder = live.Recorder(url, "--interval", "0.1s", "--max-accounts", accounts, command=["sh", "-c", script, "sh", folder])
        tap.equal(recorder.wait(), 0, "%s: the recorder passes on the status" % name)
        live.check_balance(tap, url, name)
        rows = live.accounts(url)
        # Nobody but a cat writes anything.
        tap.equal(sum(row["write_bytes"] for row in rows), sum(size_of(i) for i in range(number)), "%s: all bytes are there" % name)
        tap.equal({row["comm"] for row in rows if row["write_bytes"]} - {"(other processes)"}, {"cat"}, "%s: and the cats'" % name)
        files = {}
        for row in rows:
            if row["path"].startswith(folder + "/"):
                files.setdefault(int(os.path.basename(row["path"])), []).append((row["comm"], row["origin"], row["read_bytes"]))
        if live.losses(url):
            tap.say("%s: %s" % (name, live.losses(url)))
            wrong = [(i, found) for i, found in files.items() if len(found) != 1 or found[0][2] > size_of(i)]
            tap.ok(not wrong, "%s: no file has more than was read of it" % name, *wrong[:10])
        else:
            wrong = [(i, files.get(i)) for i in range(number) if files.get(i) != [("cat", "exec", size_of(i))]]
            tap.ok(not wrong, "%s: each file is under its cat" % name, *wrong[:10])
            tap.equal(len({row["process_id"] for row in rows if row["comm"] == "cat" and row["origin"] == "exec"}), number,
                      "%s: each cat is a process" % name)


def size_of(i):
    return 1 + i % 1000


live.main(default_accounts, many_threads, files_in_turn, few_accounts, churn)
