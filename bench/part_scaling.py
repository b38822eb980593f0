# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""How the cost grows: with operations, accounts and processes; with two CPUs on one account; the drain; first sights."""
import contextlib
import os
import sqlite3
import subprocess
import tempfile
import time

from benchlib import (Chart, Floor, Recorder, Result, Table, Unavailable, in_turns, map_mb, median, peak_mb, resident_mb, run_seconds,
                      say, significant)

RATES = (1, 100, 10_000, 100_000, 1_000_000, 0)  # 0: as many as can be
COMPUTED_RATES = (3_000_000, 10_000_000)
PACED_RATE = 10_000  # from here on a read costs more than waking up for it
LOAD_FILES = 100
LOAD_SECONDS = 2
PROCESSES_RATE = 10_000
PROCESSES = (1, 10, 100, 1000, 5000)
ACCOUNTS = (  # files, processes, --max-accounts; their product is below 3/4 of it, beyond which idle accounts are closed
    (1, 1, "64k"), (1000, 1, "64k"), (1000, 10, "64k"), (1000, 100, "256k"), (1000, 1000, "2m"))
DRAIN_FILES = 640  # with a process for 1,024 slots: five in eight are in use, for the same reason
DRAIN_SLOTS = (4096, 16384, 65536, 262144, 1048576)
DRAIN_AIM = 65536
SIGHT_FILES = 100_000
SIGHT_PROCESSES = 2000
SITUATIONS = {"alone": "one thread", "threads_two_files": "two threads, a file each", "threads_one_file": "two threads, one file",
              "processes_one_file": "two processes, one file"}
QUIET = 0.1  # of a core: the recorder has nothing left to do but look over its accounts
QUIET_WINDOW = 1.1  # seconds: an interval ends in each
QUIET_SECONDS = 180
END_SECONDS = 60


@contextlib.contextmanager
def memory_folder(bench):
    """A folder in memory, so that no disk has a say; the part's own folder where there is none."""
    where = "/dev/shm" if os.path.isdir("/dev/shm") else bench.scratch
    with tempfile.TemporaryDirectory(prefix="ioledger-bench-", dir=where) as folder:
        yield folder


def make_files(folder, n, data=b"x"):
    os.makedirs(folder)
    for i in range(n):
        with open("%s/%d" % (folder, i), "wb") as file:
            file.write(data)
    return folder


