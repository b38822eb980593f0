# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The same reads under ioledger and under other tools: what a read costs, what arrives, and with which names."""
import collections
import contextlib
import dataclasses
import glob
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Callable

import audit
from benchlib import (Attached, Chart, Floor, Recorder, Result, ROOT, Table, Unavailable, children_seconds, in_turns, median, run_seconds,
                      say, significant)

FILES, FIRST_FD = 256, 100  # FIRST_FD is that of readers.c
DEBUGFS = "/sys/kernel/debug"
FILE_BYTES = 60_000  # the most reads of a file
SECONDS = 2  # of a run
SHORT_CALLS = 20  # of each file, in the run that tells what a tool uses whatever happens
MANY, SOME, FEW = 10**9, 1_000_000, 200_000  # the most calls of a run: of those who count, print, log
LOSS = re.compile(r"\blost \d+ \w+", re.IGNORECASE)

# $file is found in the table of descriptors, which is all that a tracepoint of a read gives.
BPFTRACE_FILE = """
    $task = (struct task_struct *)curtask;
    $file = (struct file *)*($task->files->fdt->fd + %s);
"""
BPFTRACE_PAIR = "tracepoint:syscalls:sys_enter_read { @fd[tid] = args->fd; }\n" \
                "tracepoint:syscalls:sys_exit_read /@fd[tid]/ { %s delete(@fd[tid]); }\n"
BPFTRACE = {
    "fd": BPFTRACE_PAIR % "@bytes[pid, comm, @fd[tid]] = sum(args->ret);",
    "calls": "tracepoint:syscalls:sys_enter_read { %s @calls[pid, comm, str($file->f_path.dentry->d_name.name)] = count(); }" %
             BPFTRACE_FILE % "args->fd",
    "name": BPFTRACE_PAIR % (BPFTRACE_FILE % "@fd[tid]" +
                             "@bytes[pid, comm, str($file->f_path.dentry->d_name.name)] = sum(args->ret);"),
    "each": BPFTRACE_PAIR % (BPFTRACE_FILE % "@fd[tid]" +
                             r'printf("%d %s %s %d\n", pid, comm, str($file->f_path.dentry->d_name.name), args->ret);'),
}

REMARKS = [
    "CPU is that of program and tool together, without what a tool uses in a short run too; what is lost costs nothing, so that "
    "a tool that loses much looks cheaper than it is. auditd looks at the one program only, with CPU of the kernel's thread for "
    "it; the others, but for strace, at the whole machine. fatrace's kernel part merges equal events, and /dev/zero is none of its "
    "files.",
    "Once audit has been enabled, every task forked later pays for each system call until the machine is booted anew, unless "
    "the rule `-a never,task` is set; the bench sets it and leaves it. A baseline measured without it is wrong."]


@dataclasses.dataclass
class Run:
    pid: int
    calls: int
    ns: float  # of a call
    cpu_ns: float  # of a call; in the end with what the tool used for it
    program_ns: float  # CPU of the whole program
    tool_ns: float = 0  # CPU of the tool from being attached to its end
    labels: dict = dataclasses.field(default_factory=dict)  # the name of a file, as the tool tells it: calls
    told: str = ""  # the tool's own word on losses


@dataclasses.dataclass
class Tool:
    name: str
    package: str
    command: Callable  # of the bench: arguments
    labels: Callable  # of the bench, the pid and what was said: {file: calls}
    most: int = MANY
    sees: str = "read"
    around: bool = False  # it starts the program itself
    sizes: bool = True  # it tells how much was read, not only how often


def wait_until_idle(process, least, most):
    """Until it uses less than 5 % of a CPU: it is attached, or has read what waited for it."""
    end, used = time.monotonic() + most, []
    time.sleep(least)
    while time.monotonic() < end and process.poll() is None:
        used.append(run_seconds(process.pid))
        if len(used) > 5 and used[-1] - used[-6] < 0.05 * 0.5:
            return
        time.sleep(0.1)


def counted(pattern, lines, flags=0):
    """{what the pattern's last group matched: number of lines, or the sum of the group `n`}"""
    found = collections.Counter()
    for match in re.finditer(pattern, lines, flags | re.MULTILINE):
        found[match["file"]] += int(match["n"]) if "n" in match.groupdict() else 1
    return found


