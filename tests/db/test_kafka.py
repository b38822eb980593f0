#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A Kafka topic between recorders and a database: each batch arrives once, whatever becomes of the brokers.

The brokers are librdkafka's own mock cluster (kafkacluster.c); batches are made up by bench/feed, which has the recorder's own spool and
writer. The words on the command line choose among the tests.
"""
import contextlib
import json
import os
import signal
import subprocess
import sys

import feedlib
from feedlib import live, load
from kafkalib import Cluster  # pylint: disable=wrong-import-position

PRODUCE, FETCH, OFFSET_COMMIT = 0, 1, 8
ROWS = 50


def feed_topic(url, spool, batches, rate=0):
    return feedlib.Feed(url, spool, batches, ROWS, rate)


def check_exact(tap, url, batches, name):
    feedlib.check_exact(tap, url, batches, ROWS, name)


def both_formats(tap, scratch, cluster):
    """Binary and JSON, in one topic: loaded from its beginning as often as one likes."""
    topic = cluster.new_topic(3)
    feed_topic(topic, os.path.join(scratch, "spool"), 40).finish()
    feed_topic(topic + "?format=json", os.path.join(scratch, "spool"), 80).finish()
    for kind in ("sqlite", "postgresql"):
        url = live.new_url(kind, scratch)
        for turn in ("once", "twice"):
            done = load(url, topic)
            tap.ok(done.returncode == 0 and done.stdout.startswith(b"80 batches with ") and not done.stderr, "%s: loaded %s" % (kind, turn),
                   done.stdout, done.stderr)
            check_exact(tap, url, 80, "%s, %s" % (kind, turn))
    done = load("jsonl:-", topic)
    tap.equal(sum(json.loads(line)["table"] == "batch" for line in done.stdout.splitlines()), 80, "as JSON lines")


def group(tap, scratch, cluster):
    """With a group it goes on where that has come to; what the database did not take is not passed over."""
    topic = cluster.new_topic(1)
    feed_topic(topic, os.path.join(scratch, "spool"), 30).finish()
    url, grouped = live.new_url("postgresql", scratch), topic + "?group=db"
    done = load(url, grouped)
    tap.ok(done.returncode == 0 and done.stdout.startswith(b"30 batches"), "group: from the beginning", done.stdout, done.stderr)
    done = load(url, grouped)
    tap.ok(done.returncode == 0 and done.stdout.startswith(b"0 batches"), "group: then there is nothing more", done.stdout, done.stderr)
    feed_topic(topic, os.path.join(scratch, "spool"), 60).finish()
    live.psql(url, "alter table batch add constraint unlucky check (seq <> 41)")
    done = load(url, grouped)
    tap.ok(done.returncode == 1 and done.stderr.count(b"unlucky") == 1 and b"offset 40 of partition 0" in done.stderr and
           done.stdout == b"10 batches with %d rows are stored, 1 is not.\n" % live.value(url, "select %s" % rows_in(done)),
           "group: a batch that is refused ends it", done.stdout, done.stderr)
    live.psql(url, "alter table batch drop constraint unlucky")
    done = load(url, grouped)
    tap.ok(done.returncode == 0 and done.stdout.startswith(b"20 batches"), "group: and is not passed over", done.stdout, done.stderr)
    check_exact(tap, url, 60, "group")
    cluster.say("errors %d 16 3" % OFFSET_COMMIT)  # not the coordinator
    feed_topic(topic, os.path.join(scratch, "spool"), 70).finish()
    done = load(url, grouped)
    tap.ok(done.returncode == 0 and done.stdout.startswith(b"10 batches"), "group: brokers that do not take what it has come to", done.stdout, done.stderr)
    check_exact(tap, url, 70, "group, once more")


def rows_in(done):
    return int(done.stdout.split()[3]) if len(done.stdout.split()) > 3 else -1


def brokers_away(tap, scratch, cluster):
    """All brokers go and come back, one after the other and together, while batches come."""
    topic = cluster.new_topic(4)
    feed = feed_topic(topic, os.path.join(scratch, "spool"), 400, rate=40)
    for brokers in ((1,), (2, 3), (1, 2, 3)):
        stored = feed.last["stored"]
        feed.until(lambda last, stored=stored: last["stored"] >= stored + 10, "10 more batches")
        for broker in brokers:
            cluster.say("down %d" % broker)
        if len(brokers) == 3:
            feed.until(lambda last: last["waiting"] >= 20, "20 batches that wait")
        else:
            made = feed.last["made"]
            feed.until(lambda last, made=made: last["made"] >= made + 40, "40 more batches")
        for broker in brokers:
            cluster.say("up %d" % broker)
    feed.finish()
    tap.equal(feed.last["quarantined"], 0, "brokers away: nothing is set aside")
    url = live.new_url("sqlite", scratch)
    done = load(url, topic)
    tap.ok(done.returncode == 0, "brokers away: it is loaded", done.stdout, done.stderr)
    check_exact(tap, url, 400, "brokers away")


def errors(tap, scratch, cluster):
    """Errors that pass are waited for; one of a batch sets that aside, and says what to do."""
    topic = cluster.new_topic(1)
    for code in (6, 7, 19, 20, 3, 56):  # not the leader, timed out, too few replicas, ... after append, no such topic, disk error
        cluster.say("errors %d %d 2" % (PRODUCE, code))
    for broker in (1, 2, 3):
        cluster.say("rtt %d 20" % broker)
    feed = feed_topic(topic, os.path.join(scratch, "spool"), 100).finish()
    for broker in (1, 2, 3):
        cluster.say("rtt %d 0" % broker)
    tap.equal(feed.last["quarantined"], 0, "errors: those that pass set nothing aside")
    for code in (6, 5):
        cluster.say("errors %d %d 2" % (FETCH, code))
    url = live.new_url("sqlite", scratch)
    done = load(url, topic)
    tap.ok(done.returncode == 0, "errors: while it is loaded, too", done.stdout, done.stderr)
    check_exact(tap, url, 100, "errors")

    topic = cluster.new_topic(1)
    feed = feed_topic(topic + "?message.max.bytes=1000", os.path.join(scratch, "small"), 3)
    feed.process.wait(60)
    tap.equal(feed.last["quarantined"], 3, "too large: set aside")
    folder = os.path.join(feed.spool, "quarantine")
    reason = open(os.path.join(folder, sorted(n for n in os.listdir(folder) if n.endswith(".txt"))[0]), encoding="utf-8").read()
    tap.ok("too large" in reason.lower(), "too large: quarantine says so", reason)
    done = load(topic, folder)
    tap.ok(done.returncode == 0 and done.stdout.startswith(b"3 batches"), "too large: load brings them there when it may", done.stdout, done.stderr)
    url = live.new_url("sqlite", scratch)
    load(url, topic)
    check_exact(tap, url, 3, "too large")
    done = load(topic + "?message.max.bytes=1000", folder)
    tap.ok(done.returncode == 1 and done.stderr.count(b"max.message.bytes") == 3, "too large: load says what to do", done.stderr)


def follow(tap, scratch, cluster):
    """--follow goes on at the end, through an outage of the brokers and of the database."""
    topic, url = cluster.new_topic(2), live.new_url("postgresql", scratch)
    loader = subprocess.Popen([live.IOLEDGER, "load", "--follow", "--db", url, topic + "?group=follow"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    feed = feed_topic(topic, os.path.join(scratch, "spool"), 300, rate=60)

    def stored():
        with contextlib.suppress(live.Failure):
            return live.value(url, "select count(*) from batch")
        return 0
    live.wait_for(lambda: stored() >= 20, "20 batches in the database")
    for broker in (1, 2, 3):
        cluster.say("down %d" % broker)
    feed.until(lambda last: last["waiting"] >= 20, "20 batches that wait")
    for broker in (1, 2, 3):
        cluster.say("up %d" % broker)
    feed.finish()
    live.wait_for(lambda: stored() == 300, "all batches in the database")
    loader.send_signal(signal.SIGINT)
    out, err = loader.communicate(timeout=60)
    tap.ok(loader.returncode == 0 and b"batches with" in out, "follow: Ctrl-C is how it ends", loader.returncode, out, err)
    check_exact(tap, url, 300, "follow")


def killed(tap, scratch, cluster):
    """Whoever loads is killed at any moment, and what it had in hand comes again."""
    topic, url = cluster.new_topic(2), live.new_url("postgresql", scratch)
    feed_topic(topic, os.path.join(scratch, "spool"), 500).finish()
    load("jsonl:/dev/null", topic)
    for n in range(6):
        loader = subprocess.Popen([live.IOLEDGER, "load", "--db", url, topic + "?group=killed"], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            loader.wait(0.1 + 0.15 * n)
        loader.kill()
        loader.wait()
    done = load(url, topic + "?group=killed")
    tap.equal(done.returncode, 0, "killed: and once to its end")
    check_exact(tap, url, 500, "killed")


def refusals(tap, scratch, cluster):
    """One clear line, and what to do."""
    topic, url = cluster.new_topic(1), live.new_url("sqlite", scratch)
    dead = "kafka://127.0.0.1:1/none"
    for args, status, words in (
            (("files", "--db", topic), 1, (b"can be written, not asked", b"ioledger load 'kafka://")),
            (("prune", "--keep", "1d", "--db", topic), 1, (b"retention.ms",)),
            (("schema", "--db", topic), 2, (b"no kind of database",)),
            (("load", "--db", url, dead), 1, (b"none", b"is a broker running at 127.0.0.1:1?")),
            (("load", "--db", dead, "/dev/null"), 1, (b"is a broker running at 127.0.0.1:1?",)),
            (("load", "--db", url, "kafka://127.0.0.1"), 1, (b"is no Kafka URL",)),
            (("load", "--db", url, "kafka://u:secret@127.0.0.1/t"), 1, (b"is no Kafka URL",)),
            (("load", "--db", url, topic + "?format=xml"), 1, (b"'xml'", b"format=json")),
            (("load", "--db", url, topic + "?no.such.thing=1"), 1, (b"no.such.thing",)),
            (("load", "--db", url, topic + "?config=/none"), 1, (b"/none",)),
            (("load", "--follow", "--db", url, "x.jsonl"), 2, (b"--follow is for one Kafka topic",))):
        done = live.run(*args)
        said = b"".join(line for line in done.stderr.splitlines(True) if b"loading ..." not in line)
        tap.ok(done.returncode == status and all(w in said for w in words) and said.count(b"\n") <= 2 and b"secret" not in said,
               "%s: one clear error" % " ".join(args), done.returncode, done.stdout, done.stderr)


def with_brokers(test, tap, scratch):
    cluster = Cluster(3)
    try:
        test(tap, scratch, cluster)
    finally:
        cluster.stop()


def main():
    tests = (both_formats, group, brokers_away, errors, follow, killed, refusals)
    try:
        return feedlib.run(tests, "ioledger-kafka-", with_brokers, live.PostgreSQL.server_pids)
    finally:
        live.PostgreSQL.stop_shared()


if __name__ == "__main__":
    sys.exit(main())
