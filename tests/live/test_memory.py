#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# SPDX-FileCopyrightText: The ioledger authors
"""The kernel has no memory for another entry of a map (ENOMEM): that costs detail, is told, and the books balance.

The recorder's maps have their memory from the start. So scarce.c, loaded into it, has the kernel make one of them without, and the
recorder starts in a cgroup that is allowed no more memory once it records; what is refused then is refused by the kernel.
"""
import atexit
import contextlib
import os
import subprocess
import sys

import livelib as live

UID = 54321  # of nobody else on this machine: all that is in the books is what the test did
ACCOUNTS = "no free account: operations posted to (other files)"
TASKS = "process table full: processes told of late"
UNJUDGED = "process table full: processes that a filter may have chosen not counted"

# "read FOLDER FROM TO": a byte of each of these files. "children FOLDER FROM TO": a child for each, which reads it and stays.
READER = """
import os, signal
def read(path):
    fd = os.open(path, os.O_RDONLY)
    os.pread(fd, 1, 0)
    os.close(fd)
os.setgid(UID)
os.setuid(UID)
children = []
while True:
    words = os.read(0, 4096).decode().split()
    if not words:
        break
    for i in range(int(words[2]), int(words[3])):
        if words[0] == "read":
            read("%s/%d" % (words[1], i))
            continue
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            read("%s/%d" % (words[1], i))
            os.write(theirs, b"x")
            signal.pause()
        os.read(ours, 1)
        os.close(ours)
        os.close(theirs)
        children.append(pid)
    os.write(1, b"done\\n")
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
"""


