#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Whatever becomes of PostgreSQL, of the way to it, or of who writes: each row arrives once.

Batches are made up by bench/feed, which has the recorder's own spool and writer. $IOLEDGER_KILLS is how often the writer is killed (8).
The words on the command line choose among the tests.
"""
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

import feedlib
from feedlib import FEED, MAX, Feed, live
from serverlib import Proxy, crash  # pylint: disable=wrong-import-position

FLEET = os.environ.get("IOLEDGER_BENCH_FLEET") or os.path.join(live.HERE, "../../build/bench/fleet")
KILLS = int(os.environ.get("IOLEDGER_KILLS", "8"))
SEED = int(os.environ.get("IOLEDGER_SEED", "0")) or random.randrange(1 << 30)
BIN = sorted((d for d in os.listdir("/usr/lib/postgresql") if os.path.exists("/usr/lib/postgresql/%s/bin/initdb" % d)),
             key=float)[-1:] if os.path.isdir("/usr/lib/postgresql") else []


def value(url, sql):
    return int(live.psql(url, sql).strip() or 0)


def check_exact(tap, url, feed, name):
    """Each batch is there, once, with its rows; and the books balance."""
    got = live.psql(url, "select count(*), count(distinct seq), min(seq), max(seq) from batch").strip()
    tap.equal(got, "%d|%d|1|%d" % (feed.batches, feed.batches, feed.batches), "%s: each batch is there" % name)
    tap.equal(value(url, "select count(*) from io"), feed.batches * feed.rows, "%s: each row is there, once" % name)
    done = live.run("balance", "--db", url)
    tap.ok(done.returncode == 0, "%s: the books balance" % name, done.stdout, done.stderr)


def as_server(*words):
    ids = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryFile("w+") as said:  # a server that it starts keeps it open
        done = subprocess.run([*ids, *words], cwd="/", stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False)
        said.seek(0)
        if done.returncode != 0:
            raise live.Failure("%s: %s" % (words, said.read()))


# The server goes away

def down_at_start(tap, scratch, cluster):
    """It is not there yet when the writer begins: all goes to the spool, and from there when it has come."""
    url = cluster.new_database()
    cluster.stop()
    try:
        feed = Feed(url, os.path.join(scratch, "spool"), 200)
        feed.until(lambda last: last["waiting"] == 200, "200 batches in the spool")
        tap.equal(feed.last["stored"], 0, "down at start: nothing is stored, all waits")
    finally:
        cluster.start()
    feed.finish()
    check_exact(tap, url, feed, "down at start")


def comes_and_goes(tap, scratch, cluster):
    """Stopped in order, killed with all that it had in hand, and started again, while batches come."""
    url = cluster.new_database()
    feed = Feed(url, os.path.join(scratch, "spool"), 1200, rate=80)
    for way in (cluster.stop, lambda: crash(cluster), lambda: crash(cluster)):
        stored = feed.last["stored"]
        feed.until(lambda last, stored=stored: last["stored"] >= stored + 20, "20 more batches")
        way()
        feed.until(lambda last: last["waiting"] >= 20, "20 batches that wait")
        cluster.start()
    feed.finish()
    check_exact(tap, url, feed, "server stopped, and killed twice")


def backends_killed(tap, scratch, cluster):
    """The process that serves the writer is ended in order, and killed, at any moment."""
    url, luck = cluster.new_database(), random.Random(SEED)
    feed = Feed(url, os.path.join(scratch, "spool"), 1500, rows=500, rate=100)
    for round_ in range(12):
        stored = feed.last["stored"]
        feed.until(lambda last, stored=stored: last["stored"] > stored, "one more batch")
        time.sleep(luck.random() / 50)
        if round_ % 4:
            live.psql(cluster.url, "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ioledger'")
            continue
        with contextlib.suppress(live.Failure, ValueError, OSError):
            os.kill(value(cluster.url, "select pid from pg_stat_activity where application_name = 'ioledger' limit 1"), signal.SIGKILL)
        live.wait_for(lambda: subprocess.run(["psql", "-X", "-q", "-d", cluster.url, "-c", "select 1"], capture_output=True,
                                             check=False).returncode == 0, "the server to be itself again")
    feed.finish()
    check_exact(tap, url, feed, "backend killed 12 times (seed %d)" % SEED)


def no_connections(tap, scratch, cluster):
    """All connections are taken when the writer begins, and are given back some time later."""
    url = cluster.new_database()
    hogs = []
    try:
        for _ in range(60):
            hog = subprocess.Popen(["psql", "-X", "-q", "-d", cluster.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT)
            hogs.append(hog)
            hog.stdin.write(b"\\echo here\n")
            hog.stdin.flush()
            if b"here" not in hog.stdout.readline():
                break
        tap.ok(hogs[-1].wait() != 0, "no connections: all of them are taken")
        feed = Feed(url, os.path.join(scratch, "spool"), 100)
        feed.until(lambda last: last["waiting"] == 100, "100 batches in the spool")
    finally:
        for hog in hogs:
            hog.stdin.close()
            hog.wait()
    feed.finish()
    check_exact(tap, url, feed, "no connections")


def full_disk(tap, scratch, cluster):
    """The disk of the server fills up, and is emptied."""
    if os.geteuid() != 0:
        raise live.Skip("not root")
    folder = os.path.join(cluster.folder, "small")
    os.mkdir(folder)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
    try:
        subprocess.run(["chown", "postgres:", folder], check=True)
        live.psql(cluster.url, "create tablespace small location '%s'" % folder)
        live.psql(cluster.url, "create database small tablespace small")
        url = cluster.named("small")
        feed = Feed(url, os.path.join(scratch, "spool"), 500, rows=300, rate=100)
        feed.until(lambda last: last["stored"] > 0, "a batch that is stored")
        with contextlib.suppress(OSError), open(os.path.join(folder, "filler"), "wb", buffering=0) as filler:
            while True:
                filler.write(bytes(65536))
        feed.until(lambda last: last["waiting"] >= 100, "batches that wait for room")
        stuck = feed.last["stored"]
        os.unlink(os.path.join(folder, "filler"))
        feed.finish()
        tap.ok(0 < stuck < 500, "full disk: it was full after %d batches" % stuck)
        check_exact(tap, url, feed, "full disk")
    finally:
        with contextlib.suppress(live.Failure):
            live.psql(cluster.url, "drop database if exists small with (force)")
            live.psql(cluster.url, "drop tablespace small")
        subprocess.run(["umount", "-l", folder], check=True)


def bad_line(tap, scratch, cluster):
    """Slow, and cut at any byte of what is asked and answered, COMMIT and its answer included."""
    name = re.search(r"/(live\d+)\?", cluster.new_database())[1]
    proxy = Proxy(scratch, os.path.join(cluster.data, ".s.PGSQL.5432"), random.Random(SEED), bad=True)
    feed = Feed("postgresql://postgres@/%s?host=%s" % (name, scratch), os.path.join(scratch, "spool"), 1000)
    live.wait_for(lambda: proxy.cuts >= 40 or feed.process.poll() is not None, "40 cuts", 100)
    proxy.bad = False
    feed.finish()
    tap.ok(proxy.cuts > 20, "bad line: it was cut %d times (seed %d)" % (proxy.cuts, SEED))
    check_exact(tap, cluster.named(name), feed, "bad line")


def failover(tap, scratch, cluster):
    """The first of two servers dies for good; the second, which has all that was committed, takes over."""
    del cluster
    first, second = live.PostgreSQL(), os.path.join(scratch, "second")
    pg_ctl = "/usr/lib/postgresql/%s/bin/pg_ctl" % BIN[0]
    try:
        url = first.new_database()
        os.mkdir(second)
        if os.geteuid() == 0:
            subprocess.run(["chown", "postgres:", second], check=True)
        live.psql(first.url, "alter system set synchronous_standby_names = '*'")
        as_server("pg_basebackup", "-h", first.data, "-U", "postgres", "-D", os.path.join(second, "data"), "-R", "-c", "fast")
        with open(os.path.join(second, "data/postgresql.conf"), "a", encoding="ascii") as conf:
            conf.write("unix_socket_directories = '%s'\n" % second)
        as_server(pg_ctl, "-D", os.path.join(second, "data"), "-l", os.path.join(second, "log"), "-w", "start")
        live.psql(first.url, "select pg_reload_conf()")
        live.wait_for(lambda: value(first.url, "select count(*) from pg_stat_replication where sync_state = 'sync'"), "the replication")
        name = re.search(r"/(live\d+)\?", url)[1]
        both = "postgresql://postgres@/%s?host=%s,%s&target_session_attrs=read-write" % (name, first.data, second)
        feed = Feed(both, os.path.join(scratch, "spool"), 300, rate=100)
        feed.until(lambda last: last["stored"] >= 50, "50 batches on the first server")
        crash(first)
        feed.until(lambda last: last["waiting"] >= 10, "batches that wait")
        as_server(pg_ctl, "-D", os.path.join(second, "data"), "-w", "promote")
        live.psql("postgresql://postgres@/postgres?host=%s" % second, "alter system set synchronous_standby_names = ''")
        live.psql("postgresql://postgres@/postgres?host=%s" % second, "select pg_reload_conf()")
        feed.finish()
        check_exact(tap, "postgresql://postgres@/%s?host=%s" % (name, second), feed, "failover")
    finally:
        subprocess.run([live.PGCLUSTER, "crash", second], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        first.remove()


def many_recorders(tap, scratch, cluster):
    """Many write to it at once, from the empty database on: nobody fails, has to try again, or is left behind."""
    del scratch
    recorders, rate, seconds = 30, 300, 4
    url = cluster.new_database()
    with open(os.path.join(cluster.data, "server.log"), encoding="utf-8", errors="replace") as log:
        log.seek(0, os.SEEK_END)
        done = subprocess.run([FLEET, url, str(recorders), str(rate), str(seconds)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False, timeout=200)
        errors = [line for line in log if re.search("ERROR|deadlock|FATAL", line)]
    tap.ok(done.returncode == 0 and not errors, "many recorders: none fails, and the server tells of no error", done.stderr, *errors[:5])
    rows, _, least, most, retries, rejected = map(float, done.stdout.split())
    tap.equal((rows, retries, rejected), (recorders * rate * seconds, 0, 0), "many recorders: all is written at the first try")
    tap.ok(least > 0, "many recorders: each comes to its turn: %d to %d rows in time" % (least, most))
    tap.equal(live.psql(url, "select count(*), count(distinct host_id) from io").strip(), "%d|%d" % (rows, recorders),
              "many recorders: each row is there, once")
    balance = live.run("balance", "--db", url)
    tap.ok(balance.returncode == 0, "many recorders: the books balance", balance.stdout, balance.stderr)


# What the database does not take, and what the spool does not hold

def rejected(tap, scratch, cluster):
    """A batch that it will never take is set aside with the reason; those before and behind it are stored."""
    url = cluster.new_database()
    Feed(url, os.path.join(scratch, "other"), 0).finish()  # creates the tables
    live.psql(url, "alter table batch add constraint unlucky check (seq not in (13, 17))")
    feed = Feed(url, os.path.join(scratch, "spool"), 50)
    feed.process.wait(60)
    tap.equal(live.psql(url, "select count(*), count(*) filter (where seq in (13, 17)) from batch").strip(), "48|0",
              "rejected: all batches but two are stored")
    tap.equal(value(url, "select count(*) from io"), 48 * feed.rows, "rejected: nothing of the two is")
    folder = os.path.join(feed.spool, "quarantine")
    reasons = [open(os.path.join(folder, n), encoding="utf-8").read() for n in sorted(os.listdir(folder)) if n.endswith(".txt")]
    tap.ok(len(reasons) == 2 and "unlucky" in reasons[0] and "seq 13\n" in reasons[0] and "seq 17\n" in reasons[1],
           "rejected: quarantine has the two, and says why", *reasons)
    tap.equal(feed.last["quarantined"], 2, "rejected: they are counted")
    again = live.run("load", "--db", url, folder)
    tap.ok(again.returncode == 1 and again.stderr.count(b"unlucky") == 2 and b"0 batches with 0 rows are stored, 2 are not." in again.stdout,
           "rejected: load tells that they are refused still", again.stdout, again.stderr)
    live.psql(url, "alter table batch drop constraint unlucky")
    for _ in range(2):
        loaded = live.run("load", "--db", url, folder)
        tap.ok(loaded.returncode == 0 and loaded.stdout.startswith(b"2 batches with "), "rejected: load stores them when the reason is gone, once",
               loaded.stdout, loaded.stderr)
    check_exact(tap, url, feed, "rejected, and loaded")
    tap.equal(live.run("load", "--remove", "--db", url, folder).returncode, 0, "rejected: load --remove")
    tap.equal(os.listdir(folder), [], "rejected: quarantine is empty then")
    for path, word in ((folder, b"no batch is in"), (FEED, b"no JSON"), (folder + "/none", b"No such file")):
        bad = live.run("load", "--db", url, path)
        tap.ok(bad.returncode == 1 and word in bad.stderr and bad.stderr.count(b"\n") <= 2, "load %s: one clear error" % os.path.basename(path), bad.stderr)


def spool_full(tap, scratch, cluster):
    """More waits than the spool may hold: intervals become longer ones, and every total is what it was."""
    batches, rows, most = 2000, 300, 3 << 20
    sums = "select %s from (select sum(read_ops), sum(read_bytes), sum(write_ops), sum(write_bytes) from %s) t"
    whole = cluster.new_database()
    Feed(whole, os.path.join(scratch, "big"), batches, rows).finish()
    url = cluster.new_database()
    cluster.stop()
    try:
        feed = Feed(url, os.path.join(scratch, "spool"), batches, rows, most=most)
        feed.until(lambda last: last["spooled"] == batches, "all batches in the spool")
        held = sum(e.stat().st_size for e in os.scandir(feed.spool) if e.is_file())
        tap.ok(held <= most and feed.last["merged"] > 0, "spool full: it takes %d of %d bytes, and has merged" % (held, most), feed.last)
    finally:
        cluster.start()
    feed.finish()
    for table in ("io", "total"):
        tap.equal(live.psql(url, sums % ("*", table)), live.psql(whole, sums % ("*", table)),
                  "spool full: the sums of %s are those of all intervals" % table)
    done = live.run("balance", "--db", url)
    tap.ok(done.returncode == 0, "spool full: the books balance", done.stdout, done.stderr)
    lost = value(url, "select sum(lost) from loss where reason = 'spool full: intervals merged'")
    tap.equal(lost + value(url, "select count(distinct ts) from total"), batches, "spool full: loss says how many intervals are no more")
    tap.equal(value(url, "select count(*) from (select distinct ts, interval_ms from total) t"), value(url, "select count(distinct ts) from total"),
              "spool full: each interval has one length")
    tap.equal(value(url, "select sum(interval_ms) from total"), batches * 1000, "spool full: together they last as long as all did")
    orphans = value(url, "select count(*) from io where not exists (select 1 from process p where p.id = io.process_id)"
                         " or not exists (select 1 from file f where f.id = io.file_id)")
    tap.equal(orphans, 0, "spool full: every row has its process and its file")


# The writer dies

def writer_killed(tap, scratch, cluster):
    """kill -9 of the writer at any moment, and now and then half an entry at the end of the spool, as a power cut leaves it."""
    url, luck = cluster.new_database(), random.Random(SEED)
    feed = Feed(url, os.path.join(scratch, "spool"), 1000, rows=200, rate=300)
    for round_ in range(KILLS):
        time.sleep(luck.uniform(0.01, 0.6))
        feed.kill()
        if round_ % 2:
            tear(feed.spool, luck)
        if round_ % 3 == 2:
            crash(cluster)
            feed.start()
            time.sleep(luck.uniform(0.05, 0.3))
            feed.kill()
            cluster.start()
        feed.start()
    feed.finish()
    check_exact(tap, url, feed, "writer killed %d times (seed %d)" % (KILLS, SEED))


def tear(spool, luck):
    """Appends a part of an entry: of the first one that is there, or of nothing but zeros."""
    names = sorted(n for n in os.listdir(spool) if n.endswith(".segment"))
    if not names:
        return
    with open(os.path.join(spool, names[-1]), "r+b") as file:
        whole = file.read()
        size = luck.randrange(1, 400)
        file.write(whole[40:40 + size] if luck.random() < 0.5 else bytes(size))


def main():
    if not BIN:
        print("1..0 # SKIP no PostgreSQL server on this machine")
        return 0
    tests = (down_at_start, comes_and_goes, backends_killed, no_connections, full_disk, bad_line, failover, many_recorders, rejected, spool_full, writer_killed)
    return feedlib.run_with_postgresql(tests, "ioledger-outage-", lambda cluster: cluster.start())


if __name__ == "__main__":
    sys.exit(main())
