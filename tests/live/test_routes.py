#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Every route counts: each system call of the routes, its errors, partial transfers and ends of file, natively and as a 32-bit call.

workload_routes makes each call with a known result; the books of its process must say the same, and nothing more.
"""
import os

import livelib as live


def key_of(path, kind, route):
    return "%s %s %s" % (path, kind, route)


def check(tap, scratch, kind):
    folder = os.path.join(scratch, kind)
    result = os.path.join(scratch, kind + ".result")
    os.mkdir(folder)
    url = live.new_url(kind, scratch)
    recorder = live.Recorder(url, command=[live.workload("routes"), folder], env={**os.environ, "IOLEDGER_RESULT": result})
    if not tap.equal(recorder.wait(), 0, "%s: the workload runs to its end" % kind):
        tap.say(recorder.errors())
        return
    expected, notes = live.read_expected(result)
    pid = notes["start"][0][0]

    want, scenario_of = {}, {}
    for account in expected:
        key = key_of(account.path, account.kind, account.route)
        want[key] = account.counts
        scenario_of[key] = account.scenario
    got = {}
    for row in live.accounts(url, pid=pid, origin="exec"):
        mine = (row["path"] + "/").startswith(folder + "/") or row["path"] == "/dev/full" or row["kind"] not in ("file", "dir", "chr")
        if mine:
            key = key_of(row["path"], row["kind"], row["route"])
            got[key] = tuple(a + b for a, b in zip(got.get(key, (0,) * 6), live.sums([row])))

    for scenario in dict.fromkeys(scenario_of.values()):
        keys = [key for key in want if scenario_of[key] == scenario]
        wrong = ["%s: did %s, in the books %s" % (key, want[key], got.get(key)) for key in keys if want[key] != got.get(key)]
        tap.ok(not wrong, "%s: %s: %d accounts exact (%s)" % (kind, scenario, len(keys), ", ".join(live.COUNTERS)), *wrong)
    tap.equal({key: got[key] for key in got if key not in want}, {}, "%s: nothing else in the books of the process" % kind)
    if ("compat_calls", "absent") in [(s, n[0][1]) for s, n in notes.items()]:
        tap.skip("%s: 32-bit calls" % kind, "this kernel takes no 32-bit system calls")
    live.check_balance(tap, url, kind)


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql")


live.main(sqlite, postgresql)
