#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Runs every command of docs/TUTORIAL.md, in its order, and compares what it prints with what the page says it does.

test_tutorial.py [--rewrite]      --rewrite: puts what they print now into the page

The commands stand in blocks marked `console`, behind "$ "; lines that continue one begin with "> ". Numbers, times and
the width of columns may differ; in what is printed, a line "…" stands for any lines and … in a line for anything.
Everything is done in scratch space, on a machine called desk: HOME and DESTDIR are there, and `sudo` is a program that runs its arguments.
"""
import os
import re
import subprocess
import sys

import livelib

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
PAGE = os.path.join(ROOT, "docs/TUTORIAL.md")
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SUDO = '#!/bin/sh\nwhile case "$1" in -*) true ;; *) false ;; esac; do shift; done\nexec "$@"\n'
ELLIPSIS = "\u2026"
UNORDERED = re.compile(r"ioledger (who|files)\b")
HOME = None if any(path.startswith("/home/") for path in (ROOT, sys.executable, os.path.realpath(livelib.IOLEDGER))) else "/home/ann"


class Step:
    """A command, what it is said to print, and what it printed."""

    def __init__(self, command):
        self.command, self.said = [command], []
        self.printed = self.status = None

    def text(self):
        return "".join(("$ " if number == 0 else "> ") + line + "\n" for number, line in enumerate(self.command))


def read_blocks(page):
    blocks = []
    for block in BLOCK.findall(page):
        steps = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append(Step(line[2:]))
            elif line.startswith("> ") and not steps[-1].said:
                steps[-1].command.append(line[2:])
            else:
                steps[-1].said.append(line)
        blocks.append(steps)
    return blocks


def make_script(steps):
    """Its output is cut at marks that no program prints."""
    lines = ["mount -t tmpfs tmpfs /home && mkdir /home/ann" if HOME == "/home/ann" else "", "printf desk > /proc/sys/kernel/hostname", "printf '\\036\\036'"]
    for step in steps:
        lines += [*step.command, "printf '\\036%d\\036' $?"]
    return "\n".join(lines) + "\n"


def run_steps(steps, scratch):
    """All in one shell, as one would type them, in a mount namespace where /home is empty, if nothing is there that is wanted."""
    tools = scratch + "/tools"
    os.makedirs(tools)
    os.makedirs(scratch + "/home")
    for path, text in ((tools + "/sudo", SUDO), (scratch + "/script", make_script(steps))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    os.chmod(tools + "/sudo", 0o755)
    env = {"HOME": HOME or scratch + "/home", "DESTDIR": scratch + "/destination", "PREFIX": "/usr/local", "LC_ALL": "C.UTF-8", "TERM": "dumb",
           "BUILD": os.path.dirname(os.path.realpath(livelib.IOLEDGER)),
           "PATH": ":".join((tools, scratch + "/destination/usr/local/bin", os.environ["PATH"]))}
    done = subprocess.run(["unshare", "--mount", "--uts", "bash", scratch + "/script"], stdin=subprocess.DEVNULL, cwd=ROOT, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=10 * livelib.PATIENCE, check=False)
    _, _, output = done.stdout.replace(env["HOME"], "/home/ann").partition("\x1e\x1e")
    parts = re.split("\x1e(\\d+)\x1e", output)
    for number, step in enumerate(steps):
        there = 2 * number + 1 < len(parts)
        step.printed = parts[2 * number].splitlines() if there else []
        step.status = int(parts[2 * number + 1]) if there else None


def alike(line):
    """A line without what differs from one time to the next."""
    line = re.sub(r"\d[\d.,:]*[KMGT]?\b", "0", line.rstrip())
    line = re.sub(r"\b0( [KMGT]B)\b", "0 B", line)
    return re.sub(r"[ -]*\b0\b[ -]*", " 0 ", re.sub(r"  +", " ", line)).strip()


def line_pattern(line):
    return ".*".join(re.escape(part.strip()) for part in alike(line).split(ELLIPSIS))


def is_as_said(printed, said, ordered=True):
    """Lines of one moment may come in any order."""
    printed = list(map(alike, printed))
    if ordered:
        pattern = "".join("(?:.*\n)*" if line == ELLIPSIS else line_pattern(line) + "\n" for line in said)
        return bool(re.fullmatch(pattern, "".join(line + "\n" for line in printed)))
    for line in said:
        found = [text for text in printed if line != ELLIPSIS and re.fullmatch(line_pattern(line), text)]
        if found:
            printed.remove(found[0])
        elif line != ELLIPSIS:
            return False
    return not printed or ELLIPSIS in said


def rewrite(blocks, page):
    """What is elided stays so."""
    replaced = iter(blocks)

    def write(_):
        text = "".join(step.text() + "".join(line.rstrip() + "\n" for line in (step.said if any(ELLIPSIS in said for said in step.said) else step.printed)) for step in next(replaced))
        return "```console\n" + text + "```"

    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(BLOCK.sub(write, page))


def test_tutorial(tap, scratch):
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    blocks = read_blocks(page)
    steps = [step for block in blocks for step in block]
    run_steps(steps, scratch)
    for step in steps:
        name = " ".join(step.command[0].split())
        tap.equal(step.status, 0, "$ %s: exit status" % name)
        if not REWRITE:
            tap.ok(is_as_said(step.printed, step.said, not UNORDERED.match(name)), "$ %s: prints what the tutorial says" % name, "printed:", *step.printed, "said:", *step.said,
                   "when it is right as it is printed: tests/live/test_tutorial.py --rewrite")
    if REWRITE and not tap.failed:
        rewrite(blocks, page)


def test_comparison(tap, _scratch):
    """The comparison itself: what may differ, and what may not."""
    for printed, said, good in ((["a 12.3K b"], ["a  9K   b"], True), (["a 12 b"], ["a 12 c"], False), (["a", "b", "c"], ["a", ELLIPSIS], True),
                                (["x", "c"], ["a", ELLIPSIS], False), (["a", "c"], ["a", ELLIPSIS, "c"], True), (["a", "b"], ["a"], False), ([], ["a"], False), (["2025-11-23 08:20:00 cp(12)"],
                                ["2026-01-01 10:00:59 cp(345)"], True), (["cp(12) wrote"], ["mv(12) wrote"], False), (["all of it"], ["all " + ELLIPSIS], True)):
        tap.equal(is_as_said(printed, said), good, "comparison: %r and %r" % (printed, said))
    for printed, said, good in ((["a", "b"], ["b", "a"], True), (["a", "b"], ["b"], False), (["a", "b"], ["b", "b"], False), (["a", "b"], ["b", ELLIPSIS], True)):
        tap.equal(is_as_said(printed, said, False), good, "comparison in any order: %r and %r" % (printed, said))


REWRITE = "--rewrite" in sys.argv
if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if word != "--rewrite"]
    livelib.main(test_comparison, test_tutorial)
