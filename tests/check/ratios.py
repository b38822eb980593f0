#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What the bench tells of ratios: how sure a median is, what is left of it at equal speed, and which aims are met; and what it makes of
turns. Prints TAP.

usage: tests/check/ratios.py ROOT
"""
import os
import sys
import tempfile
import time

ROOT = os.path.abspath(sys.argv[1])
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "bench"), os.path.join(ROOT, "tests", "live")]
import benchlib  # pylint: disable=wrong-import-position
import part_turns  # pylint: disable=wrong-import-position
import part_work  # pylint: disable=wrong-import-position
from livelib import Tap  # pylint: disable=wrong-import-position

# Ranks that tables of the sign test have for 95 %; 0: none has it, and then it is the first.
RANKS = {1: 0, 2: 0, 5: 0, 6: 1, 7: 1, 8: 1, 9: 2, 11: 2, 12: 3, 14: 3, 15: 4, 17: 5, 20: 6, 25: 8, 30: 10, 41: 14}


def check_interval(tap):
    for count, rank in RANKS.items():
        values = [(number * 7 + 3) % 43 for number in range(count)]
        want = sorted(values)[max(rank, 1) - 1], sorted(values)[-max(rank, 1)]
        tap.equal(benchlib.median_interval(values), want, "interval of the median of %d values" % count)
        tap.ok((count >= benchlib.MIN_ROUNDS) == (rank > 0), "%d values tell %s" % (count, "how sure it is" if rank else "too little"))
    tap.equal(benchlib.percent_interval([1.05, 0.99, 1.02]), "+2.0 % (-1.0 to +5.0)", "median and interval in percent")


def check_times(tap):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    before = os.times()
    user, system = benchlib.cpu_seconds(os.getpid())
    after = os.times()
    tick = 1 / os.sysconf("SC_CLK_TCK")
    for number, name, found in ((0, "user", user), (1, "system", system)):
        low, high = (times[number] + times[number + 2] for times in (before, after))  # its own and that of its children
        tap.ok(low - tick <= found <= high + tick, "%s time of a process" % name, low, found, high)


def check_equal_speed(tap):
    """Two rounds: in one all is as it should be, in the other the machine is 1.4 times slower while the recorder is measured."""
    program = part_work.Program("p", "p", ())
    found = {state: [part_work.Run(20 * added * slow, 10 * added * slow, 5 * slow) for slow in speeds]
             for state, added, speeds in (("nothing", 1, (1, 1)), ("floor", 1.01, (1, 1)), ("record", 1.0504, (1, 1.4)))}
    row = part_work.time_row(program, found)
    tap.equal((row[1], row[2]), ("20.00", "+1.0 %"), "what takes how long with nothing")
    tap.equal((row[5], row[6]), ("+4.0 % (+4.0 to +4.0)", "+5.0 % (+5.0 to +5.0)"), "a slow round, at equal speed")
    clock = ("+24.8 % (+4.0 to +45.6)", "+26.0 % (+5.0 to +47.1)")
    tap.equal((row[3], row[4]), clock, "and on the wall clock")
    tap.equal(part_work.told(program, found), part_work.equal_speed(found), "a program that computes is told at equal speed")
    for run in (run for runs in found.values() for run in runs):
        run.user /= 5
    row = part_work.time_row(program, found)
    tap.equal((row[3:7]), [*clock, "", ""], "ticks do not tell the user time of one that does not")
    tap.equal(part_work.told(program, found), part_work.each(found, "wall"), "which is told by the clock")
    in_pieces = part_work.Program("p", "p", (), pieces=2)
    tap.equal(part_work.told(in_pieces, found), part_work.equal_speed(found), "between pieces there is work that no tick has to tell")


def check_aims(tap):
    def seven(low, middle, high):
        return [high, low, middle, middle, middle, low, high]

    good = {"a record/floor": seven(1.01, 1.02, 1.03), "a record/nothing": seven(1.05, 1.06, 1.08), "bad record/floor": [2.0] * 7}
    said = part_work.aims(good, {"bad"})
    tap.ok("All are met." in said and "told" not in said and "bad" not in said, "all aims are met", said)
    more = {"b record/floor": seven(1.031, 1.04, 1.05), "c record/floor": seven(1.03, 1.05, 1.06),
            "d record/nothing": seven(1.03, 1.04, 1.09), "e record/nothing": seven(1.07, 1.081, 1.09)}
    said = part_work.aims({**good, **more}, set())
    tap.ok("Not met: bad record/floor +100.0 %, b record/floor +4.0 %, c record/floor +5.0 %, e record/nothing +8.1 %." in said,
           "those above their aim are not met", said)
    tap.ok("over the aim: of those not met c record/floor +5.0 % (+3.0 to +6.0), e record/nothing +8.1 % (+7.0 to +9.0); "
           "of those met d record/nothing +4.0 % (+3.0 to +9.0)." in said, "those whose interval reaches over it cannot be told", said)
    # Of nine the second and the eighth count.
    f, g = [1.0, 1.04, 1.04, 1.05, 1.05, 1.05, 1.06, 1.06, 1.2], [1.0] * 8 + [1.2]
    said = part_work.aims({"f record/floor": f, "g record/floor": g}, set())
    tap.ok("Not met: f record/floor +5.0 %." in said and "told" not in said, "one round does not make it doubtful", said)
    f[1], g[7] = 1.02, 1.2
    said = part_work.aims({"f record/floor": f, "g record/floor": g}, set())
    tap.ok("of those not met f record/floor +5.0 % (+2.0 to +6.0); of those met g record/floor +0.0 % (+0.0 to +20.0)." in said,
           "two rounds do", said)


TURNS = """#!/bin/sh
printf '%s\\n' "$@" >"$0.args"
echo 100 90 50 101 91 50 104.03 93 50
echo 200 180 100 202 182 100 212.1 186 125
echo lost 3
"""


def check_turns(tap):
    """By a program that tells two rounds: in the second one the machine is half as fast, and slower still, in user mode too, while the recorder is measured."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "turns")
        with open(program, "w", encoding="ascii") as file:
            file.write(TURNS)
        os.chmod(program, 0o755)
        home = os.path.join(folder, "turn-7")
        os.mkdir(home)
        bench = benchlib.Bench(folder, 1, folder, None)
        bench.program = lambda name: program
        first = os.path.join(folder, "turn-0")
        work = part_work.Program("p", "title", part_work.shell("cat %s/tree >%s/out/all" % (first, first)), first + "/out")
        found = part_turns.measure_piece(bench, part_turns.Piece(work, moves=True))
        with open(program + ".args", encoding="ascii") as file:
            _, db, prepare, command = file.read().splitlines()
        tap.ok(os.path.isdir(first) and db == "sqlite:%s/turns.db" % folder, "turns begin with the first name of the folder", db)
        tap.equal(prepare, "mv {0}$((TURN - 1)) {0}$TURN; rm -rf {0}$TURN/out; mkdir {0}$TURN/out".format(folder + "/turn-"), "what runs before a turn")
        tap.equal(command, "cat {0}/tree >{0}/out/all".format(folder + "/turn-$TURN"), "what runs in it")
        row = part_turns.row(part_turns.Piece(work), found)
        tap.equal(row[2:], ["6", "150 ms", "+1.0 % (+1.0 to +1.0)", "+4.0 % (+3.0 to +5.0)", "+5.0 % (+4.0 to +6.0)", "+2.2 %", "9"], "turns by the clock")
        row = part_turns.row(part_turns.Piece(work, whole=True), found)
        tap.equal(row[1:6], ["by the clock", "6", "0.15 s", "+1.0 % (+1.0 to +1.0)", "+4.0 % (+3.0 to +5.0)"], "whole runs whose user time ticks do not tell")
        for run in (run for runs in found.runs.values() for run in runs):
            run.wall, run.cpu, run.user = 40 * run.wall, 40 * run.cpu, 40 * run.user
        row = part_turns.row(part_turns.Piece(work, whole=True), found)
        tap.equal(row[1], "at equal speed", "whole runs whose user time they tell")
        tap.equal(row[3:7], ["6.00 s", "+1.0 % (+1.0 to +1.0)", "-6.5 % (-16.0 to +3.0)", "-5.6 % (-15.2 to +4.0)"], "turns at equal speed")


def main():
    tap = Tap()
    for check in (check_interval, check_times, check_equal_speed, check_aims, check_turns):
        check(tap)
    print("1..%d" % tap.count)
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
