#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""`top` shows what was done, on terminals of 80x24 and 200x50, and leaves them as they were whatever the files are called."""
import csv
import fcntl
import io
import json
import os
import re
import select
import signal
import subprocess
import threading

import livelib as live
from screenlib import Terminal
from worklib import HOSTILE, Worker, new_file


class Busy:
    """Has a worker read and write a set of files over and over, so that they stay on the page."""

    def __init__(self, worker, work):
        self.worker, self.work = worker, work
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stop.wait(0.05):
            for order in self.work:
                self.worker.do(*order)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Frames:
    """`top --batch`, whose output is read as it comes."""

    def __init__(self, *options):
        self.process = subprocess.Popen([live.IOLEDGER, "top", "--batch", *options], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.out = b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        while True:
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return
            self.out += piece

    def wait_for(self, text):
        live.wait_for(lambda: text in self.out or self.process.poll() is not None, "%r from top" % text)
        if self.process.poll() is not None:
            raise live.Failure("top has ended: %s" % self.process.stderr.read())

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.thread.join(10)
        return self.process.returncode, self.process.stderr.read()


def batch(tap, scratch):
    """The sums of all frames are what was done, to the byte."""
    worker = Worker()
    first, known, other, last = (new_file(scratch, name) for name in ("first", "known", "other", "last"))
    frames = Frames("--pid", str(worker.pid), "--interval", "100ms", "--rows", "100", "--format", "json")

    def begun():
        worker.do("read", 1, 1, first)
        return first in frames.out
    live.wait_for(begun, "the first frame")
    worker.do("read", 1000, 100, known)
    worker.do("write", 500, 10, known)
    worker.do("read", 3, 4096, other)
    worker.do("error", 7, 0, scratch)
    worker.do("read", 1, 1, last)
    frames.wait_for(last)
    status, errors = frames.end()
    tap.equal((status, errors), (0, b""), "top --batch ends with Ctrl-C, and without a word")
    rows = json.loads(frames.out)

    def sums(path):
        of_path = [r for r in rows if r["path"] == os.fsdecode(path) and r["pid"] == worker.pid]
        return tuple(sum(r[c] for r in of_path) for c in ("read_ops", "read_bytes", "write_ops", "write_bytes", "errors"))
    tap.equal(sums(known), (1000, 100000, 500, 5000, 0), "reads and writes of a file, over all frames")
    tap.equal(sums(other), (3, 3 * 4096, 0, 0, 0), "those of another one")
    tap.equal(sums(scratch)[4], 7, "errors")
    tap.ok(all(r["read_bytes_per_s"] == r["read_bytes"] * 1000 // r["interval_ms"] and
               r["ops_per_s"] == (r["read_ops"] + r["write_ops"]) * 1000 // r["interval_ms"] for r in rows),
           "rates are those of the interval")
    tap.equal({r["pid"] for r in rows}, {worker.pid}, "--pid leaves all others out")


def late_reader(tap, scratch):
    """Ctrl-C while nobody has read a frame yet: who reads it then has all of it, and who never does holds nothing up."""
    worker = Worker()
    paths = [new_file(scratch, "late%d" % i) for i in range(50)]
    for reads in (True, False):
        ours, theirs = os.pipe()
        fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)  # less than a frame
        top = subprocess.Popen([live.IOLEDGER, "top", "--batch", "--pid", str(worker.pid), "--interval", "50ms", "--rows", "100", "--format", "json"],
                               stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.PIPE)
        with Busy(worker, [("read", 1, 1, path) for path in paths]):
            live.wait_for(lambda: not select.select([], [theirs], [], 0)[1] or top.poll() is not None, "a full pipe")
        top.send_signal(signal.SIGINT)
        os.close(theirs)
        with open(ours, "rb") as pipe:
            rows = json.loads(pipe.read()) if reads else []
            tap.equal((top.wait(60), top.stderr.read()), (0, b""), "a reader who %s: Ctrl-C ends it, without a word" % ("is late" if reads else "never reads"))
        if reads:
            tap.ok({os.fsencode(row["path"]) for row in rows} >= set(paths), "a reader who is late: has whole frames", *rows[:3])


def few_accounts(tap, scratch):
    """Accounts of processes that have ended are handed out again: there are three times as many as there is room for."""
    frames = Frames("--comm", "cat", "--interval", "50ms", "--rows", "100", "--max-accounts", "64", "--format", "json")
    paths = [new_file(scratch, "file%d" % i) for i in range(50)]

    def seen(path):
        subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True)
        return path in frames.out
    for path in paths:
        live.wait_for(lambda path=path: seen(path), "%r from top" % path)
    tap.equal(frames.end(), (0, b""), "each file of 50 processes is there by its name, with room for 64 accounts")


