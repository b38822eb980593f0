#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What a recorder does while PostgreSQL is away, at its start, its end, or when it is killed: the books are exact in the end.

What may become of the database in other ways, tests/db/test_outage.py tries without a kernel.
"""
import os
import signal
import stat
import subprocess

import livelib as live


def work(scratch):
    many = live.ManyControl(scratch, files=100, processes=2, threads=2)
    many.start()
    return many


def do(many, operations=50000):
    start = many.operations()
    many.set("pause", 0)
    many.set("go")
    live.wait_for(lambda: many.operations() >= start + operations, "%d operations" % operations)
    many.pause()


def check_exact(tap, url, many, name):
    wrong = many.differences(url)
    tap.ok(not wrong, "%s: each of %d (process, file) is in the books" % (name, len(many.counts())), "%d differ" % len(wrong), *wrong[:10])
    live.check_balance(tap, url, name)
    double = live.rows(url, "select boot_id, seq from batch group by boot_id, seq having count(*) > 1")
    tap.equal(double, [], "%s: no batch twice" % name)


def usual_folder():
    return os.path.join(os.environ["STATE_DIRECTORY"], "spool")


def spools():
    return sorted(os.listdir(usual_folder())) if os.path.isdir(usual_folder()) else []


def said(recorder, *words):
    return any(all(word in line for word in words) for line in recorder.lines)


def down_at_start(tap, scratch):
    """The database is not there yet; all goes to the spool until it comes."""
    cluster = live.PostgreSQL.shared()
    url = cluster.new_database()
    cluster.stop()
    try:
        done = live.run("record", "--db", url, "--duration", "1s")
        tap.ok(done.returncode == 1 and b"--spool DIR" in done.stderr, "down at start: without a word of a spool it is an error", done.stderr)
        tap.equal(spools(), [], "down at start: … that leaves nothing behind")
        folder = os.path.join(scratch, "waits")
        recorder = live.Recorder(url, "--interval", "0.1s", "--spool", folder)
        many = work(scratch)
        tap.ok(said(recorder, "the database is away", "rows wait in " + folder), "down at start: it says so", *recorder.lines)
        do(many)
        live.wait_for(lambda: any(e.stat().st_size > 1000 for e in os.scandir(folder) if e.name.endswith(".segment")), "rows in the spool")
        modes = {stat.S_IMODE(os.stat(os.path.join(folder, n)).st_mode) for n in os.listdir(folder)}
        tap.equal((stat.S_IMODE(os.stat(folder).st_mode), modes), (0o700, {0o600}), "down at start: the spool is for its owner only")
    finally:
        cluster.start()
    live.wait_for(lambda: said(recorder, "takes rows again"), "the recorder to find the database")
    do(many)
    tap.equal(recorder.stop(), 0, "down at start: the recorder ends well")
    check_exact(tap, url, many, "down at start")
    tap.equal(os.path.exists(folder), False, "down at start: nothing is left of the spool when all is stored")
    many.stop()


def away_at_the_end(tap, scratch):
    """What could not be stored stays in the spool, and the next recording sends it."""
    cluster = live.PostgreSQL.shared()
    url = cluster.new_database()
    recorder = live.Recorder(url, "--interval", "0.1s")
    many = work(scratch)
    do(many)
    cluster.stop()
    try:
        do(many)
        tap.equal(recorder.stop(), 0, "away at the end: exit status 0, as nothing is lost")
        tap.ok(said(recorder, "rows", "wait in " + usual_folder(), "next 'ioledger record'"), "away at the end: it says what waits, and where",
               *recorder.lines)
        tap.equal(len(spools()), 1, "away at the end: the spool stays")
        command = live.Recorder(url, "--quiet", command=["sh", "-c", "exit 7"])
        tap.equal(command.wait(), 7, "away at the end: with CMD, CMD's own exit status")
    finally:
        cluster.start()
    again = live.Recorder(url, "--interval", "0.1s")
    tap.ok(said(again, "batches of earlier recordings are sent first"), "away at the end: the next one tells of them", *again.lines)
    do(many)
    tap.equal(again.stop(), 0, "away at the end: the next one ends well")
    check_exact(tap, url, many, "away at the end")
    tap.equal(spools(), [], "away at the end: the spool is gone")
    tap.equal(live.value(url, "select count(*) from recording where ended is not null"), 3, "away at the end: three recordings, all ended")
    many.stop()


def killed_while_away(tap, scratch):
    """kill -9 while rows wait: what had been spooled is not lost."""
    cluster = live.PostgreSQL.shared()
    url = cluster.new_database()
    recorder = live.Recorder(url, "--interval", "0.1s")
    many = work(scratch)
    live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 2, "two batches")
    cluster.stop()
    try:
        do(many)
        for _ in range(2):  # the second is of an interval that ended after the last operation
            size = spool_bytes()
            live.wait_for(lambda: subprocess.run(["true"], check=True) and spool_bytes() > size, "one more interval in the spool")
        recorder.process.send_signal(signal.SIGKILL)
        recorder.wait()
    finally:
        cluster.start()
    again = live.Recorder(url, "--interval", "0.1s", "--comm", "nobody-has-this-name")
    live.wait_for(lambda: live.value(url, "select count(*) from recording") == 2, "the second recording's first batch")
    tap.equal(again.stop(), 0, "killed while away: the next recorder ends well")
    check_exact(tap, url, many, "killed while away")
    many.stop()


def spool_bytes():
    return sum(e.stat().st_size for name in spools() for e in os.scandir(os.path.join(usual_folder(), name)) if e.is_file())


def two_recorders(tap, scratch):
    """Two recorders to one database have a spool each; a folder that was asked for is one recorder's."""
    del scratch
    cluster = live.PostgreSQL.shared()
    url = cluster.new_database()
    first, second = live.Recorder(url), live.Recorder(url)
    names = spools()
    tap.ok(len(names) == 2 and names[1] == names[0] + "-2", "two recorders: a spool each", names)
    done = live.run("record", "--db", url, "--spool", os.path.join(usual_folder(), names[0]), "--duration", "1s")
    tap.ok(done.returncode == 1 and b"another recorder, pid %d" % first.pid in done.stderr, "two recorders: a spool that is in use is refused", done)
    tap.equal((first.stop(), second.stop()), (0, 0), "two recorders: both end well")
    live.check_balance(tap, url, "two recorders")
    tap.equal(spools(), [], "two recorders: nothing is left")


