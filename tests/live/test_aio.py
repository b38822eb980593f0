#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Linux AIO: what io_submit begins is booked on route rw when its event is fetched, with the event's result. Of a
program that takes its events from the ring in memory the bytes are not known, which is a row in loss."""
import booklib
import livelib as live


def check(tap, scratch, kind):
    run = booklib.Run(tap, scratch, kind, "aio")
    run.check()
    lost = live.value(run.url, "select coalesce(sum(lost), 0) from loss where reason like 'AIO completions read by the program%'")
    taken = [account.counts[0] for account in run.expected if account.scenario == "from_the_ring"]
    tap.equal([lost], taken, "%s: operations whose bytes are not known are a loss" % run.name)
    if "absent" in run.noted("direct"):
        tap.skip("%s: direct" % run.name, "no O_DIRECT on the file system of %s" % scratch)


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql")


live.main(sqlite, postgresql)