def output(bench, name):
    return os.path.join(bench.scratch, name)


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def perf_script(bench, pid):
    done = subprocess.run(["perf", "script", "-i", output(bench, "perf.data"), "--pid", str(pid), "-F", "trace"],
                          capture_output=True, text=True, errors="replace", check=False)
    return {str(int(fd, 16)): n for fd, n in counted(r"fd: 0x(?P<file>\w+)", done.stdout).items()}


def tools():
    """Those that have a command here are tried; the others, and those that fail, are listed with the reason."""
    def bpftrace(kind):
        return lambda bench: ["bpftrace", "-e", BPFTRACE[kind]]

    def summed(map_name):
        return lambda bench, pid, said: counted(r"^@%s\[%d, readers, (?P<file>.*)\]: (?P<n>\d+)" % (map_name, pid), said)

    return [
        Tool("bpftrace, bytes by fd", "bpftrace", bpftrace("fd"), summed("bytes")),
        Tool("bpftrace, calls by name", "bpftrace", bpftrace("calls"), summed("calls"), sizes=False),
        Tool("bpftrace, bytes by name", "bpftrace", bpftrace("name"), summed("bytes")),
        Tool("bpftrace, each read", "bpftrace", bpftrace("each"),
             lambda bench, pid, said: counted(r"^%d readers (?P<file>.*) 1$" % pid, said), SOME),
        Tool("fatrace", "fatrace", lambda bench: ["env", "-C", bench.scratch, "fatrace", "-c", "-f", "R"],
             lambda bench, pid, said: counted(r"^readers\(%d\): \w+ +(?P<file>.*)$" % pid, said), sizes=False),
        Tool("perf record", "linux-perf", lambda bench: ["perf", "record", "-a", "-e", "syscalls:sys_enter_read", "-o",
                                                         output(bench, "perf.data")],
             lambda bench, pid, said: perf_script(bench, pid), SOME),
        Tool("perf trace", "linux-perf", lambda bench: ["perf", "trace", "-a", "-e", "read"],
             lambda bench, pid, said: counted(r"readers/%d read\(fd: (?:\d+<(?=/))?(?P<file>[^>,]*)" % pid, said), FEW),
        Tool("strace", "strace", lambda bench: ["strace", "-f", "-y", "-e", "trace=read,pread64", "-o", output(bench, "strace")],
             lambda bench, pid, said: counted(r"^%d +read\(\d+<(?P<file>[^>]*)>.*= 1$" % pid, text_of(output(bench, "strace"))),
             around=True),
        Tool("opensnoop", "libbpf-tools", lambda bench: ["opensnoop"],
             lambda bench, pid, said: counted(r"^%d +readers +\d+ +0 (?P<file>.*)$" % pid, said), sees="open"),
        Tool("execsnoop", "libbpf-tools", lambda bench: ["execsnoop"], lambda bench, pid, said: {}, sees="exec"),
        Tool("filetop", "libbpf-tools", lambda bench: ["filetop"], lambda bench, pid, said: {}, sees="top"),
    ]


def start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(process):
    """The run of readers.c that this process is, or has started."""
    try:
        out = process.communicate(timeout=300)[0]
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    fields = out.split()
    if process.returncode != 0 or len(fields) != 5:
        raise Unavailable("readers fails, status %d" % process.returncode)
    return Run(int(fields[0]), int(fields[1]), float(fields[2]), float(fields[3]), 1e9 * float(fields[4]))


def readers(bench, mode, n):
    return [bench.program("readers"), mode, str(n), output(bench, "files"), str(FILES)]


def complaint(said):
    """The first line that tells why; what bpftrace says of a limit it can do without is not it."""
    return next((line.strip() for line in said.splitlines() if line.strip() and "RLIMIT" not in line), "no message")


def run_beside(attached, begin, command, labels):
    """Runs the readers while the tool is attached, and ends the tool: what it does until its end is its cost too."""
    if attached.process.poll() is not None:
        raise Unavailable(complaint(attached.said()))
    before = run_seconds(attached.pid)
    run = finish(begin(command))
    wait_until_idle(attached.process, 0.3, 30)
    if attached.process.poll() is not None:
        raise Unavailable("ended early: " + complaint(attached.said()))
    others = children_seconds()
    attached.stop()
    run.tool_ns = 1e9 * (children_seconds() - others - before)
    said = attached.said()
    told = LOSS.search(said)
    run.told = told.group() if told else ""
    run.labels = labels(run.pid, said)
    return run


