#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""--cgroup and --container: who is in a cgroup is recorded, from the moment it comes in until it leaves; and rules that change.

Every read is of a file of its own, so that the books tell what was recorded.
"""
import contextlib
import os
import re
import signal
import subprocess
import sys

import livelib as live

THREADS = 4
ID = "%064x" % (0x1d << 248 | os.getpid())

# Reads, when told to, a file with each of its threads, or one with a child of its own.
READER = """
import os, subprocess, sys, threading
def read(path):
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 50)
    os.close(fd)
def serve(orders, done, i):
    while orders[i].acquire():
        read(orders[0] + "-%d" % i)
        done.release()
orders, done = [None] + [threading.Semaphore(0) for _ in range(int(sys.argv[1]))], threading.Semaphore(0)
for i in range(1, len(orders)):
    threading.Thread(target=serve, args=(orders, done, i), daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    word, path = line.rstrip("\\n").split(" ", 1)
    if word == "threads":
        orders[0] = path
        read(path + "-0")
        for i in range(1, len(orders)):
            orders[i].release()
            done.acquire()
    else:
        subprocess.run(["cat", path], stdout=subprocess.DEVNULL, check=True)
    print("done", flush=True)
"""


class Reader:
    def __init__(self, scratch):
        self.scratch = scratch
        self.process = subprocess.Popen([sys.executable, "-c", READER, str(THREADS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.pid = self.process.pid
        self.process.stdout.readline()

    def new_file(self, name):
        path = os.path.join(self.scratch, name)
        with open(path, "wb") as file:
            file.write(b"x" * 50)
        return path

    def order(self, word, name):
        if word == "threads":
            for i in range(THREADS + 1):
                self.new_file("%s-%d" % (name, i))
        else:
            self.new_file(name)
        self.process.stdin.write("%s %s\n" % (word, os.path.join(self.scratch, name)))
        self.process.stdin.flush()
        if self.process.stdout.readline() != "done\n":
            raise live.Failure("the reader ended")

    def read(self, when):
        self.order("threads", when)
        self.order("child", when + "-child")

    def end(self):
        self.process.stdin.close()
        self.process.wait(live.PATIENCE)


def all_of(*whens):
    names = ["-%d" % i for i in range(THREADS + 1)] + ["-child"]
    return sorted(when + name for when in whens for name in names)


def files_read(url, scratch):
    return sorted(os.path.basename(row["path"]) for row in live.accounts(url)
                  if os.path.dirname(row["path"]) == scratch and row["read_bytes"] == 50)


def hierarchies():
    """{what: mount point} of the cgroup hierarchies of this machine, v2 and v1."""
    found = {}
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, point, kind, options = line.split()[:4]
            if kind == "cgroup2":
                found["v2"] = point
            elif kind == "cgroup":
                # cpuset cgroups take no process before they are given CPUs
                for word in {"memory", "pids", "freezer", "name=systemd"} & set(options.split(",")):
                    found["v1 " + word] = point
    return found


@contextlib.contextmanager
def cgroup(point, name):
    path = os.path.join(point, name)
    parts = []
    for i, letter in enumerate(path + "/"):
        if letter == "/" and i > len(point) and not os.path.isdir(path[:i]):
            os.mkdir(path[:i])
            parts.append(path[:i])
    try:
        yield path
    finally:
        for part in reversed(parts):
            live.wait_for(lambda part=part: remove(part), "an empty cgroup " + part)


def remove(path):
    """Processes that ended, or will by the time the test does, are in it still for a moment."""
    with contextlib.suppress(OSError):
        with open(os.path.join(path, "cgroup.procs"), encoding="ascii") as file:
            for pid in file.read().split():
                os.kill(int(pid), signal.SIGKILL)
        os.rmdir(path)
    return not os.path.exists(path)


def move(pid, path):
    with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as file:
        file.write(str(pid))


def home_of(pid, what, point):
    """The folder of the cgroup that the process is in."""
    with open("/proc/%d/cgroup" % pid, encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if (not controllers) if what == "v2" else what[3:] in controllers.split(","):
                return point + path
    raise live.Failure("%d has no cgroup in %s" % (pid, what))


def by_cgroup(tap, scratch):
    """In each hierarchy, a process that runs already comes in, goes deeper, and leaves again; another stays outside."""
    if not hierarchies():
        raise live.Skip("no cgroups are mounted here")
    for what, point in sorted(hierarchies().items()):
        folder = os.path.join(scratch, what.replace(" ", "-").replace("=", "-"))
        os.mkdir(folder)
        with cgroup(point, "ioledger-%d/deeper" % os.getpid()) as deeper:
            in_cgroup(tap, folder, what, point, deeper)


def in_cgroup(tap, folder, what, point, deeper):
    chosen, reader, other = os.path.dirname(deeper), Reader(folder), Reader(folder)
    home = home_of(reader.pid, what, point)
    # below /sys/fs/cgroup, or as /proc/PID/cgroup shows it
    url = live.new_url("sqlite", folder)
    recorder = live.Recorder(url, "--cgroup", chosen if what == "v2" else chosen[len(point):], "--interval", "0.1s")
    reader.read("before")
    move(reader.pid, chosen)
    reader.read("inside")
    move(reader.pid, deeper)
    reader.read("deeper")
    move(reader.pid, home)
    reader.read("after")
    move(reader.pid, deeper)
    reader.read("again")
    other.read("other")
    reader.end()
    other.end()
    tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % what)
    live.check_balance(tap, url, what)
    tap.equal(files_read(url, folder), all_of("inside", "deeper", "again"), "%s: what was read in the cgroup, and nothing else" % what)
    pids = {row["pid"] for row in live.rows(url, "select pid from process")}
    tap.ok(reader.pid in pids and other.pid not in pids, "%s: who was in it has a row, who was not has none" % what, pids)
    exits = live.rows(url, "select p.pid from process_exit x join process p on p.id = x.process_id where p.pid = %d" % reader.pid)
    tap.equal(len(exits), 1, "%s: its exit is in the books" % what)
    scope = live.value(url, "select scope from recording")
    tap.ok(os.path.basename(chosen) in scope, "%s: the recording says what was asked for" % what, scope)


def in_it_already(tap, scratch):
    """Who is in the cgroup when the recording starts, and what starts in it later."""
    what, point = sorted(hierarchies().items())[-1] if hierarchies() else (None, None)
    if not what:
        raise live.Skip("no cgroups are mounted here")
    with cgroup(point, "ioledger-%d" % os.getpid()) as path:
        reader = Reader(scratch)
        move(reader.pid, path)
        url = live.new_url("sqlite", scratch)
        recorder = live.Recorder(url, "--cgroup", path)
        reader.read("inside")
        reader.end()
        tap.equal(recorder.stop(), 0, "in it already: the recorder ends well")
    live.check_balance(tap, url, "in it already")
    tap.equal(files_read(url, scratch), all_of("inside"), "in it already: what was read is in the books")


def by_container(tap, scratch):
    """By the first digits of an id, and by the name of a machine, as engines and systemd name their cgroups."""
    if not hierarchies():
        raise live.Skip("no cgroups are mounted here")
    points = hierarchies()
    point = points.get("v2") or points[sorted(points)[0]]
    for name, folder, option, container in live.some((
            ("docker", "system.slice-%d/docker-%s.scope" % (os.getpid(), ID), ID[:12], ID),
            ("kubernetes", "kubepods-%d/burstable/pod1/%s" % (os.getpid(), ID), ID, ID),
            ("a machine", "machine.slice-%d/machine-led\\x2dger\\x2d%d.scope" % (os.getpid(), os.getpid()), "led-ger-%d" % os.getpid(),
             "led-ger-%d" % os.getpid())), 2):
        below = os.path.join(scratch, name.replace(" ", "-"))
        os.mkdir(below)
        url = live.new_url("sqlite", below)
        with cgroup(point, folder) as path:
            reader = Reader(below)
            recorder = live.Recorder(url, "--container", option)
            reader.read("before")
            move(reader.pid, path)
            reader.read("inside")
            reader.end()
            tap.equal(recorder.stop(), 0, "%s: the recorder ends well" % name)
        live.check_balance(tap, url, name)
        tap.equal(files_read(url, below), all_of("inside"), "--container, %s: what was read in it, and nothing else" % name)
        if "v2" in points:
            got = {row["container_id"] for row in live.rows(url, "select distinct p.container_id from io i join process p on p.id = i.process_id")}
            tap.equal(got, {container}, "--container, %s: container_id of every row of io" % name)


def two_of_a_prefix(tap, scratch):
    if not hierarchies():
        raise live.Skip("no cgroups are mounted here")
    point = sorted(hierarchies().values())[0]
    twin = ID[:-1] + ("0" if ID[-1] != "0" else "1")
    with cgroup(point, "one-%d/%s" % (os.getpid(), ID)), cgroup(point, "two-%d/%s" % (os.getpid(), twin)):
        done = live.run("record", "--db", live.new_url("sqlite", scratch), "--container", ID[:12])
    tap.ok(done.returncode == 2 and b"give more of its id" in done.stderr, "--container: the beginning of two ids is refused", done)


# In which cgroup a program was started, by a shell that moves from one to the next; those of the first version can have another name.
MOVES = """
set -e
echo $$ >"$0/one/cgroup.procs"; /bin/true 1; /bin/true 2
echo $$ >"$0/two/cgroup.procs"; /bin/true 3
if [ $1 = rename ]; then mv "$0/two" "$0/three"; /bin/true 4; /bin/true 5; mv "$0/three" "$0/two"; /bin/true 6; fi
"""


def which_cgroup(tap, scratch):
    points = hierarchies()
    # the one that a process's row tells of: see cgroup_node_of() in bpf/process.bpf.h
    nested = "v2" in points and home_of(os.getpid(), "v2", points["v2"]) != points["v2"] + "/"
    what = next((word for word in (("v2",) if nested else ()) + ("v1 memory", "v1 pids", "v2") if word in points), None)
    if not what:
        raise live.Skip("no cgroups are mounted here")
    url, top = live.new_url("sqlite", scratch), "ioledger-%d" % os.getpid()
    recorder = live.Recorder(url)
    with cgroup(points[what], top + "/one"), cgroup(points[what], top + "/two"):
        with subprocess.Popen(["/bin/sh", "-c", MOVES, os.path.join(points[what], top), "rename" if what != "v2" else "no"]) as shell:
            tap.equal(shell.wait(live.PATIENCE), 0, "which cgroup: the shell ends well")
    tap.equal(recorder.stop(), 0, "which cgroup: the recorder ends well")
    want = {"1": "one", "2": "one", "3": "two", **({"4": "three", "5": "three", "6": "two"} if what != "v2" else {})}
    rows = live.rows(url, "select argv, cgroup from process where ppid = %d and origin = 'exec' and argv like '/bin/true%%'" % shell.pid)
    tap.equal({row["argv"].split()[1]: row["cgroup"] for row in rows}, {number: "/%s/%s" % (top, name) for number, name in want.items()},
              "which cgroup: that of each program (%s)" % what)


# SIGHUP

def reload(tap, recorder, want, name):
    before = len(recorder.lines)
    recorder.process.send_signal(signal.SIGHUP)
    live.wait_for(lambda: any(re.search(want, line) for line in recorder.lines[before:]) or recorder.process.poll() is not None,
                  "a line like %r; the recorder said %s" % (want, recorder.lines[before:]))
    return tap.ok(any(re.search(want, line) for line in recorder.lines[before:]), name, *recorder.lines[before:])


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def rules_change(tap, scratch):
    config, reader, url = os.path.join(scratch, "ioledger.conf"), Reader(scratch), live.new_url("sqlite", scratch)
    ignore = "ignore = %s/ignored-**\n" % scratch
    write(config, "interval = 0.1s\nignore = %s/first/**\n" % scratch)
    os.mkdir(os.path.join(scratch, "first"))
    os.mkdir(os.path.join(scratch, "second"))
    recorder = live.Recorder(url, "--config", config, "--every", scratch + "/own-0")

    reader.order("child", "first/1")
    reader.order("child", "second/1")
    write(config, "interval = 0.1s\nignore = %s/second/**\nignore = /no/such/**\n" % scratch)
    reload(tap, recorder, r"3 rules now in force \(%s\)" % re.escape(config), "SIGHUP: the new rules are in force, those of the command line too")
    reader.order("child", "first/2")
    reader.order("child", "second/2")

    write(config, "interval = 0.1s\nignore = %s/first/**\n%s" % (scratch, ignore))
    reload(tap, recorder, "the old rules stay in force: %s:3: ignore: .* is no pattern" % re.escape(config), "SIGHUP: a bad file is told")
    reader.order("child", "first/3")
    reader.order("child", "second/3")

    write(config, "interval = 5s\nkinds = file\n")
    reload(tap, recorder, "need a restart: interval, kinds$", "SIGHUP: what needs a restart is told")
    tap.ok(any("1 rule now in force" in line for line in recorder.lines), "SIGHUP: the rules of the file are gone", *recorder.lines)
    reader.order("child", "first/4")
    reader.order("child", "second/4")
    os.unlink(config)
    reload(tap, recorder, "the old rules stay in force: cannot read %s" % re.escape(config), "SIGHUP: a file that is gone is told")

    reader.end()
    tap.equal(recorder.stop(), 0, "SIGHUP: the recorder ends well")
    live.check_balance(tap, url, "SIGHUP")
    got = sorted(row["path"][len(scratch) + 1:] for row in live.accounts(url, comm="cat") if row["path"].startswith(scratch + "/"))
    tap.equal(got, ["first/2", "first/3", "first/4", "second/1", "second/4"], "SIGHUP: what was recorded under which rules")
    scope = live.value(url, "select scope from recording")
    tap.ok("--every %s/own-0 --ignore %s/first/**" % (scratch, scratch) in scope, "the recording says under which rules it began", scope)


def an_open_account_changes(tap, scratch):
    """A file that stays open is judged anew at its next operation."""
    config, url, path = os.path.join(scratch, "ioledger.conf"), live.new_url("sqlite", scratch), os.path.join(scratch, "open")
    write(config, "interval = 0.1s\n")
    recorder = live.Recorder(url, "--config", config)
    with open(path, "wb", buffering=0) as file:
        file.write(b"x" * 100)
        write(config, "interval = 0.1s\nignore = %s\n" % path)
        reload(tap, recorder, "1 rule now in force", "an open file: the rule is in force")
        file.write(b"x" * 1000)
        write(config, "interval = 0.1s\n")
        reload(tap, recorder, "0 rules now in force", "an open file: the rule is gone")
        file.write(b"x" * 10000)
    tap.equal(recorder.stop(), 0, "an open file: the recorder ends well")
    live.check_balance(tap, url, "an open file")
    tap.equal(sum(row["write_bytes"] for row in live.accounts(url, path=path)), 10100, "an open file: what was written under the rule is left out")


def without_a_file(tap, scratch):
    url = live.new_url("sqlite", scratch)
    recorder = live.Recorder(url)
    reload(tap, recorder, "SIGHUP .* nothing changes", "SIGHUP without --config is told, and does no harm")
    tap.equal(recorder.stop(), 0, "SIGHUP without --config: the recorder ends well")
    live.check_balance(tap, url, "SIGHUP without --config")


live.main(by_cgroup, in_it_already, by_container, two_of_a_prefix, which_cgroup, rules_change, an_open_account_changes, without_a_file)
