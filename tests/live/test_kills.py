#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Whatever dies between a read and its row in PostgreSQL, and whenever: after each death the books are exact.

Recorder, backend and postmaster are killed with -9, and the connection is cut at any byte, in a random order and at random moments, one of
them while another one has not recovered yet now and then. $IOLEDGER_KILLS is how often (20); $IOLEDGER_SEED chooses the moments.
"""
import os
import random
import time

import livelib as live
from serverlib import Proxy, answers, crash, kill_backend
from test_pin import KILLS, SEED, Churn, kill, pin_folder

OPTIONS = ("--interval", "100ms", "--max-accounts", "262144")
SIDE = ("select ts, route, {0}read_ops as a, {0}coalesce(read_bytes, 0) as b, {0}write_ops as c, {0}coalesce(write_bytes, 0) as d "
        "from {1} where ts > '{2}'")


def unequal(since):
    """SQL for the number of intervals after that time that do not balance."""
    return ("select count(*) from (select ts, route from (%s union all %s) both_sides group by ts, route "
            "having (sum(a), sum(b), sum(c), sum(d)) <> (0, 0, 0, 0)) unequal" % (SIDE.format("", "io", since), SIDE.format("-", "total", since)))


class Harm:
    """The recorder, its database and the line between them, and what can be done to each."""
    WAYS = ("recorder", "recorder", "backend", "postmaster", "line")

    def __init__(self, scratch):
        self.chance = random.Random(SEED)
        self.cluster = live.PostgreSQL()
        name = self.cluster.new_database().partition("?")[0].rpartition("/")[2]
        self.url = self.cluster.named(name)
        self.proxy = Proxy(scratch, os.path.join(self.cluster.data, ".s.PGSQL.5432"), self.chance)
        self.target = "postgresql://postgres@/%s?host=%s" % (name, scratch)
        self.options = ("--pin=" + pin_folder(scratch), *OPTIONS)
        self.recorder = live.Recorder(self.target, *self.options)
        self.done = dict.fromkeys(self.WAYS, 0)
        self.down = False

    def do(self, way):
        self.done[way] += 1
        if way == "recorder":
            kill(self.recorder)
            time.sleep(self.chance.choice((0, 0, 0.2)))
            self.recorder = live.Recorder(self.target, *self.options, wait=self.chance.random() < 0.5)
        elif way == "line":
            self.proxy.fuse = int(2 ** self.chance.uniform(0, 14))
        elif self.down:
            self.do("recorder")
            self.done[way] -= 1
        elif way == "backend":
            kill_backend(self.cluster)
        else:
            crash(self.cluster)
            self.down = True

    def mend(self):
        if self.down:
            self.cluster.start()
            self.down = False
        live.wait_for(lambda: answers(self.url), "the server to be itself again")
        if self.recorder.process.poll() is not None:
            raise live.Failure("the recorder has ended with %s: %s" % (self.recorder.process.returncode, self.recorder.errors()))

    def end(self):
        self.cluster.remove()


def after_each_kill(tap, scratch):
    harm = Harm(scratch)
    try:
        many = live.ManyControl(scratch, files=25, processes=2, threads=2)
        many.start()
        many.set("go")
        churn = Churn(scratch)
        wrong, checks, longest, since = [], 0, 0, "-infinity"
        while sum(harm.done.values()) < KILLS and not wrong:
            # one, or two of them one upon the other
            for _ in range(min(harm.chance.choice((1, 1, 2)), KILLS - sum(harm.done.values()))):
                time.sleep(harm.chance.expovariate(1 / 0.3))
                harm.do(harm.chance.choice(harm.WAYS))
            time.sleep(harm.chance.uniform(0, 0.5))
            harm.mend()
            many.pause()
            began = time.monotonic()
            try:
                live.wait_for(lambda: not many.differences(harm.url), "the books to say what was done", 2 * live.PATIENCE)
            except live.Failure:
                wrong += many.differences(harm.url)
            longest = max(longest, time.monotonic() - began)
            wrong += ["%d intervals do not balance after %s" % (n, harm.done) for n in (live.value(harm.url, unequal(since)),) if n]
            since = live.value(harm.url, "select max(ts) from total")
            checks += 1
            many.set("pause", 0)
            if checks % 20 == 0:
                tap.say("%d kills: exact so far" % sum(harm.done.values()))
        finish(tap, harm, many, churn)
        tap.ok(not wrong, "%d kills: in each of %d looks between them each of %d (process, file) is exact" % (KILLS, checks, len(many.counts())),
               "%d differ" % len(wrong), *wrong[:10])
        tap.say("seed %d; %s; at most %.1f s until all was stored" % (SEED, harm.done, longest))
    finally:
        harm.end()


def finish(tap, harm, many, churn):
    """All books, once more, when everything has come to its end."""
    count = churn.stop()
    many.pause()
    kill(harm.recorder)
    harm.recorder = live.Recorder(harm.target, *harm.options)
    name = "%d kills" % KILLS
    tap.equal(harm.recorder.stop(), 0, name + ": the last recorder ends with exit status 0")
    tap.equal(many.differences(harm.url), [], name + ": the books are exact in the end")
    churn.check(tap, harm.url, count, name)
    live.check_balance(tap, harm.url, name)
    many.stop()
    tap.equal(live.run("stop", "--unpin=" + harm.options[0].partition("=")[2]).returncode, 0, name + ": stop --unpin ends with exit status 0")


if __name__ == "__main__":
    live.main(after_each_kill)
