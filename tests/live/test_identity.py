#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""A process is not a pid: each byte under the program image that read it.

Forks without exec, threads, exec from a thread, chains of exec, a pid that comes again, ends by exit and by signal,
execs that fail: all on one recording for each database.
"""
import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import subprocess
import sys

import livelib as live

NAMESPACE_FORKS = 400
NAMESPACE_PID_MAX = 400
FOLDERS = 60

# Each program is given a number, and the folder that it runs in is known: of another name, gone, made anew, and many that come and go one after the other.
PLACES = """
set -e
mkdir -p one/below; cd one/below; /bin/true 1 'one/below'
mv ../../one ../../two; /bin/true 2 'two/below'
cd ../..; rm -r two; mkdir -p one/below; cd one/below; /bin/true 3 'one/below'
cd ..; rmdir below; mkdir other; cd other; /bin/true 4 'one/other'
rmdir ../other; /bin/true 5 'one/other'
cd ../..; mkdir -p one/other; cd one/other; /bin/true 6 'one/other'; cd ../..
cp /bin/true program; ./program 7 ''; mv program renamed; ./renamed 8 ''
i=10
while [ $i -lt %d ]; do mkdir folder$i; cd folder$i; /bin/true $i folder$i; cd ..; rmdir folder$i; i=$((i + 1)); done
""" % (10 + FOLDERS)


# Each process tells what it is, after its parent has become another in one thing: what its row says may have been told of its parent, or of nobody yet.
HEIRS = r"""
import ctypes, os, sys
prctl, top = ctypes.CDLL(None).prctl, os.getcwd()
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def tell(step):
    name = open("/proc/thread-self/comm").read().strip()
    os.write(log, ("%d\t%s\t%s\t%s\t%d\t%d\t%d\n" % (os.getpid(), step, os.readlink("/proc/self/cwd"), name, os.getuid(), os.geteuid(), os.getgid())).encode())

def fork(step, deep=True):
    child = os.fork()
    if child == 0:
        tell(step)
        if deep:
            fork(step + ", its child", False)
        os._exit(0)
    os.waitpid(child, 0)

def thread(change, step):
    import threading
    run = threading.Thread(target=lambda: (change(), fork(step)))
    run.start()
    run.join()

def go(path):
    os.makedirs(path, exist_ok=True)
    os.chdir(path)

STEPS = [
    ("as it began", lambda: None), ("again", lambda: None),
    ("in another folder", lambda: go(top + "/heirs/one/two")), ("there again", lambda: None),
    ("a folder above it renamed", lambda: os.rename(top + "/heirs/one", top + "/heirs/uno")), ("once more there", lambda: None),
    ("renamed back", lambda: os.rename(top + "/heirs/uno", top + "/heirs/one")),
    ("removed", lambda: (go(top + "/heirs/gone"), os.rmdir(top + "/heirs/gone"))),
    ("made anew", lambda: (os.chdir(top), go(top + "/heirs/gone"))), ("back at the top", lambda: os.chdir(top)),
    ("by another name", lambda: prctl(15, b"heir")), ("by that name again", lambda: None),
    ("of another group", lambda: os.setresgid(12, 12, 12)), ("of another effective user", lambda: os.seteuid(1234)),
    ("of its own user again", lambda: os.seteuid(0)), ("in the last folder", lambda: os.chdir("heirs")),
    ("of another user", lambda: os.setresuid(1234, 1234, 1234)), ("as that user again", lambda: None),
]
for step, change in STEPS:
    change()
    fork(step)
