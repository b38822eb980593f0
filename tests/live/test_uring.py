#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""io_uring: every form of request, ring and end of a request, booked by its completion under the process that submitted it.

The second witness are the kernel's own trace events: the workloads mark their requests in user_data, and what the
completions in the trace sum up to must be what the books have on the route.
"""
import contextlib
import os
import re
import subprocess

import booklib
import livelib as live

TAG_READ, TAG_WRITE = 1 << 62, 1 << 61  # uring.h
COMPLETED = re.compile(r"io_uring_(complete|cqe_overflow): .*user_data 0x([0-9a-f]+), result (-?\d+)")


SINCE = (5, 19)  # before that the kernel does not tell which request has completed
# A request that is cancelled with its chain has a file of its own from 6.2 on, and before that in another way.
CHAINS = ("(no open file)", "links_in", "links_out")


def forms(tap, scratch, kind):
    run = booklib.Run(tap, scratch, kind, "uring")
    run.check(either=CHAINS if live.kernel() < (6, 2) else ())
    if "absent" in run.noted("direct"):
        tap.skip("%s: direct" % run.name, "no O_DIRECT on the file system of %s" % scratch)
    if "absent" in run.noted("fixed_vectors"):
        tap.skip("%s: fixed_vectors" % run.name, "this kernel has no IORING_OP_READV_FIXED (6.15)")


def life(tap, scratch, kind):
    run = booklib.Run(tap, scratch, kind, "uring_life")
    in_flight, word = run.notes["exits_in_flight"][0]
    pipes = (in_flight, "(pipes)", "pipe", "io_uring")
    run.check(ignored=[pipes])
    got = run.booked({}).get(pipes, booklib.NOTHING)
    tap.ok(got[0] == got[1] == 0 and got[2] <= int(word) and not any(got[3:]),
           "%s: exits_in_flight: no read of a request that never completed" % run.name, "in the books: %s" % (got,))
    for ring in run.noted("ring_kinds"):
        tap.skip("%s: ring_kinds %s" % (run.name, ring), "this kernel has no such ring")
    if "absent" in run.noted("multishot"):
        tap.skip("%s: multishot" % run.name, "this kernel has no IORING_OP_READ_MULTISHOT (6.7)")
    check_unseen(tap, run)


def check_unseen(tap, run):
    """Requests that complete without a completion: each is an operation whose bytes are unknown, and a loss that says so."""
    name = "%s: skip_success: what has no completion is a loss" % run.name
    words = run.noted("skip_success")
    if "absent" in words:
        tap.skip(name, "this kernel has no IOSQE_CQE_SKIP_SUCCESS (5.17)")
        return
    lost = live.rows(run.url, "select reason, sum(lost) as lost from loss group by reason")
    said = sum(row["lost"] for row in lost if "io_uring" in row["reason"])
    tap.ok(said == int(words[0]), name, "requests: %s, losses: %s" % (words[0], lost))


def sqlite(tap, scratch):
    live.needs("io_uring", SINCE)
    forms(tap, scratch, "sqlite")
    life(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    live.needs("io_uring", SINCE)
    forms(tap, scratch, "postgresql")
    life(tap, scratch, "postgresql")


# The second witness

@contextlib.contextmanager
def tracefs():
    """An instance of the kernel's tracing of our own, with the events of completions on; its folder."""
    top = next((t for t in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing") if os.path.isdir(t + "/instances")), None)
    if not top:
        subprocess.run(["mount", "-t", "tracefs", "tracefs", "/sys/kernel/tracing"], check=False, stderr=subprocess.DEVNULL)
        top = "/sys/kernel/tracing"
    folder = "%s/instances/ioledger-%d" % (top, os.getpid())
    try:
        os.mkdir(folder)
    except OSError as error:
        raise live.Skip("no tracefs: %s" % error) from None
    try:
        write(folder + "/buffer_size_kb", "8192")
        for event in ("io_uring_complete", "io_uring_cqe_overflow"):
            if not os.path.isdir("%s/events/io_uring/%s" % (folder, event)):
                raise live.Skip("the kernel has no trace event %s" % event)
            write("%s/events/io_uring/%s/enable" % (folder, event), "1")
        yield folder
    finally:
        os.rmdir(folder)


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def trace_sums(folder):
    """(ops, bytes, errors) read, then written, of the marked requests."""
    sums = [0] * 6
    with open(folder + "/trace", encoding="ascii", errors="replace") as trace:
        for line in trace:
            match = COMPLETED.search(line)
            if not match:
                continue
            # A completion that waits for room in the queue is traced on its way there and not again.
            user_data, res = int(match[2], 16), int(match[3])
            for at, tag in ((0, TAG_READ), (3, TAG_WRITE)):
                if user_data & tag:
                    sums[at + 2 if res < 0 else at] += 1
                    sums[at + 1] += max(res, 0)
    return tuple(sums)


def trace_lost(folder):
    lost = 0
    for cpu in os.listdir(folder + "/per_cpu"):
        with open("%s/per_cpu/%s/stats" % (folder, cpu), encoding="ascii") as stats:
            lost += sum(int(n) for n in re.findall(r"^(?:overrun|dropped events): (\d+)", stats.read(), re.MULTILINE))
    return lost


def trace(tap, scratch):
    """What the kernel traced of the workload of forms(), and of many random requests: the sums of its books."""
    live.needs("io_uring", SINCE)
    for name, words in (("uring", ()), ("mix", (1, 5, "io_uring"))):
        with tracefs() as folder:
            run = booklib.Run(tap, scratch, "sqlite", name, *words)
            lost, traced = trace_lost(folder), trace_sums(folder)
        if not tap.equal(lost, 0, "%s: the trace is whole" % run.name):
            continue
        booked = booklib.NOTHING
        for row in live.accounts(run.url, route="io_uring"):
            booked = booklib.add(booked, live.sums([row]))
        tap.equal(booked, traced, "%s: the kernel's trace of completions sums up to the books" % run.name)


if __name__ == "__main__":
    live.main(sqlite, postgresql, trace)