def run_tool(bench, tool, mode, n):
    if not tool.around:
        with Attached(tool.command(bench), "") as attached:
            wait_until_idle(attached.process, 1, 15)
            return run_beside(attached, start, readers(bench, mode, n), lambda pid, said: tool.labels(bench, pid, said))
    before = children_seconds()
    run = finish(start(tool.command(bench) + readers(bench, mode, n)))
    run.tool_ns = 1e9 * (children_seconds() - before) - run.program_ns
    run.labels = tool.labels(bench, run.pid, "")
    return run


def run_recorder(bench, mode, n):
    with Recorder(bench, bench.scratch) as recorder:
        time.sleep(1)
        run = run_beside(recorder, start, readers(bench, mode, n), lambda pid, said: {})
    with contextlib.closing(sqlite3.connect(recorder.path)) as db:
        run.labels = dict(db.execute("SELECT path, sum(read_ops) FROM io_named WHERE pid = ? GROUP BY path", (run.pid,)))
        lost = db.execute("SELECT sum(lost) FROM loss").fetchone()[0]
    run.told = "lost %d" % lost if lost else ""
    return run


def run_audited(bench, mode, n):
    thread = audit.kernel_thread()
    with audit.Audit(output(bench, "audit"), bench.program("readers")) as daemon:
        wait_until_idle(daemon.process, 0.5, 15)
        before = run_seconds(thread) if thread else 0
        run = run_beside(daemon, daemon.start, readers(bench, mode, n), lambda pid, said: {})
        run.tool_ns += 1e9 * (run_seconds(thread) - before) if thread else 0
        run.told = "lost %d" % daemon.lost() if daemon.lost() else ""
    for path in glob.glob(output(bench, "audit/audit.log*")):
        found = counted(r"^type=SYSCALL .* exit=1 a0=(?P<file>\w+) .* pid=%d " % run.pid, text_of(path))
        run.labels.update({str(int(fd, 16)): run.labels.get(str(int(fd, 16)), 0) + n for fd, n in found.items()})
        os.unlink(path)
    return run


class States:
    """Runs states by name, each with as many calls as a run of SECONDS needs; keeps why one cannot run."""

    def __init__(self, bench, mode):
        self.bench, self.mode, self.reasons, self.calls = bench, mode, {}, {}
        self.tools = {tool.name: tool for tool in tools()}

    def once(self, state, n):
        program = "auditd" if state == "auditd" else self.tools[state].command(self.bench)[0] if state in self.tools else "sh"
        if not shutil.which(program):
            raise Unavailable("%s is not installed" % program)
        if state == "nothing":
            return finish(start(readers(self.bench, self.mode, n)))
        if state == "floor":
            with Floor(self.bench):
                return finish(start(readers(self.bench, self.mode, n)))
        if state == "ioledger":
            return run_recorder(self.bench, self.mode, n)
        if state == "auditd":
            return run_audited(self.bench, self.mode, n)
        return run_tool(self.bench, self.tools[state], self.mode, n)

    def run(self, state):
        """None for what cannot run, now or before. A tool's CPU for a call is what a run uses more than a short one does."""
        if state in self.reasons:
            return None
        try:
            run = self.once(state, self.calls[state])
            if run.tool_ns:
                short = self.once(state, SHORT_CALLS)
                run.cpu_ns += (run.tool_ns - short.tool_ns) / (run.calls - short.calls)
            return run
        except Unavailable as reason:
            self.reasons[state] = str(reason)
        return None

    def calls_for(self, state, seconds):
        """Calls of each file, so that a run takes so long, by one with as many as before."""
        try:
            if state in self.reasons:
                return 0
            trial = self.once(state, self.calls.get(state, SHORT_CALLS))
        except Unavailable as reason:
            self.reasons[state] = str(reason)
            return 0
        most = FEW if state == "auditd" else self.tools[state].most if state in self.tools else MANY
        return int(min(max(min(seconds * 1e9 / trial.ns, most) / (FILES + 1), 2 * SHORT_CALLS), FILE_BYTES))

    def in_turns(self, states):
        """{state: [Run]} of those that run."""
        for state in states:
            for seconds in (SECONDS / 10, SECONDS):  # the first calls are slower than those that follow
                self.calls[state] = self.calls_for(state, seconds)
            say("bench: others: %s: %s" % (state, self.reasons.get(state, "%d calls of each file" % self.calls[state])))
        found = in_turns(self.bench.rounds, [state for state in states if state not in self.reasons], self.run)
        return {state: runs for state, runs in found.items() if None not in runs}


