#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The books say what strace saw: real commands, path by path and program by program, in one run with both witnesses.

`ioledger record -- strace -f -y ... sh exact_workload.sh`: strace writes down every call of the routes with the name of its
file, and every exec; from that the accounts are made a second time and compared with io, by (pid, image, path, route):
operations, bytes and errors, each way. strace's own process is the one that it cannot see; it is left out.

`test_exact.py --parse FILE` prints the accounts of a strace output.
"""
import os
import shutil
import subprocess
import sys

import livelib as live
import stracelib


def check(tap, scratch, kind):
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True, check=False).returncode != 0:
        tap.skip(kind, "no strace")
        return
    folder = os.path.join(scratch, kind)
    os.mkdir(folder)
    trace = os.path.join(scratch, kind + ".strace")
    url = live.new_url(kind, scratch)
    script = os.path.join(live.HERE, "exact_workload.sh")
    recorder = live.Recorder(url, cwd=folder, command=[*stracelib.STRACE, "-o", trace, "sh", script])
    tap.equal(recorder.wait(600), 0, "%s: the commands ran to their end" % kind)
    live.check_balance(tap, url, kind)

    strace = stracelib.Strace(trace)
    tap.ok(not strace.problems, "%s: strace's output is understood" % kind, *strace.problems[:20])
    pids = {strace.split(line)[0] for line in open(trace, "rb").read().split(b"\n") if line}
    booked, ledger_comms, strangers = stracelib.ledger_accounts(url, pids)
    tap.ok(not strangers, "%s: nothing in the books that strace did not see" % kind, *strangers[:20])
    programs = set(strace.comms.values())
    least = 40 if shutil.which("gcc") and shutil.which("git") else 30  # they start others
    tap.ok(len(programs) >= least, "%s: %d different programs ran in %d processes" % (kind, len(programs), len(pids)))
    wrong = ["pid %d image %d: strace %r, ledger %r" % (*key, comm, ledger_comms.get(key))
             for key, comm in strace.comms.items() if live.stored(comm) != ledger_comms.get(key)]
    tap.ok(not wrong, "%s: each of %d execs is an image with its name" % (kind, len(strace.comms)), *wrong[:20])
    wrong = stracelib.differences(strace.accounts, strace.comms, booked, ledger_comms)
    tap.ok(not wrong, "%s: %d accounts, %d operations: what strace saw" % (kind, len(strace.accounts), strace.operations),
           "%d lines of differences" % len(wrong), *wrong[:60])


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql")


if sys.argv[1:2] == ["--parse"]:
    parsed = stracelib.Strace(sys.argv[2])
    for account, numbers in parsed.accounts.items():
        print(*account[:2], parsed.comms.get(account[:2]), *map(repr, account[2:]), *numbers)
    print("%d operations; problems: %s" % (parsed.operations, parsed.problems))
else:
    live.main(sqlite, postgresql)
