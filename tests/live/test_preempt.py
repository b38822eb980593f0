#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Threads that are preempted again and again by one of a higher priority, on one CPU: what each of them does is in the books, and
who was started meanwhile. Where the kernel preempts a thread within a hook (Linux 7.0 and later, CONFIG_PREEMPT_LAZY), it leaves
that hook out for all others until that thread goes on."""
import booklib
import livelib as live


def sqlite(tap, scratch):
    booklib.Run(tap, scratch, "sqlite", "preempt", 200000, 200).check()


live.main(sqlite)
