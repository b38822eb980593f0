#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A 32-bit program: what it reads and writes is booked by its own numbers, which mean other calls to a 64-bit kernel."""
import errno
import os
import subprocess

import livelib as live

# What workload_compat.c does: file, kind, route: read ops, bytes, errors, write ops, bytes, errors.
BOOKS = {
    ("rw", "file", "rw"): (6, 21 + 11 + 23 + 11 + 6 + 0, 1, 5, 22 + 6 + 24 + 11 + 6, 0),
    ("(no open file)", "other", "rw"): (0, 0, 1, 0, 0, 1),
    ("in", "file", "sendfile"): (2, 2500 + 2501, 0, 0, 0, 0),
    ("out", "file", "sendfile"): (0, 0, 0, 2, 2500 + 2501, 0),
    ("in", "file", "splice"): (1, 1000, 0, 0, 0, 0),
    ("(pipes)", "pipe", "splice"): (1, 900, 0, 1, 1000, 0),
    ("out", "file", "splice"): (0, 0, 0, 1, 900, 0),
    ("in", "file", "copy_file_range"): (1, 1001, 0, 0, 0, 0),
    ("copy", "file", "copy_file_range"): (0, 0, 0, 1, 1001, 0),
    ("mapped", "file", "mmap"): (3, 0, 0, 2, 0, 0),
    ("aio", "file", "rw"): (2, 61 + 63, 0, 1, 62, 0),
}


def require_32_bits(program, folder):
    if not os.path.exists(program):
        raise live.Skip("the compiler of this build makes no 32-bit programs (or this is no x86-64)")
    try:
        status = subprocess.run([program], cwd=folder, check=False).returncode
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        raise live.Skip("this kernel runs no 32-bit programs") from None
    if status != 0:
        raise live.Failure("step %d of workload_compat.c did not do what it must" % status)


def compare(tap, url, folder, name):
    got = {}
    for row in live.accounts(url, maps=True, origin="exec", comm="workload_compat"):
        path = os.path.relpath(row["path"], folder) if row["path"].startswith("/") else row["path"]
        got[path, row["kind"], row["route"]] = live.sums([row])
    for route in dict.fromkeys(key[2] for key in BOOKS):
        want = {key: BOOKS[key] for key in BOOKS if key[2] == route}
        tap.equal({key: got.get(key) for key in want}, want, "%s: %s: %d accounts exact" % (name, route, len(want)))
    tap.equal({key: got[key] for key in got if key not in BOOKS}, {}, "%s: no call is taken for its 64-bit namesake" % name)
    live.check_balance(tap, url, name)


def check(tap, scratch, kind):
    program, folder = live.workload("compat"), os.path.join(scratch, kind)
    trial = folder + "-trial"
    os.mkdir(folder)
    os.mkdir(trial)
    require_32_bits(program, trial)
    url = live.new_url(kind, scratch)
    recorder = live.Recorder(url, command=[program], cwd=folder)
    tap.equal(recorder.wait(), 0, "%s: the 32-bit program runs to its end" % kind)
    compare(tap, url, folder, kind)


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql")


if __name__ == "__main__":
    live.main(sqlite, postgresql)