def batch_formats(tap, scratch):
    worker = Worker()
    path = new_file(scratch, HOSTILE[0])
    options = ["--pid", str(worker.pid), "--interval", "200ms", "-n", "3"]
    with Busy(worker, [("read", 10, 100, path)]):
        table = live.run("top", "--batch", "--rows", "1", *options)
        lines = table.stdout.decode().split("\n")
        tap.equal([line.split() for line in lines].count(["PID", "PROCESS", "USER", "READ/s", "WRITE/s", "OPS/s", "FILE"]), 3,
                  "three frames with their headings")
        tap.ok(any("esc\\e[2J\\e[31mred" in line for line in lines) and b"\x1b" not in table.stdout,
               "a hostile name is escaped", table.stdout)
        text = live.run("top", "--batch", "--format", "csv", *options).stdout.decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        tap.ok(rows and text.count("interval_ms") == 1 and any(r["path"] == os.fsdecode(path) for r in rows),
               "csv has one header and the name as it is", text)
        for group, want in (("process", "python3"), ("file", "esc\\e"), ("directory", "/"), ("container", "PAIRS")):
            out = live.run("top", "--batch", "--group", group, *options).stdout.decode()
            tap.ok("by %s, most bytes first" % group in out and (want in out or group == "container"), "--group %s" % group, out)
        out = live.run("top", "--batch", "--filter", "no such name", *options).stdout.decode()
        tap.ok("PID" not in out and "0 by process and file" in out, "--filter", out)


def refusals(tap, scratch):
    del scratch
    for options, want in ((["--sort", "wirtten"], b"--sort: 'wirtten' is not a measure: did you mean 'written'?"),
                          (["--group", "x"], b"--group: 'x' is not a grouping"),
                          (["--rows", "0"], b"--rows: at least 1"), (["-n", "x"], b"--count: "), (["--output", "x"], b"--output is for what CMD prints"),
                          (["--bach"], b"did you mean '--batch'?")):
        done = live.run("top", *options)
        tap.ok(done.returncode == 2 and want in done.stderr, "top %s is refused" % " ".join(options), done)
    done = live.run("top")
    tap.ok(done.returncode == 1 and b"--batch" in done.stderr, "without a terminal it says what to do", done)


# A line of its own above the headings, in guests whose kernel does not tell of io_uring.
ALARM = "" if live.SLOWNESS == 1 else "(?:this kernel does not tell .*\n)?"


def lines_of(screen):
    return [line for line in screen.split("\n") if not (ALARM and re.match("this kernel does not tell", line))]


