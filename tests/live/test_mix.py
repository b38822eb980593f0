#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Random mixes of all routes over descriptors that are inherited, duplicated and passed on: exact for each of a hundred seeds.

Each seed is a scenario of its own, of eight processes and sixteen threads; the one that fails has its number in the line.
Again: `record -- workload_mix FOLDER SEED SEED all`.
"""
import os
import subprocess

import booklib
import livelib as live
import stracelib

SEEDS = 100 if live.SLOWNESS == 1 else 10
PLAIN = "rw,sendfile,splice,copy_file_range"  # what strace shows with the name of each file


def check(tap, scratch, kind, first, last):
    old = live.kernel()
    routes = "all" if old >= (5, 19) else PLAIN + ",aio,mmap"  # before that nothing tells of io_uring
    # before 6.2 a request that is cancelled with its chain has a file, or none yet, in another way than the workload counts on
    booklib.Run(tap, scratch, kind, "mix", first, last, routes).check(either=booklib.EVERY if old < (6, 2) else ())


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite", 1, SEEDS)


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql", SEEDS + 1, SEEDS + 10)


def strace(tap, scratch):
    """What strace saw of one mix is what its workload says it did, and what the books say."""
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True, check=False).returncode != 0:
        raise live.Skip("no strace")
    folder, trace = os.path.join(scratch, "strace"), os.path.join(scratch, "trace")
    os.mkdir(folder)
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, command=[*stracelib.STRACE, "-o", trace, live.workload("mix"), folder, "1", "2", PLAIN],
                             env={**os.environ, "IOLEDGER_RESULT": folder + ".result"})
    if not tap.equal(recorder.wait(), 0, "strace: the workload runs to its end"):
        tap.say(recorder.errors())
        return
    seen = stracelib.Strace(trace)
    tap.ok(not seen.problems, "strace: its output is understood", *seen.problems[:20])
    pids = {seen.split(line)[0] for line in open(trace, "rb").read().split(b"\n") if line}
    booked, comms, strangers = stracelib.ledger_accounts(url, pids)
    tap.ok(not strangers, "strace: nothing in the books that it did not see", *strangers[:20])
    wrong = stracelib.differences(seen.accounts, seen.comms, booked, comms)
    tap.ok(not wrong, "strace: %d accounts, %d operations: what it saw" % (len(seen.accounts), seen.operations),
           "%d lines of differences" % len(wrong), *wrong[:60])
    live.check_balance(tap, url, "strace")


live.main(sqlite, postgresql, strace)
