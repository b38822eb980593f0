#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A descriptor that changes under a call that sleeps: the books name the file that the call began with, two hundred times for each way."""
import booklib
import livelib as live

TIMES = 200


def check(tap, scratch, kind):
    booklib.Run(tap, scratch, kind, "race", TIMES, "grouped").check()


NEEDS = ("descriptor notes", (6, 1))


def sqlite(tap, scratch):
    live.needs(*NEEDS)
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    live.needs(*NEEDS)
    check(tap, scratch, "postgresql")


def each_pipe(tap, scratch):
    """With an account for each pipe, so that it is also the right pipe."""
    live.needs(*NEEDS)
    booklib.Run(tap, scratch, "sqlite", "race", TIMES, "each", options=("--kinds", "file,dir,dev,pipe,socket,anon")).check()


live.main(sqlite, postgresql, each_pipe)
