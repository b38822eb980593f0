#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What is recorded to a Kafka topic or a jsonl file, and then loaded into a database, is what the workload did."""
import os
import stat

import livelib as live
from kafkalib import Cluster


def do(many, operations=30000):
    start = many.operations()
    many.set("pause", 0)
    many.set("go")
    live.wait_for(lambda: many.operations() >= start + operations, "%d operations" % operations)
    many.pause()


def check_loaded(tap, scratch, source, many, name):
    url = live.new_url("sqlite", scratch)
    for _ in range(2):
        done = live.run("load", "--db", url, source)
        tap.ok(done.returncode == 0, "%s: it is loaded" % name, done.stdout, done.stderr)
    wrong = many.differences(url)
    tap.ok(not wrong, "%s: each of %d (process, file) is in the books" % (name, len(many.counts())), *wrong[:10])
    live.check_balance(tap, url, name)
    tap.equal(live.value(url, "select count(*) from recording where ended is not null"), 1, "%s: the recording has ended" % name)


def through_kafka(tap, scratch):
    """The brokers go away and come back meanwhile; rows wait in the spool."""
    cluster = Cluster(2)
    try:
        for form in ("binary", "json"):
            topic = cluster.new_topic(2)
            folder = os.path.join(scratch, "spool-" + form)
            recorder = live.Recorder(topic + "?format=" + form, "--interval", "0.1s", "--spool", folder)
            many = live.ManyControl(scratch, files=100, processes=2, threads=2)
            many.start()
            do(many)
            for broker in (1, 2):
                cluster.say("down %d" % broker)
            do(many)
            live.wait_for(lambda r=recorder: any("cannot write to the Kafka topic" in line for line in r.lines), "the recorder to miss the brokers")
            tap.equal(stat.S_IMODE(os.stat(folder).st_mode), 0o700, "%s: there is a spool" % form)
            for broker in (1, 2):
                cluster.say("up %d" % broker)
            live.wait_for(lambda r=recorder: any("takes rows again" in line for line in r.lines), "the recorder to find the brokers")
            do(many)
            tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % form)
            tap.ok(not os.path.exists(folder), "%s: nothing is left in the spool" % form)
            check_loaded(tap, scratch, topic, many, form)
            many.stop()
    finally:
        cluster.stop()


def through_jsonl(tap, scratch):
    path = os.path.join(scratch, "ledger.jsonl")
    recorder = live.Recorder("jsonl:" + path, "--interval", "0.1s")
    many = live.ManyControl(scratch, files=100, processes=2, threads=2)
    many.start()
    do(many)
    tap.equal(recorder.stop(), 0, "jsonl: the recorder ends well")
    check_loaded(tap, scratch, path, many, "jsonl")
    many.stop()


if __name__ == "__main__":
    live.main(through_kafka, through_jsonl)