def run(bench, program, *args):
    """The lines that a program of the bench prints, in words."""
    done = subprocess.run([bench.program(program), *map(str, args)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable("%s: %s" % (program, done.stderr.strip() or "exit status %d" % done.returncode))
    if done.stderr:
        say(done.stderr.strip())
    return [line.split() for line in done.stdout.splitlines()]


class Load:
    """bench/load.c: processes that are there and read when they are told to."""

    def __init__(self, bench, *args):
        self.process = subprocess.Popen([bench.program("load"), *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            self.answer()
        except BaseException:
            self.end()
            raise

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Unavailable("load has ended")
        return line.split()

    def turn(self):
        """(operations, seconds, CPU ns for each)"""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        operations, seconds, cpu_ns = self.answer()
        return int(operations), float(seconds), float(cpu_ns)

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # it ends its processes, then itself
        try:
            self.process.wait(END_SECONDS)
        except BaseException:
            self.process.kill()  # they end with it
            self.process.wait()
            raise
        finally:
            self.process.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.end()


class Ledger:
    """What a recorder that has ended has stored."""

    def __init__(self, recorder):
        self.path = recorder.path
        self.db = sqlite3.connect(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.db.close()
        os.unlink(self.path)

    def reads_below(self, folder):
        query = "SELECT coalesce(sum(read_ops), 0) FROM io JOIN file ON file.id = file_id WHERE path > ? AND path < ?"
        return self.db.execute(query, (folder + "/", folder + "0")).fetchone()[0]

    def losses(self):
        return ["%s: %d" % row for row in self.db.execute("SELECT reason, sum(lost) FROM loss GROUP BY reason")]

    def megabytes(self):
        return os.path.getsize(self.path) / 1e6


def until_quiet(recorder):
    """Waits until the recorder has written what it has."""
    end = time.monotonic() + QUIET_SECONDS
    while True:
        before = run_seconds(recorder.pid)
        time.sleep(QUIET_WINDOW)
        if run_seconds(recorder.pid) - before < QUIET * QUIET_WINDOW:
            return
        if time.monotonic() > end:
            raise Unavailable("the recorder is still busy after %d s" % QUIET_SECONDS)


def count(number):
    return "{:,}".format(number)


def verdict(arrived, made):
    return "all" if arrived == made else "%+d" % (arrived - made)


def lost_notes(what, losses):
    return ["Lost while measuring %s: %s." % (what, loss) for loss in sorted(set(losses))]


def offer(bench, folder, rate, recorder=None):
    """(operations, a second, CPU ns for each, percent of a core that the recorder used, MB that it holds)"""
    with Load(bench, folder, LOAD_FILES, 2, rate, LOAD_SECONDS) as load:
        before = run_seconds(recorder.pid) if recorder else 0
        operations, seconds, cpu_ns = load.turn()
        used = run_seconds(recorder.pid) - before if recorder else 0
    return operations, operations / seconds, cpu_ns, 100 * used / seconds, resident_mb(recorder.pid) if recorder else 0


def offer_all(bench, folders, state, losses):
    """A list over RATES: what offer() returns, and the operations that are in the database."""
    if state == "nothing":
        return [(*offer(bench, folders[rate], rate), 0) for rate in RATES]
    with Recorder(bench, bench.scratch) as recorder:
        time.sleep(2)
        found = [offer(bench, folders[rate], rate, recorder) for rate in RATES]
    with Ledger(recorder) as ledger:
        losses += ledger.losses()
        return [(*one, ledger.reads_below(folders[rate])) for rate, one in zip(RATES, found)]


def operations(bench, folder):
    losses, folders = [], {rate: make_files("%s/rate-%d" % (folder, rate), LOAD_FILES) for rate in RATES}
    found = in_turns(bench.rounds, ("nothing", "record"), lambda state: offer_all(bench, folders, state, losses))
    rows, own, figures = [], [], {}
    for i, rate in enumerate(RATES):
        nothing, record = [turn[i] for turn in found["nothing"]], [turn[i] for turn in found["record"]]
        made, arrived = sum(one[0] for one in record), sum(one[5] for one in record)
        reached = median([one[1] for one in record])
        ns = median([one[2] for one in nothing])
        added = median([one[2] - two[2] for one, two in zip(record, nothing)])
        percent = median([one[3] for one in record])
        counts = rate == 0 or rate >= PACED_RATE
        rows.append([count(rate) if rate else "as many as can be", significant(reached), "%.2f" % percent,
                     "%.0f" % median([one[4] for one in record]), "%.0f" % ns if counts else "", "%.0f" % added if counts else "",
                     count(made), verdict(arrived, made)])
        own.append((reached, max(percent, 0.001)))
        figures.update({"operations %s_percent" % (rate or "most"): percent, "operations %s_missing" % (rate or "most"): made - arrived})
    for rate in COMPUTED_RATES:
        rows.append(["%s (computed)" % count(rate), "", "%.2f" % percent, rows[-1][3], "", "%.0f" % added, "", ""])
    figures.update({"operations added_ns": added, "operations most_per_second": reached})
    columns = ["operations offered a second", "made a second", "recorder's CPU, % of a core", "resident, MB", "load's CPU for one, ns",
               "record adds, ns", "operations made", "in the books"]
    kernel = [(rate, rate * added / 1e7) for rate in [max(x, 1) for x, _ in own] + list(COMPUTED_RATES)]
    chart = Chart("scaling-operations", "CPU used at a rate of 1-byte reads", "operations a second", "% of a core",
                  {"recorder (measured)": own, "in the kernel (computed: ns of one operation × rate)": kernel}, log_x=True, log_y=True)
    notes = ["Two processes read, each of %d files in turn, so that each read turns to another account, which is the dearest there is among "
             "accounts that are open; a rate that is computed is beyond what two cores do: the recorder's own use is that of the highest rate "
             "measured, as it looks over accounts and not over operations, and the kernel adds %.0f ns × rate: %.0f %% of a core for %s a "
             "second, on the CPUs that make the operations." % (LOAD_FILES // 2, added, COMPUTED_RATES[-1] * added / 1e7, count(COMPUTED_RATES[-1]))]
    return Table("scaling operations", columns, rows), chart, notes + lost_notes("operations", losses), figures


def hold_accounts(bench, folder, processes, files, slots):
    """One row of the table, the two CPU times in ms, and what was lost."""
    with Load(bench, folder, files, processes) as load:
        with Recorder(bench, bench.scratch, "--max-accounts", slots) as recorder:
            load.turn()
            until_quiet(recorder)
            before, began = run_seconds(recorder.pid), time.monotonic()
            time.sleep(4)
            rest = (run_seconds(recorder.pid) - before) / (time.monotonic() - began)
            before, began = run_seconds(recorder.pid), time.monotonic()
            load.turn()
            until_quiet(recorder)
            busy = run_seconds(recorder.pid) - before - rest * (time.monotonic() - began)
            memory = [resident_mb(recorder.pid), peak_mb(recorder.pid), map_mb(recorder.pid)]
    with Ledger(recorder) as ledger:
        accounts = files * processes
        row = [count(accounts), count(processes), slots, *["%.0f" % mb for mb in memory], significant(1000 * rest), significant(1000 * busy),
               significant(ledger.megabytes()), verdict(ledger.reads_below(folder), 2 * accounts)]
        return row, 1000 * rest, 1000 * busy, ledger.losses()


def accounts(bench, folder):
    make_files(folder + "/accounts", max(files for files, _, _ in ACCOUNTS))
    rows, figures, losses, lines = [], {}, [], {"resident": [], "in the kernel": []}
    for files, processes, slots in ACCOUNTS:
        row, rest, busy, lost = hold_accounts(bench, folder + "/accounts", processes, files, slots)
        rows.append(row)
        losses += lost
        lines["resident"].append((files * processes, float(row[3])))
        lines["in the kernel"].append((files * processes, float(row[5])))
        figures.update({"accounts %d_unchanged_ms" % (files * processes): rest, "accounts %d_changed_ms" % (files * processes): busy,
                        "accounts %d_resident_mb" % (files * processes): float(row[3])})
    columns = ["open accounts", "processes", "`--max-accounts`", "resident, MB", "at most, MB", "BPF maps, MB", "CPU of an interval, none used, ms",
               "all used once, ms", "database, MB", "operations in the books"]
    chart = Chart("scaling-accounts", "Memory for open accounts", "open accounts", "MB", lines, log_x=True, log_y=True)
    notes = ["An interval is 1 s. The CPU time with all used is that of both threads, until every row is in SQLite; the database has two rows of "
             "io for each account."]
    return Table("scaling accounts", columns, rows), chart, notes + lost_notes("accounts", losses), figures


def with_processes(bench, folder, n, losses):
    """(percent of a core, MB resident, operations made, in the books)"""
    with Load(bench, folder, n, n, PROCESSES_RATE, LOAD_SECONDS) as load:
        with Recorder(bench, bench.scratch) as recorder:
            made = load.turn()[0]
            until_quiet(recorder)
            before = run_seconds(recorder.pid)
            operations_made, seconds, _ = load.turn()
            used, memory = run_seconds(recorder.pid) - before, resident_mb(recorder.pid)
    with Ledger(recorder) as ledger:
        losses += ledger.losses()
        return 100 * used / seconds, memory, made + operations_made, ledger.reads_below(folder)


def processes(bench, folder):
    make_files(folder + "/processes", max(PROCESSES))
    losses, rows, figures = [], [], {}
    found = in_turns(min(bench.rounds, 3), PROCESSES, lambda n: with_processes(bench, folder + "/processes", n, losses))
    for n in PROCESSES:
        percent, memory, made, arrived = zip(*found[n])
        rows.append([count(n), "%.2f" % median(percent), "%.0f" % median(memory), count(sum(made)), verdict(sum(arrived), sum(made))])
        figures.update({"processes %d_percent" % n: median(percent), "processes %d_missing" % n: sum(made) - sum(arrived)})
    columns = ["processes, a file each", "recorder's CPU, % of a core", "resident, MB", "operations made", "in the books"]
    notes = ["All processes together make %s reads a second, whatever their number." % count(PROCESSES_RATE)]
    return Table("scaling processes", columns, rows), notes + lost_notes("processes", losses), figures


def contention(bench, folder):
    make_files(folder + "/contention", 2, bytes(1 << 20))
    rows, figures = [], {}
    for name, nothing, floor, record in run(bench, "contention", folder + "/contention", 4 * bench.rounds + 1):
        rows.append([SITUATIONS[name], "%.0f" % float(nothing), "%.0f" % float(floor), "%.0f" % float(record)])
        figures.update({"contention %s" % name: float(record), "contention %s_floor" % name: float(floor)})
    notes = ["Each reader is on a CPU of its own, and has a descriptor and a page of its own; all figures are for one read of one of them."]
    return Table("scaling contention", ["readers", "nothing, ns", "floor adds, ns", "record adds, ns"], rows), notes, figures


def grace_notes():
    try:
        with open("/sys/kernel/rcu_expedited", encoding="ascii") as file:
            if file.read().strip() != "0":
                return ["This kernel hurries grace periods (rcu_expedited); elsewhere one takes some milliseconds, of sleep."]
    except OSError:
        pass
    return []


def drain(bench, folder):
    make_files(folder + "/drain", DRAIN_FILES)
    rows, figures, lines = [], {}, {"none used": [], "1 % used": [], "all used": []}
    for slots in DRAIN_SLOTS:
        rounds = 4 * bench.rounds + 1 if slots <= DRAIN_AIM else bench.rounds
        found = run(bench, "drain", folder + "/drain", DRAIN_FILES, slots // 1024, slots, rounds)
        cpu, wall = [float(words[1]) for words in found], [float(words[2]) for words in found]
        rows.append([count(slots), count(DRAIN_FILES * slots // 1024), *["%.2f" % ms for ms in cpu], "%.2f" % wall[0], "%.2f" % wall[2]])
        for line, ms in zip(lines.values(), cpu):
            line.append((slots, ms))
        if slots == DRAIN_AIM:
            figures.update({"drain unchanged_ms": cpu[0], "drain changed_ms": cpu[2]})
    columns = ["slots", "accounts", "none used: CPU, ms", "1 % used", "all used", "none used: start to end, ms", "all used"]
    chart = Chart("scaling-drain", "CPU time to end an interval", "slots", "ms", lines, log_x=True, log_y=True)
    notes = ["CPU time is that of the thread that captures, in the pipeline's own code: it ends the interval, reads the ring buffer, looks over the "
             "accounts, and makes the rows. From start to end is longer by the grace period, in which the thread sleeps. Writing the rows is another thread's "
             "affair, and not in these figures."]
    return Table("scaling drain", columns, rows), chart, notes + grace_notes(), figures


def see(bench, folder, state, what, n, losses):
    """(ns of wall time, CPU ns, CPU ns of the recorder), for one."""
    if state == "nothing":
        return (*map(float, run(bench, "sights", folder, what, n)[0]), 0)
    if state == "floor":
        with Floor(bench):
            return (*map(float, run(bench, "sights", folder, what, n)[0]), 0)
    with Recorder(bench, bench.scratch, "--max-accounts", "256k") as recorder:
        until_quiet(recorder)
        before = run_seconds(recorder.pid)
        seen = run(bench, "sights", folder, what, n)[0]
        until_quiet(recorder)
        own = run_seconds(recorder.pid) - before
    with Ledger(recorder) as ledger:
        losses += ledger.losses()
        if ledger.reads_below(folder) != n:
            losses.append("reads of %s in the books: %d of %d" % (what, ledger.reads_below(folder), n))
    return (*map(float, seen), 1e9 * own / n)


def sights(bench, folder):
    make_files(folder + "/sights", SIGHT_FILES)
    rows, losses, figures = [], [], {}
    titles = {"files": ("file", SIGHT_FILES, "open, read of 1 byte and close of a file"),
              "processes": ("process", SIGHT_PROCESSES, "vfork, read of 1 byte and end of a process")}
    for what, (one, n, title) in titles.items():
        found = in_turns(bench.rounds, ("nothing", "floor", "record"), lambda state: see(bench, folder + "/sights", state, what, n, losses))
        added = {state: [median([a[i] - b[i] for a, b in zip(found[state], found["nothing"])]) / 1000 for i in range(2)]
                 for state in ("floor", "record")}
        own = median([turn[2] for turn in found["record"]]) / 1000
        rows.append([title, count(n), "%.2f" % (median([turn[0] for turn in found["nothing"]]) / 1000), "%+.2f" % added["floor"][0],
                     "%+.2f" % added["record"][0], "%+.2f" % added["record"][1], "%.2f" % own])
        figures.update({"sight %s_us" % one: added["record"][0], "sight %s_floor_us" % one: added["floor"][0],
                        "sight %s_own_us" % one: own})
    columns = ["first sight", "how many", "nothing, µs", "floor, µs", "record, µs", "of it CPU of the program, µs", "CPU of the recorder for each, µs"]
    notes = lost_notes("first sights", losses) or ["Nothing was lost, and each read is in the books."]
    figures["sight losses"] = len(losses)
    return Table("scaling sights", columns, rows), notes, figures


def measure(bench):
    result = Result("scaling", [])
    with memory_folder(bench) as folder:
        for one in (operations, accounts, processes, contention, drain, sights):
            say("bench: scaling: %s" % one.__name__)
            try:
                table, *charts, notes, figures = one(bench, folder)
            except Unavailable as reason:
                result.notes.append("Not measured: %s: %s." % (one.__name__, reason))
                continue
            result.tables.append(table)
            result.charts += charts
            result.notes += notes
            result.figures.update(figures)
    if not result.tables:
        raise Unavailable(result.notes[0])
    return result
