# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How much slower real programs are, to one or two percent on a busy machine too: in turns a tenth of a second long, by a recorder that stays
and whose hooks come and go (turns.c). Part work tells the same of a recorder that is started, and of programs that end, but only to five or ten."""
import contextlib
import dataclasses
import glob
import os
import shlex
import subprocess

import part_work
from benchlib import (Result, Table, Unavailable, median, paired_ratio, paired_ratios, percent, percent_interval, say)

SECONDS = 4  # of a program, in each start of the recorder's programs
WHOLE_SECONDS = 12
STARTS = 3  # for each round of the bench: what a program takes depends on where in memory it happens to lie
STATES = ("nothing", "floor", "record")
HOME = "turn-%s"  # the folder of all that a program reads; with a new name each time, so that the recorder has seen none of it


@dataclasses.dataclass(frozen=True)
class Piece:
    program: part_work.Program
    moves: bool = False  # what it reads lies in HOME
    whole: bool = False  # the recorder's own work is within it: told at equal speed, where that can be (see part_work)
    share: int = 1  # of the time: what varies most, and what is next to its aim, takes more to be told


@dataclasses.dataclass
class Found:
    runs: dict  # {state: [part_work.Run, ...]}
    lost: int  # details


def pieces(bench, home, cleanup):
    """What makes each Piece."""
    return (lambda: Piece(part_work.processes_program(home, 100, 1), share=4),
            lambda: Piece(part_work.compile_program(home, 2)),
            lambda: Piece(part_work.tar_program(home, "d03"), moves=True),
            lambda: Piece(part_work.git_status_program(home, 1), moves=True, share=4),
            lambda: Piece(part_work.git_grep_program(home, "d03"), moves=True),
            lambda: Piece(part_work.sqlite_wal_program(home, 2_000, 1)),
            lambda: Piece(part_work.pgbench_program(bench.scratch, cleanup, 200), share=4),
            lambda: Piece(part_work.compile_program(home), whole=True),
            lambda: Piece(part_work.tar_program(home), moves=True, whole=True, share=3),
            lambda: Piece(part_work.git_grep_program(home), moves=True, whole=True, share=3),
            lambda: Piece(part_work.processes_program(home, pieces=1), whole=True, share=3),
            lambda: Piece(part_work.sqlite_wal_program(home, times=1), whole=True))


def script_of(program):
    return program.command[2] if program.command[0] == "sh" else shlex.join(program.command)


def commands(scratch, piece):
    """(what runs before each turn, what runs in it), for turns.c."""
    before, after = (os.path.join(scratch, HOME % name) for name in ("$((TURN - 1))", "$TURN"))
    texts = ["rm -rf {0}; mkdir {0}".format(piece.program.fresh) if piece.program.fresh else ":", script_of(piece.program)]
    if piece.moves:
        texts = [text.replace(os.path.join(scratch, HOME % "0"), after) for text in texts]
        texts[0] = "mv %s %s; %s" % (before, after, texts[0])
    return texts


def back_home(scratch):
    """From the folder's name of the last turn to the first one's."""
    for place in glob.glob(os.path.join(scratch, HOME % "*")):
        os.rename(place, os.path.join(scratch, HOME % "0"))


def start(bench, piece, rounds):
    """Found of one start of the recorder's programs."""
    back_home(bench.scratch)
    ledger = os.path.join(bench.scratch, "turns.db")
    seconds = rounds * piece.share * (WHOLE_SECONDS if piece.whole else SECONDS)
    done = subprocess.run([bench.program("turns"), str(seconds), "sqlite:" + ledger, *commands(bench.scratch, piece)],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    for path in glob.glob(ledger + "*"):
        os.unlink(path)
    if done.returncode:
        raise Unavailable("%s: %s" % (piece.program.name, (done.stderr.strip() or "no message").split("\n")[-1]))
    *lines, lost = [[float(word) for word in line.removeprefix("lost ").split()] for line in done.stdout.splitlines()]
    for line in done.stderr.splitlines():  # the programs' own words are there too
        if line.startswith("turns: lost: "):
            say("bench: " + line)
    runs = {state: [part_work.Run(*(ms / 1e3 for ms in line[3 * at:3 * at + 3])) for line in lines] for at, state in enumerate(STATES)}
    return Found(runs, int(lost[0]))


def measure_piece(bench, piece):
    starts = [start(bench, piece, bench.rounds) for _ in range(STARTS)]
    return Found({state: [run for one in starts for run in one.runs[state]] for state in STATES}, sum(one.lost for one in starts))


def at_equal_speed(piece, found):
    return piece.whole and part_work.ticks_tell_speed(found.runs["nothing"])


def times(piece, found):
    """{state: [wall clock time, ...]}, or that for each second in user mode."""
    return part_work.equal_speed(found.runs) if at_equal_speed(piece, found) else part_work.each(found.runs, "wall")


def row(piece, found):
    seen, wall, cpu = times(piece, found), part_work.each(found.runs, "wall"), part_work.each(found.runs, "cpu")
    took = median(wall["nothing"])
    return [piece.program.title, "at equal speed" if at_equal_speed(piece, found) else "by the clock", "%d" % len(wall["nothing"]),
            "%.2f s" % took if piece.whole else "%.0f ms" % (took * 1e3),
            percent_interval(paired_ratios(seen, "floor", "nothing")), percent_interval(paired_ratios(seen, "record", "floor")),
            percent_interval(paired_ratios(seen, "record", "nothing")),
            "" if piece.program.server else percent(paired_ratio(cpu, "record", "floor")), "{:,}".format(found.lost)]


NOTE = ("Medians of the ratios within each round, in parentheses the interval in which the median lies with 95 %% certainty: nothing, floor and record take "
        "turns a tenth of a second apart, in an order that chance decides, through %d starts of the recorder's programs. The folder that tar "
        "and git read has a new name in each turn: the recorder sees each file for the first time. All of a turn is stored before the next one begins. "
        "So what the recorder's threads do at the end of an interval slows none of the short turns; it is within the long ones, of which those that compute "
        "are told at equal speed (see part work).")


def measure(bench):
    rows, notes, figures, ratios = [], [NOTE % STARTS], {}, {}
    home = os.path.join(bench.scratch, HOME % "0")
    os.mkdir(home)
    with contextlib.ExitStack() as cleanup:
        for make in pieces(bench, home, cleanup):
            try:
                back_home(bench.scratch)
                piece = make()
                say("bench: turns: %s" % piece.program.title)
                part_work.run(piece.program)  # caches are warm from here on
                found = measure_piece(bench, piece)
            except Unavailable as reason:
                say("bench: turns: %s" % reason)
                notes.append("Not measured: %s." % reason)
                continue
            rows.append(row(piece, found))
            for base in part_work.AIMS:
                name = "%s%s record/%s" % (piece.program.name, "-whole" if piece.whole else "", base)
                ratios[name] = paired_ratios(times(piece, found), "record", base)
                figures["turns " + name] = median(ratios[name])
    if not rows:
        raise Unavailable(" ".join(notes))
    columns = ["program", "told", "rounds", "nothing", "floor / nothing", "record / floor", "record / nothing", "CPU: record / floor",
               "details lost"]
    return Result("turns", [Table("turns", columns, rows)], [], [*notes, part_work.aims(ratios)], figures)
