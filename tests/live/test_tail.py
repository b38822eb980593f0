#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""`tail` tells every exec, fork, exit and event of rules, and what it could not; nobody who reads slowly, or not at all, holds anything up."""
import array
import errno
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import threading
import time

import livelib as live
from worklib import HOSTILE, Worker, new_file

READY = b"ioledger: watching"
EXECS = live.fewer(3000)
PIPE_BYTES = 65536  # that fit into a pipe
FEWEST_A_MINUTE = live.fewer(20000)  # that it must keep up with


class Tail:
    """`ioledger tail`, whose lines are read as they come unless `reads` is False."""

    def __init__(self, *options, reads=True, stdout=subprocess.PIPE, env=None):
        self.process = subprocess.Popen([live.IOLEDGER, "tail", *options], stdin=subprocess.DEVNULL, stdout=stdout,
                                        stderr=subprocess.PIPE, env=env)
        self.pid = self.process.pid
        self.out = b""
        line = self.process.stderr.readline()
        if not line.startswith(READY):
            raise live.Failure("tail: %s" % (line + self.process.stderr.read()))
        self.thread = threading.Thread(target=self._read, daemon=True)
        if reads:
            self.read()

    def read(self):
        self.thread.start()

    def _read(self):
        while True:
            piece = os.read(self.process.stdout.fileno(), 1 << 20)
            if not piece:
                return
            self.out += piece

    def lines(self):
        return self.out.split(b"\n")[:-1]

    def objects(self):
        return [json.loads(line) for line in self.lines()]

    def wait_for(self, text):
        live.wait_for(lambda: text in self.out or self.process.poll() is not None, "%r from tail" % text)
        if text not in self.out:
            raise live.Failure("tail has ended: %s" % self.process.stderr.read())

    def end(self, signum=signal.SIGINT):
        self.process.send_signal(signum)
        return self.finish()

    def finish(self):
        status = self.process.wait(60)
        if self.thread.is_alive():
            self.thread.join(10)
        return status, self.process.stderr.read()


def processes(tap, scratch):
    """Forks, execs with their arguments, failed ones, exits and signals, in the order of what happened."""
    script = os.path.join(scratch, "script.sh")
    with open(script, "w", encoding="ascii") as file:
        file.write("/bin/true one '' \"two words\"\n/nonexistent/program\nsh -c 'kill -9 $$'\nexit 3\n")
    tail = Tail("--pid", str(os.getpid()), "--json")
    shell = subprocess.Popen(["/bin/sh", script, "--\x1b[2J", "tail\u202e"], stderr=subprocess.DEVNULL)
    shell.wait()
    subprocess.run(["/bin/echo", "end-mark"], stdout=subprocess.DEVNULL, check=True)
    tail.wait_for(b'"argv":"/bin/echo end-mark"')
    tap.equal(tail.end(), (0, b""), "tail ends with Ctrl-C")
    told = tail.objects()
    own = [o for o in told if o.get("pid") == shell.pid]
    tap.equal([o["kind"] for o in own], ["fork", "exec", "exit"], "the shell's life")
    exec_line, exit_line = own[1], own[2]
    tap.equal((exec_line["argv"], exec_line["comm"], exec_line["parent_pid"], exec_line["user"]),
              ("/bin/sh %s --\x1b[2J tail\u202e" % script, "sh", os.getpid(), "root"), "its exec has everything")
    tap.equal((exec_line["exe"], exec_line["path"]), (os.path.realpath("/bin/sh"),) * 2, "and the program")
    tap.equal(exit_line["exit_code"], 3, "its status")
    of_shell = [o for o in told if o.get("parent_pid") == shell.pid]
    tap.equal([o["argv"] for o in of_shell if o["kind"] == "exec"], ["/bin/true one  two words", "sh -c kill -9 $$"], "its children's execs")
    tap.equal([o["signal"] for o in of_shell if "signal" in o], [9], "who was killed, and by what")
    failed = [o for o in told if o["kind"] == "exec_failed"]
    tap.equal([(o["path"], o["result"]) for o in failed], [("/nonexistent/program", -errno.ENOENT)], "the exec that failed")
    times = [o["ts"] for o in told if o["kind"] in ("fork", "exec", "exit")]
    tap.ok(own[0]["ts"] <= own[1]["ts"] <= own[2]["ts"] and len(times) > 8, "times go on")
    tap.ok(not any(o.get("pid") == tail.pid for o in told), "it does not tell of itself")


