#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A running recorder tells what is so, whoever hangs or floods, and ends when it is asked to; it listens to its own user only.

Runs in a mount namespace with a /run/ioledger of its own: recorders of others are not in sight.
"""
import contextlib
import ctypes
import fcntl
import json
import os
import re
import pty
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading
import time

import livelib as live

FOLDER = "/run/ioledger"
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
REQUEST = b'{"version": 1, "command": "status"}\n'


def private_run():
    CLONE_NEWNS = 0x20000
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    os.makedirs(FOLDER, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "none", FOLDER], check=True)


def status(*options):
    """The statuses as `ioledger status --format json` has them; [] when none is running."""
    done = live.run("status", "--format", "json", *options)
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise live.Failure("status: %s" % done) from None


def status_of(recorder):
    found = status("--pid", str(recorder.pid))
    if len(found) != 1:
        raise live.Failure("status of %d: %s" % (recorder.pid, found))
    return found[0]


def socket_of(recorder):
    return "%s/record-%d.sock" % (FOLDER, recorder.pid)


def told(done):
    return (done.stderr if isinstance(done.stderr, str) else done.stderr.decode("utf-8", "replace")).strip().split("\n")


def wait_status(recorder, condition, what):
    """The first status that meets the condition."""
    last = {}

    def look():
        last.update(status_of(recorder))
        return condition(last)
    try:
        live.wait_for(look, what)
    except live.Failure as failure:
        raise live.Failure("%s; the last status: %s" % (failure, last)) from None
    return last


def figures(tap, scratch):
    """What status says is what was done, and what the database has."""
    for kind in ("sqlite", "postgresql"):
        url = live.new_url(kind, scratch)
        many = live.ManyControl(scratch, files=200, processes=2, threads=live.crowd(2))
        shown = url.replace("postgres@", "postgres:Geheim123@")
        began = time.monotonic()
        recorder = live.Recorder(shown, "--interval", "200ms", "--exe", live.workload("many"), "--max-accounts", "4096")
        many.start()
        many.set("go")
        busy = wait_status(recorder, lambda s: s["ops"] > live.fewer(100000) and s["ops_per_s"] > 0, "operations in the status")
        tap.ok(busy["read_bytes_per_s"] > 0 and busy["write_bytes_per_s"] > 0, "%s: rates are told" % kind, busy)
        many.pause()
        done = many.counts()
        want = [sum(c[i] for c in done.values()) for i in range(6)]
        at_rest = wait_status(recorder, lambda s: s["ops_per_s"] == 0 and s["queued_batches"] == 0, "rest")
        elapsed = (time.monotonic() - began) * 1000
        sums = live.rows(url, "select sum(read_ops) + sum(write_ops) as ops, sum(read_bytes) as r, sum(write_bytes) as w from io")[0]
        tap.equal((at_rest["ops"], at_rest["read_bytes"], at_rest["write_bytes"]), (sums["ops"], sums["r"], sums["w"]),
                  "%s: operations and bytes as in the database" % kind)
        tap.ok(at_rest["ops"] >= want[0] + want[3] and at_rest["read_bytes"] >= want[1] and at_rest["write_bytes"] >= want[4],
               "%s: … and as much as the workload did" % kind, at_rest, want)
        tap.equal((at_rest["pid"], at_rest["state"], at_rest["interval_ms"], at_rest["accounts_max"], at_rest["probes"], at_rest["database"]),
                  (recorder.pid, "recording", 200, 4096, live.value(url, "select probes from recording"), "ok"), "%s: what was asked for" % kind)
        tap.equal(at_rest["scope"].strip(), "--exe " + os.path.realpath(live.workload("many")), "%s: the scope" % kind)
        tap.equal(at_rest["recording_id"], live.value(url, "select id from recording"), "%s: the recording's id" % kind)
        tap.equal(at_rest["batches"], live.value(url, "select count(*) from batch"), "%s: the batches" % kind)
        tap.ok("Geheim123" not in str(at_rest) and at_rest["db"].split(":")[0] == kind, "%s: the database, without its password" % kind,
               at_rest["db"])
        tap.ok(at_rest["accounts"] >= len(done) and at_rest["files_held"] >= 200 and at_rest["processes_held"] >= 2,
               "%s: accounts, files and processes held" % kind, at_rest)
        tap.ok(0 < at_rest["uptime_ms"] <= elapsed and 0 < at_rest["start_cpu_ms"] <= at_rest["cpu_ms"] <= 2 * elapsed, "%s: time and CPU" % kind, at_rest, elapsed)
        with open("/proc/%d/statm" % recorder.pid, encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        tap.ok(resident / 1.5 < at_rest["resident_bytes"] < resident * 1.5 and at_rest["maps_bytes"] > 4096 * 192, "%s: memory" % kind,
               at_rest, resident)
        tap.equal((at_rest["losses"], sum(n for key, n in at_rest.items() if key.startswith("lost_"))), (0, 0), "%s: no losses" % kind)
        # An interval without any operation makes no batch, and does not lag.
        idle = wait_status(recorder, lambda s: s["uptime_ms"] > at_rest["uptime_ms"] + 1000, "a second of rest")
        tap.ok(idle["lag_ms"] < 1000, "%s: who has nothing to write does not lag" % kind, idle["lag_ms"])
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(socket_of(recorder))
            peer.sendall(REQUEST)
            answer = json.loads(peer.makefile().read())
        tap.equal((answer["version"], set(answer["status"])), (1, set(at_rest)), "%s: json has all that the recorder tells" % kind)
        page = live.run("status").stdout.decode()
        tap.ok("%d (ioledger" % recorder.pid in page and "losses  none" in page and " MB " in page, "%s: as a page" % kind, page)
        table = live.run("status", "--format", "csv").stdout.decode().split("\r\n")
        tap.ok(table[0].split(",") == list(at_rest) and table[1].startswith("%d," % recorder.pid), "%s: as csv" % kind, *table)
        tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % kind)
        live.check_balance(tap, url, "%s, asked while recording" % kind)
        many.stop()


def losses(tap, scratch):
    """With too few accounts there are losses, and status has the numbers of the table `loss`."""
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--interval", "200ms", "--max-accounts", "64", "--exe", live.workload("many"))
    many = live.ManyControl(scratch, files=500, processes=1, threads=1)
    many.start()
    many.set("go")
    wait_status(recorder, lambda s: s["losses"] > 0, "losses")
    many.pause()
    found = wait_status(recorder, lambda s: s["ops_per_s"] == 0 and s["queued_batches"] == 0, "rest")
    stored = live.value(url, "select sum(lost) from loss where reason not like 'route not covered%'")
    tap.equal((found["losses"], sum(n for key, n in found.items() if key.startswith("lost_"))), (stored, stored), "losses, and by reason")
    tap.ok(found["lost_accounts_full"] > 0, "the reason", found)
    page = live.run("status").stdout.decode()
    tap.ok("times: " in page and "(other files)" in page, "the reason in words", page)
    tap.equal(recorder.stop(), 0, "the recorder ends well")
    many.stop()


def place(tap, scratch):
    """One socket for each, for its user only, in a folder for its user only; gone when the recorder is."""
    recorders = [live.Recorder(live.new_url("sqlite", scratch)) for _ in range(2)]
    tap.equal(stat.S_IMODE(os.stat(FOLDER).st_mode), 0o700, "the folder was open to others, and is no more")
    for recorder in recorders:
        found = os.lstat(socket_of(recorder))
        tap.ok(stat.S_ISSOCK(found.st_mode), "a socket")
        tap.equal((stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid), (0o600, 0, 0), "its mode and owner")
    tap.equal(sorted(os.listdir(FOLDER)), sorted(os.path.basename(socket_of(r)) for r in recorders), "nothing else in the folder")
    both = live.run("status").stdout.decode().strip().split("\n")
    tap.ok(len(both) == 3 and [line.split()[0] for line in both] == ["PID"] + sorted((str(r.pid) for r in recorders), key=int),
           "a line for each", *both)
    tap.equal(sorted(s["pid"] for s in status()), sorted(r.pid for r in recorders), "an object for each")
    for recorder in recorders:
        tap.equal(recorder.stop(), 0, "it ends well")
        tap.ok(not os.path.exists(socket_of(recorder)), "its socket is gone")
    path = os.path.join(scratch, "here.sock")
    recorder = live.Recorder(live.new_url("sqlite", scratch), "--control", path)
    tap.equal(([s["pid"] for s in status("--control", path)], status()), ([recorder.pid], []), "--control PATH: there, and only there")
    tap.equal(live.run("stop", "--control", path).returncode, 0, "--control PATH: stopped there")
    tap.equal((recorder.wait(), os.path.exists(path)), (0, False), "--control PATH: ended, and the socket is gone")
    recorder = live.Recorder(live.new_url("sqlite", scratch), "--control", "none")
    tap.equal((status(), os.listdir(FOLDER)), ([], []), "--control none: no socket")
    recorder.stop()


def will_not_do(tap, scratch):
    """A --control that is no good: a clear line, and what to do, and nothing is recorded."""
    path = os.path.join(scratch, "file")
    url = live.new_url("sqlite", scratch)
    with open(path, "w", encoding="ascii") as file:
        file.write("mine")
    for name, control, words in (("a file", path, path), ("a folder that is not there", "/no/such/folder/s", "/no/such/folder/s"),
                                 ("a long path", "/" + "a" * 200, "longer")):
        done = live.run("record", "--db", url, "--duration", "1s", "--control", control)
        tap.ok(done.returncode == 1 and 1 <= len(told(done)) <= 2 and words in told(done)[0], "%s as a socket is refused" % name, done)
    tap.ok(not os.path.exists(live.sqlite_path(url)), "… before there is a database")
    tap.equal(open(path, encoding="ascii").read(), "mine", "… and the file is still there")
    # The usual place is not to be had: a warning, and it records.
    os.mkdir(os.path.join(scratch, "run"))
    script = 'mount -t tmpfs none /run && touch /run/ioledger && exec "$@"'
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", live.IOLEDGER, "record", "--db", url, "--duration", "0.3s"],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    tap.ok(done.returncode == 0 and b"status' will not find" in done.stderr, "without the usual place it warns, and records", done)


def stale(tap, scratch):
    """A recorder that was killed leaves its socket; whoever meets it takes it away."""
    for name, meet in live.some((("status", lambda: live.run("status")), ("stop", lambda: live.run("stop")),
                                 ("another recorder", lambda: live.Recorder(live.new_url("sqlite", scratch)).stop())), 1):
        recorder = live.Recorder(live.new_url("sqlite", scratch))
        recorder.stop(signal.SIGKILL)
        tap.ok(os.path.exists(socket_of(recorder)), "killed: its socket is there")
        done = meet()
        tap.ok(not os.path.exists(socket_of(recorder)), "%s takes it away" % name)
        if name != "another recorder":
            tap.ok(done.returncode == 1 and told(done) == ["ioledger: no recorder is running"], "%s says that none is running" % name, done)
    path = os.path.join(scratch, "own.sock")
    live.Recorder(live.new_url("sqlite", scratch), "--control", path).stop(signal.SIGKILL)
    done = live.run("status", "--control", path)
    tap.ok(done.returncode == 1 and path in told(done)[0], "status --control of a dead one says so", done)
    recorder = live.Recorder(live.new_url("sqlite", scratch), "--control", path)
    tap.equal(len(status("--control", path)), 1, "the same --control again")
    recorder.stop()


def as_nobody(*args, **env):
    return subprocess.run([*NOBODY, *args], stdin=subprocess.DEVNULL, capture_output=True, check=False, env={**os.environ, **env}, timeout=60)


def other_users(tap, scratch):
    program = shutil.copy(live.IOLEDGER, os.path.join(scratch, "ioledger"))
    folder = os.path.join(scratch, "open")
    os.mkdir(folder)
    os.chmod(folder, 0o777)
    path = os.path.join(folder, "s")
    recorder = live.Recorder(live.new_url("sqlite", scratch), "--control", path)
    usual = live.Recorder(live.new_url("sqlite", scratch))
    for command in ("status", "stop"):
        done = as_nobody(program, command)
        tap.ok(done.returncode == 1 and "as this user" in told(done)[0] and "sudo" in told(done)[1], "%s of another user: none of theirs" % command,
               done)
        done = as_nobody(program, command, "--control", path)
        tap.ok(done.returncode == 1 and "Permission denied" in told(done)[0], "%s of another user: refused by the file's mode" % command, done)
    os.chmod(path, 0o666)
    done = as_nobody(program, "stop", "--control", path)
    tap.ok(done.returncode == 1 and ("another user" in told(done)[0] or "hung up" in told(done)[0]),
           "and if the mode were another, by the recorder", done)
    ask = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'%s'); print(s.recv(65536))"
    done = as_nobody(sys.executable, "-c", ask % REQUEST.decode().replace("\n", "\\n"), path)
    tap.ok(b"another user" in done.stdout + done.stderr or b"Error" in done.stderr, "a hand-made request is told nothing", done)
    tap.ok(b'"pid"' not in done.stdout and recorder.process.poll() is None and usual.process.poll() is None, "both recorders go on", done)
    tap.equal((recorder.stop(), usual.stop()), (0, 0), "and end well")


def not_root(tap, scratch):
    """A recorder that is not root's listens in its user's own folder; root may ask it there."""
    runtime = os.path.join(scratch, "runtime")
    os.mkdir(runtime, 0o700)
    os.chown(runtime, 65534, 65534)
    program = shutil.copy(live.IOLEDGER, os.path.join(scratch, "ioledger"))
    caps = "--inh-caps=+bpf,+perfmon,+sys_ptrace"
    process = subprocess.Popen([*NOBODY, caps, caps.replace("inh", "ambient"), program, "record", "--db", "sqlite:%s/x.db" % runtime],
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "XDG_RUNTIME_DIR": runtime})
    line = process.stderr.readline().decode()
    if not line.startswith(live.READY):
        process.wait(60)
        raise live.Skip("no recording by another user on this kernel: %s" % line.strip())
    path = "%s/ioledger/record-%d.sock" % (runtime, process.pid)
    found = os.lstat(path)
    tap.equal((found.st_uid, stat.S_IMODE(found.st_mode), stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)), (65534, 0o600, 0o700),
              "not root: the socket's owner, its mode, its folder's")
    done = as_nobody(program, "status", "--format", "json", XDG_RUNTIME_DIR=runtime)
    tap.ok(done.returncode == 0 and json.loads(done.stdout)[0]["pid"] == process.pid, "not root: its user asks it", done)
    tap.equal(live.run("status", "--format", "json").returncode, 1, "not root: it is not among root's")
    done = as_nobody(program, "stop", XDG_RUNTIME_DIR=runtime)
    tap.equal((done.returncode, process.wait(60)), (0, 0), "not root: its user stops it")
    process.stderr.close()


def stop(tap, scratch):
    done = live.run("stop")
    tap.ok(done.returncode == 1 and told(done) == ["ioledger: no recorder is running"], "stop without a recorder", done)
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url, "--interval", "60s")
    many = live.ManyControl(scratch, files=200, processes=2, threads=live.crowd(2))
    many.start()
    many.set("go")
    live.wait_for(lambda: many.operations() > live.fewer(100000), "operations")
    many.pause()
    done = live.run("stop")
    tap.ok(recorder.process.poll() is not None or recorder.wait(1) == 0, "when stop returns the recorder has ended")
    rows = live.value(url, "select " + " + ".join("(select count(*) from %s)" % t for t in ("io", "total")))
    words = told(done)[-1]  # on a slow processor it has said before that something waits
    tap.ok(done.returncode == 0 and "recorder %d has ended" % recorder.pid in words and "no losses" in words and url in words,
           "stop tells what was stored", done)
    tap.ok(int(words.split("stored ")[1].split(" ")[0]) >= rows, "… all rows", words, rows)
    tap.equal(recorder.wait(), 0, "the recorder ends well")
    wrong = many.differences(url)
    tap.ok(not wrong, "everything is in the books", *wrong[:10])
    live.check_balance(tap, url, "stop")
    many.stop()

    recorders = [live.Recorder(live.new_url("sqlite", scratch)) for _ in live.some(range(3), 2)]
    done = live.run("stop")
    tap.ok(done.returncode == 2 and all(str(r.pid) in told(done)[0] for r in recorders) and "--pid" in told(done)[1],
           "several are running: all are named, none is stopped", done)
    tap.ok(all(r.process.poll() is None for r in recorders), "… and go on")
    tap.equal(live.run("stop", "--pid", str(recorders[0].pid)).returncode, 0, "one by its pid")
    tap.equal((recorders[0].wait(), {r.process.poll() for r in recorders[1:]}), (0, {None}), "… and only that one")
    tap.equal(live.run("stop", "--pid", str(os.getpid())).returncode, 1, "a pid that is no recorder's")
    tap.equal(live.run("stop", "--all", "--quiet").returncode, 0, "the others with --all")
    tap.equal({r.wait() for r in recorders[1:]}, {0}, "… all of them")

    recorder = live.Recorder(live.new_url("sqlite", scratch), command=["sleep", "1000"])
    live.wait_for(lambda: status(), "the recorder of a command")
    tap.equal(live.run("stop").returncode, 0, "a recorder of a CMD is stopped")
    tap.equal(recorder.wait(), 128 + signal.SIGTERM, "… and CMD with it, as by SIGTERM")

    recorder = live.Recorder(live.new_url("sqlite", scratch))
    os.kill(recorder.pid, signal.SIGSTOP)
    done = live.run("stop", "--timeout", "300ms")
    tap.ok(done.returncode == 1 and "has not ended yet" in told(done)[0], "--timeout: it does not wait for ever", done)
    os.kill(recorder.pid, signal.SIGCONT)
    tap.equal(recorder.wait(), 0, "--timeout: it ends all the same")

    recorder = live.Recorder(live.new_url("sqlite", scratch))
    os.kill(recorder.pid, signal.SIGSTOP)
    asking = subprocess.Popen([live.IOLEDGER, "stop"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    live.wait_for(lambda: b"ioledger" in open("/proc/%d/cmdline" % asking.pid, "rb").read() and waits_in_poll(asking.pid), "stop to wait")
    os.kill(recorder.pid, signal.SIGKILL)
    said = asking.communicate(timeout=60)[1].decode()
    tap.ok(asking.returncode == 1 and "without a word" in said, "a recorder that is killed meanwhile: told", said)
    recorder.wait()


def waits_in_poll(pid):
    with open("/proc/%d/syscall" % pid, encoding="ascii") as file:
        return file.read().split()[0] in ("7", "271", "73")  # poll, ppoll (x86-64), ppoll (arm64)


class Terminal:
    """A recorder whose stderr is a terminal of 80 columns; `text` is what has come."""

    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
                os.execve(live.IOLEDGER, [live.IOLEDGER, *args], {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"})
            finally:
                os._exit(127)
        self.text = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        with contextlib.suppress(OSError):
            while piece := os.read(self.fd, 65536):
                self.text += piece.decode("utf-8", "replace")

    def wait(self):
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.reader.join(10)
        os.close(self.fd)
        return code

    def lines(self):
        """The texts of the live line."""
        return [piece.partition("\x1b[K")[0] for piece in self.text.split("\r") if "ops/s" in piece or "database away" in piece]


def outage(tap, scratch):
    """PostgreSQL goes away: status and the live line say so, with the queue, its age and the error; and that it is back."""
    cluster = live.PostgreSQL()
    try:
        url = cluster.new_database()
        recorder = Terminal("record", "--db", url, "--spool", "none", "--interval", "200ms")
        live.wait_for(lambda: status(), "the recorder")
        before = wait_status(recorder, lambda s: s["batches"] > 3, "three batches")
        tap.ok(before["database"] == "ok" and before["last_error"] is None and before["lag_ms"] < 5000, "before: the database is there", before)
        cluster.stop()
        gone = wait_status(recorder, lambda s: s["database"] == "away" and s["queued_batches"] > 5 and s["lag_ms"] > 2000, "the outage in the status")
        tap.ok(gone["oldest_ms"] > 1000 and gone["oldest_ms"] <= gone["lag_ms"] + 1000 and gone["queued_bytes"] > 0 and gone["retries"] > 0,
               "away: age, lag, queue, tries", gone)
        tap.ok(gone["last_error"] and gone["last_error_time"] > gone["started"], "away: the error, and when", gone)
        later = wait_status(recorder, lambda s: s["queued_batches"] > gone["queued_batches"] and s["lag_ms"] > gone["lag_ms"], "more of it")
        tap.equal(later["batches"], gone["batches"], "away: nothing is committed")
        page = live.run("status").stdout.decode()
        tap.ok("AWAY" in page and "last error" in page and "the oldest for" in page, "away: as a page", page)
        live.wait_for(lambda: any("database away, " in line for line in recorder.lines()), "the live line's word of it")
        away = [line for line in recorder.lines() if "database away" in line]
        tap.ok(any("batches wait, " in line and " s: " in line for line in away), "away: the live line has the queue, its age and the error", *away[-3:])
        tap.ok(all(len(line) <= 79 for line in recorder.lines()), "the live line fits into 80 columns", *recorder.lines())
        tap.say(away[-1])
        cluster.start()
        back = wait_status(recorder, lambda s: s["database"] == "ok" and s["queued_batches"] == 0 and s["lag_ms"] < 1500, "the database in the status")
        tap.ok(back["last_error"] and back["batches"] >= later["batches"] + later["queued_batches"], "back: everything that waited is committed", back)
        cluster.stop()
        wait_status(recorder, lambda s: s["database"] == "away" and s["queued_batches"] > 3, "the second outage")
        asking = subprocess.Popen([live.IOLEDGER, "stop"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ending = wait_status(recorder, lambda s: s["state"] == "ending", "the end to begin")
        tap.ok(ending["queued_batches"] > 0 and asking.poll() is None, "stopped while it is away: status answers, stop waits", ending)
        said = asking.stderr.readline().decode()
        tap.ok(re.search("batch(es wait| waits) for the database, which is away", said), "… and says how far it is", said)
        cluster.start()
        said = asking.communicate(timeout=120)[1].decode()
        tap.ok(asking.returncode == 0 and "has ended" in said, "… and that all is stored, when it is back", said)
        tap.equal(recorder.wait(), 0, "the recorder ends well")
        live.check_balance(tap, url, "two outages")

        recorder = live.Recorder(url, "--spool", "none", "--interval", "200ms")
        cluster.stop()
        wait_status(recorder, lambda s: s["queued_batches"] > 1, "the third outage")
        asking = subprocess.Popen([live.IOLEDGER, "stop"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_status(recorder, lambda s: s["state"] == "ending", "the end to begin")
        recorder.process.send_signal(signal.SIGTERM)  # somebody is tired of waiting
        said = asking.communicate(timeout=120)[1].decode()
        tap.ok(asking.returncode == 1 and "could not store" in said and "rows" in said, "rows that could not be stored are told", said)
        tap.equal(recorder.wait(), 1, "… by the recorder too")
    finally:
        cluster.remove()


def spooled(tap, scratch):
    """What waits in the spool is in the status; stop says where it stays."""
    cluster = live.PostgreSQL()
    try:
        url, folder = cluster.new_database(), os.path.join(scratch, "spool")
        recorder = live.Recorder(url, "--spool", folder, "--interval", "200ms")
        rest = wait_status(recorder, lambda s: s["batches"] > 2, "three batches")
        tap.ok(rest["spool"] == folder and rest["spool_merged"] == 0 and rest["spool_error"] is None, "spool: it is in the status", rest)
        cluster.stop()
        away = wait_status(recorder, lambda s: s["database"] == "away" and s["spool_batches"] > 4, "batches in the spool")
        tap.ok(away["spool_rows"] > 4 and 0 < away["spool_bytes"] <= away["queued_bytes"] and away["queued_batches"] >= away["spool_batches"]
               and away["oldest_ms"] > 0, "spool: batches, rows and bytes", away)
        page = live.run("status").stdout.decode()
        tap.ok("AWAY" in page and folder in page, "spool: as a page", page)
        done = live.run("stop")
        tap.ok(done.returncode == 0 and b"rows wait in %s" % folder.encode() in done.stderr, "spool: stop says where they stay", done)
        tap.equal(recorder.wait(), 0, "spool: the recorder ends well")
    finally:
        cluster.remove()


def hanging_and_flooding(tap, scratch):
    """Peers that hang, flood and talk nonsense: the books are exact, intervals end in time, and honest questions are answered."""
    url = live.new_url("sqlite", scratch)
    many = live.ManyControl(scratch, files=200, processes=2, threads=1)
    recorder = live.Recorder(url, "--interval", "100ms", "--exe", live.workload("many"))
    path = socket_of(recorder)
    over = threading.Event()
    requests = [0]

    def flood(data, hold):
        held = []
        while not over.is_set():
            peer = socket.socket(socket.AF_UNIX)
            peer.settimeout(5)
            with contextlib.suppress(OSError):
                peer.connect(path)
                requests[0] += 1
                peer.sendall(data)
                if hold:
                    held.append(peer)
                    while len(held) > 30:
                        held.pop(0).close()
                    continue
            peer.close()
    threads = [threading.Thread(target=flood, args=args, daemon=True)
               for args in ((REQUEST, False), (b"x" * 100000, False), (b"{", True), (b"", True))]
    for thread in threads:
        thread.start()
    many.start()
    many.set("go")
    first = status_of(recorder)
    live.wait_for(lambda: many.operations() > live.fewer(500000) and requests[0] > live.fewer(1000), "operations and connections")
    live.wait_for(lambda: live.value(url, "select count(distinct ts) from total") > 3, "intervals")
    later = status_of(recorder)
    many.pause()
    intervals = live.value(url, "select count(distinct ts) from total")
    tap.ok(later["uptime_ms"] > first["uptime_ms"] and later["ops"] > first["ops"], "honest questions are answered meanwhile")
    longest = live.value(url, "select max(interval_ms) from total")
    tap.ok(longest < live.longer(1000), "intervals end in time: of 100 ms, the longest of %d took %d ms" % (intervals, longest))
    over.set()
    for thread in threads:
        thread.join(30)
    tap.say("%d connections; the recorder used %d ms of CPU in %d ms" % (requests[0], later["cpu_ms"], later["uptime_ms"]))
    tap.equal(recorder.stop(), 0, "the recorder ends well")
    wrong = many.differences(url)
    tap.ok(not wrong, "the books are exact", *wrong[:10])
    live.check_balance(tap, url, "hung on and flooded")
    many.stop()


def silent(tap, scratch):
    """A recorder that stands still: status does not wait for ever."""
    recorder = live.Recorder(live.new_url("sqlite", scratch))
    other = live.Recorder(live.new_url("sqlite", scratch))
    os.kill(recorder.pid, signal.SIGSTOP)
    done = live.run("status", "--format", "json")
    tap.ok(done.returncode == 1 and told(done) == ["ioledger: recorder %d does not answer" % recorder.pid], "one that stands still is told", done)
    tap.equal([s["pid"] for s in json.loads(done.stdout)], [other.pid], "and the other one's status is there")
    os.kill(recorder.pid, signal.SIGCONT)
    tap.equal((recorder.stop(), other.stop()), (0, 0), "both end well")


def watch(tap, scratch):
    recorder = live.Recorder(live.new_url("sqlite", scratch))
    watching = Terminal("status", "--watch=100ms")
    live.wait_for(lambda: watching.text.count("\x1b[H\x1b[J") > 3, "the third look")
    tap.ok(watching.text.count("%d (ioledger" % recorder.pid) >= 3, "--watch shows it again and again", watching.text[:2000])
    tap.equal(recorder.stop(), 0, "the recorder ends well")
    tap.equal(watching.wait(), 1, "--watch ends with it")
    ends = ["no recorder is running", "has hung up"] + (["does not answer"] if live.SLOWNESS > 1 else [])  # where it takes long to end
    tap.ok(any(words in watching.text for words in ends), "and says so", watching.text[-200:])


if live.cannot_run() is None:
    private_run()
live.main(figures, losses, place, will_not_do, stale, other_users, not_root, stop, outage, spooled, hanging_and_flooding, silent, watch)
