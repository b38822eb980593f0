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
        "it takes more than with nothing. The median of the ratios within each load, in parentheses the interval in which it lies with 95 %%%% certainty, "
        "reads and writes: %%s; getppid: %%s.") % LOADS


def hot_loads(bench, file, loads):
    """{state: {call: [(ns, ns added) of each load]}}"""
    out = subprocess.run([bench.program("hotpath"), file, str(loads)], check=True, capture_output=True, text=True).stdout
    found = {}
    for line in out.splitlines():
        state, call, ns, added = line.split()
        found.setdefault(state, {}).setdefault(call, []).append((float(ns), float(added)))
    return found


def middle(found):
    """{state: {call: (ns, ns added)}}, the medians of all loads."""
    return {state: {call: tuple(map(median, zip(*times))) for call, times in calls.items()} for state, calls in found.items()}


def hot_path(bench, file, loads):
    return middle(hot_loads(bench, file, loads))


def told_by_load(found, calls):
    """What the ratios are within each load in which the floor takes time at all, for the calls together."""
    def added(state):
        return [sum(times) for times in zip(*([more for _, more in found[state][call]] for call in calls))]
    told = []
    for state in ("record", "filtered", "ignored"):
        ratio = [mine / floor for mine, floor in zip(added(state), added("floor")) if floor > 0]
        told.append("%s %.2f (%.2f to %.2f)" % (STATES[state], median(ratio), *median_interval(ratio)))
    return ", ".join(told)


def ratios(found):
    """{"STATE CALL": what it adds over what the floor adds}"""
    return {"%s %s" % (state, call): found[state][call][1] / found["floor"][call][1]
            for state in STATES for call in NAMES}


def together(found):
    """The calls that move bytes as one row: what of a ratio is the code's and not that of where a loop happens to lie in memory."""
    floor = sum(found["floor"][call][1] for call in MOVING)
    row = ["reads and writes, the sum", "%.0f" % sum(found["nothing"][call][0] for call in MOVING), "%.0f" % floor]
    for state in STATES:
        added = sum(found[state][call][1] for call in MOVING)
        row += ["%.0f" % added, "%.2f" % (added / floor)]
    return row


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
    found_loads = hot_loads(bench, file, LOADS)
    found = middle(found_loads)
    ratio = ratios(found)
    rows = []
    for call, title in NAMES.items():
        row = [title, "%.0f" % found["nothing"][call][0], "%.0f" % found["floor"][call][1]]
        for state in STATES:
            row += ["%.0f" % found[state][call][1], "%.2f" % ratio["%s %s" % (state, call)]]
        rows.append(row)
    rows.insert(len(MOVING), together(found))
    columns = ["call", "nothing, ns", "floor adds, ns"]
    for title in STATES.values():
        columns += [title, "ratio"]
    rest, rate, used = own_use(bench, file)
    own = Table("own use", ["what", "figure"], [
        ["resident memory at rest, SQLite", "%.0f MB" % rest],
        ["CPU during %.2f million 1-byte operations a second" % rate, "%.2f %% of a core" % used],
        ["the same for a million operations a second", "%.2f %% of a core" % (used / rate)]])
    chart = Chart("calls", "What one read of 1 byte from /dev/zero costs in addition", "", "ns",
                  {"added": [("floor", found["floor"]["read_zero"][1])] +
                            [(state.replace("_", " "), found[state]["read_zero"][1]) for state in STATES]}, bars=True)
    note = NOTE % (told_by_load(found_loads, MOVING), told_by_load(found_loads, ["getppid"]))
    return Result("calls", [Table("calls", columns, rows), own], [chart], notes=[note],
                  figures={**ratio, "own_percent_per_million": used / rate, "floor_ns": found["floor"]["read_zero"][1]})
