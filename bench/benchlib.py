# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What the parts of the bench share: the recorder and the floor as states, CPU time, tables, charts, results on disk.

A part is a module part_NAME.py with `measure(bench)`, which returns a Result. What it compares it measures in turns within one
run, each state `bench.rounds` times, and tells medians: machines drift, ratios of one run do not.
"""
import contextlib
import dataclasses
import json
import math
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time

# A shell without job control has what it starts in the background ignore SIGINT, and so would the floor that is started from here, and ended by it.
signal.signal(signal.SIGINT, signal.default_int_handler)

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
READY_SECONDS = 120
ROUNDS = 5
MIN_ROUNDS = 6  # of fewer ratios even the lowest and the highest do not hold their median with 95 % certainty
PARTS = ("calls", "work", "turns", "hooks", "others", "scaling", "store", "questions", "outage", "clickhouse", "month")


class Unavailable(Exception):
    """Something cannot run on this machine; the message says why."""


@dataclasses.dataclass
class Table:
    """`name` is that of its place in docs/PERFORMANCE.md; cells are text, or numbers as they shall be shown."""
    name: str
    columns: list
    rows: list

    def markdown(self):
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


@dataclasses.dataclass
class Chart:
    """Lines over x, or with `bars` a bar for each (label, value) of its one series; charts.py draws it."""
    name: str  # docs/performance/NAME.svg
    title: str
    x_label: str
    y_label: str
    series: dict  # name: [(x, y), ...]
    bars: bool = False
    log_x: bool = False
    log_y: bool = False


@dataclasses.dataclass
class Result:
    part: str
    tables: list
    charts: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)  # sentences below the tables
    figures: dict = dataclasses.field(default_factory=dict)  # name: number, for baselines and tests
    date: str = ""
    machine: str = ""
    rounds: int = ROUNDS  # of the run


@dataclasses.dataclass
class Bench:
    build: str
    rounds: int  # of each state, for whatever takes seconds; quicker things make more
    scratch: str  # a folder of the part's own, on a real disk
    ledger: str = None  # a folder for the ledger of part month, which stays

    def program(self, name):
        return os.path.join(self.build, "bench", name)

    @property
    def ioledger(self):
        return os.path.join(self.build, "ioledger")


def machine():
    with open("/proc/meminfo", encoding="ascii") as info:
        memory = int(info.readline().split()[1]) / 1048576
    with open("/etc/os-release", encoding="utf-8") as release:
        name = next(line.split("=")[1].strip().strip('"') for line in release if line.startswith("PRETTY_NAME"))
    return "%d cores, %.0f GB, %s, Linux %s" % (os.cpu_count(), memory, name, ".".join(platform.release().split(".")[:2]))


def median(values):
    return statistics.median(values)


def median_interval(values):
    """The lowest and the highest that the median may be, with 95 % certainty at least: of n sorted values those of rank k and n + 1 - k.

    Each value is above the true median or below it, as a coin falls, so that fewer than k are below with the sum of binomial(n, i) for
    i < k of 2 ** n cases, and fewer than k above with as many; k is the largest with which both together are one in twenty at most. Of
    fewer than MIN_ROUNDS values there is none: then it is the lowest and the highest value."""
    count = len(values)
    ranks = [rank for rank in range(1, count // 2 + 1) if 20 * 2 * sum(math.comb(count, below) for below in range(rank)) <= 2 ** count]
    rank = max(ranks, default=1)
    return sorted(values)[rank - 1], sorted(values)[count - rank]


def significant(value, digits=3):
    """A number as a reader wants it: three digits that count, thousands separated."""
    if value == 0:
        return "0"
    text = "%.*g" % (digits, value)
    number = float(text)
    return "{:,.0f}".format(number) if abs(number) >= 10 ** (digits - 1) or "e" in text else text


def percent(ratio):
    """What a ratio of times adds, in percent: 1.03 is +3.0 %."""
    return "%+.1f %%" % (100 * (ratio - 1))


def percent_interval(ratios):
    """The median of ratios and in parentheses its interval, in percent: +3.0 % (+1.2 to +4.1)."""
    return "%s (%s)" % (percent(median(ratios)), " to ".join("%+.1f" % (100 * (ratio - 1)) for ratio in median_interval(ratios)))


def cpu_seconds(pid):
    """(user time, system time) of a process and of its children that it has waited for."""
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    user, system, children_user, children_system = (int(field) / os.sysconf("SC_CLK_TCK") for field in fields[11:15])
    return user + children_user, system + children_system


def status_mb(pid, name):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name)) / 1024


def resident_mb(pid):
    return status_mb(pid, "VmRSS")


def peak_mb(pid):
    return status_mb(pid, "VmHWM")


def run_seconds(pid):
    """CPU time of all threads of a process, finer than the ticks of cpu_seconds(); by the clock that clock_getcpuclockid(3) gives."""
    return time.clock_gettime(~pid << 3 | 2)


def children_seconds():
    """CPU time of the children that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def descriptors(pid):
    """What the kernel tells of each descriptor of a process: {word: value, as text}."""
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        with contextlib.suppress(FileNotFoundError), open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii", errors="replace") as info:
            yield dict(line.rstrip("\n").split(":", 1) for line in info if ":" in line)