def set_aside(tap, scratch):
    """A batch that the database refuses is set aside, the rest is stored, and the end says so."""
    url = live.PostgreSQL.shared().new_database()
    recorder = live.Recorder(url, "--interval", "0.1s")
    many = work(scratch)
    live.wait_for(lambda: live.value(url, "select count(*) from batch") >= 1, "the first batch")
    # The batch behind the last one, and no other.
    live.psql(url, "lock table batch in access exclusive mode; create function unlucky(bigint) returns boolean language plpgsql as "
                   "$$ begin return $1 <> (select coalesce(min(seq), $1) from batch_refused); end $$;"
                   "create table batch_refused (seq bigint); insert into batch_refused select max(seq) + 1 from batch;"
                   "alter table batch add constraint refused_by_test check (unlucky(seq))")
    do(many)
    live.wait_for(lambda: live.value(url, "select max(seq) - min(seq) from batch") >= 3, "batches behind the refused one")
    status = recorder.stop()
    tap.equal(status, 1, "set aside: exit status 1")
    tap.ok(said(recorder, "set aside", "/quarantine") and said(recorder, "refused_by_test"), "set aside: the end says so, and why", *recorder.lines)
    folder = os.path.join(usual_folder(), spools()[0], "quarantine")
    reasons = [open(os.path.join(folder, n), encoding="utf-8").read() for n in os.listdir(folder) if n.endswith(".txt")]
    tap.ok(len(reasons) == 1 and "refused_by_test" in reasons[0], "set aside: the reason is beside it", *reasons)
    tap.equal(live.value(url, "select max(seq) - min(seq) + 1 - count(*) from batch"), 1, "set aside: one batch is missing, no other")
    many.stop()


class Stream:
    """Processes that live for a moment, one behind the other."""

    def __init__(self, scratch):
        self.end = os.path.join(scratch, "stream.end")
        script = 'while [ ! -e "$1" ]; do sleep 0.1 & done; wait'
        self.process = subprocess.Popen(["bash", "-c", script, "stream", self.end])

    def stop(self):
        with open(self.end, "w", encoding="ascii"):
            pass
        self.process.wait(live.PATIENCE)

    def rows(self, url):
        return live.rows(url, "select origin, start_time, exec_time, pid, exists (select 1 from event e where e.process_id = p.id and e.kind = 'exec') "
                              "as told from process p where ppid = %d and comm = 'sleep' order by start_time" % self.process.pid)


def another_server(tap, scratch):
    """A server that comes back is looked for among all processes, to be left out: who has just begun is still known by its own exec."""
    cluster = live.PostgreSQL.shared()
    url = cluster.new_database()
    stream = Stream(scratch)
    recorder = live.Recorder(url, "--interval", "0.1s")
    live.wait_for(lambda: any(row["told"] for row in stream.rows(url)), "the first exec")
    begun = live.value(url, "select max(start_time) from process where comm = 'sleep' and origin = 'exec'")
    for _ in range(3):
        cluster.stop()
        cluster.start()
        seen = live.value(url, "select count(*) from process where comm = 'sleep'")
        live.wait_for(lambda: live.value(url, "select count(*) from process where comm = 'sleep'") > seen + 50, "rows on the server that has come back")
    stream.stop()
    tap.equal(recorder.stop(), 0, "another server: the recorder ends well")
    late = [row for row in stream.rows(url) if row["start_time"] > begun]
    odd = [row for row in late if row["origin"] != "exec" or not row["exec_time"] or not row["told"]]
    tap.ok(len(late) > 150 and not odd, "another server: each of %d processes is known by its exec" % len(late), "%d are not" % len(odd), *odd[:5])
    live.check_balance(tap, url, "another server")


def no_such_database(tap, scratch):
    """What waiting does not mend is an error at once, spool or not."""
    del scratch
    cluster = live.PostgreSQL.shared()
    done = live.run("record", "--db", cluster.named("no_such_database"), "--duration", "1s")
    tap.ok(done.returncode == 1 and b"no_such_database" in done.stderr, "no such database: refused at once", done)
    tap.equal(spools(), [], "no such database: no spool is left")


live.main(down_at_start, away_at_the_end, killed_while_away, two_recorders, another_server, no_such_database, set_aside)
