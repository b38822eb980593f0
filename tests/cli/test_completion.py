#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Presses the Tab key in real shells, with the completions that were made.

test_completion.py IOLEDGER BASH ZSH FISH     the program, and the three files
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../live"))
from livelib import Tap  # pylint: disable=wrong-import-position

IOLEDGER, BASH, ZSH, FISH = map(os.path.abspath, sys.argv[1:5])
BASH_COMPLETION = "/usr/share/bash-completion/bash_completion"
PATIENCE = 30  # seconds


def describe(*arguments):
    return json.loads(subprocess.run([IOLEDGER, *arguments, "--describe"], capture_output=True, text=True, check=True).stdout)


class Shell:
    """An interactive shell on a terminal of 50 lines and 200 columns."""

    def __init__(self, folder, *command):
        self.marks = 0
        env = {"PATH": os.path.dirname(IOLEDGER) + ":" + os.environ["PATH"], "HOME": folder, "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(command[0], command, env)

    def read_until(self, there):
        got, until = "", time.monotonic() + PATIENCE
        while not there(got) and time.monotonic() < until:
            if select.select([self.terminal], [], [], 0.2)[0]:
                try:
                    got += os.read(self.terminal, 65536).decode("utf-8", "replace")
                except OSError:
                    break
        return got

    def run(self, line):
        """To its end: what is echoed of the command line is not what is waited for."""
        self.marks += 1
        os.write(self.terminal, ("%s\recho end-$((%d))\r" % (line, self.marks)).encode())
        return self.read_until(lambda got: "end-%d" % self.marks in got)

    def complete(self, line, wants):
        os.write(self.terminal, (line + "\t").encode())
        got = self.read_until(lambda got: all(want in got[got.find(line) + len(line):] for want in wants))
        os.write(self.terminal, b"\x03")
        self.run("true")
        return got[got.find(line) + len(line):]

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def in_bash(folder):
    shell = Shell(folder, "bash", "--norc", "--noprofile", "-i")
    for line in ("PS1='$ '", "bind 'set enable-bracketed-paste off'", "bind 'set show-all-if-ambiguous on'", "bind 'set page-completions off'",
                 "bind 'set completion-query-items 0'", "stty columns 1000", "source " + BASH_COMPLETION, "source " + BASH):
        shell.run(line)
    return shell


def in_zsh(folder):
    shell = Shell(folder, "zsh", "-f", "-i")
    shell.run("stty columns 200; PS1='$ '; unsetopt prompt_cr prompt_sp; LISTMAX=10000; fpath=(%s $fpath)" % os.path.dirname(ZSH))
    shell.run("autoload -U compinit; compinit -u -D; setopt auto_list; unsetopt list_ambiguous; zstyle ':completion:*' list-colors ''")
    return shell


# What is typed, and what Tab offers or puts there.
CASES = (
    ("ioledger rec", ["ord"]),
    ("ioledger record --max-acc", ["ounts"]),
    ("ioledger record --probes=", ["auto", "fexit", "tracepoint"]),
    ("ioledger record --spool-sync ", ["always", "everysec", "never"]),
    ("ioledger record --kinds=file,s", ["ocket"]),
    ("ioledger record --events=rename,un", ["link"]),
    ("ioledger record --config here.c", ["onf"]),
    ("ioledger record --config=here.c", ["onf"]),
    ("ioledger who here.c", ["onf"]),
    ("ioledger who --format=j", ["son"]),
    ("ioledger files --db sqlite:he", ["re.conf"]),
    ("ioledger files --db=post", ["gresql://"]),
    ("ioledger schema post", ["gresql"]),
    ("ioledger record -- ioledge", ["r"]),
    ("ioledger top --sort ", ["bytes", "errors", "ops", "read", "written"]),
    ("ioledger record --uid roo", ["t"]),
)


def every_command_and_option(tap, name, complete):
    commands = [entry["name"] for entry in describe()["commands"]]
    got = complete("ioledger ", commands)
    tap.ok(all(command in got for command in commands), "%s: every command" % name, got)
    for command in commands:
        options = ["--" + option["name"] for option in describe(command)["options"] if "name" in option]
        got = complete("ioledger %s --" % command, [option[2:] for option in options])
        missing = [option for option in options if not re.search(re.escape(option[2:]) + r"(?![a-z-])", got)]
        tap.ok(not missing, "%s: every option of %s" % (name, command), missing, got)


def in_terminal(tap, name, shell):
    try:
        every_command_and_option(tap, name, shell.complete)
        for line, wants in CASES:
            got = shell.complete(line, wants)
            tap.ok(all(want in got for want in wants), "%s: %s" % (name, line), got)
    finally:
        shell.end()


def in_fish(tap, folder):
    def complete(line, _):
        code = "source %s; complete -C '%s'" % (FISH, line.replace("'", "\\'"))
        done = subprocess.run(["fish", "--no-config", "-c", code], capture_output=True, text=True, timeout=PATIENCE, cwd=folder, check=False,
                              env={"PATH": os.path.dirname(IOLEDGER) + ":" + os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8"})
        return done.stdout + done.stderr

    every_command_and_option(tap, "fish", complete)
    for line, wants in CASES:
        got = complete(line, wants)
        tap.ok(all(re.search(re.escape(want) + r"\s", got) for want in wants), "fish: %s" % line, got)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="ioledger-completion.") as folder:
        with open(os.path.join(folder, "here.conf"), "w", encoding="ascii") as file:
            file.write("")
        if os.path.exists(BASH_COMPLETION):
            in_terminal(tap, "bash", in_bash(folder))
        else:
            tap.skip("bash", "bash-completion is not installed")
        if shutil.which("zsh"):
            in_terminal(tap, "zsh", in_zsh(folder))
        else:
            tap.skip("zsh", "zsh is not installed")
        if shutil.which("fish"):
            in_fish(tap, folder)
        else:
            tap.skip("fish", "fish is not installed")
    print("1..%d" % tap.count)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
