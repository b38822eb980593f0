# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What tests/vm/run and tests/vm/kernels keep of each test in BUILD/kernels/KERNEL.json, and the tables made of it.

A cell is what one test said on one kernel with one probe set, the newest: how many cases were right, wrong and left out (with the
reasons), of which build of the program it is, and when that was. So the matrix can be gathered over many runs.
"""
import dataclasses
import glob
import hashlib
import json
import os
import re
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PAGE = os.path.join(ROOT, "docs", "KERNELS.md")
ORDER = ("5.10", "6.1", "6.12", "7", "host")
LIVE = ("routes", "uring", "aio", "mmap", "compat", "race", "mix", "preempt", "paths", "identity", "namespaces", "many", "filters", "cgroups",
        "rules", "events", "stop", "errors", "memory", "pin", "tail", "top", "status", "screens", "metrics", "exact", "bounds", "storm")
SETS = ("tracepoint", "fexit", "tracepoint-legacy")
LETTERS = "abcdefghijklmnopqrstuvwxyz"

KINDS = ("guest", "live")  # those with a table each


class Wrong(Exception):
    """The page has no place for a table; the message says which."""


@dataclasses.dataclass
class Cell:
    kind: str  # live: a script of tests/live; guest: a recording of tests/vm/init; run: everything of one guest
    probes: str  # the probe set, or nothing where it is about the kernel as a whole
    test: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: list = dataclasses.field(default_factory=list)  # of what was left out
    seconds: float = 0
    digest: str = ""  # of the program and what tests it: see Stamp
    commit: str = ""
    date: str = ""

    def key(self):
        return self.kind, self.probes, self.test

    def text(self):
        if self.failed:
            return "**%d of %d wrong**" % (self.failed, self.passed + self.failed)
        if not self.passed:
            return "skipped"
        return "%d (%d)" % (self.passed, self.skipped) if self.skipped else str(self.passed)


def read_tap(text, status):
    """(right, wrong, left out, reasons, what was wrong) of a script that ended with that status."""
    skips = [re.sub(r"/tmp/[\w-]+", "/tmp", reason) for reason in re.findall(r"^(?:ok|1\.\.0) .*?# SKIP (.*)", text, re.M)]
    wrong = re.findall(r"^not ok .*(?:\n#.*)*", text, re.M)
    good = len(re.findall(r"^ok ", text, re.M)) - len(re.findall(r"^ok .*# SKIP", text, re.M))
    if not wrong and (status != 0 or not re.search(r"^1\.\.\d", text, re.M)):
        wrong = ["it did not come to its end: exit status %d\n%s" % (status, text[-2000:])]
    return good, len(wrong), len(skips), sorted(set(skips)), wrong


def digest(*paths):
    total = hashlib.sha256()
    for path in sorted(path for path in paths if os.path.isfile(path)):
        with open(path, "rb") as file:
            total.update(hashlib.sha256(file.read()).digest())
    return total.hexdigest()[:16]


class Stamp:
    """Of what build a cell is, as it was when the test began."""

    def __init__(self, build):
        self.program = digest(os.path.join(build, "ioledger"), *glob.glob(build + "/tests/live/workload_*"), *glob.glob(build + "/tests/live/*.so"),
                              *glob.glob(ROOT + "/tests/live/*lib.py"))
        self.guest = digest(*(os.path.join(HERE, name) for name in ("init", "books.py", "doctor.py", "workload", "habits")))
        self.live = {os.path.basename(path)[5:-3]: digest(path) for path in glob.glob(ROOT + "/tests/live/test_*.py")}
        self.commit = self.find_commit()
        self.date = time.strftime("%Y-%m-%d")

    @staticmethod
    def find_commit():
        """The last one that changed the program, with a + when it has been changed since."""
        git = ["git", "-C", ROOT]
        done = subprocess.run([*git, "log", "-1", "--format=%h", "--", "src"], capture_output=True, text=True, check=False)
        changed = subprocess.run([*git, "diff", "--quiet", "HEAD", "--", "src"], capture_output=True, check=False).returncode == 1
        return (done.stdout.strip() or "no commit") + "+" * changed

    def of(self, kind, test):
        """What has not changed since a test was right need not be run again."""
        return self.program + (self.live.get(test, "") if kind == "live" else self.guest)


class Kept:
    """The cells of one kernel on disk."""

    def __init__(self, build, kernel):
        self.stamp = Stamp(build)
        self.path = os.path.join(build, "kernels", kernel + ".json")
        self.release, self.fexit, self.cells = "", True, {}
        self.read()

    def read(self):
        if os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                data = json.load(file)
            self.release, self.fexit = data["release"], data["fexit"]
            self.cells = {cell.key(): cell for cell in (Cell(**fields) for fields in data["cells"])}

    @property
    def sets(self):
        """The probe sets that can be asked for there, as far as is known."""
        return SETS[:2] if self.fexit else SETS[:1]

    def keep(self, release, fexit, new):
        """Writes what is new over what is there of the same tests."""
        self.read()  # another run may have written meanwhile
        self.release, self.fexit = release, fexit
        for cell in new:
            cell.digest, cell.commit, cell.date = self.stamp.of(cell.kind, cell.test), self.stamp.commit, self.stamp.date
            self.cells[cell.key()] = cell
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump({"release": release, "fexit": fexit, "cells": [dataclasses.asdict(cell) for _, cell in sorted(self.cells.items())]}, file, indent=1)
            file.write("\n")
        os.replace(self.path + ".new", self.path)

    def state(self, kind, probes, test):
        """What that was with this very build: right, wrong, or not run."""
        cell = self.cells.get((kind, probes, test))
        if not cell or cell.digest != self.stamp.of(kind, test):
            return "not run"
        return "wrong" if cell.failed else "right"


def read_all(build):
    """{kernel: Kept} in the order of the tables."""
    names = [os.path.basename(path)[:-5] for path in glob.glob(os.path.join(build, "kernels", "*.json"))]
    return {name: Kept(build, name) for name in sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))}


# Tables

def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def short(kernel, release):
    """7.3 for 7, and what the host's own is."""
    version = ".".join(re.findall(r"\d+", release)[:2])
    return "%s (host)" % version if kernel == "host" else version if kernel in ORDER else release