def map_mb(pid):
    """Kernel memory of the BPF maps that a process holds."""
    return sum({int(words["map_id"]): int(words["memlock"]) for words in descriptors(pid) if "map_id" in words}.values()) / 1048576


def hook_times(pid):
    """{id: (seconds, runs)} of the BPF programs that a process holds, as long as the kernel keeps statistics of them."""
    return {int(words["prog_id"]): (int(words["run_time_ns"]) / 1e9, int(words["run_cnt"])) for words in descriptors(pid) if "run_time_ns" in words}


def drop_idle_time():
    """Lets what the last state left behind finish: written pages, ended processes."""
    os.sync()


class Attached:
    """A program in the background that says on stderr or stdout, in a line with `ready` in it, that it is attached."""

    def __init__(self, command, ready, name=None):
        self.command = command
        self.log = tempfile.NamedTemporaryFile(prefix="ioledger-bench-", suffix=".log")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)
        self.pid = self.process.pid
        self.name = name or os.path.basename(command[0])
        try:
            self.wait_until_ready(ready)
        except BaseException:  # Ctrl-C too: nobody else knows of it yet
            self.process.kill()
            self.process.wait()
            self.log.close()
            raise

    def wait_until_ready(self, ready):
        end = time.monotonic() + READY_SECONDS
        while ready not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                raise Unavailable("%s does not start: %s" % (self.name, (self.said().strip() or "no message").split("\n")[-1]))
            time.sleep(0.01)

    def said(self):
        with open(self.log.name, encoding="utf-8", errors="replace") as log:
            return log.read()

    def stop(self):
        """Ends it as Ctrl-C would; its exit status, None when it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:  # also when a signal ends the waiting
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
        self.log.close()


class Recorder(Attached):
    """`ioledger record`, into a SQLite database of its own, `path`, in `folder`."""

    def __init__(self, bench, folder, *options):
        self.path = "%s/ledger-%d.db" % (folder, time.monotonic_ns())
        super().__init__([bench.ioledger, "record", "--db", "sqlite:" + self.path, *options], "recording to", "ioledger")


class Floor(Attached):
    """An empty BPF program on the hook that ioledger uses for system calls."""

    def __init__(self, bench):
        super().__init__([bench.program("floor")], "attached", "floor")


def in_turns(rounds, states, measure):
    """{state: [measure(state), ...]}: every state once in each round, in an order that turns around from round to round."""
    found = {state: [] for state in states}
    for turn in range(rounds):
        for state in states if turn % 2 == 0 else reversed(states):
            found[state].append(measure(state))
    return found


def paired_ratios(found, state, base):
    """The ratios of `state` to `base`, each within its round."""
    return [a / b for a, b in zip(found[state], found[base])]


def paired_ratio(found, state, base):
    return median(paired_ratios(found, state, base))


def write_file(path, text):
    """All of it, or nothing: nobody sees half a file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o644
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=os.path.dirname(path), prefix=".", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def results_path(build, part):
    return os.path.join(build, "bench", "results", part + ".json")


def save(bench, result):
    result.rounds = bench.rounds
    result.date = time.strftime("%Y-%m-%d")
    result.machine = machine()
    write_file(results_path(bench.build, result.part), json.dumps(dataclasses.asdict(result), indent=1) + "\n")


def load(build, part):
    """The Result that was saved last, or None."""
    path = results_path(build, part)
    if not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    data["tables"] = [Table(**table) for table in data["tables"]]
    data["charts"] = [Chart(**chart) for chart in data["charts"]]
    return Result(**data)


def say(text):
    print(text, file=sys.stderr, flush=True)
