# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How long real programs are held up within the hooks, by the kernel's own clock: what of part work's slowdown no busy machine can hide."""
import contextlib
import os
import re

import part_work
from benchlib import Floor, Recorder, Result, Table, Unavailable, in_turns, median, say, significant

SWITCH = "/proc/sys/kernel/bpf_stats_enabled"
STATES = ("floor", "record")


@contextlib.contextmanager
def statistics_on():
    """The kernel notes of each BPF program how often and how long it runs: two looks at the clock each time, with the floor too."""
    try:
        with open(SWITCH, encoding="ascii") as file:
            before = file.read()
        with open(SWITCH, "w", encoding="ascii") as file:
            file.write("1")
    except OSError as reason:
        raise Unavailable("the kernel keeps no statistics of BPF programs: %s" % reason) from reason
    try:
        yield
    finally:
        with open(SWITCH, "w", encoding="ascii") as file:
            file.write(before)


def hooks_of(pid):
    """{id: (seconds, runs)} of the BPF programs that a process holds."""
    found = {}
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(OSError), open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii", errors="replace") as info:
            words = dict(re.findall(r"^(\w+):\s*(\d+)$", info.read(), re.MULTILINE))
            if "run_time_ns" in words:
                found[words["prog_id"]] = (int(words["run_time_ns"]) / 1e9, int(words["run_cnt"]))
    return found


def held_up(attached, program):
    """(seconds within hooks, runs of hooks, the program's CPU time): the kernel counts the first in the last."""
    part_work.settle(attached if isinstance(attached, Recorder) else None)
    before = hooks_of(attached.pid)
    run = part_work.run(program)
    after = hooks_of(attached.pid)
    if not after:
        raise Unavailable("%s holds no BPF program" % attached.name)
    seconds, runs = [sum(now[i] - before.get(hook, (0, 0))[i] for hook, now in after.items()) for i in range(2)]
    return seconds, runs, run.cpu


def measure_state(bench, program, state):
    with Floor(bench) if state == "floor" else Recorder(bench, bench.scratch) as attached:
        found = held_up(attached, program)
    if state == "record":
        os.unlink(attached.path)
    return found


def share(seconds, found):
    return "%.1f %%" % (100 * median([part / cpu for part, (_, _, cpu) in zip(seconds, found)]))


def row_of(program, found):
    floor, record = found["floor"], found["record"]
    added = [mine[0] - empty[0] for mine, empty in zip(record, floor)]
    return [program.title, "%.2f" % median([one[2] for one in floor]), significant(median([one[1] for one in record])),
            share([one[0] for one in floor], floor), share([one[0] for one in record], record), share(added, record)]


def measure(bench):
    rows, notes, figures = [], [], {}
    with contextlib.ExitStack() as cleanup, statistics_on():
        for program in part_work.programs(bench.scratch, cleanup, notes):
            say("bench: hooks: %s" % program.name)
            part_work.run(program)  # caches are warm from here on
            found = in_turns(bench.rounds, STATES, lambda state, program=program: measure_state(bench, program, state))
            rows.append(row_of(program, found))
            figures["hooks %s" % program.name] = median([(mine[0] - empty[0]) / mine[2] for mine, empty in zip(found["record"], found["floor"])])
    columns = ["program", "CPU beside the floor, s", "runs of hooks", "within the floor", "within the hooks", "added"]
    notes.append("Time within BPF programs, by the kernel's clock (`kernel.bpf_stats_enabled`), as parts of the programs' CPU time: medians of %d rounds. The "
                 "clock is looked at twice in each run of a program, which counts for the floor as well; programs that are preempted within a hook "
                 "count what ran meanwhile. It leaves out what the recorder's own threads take, and that code which runs after a hook finds less of "
                 "its own in the caches." % bench.rounds)
    return Result("hooks", [Table("hooks", columns, rows)], [], notes, figures)