class Known:
    """What the workload is known to have done: each of `names`, in one of three spellings, `calls` times."""

    def __init__(self, bench):
        paths = [output(bench, "files/%04d" % i) for i in range(FILES)] + ["/dev/zero"]
        self.spellings = {"full path": set(paths), "last component": {os.path.basename(path) for path in paths},
                          "descriptor only": {str(FIRST_FD + i) for i in range(FILES + 1)}}

    def found(self, run):
        """(spelling, calls that arrived, whether none arrived under a wrong name)"""
        most = run.calls // (FILES + 1)
        by_spelling = {spelling: [n for label, n in run.labels.items() if label in names]
                       for spelling, names in self.spellings.items()}
        spelling = max(by_spelling, key=lambda name: sum(by_spelling[name]))
        hits = by_spelling[spelling]
        return spelling if hits else "none", sum(hits), all(n <= most for n in hits)


def share(part, whole):
    """In percent; 100 only when it is all, and no more than all."""
    if part == whole:
        return "100 %"
    text = "%.3g" % (100 * part / whole)
    return ("99.99 %" if part < whole else "%.2f %%" % max(100 * part / whole, 100.01)) if text == "100" else text + " %"


@dataclasses.dataclass
class Found:
    """What the rounds of one state come to."""
    added_ns: float
    added_cpu_ns: float
    arrived: float
    whole: bool  # everything arrived, in every round, under the right name
    spelling: str
    right: bool
    told: str

    @classmethod
    def of(cls, known, runs, bases):
        seen = [known.found(run) for run in runs]
        return cls(median([run.ns - base.ns for run, base in zip(runs, bases)]),
                   median([run.cpu_ns - base.cpu_ns for run, base in zip(runs, bases)]),
                   median([n / run.calls for run, (_, n, _) in zip(runs, seen)]),
                   all(right and n == run.calls for run, (_, n, right) in zip(runs, seen)),
                   seen[0][0], all(right for _, _, right in seen), next((run.told for run in runs if run.told), ""))


