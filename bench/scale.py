#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Reckons what fleets of machines take, from the unit costs that docs/PERFORMANCE.md tells as measured.

usage: bench/scale.py [--docs | --check]

Prints the tables; --docs writes them into docs/SCALE.md, between `<!-- bench: TABLE -->` and `<!-- end -->`; --check fails when others stand there.
"""
import os
import re
import sys

import benchlib
import docs
from benchlib import Table, significant

SCALE = os.path.join(benchlib.ROOT, "docs", "SCALE.md")
DAY = 86400

# A machine: accounts (process and file) that are used all the time, accounts a second that are used once, operations a second.
PROFILES = {"quiet": (20, 1, 1_000), "server": (300, 5, 50_000), "build machine": (500, 1_000, 30_000)}
INTERVALS = (1, 10, 60)
MONTH = 30
HEADROOM = 0.5  # of what was measured: the rest is for questions, merges and what has to be caught up

# Machines, of them "server" and "build machine" in parts; interval in seconds; the part of the accounts that are used once which stays under --ignore;
# database; whether batches come through something that gathers them (a topic and `ioledger load`).
FLEETS = (
    (10, 1, 1, "PostgreSQL", False, "as it comes"),
    (1_000, 1, 1, "ClickHouse", False, "as it comes"),
    (1_000, 10, 1, "ClickHouse", False, "`--interval 10s`"),
    (1_000, 60, 0.2, "ClickHouse", False, "`--interval 60s --ignore '/tmp/**' --ignore '/proc/**'`"),
    (100_000, 10, 1, "ClickHouse", True, "`--interval 10s`, gathered"),
    (100_000, 60, 0.2, "ClickHouse", True, "`--interval 60s --ignore '/tmp/**' --ignore '/proc/**'`, gathered"),
    (100_000, 300, 0.2, "ClickHouse", True, "`--interval 300s --ignore '/tmp/**' --ignore '/proc/**'`, gathered"),
)
BUILD_PART = 0.02  # of a fleet


def number(cell):
    """The first number of a cell, as 1,234.5."""
    found = re.search(r"-?[\d,]*\.?\d+", cell)
    if not found:
        raise docs.Wrong("no number in '%s'" % cell)
    return float(found.group().replace(",", ""))


def measured_tables():
    """{name: [cells of the heading, of the first row, ...]} of docs/PERFORMANCE.md."""
    with open(docs.PAGE, encoding="utf-8") as file:
        parts = docs.split(file.read())
    return {name: [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line.startswith("|")
                   and not line.startswith("| ---")] for name, text in parts if name}


def row_of(table, start):
    for row in table:
        if row[0].startswith(start):
            return row
    raise docs.Wrong("no row '%s'" % start)


def read_units(tables):
    """Unit costs by name; each as it was measured."""
    for name in ("own use", "work own use", "scale units", "clickhouse questions"):
        if name not in tables:
            raise docs.Wrong("docs/PERFORMANCE.md has no table '%s'" % name)
    work = tables["work own use"]
    idle, tar = row_of(work, "nothing"), row_of(work, "tar")
    costs = {"op": number(row_of(tables["own use"], "the same for a million")[1]) / 100 / 1e6,
             "row": (number(tar[3]) - number(idle[3])) / number(tar[2]), "idle": number(idle[4]) / 100}
    for column, database in ((1, "PostgreSQL"), (2, "ClickHouse")):
        rows = [number(row[column]) for row in tables["scale units"][1:]]
        costs[database] = dict(zip(("rows", "batches", "wire", "disk"), rows))
    return costs


def rows_a_second(profile, interval, kept=1.0):
    """An account that is used all the time has a row each interval; one that is used once has one."""
    steady, once, _ = PROFILES[profile]
    return steady / interval + once * kept


def unit_table(costs):
    rows = [["recorder: CPU of an operation", "%.1f ns" % (1e9 * costs["op"]), "own use"],
            ["recorder: CPU of a row, of a file that is new, until it is stored", "%.1f µs" % (1e6 * costs["row"]), "work own use: tar"],
            ["recorder: CPU at rest", "%.1f %% of a core" % (100 * costs["idle"]), "work own use: nothing"]]
    names = (("rows", "rows a second, batches that wait"), ("batches", "small batches a second, one by one"), ("wire", "bytes of a row on the wire"),
             ("disk", "bytes of a row on the disk"))
    for database in ("PostgreSQL", "ClickHouse"):
        rows += [["%s: %s" % (database, title), "{:,.0f}".format(costs[database][key]), "scale units"] for key, title in names]
    return Table("scale costs", ["unit", "measured", "table of PERFORMANCE.md"], rows)


def machine_table(costs):
    rows = []
    for profile, (steady, once, operations) in PROFILES.items():
        for interval in INTERVALS:
            rate = rows_a_second(profile, interval)
            cpu = costs["idle"] + operations * costs["op"] + rate * costs["row"]
            rows.append(["%s: %d accounts, %d new a second" % (profile, steady, once), "%d s" % interval, significant(rate * DAY),
                         significant(rate * costs["ClickHouse"]["wire"] * 8 / 1000)] +
                        ["%s" % significant(rate * DAY * costs[database]["disk"] / 1e6) for database in ("ClickHouse", "PostgreSQL")] +
                        ["%.1f %%" % (100 * cpu)])
    return Table("scale machine", ["machine", "interval", "rows a day", "kbit/s to ClickHouse", "MB a day, ClickHouse", "MB a day, PostgreSQL",
                                   "recorder, of a core"], rows)


def fleet_row(costs, machines, interval, kept, database, gathered, settings):
    unit = costs[database]
    rate = machines * ((1 - BUILD_PART) * rows_a_second("server", interval, kept) + BUILD_PART * rows_a_second("build machine", interval, kept))
    batches = machines / interval
    for_rows, for_batches = rate / (HEADROOM * unit["rows"]), 0 if gathered else batches / (HEADROOM * unit["batches"])
    servers = max(for_rows, for_batches)
    bound = "rows" if for_rows >= for_batches else "batches"
    month = rate * DAY * MONTH * unit["disk"]
    return ["{:,}".format(machines), settings, database, significant(rate * DAY), significant(rate), significant(batches),
            significant(rate * unit["wire"] * 8 / 1e6), significant(month / 1e9), "%s (%s)" % (significant(servers, 2), bound),
            significant(month / machines / 1e9), significant(servers / machines * 1000, 2)]


def fleet_table(costs):
    return Table("scale fleet", ["machines", "settings", "into", "rows a day", "rows/s", "batches/s", "Mbit/s", "GB for 30 days", "servers of 2 cores, half busy",
                                 "a machine: GB for 30 days", "a machine: thousandths of a server"], [fleet_row(costs, *fleet) for fleet in FLEETS])


def beside_table(costs, tables):
    """What the model says of programs and ledgers that the bench has measured."""
    rows = []
    for row in tables["work own use"][1:]:
        seconds = number(row[3]) / (number(row[4]) / 100)
        model = seconds * costs["idle"] + number(row[1]) * seconds * costs["op"] + number(row[2]) * costs["row"]
        rows.append(["recorder's CPU: " + row[0], "%.2f s" % model, "%.2f s" % number(row[3])])
    heading = tables["clickhouse questions"][0][0]
    count, each = number(heading), float(re.search(r"\(([\d.]+) bytes each", heading).group(1))
    rows.append(["ClickHouse: disk of a month of ten machines, {:,.0f} rows".format(count), "%.2f GB" % (count * costs["ClickHouse"]["disk"] / 1e9),
                 "%.2f GB" % (count * each / 1e9)])
    return Table("scale beside", ["", "model", "bench"], rows)


def reckon():
    tables = measured_tables()
    costs = read_units(tables)
    return [unit_table(costs), machine_table(costs), fleet_table(costs), beside_table(costs, tables)]


def filled(page, tables):
    by_name, parts = {table.name: table for table in tables}, docs.split(page)
    places = [name for name, _ in parts if name]
    if sorted(places) != sorted(by_name):
        raise docs.Wrong("docs/SCALE.md has places for %s; the tables are %s" % (", ".join(places), ", ".join(by_name)))
    return docs.join(parts, lambda name: by_name[name].markdown())


def main():
    if sys.argv[1:] not in ([], ["--docs"], ["--check"]):
        sys.exit(__doc__.strip())
    try:
        tables = reckon()
        if not sys.argv[1:]:
            print("\n\n".join("%s\n\n%s" % (table.name, table.markdown()) for table in tables))
            return 0
        with open(SCALE, encoding="utf-8") as file:
            page = file.read()
        text = filled(page, tables)
    except docs.Wrong as error:
        sys.exit("bench/scale.py: %s" % error)
    if sys.argv[1] == "--docs":
        benchlib.write_file(SCALE, text)
    elif text != page:
        sys.exit("bench/scale.py: docs/SCALE.md is not what follows from docs/PERFORMANCE.md: run bench/scale.py --docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
