#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Mappings of files: how many, how many of them shared and writable, bytes never; and an event that says "bytes unknown"."""
import booklib
import livelib as live

EVENTS = """
select p.pid, p.origin, f.path, count(*) as events, count(e.bytes) as with_bytes
from event e join process p on p.id = e.process_id join file f on f.id = e.file_id
where e.kind = 'mmap' group by p.id, p.pid, p.origin, f.id, f.path
"""


def check_events(tap, run):
    """One event for each process image and file that it has mapped, however often, and its bytes are unknown."""
    mapped = {(a.pid, a.path) for a in run.expected if a.route == "mmap" and a.counts[0]}
    main = run.notes["start"][0][0]
    pids = {pid for pid, _ in mapped}
    rows = [r for r in live.rows(run.url, EVENTS) if r["pid"] in pids and (r["origin"] == "exec") == (r["pid"] == main)]
    seen = {(r["pid"], r["path"]): r["events"] for r in rows}
    tap.equal({key: seen.get(key) for key in mapped}, {key: 1 for key in mapped},
              "%s: an event of kind mmap for each of %d (process, file)" % (run.name, len(mapped)))
    tap.equal([r for r in rows if r["with_bytes"]], [], "%s: no mmap event claims to know bytes" % run.name)


def check(tap, scratch, kind):
    run = booklib.Run(tap, scratch, kind, "mmap")
    run.check()
    check_events(tap, run)


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql")


live.main(sqlite, postgresql)
