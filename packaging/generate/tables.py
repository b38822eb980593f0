# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What the tables of ioledger say of its commands, options and columns: `--describe`, read."""
import json
import os
import re
import subprocess


class Ledger:
    def __init__(self, program):
        self.program = os.path.abspath(program)
        whole = json.loads(self.run("--describe"))
        self.version, self.overview, self.tables = whole["version"], whole["overview"], whole["tables"]
        self.commands = [Command(entry, json.loads(self.run(entry["name"], "--describe"))) for entry in whole["commands"]]

    def run(self, *arguments):
        env = {key: value for key, value in os.environ.items() if key not in ("IOLEDGER_DB", "INVOCATION_ID")}
        return subprocess.run([self.program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              check=True, env=env).stdout

    def command(self, name):
        return next(command for command in self.commands if command.name == name)

    def groups(self):
        """Commands under their headings, in the order of the table."""
        groups = {}
        for command in self.commands:
            groups.setdefault(command.group, []).append(command)
        return groups.items()


class Command:
    def __init__(self, entry, usage):
        self.name, self.short, self.group = entry["name"], entry["summary"], entry["group"]
        self.arguments, self.summary, self.details = usage["arguments"], usage["summary"], usage["details"]
        self.runs_command = usage["runs_command"]
        self.entries = [entry if "heading" in entry else Option(entry) for entry in usage["options"]]
        self.options = [entry for entry in self.entries if isinstance(entry, Option)]


class Option:
    def __init__(self, entry):
        self.name, self.letter, self.doc = entry["name"], entry["letter"], entry["doc"]
        self.argument, self.optional = entry["argument"], entry["optional"]
        self.words = entry["words"] or words_of(self.argument or "")
        self.is_list = bool(entry["words"]) and self.argument == "LIST"

    def brief(self, length=70):
        """The beginning of what it does, for one line of a menu."""
        text = re.split(r"\s\(|: |; |\. |, of ", self.doc)[0].rstrip(":.,")
        return text if len(text) <= length else text[:length].rsplit(" ", 1)[0] + "…"


def words_of(argument):
    """[sqlite|postgresql]: what is written small and with bars between is to be typed as it stands."""
    text = argument.strip("[]")
    return text.split("|") if re.fullmatch(r"[a-z0-9-]+(\|[a-z0-9-]+)+", text) else []


# What an argument is, by the name that it has in the tables: what a shell can offer for it.
KINDS = (
    (r"\bURL\b", "url"),
    (r"\b(DIR|FOLDER)\b", "folder"),
    (r"\b(PATH|FILE|EXE|HTML)\b", "file"),
    (r"\bUSER\b", "user"),
    (r"\bPID\b", "pid"),
)


def kind_of(argument, name=""):
    if name == "pid":
        return "pid"
    if name == "comm":
        return "comm"
    return next((kind for pattern, kind in KINDS if re.search(pattern, argument)), None)