class Sources:
    """A letter for each build and day that a cell is of."""

    def __init__(self):
        self.known = []

    def letter(self, cell):
        source = (cell.date, cell.commit)
        if source not in self.known:
            self.known.append(source)
        at = self.known.index(source)
        return LETTERS[at % 26] * (1 + at // 26)

    def text(self):
        told = ["%s: %s, %s" % (LETTERS[at % 26] * (1 + at // 26), date, made) for at, (date, made) in enumerate(self.known)]
        return "; ".join(told) + (". A + is a program that had changes." if any(made.endswith("+") for _, made in self.known) else ".")


def table(kept, kind):
    """Tests by kernels and probe sets: "32 (2) a" are 32 cases that were right, 2 that were left out, in the build and on the day of a."""
    columns = [(kernel, probes) for kernel, one in kept.items() for probes in SETS
               if any(cell.kind == kind and cell.probes == probes for cell in one.cells.values())]
    cells = {(test, kernel, probes): cell for kernel, one in kept.items() for (of, probes, test), cell in one.cells.items() if of == kind and probes}
    names = {test for test, _, _ in cells}
    tests = [test for test in LIVE if test in names] + sorted(names - set(LIVE))
    sources, rows, reasons = Sources(), [], {}
    for test in tests:
        row = [cells.get((test, *column)) for column in columns]
        rows.append([test] + ["%s %s" % (cell.text(), sources.letter(cell)) if cell else "" for cell in row])
        for cell in row:
            for reason in cell.reasons if cell else ():
                reasons.setdefault(reason, []).append(test)
    head = ["test"] + ["%s %s" % (short(kernel, kept[kernel].release), probes) for kernel, probes in columns]
    lines = [markdown(head, rows), "", sources.text()]
    if reasons:
        told = ["%s (%s)" % (reason, ", ".join(sorted(set(of)))) for reason, of in sorted(reasons.items())]
        lines += ["", "In brackets is how many cases were left out there: " + "; ".join(told) + "."]
    return "\n".join(lines)


def tables(kept):
    """One below the other, of {kernel: what has .release and .cells}."""
    return "\n\n".join(table(kept, kind) for kind in KINDS if has(kept, kind))


def has(kept, kind):
    return any(key[0] == kind and key[1] for one in kept.values() for key in one.cells)


def write_page(kept):
    """Puts them into docs/KERNELS.md, between `<!-- kernels: NAME -->` and `<!-- end -->`."""
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    for name in (kind for kind in KINDS if has(kept, kind)):
        made = table(kept, name)
        place = re.compile(r"(<!-- kernels: %s -->\n).*?(<!-- end -->)" % name, re.S)
        if len(place.findall(page)) != 1:
            raise Wrong("%s: there has to be one place for table '%s': <!-- kernels: %s -->" % (os.path.relpath(PAGE), name, name))
        page = place.sub(lambda match, made=made: "%s\n%s\n\n%s" % (match[1], made, match[2]), page)
    with open(PAGE + ".new", "w", encoding="utf-8") as file:
        file.write(page)
    os.replace(PAGE + ".new", PAGE)