def text(tap, scratch):
    """Lines for people: aligned, and nothing in them that a terminal would obey."""
    del scratch
    tail = Tail("--pid", str(os.getpid()))
    subprocess.run(["/bin/echo", "\x1b]0;owned\x07", "a\nb\r", "\u202eevil", "\x9b2J"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["/bin/echo", "end-mark"], stdout=subprocess.DEVNULL, check=True)
    tail.wait_for(b"end-mark")
    tail.end()
    lines = [line.decode() for line in tail.lines()]
    execs = [line for line in lines if "  exec  " in line]
    tap.ok(execs and "/bin/echo \\e]0;owned\\x07 a\\nb\\x0d \\u{202e}evil \\u{009b}2J" in execs[0], "an exec", *lines)
    tap.ok(all(re.match(r"\d\d:\d\d:\d\d\.\d{3}  \S+ +\d+  ", line) and line[25:32].strip().isdigit() for line in lines if line),
           "lines are aligned", *lines)
    tap.ok(all(c.isprintable() for line in lines for c in line), "there is nothing in them but what is seen", *lines)
    exits = [line for line in lines if "  exit  " in line]
    tap.ok(exits and re.search(r"status 0 after \d+ ms", exits[0]), "an exit", *lines)


def on_a_terminal(tap, scratch):
    """Colours by kind and lines as wide as the terminal; NO_COLOR is heeded."""
    del scratch
    for env, coloured in live.some((({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)), 2):
        terminal, other = pty.openpty()
        tail = Tail("--pid", str(os.getpid()), reads=False, stdout=other, env={**os.environ, "LC_ALL": "C.UTF-8", **env})
        os.close(other)
        subprocess.run(["/bin/echo", "x" * 500], stdout=subprocess.DEVNULL, check=True)
        got = b""
        while b"exit" not in got and select.select([terminal], [], [], live.PATIENCE)[0]:
            got += os.read(terminal, 65536)
        tail.process.send_signal(signal.SIGINT)
        tail.process.wait(60)
        os.close(terminal)
        tap.ok(got.startswith(b"\x1b[1mTIME" if coloured else b"TIME"), "%s: a heading" % env, got)
        tap.equal(b"\x1b[32m" in got, coloured, "%s: colours" % env)


def rules_and_accounts(tap, scratch):
    """Events of rules one by one; accounts once an interval, the sums of which are what was done."""
    worker = Worker()
    path, other = new_file(scratch, HOSTILE[3]), new_file(scratch, "other")
    stored = live.stored(path)
    tail = Tail("--pid", str(worker.pid), "--json", "--io", "--interval", "100ms", "--every", "kind:file if comm=python3")
    worker.do("read", 20, 100, path)
    worker.do("write", 10, 30, path)
    worker.do("read", 1, 1, other)
    live.wait_for(lambda: any(o["kind"] == "io" and o.get("path") == other.decode() for o in tail.objects()), "the last account")
    tail.end()
    told = [o for o in tail.objects() if o.get("path") == stored]
    tap.equal([o["bytes"] for o in told if o["kind"] == "read"], [100] * 20, "each read is told")
    tap.equal([(o["bytes"], o["offset_bytes"]) for o in told if o["kind"] == "write"], [(30, 0)] * 10, "each write, and where")
    io = [o for o in told if o["kind"] == "io"]
    tap.equal(tuple(sum(o[c] for o in io) for c in ("read_ops", "read_bytes", "write_ops", "write_bytes")), (20, 2000, 10, 300),
              "accounts add up to the same")
    tap.equal({o["route"] for o in io}, {"rw"}, "by their route")
    tail = Tail("--pid", str(worker.pid), "--json", "--events", "rename")
    done = live.run("tail", "--events", "nonsense")
    tap.ok(done.returncode == 2 and b"'nonsense' is no event" in done.stderr, "nonsense is refused", done)
    tail.end()


def configured(tap, scratch):
    """The configuration file of `record` narrows what is looked at; the command line goes before it; what is not tail's is left alone."""
    worker, other = Worker(), Worker()
    path = os.path.join(scratch, "tail.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write("pid = %d\nevery = kind:file\ninterval = 1h\nspool = /nonexistent\npin = /nonexistent\ndb = sqlite:/nonexistent/ledger.db\n" % worker.pid)
    tail = Tail("--config", path, "--json", "--io", "--interval", "100ms")
    other.do("read", 1, 11, new_file(scratch, "other"))
    worker.do("read", 3, 10, new_file(scratch, "mine"))
    live.wait_for(lambda: any(o["kind"] == "io" and o["path"].endswith("/mine") for o in tail.objects()), "the account")
    tail.end()
    told = [o for o in tail.objects() if o.get("path", "").endswith(("/mine", "/other"))]
    tap.equal([o["bytes"] for o in told if o["kind"] == "read"], [10] * 3, "--config: the process and the rule of the file, and nobody else")
    tap.equal({o["kind"] for o in told}, {"read", "io"}, "--config: the interval of the command line")


def filters(tap, scratch):
    """Processes are chosen as by record: one of each kind of filter that is given has to be met."""
    mine = shutil.copy("/bin/true", os.path.join(scratch, "mine"))
    tail = Tail("--exe", mine, "--uid", "root", "--uid", "65534", "--json")
    for user in (0, 65534, 65533):
        subprocess.run(["setpriv", "--reuid=%d" % user, "--clear-groups", mine, str(user)], check=True)
        subprocess.run(["/bin/true"], check=True)
    subprocess.run([mine, "end-mark"], check=True)
    tail.wait_for(b"end-mark")
    tail.end()
    tap.equal([o["argv"].split()[1] for o in tail.objects() if o["kind"] == "exec"], ["0", "65534", "end-mark"], "--exe and --uid: who meets both")
    tail = Tail("--comm", "mine", "--comm", "sh", "--json")
    subprocess.run(["/bin/true"], check=True)
    subprocess.run(["sh", "-c", "'%s' 1; '%s' end-mark" % (mine, mine)], check=True)
    tail.wait_for(b'end-mark"')
    tail.end()
    mine_or_sh = [o["comm"] for o in tail.objects() if o["kind"] == "exec" and o["argv"].startswith((mine, "sh -c '" + mine, "/bin/true"))]
    tap.equal(mine_or_sh, ["sh", "mine", "mine"], "--comm: each of two names")


def with_command(tap, scratch):
    """CMD and what it starts, from its exec on, and nobody else; it ends with CMD, and as CMD."""
    path = new_file(scratch, "read by cat")
    with open(path, "wb") as file:
        file.write(b"x" * 1234)
    stop = threading.Event()
    others = threading.Thread(target=exec_until, args=(stop,))
    others.start()
    try:
        done = live.run("tail", "--json", "--io", "--every", "kind:file if comm=cat", "--", "sh", "-c", "cat '%s' > /dev/null; exit 7" % path.decode())
    finally:
        stop.set()
        others.join()
    told = [json.loads(line) for line in done.stdout.splitlines()]
    tap.equal(done.returncode, 7, "-- CMD: its exit status")
    tap.equal([o["argv"].split()[0] for o in told if o["kind"] == "exec"], ["sh", "cat"], "-- CMD: its execs, and nobody else's")
    tap.equal(sum(o["bytes"] for o in told if o["kind"] == "read" and o["path"] == live.stored(path)), 1234, "-- CMD: what it read")
    tap.equal(sum(o["read_bytes"] for o in told if o["kind"] == "io" and o["path"] == live.stored(path)), 1234, "-- CMD: its account")
    tap.equal([o["exit_code"] for o in told if o["kind"] == "exit"][-1:], [7], "-- CMD: its exit")
    done = live.run("tail", "--", "/no/such/command")
    tap.ok(done.returncode == 127 and b"cannot run /no/such/command" in done.stderr, "-- CMD: one that is not there", done)


def duration_and_count(tap, scratch):
    del scratch
    done = live.run("tail", "--duration", "0.3s", "--quiet")
    tap.equal((done.returncode, done.stderr), (0, b""), "--duration ends it")
    tail = Tail("--pid", str(os.getpid()), "-n", "4")
    for _ in range(3):
        subprocess.run(["/bin/true"], check=True)
    status, errors = tail.finish()
    tap.equal((status, errors, len(tail.lines())), (0, b"", 4), "-n ends it after so many lines")


def keeps_up(tap, scratch):
    """Execs as fast as they come: each is told, none is lost."""
    tail = Tail("--pid", str(os.getpid()), "--json")
    pids = set()
    before, began = live.process_seconds(tail.pid), time.monotonic()
    for _ in range(EXECS):
        pid = os.posix_spawn("/bin/true", ["true", scratch], {})
        pids.add(pid)
        os.waitpid(pid, 0)
    seconds = time.monotonic() - began
    subprocess.run(["/bin/echo", "end-mark"], stdout=subprocess.DEVNULL, check=True)
    tail.wait_for(b"end-mark")
    used = live.process_seconds(tail.pid) - before
    tail.end()
    told = tail.objects()
    kinds = {kind: {o["pid"] for o in told if o["kind"] == kind and o["pid"] in pids} for kind in ("fork", "exec", "exit")}
    argvs = [o for o in told if o["kind"] == "exec" and o["argv"] == "true " + scratch]
    tap.equal([len(argvs)] + [len(kinds[k]) for k in ("fork", "exec", "exit")], [EXECS] + [len(pids)] * 3,
              "each of %d execs, forks and exits" % EXECS)
    tap.equal([o for o in told if o["kind"] == "loss"], [], "nothing is lost")
    rate = EXECS / seconds * 60
    cpu = used / seconds
    tap.say("%.0f execs a minute; tail used %.1f %% of a core, %.0f us for each" % (rate, cpu * 100, used / EXECS * 1e6))
    tap.ok(used / EXECS * FEWEST_A_MINUTE < 60, "its CPU is enough for %d a minute" % FEWEST_A_MINUTE)


def exec_until(stop):
    """So that `head` gets its lines."""
    while not stop.wait(0.05):
        subprocess.run(["/bin/true"], check=True)


def closed_pipe(tap, scratch):
    """A reader that goes ends it, without a word, whether something is to be written or not."""
    del scratch
    stop = threading.Event()
    others = threading.Thread(target=exec_until, args=(stop,), daemon=True)
    others.start()
    done = subprocess.run(["sh", "-c", "{ %s tail --quiet; echo status $? >&2; } | head -n 2 >/dev/null" % live.IOLEDGER],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=2 * live.PATIENCE)
    stop.set()
    others.join()
    tap.equal(done.stderr, b"status 0\n", "tail | head")
    idle = Tail("--pid", str(os.getpid()), reads=False)
    idle.process.stdout.close()
    tap.equal((idle.process.wait(60), idle.process.stderr.read()), (0, b""), "a pipe that is closed while nothing happens")


def slow_reader(tap, scratch):
    """Nobody reads: programs and a recorder go on undisturbed; what was missed is told when somebody reads again."""
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--pid", str(os.getpid()))
    tail = Tail("--pid", str(os.getpid()), "--json", "--max-accounts", "64", reads=False)
    argument = "x" * 15000
    began = time.monotonic()
    for number in range(400):
        subprocess.run(["/bin/true", str(number), argument], check=True)
    seconds = time.monotonic() - began
    tap.equal(recorder.stop(), 0, "the recorder ends")
    execs = live.value(url, "select count(*) from process where argv like '/bin/true % xxxx%' and exec_time is not null")
    tap.equal(execs, 400, "the recorder has every exec")
    tap.equal(live.losses(url), [], "and has lost nothing")
    live.check_balance(tap, url, "recorder beside a tail that hangs")
    tap.say("400 execs in %.1f s while nobody read" % seconds)
    tail.read()
    live.wait_for(lambda: b'"kind":"loss"' in tail.out, "the loss to be told")
    losses = [o for o in tail.objects() if o["kind"] == "loss"]
    tap.ok(losses and all(o["lost"] > 0 and o["reason"] for o in losses), "what was missed is told", losses)
    status, errors = tail.end()
    tap.equal((status, errors), (0, b""), "and it ends as ever")
    hung = Tail("--pid", str(os.getpid()), "--json", reads=False)
    for number in range(20):
        subprocess.run(["/bin/true", str(number), argument], check=True)
    live.wait_for(lambda: waiting_bytes(hung.process.stdout) > PIPE_BYTES - 4096, "tail to wait for its reader")
    hung.process.send_signal(signal.SIGTERM)
    tap.equal(hung.process.wait(60), 0, "SIGTERM ends one that hangs")


def waiting_bytes(pipe):
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


if __name__ == "__main__":
    live.main(processes, text, on_a_terminal, rules_and_accounts, configured, filters, with_command, duration_and_count, keeps_up, closed_pipe, slow_reader)