def in_terminal(tap, scratch, width, height):
    worker = Worker()
    folder = os.path.join(scratch, "files")
    os.makedirs(os.path.join(folder, "sub"))
    busiest, written = new_file(folder, "busiest"), new_file(os.path.join(folder, "sub"), "written")
    hostile = [new_file(folder, name) for name in HOSTILE]
    work = [("read", 40, 4000, busiest), ("write", 30, 2000, written)] + [("read", 1, 10, path) for path in hostile]
    name = "%dx%d: " % (width, height)
    with Terminal(scratch, width, height) as terminal, Busy(worker, work):
        terminal.start("%s top --pid %d --interval 200ms" % (live.IOLEDGER, worker.pid))
        screen = lines_of(terminal.wait("busiest"))
        tap.ok(re.match(("ioledger " if width >= 100 else "") + r"top \d\d:\d\d:\d\d( UTC)? .*ops/s .*read .*written .*errors/s", screen[0]), name + "title", screen[0])
        tap.ok("by process and file, most bytes first" in screen[1], name + "settings", screen[1])
        tap.ok(re.match(r" +PID PROCESS .*READ/s +WRITE/s +OPS/s .*FILE", screen[2]), name + "headings", screen[2])
        tap.ok("busiest" in screen[3] and str(worker.pid) in screen[3], name + "the busiest row is the first", *screen)
        last = terminal.screen().split("\n")[height - 1]
        tap.ok(last.startswith("q quit"), name + "the keys are on the last line", last)
        tap.ok(("USER" in screen[2]) == (width >= 100), name + "columns are those that fit", screen[2])
        terminal.wait("LAST MIN.*\n.*[\u2581-\u2588]")
        shown = terminal.wait(r"esc\\e|title\\e|rtl\\u|new\\n")
        tap.ok("owned" not in terminal.ask("#{pane_title}"), name + "no name sets the title")
        if width >= 200:
            for want in ("esc\\e[2J\\e[31mred", "title\\e]0;owned\\x07", "new\\nline\\x0dback", "rtl\\u{202e}evil\\u{2066}",
                         "c1\\u{009b}2J", "bad\\xff\\xfe", "wide日本語"):
                tap.ok(want in shown, name + "%s is shown so" % want, shown)

        terminal.keys("w")
        screen = lines_of(terminal.wait("most written first\n" + ALARM + ".*\n.*written"))
        tap.ok("sub/written" in screen[3], name + "w sorts by bytes written", *screen)
        terminal.keys("p")
        screen = lines_of(terminal.wait(r"by process, .*\n" + ALARM + ".*COMMAND"))
        tap.ok("python3" in screen[3], name + "p groups by process", *screen)
        terminal.keys("Enter")
        terminal.wait(r"by file, .* in python3 \(%d\)\n%s.*FILE" % (worker.pid, ALARM))
        terminal.keys("BSpace", "d")
        terminal.wait(r"by directory, .*\n" + ALARM + ".*PATH")
        depth = len(folder.strip("/").split("/"))
        terminal.keys(*["Enter"] * depth)  # faster than pages come
        screen = terminal.wait("in .*/files/")
        tap.ok("sub/" in terminal.wait("sub/$"), name + "d goes down into directories", screen)
        terminal.keys(*["BSpace"] * depth)
        terminal.keys("a", "r", "/")
        terminal.say("busiest %d" % worker.pid)
        screen = terminal.wait("^1 by process and file.*filter: busiest %d_" % worker.pid)
        tap.ok("busiest" in screen and "sub/written" not in screen, name + "/ filters while it is typed", screen)
        terminal.keys("BSpace", "Enter", "i")
        screen = terminal.wait("lineage")
        joined = re.sub(r"\s+", "", screen)
        tap.ok("DETAILS" in screen and "/files/busiest" in joined and re.search(r"argv.*test_top\.py.*lineage", joined) and
               "\u2192python3(%d)" % worker.pid in joined and re.search(r"startedby%d/?.*python3" % os.getpid(), joined),
               name + "details have the path, arguments and lineage", screen)
        terminal.keys("i", "Escape", " ")
        terminal.wait("PAUSED")
        frozen = terminal.screen().split("\n")[0]
        terminal.keys("o")
        screen = terminal.wait("most ops first").split("\n")
        tap.equal(screen[0][:25], frozen[:25], name + "while it is paused the time stands still")
        terminal.keys(" ", "?")
        tap.ok("Ctrl-L" in terminal.wait("KEYS"), name + "? shows the keys")
        terminal.keys("x", "Down", "Down", "End", "Home")
        terminal.wait("PID PROCESS")
        terminal.call("resize-window", "-x", "100", "-y", "30")
        screen = terminal.wait(r"\A(?=(.{,100}\n){29}q quit).{1,100}\n.{1,100}\n%s.{,100}USER +READ/s.*ERR/s.{,60}\n" % ALARM).split("\n")
        tap.ok(max(len(line) for line in screen) <= 100, name + "it follows a resize", *screen)
        terminal.call("resize-window", "-x", "20", "-y", "5")
        terminal.wait("^q quit")
        terminal.call("resize-window", "-x", str(width), "-y", str(height))
        terminal.wait("PID PROCESS.*READ/s")
        terminal.keys("q")
        screen = terminal.wait("shell> *$")
        tap.equal(terminal.modes(), terminal.before, name + "the terminal is as it was")
        tap.ok("top " not in screen.split("shell>")[-1] and "FILE" not in screen, name + "nothing is left on the screen", screen)