thread(lambda: prctl(15, b"thread"), "by a thread of another name")
"""


class Work:
    """Runs commands under one recording and finds what they left in the books."""

    def __init__(self, tap, scratch, kind):
        self.tap, self.scratch, self.kind = tap, scratch, kind
        self.url = live.new_url(kind, scratch)
        self.result = os.path.join(scratch, "result")
        self.env = {**os.environ, "IOLEDGER_RESULT": self.result}
        self.program = live.workload("identity")
        self.status = {}
        self.pid = {}
        self.booked = None

    def file(self, name, size=100):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as file:
            file.write(b"x" * size)
        return path

    def run(self, name, *command):
        with subprocess.Popen(command, env=self.env, cwd=self.scratch, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE) as process:
            error = process.stderr.read().decode("utf-8", "replace")
            self.pid[name] = process.pid
        self.status[name] = process.returncode
        if error and process.returncode == 70:
            self.tap.ok(False, "%s: the workload %s runs" % (self.kind, name), error)

    def identity(self, name, *args):
        self.run(name, self.program, *args)

    def finish(self, recorder):
        self.tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % self.kind)
        live.check_balance(self.tap, self.url, self.kind)
        self.booked = live.accounts(self.url)

    def readers(self, path):
        """Who read the file: [(pid, origin, comm, exe, read_ops, read_bytes)] in the order of their pids and images."""
        found = sorted((row for row in self.booked if row["path"] == path and (row["read_ops"] or row["read_errors"])),
                       key=lambda r: (r["pid"], r["exec_time"] is not None, str(r["exec_time"])))
        return [(r["pid"], r["origin"], r["comm"], r["exe"], r["read_ops"], r["read_bytes"]) for r in found]

    def expect(self, name, got, want):
        self.tap.equal(got, want, "%s: %s" % (self.kind, name))


def record(tap, scratch, kind):
    work = Work(tap, scratch, kind)
    for name in ("sh", "fork", "thread", "thread-exec", "fork-thread", "vfork", "vfork-child", "chain", "subshell"):
        work.file(name)
    for i in range(NAMESPACE_FORKS):
        os.makedirs(os.path.join(scratch, "reuse"), exist_ok=True)
        work.file("reuse/%d" % i)
    with open(os.path.join(scratch, "not executable"), "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n")
    # Kernels before 6.14 have one pid_max for all: hands off.
    major, minor = (int(word) for word in platform.release().split(".")[:2])
    if (major, minor) >= (6, 14):
        work.env["IOLEDGER_PID_MAX_IS_OURS"] = "1"

    recorder = live.Recorder(work.url)
    path = work.file
    work.run("sh", "/bin/sh", "-c", "exec /bin/cat '%s'" % os.path.join(scratch, "sh"))
    work.run("places", "/bin/sh", "-c", PLACES)
    work.run("heirs", sys.executable, "-c", HEIRS, os.path.join(scratch, "heirs.log"))
    work.run("subshell", "/bin/sh", "-c", "(while read -r line; do :; done < '%s'; exit 5); exit 4" % os.path.join(scratch, "subshell"))
    work.identity("fork", "fork", path("fork"), "7")
    work.identity("thread", "thread", path("thread"), "9")
    work.identity("thread-exec", "thread-exec", path("thread-exec"), "/bin/cat", path("thread-exec"))
    work.identity("fork-thread", "fork-thread", path("fork-thread"), "11")
    work.identity("vfork", "vfork", path("vfork"), "/bin/cat", path("vfork-child"))
    work.identity("chain", "chain", path("chain"), "5")
    work.identity("reuse", "reuse", os.path.join(scratch, "reuse"))
    work.identity("reuse-namespace", "reuse-namespace", os.path.join(scratch, "reuse"), str(NAMESPACE_FORKS), str(NAMESPACE_PID_MAX))
    work.identity("exit 3", "end", "exit", "3")
    work.identity("exit 255", "end", "exit", "255")
    for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM):
        work.identity("signal %d" % number, "end", "signal", str(int(number)))
    work.identity("exec-fail", "exec-fail", "/nonexistent/program", os.path.join(scratch, "not executable"), scratch)
    work.finish(recorder)
    return work


def check_images(work):
    """Who read what, image by image."""
    cat, shell = os.path.realpath("/bin/cat"), os.path.realpath("/bin/sh")
    own = os.path.realpath(work.program)
    comm = os.path.basename(work.program)[:15]
    at = lambda name: os.path.join(work.scratch, name)
    pid = work.pid

    readers = work.readers(at("sh"))
    work.expect("sh -c 'exec cat FILE': all bytes are cat's, under the shell's pid",
                [r[:4] + (r[5],) for r in readers], [(pid["sh"], "exec", "cat", cat, 100)])
    rows = live.images(work.url, pid["sh"])
    work.expect("sh -c 'exec cat FILE': the images of the pid", [(r["origin"], r["comm"], r["exe"]) for r in rows][-2:],
                [("exec", "sh", shell), ("exec", "cat", cat)])
    work.expect("the shell's image is the parent of cat's", rows[-1]["parent_id"], rows[-2]["id"])
    work.expect("argv of cat", rows[-1]["argv"], "/bin/cat %s" % at("sh"))
    work.expect("cwd of cat", rows[-1]["cwd"], work.scratch)

    expected, notes = live.read_expected(work.result)
    mine = {name: [e for e in expected if e.scenario == name] for name in notes}

    child, parent = mine["fork"]
    work.expect("a fork that reads without exec: its bytes are its own", sorted(work.readers(at("fork"))),
                sorted([(child.pid, "fork", comm, own, 7, 7), (parent.pid, "exec", comm, own, 1, 1)]))
    rows = live.images(work.url, child.pid)
    work.expect("the fork's parent is its parent's image", [(r["parent_id"], r["ppid"]) for r in rows],
                [(live.images(work.url, parent.pid)[-1]["id"], parent.pid)])

    work.expect("a thread's bytes are its process's", work.readers(at("thread")), [(pid["thread"], "exec", comm, own, 10, 10)])

    readers = work.readers(at("thread-exec"))
    work.expect("exec from a thread: its bytes before it, cat's after it, one pid", [r[:4] + (r[5],) for r in readers],
                [(pid["thread-exec"], "exec", comm, own, 1), (pid["thread-exec"], "exec", "cat", cat, 100)])

    readers = work.readers(at("fork-thread"))
    work.expect("a fork by a thread", [r[1:] for r in readers], [("fork", comm, own, 11, 11)])
    work.expect("the parent of a fork by a thread is the process", [r["ppid"] for r in live.images(work.url, readers[0][0])],
                [pid["fork-thread"]])

    readers = work.readers(at("vfork-child"))
    work.expect("vfork and exec: the bytes are cat's", [r[1:4] + (r[5],) for r in readers], [("exec", "cat", cat, 100)])
    work.expect("vfork: the parent's bytes are its own", work.readers(at("vfork")), [(pid["vfork"], "exec", comm, own, 1, 1)])

    readers = work.readers(at("chain"))
    work.expect("a chain of execs: each image has its own bytes", [(r[0], r[2], r[3], r[4]) for r in readers],
                [(pid["chain"], comm if n == 5 else "exe", own, n) for n in (5, 4, 3, 2, 1)])
    rows = [r for r in live.images(work.url, pid["chain"]) if r["exe"] == own]
    work.expect("a chain of execs: each image's parent is the one before", [r["parent_id"] for r in rows[1:]], [r["id"] for r in rows[:-1]])
    return notes, expected


def check_places(work):
    """Folder and program of each, though what they were for the one before is remembered."""
    work.expect("the programs in folders that change end well", work.status["places"], 0)
    rows = live.rows(work.url, "select argv, cwd, exe from process where ppid = %d and origin = 'exec'" % work.pid["places"])
    found = {int(row["argv"].split()[1]): row for row in rows if row["argv"].split()[1:2] and row["argv"].split()[1].isdigit()}
    work.expect("each of them has a row", sorted(found), [*range(1, 9), *range(10, 10 + FOLDERS)])
    wrong = []
    for number, row in sorted(found.items()):
        below = (row["argv"].split() + [""])[2]
        program = {7: "program", 8: "renamed"}.get(number)
        want = (os.path.join(work.scratch, below) if below else work.scratch, os.path.join(work.scratch, program) if program else os.path.realpath("/bin/true"))
        if (row["cwd"], row["exe"]) != want:
            wrong.append("%d: in %s, %s, and not in %s, %s" % (number, row["cwd"], row["exe"], *want))
    work.tap.ok(not wrong, "%s: each of %d programs has its own folder and path" % (work.kind, len(found)), *wrong[:10])


def check_heirs(work):
    """What each fork says of itself, and what its row says, though most of that was told of its parent."""
    work.expect("forks of a process that changes end well", work.status["heirs"], 0)
    with open(os.path.join(work.scratch, "heirs.log"), encoding="utf-8") as log:
        told = [line.rstrip("\n").split("\t") for line in log]
    rows = {row["pid"]: row for row in live.rows(work.url, "select * from process where origin = 'fork'")}
    parent = live.images(work.url, work.pid["heirs"])[-1]
    wrong = []
    for pid, step, cwd, comm, *ids in told:
        row = rows.get(int(pid))
        want = (cwd.removesuffix(" (deleted)"), comm, *(int(number) for number in ids), parent["exe"], parent["argv"], parent["cgroup"])
        got = row and (row["cwd"].removesuffix(" (deleted)"), row["comm"], row["uid"], row["euid"], row["gid"], row["exe"], row["argv"], row["cgroup"])
        if got != want:
            wrong.append("%s: %s, and not %s" % (step, got, want))
    work.expect("each of them and its child has told of itself", len(told), 2 * 19)
    work.tap.ok(not wrong, "%s: each of %d forks is as it says, whatever its parent was before" % (work.kind, len(told)), *wrong[:10])


def check_reuse(work, notes, expected):
    if notes["reuse"][-1][1] == "absent":
        work.tap.skip("%s: a pid reused" % work.kind, "the pid did not come again")
    else:
        first, second = [e for e in expected if e.scenario == "reuse"]
        in_reuse = lambda n: [r for r in work.readers(os.path.join(work.scratch, "reuse", str(n))) if r[0] == first.pid]
        work.expect("a pid reused: the pid is one", first.pid, second.pid)
        work.expect("a pid reused: the first has its bytes", [r[4] for r in in_reuse(0)], [1])
        work.expect("a pid reused: the second has its bytes", [r[4] for r in in_reuse(1)], [2])
        rows = [r for r in live.images(work.url, first.pid) if r["ppid"] == work.pid["reuse"]]
        ids = {r["id"] for r in rows}
        work.tap.ok(len(ids) == 2, "%s: a pid reused: two processes" % work.kind, *rows)

    again = int(notes["reuse-namespace"][-1][1])
    work.tap.say("%s: %d of %d pids of the namespace came again" % (work.kind, again, NAMESPACE_FORKS))
    work.tap.ok(again > 0, "%s: pids of a namespace were reused" % work.kind)
    wrong, ids = [], set()
    for i in range(NAMESPACE_FORKS):
        mine = [row for row in work.booked if row["path"] == os.path.join(work.scratch, "reuse", str(i))
                and row["read_ops"] and "mntns" in live.flags_of(row)]
        ids.update(row["process_id"] for row in mine)
        if [(row["read_ops"], row["read_bytes"], row["origin"]) for row in mine] != [(i + 1, i + 1, "fork")]:
            wrong.append("file %d: %s" % (i, [live.describe(row) for row in mine]))
    work.tap.ok(not wrong and len(ids) == NAMESPACE_FORKS, "%s: each of %d processes with reused pids has its own bytes"
                % (work.kind, NAMESPACE_FORKS), "%d processes" % len(ids), *wrong[:10])


def check_ends(work, notes):
    exits = "select e.exit_code, e.signal from process_exit e join process p on p.id = e.process_id where p.pid = %d"
    events = "select e.result, p.comm from event e join process p on p.id = e.process_id where p.pid = %d and e.kind = '%s'"
    for name, want in (("exit 3", (3, None)), ("exit 255", (255, None)), ("signal 9", (None, 9)), ("signal 11", (None, 11)),
                       ("signal 15", (None, 15)), ("sh", (0, None)), ("subshell", (4, None))):
        found = [(r["exit_code"], r["signal"]) for r in live.rows(work.url, exits % work.pid[name])]
        work.expect("%s: how it ended" % name, found, [want])
        found = [r["result"] for r in live.rows(work.url, events % (work.pid[name], "exit"))]
        work.expect("%s: the event of its end" % name, found, [want[0] if want[1] is None else -want[1]])
    errnos = [-int(word) for _, word in notes["exec-fail"] if word != "started"]
    work.expect("the workload's execs failed as they should", errnos, [-errno.ENOENT, -errno.EACCES, -errno.EACCES])
    found = live.rows(work.url, "select e.result, f.path from event e left join file f on f.id = e.file_id "
                      "join process p on p.id = e.process_id where p.pid = %d and e.kind = 'exec_failed' order by e.ts"
                      % work.pid["exec-fail"])
    work.expect("failed execs are events with their errno and path", [(r["result"], r["path"]) for r in found],
                [(-errno.ENOENT, "/nonexistent/program"), (-errno.EACCES, os.path.join(work.scratch, "not executable")),
                 (-errno.EACCES, work.scratch)])
    found = live.rows(work.url, events % (work.pid["chain"], "exec"))
    work.expect("a chain of execs: six events", [r["result"] for r in found], [0] * 6)


def check(tap, scratch, kind):
    work = record(tap, scratch, kind)
    notes, expected = check_images(work)
    check_places(work)
    check_heirs(work)
    check_reuse(work, notes, expected)
    check_ends(work, notes)


def sqlite(tap, scratch):
    check(tap, scratch, "sqlite")


def postgresql(tap, scratch):
    check(tap, scratch, "postgresql")


SHARED_BITS = 16  # processes whose pids have the same lower bits want the same place in the recorder's tables
NEIGHBOUR_FILES = 30  # more than there are places for accounts in front of the table
NEIGHBOUR_UID = 54322

# "read N": a byte of each file N times. "exec": becomes cat, of all files.
NEIGHBOUR = """
import os, sys
files = sys.argv[1:]
while True:
    words = os.read(0, 64).decode().split()
    if not words:
        break
    if words[0] == "exec":
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        os.execv("/bin/cat", ["cat", *files])
    for path in files:
        fd = os.open(path, os.O_RDONLY)
        for _ in range(int(words[1])):
            os.pread(fd, 1, 0)
        os.close(fd)
    os.write(1, b"done\\n")
