# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""PostgreSQL is away for half an hour while 100,000 rows a minute come, one interval a second: bench/feed makes them, 60 times as fast.

Then the database comes back, and takes what waits. What the rows of the database add up to is compared with what was made.
"""
import os
import shutil
import subprocess
import threading

from benchlib import Result, Table
from part_store import Postgres

MINUTES, ROWS_A_MINUTE, FASTER = 30, 100_000, 60
INTERVALS = MINUTES * 60
ROWS = ROWS_A_MINUTE // 60 + 1  # of an interval
LIMITS = (1 << 30, 16 << 20)
NAMES = ("seconds", "made", "spooled", "stored", "rows", "waiting", "bytes", "merged", "quarantined", "queued", "rss")


class Feed:
    """What it said, line by line."""

    def __init__(self, bench, url, spool, limit):
        self.lines = []
        self.process = subprocess.Popen([bench.program("feed"), url, spool, str(INTERVALS), str(ROWS), str(FASTER), str(limit)],
                                        stdout=subprocess.PIPE, text=True)
        self.spooled = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(dict(zip(NAMES, map(float, line.split()))))
            if self.lines[-1]["spooled"] == INTERVALS:
                self.spooled.set()
        self.spooled.set()


def one(bench, postgres, limit):
    """A row of the table."""
    url, spool = postgres.create("ledger"), os.path.join(bench.scratch, "spool")
    shutil.rmtree(spool, ignore_errors=True)
    postgres.control("stop")
    feed = Feed(bench, url, spool, limit)
    feed.spooled.wait()
    away = len(feed.lines)
    postgres.control("start")
    if feed.process.wait() != 0:
        raise RuntimeError("feed failed")
    feed.reader.join()
    held, back = feed.lines[:away], feed.lines[away:]
    begun = max((line["seconds"] for line in feed.lines if line["stored"] == 0), default=0)
    stored = feed.lines[-1]["rows"] / (feed.lines[-1]["seconds"] - begun)
    sums = "select sum(read_ops), sum(read_bytes), sum(write_ops), sum(write_bytes) from "
    if postgres.ask("ledger", sums + "io") != postgres.ask("ledger", sums + "total"):
        raise RuntimeError("the books do not balance")
    waiting = held[-1]["waiting"]
    catching_up = INTERVALS / (feed.lines[-1]["seconds"] - begun)
    return ["%d MB" % (limit >> 20), "%.1f MB" % (max(line["bytes"] for line in feed.lines) / 2**20), "%d" % waiting,
            "%d" % feed.lines[-1]["merged"], "%.1f" % (held[len(held) // 10]["rss"] / 1024),
            "%.1f" % (max(line["rss"] for line in held) / 1024), "%.1f" % (max(line["rss"] for line in back) / 1024),
            "%.0f" % stored, "%.0f" % catching_up]


def measure(bench):
    with Postgres() as postgres:
        rows = [one(bench, postgres, limit) for limit in LIMITS]
    return Result("outage", [Table("outage", [
        "`--spool-max`", "spool at most", "batches that wait", "batches merged", "resident after 3 minutes, MB", "at most, away, MB",
        "at most, catching up, MB", "rows/s stored afterwards", "times as fast as they came"], rows)], notes=[
            "%d intervals of %d rows came while the database was away, %d in all, %d times as fast as they would have."
            % (INTERVALS, ROWS, INTERVALS * ROWS, FASTER)])
