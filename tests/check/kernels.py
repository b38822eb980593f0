#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The matrix of kernels: what is kept of a test, when it has to be run again, and the tables of it (tests/vm/cells.py). Prints TAP.

usage: tests/check/kernels.py ROOT
"""
import os
import sys
import tempfile

COUNT = [0, 0]
TAP = """ok 1 - one
ok 2 - two # SKIP no PostgreSQL server on this machine
not ok 3 - three
# got: 4
ok 4 - four
1..4
"""


def ok(good, name, *details):
    COUNT[0] += 1
    COUNT[1] += not good
    print("%s %d - %s" % ("ok" if good else "not ok", COUNT[0], name))
    for detail in details if not good else ():
        print("# %s" % ascii(detail))


def check_reading(cells):
    good, failed, skipped, reasons, wrong = cells.read_tap(TAP, 1)
    ok((good, failed, skipped, reasons) == (2, 1, 1, ["no PostgreSQL server on this machine"]) and wrong == ["not ok 3 - three\n# got: 4"],
       "a script's cases, and what was wrong", good, failed, skipped, reasons, wrong)
    ok(cells.read_tap("1..0 # SKIP not root: nothing of this was tested\n", 0)[:3] == (0, 0, 1), "a script that leaves out all")
    for text, status in (("ok 1 - one\n", 0), ("ok 1 - one\n1..1\n", 137), ("", 0)):
        ok(cells.read_tap(text, status)[1] == 1, "a script that does not come to its end is wrong: %r, %d" % (text, status))


def check_keeping(cells, build):
    def kept():
        return cells.Kept(build, "6.12")

    kept().keep("6.12.1-cloud", True, [cells.Cell("live", "fexit", "mix", 30, 0, 2, ["no server"], 4.5), cells.Cell("live", "fexit", "pin", 1, 2)])
    kept().keep("6.12.1-cloud", True, [cells.Cell("live", "tracepoint", "mix", 31)])
    states = [kept().state("live", *key) for key in (("fexit", "mix"), ("tracepoint", "mix"), ("fexit", "pin"), ("fexit", "many"))]
    ok(states == ["right", "right", "wrong", "not run"], "what was run and what is to be run, over two runs", states)
    table = cells.table(cells.read_all(build), "live")
    rows = [line.split(" | ") for line in table.split("\n")]
    ok(rows[0] == ["| test", "6.12 tracepoint", "6.12 fexit |"], "a column for each kernel and probe set", rows[0])
    ok(["| mix", "31 a", "30 (2) a |"] in rows and ["| pin", "", "**2 of 3 wrong** a |"] in rows, "a cell of each test, with a letter for its build", table)
    ok("a: %s, %s" % (kept().stamp.date, kept().stamp.commit) in table and "no server (mix)" in table, "below it the builds, and the reasons", table)
    with open(os.path.join(build, "ioledger"), "w", encoding="utf-8") as program:
        program.write("another")
    ok(kept().state("live", "fexit", "mix") == "not run" and len(kept().cells) == 3, "another build is to be tested anew; the cells stay until then")


def check_page(cells, build):
    with open(cells.PAGE, encoding="utf-8") as page:
        places = page.read()
    ok(all(places.count("<!-- kernels: %s -->" % kind) == 1 for kind in cells.KINDS), "docs/KERNELS.md has a place for each table")
    cells.PAGE = os.path.join(build, "page.md")
    for text in ("above\n<!-- kernels: live -->\nold\n<!-- end -->\nbelow\n", "no place\n"):
        with open(cells.PAGE, "w", encoding="utf-8") as page:
            page.write(text)
        said = ""
        try:
            for _ in range(2):  # over itself
                cells.write_page(cells.read_all(build))
        except cells.Wrong as error:
            said = str(error)
        with open(cells.PAGE, encoding="utf-8") as page:
            after = page.read()
        if "no" in text[:2]:
            ok("kernels: live" in said and after == text, "a page without a place is told, and left as it is", said, after)
        else:
            ok(not said and after.startswith("above\n") and after.endswith("below\n") and after.count("| mix |") == 1 and "old" not in after,
               "a table takes the place of the one before", after)


def main():
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.path.join(sys.argv[1], "tests/vm"))
    import cells  # of that root
    check_reading(cells)
    with tempfile.TemporaryDirectory(prefix="ioledger-cells-") as build:
        with open(os.path.join(build, "ioledger"), "w", encoding="utf-8") as program:
            program.write("a program")
        check_keeping(cells, build)
        check_page(cells, build)
    print("1..%d" % COUNT[0])
    return 1 if COUNT[1] else 0


if __name__ == "__main__":
    sys.exit(main())
