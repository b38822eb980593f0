#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""However a recording ends, and whatever becomes of the database meanwhile, the books are exact up to the last operation counted.

$IOLEDGER_OUTAGE_SECONDS is how long PostgreSQL is away (5).
"""
import fcntl
import os
import re
import signal
import subprocess
import termios
import time

import livelib as live

OUTAGE = float(os.environ.get("IOLEDGER_OUTAGE_SECONDS", "5"))
FILES = 200


def heavy_work(scratch):
    """As much as the processors can do; of a slow one something has to be left for the recorder and the commands."""
    return live.ManyControl(scratch, files=FILES, processes=4 if live.SLOWNESS == 1 else 2, threads=live.crowd(2))


def wait_for_operations(many, more):
    start = many.operations()
    live.wait_for(lambda: many.operations() >= start + more, "%d more operations" % more)


def check_exact(tap, url, many, name, **between):
    wrong = many.differences(url, **between)
    tap.ok(not wrong, "%s: each of %d (process, file) is in the books" % (name, len(many.counts())), "%d differ" % len(wrong), *wrong[:10])


def check_end(tap, recorder, name, lines_before):
    """It ended well, with a summary."""
    tap.equal(recorder.process.returncode, 0, "%s: the recorder ends with exit status 0" % name)
    summary = recorder.lines[lines_before:]
    said = " ".join(summary).lower()
    missing = [word for word in ("process", "file", "row") if word not in said]
    tap.ok(summary and not missing, "%s: a summary ends the recording" % name, "missing: %s in" % missing, *summary)


def signal_after_work(tap, scratch):
    """SIGTERM and SIGINT when a heavy workload has just come to a stand: all that it did is there."""
    for signum in live.some((signal.SIGTERM, signal.SIGINT), 1):
        for kind in ("sqlite", "postgresql"):
            name = "%s, %s after heavy work" % (kind, signum.name)
            url = live.new_url(kind, scratch)
            many = heavy_work(scratch)
            # An interval so long that only the end itself can have stored what happened.
            recorder = live.Recorder(url, "--interval", "60s")
            many.start()
            many.set("go")
            wait_for_operations(many, live.fewer(300000))
            many.pause()
            lines = len(recorder.lines)
            recorder.stop(signum)
            check_end(tap, recorder, name, lines)
            check_exact(tap, url, many, name)
            live.check_balance(tap, url, name)
            many.stop()


def signal_during_work(tap, scratch):
    """The same while the workload goes on: between what it had done before the signal and what it had done after the end."""
    for signum in live.some((signal.SIGINT, signal.SIGTERM), 1):
        for kind in ("sqlite", "postgresql"):
            name = "%s, %s in the middle of heavy work" % (kind, signum.name)
            url = live.new_url(kind, scratch)
            many = heavy_work(scratch)
            recorder = live.Recorder(url, "--interval", "0.2s")
            many.start()
            many.set("go")
            wait_for_operations(many, live.fewer(300000))
            before = many.counts()
            lines = len(recorder.lines)
            recorder.stop(signum)
            after = many.counts()
            check_end(tap, recorder, name, lines)
            check_exact(tap, url, many, name, least=before, most=after)
            live.check_balance(tap, url, name)
            many.stop()


def status_word(pid, name):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return re.search(r"^%s:\s*(\S+)" % name, file.read(), re.M)[1]


def heeds(pid, signum):
    """It has said what is to happen when the signal comes."""
    return any(int(status_word(pid, name), 16) >> signum - 1 & 1 for name in ("SigBlk", "SigCgt"))


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def interrupt_start(words, scratch, after_fork, whole_group):
    """Exit status and stderr of a command with a CMD that would never end, interrupted before that began; None: it had begun."""
    marker = os.path.join(scratch, "begun")
    if os.path.exists(marker):
        os.remove(marker)
    process = subprocess.Popen([live.IOLEDGER, *words, "--", "sh", "-c", ": > %s; exec sleep 1000" % marker], start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    live.wait_for(lambda: heeds(process.pid, signal.SIGINT) and (not after_fork or children(process.pid)), "its start", pause=0.0002)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    live.wait_for(lambda: process.poll() is not None or os.path.exists(marker), "its end")
    if os.path.exists(marker):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    return process.returncode, process.communicate()[1]


def interrupted_start(tap, scratch):
    """Ctrl-C while programs are loaded: CMD does not begin, and what was to record or watch it ends."""
    record = ["record", "--db", live.new_url("sqlite", scratch)]
    for words, after_fork in ((record, False), (record, True), (["tail"], False), (["tail"], True), (["top", "--batch"], True)):
        for whole_group in live.some((True, False), 1):
            if words[0] == "top" and not whole_group:
                continue  # until it is open, top ends as any program does
            name = "%s, Ctrl-C %s CMD is forked, %s" % (words[0], "when" if after_fork else "before", "for all" if whole_group else "for itself")
            for _ in range(5):  # it may have begun already
                ended = interrupt_start(words, scratch, after_fork, whole_group)
                if ended:
                    break
            tap.ok(ended and ended[0] in (130, -signal.SIGINT) and "ioledger: cannot" not in ended[1], name, ended)


def killed(tap, scratch):
    """SIGKILL loses the last interval and nothing else; the next recording into the same database finds its place."""
    for kind in ("sqlite", "postgresql"):
        name = "%s, SIGKILL" % kind
        url = live.new_url(kind, scratch)
        many = heavy_work(scratch)
        recorder = live.Recorder(url, "--interval", "0.2s")
        many.start()
        many.set("go")
        live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 3, "three batches")
        recorder.process.send_signal(signal.SIGKILL)
        recorder.wait()
        many.pause()
        done = many.counts()
        live.check_balance(tap, url, name)
        check_exact(tap, url, many, name, least={}, most=done)

        again = live.Recorder(url, "--interval", "0.2s")
        # What the first one had in its spool goes before the second one's own.
        live.wait_for(lambda: live.value(url, "select count(*) from recording") == 2, "the second recording's first batch")
        booked = counts_in(url, many)
        many.set("pause", 0)
        wait_for_operations(many, live.fewer(100000))
        many.pause()
        tap.equal(again.stop(), 0, "%s: the next recorder on the same database ends well" % name)
        live.check_balance(tap, url, name + ", then recorded again")
        want = {key: tuple(b + n - o for b, n, o in zip(booked.get(key, (0,) * 6), now, done.get(key, (0,) * 6)))
                for key, now in many.counts().items()}
        got = counts_in(url, many)
        wrong = ["pid %d %s: expected %s, in the books %s" % (*key, want.get(key), got.get(key))
                 for key in sorted(set(want) | set(got)) if want.get(key, (0,) * 6) != got.get(key, (0,) * 6)]
        tap.ok(not wrong, "%s: the second recording adds exactly what was done during it" % name, "%d differ" % len(wrong), *wrong[:10])
        tap.equal(live.value(url, "select count(*) from recording"), 2, "%s: two recordings" % name)
        many.stop()


def counts_in(url, many):
    pids, booked = set(many.pids()), {}
    for row in live.accounts(url, route="rw"):
        if row["pid"] in pids and row["path"].startswith(many.folder + "/"):
            key = (row["pid"], row["path"])
            booked[key] = tuple(a + row[c] for a, c in zip(booked.get(key, (0,) * 6), live.COUNTERS))
    return booked


def on_terminal(terminal, hangup):
    """In the child: a session of its own on that terminal, and SIGHUP as nohup(1) has it or not."""
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, hangup)


def terminal_gone(tap, scratch):
    """When its terminal goes away a recording ends as it does at any signal; under nohup it goes on."""
    for name, hangup in (("a terminal that is gone", signal.SIG_DFL), ("a terminal that is gone, under nohup", signal.SIG_IGN)):
        url = live.new_url("sqlite", scratch)
        master, terminal = os.openpty()
        with open(os.path.join(scratch, "said"), "w+b") as said:
            recorder = subprocess.Popen([live.IOLEDGER, "record", "--db", url, "--interval", "0.1s"], stdin=subprocess.DEVNULL,
                                        stdout=said, stderr=said, preexec_fn=lambda: on_terminal(terminal, hangup))
            live.wait_for(lambda: os.pread(said.fileno(), 4096, 0).count(b"recording to") or recorder.poll() is not None, "the recorder")
            os.close(terminal)
            os.close(master)
            if hangup == signal.SIG_IGN:
                batches = live.value(url, "select count(*) from batch")
                live.wait_for(lambda: live.value(url, "select count(*) from batch") > batches + 3 or recorder.poll() is not None, "batches")
                tap.equal(recorder.poll(), None, "%s: it goes on" % name)
                recorder.terminate()
            tap.equal(recorder.wait(live.PATIENCE), 0, "%s: it ends well" % name)
        live.check_balance(tap, url, name)


def duration(tap, scratch):
    url = live.new_url("sqlite", scratch)
    start = time.monotonic()
    recorder = live.Recorder(url, "--duration", "2s")
    subprocess.run(["cat", "/etc/passwd"], stdout=subprocess.DEVNULL, check=True)
    tap.equal(recorder.wait(60), 0, "--duration: the recorder ends by itself with exit status 0")
    seconds = time.monotonic() - start
    tap.ok(seconds >= 2, "--duration 2s: not before its time: %.1f s" % seconds)
    live.check_balance(tap, url, "--duration")


def outage(tap, scratch):
    """PostgreSQL goes away during a recording and comes back: the recording goes on and the books are complete."""
    name = "PostgreSQL away for %g s" % OUTAGE
    cluster = live.PostgreSQL()
    try:
        url = cluster.new_database()
        many = heavy_work(scratch)
        recorder = live.Recorder(url, "--interval", "0.2s")
        many.start()
        many.set("go")
        live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 3, "three batches")
        batches = live.value(url, "select count(*) from batch")
        cluster.stop()
        start = time.monotonic()
        wait_for_operations(many, live.fewer(300000))
        live.wait_for(lambda: time.monotonic() - start >= OUTAGE, "the end of the outage", OUTAGE + 10)
        tap.ok(recorder.process.poll() is None, "%s: the recorder goes on" % name, recorder.errors())
        said = [line for line in recorder.lines if "PostgreSQL" in line or "postgres" in line]
        tap.ok(1 <= len(said) <= 3, "%s: the recorder says so, once" % name, *recorder.lines)
        cluster.start()
        live.wait_for(lambda: live.value(url, "select count(*) from batch") > batches + 1, "batches after the outage")
        tap.ok(True, "%s: what was counted meanwhile arrives" % name)
        wait_for_operations(many, live.fewer(100000))
        many.pause()
        tap.equal(recorder.stop(signal.SIGTERM), 0, "%s: the recorder ends well" % name)
        check_exact(tap, url, many, name)
        live.check_balance(tap, url, name)
        double = live.rows(url, "select boot_id, seq from batch group by boot_id, seq having count(*) > 1")
        tap.equal(double, [], "%s: no batch twice" % name)
        many.stop()
    finally:
        cluster.remove()


def read_while_recording(tap, scratch):
    """The SQLite ledger is open to readers all the time."""
    url = live.new_url("sqlite", scratch)
    many = heavy_work(scratch)
    # not more rows in the time that a command takes than it can read in that
    recorder = live.Recorder(url, "--interval", "%gs" % min(2, live.longer(0.1)))
    many.start()
    many.set("go")
    target = os.path.join(many.folder, "7")
    live.wait_for(lambda: live.rows(url, "select 1 as x from file where path = '%s'" % target), "the first rows")
    seen = 0
    for _ in live.some(range(5), 2):
        for words in (["who", target], ["files", str(many.pids()[0])], ["tree"], ["balance"]):
            done = live.run(*words, "--db", url)
            if not (done.returncode == 0 and done.stdout):
                tap.ok(False, "%s while recording" % " ".join(words), done)
        done = subprocess.run(["sqlite3", "-readonly", live.sqlite_path(url), "select sum(read_ops) + sum(write_ops) from io"],
                              capture_output=True, check=False)
        number = int(done.stdout or -1)
        if done.returncode != 0 or number < seen:
            tap.ok(False, "sqlite3 while recording sees more each time", done)
        seen = number
    tap.ok(seen > 0, "who, files, tree, balance and sqlite3 answer while recording")
    tap.ok(recorder.process.poll() is None, "the recorder goes on", recorder.errors())
    many.pause()
    tap.equal(recorder.stop(), 0, "the recorder ends well")
    check_exact(tap, url, many, "read while recording")
    live.check_balance(tap, url, "read while recording")
    many.stop()


live.main(signal_after_work, signal_during_work, interrupted_start, killed, terminal_gone, duration, outage, read_while_recording)
