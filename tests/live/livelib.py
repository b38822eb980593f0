# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""What the live tests share: TAP, scratch space, databases, the recorder, and questions to the books.

A live test runs the real recorder on the real kernel. It states what it did and what must therefore
be in the books, waits for conditions and never for times, and leaves nothing behind.
"""
import atexit
import contextlib
import ctypes
import json
import mmap
import os
import platform
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
IOLEDGER = os.environ.get("IOLEDGER") or os.path.join(HERE, "../../build/ioledger")
WORKLOADS = os.environ.get("IOLEDGER_WORKLOADS") or os.path.join(HERE, "../../build/tests/live")
PGCLUSTER = os.path.join(HERE, "../db/pgcluster")
# How many times slower an emulated processor is than one of these days: amounts of work are smaller by it, bounds of time longer.
SLOWNESS = float(os.environ.get("IOLEDGER_TEST_SLOWNESS", "1"))
PATIENCE = float(os.environ.get("IOLEDGER_TEST_PATIENCE", "60"))  # seconds until a condition counts as failed
PROBES = os.environ.get("IOLEDGER_TEST_PROBES")  # of every recording; none: what it takes by itself
READY = "ioledger: recording"
COUNTERS = ("read_ops", "read_bytes", "read_errors", "write_ops", "write_bytes", "write_errors")


class Failure(Exception):
    """A test cannot go on; the message becomes its diagnosis."""


class Skip(Exception):
    """A test cannot be made on this machine; the message says why."""


# TAP

class Tap:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def ok(self, good, name, *details):
        self.count += 1
        if not good:
            self.failed += 1
        print("%s %d - %s" % ("ok" if good else "not ok", self.count, visible(name).replace("#", "\\#")), flush=True)
        if not good:
            for detail in details:
                self.say(detail)
        return bool(good)

    def equal(self, got, want, name):
        return self.ok(got == want, name, "got:      %r" % (got,), "expected: %r" % (want,))

    def skip(self, name, reason):
        self.count += 1
        print("ok %d - %s # SKIP %s" % (self.count, visible(name).replace("#", "\\#"), reason), flush=True)

    def say(self, text):
        for line in str(text).split("\n"):
            print("# " + visible(line), flush=True)


def visible(text):
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)) \
        .encode("utf-8", "backslashreplace").decode()


def main(*tests):
    """Runs the test functions, each with (tap, scratch folder); the words on the command line choose among them."""
    reason = cannot_run()
    if reason:
        print("1..0 # SKIP %s: nothing of this was tested" % reason)
        print("ioledger live tests skipped: %s" % reason, file=sys.stderr)
        sys.exit(0)
    chosen = [t for t in tests if not sys.argv[1:] or t.__name__ in sys.argv[1:]]
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: no descendant escapes the clean-up
    atexit.register(end_descendants)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tap = Tap()
    for test in chosen:
        scratch, begun = make_scratch(), time.monotonic()
        try:
            test(tap, scratch)
        except Skip as reason:
            tap.skip(test.__name__, reason)
        except Failure as failure:
            tap.ok(False, "%s runs to its end" % test.__name__, failure)
        except Exception:  # pylint: disable=broad-except
            tap.ok(False, "%s runs to its end" % test.__name__, traceback.format_exc())
        finally:
            end_descendants(keep=PostgreSQL.server_pids())
            remove_scratch(scratch)
            if left_out:
                tap.skip("%s: %s" % (test.__name__, ", ".join(sorted(set(left_out)))), "an emulated processor has some of the cases only")
                left_out.clear()
            tap.say("%s: %.1f s" % (test.__name__, time.monotonic() - begun))
    print("1..%d" % tap.count)
    PostgreSQL.stop_shared()
    sys.exit(1 if tap.failed else 0)


def cannot_run():
    if os.geteuid() != 0:
        return "not root"
    if not os.path.exists("/sys/kernel/btf/vmlinux"):
        return "the kernel offers no BTF (/sys/kernel/btf/vmlinux)"
    if not os.access(IOLEDGER, os.X_OK):
        return "no ioledger at %s" % IOLEDGER
    return None


def kernel():
    """Its version: (6, 12)."""
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", platform.release()).groups()))


def needs(feature, since):
    """Skips where doctor says that the kernel does not tell what a test looks at; from version `since` on every one has to."""
    row = next(row for row in json.loads(run("doctor", "--format", "json").stdout) if row["feature"] == feature)
    if row["state"] != "ok" and kernel() < since:
        raise Skip("this kernel does not tell what it needs: %s: %s" % (feature, row["detail"]))


# Scratch space and processes

def make_scratch():
    path = os.path.realpath(tempfile.mkdtemp(prefix="ioledger-live-"))
    os.chmod(path, 0o755)
    return path


def remove_scratch(path):
    with open("/proc/self/mountinfo", "rb") as mounts:
        points = [re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), line.split()[4]) for line in mounts]
    for point in reversed(points):
        if point.startswith(os.fsencode(path) + b"/"):
            subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=False)


def children(pid="self"):
    pid = os.getpid() if pid == "self" else pid
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open("/proc/%s/stat" % name, "rb") as stat:
                fields = stat.read().rpartition(b")")[2].split()
                if int(fields[1]) == pid:
                    found.append((int(name), fields[0]))
    return found


def end_descendants(keep=()):
    """Ends what this test started and left running: its own children, and theirs as they become ours."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [(pid, state) for pid, state in children() if pid not in keep]
        if not left:
            return
        for pid, state in left:
            with contextlib.suppress(OSError):
                if state != b"Z":
                    os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def wait_for(condition, what, patience=None, pause=0.02):
    """The condition's first true value; a Failure that names `what` when it never comes."""
    deadline = time.monotonic() + (patience or PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure("waited in vain for " + what)
        time.sleep(longer(pause))  # to look takes of a slower processor what is waited for


def fewer(number):
    """An amount of work that takes no longer on a slower processor."""
    return max(1, int(number / SLOWNESS))


left_out = []  # of the test that runs, on a slower processor; main() tells them


def some(cases, number):
    """All of the cases, or the first few where each takes a processor as long as all of them take others: at the start of a recorder."""
    if SLOWNESS == 1 or len(cases) <= number:
        return cases
    left_out.append("%d of %d" % (len(cases) - number, len(cases)))
    return cases[:number]


def spared(what):
    """Whether a slower processor leaves this out."""
    if SLOWNESS > 1:
        left_out.append(what)
    return SLOWNESS > 1


def crowd(number):
    """As many threads that never pause as leave a slower processor time for a recorder that begins."""
    return number if SLOWNESS == 1 else 1


def longer(time_bound):
    """A bound of time that a slower processor keeps when it does as well."""
    return time_bound * SLOWNESS


def has_ended(pid):
    """Whether there is no such process any more, or only its status."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as stat:
            return stat.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def workload(name):
    return os.path.join(WORKLOADS, "workload_" + name)


def process_seconds(pid):
    """Time on a processor, of all threads: of the scheduler's own clock, as a sampling one misses what sleeps between its ticks."""
    total = 0
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, tid), encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9