def version(bench, state):
    if state == "ioledger":
        return subprocess.run([bench.ioledger, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    package = next((tool.package for tool in tools() if tool.name == state), state)
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True, check=False)
    return re.sub(r"^\d+:|[-+].*$", "", done.stdout) or "?"


def tells_sizes(state):
    return next((tool.sizes for tool in tools() if tool.name == state), True)


def row(bench, state, found, own):
    costs = [state, version(bench, state) if state != "floor" else "", significant(found.added_ns), significant(found.added_cpu_ns),
             "%.1f" % (found.added_cpu_ns / own.added_cpu_ns)]
    if state == "floor":
        return costs + [""] * 5
    sees = next((tool.sees for tool in tools() if tool.name == state), "read")
    if sees != "read":
        return costs + ["sees %ss only" % sees, "", "", "yes", "opened files" if sees == "open" else "none"]
    told = "" if found.whole else "yes" if found.told else "no"
    return costs + [share(found.arrived, 1), "bytes" if tells_sizes(state) else "calls only", told, "yes" if found.arrived else "no",
                    found.spelling + ("" if found.right else ", some too often")]


def tables(bench, found, opened, reasons):
    reads = Table("others", ["tool", "version", "adds to a read, ns", "CPU a read, ns", "times ioledger's", "arrives", "counts",
                             "tells of what is lost",
                             "names the process", "names the file"],
                  [row(bench, state, one, found["ioledger"]) for state, one in found.items()])
    opens = Table("others opens", ["tool", "adds to an open and close, ns", "CPU, ns", "opens that arrive"],
                  [[state, significant(one.added_ns), significant(one.added_cpu_ns),
                    share(one.arrived, 1) if state == "opensnoop" else "execs only" if state == "execsnoop" else ""]
                   for state, one in opened.items()])
    absent = Table("others absent", ["tool", "why it does not run here"], [[tool, reason] for tool, reason in reasons.items()])
    return [reads, opens] + ([absent] if reasons else [])


def cpu_ratio(state, runs):
    """How many times the CPU of ioledger a read costs, in the median of the rounds."""
    return median([(other.cpu_ns - nothing.cpu_ns) / (own.cpu_ns - nothing.cpu_ns)
                   for other, own, nothing in zip(runs[state], runs["ioledger"], runs["nothing"])])


def against(found, runs):
    """{figure: ratio} and the sentences on the cheapest other tools that name process and file and lose nothing."""
    notes, figures = [], {}
    for figure, spellings, sizes, what in (
            ("cheapest_ratio", ("full path", "last component"), True, "the file, by its last component at least, counts bytes"),
            ("cheapest_calls_ratio", ("full path", "last component"), False, "the file, by its last component at least, counts calls or bytes"),
            ("cheapest_full_path_ratio", ("full path",), True, "the file by its full path, counts bytes")):
        whole = [state for state in runs if state in found and state != "ioledger" and found[state].whole and
                 found[state].spelling in spellings and (tells_sizes(state) or not sizes)]
        if not whole:
            notes.append("No other tool that runs here names the process and %s and loses nothing." % what)
            continue
        cheapest = min(whole, key=lambda state: found[state].added_cpu_ns)
        ratio = figures["others " + figure] = cpu_ratio(cheapest, runs)
        notes.append("The cheapest other tool that names the process and %s and loses nothing is \"%s\": %.1f times the CPU of "
                     "ioledger for a read." % (what, cheapest, ratio))
    return figures, notes


def getppid_ns(bench):
    """The quickest of some fresh processes."""
    return min(float(re.search(r"getppid (\S+)", subprocess.run(
        [bench.program("calls"), "200000", output(bench, "files/0000")], check=True, capture_output=True, text=True).stdout)[1])
               for _ in range(3))


def make_files(bench):
    os.mkdir(output(bench, "files"))
    for i in range(FILES):
        with open(output(bench, "files/%04d" % i), "wb") as file:
            file.write(b"x" * FILE_BYTES)


def measure_all(bench):
    make_files(bench)
    before = getppid_ns(bench)
    known, states = Known(bench), States(bench, "read")
    names = [tool.name for tool in tools()]
    runs = states.in_turns(["nothing", "floor", "ioledger", *names])
    if "ioledger" not in runs:
        raise Unavailable("ioledger: " + states.reasons["ioledger"])
    found = {state: Found.of(known, runs[state], runs["nothing"]) for state in runs if state != "nothing"}
    opens = States(bench, "open")
    opened = opens.in_turns(["nothing", "floor", "ioledger", "opensnoop", "execsnoop"])
    opened = {state: Found.of(known, opened[state], opened["nothing"]) for state in opened if state != "nothing"}
    audited = states.in_turns(["nothing", "auditd"])  # last: see audit.py
    if "auditd" in audited:
        found["auditd"] = Found.of(known, audited["auditd"], audited["nothing"])
    after = getppid_ns(bench)
    figures, notes = against(found, runs)
    notes += REMARKS
    if after > 1.15 * before:
        notes.append("After audit a getppid of a fresh process takes %.0f ns, before %.0f: what is measured after it on this boot "
                     "is wrong." % (after, before))
    for state, one in found.items():
        figures.update({"others %s added_ns" % state: one.added_ns, "others %s cpu_ns" % state: one.added_cpu_ns})
    chart = Chart("others", "CPU that one read of 1 byte costs in addition, tool and program together", "", "ns",
                  {"added": sorted([(state, max(one.added_cpu_ns, 1)) for state, one in found.items()], key=lambda bar: bar[1])},
                  bars=True, log_y=True)
    return Result("others", tables(bench, found, opened, states.reasons), [chart], notes, figures)


@contextlib.contextmanager
def tracing_mounted():
    """bpftrace looks for tracepoints below debugfs, which a machine without systemd has not mounted."""
    mine = not os.path.isdir(DEBUGFS + "/tracing/events") and subprocess.run(["mount", "-t", "debugfs", "none", DEBUGFS], check=False).returncode == 0
    try:
        yield
    finally:
        if mine:
            subprocess.run(["umount", "-R", DEBUGFS], check=False)


def measure(bench):
    """A signal that would end the bench at once must not leave tools and rules behind."""
    subprocess.run([os.path.join(ROOT, "tools/install-deps"), "others"], check=True)
    old = signal.signal(signal.SIGTERM, lambda *unused: sys.exit(143))
    try:
        with tracing_mounted():
            return measure_all(bench)
    finally:
        signal.signal(signal.SIGTERM, old)
