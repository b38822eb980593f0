# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What a system call costs, in bench/hotpath.c's states, and what the recorder itself uses meanwhile."""
import os
import subprocess
import time

from benchlib import Chart, Recorder, Result, Table, median, median_interval, resident_mb, run_seconds

CALLS = 1_000_000
LOADS = 41  # of all programs: what a call costs depends on where in memory they happen to lie
OWN_SECONDS = 15
MOVING = ("read_zero", "pread_file", "write_null")
NAMES = {"read_zero": "read of 1 byte, /dev/zero", "pread_file": "pread of 1 byte, cached file",
         "write_null": "write of 1 byte, /dev/null", "getppid": "getppid"}
STATES = {"record": "record", "filtered": "filtered out", "ignored": "`--ignore '/**'`", "sample_100": "`--sample '100:/**'`",
          "every": "`--every '/**'`"}
NOTE = ("Medians of %d loads of all programs; of each load, for each state and call, the fastest of some hundred loops of a tenth of a millisecond, and what "
        "it takes more than with nothing. A ratio is the median of those within each load. In parentheses the interval in which it lies with 95 %%%% certainty, "
        "the sum: %%s; getppid: %%s.") % LOADS


def hot_loads(bench, file, loads):
    """{state: {call: [(ns, ns added) of each load]}}"""
    out = subprocess.run([bench.program("hotpath"), file, str(loads)], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in out.splitlines():
        state, call, ns, added = line.split()
        found.setdefault(state, {}).setdefault(call, []).append((float(ns), float(added)))
    return found


def added(found, state, calls):
    """ns added in each load, for the calls together."""
    return [sum(times) for times in zip(*([more for _, more in found[state][call]] for call in calls))]


def ratios_of(found, state, calls):
    """What the state adds over what the floor adds, within each load in which the floor takes time at all."""
    return [mine / floor for mine, floor in zip(added(found, state, calls), added(found, "floor", calls)) if floor > 0]


def ratios(found):
    """{"STATE CALL": the median of them}, or None when the machine is too busy to tell."""
    if any(median(added(found, "floor", [call])) <= 0 for call in NAMES):
        return None
    return {"%s %s" % (state, call): median(ratios_of(found, state, [call])) for state in STATES for call in NAMES}


def row_of(found, title, calls):
    row = [title, "%.0f" % sum(median([ns for ns, _ in found["nothing"][call]]) for call in calls),
           "%.0f" % median(added(found, "floor", calls))]
    for state in STATES:
        row += ["%.0f" % median(added(found, state, calls)), "%.2f" % median(ratios_of(found, state, calls))]
    return row


def told_with_intervals(found, calls):
    told = [(STATES[state], ratios_of(found, state, calls)) for state in ("record", "filtered", "ignored")]
    return ", ".join("%s %.2f (%.2f to %.2f)" % (title, median(ratio), *median_interval(ratio)) for title, ratio in told)


def own_use(bench, file):
    """(MB at rest, million operations a second, percent of a core)"""
    with Recorder(bench, bench.scratch) as recorder:
        time.sleep(3)  # the processes that run already are in the books
        rest, start = resident_mb(recorder.pid), run_seconds(recorder.pid)
        began, times = time.monotonic(), 0
        while time.monotonic() - began < OWN_SECONDS:
            readers = [subprocess.Popen([bench.program("calls"), str(4 * CALLS), file], stdout=subprocess.DEVNULL)
                       for _ in range(os.cpu_count())]
            for reader in readers:
                reader.wait()
            times += 1
        used, elapsed = run_seconds(recorder.pid) - start, time.monotonic() - began
    return rest, times * 3 * 4 * CALLS * len(readers) / elapsed / 1e6, 100 * used / elapsed


def measure(bench):
    file = os.path.join(bench.scratch, "file")
    with open(file, "wb") as out:
        out.write(b"x" * 4096)
    found = hot_loads(bench, file, LOADS)
    rows = [row_of(found, title, [call]) for call, title in NAMES.items()]
    rows.insert(len(MOVING), row_of(found, "reads and writes, the sum", MOVING))
    columns = ["call", "nothing, ns", "floor adds, ns"]
    for title in STATES.values():
        columns += [title, "ratio"]
    rest, rate, used = own_use(bench, file)
    own = Table("own use", ["what", "figure"], [
        ["resident memory at rest, SQLite", "%.0f MB" % rest],
        ["CPU during %.2f million 1-byte operations a second" % rate, "%.2f %% of a core" % used],
        ["the same for a million operations a second", "%.2f %% of a core" % (used / rate)]])
    chart = Chart("calls", "What one read of 1 byte from /dev/zero costs in addition", "", "ns",
                  {"added": [(state.replace("_", " "), median(added(found, state, ["read_zero"]))) for state in ("floor", *STATES)]}, bars=True)
    note = NOTE % (told_with_intervals(found, MOVING), told_with_intervals(found, ["getppid"]))
    return Result("calls", [Table("calls", columns, rows), own], [chart], notes=[note],
                  figures={**(ratios(found) or {}), "own_percent_per_million": used / rate,
                           "floor_ns": median(added(found, "floor", ["read_zero"]))})
