#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The recorder is light: under 40 MB resident at rest, under 3 % of a core while the machine reads bytes as fast as it can.

Both are measured on a recording of the whole machine with the default options. $IOLEDGER_LIGHT_SECONDS is the length of the
second measurement (10).
"""
import os
import re
import time

import livelib as live

SECONDS = float(os.environ.get("IOLEDGER_LIGHT_SECONDS", "10"))
RESIDENT_KB = 40 * 1000 * 1000 // 1024
CPU_PERCENT = 3.0


def status_kb(pid, file, *words):
    with open("/proc/%d/%s" % (pid, file), encoding="ascii", errors="replace") as status:
        found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", status.read(), re.M))
    return {word: int(found[word]) for word in words}


def map_memory_kb(pid):
    """Kernel memory of the recorder's BPF maps, which is not resident memory of any process."""
    total, seen = 0, set()
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        try:
            with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as info:
                text = info.read()
        except OSError:
            continue
        if "map_type" in text and re.search(r"^map_id:\s+(\d+)", text, re.M)[1] not in seen:
            seen.add(re.search(r"^map_id:\s+(\d+)", text, re.M)[1])
            total += int(re.search(r"^memlock:\s+(\d+)", text, re.M)[1])
    return total // 1024


def memory(tap, scratch):
    for kind in ("sqlite", "postgresql"):
        url = live.new_url(kind, scratch)
        recorder = live.Recorder(url)
        # At rest: the start's backfill is stored and a few intervals have gone by.
        live.wait_for(lambda: live.rows(url, "select count(*) as n from batch")[0]["n"] >= 5, "five batches in the database")
        used = {**status_kb(recorder.pid, "status", "VmRSS", "VmHWM"), **status_kb(recorder.pid, "smaps_rollup", "Pss")}
        tap.say("%s: resident %s; BPF maps in the kernel %d kB" % (kind, used, map_memory_kb(recorder.pid)))
        for word, kilobytes in used.items():
            tap.ok(kilobytes < RESIDENT_KB, "%s: %s at rest is under 40 MB: %.1f MB" % (kind, word, kilobytes * 1024 / 1e6))
        tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % kind)
        live.check_balance(tap, url, kind)


def processor(tap, scratch):
    for kind in ("sqlite", "postgresql"):
        url = live.new_url(kind, scratch)
        many = live.ManyControl(scratch, files=2, processes=os.cpu_count(), threads=1, reads_only=True)
        recorder = live.Recorder(url)
        many.start()
        many.set("go")
        live.wait_for(lambda: many.operations() > 1000000, "the first million reads")
        operations, used, start = many.operations(), live.process_seconds(recorder.pid), time.monotonic()
        live.wait_for(lambda: time.monotonic() - start >= SECONDS, "the end of the measurement", SECONDS + 10)
        seconds = time.monotonic() - start
        percent = (live.process_seconds(recorder.pid) - used) / seconds * 100
        rate = (many.operations() - operations) / seconds
        many.stop()
        tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % kind)
        tap.ok(percent < CPU_PERCENT, "%s: the recorder used under %g %% of a core: %.2f %% during %.0f reads a second"
               % (kind, CPU_PERCENT, percent, rate))
        live.check_balance(tap, url, kind)


live.main(memory, processor)