# Databases

def keep_spools_here():
    """The spools of recorders that are killed are not to be left in the system's folder."""
    if "STATE_DIRECTORY" not in os.environ:
        os.environ["STATE_DIRECTORY"] = tempfile.mkdtemp(prefix="ioledger-live-state-")
        atexit.register(shutil.rmtree, os.environ["STATE_DIRECTORY"], True)


class PostgreSQL:
    """One scratch cluster for a test script, one database for each recording."""
    _shared = None

    def __init__(self):
        keep_spools_here()
        self.folder = tempfile.mkdtemp(prefix="ioledger-live-pg-")
        os.chmod(self.folder, 0o755)
        self.data = os.path.join(self.folder, "cluster")
        self.made = 0
        self.url = None
        atexit.register(self.remove)
        self.start()

    @classmethod
    def shared(cls):
        if not cls._shared:
            cls._shared = cls()
        return cls._shared

    @classmethod
    def stop_shared(cls):
        if cls._shared:
            cls._shared.remove()

    @classmethod
    def server_pids(cls):
        """Our children that belong to the shared cluster (its postmaster is adopted by us)."""
        if not cls._shared:
            return ()
        return [pid for pid, _ in children() if cls._shared.owns(pid)]

    def owns(self, pid):
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as file:
                return os.fsencode(self.folder) in file.read()
        except OSError:
            return False

    def start(self):
        self.url = self._call("start").strip().split("\n")[-1]

    def stop(self):
        self._call("stop")

    def remove(self):
        if os.path.isdir(self.folder):
            with contextlib.suppress(Failure, Skip):
                self.stop()
            end_descendants()  # an initdb that was interrupted would go on writing
            shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, verb):
        # Output to a file: the server inherits it, and a pipe would not end before the server does.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run([PGCLUSTER, verb, self.data], stdin=subprocess.DEVNULL, stdout=out, stderr=err, check=False)
            out.seek(0)
            err.seek(0)
            if done.returncode == 77:
                raise Skip("no PostgreSQL server on this machine")
            if done.returncode != 0:
                raise Failure("%s %s: %s" % (PGCLUSTER, verb, err.read()))
            return out.read()

    def new_database(self):
        """The URL of a database that is empty."""
        self.made += 1
        name = "live%d" % self.made
        psql(self.url, "create database %s encoding 'UTF8' template template0" % name)
        return self.named(name)

    def named(self, name):
        parts = urllib.parse.urlsplit(self.url)
        # Not geturl(): it would drop the empty host of a URL that names a socket folder in its query.
        return "%s://%s/%s%s" % (parts.scheme, parts.netloc, name, "?" + parts.query if parts.query else "")