def small(tap, scratch):
    if live.SLOWNESS > 1:
        raise live.Skip("an emulated processor has the other size only")
    in_terminal(tap, scratch, 80, 24)


def large(tap, scratch):
    in_terminal(tap, scratch, 200, 50)


def kinds_of_terminals(tap, scratch):
    worker = Worker()
    path = new_file(scratch, "wide日本語")
    command = "%s top --pid %d --interval 200ms" % (live.IOLEDGER, worker.pid)
    with Busy(worker, [("read", 5, 100, path)]):
        for number, (env, colours, wants) in enumerate(live.some((
                ({"TERM": "screen"}, True, "wide日本語"), ({"TERM": "vt100"}, False, "wide日本語"), ({"TERM": "xterm-256color"}, True, "wide日本語"),
                ({"TERM": "screen", "NO_COLOR": "1"}, False, "wide日本語"), ({"TERM": "linux"}, True, "wide日本語"),
                ({"TERM": "screen", "LC_ALL": "C"}, True, r"wide\?\?\?")), 2)):
            place = os.path.join(scratch, str(number))
            os.mkdir(place)
            with Terminal(place, 120, 24, **env) as terminal:
                terminal.start(command)
                terminal.wait(wants)
                raw = terminal.screen("-e")
                tap.equal(bool(re.search(r"\x1b\[[0-9;]*3[1-7]", raw)), colours, "%s: colours" % env)
                tap.ok(not re.search(r"\x1b\[([0-9;]*;)?([34]8;|9[0-7]|10[0-7])", raw), "%s: no colour that a terminal of 16 or 8 does not have" % env, raw)
                terminal.keys("q")
                terminal.wait("shell> *$")
    with Terminal(scratch, 80, 24, TERM="no-such-terminal") as terminal:
        terminal.start(command)
        tap.ok("'no-such-terminal' is not known" in terminal.wait("--batch").replace("\n", " "), "an unknown terminal is told")


def ended_from_outside(tap, scratch):
    """SIGTERM leaves the terminal as q does; a terminal that goes takes it along, and what it runs."""
    with Terminal(scratch, 80, 24) as terminal:
        terminal.start("%s top & top=$!; fg" % live.IOLEDGER)
        terminal.wait("PID PROCESS.*\n.*\\d")
        shell = int(terminal.ask("#{pane_pid}"))
        pid = live.children(shell)[0][0]
        os.kill(pid, signal.SIGTERM)
        terminal.wait("shell> *$")
        tap.equal(terminal.modes(), terminal.before, "after SIGTERM the terminal is as it was")
        terminal.start("%s top -- sleep 1000" % live.IOLEDGER)
        terminal.wait("^sleep 1000: runs, ")
        pid = live.children(shell)[0][0]
        command = live.children(pid)[0][0]
    live.wait_for(lambda: live.has_ended(pid), "top to end with its terminal")
    tap.ok(True, "it ends with its terminal")
    live.wait_for(lambda: live.has_ended(command), "CMD to end with the terminal")
    tap.ok(True, "and so does CMD")


if __name__ == "__main__":
    live.main(batch, late_reader, few_accounts, batch_formats, refusals, small, large, kinds_of_terminals, ended_from_outside)
