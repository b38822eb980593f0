# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What tests of ways into a database share: bench/feed, whose batches have a number each, and the run over the tests of a program."""
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../live"))
import livelib as live  # pylint: disable=wrong-import-position

FEED = os.environ.get("IOLEDGER_FEED") or os.path.join(live.HERE, "../../build/bench/feed")
FIELDS = ("seconds", "made", "spooled", "stored", "rows", "waiting", "bytes", "merged", "quarantined", "queued", "rss")
MAX = 64 << 20


class Feed:
    """A running feed, and what it said last."""

    def __init__(self, url, spool, batches, rows=100, rate=0, most=MAX):
        self.batches, self.rows, self.spool = batches, rows, spool
        self.args = [FEED, url, spool, str(batches), str(rows), str(rate), str(most)]
        self.start()

    def start(self):
        self.last = dict.fromkeys(FIELDS, 0.0)
        self.process = subprocess.Popen(self.args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        threading.Thread(target=self._read, args=(self.process,), daemon=True).start()

    def _read(self, process):
        for line in process.stdout:
            self.last = dict(zip(FIELDS, map(float, line.split())))

    def until(self, condition, what):
        live.wait_for(lambda: condition(self.last) or self.process.poll() is not None, what)
        if self.process.poll() is not None and not condition(self.last):
            raise live.Failure("feed ended before %s: %s" % (what, self.process.stderr.read().decode()))

    def kill(self):
        self.process.kill()
        self.process.wait()

    def finish(self, patience=120):
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise live.Failure("feed does not end: %s" % self.last) from None
        if status != 0:
            raise live.Failure("feed: exit status %d: %s" % (status, self.process.stderr.read().decode()))
        return self


def load(url, *args):
    return live.run("load", "--db", url, *args)


def check_exact(tap, url, batches, rows, name):
    """Each batch is there, once, with its rows; and the books balance. In any kind of database."""
    got = live.rows(url, "select count(*) as n, count(distinct seq) as d, min(seq) as a, max(seq) as b from batch")[0]
    tap.equal(got, {"n": batches, "d": batches, "a": 1, "b": batches}, "%s: each batch is there, once" % name)
    tap.equal(live.value(url, "select count(*) from io"), batches * rows, "%s: each row is there, once" % name)
    done = live.run("balance", "--db", url)
    tap.ok(done.returncode == 0, "%s: the books balance" % name, done.stdout, done.stderr)


def run(tests, prefix, call, keep, behind=lambda: None):
    """Those of the tests that the command line names, or all: call(test, tap, scratch folder) for each. Then whatever it has started ends,
    but for the processes of keep(), and behind() is called. The exit status."""
    chosen = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what is killed is ours to bury
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tap = live.Tap()
    for test in chosen:
        with tempfile.TemporaryDirectory(prefix=prefix) as scratch:
            os.chmod(scratch, 0o755)
            try:
                call(test, tap, scratch)
            except live.Skip as reason:
                tap.skip(test.__name__, reason)
            except live.Failure as failure:
                tap.ok(False, "%s runs to its end" % test.__name__, failure)
            finally:
                live.end_descendants(keep=keep())
                behind()
    print("1..%d" % tap.count)
    return 1 if tap.failed else 0


def run_with_postgresql(tests, prefix, behind=lambda cluster: None):
    """The same with a PostgreSQL server of their own: test(tap, scratch folder, cluster)."""
    cluster = live.PostgreSQL()
    try:
        return run(tests, prefix, lambda test, tap, scratch: test(tap, scratch, cluster),
                   lambda: [pid for pid, _ in live.children() if cluster.owns(pid)], lambda: behind(cluster))
    finally:
        cluster.remove()