def psql(url, sql):
    done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise Failure("psql: " + done.stderr.decode("utf-8", "replace"))
    return done.stdout.decode("utf-8")


def new_url(kind, scratch):
    if kind == "sqlite":
        return "sqlite:" + tempfile.mktemp(".db", "ledger-", scratch)
    return PostgreSQL.shared().new_database()


def sqlite_path(url):
    return url.partition(":")[2]


def rows(url, sql):
    """The rows of a query as dicts, by the database's own client; the same plain SQL for both databases."""
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect("file:%s?mode=ro" % urllib.parse.quote(sqlite_path(url)), uri=True, timeout=30)) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql)]
    return json.loads(psql(url, "select coalesce(json_agg(t), '[]') from (%s) t" % sql))


def value(url, sql):
    return next(iter(rows(url, sql)[0].values()))


# The recorder

class Recorder:
    """`ioledger record` on a database. Without a command it is ready when the constructor returns."""

    def __init__(self, url, *options, command=None, env=None, cwd=None, wait=True):
        if PROBES and "--probes" not in options:
            options = ("--probes", PROBES, *options)
        args = [IOLEDGER, "record", "--db", url, *options]
        if command is not None:
            args += ["--", *command]
        self.url = url
        self.lines = []
        self.out = b""
        self.process = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env=env, cwd=cwd)
        self.pid = self.process.pid
        self._readers = [threading.Thread(target=self._read_errors, daemon=True),
                         threading.Thread(target=self._read_output, daemon=True)]
        for reader in self._readers:
            reader.start()
        if command is None and wait:
            self.wait_ready()

    def _read_errors(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))

    def _read_output(self):
        self.out = self.process.stdout.read()

    def wait_ready(self):
        wait_for(lambda: any(line.startswith(READY) for line in self.lines) or self.process.poll() is not None,
                 "the line %r from the recorder; it said: %s" % (READY, self.lines))
        if self.process.poll() is not None:
            self._readers[0].join(10)  # what it said last may not have been read yet
            raise Failure("the recorder ended with %s instead of recording: %s" % (self.process.returncode, self.errors()))

    def wait(self, patience=300):
        """Its exit status, once it ends by itself."""
        try:
            status = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise Failure("the recorder did not end within %d s; it said: %s" % (patience, self.lines)) from None
        for reader in self._readers:
            reader.join(10)
        return status

    def stop(self, signum=signal.SIGINT, patience=300):
        self.process.send_signal(signum)
        return self.wait(patience)

    def errors(self):
        return "\n".join(self.lines)


