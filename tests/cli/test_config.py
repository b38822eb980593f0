#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Reads configuration files of `record`. Nothing is recorded: each file ends in a line that is wrong.

test_config.py IOLEDGER SHIPPED_FILE
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../live"))
from livelib import Tap  # pylint: disable=wrong-import-position

IOLEDGER, SHIPPED = map(os.path.abspath, sys.argv[1:3])
END = "no-such-option = 1"
NOT_IN_FILE = {"config", "print-config", "system", "verbose", "help"}


def record(path, *options):
    done = subprocess.run([IOLEDGER, "record", "--config", path, *options], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False)
    return done.returncode, done.stderr.decode("utf-8", "replace")


class Files:
    def __init__(self, folder):
        self.path = os.path.join(folder, "test.conf")

    def write(self, text):
        with open(self.path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
        return self.path

    def told(self, text, *options):
        """Exit status, and what is told of the file, without its name."""
        status, err = record(self.write(text), *options)
        return status, err.split("\n", 1)[0].replace("ioledger: " + self.path, "FILE")


def accepts(tap, files, name, text, *options):
    """All of it is taken: only the line behind it is wrong."""
    lines = text.rstrip("\n").count("\n") + 2
    status, told = files.told(text.rstrip("\n") + "\n" + END + "\n", *options)
    tap.ok(status == 2 and told == "FILE:%d: no-such-option: there is no option 'no-such-option'" % lines, name, status, told)


def refuses(tap, files, text, want, *options):
    status, told = files.told(text, *options)
    tap.ok(status == 2 and told.startswith(want), "refused: %s" % ascii(text[:60]), told[:300], want)


def shipped_file(tap, files):
    with open(SHIPPED, encoding="utf-8") as file:
        text = file.read()
    with_all = re.sub(r"^#([a-z-]+ = )", r"\1", text, flags=re.M)
    accepts(tap, files, "the file shipped, as it is", text)
    accepts(tap, files, "the file shipped, with every option", with_all)
    described = set(re.findall(r"^([a-z-]+) = ", with_all, re.M))
    done = subprocess.run([IOLEDGER, "record", "--help"], capture_output=True, text=True, check=True)
    options = set(re.findall(r"^ +--([a-z-]+)", done.stdout, re.M)) - NOT_IN_FILE
    tap.ok(described == options, "the file shipped has every option of record", described ^ options)


def good_files(tap, files):
    accepts(tap, files, "an empty file", "")
    accepts(tap, files, "comments and blank lines", "# a\n\n   # b = c\n\t\n")
    accepts(tap, files, "blanks around names and values", "  interval=5s  \r\n\tcomm =  two words \n")
    accepts(tap, files, "values with = and # in them", "ignore = /a=b#c\ncomm = #\n")
    accepts(tap, files, "names that may stand there often", "comm = a\ncomm = b\nignore = /a\nignore = /b\npid = 1\n")
    accepts(tap, files, "switches", "quiet = yes\n")
    accepts(tap, files, "the command line goes before the file", "interval = nonsense\n", "--interval", "5s")
    accepts(tap, files, "… and is added to where there may be several", "comm = a\n", "--comm", "b")
    accepts(tap, files, "… even for the database", "db = nonsense\n", "--db", "sqlite:x.db")
    accepts(tap, files, "64 rules", "ignore = /a\n" * 64)


def bad_files(tap, files):
    for text, want in (
            ("interval\n", "FILE:1: 'interval' is not of the form 'name = value'"),
            ("= 5s\n", "FILE:1: '= 5s' is not of the form 'name = value'"),
            ("\n\ninterval =\n", "FILE:3: interval: there is nothing after the '='"),
            ("interval = 5x", "FILE:1: interval: '5x' is not a duration"),
            ("# a\ninterval = 1ms\n", "FILE:2: interval: '1ms' is too short"),
            ("interval = 1s\n\ninterval = 2s\n", "FILE:3: interval: line 1 has this option already"),
            ("intervall = 1s\n", "FILE:1: intervall: there is no option 'intervall': did you mean 'interval'?"),
            ("--interval = 1s\n", "FILE:1: --interval: there is no option '--interval'"),
            ("config = /etc/x\n", "FILE:1: config: this option is for the command line only"),
            ("system = yes\n", "FILE:1: system: this option is for the command line only"),
            ("quiet = maybe\n", "FILE:1: quiet: 'maybe' is neither yes nor no"),
            ("db = mysql://x\n", "FILE:1: db: 'mysql://x' is not the URL of a database"),
            ("ignore = etc\n", "FILE:1: ignore: 'etc' is not an absolute path"),
            ("ignore = /a/*b\n", "FILE:1: ignore: '/a/*b' is no pattern"),
            ("sample = 0:/a\n", "FILE:1: sample: one in '0' is not possible"),
            ("spool-max = 1M\n", "FILE:1: spool-max: '1M' is too little: at least 16M"),
            ("spool-sync = often\n", "FILE:1: spool-sync: 'often' is not one of always, everysec, never"),
            ("event-budget = many\n", "FILE:1: event-budget: 'many' is no budget"),
            ("metrics = 127.0.0.1\n", "FILE:1: metrics: '127.0.0.1' is not an address to listen on"),
            ("metrics = ::1:9464\n", "FILE:1: metrics: '::1:9464' is not an address to listen on"),
            ("metrics = :9464\n", "FILE:1: metrics: ':9464' is not an address to listen on"),
            ("metrics = a:0\n", "FILE:1: metrics: 'a:0' is not an address to listen on"),
            ("metrics = a:65536\n", "FILE:1: metrics: 'a:65536' is not an address to listen on"),
            ("metrics = http://a:1\n", "FILE:1: metrics: 'http://a:1' is not an address to listen on"),
            ("uid = no such user\n", "FILE:1: uid: there is no user 'no such user'"),
            ("cgroup = system.slice\n", "FILE:1: cgroup: 'system.slice' is not an absolute path"),
            ("ignore = /a\n" * 65, "FILE:65: ignore: there are more than 64 rules"),
            (b"comm = a\0b\n", "FILE has a NUL byte in it"),
            (b"\x1b[31m\n", "FILE:1: '\\e[31m' is not of the form"),
            ("#" * (1 << 20) + "\n", "FILE is longer than 1048576 bytes")):
        refuses(tap, files, text, want)
    refuses(tap, files, "ignore = /a\n", "FILE:1: ignore: there are more than 64 rules", *["--ignore", "/b"] * 64)
    for path, want in (("/none/at.all", "cannot read /none/at.all: No such file"), (os.path.dirname(files.path), "cannot read"),
                       ("", "--config: the value is empty")):
        status, err = record(path)
        tap.ok(status == 2 and want in err, "refused: %r for a file" % path, err)


def elsewhere(tap, files):
    """`top` and `tail` take what they have of the file, leave the rest of `record` alone, and refuse what neither has."""
    known = "spool = /a\npin = /b\nmetrics = a:1\ndb = sqlite:c\ncomm = d\n"
    for command in ("top", "tail"):
        for text, want in ((known + END + "\n", "FILE:6: no-such-option: there is no option 'no-such-option'"), ("comm = a\ninterval = x\n", "FILE:2: interval: "),
                           ("interval = 1s\ninterval = 2s\n", "FILE:2: interval: line 1 has this option already")):
            done = subprocess.run([IOLEDGER, command, "--config", files.write(text)], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
            told = done.stderr.decode().replace("ioledger: " + files.path, "FILE")
            tap.ok(done.returncode == 2 and told.startswith(want), "%s --config: refused: %s" % (command, want), done)


def not_there(tap):
    """What is looked for on the machine before anything is recorded."""
    for options, want in ((("--cgroup", "/no/such/cgroup"), "there is no cgroup '/no/such/cgroup'"),
                          (("--cgroup", "/usr"), "there is no cgroup '/usr'"),
                          (("--container", "f" * 64), "there is no container '%s' that runs" % ("f" * 64)),
                          (("--container", "no-such-machine"), "there is no container 'no-such-machine' that runs"),
                          (("--db", "jsonl:-", "--spool", "/x"), "--spool is for databases"),
                          (("--system", "--cgroup", "/", "--", "true"), "--system and a filter contradict each other")):
        done = subprocess.run([IOLEDGER, "record", *options], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=60, check=False)
        tap.ok(done.returncode == 2 and done.stderr.startswith("ioledger: " + want) and done.stderr.count("\n") == 2,
               "refused: %s" % " ".join(options), done)


def print_config(*options):
    done = subprocess.run([IOLEDGER, "record", "--print-config", *options], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


# For each option a value that is not the default, and how it is printed.
SETTINGS = (
    ("db", "postgresql://u:p=w@h/d?x=y", None), ("quiet", "yes", None), ("pid", "1", None), ("comm", "two  words", None),
    ("comm", "#=", None), ("uid", "root", "0"), ("exe", "/bin/../bin/sh", os.path.realpath("/bin/sh")),
    ("cgroup", "/", None), ("kinds", "pipe,anon,file", "file,pipe,anon"), ("events", "unlink,rename,chmod", "rename,unlink,chmod"),
    ("every", "/etc/** if comm=a b", None), ("ignore", "/etc/**", None), ("sample", "7:*.log", None), ("ignore", "kind:socket", None),
    ("event-budget", "none,5/s", None), ("interval", "0.25s", "250ms"), ("duration", "90m", None), ("max-accounts", "100k", "102400"),
    ("probes", "tracepoint", None), ("control", "none", None), ("metrics", "[::1]:9464", None), ("spool", "/some/where", None), ("spool-max", "20480k", "20M"),
    ("spool-sync", "everysec", None), ("pin", "/sys/fs/bpf/x", None))
# It must run when the option is given, which no test can rely on.
NOT_SET = {"container"}


def settings_of(text):
    return [tuple(line.split(" = ", 1)) for line in text.splitlines() if line and line[0] != "#"]


def printed(tap, files):
    """What --print-config prints is read back as the same settings, and has every option."""
    options = {line[0] for line in settings_of(re.sub(r"^#([a-z-]+ = )", r"\1", print_config()[1], flags=re.M))}
    with open(SHIPPED, encoding="utf-8") as file:
        shipped = set(re.findall(r"^#([a-z-]+) = ", file.read(), re.M))
    tap.ok(options == shipped, "every option is printed", options ^ shipped)
    tap.ok({name for name, _, _ in SETTINGS} | NOT_SET == options, "every option is tried", options)

    text = "".join("%s = %s\n" % (name, value) for name, value, _ in SETTINGS)
    want = sorted((name, shown or value) for name, value, shown in SETTINGS)
    status, out, err = print_config("--config", files.write(text))
    rules = [name for name, _ in settings_of(out) if name in ("every", "ignore", "sample")]
    tap.ok(status == 0 and sorted(settings_of(out)) == want, "settings of a file are printed", err, settings_of(out), want)
    tap.ok(rules == ["every", "ignore", "sample", "ignore"], "rules are printed in their order", rules)

    words = [word for name, value, _ in SETTINGS
             for word in (["--" + name] if value == "yes" else ["--%s=%s" % (name, value)])]
    _, typed, err = print_config(*words)
    tap.ok(typed == out, "settings of the command line are printed as those of a file", err, typed)
    for name, options in (("the defaults", ()), ("settings", words), ("all words", ("--events=all", "--kinds=file,dir,dev,pipe,socket,anon")),
                          ("none of them", ("--events=none", "--event-budget=none"))):
        _, once, err = print_config(*options)
        _, again, err_again = print_config("--config", files.write(once))
        tap.ok(once == again and once, "read back: %s" % name, once, again, err, err_again)
    for rule, told in (("/etc/shadow if com=sh", "rule '/etc/shadow if com=sh': ' if com=sh' is taken for a part of the name"), ("/a if b", "' if b' is taken"),
                       ("/what if comm=sh", ""), ("/a if b if comm=sh", ""), ("/a", "")):
        status, out, err = print_config("--every", rule)
        tap.ok(status == 0 and ("every", rule) in settings_of(out) and told in err and bool(told) == bool(err), "what may have been meant for a condition: %s" % rule, err)
    _, out, _ = print_config("--config", files.write("interval = 5s\n"), "--interval", "3s")
    tap.ok(("interval", "3s") in settings_of(out), "the command line goes before the file", out)
    for options, want in ((("--comm", " a"), "--comm: ' a' cannot stand in a configuration file"),
                          (("--comm", "a\nb"), "--comm: 'a\\nb' cannot stand in a configuration file"),
                          (("--", "true"), "--print-config goes with no CMD")):
        status, out, err = print_config(*options)
        tap.ok(status == 2 and out == "" and want in err, "refused: --print-config %r" % (options,), status, out, err)


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="ioledger-config.") as folder:
        files = Files(folder)
        shipped_file(tap, files)
        good_files(tap, files)
        bad_files(tap, files)
        printed(tap, files)
        elsewhere(tap, files)
        not_there(tap)
    print("1..%d" % tap.count)
    sys.exit(1 if tap.failed else 0)


if __name__ == "__main__":
    main()