class Reader:
    def __init__(self, folder):
        self.folder, self.done = folder, 0
        self.process = subprocess.Popen([sys.executable, "-c", "UID = %d\n" % UID + READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.order("read", 0)

    def order(self, word, n):
        """The files are names of one inode: the accounts of a process for them have the same two sets, and but for the first fourteen go to the table."""
        for i in range(self.done, self.done + n):
            name = "%s/%d" % (self.folder, i)
            if i > 0:
                os.link(self.folder + "/0", name)
                continue
            with open(name, "wb") as file:
                file.write(b"x")
        self.process.stdin.write(b"%s %s %d %d\n" % (word.encode(), os.fsencode(self.folder), self.done, self.done + n))
        self.process.stdin.flush()
        if self.process.stdout.readline() != b"done\n":
            raise live.Failure("the reader ended")
        self.done += n

    def end(self):
        self.process.stdin.close()
        self.process.wait(live.PATIENCE)


def memory_hierarchy():
    """Mount point, and the file that holds the limit."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        for line in mounts:
            _, point, kind, options = line.split()[:4]
            if kind == "cgroup" and "memory" in options.split(","):
                return point, "memory.limit_in_bytes"
            with contextlib.suppress(OSError):
                if kind == "cgroup2":
                    with open(point + "/cgroup.subtree_control", "w", encoding="ascii") as control:
                        control.write("+memory")
                    return point, "memory.max"
    raise live.Skip("no hierarchy of cgroups with memory")


def move(pid, cgroup):
    with open(cgroup + "/cgroup.procs", "w", encoding="ascii") as procs:
        procs.write(str(pid))


def forbid_more(cgroup, limit):
    """What is used stays, and is the limit. What the kernel holds in reserve for each CPU is given back first, by a limit that cannot be."""
    usage, drain = ("memory.current", "memory.high") if limit == "memory.max" else ("memory.usage_in_bytes", limit)

    def write(name, number):
        with contextlib.suppress(OSError), open(cgroup + "/" + name, "w", encoding="ascii") as file:
            file.write(number)
            file.flush()
            return True
        return False

    def try_it():
        write(drain, "0")
        with open(cgroup + "/" + usage, encoding="ascii") as file:
            return write(limit, file.read())
    live.wait_for(try_it, "a limit of memory")


class Scarce:
    """A recorder whose map has no memory but what it has already."""

    def __init__(self, url, name, *options):
        library = os.path.join(live.WORKLOADS, "libscarce.so")
        if not os.path.exists(library):
            raise live.Skip("the build has no " + library)
        if live.kernel() < (6, 1):
            raise live.Skip("before 6.1 such an entry is not of the memory of the recorder's cgroup")
        point, limit = memory_hierarchy()
        self.cgroup = os.path.join(point, "ioledger-scarce-%d" % os.getpid())
        os.mkdir(self.cgroup)
        atexit.register(remove, self.cgroup)  # should the test fail
        try:
            move(os.getpid(), self.cgroup)
            self.recorder = live.Recorder(url, *options, env={**os.environ, "LD_PRELOAD": library, "IOLEDGER_SCARCE": name})
        finally:
            move(os.getpid(), point)
        move(self.recorder.pid, point)
        self.limit = limit

    def begin(self):
        forbid_more(self.cgroup, self.limit)

    def remove(self):
        live.wait_for(lambda: remove(self.cgroup), "an empty cgroup")


def remove(path):
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def lost(url):
    return {row["reason"]: row["lost"] for row in live.rows(url, "select reason, sum(lost) as lost from loss group by reason")}


def until_lost(url, reason, reader, word, scarce):
    """Orders, until entries are refused; and one more, whose entries are refused too. What the recorder gave back meanwhile is not for them."""
    number = {"read": 1000, "children": 100}[word]  # at once, of more pages than that: a page has room for fifty accounts

    def told():
        """What has become of all that was ordered: each file has its account, or the loss is in the books."""
        return reason in lost(url) or live.value(url, "select count(distinct f.path) from io i join file f on f.id = i.file_id "
                                                      "where i.read_ops > 0 and f.path like '%s/%%'" % reader.folder) >= reader.done
    for _ in range(20):
        scarce.begin()
        reader.order(word, number)
        live.wait_for(told, "what the recorder makes of %d files" % reader.done)
        if reason in lost(url):
            reader.order(word, number)
            return
    raise live.Failure("nothing was refused in %d files" % reader.done)


def run(tap, scratch, name, scarce_map, reason, word, *options):
    folder, url = os.path.join(scratch, "files"), live.new_url("sqlite", scratch)
    os.mkdir(folder)
    reader = Reader(folder)
    scarce = Scarce(url, scarce_map, "--interval", "0.1s", *options)
    reader.order(word, 1)  # its pipes have their account
    until_lost(url, reason, reader, word, scarce)
    reader.end()
    tap.equal(scarce.recorder.stop(), 0, name + ": the recorder ends well")
    scarce.remove()
    found = lost(url)
    tap.ok(found.get(reason), name + ": the loss has its row", found)
    told = [line for line in scarce.recorder.lines if reason in line]
    tap.ok(told, name + ": and the recorder says it", *scarce.recorder.lines)
    live.check_balance(tap, url, name)
    return url, folder, reader, found[reason]


def accounts(tap, scratch):
    """No account for a file: what it read is there, to the operation, under a name that says so."""
    url, folder, reader, refused = run(tap, scratch, "accounts", "accounts", ACCOUNTS, "read", "--uid", str(UID))
    rows = [row for row in live.accounts(url, route="rw") if row["read_ops"]]
    files = [row for row in rows if row["path"].startswith(folder + "/")]
    others = [row for row in rows if row["path"] in ("(other files)", "(other processes)")]
    tap.ok(files and others, "accounts: some files have theirs, and others have not", *map(live.describe, others))
    tap.equal(live.sums(files + others), (reader.done, reader.done, 0, 0, 0, 0), "accounts: what was read of %d files is in the books" % reader.done)
    tap.equal(refused, live.sums(others)[0], "accounts: as many operations are told to be lost as have no account of their own")


def tasks(tap, scratch):
    """No entry for a process: it has its account all the same, where no filter asks for its entry."""
    url, folder, reader, _ = run(tap, scratch, "tasks", "tasks", TASKS, "children")
    rows = [row for row in live.accounts(url, route="rw") if row["path"].startswith(folder + "/") and row["read_ops"]]
    children = {row["process_id"]: row for row in rows if (row["read_ops"], row["read_bytes"], row["origin"]) == (1, 1, "fork")}
    tap.equal((len(rows), len(children), live.sums(rows)[:2]), (reader.done, reader.done, (reader.done, reader.done)),
              "tasks: each of %d children has its byte" % reader.done)


def unjudged(tap, scratch):
    """The same with a filter, which leaves out whom it does not know: those that are missing are told, and that calls are."""
    url, folder, reader, refused = run(tap, scratch, "unjudged", "tasks", UNJUDGED, "children", "--uid", str(UID))
    rows = [row for row in live.accounts(url, route="rw") if row["path"].startswith(folder + "/")]
    missing = reader.done - live.sums(rows)[0]
    tap.ok(0 < missing <= refused, "unjudged: %d children are not in the books, and %d processes of the machine are told" % (missing, refused))
    said = live.run("balance", "--db", url)
    tap.ok(b"lacks calls" in said.stdout + said.stderr, "unjudged: balance says so", said)


live.main(accounts, tasks, unjudged)