def run(*args, **options):
    """An ioledger command to its end."""
    return subprocess.run([IOLEDGER, *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=300, check=False, **options)


def check_balance(tap, url, name):
    """Every recording ends with this: the books balance, by ioledger's word and by plain SQL."""
    done = run("balance", "--db", url)
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    good = tap.ok(done.returncode == 0, "%s: ioledger balance exits 0" % name, "exit status %d" % done.returncode, said)
    columns = ", ".join("sum(%s) as %s" % (c, c) for c in COUNTERS)
    query = "select '%s' as side, ts, route, %s from %s group by ts, route"
    found = rows(url, " union all ".join(query % (side, columns, side) for side in ("io", "total")))  # a recorder may be writing: one look
    sums, totals = ({(r["ts"], r["route"]): tuple(r[c] for c in COUNTERS) for r in found if r["side"] == side} for side in ("io", "total"))
    unused = tuple(0 for _ in COUNTERS)
    wrong = ["%s %s: accounts %s, kernel %s" % (*key, sums.get(key, unused), totals.get(key, unused))
             for key in sorted(set(sums) | set(totals)) if sums.get(key, unused) != totals.get(key, unused)]
    good &= tap.ok(not wrong and totals, "%s: io equals total in each of %d (interval, route) by SQL" % (name, len(totals)), *wrong[:20])
    orphans = value(url, "select count(*) from io where not exists (select 1 from process p where p.id = io.process_id)"
                         " or not exists (select 1 from file f where f.id = io.file_id)")
    return tap.equal(orphans, 0, "%s: every io row has its process and its file" % name) and good


# Questions to the books

ACCOUNTS = """
select p.id as process_id, p.pid, p.start_time, p.exec_time, p.origin, p.comm, p.exe, f.path, f.kind, f.flags, i.route,
       sum(i.read_ops) as read_ops, sum(i.read_bytes) as read_bytes, sum(i.read_errors) as read_errors,
       sum(i.write_ops) as write_ops, sum(i.write_bytes) as write_bytes, sum(i.write_errors) as write_errors
from io i left join process p on p.id = i.process_id left join file f on f.id = i.file_id
where %s
group by p.id, p.pid, p.start_time, p.exec_time, p.origin, p.comm, p.exe, f.path, f.kind, f.flags, i.route
"""


def accounts(url, maps=False, pids=None, where="true", **wanted):
    """One dict for each (process image, file, route), with its sums; `pids` and `wanted` restrict columns to values, `where` is SQL.

    Mappings are left out unless asked for: the loader of every program makes some.
    """
    if pids is not None:
        where += " and p.pid in (%s)" % ", ".join(map(str, pids))
    return [row for row in rows(url, ACCOUNTS % where)
            if (maps or row["route"] != "mmap") and all(row[k] == v for k, v in wanted.items())]


def sums(account_rows):
    return tuple(sum(row[c] for row in account_rows) for c in COUNTERS)


def losses(url):
    """What was lost, by reason; but not that a kernel has no probe for a route, which each recording there tells."""
    return rows(url, "select reason, sum(lost) as lost from loss where reason not like 'route not covered: %' group by reason")


def hooks_left_out(url, what=""):
    """
    What the kernel has left out, as `loss` tells: from 7.0 on a thread may be preempted in a bpf(2) call that changes a map, whoever makes it, and as
    long as it is, hooks are left out on its CPU.
    """
    return value(url, "select coalesce(sum(lost), 0) from loss where reason like 'hooks left out%%%s'" % what) if kernel() >= (7, 0) else 0


def images(url, pid):
    """The process rows of a pid in the order in which they lived."""
    found = rows(url, "select * from process where pid = %d" % pid)
    return sorted(found, key=lambda r: (str(r["start_time"]), r["exec_time"] is not None, str(r["exec_time"])))


def stored(data):
    """The text in which bytes are stored: valid UTF-8 as it is, else invalid bytes as \\xHH and backslashes doubled."""
    if isinstance(data, str):
        data = os.fsencode(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        # Python's decoder flags exactly the bytes that RFC 3629 rules out.
        return data.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def is_escaped(data):
    try:
        data.decode("utf-8")
        return False
    except UnicodeDecodeError:
        return True


class Expected:
    """An account that a workload says it has made (see workload.h)."""

    def __init__(self, line):
        words = line.split(" ")
        self.scenario, self.pid, self.kind = words[0], int(words[1]), words[2]
        self.flags = set() if words[3] == "-" else set(words[3].split(","))
        self.route = words[4]
        self.counts = tuple(int(w) for w in words[5:11])
        self.raw = bytes.fromhex(words[11])
        self.path = stored(self.raw)
        if is_escaped(self.raw):
            self.flags.add("escaped")


def read_expected(path):
    """What the workload reported: (accounts, {scenario: [(pid, note)]})."""
    expected, notes = [], {}
    with open(path, encoding="ascii") as file:
        for line in file:
            line = line.rstrip("\n")
            if " note " in line:
                scenario, pid, _, word = line.split(" ", 3)
                notes.setdefault(scenario, []).append((int(pid), word))
            else:
                expected.append(Expected(line))
    return expected, notes


def flags_of(row):
    return set(row["flags"].split(",")) if row["flags"] else set()


def describe(row):
    return "pid %s %s (%s) %r kind %s flags %s %s %s" % (row["pid"], row["comm"], row["exe"], row["path"], row["kind"], row["flags"],
                                                       row["route"], [row[c] for c in COUNTERS])


# The workload of test_many, test_stop and test_light

class ManyControl:
    """workload_many with its shared counters (struct control there)."""
    WORDS = ("go", "stop", "pause", "parked", "ready")
    HEADER = 16 * 8

    def __init__(self, scratch, files=1000, processes=4, threads=4, seconds=0.0, reads_only=False):
        self.files, self.processes, self.threads = files, processes, threads
        self.folder = os.path.join(scratch, "many")
        os.makedirs(self.folder, exist_ok=True)
        for i in range(files):
            with open(os.path.join(self.folder, str(i)), "wb") as file:
                file.write(b"content of file %d\n" % i)
        path = tempfile.mktemp(".control", "many-", scratch)
        size = self.HEADER + processes * files * len(COUNTERS) * 8
        with open(path, "w+b") as file:
            file.truncate(size)
            self.map = mmap.mmap(file.fileno(), size)
        self.command = [workload("many"), path, self.folder, str(files), str(processes), str(threads), str(seconds)]
        if reads_only:
            self.command.append("reads")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        wait_for(lambda: self.get("ready") == self.processes, "the workload to have its files open")

    def get(self, word):
        return struct.unpack_from("=Q", self.map, 8 * self.WORDS.index(word))[0]

    def set(self, word, number=1):
        struct.pack_into("=Q", self.map, 8 * self.WORDS.index(word), number)

    def pids(self):
        return struct.unpack_from("=%dQ" % self.processes, self.map, 8 * len(self.WORDS))

    def pause(self):
        """Afterwards no operation is under way and the counters are exact."""
        self.set("pause")
        wait_for(lambda: self.get("parked") == self.processes * self.threads, "all threads of the workload to stand still")

    def stop(self):
        self.set("stop")
        if self.process:
            self.process.wait(PATIENCE)

    def counts(self):
        """{(pid, path): counters} of what was used."""
        found = {}
        numbers = struct.unpack_from("=%dQ" % (self.processes * self.files * 6), self.map, self.HEADER)
        for p, pid in enumerate(self.pids()):
            for f in range(self.files):
                at = (p * self.files + f) * 6
                if any(numbers[at:at + 6]):
                    found[pid, os.path.join(self.folder, str(f))] = numbers[at:at + 6]
        return found

    def differences(self, url, least=None, most=None):
        """Where the books say something else than what was done, (process, file) by (process, file).

        With `least` and `most`, two results of counts(), the books may say anything between them.
        """
        least = self.counts() if least is None else least
        most = least if most is None else most
        pids, booked = set(self.pids()), {}
        for row in accounts(url, pids=pids, route="rw", origin="fork"):
            key = (row["pid"], row["path"])
            booked[key] = tuple(a + row[c] for a, c in zip(booked.get(key, (0,) * 6), COUNTERS))
        none = (0,) * 6
        return ["pid %d %s: did %s, in the books %s" % (*key, most.get(key), booked.get(key))
                for key in sorted(set(least) | set(most) | set(booked))
                if not all(a <= b <= c for a, b, c in zip(least.get(key, none), booked.get(key, none), most.get(key, none)))]

    def operations(self):
        return sum(c[0] + c[2] + c[3] + c[5] for c in self.counts().values())
