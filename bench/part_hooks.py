# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How long real programs are held up within the hooks, by the kernel's own clock: what of part work's slowdown no busy machine can hide."""
import contextlib
import os

import part_work
from benchlib import Floor, Recorder, Result, Table, Unavailable, hook_times, in_turns, median, say, significant

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


def held_up(attached, program):
    """(seconds within hooks, runs of hooks, the program's CPU time): the kernel counts the first in the last."""
    part_work.settle(attached if isinstance(attached, Recorder) else None)
    before = hook_times(attached.pid)
    run = part_work.run(program)
    after = hook_times(attached.pid)
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


def shares(found):
    """Of the program's CPU time: within the floor, within the hooks, and what these add; medians over the rounds."""
    floor, record = found["floor"], found["record"]
    return [median(each) for each in ([seconds / cpu for seconds, _, cpu in floor], [seconds / cpu for seconds, _, cpu in record],
                                      [(mine[0] - empty[0]) / mine[2] for mine, empty in zip(record, floor)])]


def measure(bench):
    rows, notes, figures = [], [], {}
    with contextlib.ExitStack() as cleanup, statistics_on():
        for program in part_work.programs(bench.scratch, cleanup, notes):
            say("bench: hooks: %s" % program.name)
            part_work.run(program)  # caches are warm from here on
            found = in_turns(bench.rounds, STATES, lambda state, program=program: measure_state(bench, program, state))
            parts = shares(found)
            rows.append([program.title, "%.2f" % median([cpu for _, _, cpu in found["floor"]]), significant(median([runs for _, runs, _ in found["record"]])),
                         *("%.1f %%" % (100 * part) for part in parts)])
            figures["hooks %s" % program.name] = parts[-1]
    columns = ["program", "CPU beside the floor, s", "runs of hooks", "within the floor", "within the hooks", "added"]
    notes.append("Time within BPF programs, by the kernel's clock (`kernel.bpf_stats_enabled`), as parts of the programs' CPU time: medians of %d rounds. The "
                 "clock is looked at twice in each run of a program, which counts for the floor as well; programs that are preempted within a hook "
                 "count what ran meanwhile. It leaves out what the recorder's own threads take, and that code which runs after a hook finds less of "
                 "its own in the caches." % bench.rounds)
    return Result("hooks", [Table("hooks", columns, rows)], [], notes, figures)
