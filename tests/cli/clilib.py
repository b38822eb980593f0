# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""Asking ioledger, on a terminal or not, and ledgers with known contents (fixture.c) in each database to ask about.

The script that uses this is called with IOLEDGER FIXTURE PGCLUSTER CHCLUSTER.
"""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import traceback
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../live"))
from livelib import Tap, wait_for  # pylint: disable=wrong-import-position

IOLEDGER, FIXTURE, PGCLUSTER, CHCLUSTER = map(os.path.abspath, sys.argv[1:5])
PATIENCE = 60  # seconds

HOSTILE_COMM = "e\x1b]0;x\x07\n\"'\\"
HOSTILE_PATHS = {
    "/h/new\nline": 1, "/h/quote\"'s, and comma": 2, "/h/back\\slash": 3, "/h/esc\x1b[31mred\r": 4,
    "/h/bad\\xff\\\\byte": 5, "/h/bidi\u202eover": 6, "/h/;DROP TABLE io;--$1": 7, "/h/\u00fc\u6f22\U0001f600": 8,
}


class Answer:
    def __init__(self, status, out, err):
        self.status, self.raw, self.err = status, out, err

    @property
    def out(self):
        return self.raw.decode()

    def __repr__(self):
        return "status %d, stdout %r, stderr %r" % (self.status, self.raw[:600], self.err)


def environment(**more):
    env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    env.update({name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")})
    env.update(more)
    return env


def ask(*args, cwd=None, **env):
    done = subprocess.run([IOLEDGER, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
                          cwd=cwd, env=environment(**env), check=False)
    return Answer(done.returncode, done.stdout, done.stderr.decode())


def ask_json(*args, **more):
    return json.loads(ask(*args, "--format", "json", **more).out)


class OnTerminal:
    """It runs on a terminal of that width."""

    def __init__(self, columns, *args, **env):
        self.got = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
                os.execve(IOLEDGER, [IOLEDGER, *args], environment(**env))
            finally:
                os._exit(127)

    def _read(self):
        try:
            piece = os.read(self.terminal, 65536)
        except OSError:  # EIO: the other side is closed
            return False
        self.got += piece
        return bool(piece)

    def wait_for(self, pattern):
        """False: it has ended before, or takes too long."""
        until = time.monotonic() + PATIENCE
        while not re.search(pattern, self.got):
            if not select.select([self.terminal], [], [], max(0, until - time.monotonic()))[0] or not self._read():
                return False
        return True

    def interrupt(self):
        os.write(self.terminal, b"\x03")

    def end(self):
        """The answer's stdout is what the terminal got, from stderr too."""
        while self._read():
            pass
        os.close(self.terminal)
        return Answer(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), re.sub(rb"\r+\n", b"\n", self.got), "")


def ask_terminal(columns, *args, **env):
    return OnTerminal(columns, *args, **env).end()


def width(text):
    """Columns on a terminal of the texts that the fixture has."""
    return sum(2 if ord(c) in (0x6f22, 0x1f600) else 1 for c in text)


def one_line_and_hint(answer, first):
    lines = answer.err.splitlines()
    return answer.status == 2 and not answer.raw and len(lines) == 2 and first in lines[0] and \
        all(line.startswith("ioledger: ") for line in lines)


def fill(urls):
    for name, url in urls.items():
        subprocess.run([FIXTURE, url, "full" if name == "pruned" else name], check=True, timeout=PATIENCE)


def start_postgres(scratch, contents):
    """URLs of the ledgers on a throw-away cluster; None when this machine has no server."""
    folder = os.path.join(scratch, "pg")
    done = subprocess.run([PGCLUSTER, "start", folder], capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    if done.returncode == 77:
        return None
    if done.returncode != 0:
        sys.exit("pgcluster: " + done.stderr)
    urls = {}
    for name in contents:
        subprocess.run(["psql", "-qX", done.stdout.strip(), "-c", 'CREATE DATABASE "%s"' % name], check=True)
        urls[name] = subprocess.run([PGCLUSTER, "url", folder, name], capture_output=True, text=True,
                                    check=True).stdout.strip()
    return urls


def ask_server(url, sql):
    """In ClickHouse's own words, without the program."""
    server, _, database = url.replace("clickhouse://", "").partition("/")
    request = urllib.request.Request("http://%s/?database=%s" % (server, database or "default"), data=sql.encode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read().decode()


def start_clickhouse(scratch, contents):
    """The same on a throw-away ClickHouse server."""
    folder = os.path.join(scratch, "ch")
    done = subprocess.run([CHCLUSTER, "start", folder], capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
    if done.returncode == 77:
        return None
    if done.returncode != 0:
        sys.exit("chcluster: " + done.stderr)
    server = done.stdout.strip().rsplit("/", 1)[0]
    for name in contents:
        ask_server(server, "CREATE DATABASE " + name)
    return {name: server + "/" + name for name in contents}


def remove_servers(scratch):
    for name, cluster in (("pg", PGCLUSTER), ("ch", CHCLUSTER)):
        if os.path.isdir(os.path.join(scratch, name)):
            subprocess.run([cluster, "remove", os.path.join(scratch, name)], check=False)


def run(tap, name, test, *args):
    print("# " + name, flush=True)
    try:
        test(tap, *args)
    except Exception:  # pylint: disable=broad-except
        tap.ok(False, "%s runs to its end" % name, traceback.format_exc())
