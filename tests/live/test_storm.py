#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A storm of renames: whatever the books say a file was called, it was called so at some moment of that interval.

The workload knows, inode by inode, which name it had from when to when (workload_storm.c). Every row of these inodes must name
a path that the inode had within the row's interval, and within first_ts and last_ts too, which are as exact as a tick of the
kernel's clock; and the bytes of each inode must be exact, under all of its names together. Where an emulated processor stands still
in the middle of a rename, others find no name until it goes on: what they do is under (other files), and a loss says so.
$IOLEDGER_STORM_SECONDS is the length of the storm (5).
"""
import os
import sqlite3

import livelib as live

SECONDS = float(os.environ.get("IOLEDGER_STORM_SECONDS", "5"))
TICK_NS = 10 * 1000 * 1000 * (1 if live.SLOWNESS == 1 else 20)  # at 100 Hz, the lowest that there is; an emulated processor that stands still has none
LATE_NS = int(live.longer(50 * 1000 * 1000))  # the recorder may be kept off the processor between its look at the clock and the interval's end
CLOCK_NS = 5 * 1000 * 1000  # the wall clock's offset is read once an interval


class Storm:
    """What the workload says: names by inode as (from, to, path), and sums."""

    def __init__(self, path):
        self.names, self.sums, self.pid = {}, {}, None
        with open(path, encoding="utf-8") as log:
            for line in log:
                words = line.rstrip("\n").split(" ", 4 if line.startswith("name") else -1)
                if words[0] == "name":
                    self.names.setdefault(int(words[1]), []).append((int(words[2]), int(words[3]), words[4]))
                elif words[0] == "sum":
                    self.sums[int(words[1])] = tuple(int(word) for word in words[2:])
                else:
                    self.pid = int(words[1])

    def had(self, inode, path, start, end):
        return any(name == path and since <= end and start <= until for since, until, name in self.names[inode])

    def nearest(self, inode, path, start, end):
        """How far the row's span is from the nearest one in which the inode had that name, in ms; None: it never had."""
        away = [max(since - end, start - until) / 1e6 for since, until, name in self.names[inode] if name == path]
        return min(away) if away else None


def nanoseconds(text):
    whole, _, fraction = text.partition(".")
    return int(sqlite3.connect(":memory:").execute("select strftime('%s', ?)", (whole,)).fetchone()[0]) * 10**9 + \
        int((fraction + "000000000")[:9])


class Clock:
    """Texts to nanoseconds, each once: rows of an interval share theirs."""

    def __init__(self):
        self.known = {}

    def __getitem__(self, text):
        if text not in self.known:
            self.known[text] = nanoseconds(text)
        return self.known[text]


# Not by path alone: a path that is wrong is to be found, too.
ROWS = """select f.inode, f.path, f.flags, i.ts, i.interval_ms, i.first_ts, i.last_ts, i.read_ops, i.read_bytes, i.write_ops, i.write_bytes
          from io i join file f on f.id = i.file_id join process p on p.id = i.process_id
          where p.pid = %d and (f.path = '(other files)' or f.kind = 'file' and (f.path like '%s/%%' or f.flags is not null))"""
SUMS = ("read_ops", "read_bytes", "write_ops", "write_bytes")


def add(sums, more):
    return tuple(a + b for a, b in zip(sums, more))


def check_sums(tap, name, said, sums, lost):
    """By inode, None: (other files), where nothing is but what `lost` tells of."""
    unnamed = sums.pop(None, (0, 0, 0, 0))
    if live.SLOWNESS == 1:
        tap.equal(lost, [], "%s: nothing was lost" % name)
    tap.ok(all("renamed" in row["reason"] for row in lost) and unnamed[0] + unnamed[2] <= sum(row["lost"] for row in lost),
           "%s: each of %d operations that found no name is told as lost" % (name, unnamed[0] + unnamed[2]), lost)
    if not lost:
        tap.equal(sums, said, "%s: operations and bytes of each inode are exact, under all its names" % name)
    for one in sums.values():
        unnamed = add(unnamed, one)
    tap.equal(unnamed, tuple(map(sum, zip(*said.values()))), "%s: operations and bytes of all of them are exact" % name)


def check(tap, name, storm, booked, lost):
    clock, spans, ticks, sums = Clock(), [], [], {}
    for row in booked:
        inode = None if row["path"] == "(other files)" else row["inode"]
        if inode in storm.names or inode is None:
            sums[inode] = add(sums.get(inode, (0, 0, 0, 0)), (row[c] for c in SUMS))
        if inode not in storm.names:
            continue
        late = LATE_NS if row["last_ts"] == row["ts"] else 0
        end = clock[row["ts"]] + CLOCK_NS + late
        start = clock[row["ts"]] - (row["interval_ms"] + 1) * 10**6 - CLOCK_NS
        first, last = clock[row["first_ts"]] - TICK_NS - CLOCK_NS, clock[row["last_ts"]] + TICK_NS + CLOCK_NS + late
        if row["flags"] or not storm.had(inode, row["path"], start, end):
            spans.append("%s, away by %s ms" % (row, storm.nearest(inode, row["path"], start, end)))
        elif not storm.had(inode, row["path"], first, last):
            ticks.append("%s, away by %s ms" % (row, storm.nearest(inode, row["path"], first, last)))
    renames = sum(len(names) - 1 for names in storm.names.values())
    tap.ok(not spans and renames > 20, "%s: each of %d rows, among %d renames, names a path that the inode had in its interval"
           % (name, len(booked), renames), "%d do not" % len(spans), *spans[:10])
    tap.ok(not ticks, "%s: and that it had between its first and its last operation" % name, "%d do not" % len(ticks), *ticks[:10])
    check_sums(tap, name, storm.sums, sums, lost)


def storm(tap, scratch):
    # With a name that lasts for many ticks the times of a row have to be right, with a short one the name itself; 0 is a storm
    # with calms in it.
    for interval, pause_us in (("0.1s", 0), ("0.1s", 3000), ("1s", 3000), ("0.1s", 60000)):
        name = "interval %s, %d us" % (interval, pause_us)
        folder, log = os.path.join(scratch, name), os.path.join(scratch, name + ".log")
        os.mkdir(folder)
        url = live.new_url("sqlite", scratch)
        recorder = live.Recorder(url, "--interval", interval, command=[live.workload("storm"), folder, log, str(SECONDS), str(pause_us)])
        tap.equal(recorder.wait(), 0, "%s: the recorder passes on the status" % name)
        live.check_balance(tap, url, name)
        said = Storm(log)
        check(tap, name, said, live.rows(url, ROWS % (said.pid, folder)), live.losses(url))


live.main(storm)