"""


class Neighbour:
    """A process with the pid that it is asked for."""

    def __init__(self, scratch, files, uid, pid=0):
        ours, theirs = os.pipe(), os.pipe()
        os.setresuid(uid, 0, 0)  # before the fork, at which filters look
        self.pid = clone(pid)
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                os.dup2(ours[0], 0)
                os.dup2(theirs[1], 1)
                os.closerange(3, 256)
                os.chdir(scratch)
                os.execv(sys.executable, [sys.executable, "-c", NEIGHBOUR, *files])
            os._exit(127)  # pylint: disable=protected-access
        os.setresuid(0, 0, 0)
        os.close(ours[0])
        os.close(theirs[1])
        self.orders, self.answers = ours[1], theirs[0]

    def order(self, words):
        os.write(self.orders, words.encode())

    def read(self, times):
        self.order("read %d" % times)
        if os.read(self.answers, 16) != b"done\n":
            raise live.Failure("process %d ended" % self.pid)

    def end(self):
        os.close(self.orders)
        os.waitpid(self.pid, 0)
        os.close(self.answers)


def clone(pid):
    """As fork(2), with this pid for the child, or any."""
    wanted = ctypes.c_int32(pid)
    arguments = struct.pack("=11Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, *((ctypes.addressof(wanted), 1) if pid else (0, 0)), 0)
    child = ctypes.CDLL(None, use_errno=True).syscall(435, arguments, len(arguments))  # clone3(2)
    if child < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return child


@contextlib.contextmanager
def large_pids():
    """For as long as there are processes that have such."""
    with open("/proc/sys/kernel/pid_max", "r+", encoding="ascii") as file:
        before = int(file.read())
        file.seek(0)
        file.write(str(max(before, 8 << SHARED_BITS)))
    try:
        yield
    finally:
        with open("/proc/sys/kernel/pid_max", "w", encoding="ascii") as file:
            file.write(str(before))


def run_neighbours(scratch, url, *options):
    """(pid, what read, how often, by which uid) of all that was read of the files. Three live at once; one takes the place of the first that ends."""
    files = ["n%d" % i for i in range(NEIGHBOUR_FILES)]
    for name in files:
        with open(os.path.join(scratch, name), "wb") as file:
            file.write(b"x" * 10)
    recorder = live.Recorder(url, "--interval", "0.2s", *options)
    with large_pids():
        first = Neighbour(scratch, files, 0)
        above = [pid for pid in range(first.pid % (1 << SHARED_BITS), 8 << SHARED_BITS, 1 << SHARED_BITS) if pid > 300 and pid != first.pid]
        second, third = (Neighbour(scratch, files, uid, pid) for uid, pid in zip((NEIGHBOUR_UID, 0), above))
        for times, each in enumerate((first, second, third), 1):
            each.read(times)
        first.end()
        fourth = Neighbour(scratch, files, NEIGHBOUR_UID, above[2])
        fourth.read(4)
        second.read(10)
        turns, intervals = 0, "select count(*) from batch"
        later = live.value(url, intervals) + 4
        while live.value(url, intervals) < later:  # the accounts of the first one are closed meanwhile
            fourth.read(1)
            turns += 1
        fourth.read(5)
        second.order("exec")
        for each in (second, third, fourth):
            each.end()
    if recorder.stop() != 0:
        raise live.Failure("the recorder failed", recorder.lines)
    return [(first.pid, "python", 1, 0), (second.pid, "python", 12, NEIGHBOUR_UID), (second.pid, "cat", 2, NEIGHBOUR_UID),
            (third.pid, "python", 3, 0), (fourth.pid, "python", 9 + turns, NEIGHBOUR_UID)]


def neighbours(tap, scratch):
    """Processes that want the same place in the recorder's tables, alive at the same time, each with more accounts than have a place there."""
    for name, options, recorded in (("neighbours", (), lambda uid: True),
                                    ("neighbours, one uid", ("--uid", str(NEIGHBOUR_UID)), lambda uid: uid == NEIGHBOUR_UID)):
        url = live.new_url("sqlite", scratch)
        done = run_neighbours(scratch, url, *options)
        booked = {}
        for row in live.accounts(url):
            if os.path.dirname(row["path"]) == scratch and os.path.basename(row["path"]).startswith("n") and row["read_ops"]:
                booked.setdefault((row["pid"], "cat" if row["comm"] == "cat" else "python"), []).append(row["read_ops"])
        wanted = {(pid, comm): [times] * NEIGHBOUR_FILES for pid, comm, times, uid in done if recorded(uid)}
        tap.equal(booked, wanted, "%s: each has read what it has read, of each file" % name)
        pids = sorted({pid for pid, _, _, uid in done if recorded(uid)})
        ended = [row["pid"] for row in live.rows(url, "select p.pid from process_exit e join process p on p.id = e.process_id where p.pid in (%s) order by p.pid"
                                                 % ", ".join(map(str, pids)))]
        tap.equal(ended, pids, "%s: and each has ended once" % name)
        twice = live.rows(url, "select p.pid, f.path, count(*) as accounts from io i join process p on p.id = i.process_id join file f on f.id = i.file_id "
                               "where p.pid in (%s) group by p.pid, f.path, i.ts, i.process_id, i.file_id, i.route having count(*) > 1"
                               % ", ".join(map(str, pids)))
        tap.ok(not twice, "%s: no file of a process has two accounts" % name, *twice[:10])
        live.check_balance(tap, url, name)


