#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""`ioledger load`: what a spool or a jsonl file holds goes into any database once, however often it is loaded.

Batches are made up by bench/feed, for a server that is never there. The words on the command line choose among the tests.
"""
import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys

import feedlib
from feedlib import FEED, live, load

BATCHES, ROWS = 150, 40
AWAY = "postgresql://nobody@/none?host=/nonexistent"


class Spool:
    """A spool with BATCHES batches that wait for a server that is away; feed goes on running until stop()."""

    def __init__(self, scratch, batches=BATCHES, rows=ROWS, most=64 << 20):
        self.folder = os.path.join(scratch, "spool")
        self.process = subprocess.Popen([FEED, AWAY, self.folder, str(batches), str(rows), "0", str(most)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for line in self.process.stdout:
            if float(line.split()[2]) == batches:
                break
        else:
            raise live.Failure("feed: " + self.process.stderr.read().decode())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()
        return self

    def segments(self):
        return sorted(os.path.join(self.folder, n) for n in os.listdir(self.folder) if n.endswith(".segment"))


def check_exact(tap, url, name):
    feedlib.check_exact(tap, url, BATCHES, ROWS, name)


def everywhere(tap, scratch, cluster):
    """A spool into each kind of database, twice; into jsonl, and that into a database again."""
    spool = Spool(scratch).stop()
    jsonl = os.path.join(scratch, "ledger.jsonl")
    done = load("jsonl:" + jsonl, spool.folder)
    tap.ok(done.returncode == 0 and done.stdout.startswith(b"%d batches with " % BATCHES), "a spool as JSON", done.stdout, done.stderr)
    for kind in ("sqlite", "postgresql"):
        for what, path in (("spool", spool.folder), ("jsonl", jsonl)):
            url = cluster.new_database() if kind == "postgresql" else live.new_url(kind, scratch)
            for turn in ("once", "twice"):
                done = load(url, path)
                tap.ok(done.returncode == 0 and not done.stderr, "%s into %s, %s" % (what, kind, turn), done.stdout, done.stderr)
                check_exact(tap, url, "%s into %s, %s" % (what, kind, turn))
    files = spool.segments()
    url = live.new_url("sqlite", scratch)
    done = load(url, *files)
    tap.ok(done.returncode == 0, "the files of a spool, by their names", done.stderr)
    check_exact(tap, url, "the files of a spool")
    out = live.run("load", "--db", "jsonl:-", files[0])
    tap.ok(out.stdout.startswith(b'{"table": ') and out.stdout.endswith(b"}\n") and b"are stored" in out.stderr,
           "to stdout: nothing but rows on stdout", out.stdout[-200:], out.stderr)


def into_clickhouse(tap, scratch, cluster):
    """A spool and a jsonl file into ClickHouse, twice."""
    del cluster
    program, folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chcluster"), os.path.join(scratch, "ch")
    started = subprocess.run([program, "start", folder], capture_output=True, timeout=120, check=False)
    if started.returncode == 77:
        raise live.Skip("no ClickHouse server on this machine")
    try:
        url = started.stdout.decode().strip()
        spool = Spool(scratch).stop()
        jsonl = os.path.join(scratch, "ledger.jsonl")
        load("jsonl:" + jsonl, spool.folder)
        for what, path in (("spool", spool.folder), ("spool again", spool.folder), ("jsonl", jsonl)):
            done = load(url, path)
            tap.ok(done.returncode == 0 and done.stdout.startswith(b"%d batches with " % BATCHES), "ClickHouse: " + what, done.stdout, done.stderr)
        mine = live.new_url("sqlite", scratch)
        load(mine, spool.folder)
        for args in (("balance",), ("files", "--format", "json")):
            here, there = live.run(*args, "--db", mine), live.run(*args, "--db", url)
            tap.ok(here.returncode == there.returncode == 0 and here.stdout == there.stdout, "ClickHouse: %s is that of SQLite" % args[0],
                   here.stdout[-300:], there.stdout[-300:], there.stderr)
    finally:
        subprocess.run([program, "remove", folder], check=False)


def merged(tap, scratch, cluster):
    """A spool that had to merge intervals: the totals are the same."""
    del cluster
    batches = 600
    spool = Spool(scratch, batches, 300, 1 << 20).stop()
    url = live.new_url("sqlite", scratch)
    for _ in range(2):
        done = load(url, spool.folder)
        tap.ok(done.returncode == 0, "merged: it is loaded", done.stdout, done.stderr)
    tap.ok(0 < live.value(url, "select count(*) from batch") < batches, "merged: there are fewer batches")
    tap.equal(live.value(url, "select sum(interval_ms) from total"), batches * 1000, "merged: they stand for all intervals")
    done = live.run("balance", "--db", url)
    tap.ok(done.returncode == 0, "merged: the books balance", done.stdout, done.stderr)


def cut(tap, scratch, cluster):
    """What is whole of a file that is cut is stored, one error names file and byte, and the whole file makes it complete."""
    del cluster
    spool = Spool(scratch).stop()
    jsonl = os.path.join(scratch, "whole.jsonl")
    load("jsonl:" + jsonl, spool.folder)
    segment = spool.segments()[0]
    for whole, name in ((jsonl, "cut.jsonl"), (segment, "cut.segment")):
        url, path = live.new_url("sqlite", scratch), os.path.join(scratch, name)
        size = os.path.getsize(whole) // 2 + 3
        shutil.copyfile(whole, path)
        os.truncate(path, size)
        done = load(url, "--remove", path)
        tap.ok(done.returncode == 1 and done.stderr.count(b"\n") == 1 and b"%s is cut at byte %d" % (path.encode(), size) in done.stderr,
               "%s: one clear error" % name, done.stderr)
        stored = live.value(url, "select count(*) from batch")
        tap.ok(0 < stored < BATCHES and re.match(rb"%d batch(es)? with \d+ rows (is|are) stored, 1 is not\.\n" % stored, done.stdout),
               "%s: what is whole is stored" % name, stored, done.stdout)
        tap.equal(live.value(url, "select count(*) from io"), stored * ROWS, "%s: and no part of another batch" % name)
        tap.ok(os.path.exists(path), "%s: it is not removed" % name)
        done = load(url, *(spool.segments() if whole == segment else [whole]))
        tap.ok(done.returncode == 0, "%s: then all of it" % name, done.stderr)
        check_exact(tap, url, name)
    url = live.new_url("sqlite", scratch)
    done = load(url, "--remove", jsonl)
    tap.ok(done.returncode == 0 and not os.path.exists(jsonl), "--remove removes what is stored", done.stderr)
    check_exact(tap, url, "--remove")


def refusals(tap, scratch, cluster):
    """One clear line for each thing that cannot be loaded."""
    del cluster
    url, spool = live.new_url("sqlite", scratch), Spool(scratch)
    other = os.path.join(scratch, "tail.jsonl")
    with open(other, "w", encoding="utf-8") as file:
        file.write('{"ts":"2026-11-25T10:00:00.000000Z","kind":"exec","pid":7}\n' * 3)
    try:
        for args, word in (((spool.folder,), b"pid %d" % spool.process.pid), ((spool.segments()[0],), b"uses the spool"),
                           ((scratch + "/none",), b"No such file"), ((scratch + "/spool/quarantine",), b"No such file"), ((FEED,), b"no JSON"),
                           ((other,), b"no row of a ledger"), ((live.sqlite_path(url),), b"is an SQLite ledger: it can be asked, not loaded")):
            done = load(url, *args)
            tap.ok(done.returncode == 1 and word in done.stderr and done.stderr.count(b"\n") <= 2 and done.stdout.startswith(b"0 batches"),
                   "load %s: one clear error" % os.path.basename(args[0]), done.stdout, done.stderr)
    finally:
        spool.stop()
    done = load(url, "--remove", spool.folder)
    tap.ok(done.returncode == 1 and b"--remove" in done.stderr and spool.segments(), "--remove takes nothing out of a spool", done.stderr)
    done = load(url, spool.folder)
    tap.ok(done.returncode == 0, "when its recorder has ended the spool can be read", done.stderr)
    check_exact(tap, url, "refusals")
    os.mkdir(scratch + "/empty")
    done = load(url, scratch + "/empty")
    tap.ok(done.returncode == 1 and b"no batch is in" in done.stderr, "a folder without a batch", done.stderr)


class Paced:
    """`load -` that gets its rows as the test pleases; it has a terminal for stderr."""

    def __init__(self, url, data):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([live.IOLEDGER, "load", "--db", url, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=slave)
        os.close(slave)
        self.data, self.said = data, ""

    def give(self, part):
        size = int(len(self.data) * part)
        self.process.stdin.write(self.data[:size])
        self.process.stdin.flush()
        self.data = self.data[size:]

    def says(self, word):
        def heard():
            while select.select([self.master], [], [], 0)[0]:
                try:
                    self.said += os.read(self.master, 4096).decode()
                except OSError:  # nobody has the other end any more
                    break
            return word in self.said
        live.wait_for(heard, "'%s' on the terminal" % word)

    def finish(self):
        self.give(1)
        self.process.stdin.close()
        out = self.process.stdout.read()
        self.process.wait(60)
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.said += os.read(self.master, 4096).decode()
            except OSError:
                break
        return self.process.returncode, out


def rows_as_json(scratch):
    spool = Spool(scratch).stop()
    return live.run("load", "--db", "jsonl:-", spool.folder).stdout


def progress(tap, scratch, cluster):
    """On a terminal it tells after two seconds how many rows it has, and takes the line away in the end."""
    del cluster
    url = live.new_url("sqlite", scratch)
    paced = Paced(url, rows_as_json(scratch))
    paced.give(0.5)
    paced.says("loading ... ")
    status, out = paced.finish()
    tap.ok(status == 0 and out.startswith(b"%d batches" % BATCHES), "progress: all is loaded", status, out)
    tap.ok("\r\033[K" in paced.said and paced.said.endswith("\r\033[K"), "progress: one line, which is gone in the end", repr(paced.said))
    check_exact(tap, url, "progress")


def away_meanwhile(tap, scratch, cluster):
    """The server is stopped and comes back while rows are loaded: it is waited for."""
    url = cluster.new_database()
    paced = Paced(url, rows_as_json(scratch))
    paced.give(0.5)
    live.wait_for(lambda: live.value(url, "select count(*) from pg_class where relname = 'batch'") == 1, "the tables")
    cluster.stop()
    try:
        paced.give(0.9)
        paced.process.stdin.write(paced.data)
        paced.process.stdin.close()
        paced.says("trying again")
    finally:
        cluster.start()
    out = paced.process.stdout.read()
    tap.ok(paced.process.wait(60) == 0 and out.startswith(b"%d batches" % BATCHES), "away meanwhile: all is loaded", out, paced.said)
    check_exact(tap, url, "away meanwhile")


def interrupted(tap, scratch, cluster):
    """Ctrl-C ends it between two batches; the next time completes it."""
    del cluster
    url, data = live.new_url("sqlite", scratch), rows_as_json(scratch)
    paced = Paced(url, data)
    paced.give(0.5)
    paced.says("loading ... ")
    paced.process.send_signal(signal.SIGINT)
    with contextlib.suppress(BrokenPipeError):  # it may have ended before it has them all
        paced.process.stdin.write(paced.data)
        paced.process.stdin.close()
    out = paced.process.stdout.read()
    tap.ok(paced.process.wait(60) == 1 and b"interrupted" in out, "interrupted: it says so", out, paced.said)
    stored = live.value(url, "select count(*) from batch")
    tap.ok(stored < BATCHES and live.value(url, "select count(*) from io") == stored * ROWS, "interrupted: whole batches are stored", stored)
    paced = Paced(url, data)
    tap.equal(paced.finish()[0], 0, "interrupted: again")
    check_exact(tap, url, "interrupted, and again")


if __name__ == "__main__":
    sys.exit(feedlib.run_with_postgresql((everywhere, into_clickhouse, merged, cut, refusals, progress, away_meanwhile, interrupted), "ioledger-load-"))
