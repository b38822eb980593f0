#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Writes the man pages, from the tables of commands, options and columns that the program itself goes by.

usage: manual.py IOLEDGER SCDOC FOLDER PAGE...      PAGE: NAME.SECTION, a file in FOLDER
"""
import os
import re
import sqlite3
import subprocess
import sys

sys.dont_write_bytecode = True
from tables import Ledger, Option  # pylint: disable=wrong-import-position

EXIT = ("*0*\n\tAll is well.\n\n*1*\n\tA failure, which a line on standard error tells; of commands that ask: nothing was found; "
        "of *ioledger balance*: the books do not balance.\n\n*2*\n\tBad usage: a command, option or argument that is none, or one that "
        "is missing. Nothing was done.\n")

ENVIRONMENT = """*IOLEDGER_DB*
    The ledger, as for *--db*, when that is not given.

*NO_COLOR*
    When it is set, nothing is coloured.

*PGPASSWORD*, *PGSERVICE* and others of libpq
    As for *psql*(1).

*XDG_RUNTIME_DIR*, *XDG_STATE_HOME*
    Of users other than root: where the sockets of recorders are, and where rows wait for the database.
"""

FILES = """_/etc/ioledger/ioledger.conf_
    What the system service records; see *ioledger.conf*(5).

_/var/lib/ioledger/ioledger.db_
    The ledger of the system service.

_/var/lib/ioledger/spool_
    Where rows wait for PostgreSQL.

_/run/ioledger_
    Sockets, at which *ioledger status* and *ioledger stop* find recorders.

_/sys/fs/bpf/ioledger_
    What *ioledger record --pin* leaves in the kernel.