class Readers:
    """One process after the other reads some bytes, each another number of them, of a file whose path as it sees it is known."""

    def __init__(self, scratch):
        self.scratch, self.wanted, self.pids = scratch, {}, set()

    def read(self, path, root="/", times=2):
        for _ in range(times):
            number = len(self.wanted) + 1
            self.wanted[number] = os.path.join(self.scratch, path)  # which is what an absolute one is
            child = os.fork()
            if child == 0:
                with contextlib.suppress(BaseException):
                    if root != "/":
                        os.chroot(root)
                    os.pread(os.open(self.wanted[number], os.O_RDONLY), number, 0)
                    os._exit(0)  # pylint: disable=protected-access
                os._exit(1)  # pylint: disable=protected-access
            self.pids.add(child)
            if os.waitpid(child, 0)[1] != 0:
                raise live.Failure("%s cannot be read" % path)

    def make(self, path):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), "wb") as file:
            file.write(b"x" * 100)

    def at(self, path):
        return os.path.join(self.scratch, path)


def other_paths(readers):
    """The same file, and others in its place, by other paths."""
    at = readers.at
    readers.make("one/below/file")
    readers.read("one/below/file")
    os.rename(at("one"), at("two"))
    readers.read("two/below/file")
    os.rename(at("two/below/file"), at("two/below/renamed"))
    readers.read("two/below/renamed")
    os.link(at("two/below/renamed"), at("two/linked"))
    readers.read("two/linked", times=1)
    readers.read("two/below/renamed", times=1)
    readers.read("/two/below/renamed", root=readers.scratch)
    readers.read("two/below/renamed", times=1)
    os.mkdir(at("bound"))
    subprocess.run(["mount", "--bind", at("two/below"), at("bound")], check=True)
    try:
        readers.read("bound/renamed")
    finally:
        subprocess.run(["umount", at("bound")], check=True)
    readers.read("two/below/renamed", times=1)
    for i in range(20):
        os.unlink(at("two/below/renamed"))
        os.rmdir(at("two/below"))
        os.rename(at("two"), at("three"))
        os.mkdir(at("three/below"))
        readers.make("three/below/renamed")
        readers.read("three/below/renamed", times=1)
        os.rename(at("three"), at("two"))
        readers.read("two/below/renamed", times=1)
        if i % 2:
            os.rename(at("two/below/renamed"), at("two/renamed"))
            readers.read("two/renamed", times=1)
            os.rename(at("two/renamed"), at("two/below/renamed"))


def remembered(tap, scratch):
    """What a process reads has the path that it had then, though the recorder remembers what it was for the process before, on the same CPU."""
    url, readers = live.new_url("sqlite", scratch), Readers(scratch)
    recorder = live.Recorder(url)
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cpus)})
    try:
        other_paths(readers)
    finally:
        os.sched_setaffinity(0, cpus)
    tap.equal(recorder.stop(), 0, "remembered: the recorder ends well")
    found = {}
    for row in live.accounts(url, pids=readers.pids):
        if row["read_ops"]:
            found.setdefault(row["read_bytes"], []).append(row["path"])
    tap.equal(found, {number: [path] for number, path in readers.wanted.items()}, "remembered: each of %d processes has its path" % len(readers.wanted))
    live.check_balance(tap, url, "remembered")


live.main(sqlite, postgresql, neighbours, remembered)
