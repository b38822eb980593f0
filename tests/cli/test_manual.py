#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Reads the man pages that were made: they render without a warning, and have everything that the program has.

test_manual.py IOLEDGER PAGE...
"""
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../live"))
from livelib import Tap  # pylint: disable=wrong-import-position

IOLEDGER = os.path.abspath(sys.argv[1])
PAGES = {os.path.basename(path): os.path.abspath(path) for path in sys.argv[2:]}


def run(*command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more).stdout


def describe(*arguments):
    return json.loads(run(IOLEDGER, *arguments, "--describe"))


def read(page):
    """As a reader sees it, on lines that are long enough for everything."""
    env = {**os.environ, "MANWIDTH": "2000", "MAN_KEEP_FORMATTING": "", "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "GROFF_NO_SGR": "1"}
    return re.sub(r".\x08", "", run("man", "--nj", "--nh", "-l", PAGES[page], env=env))


def renders(tap):
    for tool, command, words in (("man", ["man", "--warnings=w", "-l"], None), ("groff", ["groff", "-ww", "-man", "-t", "-Tutf8", "-z"], None),
                                 ("mandoc", ["mandoc", "-T", "lint", "-W", "warning"], None)):
        if not shutil.which(tool):
            tap.skip(tool, "%s is not installed" % tool)
            continue
        for page, path in sorted(PAGES.items()):
            done = subprocess.run([*command, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                                  env={**os.environ, "MANWIDTH": "80", "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
            said = done.stderr + (done.stdout if tool == "mandoc" else "")
            tap.ok(done.returncode == 0 and not said, "%s renders %s without a warning" % (tool, page), said)


def has_everything(tap):
    whole = describe()
    commands = [entry["name"] for entry in whole["commands"]]
    want = {"ioledger.1", "ioledger.conf.5", "ioledger-schema.5"} | {"ioledger-%s.1" % name for name in commands}
    tap.ok(set(PAGES) == want, "a page for each command, the configuration file and the tables", set(PAGES) ^ want)

    main = read("ioledger.1")
    for entry in whole["commands"]:
        tap.ok("ioledger-%s(1)" % entry["name"] in main and entry["summary"] in main, "ioledger(1) has %s" % entry["name"])
    for command in commands:
        text = read("ioledger-%s.1" % command)
        options = [option for option in describe(command)["options"] if "name" in option]
        missing = [option["name"] for option in options
                   if not re.search(r"^ +(-\w.*, )?--%s(\[?=|$)" % re.escape(option["name"]), text, re.M) or " ".join(option["doc"].split()) not in text]
        tap.ok(options and not missing, "ioledger-%s(1) has its options, and what they do" % command, missing, text)
        tap.ok(re.search(r"^EXIT STATUS\n +\S", text, re.M), "ioledger-%s(1) has its exit status" % command)
    config = read("ioledger.conf.5")
    printed = run(IOLEDGER, "record", "--print-config")
    names = re.findall(r"^#?([a-z-]+) = ", printed, re.M)
    missing = [name for name in names if not re.search(r"^ +%s = \S" % name, config, re.M)]
    tap.ok(names and not missing, "ioledger.conf(5) has every setting", missing)


def has_tables(tap):
    text = read("ioledger-schema.5")
    for table in describe()["tables"]:
        section = re.search(r"^TABLE %s\n(.*?)(?=^\S)" % table["name"].upper(), text, re.M | re.S)
        missing = [column["name"] for column in table["columns"]
                   if not section or not re.search(r"^ +%s \(" % column["name"], section.group(1), re.M) or column["doc"] not in section.group(1)]
        tap.ok(table["columns"] and not missing, "ioledger-schema(5) has the columns of %s" % table["name"], missing)
    for name in re.findall(r"^CREATE VIEW (\w+)", run(IOLEDGER, "schema", "sqlite"), re.M):
        tap.ok(re.search(r"^VIEW %s$" % name.upper(), text, re.M), "ioledger-schema(5) has the view %s" % name)


def main():
    tap = Tap()
    os.environ.pop("IOLEDGER_DB", None)
    renders(tap)
    has_everything(tap)
    has_tables(tap)
    print("1..%d" % tap.count)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
