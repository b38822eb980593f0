# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Puts the last results of the parts into docs/PERFORMANCE.md, between `<!-- bench: TABLE -->` and `<!-- end -->`, and draws
their charts into docs/performance. The tables of parts that were not measured with this build stay as they are. What does not fit together is told, and then nothing is
written."""
import os
import re

import benchlib
import charts

PAGE = os.path.join(benchlib.ROOT, "docs", "PERFORMANCE.md")
PLACE = re.compile(r"<!-- bench: (.+) -->")
END = "<!-- end -->"


class Wrong(Exception):
    """The page and the results do not fit together; the message says where."""


def split(page):
    """[(None, text) or (table, what stands in its place), ...] of the page; the lines that mark the places are left out."""
    parts, table, lines = [], None, []
    for number, line in enumerate(page.split("\n"), 1):
        begins = PLACE.fullmatch(line.strip())
        if begins and table is not None:
            raise Wrong("line %d: the place of table '%s' has no end" % (number, table))
        if line.strip() == END and table is None:
            raise Wrong("line %d: an end with no beginning" % number)
        if not begins and line.strip() != END:
            lines.append(line)
            continue
        parts.append((table, "\n".join(lines)))
        table, lines = begins and begins.group(1), []
        if table in [name for name, _ in parts if name]:
            raise Wrong("line %d: a second place for table '%s'" % (number, table))
    if table is not None:
        raise Wrong("the place of table '%s' has no end" % table)
    return parts + [(None, "\n".join(lines))]


def join(parts, text_of):
    """The page of split()'s parts again, with text_of(table) in each place."""
    text = ""
    for number, (name, old) in enumerate(parts):
        before = "" if number == 0 else "<!-- bench: %s -->\n\n" % name if name else "%s\n" % END
        text += before + (text_of(name) + "\n\n" if name else old + "\n")
    return text[:-1]


def filling(table, result, last):
    """What stands in the place of a table; the notes of its part stand below the last one."""
    rounds = "" if result.rounds == benchlib.ROUNDS else " ROUNDS=%d" % result.rounds
    lines = [table.markdown(), "", "%s, %s: `make bench%s PARTS=%s`" % (result.date, result.machine, rounds, result.part)]
    for note in result.notes if last else ():
        lines += ["", note]
    return "\n".join(lines)


def fill(page, results):
    parts = split(page)
    places = [name for name, _ in parts if name]
    tables = {table.name: (table, result) for result in results for table in result.tables}
    measured = [table.name for result in results for table in result.tables]
    wrong = ["no place for table '%s': <!-- bench: %s -->" % (name, name) for name in measured if name not in places]
    wrong += ["two tables '%s'" % name for name in tables if measured.count(name) > 1]
    kept = {name: old.strip("\n") for name, old in parts if name and name not in tables}
    wrong += ["table '%s' was not measured" % name for name, old in kept.items()
              if not old or any("PARTS=%s`" % result.part in old for result in results)]
    if wrong:
        raise Wrong("; ".join(wrong))
    last = {tables[name][1].part: name for name in places if name in tables}
    return join(parts, lambda name: filling(*tables[name], name in last.values()) if name in tables else kept[name])


def draw(results):
    """{path: SVG}"""
    drawn = {}
    for chart in (chart for result in results for chart in result.charts):
        path = os.path.join(os.path.dirname(PAGE), "performance", chart.name + ".svg")
        if path in drawn:
            raise Wrong("two charts '%s'" % chart.name)
        try:
            drawn[path] = charts.draw(chart)
        except ValueError as error:
            raise Wrong("chart '%s': %s" % (chart.name, error)) from error
    return drawn


def write(build):
    """Exit status of `bench/run --docs`."""
    results = [result for result in (benchlib.load(build, part) for part in benchlib.PARTS) if result]
    with open(PAGE, encoding="utf-8") as file:
        page = file.read()
    try:
        text, drawn = fill(page, results), draw(results)
    except Wrong as error:
        benchlib.say("bench/run: %s: %s" % (os.path.relpath(PAGE), error))
        return 1
    for path, svg in drawn.items():
        benchlib.write_file(path, svg)
        if "performance/%s" % os.path.basename(path) not in page:
            benchlib.say("bench/run: %s is on no page" % os.path.relpath(path))
    benchlib.write_file(PAGE, text)
    return 0