"""


def escape(text):
    """Text as scdoc takes it: what it reads as markup is none."""
    return re.sub(r"([\\*_~\[\]<>#`+|])", r"\\\1", text)


def literal(text):
    return "```\n%s\n```\n" % text


def unindented(lines):
    return "\n".join(re.sub(r"^ {1,2}", "", line) for line in lines)


class Page:
    def __init__(self, name, section, about):
        self.name = "%s.%d" % (name, section)
        self.text = '%s(%d) "" "ioledger"\n\n# NAME\n\n%s - %s\n' % (name, section, name, escape(about))

    def section(self, title, *texts):
        self.text += "\n# %s\n\n%s" % (title, "\n".join(text.rstrip("\n") + "\n" for text in texts))


def paragraphs(text):
    return [part for part in text.split("\n\n") if part.strip()]


def render(paragraph):
    """A paragraph of --help: lines that are indented stand as they are."""
    lines = paragraph.split("\n")
    for start, line in enumerate(lines):
        if line.startswith("  "):
            head = " ".join(lines[:start])
            return (escape(head) + "\n\n" if head else "") + literal(unindented(lines[start:]))
    return escape(" ".join(lines)) + "\n"


def details(command):
    """The text behind the options: what is said of examples and of the exit status apart from the rest."""
    rest, examples, status = [], [], []
    for paragraph in paragraphs(command.details):
        head, _, tail = paragraph.partition(":")
        if re.fullmatch("Examples?", head.strip()):
            examples.append(literal(unindented(tail.strip("\n").split("\n"))))
        elif head.strip() == "Exit status":
            text = " ".join(tail.split())
            status.append(escape(text[:1].upper() + text[1:]) + "\n")
        else:
            rest.append(render(paragraph))
    return rest, examples, status


def option_text(option):
    names = ["*-%s* _%s_" % (option.letter, escape(option.argument)) if option.argument else "*-%s*" % option.letter] if option.letter else []
    argument = ""
    if option.argument:
        argument = ("[=_%s_]" if option.optional else "=_%s_") % escape(option.argument)
    names.append("*--%s*%s" % (escape(option.name), argument))
    return "%s\n\t%s\n" % (", ".join(names), escape(option.doc.replace("\n", " ")))


def options_text(entries):
    texts = []
    for entry in entries:
        if isinstance(entry, Option):
            texts.append(option_text(entry))
        elif entry["heading"]:
            texts.append("## %s\n" % escape(entry["heading"].rstrip(":")))
    return texts


def see_also(ledger, *own):
    pages = [("ioledger", 1)] + [("ioledger-" + command.name, 1) for command in ledger.commands]
    pages += [("ioledger.conf", 5), ("ioledger-schema", 5)]
    return ", ".join("*%s*(%d)" % page for page in pages if page not in own) + "\n"


def command_page(ledger, command):
    page = Page("ioledger-" + command.name, 1, command.short)
    rest, examples, status = details(command)
    arguments = re.sub(r"[A-Z]{2,}", r"_\g<0>_", escape(" " + command.arguments)) if command.arguments else ""
    page.section("SYNOPSIS", "*ioledger %s* [_OPTION_...]%s\n" % (command.name, arguments))
    page.section("DESCRIPTION", *[render(part) for part in paragraphs(command.summary)], *rest)
    page.section("OPTIONS", *options_text(command.entries))
    page.section("EXIT STATUS", *(status or [EXIT]))
    if examples:
        page.section("EXAMPLES", *examples)
    page.section("SEE ALSO", see_also(ledger, ("ioledger-" + command.name, 1)))
    return page


def main_page(ledger):
    page = Page("ioledger", 1, "keep the books of a Linux machine: processes, files, bytes")
    page.section("SYNOPSIS", "*ioledger* _COMMAND_ [_OPTION_...]\n", "*ioledger* *--help* | *--version*\n")
    page.section("DESCRIPTION",
                 "*ioledger* records every exec, fork and exit of a machine, and every byte that processes read from and write to files, "
                 "in SQL. It answers which process read or wrote a file, how much, when, and who started it; and it can prove that "
                 "nothing is missing.\n",
                 "Each command has a page of its own; *ioledger* _COMMAND_ *--help* shows the same options.\n")
    texts = []
    for group, commands in ledger.groups():
        texts.append("## %s\n" % escape(group))
        texts += ["*ioledger-%s*(1)\n\t%s\n" % (command.name, escape(command.short)) for command in commands]
    page.section("COMMANDS", *texts)
    page.section("OPTIONS", "*--help*\n\tLists the commands.\n", "*--version*\n\tPrints the version.\n")
    page.section("EXIT STATUS", EXIT, "*ioledger record --* _CMD_ ends with the status of _CMD_; see *ioledger-record*(1).\n")
    page.section("ENVIRONMENT", ENVIRONMENT.replace("\n    ", "\n\t"))
    page.section("FILES", FILES.replace("\n    ", "\n\t"))
    page.section("EXAMPLES", literal(unindented([line for line in ledger.overview.split("\n") if line.startswith("  ")])))
    page.section("SEE ALSO", see_also(ledger, ("ioledger", 1)))
    return page


def config_page(ledger):
    """The options of `record` that --print-config tells."""
    page = Page("ioledger.conf", 5, "what ioledger records, and where to")
    lines = ledger.run("record", "--print-config").splitlines()
    defaults = dict(re.match(r"(#?)([a-z-]+) = (.*)", line).group(2, 3) for line in lines if re.match(r"[a-z-]+ = ", line))
    names = {match.group(1) for match in (re.match(r"#?([a-z-]+) = ", line) for line in lines) if match}
    page.section("SYNOPSIS", "*ioledger record --config* _FILE_\n", "_/etc/ioledger/ioledger.conf_\n")
    page.section("DESCRIPTION",
                 "The options of *ioledger-record*(1), one a line: the long name, *=*, and the value. The system service reads "
                 "_/etc/ioledger/ioledger.conf_; other recorders the file that *--config* names.\n",
                 "Only whole lines are comments: those that begin with \\#. Blanks around names and values do not count, and values need no "
                 "quotes. A switch is *yes* or *no*. What is given on the command line goes before the file; of what may be given "
                 "several times, both count.\n",
                 "SIGHUP (*systemctl reload ioledger*) reads the rules again: *ignore*, *every*, *sample* and *event-budget*. The rest "
                 "needs a restart, and a line in the log names what has changed. A file in which something is wrong changes nothing.\n",
                 "*ioledger record --config* _FILE_ *--print-config* prints the settings as they are understood, in this form.\n")
    texts = []
    for option in ledger.command("record").options:
        if option.name in names:
            default = defaults.get(option.name)
            value = escape(option.argument.strip("[]") if option.argument else "yes")
            doc = escape(option.doc.replace("\n", " ").rstrip("."))
            told = "default:" in option.doc or "default)" in option.doc or option.name == "db" or not default
            texts.append("*%s* = _%s_\n\t%s%s\n" % (escape(option.name), value, doc, "." if told else " (default: %s)." % escape(default)))
    page.section("SETTINGS", *texts)
    page.section("EXAMPLES", literal("db = postgresql://recorder@db.example/ledger\ninterval = 5s\nignore = /proc/**\n"
                                     "every = /etc/** if comm=sh"))
    page.section("SEE ALSO", see_also(ledger, ("ioledger.conf", 5)))
    return page


def views(ledger):
    """Name, remark and columns of each view, from the SQL that makes it."""
    sql = ledger.run("schema", "sqlite")
    with sqlite3.connect(":memory:") as database:
        database.executescript(sql)
        for doc, name in re.findall(r"^-- (.*)\nCREATE VIEW (\w+)", sql, re.M):
            yield name, doc, [row[1] for row in database.execute("PRAGMA table_info(%s)" % name)]


def schema_page(ledger):
    page = Page("ioledger-schema", 5, "the tables of a ledger")
    page.section("DESCRIPTION",
                 "A ledger is an SQLite file or a PostgreSQL database with these tables and views. *ioledger-schema*(1) prints the SQL "
                 "that makes them.\n",
                 "Times are UTC: _timestamptz_ in PostgreSQL, text that sorts in SQLite. What is counted in nanoseconds is named so. A _word_ is "
                 "one of those given: an enum type in PostgreSQL, text in SQLite. All ids are 64-bit hashes.\n",
                 "A path, name or argument that is valid UTF-8 is stored as it is, control characters included; in one that is not each "
                 "invalid byte is *\\\\xHH*, each backslash is doubled, and the row has the flag *escaped*.\n")
    for table in ledger.tables:
        texts = [escape(table["doc"]) + ".\n"]
        for column in table["columns"]:
            words = ": " + ", ".join(column["words"]) if column["words"] else ""
            texts.append("*%s* (%s%s)\n\t%s\n" % (escape(column["name"]), column["type"], ", not null" if column["not_null"] else "",
                                                  escape(column["doc"] + words)))
        page.section("TABLE " + escape(table["name"]).upper(), *texts)
    for name, doc, columns in views(ledger):
        page.section("VIEW " + escape(name).upper(), escape(doc) + ".\n",
                     "Columns: %s.\n" % ", ".join("*%s*" % escape(column) for column in columns))
    page.section("SEE ALSO", see_also(ledger, ("ioledger-schema", 5)))
    return page


def without_empty_paragraphs(roff):
    """scdoc begins a paragraph more often than there is one, of which mandoc -T lint complains."""
    before = None
    while before != roff:
        before = roff
        roff = re.sub(r"^\.PP?\n(?=\.(?:PP?|SH|SS|RE|nf|RS)\b|\Z)", "", roff, flags=re.M)
        roff = re.sub(r"^(\.S[HS] .*\n)\.PP?\n", r"\1", roff, flags=re.M)
    return roff


def main():
    program, scdoc, folder, wanted = sys.argv[1], sys.argv[2], sys.argv[3], set(sys.argv[4:])
    ledger = Ledger(program)
    pages = [main_page(ledger), config_page(ledger), schema_page(ledger)]
    pages += [command_page(ledger, command) for command in ledger.commands]
    made = {page.name for page in pages}
    if made != wanted:
        sys.exit("manual: these pages are made by the tables or by the build, not by both: %s" % ", ".join(sorted(made ^ wanted)))
    for page in pages:
        done = subprocess.run([scdoc], input=page.text, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            sys.exit("manual: scdoc does not take %s:\n%s" % (page.name, page.text))
        with open(os.path.join(folder, page.name), "w", encoding="utf-8") as file:
            file.write(without_empty_paragraphs(done.stdout))


if __name__ == "__main__":
    main()
